package pipeline

import (
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
	Remote  = &Field{Name: "remote", OF: openflow.Reg(10), Ofs: 0, Bits: 1, Doc: "1: the packet came from another host or the physical network, and is delivered on this host only"}
)

// The registers of br-tun.
var (
	Seg   = &Field{Name: "seg", OF: openflow.Reg(0), Ofs: 0, Bits: 24, Doc: "segmentation id: VNI or GRE key"}
	Encap = &Field{Name: "encap", OF: openflow.Reg(0), Ofs: 24, Bits: 8, Doc: "encapsulation: 1 VXLAN, 2 GRE"}
	Leaf  = &Field{Name: "leaf", OF: openflow.Reg(1), Bits: 32, Doc: "part of a replication list that is split"}
)

// Registers lists the pieces of registers in use, for the document and the overlap check.
func Registers() []*Field { return []*Field{Net, InPort, OutPort, Punt, Remote, Seg, Encap, Leaf} }

// The fields of packets that tables match or write.
var (
	OFPort  = &Field{Name: "in_port", OF: openflow.InPort}
	PktMark = &Field{Name: "pkt_mark", OF: openflow.PktMark}
	EthSrc  = &Field{Name: "eth_src", OF: openflow.EthSrc}
	EthDst  = &Field{Name: "eth_dst", OF: openflow.EthDst}
	EthType = &Field{Name: "eth_type", OF: openflow.EthType}
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

// Ethernet types and protocol numbers that matches name.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeIPv6 = 0x86dd

	ProtoICMP = 1
	ProtoUDP  = 17
)

// Terms that several rules share.
var (
	IsARP       Term = EthType.Is(TypeARP)
	IsIPv4      Term = EthType.Is(TypeIPv4)
	IsMulticast Term = EthDst.Masked(1<<40, 1<<40)
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
