package e2e

import (
	"strings"
	"testing"

	"github.com/penstock/penstock/opapi"
)

// waitProblem waits until health has an entry of a code about an object.
func (e *env) waitProblem(code, object string) (h opapi.Health) {
	e.t.Helper()
	e.wait("health "+code+" of "+object, func() bool {
		for _, h = range e.health() {
			if strings.HasPrefix(h.Code, code) && strings.Contains(h.Object+" "+h.Text, object) {
				return true
			}
		}
		return false
	})
	if strings.Contains(h.Text, "\n") || len(h.Text) < 20 {
		e.t.Errorf("health %s is not one line that says what to do: %q", code, h.Text)
	}
	return h
}

func (e *env) waitNoProblem(code string) {
	e.t.Helper()
	e.wait("health "+code+" to go", func() bool { return e.problem(code) == nil })
}

// TestPortLife follows a port through everything that may happen to its VIF.
func TestPortLife(t *testing.T) {
	t.Parallel()
	e := start(t, options{more: []string{`{name: h2, ovsdb: "unix:/nonexistent/db.sock"}`}})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	peer := e.vm("peer", n, "10.0.0.11", nil).with()
	v := e.unplugged("v", n, "10.0.0.12", nil).with()
	id := v.Port["id"].(string)
	key := e.key(id)
	if s := v.status(); s != "DOWN" {
		t.Errorf("before the plug: %s", s)
	}

	// Plug: ACTIVE, on this host.
	v.Plug()
	v.waitActive()
	peer.pings(v.IP)
	if p := e.show("port", id); p["binding:host_id"] != "h1" && p["binding:host_id"] != "" {
		t.Errorf("binding:host_id %v", p["binding:host_id"])
	}

	// Unplug: DOWN, its own flows gone.
	local := func() (out []string) { // those that name the VIF's port number
		for _, f := range e.flowsOf("br-int", key) {
			if !strings.Contains(f, "table=") || strings.Contains(f, "actions=output:") {
				out = append(out, f)
			}
		}
		return out
	}
	if len(local()) < 2 {
		t.Fatalf("flows of the plugged port: %q", e.flowsOf("br-int", key))
	}
	v.Unplug()
	v.waitStatus("DOWN")
	e.wait("its flows to go", func() bool { return len(local()) == 0 })
	e.settle()
	// Two of the port that stays; the ids below 4 are of slot 0, which is the host's own.
	out := e.host.OFCtl("dump-meters", "br-int")
	own := strings.Count(out, "meter=1 ") + strings.Count(out, "meter=2 ") + strings.Count(out, "meter=3 ")
	if strings.Count(out, "meter=")-own != 2 {
		t.Errorf("meters after the unplug: %s", out)
	}

	// Replug under another name, with another port number.
	other := "x" + v.Tap[1:]
	e.host.Run("ip", "link", "set", v.Tap, "down")
	e.host.Run("ip", "link", "set", v.Tap, "name", other)
	e.host.Run("ip", "link", "set", other, "up")
	e.host.AddPort("br-int", other, "ofport_request=777", "external_ids:iface-id="+id)
	v.Tap = other
	v.waitActive()
	peer.pings(v.IP)
	if f := local(); !strings.Contains(strings.Join(f, "\n"), "in_port=777") {
		t.Errorf("flows after the replug: %q", f)
	}

	// Down by the API and up again.
	e.update("port", id, object{"admin_state_up": false})
	v.waitStatus("DOWN")
	e.wait("penstock-installed to go", func() bool { return !v.installed() })
	e.settle()
	if r := peer.Ping(v.IP, 3); r.Received != 0 {
		t.Errorf("a port that is down answers: %v", r)
	}
	e.update("port", id, object{"admin_state_up": true})
	v.waitActive()
	peer.pings(v.IP)

	// The port belongs to another host: it stays until that one has it, but does not come back here.
	e.update("port", id, object{"binding:host_id": "h2"})
	e.settle()
	peer.pings(v.IP)
	e.host.VSCtl("del-port", "br-int", v.Tap)
	v.waitStatus("DOWN")
	e.host.AddPort("br-int", v.Tap, "external_ids:iface-id="+id)
	e.waitProblem("VIF_ELSEWHERE", id)
	e.settle()
	if s := v.status(); s != "DOWN" || v.installed() || len(local()) != 0 {
		t.Errorf("a port of another host is %s, installed %v, flows %q", s, v.installed(), local())
	}
	e.update("port", id, object{"binding:host_id": "h1"})
	e.waitNoProblem("VIF_ELSEWHERE")
	v.waitActive()
	peer.pings(v.IP)

	// Two Interfaces with one iface-id: the first stays, and takes its place back when the other is gone.
	e.host.AddPort("br-int", "twin", "type=internal", "external_ids:iface-id="+id)
	e.waitProblem("VIF_TWICE", id)
	peer.pings(v.IP)
	if s := v.status(); s != "ACTIVE" {
		t.Errorf("with a twin: %s", s)
	}
	e.host.VSCtl("del-port", "br-int", "twin")
	e.waitNoProblem("VIF_TWICE")
	peer.pings(v.IP)

	// A name alone changes no flow and no state.
	mods := e.flowMods()
	e.update("port", id, object{"name": "renamed"})
	e.settle()
	if n := e.flowMods(); n != mods || v.status() != "ACTIVE" {
		t.Errorf("a new name took %d flow-mods, status %s", n-mods, v.status())
	}

	// The port is deleted while its VIF is there.
	e.delete("port", id)
	e.waitProblem("VIF_UNKNOWN", id)
	e.wait("penstock-installed to go", func() bool { return !v.installed() })
	e.settle()
	if f := e.flowsOf("br-int", key); len(f) != 0 {
		t.Errorf("flows of a deleted port: %q", f)
	}
	if r := peer.Ping(v.IP, 2); r.Received != 0 {
		t.Errorf("a deleted port answers: %v", r)
	}

	// The VIF gets another, new port: bound at once. Nobody else was disturbed.
	p := e.create("port", object{"network_id": n["id"], "mac_address": v.MAC, "fixed_ips": []object{{"ip_address": v.IP}}})
	e.host.VSCtl("set", "Interface", v.Tap, "external_ids:iface-id="+p["id"].(string))
	e.waitNoProblem("VIF_UNKNOWN")
	v.Port = p
	v.waitActive()
	peer.pings(v.IP)
	if s := peer.status(); s != "ACTIVE" {
		t.Errorf("the neighbour is %s", s)
	}
}
