package dhcp

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/packettest"
	"github.com/penstock/penstock/store/snapshot"
)

var (
	anyIP  = net.IPv4zero
	ones   = net.IPv4bcast
	srvIP  = net.IP{10, 0, 0, 2}
	vmIP   = net.IP{10, 0, 0, 5}
	vmMAC  = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, packettest.VMKey}
	srvMAC = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 10}
)

// view is a world as a view of a revision.
func view(w *packettest.World, revision int64) model.View {
	return model.NewView(snapshot.Empty().Apply(revision, w.Changes()))
}

// wrap puts a client's message into a frame.
func wrap(tb testing.TB, m []byte, src, dst net.IP) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
	udp := &layers.UDP{SrcPort: 68, DstPort: 67}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		tb.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: vmMAC, DstMAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeIPv4}
	return packettest.Serialize(tb, eth, ip, udp, payload(m))
}

// message builds a client's message.
func message(tb testing.TB, t dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(vmMAC), dhcpv4.WithMessageType(t),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})}, mods...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// answer is a reply taken apart.
type answer struct {
	*dhcpv4.DHCPv4
	raw            []byte // the DHCP message
	dstMAC, srcMAC net.HardwareAddr
	src, dst       net.IP
}

// ask runs the handler on a frame and checks what every reply must be.
func ask(tb testing.TB, h packetin.Handler, v model.View, data []byte) (outcome string, a *answer, err error) {
	tb.Helper()
	var r packetin.Result
	err = h(v, packettest.Packet(data), &r)
	if !slices.Contains(Outcomes(), r.Outcome) {
		tb.Fatalf("outcome %q is not in the list", r.Outcome)
	}
	if len(r.Out) == 0 {
		return r.Outcome, nil, err
	}
	if len(r.Out) != 1 || r.Out[0].Port != packettest.InPort || err != nil {
		tb.Fatalf("%d packets out, to %d, error %v", len(r.Out), r.Out[0].Port, err)
	}
	return r.Outcome, open(tb, r.Out[0].Data), nil
}

func open(tb testing.TB, data []byte) *answer {
	tb.Helper()
	p := packettest.Check(tb, data)
	eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	m, err := dhcpv4.FromBytes(udp.Payload)
	if err != nil {
		tb.Fatalf("reply does not parse: %v\n%x", err, udp.Payload)
	}
	if udp.SrcPort != 67 || udp.DstPort != 68 || m.OpCode != dhcpv4.OpcodeBootReply || len(udp.Payload) < 300 || udp.Checksum == 0 {
		tb.Fatalf("reply from port %d to %d, op %v, %d bytes, checksum %x", udp.SrcPort, udp.DstPort, m.OpCode, len(udp.Payload), udp.Checksum)
	}
	return &answer{m, udp.Payload, eth.DstMAC, eth.SrcMAC, ip.SrcIP, ip.DstIP}
}

func code(c uint8) dhcpv4.OptionCode { return dhcpv4.GenericOptionCode(c) }
func generic(c uint8, v ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(code(c), v)
}
func addrOpt(c uint8, ip net.IP) dhcpv4.Modifier { return generic(c, ip.To4()...) }

// TestStates goes through RFC 2131's messages and client states: what is answered, with what, to whom.
func TestStates(t *testing.T) {
	other, foreign := net.IP{10, 0, 0, 99}, net.IP{192, 168, 1, 4}
	for _, c := range []struct {
		name     string
		typ      dhcpv4.MessageType
		mods     []dhcpv4.Modifier
		src, dst net.IP
		outcome  string
		to       net.IP // nil: no answer
	}{
		{"discover", dhcpv4.MessageTypeDiscover, nil, anyIP, ones, "offer", vmIP},
		{"discover, broadcast wanted", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithBroadcast(true)}, anyIP, ones, "offer", ones},
		{"discover, other address wished", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{addrOpt(50, other)}, anyIP, ones, "offer", vmIP},
		{"selecting", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, vmIP), addrOpt(54, srvIP)}, anyIP, ones, "ack", vmIP},
		{"selecting, broadcast wanted", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, vmIP), addrOpt(54, srvIP), dhcpv4.WithBroadcast(true)}, anyIP, ones, "ack", ones},
		{"selecting another server", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, vmIP), addrOpt(54, other)}, anyIP, ones, OutcomeOtherServer, nil},
		{"selecting another address", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, other), addrOpt(54, srvIP)}, anyIP, ones, "nak", ones},
		{"init-reboot", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, vmIP)}, anyIP, ones, "ack", vmIP},
		{"init-reboot, moved here", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{addrOpt(50, foreign)}, anyIP, ones, "nak", ones},
		{"renewing", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP)}, vmIP, srvIP, "ack", vmIP},
		{"renewing, broadcast flag is moot", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP), dhcpv4.WithBroadcast(true)}, vmIP, srvIP, "ack", vmIP},
		{"renewing at another server", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP)}, vmIP, other, OutcomeOtherServer, nil},
		{"renewing another address", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(other)}, other, srvIP, "nak", ones},
		{"rebinding", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP)}, vmIP, ones, "ack", vmIP},
		{"rebinding by the subnet's broadcast", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP)}, vmIP, net.IP{10, 0, 0, 255}, "ack", vmIP},
		{"rebinding another address", dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(other)}, other, ones, "nak", ones},
		{"request for nothing", dhcpv4.MessageTypeRequest, nil, anyIP, ones, packetin.OutcomeMalformed, nil},
		{"inform", dhcpv4.MessageTypeInform, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP)}, vmIP, ones, "ack-inform", vmIP},
		{"inform without ciaddr", dhcpv4.MessageTypeInform, nil, vmIP, ones, "ack-inform", vmIP},
		{"inform of an address of its own", dhcpv4.MessageTypeInform, []dhcpv4.Modifier{dhcpv4.WithClientIP(other)}, other, srvIP, "ack-inform", other},
		{"decline", dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{addrOpt(50, vmIP), addrOpt(54, srvIP)}, anyIP, ones, "decline", nil},
		{"decline of another's", dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{addrOpt(50, other), addrOpt(54, srvIP)}, anyIP, ones, packetin.OutcomeMalformed, nil},
		{"decline to another server", dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{addrOpt(50, vmIP), addrOpt(54, other)}, anyIP, ones, OutcomeOtherServer, nil},
		{"release", dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{dhcpv4.WithClientIP(vmIP), addrOpt(54, srvIP)}, vmIP, srvIP, "release", nil},
		{"relayed", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithGatewayIP(other)}, other, srvIP, OutcomeRelay, nil},
		{"relay agent's option without relay", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{generic(82, 1, 1, 7)}, anyIP, ones, "offer", vmIP},
		{"offer from a rogue", dhcpv4.MessageTypeOffer, nil, anyIP, ones, OutcomeNotRequest, nil},
		{"unknown type", 77, nil, anyIP, ones, packetin.OutcomeMalformed, nil},
		{"other MAC", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1})}, anyIP, ones, OutcomeMAC, nil},
		{"not Ethernet", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithHWType(32)}, anyIP, ones, OutcomeMAC, nil},
		{"BOOTP", dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithoutOption(code(53))}, anyIP, ones, OutcomeBOOTP, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, v := New(Config{DNSDomain: "openstacklocal."}), view(packettest.New(), 1)
			id := []byte{0, 'i', 'd'}
			m := message(t, c.typ, append([]dhcpv4.Modifier{generic(61, id...)}, c.mods...)...)
			outcome, a, err := ask(t, h, v, wrap(t, m.ToBytes(), c.src, c.dst))
			if outcome != c.outcome || (a != nil) != (c.to != nil) {
				t.Fatalf("outcome %s (%v), answer %v", outcome, err, a)
			}
			if a == nil {
				return
			}
			if a.TransactionID != m.TransactionID || !bytes.Equal(a.ClientHWAddr, vmMAC) || a.Flags != m.Flags ||
				!a.ServerIdentifier().Equal(srvIP) || !bytes.Equal(a.Options.Get(code(61)), id) || !a.src.Equal(srvIP) || !bytes.Equal(a.srcMAC, srvMAC) {
				t.Errorf("not this server's reply to this client: %s", a.Summary())
			}
			if !a.dst.Equal(c.to) {
				t.Errorf("sent to %s, want %s", a.dst, c.to)
			}
			if mac := slices.Equal(a.dstMAC, vmMAC); mac == c.to.Equal(ones) {
				t.Errorf("sent to %s at %s", a.dst, a.dstMAC)
			}
			want := map[string]dhcpv4.MessageType{"offer": 2, "ack": 5, "ack-inform": 5, "nak": 6}[outcome]
			given := outcome == "offer" || outcome == "ack"
			if a.MessageType() != want || a.YourIPAddr.Equal(vmIP) != given || !given && !a.YourIPAddr.Equal(anyIP) || given != a.Options.Has(code(51)) {
				t.Errorf("type %s, yiaddr %s, lease time there: %v", a.MessageType(), a.YourIPAddr, a.Options.Has(code(51)))
			}
			if outcome == "nak" && (a.Options.Has(code(1)) || len(a.Options) != 4) {
				t.Errorf("nak with more than RFC 2131 table 3 allows: %s", a.Summary())
			}
		})
	}
}

// TestOptions checks the options of a plain subnet and in which order and company they go out.
func TestOptions(t *testing.T) {
	w := packettest.New()
	h := New(Config{DNSDomain: "openstacklocal"})
	v := view(w, 1)
	_, a, _ := ask(t, h, v, wrap(t, message(t, 1).ToBytes(), anyIP, ones))
	if a.LeaseTime() != 86400*time.Second || a.IPAddressRenewalTime(0) != 43200*time.Second || a.IPAddressRebindingTime(0) != 75600*time.Second {
		t.Errorf("times %s", a.Summary())
	}
	if a.SubnetMask().String() != "ffffff00" || a.Router()[0].String() != "10.0.0.1" || len(a.DNS()) != 2 || a.DNS()[1].String() != "9.9.9.9" ||
		a.DomainName() != "openstacklocal" || a.HostName() != "host-10-0-0-5" || !a.BroadcastAddress().Equal(net.IP{10, 0, 0, 255}) {
		t.Errorf("options %s", a.Summary())
	}
	if mtu := a.Options.Get(code(26)); binary.BigEndian.Uint16(mtu) != 1450 {
		t.Errorf("mtu %x", mtu)
	}
	if a.Options.Has(code(121)) || a.Options.Has(code(249)) {
		t.Error("routes where there are none")
	}

	// A client with a list gets it in its order, behind times and mask, and after that what always goes.
	m := message(t, 1, generic(55, 15, 3, 1, 12, 121, 252))
	_, a, _ = ask(t, h, v, wrap(t, m.ToBytes(), anyIP, ones))
	if got, want := codes(a.raw), []uint8{53, 54, 51, 1, 15, 3, 12, 26, 58, 59}; !bytes.Equal(got, want) {
		t.Errorf("options %v, want %v", got, want)
	}
	// The list may come in pieces (RFC 3396).
	parts := slices.Concat(message(t, 1).ToBytes()[:240], []byte{53, 1, 1, 55, 2, 15, 3, 55, 1, 12, 255})
	if _, a, _ = ask(t, h, v, wrap(t, parts, anyIP, ones)); !bytes.Equal(codes(a.raw), []uint8{53, 54, 51, 1, 15, 3, 12, 26, 58, 59}) {
		t.Errorf("list in pieces: options %v", codes(a.raw))
	}
}

// codes lists the option codes of a message in order.
func codes(m []byte) (out []uint8) {
	for b := m[240:]; len(b) > 1 && b[0] != 255; b = b[2+int(b[1]):] {
		out = append(out, b[0])
	}
	return out
}

// TestIntent checks what different intents make of the same question.
func TestIntent(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	second := &model.Subnet{Meta: model.Meta{ID: "s2", Key: 3}, NetworkID: "n1", CIDR: prefix("10.0.1.0/25"), EnableDHCP: true}
	six := &model.Subnet{Meta: model.Meta{ID: "s6", Key: 4}, NetworkID: "n1", CIDR: prefix("fd00::/64"), EnableDHCP: true}
	put := func(w *packettest.World, o *model.Subnet) {
		w.More = append(w.More, model.Change{Table: model.Subnets, New: o})
	}
	for _, c := range []struct {
		name    string
		edit    func(w *packettest.World)
		outcome string
		check   func(a *answer) bool
	}{
		{"no gateway", func(w *packettest.World) { w.Subnet.GatewayIP = netip.Addr{} }, "offer", func(a *answer) bool { return a.Router() == nil }},
		{"gateway as a host route", func(w *packettest.World) {
			w.Subnet.GatewayIP = netip.Addr{}
			w.Subnet.HostRoutes = []model.Route{{Destination: prefix("0.0.0.0/0"), NextHop: addr("10.0.0.9")}}
		}, "offer", func(a *answer) bool { return a.Router()[0].Equal(net.IP{10, 0, 0, 9}) && !a.Options.Has(code(121)) }},
		{"host routes bring the default route", func(w *packettest.World) {
			w.Subnet.HostRoutes = []model.Route{{Destination: prefix("10.9.0.0/16"), NextHop: addr("10.0.0.9")},
				{Destination: prefix("10.8.0.0/15"), NextHop: addr("10.0.0.5")}} // a route over itself
		}, "offer", func(a *answer) bool {
			return routes(a) == "10.9.0.0/16>10.0.0.9 0.0.0.0/0>10.0.0.1 " && a.Router() != nil && !a.Options.Has(code(249))
		}},
		{"other subnets are on the link", func(w *packettest.World) { put(w, second); put(w, six) }, "offer", func(a *answer) bool {
			return routes(a) == "10.0.1.0/25>0.0.0.0 0.0.0.0/0>10.0.0.1 "
		}},
		{"no nameservers", func(w *packettest.World) { w.Subnet.DNSNameservers = nil }, "offer", func(a *answer) bool { return a.DNS() == nil }},
		{"nameserver 0.0.0.0 means none", func(w *packettest.World) { w.Subnet.DNSNameservers = []netip.Addr{addr("0.0.0.0")} }, "offer", func(a *answer) bool { return a.DNS() == nil }},
		{"domain and name", func(w *packettest.World) { w.Network.DNSDomain, w.VM.DNSName = "example.org.", "web1" }, "offer",
			func(a *answer) bool { return a.DomainName() == "example.org" && a.HostName() == "web1" }},
		{"full name", func(w *packettest.World) { w.Network.DNSDomain, w.VM.DNSName = "example.org.", "web1.example.org." }, "offer",
			func(a *answer) bool { return a.HostName() == "web1" }},
		{"DHCP off", func(w *packettest.World) { w.Subnet.EnableDHCP = false }, OutcomeNoAddress, nil},
		{"no address", func(w *packettest.World) { w.VM.FixedIPs = nil }, OutcomeNoAddress, nil},
		{"no DHCP port", func(w *packettest.World) { w.DHCP = nil }, OutcomeNoServer, nil},
		{"DHCP port in another subnet", func(w *packettest.World) { w.DHCP.FixedIPs[0].SubnetID = "s9" }, OutcomeNoServer, nil},
		{"port gone", func(w *packettest.World) { w.VM.Key = 77 }, packetin.OutcomeUnknownPort, nil},
		{"IPv6 and a subnet without DHCP first", func(w *packettest.World) {
			put(w, six)
			off := *second
			off.EnableDHCP = false
			put(w, &off)
			w.VM.FixedIPs = append([]model.FixedIP{{SubnetID: "s6", Address: addr("fd00::5")}, {SubnetID: "s2", Address: addr("10.0.1.5")}}, w.VM.FixedIPs...)
		}, "offer", func(a *answer) bool { return a.YourIPAddr.Equal(vmIP) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := packettest.New()
			c.edit(w)
			outcome, a, err := ask(t, New(Config{}), view(w, 1), wrap(t, message(t, 1).ToBytes(), anyIP, ones))
			if outcome != c.outcome || (c.check != nil) != (a != nil) {
				t.Fatalf("outcome %s, %v, answer %v", outcome, err, a)
			}
			if a != nil && !c.check(a) {
				t.Errorf("%s", a.Summary())
			}
		})
	}
}

func routes(a *answer) string {
	var s strings.Builder
	for _, r := range a.ClasslessStaticRoute() {
		s.WriteString(r.Dest.String() + ">" + r.Router.String() + " ")
	}
	return s.String()
}

// TestTwoAddresses checks that a port with addresses in two subnets keeps the one that it has.
func TestTwoAddresses(t *testing.T) {
	w := packettest.New()
	w.More = []model.Change{{Table: model.Subnets, New: &model.Subnet{Meta: model.Meta{ID: "s2", Key: 3}, NetworkID: "n1", CIDR: netip.MustParsePrefix("10.0.1.0/24"), EnableDHCP: true}}}
	w.VM.FixedIPs = append(w.VM.FixedIPs, model.FixedIP{SubnetID: "s2", Address: netip.MustParseAddr("10.0.1.5")})
	w.DHCP.FixedIPs = append(w.DHCP.FixedIPs, model.FixedIP{SubnetID: "s2", Address: netip.MustParseAddr("10.0.1.2")})
	h, v, ip2, srv2 := New(Config{}), view(w, 1), net.IP{10, 0, 1, 5}, net.IP{10, 0, 1, 2}
	for _, c := range []struct {
		m         *dhcpv4.DHCPv4
		addr, srv net.IP
	}{
		{message(t, 1), vmIP, srvIP},
		{message(t, 1, addrOpt(50, ip2)), ip2, srv2},
		{message(t, 3, addrOpt(50, ip2), addrOpt(54, srv2)), ip2, srv2},
		{message(t, 3, dhcpv4.WithClientIP(ip2)), ip2, srv2},
	} {
		_, a, err := ask(t, h, v, wrap(t, c.m.ToBytes(), anyIP, ones))
		if err != nil || !a.YourIPAddr.Equal(c.addr) || !a.ServerIdentifier().Equal(c.srv) || !a.src.Equal(c.srv) {
			t.Errorf("%v: %v", err, a)
		}
	}
}

// TestCacheFollowsIntent checks that a change of any object that a reply is made of shows in the next reply.
func TestCacheFollowsIntent(t *testing.T) {
	w, h := packettest.New(), New(Config{})
	get := func(v model.View) (string, *answer) {
		o, a, _ := ask(t, h, v, wrap(t, message(t, 1).ToBytes(), anyIP, ones))
		return o, a
	}
	v1 := view(w, 1)
	get(v1)
	n := *w.Network
	n.MTU = 1300
	w.Network = &n
	if _, a := get(view(w, 2)); binary.BigEndian.Uint16(a.Options.Get(code(26))) != 1300 {
		t.Error("the network's MTU is stale")
	}
	s := *w.Subnet
	s.GatewayIP = netip.MustParseAddr("10.0.0.254")
	w.Subnet = &s
	if _, a := get(view(w, 3)); a.Router()[0].String() != "10.0.0.254" {
		t.Error("the subnet's gateway is stale")
	}
	d := *w.DHCP
	d.FixedIPs = []model.FixedIP{{SubnetID: "s1", Address: netip.MustParseAddr("10.0.0.3")}}
	w.DHCP = &d
	if _, a := get(view(w, 4)); a.ServerIdentifier().String() != "10.0.0.3" {
		t.Error("the server's address is stale")
	}
	p := *w.VM
	p.FixedIPs = []model.FixedIP{{SubnetID: "s1", Address: netip.MustParseAddr("10.0.0.50")}}
	w.VM = &p
	v5 := view(w, 5)
	if _, a := get(v5); a.YourIPAddr.String() != "10.0.0.50" {
		t.Error("the port's address is stale")
	}
	if _, a := get(v1); !a.YourIPAddr.Equal(vmIP) {
		t.Error("an older view gives a newer answer")
	}
	w.VM = nil
	if o, _ := get(view(w, 6)); o != packetin.OutcomeUnknownPort {
		t.Errorf("a deleted port: %s", o)
	}
}

// TestDeclineIsReported checks the fact and that the address stays the port's.
func TestDeclineIsReported(t *testing.T) {
	h, v := New(Config{}), view(packettest.New(), 1)
	var r packetin.Result
	data := wrap(t, message(t, 4, addrOpt(50, vmIP), addrOpt(54, srvIP)).ToBytes(), anyIP, ones)
	if err := h(v, packettest.Packet(data), &r); err != nil {
		t.Fatal(err)
	}
	want := packetin.Fact{Kind: packetin.FactDeclined, Port: "vm", Addr: netip.MustParseAddr("10.0.0.5"), MAC: model.MAC(vmMAC)}
	if len(r.Facts) != 1 || r.Facts[0] != want {
		t.Errorf("facts %+v", r.Facts)
	}
}

// TestVLAN checks that a tagged request gets a reply with the same tags.
func TestVLAN(t *testing.T) {
	data := wrap(t, message(t, 1).ToBytes(), anyIP, ones)
	tagged := slices.Concat(data[:12], []byte{0x81, 0, 0x20, 7}, data[12:])
	_, a, err := ask(t, New(Config{}), view(packettest.New(), 1), tagged)
	if err != nil || a.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatal(err)
	}
	var r packetin.Result
	if err := New(Config{})(view(packettest.New(), 1), packettest.Packet(tagged), &r); err != nil {
		t.Fatal(err)
	}
	var eth frame.Ethernet
	if err := eth.Decode(r.Out[0].Data); err != nil || !bytes.Equal(eth.Tags, []byte{0x81, 0, 0x20, 7}) {
		t.Errorf("tags %x, %v", eth.Tags, err)
	}
}

// TestMalformed cuts and damages a good request at every place.
func TestMalformed(t *testing.T) {
	h, v := New(Config{}), view(packettest.New(), 1)
	good := wrap(t, message(t, 1, generic(55, 1, 3, 6)).ToBytes(), anyIP, ones)
	for n := range good {
		var r packetin.Result
		p := packettest.Packet(good[:n])
		if err := h(v, p, &r); err == nil || r.Outcome != packetin.OutcomeMalformed || len(r.Out) != 0 {
			t.Fatalf("cut to %d bytes: %s, %v", n, r.Outcome, err)
		}
		r.Reset()
		p.FullLen = len(good)
		if err := h(v, p, &r); err == nil || r.Outcome != packetin.OutcomeTruncated {
			t.Fatalf("sent %d bytes of %d: %s, %v", n, len(good), r.Outcome, err)
		}
	}
	for name, m := range map[string][]byte{
		"cookie":          edit(message(t, 1).ToBytes(), 236, 0x64),
		"message type":    withOptions(t, 53, 2, 1, 1),
		"server id":       withOptions(t, 53, 1, 3, 54, 3, 1, 2, 3),
		"requested":       withOptions(t, 53, 1, 3, 50, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
		"overload":        withOptions(t, 53, 1, 1, 52, 1, 4),
		"option too long": withOptions(t, 53, 1, 1, 55, 200, 1),
		"long client id":  withOptions(t, slices.Concat([]byte{53, 1, 1, 61, 200}, make([]byte, 200), []byte{61, 200}, make([]byte, 200))...),
	} {
		if o, _, err := ask(t, h, v, wrap(t, m, anyIP, ones)); o != packetin.OutcomeMalformed || err == nil {
			t.Errorf("%s: %s, %v", name, o, err)
		}
	}
}

func edit(b []byte, at int, x byte) []byte { b[at] = x; return b }

// withOptions is a client's message with these bytes as its options.
func withOptions(tb testing.TB, o ...byte) []byte {
	return slices.Concat(message(tb, 1).ToBytes()[:240], o)
}

// TestRequestOverload checks options that the client put into file and sname.
func TestRequestOverload(t *testing.T) {
	m := withOptions(t, 52, 1, 3, 255)
	copy(m[108:], []byte{53, 1, 3, 50, 4, 10, 0, 0, 5, 255})
	copy(m[44:], []byte{54, 4, 10, 0, 0, 2, 255})
	if o, _, err := ask(t, New(Config{}), view(packettest.New(), 1), wrap(t, m, anyIP, ones)); o != OutcomeAck {
		t.Errorf("%s, %v", o, err)
	}
}

// TestConcurrent lets many ask at once while the view moves on, for the race detector and for mixed-up replies.
func TestConcurrent(t *testing.T) {
	h := New(Config{})
	data := wrap(t, message(t, 1).ToBytes(), anyIP, ones)
	var views []model.View
	for i := range 4 {
		w := packettest.New()
		w.VM.FixedIPs[0].Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(50 + i)})
		views = append(views, view(w, int64(i)))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var r packetin.Result
			for i := range 400 {
				r.Reset()
				if err := h(views[i%4], packettest.Packet(data), &r); err != nil || r.Outcome != OutcomeOffer {
					t.Errorf("%s, %v", r.Outcome, err)
					return
				}
				if got := r.Out[0].Data[14+20+8+19]; got != byte(50+i%4) {
					t.Errorf("view %d gives address %d", i%4, got)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestCacheIsBounded checks the number of plans kept.
func TestCacheIsBounded(t *testing.T) {
	w := packettest.New()
	s := &server{plans: make(map[uint32]*cached)}
	for i := range uint32(maxPlans) {
		s.plans[1000+i] = &cached{plan: &plan{}}
	}
	if s.plan(view(w, 1), packettest.VMKey) == nil || len(s.plans) != maxPlans {
		t.Errorf("%d plans", len(s.plans))
	}
}
