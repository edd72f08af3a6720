package openflow

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Bytes is an immutable big-endian value of a field, f.Len octets of it, comparable with ==.
type Bytes string

// Subfield is some bits of a field: N bits from bit Ofs up, bit 0 being the least significant.
type Subfield struct {
	Field  *Field
	Ofs, N uint16
}

// Bits returns bits first to last of f, as in reg0[first..last].
func Bits(f *Field, first, last int) Subfield {
	return Subfield{f, uint16(first), uint16(last - first + 1)}
}

// All returns the whole field, as in reg0[].
func All(f *Field) Subfield { return Subfield{f, 0, uint16(f.Bits)} }

// check reports bits outside of the field, and a destination that is read-only.
func (s Subfield) check(write bool) error {
	switch {
	case s.Field == nil:
		return fmt.Errorf("openflow: a subfield has no field")
	case s.N == 0 || int(s.Ofs)+int(s.N) > s.Field.Bits:
		return fmt.Errorf("openflow: %s has bits 0 to %d, not %d to %d", s.Field.Name, s.Field.Bits-1, s.Ofs, int(s.Ofs)+int(s.N)-1)
	case write && !s.Field.Writable:
		return fmt.Errorf("openflow: %s is read-only", s.Field.Name)
	}
	return nil
}

// ofsNBits is the usual encoding of a subfield's bits in 16 bits.
func (s Subfield) ofsNBits() uint16 { return s.Ofs<<6 | (s.N-1)&0x3f }

// exp reports whether the field's header in actions takes 8 octets.
func (s Subfield) exp() bool { return s.Field.Action.Class == classExp }

// appendHeader appends the field's header for use in an action.
func (f *Field) appendHeader(b []byte) []byte {
	n := f.Len
	if f.VarLen() {
		n = 124
	}
	return f.Action.appendTo(b, n, false)
}

// header reads an OXM header, with experimenter if it has one, and returns its field; the reader fails if
// it is not known. n is the header's payload length; masked its mask bit.
func (r *reader) header() (f *Field, n int, masked bool) {
	h := r.u32()
	var exp uint32
	n = int(h & 0xff)
	if h>>16 == classExp {
		exp = r.u32()
		n -= 4
	}
	f = lookup(h, exp)
	if f == nil {
		r.fail("field %#08x is not known", h)
	}
	return f, n, h&0x100 != 0
}

// subfield reads a field header for bits given by an ofs_nbits.
func (r *reader) subfield(ofsNBits uint16) Subfield {
	f, _, _ := r.header()
	return r.inField(Subfield{f, ofsNBits >> 6, ofsNBits&0x3f + 1})
}

// inField makes the reader fail if s has bits outside of its field.
func (r *reader) inField(s Subfield) Subfield {
	if r.err == nil && (s.Field == nil || s.N == 0 || int(s.Ofs)+int(s.N) > s.Field.Bits) {
		r.fail("bits %d to %d are not in the field", s.Ofs, int(s.Ofs)+int(s.N)-1)
	}
	return s
}

// bit returns bit i of big-endian v.
func bitAt(v []byte, i int) byte { return v[len(v)-1-i/8] >> (i % 8) & 1 }

// bitsUint returns n bits (at most 64) of big-endian v from bit ofs up.
func bitsUint(v []byte, ofs, n int) (u uint64) {
	for i := n - 1; i >= 0; i-- {
		u = u<<1 | uint64(bitAt(v, ofs+i))
	}
	return u
}

// SetUint sets the whole of a field of at most 8 octets (set_field).
func SetUint(f *Field, v uint64) SetField {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return SetField{Field: f, Value: Bytes(b[8-shortLen(f):])}
}

// SetUintMasked sets those bits of a field of at most 8 octets that are 1 in mask.
func SetUintMasked(f *Field, v, mask uint64) SetField {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], v&mask)
	binary.BigEndian.PutUint64(b[8:], mask)
	n := shortLen(f)
	return SetBytes(f, b[8-n:8], b[16-n:])
}

// SetMAC sets an Ethernet address.
func SetMAC(f *Field, a [6]byte) SetField { return SetField{Field: f, Value: Bytes(a[:])} }

// SetAddr sets an IPv4 or IPv6 address; the family must be that of f.
func SetAddr(f *Field, a netip.Addr) SetField {
	if a4 := a.Unmap(); f.Len == 4 && a4.Is4() {
		v := a4.As4()
		return SetField{Field: f, Value: Bytes(v[:])}
	}
	v := a.As16()
	return SetField{Field: f, Value: Bytes(v[:])}
}

// SetBytes sets the bits of f that are 1 in mask; a nil mask, or one of all ones, is the whole field.
func SetBytes(f *Field, value, mask []byte) SetField {
	ones := true
	for _, k := range mask {
		ones = ones && k == 0xff
	}
	if ones {
		return SetField{Field: f, Value: Bytes(value)}
	}
	s := string(append(append(make([]byte, 0, 2*len(value)), value...), mask...))
	return SetField{Field: f, Value: Bytes(s[:len(value)]), Mask: Bytes(s[len(value):])}
}
