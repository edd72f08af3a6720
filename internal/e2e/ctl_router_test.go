package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/penstock/penstock/opapi"
)

// penstockctl builds the command line and gives a function that runs it in the host's namespace.
func (s *site) penstockctl() func(args ...string) string {
	s.t.Helper()
	bin := s.t.TempDir() + "/penstockctl"
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/penstockctl").CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v: %s", err, out)
	}
	return func(args ...string) string {
		s.t.Helper()
		out, err := s.host.TryRun(append([]string{bin, "--endpoint", s.url}, args...)...)
		if err != nil {
			s.t.Fatalf("penstockctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return out
	}
}

// TestRouterCommands makes a router, a way out and a floating IP by penstockctl alone, and asks what becomes of packets.
func TestRouterCommands(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 1, "external_physical_network: external")
	ctl := s.penstockctl()
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	ctl("network", "create", "public", "--external", "--type", "flat", "--physical-network", "external")
	ctl("subnet", "create", "public-v4", "--network", "public", "--cidr", "203.0.113.0/24", "--gateway", "203.0.113.1", "--no-dhcp")
	ctl("router", "create", "r1")
	ctl("router", "interface", "add", "r1", "--subnet", s1["id"].(string))
	ctl("router", "gateway", "set", "r1", "public", "--fixed-ip", "203.0.113.9")
	a := s.on(s.hosts[0], "a", blue, "10.0.1.11", object{"port_security_enabled": false}).via("10.0.1.1")
	a.pings("203.0.113.1")

	route := func(args ...string) (r opapi.Route) {
		t.Helper()
		if err := json.Unmarshal([]byte(ctl(append([]string{"route", "r1", "-o", "json"}, args...)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	host := s.hosts[0].Name
	r := route("192.0.2.1", "--source", "10.0.1.11")
	if r.Kind != opapi.RouteGateway || r.NextHop != "203.0.113.1" || r.MAC == "" || len(r.Learned) != 1 || r.GatewayHost != host || len(r.Problems) > 0 ||
		len(r.NAT) != 1 || r.NAT[0].To != "203.0.113.9" || r.NAT[0].Host != host {
		t.Errorf("the way out: %+v", r)
	}
	if r := route("10.0.1.11"); r.Kind != opapi.RouteSubnet || r.PortID != a.Port["id"] || len(r.Hosts) != 1 || r.Hosts[0] != host || r.MAC != a.Port["mac_address"] {
		t.Errorf("the way in: %+v", r)
	}
	if text := ctl("conntrack", "r1"); !strings.Contains(text, "10.0.1.11") || !strings.Contains(text, "from 203.0.113.9") {
		t.Errorf("conntrack:\n%s", text)
	}
	ctl("floatingip", "create", "public", "--address", "203.0.113.200", "--port", a.Port["id"].(string))
	if !out.WaitPing("203.0.113.200", patience) {
		t.Error("the floating IP is not reached")
	}
	if r := route("203.0.113.200"); r.Kind != opapi.RouteFloating || r.NextHop != "10.0.1.11" {
		t.Errorf("the floating IP: %+v", r)
	}
	if text := ctl("conntrack", "r1"); !strings.Contains(text, "to 10.0.1.11") {
		t.Errorf("conntrack with a floating IP:\n%s", text)
	}
	ctl("floatingip", "delete", "203.0.113.200")
	ctl("router", "gateway", "unset", "r1")
	ctl("router", "interface", "remove", "r1", "--subnet", s1["id"].(string))
	ctl("router", "delete", "r1")
}
