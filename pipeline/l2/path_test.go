package l2_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// TestPaths traces a packet along every declared path through real switches, holds its passes against the budget, and
// looks where it comes out.
func TestPaths(t *testing.T) {
	s := newSite(t)
	for i := 1; i <= 3; i++ {
		h := s.host(fmt.Sprint("h", i), fmt.Sprintf("172.31.0.%d/24", i), map[string]string{"external": "nic1"})
		h.AddBridge("br-ex", "fail_mode=secure")
		h.AddPort("br-ex", "nic1")
		patch(h, "br-int", "int-br-ex", pipeline.PortPhysicalBase+1, "br-ex", "phy-br-ex")
	}
	mac := func(i int) string { return fmt.Sprintf("fa:16:3e:00:02:%02x", i) }
	port := func(name, net, host string, i int) string {
		n := s.vm(host, name, mac(i), fmt.Sprintf("10.0.0.%d/24", i))
		return fmt.Sprintf("- {name: %s, network: %s, mac: %q, ips: [10.0.0.%d], groups: [all], on: {%s: %d}}\n", name, net, mac(i), i, host, n)
	}
	s.step(`
physical: [{name: external, number: 1}]
groups: [{name: all, rules: [ingress ipv4 any any any, egress ipv4 any any any]}]
hosts:
- {name: h1, tunnel: 172.31.0.1, mappings: {external: br-ex}}
- {name: h2, tunnel: 172.31.0.2, mappings: {external: br-ex}}
- {name: h3, tunnel: 172.31.0.3, mappings: {external: br-ex}}
networks:
- {name: vx, segments: [{type: vxlan, id: 70000}]}
- {name: v100, segments: [{type: vlan, physical: external, id: 100}]}
ports:
` + port("a", "vx", "h1", 1) + port("b", "vx", "h1", 2) + port("c", "vx", "h2", 3) + port("d", "vx", "h3", 4) + port("p", "v100", "h1", 5) + port("q", "v100", "h1", 6))
	// The tunnels' own ARP first: what has no neighbour is not sent.
	if !s.vms["a"].WaitPing("10.0.0.3", 10*time.Second) || !s.vms["a"].WaitPing("10.0.0.4", 10*time.Second) {
		t.Fatal("the hosts do not reach each other")
	}
	h1 := s.hosts["h1"]
	in := func(vm string) string { return fmt.Sprint("in_port=", h1.OFPort(s.vms[vm].Tap)) }
	datapath := func(vm string) string { return portNumber(t, h1.AppCtl("dpif/show"), s.vms[vm].Tap) }
	nic := portNumber(t, h1.AppCtl("dpif/show"), "nic1")
	from := func(i int) string { return fmt.Sprintf(",ip,dl_src=%s,nw_src=10.0.0.%d", mac(i), i) }
	to := func(i int) string { return ",dl_dst=" + mac(i) + ",nw_dst=10.0.0.8" }
	all := ",dl_dst=ff:ff:ff:ff:ff:ff,nw_dst=255.255.255.255"
	tunnel := "in_port=65001,tun_id=70000,tun_src=172.31.0.2,tun_dst=172.31.0.1"
	wire := fmt.Sprintf("in_port=%d,dl_vlan=100,dl_vlan_pcp=0,ip,dl_src=00:00:00:00:00:77,nw_src=10.0.0.9", h1.OFPort("nic1"))
	paths := map[string]struct {
		bridge, flow string
		decap        int
		want         []string // in the datapath actions
		not          []string
	}{
		"vm to vm on its host":    {"br-int", in("a") + from(1) + to(2), 0, []string{"[ ,]" + datapath("b") + "$"}, nil},
		"vm to another host":      {"br-int", in("a") + from(1) + to(3), 0, []string{"dst=172.31.0.2", "vni=0x11170"}, []string{"dst=172.31.0.3", "skb_mark"}},
		"another host to vm":      {"br-tun", tunnel + from(3) + to(1), 1, []string{"[ ,]" + datapath("a") + "$"}, []string{"tnl_push", "\\b" + datapath("b") + "$"}},
		"vm to all":               {"br-int", in("a") + from(1) + all, 0, []string{"dst=172.31.0.2", "dst=172.31.0.3", "[ ,]" + datapath("b") + "$"}, []string{"dst=172.31.0.1[,)]"}},
		"another host to all":     {"br-tun", tunnel + from(3) + all, 1, []string{"[ ,]" + datapath("a") + "\\b", "[ ,]" + datapath("b") + "\\b"}, []string{"tnl_push"}},
		"vm to physical network":  {"br-int", in("p") + from(5) + ",dl_dst=00:00:00:00:00:77", 0, []string{"push_vlan\\(vid=100"}, []string{"tnl_push", "skb_mark"}},
		"physical network to vm":  {"br-ex", wire + to(5), 0, []string{"pop_vlan", "[ ,]" + datapath("p") + "\\b"}, []string{"\\b" + datapath("q") + "$", "tnl_push", "(^|,)" + nic + "$"}},
		"physical network to all": {"br-ex", wire + all, 0, []string{"pop_vlan", "[ ,]" + datapath("p") + "\\b", "[ ,]" + datapath("q") + "\\b"}, []string{"tnl_push", "(^|,)" + nic + "$"}},
	}
	if len(paths) != len(pipeline.Paths) {
		t.Errorf("%d paths are declared, %d are tried", len(pipeline.Paths), len(paths))
	}
	for path, c := range paths {
		budget := -1
		for _, p := range pipeline.Paths {
			if p.Name == path {
				budget = p.Recirculations
			}
		}
		out := h1.Trace(c.bridge, c.flow)
		actions := allActions(out)
		t.Logf("%s: %s", path, actions)
		passes := depth(out) + strings.Count(out, "tnl_pop") + c.decap
		if budget < 0 || passes > budget || budget > pipeline.MaxRecirculations {
			t.Errorf("%s: %d passes more than the first, %d are declared", path, passes, budget)
		}
		for _, re := range c.want {
			if !regexp.MustCompile(re).MatchString(actions) {
				t.Errorf("%s: no %q in the datapath's actions %q", path, re, actions)
			}
		}
		for _, re := range c.not {
			if regexp.MustCompile(re).MatchString(actions) {
				t.Errorf("%s: %q in the datapath's actions %q", path, re, actions)
			}
		}
		if t.Failed() {
			t.Fatalf("%s", out)
		}
	}
	// A GRE network's key that no network can have, and keys of no network here.
	for _, bad := range []string{"in_port=65002,tun_id=0x1011170", "in_port=65002,tun_id=70000", "in_port=65001,tun_id=70001"} {
		if a := lastActions(h1.Trace("br-tun", bad+",tun_src=172.31.0.2,tun_dst=172.31.0.1"+from(3)+to(1))); a != "drop" {
			t.Errorf("%s: %s, want drop", bad, a)
		}
	}
	// A mark that comes with a packet means nothing.
	for _, bad := range []string{"in_port=64001,pkt_mark=0x03000064", "in_port=64001,pkt_mark=0x01011170", "in_port=999,pkt_mark=0x01011170"} {
		if a := lastActions(h1.Trace("br-int", bad+from(3)+to(1))); a != "drop" {
			t.Errorf("%s: %s, want drop", bad, a)
		}
	}
}

// TestManyHosts replicates to more hosts than one flow lists, within Open vSwitch's limits on a packet.
func TestManyHosts(t *testing.T) {
	const hosts = 300
	e := newEngine()
	changes := []model.Change{overlayRow(1, model.NetworkVXLAN, 77)}
	for i := 1; i <= hosts; i++ {
		changes = append(append(changes, hostRow(i)), bind(uint32(i), "n1", model.HostName(fmt.Sprintf("h%d", i)))...)
	}
	d := e.apply(changes...)
	s := &site{t: t, w: newWorld(t), e: e}
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br-tun", "fail_mode=secure")
	for i := range d.Bridges {
		if d.Bridges[i].Host == "h1" && d.Bridges[i].Bridge == "br-tun" {
			s.send(h, &d.Bridges[i])
		}
	}
	out := h.Trace("br-tun", "in_port=65000,pkt_mark=0x8100004d,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff")
	if n := strings.Count(out, "output:65001"); n != hosts-1 {
		t.Errorf("%d copies for %d other hosts", n, hosts-1)
	}
}

// depth is how many passes beyond the first the longest way through a trace has.
func depth(trace string) (deepest int) {
	ids := regexp.MustCompile(`recirc\(0x[0-9a-f]+\)`)
	at := map[string]int{}
	for i, pass := range regexp.MustCompile(`(?m)^=+$`).Split(trace, -1) {
		head, _, _ := strings.Cut(strings.TrimSpace(pass), "\n")
		mine := 0
		if i > 0 {
			mine = at[ids.FindString(head)]
		}
		for _, id := range ids.FindAllString(lastActions(pass), -1) {
			at[id] = mine + 1
			deepest = max(deepest, mine+1)
		}
	}
	return deepest
}

// allActions are the datapath's actions of a trace's passes.
func allActions(trace string) string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^Datapath actions: (.*)$`).FindAllStringSubmatch(trace, -1) {
		out = append(out, m[1])
	}
	return strings.Join(out, "; ")
}

// lastActions are the datapath's actions of a trace's last pass.
func lastActions(trace string) string {
	_, after, _ := strings.Cut(trace[max(0, strings.LastIndex(trace, "Datapath actions: ")):], "Datapath actions: ")
	a, _, _ := strings.Cut(after, "\n")
	return a
}

// portNumber is a port's number in the datapath.
func portNumber(t *testing.T, show, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(name) + ` \d+/(\d+):`).FindStringSubmatch(show)
	if m == nil {
		t.Fatalf("no port %s in\n%s", name, show)
	}
	return m[1]
}
