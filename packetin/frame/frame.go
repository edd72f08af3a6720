// Package frame takes Ethernet, IPv4 and UDP headers apart and puts them together, for packet-in handlers.
// It is the one place where their lengths and checksums are dealt with. It knows no fragments (IPv4.Fragment
// says that a packet is one) and no more than two VLAN tags.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/model"
)

// EtherTypes and IP protocol numbers (IANA).
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100 // 802.1Q
	TypeQinQ = 0x88a8 // 802.1ad

	ProtoICMP = 1
	ProtoUDP  = 17
)

// Header lengths in bytes, without tags or options.
const (
	EthernetLen = 14
	IPv4Len     = 20
	UDPLen      = 8
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = model.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ErrUnsupported says that a header is well formed but not of a kind that is dealt with.
var ErrUnsupported = errors.New("not supported")

// Ethernet is a frame's header.
type Ethernet struct {
	Dst, Src model.MAC
	// Tags are the frame's VLAN tags as they stand on the wire, four bytes each, the outer first; at most
	// two. A reply carries the same tags.
	Tags    []byte
	Type    uint16 // EtherType after the tags
	Payload []byte // aliases the input
}

// Decode reads a frame.
func (e *Ethernet) Decode(b []byte) error {
	r := wire.NewReader(b)
	r.Copy(e.Dst[:], e.Src[:])
	e.Type = r.Uint16()
	n := 0
	for e.Type == TypeVLAN || e.Type == TypeQinQ {
		if n += 4; n > 8 {
			return fmt.Errorf("ethernet: more than two VLAN tags: %w", ErrUnsupported)
		}
		r.Skip(2)
		e.Type = r.Uint16()
	}
	if r.Err() != nil {
		return fmt.Errorf("ethernet: header: %w", r.Err())
	}
	e.Tags = b[12 : 12+n : 12+n]
	e.Payload = r.Rest()
	return nil
}

// AppendEthernet appends a header; what is appended after it is the payload.
func AppendEthernet(b []byte, dst, src model.MAC, tags []byte, etherType uint16) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	b = append(b, tags...)
	return binary.BigEndian.AppendUint16(b, etherType)
}

// IPv4 flags and masks in the field of the fragment offset.
const (
	dontFragment  = 0x4000
	moreFragments = 0x2000
	offsetMask    = 0x1fff
)

// IPv4 is a packet's header.
type IPv4 struct {
	TOS          uint8
	ID           uint16
	DontFragment bool
	// MoreFragments and Offset (in units of eight bytes) are read, never written.
	MoreFragments bool
	Offset        uint16
	TTL           uint8
	Protocol      uint8
	Src, Dst      netip.Addr
	Options       []byte // read, never written; aliases the input
	Header        []byte // the header's bytes, options included; aliases the input
	Payload       []byte // cut to the total length; aliases the input
}

// Fragment reports whether the packet is a piece of a larger one.
func (p *IPv4) Fragment() bool { return p.MoreFragments || p.Offset != 0 }

// Decode reads a packet. It checks version and lengths (RFC 1122 3.2.1); the checksum is ChecksumOK's.
// Bytes behind the total length (Ethernet padding) are left out of the payload.
func (p *IPv4) Decode(b []byte) error {
	if len(b) < IPv4Len {
		return fmt.Errorf("ipv4: header: %w", wire.ErrShort)
	}
	hlen, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0]>>4 != 4:
		return fmt.Errorf("ipv4: version is %d", b[0]>>4)
	case hlen < IPv4Len || hlen > total:
		return fmt.Errorf("ipv4: header length %d with total length %d", hlen, total)
	case total > len(b):
		return fmt.Errorf("ipv4: total length %d of %d bytes: %w", total, len(b), wire.ErrShort)
	}
	p.TOS, p.ID, p.TTL, p.Protocol = b[1], binary.BigEndian.Uint16(b[4:]), b[8], b[9]
	frag := binary.BigEndian.Uint16(b[6:])
	p.DontFragment, p.MoreFragments, p.Offset = frag&dontFragment != 0, frag&moreFragments != 0, frag&offsetMask
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Header, p.Options, p.Payload = b[:hlen:hlen], b[IPv4Len:hlen:hlen], b[hlen:total:total]
	return nil
}

// ChecksumOK verifies the header's checksum.
func (p *IPv4) ChecksumOK() bool { return Checksum(p.Header, 0) == 0 }

// AppendIPv4 appends a header without options whose length and checksum FinishIPv4 fills in when the
// payload is there. Src and Dst must be IPv4 addresses.
func AppendIPv4(b []byte, p *IPv4) []byte {
	var frag uint16
	if p.DontFragment {
		frag = dontFragment
	}
	src, dst := p.Src.As4(), p.Dst.As4()
	b = append(b, 0x45, p.TOS, 0, 0, byte(p.ID>>8), byte(p.ID), byte(frag>>8), byte(frag), p.TTL, p.Protocol, 0, 0)
	b = append(b, src[:]...)
	return append(b, dst[:]...)
}

// FinishIPv4 sets total length and checksum of the packet that b is, of at most 65,535 bytes.
func FinishIPv4(b []byte) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], Checksum(b[:IPv4Len], 0))
}

// UDP is a datagram's header.
type UDP struct {
	SrcPort, DstPort uint16
	Payload          []byte // cut to the header's length; aliases the input
}

// Decode reads a datagram. It does not verify the checksum: that of a packet which a VM or a veth just
// handed over is not there yet where checksums are offloaded to a NIC.
func (u *UDP) Decode(b []byte) error {
	if len(b) < UDPLen {
		return fmt.Errorf("udp: header: %w", wire.ErrShort)
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < UDPLen || n > len(b) {
		return fmt.Errorf("udp: length %d of %d bytes", n, len(b))
	}
	u.SrcPort, u.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	u.Payload = b[UDPLen:n:n]
	return nil
}

// AppendUDP appends a header whose length and checksum FinishUDP fills in when the payload is there.
func AppendUDP(b []byte, src, dst uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return append(b, 0, 0, 0, 0)
}

// FinishUDP sets length and checksum of the datagram that b is, sent from src to dst (RFC 768).
func FinishUDP(b []byte, src, dst netip.Addr) {
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	b[6], b[7] = 0, 0
	s, d := src.As4(), dst.As4()
	sum := uint32(ProtoUDP) + uint32(len(b))
	sum += uint32(binary.BigEndian.Uint16(s[:])) + uint32(binary.BigEndian.Uint16(s[2:]))
	sum += uint32(binary.BigEndian.Uint16(d[:])) + uint32(binary.BigEndian.Uint16(d[2:]))
	c := Checksum(b, sum)
	if c == 0 {
		c = 0xffff // zero would say that there is none
	}
	binary.BigEndian.PutUint16(b[6:], c)
}

// Checksum is the Internet checksum (RFC 1071) of b and of what initial sums up already. Over bytes that
// hold their own right checksum it is zero.
func Checksum(b []byte, initial uint32) uint16 {
	sum := uint64(initial)
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
