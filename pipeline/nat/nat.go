// Package nat derives what passes between routers and external networks: where it leaves, the translation of sources to
// the router's address and of floating IPs both ways, and ARP on the outside. A router has one conntrack zone on every
// host: each connection is translated in one direction, and one that is translated twice, because both ends have
// floating IPs, is two connections there.
package nat

import (
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

// Kinds are the kinds of unit. Place is asked for once for every router with a gateway, LocalRouter on every host that
// has the router, FloatingIP for every floating IP that a host may have to hold, EntryPlace for every inner interface.
type Kinds struct {
	Place, Gateway, LocalRouter, FloatingIP, EntryPlace, Entry *pipeline.Kind
}

// New makes the kinds. localNetwork is a network on a host; tunnel has frames to a MAC address of a network sent to a host.
func New(localNetwork *pipeline.Kind, tunnel func(v model.View, n *model.Network, mac model.MAC, host model.HostName, out *pipeline.Out)) *Kinds {
	k := new(Kinds)
	k.LocalRouter = &pipeline.Kind{Name: "local-router", Order: 33, Derive: func(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
		if r, ok := v.Router(id); ok && r.AdminStateUp {
			localRouter(v, sw, r, tunnel, out)
		}
	}}
	k.FloatingIP = &pipeline.Kind{Name: "floatingip", Order: 34, Derive: func(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
		f, ok := v.FloatingIP(id)
		if !ok {
			return
		}
		if host, ok := v.FloatingHost(f); ok && host == sw.Host {
			out.Need(localNetwork, sw.Host, string(f.NetworkID))
			floatingIP(v, sw, f, out)
		}
	}}
	reach := func(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
		routers, networks := v.Reachable(v.InnerNetworks(id))
		for _, n := range networks {
			out.Need(localNetwork, sw.Host, string(n))
		}
		for _, id := range append(routers, id) {
			out.Need(l3.Router, "", id)
			out.Need(k.LocalRouter, sw.Host, id)
		}
	}
	k.Entry = &pipeline.Kind{Name: "router-entry", Order: 7, Derive: func(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
		if p, ok := v.Port(model.PortID(id)); ok {
			reach(v, sw, p.DeviceID, out)
			entry(v, p, out)
		}
	}}
	k.EntryPlace = &pipeline.Kind{Name: "router-entry-place", Order: 3, Shared: true, Derive: func(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
		if p, ok := v.Port(model.PortID(id)); ok {
			if host, ok := v.EntryHost(p); ok {
				out.Need(k.Entry, host, id)
			}
		}
	}}
	k.Gateway = &pipeline.Kind{Name: "router-gateway", Order: 6, Derive: func(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
		r, ok := v.Router(id)
		if !ok {
			return
		}
		reach(v, sw, id, out)
		out.Need(localNetwork, sw.Host, string(r.GatewayNetwork))
		out.NeedEach(pipeline.Each{Index: model.FloatingIPsByRouter, Key: id, Kind: k.FloatingIP, Host: sw.Host})
	}}
	k.Place = &pipeline.Kind{Name: "router-place", Order: 2, Shared: true, Derive: func(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
		if r, ok := v.Router(id); ok {
			if host, ok := v.GatewayHost(r); ok {
				out.Need(k.Gateway, host, id)
			}
		}
	}}
	return k
}

// nowhere is OFPP_NONE, as an in_port.
const nowhere = 0xffff

func localRouter(v model.View, sw pipeline.Switch, r *model.Router, tunnel func(model.View, *model.Network, model.MAC, model.HostName, *pipeline.Out), out *pipeline.Out) {
	host, ok := v.GatewayHost(r)
	gw, ok2 := v.Port(r.GatewayPort)
	ext, ok3 := v.Network(r.GatewayNetwork)
	if !ok || !ok2 || !ok3 {
		return
	}
	out.For(model.Routers, r.Key)
	in := pipeline.Router.Key(r.Key)
	seen := map[model.NetworkID]bool{}
	for _, id := range v.InnerNetworks(r.ID) {
		n, ok := v.Network(id)
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		mac := v.ToGateway(r, n, host)
		to := pipeline.Match{pipeline.Net.Key(n.Key), pipeline.EthDst.MAC(mac)}
		if host == sw.Host {
			out.Add(pipeline.RouteCentral, append(to, pipeline.Remote.Is(1), pipeline.IsIPv4),
				append(l3.Enter(r, n), pipeline.Goto(pipeline.RouteSelf))...)
			continue
		}
		away(to, out)
		tunnel(v, n, mac, host, out)
		out.Add(pipeline.ExitThere, pipeline.Match{in, pipeline.Net.Key(n.Key), pipeline.IsIPv4}, pipeline.EthDst.Load(mac.Uint64()), pipeline.Goto(pipeline.L2Lookup))
	}
	if host != sw.Host {
		return
	}
	out.Add(pipeline.ExitHere, pipeline.Match{in, pipeline.IsIPv4}, pipeline.Net.Load(uint64(ext.Key)), pipeline.Goto(pipeline.PathMTU))
	var own netip.Addr
	for _, f := range gw.FixedIPs {
		if f.Address.Is4() {
			if !own.IsValid() {
				own = f.Address
			}
			outside(ext, gw.MAC, f.Address, out)
		}
	}
	from(r, ext, gw.MAC, out)
	answers(ext, gw.MAC, out)
	if !own.IsValid() || !r.EnableSNAT || r.Zone == 0 {
		return
	}
	out.AddZone(r.Zone)
	out.Add(pipeline.Untranslate, pipeline.Match{in, pipeline.IsIPv4, pipeline.IPv4Dst.Addr(own)},
		openflow.CTClear{}, track(r, pipeline.RouteSelf, false, &openflow.NAT{}))
	out.Add(pipeline.Translate, pipeline.Match{in, pipeline.IsIPv4},
		openflow.CTClear{}, track(r, pipeline.L2Lookup, true, &openflow.NAT{Src: true, AddrMin: own}))
}

// away sends frames to an address that another host holds over the network's carrier.
func away(to pipeline.Match, out *pipeline.Out) {
	out.Add(pipeline.GatewayAway, to, pipeline.OutPort.Load(pipeline.Away), pipeline.Goto(pipeline.IngressACL))
}

// track looks the packet up in the router's zone, or makes its connection known there. The zone that a port's security
// groups left on the packet is forgotten first: Open vSwitch would take the connection from there if it were the same.
func track(r *model.Router, next *pipeline.Table, commit bool, nat *openflow.NAT) openflow.Action {
	return openflow.CT{Commit: commit, Zone: r.Zone, Table: openflow.NextTable{ID: next.ID, Valid: true}, NAT: nat}
}

// from takes in what comes from the external network to a MAC of the router.
func from(r *model.Router, ext *model.Network, mac model.MAC, out *pipeline.Out) {
	net := pipeline.Net.Key(ext.Key)
	out.Add(pipeline.RouteBack, pipeline.Match{net, pipeline.EthDst.MAC(mac), pipeline.IsIPv4}, append(l3.Enter(r, ext), pipeline.Goto(pipeline.NATIn))...)
	l3.Interface(net, mac, out)
}

// outside answers ARP for an address on the external network (RFC 826). The asker's address is not taken from its question:
// anybody may ask in the name of anybody.
func outside(ext *model.Network, mac model.MAC, a netip.Addr, out *pipeline.Out) {
	out.Add(pipeline.ARPOutside, pipeline.Match{pipeline.Net.Key(ext.Key), pipeline.Remote.Is(1), pipeline.IsARP, pipeline.ARPOp.Is(1), pipeline.ARPTPA.Addr(a)},
		pipeline.Call(pipeline.ARPWatch),
		pipeline.Copy(pipeline.EthSrc, pipeline.EthDst), pipeline.EthSrc.Load(mac.Uint64()), pipeline.ARPOp.Load(2),
		pipeline.Copy(pipeline.ARPSHA, pipeline.ARPTHA), pipeline.ARPSHA.Load(mac.Uint64()),
		pipeline.Copy(pipeline.ARPSPA, pipeline.ARPTPA), pipeline.ARPSPA.Load(pipeline.AddrUint(a)),
		pipeline.Remote.Load(0), pipeline.NoPort.Load(nowhere), pipeline.Goto(pipeline.Uplink))
}

// entry takes in what machines of a physical network that are no ports send to a router's interface on it, and answers their
// questions for it.
func entry(v model.View, p *model.Port, out *pipeline.Out) {
	r, ok := v.Router(p.DeviceID)
	n, ok2 := v.Network(p.NetworkID)
	if !ok || !ok2 || !r.AdminStateUp || !p.AdminStateUp {
		return
	}
	out.For(model.Ports, p.Key)
	out.Add(pipeline.RouteEntry, pipeline.Match{pipeline.Net.Key(n.Key), pipeline.Remote.Is(1), pipeline.EthDst.MAC(p.MAC), pipeline.IsIPv4},
		append(l3.Enter(r, n), pipeline.Goto(pipeline.RouteSelf))...)
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			outside(n, p.MAC, f.Address, out)
		}
	}
}

// answers looks at the replies to a MAC of ours.
func answers(ext *model.Network, mac model.MAC, out *pipeline.Out) {
	out.Add(pipeline.ARPAnswer, pipeline.Match{pipeline.Net.Key(ext.Key), pipeline.EthDst.MAC(mac), pipeline.IsARP, pipeline.ARPOp.Is(2)}, pipeline.Call(pipeline.ARPWatch))
}

// floatingIP is a floating IP on the host that holds it.
func floatingIP(v model.View, sw pipeline.Switch, f *model.FloatingIP, out *pipeline.Out) {
	r, ok := v.Router(f.RouterID)
	holder, ok2 := v.Port(f.HolderPort)
	ext, ok3 := v.Network(f.NetworkID)
	if !ok || !ok2 || !ok3 || !r.AdminStateUp || r.Zone == 0 {
		return
	}
	out.For(model.FloatingIPs, f.Key)
	in := pipeline.Router.Key(r.Key)
	outside(ext, holder.MAC, f.Address, out)
	answers(ext, holder.MAC, out)
	from(r, ext, holder.MAC, out)
	src := pipeline.Match{in, pipeline.IsIPv4, pipeline.IPv4Src.Addr(f.FixedIP)}
	out.Add(pipeline.FloatingHere, src, pipeline.Net.Load(uint64(ext.Key)), pipeline.Goto(pipeline.PathMTU))
	out.For(model.Routers, r.Key) // whose zone it is
	out.AddZone(r.Zone)
	out.Add(pipeline.FloatingIn, pipeline.Match{in, pipeline.IsIPv4, pipeline.IPv4Dst.Addr(f.Address)},
		openflow.CTClear{}, track(r, pipeline.RouteSelf, true, &openflow.NAT{Dst: true, AddrMin: f.FixedIP}))
	out.Add(pipeline.FloatingOut, src, pipeline.EthSrc.Load(holder.MAC.Uint64()),
		openflow.CTClear{}, track(r, pipeline.L2Lookup, true, &openflow.NAT{Src: true, AddrMin: f.Address}))
}
