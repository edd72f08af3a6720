package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestNetworkLog has accepts and drops of a port logged by Neutron's network log, and nothing of it left afterwards.
func TestNetworkLog(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/network.log"
	e := start(t, options{extra: fmt.Sprintf("log: {network: %q}\npacket_in: {log_pps: 1, log_burst: 10}\n", file)})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	out, web := e.group("out", nil), e.group("web", nil)
	e.rule(out, "egress", nil)
	tcp80 := e.rule(web, "ingress", object{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
	at := func(name, ip, group string) *vm {
		v := e.vm(name, n, "", object{"fixed_ips": []object{{"ip_address": ip}}, "security_groups": []string{group}})
		v.IP = ip
		v.with()
		return v
	}
	a, w := at("a", "10.0.0.11", out), at("w", "10.0.0.12", web)
	w.serve("tcp4", 80)
	e.settle()
	flows := func() (n int, logging []string) {
		for _, f := range e.host.DumpFlows("br-int") {
			n++
			if strings.Contains(f, "userdata=01.4") {
				logging = append(logging, f)
			}
		}
		return n, logging
	}
	type line map[string]any
	lines := func(match line) (out []line) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(b)) {
			var l line
			if !strings.HasSuffix(text, "\n") || json.Unmarshal([]byte(text), &l) != nil {
				continue // is being written
			}
			ok := true
			for k, v := range match {
				ok = ok && fmt.Sprint(l[k]) == fmt.Sprint(v)
			}
			if ok {
				out = append(out, l)
			}
		}
		return out
	}
	a.reaches("tcp4", w, 80)
	before, logging := flows()
	if len(logging) > 0 || len(lines(nil)) > 0 || strings.Contains(e.host.OFCtl("dump-meters", "br-int"), "rate=1 ") {
		t.Fatalf("logged without a log: %q, %v", logging, lines(nil))
	}

	l := e.logOf(object{"resource_type": "security_group", "resource_id": web, "event": "ALL", "name": "web"})
	e.settle()
	if n, logging := flows(); n != before+len(logging) || len(logging) == 0 || len(logging) > 8 {
		t.Errorf("%d flows log, %d others were made", len(logging), n-len(logging)-before)
	}
	conn, err := a.dial("tcp4", "10.0.0.12:80", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted := line{"event": "ACCEPT", "direction": "ingress", "port_id": w.Port["id"], "port_name": "w", "rule_id": tcp80, "security_group_id": web,
		"log_ids": []any{l}, "src": a.IP, "dst": w.IP, "protocol": "tcp", "dst_port": 80, "src_port": strings.Split(conn.LocalAddr().String(), ":")[1], "host": e.host.Name}
	for range 20 { // packets of a connection that is there already
		if !echoes(conn, patience) {
			t.Fatal("the connection does not carry")
		}
	}
	e.wait("the accept to be logged", func() bool { return len(lines(accepted)) > 0 })
	dropped := line{"event": "DROP", "reason": "no-rule", "port_id": w.Port["id"], "protocol": "udp", "dst_port": 81, "log_ids": []any{l}}
	u, err := a.dial("udp4", "10.0.0.12:81", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	e.wait("a drop to be logged", func() bool { u.Write([]byte("x")); return len(lines(dropped)) > 0 })
	if n := len(lines(accepted)); n != 1 {
		t.Errorf("one connection made %d lines: %v", n, lines(accepted))
	}
	// A flood of drops is counted whole and logged in part.
	e.wait("the drops to be counted", func() bool {
		for range 100 { // faster than Open vSwitch takes them from a tap, some are lost
			u.Write([]byte("x"))
		}
		for _, d := range e.drops(w).Drops {
			if d.Reason == "no-rule" && d.NPackets >= 1000 {
				return true
			}
		}
		return false
	})
	if n := len(lines(dropped)); n > 200 {
		t.Errorf("of 1000 drops %d were logged, at one a second", n)
	}
	// What another group's rule lets pass is not this group's.
	if got := lines(line{"port_id": a.Port["id"]}); len(got) > 0 {
		t.Errorf("of a, which no log is about: %v", got)
	}

	// Off, and gone with its group: no flow and no meter is left.
	e.do("PUT", "/v2.0/log/logs/"+l, object{"log": object{"enabled": false}}, nil)
	e.settle()
	if n, logging := flows(); n != before || len(logging) > 0 {
		t.Errorf("%d flows, %d before; logging: %v", n, before, logging)
	}
	if m := e.host.OFCtl("dump-meters", "br-int"); strings.Contains(m, "rate=1 ") {
		t.Errorf("a meter is left:\n%s", m)
	}
	e.do("PUT", "/v2.0/log/logs/"+l, object{"log": object{"enabled": true}}, nil)
	// With a target and an event, over a restart, which finds everything in place.
	e.logOf(object{"resource_type": "security_group", "target_id": a.Port["id"], "event": "ACCEPT"})
	e.settle()
	e.d.kill()
	e.d.start()
	e.waitReady()
	for _, b := range e.status().Hosts[0].Bridges {
		if b.FlowModsSent > 0 {
			t.Errorf("%s: %d flow-mods after a restart", b.Name, b.FlowModsSent)
		}
	}
	if !ovstest.WaitFor(patience, func() bool {
		return a.tries("tcp4", "10.0.0.12:80", moment) && len(lines(line{"event": "ACCEPT", "direction": "egress", "port_id": a.Port["id"], "dst": w.IP})) > 0
	}) {
		t.Error("what a opens is not logged")
	}
	e.update("port", w.Port["id"], object{"security_groups": []string{}})
	e.delete("security-group", web)
	var left struct{ Logs []object }
	e.do("GET", "/v2.0/log/logs?name=web", nil, &left)
	if len(left.Logs) > 0 {
		t.Errorf("the log outlives its group: %v", left)
	}
}

// logOf makes a network log and gives its id.
func (e *env) logOf(attrs object) string {
	e.t.Helper()
	var out struct{ Log object }
	e.do("POST", "/v2.0/log/logs", object{"log": attrs}, &out)
	return out.Log["id"].(string)
}
