package model

import "net/netip"

// Interface is one IPv4 address of a router on a network.
type Interface struct {
	Port   *Port
	Subnet *Subnet
	Addr   netip.Addr
	// External is set for the addresses of the gateway port.
	External bool
}

// Hop is one route of a router: what is for Prefix leaves by Via, to NextHop, or straight to its destination where
// NextHop is the zero Addr.
type Hop struct {
	Prefix  netip.Prefix
	Via     *Interface
	NextHop netip.Addr
}

// IsRouterInterface says whether a device_owner is that of a router's inner interface.
func IsRouterInterface(owner string) bool {
	return owner == OwnerRouterInterface || owner == OwnerDistributedRoute
}

// Interfaces lists a router's IPv4 addresses, by port id.
func (v View) Interfaces(r *Router) []Interface {
	var out []Interface
	for _, p := range v.PortsOfDevice(r.ID) {
		ext := p.DeviceOwner == OwnerRouterGateway && p.ID == string(r.GatewayPort)
		if !ext && !IsRouterInterface(p.DeviceOwner) {
			continue
		}
		for _, f := range p.FixedIPs {
			if s, ok := v.Subnet(f.SubnetID); ok && f.Address.Is4() {
				out = append(out, Interface{p, s, f.Address, ext})
			}
		}
	}
	return out
}

// Hops lists a router's routes, one a prefix: its own subnets before its static routes, and those before the external
// network's gateway.
func (v View) Hops(r *Router) []Hop {
	ifs := v.Interfaces(r)
	var out []Hop
	seen := map[netip.Prefix]bool{}
	add := func(h Hop) {
		if h.Prefix = h.Prefix.Masked(); h.Prefix.Addr().Is4() && !seen[h.Prefix] {
			seen[h.Prefix] = true
			out = append(out, h)
		}
	}
	for i := range ifs {
		add(Hop{Prefix: ifs[i].Subnet.CIDR, Via: &ifs[i]})
	}
	for _, route := range r.Routes {
		for i := range ifs {
			if ifs[i].Subnet.CIDR.Contains(route.NextHop) {
				add(Hop{route.Destination, &ifs[i], route.NextHop})
				break
			}
		}
	}
	for i := range ifs {
		if gw := ifs[i].Subnet.GatewayIP; ifs[i].External && gw.Is4() {
			add(Hop{netip.PrefixFrom(netip.IPv4Unspecified(), 0), &ifs[i], gw})
		}
	}
	return out
}

// HopTo finds the route with the longest prefix that holds an address.
func (v View) HopTo(r *Router, a netip.Addr) (best Hop, ok bool) {
	for _, h := range v.Hops(r) {
		if h.Prefix.Contains(a) && (!ok || h.Prefix.Bits() > best.Prefix.Bits()) {
			best, ok = h, true
		}
	}
	return best, ok
}

// PortsByMACOf lists the ports of a network with a MAC address.
func (v View) PortsByMACOf(n NetworkID, m MAC) []*Port {
	return list[*Port](v, PortsByMAC, JoinKey(string(n), m.String()))
}

// NetworksByHost is host/network, of the networks that a host has a binding of.
var NetworksByHost = index(Bindings, "hostnetwork", func(o Object) []string {
	b := o.(*Binding)
	return one(string(b.Host), string(b.NetworkID))
})

// RoutersGated finds every router with a gateway under the one key "all".
var RoutersGated = index(Routers, "gated", func(o Object) []string {
	if o.(*Router).GatewayNetwork == "" {
		return nil
	}
	return one("all")
})

// HostNetworks lists the networks that a host has a binding of, sorted.
func (v View) HostNetworks(h HostName) []NetworkID {
	keys := v.src.Keys(NetworksByHost, string(h))
	out := make([]NetworkID, 0, len(keys))
	for _, k := range keys {
		out = append(out, NetworkID(k[len(h)+1:]))
	}
	return out
}

// RoutersOn lists the ids of the routers with an inner interface on a network, by the interfaces' ports.
func (v View) RoutersOn(n NetworkID) (out []string) {
	for _, owner := range []string{OwnerRouterInterface, OwnerDistributedRoute} {
		for _, p := range v.PortsOwned(n, owner) {
			out = append(out, p.DeviceID)
		}
	}
	return out
}

// Reachable lists the routers and networks that can be come to from networks over routers, the networks themselves
// among them, in no order. External networks are not crossed.
func (v View) Reachable(from []NetworkID) (routers []string, networks []NetworkID) {
	nets, seen := map[NetworkID]bool{}, map[string]bool{}
	for len(from) > 0 {
		n := from[len(from)-1]
		from = from[:len(from)-1]
		if nets[n] {
			continue
		}
		nets[n] = true
		networks = append(networks, n)
		for _, id := range v.RoutersOn(n) {
			if seen[id] {
				continue
			}
			seen[id] = true
			routers = append(routers, id)
			from = append(from, v.InnerNetworks(id)...)
		}
	}
	return routers, networks
}

// InnerNetworks lists the networks of a router's inner interfaces, by the interfaces' ports.
func (v View) InnerNetworks(router string) (out []NetworkID) {
	for _, p := range v.PortsOfDevice(router) {
		if IsRouterInterface(p.DeviceOwner) {
			out = append(out, p.NetworkID)
		}
	}
	return out
}
