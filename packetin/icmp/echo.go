// Package icmp answers echo requests (ping) to addresses that Penstock itself holds and builds the error
// messages that a router sends. It is not a stack: it reassembles nothing, measures nothing and receives
// no errors.
package icmp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
)

// Outcomes of Handle, beside those of packetin.
const (
	OutcomeReply    = "reply"
	OutcomeNotEcho  = "ignored-not-echo"
	OutcomeNotOurs  = "ignored-not-ours" // the destination is no address that Penstock answers for
	OutcomeFragment = "ignored-fragment"
	OutcomeChecksum = "ignored-checksum"
	// OutcomeOptions: the packet asks for source routing, which is answered to nobody (RFC 7126 4.3, 4.4).
	OutcomeOptions = "ignored-options"
	OutcomeSource  = "ignored-source" // the source is no single station's address
)

// Outcomes lists every outcome that Handle may give.
func Outcomes() []string {
	return []string{OutcomeReply, OutcomeNotEcho, OutcomeNotOurs, OutcomeFragment, OutcomeChecksum, OutcomeOptions, OutcomeSource,
		packetin.OutcomeMalformed, packetin.OutcomeTruncated, packetin.OutcomeUnknownPort}
}

// Message types of RFC 792 that are used here.
const (
	TypeEchoReply      = 0
	TypeUnreachable    = 3
	TypeSourceQuench   = 4
	TypeRedirect       = 5
	TypeEchoRequest    = 8
	TypeTimeExceeded   = 11
	TypeParameterError = 12
)

const (
	ttl       = 64
	headerLen = 8
)

// Handle is the packetin.Handler for ICMP: it answers echo requests to the addresses of the DHCP port of the
// asker's network.
func Handle(v model.View, in *packetin.Packet, r *packetin.Result) error {
	var eth frame.Ethernet
	var ip frame.IPv4
	if err := eth.Decode(in.Data); err != nil {
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	if eth.Type != frame.TypeIPv4 {
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("icmp: EtherType is 0x%04x", eth.Type))
	}
	if err := ip.Decode(eth.Payload); err != nil {
		if in.Truncated() {
			return r.Ignore(packetin.OutcomeTruncated, err)
		}
		return r.Ignore(packetin.OutcomeMalformed, err)
	}
	switch {
	case ip.Protocol != frame.ProtoICMP || len(ip.Payload) < headerLen && !ip.Fragment():
		return r.Ignore(packetin.OutcomeMalformed, fmt.Errorf("icmp: protocol %d with %d bytes", ip.Protocol, len(ip.Payload)))
	case !ip.ChecksumOK():
		return r.Ignore(OutcomeChecksum, fmt.Errorf("icmp: wrong checksum in the IP header"))
	case ip.Fragment():
		return r.Ignore(OutcomeFragment, nil)
	case ip.Payload[0] != TypeEchoRequest || ip.Payload[1] != 0:
		return r.Ignore(OutcomeNotEcho, nil)
	case frame.Checksum(ip.Payload, 0) != 0:
		return r.Ignore(OutcomeChecksum, fmt.Errorf("icmp: wrong checksum"))
	case sourceRouted(ip.Options):
		return r.Ignore(OutcomeOptions, nil)
	case !station(ip.Src) || eth.Src.IsMulticast():
		return r.Ignore(OutcomeSource, fmt.Errorf("icmp: echo request from %s by %s", ip.Src, eth.Src))
	}
	asker, ok := v.PortByKey(in.PortKey)
	if !ok {
		return r.Ignore(packetin.OutcomeUnknownPort, fmt.Errorf("icmp: no port has key %d", in.PortKey))
	}
	server, ok := v.DHCPPort(asker.NetworkID)
	if !ok || eth.Dst != server.MAC || !holds(server, ip.Dst) {
		return r.Ignore(OutcomeNotOurs, nil)
	}
	b := r.Buffer(frame.EthernetLen + len(eth.Tags) + frame.IPv4Len + len(ip.Payload))
	r.Send(in.InPort, AppendEchoReply(b, &eth, &ip))
	r.Outcome = OutcomeReply
	return nil
}

// AppendEchoReply appends the frame that answers a valid echo request: addresses swapped, TOS, identification
// and DF as in the request (RFC 1812 4.3.3.6), data the same (RFC 1122 3.2.2.6), IP options left out.
func AppendEchoReply(b []byte, eth *frame.Ethernet, ip *frame.IPv4) []byte {
	b = frame.AppendEthernet(b, eth.Src, eth.Dst, eth.Tags, frame.TypeIPv4)
	start := len(b)
	b = frame.AppendIPv4(b, &frame.IPv4{TOS: ip.TOS, ID: ip.ID, DontFragment: ip.DontFragment, TTL: ttl,
		Protocol: frame.ProtoICMP, Src: ip.Dst, Dst: ip.Src})
	body := len(b)
	b = append(b, ip.Payload...)
	b[body] = TypeEchoReply
	finish(b[body:])
	frame.FinishIPv4(b[start:])
	return b
}

// finish sets the checksum of an ICMP message.
func finish(b []byte) {
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[2:], frame.Checksum(b, 0))
}

func holds(p *model.Port, a netip.Addr) bool {
	for _, f := range p.FixedIPs {
		if f.Address == a {
			return true
		}
	}
	return false
}

// station reports whether an IPv4 address can be a single station's (RFC 1122 3.2.1.3).
func station(a netip.Addr) bool {
	b := a.As4()
	return b[0] != 0 && b[0] != 127 && b[0] < 224
}

// sourceRouted reports whether IP options hold a loose or strict source route, or cannot be read.
func sourceRouted(o []byte) bool {
	for len(o) > 0 {
		switch o[0] {
		case 0: // end of options
			return false
		case 1: // no operation
			o = o[1:]
			continue
		case 131, 137:
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return true
		}
		o = o[o[1]:]
	}
	return false
}
