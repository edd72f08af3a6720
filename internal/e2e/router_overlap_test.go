package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestOverlappingRouters has two routers with the same subnets and the same address behind them, on two hosts that both have
// the external network, a VLAN: SNAT and floating IPs are each router's own, a floating IP is on its VM's host and no other, and
// when it moves the outside hears of it.
func TestOverlappingRouters(t *testing.T) {
	t.Parallel()
	var out *ovstest.VM
	nic := map[string]string{"ext": "nic1"}
	s := newSite(t, siteOptions{hosts: 2, physical: []map[string]string{nic, nic}, mappings: []string{"{external: br-ex}", "{external: br-ex}"},
		setup: func(s *site) {
			_, at := s.outside("out", "ext", map[string]string{"105": "203.0.113.1/24"})
			out = at["105"]
			for _, h := range s.hosts {
				h.AddBridge("br-ex")
				h.AddPort("br-ex", "nic1")
				h.VSCtl("set", "Bridge", "br-ex", "external_ids:penstock-takeover=true")
			}
		}})
	public := s.create("network", mergeObjects(object{"name": "public", "router:external": true}, provider("vlan", 105, "external")))
	s.create("subnet", object{"network_id": public["id"], "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1", "enable_dhcp": false,
		"allocation_pools": []object{{"start": "203.0.113.10", "end": "203.0.113.99"}}})
	var vms, others []*vm
	own := map[*vm]string{}
	for i, h := range s.hosts {
		n, sub := s.network(fmt.Sprint("n", i), "10.0.1.0/24", nil)
		r := s.router(fmt.Sprint("r", i), sub)
		s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
		v := s.on(h, fmt.Sprint("v", i), n, "10.0.1.11", nil).via("10.0.1.1")
		vms, others = append(vms, v), append(others, s.on(s.hosts[1-i], fmt.Sprint("w", i), n, "10.0.1.12", nil).via("10.0.1.1"))
		own[v] = s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	}
	s.settle()
	for _, v := range vms {
		seen := out.Capture("icmp[icmptype] == 8")
		v.pings("203.0.113.1")
		if seen.Wait(own[v]+" > 203.0.113.1", patience) == "" {
			t.Errorf("the outside saw of %s: %s", v.Name, seen.Lines())
		}
		seen.Stop()
	}
	collide(t, &out.Node, "203.0.113.1", &vms[0].Node, &vms[1].Node)

	floating, addr := map[*vm]object{}, map[*vm]string{}
	for _, v := range vms {
		floating[v], addr[v] = s.floatingIP(public, v)
	}
	s.settle()
	for i, v := range vms {
		if !out.WaitPing(addr[v], patience) {
			t.Fatalf("%s is not reached", addr[v])
		}
		// On its own host, to and fro, wherever the router's gateway is.
		elsewhere := s.hosts[1-i].CaptureOn("nic1", "vlan and icmp and host "+addr[v])
		tunnels := s.hosts[1-i].CaptureOn("nic0", "udp port 4789")
		here := v.Capture("icmp and src host 203.0.113.1")
		if p := out.Ping(addr[v], 3); p.Received != 3 {
			t.Errorf("%s: %v", addr[v], p)
		}
		v.pings("203.0.113.1")
		if len(here.Stop()) == 0 {
			t.Errorf("%s saw nothing", v.Name)
		}
		for _, l := range append(elsewhere.Stop(), tunnels.Stop()...) {
			if !strings.Contains(l, "203.0.113.1 > ") && !strings.Contains(l, " > 203.0.113.1") {
				continue // what machines say by themselves
			}
			t.Errorf("%s is on %s, and its packets are on %s: %s", addr[v], v.Host().Name, s.hosts[1-i].Name, l)
		}
	}
	// Between the two, by their floating IPs only.
	vms[0].pings(addr[vms[1]])
	vms[1].pings(addr[vms[0]])

	// To a VM on the other host: the outside is told, and keeps no old way.
	v, w := vms[0], others[0]
	told := out.Capture("arp and src host " + addr[v])
	s.update("floatingip", floating[v]["id"], object{"port_id": w.Port["id"]})
	s.settle()
	if told.Wait("who-has "+addr[v], patience) == "" {
		t.Errorf("the outside was not told: %q", told.Lines())
	}
	told.Stop()
	got := w.Capture("icmp[icmptype] == 8")
	if !out.WaitPing(addr[v], patience) {
		t.Error("moved: not reached")
	}
	if l := strings.Join(got.Stop(), "\n"); !strings.Contains(l, "203.0.113.1 > 10.0.1.12") {
		t.Errorf("moved: the other VM saw %s", l)
	}
	s.noLimits(t)
}
