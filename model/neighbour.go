package model

import "net/netip"

// AskMAC is the MAC address by which a host asks in inner networks of routers for next hops that no port has: locally
// administered, and the host's key. The answer finds its way to the host that asked, since switches, ours and others, have
// learned this address from the question; a router's own is on all hosts.
func (h *Host) AskMAC() MAC {
	return MAC{0x0e, 0x5a, byte(h.Key >> 24), byte(h.Key >> 16), byte(h.Key >> 8), byte(h.Key)}
}

// Physical says whether the network has a segment of a physical network, where machines may be that are no ports.
func (n *Network) Physical() bool {
	for _, s := range n.Segments {
		if s.Type == NetworkFlat || s.Type == NetworkVLAN {
			return true
		}
	}
	return false
}

// Asker is who a host asks as for next hops in a network: in an inner network of a router itself, by a probe from 0.0.0.0,
// which teaches nobody a wrong address of the router (RFC 5227); in an external one the router or floating IP that is there,
// of the router's inner address src where that is valid. It is false if nobody on the host has to ask.
func (v View) Asker(host HostName, n *Network, src netip.Addr, router string) (MAC, netip.Addr, bool) {
	if !n.External || len(v.RoutersOn(NetworkID(n.ID))) > 0 {
		h, ok := v.Host(host)
		if !ok || len(v.RoutersOn(NetworkID(n.ID))) == 0 {
			return MAC{}, netip.Addr{}, false
		}
		return h.AskMAC(), netip.IPv4Unspecified(), true
	}
	holder := func(f *FloatingIP) (MAC, netip.Addr, bool) {
		if p, ok := v.Port(f.HolderPort); ok && f.NetworkID == NetworkID(n.ID) {
			if at, ok := v.FloatingHost(f); ok && at == host {
				return p.MAC, f.Address, true
			}
		}
		return MAC{}, netip.Addr{}, false
	}
	gateway := func(r *Router) (MAC, netip.Addr, bool) {
		if at, ok := v.GatewayHost(r); ok && at == host {
			if p, ok := v.Port(r.GatewayPort); ok {
				for _, f := range p.FixedIPs {
					if f.Address.Is4() {
						return p.MAC, f.Address, true
					}
				}
			}
		}
		return MAC{}, netip.Addr{}, false
	}
	if r, ok := v.Router(router); ok {
		for _, f := range v.FloatingIPsAt(router, src) {
			if mac, ip, ok := holder(f); ok {
				return mac, ip, true
			}
		}
		return gateway(r)
	}
	for _, b := range list[*Binding](v, BindingsByHost, string(host)) {
		for _, f := range v.FloatingIPsOf(b.PortID) {
			if mac, ip, ok := holder(f); ok {
				return mac, ip, true
			}
		}
	}
	for _, r := range list[*Router](v, RoutersByGateway, n.ID) {
		if mac, ip, ok := gateway(r); ok {
			return mac, ip, true
		}
		for _, f := range v.FloatingIPsThrough(r.ID) { // of ports that are not on a host of the physical network
			if mac, ip, ok := holder(f); ok {
				return mac, ip, true
			}
		}
	}
	return MAC{}, netip.Addr{}, false
}
