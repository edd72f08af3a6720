// Command secgroup measures what security groups cost in the data path, beside OVN's allow-related ACLs: real ovs-vswitchd
// with the userspace datapath, two hosts for each system, in turns in the same run. Both have what Neutron makes of the
// default group: what a port sends passes, what it gets passes from members, all else is dropped; and port security. It
// prints one line of JSON.
//
// For a pair of VMs on one host and a pair on two: TCP throughput, UDP packets of 64 bytes a second that arrive, with the
// passes through the datapath that a packet takes and the CPU time of all ovs-vswitchd for it, the round trip of a ping,
// and new TCP connections a second, each opened, used for nothing and closed, with the CPU time for one.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

// figures of one system and pair: medians over the rounds.
type figures struct {
	TCP     float64 `json:"tcp_gbit_s"`
	UDP     float64 `json:"udp_64_packets_per_s"`
	Passes  float64 `json:"passes_per_packet"`     // on all hosts of the pair, the first on each included
	CPU     float64 `json:"cpu_us_per_packet"`     // of all its ovs-vswitchd
	RTT     float64 `json:"rtt_us"`                //
	Conns   float64 `json:"connections_per_s"`     //
	ConnCPU float64 `json:"cpu_us_per_connection"` // of all its ovs-vswitchd
}

// pair is two VMs that talk.
type pair struct {
	name  string
	a, b  *ovstest.VM
	ip    string // of b
	hosts []*ovstest.Host
	runs  []figures
}

type bench struct {
	p    *ovstest.Program
	time time.Duration
}

func main() {
	p := ovstest.NewProgram("bench/secgroup")
	rounds := flag.Int("rounds", 3, "how often each case is run")
	d := flag.Duration("time", 2*time.Second, "how long a run takes")
	flag.Parse()
	ovstest.Need(p, "iperf3", "ping", "ovn-northd", "ovn-controller")
	b := &bench{p, *d}
	pairs := append(b.penstock(), b.ovn()...)
	for _, x := range pairs {
		if !x.a.WaitPing(x.ip, 30*time.Second) {
			p.Fatalf("%s: no answer from %s", x.name, x.ip)
		}
		x.b.Start("iperf3", "-s")
		l, err := x.b.Listen("tcp4", ":9")
		if err != nil {
			p.Fatalf("%v", err)
		}
		p.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	for range *rounds {
		for _, x := range pairs { // in turns, so that what else the machine does hits all
			x.runs = append(x.runs, b.run(x))
		}
	}
	out := map[string]any{"bench": "secgroup", "rounds": *rounds, "seconds": d.Seconds(), "cpus": runtime.NumCPU()}
	of := map[string]figures{}
	for _, x := range pairs {
		of[x.name] = medians(x.runs)
		out[x.name] = of[x.name]
	}
	for _, where := range []string{"one_host", "two_hosts"} {
		m, o := of["penstock_"+where], of["ovn_"+where]
		out["of_ovn_"+where] = map[string]float64{"tcp": rig.Round(m.TCP / o.TCP), "udp": rig.Round(m.UDP / o.UDP), "passes": rig.Round(o.Passes / m.Passes),
			"cpu": rig.Round(o.CPU / m.CPU), "rtt": rig.Round(o.RTT / m.RTT), "connections": rig.Round(m.Conns / o.Conns), "connection_cpu": rig.Round(o.ConnCPU / m.ConnCPU)}
	}
	rig.Print(out)
	if p.Close() {
		os.Exit(1)
	}
}

// hosts starts two hosts with an underlay of their own.
func (b *bench) hosts(name string) []*ovstest.Host {
	under := ovstest.NewUnderlay(b.p)
	var out []*ovstest.Host
	for i := 1; i <= 2; i++ {
		out = append(out, ovstest.Start(b.p, ovstest.Options{Name: fmt.Sprint(name, i), Underlay: under,
			TunnelIP: fmt.Sprintf("172.31.0.%d/24", i), MgmtIP: fmt.Sprintf("10.255.0.%d/24", i)}))
	}
	return out
}

func pairsOf(system string, hosts []*ovstest.Host, vms []*ovstest.VM) []*pair {
	return []*pair{
		{name: system + "_one_host", a: vms[0], b: vms[1], ip: "10.1.0.12", hosts: hosts[:1]},
		{name: system + "_two_hosts", a: vms[0], b: vms[2], ip: "10.1.0.13", hosts: hosts},
	}
}

// vm plugs the i-th VM: the first two on the first host, the third on the second.
func vm(hosts []*ovstest.Host, i int, mac, iface string) *ovstest.VM {
	v := hosts[i/2].AddVM(fmt.Sprint("v", i), ovstest.VMOptions{MAC: mac, IfaceID: iface, IP: fmt.Sprintf("10.1.0.%d/24", 11+i)})
	v.Run("ip", "link", "set", "eth0", "mtu", "1400")
	return v
}

func (b *bench) penstock() []*pair {
	hosts := b.hosts("p")
	var conf []map[string]any
	for i, h := range hosts {
		conf = append(conf, map[string]any{"name": h.Name, "ovsdb": h.OVSDB(), "tunnel_ip": fmt.Sprintf("172.31.0.%d", i+1)})
	}
	d := rig.Penstock(b.p, hosts[0], nil, map[string]any{"hosts": conf, "openflow": map[string]any{"listen": "10.255.0.1:16653"}})
	var n struct{ Network struct{ ID string } }
	d.Call("POST", "/v2.0/networks", map[string]any{"network": map[string]any{"name": "n"}}, &n)
	d.Call("POST", "/v2.0/subnets", map[string]any{"subnet": map[string]any{"network_id": n.Network.ID, "ip_version": 4, "cidr": "10.1.0.0/24"}}, nil)
	var vms []*ovstest.VM
	for i := range 3 {
		var o struct {
			Port struct {
				ID  string
				MAC string `json:"mac_address"`
			}
		}
		d.Call("POST", "/v2.0/ports", map[string]any{"port": map[string]any{"network_id": n.Network.ID,
			"fixed_ips": []any{map[string]any{"ip_address": fmt.Sprintf("10.1.0.%d", 11+i)}}}}, &o)
		vms = append(vms, vm(hosts, i, o.Port.MAC, o.Port.ID))
	}
	for _, v := range vms {
		if !v.Installed(30 * time.Second) {
			b.p.Fatalf("%s is not in place; penstockd says %s", v.Name, d.Log())
		}
	}
	return pairsOf("penstock", hosts, vms)
}

// ovn makes with OVN what Neutron's driver would: a port group for the default group, and one that drops.
func (b *bench) ovn() []*pair {
	hosts := b.hosts("o")
	for _, h := range hosts {
		// With all-zero SNAT, which OVN uses where there is it, ovs-vswitchd 3.1.0 ends by an assertion in conn_update_state
		// when connections come fast. OVN is only faster without it.
		h.AppCtl("dpif/set-dp-features", "br-phy", "ct_zero_snat", "false")
	}
	o := rig.StartOVN(b.p, hosts[0])
	hosts[1].AddBridge("br-int", "fail_mode=secure")
	hosts[1].VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-remote=unix:"+hosts[0].Dir()+"/sb.sock", "external_ids:ovn-encap-type=geneve",
		"external_ids:ovn-encap-ip=172.31.0.2", "external_ids:system-id=h2", "external_ids:ovn-bridge-datapath-type=netdev")
	dir := hosts[1].Dir()
	hosts[1].StartEnv([]string{"OVN_RUNDIR=" + dir, "OVN_LOGDIR=" + dir}, "ovn-controller", hosts[1].OVSDB(), "--log-file="+dir+"/controller.log", "-vconsole:emer")
	var vms []*ovstest.VM
	var ports []string
	for i := range 3 {
		port, mac := fmt.Sprint("p", i), fmt.Sprintf("fa:16:3e:00:00:%02x", i+1)
		addr := fmt.Sprintf("%s 10.1.0.%d", mac, 11+i)
		o.NB("lsp-add", "s1", port, "--", "lsp-set-addresses", port, addr, "--", "lsp-set-port-security", port, addr)
		ports = append(ports, port)
		vms = append(vms, vm(hosts, i, mac, port))
	}
	o.NB(append([]string{"pg-add", "drop"}, ports...)...)
	o.NB(append([]string{"pg-add", "def"}, ports...)...)
	o.NB("acl-add", "drop", "to-lport", "1001", "outport == @drop && ip", "drop")
	o.NB("acl-add", "drop", "from-lport", "1001", "inport == @drop && ip", "drop")
	o.NB("acl-add", "def", "from-lport", "1002", "inport == @def && ip4", "allow-related")
	o.NB("acl-add", "def", "to-lport", "1002", "outport == @def && ip4 && ip4.src == $def_ip4", "allow-related")
	o.NB("--wait=hv", "sync")
	return pairsOf("ovn", hosts, vms)
}

// run measures a pair once.
func (b *bench) run(x *pair) (f figures) {
	secs := strconv.FormatFloat(b.time.Seconds(), 'f', -1, 64)
	type sum struct {
		Rate        float64 `json:"bits_per_second"`
		Packets     int
		Seconds     float64
		LostPackets int `json:"lost_packets"`
	}
	var r struct{ End struct{ Received, Sum sum } }
	iperf := func(args ...string) {
		out := x.a.Run(append([]string{"iperf3", "-J", "-c", x.ip}, args...)...)
		out = strings.Replace(out, "sum_received", "received", 1)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			b.p.Fatalf("iperf3: %v: %s", err, out)
		}
	}
	iperf("-t", secs)
	f.TCP = r.End.Received.Rate / 1e9
	for _, h := range x.hosts {
		h.AppCtl("dpif-netdev/pmd-stats-clear")
	}
	before := b.cpu(x)
	iperf("-t", secs, "-u", "-b", "0", "-l", "64")
	used := b.cpu(x) - before
	taken := 0.0 // by the first host, whatever becomes of them
	for i, h := range x.hosts {
		received, looked := passes(h)
		f.Passes += looked / received
		if i == 0 {
			taken = received
		}
	}
	f.UDP, f.CPU = float64(r.End.Sum.Packets-r.End.Sum.LostPackets)/r.End.Sum.Seconds, float64(used.Nanoseconds())/1e3/taken
	out := x.a.Run("ping", "-n", "-q", "-c", strconv.Itoa(max(100, int(b.time.Milliseconds()/2))), "-i", "0.001", x.ip)
	_, rest, _ := strings.Cut(out, "min/avg/max/mdev = ")
	var least float64
	if _, err := fmt.Sscanf(rest, "%f/%f/", &least, &f.RTT); err != nil {
		b.p.Fatalf("ping said %s", out)
	}
	f.RTT *= 1000
	before = b.cpu(x)
	n := b.connections(x)
	f.Conns, f.ConnCPU = float64(n)/b.time.Seconds(), float64((b.cpu(x)-before).Nanoseconds())/1e3/float64(n)
	return f
}

// connections counts how many connections four clients open and close.
func (b *bench) connections(x *pair) int64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(b.time)
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, err := x.a.Dial(context.Background(), "tcp4", x.ip+":9")
				if err != nil {
					continue
				}
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return max(1, n.Load())
}

// cpu is the CPU time that the pair's ovs-vswitchd have used.
func (b *bench) cpu(x *pair) (d time.Duration) {
	for _, h := range x.hosts {
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

// passes is how many packets a host's datapath received and how often it looked one up, since the last clear.
func passes(h *ovstest.Host) (received, looked float64) {
	again := 0.0
	for _, line := range strings.Split(h.AppCtl("dpif-netdev/pmd-stats-show"), "\n") {
		name, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseFloat(strings.Fields(v + " 0")[0], 64)
		switch name {
		case "packets received":
			received += n
		case "packet recirculations":
			again += n
		}
	}
	return max(1, received), received + again
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
		Passes: of(func(f figures) float64 { return f.Passes }), CPU: of(func(f figures) float64 { return f.CPU }),
		RTT: of(func(f figures) float64 { return f.RTT }), Conns: of(func(f figures) float64 { return f.Conns }),
		ConnCPU: of(func(f figures) float64 { return f.ConnCPU }),
	}
}
