// Command hosts measures many simulated hosts: one more port on a network that is on 2, 10, 50 and 200 of them, and
// deriving and installing everything from cold: 10,000 ports in 500 networks of 20, each network on 20 of 200 hosts, and
// the same ports in one network.
//
//	go run ./bench/hosts [-sizes 2,10,50,200] [-cold 500] [-flat 2000] [-profile FILE]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

var profile = flag.String("profile", "", "write a CPU profile of penstockd's cold start to this file")

var heap = flag.String("heap", "", "write a heap profile of penstockd after its cold start to this file")

func main() {
	sizes := flag.String("sizes", "2,10,50,200", "hosts that the network is on")
	cold := flag.Int("cold", 500, "networks of 20 ports in the cold start; 0: leave out")
	flat := flag.Int("flat", 2000, "ports of one network on all hosts; 0: leave out")
	samples := flag.Int("samples", 10, "ports added at each size")
	flag.Parse()
	t := ovstest.NewProgram("bench/hosts")
	defer t.Close()
	out := map[string]any{"bench": "hosts"}
	var rows []map[string]any
	most := 0
	for _, s := range strings.Split(*sizes, ",") {
		if n, err := strconv.Atoi(s); err == nil {
			most = max(most, n)
		}
	}
	ok := true
	if most > 0 {
		r := newRun(t, most)
		for _, s := range strings.Split(*sizes, ",") {
			n, _ := strconv.Atoi(s)
			row := r.grow(n, *samples)
			rows = append(rows, row)
			t.Logf("%v", row)
			ok = ok && row["confirmed_ms"].(float64) < 50
		}
		r.p.Kill()
		r.close()
	}
	out["one_port"], out["confirmed_aim_ms"], out["one_port_ok"] = rows, 50, ok
	if *cold > 0 {
		r := newRun(t, 200)
		out["cold"] = r.cold(*cold, 20)
		r.p.Kill()
		r.close()
	}
	if *flat > 0 {
		r := newRun(t, 200)
		out["cold_one_network"] = r.cold(1, *flat)
		r.p.Kill()
		r.close()
	}
	rig.Print(out)
}

type run struct {
	t *ovstest.Program
	f *rig.Fleet
	p *rig.Penstockd
}

func newRun(t *ovstest.Program, hosts int) *run {
	dir, err := os.MkdirTemp("", "pkbench.")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &run{t: t, f: rig.NewFleet(t, dir, hosts)}
	r.p = rig.Penstock(t, rig.Here{T: t, Dir: dir}, r.f.Conf(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r.f.Ready(ctx, t)
	return r
}

func (r *run) close() {
	for _, h := range r.f.Hosts {
		for _, s := range h.Switches() {
			s.Close()
		}
	}
}

// grow puts a network on n hosts and adds ports to it on the first.
func (r *run) grow(n, samples int) map[string]any {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	net := r.p.Network(fmt.Sprintf("n%d", n), "10.0.0.0/16")
	ids := r.p.Ports(net, n+samples)
	for i := range n {
		r.f.Plug(ctx, r.t, i, ids[i:i+1])
	}
	r.p.Synced(2*len(r.f.Hosts), 2*time.Minute)
	var times, own []float64
	first, far := r.f.Sum(0), r.f.Sum(1)
	cpu := r.p.CPU()
	for i := range samples {
		r.f.Reset()
		m := r.p.Metrics()
		start := time.Now()
		r.f.Plug(ctx, r.t, 0, ids[n+i:n+i+1])
		times = append(times, rig.Ms(r.f.Committed(ctx, r.t, n).Sub(start)))
		own = append(own, 1e3*(r.p.Metrics()["penstock_bind_seconds_sum"]-m["penstock_bind_seconds_sum"]))
		r.p.Synced(2*len(r.f.Hosts), time.Minute)
	}
	last := r.f.Sum(0)
	others := float64(r.f.Sum(1).FlowMods - far.FlowMods)
	return map[string]any{"hosts": n, "confirmed_ms": rig.Round(rig.Median(times)), "own_host_ms": rig.Round(rig.Median(own)),
		"flow_mods_of_its_host":    rig.Round((float64(last.FlowMods-first.FlowMods) - others) / float64(samples)),
		"flow_mods_per_other_host": rig.Round(others / float64((n-1)*samples)), "group_mods_per_host": rig.Round(float64(last.GroupMods-first.GroupMods) / float64(n*samples)),
		"octets_per_host":           rig.Round(float64(last.Octets-first.Octets) / float64(n*samples)),
		"penstockd_cpu_ms_per_port": rig.Round(rig.Ms(r.p.CPU()-cpu) / float64(samples)), "failed": last.Failed}
}

// cold makes ports, plugs them, kills penstockd, empties the switches and measures the start.
func (r *run) cold(networks, ports int) map[string]any {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	start := time.Now()
	byHost := make([][]string, len(r.f.Hosts))
	for i := range networks {
		net := r.p.Network(fmt.Sprintf("n%d", i), "10.0.0.0/16")
		for j, id := range r.p.Ports(net, ports) {
			h := (i*7 + j*11) % len(byHost)
			byHost[h] = append(byHost[h], id)
		}
	}
	api := time.Since(start)
	start = time.Now()
	for h, ids := range byHost {
		if len(ids) > 0 {
			r.f.Plug(ctx, r.t, h, ids)
		}
	}
	r.p.Synced(2*len(r.f.Hosts), 5*time.Minute)
	plug := time.Since(start)
	warm, _ := r.p.RSS()
	r.p.Kill()
	for _, h := range r.f.Hosts {
		for _, s := range h.Switches() {
			s.Wipe()
		}
	}
	before := r.f.Sum(0)
	start = time.Now()
	r.p.Start()
	ready := time.Since(start)
	var prof <-chan struct{}
	if *profile != "" {
		prof = r.p.Profile(*profile, 15)
	}
	r.p.Synced(2*len(r.f.Hosts), 5*time.Minute)
	all := time.Since(start)
	if prof != nil {
		<-prof
	}
	after, m := r.f.Sum(0), r.p.Metrics()
	rss, peak := r.p.RSS()
	cpu := r.p.CPU()
	if *heap != "" {
		r.p.Heap(*heap)
	}
	// Once more, with all flows in place.
	r.p.Kill()
	start = time.Now()
	r.p.Start()
	if *profile != "" {
		prof = r.p.Profile(*profile+".resync", 20)
	}
	r.p.Synced(2*len(r.f.Hosts), 5*time.Minute)
	resync := time.Since(start)
	if prof != nil {
		<-prof
	}
	return map[string]any{"networks": networks, "ports": networks * ports, "hosts": len(byHost), "api_s": rig.Round(api.Seconds()), "plug_s": rig.Round(plug.Seconds()),
		"ready_s": rig.Round(ready.Seconds()), "installed_s": rig.Round(all.Seconds()), "installed_aim_s": 20, "flows": after.Flows, "flow_mods": after.FlowMods - before.FlowMods,
		"desired": m["penstock_flows_desired"], "rss_mb": rig.Round(rss), "rss_peak_mb": rig.Round(peak), "rss_before_mb": rig.Round(warm), "rss_aim_mb": 1000, "penstockd_cpu_s": rig.Round(cpu.Seconds()),
		"resync_s": rig.Round(resync.Seconds()), "resync_flow_mods": r.f.Sum(0).FlowMods - after.FlowMods, "failed": after.Failed,
		"ok": all.Seconds() < 20 && peak < 1000 && int(m["penstock_flows_desired"]) == after.Flows}
}
