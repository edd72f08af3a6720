// Command memory measures the resident memory of penstockd, its embedded etcd included, with 4,000 ports of one network
// on a simulated host.
//
//	go run ./bench/memory [-n 4000] [-hosts 1] [-heap FILE]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	n := flag.Int("n", 4000, "ports")
	hosts := flag.Int("hosts", 1, "simulated hosts that they are on")
	heap := flag.String("heap", "", "write a heap profile to this file")
	flag.Parse()
	t := ovstest.NewProgram("bench/memory")
	defer t.Close()
	dir, err := os.MkdirTemp("", "pkbench.")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := rig.NewFleet(t, dir, *hosts)
	p := rig.Penstock(t, rig.Here{T: t, Dir: dir}, f.Conf(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	f.Ready(ctx, t)
	empty, _ := p.RSS()
	net := p.Network("n1", "10.0.0.0/16")
	ids := p.Ports(net, *n)
	made, _ := p.RSS()
	for i := range f.Hosts {
		var part []string
		for j := i; j < len(ids); j += len(f.Hosts) {
			part = append(part, ids[j])
		}
		f.Plug(ctx, t, i, part)
	}
	p.Synced(2*len(f.Hosts), time.Minute)
	plugged, peak := p.RSS()
	rest := p.Rest()
	if *heap != "" {
		p.Heap(*heap)
	}
	p.Kill()
	p.Start()
	p.Synced(2*len(f.Hosts), time.Minute)
	again, peakAgain := p.RSS()
	restAgain := p.Rest()
	m := p.Metrics()
	rig.Print(map[string]any{"bench": "memory", "ports": *n, "hosts": len(f.Hosts), "unit": "MB", "empty": rig.Round(empty), "ports_made": rig.Round(made),
		"plugged": rig.Round(plugged), "at_rest": rig.Round(rest), "peak": rig.Round(peak), "after_restart": rig.Round(again),
		"after_restart_at_rest": rig.Round(restAgain), "peak_after_restart": rig.Round(peakAgain),
		"heap_in_use": rig.Round(m["go_memstats_heap_inuse_bytes"] / 1e6), "flows": m["penstock_flows_desired"], "aim": 150, "ok": max(rest, restAgain) < 150,
		"text": fmt.Sprintf("%d ports: %.0f MB at rest, %.0f MB right after they were plugged", *n, rest, plugged)})
}
