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
	const members, batch = 4000, 200
	e := start(t, options{host: ovstest.Options{Datapath: ovstest.Dummy}})
	n := e.create("network", object{"name": "big", "port_security_enabled": false})
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

	// One broadcast in, one copy out of every other port.
	e.host.AppCtl("netdev-dummy/receive", "v0", "eth(src=fa:16:3e:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x88b5)")
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
			t.Errorf("port %s got %s copies", port, tx)
		}
	}
	if len(got) != members-1 {
		t.Errorf("%d ports got a copy, want %d", len(got), members-1)
	}

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
	if n := e.flowMods() - mods; n > 12 {
		t.Errorf("one port less took %d flow-mods", n)
	}
}
