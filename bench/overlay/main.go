// Command overlay measures the data path between two real ovs-vswitchd with the userspace datapath, joined by a veth
// underlay: Penstock's flows beside a hand-written minimal set on the same bridges and tunnel ports, in turns in the same
// run. It prints one line of JSON.
//
// Measured between a VM on each host: TCP throughput, UDP packets a second of 64 bytes that arrive, round trip of a ping
// every millisecond, and during the UDP run the recirculations of a packet on each host as ovs-vswitchd counts them, and its CPU time. "plain" are ports without
// port security; the minimal set is two flows for each direction on each bridge, with nothing checked, learned or answered.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

// figures of one system: medians over the rounds.
type figures struct {
	TCP      float64 `json:"tcp_gbit_s"`
	UDP      float64 `json:"udp_64_packets_per_s"`
	RTT      float64 `json:"rtt_us"`
	Sender   float64 `json:"recirculations_per_packet_sender"`
	Receiver float64 `json:"recirculations_per_packet_receiver"`
	// CPU time of both ovs-vswitchd for each packet of the UDP run that arrived: what a busy machine changes least.
	CPU float64 `json:"vswitchd_cpu_us_per_packet"`
}

// pair is two VMs that talk to each other.
type pair struct {
	a, b *ovstest.VM
	ip   string // of b
}

// system is a set of flows and who talks over it.
type system struct {
	name  string
	flows map[string]string // "h1/br-int" -> file for ovs-ofctl replace-flows
	pair  *pair
	runs  []figures
}

type bench struct {
	p     *ovstest.Program
	d     *rig.Penstockd
	hosts [2]*ovstest.Host
	time  time.Duration
}

const vni = 5000

func main() {
	p := ovstest.NewProgram("bench/overlay")
	rounds := flag.Int("rounds", 3, "how often each case is run")
	d := flag.Duration("time", 2*time.Second, "how long a run takes")
	flag.Parse()
	ovstest.Need(p, "iperf3", "ping")
	b := &bench{p: p, time: *d}
	under := ovstest.NewUnderlay(p)
	var hosts []map[string]any
	for i := range b.hosts {
		ip := fmt.Sprintf("172.31.0.%d", i+1)
		h := ovstest.Start(p, ovstest.Options{Name: fmt.Sprint("h", i+1), Underlay: under, TunnelIP: ip + "/24", MgmtIP: fmt.Sprintf("10.255.0.%d/24", i+1)})
		b.hosts[i] = h
		hosts = append(hosts, map[string]any{"name": h.Name, "ovsdb": h.OVSDB(), "tunnel_ip": ip})
	}
	b.d = rig.Penstock(p, b.hosts[0], nil, map[string]any{"hosts": hosts, "openflow": map[string]any{"listen": "10.255.0.1:16653"}})
	secured, plain := b.pair("s", "10.1.0", 0, true), b.pair("p", "10.2.0", vni, false)
	systems := []*system{{name: "penstock", flows: b.save("penstock"), pair: secured}, {name: "penstock_plain", pair: plain}, {name: "minimal", flows: b.minimal(plain), pair: plain}}
	systems[1].flows = systems[0].flows
	b.d.Kill() // the bridges keep what they have, and nobody mends what follows
	for range *rounds {
		for _, s := range systems { // in turns, so that what else the machine does hits all
			s.runs = append(s.runs, b.run(s))
		}
	}
	out := map[string]any{"bench": "overlay", "rounds": *rounds, "seconds": d.Seconds(), "cpus": runtime.NumCPU(), "encapsulation": "vxlan"}
	of := map[string]figures{}
	for _, s := range systems {
		of[s.name] = medians(s.runs)
		out[s.name] = of[s.name]
	}
	for _, s := range systems[:2] {
		m, f := of["minimal"], of[s.name]
		out[s.name+"_of_minimal"] = map[string]float64{"tcp": rig.Round(f.TCP / m.TCP), "udp": rig.Round(f.UDP / m.UDP), "rtt": rig.Round(m.RTT / f.RTT), "cpu": rig.Round(m.CPU / f.CPU)}
	}
	rig.Print(out)
	if p.Close() {
		os.Exit(1)
	}
}

// pair makes a network with a VM on each host.
func (b *bench) pair(name, net string, segment int, secure bool) *pair {
	attrs := map[string]any{"name": name}
	if segment != 0 {
		attrs["provider:network_type"], attrs["provider:segmentation_id"] = "vxlan", segment
	}
	var n struct{ Network struct{ ID string } }
	b.d.Call("POST", "/v2.0/networks", map[string]any{"network": attrs}, &n)
	b.d.Call("POST", "/v2.0/subnets", map[string]any{"subnet": map[string]any{"network_id": n.Network.ID, "ip_version": 4, "cidr": net + ".0/24"}}, nil)
	x := &pair{ip: net + ".12"}
	for i, vm := range []**ovstest.VM{&x.a, &x.b} {
		ip := net + "." + strconv.Itoa(11+i)
		var o struct {
			Port struct {
				ID  string
				MAC string `json:"mac_address"`
			}
		}
		b.d.Call("POST", "/v2.0/ports", map[string]any{"port": map[string]any{"network_id": n.Network.ID, "port_security_enabled": secure,
			"fixed_ips": []any{map[string]any{"ip_address": ip}}}}, &o)
		*vm = b.hosts[i].AddVM(name+strconv.Itoa(i), ovstest.VMOptions{MAC: o.Port.MAC, IfaceID: o.Port.ID, IP: ip + "/24"})
		(*vm).Run("ip", "link", "set", "eth0", "mtu", "1450")
	}
	for _, vm := range []*ovstest.VM{x.a, x.b} {
		if !vm.Installed(30 * time.Second) {
			b.p.Fatalf("%s is not in place; penstockd says %s", vm.Name, b.d.Log())
		}
	}
	if !x.a.WaitPing(x.ip, 30*time.Second) {
		b.p.Fatalf("no answer from %s", x.ip)
	}
	x.b.Start("iperf3", "-s")
	return x
}

// save writes the flows that are there to files.
func (b *bench) save(name string) map[string]string {
	out := map[string]string{}
	for _, h := range b.hosts {
		for _, br := range []string{"br-int", "br-tun"} {
			out[h.Name+"/"+br] = b.file(name, h, br, h.DumpFlows(br))
		}
	}
	return out
}

func (b *bench) file(name string, h *ovstest.Host, br string, flows []string) string {
	path := filepath.Join(h.Dir(), name+"."+br)
	if err := os.WriteFile(path, []byte(strings.Join(flows, "\n")+"\n"), 0o600); err != nil {
		b.p.Fatalf("%v", err)
	}
	return path
}

// minimal writes the smallest flows by which a pair reaches each other.
func (b *bench) minimal(x *pair) map[string]string {
	out := map[string]string{}
	for i, h := range b.hosts {
		vm := []*ovstest.VM{x.a, x.b}[i]
		tap, patch, back := h.OFPort(vm.Tap), h.OFPort("patch-tun"), h.OFPort("patch-int")
		vxlan := h.OFPort("vxlan-pst")
		out[h.Name+"/br-int"] = b.file("minimal", h, "br-int", []string{
			fmt.Sprintf("in_port=%d actions=output:%d", tap, patch), fmt.Sprintf("in_port=%d actions=output:%d", patch, tap)})
		out[h.Name+"/br-tun"] = b.file("minimal", h, "br-tun", []string{
			fmt.Sprintf("in_port=%d actions=set_field:%d->tun_id,set_field:172.31.0.%d->tun_dst,output:%d", back, vni, 2-i, vxlan),
			fmt.Sprintf("in_port=%d,tun_id=%d actions=output:%d", vxlan, vni, back)})
	}
	return out
}

// run installs a system's flows and measures once.
func (b *bench) run(s *system) (f figures) {
	for _, h := range b.hosts {
		for _, br := range []string{"br-int", "br-tun"} {
			h.OFCtl("replace-flows", br, s.flows[h.Name+"/"+br])
		}
	}
	if !s.pair.a.WaitPing(s.pair.ip, 30*time.Second) {
		b.p.Fatalf("%s: no answer from %s", s.name, s.pair.ip)
	}
	secs := strconv.FormatFloat(b.time.Seconds(), 'f', -1, 64)
	var tcp, udp struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sum struct {
				Packets     int
				Seconds     float64
				LostPackets int `json:"lost_packets"`
			} `json:"sum"`
		}
	}
	b.iperf(s, &tcp, "-t", secs)
	for _, h := range b.hosts {
		h.AppCtl("dpif-netdev/pmd-stats-clear")
	}
	before := b.cpu()
	b.iperf(s, &udp, "-t", secs, "-u", "-b", "0", "-l", "64")
	used := b.cpu() - before
	f.Sender, f.Receiver = b.recirculations(0), b.recirculations(1)
	f.TCP = tcp.End.Received.Rate / 1e9
	arrived := float64(udp.End.Sum.Packets - udp.End.Sum.LostPackets)
	f.UDP, f.CPU = arrived/udp.End.Sum.Seconds, float64(used.Nanoseconds())/1e3/arrived
	out := s.pair.a.Run("ping", "-n", "-q", "-c", strconv.Itoa(max(100, int(b.time.Milliseconds()/2))), "-i", "0.001", s.pair.ip)
	_, rest, _ := strings.Cut(out, "min/avg/max/mdev = ")
	var least, mean float64
	if _, err := fmt.Sscanf(rest, "%f/%f/", &least, &mean); err != nil {
		b.p.Fatalf("ping said %s", out)
	}
	f.RTT = mean * 1000
	return f
}

// cpu is the CPU time that both ovs-vswitchd have used.
func (b *bench) cpu() (d time.Duration) {
	for _, h := range b.hosts {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.Vswitchd().PID()))
		for _, f := range tasks {
			text, _ := os.ReadFile(f) // a thread that just ended
			if x := strings.Fields(string(text)); len(x) > 0 {
				ns, _ := strconv.ParseInt(x[0], 10, 64)
				d += time.Duration(ns)
			}
		}
	}
	return d
}

func (b *bench) iperf(s *system, into any, args ...string) {
	out := s.pair.a.Run(append([]string{"iperf3", "-J", "-c", s.pair.ip}, args...)...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		b.p.Fatalf("iperf3: %v: %s", err, out)
	}
}

// recirculations is how often a host's datapath has taken a packet up again, per packet received, since the last clear.
func (b *bench) recirculations(host int) float64 {
	received, again := 0.0, 0.0
	for _, line := range strings.Split(b.hosts[host].AppCtl("dpif-netdev/pmd-stats-show"), "\n") {
		name, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseFloat(strings.Fields(v + " 0")[0], 64)
		switch name {
		case "packets received":
			received += n
		case "packet recirculations":
			again += n
		}
	}
	if received == 0 {
		b.p.Fatalf("ovs-vswitchd counts no packets")
	}
	return again / received
}

func medians(runs []figures) figures {
	of := func(f func(figures) float64) float64 {
		var l []float64
		for _, r := range runs {
			l = append(l, f(r))
		}
		return rig.Round(rig.Median(l))
	}
	return figures{
		TCP: of(func(f figures) float64 { return f.TCP }), UDP: of(func(f figures) float64 { return f.UDP }),
		RTT: of(func(f figures) float64 { return f.RTT }), Sender: of(func(f figures) float64 { return f.Sender }),
		Receiver: of(func(f figures) float64 { return f.Receiver }), CPU: of(func(f figures) float64 { return f.CPU }),
	}
}
