package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/opapi"
)

var xid = regexp.MustCompile(`\(xid=0x[0-9a-f]+\)`)

// plain takes what changes from dump to dump out of it.
func plain(dump []string) []string {
	out := make([]string, len(dump))
	for i, s := range dump {
		out[i] = xid.ReplaceAllString(s, "")
	}
	return out
}

// state is everything that the bridges hold, learned facts excepted.
func (e *env) state() []string {
	e.t.Helper()
	var out []string
	for _, br := range []string{"br-int", "br-tun"} {
		for _, f := range e.host.DumpFlows(br) {
			if !strings.Contains(f, "table=52,") {
				out = append(out, br+" "+f)
			}
		}
		for _, cmd := range []string{"dump-groups", "dump-meters"} {
			out = append(out, strings.Split(e.host.OFCtl(cmd, br), "\n")...)
		}
	}
	out = plain(out)
	slices.Sort(out)
	return out
}

// differ says which lines only one of two states has; empty if they are equal.
func differ(want, is []string) string {
	var b strings.Builder
	for _, x := range want {
		if !slices.Contains(is, x) {
			b.WriteString("\n\t- " + x)
		}
	}
	for _, x := range is {
		if !slices.Contains(want, x) {
			b.WriteString("\n\t+ " + x)
		}
	}
	return b.String()
}

func (e *env) audit() (n uint64) {
	e.t.Helper()
	var l []opapi.Audit
	e.do("POST", opapi.PathAudit, nil, &l)
	if len(l) == 0 {
		e.t.Fatal("nothing was audited")
	}
	for _, a := range l {
		n += a.Repaired
	}
	return n
}

// TestDrift changes flows, groups and meters by hand: what is foreign stays, what is ours comes back.
func TestDrift(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	e.settle()
	if n := e.audit(); n != 0 {
		t.Errorf("an audit of untouched bridges repaired %d", n)
	}
	clean := e.state()

	// Foreign flows, and the group and meter that they use, survive restarts and audits and are shown.
	e.host.OFCtl("add-meter", "br-int", "meter=60000,pktps,band=type=drop,rate=1000")
	e.host.OFCtl("add-group", "br-int", "group_id=70001,type=all,bucket=actions=drop")
	e.host.OFCtl("add-group", "br-int", "group_id=70000,type=all,bucket=actions=group:70001")
	e.host.OFCtl("add-flow", "br-int", "cookie=0x1234,table=0,priority=7,in_port=4242,actions=group:70000")
	e.host.OFCtl("add-flow", "br-int", "cookie=0x1234,table=200,priority=7,actions=meter:60000,output:4242")
	foreign := e.state()
	e.d.kill()
	e.d.start()
	e.waitReady()
	if n := e.flowMods(); n != 0 {
		t.Errorf("%d flow-mods", n)
	}
	if n := e.audit(); n != 0 {
		t.Errorf("an audit beside foreign flows repaired %d", n)
	}
	if d := differ(foreign, e.state()); d != "" {
		t.Errorf("foreign state changed:%s", d)
	}
	shown := 0
	for _, f := range e.flows("br-int") {
		if f.State == opapi.FlowForeign && strings.Contains(f.Text, "0x1234") {
			shown++
		}
	}
	if shown != 2 {
		t.Errorf("%d of 2 foreign flows are shown as foreign", shown)
	}
	e.host.OFCtl("del-flows", "br-int", "cookie=0x1234/-1")

	// Groups without a foreign flow that uses them are not left lying about.
	e.audit()
	if d := differ(clean, e.state()); d != "" {
		t.Errorf("unused groups and meters are left:%s", d)
	}

	// What is ours comes back, and what only looks so goes.
	key := e.key(b.Port["id"])
	group := regexp.MustCompile(`group_id=(\d+)`).FindStringSubmatch(e.host.OFCtl("dump-groups", "br-int"))[1]
	for _, c := range []struct {
		name string
		do   func()
		min  uint64
	}{
		{"deleted flow", func() {
			e.host.OFCtl("--strict", "del-flows", "br-int", fmt.Sprintf("table=64,priority=100,reg15=%#x", key))
		}, 1},
		{"changed flow", func() {
			e.host.OFCtl("--strict", "mod-flows", "br-int", fmt.Sprintf("table=64,priority=100,reg15=%#x,actions=drop", key))
		}, 1},
		{"stale flow", func() {
			e.host.OFCtl("add-flow", "br-int", "cookie=0x51ffff0300000001,table=64,priority=50000,actions=drop")
		}, 1},
		{"all flows deleted", func() { e.host.OFCtl("del-flows", "br-int") }, 20},
		{"all groups deleted", func() { e.host.OFCtl("del-groups", "br-int") }, 2},
		{"a group emptied", func() { e.host.OFCtl("mod-group", "br-int", "group_id="+group+",type=all") }, 1},
		{"all meters deleted", func() { e.host.OFCtl("del-meters", "br-int") }, 4},
	} {
		c.do()
		if differ(clean, e.state()) == "" {
			t.Errorf("%s: nothing is different", c.name)
		}
		if n := e.audit(); n < c.min {
			t.Errorf("%s: %d repaired, want at least %d", c.name, n, c.min)
		}
		if d := differ(clean, e.state()); d != "" {
			t.Errorf("%s: not repaired:%s", c.name, d)
		}
		a.pings(b.IP)
	}
}

// TestRefused makes the switch refuse flows of one port: its neighbours are served, health names the flow, and when
// the cause is gone it heals by itself.
func TestRefused(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	a := e.vm("a", n, "10.0.0.11", nil).with()
	e.settle()
	count := 0
	for _, f := range e.host.DumpFlows("br-int") {
		if !strings.Contains(f, "table=") {
			count++
		}
	}
	e.host.VSCtl("--id=@ft", "create", "Flow_Table", fmt.Sprintf("flow_limit=%d", count+1), "overflow_policy=refuse", "--",
		"set", "Bridge", "br-int", "flow_tables:0=@ft")
	b := e.vm("b", n, "10.0.0.12", nil).with() // takes the last place
	c := e.unplugged("c", n, "10.0.0.13", nil).with()
	c.Plug()
	h := e.waitProblem("FLOW_REFUSED", c.Port["id"].(string))
	if !strings.Contains(h.Text, "in_port=") || h.Object != "host h1 br-int" {
		t.Errorf("health: %+v", h)
	}
	if s := c.status(); s != "DOWN" || c.installed() {
		t.Errorf("a port without its flows is %s, installed %v", s, c.installed())
	}
	a.pings(b.IP)
	if s := b.status(); s != "ACTIVE" {
		t.Errorf("the neighbour is %s", s)
	}
	// A change of a neighbour goes through beside it.
	e.update("port", b.Port["id"], object{"fixed_ips": []object{{"ip_address": "10.0.0.22"}}})
	b.SetIP("10.0.0.22/24", "")
	a.pings("10.0.0.22")
	e.host.VSCtl("clear", "Bridge", "br-int", "flow_tables")
	c.waitActive()
	e.waitNoProblem("FLOW_REFUSED")
	a.pings(c.IP)

	// A port that was in place and now is not: limit again, and have the switch lose the flow.
	e.host.VSCtl("--id=@ft", "create", "Flow_Table", "flow_limit=1", "overflow_policy=refuse", "--",
		"set", "Bridge", "br-int", "flow_tables:64=@ft")
	e.host.OFCtl("--strict", "del-flows", "br-int", fmt.Sprintf("table=64,priority=100,reg15=%#x", e.key(c.Port["id"])))
	e.audit()
	e.waitProblem("FLOW_REFUSED", c.Port["id"].(string))
	c.waitStatus("DOWN")
	e.wait("penstock-installed to go", func() bool { return !c.installed() })
	e.host.VSCtl("clear", "Bridge", "br-int", "flow_tables")
	c.waitActive()
	e.waitNoProblem("FLOW_REFUSED")
	a.pings(c.IP)
}

// TestCleanup deletes everything: the bridges hold what they held at the start.
func TestCleanup(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	base := e.state()
	net1, _ := e.network("blue", "10.0.0.0/24", nil)
	net2, _ := e.network("red", "10.0.0.0/24", nil)
	vms := []*vm{e.vm("a", net1, "10.0.0.11", nil).with(), e.vm("b", net1, "10.0.0.12", object{"port_security_enabled": false}).with(), e.vm("c", net2, "10.0.0.11", nil).with()}
	vms[1].Run("ip", "link", "set", "eth0", "address", "02:00:00:00:0c:01")
	vms[1].SetIP("10.0.0.99/24", "")
	vms[0].pings("10.0.0.99")
	e.learned("02:00:00:00:0c:01")
	for _, v := range vms { // the ports first, one VIF stays until the end
		e.delete("port", v.Port["id"])
	}
	vms[0].Unplug()
	e.delete("network", net1["id"])
	e.delete("network", net2["id"])
	e.settle()
	if d := differ(base, e.state()); d != "" {
		t.Errorf("left over:%s", d)
	}
	if f := e.fdb(); len(f) != 0 {
		t.Errorf("fdb: %+v", f)
	}
	if n := len(e.host.DumpFlows("br-int")); n != len(slices.DeleteFunc(slices.Clone(base), func(s string) bool { return !strings.HasPrefix(s, "br-int ") })) {
		t.Errorf("%d flows on br-int, learned ones too?", n)
	}
}
