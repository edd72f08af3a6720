package icmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/frame"
)

// Error is an error message to be sent about a packet.
type Error struct {
	Type, Code uint8
	// MTU is the next hop's in bytes (RFC 1191), for NeedsFragmentation only.
	MTU uint16
	// Whole has a first fragment quoted as if it were the whole packet. Open vSwitch's conntrack does not know the connection
	// of a fragment that an error quotes, and would not translate it.
	Whole bool
}

// The errors that a router sends (RFC 792, RFC 1812 5.2.7, 5.3.1).
var (
	NetUnreachable      = Error{Type: TypeUnreachable, Code: 0}
	HostUnreachable     = Error{Type: TypeUnreachable, Code: 1}
	ProtocolUnreachable = Error{Type: TypeUnreachable, Code: 2}
	PortUnreachable     = Error{Type: TypeUnreachable, Code: 3}
	AdminProhibited     = Error{Type: TypeUnreachable, Code: 13}
	TTLExceeded         = Error{Type: TypeTimeExceeded, Code: 0}
)

// NeedsFragmentation is the error for a packet with DF set that is larger than the next hop's MTU in bytes.
func NeedsFragmentation(mtu uint16) Error { return Error{Type: TypeUnreachable, Code: 4, MTU: mtu} }

// Interface is where an error message comes from: a router's port and its address with the prefix length
// of its subnet, by which broadcasts to the subnet are known.
type Interface struct {
	MAC  model.MAC
	Addr netip.Prefix
}

// ErrMustNotReport is wrapped by errors of AppendError that say why a packet may not be answered by an
// ICMP error (RFC 1812 4.3.2.7).
var ErrMustNotReport = errors.New("no ICMP error is sent")

// moreFragments is the MF bit in the byte of an IPv4 header that has the flags.
const moreFragments = 0x20

// maxErrorLen is how long the IP packet of an error may be, in bytes (RFC 1812 4.3.2.3).
const maxErrorLen = 576

// AppendError appends the frame that tells the sender of the Ethernet frame orig what became of its IPv4
// packet. If RFC 1812 4.3.2.7 forbids that, the error wraps ErrMustNotReport and b is given back as it was.
// The frame orig must be as it was received, before any TTL was decremented or address translated.
func AppendError(b []byte, from Interface, orig []byte, e Error) ([]byte, error) {
	var eth frame.Ethernet
	var ip frame.IPv4
	if !from.Addr.Addr().Is4() {
		return b, fmt.Errorf("icmp: the interface's address %v is not IPv4", from.Addr)
	}
	if err := eth.Decode(orig); err != nil {
		return b, fmt.Errorf("%w: %w", err, ErrMustNotReport)
	}
	if eth.Type != frame.TypeIPv4 {
		return b, fmt.Errorf("icmp: EtherType is 0x%04x: %w", eth.Type, ErrMustNotReport)
	}
	if err := decodeCut(&ip, eth.Payload); err != nil {
		return b, fmt.Errorf("%w: %w", err, ErrMustNotReport)
	}
	if err := reportable(&eth, &ip, from); err != nil {
		return b, err
	}
	quote := len(ip.Header) + len(ip.Payload)
	quote = min(quote, maxErrorLen-frame.IPv4Len-headerLen)

	b = frame.AppendEthernet(b, eth.Src, from.MAC, eth.Tags, frame.TypeIPv4)
	start := len(b)
	// Precedence 6 with the packet's own type of service, as RFC 1812 4.3.2.5 asks. DF set, so that the
	// identification need not be unique (RFC 6864 4.1).
	b = frame.AppendIPv4(b, &frame.IPv4{TOS: ip.TOS&0x1e | 0xc0, DontFragment: true, TTL: ttl, Protocol: frame.ProtoICMP,
		Src: from.Addr.Addr(), Dst: ip.Src})
	body := len(b)
	b = append(b, e.Type, e.Code, 0, 0, 0, 0, byte(e.MTU>>8), byte(e.MTU))
	quoted := len(b)
	b = append(b, eth.Payload[:quote]...)
	if e.Whole {
		h := b[quoted : quoted+len(ip.Header)]
		h[6] &^= moreFragments
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], frame.Checksum(h, 0))
	}
	finish(b[body:])
	frame.FinishIPv4(b[start:])
	return b, nil
}

// decodeCut decodes an IP packet of which the switch may have sent only the beginning: enough to quote it.
func decodeCut(ip *frame.IPv4, b []byte) error {
	if len(b) < frame.IPv4Len {
		return ip.Decode(b)
	}
	total := int(b[2])<<8 | int(b[3])
	if total <= len(b) {
		return ip.Decode(b)
	}
	if !checksumOK(b) {
		return errors.New("icmp: wrong checksum in the IP header")
	}
	// The header is valid, only its end is missing: decode a copy of it that claims what is there.
	hlen := int(b[0]&15) * 4
	if hlen < frame.IPv4Len || hlen > len(b) {
		return fmt.Errorf("icmp: header length %d of %d bytes", hlen, len(b))
	}
	var head [60]byte
	n := copy(head[:hlen], b)
	head[2], head[3] = 0, byte(n)
	if err := ip.Decode(head[:n]); err != nil {
		return err
	}
	ip.Header, ip.Options, ip.Payload = b[:hlen], b[frame.IPv4Len:hlen], b[hlen:]
	return nil
}

func checksumOK(b []byte) bool {
	hlen := int(b[0]&15) * 4
	return hlen >= frame.IPv4Len && hlen <= len(b) && frame.Checksum(b[:hlen], 0) == 0
}

// reportable says why no error may be sent about a packet, nil if one may.
func reportable(eth *frame.Ethernet, ip *frame.IPv4, from Interface) error {
	why := ""
	switch {
	case !ip.ChecksumOK():
		why = "its IP header's checksum is wrong"
	case ip.Offset != 0:
		why = "it is a fragment other than the first"
	case eth.Dst.IsMulticast():
		why = "it was sent to a link-layer broadcast or multicast"
	case !station(ip.Dst):
		why = "its destination is no single station"
	case from.Addr.Bits() < 31 && (ip.Dst == Broadcast(from.Addr) || ip.Dst == from.Addr.Masked().Addr()):
		why = "its destination is the subnet's broadcast"
	case !station(ip.Src) || eth.Src.IsMulticast() || eth.Src.IsZero():
		why = "its source is no single station"
	case from.Addr.Bits() < 31 && (ip.Src == Broadcast(from.Addr) || ip.Src == from.Addr.Masked().Addr()):
		why = "its source is the subnet's broadcast"
	case ip.Protocol == frame.ProtoICMP:
		if len(ip.Payload) == 0 {
			why = "it is ICMP without a type"
			break
		}
		switch ip.Payload[0] {
		case TypeUnreachable, TypeSourceQuench, TypeRedirect, TypeTimeExceeded, TypeParameterError:
			why = "it is an ICMP error itself"
		}
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("icmp: packet from %s to %s: %s: %w", ip.Src, ip.Dst, why, ErrMustNotReport)
}

// Broadcast is the directed broadcast address of an IPv4 prefix.
func Broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := range a {
		if n := p.Bits() - 8*i; n < 8 {
			a[i] |= 0xff >> max(n, 0)
		}
	}
	return netip.AddrFrom4(a)
}
