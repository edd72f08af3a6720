package derive

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// fleet is an engine with hosts that have an external network, and routers.
type fleet struct {
	*world
	e     *Engine
	snap  *snapshot.Snapshot
	hosts int
}

func newFleet(hosts int) *fleet {
	f := &fleet{newWorld(1), New(l2.Root, pipeline.DefaultSettings(), snapshot.Empty()), snapshot.Empty(), hosts}
	rows := []model.Change{f.change(model.PhysicalNetworks, &model.PhysicalNetwork{Name: "x", Number: 1}),
		f.change(model.Networks, &model.Network{Meta: f.meta("ext", model.Networks), AdminStateUp: true, External: true, MTU: 1500,
			Segments: []model.Segment{{Type: model.NetworkFlat, PhysicalNetwork: "x"}}}),
		f.change(model.Subnets, &model.Subnet{Meta: f.meta("sx", model.Subnets), NetworkID: "ext", CIDR: netip.MustParsePrefix("100.64.0.0/12"), GatewayIP: netip.MustParseAddr("100.64.0.1")})}
	for i := range hosts {
		h := f.host(i)
		rows = append(rows, f.change(model.Hosts, &model.Host{Meta: f.meta(string(h), model.Hosts), TunnelIP: netip.AddrFrom4([4]byte{172, 31, byte(i / 250), byte(1 + i%250)}),
			BridgeMappings: map[string]string{"x": "br-ex"}}), f.change(model.HostStates, &model.HostState{Host: h, Alive: true}))
	}
	f.apply(rows...)
	return f
}

func (f *fleet) host(i int) model.HostName { return model.HostName(fmt.Sprintf("h%d", i%f.hosts)) }

// apply applies changes, and gives how many flow-mods and runs of units that took.
func (f *fleet) apply(rows ...model.Change) (mods, runs int) {
	f.rev++
	before := f.e.Stats().Derived
	f.snap = f.snap.Apply(f.rev, rows)
	d := f.e.Apply(f.snap, rows)
	for _, b := range d.Bridges {
		mods += len(b.Set) + len(b.Del)
	}
	return mods, int(f.e.Stats().Derived - before)
}

// router makes a router with a gateway and a network of ports, one on each host from at on.
func (f *fleet) router(k, ports, at int) (rows []model.Change) {
	id, addr := fmt.Sprint("r", k), netip.AddrFrom4([4]byte{100, 65, byte(k / 250), byte(1 + k%250)})
	net := f.net(k)
	rows = append(rows, f.change(model.Networks, &model.Network{Meta: f.meta(string(net), model.Networks), AdminStateUp: true, MTU: 1450,
		Segments: []model.Segment{{Type: model.NetworkVXLAN, ID: uint32(1 + k)}}}),
		f.change(model.Subnets, &model.Subnet{Meta: f.meta(fmt.Sprint("s", k), model.Subnets), NetworkID: net, CIDR: netip.MustParsePrefix("10.0.0.0/8")}))
	r := &model.Router{Meta: f.meta(id, model.Routers), AdminStateUp: true, EnableSNAT: true, GatewayNetwork: "ext", GatewayPort: model.PortID("gw" + id), Zone: uint16(model.FirstRouterZone + k)}
	port := func(id string, net model.NetworkID, owner, device string, subnet model.SubnetID, a netip.Addr) model.Change {
		p := &model.Port{Meta: f.meta(id, model.Ports), NetworkID: net, AdminStateUp: true, DeviceOwner: owner, DeviceID: device, PortSecurity: true,
			FixedIPs: []model.FixedIP{{SubnetID: subnet, Address: a}}}
		p.MAC = model.MAC{2, 0, byte(p.Key >> 24), byte(p.Key >> 16), byte(p.Key >> 8), byte(p.Key)}
		return f.change(model.Ports, p)
	}
	rows = append(rows, f.change(model.Routers, r), port("gw"+id, "ext", model.OwnerRouterGateway, id, "sx", addr),
		port("if"+id, net, model.OwnerRouterInterface, id, model.SubnetID(fmt.Sprint("s", k)), netip.MustParseAddr("10.0.0.1")))
	for i := range ports {
		p := fmt.Sprintf("p%d-%d", k, i)
		rows = append(rows, port(p, net, "compute:nova", "vm"+p, model.SubnetID(fmt.Sprint("s", k)), f.fixed(i)),
			f.change(model.Bindings, &model.Binding{PortID: model.PortID(p), Host: f.host(at + i), NetworkID: net, Slot: uint16(1 + (k*ports+i)/f.hosts), OFPort: uint32(1 + (k*ports+i)/f.hosts)}))
	}
	return rows
}

func (f *fleet) net(k int) model.NetworkID { return model.NetworkID(fmt.Sprint("n", k)) }

func (f *fleet) fixed(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(1 + i%250)})
}

// floating gives a floating IP to the port with a number of router 0.
func (f *fleet) floating(i int) []model.Change {
	a := netip.AddrFrom4([4]byte{100, 66, byte(i / 250), byte(1 + i%250)})
	h := &model.Port{Meta: f.meta(fmt.Sprint("fp", i), model.Ports), NetworkID: "ext", AdminStateUp: true, DeviceOwner: model.OwnerFloatingIP, DeviceID: fmt.Sprint("f", i),
		MAC: model.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, FixedIPs: []model.FixedIP{{SubnetID: "sx", Address: a}}}
	return []model.Change{f.change(model.Ports, h), f.change(model.FloatingIPs, &model.FloatingIP{Meta: f.meta(fmt.Sprint("f", i), model.FloatingIPs), NetworkID: "ext",
		Address: a, HolderPort: model.PortID(h.ID), PortID: model.PortID(fmt.Sprintf("p0-%d", i)), FixedIP: f.fixed(i), RouterID: "r0"})}
}

// TestFloatingIPsCostTheSame: one more floating IP is as much work among thousands as among fifty.
func TestFloatingIPsCostTheSame(t *testing.T) {
	const hosts, many = 10, 2000
	f := newFleet(hosts)
	f.apply(f.router(0, many+10, 0)...)
	next := 0
	for _, among := range []int{50, many} {
		var rows []model.Change
		for ; next < among; next++ {
			rows = append(rows, f.floating(next)...)
		}
		f.apply(rows...)
		mods, runs := f.apply(f.floating(next)...)
		next++
		// Its holder is known in the external network on every host: MAC, ARP, and as a next hop. On its own host it has seven flows more.
		if mods != 3*hosts+8 || runs != 5 {
			t.Errorf("a floating IP among %d: %d flow-mods, %d units derived", among, mods, runs)
		}
	}
}

// TestRoutersLeaveAHost: when a host dies and comes back, its routers move away and back, and no others.
func TestRoutersLeaveAHost(t *testing.T) {
	const hosts, routers = 20, 200
	f := newFleet(hosts)
	for k := range routers {
		f.apply(f.router(k, 2, k)...)
	}
	there := 0
	v := model.NewView(f.snap)
	for _, id := range v.GatedRouters() {
		r, _ := v.Router(id)
		if h, _ := v.GatewayHost(r); h == "h3" {
			there++
		}
	}
	away, _ := f.apply(f.change(model.HostStates, &model.HostState{Host: "h3"}))
	back, runs := f.apply(f.change(model.HostStates, &model.HostState{Host: "h3", Alive: true}))
	// A router with two ports is some sixty flows on the host of its gateway, and one or two on others, which go and come.
	if there < 2 || there > 30 || away != back || away > 200*there || runs > 6*routers {
		t.Errorf("%d of %d routers were there: %d flow-mods away, %d back, %d units derived", there, routers, away, back, runs)
	}
}

// BenchmarkHostDies is what one host of fifty that dies or comes back costs with a thousand routers.
func BenchmarkHostDies(b *testing.B) {
	const hosts, routers = 50, 1000
	f := newFleet(hosts)
	var rows []model.Change
	for k := range routers {
		rows = append(rows, f.router(k, 4, k)...)
	}
	f.apply(rows...)
	alive := true
	for b.Loop() {
		alive = !alive
		f.apply(f.change(model.HostStates, &model.HostState{Host: "h3", Alive: alive}))
	}
}

// BenchmarkOneMoreRoute is what one more of a thousand routes costs, with fifty hosts.
func BenchmarkOneMoreRoute(b *testing.B) {
	f := newFleet(50)
	f.apply(f.router(0, 100, 0)...)
	old := f.rows[model.Routers]["r0"].(*model.Router)
	with := func(n int) {
		r := *old
		r.Routes = nil
		for i := range n {
			r.Routes = append(r.Routes, model.Route{Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(16 + i/256), byte(i), 0}), 24), NextHop: f.fixed(0)})
		}
		f.apply(f.change(model.Routers, &r))
	}
	with(1000)
	n := 1000
	for b.Loop() {
		n = 2001 - n
		with(n)
	}
}
