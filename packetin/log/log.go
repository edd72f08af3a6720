// Package log reads what switches show of packets that security groups let pass or dropped, where a network log asks for
// it: which port, which rule, which addresses. It answers nothing and writes nothing; package controller writes the lines.
package log

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
)

// Outcomes of Read, beside those of packetin.
const (
	OutcomeLogged = "logged"
	OutcomeNoLog  = "ignored-no-log" // no log is about it (any more)
)

// Verdict is what became of a packet.
type Verdict struct {
	Ingress bool // it was for the port; else the port sent it
	Dropped bool // else it was let pass, and opens a connection
	Invalid bool // dropped since it belongs to no connection, not for want of a rule
}

// Event is the event as Neutron calls it.
func (v Verdict) Event() string {
	if v.Dropped {
		return model.LogDrop
	}
	return model.LogAccept
}

// Record is one line of a log.
type Record struct {
	Verdict
	Host model.HostName
	Port *model.Port
	Logs []string // ids of the logs that asked for it, sorted
	// Rule let it pass: the oldest of those that do. Nil for what was dropped.
	Rule *model.SecurityGroupRule
	Packet
}

// Packet is what a frame's headers say. Protocol and what follows are zero for what is no IP.
type Packet struct {
	SrcMAC, DstMAC model.MAC
	EtherType      uint16
	Len            int // bytes of the frame at the switch
	Src, Dst       netip.Addr
	Protocol       uint8
	// SrcPort and DstPort are those of TCP, UDP, SCTP, DCCP and UDP-Lite; Type and Code those of ICMP and ICMPv6. HasPorts
	// and HasType say which are there: none in fragments but the first, or when the frame ends before.
	HasPorts, HasType bool
	SrcPort, DstPort  uint16
	Type, Code        uint8
}

// Read makes the record of a packet. Without one the outcome says why.
func Read(view model.View, in *packetin.Packet, v Verdict) (r *Record, outcome string, err error) {
	p, ok := view.PortByKey(in.PortKey)
	if !ok {
		return nil, packetin.OutcomeUnknownPort, fmt.Errorf("log: no port has key %d", in.PortKey)
	}
	r = &Record{Verdict: v, Host: in.Host, Port: p}
	if err := r.Packet.decode(in.Data, in.FullLen); err != nil {
		return nil, packetin.OutcomeMalformed, err
	}
	if !v.Dropped {
		r.Rule = allowing(view, p, v.Ingress, &r.Packet)
	}
	for _, l := range view.LogsOf(p) {
		// What was let pass is a group's business only if a rule of it did that.
		if l.Wants(v.Event()) && (v.Dropped || l.ResourceID == "" || r.Rule != nil && r.Rule.GroupID == l.ResourceID) {
			r.Logs = append(r.Logs, l.ID)
		}
	}
	if r.Logs == nil {
		return nil, OutcomeNoLog, nil
	}
	slices.Sort(r.Logs)
	return r, OutcomeLogged, nil
}

const typeIPv6 = 0x86dd

// decode reads as much as is there; a frame that is no IP, or cut, is no error.
func (p *Packet) decode(b []byte, full int) error {
	var eth frame.Ethernet
	if err := eth.Decode(b); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	p.SrcMAC, p.DstMAC, p.EtherType, p.Len = eth.Src, eth.Dst, eth.Type, max(full, len(b))
	ip := eth.Payload
	switch {
	case eth.Type == frame.TypeIPv4 && len(ip) >= frame.IPv4Len:
		p.Src, p.Dst, p.Protocol = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), ip[9]
		if head := int(ip[0]&0xf) * 4; head >= frame.IPv4Len && head <= len(ip) && binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 {
			p.transport(ip[head:])
		}
	case eth.Type == typeIPv6 && len(ip) >= 40:
		p.Src, p.Dst, p.Protocol = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), ip[6]
		p.extensions(ip[40:])
	}
	return nil
}

// extensions skips IPv6 extension headers (RFC 8200 4).
func (p *Packet) extensions(b []byte) {
	for {
		size := 0
		switch p.Protocol {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(b) < 2 {
				return
			}
			size = 8 * (int(b[1]) + 1)
		case 44: // fragment
			if len(b) < 8 {
				return
			}
			size = 8
			if binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				p.Protocol = b[0]
				return
			}
		default:
			p.transport(b)
			return
		}
		if len(b) < size {
			return
		}
		p.Protocol, b = b[0], b[size:]
	}
}

func (p *Packet) transport(b []byte) {
	switch p.Protocol {
	case protoTCP, frame.ProtoUDP, protoDCCP, protoSCTP, protoUDPLite:
		if len(b) >= 4 {
			p.HasPorts, p.SrcPort, p.DstPort = true, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case frame.ProtoICMP, protoICMPv6:
		if len(b) >= 2 {
			p.HasType, p.Type, p.Code = true, b[0], b[1]
		}
	}
}

const (
	protoTCP, protoDCCP, protoICMPv6 = 6, 33, 58
	protoSCTP, protoUDPLite          = 132, 136
)

// allowing finds the oldest rule that lets a packet that opens a connection pass, by what package pipeline/secgroup makes
// of rules. The switch does not say which it was, and asking it to would cost every connection.
func allowing(v model.View, p *model.Port, ingress bool, pkt *Packet) *model.SecurityGroupRule {
	direction, far := "egress", pkt.Dst
	if ingress {
		direction, far = "ingress", pkt.Src
	}
	var best *model.SecurityGroupRule
	for _, g := range p.SecurityGroups {
		for _, r := range v.RulesOf(g) {
			if (best == nil || r.Key < best.Key) && r.Direction == direction && far.IsValid() && (r.EtherType == "IPv6") == far.Is6() &&
				protocolMatches(r, pkt) && remoteMatches(v, r, far) {
				best = r
			}
		}
	}
	return best
}

func protocolMatches(r *model.SecurityGroupRule, p *Packet) bool {
	proto := r.ProtocolNumber
	if r.EtherType == "IPv6" && proto == frame.ProtoICMP {
		proto = protoICMPv6
	}
	if proto == model.AnyProtocol {
		return true
	}
	if proto != int(p.Protocol) {
		return false
	}
	if proto == frame.ProtoICMP || proto == protoICMPv6 {
		return !p.HasType || (r.PortMin == model.NoPort || r.PortMin == int(p.Type)) &&
			(r.PortMin == model.NoPort || r.PortMax == model.NoPort || r.PortMax == int(p.Code))
	}
	if r.PortMin == model.NoPort || r.PortMax == model.NoPort || !p.HasPorts {
		return true
	}
	return r.PortMin <= int(p.DstPort) && int(p.DstPort) <= r.PortMax
}

func remoteMatches(v model.View, r *model.SecurityGroupRule, far netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(far) }
	switch {
	case r.RemoteGroupID != "":
		return slices.ContainsFunc(v.MembersOf(r.RemoteGroupID), func(p *model.Port) bool {
			return slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address == far }) ||
				slices.ContainsFunc(p.AllowedAddressPairs, func(a model.AddressPair) bool { return in(a.Prefix) })
		})
	case r.RemoteAddressGroupID != "":
		g, ok := v.AddressGroup(r.RemoteAddressGroupID)
		return ok && slices.ContainsFunc(g.Addresses, in)
	}
	return !r.RemotePrefix.IsValid() || in(r.RemotePrefix)
}
