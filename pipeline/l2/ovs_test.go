package l2_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/pipeline"
)

// site is real hosts with what is derived for them.
type site struct {
	t     *testing.T
	w     *world
	e     *engine
	under *ovstest.Underlay
	hosts map[string]*ovstest.Host
	vms   map[string]*ovstest.VM
}

func newSite(t *testing.T) *site {
	return &site{t: t, w: newWorld(t), e: newEngine(), under: ovstest.NewUnderlay(t), hosts: map[string]*ovstest.Host{}, vms: map[string]*ovstest.VM{}}
}

// host starts a host with the bridges and ports that package ovsdb makes; tunnel is its address with a prefix length.
func (s *site) host(name, tunnel string, physical map[string]string) *ovstest.Host {
	h := ovstest.Start(s.t, ovstest.Options{Name: name, Underlay: s.under, TunnelIP: tunnel, Physical: physical})
	s.hosts[name] = h
	h.AddBridge("br-int", "fail_mode=secure")
	if tunnel != "" {
		h.AddBridge("br-tun", "fail_mode=secure")
		patch(h, "br-int", "patch-tun", pipeline.PortPatchTun, "br-tun", "patch-int")
		for _, typ := range []string{"vxlan", "gre"} {
			port := map[string]int{"vxlan": pipeline.PortVXLAN, "gre": pipeline.PortGRE}[typ]
			ip, _, _ := strings.Cut(tunnel, "/")
			h.AddPort("br-tun", typ+"-pst", "type="+typ, "options:remote_ip=flow", "options:key=flow", "options:local_ip="+ip, fmt.Sprint("ofport_request=", port))
		}
	}
	return h
}

func patch(h *ovstest.Host, a, pa string, na int, b, pb string) {
	h.AddPort(a, pa, "type=patch", "options:peer="+pb, fmt.Sprint("ofport_request=", na))
	h.AddPort(b, pb, "type=patch", "options:peer="+pa, fmt.Sprint("ofport_request=", pipeline.PortPatchInt))
}

// vm plugs a machine and gives the "on" of its port.
func (s *site) vm(host, name, mac, cidr string) uint32 {
	s.vms[name] = s.hosts[host].AddVM(name, ovstest.VMOptions{MAC: mac, IP: cidr})
	return s.hosts[host].OFPort(s.vms[name].Tap)
}

// step applies a state and sends every bridge what changes, as a session does.
func (s *site) step(yaml string) {
	s.t.Helper()
	d := s.e.apply(s.w.step([]byte(yaml))...)
	checkFlows(s.t, s.e)
	for i := range d.Bridges {
		if h := s.hosts[string(d.Bridges[i].Host)]; h != nil {
			s.send(h, &d.Bridges[i])
		}
	}
}

func (s *site) send(h *ovstest.Host, d *derive.BridgeDelta) {
	s.t.Helper()
	for _, m := range d.SetMeters {
		h.OFCtl("add-meter", d.Bridge, fmt.Sprintf("meter=%d,pktps,burst,band=type=drop,rate=%d,burst_size=%d", m.ID, m.PPS, m.Burst))
	}
	slices.SortFunc(d.SetGroups, func(a, b pipeline.Group) int { return cmp.Compare(b.ID, a.ID) }) // leaves first
	for _, g := range d.SetGroups {
		h.OFCtl("--may-create", "mod-group", d.Bridge, groupText(s.t, g))
	}
	var lines []string
	for _, f := range d.Set {
		lines = append(lines, "add "+flowLine(s.w, &f))
	}
	for _, f := range d.Del {
		of, err := f.Decode()
		if err != nil {
			s.t.Fatal(err)
		}
		of.Actions = nil
		text, _, _ := strings.Cut(of.String(), " actions=")
		_, text, _ = strings.Cut(text, ", ") // without the cookie
		lines = append(lines, "delete_strict "+text)
	}
	for _, x := range d.Forget {
		lines = append(lines, fmt.Sprintf("delete table=%d,cookie=%#x/-1", x.Table, uint64(x.Cookie)))
	}
	path := filepath.Join(h.Dir(), "flows."+d.Bridge)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	h.OFCtl("--bundle", "add-flows", d.Bridge, path)
	for _, id := range d.DelGroups {
		h.OFCtl("del-groups", d.Bridge, fmt.Sprint("group_id=", id))
	}
	for _, id := range d.DelMeters {
		h.OFCtl("del-meters", d.Bridge, fmt.Sprint("meter=", id))
	}
}

// TestGoldensLoad gives every flow and group of every scenario to a real switch as the golden files have it.
func TestGoldensLoad(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	for i, path := range scenarios(t) {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for j, f := range a.Files {
			host, br, ok := strings.Cut(f.Name, "/")
			if !ok || strings.Contains(host, ":") || strings.HasSuffix(br, " groups") {
				continue
			}
			bridge := fmt.Sprintf("b%d-%d", i, j)
			h.AddBridge(bridge, "fail_mode=secure")
			want := strings.Count(string(f.Data), "\n")
			for _, line := range strings.Split(string(f.Data), "\n") {
				if _, id, ok := strings.Cut(line, "meter_id="); ok {
					id, _, _ = strings.Cut(id, ")")
					h.TryOFCtl("add-meter", bridge, "meter="+id+",pktps,band=type=drop,rate=1") // several flows use one
				}
			}
			for _, g := range a.Files {
				if g.Name == f.Name+" groups" {
					lines := strings.Split(strings.TrimSpace(string(g.Data)), "\n")
					slices.Reverse(lines) // leaves first
					for _, l := range lines {
						h.OFCtl("add-group", bridge, l)
					}
				}
			}
			file := filepath.Join(h.Dir(), "flows."+bridge)
			if err := os.WriteFile(file, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
			h.OFCtl("--bundle", "add-flows", bridge, file)
			if got := len(h.DumpFlows(bridge)); got != want {
				t.Errorf("%s %s: %d flows loaded, %d written", filepath.Base(path), f.Name, got, want)
			}
		}
	}
}

const overlayHosts = `
groups: [{name: all, rules: [ingress ipv4 any any any, egress ipv4 any any any]}]
hosts:
- {name: h1, tunnel: 172.31.0.1}
- {name: h2, tunnel: 172.31.0.2}
- {name: h3, tunnel: 172.31.0.3}
networks:
- {name: vx, segments: [{type: vxlan, id: 5000}]}
- {name: gr, segments: [{type: gre, id: 5000}]}
`

// TestOverlay sends packets between three real hosts.
func TestOverlay(t *testing.T) {
	s := newSite(t)
	for i := range 3 {
		s.host(fmt.Sprint("h", i+1), fmt.Sprintf("172.31.0.%d/24", i+1), nil)
	}
	mac := func(i int) string { return fmt.Sprintf("fa:16:3e:00:00:%02x", i) }
	ports := "ports:\n"
	add := func(net, host, name string, i int) {
		on := s.vm(host, name, mac(i), fmt.Sprintf("10.0.0.%d/24", i))
		ports += fmt.Sprintf("- {name: %s, network: %s, mac: %q, ips: [10.0.0.%d], groups: [all], on: {%s: %d}, unsecured: %v}\n", name, net, mac(i), i, host, on, name == "u")
	}
	add("vx", "h1", "a", 1)
	add("vx", "h2", "b", 2)
	add("vx", "h3", "c", 3)
	add("gr", "h1", "ga", 1) // the same MACs and addresses on the same hosts
	add("gr", "h2", "gb", 2)
	add("gr", "h3", "gd", 4)
	s.step(overlayHosts + ports)
	a, b := s.vms["a"], s.vms["b"]

	wire := s.under.CaptureOn("net0", "udp port 4789 or proto 47")
	seen := map[string]*ovstest.Capture{}
	for n, vm := range s.vms {
		seen[n] = vm.Capture("icmp or arp")
	}
	if !a.WaitPing("10.0.0.2", 10*time.Second) || !a.WaitPing("10.0.0.3", 10*time.Second) || !b.WaitPing("10.0.0.3", 10*time.Second) {
		t.Fatal("VMs of the VXLAN network do not reach each other")
	}
	for n, x := range seen {
		if strings.HasPrefix(n, "g") && len(x.Lines()) > 0 {
			t.Errorf("%s, of the GRE network, sees packets of the VXLAN network: %q", n, x.Lines())
		}
	}
	if !s.vms["ga"].WaitPing("10.0.0.2", 10*time.Second) || !s.vms["gb"].WaitPing("10.0.0.4", 10*time.Second) {
		t.Error("VMs of the GRE network do not reach each other")
	}
	if _, err := s.vms["ga"].TryRun("ping", "-c", "1", "-W", "1", "10.0.0.3"); err == nil {
		t.Error("a VM of the GRE network reaches one of the VXLAN network")
	}
	for _, l := range seen["c"].Lines() {
		if strings.Contains(l, "10.0.0.1 > 10.0.0.2") || strings.Contains(l, "10.0.0.2 > 10.0.0.1") {
			t.Errorf("h3 gets a unicast between h1 and h2: %s", l)
		}
	}
	for _, l := range wire.Lines() {
		if strings.Contains(l, "ARP, Request who-has 10.0.0.1 ") || strings.Contains(l, "ARP, Request who-has 10.0.0.2 ") {
			t.Errorf("an ARP request for a known address crosses a tunnel: %s", l)
		}
	}
	if strings.Count(strings.Join(wire.Lines(), "\n"), "vni 5000") == 0 {
		t.Error("no VXLAN packet was seen on the wire: the checks above see nothing")
	}

	// A broadcast: once at each member, once to each host, never back.
	a.TryRun("arping", "-c", "3", "-w", "4", "-I", "eth0", "10.0.0.99")
	for _, n := range []string{"b", "c"} {
		if seen[n].Wait("who-has 10.0.0.99", 5*time.Second) == "" {
			t.Errorf("%s does not get a broadcast of a", n)
		}
	}
	sentBy := strings.Count(strings.Join(seen["a"].Lines(), "\n"), "who-has 10.0.0.99")
	for n, want := range map[string]int{"b": sentBy, "c": sentBy, "ga": 0, "gb": 0, "gd": 0} {
		if got := strings.Count(strings.Join(seen[n].Lines(), "\n"), "who-has 10.0.0.99"); got != want {
			t.Errorf("%s got %d of %d broadcasts", n, got, want)
		}
	}
	if got := strings.Count(strings.Join(wire.Lines(), "\n"), "who-has 10.0.0.99"); got != 2*sentBy {
		t.Errorf("%d broadcasts were %d packets on the wire, want one for each of 2 other hosts", sentBy, got)
	}

	// Behind a port without security: an address and a MAC that nobody knows.
	add("vx", "h1", "u", 7)
	u := s.vms["u"]
	u.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
	u.SetIP("10.0.0.77/24", "")
	s.step(ports)
	if !b.WaitPing("10.0.0.77", 10*time.Second) {
		t.Fatal("an address behind a port without security is not reached from another host")
	}
	before := len(seen["c"].Lines())
	if r := b.Ping("10.0.0.77", 5); r.Received != 5 || r.Duplicates > 0 {
		t.Errorf("ping of a learned MAC: %v", r)
	}
	for _, l := range seen["c"].Lines()[before:] {
		if strings.Contains(l, "10.0.0.77: ICMP") {
			t.Errorf("h3 gets a unicast to a learned MAC: %s", l)
		}
	}
	fdb := s.hosts["h2"].OFCtl("dump-flows", "br-tun", "table=12")
	if strings.Count(fdb, "02:00:00:00:00:77") != 1 || strings.Contains(fdb, mac(1)) {
		t.Errorf("h2 has not learned the unknown MAC and nothing else:\n%s", fdb)
	}
	// It moves: what it says from its new place is believed.
	u.MoveTo(s.hosts["h3"])
	ports = strings.Replace(ports, "on: {h1: "+on(ports, "u"), fmt.Sprintf("on: {h3: %d", s.hosts["h3"].OFPort(u.Tap)), 1)
	s.step("remove: [binding h1/u]\n" + ports)
	u.TryRun("arping", "-U", "-c", "1", "-I", "eth0", "10.0.0.77")
	if !b.WaitPing("10.0.0.77", 10*time.Second) {
		t.Error("a learned MAC that moved is not reached")
	}
	s.migrate(ports, mac(2))
	s.limits()
}

// migrate moves b from h2 to h3 as live migration does: for a while both hosts have its VIF.
func (s *site) migrate(ports, mac string) {
	a, b, c := s.vms["a"], s.vms["b"], s.vms["c"]
	next := s.hosts["h3"].AddVM("b2", ovstest.VMOptions{MAC: mac}) // silent, as a VM that is not running yet
	at := func(host string) string {
		return fmt.Sprintf("ports:\n- {name: b, network: vx, mac: %q, ips: [10.0.0.2], groups: [all], host_id: %s, on: {h2: %s, h3: %d}}\n", mac, host, on(ports, "b"), s.hosts["h3"].OFPort(next.Tap))
	}
	s.step(at("h2"))
	for _, vm := range []*ovstest.VM{a, c} {
		if r := vm.Ping("10.0.0.2", 5); r.Received != 5 || r.Duplicates > 0 {
			s.t.Errorf("%s to a VM that is about to move to h3: %v", vm.Name, r)
		}
	}
	b.Run("ip", "addr", "flush", "dev", "eth0")
	next.SetIP("10.0.0.2/24", "")
	s.step(at("h3"))
	for _, vm := range []*ovstest.VM{a, c} {
		// Open vSwitch's revalidators may take a moment until datapath flows follow.
		if r := vm.Ping("10.0.0.2", 5); r.Received < 4 || r.Duplicates > 0 {
			s.t.Errorf("%s to a VM that has just moved to h3: %v", vm.Name, r)
		}
	}
	s.step("remove: [binding h2/b]")
	if r := a.Ping("10.0.0.2", 5); r.Received != 5 {
		s.t.Errorf("a to a VM that has moved to h3: %v", r)
	}
}

// limits checks that no packet met a limit of Open vSwitch.
func (s *site) limits() {
	for n, h := range s.hosts {
		log := h.Log(500)
		for _, limit := range []string{"recirculation depth", "resubmit limit", "translation depth", "resubmit actions over", "dropping packet"} {
			if strings.Contains(log, limit) {
				s.t.Errorf("%s: its log says %q", n, limit)
			}
		}
	}
}

// on is the port's number in the first host of its "on".
func on(yaml, name string) string {
	_, rest, _ := strings.Cut(yaml, "{name: "+name+",")
	_, rest, _ = strings.Cut(rest, "on: {")
	_, rest, _ = strings.Cut(rest, ": ")
	n, _, _ := strings.Cut(rest, "}")
	return n
}
