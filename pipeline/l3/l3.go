// Package l3 derives routing: the routes of a router on every host that has a network behind it, the MAC addresses of
// next hops, and the answers of the router itself. A packet is routed on the host that it comes from, and goes straight
// to its destination's host. Package nat derives what leaves to external networks.
package l3

import (
	"slices"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The kinds of unit that have no need of others' kinds.
var (
	// Router is what a router means on every host that has a network behind it.
	Router = &pipeline.Kind{Name: "router", Order: 31, Shared: true, Derive: router}
	// Neighbour is a port as the next hop of routers, wherever it is.
	Neighbour = &pipeline.Kind{Name: "neighbour", Order: 32, Shared: true, Derive: neighbour}
)

// Reach makes the kind of a host's unit that asks for the routers behind which the host has ports, and for all networks
// that can be reached over them. The closure is worked out here at once: units that asked for each other in turn, network
// for router and router for network, would keep each other alive for ever.
func Reach(localNetwork, localRouter *pipeline.Kind) *pipeline.Kind {
	return &pipeline.Kind{Name: "reach", Order: 5, Derive: func(v model.View, sw pipeline.Switch, _ string, out *pipeline.Out) {
		routers, networks := v.Reachable(v.HostNetworks(sw.Host))
		need(sw, routers, networks, localNetwork, localRouter, out)
	}}
}

func need(sw pipeline.Switch, routers []string, networks []model.NetworkID, localNetwork, localRouter *pipeline.Kind, out *pipeline.Out) {
	for _, id := range routers {
		out.Need(Router, "", id)
		if localRouter != nil {
			out.Need(localRouter, sw.Host, id)
		}
	}
	for _, n := range networks {
		if len(routers) > 0 {
			out.Need(localNetwork, sw.Host, string(n))
		}
	}
}

// meter limits what a host punts of packets that come to routers from elsewhere: other hosts, routers, outside. No port
// has slot 0.
var meter = pipeline.MeterID(0, pipeline.MeterARP)

// Host adds what every host has for routing.
func Host(sw pipeline.Switch, out *pipeline.Out) {
	out.AddMeter(pipeline.BrInt, meter, sw.Settings.ARPPPS, sw.Settings.ARPBurst)
	punt := []openflow.Action{pipeline.Punt.Load(uint64(pipeline.HandlerRouter)), pipeline.Goto(pipeline.PuntTable)}
	out.Add(pipeline.Oversized, pipeline.Match{pipeline.IsIPv4, pipeline.TooBig.Is(1)}, punt...)
	for ttl := range uint64(2) {
		out.Add(pipeline.TTLExpired, pipeline.Match{pipeline.IsIPv4, pipeline.IPTTL.Is(ttl)}, punt...)
	}
	out.Add(pipeline.RouteMissing, pipeline.Match{pipeline.IsIPv4}, punt...)
	out.Add(pipeline.NoNeighbour, pipeline.Match{pipeline.IsIPv4}, punt...)
}

// Interface adds what a router's own MAC on a network means where the network is: to l2_lookup a frame that a router
// forwards to another router, or to one of its own addresses. The two flows belong together: without the first, what
// nobody routes would go round. The other router has the packet from no port, answers into
// the network, and has to find a next hop of its own.
func Interface(net pipeline.Term, mac model.MAC, out *pipeline.Out) {
	out.Add(pipeline.RouteNothing, pipeline.Match{net, pipeline.EthDst.MAC(mac)})
	out.Add(pipeline.ToRouter, pipeline.Match{net, pipeline.EthDst.MAC(mac)}, pipeline.InPort.Load(0), pipeline.Resolved.Load(0), pipeline.Call(pipeline.RouteIn))
}

func router(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	r, ok := v.Router(id)
	if !ok || !r.AdminStateUp {
		return
	}
	out.For(model.Routers, r.Key)
	in := pipeline.Router.Key(r.Key)
	nets := map[model.NetworkID]*model.Network{}
	var order []*model.Network
	ports := map[string]bool{}
	for k, i := range v.Interfaces(r) {
		if k == 0 {
			out.Add(pipeline.PuntRemote, pipeline.Match{in, pipeline.InPort.Is(0), pipeline.Punt.Is(uint64(pipeline.HandlerRouter))},
				pipeline.Net.Load(0), pipeline.Punt.Load(0), pipeline.Router.Load(0), pipeline.NextHop.Load(0), openflow.Controller{MaxLen: 0xffff, Reason: 1,
					UserData: string(pipeline.UserData(pipeline.HandlerRouter, i.Port.Key)), HasMeter: true, MeterID: meter})
		}
		n, ok := nets[i.Port.NetworkID]
		if !ok {
			if n, ok = v.Network(i.Port.NetworkID); !ok {
				continue
			}
			nets[i.Port.NetworkID], order = n, append(order, n)
			out.NeedEach(pipeline.Each{Index: model.PortsByNetwork, Key: n.ID, Kind: Neighbour})
		}
		self(in, i, n, out)
		if i.External {
			if !ports[i.Port.ID] {
				ports[i.Port.ID] = true
				forward(pipeline.ForwardOut, pipeline.NATOut, in, n, i.Port, out)
			}
			continue
		}
		if ports[i.Port.ID] || !i.Port.AdminStateUp {
			continue
		}
		ports[i.Port.ID] = true
		net := pipeline.Net.Key(n.Key)
		out.Add(pipeline.RouteThis, pipeline.Match{net, pipeline.Remote.Is(0), pipeline.EthDst.MAC(i.Port.MAC), pipeline.IsIPv4},
			append(Enter(r, n), pipeline.Goto(pipeline.RouteSelf))...)
		forward(pipeline.Forward, pipeline.L2Lookup, in, n, i.Port, out)
	}
	pathMTU(in, order, out)
	for _, h := range v.Hops(r) {
		n := nets[h.Via.Port.NetworkID]
		if n == nil {
			continue
		}
		rule := pipeline.RouteNet.At(uint16(2 * h.Prefix.Bits()))
		hop := pipeline.Copy(pipeline.IPv4Dst, pipeline.NextHop)
		if h.NextHop.IsValid() {
			rule = pipeline.RouteVia.At(uint16(2 * h.Prefix.Bits()))
			hop = pipeline.NextHop.Load(pipeline.AddrUint(h.NextHop))
		}
		to := []openflow.Action{pipeline.Net.Load(uint64(n.Key)), hop, pipeline.Goto(pipeline.PathMTU)}
		if h.Via.External {
			to = []openflow.Action{hop, pipeline.Goto(pipeline.Exit)}
		}
		out.Add(rule, pipeline.Match{in, pipeline.IsIPv4, pipeline.IPv4Dst.In(h.Prefix)}, to...)
	}
	for _, n := range order {
		holdLearned(n, out)
	}
}

// Enter has a router take a packet from a network.
func Enter(r *model.Router, n *model.Network) []openflow.Action {
	return []openflow.Action{pipeline.Router.Load(uint64(r.Key)), pipeline.InMTU.Load(uint64(mtu(n)))}
}

// mtu is a network's MTU as InMTU holds it.
func mtu(n *model.Network) int { return min(max(n.MTU, 0), 0xffff) }

// pathMTU has packets measured that may be larger than the next network carries: those from a network with a larger MTU.
// Between networks with the same there is no such flow, and nothing in the datapath.
func pathMTU(in pipeline.Term, nets []*model.Network, out *pipeline.Out) {
	var sizes []int
	for _, n := range nets {
		if m := mtu(n); !slices.Contains(sizes, m) {
			sizes = append(sizes, m)
		}
	}
	for _, n := range nets {
		m := mtu(n)
		for _, larger := range sizes {
			if m > 0 && larger > m && m+ethernetHeader <= 0xffff {
				out.Add(pipeline.Measure, pipeline.Match{in, pipeline.Net.Key(n.Key), pipeline.IsIPv4, pipeline.InMTU.Is(uint64(larger))},
					openflow.CheckPktLarger{Len: uint16(m + ethernetHeader), Dst: pipeline.TooBig.Sub()}, pipeline.Goto(pipeline.Neighbour))
			}
		}
	}
}

// ethernetHeader is what Open vSwitch counts beside the IP packet, in bytes; a VLAN tag is not counted.
const ethernetHeader = 14

// forward sends a packet on by an interface. From here on it comes from this host and from no port: it may go back to where
// it came from.
func forward(rule *pipeline.Rule, next *pipeline.Table, in pipeline.Term, n *model.Network, p *model.Port, out *pipeline.Out) {
	acts := []openflow.Action{pipeline.EthSrc.Load(p.MAC.Uint64()), openflow.DecTTL{}, pipeline.Remote.Load(0), pipeline.NoPort.Load(nowhere)}
	if next == pipeline.NATOut {
		// It may come back to the port that sent it, by the port's own floating IP.
		acts = append(acts, pipeline.InPort.Load(0))
	}
	out.Add(rule, pipeline.Match{in, pipeline.Net.Key(n.Key), pipeline.IsIPv4, pipeline.Resolved.Is(1)}, append(acts, pipeline.Goto(next))...)
}

// nowhere is OFPP_NONE, as an in_port.
const nowhere = 0xffff

// self answers ping of a router's address, to where the request came from, and has the handler refuse the rest.
func self(in pipeline.Term, i model.Interface, n *model.Network, out *pipeline.Out) {
	a := i.Addr
	to := pipeline.Match{in, pipeline.IsIPv4, pipeline.IPv4Dst.Addr(a)}
	refused := to
	if i.External {
		// From inside it may answer a connection that was translated to this address, and is looked up outside first.
		refused = append(to[:3:3], pipeline.Net.Key(n.Key))
	}
	out.Add(pipeline.SelfOther, refused, pipeline.Punt.Load(uint64(pipeline.HandlerRouter)), pipeline.Goto(pipeline.PuntTable))
	ping := append(to[:3:3], pipeline.IPProto.Is(pipeline.ProtoICMP), pipeline.ICMPTyp.Is(8))
	swap := []openflow.Action{
		pipeline.Copy(pipeline.EthSrc, pipeline.Stash), pipeline.Copy(pipeline.EthDst, pipeline.EthSrc), pipeline.Copy(pipeline.Stash, pipeline.EthDst),
		pipeline.Copy(pipeline.IPv4Src, pipeline.IPv4Dst), pipeline.IPv4Src.Load(pipeline.AddrUint(a)), pipeline.ICMPTyp.Load(0), pipeline.IPTTL.Load(64),
	}
	k := len(swap)
	out.Add(pipeline.SelfPing, append(ping, pipeline.Remote.Is(0)), append(swap[:k:k], openflow.Output{Port: openflow.PortInPort})...)
	out.Add(pipeline.SelfPing, append(ping, pipeline.Remote.Is(1)), append(swap[:k:k], pipeline.Remote.Load(0), pipeline.NoPort.Load(nowhere), pipeline.Goto(pipeline.Uplink))...)
}

// neighbour makes a port known as next hop. One that is nowhere is not: another may have its address (VRRP).
func neighbour(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	p, ok := v.Port(model.PortID(id))
	if !ok {
		return
	}
	n, ok := v.Network(p.NetworkID)
	if !ok {
		return
	}
	if _, placed := v.Place(p); !placed && !holds(p.DeviceOwner) {
		return
	}
	out.For(model.Ports, p.Key)
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			out.Add(pipeline.NextHopMAC, pipeline.Match{pipeline.Net.Key(n.Key), pipeline.NextHop.Is(pipeline.AddrUint(f.Address))},
				pipeline.EthDst.Load(p.MAC.Uint64()), pipeline.Resolved.Load(1), pipeline.Goto(pipeline.RouteOut))
		}
	}
}

// holds says whether routers answer for the addresses of ports with a device_owner.
func holds(owner string) bool {
	return model.IsRouterInterface(owner) || owner == model.OwnerRouterGateway || owner == model.OwnerFloatingIP
}
