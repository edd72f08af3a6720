// Package router answers for routers what flows do not: what cannot be forwarded is refused by an ICMP error from the
// router's address, as RFC 1812 asks, and so is what is for the router itself but no ping. What became of a packet is
// worked out again from the intent, so that the switch need not say.
package router

import (
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
	OutcomePort        = "port-unreachable"
	OutcomeProtocol    = "protocol-unreachable"
	OutcomeSilent      = "ignored-no-error-allowed" // RFC 1812 4.3.2.7
	OutcomeNoRouter    = "ignored-no-router"        // the packet is to no router's MAC (any more)
)

// Outcomes lists every outcome that Handle may give.
func Outcomes() []string {
	return []string{OutcomeReply, OutcomeTTL, OutcomeNoRoute, OutcomeNoNeighbour, OutcomePort, OutcomeProtocol, OutcomeSilent, OutcomeNoRouter,
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
	rt, from, ok := routerOf(v, asker, eth.Dst)
	if !ok {
		return r.Ignore(OutcomeNoRouter, fmt.Errorf("router: no router has %s on network %s", eth.Dst, asker.NetworkID))
	}
	p := eth.Payload
	dst, ttl, proto := netip.AddrFrom4([4]byte(p[16:20])), p[8], p[9]
	if self(v, rt, dst) {
		return toSelf(in, &eth, from, proto, r)
	}
	_, routed := v.HopTo(rt, dst)
	switch {
	case ttl <= 1:
		return refuse(in, from, icmp.TTLExceeded, OutcomeTTL, r)
	case !routed:
		return refuse(in, from, icmp.NetUnreachable, OutcomeNoRoute, r)
	}
	return refuse(in, from, icmp.HostUnreachable, OutcomeNoNeighbour, r)
}

// routerOf finds the router by the MAC that a packet of a port was sent to, and its interface there.
func routerOf(v model.View, asker *model.Port, mac model.MAC) (*model.Router, icmp.Interface, bool) {
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
				return rt, icmp.Interface{MAC: mac, Addr: netip.PrefixFrom(i.Addr, i.Subnet.CIDR.Bits())}, true
			}
		}
	}
	return nil, icmp.Interface{}, false
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
func toSelf(in *packetin.Packet, eth *frame.Ethernet, from icmp.Interface, proto uint8, r *packetin.Result) error {
	switch proto {
	case frame.ProtoUDP, protoTCP:
		return refuse(in, from, icmp.PortUnreachable, OutcomePort, r)
	case frame.ProtoICMP:
		var ip frame.IPv4
		if ip.Decode(eth.Payload) != nil || ip.Fragment() || len(ip.Payload) < 8 || ip.Payload[0] != icmp.TypeEchoRequest || !ip.ChecksumOK() {
			return r.Ignore(OutcomeSilent, nil)
		}
		b := r.Buffer(frame.EthernetLen + len(eth.Tags) + frame.IPv4Len + len(ip.Payload))
		r.Send(in.InPort, icmp.AppendEchoReply(b, eth, &ip))
		r.Outcome = OutcomeReply
		return nil
	}
	return refuse(in, from, icmp.ProtocolUnreachable, OutcomeProtocol, r)
}

const protoTCP = 6

// refuse tells the sender why its packet is not forwarded, if that may be told.
func refuse(in *packetin.Packet, from icmp.Interface, e icmp.Error, outcome string, r *packetin.Result) error {
	b, err := icmp.AppendError(r.Buffer(640), from, in.Data, e)
	if err != nil {
		return r.Ignore(OutcomeSilent, err)
	}
	r.Send(in.InPort, b)
	r.Outcome = outcome
	return nil
}
