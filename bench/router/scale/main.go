// Command scale measures routers on many simulated hosts: attaching a subnet where both sides have 1,000 ports on 50 hosts,
// floating IPs among many, a router with 64 subnets and one with 1,000 routes.
//
//	go run ./bench/router/scale [-hosts 50] [-ports 1000] [-floating 5000] [-subnets 64] [-routes 1000] [-profile FILE]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

var (
	hosts    = flag.Int("hosts", 50, "simulated hosts")
	ports    = flag.Int("ports", 1000, "ports on each side")
	floating = flag.Int("floating", 5000, "floating IPs; 0: leave out")
	subnets  = flag.Int("subnets", 64, "subnets of one router; 0: leave out")
	routes   = flag.Int("routes", 1000, "routes of one router; 0: leave out")
	apart    = flag.Bool("apart", true, "measure also with each side on hosts of its own")
	profile  = flag.String("profile", "", "write a CPU profile of penstockd during the parts to this file and a suffix")
)

func main() {
	flag.Parse()
	t := ovstest.NewProgram("bench/router/scale")
	defer t.Close()
	out := map[string]any{"bench": "router-scale", "hosts": *hosts}
	r := newRun(t)
	if *ports > 0 {
		out["attach_mixed"] = r.attach("mixed", false)
		if *apart {
			out["attach_apart"] = r.attach("apart", true)
		}
	}
	if *subnets > 0 {
		out["subnets"] = r.manySubnets()
	}
	if *routes > 0 {
		out["routes"] = r.manyRoutes()
	}
	if *floating > 0 {
		out["floating_ip"] = r.manyFloating()
	}
	_, peak := r.p.RSS()
	out["rss_peak_mb"], out["failed"] = rig.Round(peak), r.f.Sum(0).Failed
	rig.Print(out)
}

type run struct {
	t *ovstest.Program
	f *rig.Fleet
	p *rig.Penstockd
}

type object = map[string]any

func newRun(t *ovstest.Program) *run {
	dir, err := os.MkdirTemp("", "pkbench.")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &run{t: t, f: rig.NewFleet(t, dir, *hosts)}
	conf := r.f.Conf()
	for i := range conf {
		conf[i].BridgeMappings = map[string]string{"external": "br-ex"}
	}
	r.p = rig.Penstock(t, rig.Here{T: t, Dir: dir}, conf, map[string]any{"networks": object{"max_routes": 4096, "physical": object{"external": object{"flat": true, "vlan_ranges": []string{"100:199"}}}}})
	r.ctx(2*time.Minute, func(ctx context.Context) { r.f.Ready(ctx, t) })
	return r
}

func (r *run) ctx(d time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f(ctx)
}

// synced waits until what the store holds now is derived and all switches hold it.
func (r *run) synced() {
	status := func() (s opapi.Status) { r.p.Call("GET", opapi.PathStatus, nil, &s); return s }
	rev := status().Revision
	ovstest.Wait(r.t, 5*time.Minute, "the change to be derived", func() bool { return status().Derived >= rev })
	r.p.Synced(3*len(r.f.Hosts), 5*time.Minute)
}

// make creates an object and returns its id.
func (r *run) make(kind string, attrs object) string {
	var out map[string]object
	r.p.Call("POST", "/v2.0/"+kind+"s", object{kind: attrs}, &out)
	return out[kind]["id"].(string)
}

// network makes a network with n ports, plugged on the hosts from first on, as many as over.
func (r *run) network(name, cidr string, n, first, over int) (net, subnet string, ids []string) {
	net = r.p.Network(name, cidr)
	var list struct{ Subnets []object }
	r.p.Call("GET", "/v2.0/subnets?network_id="+net, nil, &list)
	ids = r.p.Ports(net, n)
	byHost := make([][]string, over)
	for i, id := range ids {
		byHost[i%over] = append(byHost[i%over], id)
	}
	r.ctx(5*time.Minute, func(ctx context.Context) {
		for i, l := range byHost {
			if len(l) > 0 {
				r.f.Plug(ctx, r.t, (first+i)%len(r.f.Hosts), l)
			}
		}
	})
	return net, list.Subnets[0]["id"].(string), ids
}

// change measures something: until the API answered, and until the last host had confirmed what it means.
func (r *run) change(what string, f func()) object {
	r.synced()
	r.f.Reset()
	before, cpu, own := r.f.Sum(0), r.p.CPU(), ownCPU()
	derived := r.p.Metrics()["penstock_derive_seconds_sum"]
	var prof <-chan struct{}
	if *profile != "" {
		prof = r.p.Profile(*profile+"."+what, 3)
	}
	start := time.Now()
	f()
	api := time.Since(start)
	r.synced()
	last, n := r.f.LastCommit()
	if prof != nil {
		<-prof
	}
	after := r.f.Sum(0)
	row := object{"api_ms": rig.Round(rig.Ms(api)), "confirmed_ms": rig.Round(rig.Ms(last.Sub(start))), "hosts": n, "flow_mods": after.FlowMods - before.FlowMods,
		"group_mods": after.GroupMods - before.GroupMods, "octets": after.Octets - before.Octets, "derive_ms": rig.Round(1e3 * (r.p.Metrics()["penstock_derive_seconds_sum"] - derived)),
		"penstockd_cpu_ms": rig.Round(rig.Ms(r.p.CPU() - cpu)), "hosts_cpu_ms": rig.Round(rig.Ms(ownCPU() - own))}
	r.t.Logf("%s: %v", what, row)
	return row
}

// ownCPU is the processor time of this process, which is that of the simulated hosts: they share the machine.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (r *run) plug(router, subnet string) {
	r.p.Call("PUT", "/v2.0/routers/"+router+"/add_router_interface", object{"subnet_id": subnet}, nil)
}

// attach has a router with one subnet get another.
func (r *run) attach(name string, apart bool) object {
	first, over := 0, len(r.f.Hosts)
	if apart {
		first, over = len(r.f.Hosts)/2, len(r.f.Hosts)/2
	}
	_, s1, _ := r.network(name+"-a", "10.0.0.0/17", *ports, 0, over)
	_, s2, _ := r.network(name+"-b", "10.0.128.0/17", *ports, first, over)
	rt := r.make("router", object{"name": name})
	r.plug(rt, s1)
	row := r.change("attach "+name, func() { r.plug(rt, s2) })
	row["confirmed_aim_ms"], row["ok"] = 1000, row["confirmed_ms"].(float64) < 1000
	row["detach"] = r.change("detach "+name, func() {
		r.p.Call("PUT", "/v2.0/routers/"+rt+"/remove_router_interface", object{"subnet_id": s2}, nil)
	})
	return row
}

// manySubnets gives one router subnets one after the other, with a port of each on two hosts.
func (r *run) manySubnets() object {
	rt := r.make("router", object{"name": "wide"})
	var last object
	var all []float64
	for i := range *subnets {
		_, s, _ := r.network(fmt.Sprintf("wide%d", i), fmt.Sprintf("10.%d.%d.0/24", 1+i/256, i%256), 2, i, 2)
		if i < *subnets-1 {
			start := time.Now()
			r.plug(rt, s)
			all = append(all, rig.Ms(time.Since(start)))
			continue
		}
		last = r.change("last subnet", func() { r.plug(rt, s) })
	}
	last["subnets"], last["api_ms_median"] = *subnets, rig.Round(rig.Median(all))
	return last
}

// manyRoutes gives one router routes at once, then one more.
func (r *run) manyRoutes() object {
	_, s, ids := r.network("routed", "10.200.0.0/24", 2*len(r.f.Hosts), 0, len(r.f.Hosts))
	var p map[string]object
	r.p.Call("GET", "/v2.0/ports/"+ids[0], nil, &p)
	hop := p["port"]["fixed_ips"].([]any)[0].(object)["ip_address"]
	rt := r.make("router", object{"name": "routes"})
	r.plug(rt, s)
	list := make([]object, *routes)
	for i := range list {
		list[i] = object{"destination": fmt.Sprintf("172.%d.%d.0/24", 16+i/256, i%256), "nexthop": hop}
	}
	half := len(list) / 2
	out := object{"routes": *routes}
	out["half"] = r.change("half of the routes", func() {
		r.p.Call("PUT", "/v2.0/routers/"+rt, object{"router": object{"routes": list[:half]}}, nil)
	})
	out["all"] = r.change("all routes", func() {
		r.p.Call("PUT", "/v2.0/routers/"+rt, object{"router": object{"routes": list}}, nil)
	})
	out["one_more"] = r.change("one more route", func() {
		r.p.Call("PUT", "/v2.0/routers/"+rt+"/add_extraroutes", object{"router": object{"routes": []object{{"destination": "192.168.7.0/24", "nexthop": hop}}}}, nil)
	})
	return out
}

// manyFloating gives floating IPs to the ports of one network, and measures one more now and then.
func (r *run) manyFloating() object {
	ext := r.make("network", object{"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "external"})
	r.make("subnet", object{"network_id": ext, "ip_version": 4, "cidr": "100.64.0.0/16", "gateway_ip": "100.64.0.1", "enable_dhcp": false})
	_, s, ids := r.network("inner", "10.100.0.0/16", *floating+60, 0, len(r.f.Hosts))
	rt := r.make("router", object{"name": "floating"})
	r.plug(rt, s)
	r.p.Call("PUT", "/v2.0/routers/"+rt, object{"router": object{"external_gateway_info": object{"network_id": ext}}}, nil)
	give := func(id string) string {
		return r.make("floatingip", object{"floating_network_id": ext, "port_id": id, "project_id": "inner"})
	}
	out := object{}
	next := 0
	for _, among := range []int{50, *floating} {
		var wg sync.WaitGroup
		work := make(chan string)
		for range 4 {
			wg.Go(func() {
				for id := range work {
					give(id)
				}
			})
		}
		start := time.Now()
		n := max(among-next, 0)
		for _, id := range ids[next : next+n] {
			work <- id
		}
		close(work)
		wg.Wait()
		next += n
		r.synced()
		var confirmed, api []float64
		var mods []uint64
		var last object
		for range 5 {
			last = r.change(fmt.Sprintf("one floating IP among %d", among), func() { give(ids[next]) })
			next++
			confirmed, api, mods = append(confirmed, last["confirmed_ms"].(float64)), append(api, last["api_ms"].(float64)), append(mods, last["flow_mods"].(uint64))
		}
		last["confirmed_ms"], last["api_ms"], last["created_s"] = rig.Round(rig.Median(confirmed)), rig.Round(rig.Median(api)), rig.Round(time.Since(start).Seconds())
		last["flow_mods_min"], last["flow_mods_max"] = slices.Min(mods), slices.Max(mods)
		last["confirmed_aim_ms"], last["ok"] = 20, rig.Median(confirmed) < 20
		out[fmt.Sprintf("among_%d", among)] = last
	}
	return out
}
