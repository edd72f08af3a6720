package controller

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store/storetest"
)

// TestRoute asks a router with two subnets, a static route, a gateway and a floating IP.
func TestRoute(t *testing.T) {
	st := storetest.New(t)
	a := netip.MustParseAddr
	key := uint32(100)
	meta := func(id string) model.Meta { key++; return model.Meta{ID: id, Name: id + "-name", Key: key} }
	port := func(id, net, subnet, addr, owner, device string) *model.Port {
		p := &model.Port{Meta: meta(id), NetworkID: model.NetworkID(net), AdminStateUp: true, DeviceOwner: owner, DeviceID: device,
			FixedIPs: []model.FixedIP{{SubnetID: model.SubnetID(subnet), Address: a(addr)}}}
		p.MAC = model.MAC{0xfa, 0x16, 0x3e, 0, 0, byte(p.Key)}
		return p
	}
	subnet := func(id, net, cidr, gw string) *model.Subnet {
		return &model.Subnet{Meta: meta(id), NetworkID: model.NetworkID(net), CIDR: netip.MustParsePrefix(cidr), GatewayIP: a(gw)}
	}
	web := port("web", "blue", "blue4", "10.0.0.11", "compute:nova", "vm")
	storetest.Put(t, st,
		&model.Host{Meta: meta("h1"), OVSDB: "tcp:192.0.2.1:6640", BridgeMappings: map[string]string{"ext": "br-ex"}},
		&model.Network{Meta: meta("blue"), AdminStateUp: true}, subnet("blue4", "blue", "10.0.0.0/24", "10.0.0.1"),
		&model.Network{Meta: meta("public"), AdminStateUp: true, External: true, Segments: []model.Segment{{Type: model.NetworkFlat, PhysicalNetwork: "ext"}}},
		subnet("public4", "public", "203.0.113.0/24", "203.0.113.1"),
		port("leg", "blue", "blue4", "10.0.0.1", model.OwnerRouterInterface, "r"),
		port("gw", "public", "public4", "203.0.113.9", model.OwnerRouterGateway, "r"),
		port("hold", "public", "public4", "203.0.113.200", model.OwnerFloatingIP, "f"),
		web, port("lost", "blue", "blue4", "10.0.0.12", "", ""),
		&model.Binding{Host: "h1", PortID: "web", NetworkID: "blue", Interface: "tap", OFPort: 5},
		&model.Router{Meta: meta("r"), AdminStateUp: true, GatewayNetwork: "public", GatewayPort: "gw", EnableSNAT: true, Zone: model.FirstRouterZone,
			Routes: []model.Route{{Destination: netip.MustParsePrefix("10.9.0.0/16"), NextHop: a("10.0.0.11")}}},
		&model.Router{Meta: meta("lonely")},
		&model.FloatingIP{Meta: meta("f"), NetworkID: "public", Address: a("203.0.113.200"), HolderPort: "hold", PortID: "web", FixedIP: a("10.0.0.11"), RouterID: "r"},
	)
	c := &Controller{cfg: Config{Store: st}}
	snat := "source any other source 203.0.113.9 h1"
	fip := "source 10.0.0.11 203.0.113.200 h1 f"
	for _, x := range []struct{ to, source, want, problem string }{
		{"10.0.0.11", "", "subnet 10.0.0.0/24 10.0.0.11 web " + web.MAC.String() + " h1", ""},
		{"10.0.0.12", "", "subnet 10.0.0.0/24 10.0.0.12 lost", "port lost-name has 10.0.0.12 and is on no host"},
		{"10.9.1.1", "", "static 10.9.0.0/16 10.0.0.11 web " + web.MAC.String() + " h1", ""},
		{"10.0.0.77", "", "subnet 10.0.0.0/24 10.0.0.77", "10.0.0.77 is not known"},
		{"10.0.0.1", "", "self 10.0.0.1/32 leg", ""},
		{"203.0.113.9", "", "self 203.0.113.9/32 gw h1", ""},
		{"192.0.2.5", "", "gateway 0.0.0.0/0 203.0.113.1 h1 / " + fip + " / " + snat, "203.0.113.1 is not known"},
		{"192.0.2.5", "10.0.0.11", "gateway 0.0.0.0/0 203.0.113.1 h1 / " + fip, ""},
		{"192.0.2.5", "10.0.0.12", "gateway 0.0.0.0/0 203.0.113.1 h1 / source 10.0.0.12 203.0.113.9 h1", ""},
		{"203.0.113.50", "10.0.0.12", "subnet 203.0.113.0/24 203.0.113.50 h1 / source 10.0.0.12 203.0.113.9 h1", ""},
		{"203.0.113.200", "", "floating 10.0.0.0/24 10.0.0.11 web " + web.MAC.String() + " h1 / " + fip + " / " + snat + " / destination 203.0.113.200 10.0.0.11 h1 f", ""},
	} {
		r, err := c.Route(t.Context(), "r", x.to, x.source)
		if err != nil {
			t.Errorf("%s: %v", x.to, err)
			continue
		}
		words := []string{r.Kind, r.Prefix, r.NextHop, r.PortID}
		if r.Kind != opapi.RouteSelf {
			words = append(words, r.MAC)
		}
		got := strings.Join(strings.Fields(strings.Join(append(words, r.Hosts...), " ")), " ")
		for _, n := range r.NAT {
			got += strings.TrimRight(" / "+strings.Join([]string{n.Direction, n.From, n.To, n.Host, n.FloatingIP}, " "), " ")
		}
		if got != x.want {
			t.Errorf("%s from %q:\ngot  %s\nwant %s", x.to, x.source, got, x.want)
		}
		if p := strings.Join(r.Problems, "; "); !strings.Contains(p, x.problem) || x.problem == "" && p != "" && !strings.Contains(p, "is not known") {
			t.Errorf("%s: problems %q, want %q", x.to, p, x.problem)
		}
		if r.GatewayHost != "h1" {
			t.Errorf("%s: gateway host %q", x.to, r.GatewayHost)
		}
	}
	if r, err := c.Route(t.Context(), "lonely", "10.0.0.1", ""); err != nil || r.Kind != opapi.RouteNone || len(r.Problems) != 2 {
		t.Errorf("a router that is down and has no route: %+v, %v", r, err)
	}
	for _, x := range [][3]string{{"r", "fd00::1", ""}, {"r", "x", ""}, {"r", "10.0.0.1", "x"}} {
		if _, err := c.Route(t.Context(), x[0], x[1], x[2]); err == nil {
			t.Errorf("%q was answered", x)
		}
	}
	if _, err := c.Route(t.Context(), "nope", "10.0.0.1", ""); !errors.Is(err, errNoRouter) {
		t.Errorf("no router: %v", err)
	}
	// The host's database is elsewhere: the answer says what to run there.
	l, err := c.Conntrack(t.Context(), "r")
	if err != nil || len(l) != 1 || l[0].Why != "gateway, 1 floating IPs" || !strings.Contains(l[0].Problem, "dump-conntrack zone=49152") {
		t.Errorf("conntrack: %+v, %v", l, err)
	}
	if _, err := c.Conntrack(t.Context(), "lonely"); err == nil {
		t.Error("conntrack of a router without a gateway")
	}
}

func TestParseConnection(t *testing.T) {
	line := "tcp,orig=(src=10.0.0.11,dst=192.0.2.1,sport=4000,dport=80),reply=(src=192.0.2.1,dst=203.0.113.9,sport=80,dport=4000),zone=49152,protoinfo=(state=ESTABLISHED)"
	got, ok := parseConnection(line)
	want := opapi.Connection{Protocol: "tcp", State: "ESTABLISHED", Text: line,
		Original: opapi.Tuple{Src: "10.0.0.11", Dst: "192.0.2.1", SPort: 4000, DPort: 80}, Reply: opapi.Tuple{Src: "192.0.2.1", Dst: "203.0.113.9", SPort: 80, DPort: 4000}}
	if d := cmp.Diff(want, got); d != "" || !ok {
		t.Error(d)
	}
	for _, bad := range []string{"", "tcp", "tcp,orig=(", "tcp,orig=(src=1),reply=(src=1,dst=2)", "tcp,orig=(src=1,dst=2)"} {
		if _, ok := parseConnection(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}
