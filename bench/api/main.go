// Command api measures the Networking API beside neutron-server on the same machine: ports made one by one by 16 clients
// at once, and all ports listed in pages of 1,000 (100 of neutron-server, which gets fewer ports).
//
//	go run ./bench/api [-n 10000] [-neutron 100] [-profile FILE]
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	n := flag.Int("n", 10000, "ports that penstockd gets")
	few := flag.Int("neutron", 100, "ports that neutron-server gets; 0: do not run it")
	clients := flag.Int("clients", 16, "clients at once")
	rounds := flag.Int("rounds", 5, "how often all pages are read; the median counts")
	profile := flag.String("profile", "", "write a CPU profile of penstockd while it makes ports to this file")
	flag.Parse()
	t := ovstest.NewProgram("bench/api")
	defer t.Close()
	dir, err := os.MkdirTemp("", "pkbench.")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	fleet := rig.NewFleet(t, dir, 1)
	p := rig.Penstock(t, rig.Here{T: t, Dir: dir}, fleet.Conf(), nil)
	if *profile != "" {
		p.Profile(*profile, 8)
	}
	ours := target{t: t, base: p.URL(), client: client(*clients)}
	cpu := p.CPU()
	out := ours.creates(*clients, *n)
	out["penstockd_cpu_s"] = rig.Round((p.CPU() - cpu).Seconds())
	first, last, worst := ours.pages(1000, *rounds)
	rss, _ := p.RSS()
	out["bench"], out["clients"], out["rss_mb"] = "api", *clients, rig.Round(rss)
	out["page_of"], out["page_first_ms"], out["page_last_ms"], out["page_worst_ms"] = 1000, first, last, worst
	out["creates_aim"], out["p99_aim_ms"], out["page_aim_ms"] = 1000, 50, 200
	out["ok"] = out["creates_per_s"].(float64) >= 1000 && out["p99_ms"].(float64) < 50 && worst < 200
	p.Kill()
	if *few > 0 {
		ref := target{t: t, base: neutron(t, dir), client: client(*clients)}
		theirs := ref.creates(*clients, *few)
		theirs["page_of"] = 100
		theirs["page_first_ms"], theirs["page_last_ms"], theirs["page_worst_ms"] = ref.pages(100, 2)
		out["neutron"] = theirs
		out["times_neutron"] = rig.Round(out["creates_per_s"].(float64) / theirs["creates_per_s"].(float64))
	}
	rig.Print(out)
}

func client(conns int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns}, Timeout: 5 * time.Minute}
}

// neutron starts the reference server and returns its URL.
func neutron(t *ovstest.Program, dir string) string {
	if _, err := os.Stat("/usr/bin/neutron-server"); err != nil {
		if out, err := exec.Command("scripts/neutron-reference.sh", "install").CombinedOutput(); err != nil {
			t.Fatalf("installing neutron-server: %v: %s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("scripts/neutron-reference.sh", "stop", dir+"/neutron").CombinedOutput(); err != nil {
			t.Errorf("stopping neutron-server: %v: %s", err, out)
		}
	})
	cmd := exec.Command("scripts/neutron-reference.sh", "start", dir+"/neutron", "19698")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("starting neutron-server: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// target is one server.
type target struct {
	t      *ovstest.Program
	base   string
	client *http.Client
}

// call makes a request as an admin of the project "bench".
func (s *target) call(method, path string, in, out any) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.base+path, body)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	req.Header = http.Header{"X-User-Id": {"bench"}, "X-Project-Id": {"bench"}, "X-Roles": {"admin,member,reader"}, "Content-Type": {"application/json"}}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %v: %.300s", method, path, resp.Status, err, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			s.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// creates makes n ports on one network, each with one POST, by many clients at once.
func (s *target) creates(clients, n int) map[string]any {
	var net struct{ Network struct{ ID string } }
	s.call("POST", "/v2.0/networks", map[string]any{"network": map[string]any{"name": "bench"}}, &net)
	s.call("POST", "/v2.0/subnets", map[string]any{"subnet": map[string]any{"network_id": net.Network.ID, "ip_version": 4, "cidr": "10.0.0.0/16"}}, nil)
	port := map[string]any{"port": map[string]any{"network_id": net.Network.ID}}
	for range clients { // connections, and the project's default security group
		s.call("POST", "/v2.0/ports", port, nil)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([][]float64, clients)
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				begin := time.Now()
				s.call("POST", "/v2.0/ports", port, nil)
				took[c] = append(took[c], rig.Ms(time.Since(begin)))
			}
		})
	}
	wg.Wait()
	all := time.Since(start)
	lat := slices.Concat(took...)
	slices.Sort(lat)
	at := func(q float64) float64 { return rig.Round(lat[min(len(lat)-1, int(q*float64(len(lat))))]) }
	return map[string]any{"ports": n, "creates_per_s": rig.Round(float64(n) / all.Seconds()), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1)}
}

// pages lists every port in pages and returns the median times of the first, the last full and the slowest page.
func (s *target) pages(size, rounds int) (first, last, worst float64) {
	var took [][]float64
	for range rounds {
		marker := ""
		for page := 0; ; page++ {
			var out struct{ Ports []struct{ ID string } }
			begin := time.Now()
			s.call("GET", fmt.Sprintf("/v2.0/ports?limit=%d%s", size, marker), nil, &out)
			ms := rig.Ms(time.Since(begin))
			if len(out.Ports) < size {
				break
			}
			marker = "&marker=" + out.Ports[size-1].ID
			if page == len(took) {
				took = append(took, nil)
			}
			took[page] = append(took[page], ms)
		}
	}
	for i, l := range took {
		m := rig.Round(rig.Median(l))
		if i == 0 {
			first = m
		}
		last, worst = m, max(worst, m)
	}
	return first, last, worst
}
