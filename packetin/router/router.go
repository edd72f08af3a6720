// Package router answers for routers what flows do not: what cannot be forwarded is refused by an ICMP error from the
// router's address, as RFC 1812 asks, and so is what is for the router itself but no ping. What became of a packet is
// worked out again from the intent, so that the switch need not say.
package router

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/icmp"
)

// Outcomes of Handle, beside those of packetin.
const (
	OutcomeReply       = "reply"
	OutcomeTTL         = "ttl-exceeded"
	OutcomeNoRoute     = "net-unreachable"
	OutcomeNoNeighbour = "host-unreachable"
	OutcomeTooBig      = "fragmentation-needed"
	OutcomeHeld        = "held" // until the next hop's MAC is known
	OutcomePort        = "port-unreachable"
	OutcomeProtocol    = "protocol-unreachable"
	OutcomeSilent      = "ignored-no-error-allowed" // RFC 1812 4.3.2.7
	OutcomeNoRouter    = "ignored-no-router"        // the packet is to no router's MAC (any more)
)

// Outcomes lists every outcome that Handle may give.
func Outcomes() []string {
	return []string{OutcomeReply, OutcomeTTL, OutcomeNoRoute, OutcomeNoNeighbour, OutcomeTooBig, OutcomeHeld, OutcomePort, OutcomeProtocol, OutcomeSilent, OutcomeNoRouter,
		packetin.OutcomeMalformed, packetin.OutcomeTruncated, packetin.OutcomeUnknownPort}
}

// Handle is the packetin.Handler for packets that a router cannot forward.
func Handle(v model.View, in *packetin.Packet, r *packetin.Result) error {
	var eth frame.Ethernet
	if err := eth.Decode(in.Data); err != nil {
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	if eth.Type != frame.TypeIPv4 || len(eth.Payload) < frame.IPv4Len {
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("router: no IPv4 packet"))
	}
	asker, ok := v.PortByKey(in.PortKey)
	if !ok {
		return r.Ignore(packetin.OutcomeUnknownPort, fmt.Errorf("router: no port has key %d", in.PortKey))
	}
	rt, from, ok := routerOf(v, asker, &eth)
	if !ok {
		return r.Ignore(OutcomeNoRouter, fmt.Errorf("router: no router has %s on network %s", eth.Dst, asker.NetworkID))
	}
	p := eth.Payload
	dst, ttl, proto := netip.AddrFrom4([4]byte(p[16:20])), p[8], p[9]
	if self(v, rt, dst) {
		return toSelf(in, &eth, from, proto, r)
	}
	hop, routed := v.HopTo(rt, dst)
	switch {
	case ttl <= 1:
		return refuse(in, from, icmp.TTLExceeded, OutcomeTTL, r)
	case !routed:
		return refuse(in, from, icmp.NetUnreachable, OutcomeNoRoute, r)
	}
	if n, ok := v.Network(hop.Via.Port.NetworkID); ok && n.MTU > 0 && int(binary.BigEndian.Uint16(p[2:])) > n.MTU {
		// Open vSwitch does not fragment, so that DF makes no difference. A sender that did not set it fragments itself
		// once it is told (Linux does).
		return refuse(in, from, icmp.NeedsFragmentation(uint16(n.MTU)), OutcomeTooBig, r)
	}
	return hold(v, in, &eth, rt, from, asker, &hop, netip.AddrFrom4([4]byte(p[12:16])), dst, r)
}

// face is the interface that answers, and the network where the answer goes; 0 for straight back to the port. Where router
// is not 0 the answer leaves to the external network through the router's translation, which finds the connection that the
// quoted packet is of (as what is quoted was translated before the switch sent it here).
type face struct {
	icmp.Interface
	net, router uint32
}

// routerOf finds the router by the MAC that a packet of a port was sent to, and its interface there. The asker is a port of
// the router for packets that came from elsewhere: of other hosts, of another router, or from outside.
func routerOf(v model.View, asker *model.Port, eth *frame.Ethernet) (*model.Router, face, bool) {
	mac := eth.Dst
	if model.IsRouterInterface(asker.DeviceOwner) || asker.DeviceOwner == model.OwnerRouterGateway {
		if rt, ok := v.Router(asker.DeviceID); ok {
			if f, ok := elsewhere(v, rt, eth); ok {
				return rt, f, true
			}
		}
		return nil, face{}, false
	}
	for _, p := range v.PortsByMACOf(asker.NetworkID, mac) {
		if !model.IsRouterInterface(p.DeviceOwner) && p.DeviceOwner != model.OwnerRouterGateway {
			continue
		}
		rt, ok := v.Router(p.DeviceID)
		if !ok {
			continue
		}
		for _, i := range v.Interfaces(rt) {
			if i.Port.ID == p.ID {
				return rt, face{Interface: at(&i, mac)}, true
			}
		}
	}
	return nil, face{}, false
}

// elsewhere is the face of a router that a packet from no port of this host has come to.
func elsewhere(v model.View, rt *model.Router, eth *frame.Ethernet) (face, bool) {
	src, dst := netip.AddrFrom4([4]byte(eth.Payload[12:16])), netip.AddrFrom4([4]byte(eth.Payload[16:20]))
	var via *model.Interface
	floating := false
	for _, i := range v.Interfaces(rt) {
		if i.Port.MAC == eth.Dst {
			if via == nil || i.Subnet.CIDR.Contains(src) { // a port may have addresses of several subnets
				via = &i
			}
			continue
		}
		if !i.External {
			continue
		}
		// To the MAC of a floating IP, which it has been translated from.
		for _, p := range v.PortsByMACOf(i.Port.NetworkID, eth.Dst) {
			if p.DeviceOwner == model.OwnerFloatingIP {
				via, floating = &i, true
			}
		}
	}
	if via == nil {
		// From another host to the gateway host: it is answered the way back.
		hop, ok := v.HopTo(rt, src)
		if !ok || hop.Via.External {
			return face{}, false
		}
		via = hop.Via
	}
	n, ok := v.Network(via.Port.NetworkID)
	if !ok {
		return face{}, false
	}
	f := face{Interface: at(via, via.Port.MAC), net: n.Key}
	if via.External {
		f.router = rt.Key
	}
	if floating {
		f.Interface = icmp.Interface{MAC: eth.Dst, Addr: netip.PrefixFrom(dst, dst.BitLen())}
	}
	return f, true
}

// at is an interface with the MAC address that it answers from.
func at(i *model.Interface, mac model.MAC) icmp.Interface {
	return icmp.Interface{MAC: mac, Addr: netip.PrefixFrom(i.Addr, i.Subnet.CIDR.Bits())}
}

func self(v model.View, rt *model.Router, a netip.Addr) bool {
	for _, i := range v.Interfaces(rt) {
		if i.Addr == a {
			return true
		}
	}
	return false
}

// toSelf refuses what is to a router's address; flows answer ping, but for fragments.
func toSelf(in *packetin.Packet, eth *frame.Ethernet, from face, proto uint8, r *packetin.Result) error {
	switch proto {
	case frame.ProtoUDP, protoTCP:
		return refuse(in, from, icmp.PortUnreachable, OutcomePort, r)
	case frame.ProtoICMP:
		var ip frame.IPv4
		if ip.Decode(eth.Payload) != nil || ip.Fragment() || len(ip.Payload) < 8 || ip.Payload[0] != icmp.TypeEchoRequest || !ip.ChecksumOK() {
			return r.Ignore(OutcomeSilent, nil)
		}
		b := r.Buffer(frame.EthernetLen + len(eth.Tags) + frame.IPv4Len + len(ip.Payload))
		from.send(in, r, icmp.AppendEchoReply(b, eth, &ip))
		r.Outcome = OutcomeReply
		return nil
	}
	return refuse(in, from, icmp.ProtocolUnreachable, OutcomeProtocol, r)
}

const protoTCP = 6

// send answers on the way that the packet came.
func (f *face) send(in *packetin.Packet, r *packetin.Result, b []byte) {
	switch {
	case f.router != 0:
		r.SendOut(f.router, f.net, b)
	case f.net != 0:
		r.SendInto(f.net, b)
	default:
		r.Send(in.InPort, b)
	}
}

// refuse tells the sender why its packet is not forwarded, if that may be told.
func refuse(in *packetin.Packet, from face, e icmp.Error, outcome string, r *packetin.Result) error {
	e.Whole = from.router != 0 // it has to be translated
	b, err := icmp.AppendError(r.Buffer(640), from.Interface, in.Data, e)
	if err != nil {
		return r.Ignore(OutcomeSilent, err)
	}
	from.send(in, r, b)
	r.Outcome = outcome
	return nil
}
