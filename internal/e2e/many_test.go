package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// site is several hosts on one underlay. penstockd runs on the first; the others' databases and bridges are reached
// over the management network, 10.255.0.0/24, tunnels end in 172.31.0.0/24.
type site struct {
	*env
	under *ovstest.Underlay
	hosts []*ovstest.Host
	open  map[string]bool // security groups that let everything in
}

// siteOptions of newSite.
type siteOptions struct {
	hosts    int
	physical []map[string]string // of each host: physical network -> NIC
	mappings []string            // of each host, a YAML flow mapping
	extra    string              // further YAML
	setup    func(*site)         // before penstockd starts
	noStart  bool
}

func newSite(t *testing.T, opt siteOptions) *site {
	t.Helper()
	s := &site{env: &env{t: t}, under: ovstest.NewUnderlay(t), open: map[string]bool{}}
	yaml := "openflow: {listen: \"10.255.0.1:6653\"}\nhosts:\n"
	for i := range opt.hosts {
		var phys map[string]string
		if i < len(opt.physical) {
			phys = opt.physical[i]
		}
		h := s.addHost(t, phys)
		ovsdb := h.OVSDB()
		if i > 0 {
			ovsdb = s.tcp(i)
		}
		mapping := ""
		if i < len(opt.mappings) && opt.mappings[i] != "" {
			mapping = ", bridge_mappings: " + opt.mappings[i]
		}
		yaml += fmt.Sprintf("  - {name: %s, ovsdb: %q, tunnel_ip: %s%s}\n", h.Name, ovsdb, s.tunnelIP(i), mapping)
	}
	h := s.hosts[0]
	s.host, s.url = h, "http://127.0.0.1:9696"
	s.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: h.Dial, MaxIdleConnsPerHost: 4}}
	t.Cleanup(s.http.CloseIdleConnections)
	s.d = newDaemon(t, h, yaml+opt.extra)
	if opt.setup != nil {
		opt.setup(s)
	}
	if !opt.noStart {
		s.d.start()
		s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
		// settle leaves out hosts that are not alive, and none is at first.
		s.wait("all hosts to be alive", func() bool {
			alive := 0
			for _, h := range s.status().Hosts {
				if h.Alive && len(h.Bridges) > 0 {
					alive++
				}
			}
			return alive == opt.hosts
		})
		s.settle()
	}
	return s
}

// addHost starts one more Open vSwitch host, which penstockd does not know yet.
func (s *site) addHost(t *testing.T, physical map[string]string, args ...string) *ovstest.Host {
	t.Helper()
	i := len(s.hosts)
	h := ovstest.Start(t, ovstest.Options{Name: fmt.Sprint("h", i+1), Underlay: s.under, TunnelIP: s.tunnelIP(i) + "/24",
		MgmtIP: fmt.Sprintf("10.255.0.%d/24", i+1), Remotes: []string{"ptcp:6640"}, Physical: physical, OVSDBArgs: args})
	s.hosts = append(s.hosts, h)
	return h
}

func (s *site) tunnelIP(i int) string { return fmt.Sprintf("172.31.0.%d", i+1) }
func (s *site) tcp(i int) string      { return fmt.Sprintf("tcp:10.255.0.%d:6640", i+1) }

// settle waits until all hosts that are alive have confirmed what the store holds now.
func (s *site) settle() {
	s.t.Helper()
	rev := s.status().Revision
	s.wait("all switches to be in sync", func() bool {
		st := s.status()
		if st.Derived < rev || len(st.Hosts) == 0 {
			return false
		}
		for _, h := range st.Hosts {
			for _, b := range h.Bridges {
				if h.Alive && (!b.Connected || !b.Synced) {
					return false
				}
			}
		}
		return true
	})
}

// of is a host as the operator API shows it.
func (s *site) of(h *ovstest.Host) opapi.Host {
	s.t.Helper()
	for _, x := range s.status().Hosts {
		if x.Name == h.Name {
			return x
		}
	}
	return opapi.Host{}
}

func (s *site) waitAlive(h *ovstest.Host, want bool) {
	s.t.Helper()
	s.wait(fmt.Sprintf("host %s to be alive: %v", h.Name, want), func() bool { return s.of(h).Alive == want })
}

// net makes a network with provider attributes and a subnet.
func (s *site) net(name, cidr string, attrs object) object {
	s.t.Helper()
	body := object{"name": name}
	for k, v := range attrs {
		body[k] = v
	}
	n := s.create("network", body)
	s.create("subnet", object{"network_id": n["id"], "ip_version": 4, "cidr": cidr, "gateway_ip": nil})
	return n
}

func provider(typ string, id int, physical string) object {
	o := object{"provider:network_type": typ}
	if id != 0 {
		o["provider:segmentation_id"] = id
	}
	if physical != "" {
		o["provider:physical_network"] = physical
	}
	return o
}

// on makes a port and a machine with its address on a host, plugged and ACTIVE.
func (s *site) on(h *ovstest.Host, name string, net object, ip string, attrs object) *vm {
	s.t.Helper()
	v := s.place(h, name, net, ip, attrs)
	v.Plug()
	v.waitActive()
	return v
}

// place is on without the plug.
func (s *site) place(h *ovstest.Host, name string, net object, ip string, attrs object) *vm {
	s.t.Helper()
	body := object{"name": name, "network_id": net["id"], "fixed_ips": []object{{"ip_address": ip}}}
	for k, v := range attrs {
		body[k] = v
	}
	p := s.create("port", body)
	s.letIn(p)
	v := &vm{e: s.env, Port: p, IP: ip}
	v.VM = h.AddVM(name, ovstest.VMOptions{MAC: p["mac_address"].(string), IfaceID: p["id"].(string), NoPlug: true})
	v.Run("ip", "link", "set", "eth0", "mtu", strconv.Itoa(int(net["mtu"].(float64))))
	return v.with()
}

// letIn has a port's security groups let everything in: these tests are not about them.
func (s *site) letIn(p object) {
	s.t.Helper()
	groups, _ := p["security_groups"].([]any)
	for _, g := range groups {
		if id := g.(string); !s.open[id] {
			s.open[id] = true
			s.do("POST", "/v2.0/security-group-rules", object{"security_group_rule": object{"security_group_id": id, "direction": "ingress", "ethertype": "IPv4"}}, nil)
		}
	}
}

// allPairs pings between any two.
func allPairs(vms ...*vm) {
	for i, a := range vms {
		a.e.t.Helper()
		for _, b := range vms[i+1:] {
			a.pings(b.IP)
		}
	}
}

// TestOverlays is three hosts with VXLAN and GRE networks.
func TestOverlays(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{hosts: 3})
	vx, gr := s.net("vx", "10.1.0.0/24", provider("vxlan", 70000, "")), s.net("gr", "10.2.0.0/24", provider("gre", 5000, ""))
	var vxs, grs []*vm
	for i, h := range s.hosts {
		vxs = append(vxs, s.on(h, fmt.Sprint("vx", i+1), vx, fmt.Sprintf("10.1.0.%d", 11+i), nil))
		grs = append(grs, s.on(h, fmt.Sprint("gr", i+1), gr, fmt.Sprintf("10.2.0.%d", 11+i), nil))
	}
	s.settle()
	allPairs(vxs...)
	allPairs(grs...)

	// The largest packets pass whole, larger ones not at all.
	for _, x := range []struct {
		net  object
		mtu  int
		a, b *vm
	}{{vx, 1450, vxs[0], vxs[1]}, {gr, 1458, grs[0], grs[2]}} {
		if got := int(x.net["mtu"].(float64)); got != x.mtu {
			t.Errorf("%s: MTU %d, want %d", x.net["name"], got, x.mtu)
		}
		out, err := x.a.TryRun("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "-M", "do", "-s", strconv.Itoa(x.mtu-28), x.b.IP)
		if err != nil {
			t.Errorf("%s: full-MTU packets do not pass: %v", x.net["name"], err)
		} else if !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s: full-MTU packets are lost: %s", x.net["name"], out)
		}
	}

	s.sameNumber(t)
	s.unicast(t, vxs)
	s.flood(t, vxs)
	s.learning(t, vx, vxs)
	s.shown(t, vxs)
	s.noLimits(t)
}

// shown looks at what the API says of where things are.
func (s *site) shown(t *testing.T, vms []*vm) {
	var d opapi.HostDetail
	s.do("GET", opapi.PathHosts+"/h2", nil, &d)
	for _, n := range d.Networks {
		if n.Name == "vx" && (n.Type != "vxlan" || n.SegmentationID != 70000 || len(n.Hosts) != 3 || len(n.Ports) != 1 || n.Ports[0].Name != "vx2") {
			t.Errorf("h2 shows vx as %+v", n)
		}
	}
	if len(d.Networks) < 3 {
		t.Errorf("h2 carries %+v", d.Networks)
	}
	for i, v := range vms {
		if host := s.show("port", v.Port["id"])["binding:host_id"]; host != s.hosts[i].Name {
			t.Errorf("%s is on %v", v.Name, host)
		}
	}
}

// sameNumber has VXLAN 10 and GRE 10 with the same addresses on the same hosts.
func (s *site) sameNumber(t *testing.T) {
	vx, gr := s.net("v10", "10.3.0.0/24", provider("vxlan", 10, "")), s.net("g10", "10.3.0.0/24", provider("gre", 10, ""))
	va, vb := s.on(s.hosts[0], "va", vx, "10.3.0.11", nil), s.on(s.hosts[1], "vb", vx, "10.3.0.12", nil)
	ga, gb := s.on(s.hosts[0], "ga", gr, "10.3.0.11", nil), s.on(s.hosts[1], "gb", gr, "10.3.0.12", nil)
	gc := s.on(s.hosts[2], "gc", gr, "10.3.0.13", nil)
	s.settle()
	seen := gb.Capture("icmp or arp")
	va.pings("10.3.0.12")
	va.TryRun("arping", "-c", "2", "-w", "3", "-I", "eth0", "10.3.0.77") // nobody answers
	if l := seen.Stop(); len(l) > 0 {
		t.Errorf("the GRE network sees the VXLAN network's packets: %q", l)
	}
	seen = vb.Capture("icmp or arp")
	ga.pings("10.3.0.12")
	ga.pings("10.3.0.13")
	gc.TryRun("arping", "-c", "2", "-w", "3", "-I", "eth0", "10.3.0.77")
	if l := seen.Stop(); len(l) > 0 {
		t.Errorf("the VXLAN network sees the GRE network's packets: %q", l)
	}
	if r := va.Ping("10.3.0.13", 2); r.Received > 0 {
		t.Error("a VM of the VXLAN network reaches one of the GRE network")
	}
}

// unicast looks where the packets between two hosts go.
func (s *site) unicast(t *testing.T, vms []*vm) {
	third := vms[2].Capture("icmp or arp")
	wire := s.under.CaptureOn("net0", "(udp port 4789 or proto 47) and dst host "+s.tunnelIP(2))
	arps := s.under.CaptureOn("net0", "udp port 4789 or proto 47")
	if r := vms[0].Ping(vms[1].IP, 10); r.Received != 10 || r.Duplicates > 0 {
		t.Errorf("ping: %v", r)
	}
	vms[0].Run("ip", "neigh", "flush", "dev", "eth0")
	vms[0].pings(vms[1].IP)
	for _, l := range append(third.Stop(), wire.Stop()...) {
		if strings.Contains(l, vms[0].IP+" > "+vms[1].IP) || strings.Contains(l, vms[1].IP+" > "+vms[0].IP) {
			t.Errorf("h3 sees a unicast between h1 and h2: %s", l)
		}
	}
	lines := arps.Stop()
	if len(lines) == 0 {
		t.Error("nothing was seen on the wire: the checks above see nothing")
	}
	for _, l := range lines {
		if strings.Contains(l, "who-has "+vms[1].IP+" ") {
			t.Errorf("an ARP request for a known address crosses a tunnel: %s", l)
		}
	}
}

// flood has all hosts flood at once: every broadcast comes to every other VM exactly once.
func (s *site) flood(t *testing.T, vms []*vm) {
	const each = 5
	var seen []*ovstest.Capture
	for _, v := range vms {
		seen = append(seen, v.Capture("arp"))
	}
	wire := s.under.CaptureOn("net0", "udp port 4789 or proto 47")
	var senders []*ovstest.Process
	for _, v := range vms {
		senders = append(senders, v.Start("arping", "-c", strconv.Itoa(each), "-w", "30", "-I", "eth0", "10.1.0.99"))
	}
	for _, p := range senders {
		p.Wait(40 * time.Second) // nobody answers: an exit status of 1
	}
	count := func(lines []string, from string) int {
		return strings.Count(strings.Join(lines, "\n"), "who-has 10.1.0.99 (ff:ff:ff:ff:ff:ff) tell "+from+",")
	}
	for _, from := range vms {
		for i, v := range vms {
			if v == from {
				continue
			}
			ovstest.WaitFor(5*time.Second, func() bool { return count(seen[i].Lines(), from.IP) >= each })
			if got := count(seen[i].Lines(), from.IP); got != each {
				t.Errorf("%s got %d of %d broadcasts of %s: %q", v.Name, got, each, from.Name, seen[i].Lines())
			}
		}
		if got := count(wire.Lines(), from.IP); got != each*(len(vms)-1) {
			t.Errorf("%d broadcasts of %s were %d packets on the wire, want one for each of the %d other hosts", each, from.Name, got, len(vms)-1)
		}
	}
	for _, c := range append(seen, wire) {
		c.Stop()
	}
}

// learning reaches a MAC behind a port without port security from other hosts, before and after it moves.
func (s *site) learning(t *testing.T, net object, vms []*vm) {
	u := s.on(s.hosts[0], "u", net, "10.1.0.50", object{"port_security_enabled": false})
	u.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
	u.SetIP("10.1.0.77/24", "")
	s.settle()
	vms[1].pings("10.1.0.77")
	third := vms[2].Capture("icmp")
	if r := vms[1].Ping("10.1.0.77", 5); r.Received != 5 || r.Duplicates > 0 {
		t.Errorf("ping of a learned MAC: %v", r)
	}
	for _, l := range third.Stop() {
		t.Errorf("h3 sees a unicast to a learned MAC: %s", l)
	}
	if fdb := s.hosts[1].OFCtl("dump-flows", "br-tun", "table=12"); strings.Count(fdb, "02:00:00:00:00:77") != 1 {
		t.Errorf("h2 has not learned the MAC from the tunnel:\n%s", fdb)
	}
	// It outlives a restart of penstockd, and the hosts get nothing that they have.
	s.d.kill()
	if r := vms[1].Ping("10.1.0.77", 3); r.Received != 3 {
		t.Errorf("without penstockd: %v", r)
	}
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	s.settle()
	if fdb := s.hosts[1].OFCtl("dump-flows", "br-tun", "table=12"); strings.Count(fdb, "02:00:00:00:00:77") != 1 {
		t.Errorf("what h2 has learned is gone after a restart:\n%s", fdb)
	}
	for _, h := range s.status().Hosts {
		for _, b := range h.Bridges {
			if b.FlowModsSent > 0 {
				t.Errorf("%s %s got %d flow-mods after a restart without changes", h.Name, b.Name, b.FlowModsSent)
			}
		}
	}
	u.MoveTo(s.hosts[2])
	s.wait("the moved port to be bound on h3", func() bool { return s.show("port", u.Port["id"])["binding:host_id"] == "h3" })
	u.waitActive()
	u.TryRun("arping", "-U", "-c", "1", "-I", "eth0", "10.1.0.77")
	vms[1].pings("10.1.0.77")
}

// noLimits checks that no packet met a limit of Open vSwitch.
func (s *site) noLimits(t *testing.T) {
	for _, h := range s.hosts {
		log := h.Log(2000)
		for _, limit := range []string{"recirculation depth", "resubmit limit", "translation depth", "resubmit actions over"} {
			if strings.Contains(log, limit) {
				t.Errorf("%s: its log says %q", h.Name, limit)
			}
		}
	}
}
