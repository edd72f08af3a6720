package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// outside is a switch on a physical network with a machine on each VLAN, "" for untagged frames: the kernel of a machine
// need not know VLANs.
func (s *site) outside(name, net string, cidrs map[string]string) (sw *ovstest.Host, at map[string]*ovstest.VM) {
	s.t.Helper()
	sw = ovstest.Start(s.t, ovstest.Options{Name: name, Underlay: s.under, Physical: map[string]string{net: "nic1"}})
	sw.AddBridge("br0")
	sw.AddPort("br0", "nic1")
	at = map[string]*ovstest.VM{}
	for vlan, cidr := range cidrs {
		at[vlan] = sw.AddVM("m"+vlan, ovstest.VMOptions{IP: cidr, Bridge: "br0"})
		if vlan != "" {
			sw.VSCtl("set", "Port", at[vlan].Tap, "tag="+vlan)
		}
	}
	return sw, at
}

// TestProviders is two hosts with VLAN and flat networks, on bridges that the operator made.
func TestProviders(t *testing.T) {
	t.Parallel()
	var sw *ovstest.Host
	var out *ovstest.VM
	var live []*ovstest.RunningPing
	nics := map[string]string{"ext": "nic1", "lab": "nic2"}
	s := newSite(t, siteOptions{hosts: 2, physical: []map[string]string{nics, nics}, mappings: []string{"{external: br-ex}", "{external: br-ex}"},
		setup: func(s *site) {
			var at map[string]*ovstest.VM
			sw, at = s.outside("out", "ext", map[string]string{"": "10.50.0.100/24", "101": "10.101.0.100/24", "102": "10.102.0.100/24"})
			out = at[""]
			for i, h := range s.hosts {
				// As an operator has it: NIC and the host's own address on br-ex, a learning switch.
				h.AddBridge("br-ex")
				h.AddPort("br-ex", "nic1")
				h.Run("ip", "addr", "add", []string{"10.50.0.1/24", "10.50.0.2/24"}[i], "dev", "br-ex")
				h.Run("ip", "link", "set", "br-ex", "up")
			}
			for _, ip := range []string{"10.50.0.1", "10.50.0.2"} {
				if !out.WaitPing(ip, patience) {
					s.t.Fatalf("%s is not reached before Penstock comes", ip)
				}
				live = append(live, out.StartPing(ip, 10*time.Millisecond))
			}
		}, noStart: true})
	h1, h2 := s.hosts[0], s.hosts[1]
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	// h2's database is reached over the network: perhaps through br-ex, as far as penstockd knows.
	s.wait("BRIDGE_IN_USE on h2", func() bool {
		p := s.problem("BRIDGE_IN_USE")
		return p != nil && strings.HasPrefix(p.Object, "host h2") && strings.Contains(p.Text, "penstock-takeover=true")
	})
	if h2.VSCtl("get", "Bridge", "br-ex", "fail_mode") != "[]" {
		t.Error("penstockd has taken over h2's br-ex nevertheless")
	}
	h2.VSCtl("set", "Bridge", "br-ex", "external_ids:penstock-takeover=true")
	s.wait("no BRIDGE_IN_USE", func() bool { return s.problem("BRIDGE_IN_USE") == nil })
	s.settle()
	for i, p := range live {
		n := p.Received()
		if !ovstest.WaitFor(patience, func() bool { return p.Received() > n+20 }) {
			t.Errorf("h%d is not reached at br-ex after Penstock took it over", i+1)
		}
		r := p.Stop()
		t.Logf("h%d's own address while br-ex was taken over: %v", i+1, r)
		if r.Lost > r.Sent/2 {
			t.Errorf("h%d was out of reach: %v", i+1, r)
		}
	}

	flat := s.net("flat", "10.50.0.0/24", provider("flat", 0, "external"))
	v101, v102 := s.net("v101", "10.101.0.0/24", provider("vlan", 101, "external")), s.net("v102", "10.101.0.0/24", provider("vlan", 102, "external"))
	f1, f2 := s.on(h1, "f1", flat, "10.50.0.11", nil), s.on(h2, "f2", flat, "10.50.0.12", nil)
	a1, a2 := s.on(h1, "a1", v101, "10.101.0.11", nil), s.on(h2, "a2", v101, "10.101.0.12", nil)
	b1, b2 := s.on(h1, "b1", v102, "10.101.0.21", nil), s.on(h2, "b2", v102, "10.101.0.22", nil)
	s.settle()
	for _, v := range []*vm{f1, f2} {
		v.pings("10.50.0.100")
		v.pings("10.50.0.1") // the hosts themselves
		v.pings("10.50.0.2")
		if r := out.Ping(v.IP, 3); r.Received == 0 {
			t.Errorf("the outside does not reach %s: %v", v.Name, r)
		}
	}
	for _, v := range []*vm{a1, a2} {
		v.pings("10.101.0.100")
	}
	f1.pings(f2.IP)
	a1.pings(a2.IP)
	b1.pings(b2.IP)
	// The same addresses, another VLAN: nothing in common.
	seen := b1.Capture("icmp or arp")
	tagged := sw.CaptureOn("nic1", "vlan 102")
	for _, dst := range []string{a2.IP, "10.101.0.100"} {
		if r := b1.Ping(dst, 1); r.Received > 0 {
			t.Errorf("a VM of VLAN 102 reaches %s of VLAN 101", dst)
		}
	}
	if tagged.Wait("vlan 102", patience) == "" {
		t.Error("no frame of VLAN 102 on its wire")
	}
	seenBefore := len(seen.Lines())
	a2.TryRun("arping", "-c", "2", "-w", "3", "-I", "eth0", "10.101.0.99")
	for _, l := range append(seen.Stop()[seenBefore:], tagged.Stop()...) {
		if strings.Contains(l, "10.101.0.99") {
			t.Errorf("VLAN 102 sees a broadcast of VLAN 101: %s", l)
		}
	}
	// Physical MACs are learned: the outside's, on br-int or by the bridge; a second ping floods nothing to other VMs.
	quiet := a2.Capture("icmp")
	if r := a1.Ping("10.101.0.100", 3); r.Received != 3 || r.Duplicates > 0 {
		t.Errorf("%v", r)
	}
	for _, l := range quiet.Stop() {
		t.Errorf("a2 sees a unicast of a1: %s", l)
	}
	// The operator's own keep working.
	if r := out.Ping("10.50.0.1", 5); r.Received != 5 || r.Duplicates > 0 {
		t.Errorf("the outside and h1's own address: %v", r)
	}
	s.remap(t, h1, h2)
	s.noLimits(t)
}

// remap adds a mapping at run time, moves it to another bridge, and takes it away.
func (s *site) remap(t *testing.T, h1, h2 *ovstest.Host) {
	s.outside("labout", "lab", map[string]string{"": "10.60.0.100/24", "7": "10.7.0.100/24"})
	if code, body, err := s.try("POST", "/v2.0/networks", object{"network": mergeObjects(object{"name": "l7"}, provider("vlan", 7, "lab"))}); err != nil || code != 400 ||
		!strings.Contains(string(body), "physical_network 'lab' unknown") {
		t.Errorf("a physical network that no host has: %d %s", code, body)
	}
	mapping := func(h *ovstest.Host, m map[string]string) {
		s.do("PUT", opapi.PathHosts+"/"+h.Name, opapi.HostPatch{BridgeMappings: &m}, nil)
		s.settle()
	}
	for _, h := range []*ovstest.Host{h1, h2} {
		h.AddBridge("br-lab", "external_ids:penstock-takeover=true")
		h.AddPort("br-lab", "nic2")
	}
	mapping(h1, map[string]string{"external": "br-ex", "lab": "br-lab"})
	l7 := s.net("l7", "10.7.0.0/24", provider("vlan", 7, "lab"))
	c1 := s.on(h1, "c1", l7, "10.7.0.11", nil)
	s.settle()
	c1.pings("10.7.0.100")
	// On h2, which has no mapping, the port cannot be bound to the network.
	c2 := s.place(h2, "c2", l7, "10.7.0.12", object{"binding:host_id": "h2"})
	if typ := s.show("port", c2.Port["id"])["binding:vif_type"]; typ != "binding_failed" {
		t.Errorf("binding:vif_type on a host without the physical network is %v", typ)
	}
	c2.Plug()
	s.wait("NETWORK_NOT_CARRIED", func() bool { return s.problem("NETWORK_NOT_CARRIED") != nil })
	mapping(h2, map[string]string{"external": "br-ex", "lab": "br-lab"})
	c2.waitActive()
	s.wait("no NETWORK_NOT_CARRIED", func() bool { return s.problem("NETWORK_NOT_CARRIED") == nil })
	if typ := s.show("port", c2.Port["id"])["binding:vif_type"]; typ != "ovs" {
		t.Errorf("binding:vif_type is %v", typ)
	}
	allPairs(c1, c2)
	c2.pings("10.7.0.100")
	// The other end of the same wire is in another bridge now.
	h2.VSCtl("del-port", "br-lab", "nic2")
	h2.AddBridge("br-lab2", "external_ids:penstock-takeover=true")
	h2.AddPort("br-lab2", "nic2")
	mapping(h2, map[string]string{"external": "br-ex", "lab": "br-lab2"})
	c2.pings("10.7.0.100")
	c2.pings(c1.IP)
	s.wait("br-lab to be given back", func() bool {
		return h2.VSCtl("get", "Bridge", "br-lab", "fail_mode") == "[]" && h2.VSCtl("get", "Bridge", "br-lab", "controller") == "[]"
	})
	// A bridge that does not exist is made, and said to lead nowhere.
	mapping(h2, map[string]string{"external": "br-ex", "lab": "br-lab2", "far": "br-far"})
	s.wait("BRIDGE_WITHOUT_UPLINK", func() bool {
		p := s.problem("BRIDGE_WITHOUT_UPLINK")
		return p != nil && strings.Contains(p.Text, "br-far")
	})
	c2.pings("10.7.0.100")
}

func mergeObjects(l ...object) object {
	out := object{}
	for _, o := range l {
		for k, v := range o {
			out[k] = v
		}
	}
	return out
}
