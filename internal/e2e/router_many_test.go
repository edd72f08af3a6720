package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// external makes an external network on the physical network "external", with the outside machine as its gateway.
func (s *site) external(cidr, gateway, pool string) object {
	s.t.Helper()
	n := s.create("network", object{"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "external"})
	first, last, _ := strings.Cut(pool, "-")
	s.create("subnet", object{"network_id": n["id"], "ip_version": 4, "cidr": cidr, "gateway_ip": gateway, "enable_dhcp": false,
		"allocation_pools": []object{{"start": first, "end": last}}})
	return n
}

// floatingIP makes a floating IP for a VM and returns it with its address.
func (s *site) floatingIP(ext object, v *vm) (f object, addr string) {
	s.t.Helper()
	f = s.create("floatingip", object{"floating_network_id": ext["id"], "port_id": v.Port["id"]})
	return f, f["floating_ip_address"].(string)
}

// gatewayHost is that of some hosts where a router meets its external network: by the flow that lets packets out there.
func (s *site) gatewayHost(r object, among ...*ovstest.Host) *ovstest.Host {
	s.t.Helper()
	key := s.key(r["id"])
	for _, h := range among {
		for _, f := range h.DumpFlows("br-int") {
			if strings.Contains(f, fmt.Sprintf("cookie=0x5100e105%08x,", key)) {
				return h
			}
		}
	}
	return nil
}

// TestGatewayMoves has the gateway's host die: the router comes up on the other, which tells the outside.
func TestGatewayMoves(t *testing.T) {
	t.Parallel()
	var out *ovstest.VM
	nic := map[string]string{"ext": "nic1"}
	s := newSite(t, siteOptions{hosts: 2, physical: []map[string]string{nic, nic}, mappings: []string{"{external: br-ex}", "{external: br-ex}"},
		setup: func(s *site) {
			_, at := s.outside("out", "ext", map[string]string{"": "203.0.113.1/24"})
			out = at[""]
			for _, h := range s.hosts {
				h.AddBridge("br-ex")
				h.AddPort("br-ex", "nic1")
				h.VSCtl("set", "Bridge", "br-ex", "external_ids:penstock-takeover=true")
			}
		}})
	h1, h2 := s.hosts[0], s.hosts[1]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	var r object
	for range 32 { // where a router goes follows from its id
		r = s.router("r", s1)
		s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
		s.settle()
		if s.gatewayHost(r, h2) == h2 {
			break
		}
		s.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/remove_router_interface", object{"subnet_id": s1["id"]}, nil)
		s.delete("router", r["id"])
	}
	if s.gatewayHost(r, h2) != h2 {
		t.Fatal("no router goes to h2")
	}
	a := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1")
	a.pings("203.0.113.1")
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	told := out.Capture("arp and src host " + own)
	h2.KillVswitchd()
	s.waitAlive(h2, false)
	s.wait("the router to be on h1", func() bool { return s.gatewayHost(r, h1) == h1 })
	a.pings("203.0.113.1")
	if told.Wait("who-has "+own, patience) == "" {
		t.Errorf("the outside was not told: %q", told.Stop())
	}
	if !out.WaitPing(own, patience) {
		t.Error("the router does not answer from outside")
	}
}

// TestRoutingAcrossHosts routes between hosts, and to the outside from a host that has the physical network and one that has not.
func TestRoutingAcrossHosts(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 2, "", "198.51.100.1/32")
	h1, h2 := s.hosts[0], s.hosts[1]
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	red, s2 := s.network("red", "10.0.2.0/24", nil)
	r := s.router("r", s1, s2)
	a, b, c := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(h2, "b", red, "10.0.2.12", nil).via("10.0.2.1"), s.on(h2, "c", blue, "10.0.1.13", nil).via("10.0.1.1")
	s.settle()
	a.pings("10.0.2.12")
	b.pings("10.0.1.11")
	c.pings("10.0.2.12")
	if o, err := a.TryRun("ping", "-c", "1", "-W", "5", "10.0.2.12"); err != nil || !strings.Contains(o, "ttl=63") {
		t.Errorf("across hosts: %s", o)
	}

	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	s.settle()
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	seen := out.Capture("icmp[icmptype] == 8")
	a.pings("198.51.100.1")
	b.pings("198.51.100.1")
	l := strings.Join(seen.Stop(), "\n")
	if !strings.Contains(l, own+" > 198.51.100.1") || strings.Contains(l, "10.0.") {
		t.Errorf("the outside saw, of %s: %s", own, l)
	}
	if !out.WaitPing(own, patience) {
		t.Errorf("the router does not answer from outside")
	}

	f1, addr1 := s.floatingIP(public, a)
	_, addr2 := s.floatingIP(public, b)
	s.settle()
	for _, x := range []struct {
		v    *vm
		addr string
	}{{a, addr1}, {b, addr2}} {
		if !out.WaitPing(x.addr, patience) {
			t.Errorf("%s is not reached at %s", x.v.Name, x.addr)
		}
		seen := out.Capture("icmp[icmptype] == 8")
		x.v.pings("198.51.100.1")
		if l := strings.Join(seen.Stop(), "\n"); !strings.Contains(l, x.addr+" > 198.51.100.1") {
			t.Errorf("the outside saw of %s: %s", x.v.Name, l)
		}
	}
	// Hairpins: from the other, from the same, and from one without a floating IP.
	a.pings(addr2)
	b.pings(addr1)
	c.pings(addr1)
	a.pings(addr1)
	b.pings(addr2)
	// Moved, to another host: no connection stays that leads to the former VM.
	held := h1.AppCtl("dpctl/dump-conntrack", "zone=49152")
	if !strings.Contains(held, "dst="+addr1) {
		t.Errorf("no connection by %s: %s", addr1, held)
	}
	s.update("floatingip", f1["id"], object{"port_id": c.Port["id"]})
	s.settle()
	s.wait("its connections to be forgotten", func() bool {
		return !strings.Contains(h1.AppCtl("dpctl/dump-conntrack", "zone=49152"), "dst="+addr1)
	})
	seen = c.Capture("icmp[icmptype] == 8")
	if !out.WaitPing(addr1, patience) {
		t.Errorf("moved: not reached")
	}
	if l := strings.Join(seen.Stop(), "\n"); !strings.Contains(l, "198.51.100.1 > ") && !strings.Contains(l, "203.0.113.1 > ") {
		t.Errorf("moved: c saw %s", l)
	}
	s.delete("floatingip", f1["id"])
	s.settle()
	if p := out.Ping(addr1, 2); p.Received > 0 {
		t.Errorf("deleted: %v", p)
	}
}

// TestRoutesOutside is one host with extra routes, TCP and UDP through SNAT, a router without SNAT, a killed penstockd, and
// nothing left when the router is gone.
func TestRoutesOutside(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 1, "")
	h := s.hosts[0]
	s.settle()
	empty := s.state()
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	red, s2 := s.network("red", "10.0.2.0/24", nil)
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	a := s.on(h, "a", blue, "10.0.1.11", object{"port_security_enabled": false}).via("10.0.1.1")
	b := s.on(h, "b", red, "10.0.2.12", object{"port_security_enabled": false}).via("10.0.2.1")
	s.settle()
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	a.pings("203.0.113.1")
	seen := out.Capture("udp or tcp")
	for _, proto := range []string{"udp", "tcp"} {
		a.TryRun("bash", "-c", "echo hello > /dev/"+proto+"/203.0.113.1/9999")
		if l := seen.Wait(own+".", patience); l == "" {
			t.Errorf("%s: the outside saw nothing", proto)
		}
		seen.Stop()
		seen = out.Capture("udp or tcp")
	}
	seen.Stop()

	// An extra route: b has a network behind itself.
	b.Run("ip", "addr", "add", "192.168.9.1/32", "dev", "eth0")
	if p := a.Ping("192.168.9.1", 1); p.Received > 0 {
		t.Errorf("without a route: %v", p)
	}
	s.update("router", r["id"], object{"routes": []object{{"destination": "192.168.9.0/24", "nexthop": "10.0.2.12"}}})
	s.settle()
	a.pings("192.168.9.1")

	// Without SNAT the outside sees the VM itself.
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"], "enable_snat": false}})
	s.settle()
	out.Run("ip", "route", "add", "10.0.0.0/16", "via", own)
	plain := out.Capture("icmp[icmptype] == 8")
	a.pings("203.0.113.1")
	if l := strings.Join(plain.Stop(), "\n"); !strings.Contains(l, "10.0.1.11 > 203.0.113.1") {
		t.Errorf("without SNAT the outside saw %s", l)
	}
	if !out.WaitPing("10.0.1.11", patience) {
		t.Error("a is not reached from outside")
	}
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"], "enable_snat": true}})
	s.settle()
	a.pings("203.0.113.1")

	// penstockd dies; no packet is lost, out or between subnets.
	p1, p2 := a.StartPing("203.0.113.1", 20*time.Millisecond), a.StartPing("10.0.2.12", 20*time.Millisecond)
	s.d.kill()
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	s.settle()
	for _, p := range []*ovstest.RunningPing{p1, p2} {
		n := p.Received()
		ovstest.WaitFor(patience, func() bool { return p.Received() > n+5 })
		if got := p.Stop(); got.Lost > 0 {
			t.Errorf("while penstockd was killed: %v", got)
		}
	}

	// Down to nothing.
	for _, x := range []object{s1, s2} {
		s.update("router", r["id"], object{"routes": []object{}})
		s.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/remove_router_interface", object{"subnet_id": x["id"]}, nil)
	}
	s.delete("router", r["id"])
	for _, v := range []*vm{a, b} {
		v.Unplug()
		s.delete("port", v.Port["id"])
	}
	for _, n := range []object{blue, red, public} {
		s.delete("network", n["id"])
	}
	s.settle()
	left := ""
	t.Cleanup(func() {
		if left != "" {
			t.Logf("left: %.2000s", left)
		}
	})
	s.wait("nothing to be left", func() bool { left = differ(empty, s.state()); return left == "" })
	s.wait("no connection to be left", func() bool { return h.AppCtl("dpctl/dump-conntrack", "zone=49152") == "" })
}
