// Package rig is what the benches share: a real penstockd with its API and counters, a watch on a host's database, OVN
// beside it, and the one line of JSON that each bench prints.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/penstock/penstock/internal/ovstest"
)

// Place is where penstockd runs: a host of ovstest, or this process's own namespace.
type Place interface {
	Start(args ...string) *ovstest.Process
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// HostConf is one host of penstockd's configuration.
type HostConf struct {
	Name         string `yaml:"name"`
	OVSDB        string `yaml:"ovsdb"`
	DatapathType string `yaml:"datapath_type,omitempty"`
	TunnelIP     string `yaml:"tunnel_ip,omitempty"`
	// BridgeMappings are physical networks and their bridges.
	BridgeMappings map[string]string `yaml:"bridge_mappings,omitempty"`
}

// Penstockd is a running penstockd.
type Penstockd struct {
	t     ovstest.TB
	place Place
	args  []string
	proc  *ovstest.Process
	http  *http.Client
	base  string
	Dir   string
	OF    string // where it listens for switches
	// projects are those of networks: ports of one project share its default security group.
	projects map[string]string
}

// Build builds a command of the project and returns its path.
func Build(t ovstest.TB, dir, command string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(command))
	if out, err := exec.Command("go", "build", "-o", path, "github.com/penstock/penstock/"+command).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", command, err, out)
	}
	return path
}

// Penstock builds and starts penstockd for hosts, with settings added to its configuration, and waits until it is ready.
func Penstock(t ovstest.TB, place Place, hosts []HostConf, settings map[string]any) *Penstockd {
	t.Helper()
	dir, err := os.MkdirTemp("", "pkbench.")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Penstockd{t: t, place: place, Dir: dir, base: "http://" + freeAddr(t), OF: freeAddr(t), projects: map[string]string{}}
	p.http = &http.Client{Transport: &http.Transport{DialContext: place.Dial, MaxIdleConnsPerHost: 8}, Timeout: 5 * time.Minute}
	conf := map[string]any{
		"data_dir": filepath.Join(dir, "data"), "hosts": hosts, "api": map[string]any{"listen": strings.TrimPrefix(p.base, "http://"), "pprof": true},
		"openflow": map[string]any{"listen": p.OF}, "log": map[string]any{"level": "warn"},
	}
	for k, v := range settings {
		conf[k] = v
	}
	b, err := yaml.Marshal(conf)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "penstockd.yaml"), b, 0o600)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	p.args = []string{Build(t, dir, "cmd/penstockd"), "--config", filepath.Join(dir, "penstockd.yaml")}
	p.Start()
	t.Cleanup(func() {
		if lines := p.proc.Lines(); t.Failed() {
			t.Logf("penstockd's log ends with\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
		}
	})
	return p
}

// freeAddr is a loopback address with a port that nobody listens on, so that benches can run beside each other.
func freeAddr(t ovstest.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts penstockd, again after Kill, and waits until it is ready.
func (p *Penstockd) Start() {
	p.t.Helper()
	p.proc = p.place.Start(p.args...)
	ovstest.Wait(p.t, 60*time.Second, "penstockd to be ready", func() bool {
		if !p.proc.Running() {
			p.t.Fatalf("penstockd ended: %s", p.proc.Output())
		}
		r, err := p.http.Get(p.base + "/readyz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
}

// Kill ends penstockd with SIGKILL.
func (p *Penstockd) Kill() { p.proc.Kill() }

// URL is where its API listens.
func (p *Penstockd) URL() string { return p.base }

// Log is what it printed.
func (p *Penstockd) Log() string { return p.proc.Output() }

// Call makes a request of the API; out may be nil.
func (p *Penstockd) Call(method, path string, in, out any) {
	p.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			p.t.Fatalf("%v", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, p.base+path, body)
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v; penstockd says %s", method, path, err, p.proc.Output())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %s %v: %.300s", method, path, resp.Status, err, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			p.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

type object struct {
	ID  string `json:"id"`
	MAC string `json:"mac_address"`
}

// Network makes a network with a subnet, in a project of its name, and returns its id.
func (p *Penstockd) Network(name, cidr string) string {
	p.t.Helper()
	var n struct{ Network object }
	p.Call("POST", "/v2.0/networks", map[string]any{"network": map[string]any{"name": name, "project_id": name}}, &n)
	p.Call("POST", "/v2.0/subnets", map[string]any{"subnet": map[string]any{"network_id": n.Network.ID, "ip_version": 4, "cidr": cidr, "project_id": name}}, nil)
	p.projects[n.Network.ID] = name
	return n.Network.ID
}

// Ports makes n ports on a network, in bulk, and returns their ids.
func (p *Penstockd) Ports(network string, n int) []string {
	p.t.Helper()
	var ids []string
	for n > 0 {
		k := min(n, 200)
		n -= k
		list := make([]map[string]any, k)
		for i := range list {
			list[i] = map[string]any{"network_id": network, "project_id": p.projects[network]}
		}
		var out struct{ Ports []object }
		p.Call("POST", "/v2.0/ports", map[string]any{"ports": list}, &out)
		for _, x := range out.Ports {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// Metrics reads /metrics: the sum over labels of each name.
func (p *Penstockd) Metrics() map[string]float64 {
	p.t.Helper()
	r, err := p.http.Get(p.base + "/metrics")
	if err != nil {
		p.t.Fatalf("%v; penstockd says %s", err, p.proc.Output())
	}
	defer r.Body.Close()
	out := map[string]float64{}
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		line := s.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(line[:i], "{")
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			out[name] += v
		}
	}
	return out
}

// Synced waits until all bridges hold what is desired.
func (p *Penstockd) Synced(bridges int, d time.Duration) {
	p.t.Helper()
	ovstest.Wait(p.t, d, fmt.Sprintf("%d bridges to be synced; penstockd says %s", bridges, p.Log()), func() bool {
		m := p.Metrics()
		return int(m["penstock_switches_synced"]) >= bridges && m["penstock_flows_installed"] == m["penstock_flows_desired"]
	})
}

// CPU is the processor time that penstockd has used.
func (p *Penstockd) CPU() time.Duration {
	var ns int64
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.proc.PID()))
	for _, f := range tasks {
		b, _ := os.ReadFile(f) // a thread that just ended
		if x := strings.Fields(string(b)); len(x) > 0 {
			v, _ := strconv.ParseInt(x[0], 10, 64)
			ns += v
		}
	}
	return time.Duration(ns)
}

// Rest leaves the process alone for 20 s, by when it has given back what a burst of work took, and is its resident
// memory then, in MB.
func (p *Penstockd) Rest() float64 {
	time.Sleep(20 * time.Second)
	now, _ := p.RSS()
	return now
}

// RSS is the resident memory of penstockd now and at most, in MB of 1,000,000 bytes.
func (p *Penstockd) RSS() (now, peak float64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.proc.PID()))
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) == 3 {
			v, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "VmRSS:":
				now = v * 1024 / 1e6
			case "VmHWM:":
				peak = v * 1024 / 1e6
			}
		}
	}
	return now, peak
}

// Profile writes a CPU profile of the next seconds to a file, in the background; the channel closes when it is there.
func (p *Penstockd) Profile(file string, seconds int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err := p.http.Get(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.base, seconds))
		if err != nil {
			return
		}
		defer r.Body.Close()
		if b, err := io.ReadAll(r.Body); err == nil {
			os.WriteFile(file, b, 0o600) //nolint:errcheck // a profile that is missing is seen
		}
	}()
	return done
}

// Heap writes a heap profile, taken after a collection, to a file.
func (p *Penstockd) Heap(file string) {
	p.t.Helper()
	r, err := p.http.Get(p.base + "/debug/pprof/heap?gc=1")
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		p.t.Fatalf("%v", err)
	}
}

// Print writes the bench's one line.
func Print(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(b))
}

// Median of values, NaN-free: 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Round keeps three significant digits or so, for people.
func Round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	m := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*m) / m
}

// Ms is a duration in milliseconds.
func Ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Here is this process's own namespace as a Place.
type Here struct {
	T   ovstest.TB
	Dir string
}

// Start starts a program; it is killed when the bench ends.
func (h Here) Start(args ...string) *ovstest.Process { return ovstest.Spawn(h.T, h.Dir, args...) }

// Dial connects.
func (h Here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
