package router

import (
	"encoding/binary"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/icmp"
)

// hold has a packet wait until its next hop's MAC is known, or refuses it where nobody can have the address.
func hold(v model.View, in *packetin.Packet, eth *frame.Ethernet, rt *model.Router, from face, asker *model.Port, hop *model.Hop, src, dst netip.Addr, r *packetin.Result) error {
	n, ok := v.Network(hop.Via.Port.NetworkID)
	if !ok {
		return r.Ignore(OutcomeNoRouter, nil)
	}
	addr := hop.NextHop
	if !addr.IsValid() {
		if addr = dst; broadcast(hop.Prefix, dst) {
			return r.Ignore(OutcomeSilent, nil) // RFC 2644: not forwarded
		}
	}
	mac, ip, ok := v.Asker(in.Host, n, src, rt.ID)
	if !ok || in.Unresolved || !n.Physical() && !v.HasManyMACs(model.NetworkID(n.ID)) {
		return refuse(in, from, icmp.HostUnreachable, OutcomeNoNeighbour, r)
	}
	inside := !model.IsRouterInterface(asker.DeviceOwner) && asker.DeviceOwner != model.OwnerRouterGateway
	at, ok := v.NetworkByKey(from.net)
	if inside {
		at, ok = v.Network(asker.NetworkID)
	}
	if !ok {
		return r.Ignore(OutcomeNoRouter, nil)
	}
	r.Hold = &packetin.Hold{Net: n.Key, Addr: addr, MAC: mac, IP: ip, From: at.Key, Inside: inside, Remote: !inside && eth.Dst == v.ToGateway(rt, at, in.Host)}
	r.Outcome = OutcomeHeld
	return nil
}

// broadcast says whether an address is a subnet's own or the one of all its hosts (RFC 3021 excepted).
func broadcast(p netip.Prefix, a netip.Addr) bool {
	if p.Bits() > 30 || !a.Is4() {
		return false
	}
	b := a.As4()
	host := binary.BigEndian.Uint32(b[:]) << p.Bits() >> p.Bits()
	return host == 0 || host == ^uint32(0)>>p.Bits()
}
