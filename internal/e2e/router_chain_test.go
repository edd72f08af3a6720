package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// physicalSite is hosts that have the physical network "external", with a machine outside at 203.0.113.1/24 and more addresses.
func physicalSite(t *testing.T, hosts int, more ...string) (s *site, sw *ovstest.Host, out *ovstest.VM) {
	t.Helper()
	opt := siteOptions{hosts: hosts}
	for range hosts {
		opt.physical, opt.mappings = append(opt.physical, map[string]string{"ext": "nic1"}), append(opt.mappings, "{external: br-ex}")
	}
	opt.setup = func(s *site) {
		var at map[string]*ovstest.VM
		sw, at = s.outside("out", "ext", map[string]string{"": "203.0.113.1/24"})
		out = at[""]
		for _, a := range more {
			out.Run("ip", "addr", "add", a, "dev", "eth0")
		}
		for _, h := range s.hosts {
			h.AddBridge("br-ex")
			h.AddPort("br-ex", "nic1")
			h.VSCtl("set", "Bridge", "br-ex", "external_ids:penstock-takeover=true")
		}
	}
	return newSite(t, opt), sw, out
}

// TestRoutedMACs routes between VLANs of two hosts and out by one of them: the physical network never sees the router's MAC,
// which is that of many hosts, the VMs see no other, and once all have spoken no switch floods.
func TestRoutedMACs(t *testing.T) {
	t.Parallel()
	s, sw, _ := physicalSite(t, 2)
	h1, h2 := s.hosts[0], s.hosts[1]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	vlan := func(name string, id int, cidr string) (n, sub object) {
		n = s.create("network", mergeObjects(object{"name": name}, provider("vlan", id, "external")))
		return n, s.create("subnet", object{"network_id": n["id"], "ip_version": 4, "cidr": cidr})
	}
	blue, s1 := vlan("blue", 101, "10.0.1.0/24")
	red, s2 := vlan("red", 102, "10.0.2.0/24")
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	var macs []string
	for _, n := range []object{blue, red} {
		var l map[string][]object
		s.do("GET", "/v2.0/ports?device_owner=network:router_interface&network_id="+n["id"].(string), nil, &l)
		macs = append(macs, l["ports"][0]["mac_address"].(string))
	}
	router := "ether src " + strings.Join(macs, " or ether src ")
	seen := []*ovstest.Capture{h1.CaptureOn("nic1", router), h2.CaptureOn("nic1", router)}
	own := h1.CaptureOn("nic1", "ether[6:2] = 0x0e60")
	there := sw.CaptureOn("nic1", "vlan and rarp") // of VMs that say nothing into their own network
	a, b := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(h2, "b", red, "10.0.2.12", nil).via("10.0.2.1")
	c, d := s.on(h2, "c", blue, "10.0.1.13", nil).via("10.0.1.1"), s.on(h1, "d", red, "10.0.2.14", nil).via("10.0.2.1")
	s.settle()
	got := b.Capture("icmp and ether dst " + b.MAC + " and not ether src " + macs[1])
	a.pings(b.IP)
	d.pings(c.IP)
	for _, v := range []*vm{a, b, c, d} {
		v.pings("203.0.113.1") // two of them by the other host
	}
	a.TryRun("ping", "-c", "1", "-W", "1", "10.0.2.99") // nobody: the router asks
	if own.Wait("", patience) == "" {
		t.Error("no frame from h1's own MAC")
	}
	quiet := sw.CaptureOn("nic1", "vlan and icmp")
	for _, v := range []*vm{a, b, c, d} {
		v.pings("203.0.113.1")
	}
	a.pings(b.IP)
	for _, l := range quiet.Stop() {
		t.Errorf("flooded: %s", l)
	}
	for _, c := range append(seen, got) {
		for _, l := range c.Stop() {
			if !strings.Contains(l, "ethertype ARP") { // which the router sends from one host, for machines that are no ports
				t.Errorf("from a MAC that it should not have: %s", l)
			}
		}
	}
	own.Stop()
	for _, v := range []*vm{a, b, c, d} {
		if there.Wait(v.MAC+" > ff:ff:ff:ff:ff:ff", patience) == "" {
			t.Errorf("%s is not announced: %q", v.Name, there.Lines())
		}
	}
	there.Stop()
	s.noLimits(t)
}

// TestChainedRouters has a router without a gateway behind one that has it, by a network between: to the other's networks, out
// and back through its SNAT, from both hosts; each shows itself to traceroute.
func TestChainedRouters(t *testing.T) {
	t.Parallel()
	s, _, out := physicalSite(t, 2, "198.51.100.1/32")
	h1, h2 := s.hosts[0], s.hosts[1]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	far, s1 := s.network("far", "10.0.1.0/24", nil)
	between, sb := s.network("between", "10.0.9.0/24", nil)
	near, s2 := s.network("near", "10.0.2.0/24", nil)
	inner, outer := s.router("inner", s1), s.router("outer", s2, sb)
	p := s.create("port", object{"network_id": between["id"], "fixed_ips": []object{{"ip_address": "10.0.9.22"}}})
	s.do("PUT", "/v2.0/routers/"+inner["id"].(string)+"/add_router_interface", object{"port_id": p["id"]}, nil)
	s.update("router", inner["id"], object{"routes": []object{{"destination": "0.0.0.0/0", "nexthop": "10.0.9.1"}}})
	s.update("router", outer["id"], object{"external_gateway_info": object{"network_id": public["id"]}, "routes": []object{{"destination": "10.0.1.0/24", "nexthop": "10.0.9.22"}}})
	a, b, c := s.on(h1, "a", far, "10.0.1.11", nil).via("10.0.1.1"), s.on(h2, "b", near, "10.0.2.12", nil).via("10.0.2.1"), s.on(h2, "c", far, "10.0.1.13", nil).via("10.0.1.1")
	s.settle()
	for _, v := range []*vm{a, c} {
		v.pings("10.0.2.12")
		seen := out.Capture("icmp[icmptype] == 8")
		v.pings("198.51.100.1")
		gateway := seen.Wait("203.0.113.", patience)
		if l := strings.Join(seen.Stop(), "\n"); gateway == "" || strings.Contains(l, "10.0.") {
			t.Errorf("the outside saw %s", l)
		}
		for ttl, want := range []string{"10.0.1.1", "10.0.9.1", "10.0.2.12"} {
			by := ""
			if !ovstest.WaitFor(patience, func() bool {
				by, _ = v.TryRun("ping", "-n", "-c", "1", "-W", "2", "-t", fmt.Sprint(ttl+1), "10.0.2.12")
				return strings.Contains(strings.ToLower(by), "from "+want)
			}) {
				t.Errorf("hop %d of %s: %s, want %s", ttl+1, v.Name, by, want)
			}
		}
	}
	b.pings("10.0.1.11")
	transfer(t, &a.Node, &b.Node, "10.0.2.12", false)
	transfer(t, &c.Node, &out.Node, "198.51.100.1", true)
	s.noLimits(t)
}
