package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fails starts a penstockd that must end by itself, and gives what it said last, which must be one line for people.
func (e *env) fails(yaml string, args ...string) string {
	e.t.Helper()
	d := newDaemon(e.t, e.host, yaml)
	d.start(args...)
	if err := d.p.Wait(patience); err == nil || d.p.Running() {
		e.t.Fatalf("penstockd with %q does not fail: %v; %s", yaml, err, d.Log())
	}
	lines := strings.Split(strings.TrimSpace(d.Log()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "penstockd: ") || strings.Contains(d.Log(), "goroutine ") || strings.Contains(last, "Usage") {
		e.t.Errorf("not one clear line: %s", d.Log())
	}
	return last
}

// TestBadConfiguration starts penstockds that cannot work beside one that does.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	hosts := fmt.Sprintf("hosts: [{name: h1, ovsdb: %q}]\n", e.host.OVSDB())
	for _, c := range []struct {
		yaml string
		want []string // all in the line
	}{
		{"nonsense: 1\n" + hosts, []string{"nonsense", "penstock.yaml"}},
		{"hosts: [{name: h1\n", []string{"penstock.yaml"}},
		{"hosts: [{name: h1}]\n", []string{"h1", "ovsdb"}},
		{"hosts: [{name: h1, ovsdb: \"unix:/a\"}, {name: h1, ovsdb: \"unix:/b\"}]\n", []string{"h1", "twice"}},
		{"api: {listen: \"0.0.0.0:9697\"}\n" + hosts, []string{"0.0.0.0:9697", "auth"}},
		{"api: {listen: nowhere}\n" + hosts, []string{"api.listen", "nowhere"}},
		{"networks: {vxlan_range: \"5:1\"}\napi: {listen: \"127.0.0.1:9697\"}\nopenflow: {listen: \"127.0.0.1:6654\"}\n" + hosts, []string{"networks.vxlan_range", "5:1"}},
		{hosts, []string{"127.0.0.1:9696", "in use", "api.listen"}},
		{"api: {listen: \"127.0.0.1:9697\"}\n" + hosts, []string{"127.0.0.1:6653", "in use", "openflow.listen"}},
		{"data_dir: /proc/nowhere\napi: {listen: \"127.0.0.1:9697\"}\nopenflow: {listen: \"127.0.0.1:6654\"}\n" + hosts, []string{"/proc/nowhere", "data"}},
		{"data_dir: " + e.d.dir + "/data\napi: {listen: \"127.0.0.1:9697\"}\nopenflow: {listen: \"127.0.0.1:6654\"}\n" + hosts, []string{e.d.dir + "/data", "in use", "another"}},
	} {
		line := e.fails(c.yaml)
		for _, w := range c.want {
			if !strings.Contains(line, w) {
				t.Errorf("%q: %q does not name %q", c.yaml, line, w)
			}
		}
	}
	if line := e.fails(hosts, "--no-such-flag"); !strings.Contains(line, "no-such-flag") {
		t.Error(line)
	}
	a.pings(b.IP)
	if n := len(e.health()); n != 0 {
		t.Errorf("health: %s", e.healthText())
	}
}

// TestUnreachableOVSDB has hosts whose databases are not there: each is one line of health, the others work.
func TestUnreachableOVSDB(t *testing.T) {
	t.Parallel()
	e := start(t, options{more: []string{`{name: h2, ovsdb: "unix:/nonexistent/db.sock"}`, `{name: h3, ovsdb: "tcp:127.0.0.1:1"}`, `{name: h4, ovsdb: "tcp:192.0.2.1:6640"}`}})
	for _, h := range []string{"h2", "h3", "h4"} {
		e.waitProblem("OVSDB_UNREACHABLE", "host "+h)
	}
	a, b := pair(e)
	a.pings(b.IP)
	a.DHCP("udhcpc")
	for _, h := range e.status().Hosts {
		if h.Alive != (h.Name == "h1") {
			t.Errorf("host %s alive: %v", h.Name, h.Alive)
		}
	}
	// A database that comes back is used at once.
	e.host.StopDB()
	e.waitProblem("OVSDB_UNREACHABLE", "host h1")
	// No ping here: without its database ovs-vswitchd 3.1 does not run its main loop's part of the userspace datapath.
	e.host.StartDB()
	e.wait("h1 to be back", func() bool {
		for _, h := range e.health() {
			if h.Object == "host h1" {
				return false
			}
		}
		return true
	})
	a.pings(b.IP)
	b.Unplug()
	b.waitStatus("DOWN")
}

// TestBadRequests sends bodies that mean nothing; each gives an error in Neutron's form, and everything goes on.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	rev := e.status().Revision
	long := strings.Repeat("x", 5<<20)
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", "/v2.0/networks", "{", 400},
		{"POST", "/v2.0/networks", "", 400},
		{"POST", "/v2.0/networks", "null", 400},
		{"POST", "/v2.0/networks", "[]", 400},
		{"POST", "/v2.0/networks", `{"network": 5}`, 400},
		{"POST", "/v2.0/networks", `{"network": {"name": {"a": 1}}}`, 400},
		{"POST", "/v2.0/networks", `{"network": {"no_such_attribute": 1}}`, 400},
		{"POST", "/v2.0/networks", `{"port": {}}`, 400},
		{"POST", "/v2.0/networks", strings.Repeat("[", 100000), 400},
		{"POST", "/v2.0/networks", "\xff\xfe\x00", 400},
		{"POST", "/v2.0/ports", `{"port": {"network_id": "not a uuid"}}`, 400},
		{"POST", "/v2.0/ports", `{"port": {"network_id": "00000000-0000-0000-0000-000000000000"}}`, 404},
		{"POST", "/v2.0/subnets", `{"subnet": {"network_id": "` + a.Port["network_id"].(string) + `", "ip_version": 4, "cidr": "10.0.0.0/99"}}`, 400},
		{"PUT", "/v2.0/ports/" + a.Port["id"].(string), `{"port": {"mac_address": "zz"}}`, 400},
		{"GET", "/v2.0/ports/nobody", "", 404},
		{"DELETE", "/v2.0/networks/" + a.Port["network_id"].(string), "", 409},
		{"GET", "/v2.0/nothing", "", 404},
		{"GET", "/penstock/v1/flows?host=nobody", "", 400},
		{"POST", "/penstock/v1/audit?host=nobody", "", 400},
		{"POST", "/v2.0/networks", `{"network": {"name": "` + long + `"}}`, 413},
	} {
		name := c.method + " " + c.path + " " + c.body[:min(len(c.body), 40)]
		code, text, err := e.try(c.method, c.path, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if code != c.code && !(c.code == 413 && code == 400) {
			t.Errorf("%s: %d, want %d: %.200s", name, code, c.code, text)
		}
		var body struct {
			NeutronError struct{ Type, Message string }
		}
		if c.path != "/v2.0/nothing" && (json.Unmarshal(text, &body) != nil || body.NeutronError.Message == "") {
			t.Errorf("%s: not a NeutronError: %.200s", name, text)
		}
	}
	if now := e.status().Revision; now != rev {
		t.Errorf("refused requests moved the revision from %d to %d", rev, now)
	}
	a.pings(b.IP)
	if e.problem("STORE_REFUSES_WRITES") != nil || !e.d.p.Running() {
		t.Error(e.healthText())
	}
}

// TestFullDisk fills penstockd's disk: forwarding and what is known go on, changes are refused with one clear line,
// and when there is room again everything works.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	e := prepare(t, options{})
	disk := filepath.Join(e.d.dir, "data")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(size string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
	// Full from the start: it says so.
	mount("1m")
	e.d.start()
	if err := e.d.p.Wait(patience); err == nil || e.d.p.Running() {
		t.Fatalf("penstockd starts on a full disk: %v", err)
	}
	if lines := strings.Split(strings.TrimSpace(e.d.Log()), "\n"); !strings.Contains(lines[len(lines)-1], "free") || !strings.Contains(lines[len(lines)-1], disk) {
		t.Errorf("full disk at the start: %s", e.d.Log())
	}
	syscall.Unmount(disk, 0) // a busy one fails the mount below
	mount("600m")
	t.Cleanup(func() { e.d.kill(); syscall.Unmount(disk, 0) })
	e.d.start()
	e.waitReady()
	a, b := pair(e)
	a.pings(b.IP)

	// Full while it runs.
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for buf := make([]byte, 1<<20); ; {
		if _, err := ballast.Write(buf); err != nil {
			break
		}
	}
	e.waitProblem("STORE_REFUSES_WRITES", "free")
	code, text, err := e.try("POST", "/v2.0/networks", object{"network": object{"name": "late"}})
	if err != nil || code != 503 || !strings.Contains(string(text), "free") {
		t.Errorf("create on a full disk: %d %v %s", code, err, text)
	}
	if code, _, _ := e.try("GET", "/readyz", nil); code != 503 {
		t.Errorf("readyz on a full disk: %d", code)
	}
	if code, _, _ := e.try("GET", "/v2.0/networks", nil); code != 200 {
		t.Errorf("list on a full disk: %d", code)
	}
	a.pings(b.IP)
	if lease := a.DHCP("udhcpc"); lease["ip"] != a.IP {
		t.Errorf("lease on a full disk: %v", lease)
	}
	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	e.waitNoProblem("STORE_REFUSES_WRITES")
	e.network("late", "10.2.0.0/24", nil)
	b.Unplug()
	b.waitStatus("DOWN")
}

// TestUnknownVIF plugs Interfaces whose iface-id means nothing.
func TestUnknownVIF(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	for i, id := range []string{"11111111-2222-3333-4444-555555555555", "not a uuid", strings.Repeat("z", 300)} {
		name := fmt.Sprintf("odd%d", i)
		e.host.AddPort("br-int", name, "type=internal", `external_ids:iface-id="`+id+`"`)
		e.waitProblem("VIF_UNKNOWN", name)
	}
	e.host.AddPort("br-int", "gone", "type=internal", `external_ids:iface-id=""`)
	e.settle()
	a.pings(b.IP)
	for i := range 3 {
		e.host.VSCtl("del-port", fmt.Sprintf("odd%d", i))
	}
	e.waitNoProblem("VIF_UNKNOWN")
}

// TestObservability looks at metrics, health and readiness.
func TestObservability(t *testing.T) {
	t.Parallel()
	e := prepare(t, options{extra: "api: {pprof: true}\n"})
	e.host.StopDB() // it starts all the same
	e.d.start()
	e.wait("healthz", func() bool {
		code, text, err := e.try("GET", "/healthz", nil)
		return err == nil && code == 200 && string(text) == "ok\n"
	})
	e.waitProblem("OVSDB_UNREACHABLE", "host h1")
	e.host.StartDB()
	e.waitReady()
	a, b := pair(e)
	a.pings(b.IP)
	a.DHCP("udhcpc")
	e.try("GET", "/v2.0/ports/nobody", nil) // a 404 to count
	e.audit()
	e.settle()
	code, text, err := e.try("GET", "/metrics", nil)
	if err != nil || code != 200 {
		t.Fatalf("metrics: %d %v", code, err)
	}
	metrics := string(text)
	for _, want := range []string{
		"penstock_switch_connections 2\n", "penstock_switches_synced 2\n", "penstock_hosts 1\n",
		`penstock_packet_ins_total{handler="dhcp",outcome="`, `penstock_bundle_seconds_count{bridge="br-int"}`, `penstock_flow_mods_total{bridge="br-int"}`,
		"penstock_derive_seconds_count", "penstock_audits_total", "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %q", want)
		}
	}
	value := func(name string) (v float64) {
		t.Helper()
		for _, l := range strings.Split(metrics, "\n") {
			if n, rest, ok := strings.Cut(l, " "); ok && n == name {
				fmt.Sscan(rest, &v)
				return v
			}
		}
		t.Errorf("no metric %s", name)
		return 0
	}
	if d, i := value("penstock_flows_desired"), value("penstock_flows_installed"); d == 0 || d != i {
		t.Errorf("%v flows desired, %v installed", d, i)
	}
	for _, part := range []string{`code="404"`, `code="201"`} {
		if !strings.Contains(metrics, "penstock_api_request") || !strings.Contains(metrics, part) {
			t.Errorf("no count of API requests with %s", part)
		}
	}
	if !strings.Contains(metrics, "penstock_store_") {
		t.Error("nothing about the store")
	}
	for _, l := range strings.Split(metrics, "\n") {
		if strings.Contains(l, a.MAC) || strings.Contains(l, a.Port["id"].(string)) {
			t.Errorf("a metric names an object: %s", l)
		}
	}
	if code, _, _ := e.try("GET", "/debug/pprof/", nil); code != 200 {
		t.Errorf("pprof: %d", code)
	}
	if s := e.status(); s.Ports.Active != 2 || s.Ports.Total < 3 || !s.Leader {
		t.Errorf("status: %+v", s)
	}
}
