package arp

import (
	"fmt"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
)

// Outcomes of Neighbour, beside those of packetin.
const (
	OutcomeAnswer = "answer" // to an ARP request
	OutcomeHeard  = "heard"  // any other ARP packet
)

// Neighbour is the packetin.Handler for ARP about routers' next hops. It says what the packet claims, and does not decide
// whether that is to be believed. The packet's PortKey is the key of the network that it was in.
func Neighbour(_ model.View, in *packetin.Packet, r *packetin.Result) error {
	var eth frame.Ethernet
	var p Packet
	if err := eth.Decode(in.Data); err != nil {
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	if eth.Type != frame.TypeARP {
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("arp: EtherType is 0x%04x", eth.Type))
	}
	if err := p.Decode(eth.Payload); err != nil {
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	if p.SenderMAC.IsMulticast() || p.SenderMAC.IsZero() || !p.SenderIP.IsGlobalUnicast() {
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("arp: %s at %s is no station's address", p.SenderIP, p.SenderMAC))
	}
	f := packetin.Fact{Kind: packetin.FactHeard, Net: in.PortKey, Addr: p.SenderIP, MAC: p.SenderMAC}
	r.Outcome = OutcomeHeard
	if p.Op == OpReply {
		f.Kind, r.Outcome = packetin.FactAnswer, OutcomeAnswer
	}
	r.Facts = append(r.Facts, f)
	return nil
}

// NeighbourOutcomes lists every outcome that Neighbour may give.
func NeighbourOutcomes() []string {
	return []string{OutcomeAnswer, OutcomeHeard, packetin.OutcomeMalformed}
}
