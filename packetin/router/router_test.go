package router

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/packettest"
	"github.com/penstock/penstock/store/snapshot"
)

var (
	vmMAC = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, packettest.VMKey}
	rMAC  = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 9}
)

const gwKey = 20

// view is the world with a router r: 10.0.0.1 inside, 203.0.113.10 outside, a route for 192.168.0.0/16 by the peer.
func view() model.View {
	w := packettest.New()
	w.Router.DeviceID = "r"
	w.More = []model.Change{
		{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "ext", Key: 3}, External: true,
			Segments: []model.Segment{{Type: model.NetworkFlat, PhysicalNetwork: "x"}}}},
		{Table: model.Hosts, New: &model.Host{Meta: model.Meta{ID: "h1", Key: 7}, BridgeMappings: map[string]string{"x": "br-ex"}}},
		{Table: model.Subnets, New: &model.Subnet{Meta: model.Meta{ID: "sx", Key: 4}, NetworkID: "ext", CIDR: netip.MustParsePrefix("203.0.113.0/24"), GatewayIP: netip.MustParseAddr("203.0.113.1")}},
		{Table: model.Ports, New: &model.Port{Meta: model.Meta{ID: "gw", Key: gwKey}, NetworkID: "ext", MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, gwKey}, DeviceOwner: model.OwnerRouterGateway, DeviceID: "r",
			FixedIPs: []model.FixedIP{{SubnetID: "sx", Address: netip.MustParseAddr("203.0.113.10")}}}},
		{Table: model.Routers, New: &model.Router{Meta: model.Meta{ID: "r", Key: 5}, AdminStateUp: true, GatewayNetwork: "ext", GatewayPort: "gw",
			Routes: []model.Route{{Destination: netip.MustParsePrefix("192.168.0.0/16"), NextHop: netip.MustParseAddr("10.0.0.6")}}}},
	}
	return model.NewView(snapshot.Empty().Apply(1, w.Changes()))
}

// udp is a packet of the VM to the router's MAC.
func udp(tb testing.TB, dst string, ttl uint8) []byte {
	ip := &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 5}, DstIP: net.ParseIP(dst).To4()}
	u := &layers.UDP{SrcPort: 1, DstPort: 2}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		tb.Fatal(err)
	}
	return packettest.Serialize(tb, &layers.Ethernet{SrcMAC: vmMAC, DstMAC: rMAC, EthernetType: layers.EthernetTypeIPv4}, ip, u, gopacket.Payload("hello"))
}

func TestRefusals(t *testing.T) {
	v := secured(view())
	for _, c := range []struct {
		name, dst, outcome string
		ttl                uint8
		code               layers.ICMPv4TypeCode
	}{
		{"spent", "10.0.0.6", OutcomeTTL, 1, layers.CreateICMPv4TypeCode(11, 0)},
		{"unknown host", "10.0.0.99", OutcomeNoNeighbour, 9, layers.CreateICMPv4TypeCode(3, 1)},
		{"by a route", "192.168.1.1", OutcomeNoNeighbour, 9, layers.CreateICMPv4TypeCode(3, 1)},
		{"a port of the router", "10.0.0.1", OutcomePort, 1, layers.CreateICMPv4TypeCode(3, 3)},
	} {
		var r packetin.Result
		if err := Handle(v, packettest.Packet(udp(t, c.dst, c.ttl)), &r); err != nil || r.Outcome != c.outcome {
			t.Errorf("%s: %s, %v; want %s", c.name, r.Outcome, err, c.outcome)
			continue
		}
		last := r.Out[len(r.Out)-1]
		p := packettest.Check(t, last.Data)
		icmp, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if icmp == nil || icmp.TypeCode != c.code || !ip.SrcIP.Equal(net.IP{10, 0, 0, 1}) || last.Port != packettest.InPort || last.Net != 0 {
			t.Errorf("%s: %v to port %d", c.name, p, last.Port)
		}
	}
}

// TestHold: a packet waits for a next hop that no port has, and is refused where that does not answer.
func TestHold(t *testing.T) {
	ask := model.MAC{0x0e, 0x5a, 0, 0, 0, 7}
	some, gw, probe := netip.MustParseAddr, model.MAC{0xfa, 0x16, 0x3e, 0, 0, gwKey}, netip.IPv4Unspecified()
	for _, c := range []struct {
		name, dst string
		open      bool // a port without port security is there
		want      *packetin.Hold
		outcome   string
	}{
		{"outside", "198.51.100.1", false, &packetin.Hold{Net: 3, Addr: some("203.0.113.1"), MAC: gw, IP: some("203.0.113.10"), From: 1, Inside: true}, OutcomeHeld},
		{"next to the router outside", "203.0.113.77", false, &packetin.Hold{Net: 3, Addr: some("203.0.113.77"), MAC: gw, IP: some("203.0.113.10"), From: 1, Inside: true}, OutcomeHeld},
		{"inside, behind some port", "10.0.0.99", true, &packetin.Hold{Net: 1, Addr: some("10.0.0.99"), MAC: ask, IP: probe, From: 1, Inside: true}, OutcomeHeld},
		{"by a route", "192.168.1.1", true, &packetin.Hold{Net: 1, Addr: some("10.0.0.6"), MAC: ask, IP: probe, From: 1, Inside: true}, OutcomeHeld},
		{"inside, where all addresses are known", "10.0.0.99", false, nil, OutcomeNoNeighbour},
		{"to all of a subnet", "10.0.0.255", true, nil, OutcomeSilent},
		{"to all of the outer subnet", "203.0.113.255", true, nil, OutcomeSilent},
		{"a subnet's own address", "10.0.0.0", true, nil, OutcomeSilent},
	} {
		v := view()
		if !c.open {
			v = secured(v)
		}
		in := packettest.Packet(udp(t, c.dst, 9))
		var r packetin.Result
		if err := Handle(v, in, &r); err != nil || r.Outcome != c.outcome || (r.Hold == nil) != (c.want == nil) || r.Hold != nil && (*r.Hold != *c.want || len(r.Out) > 0) {
			t.Errorf("%s: %s %+v %v", c.name, r.Outcome, r.Hold, err)
		}
		if c.want == nil {
			continue
		}
		r.Reset()
		in.Unresolved = true
		if err := Handle(v, in, &r); err != nil || r.Outcome != OutcomeNoNeighbour || r.Hold != nil || len(r.Out) != 1 {
			t.Errorf("%s, in vain: %+v %v", c.name, r, err)
		}
		in.Host, in.Unresolved = "h2", false // where nobody may ask
		if err := Handle(v, in, &r); err != nil || r.Outcome != OutcomeNoNeighbour || r.Hold != nil {
			t.Errorf("%s, elsewhere: %+v %v", c.name, r, err)
		}
	}
	// From another host: it goes on where it came from.
	b := udp(t, "198.51.100.1", 9)
	rt, _ := view().Router("r")
	mac := rt.GatewayMAC()
	copy(b, mac[:])
	in := packettest.Packet(b)
	in.PortKey = gwKey
	var r packetin.Result
	if err := Handle(view(), in, &r); err != nil || r.Hold == nil || r.Hold.From != 1 || r.Hold.Inside || !r.Hold.Remote {
		t.Errorf("from another host: %s %+v %v", r.Outcome, r.Hold, err)
	}
}

// secured is the view with port security everywhere.
func secured(v model.View) model.View {
	s := v.Source().(*snapshot.Snapshot)
	var changes []model.Change
	for o := range s.Each(model.Ports) {
		p := *o.(*model.Port)
		p.PortSecurity = true
		changes = append(changes, model.Change{Table: model.Ports, Old: o, New: &p})
	}
	return model.NewView(s.Apply(2, changes))
}

// TestFromElsewhere: what another host sent to the gateway host is answered in the sender's network.
func TestFromElsewhere(t *testing.T) {
	v := view()
	rt, _ := v.Router("r")
	b := udp(t, "198.51.100.1", 1)
	mac := rt.GatewayMAC()
	copy(b, mac[:])
	in := packettest.Packet(b)
	in.PortKey = gwKey
	var r packetin.Result
	if err := Handle(v, in, &r); err != nil || r.Outcome != OutcomeTTL || len(r.Out) != 1 || r.Out[0].Net != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if p := packettest.Check(t, r.Out[0].Data); net.HardwareAddr(p.LinkLayer().LinkFlow().Dst().Raw()).String() != vmMAC.String() {
		t.Errorf("%v", p)
	}
}

// TestTooBig: a packet larger than the next network carries is refused with that network's MTU, whatever its DF says: to a
// VM straight, to the outside through the translation that the packet came by.
func TestTooBig(t *testing.T) {
	v := view() // n1 carries 1450 bytes
	big := packettest.Serialize(t, &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, gwKey}, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 9, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{198, 51, 100, 1}, DstIP: net.IP{10, 0, 0, 6}, Length: 1500}, gopacket.Payload(make([]byte, 1480)))
	in := packettest.Packet(big)
	in.PortKey = gwKey
	var r packetin.Result
	if err := Handle(v, in, &r); err != nil || r.Outcome != OutcomeTooBig || len(r.Out) != 1 || r.Out[0].Router != 5 || r.Out[0].Net != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	p := packettest.Check(t, r.Out[0].Data)
	icmp := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || icmp.Seq != 1450 || !ip.SrcIP.Equal(net.IP{203, 0, 113, 10}) {
		t.Errorf("%v", p)
	}
}

// TestChained: what another router sends is refused in the network between, from the interface there.
func TestChained(t *testing.T) {
	b := udp(t, "192.168.9.9", 1)
	copy(b[6:12], []byte{0xfa, 0x16, 0x3e, 0, 0, 77})
	in := packettest.Packet(b)
	in.PortKey = gwKey // any port of the router
	var r packetin.Result
	if err := Handle(view(), in, &r); err != nil || r.Outcome != OutcomeTTL || len(r.Out) != 1 || r.Out[0].Net != 1 || r.Out[0].Router != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	if p := packettest.Check(t, r.Out[0].Data); p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC[5] != 77 {
		t.Errorf("%v", p)
	}
}

// FuzzHandle: whatever comes, an outcome of the list, and frames that decode.
func FuzzHandle(f *testing.F) {
	f.Add(udp(f, "10.0.0.99", 9), uint32(packettest.VMKey))
	f.Add(udp(f, "198.51.100.1", 1), uint32(gwKey))
	f.Add(udp(f, "10.0.0.1", 9)[:20], uint32(packettest.VMKey))
	v := view()
	f.Fuzz(func(t *testing.T, b []byte, key uint32) {
		in := packettest.Packet(b)
		in.PortKey = key
		var r packetin.Result
		err := Handle(v, in, &r)
		if !slices.Contains(Outcomes(), r.Outcome) || (r.Hold != nil) != (r.Outcome == OutcomeHeld) {
			t.Fatalf("outcome %q, %+v, %v", r.Outcome, r.Hold, err)
		}
		for _, o := range r.Out {
			if gopacket.NewPacket(o.Data, layers.LayerTypeEthernet, gopacket.Default).LinkLayer() == nil {
				t.Fatalf("sent %x", o.Data)
			}
		}
	})
}
