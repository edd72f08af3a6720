package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// found are the next hops that a host has found out, as the flows that hold them.
func found(h *ovstest.Host, mac string) (out []string) {
	for _, f := range h.DumpFlows("br-int") {
		if strings.Contains(f, "table=35,") && strings.Contains(f, "load:0x"+strings.TrimLeft(strings.ReplaceAll(mac, ":", ""), "0")+"->") {
			out = append(out, f)
		}
	}
	return out
}

// first fails the test unless the first packet to dst is answered.
func (v *vm) first(dst string) {
	v.e.t.Helper()
	if out, err := v.TryRun("ping", "-c", "1", "-W", "5", dst); err != nil {
		v.e.t.Errorf("%s: the first packet to %s was lost: %s", v.Name, dst, out)
	}
}

// TestNeighbours finds out next hops that no port has: outside on the gateway's host, and an address that only an
// allowed_address_pair gives, from another host than that of its port. No packet is lost for it; what does not answer is
// refused; nobody is believed who was not asked; what moves is followed; and all outlives penstockd.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 2, "neighbour_refresh: 3", "203.0.113.2/24", "203.0.113.3/24", "203.0.113.4/24")
	h1, h2 := s.hosts[0], s.hosts[1]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	red, s2 := s.network("red", "10.0.2.0/24", nil)
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	pair := object{"allowed_address_pairs": []object{{"ip_address": "10.0.2.50"}}}
	a, b, c := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(h2, "b", red, "10.0.2.12", pair).via("10.0.2.1"), s.on(h2, "c", red, "10.0.2.13", pair).via("10.0.2.1")
	s.settle()
	b.Run("ip", "addr", "add", "10.0.2.50/32", "dev", "eth0")

	b.pings("10.0.1.11") // the hosts' underlay has ARP of its own

	// The first packets out, by the gateway and from another host, and to the address behind b.
	a.first("203.0.113.1")
	b.first("203.0.113.2")
	a.first("10.0.2.50")

	// Nobody is there: told after three questions.
	for _, dst := range []string{"203.0.113.77", "10.0.2.51"} {
		if o, _ := a.TryRun("ping", "-c", "1", "-W", "10", dst); !strings.Contains(o, "From 10.0.1.1 ") || !strings.Contains(o, "Destination Host Unreachable") {
			t.Errorf("%s: %s", dst, o)
		}
	}

	// An answer that nobody asked for, and a claim in another's name: neither is believed.
	if n := len(found(h1, out.MAC)); n != 2 {
		t.Fatalf("the outside is known by %q", found(h1, out.MAC))
	}
	from := &vm{VM: out, e: s.env}
	evil := "02:00:00:00:00:66"
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	gw := s.portOf(r["id"], "network:router_gateway")["mac_address"].(string)
	from.send(ether(gw, evil, 0x0806, arpOf(2, evil, "203.0.113.1", own)))
	from.send(ether("ff:ff:ff:ff:ff:ff", evil, 0x0806, arpOf(1, evil, "203.0.113.1", "203.0.113.1")))
	from.send(ether("ff:ff:ff:ff:ff:ff", evil, 0x0806, arpOf(1, evil, "203.0.113.1", own)))
	s.wait("the claim to be doubted", func() bool { return s.metric(`penstock_neighbour_events_total{event="unasked"}`) >= 1 })
	a.first("203.0.113.1")
	if n := len(found(h1, out.MAC)); n != 2 || len(found(h1, evil)) > 0 {
		t.Errorf("after false claims the outside is known by %q, %q", found(h1, out.MAC), found(h1, evil))
	}

	// A port that looks for everybody is told at once after its share, and others find theirs.
	a.TryRun("bash", "-c", "for i in {100..160}; do ping -c 1 -W 1 203.0.113.$i > /dev/null & done; wait")
	if n := s.metric(`penstock_neighbour_events_total{event="limited"}`); n < 1 {
		t.Errorf("nothing was limited: %v asked", s.metric(`penstock_neighbour_events_total{event="asked"}`))
	}
	b.first("203.0.113.3")

	// penstockd dies: what is known goes on, and is known afterwards.
	p := a.StartPing("203.0.113.1", 20*time.Millisecond)
	q := a.StartPing("10.0.2.50", 20*time.Millisecond)
	s.d.kill()
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	s.settle()
	s.wait("what is known to be read back", func() bool { return s.metric("penstock_neighbours") == 4 })
	for _, x := range []*ovstest.RunningPing{p, q} {
		if got := x.Stop(); got.Lost > 0 || got.Received == 0 {
			t.Errorf("while penstockd was killed: %v", got)
		}
	}

	// The next hops move and say so: the outside gets another MAC, the address goes from b to c. Both are followed.
	moved := "02:00:00:00:00:77"
	out.Run("ip", "link", "set", "eth0", "address", moved)
	from.send(ether("ff:ff:ff:ff:ff:ff", moved, 0x0806, arpOf(1, moved, "203.0.113.1", "203.0.113.1")))
	b.Run("ip", "addr", "del", "10.0.2.50/32", "dev", "eth0")
	c.Run("ip", "addr", "add", "10.0.2.50/32", "dev", "eth0")
	c.send(ether("ff:ff:ff:ff:ff:ff", c.MAC, 0x0806, arpOf(1, c.MAC, "10.0.2.50", "10.0.2.50")))
	s.wait("the moves to be followed", func() bool { return len(found(h1, moved)) > 0 && len(found(h1, c.MAC)) > 0 })
	a.pings("203.0.113.1")
	seen := c.Capture("icmp[icmptype] == 8")
	a.first("10.0.2.50")
	if l := seen.Stop(); len(l) == 0 {
		t.Error("c has the address, but not the packets to it")
	}

	// What moves without a word is followed while it is used, and what dies is forgotten: then its senders are told.
	silent := "02:00:00:00:00:78"
	out.Run("ip", "link", "set", "eth0", "address", silent)
	used := a.StartPing("203.0.113.2", 200*time.Millisecond)
	s.wait("the silent move to be followed", func() bool { return len(found(h1, silent)) > 0 })
	out.Run("ip", "addr", "del", "203.0.113.2/24", "dev", "eth0")
	s.wait("the dead to be refused", func() bool {
		o, _ := a.TryRun("ping", "-c", "1", "-W", "5", "203.0.113.2")
		return strings.Contains(o, "Destination Host Unreachable")
	})
	used.Stop()

	// A floating IP is ACTIVE when it is where it should be, and only while it stands for something.
	f := s.create("floatingip", object{"floating_network_id": public["id"]})
	status := func(want string) {
		t.Helper()
		s.wait("the floating IP to be "+want, func() bool { return s.show("floatingip", f["id"])["status"] == want })
	}
	status("DOWN")
	for _, v := range []*vm{a, b, a} {
		s.update("floatingip", f["id"], object{"port_id": v.Port["id"]})
		status("ACTIVE")
	}
	// From there a next hop is asked for in its name.
	asked := out.Capture("arp[6:2] == 1")
	a.first("203.0.113.4")
	if l := strings.Join(asked.Stop(), "\n"); !strings.Contains(l, "who-has 203.0.113.4 tell "+f["floating_ip_address"].(string)) {
		t.Errorf("the outside was asked %s", l)
	}
	s.update("floatingip", f["id"], object{"port_id": nil})
	status("DOWN")
	s.delete("floatingip", f["id"])

	// Without the router nothing stays.
	for _, x := range []object{s1, s2} {
		s.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/remove_router_interface", object{"subnet_id": x["id"]}, nil)
	}
	s.delete("router", r["id"])
	s.settle()
	s.wait("nothing to be known", func() bool {
		for _, f := range h1.DumpFlows("br-int") {
			if strings.Contains(f, "table=35,") || strings.Contains(f, "table=43,") {
				return false
			}
		}
		return true
	})
}

// portOf is the port of a device with an owner.
func (e *env) portOf(device any, owner string) object {
	e.t.Helper()
	var l map[string][]object
	e.do("GET", fmt.Sprintf("/v2.0/ports?device_id=%s&device_owner=%s", device, owner), nil, &l)
	if len(l["ports"]) != 1 {
		e.t.Fatalf("ports of %s with %s: %v", device, owner, l)
	}
	return l["ports"][0]
}

// metric is the value of a line of /metrics, 0 if there is none.
func (e *env) metric(name string) (v float64) {
	e.t.Helper()
	_, text, err := e.try("GET", "/metrics", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, l := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(l, name+" "); ok {
			fmt.Sscan(rest, &v)
		}
	}
	return v
}

// TestEntry routes between VMs of two hosts and a machine in a VLAN that is no port of the store: it has the router as its
// gateway, and each host finds it out for itself.
func TestEntry(t *testing.T) {
	t.Parallel()
	var machine *ovstest.VM
	nic := map[string]string{"ext": "nic1"}
	s := newSite(t, siteOptions{hosts: 2, physical: []map[string]string{nic, nic}, mappings: []string{"{external: br-ex}", "{external: br-ex}"},
		setup: func(s *site) {
			_, at := s.outside("out", "ext", map[string]string{"100": "10.0.3.200/24"})
			machine = at["100"]
			machine.Run("ip", "route", "add", "default", "via", "10.0.3.1")
			for _, h := range s.hosts {
				h.AddBridge("br-ex")
				h.AddPort("br-ex", "nic1")
				h.VSCtl("set", "Bridge", "br-ex", "external_ids:penstock-takeover=true")
			}
		}})
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	hall := s.create("network", object{"name": "hall", "provider:network_type": "vlan", "provider:physical_network": "external", "provider:segmentation_id": 100})
	s2 := s.create("subnet", object{"network_id": hall["id"], "ip_version": 4, "cidr": "10.0.3.0/24", "allocation_pools": []object{{"start": "10.0.3.2", "end": "10.0.3.99"}}})
	s.router("r", s1, s2)
	a, b := s.on(s.hosts[0], "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(s.hosts[1], "b", blue, "10.0.1.12", nil).via("10.0.1.1")
	c := s.on(s.hosts[1], "c", hall, "10.0.3.13", nil).via("10.0.3.1")
	s.settle()
	a.pings("10.0.1.12")
	b.pings("10.0.1.11")
	told := machine.Capture("arp or icmp")
	for _, v := range []*vm{a, b} {
		v.pings("10.0.3.200")
		v.pings("10.0.3.13")
		v.first("10.0.3.200")
	}
	c.pings("10.0.3.200")
	for _, dst := range []string{"10.0.3.1", "10.0.1.11", "10.0.1.12"} {
		if !machine.WaitPing(dst, patience) {
			t.Errorf("the machine gets no answer from %s: it saw %s", dst, strings.Join(told.Stop(), "\n"))
		}
	}
	if o, _ := b.TryRun("ping", "-c", "1", "-W", "10", "10.0.3.201"); !strings.Contains(o, "From 10.0.1.1 ") || !strings.Contains(o, "Destination Host Unreachable") {
		t.Errorf("nobody is there: %s", o)
	}
	if o, _ := machine.TryRun("ping", "-c", "1", "-W", "10", "10.0.1.77"); !strings.Contains(o, "From 10.0.3.1 ") || !strings.Contains(o, "Destination Host Unreachable") {
		t.Errorf("nobody is there, from the machine: %s", o)
	}
	told.Stop()
}
