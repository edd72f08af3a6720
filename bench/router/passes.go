package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
)

type bench struct {
	p    *ovstest.Program
	time time.Duration
}

// figures of a system on a path. Lists have one number a host, in the order of the path's hosts.
type figures struct {
	Out   []float64 `json:"passes_out"`
	Back  []float64 `json:"passes_back"`
	InTCP []float64 `json:"passes_per_tcp_packet"`
	TCP   float64   `json:"tcp_gbit_s"`
	RTT   float64   `json:"rtt_us"`
}

// path is a way between two machines; the first opens connections, to addr.
type path struct {
	name     string
	from, to *ovstest.Node
	addr     string
	hosts    []*ovstest.Host
	runs     []figures
}

// world is one system's hosts and machines: vms[0] and [1] are on the first host in different subnets, vms[2] is on the
// second, in the subnet of vms[1].
type world struct {
	system   string
	hosts    []*ovstest.Host
	outside  *ovstest.Node
	vms      []*ovstest.VM
	floating func(vm int) string // gives a VM a floating IP
}

const outside = "203.0.113.1"

// start starts two hosts with an underlay and the machine outside.
func (b *bench) start(system string, setup func(w *world)) *world {
	under := ovstest.NewUnderlay(b.p)
	w := &world{system: system, outside: under.AddMachine("out", "ext", outside+"/24")}
	w.outside.Run("ip", "link", "set", "eth0", "mtu", "1400")
	for i := 1; i <= 2; i++ {
		opt := ovstest.Options{Name: fmt.Sprint(system[:1], i), Underlay: under, TunnelIP: fmt.Sprintf("172.31.0.%d/24", i), MgmtIP: fmt.Sprintf("10.255.0.%d/24", i)}
		if i == 1 {
			opt.Physical = map[string]string{"ext": "nic1"}
		}
		w.hosts = append(w.hosts, ovstest.Start(b.p, opt))
	}
	w.hosts[0].AddBridge("br-ex")
	w.hosts[0].AddPort("br-ex", "nic1")
	setup(w)
	return w
}

// cidr is the address of a VM.
func cidr(i int) string { return fmt.Sprintf("10.0.%d.%d", min(i, 1)+1, 11+i) }

// plug adds the i-th VM with its address and route.
func (w *world) plug(i int, mac, iface string) {
	v := w.hosts[i/2].AddVM(fmt.Sprint("v", i), ovstest.VMOptions{MAC: mac, IfaceID: iface, IP: cidr(i) + "/24", Gateway: fmt.Sprintf("10.0.%d.1", min(i, 1)+1)})
	v.Run("ip", "link", "set", "eth0", "mtu", "1400")
	w.vms = append(w.vms, v)
}

type object = map[string]any

// penstock makes the world by the API.
func (b *bench) penstock(groups bool) *world {
	return b.start("penstock", func(w *world) {
		var conf []object
		for i, h := range w.hosts {
			conf = append(conf, object{"name": h.Name, "ovsdb": h.OVSDB(), "tunnel_ip": fmt.Sprintf("172.31.0.%d", i+1)})
		}
		conf[0]["bridge_mappings"] = object{"external": "br-ex"}
		d := rig.Penstock(b.p, w.hosts[0], nil, object{"hosts": conf, "openflow": object{"listen": "10.255.0.1:16653"}})
		create := func(kind string, attrs object) map[string]any {
			var out map[string]map[string]any
			d.Call("POST", "/v2.0/"+strings.ReplaceAll(kind, "_", "-")+"s", object{kind: attrs}, &out)
			return out[kind]
		}
		public := create("network", object{"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "external"})
		create("subnet", object{"network_id": public["id"], "ip_version": 4, "cidr": "203.0.113.0/24", "gateway_ip": outside, "enable_dhcp": false,
			"allocation_pools": []object{{"start": "203.0.113.10", "end": "203.0.113.99"}}})
		r := create("router", object{"name": "r", "external_gateway_info": object{"network_id": public["id"]}})
		var nets []any
		for i := 1; i <= 2; i++ {
			n := create("network", object{"name": fmt.Sprint("n", i)})
			s := create("subnet", object{"network_id": n["id"], "ip_version": 4, "cidr": fmt.Sprintf("10.0.%d.0/24", i)})
			d.Call("PUT", "/v2.0/routers/"+r["id"].(string)+"/add_router_interface", object{"subnet_id": s["id"]}, nil)
			nets = append(nets, n["id"])
		}
		var ports []any
		for i := range 3 {
			attrs := object{"network_id": nets[min(i, 1)], "fixed_ips": []object{{"ip_address": cidr(i)}}}
			if !groups {
				attrs["port_security_enabled"] = false
			}
			p := create("port", attrs)
			ports = append(ports, p["id"])
			w.plug(i, p["mac_address"].(string), p["id"].(string))
			if groups {
				g := p["security_groups"].([]any)[0]
				if i == 0 { // what comes from outside may come in, as with OVN
					create("security_group_rule", object{"security_group_id": g, "direction": "ingress", "remote_ip_prefix": "203.0.113.0/24"})
				}
			}
		}
		for _, v := range w.vms {
			if !v.Installed(30 * time.Second) {
				b.p.Fatalf("%s is not in place; penstockd says %s", v.Name, d.Log())
			}
		}
		w.floating = func(vm int) string {
			return create("floatingip", object{"floating_network_id": public["id"], "port_id": ports[vm]})["floating_ip_address"].(string)
		}
	})
}

// ovn makes the same with OVN, as Neutron's driver would: floating IPs distributed where the host has the physical network.
func (b *bench) ovn(groups bool) *world {
	return b.start("ovn", func(w *world) {
		h1, h2 := w.hosts[0], w.hosts[1]
		for _, h := range w.hosts {
			// See bench/secgroup: all-zero SNAT makes ovs-vswitchd 3.1.0 abort.
			h.AppCtl("dpif/set-dp-features", "br-phy", "ct_zero_snat", "false")
		}
		o := rig.StartOVN(b.p, h1)
		h1.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings=external:br-ex")
		h2.AddBridge("br-int", "fail_mode=secure")
		h2.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-remote=unix:"+h1.Dir()+"/sb.sock", "external_ids:ovn-encap-type=geneve",
			"external_ids:ovn-encap-ip=172.31.0.2", "external_ids:system-id=h2", "external_ids:ovn-bridge-datapath-type=netdev")
		h2.StartEnv([]string{"OVN_RUNDIR=" + h2.Dir(), "OVN_LOGDIR=" + h2.Dir()}, "ovn-controller", h2.OVSDB(), "--log-file="+h2.Dir()+"/controller.log", "-vconsole:emer")
		o.NB("lr-add", "r", "--", "ls-add", "public", "--", "lsp-add", "public", "ln", "--", "lsp-set-type", "ln", "localnet", "--", "lsp-set-addresses", "ln", "unknown",
			"--", "lsp-set-options", "ln", "network_name=external")
		attach := func(ls, lrp, mac, addr string) {
			o.NB("lrp-add", "r", lrp, mac, addr, "--", "lsp-add", ls, "to-"+lrp, "--", "lsp-set-type", "to-"+lrp, "router", "--",
				"lsp-set-addresses", "to-"+lrp, "router", "--", "lsp-set-options", "to-"+lrp, "router-port="+lrp)
		}
		for i := 1; i <= 2; i++ {
			o.NB("ls-add", fmt.Sprint("n", i))
			attach(fmt.Sprint("n", i), fmt.Sprint("r", i), fmt.Sprintf("fa:16:3e:00:01:%02x", i), fmt.Sprintf("10.0.%d.1/24", i))
		}
		attach("public", "rx", "fa:16:3e:00:01:99", "203.0.113.10/24")
		o.NB("lrp-set-gateway-chassis", "rx", "h1", "20", "--", "lr-route-add", "r", "0.0.0.0/0", outside, "--", "lr-nat-add", "r", "snat", "203.0.113.10", "10.0.0.0/16")
		var ports []string
		for i := range 3 {
			port, mac := fmt.Sprint("p", i), fmt.Sprintf("fa:16:3e:00:00:%02x", i+1)
			o.NB("lsp-add", fmt.Sprint("n", min(i, 1)+1), port, "--", "lsp-set-addresses", port, mac+" "+cidr(i))
			if groups {
				o.NB("lsp-set-port-security", port, mac+" "+cidr(i))
			}
			ports = append(ports, port)
			w.plug(i, mac, port)
		}
		if groups {
			o.NB(append([]string{"pg-add", "drop"}, ports...)...)
			o.NB(append([]string{"pg-add", "def"}, ports...)...)
			o.NB("acl-add", "drop", "to-lport", "1001", "outport == @drop && ip", "drop")
			o.NB("acl-add", "drop", "from-lport", "1001", "inport == @drop && ip", "drop")
			o.NB("acl-add", "def", "from-lport", "1002", "inport == @def && ip4", "allow-related")
			o.NB("acl-add", "def", "to-lport", "1002", "outport == @def && ip4 && ip4.src == $def_ip4", "allow-related")
			o.NB("acl-add", "def", "to-lport", "1002", "outport == @def && ip4 && ip4.src == 203.0.113.0/24", "allow-related")
		}
		o.NB("--wait=hv", "sync")
		w.floating = func(vm int) string {
			addr := fmt.Sprintf("203.0.113.%d", 20+vm)
			nat := []string{"lr-nat-add", "r", "dnat_and_snat", addr, cidr(vm)}
			if vm < 2 {
				nat = append(nat, ports[vm], fmt.Sprintf("fa:16:3e:00:02:%02x", vm))
			}
			o.NB(nat...)
			o.NB("--wait=hv", "sync")
			return addr
		}
	})
}

// paths measures both systems along all paths, in turns.
func (b *bench) paths(rounds int, groups bool) any {
	worlds := []*world{b.penstock(groups), b.ovn(groups)}
	for _, w := range worlds {
		for _, n := range []*ovstest.Node{w.outside, &w.vms[0].Node, &w.vms[1].Node, &w.vms[2].Node} {
			n.Start("iperf3", "-s")
		}
	}
	out := map[string]map[string]figures{}
	measure := func(of func(w *world) *path) {
		var paths []*path
		for _, w := range worlds {
			x := of(w)
			if !x.from.WaitPing(x.addr, 30*time.Second) {
				b.p.Fatalf("%s, %s: no answer from %s", w.system, x.name, x.addr)
			}
			paths = append(paths, x)
		}
		for round := range rounds {
			for i := range paths { // each first in turn: what was done before a round is still at work in it
				x := paths[(i+round)%len(paths)]
				x.runs = append(x.runs, b.run(x))
			}
		}
		out[paths[0].name] = map[string]figures{}
		for i, w := range worlds {
			out[paths[0].name][w.system] = medians(paths[i].runs)
		}
	}
	vm := func(w *world, i int) *ovstest.Node { return &w.vms[i].Node }
	measure(func(w *world) *path { return &path{"routed_one_host", vm(w, 0), vm(w, 1), cidr(1), w.hosts[:1], nil} })
	measure(func(w *world) *path { return &path{"routed_two_hosts", vm(w, 0), vm(w, 2), cidr(2), w.hosts, nil} })
	measure(func(w *world) *path { return &path{"snat_one_host", vm(w, 1), w.outside, outside, w.hosts[:1], nil} })
	turned := func(w *world) []*ovstest.Host { return []*ovstest.Host{w.hosts[1], w.hosts[0]} }
	measure(func(w *world) *path { return &path{"snat_two_hosts", vm(w, 2), w.outside, outside, turned(w), nil} })
	addr := map[*world][]string{}
	for _, w := range worlds {
		for i := range w.vms {
			addr[w] = append(addr[w], w.floating(i))
		}
	}
	measure(func(w *world) *path {
		return &path{"floating_ip_one_host", w.outside, vm(w, 0), addr[w][0], w.hosts[:1], nil}
	})
	measure(func(w *world) *path {
		return &path{"floating_ip_two_hosts", w.outside, vm(w, 2), addr[w][2], w.hosts, nil}
	})
	measure(func(w *world) *path {
		return &path{"hairpin_one_host", vm(w, 0), vm(w, 1), addr[w][1], w.hosts[:1], nil}
	})
	return out
}

// run measures a path once.
func (b *bench) run(x *path) (f figures) {
	f.Out, f.Back = b.udp(x)
	var r struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	before := counters(x.hosts)
	text := x.from.Run("iperf3", "-J", "-c", x.addr, "-t", strconv.FormatFloat(b.time.Seconds(), 'f', -1, 64))
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		b.p.Fatalf("iperf3: %v: %s", err, text)
	}
	f.TCP = r.End.Received.Rate / 1e9
	for i, c := range counters(x.hosts) {
		received, again := c[0]-before[i][0], c[1]-before[i][1]
		f.InTCP = append(f.InTCP, 1+again/max(1, received))
	}
	out := x.from.Run("ping", "-n", "-q", "-c", "300", "-i", "0.002", x.addr)
	_, rest, _ := strings.Cut(out, "min/avg/max/mdev = ")
	var least float64
	if _, err := fmt.Sscanf(rest, "%f/%f/", &least, &f.RTT); err != nil {
		b.p.Fatalf("ping said %s", out)
	}
	f.RTT *= 1000
	return f
}

// udp sends packets along the path one by one, then answers, and gives the passes of each way on each host.
func (b *bench) udp(x *path) (out, back []float64) {
	const n = 200
	socket := func(at *ovstest.Node) (c net.PacketConn) {
		if err := at.Do(func() (err error) { c, err = net.ListenPacket("udp4", ":0"); return err }); err != nil {
			b.p.Fatalf("%v", err)
		}
		return c
	}
	from, to := socket(x.from), socket(x.to)
	defer from.Close()
	defer to.Close()
	var peer net.Addr = &net.UDPAddr{IP: net.ParseIP(x.addr), Port: to.LocalAddr().(*net.UDPAddr).Port}
	buf := make([]byte, 64)
	send := func(n int, from, to net.PacketConn, addr net.Addr) (source net.Addr) {
		to.SetReadDeadline(time.Now().Add(30 * time.Second))
		for range n {
			if _, err := from.WriteTo(buf, addr); err != nil {
				b.p.Fatalf("%s: %v", x.name, err)
			}
			_, a, err := to.ReadFrom(buf)
			if err != nil {
				b.p.Fatalf("%s: %v", x.name, err)
			}
			source = a
		}
		return source
	}
	count := func(f func()) (l []float64) {
		before := counters(x.hosts)
		f()
		for i, c := range counters(x.hosts) {
			l = append(l, 1+math.Round(10*(c[1]-before[i][1])/n)/10)
		}
		return l
	}
	source := send(3, from, to, peer)
	out = count(func() { send(n, from, to, peer) })
	send(3, to, from, source)
	back = count(func() { send(n, to, from, source) })
	return out, back
}

// counters are the packets that each host's datapath has received and recirculated.
func counters(hosts []*ovstest.Host) (out [][2]float64) {
	for _, h := range hosts {
		var c [2]float64
		for _, line := range strings.Split(h.AppCtl("dpif-netdev/pmd-stats-show"), "\n") {
			name, v, _ := strings.Cut(strings.TrimSpace(line), ":")
			n, _ := strconv.ParseFloat(strings.Fields(v + " 0")[0], 64)
			switch name {
			case "packets received":
				c[0] += n
			case "packet recirculations":
				c[1] += n
			}
		}
		out = append(out, c)
	}
	return out
}

func medians(runs []figures) (f figures) {
	of := func(get func(figures) float64) float64 {
		var l []float64
		for _, r := range runs {
			l = append(l, get(r))
		}
		return rig.Round(rig.Median(l))
	}
	for i := range runs[0].Out {
		f.Out = append(f.Out, of(func(f figures) float64 { return f.Out[i] }))
		f.Back = append(f.Back, of(func(f figures) float64 { return f.Back[i] }))
		f.InTCP = append(f.InTCP, of(func(f figures) float64 { return f.InTCP[i] }))
	}
	f.TCP, f.RTT = of(func(f figures) float64 { return f.TCP }), of(func(f figures) float64 { return f.RTT })
	return f
}
