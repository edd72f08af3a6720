// Command router measures what routing costs in the data path, beside OVN: real ovs-vswitchd with the userspace datapath, two
// hosts for each system of which the first has the physical network and is the router's gateway, and a machine outside, in
// turns in the same run; with port security off on both sides, and with what Neutron makes of the default group. It prints one
// line of JSON.
//
// For each path: the passes through the datapath that a UDP packet takes on each host it meets, out (from the VM) and back,
// each pass that is not the first being a conntrack lookup or a decapsulation; the average of a TCP transfer's packets, which
// counts the acknowledgements; throughput and round trip, as a check that nothing is badly wrong: the userspace datapath spends
// its time on I/O.
package main

import (
	"flag"
	"os"
	"runtime"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	p := ovstest.NewProgram("bench/router")
	rounds := flag.Int("rounds", 2, "how often each path is run")
	d := flag.Duration("time", time.Second, "how long a transfer takes")
	flag.Parse()
	ovstest.Need(p, "iperf3", "ping", "ovn-northd", "ovn-controller")
	out := map[string]any{"bench": "router", "rounds": *rounds, "seconds": d.Seconds(), "cpus": runtime.NumCPU()}
	b := &bench{p, *d}
	for _, groups := range []bool{false, true} {
		name := "port_security_off"
		if groups {
			name = "default_group"
		}
		out[name] = b.paths(*rounds, groups)
	}
	rig.Print(out)
	if p.Close() {
		os.Exit(1)
	}
}
