// Command plug measures what one more port costs on a real ovs-vswitchd that has 10, 100, 1,000 or 4,000: from
// ovs-vsctl add-port to penstock-installed, next to the time that Open vSwitch itself takes for a port that nobody
// cares about, and to OVN; and of it Penstock's own part, from the database's update to the switches' confirmation.
//
//	go run ./bench/plug [-sizes 10,100,1000,4000] [-ovn 10,100,1000] [-remote=false] [-profile FILE]
package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/sim"
)

// result is one size. Times are medians in milliseconds.
type result struct {
	Ports   int     `json:"ports"`
	Remote  bool    `json:"remote,omitempty"` // all but ten on a simulated host
	OVS     float64 `json:"ovs_ms"`           // a port that nobody cares about
	Total   float64 `json:"total_ms"`         // add-port to penstock-installed
	Own     float64 `json:"own_ms"`           // the database's update to the confirmation
	OwnMax  float64 `json:"own_max_ms"`
	Over    float64 `json:"over_ovs_ms"`
	CPU     float64 `json:"cpu_ms_per_port"`
	Mods    float64 `json:"flow_mods_per_port"`
	RSS     float64 `json:"rss_mb"`
	Samples int     `json:"samples"`
	OVN     float64 `json:"ovn_ms,omitempty"`
	OVNBase float64 `json:"ovn_ovs_ms,omitempty"` // Open vSwitch's own time on OVN's host
}

func sizes(s string) (out []int) {
	for _, x := range strings.Split(s, ",") {
		if n, err := strconv.Atoi(x); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func samples(n int) int {
	switch {
	case n >= 4000:
		return 3
	case n >= 1000:
		return 9
	}
	return 25
}

func main() {
	list := flag.String("sizes", "10,100,1000,4000", "ports that exist")
	ovn := flag.String("ovn", "10,100,1000", "sizes at which OVN is measured too")
	remote := flag.Bool("remote", true, "also with all but ten ports on a simulated host")
	profile := flag.String("profile", "", "write a CPU profile of penstockd at the last size to this file")
	flag.Parse()
	t := ovstest.NewProgram("bench/plug")
	defer t.Close()
	all := sizes(*list)
	var out []result
	local := penstock(t, all, false, *profile)
	byOVN := measureOVN(t, sizes(*ovn))
	for _, r := range local {
		if o, ok := byOVN[r.Ports]; ok {
			r.OVN, r.OVNBase = o[0], o[1]
		}
		out = append(out, r)
	}
	if *remote {
		out = append(out, penstock(t, all, true, "")...)
	}
	worst := 0.0
	for _, r := range out {
		worst = max(worst, r.Own)
	}
	rig.Print(map[string]any{"bench": "plug", "unit": "ms", "sizes": out, "own_ms_worst": worst, "own_aim_ms": 10, "ok": worst <= 10})
}

// add plugs ports as internal devices, in one transaction.
func add(h *ovstest.Host, names, ids []string) {
	for i := 0; i < len(names); i += 250 {
		var args []string
		for j := i; j < min(i+250, len(names)); j++ {
			args = append(args, "--", "add-port", "br-int", names[j], "--", "set", "Interface", names[j], "type=internal")
			if ids != nil {
				args = append(args, "external_ids:iface-id="+ids[j])
			}
		}
		h.VSCtl(args...)
	}
}

func penstock(t *ovstest.Program, all []int, remote bool, profile string) (out []result) {
	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	hosts := []rig.HostConf{{Name: "h1", OVSDB: h.OVSDB(), DatapathType: "netdev"}}
	var far *sim.Host
	if remote {
		var err error
		if far, err = sim.NewHost("far", sim.Options{Dir: h.Dir(), Dial: h.Dial}); err != nil {
			t.Fatalf("%v", err)
		}
		defer far.Close()
		hosts = append(hosts, rig.HostConf{Name: "far", OVSDB: far.OVSDB()})
	}
	p := rig.Penstock(t, h, hosts, nil)
	w := rig.NewWatch(t, h.OVSDB())
	net := p.Network("n1", "10.0.0.0/16")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if remote {
		if _, err := far.WaitBridge(ctx, "br-int"); err != nil {
			t.Fatalf("%v", err)
		}
	}
	have := 0
	for i, n := range all {
		ids := p.Ports(net, n-have)
		names := make([]string, len(ids))
		for i := range ids {
			names[i] = fmt.Sprintf("t%d", have+i)
		}
		here := len(ids)
		if remote {
			here = max(0, min(10-have, len(ids)))
		}
		add(h, names[:here], ids)
		var vifs []sim.VIF
		for j := here; j < len(ids); j++ {
			vifs = append(vifs, sim.VIF{IfaceID: ids[j], Name: names[j]})
		}
		if len(vifs) > 0 {
			if err := far.Plug(vifs...); err != nil {
				t.Fatalf("%v", err)
			}
			if err := far.WaitInstalled(ctx, names[here:]...); err != nil {
				t.Fatalf("%v", err)
			}
		}
		w.All(t, 150*time.Second, "penstock-installed", "true", names[:here]...)
		have = n
		p.Synced(2*len(hosts), time.Minute)
		k := samples(n)
		if remote {
			k = samples(10)
		}
		var prof <-chan struct{}
		if profile != "" && i == len(all)-1 {
			prof = p.Profile(profile, 20)
		}
		out = append(out, one(t, h, p, w, net, n, k, remote))
		if prof != nil {
			<-prof
		}
		t.Logf("%+v", out[len(out)-1])
	}
	return out
}

// settle waits until ovs-vswitchd has done all that it was told, and what follows from it by itself.
func settle(h *ovstest.Host) {
	h.VSCtl("set", "Open_vSwitch", ".", fmt.Sprintf("external_ids:settled=%d", time.Now().UnixNano()))
	h.AppCtl("version")
	h.AppCtl("version")
}

// one measures k ports, one after the other, each between two that nobody cares about.
func one(t *ovstest.Program, h *ovstest.Host, p *rig.Penstockd, w *rig.Watch, net string, n, k int, remote bool) result {
	ids := p.Ports(net, k)
	var own, total, base, cpu []float64
	mods := 0.0
	for i := range k {
		name := fmt.Sprintf("x%d", i)
		settle(h)
		start := time.Now()
		h.VSCtl("add-port", "br-int", "nobody", "--", "set", "Interface", "nobody", "type=internal")
		base = append(base, rig.Ms(time.Since(start)))
		h.VSCtl("del-port", "br-int", "nobody")
		settle(h)
		before, c0 := p.Metrics(), p.CPU()
		start = time.Now()
		h.VSCtl("add-port", "br-int", name, "--", "set", "Interface", name, "type=internal", "external_ids:iface-id="+ids[i])
		total = append(total, rig.Ms(w.All(t, time.Minute, "penstock-installed", "true", name).Sub(start)))
		cpu = append(cpu, rig.Ms(p.CPU()-c0))
		settle(h)
		after := p.Metrics()
		if after["penstock_bind_seconds_count"]-before["penstock_bind_seconds_count"] == 1 {
			own = append(own, 1e3*(after["penstock_bind_seconds_sum"]-before["penstock_bind_seconds_sum"]))
		}
		mods += after["penstock_flow_mods_total"] - before["penstock_flow_mods_total"]
		h.VSCtl("del-port", "br-int", name)
		w.Gone(t, time.Minute, name)
	}
	rss, _ := p.RSS()
	worst := 0.0
	for _, x := range own {
		worst = max(worst, x)
	}
	m := rig.Median
	return result{Ports: n, Remote: remote, OVS: rig.Round(m(base)), Total: rig.Round(m(total)), Own: rig.Round(m(own)), OwnMax: rig.Round(worst),
		Over: rig.Round(m(total) - m(base)), CPU: rig.Round(m(cpu)), Mods: rig.Round(mods / float64(k)), RSS: rig.Round(rss), Samples: k}
}

// measureOVN gives, by size, the median time from add-port to ovn-installed and Open vSwitch's own.
func measureOVN(t *ovstest.Program, all []int) map[int][2]float64 {
	out := map[int][2]float64{}
	if len(all) == 0 {
		return out
	}
	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	o := rig.StartOVN(t, h)
	w := rig.NewWatch(t, h.OVSDB())
	have := 0
	const spare = 100000 // numbers of the ports that are measured
	for _, n := range all {
		o.Ports(have, n)
		var names, ids []string
		for i := have; i < n; i++ {
			names, ids = append(names, fmt.Sprintf("t%d", i)), append(ids, fmt.Sprintf("p%d", i))
		}
		add(h, names, ids)
		w.All(t, 5*time.Minute, "ovn-installed", "true", names...)
		have = n
		k := min(samples(n), 9)
		var total, base []float64
		o.Ports(spare+n, spare+n+k)
		for i := range k {
			settle(h)
			start := time.Now()
			h.VSCtl("add-port", "br-int", "nobody", "--", "set", "Interface", "nobody", "type=internal")
			base = append(base, rig.Ms(time.Since(start)))
			h.VSCtl("del-port", "br-int", "nobody")
			name := fmt.Sprintf("x%d", i)
			settle(h)
			start = time.Now()
			h.VSCtl("add-port", "br-int", name, "--", "set", "Interface", name, "type=internal", fmt.Sprintf("external_ids:iface-id=p%d", spare+n+i))
			total = append(total, rig.Ms(w.All(t, time.Minute, "ovn-installed", "true", name).Sub(start)))
			h.VSCtl("del-port", "br-int", name)
			w.Gone(t, time.Minute, name)
		}
		out[n] = [2]float64{rig.Round(rig.Median(total)), rig.Round(rig.Median(base))}
		t.Logf("OVN at %d: %v", n, out[n])
	}
	return out
}
