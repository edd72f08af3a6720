package openflow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
)

// matchInline is how many octets of OXM a Match holds without a heap allocation; IPv6 addresses both ways with
// ports, conntrack state, a register and metadata still fit.
const matchInline = 119

// Match is an ordered set of (field, value, mask). The zero Match matches every packet. It is a plain
// value: copying copies it, and two matches of the same fields are == whatever the order they were set in.
//
// It holds its fields as OXM in canonical order, the order in which Open vSwitch itself sends them, and in
// the form in which Open vSwitch sends them over OpenFlow 1.3: xreg and xxreg become registers, vlan_tci becomes
// vlan_vid and vlan_pcp (unless only part of the priority is matched), nw_tos becomes ip_dscp, in_port becomes
// in_port_oxm. Unknown OXMs are kept raw, at the end.
type Match struct {
	n    uint8 // octets used of inl
	inl  [matchInline]byte
	long string // all of it, when it does not fit in inl; then n is 0
}

// FieldMatch is one field of a Match. Value and Mask are big-endian; Mask is nil for an exact match. For an
// OXM that is not known, Field is nil and Value is the whole OXM.
type FieldMatch struct {
	Field       *Field
	Value, Mask []byte
}

// tlv is one OXM of a buffer.
type tlv struct {
	f         *Field // nil: unknown
	val, mask []byte // payload; mask nil without one
	size      int    // octets in all
	exact     bool   // the header is the one this package writes
}

// nextTLV splits the first OXM off b. A known field with a wrong length is an error.
func nextTLV(b []byte) (t tlv, want string) {
	if len(b) < 4 {
		return t, "want an OXM header of 4 octets"
	}
	h := binary.BigEndian.Uint32(b)
	n := int(h & 0xff)
	t.size = 4 + n
	if t.size > len(b) {
		return t, fmt.Sprintf("OXM header %#08x wants %d octets, have %d", h, n, len(b)-4)
	}
	p := b[4:t.size:t.size]
	var exp uint32
	if h>>16 == classExp {
		if n < 4 {
			return t, "want an experimenter in an OXM of class 0xffff"
		}
		exp = binary.BigEndian.Uint32(p)
		p = p[4:]
	}
	f := lookup(h, exp)
	if f == nil {
		return t, ""
	}
	masked := h&0x100 != 0
	n = len(p)
	if masked {
		if n%2 != 0 {
			return t, fmt.Sprintf("%s with a mask has an odd length %d", f.Name, n)
		}
		n /= 2
	}
	if n != f.Len && !(f.VarLen() && n > 0 && n <= f.Len) {
		return t, fmt.Sprintf("%s has %d octets, want %d", f.Name, n, f.Len)
	}
	t.f, t.val = f, p[:n:n]
	if masked {
		t.mask = p[n:]
	}
	t.exact = h>>9 == f.Match.wire(0, false)>>9
	return t, ""
}

// raw returns the OXMs. It allocates only for a long match.
func (m *Match) raw() []byte {
	if m.long != "" {
		return []byte(m.long)
	}
	return m.inl[:m.n]
}

// splice replaces octets pos to pos+del by ins.
func (m *Match) splice(pos, del int, ins []byte) {
	cur := m.raw()
	n := len(cur) - del + len(ins)
	if m.long == "" && n <= matchInline {
		copy(m.inl[pos+len(ins):], cur[pos+del:])
		copy(m.inl[pos:], ins)
		if n < len(cur) {
			clear(m.inl[n:len(cur)])
		}
		m.n = uint8(n)
		return
	}
	nb := make([]byte, 0, n)
	nb = append(append(append(nb, cur[:pos]...), ins...), cur[pos+del:]...)
	m.setRaw(nb)
}

// setRaw makes b, which is canonical, the whole match.
func (m *Match) setRaw(b []byte) {
	*m = Match{}
	if len(b) <= matchInline {
		m.n = uint8(copy(m.inl[:], b))
	} else {
		m.long = string(b)
	}
}

// find returns the OXM of f and its position, or where it would go.
func (m *Match) find(f *Field) (t tlv, pos int, ok bool) {
	b := m.raw()
	for pos < len(b) {
		t, _ = nextTLV(b[pos:])
		if t.f == f {
			return t, pos, true
		}
		if t.f == nil || t.f.ID > f.ID {
			break
		}
		pos += t.size
	}
	return tlv{}, pos, false
}

// Set matches f exactly. value is big-endian and has exactly f.Len octets (1 to f.Len for tun_metadataN); any
// other length is a programming error and panics. The value is copied.
func (m *Match) Set(f *Field, value []byte) { m.set(f, value, nil) }

// SetMasked matches those bits of f that are 1 in mask. A mask of all ones is an exact match, a mask of all
// zeros removes the field. Lengths as in Set.
func (m *Match) SetMasked(f *Field, value, mask []byte) {
	if len(mask) != len(value) {
		panic(fmt.Sprintf("openflow: %s: value of %d and mask of %d octets", f.Name, len(value), len(mask)))
	}
	m.set(f, value, mask)
}

func (m *Match) set(f *Field, value, mask []byte) {
	if len(value) != f.Len && !(f.VarLen() && len(value) > 0 && len(value) <= f.Len) {
		panic(fmt.Sprintf("openflow: %s has %d octets, not %d", f.Name, f.Len, len(value)))
	}
	if f.alias != aliasNone && m.setAlias(f, value, mask) {
		return
	}
	if f == CTState && (mask == nil || beUint(mask) == 0xffffffff) && beUint(value) < 0x100 {
		mask = ctStateFull[:] // Open vSwitch keeps 8 bits of it, and says so when it sends an exact match
	}
	var buf [8 + 2*124]byte
	n := len(value)
	v, k := buf[8:8+n], buf[8+n:8+2*n]
	copy(v, value)
	masked := false
	if mask != nil {
		zero := true
		for i := range mask {
			k[i] = mask[i]
			v[i] &= mask[i]
			masked = masked || mask[i] != 0xff
			zero = zero && mask[i] == 0
		}
		if zero {
			m.Delete(f)
			return
		}
		// Open vSwitch sends these without a mask when all their bits are matched.
		if f == VLANVID || f == IPFrag || f == NSHSPI {
			full := f.fullMask(n)
			if f == VLANVID {
				full[0] |= 0x10
			}
			all := true
			for i := range n {
				all = all && k[i]&full[i] == full[i]
			}
			masked = masked && !all
		}
	}
	start := 8 - f.Match.size()
	end := 8 + n
	plen := n
	if masked {
		end, plen = end+n, 2*n
	}
	f.Match.appendTo(buf[start:start], plen, masked)
	_, pos, ok := m.find(f)
	del := 0
	if ok {
		t, _, _ := m.find(f)
		del = t.size
	}
	m.splice(pos, del, buf[start:end])
}

var ctStateFull = [4]byte{3: 0xff}

// setAlias keeps a field that is another view of others; false means that it must be kept as it is.
func (m *Match) setAlias(f *Field, v, k []byte) bool {
	switch f.alias {
	case aliasPort16:
		m.SetUint(InPort, uint64(portFrom16(binary.BigEndian.Uint16(v))))
	case aliasTOS:
		m.SetUint(IPDSCP, uint64(v[0]>>2))
	case aliasXReg, aliasXXReg:
		n := f.Len / 4
		first := n * int(f.ID-xregs[0].ID)
		if f.alias == aliasXXReg {
			first = n * int(f.ID-xxregs[0].ID)
		}
		for i := range n {
			part := []byte(nil)
			if k != nil {
				part = k[4*i : 4*i+4]
			}
			m.set(regs[first+i], v[4*i:4*i+4], part)
		}
	case aliasTCI:
		tci, mask := binary.BigEndian.Uint16(v), uint16(0xffff)
		if k != nil {
			mask = binary.BigEndian.Uint16(k)
		}
		m.Delete(VLANVID)
		m.Delete(VLANPCP)
		if _, pos, ok := m.find(f); ok {
			t, _, _ := m.find(f)
			m.splice(pos, t.size, nil)
		}
		tci &= mask
		pcp := mask >> 13
		switch {
		case pcp == 0, tci == 0 && mask == 0xffff:
		case pcp == 7 && tci&0x1000 != 0:
			m.SetUint(VLANPCP, uint64(tci>>13))
		default:
			return false
		}
		m.SetUintMasked(VLANVID, uint64(tci&0x1fff), uint64(mask&0x1fff))
	}
	return true
}

// SetUint matches f, of at most 8 octets, exactly.
func (m *Match) SetUint(f *Field, v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	m.set(f, b[8-shortLen(f):], nil)
}

// SetUintMasked matches the bits of f, of at most 8 octets, that are 1 in mask. As in SetMasked, the mask
// that covers all octets of f is an exact match, mask 0 removes the field.
func (m *Match) SetUintMasked(f *Field, v, mask uint64) {
	var b, k [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	binary.BigEndian.PutUint64(k[:], mask)
	n := 8 - shortLen(f)
	m.set(f, b[n:], k[n:])
}

// shortLen is f.Len of a field that fits in a uint64.
func shortLen(f *Field) int {
	if f.Len > 8 {
		panic("openflow: " + f.Name + " has more than 8 octets")
	}
	return f.Len
}

// SetMAC matches an Ethernet address.
func (m *Match) SetMAC(f *Field, a [6]byte) { m.set(f, a[:], nil) }

// SetAddr matches an IPv4 or IPv6 address; the family must be that of f.
func (m *Match) SetAddr(f *Field, a netip.Addr) {
	if a4 := a.Unmap(); f.Len == 4 && a4.Is4() {
		v := a4.As4()
		m.set(f, v[:], nil)
		return
	}
	v := a.As16()
	m.set(f, v[:], nil)
}

// SetPrefix matches an IPv4 or IPv6 prefix; the family must be that of f. Length 0 removes the field.
func (m *Match) SetPrefix(f *Field, p netip.Prefix) {
	var k [16]byte
	for i := range p.Bits() {
		k[i/8] |= 0x80 >> (i % 8)
	}
	if p.Addr().Is4() {
		v := p.Addr().As4()
		m.set(f, v[:], k[:4])
		return
	}
	v := p.Addr().As16()
	m.set(f, v[:], k[:])
}

// Get returns the value and mask of f, big-endian; mask is nil for an exact match. The slices are read-only
// and valid until the match changes. For xreg, xxreg, vlan_tci, nw_tos and in_port it says what the
// fields that they are views of hold, with a mask unless all of it is matched.
func (m *Match) Get(f *Field) (value, mask []byte, ok bool) {
	if t, _, found := m.find(f); found {
		return t.val, t.mask, true
	}
	if f.alias == aliasNone {
		return nil, nil, false
	}
	var v, k []byte
	view := func(g *Field, n int) {
		gv, gk, found := m.Get(g)
		switch {
		case !found:
			gv, gk = make([]byte, n), make([]byte, n)
		case gk == nil:
			gk = bytes.Repeat([]byte{0xff}, n)
		}
		v, k = append(v, gv...), append(k, gk...)
	}
	switch f.alias {
	case aliasPort16:
		if p, _, found := m.GetUint(InPort); found {
			return binary.BigEndian.AppendUint16(nil, Port(p).to16()), nil, true
		}
		return nil, nil, false
	case aliasTOS:
		if p, _, found := m.GetUint(IPDSCP); found {
			return []byte{byte(p << 2)}, nil, true
		}
		return nil, nil, false
	case aliasTCI:
		vid, vm, ok1 := m.GetUint(VLANVID)
		pcp, _, ok2 := m.GetUint(VLANPCP)
		if !ok1 && !ok2 {
			return nil, nil, false
		}
		vm &= 0x1fff
		if ok2 {
			vid, vm = vid|pcp<<13, vm|0xe000
		}
		v, k = binary.BigEndian.AppendUint16(v, uint16(vid)), binary.BigEndian.AppendUint16(k, uint16(vm))
	case aliasXReg:
		for i := range 2 {
			view(regs[2*int(f.ID-xregs[0].ID)+i], 4)
		}
	case aliasXXReg:
		for i := range 4 {
			view(regs[4*int(f.ID-xxregs[0].ID)+i], 4)
		}
	}
	zero, ones := true, true
	for _, c := range k {
		zero, ones = zero && c == 0, ones && c == 0xff
	}
	if ones {
		k = nil
	}
	return v, k, !zero
}

// GetUint returns value and mask of a field of at most 8 octets; the mask of an exact match is all ones in
// those octets.
func (m *Match) GetUint(f *Field) (v, mask uint64, ok bool) {
	n := shortLen(f)
	vb, kb, ok := m.Get(f)
	if !ok {
		return 0, 0, false
	}
	mask = ^uint64(0) >> (64 - 8*n)
	if kb != nil {
		mask = beUint(kb)
	}
	return beUint(vb), mask, true
}

// beUint is the number that at most 8 big-endian octets hold.
func beUint(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// Delete removes f; it need not be there.
func (m *Match) Delete(f *Field) {
	switch f.alias {
	case aliasNone:
		if t, pos, ok := m.find(f); ok {
			m.splice(pos, t.size, nil)
		}
	case aliasPort16:
		m.Delete(InPort)
	case aliasTOS:
		m.Delete(IPDSCP)
	case aliasTCI:
		m.setAlias(f, []byte{0, 0}, []byte{0, 0})
	default:
		m.setAlias(f, make([]byte, f.Len), make([]byte, f.Len))
	}
}

// Len returns the number of fields, unknown ones included.
func (m *Match) Len() (n int) {
	for range m.All() {
		n++
	}
	return n
}

// All yields the fields in canonical order. Values and masks are read-only and valid until the match changes.
func (m *Match) All() iter.Seq[FieldMatch] {
	return func(yield func(FieldMatch) bool) {
		for b := m.raw(); len(b) > 0; {
			t, _ := nextTLV(b)
			fm := FieldMatch{t.f, t.val, t.mask}
			if t.f == nil {
				fm.Value = b[:t.size]
			}
			if !yield(fm) {
				return
			}
			b = b[t.size:]
		}
	}
}

// AppendOXM appends the fields as OXM in canonical order, without header or padding. The result is
// the same for equal matches, and so serves as their key.
func (m *Match) AppendOXM(b []byte) []byte {
	if m.long != "" {
		return append(b, m.long...)
	}
	return append(b, m.inl[:m.n]...)
}

// sizeOXM is the number of octets that AppendOXM appends.
func (m *Match) sizeOXM() int {
	if m.long != "" {
		return len(m.long)
	}
	return int(m.n)
}

// AppendTo appends struct ofp_match of type OFPMT_OXM, padded to a multiple of 8 octets.
func (m *Match) AppendTo(b []byte) []byte {
	n := 4 + m.sizeOXM()
	b = append(b, 0, 1, byte(n>>8), byte(n))
	b = m.AppendOXM(b)
	return appendZeros(b, pad8(n)-n)
}

// DecodeOXM decodes OXMs without header or padding. OXMs that are not known are kept; known ones may be in
// any order and under any of their headers (NXM or OXM). A known field of a wrong length, or one that
// occurs twice, is an error.
func DecodeOXM(b []byte) (Match, error) {
	r := newReader("match", b)
	return decodeOXM(&r)
}

// decodeOXM decodes all that is left of r.
func decodeOXM(r *reader) (m Match, err error) {
	b := r.b[r.off:]
	// First look whether it is canonical already, as all that Open vSwitch sends is: then one copy is enough.
	canonical, last := true, -1
	for off := 0; off < len(b); {
		t, want := nextTLV(b[off:])
		if want != "" {
			r.off += off
			r.fail("%s", want)
			return Match{}, r.err
		}
		off += t.size
		id := 256
		if t.f != nil {
			id = int(t.f.ID)
			canonical = canonical && t.exact && t.f.alias == aliasNone && id > last && canonicalMask(t)
		}
		canonical = canonical && id >= last
		last = id
	}
	if canonical {
		m.setRaw(b)
		return m, nil
	}
	for off := 0; off < len(b); {
		t, _ := nextTLV(b[off:])
		if t.f == nil {
			m.splice(m.sizeOXM(), 0, b[off:off+t.size])
		} else if _, _, dup := m.find(t.f); dup {
			r.off += off
			r.fail("%s occurs twice", t.f.Name)
			return Match{}, r.err
		} else {
			m.set(t.f, t.val, t.mask)
		}
		off += t.size
	}
	return m, nil
}

// canonicalMask reports whether set would write value and mask as they are.
func canonicalMask(t tlv) bool {
	if t.mask == nil {
		return t.f != CTState
	}
	if t.f == VLANVID || t.f == IPFrag || t.f == NSHSPI {
		return false // rare enough for the long way
	}
	zero, ones := true, true
	for i, k := range t.mask {
		if t.val[i]&^k != 0 {
			return false
		}
		zero, ones = zero && k == 0, ones && k == 0xff
	}
	return !zero && !ones
}

// DecodeMatch decodes struct ofp_match; n is the number of octets that it takes with its padding.
func DecodeMatch(b []byte) (m Match, n int, err error) {
	r := newReader("match", b)
	m = decodeMatch(&r)
	return m, r.off, r.err
}

// decodeMatch decodes struct ofp_match and its padding from r.
func decodeMatch(r *reader) (m Match) {
	typ, n := r.u16(), int(r.u16())
	switch {
	case r.err != nil:
		return
	case typ != 1:
		r.fail("match type %d, want 1 (OXM)", typ)
		return
	case n < 4:
		r.fail("match length %d, want at least 4", n)
		return
	}
	s := r.sub(n - 4)
	if s.err != nil {
		return
	}
	m, err := decodeOXM(&s)
	if r.adopt(err); err != nil {
		return
	}
	r.skip(pad8(n) - n)
	return m
}
