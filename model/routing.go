package model

import (
	"cmp"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
)

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

// GatewayMAC is the MAC address by which a router's gateway host is sent what leaves to the external network, on every
// inner network: locally administered, and the router's key.
func (r *Router) GatewayMAC() MAC {
	return MAC{0x0e, 0x50, byte(r.Key >> 24), byte(r.Key >> 16), byte(r.Key >> 8), byte(r.Key)}
}

// routeMACs is how many routers of a network can have a MAC address of the host.
const routeMACs = 0xa0

// RouteMAC is the MAC address of a host by which routed packets leave it into a physical network, so that no switch there
// sees a router's own on many ports: locally administered, the number of the router's interface among the network's, and the
// host's key. False for an interface that has no such number.
func (h *Host) RouteMAC(i int) (MAC, bool) {
	return MAC{0x0e, byte(0x60 + i), byte(h.Key >> 24), byte(h.Key >> 16), byte(h.Key >> 8), byte(h.Key)}, i < routeMACs
}

// RouteMACs matches, with its mask, the MAC addresses that any host has for the i-th router's interface on a network.
func RouteMACs(i int) (mac, mask MAC) { return MAC{0x0e, byte(0x60 + i)}, MAC{0xff, 0xff} }

// RouterPorts lists the ports of routers' inner interfaces on a network, the oldest first, so that one more changes no
// other's place.
func (v View) RouterPorts(n NetworkID) []*Port {
	out := append(v.PortsOwned(n, OwnerRouterInterface), v.PortsOwned(n, OwnerDistributedRoute)...)
	slices.SortFunc(out, func(a, b *Port) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// ToGateway is the MAC address by which a router's gateway host is sent, on an inner network, what leaves to the external
// network. On a physical network it is one that this host sends from, which the switches there have learned.
func (v View) ToGateway(r *Router, n *Network, host HostName) MAC {
	if h, ok := v.Host(host); ok && n.Physical() {
		for i, p := range v.RouterPorts(NetworkID(n.ID)) {
			if mac, ok := h.RouteMAC(i); ok && p.DeviceID == r.ID {
				return mac
			}
		}
	}
	return r.GatewayMAC()
}

// The conntrack zones of routers, the same on every host. The slots of a host's ports end below.
const (
	FirstRouterZone = 0xc000
	LastRouterZone  = 0xffff
)

// HostList lists all configured hosts, sorted by name.
func (v View) HostList() []*Host { return list[*Host](v, HostsAll, "all") }

// reaches says whether a host has a way into a network, and whether that is a physical one.
func reaches(n *Network, h *Host) (any, physical bool) {
	for _, s := range n.Segments {
		switch s.Type {
		case NetworkFlat, NetworkVLAN:
			if h.BridgeMappings[s.PhysicalNetwork] != "" {
				return true, true
			}
		case NetworkVXLAN, NetworkGRE:
			any = any || h.TunnelIP.Is4()
		}
	}
	return any, false
}

// GatewayHost is the host where a router meets its external network: by rendezvous hashing over zones, racks and hosts
// (the host tags of these names), each weighing as many hosts as it has, so that a host that comes or goes moves only its
// share. Hosts that are dead or being drained are left out, unless all are.
func (v View) GatewayHost(r *Router) (HostName, bool) {
	n, ok := v.Network(r.GatewayNetwork)
	if !ok {
		return "", false
	}
	return v.elect(r.ID, func(h *Host) bool { any, _ := reaches(n, h); return any })
}

// elect is the host for an id among those that will do.
func (v View) elect(id string, will func(*Host) bool) (HostName, bool) {
	var alive, all []*Host
	for _, h := range v.HostList() {
		if will(h) {
			all = append(all, h)
			if s, ok := v.HostState(HostName(h.ID)); ok && s.Alive && !h.Draining {
				alive = append(alive, h)
			}
		}
	}
	if len(alive) == 0 {
		alive = all
	}
	for _, tag := range []string{"zone", "rack"} {
		alive = rendezvous(id, alive, func(h *Host) string { return h.HostTags[tag] })
	}
	if alive = rendezvous(id, alive, func(h *Host) string { return h.ID }); len(alive) == 0 {
		return "", false
	}
	return HostName(alive[0].ID), true
}

// EntryHost is the host where machines of a physical network that are no ports meet a router's interface on it: its gateway's
// host, if that has the physical network, else one that has, elected as that is. False on other networks: there is nobody.
func (v View) EntryHost(p *Port) (HostName, bool) {
	n, ok := v.Network(p.NetworkID)
	if !ok || !n.Physical() || !IsRouterInterface(p.DeviceOwner) {
		return "", false
	}
	if r, ok := v.Router(p.DeviceID); ok && r.GatewayNetwork != "" {
		if at, ok := v.GatewayHost(r); ok {
			if h, ok := v.Host(at); ok {
				if _, physical := reaches(n, h); physical {
					return at, true
				}
			}
		}
	}
	return v.elect(p.ID, func(h *Host) bool { _, physical := reaches(n, h); return physical })
}

// RouterInterfaces finds the ports of all routers' inner interfaces under the one key "all".
var RouterInterfaces = index(Ports, "routerinterfaces", func(o Object) []string {
	if !IsRouterInterface(o.(*Port).DeviceOwner) {
		return nil
	}
	return one("all")
})

// AllRouterInterfaces lists the ports of all routers' inner interfaces, sorted by id.
func (v View) AllRouterInterfaces() []*Port { return list[*Port](v, RouterInterfaces, "all") }

// rendezvous keeps the hosts of the domain that wins for an id (highest random weight).
func rendezvous(id string, hosts []*Host, domain func(*Host) string) []*Host {
	domains := map[string][]*Host{}
	for _, h := range hosts {
		domains[domain(h)] = append(domains[domain(h)], h)
	}
	best, top := "", math.Inf(-1)
	for d, in := range domains {
		f := fnv.New64a()
		f.Write([]byte(id + "/" + d))
		x := f.Sum64() // mixed further: fnv's low entropy in short inputs shows in its high bits
		x ^= x >> 33
		x *= 0xff51afd7ed558ccd
		x ^= x >> 33
		x *= 0xc4ceb9fe1a85ec53
		x ^= x >> 33
		if s := -float64(len(in)) / math.Log((float64(x>>11)+0.5)/(1<<53)); s > top || s == top && d < best {
			best, top = d, s
		}
	}
	return domains[best]
}

// FloatingHost is the host that a floating IP is on: its port's, if that has the external network's physical network,
// else the router's gateway host.
func (v View) FloatingHost(f *FloatingIP) (HostName, bool) {
	r, ok := v.Router(f.RouterID)
	p, ok2 := v.Port(f.PortID)
	n, ok3 := v.Network(f.NetworkID)
	if !ok || !ok2 || !ok3 || r.GatewayNetwork != f.NetworkID {
		return "", false
	}
	if b, ok := v.Place(p); ok {
		if h, ok := v.Host(b.Host); ok {
			if _, physical := reaches(n, h); physical {
				return b.Host, true
			}
		}
	}
	return v.GatewayHost(r)
}

// HeldOn is the host that answers for the port of a router's gateway or of a floating IP.
func (v View) HeldOn(p *Port) (HostName, bool) {
	switch p.DeviceOwner {
	case OwnerRouterGateway:
		if r, ok := v.Router(p.DeviceID); ok && string(r.GatewayPort) == p.ID {
			return v.GatewayHost(r)
		}
	case OwnerFloatingIP:
		if f, ok := first[*FloatingIP](v, FloatingIPsByHolder, p.ID); ok {
			return v.FloatingHost(f)
		}
	}
	return "", false
}

// FloatingIPsAt lists a router's floating IPs that stand for an inner address, sorted by id.
func (v View) FloatingIPsAt(router string, fixed netip.Addr) []*FloatingIP {
	return list[*FloatingIP](v, FloatingIPsByFixed, JoinKey(router, fixed.String()))
}

// FloatingIPsByFixed is router/address, of the inner address that a floating IP stands for.
var FloatingIPsByFixed = index(FloatingIPs, "fixed", func(o Object) []string {
	f := o.(*FloatingIP)
	if f.RouterID == "" || !f.FixedIP.IsValid() {
		return nil
	}
	return one(f.RouterID, f.FixedIP.String())
})

// FloatingIPsThrough lists the floating IPs that pass through a router, sorted by id.
func (v View) FloatingIPsThrough(router string) []*FloatingIP {
	return list[*FloatingIP](v, FloatingIPsByRouter, router)
}

// GatedRouters lists the ids of the routers with a gateway, sorted.
func (v View) GatedRouters() (out []string) {
	for _, r := range list[*Router](v, RoutersGated, "all") {
		out = append(out, r.ID)
	}
	return out
}
