// Command restart measures what a restart of the controller costs the VMs: penstockd, and beside it OVN's ovn-controller,
// is killed with SIGKILL, stays away for a second and starts again, on a host with two VMs and 1,000 ports elsewhere,
// under a ping every millisecond and a TCP stream between the two. The same is measured for as long without a restart,
// since gaps come from whatever else the machine does too. It prints one line of JSON.
//
//	go run ./bench/restart [-remote 1000] [-ovn=false]
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/sim"
)

// noise is how much longer than without a restart the longest gap may be, in milliseconds: penstockd's start takes
// the processors that the VMs and ovs-vswitchd of this machine want too.
const noise = 100

// phase is what the VMs saw.
type phase struct {
	Pings       int     `json:"pings"`
	Lost        int     `json:"pings_lost"`
	PingGap     float64 `json:"ping_gap_ms"` // longest time between two replies
	TCPGap      float64 `json:"tcp_gap_ms"`  // longest time between two reads of the stream
	TCPMB       float64 `json:"tcp_mb"`
	Retransmits uint32  `json:"tcp_retransmits"`
}

type result struct {
	Calm     phase   `json:"without"`
	Restart  phase   `json:"restart"`
	Back     float64 `json:"back_s"` // from the new start to everything in sync
	FlowMods *int    `json:"flow_mods,omitempty"`
	Flows    int     `json:"flows"`
}

func main() {
	remote := flag.Int("remote", 1000, "ports on another host")
	ovn := flag.Bool("ovn", true, "measure OVN too")
	flag.Parse()
	t := ovstest.NewProgram("bench/restart")
	defer t.Close()
	p := penstock(t, *remote)
	out := map[string]any{"bench": "restart", "remote_ports": *remote, "down_s": 1, "penstock": p,
		"ok": p.Restart.Lost == 0 && *p.FlowMods == 0 && p.Restart.PingGap <= p.Calm.PingGap+noise && p.Restart.TCPGap <= p.Calm.TCPGap+noise}
	if *ovn {
		out["ovn"] = measureOVN(t, *remote)
	}
	rig.Print(out)
}

func penstock(t *ovstest.Program, remote int) result {
	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	far, err := sim.NewHost("far", sim.Options{Dir: h.Dir(), Dial: h.Dial})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(far.Close)
	p := rig.Penstock(t, h, []rig.HostConf{{Name: "h1", OVSDB: h.OVSDB(), DatapathType: "netdev"}, {Name: "far", OVSDB: far.OVSDB()}}, nil)
	w := rig.NewWatch(t, h.OVSDB())
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := far.WaitBridge(ctx, "br-int"); err != nil {
		t.Fatalf("%v", err)
	}
	n := p.Network("n1", "10.0.0.0/16")
	var names []string
	var vifs []sim.VIF
	for i, id := range p.Ports(n, remote) {
		names = append(names, fmt.Sprintf("t%d", i))
		vifs = append(vifs, sim.VIF{IfaceID: id, Name: names[i]})
	}
	if err := far.Plug(vifs...); err != nil {
		t.Fatalf("%v", err)
	}
	var vm [2]*ovstest.VM
	for i := range vm {
		addr := fmt.Sprintf("10.0.100.%d", i+1)
		var out struct{ Port struct{ ID, MAC string } }
		m := fmt.Sprintf("fa:16:3e:aa:00:%02x", i+1)
		p.Call("POST", "/v2.0/ports", map[string]any{"port": map[string]any{"network_id": n, "mac_address": m,
			"fixed_ips": []map[string]any{{"ip_address": addr}}, "port_security_enabled": false}}, &out)
		vm[i] = h.AddVM(fmt.Sprintf("vm%d", i+1), ovstest.VMOptions{MAC: m, IP: addr + "/16", IfaceID: out.Port.ID})
	}
	if err := far.WaitInstalled(ctx, names...); err != nil {
		t.Fatalf("%v", err)
	}
	w.All(t, time.Minute, "penstock-installed", "true", vm[0].Tap, vm[1].Tap)
	p.Synced(4, time.Minute)
	r := measure(t, vm, func() time.Duration {
		p.Kill()
		time.Sleep(time.Second) // the time it stays away is part of what is measured
		start := time.Now()
		p.Start()
		p.Synced(4, 2*time.Minute)
		return time.Since(start)
	})
	mods := int(p.Metrics()["penstock_flow_mods_total"])
	r.FlowMods, r.Flows = &mods, len(h.DumpFlows(h.MgmtSocket("br-int")))
	return r
}

func measureOVN(t *ovstest.Program, remote int) result {
	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	o := rig.StartOVN(t, h)
	w := rig.NewWatch(t, h.OVSDB())
	o.Ports(0, remote)
	o.SB("chassis-add", "far", "geneve", "172.31.0.2")
	var bind []string
	for i := range remote {
		if len(bind) > 0 {
			bind = append(bind, "--")
		}
		bind = append(bind, "lsp-bind", fmt.Sprintf("p%d", i), "far")
	}
	o.SB(bind...)
	var vm [2]*ovstest.VM
	for i := range vm {
		m, id := fmt.Sprintf("fa:16:3e:aa:00:%02x", i+1), fmt.Sprintf("vm%d", i+1)
		addr := fmt.Sprintf("10.0.100.%d", i+1)
		o.NB("lsp-add", "s1", id, "--", "lsp-set-addresses", id, m+" "+addr)
		vm[i] = h.AddVM(id, ovstest.VMOptions{MAC: m, IP: addr + "/16", IfaceID: id})
	}
	w.All(t, time.Minute, "ovn-installed", "true", vm[0].Tap, vm[1].Tap)
	o.NB("--wait=hv", "sync")
	r := measure(t, vm, func() time.Duration {
		o.KillController()
		time.Sleep(time.Second) // as above
		start := time.Now()
		o.StartController()
		o.NB("--wait=hv", "sync")
		return time.Since(start)
	})
	r.Flows = len(h.DumpFlows(h.MgmtSocket("br-int")))
	return r
}

// tail is how long the traffic goes on after the controller is back; what it does late must show.
const tail = 3 * time.Second

// calm is how long the traffic runs without a restart, first: about as long as with one.
const calm = 6 * time.Second

// measure runs the traffic without a restart and around one.
func measure(t *ovstest.Program, vm [2]*ovstest.VM, restart func() time.Duration) (r result) {
	addr := strings.Split(vm[1].Run("ip", "-4", "-o", "addr", "show", "eth0"), "inet ")[1]
	addr, _, _ = strings.Cut(addr, "/")
	if !vm[0].WaitPing(addr, 20*time.Second) {
		t.Fatalf("%s does not reach %s", vm[0].Name, addr)
	}
	r.Calm = traffic(t, vm, addr, func() { time.Sleep(calm) })
	r.Restart = traffic(t, vm, addr, func() {
		time.Sleep(time.Second)
		back := restart()
		r.Back = rig.Round(back.Seconds())
		time.Sleep(tail)
	})
	return r
}

// traffic pings and streams while f runs.
func traffic(t *ovstest.Program, vm [2]*ovstest.VM, addr string, f func()) (r phase) {
	l, err := vm[1].Listen("tcp", addr+":5001")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer l.Close()
	c, err := vm[0].Dial(context.Background(), "tcp", addr+":5001")
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatalf("%v", err)
	}
	var stop atomic.Bool
	sent := make(chan struct{})
	go func() { // about 10 MB/s: a stream that leaves the machine its processors
		defer close(sent)
		b := make([]byte, 10<<10)
		for !stop.Load() {
			if _, err := c.Write(b); err != nil {
				t.Errorf("stream: %v", err)
				return
			}
			time.Sleep(time.Millisecond) // the pace
		}
	}()
	received := make(chan struct{})
	go func() {
		defer close(received)
		b := make([]byte, 64<<10)
		total := 0
		var gap time.Duration
		for last := time.Now(); ; {
			n, err := s.Read(b)
			if err != nil {
				break
			}
			total += n
			now := time.Now()
			gap, last = max(gap, now.Sub(last)), now
		}
		r.TCPGap, r.TCPMB = rig.Round(rig.Ms(gap)), rig.Round(float64(total)/1e6)
	}()
	ping := vm[0].StartPing(addr, time.Millisecond)
	f()
	p := ping.Stop()
	stop.Store(true)
	<-sent
	r.Retransmits = retransmits(t, c.(*net.TCPConn))
	c.Close()
	<-received
	s.Close()
	r.Pings, r.Lost, r.PingGap = p.Sent, p.Lost, rig.Round(rig.Ms(p.MaxGap))
	return r
}

// retransmits is tcpi_total_retrans of a connection.
func retransmits(t *ovstest.Program, c *net.TCPConn) uint32 {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatalf("%v", err)
	}
	const total = 100 // offset in struct tcp_info
	var info [256]byte
	size := uint32(len(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 || size < total+4 {
		t.Fatalf("TCP_INFO: %v %v, %d octets", err, errno, size)
	}
	return *(*uint32)(unsafe.Pointer(&info[total]))
}
