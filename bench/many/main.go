// Command many measures 1,000 ports made through the API and plugged at once on one network: until all are installed,
// next to Open vSwitch alone adding as many, and to OVN.
//
//	go run ./bench/many [-n 1000] [-ovn]
package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	n := flag.Int("n", 1000, "ports")
	ovn := flag.Bool("ovn", true, "measure OVN too")
	flag.Parse()
	t := ovstest.NewProgram("bench/many")
	defer t.Close()

	alone := ovstest.Start(t, ovstest.Options{Name: "h1"})
	alone.AddBridge("br-int", "fail_mode=secure")
	start := time.Now()
	plug(alone, *n, nil)
	ovs := time.Since(start)
	alone.StopVswitchd()

	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	p := rig.Penstock(t, h, []rig.HostConf{{Name: "h1", OVSDB: h.OVSDB(), DatapathType: "netdev"}}, nil)
	w := rig.NewWatch(t, h.OVSDB())
	net := p.Network("n1", "10.0.0.0/16")
	p.Synced(2, time.Minute)
	start = time.Now()
	ids := p.Ports(net, *n)
	api := time.Since(start)
	cpu := p.CPU()
	before := p.Metrics()
	start = time.Now()
	plug(h, *n, ids)
	vsctl := time.Since(start)
	all := w.All(t, 5*time.Minute, "penstock-installed", "true", names(*n)...).Sub(start)
	after := p.Metrics()
	rss, _ := p.RSS()
	out := map[string]any{"bench": "many", "ports": *n, "ovs_alone_s": rig.Round(ovs.Seconds()), "installed_s": rig.Round(all.Seconds()),
		"ovs_beside_s": rig.Round(vsctl.Seconds()), "ratio": rig.Round(all.Seconds() / ovs.Seconds()), "ratio_aim": 1.3,
		"ok": all.Seconds() <= 1.3*ovs.Seconds(), "api_s": rig.Round(api.Seconds()), "rss_mb": rig.Round(rss),
		"penstockd_cpu_s": rig.Round((p.CPU() - cpu).Seconds()),
		"flow_mods":       after["penstock_flow_mods_total"] - before["penstock_flow_mods_total"]}
	p.Kill()
	h.StopVswitchd()
	if *ovn {
		h := ovstest.Start(t, ovstest.Options{Name: "h1"})
		o := rig.StartOVN(t, h)
		w := rig.NewWatch(t, h.OVSDB())
		o.Ports(0, *n)
		var ids []string
		for i := range *n {
			ids = append(ids, fmt.Sprintf("p%d", i))
		}
		start := time.Now()
		plug(h, *n, ids)
		out["ovn_installed_s"] = rig.Round(w.All(t, 5*time.Minute, "ovn-installed", "true", names(*n)...).Sub(start).Seconds())
	}
	rig.Print(out)
}

func names(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("t%d", i))
	}
	return out
}

// plug adds n internal ports in one transaction and returns when Open vSwitch has them.
func plug(h *ovstest.Host, n int, ids []string) {
	var args []string
	for i, name := range names(n) {
		args = append(args, "--", "add-port", "br-int", name, "--", "set", "Interface", name, "type=internal")
		if ids != nil {
			args = append(args, "external_ids:iface-id="+ids[i])
		}
	}
	h.VSCtl(args...)
}
