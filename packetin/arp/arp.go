// Package arp answers ARP requests (RFC 826) for addresses that the asker's network has according to the
// intent. Flows answer most of them in the switch; this handler is for what flows do not hold. Nothing is
// believed because of ARP: who has which address is intent, so an announcement can poison nobody. What is said of
// addresses that are no port's is passed on, for the controller to ask back.
package arp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
)

// Outcomes of Handle, beside those of packetin.
const (
	OutcomeReply        = "reply"
	OutcomeAnnouncement = "ignored-announcement" // sender and target address are the same
	OutcomeOwn          = "ignored-own"          // the asker asks for its own address: a probe for duplicates
	OutcomeNotRequest   = "ignored-not-request"
	OutcomeUnknown      = "ignored-unknown" // nobody on the network has the address
	// OutcomeUnbound: a port has the address but is on no host. Such ports often only reserve an address
	// that another port's allowed_address_pairs lets it use (VRRP), so its MAC would be the wrong answer; that
	// of a floating IP is at its router's gateway port.
	OutcomeUnbound = "ignored-unbound"
)

// Outcomes lists every outcome that Handle may give.
func Outcomes() []string {
	return []string{OutcomeReply, OutcomeAnnouncement, OutcomeOwn, OutcomeNotRequest, OutcomeUnknown, OutcomeUnbound,
		packetin.OutcomeMalformed, packetin.OutcomeTruncated, packetin.OutcomeUnknownPort}
}

// Operation codes of RFC 826.
const (
	OpRequest = 1
	OpReply   = 2
)

// Len is the length in bytes of a packet for Ethernet and IPv4.
const Len = 28

// Packet is an ARP packet for Ethernet and IPv4.
type Packet struct {
	Op                   uint16
	SenderMAC, TargetMAC model.MAC
	SenderIP, TargetIP   netip.Addr
}

// Decode reads a packet; bytes behind it (Ethernet padding) are ignored.
func (a *Packet) Decode(b []byte) error {
	r := wire.NewReader(b)
	hw, proto := r.Uint16(), r.Uint16()
	hlen, plen := r.Uint8(), r.Uint8()
	if r.Err() == nil && (hw != 1 || proto != frame.TypeIPv4 || hlen != 6 || plen != 4) {
		return fmt.Errorf("arp: hardware %d/%d, protocol 0x%04x/%d: %w", hw, hlen, proto, plen, frame.ErrUnsupported)
	}
	var spa, tpa [4]byte
	a.Op = r.Uint16()
	r.Copy(a.SenderMAC[:], spa[:], a.TargetMAC[:], tpa[:])
	a.SenderIP, a.TargetIP = netip.AddrFrom4(spa), netip.AddrFrom4(tpa)
	if r.Err() != nil {
		return fmt.Errorf("arp: %w", r.Err())
	}
	return nil
}

// Append appends the packet; its addresses must be IPv4.
func (a *Packet) Append(b []byte) []byte {
	spa, tpa := a.SenderIP.As4(), a.TargetIP.As4()
	b = append(b, 0, 1, frame.TypeIPv4>>8, frame.TypeIPv4&0xff, 6, 4)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(b, a.SenderMAC[:]...)
	b = append(b, spa[:]...)
	b = append(b, a.TargetMAC[:]...)
	return append(b, tpa[:]...)
}

// answersItself says whether Penstock itself holds the addresses of ports with this device_owner, on no host in
// particular.
func answersItself(owner string) bool {
	switch owner {
	case model.OwnerDHCP, model.OwnerRouterInterface, model.OwnerDistributedRoute, model.OwnerRouterGateway:
		return true
	}
	return false
}

// Handle is the packetin.Handler for ARP.
func Handle(v model.View, in *packetin.Packet, r *packetin.Result) error {
	var eth frame.Ethernet
	var req Packet
	if err := eth.Decode(in.Data); err != nil {
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	if eth.Type != frame.TypeARP {
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("arp: EtherType is 0x%04x", eth.Type))
	}
	if err := req.Decode(eth.Payload); err != nil {
		if in.Truncated() {
			return r.Ignore(packetin.OutcomeTruncated, err)
		}
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	switch {
	case req.Op != OpRequest && (req.Op != OpReply || req.SenderIP != req.TargetIP):
		return r.Ignore(OutcomeNotRequest, nil)
	case eth.Src.IsMulticast() || req.SenderMAC.IsMulticast() || eth.Src.IsZero() || req.SenderMAC.IsZero():
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("arp: request from %s by %s, not a station's address", req.SenderMAC, eth.Src))
	}
	asker, ok := v.PortByKey(in.PortKey)
	if !ok {
		return r.Ignore(packetin.OutcomeUnknownPort, fmt.Errorf("arp: no port has key %d", in.PortKey))
	}
	if req.SenderIP == req.TargetIP {
		if n, ok := v.Network(asker.NetworkID); ok && req.SenderIP.IsGlobalUnicast() {
			r.Facts = append(r.Facts, packetin.Fact{Kind: packetin.FactAnnounced, Net: n.Key, Addr: req.SenderIP, MAC: req.SenderMAC})
		}
		return r.Ignore(OutcomeAnnouncement, nil)
	}
	owner, ok := v.PortByAddress(asker.NetworkID, req.TargetIP)
	switch {
	case !ok:
		return r.Ignore(OutcomeUnknown, nil)
	case owner.ID == asker.ID:
		return r.Ignore(OutcomeOwn, nil)
	case !answersItself(owner.DeviceOwner) && len(v.BindingsOf(model.PortID(owner.ID))) == 0:
		return r.Ignore(OutcomeUnbound, nil)
	}
	reply := Packet{Op: OpReply, SenderMAC: owner.MAC, SenderIP: req.TargetIP, TargetMAC: req.SenderMAC, TargetIP: req.SenderIP}
	b := r.Buffer(frame.EthernetLen + len(eth.Tags) + Len)
	b = frame.AppendEthernet(b, eth.Src, owner.MAC, eth.Tags, frame.TypeARP)
	r.Send(in.InPort, reply.Append(b))
	r.Outcome = OutcomeReply
	return nil
}
