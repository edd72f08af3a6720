package arp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/packettest"
	"github.com/penstock/penstock/store/snapshot"
)

var vm = model.MAC{0xfa, 0x16, 0x3e, 0, 0, packettest.VMKey}

// view is a world as a view of a revision.
func view(w *packettest.World, revision int64) model.View {
	return model.NewView(snapshot.Empty().Apply(revision, w.Changes()))
}

// request is a frame with an ARP packet of the VM's.
func request(op uint16, sender, target string, edit func(*layers.Ethernet, *layers.ARP)) func(testing.TB) []byte {
	return func(tb testing.TB) []byte {
		eth := &layers.Ethernet{SrcMAC: vm[:], DstMAC: frame.Broadcast[:], EthernetType: layers.EthernetTypeARP}
		a := &layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
			SourceHwAddress: vm[:], SourceProtAddress: net.ParseIP(sender).To4(), DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(target).To4()}
		if edit != nil {
			edit(eth, a)
		}
		return packettest.Serialize(tb, eth, a)
	}
}

func TestHandle(t *testing.T) {
	const me, peer = "10.0.0.5", "10.0.0.6"
	for _, c := range []struct {
		name    string
		frame   func(testing.TB) []byte
		outcome string
		mac     byte // last of who has it
	}{
		{"peer", request(1, me, peer, nil), OutcomeReply, packettest.PeerKey},
		{"DHCP port", request(1, me, "10.0.0.2", nil), OutcomeReply, 10},
		{"router", request(1, me, "10.0.0.1", nil), OutcomeReply, 9},
		{"probe for another's address", request(1, "0.0.0.0", peer, nil), OutcomeReply, packettest.PeerKey},
		{"unicast, still there?", request(1, me, peer, func(e *layers.Ethernet, _ *layers.ARP) {
			e.DstMAC = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, packettest.PeerKey}
		}), OutcomeReply, packettest.PeerKey},
		{"probe for the own address", request(1, "0.0.0.0", me, nil), OutcomeOwn, 0},
		{"announcement", request(1, me, me, nil), OutcomeAnnouncement, 0},
		{"announcement of another's address", request(2, "10.0.0.1", "10.0.0.1", nil), OutcomeAnnouncement, 0},
		{"reply", request(2, me, peer, nil), OutcomeNotRequest, 0},
		{"nobody's address", request(1, me, "10.0.0.200", nil), OutcomeUnknown, 0},
		{"other network", request(1, me, "8.8.8.8", nil), OutcomeUnknown, 0},
		{"port on no host", request(1, me, "10.0.0.7", nil), OutcomeUnbound, 0},
		{"from a multicast address", request(1, me, peer, func(_ *layers.Ethernet, a *layers.ARP) { a.SourceHwAddress = []byte{1, 0, 0, 0, 0, 1} }), packetin.OutcomeMalformed, 0},
		{"of Token Ring", request(1, me, peer, func(_ *layers.Ethernet, a *layers.ARP) { a.AddrType = 6 }), packetin.OutcomeMalformed, 0},
		{"not ARP", request(1, me, peer, func(e *layers.Ethernet, _ *layers.ARP) { e.EthernetType = 0x86dd }), packetin.OutcomeMalformed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r packetin.Result
			data := c.frame(t)
			err := Handle(view(packettest.New(), 1), packettest.Packet(data), &r)
			if r.Outcome != c.outcome || (len(r.Out) == 1) != (c.mac != 0) || (err != nil) != (c.outcome == packetin.OutcomeMalformed) {
				t.Fatalf("outcome %s, %d out, %v", r.Outcome, len(r.Out), err)
			}
			if c.mac == 0 {
				return
			}
			var req Packet
			if err := req.Decode(data[14:]); err != nil {
				t.Fatal(err)
			}
			owner := []byte{0xfa, 0x16, 0x3e, 0, 0, c.mac}
			p := packettest.Check(t, r.Out[0].Data)
			eth, a := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), p.Layer(layers.LayerTypeARP).(*layers.ARP)
			if r.Out[0].Port != packettest.InPort || !bytes.Equal(eth.DstMAC, vm[:]) || !bytes.Equal(eth.SrcMAC, owner) || a.Operation != 2 ||
				!bytes.Equal(a.SourceHwAddress, owner) || !bytes.Equal(a.DstHwAddress, vm[:]) ||
				netip.AddrFrom4([4]byte(a.SourceProtAddress)) != req.TargetIP || netip.AddrFrom4([4]byte(a.DstProtAddress)) != req.SenderIP {
				t.Errorf("reply %+v", a)
			}
		})
	}
}

// TestCut cuts a request at every place; with tags the reply has them, too.
func TestCut(t *testing.T) {
	v := view(packettest.New(), 1)
	data := request(1, "10.0.0.5", "10.0.0.6", nil)(t)[:frame.EthernetLen+Len]
	for n := range data {
		var r packetin.Result
		if err := Handle(v, packettest.Packet(data[:n]), &r); err == nil || r.Outcome != packetin.OutcomeMalformed {
			t.Fatalf("cut to %d bytes: %s, %v", n, r.Outcome, err)
		}
	}
	var r packetin.Result
	p := packettest.Packet(data[:40])
	if p.FullLen = 60; Handle(v, p, &r) == nil || r.Outcome != packetin.OutcomeTruncated {
		t.Errorf("sent in part: %s", r.Outcome)
	}
	w := packettest.New()
	w.Idle.DeviceOwner = model.OwnerFloatingIP
	r.Reset()
	if err := Handle(view(w, 1), packettest.Packet(request(1, "10.0.0.5", "10.0.0.7", nil)(t)), &r); err != nil || r.Outcome != OutcomeUnbound {
		t.Errorf("floating IP: %s, %v", r.Outcome, err)
	}
	r.Reset()
	tag := []byte{0x81, 0, 0, 9}
	if err := Handle(v, packettest.Packet(slices.Concat(data[:12], tag, data[12:])), &r); err != nil || !bytes.Equal(r.Out[0].Data[12:16], tag) {
		t.Errorf("tagged: %v, %s", err, r.Outcome)
	}
	p = packettest.Packet(data)
	if p.PortKey = 999; Handle(v, p, &r) == nil || r.Outcome != packetin.OutcomeUnknownPort {
		t.Errorf("unknown port: %s", r.Outcome)
	}
	var a Packet
	bad := slices.Clone(data[14:])
	if bad[4] = 230; !errors.Is(a.Decode(bad), frame.ErrUnsupported) {
		t.Error("hardware length 230 is accepted")
	}
}

func FuzzHandle(f *testing.F) {
	f.Add(request(1, "10.0.0.5", "10.0.0.6", nil)(f))
	f.Add(request(2, "10.0.0.5", "10.0.0.6", nil)(f))
	v := view(packettest.New(), 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r packetin.Result
		_ = Handle(v, packettest.Packet(b), &r)
		if !slices.Contains(Outcomes(), r.Outcome) {
			t.Fatalf("outcome %q", r.Outcome)
		}
		for _, o := range r.Out {
			packettest.Check(t, o.Data)
		}
		var a, back Packet
		if a.Decode(b) == nil {
			if err := back.Decode(a.Append(nil)); err != nil || back != a {
				t.Fatalf("%+v became %+v, %v", a, back, err)
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	v, p := view(packettest.New(), 1), packettest.Packet(request(1, "10.0.0.5", "10.0.0.6", nil)(b))
	var r packetin.Result
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if Handle(v, p, &r); len(r.Out) != 1 {
			b.Fatal(r.Outcome)
		}
	}
}

// TestAnnounced: what is announced is said, not believed.
func TestAnnounced(t *testing.T) {
	v := model.NewView(snapshot.Empty().Apply(1, packettest.New().Changes()))
	var r packetin.Result
	if err := Handle(v, packettest.Packet(request(1, "10.0.0.50", "10.0.0.50", nil)(t)), &r); err != nil || r.Outcome != OutcomeAnnouncement || len(r.Out) > 0 || len(r.Facts) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if want := (packetin.Fact{Kind: packetin.FactAnnounced, Net: 1, Addr: netip.MustParseAddr("10.0.0.50"), MAC: vm}); r.Facts[0] != want {
		t.Errorf("%+v", r.Facts[0])
	}
}
