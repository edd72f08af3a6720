// Command dhcp measures DHCP through a real ovs-vswitchd with the userspace datapath: Penstock beside OVN and dnsmasq,
// each behind an Open vSwitch of its own, in the same run, in turns. It prints one line of JSON.
//
// Closed loop: 1, 8 and 64 exchanges outstanding, on one port and on 20; an exchange is DISCOVER, OFFER, REQUEST, ACK.
// Outstanding exchanges of one port differ by xid, since a port is answered for its own MAC address only. Open loop:
// whole exchanges begun at a fixed rate on 20 ports whatever becomes of those before; lost are those whose ACK does not
// come within a second. VMs are tap devices, as libvirt plugs them. penstockd's meters per port, 50 packets a second by
// default, are raised for it (packet_in.dhcp_pps).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

// figures is what is printed of the runs of one system in one case: medians over the rounds.
type figures struct {
	Rate     float64 `json:"exchanges_per_s"`
	OfferUS  float64 `json:"offer_median_us"`
	Offer99  float64 `json:"offer_p99_us"`
	Lost     int     `json:"lost"`            // of all rounds
	Wrong    int     `json:"wrong,omitempty"` // replies that are not the right ones
	SwitchUS float64 `json:"vswitchd_cpu_us"` // CPU time for each exchange
	ServerUS float64 `json:"server_cpu_us"`   // the same of penstockd, ovn-controller or dnsmasq
}

// run is one run's raw figures.
type run struct {
	rate, offer, offer99, switchCPU, serverCPU float64
	lost, wrong                                int
}

func main() {
	p := ovstest.NewProgram("bench/dhcp")
	bin := flag.String("bin", "", "where penstockd is; default: it is built")
	rounds := flag.Int("rounds", 3, "how often each case is run")
	d := flag.Duration("time", 1500*time.Millisecond, "how long a run takes")
	names := flag.String("systems", "penstock,ovn,dnsmasq", "what is measured")
	outstanding := flag.String("outstanding", "1,8,64", "exchanges outstanding in the closed loop")
	onPorts := flag.String("ports", "1,20", "on how many ports")
	open := flag.Float64("open", 16000, "exchanges a second in the open loop; 0: none")
	pps := flag.Int("pps", 1000000, "penstockd's packet_in.dhcp_pps and dhcp_burst")
	base := flag.String("base", "", "where another penstockd is, for the system \"base\": before and after in one run")
	pprof := flag.Bool("pprof", false, "penstockd serves profiles")
	hold := flag.Duration("hold", 0, "after the runs, keep the first system under the last case's load so long, for profilers; prints its pids on stderr")
	flag.Parse()
	runtime.GOMAXPROCS(2)
	if *bin == "" && strings.Contains(*names, "penstock") {
		dir, err := os.MkdirTemp("", "pkbench.")
		if err != nil {
			p.Fatalf("%v", err)
		}
		p.Cleanup(func() { os.RemoveAll(dir) })
		rig.Build(p, dir, "cmd/penstockd")
		*bin = dir
	}
	start := map[string]func() *system{
		"penstock": func() *system { return startPenstock(p, "penstock", penstockOptions{*bin, *pprof, *pps}) },
		"base":     func() *system { return startPenstock(p, "base", penstockOptions{*base, *pprof, *pps}) },
		"ovn":      func() *system { return startOVN(p) },
		"dnsmasq":  func() *system { return startDnsmasq(p) },
	}
	var systems []*system
	for _, name := range strings.Split(*names, ",") {
		f := start[name]
		if f == nil {
			p.Fatalf("no system %q", name)
		}
		systems = append(systems, f())
	}
	out := map[string]any{"bench": "dhcp", "rounds": *rounds, "seconds": d.Seconds(), "penstock_dhcp_pps": *pps}
	ok, behind := true, []string{}
	measure := func(name string, k int, f func(*generator) (result, error)) {
		runs := make([][]run, len(systems))
		for range *rounds {
			for i, s := range systems { // in turns, so that what else the machine does hits all
				runs[i] = append(runs[i], one(p, s, s.gen[k], f))
			}
		}
		c := map[string]figures{}
		for i, s := range systems {
			c[s.name] = medians(runs[i])
		}
		out[name] = c
		if us, there := c["penstock"]; there {
			ok = ok && us.Lost+us.Wrong == 0
			for _, other := range []string{"ovn", "dnsmasq"} {
				if o, there := c[other]; there && strings.HasPrefix(name, "closed") && o.Rate >= us.Rate {
					ok, behind = false, append(behind, name+" "+other)
				}
			}
		}
	}
	var last func(*generator) (result, error)
	lastPorts := 1
	for _, k := range numbers(p, *onPorts) {
		for _, w := range numbers(p, *outstanding) {
			last, lastPorts = func(g *generator) (result, error) { return g.closed(w, *d) }, k
			if k != 1 && k != ports {
				p.Fatalf("-ports: 1 or %d", ports)
			}
			measure(fmt.Sprintf("closed_%d_on_%d", w, k), k, last)
		}
	}
	if *open > 0 {
		last, lastPorts = func(g *generator) (result, error) { return g.open(*open, *d) }, ports
		measure(fmt.Sprintf("open_%.0f_on_%d", *open, ports), ports, last)
	}
	if *hold > 0 {
		s := systems[0]
		p.Logf("holding: vswitchd %d server %d dir %s ns %s", s.host.Vswitchd().PID(), s.server.PID(), s.host.Dir(), s.host.Namespace())
		for end := time.Now().Add(*hold); time.Now().Before(end); {
			one(p, s, s.gen[lastPorts], last)
		}
	}
	// In every closed loop more exchanges than both others in the same run, and nothing lost.
	out["ok"], out["behind"] = ok, behind
	b, err := json.Marshal(out)
	if err != nil {
		p.Fatalf("%v", err)
	}
	fmt.Println(string(b))
	if p.Close() {
		os.Exit(1)
	}
}

func numbers(p *ovstest.Program, list string) (out []int) {
	for _, f := range strings.Split(list, ",") {
		if f == "" {
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 {
			p.Fatalf("%q is not a number", f)
		}
		out = append(out, n)
	}
	return out
}

// one makes one run and takes the CPU times of both ends.
func one(p *ovstest.Program, s *system, g *generator, f func(*generator) (result, error)) run {
	v0, s0 := cpu(p, s.host.Vswitchd().PID()), cpu(p, s.server.PID())
	r, err := f(g)
	if err != nil {
		p.Fatalf("%s: %v", s.name, err)
	}
	v1, s1 := cpu(p, s.host.Vswitchd().PID()), cpu(p, s.server.PID())
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	n := float64(max(r.done, 1))
	return run{rate: r.rate(), offer: us(r.offer(0.5)), offer99: us(r.offer(0.99)), lost: r.lost + r.refused, wrong: r.wrong,
		switchCPU: us(v1-v0) / n, serverCPU: us(s1-s0) / n}
}

func medians(runs []run) figures {
	m := func(f func(run) float64) float64 {
		var v []float64
		for _, r := range runs {
			v = append(v, f(r))
		}
		slices.Sort(v)
		return float64(int(v[len(v)/2]*10)) / 10
	}
	out := figures{Rate: m(func(r run) float64 { return r.rate }), OfferUS: m(func(r run) float64 { return r.offer }), Offer99: m(func(r run) float64 { return r.offer99 }),
		SwitchUS: m(func(r run) float64 { return r.switchCPU }), ServerUS: m(func(r run) float64 { return r.serverCPU })}
	for _, r := range runs {
		out.Lost, out.Wrong = out.Lost+r.lost, out.Wrong+r.wrong
	}
	return out
}

// cpu is a process's user and system time so far, to the nanosecond where the kernel counts it so (schedstat).
func cpu(p *ovstest.Program, pid int) time.Duration {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		p.Fatalf("%v", err)
	}
	var sum time.Duration
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if err != nil {
			continue // the thread is gone
		}
		n, _, _ := strings.Cut(string(b), " ")
		ns, _ := strconv.ParseInt(n, 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}
