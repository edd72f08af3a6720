package openflow

import "encoding/binary"

// FieldID is the position of a field in the table; among match fields this is the order in which
// Open vSwitch itself sends them (nx-match.c), which is the canonical order of a Match.
type FieldID uint8

// Format says how ovs-ofctl writes a value of a field.
type Format uint8

// Formats of field values, as in the "Format" lines of ovs-fields(7).
const (
	Decimal         Format = iota // 80
	Hexadecimal                   // 0x50
	Ethernet                      // 00:11:22:33:44:55
	IPv4                          // 10.0.0.1
	IPv6                          // fe80::1
	PortNumber                    // a Port: 1 or LOCAL
	FragFormat                    // no, yes, first, later, not_later
	TunnelFlags                   // +oam
	TCPFlagSet                    // +syn-ack
	CTStateFlags                  // +trk-new
	PacketTypeValue               // (1,0x894f)
)

// Masking says which masks a match on a field may have.
type Masking uint8

// Kinds of masking.
const (
	NoMask  Masking = iota // exact match only
	AnyMask                // any bitwise mask
)

// Header identifies a field on the wire: OXM or NXM class and number and, for the experimenter class 0xffff,
// the experimenter (OpenFlow 1.3.5 section 7.2.3.2, meta-flow.h).
type Header struct {
	Name  string // as in openflow.h and nicira-ext.h, e.g. NXM_NX_REG0; empty when there is no such header
	Class uint16
	Num   uint8  // oxm_field, 7 bits
	Exp   uint32 // experimenter, only when Class is 0xffff
}

// Field is one row of the table of fields: everything that encoding, decoding, text and prerequisites need.
// Fields are read-only and compared by pointer.
type Field struct {
	ID       FieldID
	Name     string   // the name of ovs-fields(7)
	Aliases  []string // other names that parse
	Text     string   // the name in a printed match, if it is not Name
	Len      int      // octets of a value on the wire; the most of them for the variable tun_metadataN
	Bits     int      // significant low-order bits
	Format   Format
	Masking  Masking
	Writable bool   // set_field and load may write it
	Prereq   Prereq // what a match on it needs
	Match    Header // header in a match and in set_field
	Action   Header // header where a Nicira action names the field (load, move, learn …)
	// kept is what a match keeps instead of this field, for those that Open vSwitch keeps in another form.
	alias aliasKind
}

// aliasKind says in which form a Match keeps a field that is another view of one or more others.
type aliasKind uint8

const (
	aliasNone   aliasKind = iota
	aliasPort16           // in_port, 16 bits: kept as in_port_oxm
	aliasTCI              // vlan_tci: kept as vlan_vid and vlan_pcp where that says the same
	aliasTOS              // nw_tos: kept as ip_dscp
	aliasXReg             // xregN: kept as two registers
	aliasXXReg            // xxregN: kept as four registers
)

// Experimenters of OXM class 0xffff.
const (
	expONF    = 0x4f4e4600
	expNicira = 0x00002320
	expNSH    = 0x005ad650
	classExp  = 0xffff
)

func oxm(name string, n uint8) Header { return Header{Name: "OXM_OF_" + name, Class: 0x8000, Num: n} }
func nxm(name string, n uint8) Header { return Header{Name: "NXM_OF_" + name, Class: 0, Num: n} }
func nx(name string, n uint8) Header  { return Header{Name: "NXM_NX_" + name, Class: 1, Num: n} }
func pktReg(name string, n uint8) Header {
	return Header{Name: "OXM_OF_" + name, Class: 0x8001, Num: n}
}
func onf(name string, n uint8) Header {
	return Header{Name: "ONFOXM_ET_" + name, Class: classExp, Num: n, Exp: expONF}
}
func et(name string, n uint8) Header {
	return Header{Name: "NXOXM_ET_" + name, Class: classExp, Num: n, Exp: expNicira}
}
func nsh(name string, n uint8) Header {
	return Header{Name: "NXOXM_NSH_" + name, Class: classExp, Num: n, Exp: expNSH}
}
func eric(name string, n uint8) Header {
	return Header{Name: "ERICOXM_OF_" + name, Class: 0x1000, Num: n}
}

// wire returns the 4 octets of the OXM header for a payload of n octets (experimenter not counted).
func (h *Header) wire(n int, masked bool) uint32 {
	v := uint32(h.Class)<<16 | uint32(h.Num)<<9 | uint32(n)
	if h.Class == classExp {
		v += 4
	}
	if masked {
		v |= 1 << 8
	}
	return v
}

// appendTo appends the header for n octets of payload, with the experimenter if there is one.
func (h *Header) appendTo(b []byte, n int, masked bool) []byte {
	b = binary.BigEndian.AppendUint32(b, h.wire(n, masked))
	if h.Class == classExp {
		b = binary.BigEndian.AppendUint32(b, h.Exp)
	}
	return b
}

// size is the length of the header itself.
func (h *Header) size() int {
	if h.Class == classExp {
		return 8
	}
	return 4
}

// Reg returns the 32-bit register i, 0 to 15.
func Reg(i int) *Field { return regs[i] }

// XReg returns the 64-bit register i, 0 to 7: reg(2i) is its high half.
func XReg(i int) *Field { return xregs[i] }

// XXReg returns the 128-bit register i, 0 to 3: reg(4i) is its highest quarter.
func XXReg(i int) *Field { return xxregs[i] }

// TunMetadata returns tun_metadata i, 0 to 63. Its length on the wire is what the switch's TLV table maps.
func TunMetadata(i int) *Field { return tunMetadata[i] }

// Fields returns all fields in table order. The result is the caller's, the fields are read-only.
func Fields() []*Field { return append([]*Field(nil), fieldTable...) }

// FieldByName returns the field with an ovs-fields(7) name, alias or NXM/OXM header name (NXM_NX_REG0), or nil.
func FieldByName(name string) *Field { return fieldNames[name] }

// VarLen reports whether values of f have any length from 1 to f.Len octets.
func (f *Field) VarLen() bool { return f.Len > 16 }

// String returns the field's name.
func (f *Field) String() string { return f.Name }

// Lookup tables made from fieldTable once, then read only.
var (
	fieldNames = map[string]*Field{}
	byClass    = map[uint16]*[128]*Field{0x8000: {}, 0x0000: {}, 0x0001: {}, 0x8001: {}, 0x1000: {}}
	oxmBasic   = byClass[0x8000]
	nxm0Basic  = byClass[0x0000]
	nxm1Basic  = byClass[0x0001]
	pktRegs    = byClass[0x8001]
	expFields  = map[uint64]*Field{}
)

func init() {
	for _, f := range fieldTable {
		for _, h := range []*Header{&f.Match, &f.Action} {
			if h.Class == classExp {
				expFields[uint64(h.Exp)<<8|uint64(h.Num)] = f
				if h.Exp == expONF { // OpenFlow 1.5 took these in with their numbers; other peers send that form over 1.3 too
					oxmBasic[h.Num] = f
				}
			} else {
				byClass[h.Class][h.Num] = f
			}
			fieldNames[h.Name] = f
		}
		fieldNames[f.Name] = f
		for _, a := range f.Aliases {
			fieldNames[a] = f
		}
	}
}

// lookup returns the field of a 32-bit OXM header (and experimenter, for class 0xffff), or nil.
func lookup(h, exp uint32) *Field {
	n := h >> 9 & 0x7f
	switch h >> 16 {
	case 0x8000:
		return oxmBasic[n]
	case 0x0001:
		return nxm1Basic[n]
	case 0x0000:
		return nxm0Basic[n]
	case 0x1000:
		return byClass[0x1000][n]
	case 0x8001:
		return pktRegs[n]
	case classExp:
		return expFields[uint64(exp)<<8|uint64(n)]
	}
	return nil
}

// fullMask returns the octets of a mask that covers the significant bits of an n-octet value of f.
func (f *Field) fullMask(n int) (mask [16]byte) {
	if f.VarLen() {
		return mask
	}
	bits := f.Bits
	for i := n - 1; i >= 0 && bits > 0; i-- {
		if bits >= 8 {
			mask[i] = 0xff
		} else {
			mask[i] = 1<<bits - 1
		}
		bits -= 8
	}
	return mask
}
