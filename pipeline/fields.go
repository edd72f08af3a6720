package pipeline

import (
	"encoding/binary"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
)

// The registers. Each piece is declared once; overlap is checked by a test.
var (
	Net     = &Field{Name: "net", OF: openflow.Metadata, Doc: "key of the network the packet is in"}
	InPort  = &Field{Name: "in", OF: openflow.Reg(14), Bits: 32, Doc: "key of the port the packet came from; 0: from another host or the physical network"}
	OutPort = &Field{Name: "out", OF: openflow.Reg(15), Bits: 32, Doc: "key of the port the packet goes to; 0: not known yet"}
	Punt    = &Field{Name: "punt", OF: openflow.Reg(13), Bits: 8, Doc: "handler that the packet is punted to"}
	// FloodPart is free to share a register with Punt: what is punted is not flooded.
	FloodPart = &Field{Name: "flood_part", OF: openflow.Reg(13), Ofs: 8, Bits: 16, Doc: "number of the flood leaf that a copy is for"}
	Remote    = &Field{Name: "remote", OF: openflow.Reg(10), Ofs: 0, Bits: 1, Doc: "1: the packet came from another host or the physical network, and is delivered on this host only"}
)

// The registers of br-int that judging uses (package secgroup). SecSet, InSet and Allowed are 0 whenever none is under way.
var (
	SecPort  = &Field{Name: "judged", OF: openflow.Reg(8), Bits: 32, Doc: "key of the port whose security groups are asked"}
	SecGroup = &Field{Name: "group", OF: openflow.Reg(9), Bits: 32, Doc: "key of the security group that is asked"}
	SecSet   = &Field{Name: "set", OF: openflow.Reg(11), Bits: 32, Doc: "key of the remote group or address group that is asked for; 0: none"}
	Opened   = &Field{Name: "opened", OF: openflow.Reg(12), Ofs: 0, Bits: 1, Doc: "1: the packet's connection was opened towards the judged port, 0: by it"}
	InSet    = &Field{Name: "in_set", OF: openflow.Reg(12), Ofs: 1, Bits: 1, Doc: "1: the far address is in the set"}
	Allowed  = &Field{Name: "allowed", OF: openflow.Reg(12), Ofs: 2, Bits: 1, Doc: "1: a rule allows the packet's connection"}
	Far      = &Field{Name: "far", OF: openflow.Reg(4), Bits: 32, Doc: "address of the other side: IPv4, or the first part of IPv6, which goes on in reg5 to reg7"}
	Far1     = &Field{Name: "far1", OF: openflow.Reg(5), Bits: 32, Doc: "second part of the far IPv6 address"}
	Far2     = &Field{Name: "far2", OF: openflow.Reg(6), Bits: 32, Doc: "third part of the far IPv6 address"}
	Far3     = &Field{Name: "far3", OF: openflow.Reg(7), Bits: 32, Doc: "fourth part of the far IPv6 address"}
	// Far6 is Far to Far3 as one.
	Far6 = &Field{Name: "far6", OF: openflow.XXReg(1), Bits: 128}
)

// The registers of br-tun.
var (
	Seg   = &Field{Name: "seg", OF: openflow.Reg(0), Ofs: 0, Bits: 24, Doc: "segmentation id: VNI or GRE key"}
	Encap = &Field{Name: "encap", OF: openflow.Reg(0), Ofs: 24, Bits: 8, Doc: "encapsulation: 1 VXLAN, 2 GRE"}
	Leaf  = &Field{Name: "leaf", OF: openflow.Reg(1), Bits: 32, Doc: "part of a replication list that is split"}
)

// Registers lists the pieces of registers in use, for the document and the overlap check.
func Registers() []*Field {
	return []*Field{Net, InPort, OutPort, Punt, FloodPart, Remote, Router, NextHop, Resolved, InMTU, TooBig, SecPort, SecGroup, SecSet, Opened, InSet, Allowed, Far, Far1, Far2, Far3, Seg, Encap, Leaf}
}

// The fields of packets that tables match or write.
var (
	OFPort = &Field{Name: "in_port", OF: openflow.InPort}
	// NoPort is in_port as actions write it: a packet is never output to its in_port.
	NoPort  = &Field{Name: "in_port", OF: openflow.InPort16}
	PktMark = &Field{Name: "pkt_mark", OF: openflow.PktMark}
	EthSrc  = &Field{Name: "eth_src", OF: openflow.EthSrc}
	EthDst  = &Field{Name: "eth_dst", OF: openflow.EthDst}
	EthType = &Field{Name: "eth_type", OF: openflow.EthType}
	IPTTL   = &Field{Name: "ip_ttl", OF: openflow.IPTTL}
	VLAN    = &Field{Name: "vlan_vid", OF: openflow.VLANVID}
	TunID   = &Field{Name: "tun_id", OF: openflow.TunID}
	TunSrc  = &Field{Name: "tun_src", OF: openflow.TunSrc}
	TunDst  = &Field{Name: "tun_dst", OF: openflow.TunDst}
	IPProto = &Field{Name: "ip_proto", OF: openflow.IPProto}
	IPv4Src = &Field{Name: "ip_src", OF: openflow.IPv4Src}
	IPv4Dst = &Field{Name: "ip_dst", OF: openflow.IPv4Dst}
	UDPSrc  = &Field{Name: "udp_src", OF: openflow.UDPSrc}
	UDPDst  = &Field{Name: "udp_dst", OF: openflow.UDPDst}
	ICMPTyp = &Field{Name: "icmp_type", OF: openflow.ICMPType}
	ARPOp   = &Field{Name: "arp_op", OF: openflow.ARPOp}
	ARPSPA  = &Field{Name: "arp_spa", OF: openflow.ARPSPA}
	ARPTPA  = &Field{Name: "arp_tpa", OF: openflow.ARPTPA}
	ARPSHA  = &Field{Name: "arp_sha", OF: openflow.ARPSHA}
	ARPTHA  = &Field{Name: "arp_tha", OF: openflow.ARPTHA}

	IPFrag   = &Field{Name: "ip_frag", OF: openflow.IPFrag}
	IPv6Src  = &Field{Name: "ipv6_src", OF: openflow.IPv6Src}
	IPv6Dst  = &Field{Name: "ipv6_dst", OF: openflow.IPv6Dst}
	TCPDst   = &Field{Name: "tcp_dst", OF: openflow.TCPDst}
	SCTPDst  = &Field{Name: "sctp_dst", OF: openflow.SCTPDst}
	ICMPCod  = &Field{Name: "icmp_code", OF: openflow.ICMPCode}
	ICMP6Typ = &Field{Name: "icmpv6_type", OF: openflow.ICMPv6Type}
	ICMP6Cod = &Field{Name: "icmpv6_code", OF: openflow.ICMPv6Code}
	NDTarget = &Field{Name: "nd_target", OF: openflow.NDTarget}
	NDSLL    = &Field{Name: "nd_sll", OF: openflow.NDSLL}
	NDTLL    = &Field{Name: "nd_tll", OF: openflow.NDTLL}

	CTState   = &Field{Name: "ct_state", OF: openflow.CTState}
	CTZone    = &Field{Name: "ct_zone", OF: openflow.CTZone}
	CTProto   = &Field{Name: "ct_nw_proto", OF: openflow.CTNWProto}
	CTIPv4Src = &Field{Name: "ct_nw_src", OF: openflow.CTNWSrc}
	CTIPv4Dst = &Field{Name: "ct_nw_dst", OF: openflow.CTNWDst}
	CTIPv6Src = &Field{Name: "ct_ipv6_src", OF: openflow.CTIPv6Src}
	CTIPv6Dst = &Field{Name: "ct_ipv6_dst", OF: openflow.CTIPv6Dst}
	CTSrc     = &Field{Name: "ct_tp_src", OF: openflow.CTTPSrc}
	CTDst     = &Field{Name: "ct_tp_dst", OF: openflow.CTTPDst}
)

// The bits of ct_state.
const (
	CTNew     = 0x01
	CTReply   = 0x08
	CTInvalid = 0x10
	CTTracked = 0x20
)

// Term is one condition of a match.
type Term func(*openflow.Match)

// Match is a conjunction of terms.
type Match []Term

// Is matches a number exactly, within the field's bits. Pieces of one register add up.
func (f *Field) Is(v uint64) Term {
	return func(m *openflow.Match) {
		if f.Bits == 0 || int(f.Bits) == f.OF.Bits {
			m.SetUint(f.OF, v)
			return
		}
		old, mask, _ := m.GetUint(f.OF)
		bits := f.mask()
		m.SetUintMasked(f.OF, old&^bits|v<<f.Ofs, mask|bits)
	}
}

// mask is the field's bits within the OpenFlow field; all of them for a whole field.
func (f *Field) mask() uint64 {
	if f.Bits == 0 {
		return ^uint64(0)
	}
	return (uint64(1)<<f.Bits - 1) << f.Ofs
}

// Key matches an object's key.
func (f *Field) Key(k uint32) Term { return f.Is(uint64(k)) }

// Masked matches the bits of mask.
func (f *Field) Masked(v, mask uint64) Term {
	return func(m *openflow.Match) { m.SetUintMasked(f.OF, v, mask) }
}

// MAC matches an Ethernet address.
func (f *Field) MAC(a model.MAC) Term { return func(m *openflow.Match) { m.SetMAC(f.OF, a) } }

// Addr matches an IP address.
func (f *Field) Addr(a netip.Addr) Term { return func(m *openflow.Match) { m.SetAddr(f.OF, a) } }

// In matches the addresses of a prefix; any address for a prefix of no bits.
func (f *Field) In(p netip.Prefix) Term {
	return func(m *openflow.Match) {
		if p.Bits() > 0 {
			m.SetPrefix(f.OF, p)
		}
	}
}

// FarIn matches a far address of a prefix.
func FarIn(p netip.Prefix) Term {
	return func(m *openflow.Match) {
		a, bits := p.Masked().Addr().AsSlice(), p.Bits()
		for _, f := range []*Field{Far, Far1, Far2, Far3} {
			if bits <= 0 {
				return
			}
			n := min(bits, 32)
			m.SetUintMasked(f.OF, uint64(binary.BigEndian.Uint32(a)), uint64(^uint32(0)<<(32-n)))
			a, bits = a[4:], bits-n
		}
	}
}

// Ethernet types and protocol numbers that matches name.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeIPv6 = 0x86dd

	TypeRARP = 0x8035

	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
	ProtoSCTP   = 132
)

// Terms that several rules share.
var (
	IsARP       Term = EthType.Is(TypeARP)
	IsIPv4      Term = EthType.Is(TypeIPv4)
	IsIPv6      Term = EthType.Is(TypeIPv6)
	IsMulticast Term = EthDst.Masked(1<<40, 1<<40)
	// LaterFragment matches fragments other than the first: they have no ports.
	LaterFragment Term = IPFrag.Is(3)
	// FromMulticast matches frames with a group address as their source.
	FromMulticast Term = EthSrc.Masked(1<<40, 1<<40)
)

// Sub is the field as a subfield, for load, move and learn.
func (f *Field) Sub() openflow.Subfield {
	n := f.Bits
	if n == 0 {
		n = uint16(f.OF.Bits)
	}
	return openflow.Subfield{Field: f.OF, Ofs: f.Ofs, N: n}
}

// Tagged matches frames of a VLAN.
func Tagged(vid uint16) Term { return VLAN.Is(vlanPresent | uint64(vid)) }

// Untagged matches frames without a VLAN tag.
var Untagged Term = VLAN.Is(0)

const vlanPresent = 0x1000 // OFPVID_PRESENT

// PushTag puts a VLAN tag on.
func PushTag(vid uint16) []openflow.Action {
	return []openflow.Action{openflow.PushVLAN{EthType: 0x8100}, openflow.SetUint(openflow.VLANVID, vlanPresent|uint64(vid))}
}

// Copy sets a field to what another holds.
func Copy(from, to *Field) openflow.Action { return openflow.Move{Src: from.Sub(), Dst: to.Sub()} }

// Load sets the field to a number.
func (f *Field) Load(v uint64) openflow.Action { return openflow.Load{Dst: f.Sub(), Value: v} }

// Goto continues in a table.
func Goto(t *Table) openflow.Action { return openflow.GotoTable{Table: t.ID} }

// Call consults a table and comes back.
func Call(t *Table) openflow.Action { return openflow.Resubmit{Port: openflow.PortInPort, Table: t.ID} }

// AddrUint is an IPv4 address as a number, first byte most significant.
func AddrUint(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}
