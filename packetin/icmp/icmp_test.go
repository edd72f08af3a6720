package icmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/packettest"
	"github.com/penstock/penstock/store/snapshot"
)

var (
	vm     = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, packettest.VMKey}
	server = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 10}
	text   = []byte("abcdefghijklmnopqrstuvwabcdefghi")
)

type parts struct {
	eth  *layers.Ethernet
	ip   *layers.IPv4
	icmp *layers.ICMPv4
	data []byte
}

// view is a world as a view of a revision.
func view(w *packettest.World, revision int64) model.View {
	return model.NewView(snapshot.Empty().Apply(revision, w.Changes()))
}

// ping is a frame with an echo request of the VM's, edited.
func ping(tb testing.TB, edit func(*parts)) []byte {
	p := parts{&layers.Ethernet{SrcMAC: vm, DstMAC: server, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 33, TOS: 0x10, Id: 0x1234, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{10, 0, 0, 5}, DstIP: net.IP{10, 0, 0, 2}},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 3}, text}
	if edit != nil {
		edit(&p)
	}
	return packettest.Serialize(tb, p.eth, p.ip, p.icmp, gopacket.Payload(p.data))
}

func flip(b []byte, at int) []byte { b[at] ^= 1; return b }

func TestEcho(t *testing.T) {
	for _, c := range []struct {
		name, outcome string
		frame         []byte
	}{
		{"request", OutcomeReply, ping(t, nil)},
		{"from another subnet", OutcomeReply, ping(t, func(p *parts) { p.ip.SrcIP = net.IP{10, 9, 9, 9} })},
		{"large", OutcomeReply, ping(t, func(p *parts) { p.data = make([]byte, 1400) })},
		{"nothing in it", OutcomeReply, ping(t, func(p *parts) { p.data = nil })},
		{"record route", OutcomeReply, ping(t, func(p *parts) {
			p.ip.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: make([]byte, 5)}}
		})},
		{"source route", OutcomeOptions, ping(t, func(p *parts) {
			p.ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 131, OptionLength: 7, OptionData: []byte{4, 10, 0, 0, 9}}}
		})},
		{"echo reply", OutcomeNotEcho, ping(t, func(p *parts) { p.icmp.TypeCode = 0 })},
		{"other address", OutcomeNotOurs, ping(t, func(p *parts) { p.ip.DstIP = net.IP{10, 0, 0, 6} })},
		{"other MAC", OutcomeNotOurs, ping(t, func(p *parts) { p.eth.DstMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1} })},
		{"broadcast", OutcomeNotOurs, ping(t, func(p *parts) { p.eth.DstMAC = frame.Broadcast[:]; p.ip.DstIP = net.IP{10, 0, 0, 255} })},
		{"first fragment", OutcomeFragment, ping(t, func(p *parts) { p.ip.Flags = layers.IPv4MoreFragments })},
		{"last fragment", OutcomeFragment, ping(t, func(p *parts) { p.ip.Flags = 0; p.ip.FragOffset = 5 })},
		{"wrong checksum", OutcomeChecksum, flip(ping(t, nil), 60)},
		{"wrong IP checksum", OutcomeChecksum, flip(ping(t, nil), 18)},
		{"from loopback", OutcomeSource, ping(t, func(p *parts) { p.ip.SrcIP = net.IP{127, 0, 0, 1} })},
		{"from multicast", OutcomeSource, ping(t, func(p *parts) { p.ip.SrcIP = net.IP{224, 0, 0, 1} })},
		{"from broadcast", OutcomeSource, ping(t, func(p *parts) { p.ip.SrcIP = net.IPv4bcast })},
		{"UDP", packetin.OutcomeMalformed, ping(t, func(p *parts) { p.ip.Protocol = 17 })},
		{"not IP", packetin.OutcomeMalformed, ping(t, func(p *parts) { p.eth.EthernetType = 0x86dd })},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r packetin.Result
			err := Handle(view(packettest.New(), 1), packettest.Packet(c.frame), &r)
			if r.Outcome != c.outcome || (len(r.Out) == 1) != (c.outcome == OutcomeReply) {
				t.Fatalf("outcome %s, %d out, %v", r.Outcome, len(r.Out), err)
			}
			if len(r.Out) == 0 {
				return
			}
			req, p := packettest.Check(t, c.frame), packettest.Check(t, r.Out[0].Data)
			qip, eth, ip, m := req.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if !bytes.Equal(eth.DstMAC, vm) || !bytes.Equal(eth.SrcMAC, server) || !ip.SrcIP.Equal(qip.DstIP) || !ip.DstIP.Equal(qip.SrcIP) ||
				ip.TTL != 64 || ip.TOS != qip.TOS || ip.Id != qip.Id || m.TypeCode != 0 || m.Id != 7 || m.Seq != 3 || r.Out[0].Port != packettest.InPort ||
				!bytes.Equal(m.Payload, req.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4).Payload) {
				t.Errorf("reply %+v %+v", ip, m)
			}
		})
	}
	v, good := view(packettest.New(), 1), ping(t, nil)
	for n := range good {
		var r packetin.Result
		p := packettest.Packet(good[:n])
		if err := Handle(v, p, &r); err == nil || r.Outcome != packetin.OutcomeMalformed {
			t.Fatalf("cut to %d bytes: %s, %v", n, r.Outcome, err)
		}
	}
}

// udp is a packet on its way through a router, edited.
func udp(tb testing.TB, size int, edit func(*layers.Ethernet, *layers.IPv4)) []byte {
	eth := &layers.Ethernet{SrcMAC: vm, DstMAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 9}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 1, TOS: 0x08, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 5}, DstIP: net.IP{8, 8, 8, 8}}
	if edit != nil {
		edit(eth, ip)
	}
	u := &layers.UDP{SrcPort: 33434, DstPort: 33435}
	_ = u.SetNetworkLayerForChecksum(ip)
	return packettest.Serialize(tb, eth, ip, u, gopacket.Payload(bytes.Repeat([]byte{0xaa}, size)))
}

var router = Interface{MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 9}, Addr: netip.MustParsePrefix("10.0.0.1/24")}

func TestErrors(t *testing.T) {
	for _, e := range []Error{TTLExceeded, NetUnreachable, HostUnreachable, ProtocolUnreachable, PortUnreachable, AdminProhibited, NeedsFragmentation(1400)} {
		for _, size := range []int{0, 1, 100, 520, 1400} {
			orig := udp(t, size, nil)
			b, err := AppendError([]byte("before"), router, orig, e)
			if err != nil {
				t.Fatal(err)
			}
			p := packettest.Check(t, b[len("before"):])
			eth, ip, m := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if !bytes.Equal(eth.DstMAC, vm) || !bytes.Equal(eth.SrcMAC, router.MAC[:]) || !ip.SrcIP.Equal(net.IP{10, 0, 0, 1}) || !ip.DstIP.Equal(net.IP{10, 0, 0, 5}) ||
				ip.TTL != 64 || ip.TOS != 0xc8 || m.TypeCode != layers.CreateICMPv4TypeCode(e.Type, e.Code) {
				t.Errorf("%+v: %+v %+v", e, ip, m)
			}
			if got := binary.BigEndian.Uint32(b[len(b)-len(m.Payload)-4:]); got != uint32(e.MTU) {
				t.Errorf("%+v: word behind the checksum is %x", e, got)
			}
			want := slices.Clone(orig[14 : 14+int(binary.BigEndian.Uint16(orig[16:]))])
			if want = want[:min(len(want), 576-28)]; !bytes.Equal(m.Payload, want) || int(ip.Length) != 28+len(want) {
				t.Errorf("%+v, %d bytes: quotes %d", e, size, len(m.Payload))
			}
		}
	}
}

// TestNoErrors checks RFC 1812 4.3.2.7.
func TestNoErrors(t *testing.T) {
	type L = layers.IPv4
	for name, orig := range map[string][]byte{
		"L2 broadcast":       udp(t, 9, func(e *layers.Ethernet, _ *L) { e.DstMAC = frame.Broadcast[:] }),
		"L2 multicast":       udp(t, 9, func(e *layers.Ethernet, _ *L) { e.DstMAC = net.HardwareAddr{1, 0, 0x5e, 0, 0, 1} }),
		"limited broadcast":  udp(t, 9, func(_ *layers.Ethernet, i *L) { i.DstIP = net.IPv4bcast }),
		"directed broadcast": udp(t, 9, func(_ *layers.Ethernet, i *L) { i.DstIP = net.IP{10, 0, 0, 255} }),
		"old broadcast":      udp(t, 9, func(_ *layers.Ethernet, i *L) { i.DstIP = net.IP{10, 0, 0, 0} }),
		"multicast":          udp(t, 9, func(_ *layers.Ethernet, i *L) { i.DstIP = net.IP{224, 0, 0, 5} }),
		"no source":          udp(t, 9, func(_ *layers.Ethernet, i *L) { i.SrcIP = net.IPv4zero }),
		"loopback source":    udp(t, 9, func(_ *layers.Ethernet, i *L) { i.SrcIP = net.IP{127, 0, 0, 1} }),
		"multicast source":   udp(t, 9, func(_ *layers.Ethernet, i *L) { i.SrcIP = net.IP{224, 0, 0, 5} }),
		"broadcast source":   udp(t, 9, func(_ *layers.Ethernet, i *L) { i.SrcIP = net.IP{10, 0, 0, 255} }),
		"later fragment":     udp(t, 9, func(_ *layers.Ethernet, i *L) { i.FragOffset = 3 }),
		"IP checksum":        flip(udp(t, 9, nil), 22),
		"not IP":             udp(t, 9, func(e *layers.Ethernet, _ *L) { e.EthernetType = 0x86dd }),
		"unreachable":        ping(t, func(p *parts) { p.icmp.TypeCode = layers.CreateICMPv4TypeCode(3, 1) }),
		"time exceeded":      ping(t, func(p *parts) { p.icmp.TypeCode = layers.CreateICMPv4TypeCode(11, 0) }),
		"redirect":           ping(t, func(p *parts) { p.icmp.TypeCode = layers.CreateICMPv4TypeCode(5, 0) }),
		"cut":                udp(t, 9, nil)[:30],
		"nothing":            nil,
	} {
		if b, err := AppendError(nil, router, orig, TTLExceeded); !errors.Is(err, ErrMustNotReport) || len(b) != 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	for name, orig := range map[string][]byte{
		"ping":           ping(t, nil),
		"first fragment": udp(t, 9, func(_ *layers.Ethernet, i *L) { i.Flags = layers.IPv4MoreFragments }),
		"options":        udp(t, 9, func(_ *layers.Ethernet, i *L) { i.Options = []layers.IPv4Option{{OptionType: 1}} }),
		"sent in part":   udp(t, 900, nil)[:128],
	} {
		b, err := AppendError(nil, router, orig, TTLExceeded)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		packettest.Check(t, b)
	}
	b, err := AppendError(nil, router, udp(t, 900, func(_ *layers.Ethernet, i *L) { i.Flags = layers.IPv4MoreFragments }), Error{Type: 3, Code: 4, MTU: 1400, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	packettest.Check(t, b)
	if quoted := b[14+20+8:]; quoted[6] != 0 || frame.Checksum(quoted[:20], 0) != 0 {
		t.Errorf("a fragment quoted as a whole: %x", quoted[:20])
	}
	if _, err := AppendError(nil, Interface{}, udp(t, 9, nil), TTLExceeded); err == nil {
		t.Error("an interface without an address sends errors")
	}
}

func TestBroadcast(t *testing.T) {
	for p, want := range map[string]string{"10.0.0.1/24": "10.0.0.255", "10.1.2.3/12": "10.15.255.255", "1.2.3.4/0": "255.255.255.255", "1.2.3.4/32": "1.2.3.4", "1.2.3.4/30": "1.2.3.7"} {
		if got := Broadcast(netip.MustParsePrefix(p)); got.String() != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

func FuzzHandle(f *testing.F) {
	f.Add(ping(f, nil))
	f.Add(ping(f, func(p *parts) { p.ip.Flags = layers.IPv4MoreFragments }))
	f.Add(udp(f, 100, nil))
	v := view(packettest.New(), 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r packetin.Result
		_ = Handle(v, packettest.Packet(b), &r)
		if !slices.Contains(Outcomes(), r.Outcome) {
			t.Fatalf("outcome %q", r.Outcome)
		}
		if out, err := AppendError(nil, router, b, TTLExceeded); err == nil {
			r.Send(1, out)
		} else if len(out) != 0 || !errors.Is(err, ErrMustNotReport) {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		for _, o := range r.Out {
			var eth frame.Ethernet
			var ip frame.IPv4
			if err := errors.Join(eth.Decode(o.Data), ip.Decode(eth.Payload)); err != nil || !ip.ChecksumOK() || frame.Checksum(ip.Payload, 0) != 0 {
				t.Fatalf("sends %x: %v", o.Data, err)
			}
		}
	})
}

func BenchmarkEcho(b *testing.B) {
	v, p := view(packettest.New(), 1), packettest.Packet(ping(b, nil))
	var r packetin.Result
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if Handle(v, p, &r); len(r.Out) != 1 {
			b.Fatal(r.Outcome)
		}
	}
}
