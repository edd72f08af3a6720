package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestManyMembers has 4,000 members of one network on one host: a broadcast reaches them all, each once, and the
// groups that do it are read back as they were sent.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	const members = 4000
	e, _ := bigNetwork(t, members, false)
	e.oneCopyEach(members, "eth(src=fa:16:3e:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x88b5)")

	// Everything is read back equal, groups included, by a new penstockd and by an audit.
	groups := strings.Count(e.host.OFCtl("dump-groups", "br-int"), "group_id=")
	if groups < members/64 {
		t.Errorf("%d groups", groups)
	}
	e.d.kill()
	e.d.start()
	e.waitReady()
	if n := e.flowMods(); n != 0 {
		t.Errorf("%d flow-mods after a restart", n)
	}
	if n := e.audit(); n != 0 {
		t.Errorf("the audit found %d differences", n)
	}
	e.wait("all ports to stay ACTIVE", func() bool { return e.status().Ports.Active == members })

	// One member goes: one leaf is rewritten, the rest stays.
	mods := e.flowMods()
	e.host.VSCtl("del-port", "v17")
	e.wait("one port to be DOWN", func() bool { return e.status().Ports.Active == members-1 })
	e.settle()
	if n := e.flowMods() - mods; n > 16 { // the flows of one port, and its leaf
		t.Errorf("one port less took %d flow-mods", n)
	}
}

// TestManySecuredMembers has more members with security groups than one pass of a packet can be judged for: each part
// of the flood tree gets a pass of its own, and each member its copy.
func TestManySecuredMembers(t *testing.T) {
	t.Parallel()
	const members = 1600
	e, first := bigNetwork(t, members, true)
	mac, ip := first["mac_address"].(string), first["fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	e.oneCopyEach(members, "eth(src="+mac+",dst=ff:ff:ff:ff:ff:ff),eth_type(0x0800),ipv4(src="+ip+
		",dst=10.0.255.255,proto=17,tos=0,ttl=64,frag=no),udp(src=1000,dst=1000)")
}

// bigNetwork has a network with many members on one host, and gives the first port.
func bigNetwork(t *testing.T, members int, secured bool) (e *env, first object) {
	const batch = 200
	e = start(t, options{host: ovstest.Options{Datapath: ovstest.Dummy}})
	n := e.create("network", object{"name": "big", "port_security_enabled": secured})
	e.create("subnet", object{"network_id": n["id"], "ip_version": 4, "cidr": "10.0.0.0/16", "enable_dhcp": false})
	var ids []string
	for len(ids) < members {
		var out struct{ Ports []object }
		var ask []object
		for range batch {
			ask = append(ask, object{"network_id": n["id"]})
		}
		e.do("POST", "/v2.0/ports", object{"ports": ask}, &out)
		for _, p := range out.Ports {
			ids = append(ids, p["id"].(string))
			if first == nil {
				first = p
			}
		}
	}
	// ovs-vsctl's own time grows with the square of what it is given, and Open vSwitch takes half a minute for all.
	for first := 0; first < members; first += batch {
		args := []string{"--no-wait"}
		for i := first; i < first+batch; i++ {
			name := fmt.Sprintf("v%d", i)
			args = append(args, "--", "add-port", "br-int", name, "--", "set", "Interface", name, "type=dummy",
				"ofport_request="+strconv.Itoa(i+1), "external_ids:iface-id="+ids[i])
		}
		e.host.VSCtl(args...)
	}
	e.within(8*patience, "all ports to be ACTIVE", func() bool { return e.status().Ports.Active == members })
	e.settle()
	return e, first
}

// oneCopyEach has the first member send a frame and checks that every other one gets one copy.
func (e *env) oneCopyEach(members int, frame string) {
	e.t.Helper()
	e.host.AppCtl("netdev-dummy/receive", "v0", frame)
	sent := regexp.MustCompile(`(?m)^  port +"?(v?\d+)"?: rx.*\n +tx pkts=(\d+)`)
	var got map[string]string
	count := func() (n int) {
		got = map[string]string{}
		for _, m := range sent.FindAllStringSubmatch(e.host.OFCtl("dump-ports", "br-int"), -1) {
			if m[2] != "0" {
				got[m[1]] = m[2]
				n++
			}
		}
		return n
	}
	e.within(patience, "a copy for every member", func() bool { return count() >= members-1 })
	for port, tx := range got {
		if tx != "1" {
			e.t.Errorf("port %s got %s copies", port, tx)
		}
	}
	if len(got) != members-1 {
		e.t.Errorf("%d ports got a copy, want %d", len(got), members-1)
	}
}
