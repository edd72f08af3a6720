package openflow

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Output sends the packet to a port. MaxLen, in octets, is used with PortController only: how much of the
// packet is sent; 0xffff is all of it.
type Output struct {
	Port   Port
	MaxLen uint16
}

// OutputField outputs to the port whose number is in a field (NXAST_OUTPUT_REG).
type OutputField struct {
	Src    Subfield
	MaxLen uint16 // as in Output; ovs-ofctl sends 0xffff
}

// OutputTrunc outputs at most MaxLen octets of the packet to a port (NXAST_OUTPUT_TRUNC).
type OutputTrunc struct {
	Port   Port
	MaxLen uint32 // at least 14
}

// Group hands the packet to a group.
type Group struct{ ID uint32 }

// SetField sets a field, or, with a mask, some of its bits. It is made by SetUint, SetMAC, SetAddr, SetBytes. With
// a mask it goes as NXAST_REG_LOAD2, without as OFPAT_SET_FIELD.
type SetField struct {
	Field       *Field
	Value, Mask Bytes // Mask is empty for the whole field
}

// Load sets the bits Dst to Value (NXAST_REG_LOAD).
type Load struct {
	Dst   Subfield
	Value uint64
}

// Move copies bits (NXAST_REG_MOVE); both subfields have the same N.
type Move struct{ Src, Dst Subfield }

// Push puts bits on the stack (NXAST_STACK_PUSH).
type Push struct{ Src Subfield }

// Pop takes bits from the stack (NXAST_STACK_POP).
type Pop struct{ Dst Subfield }

// PushVLAN adds a VLAN tag of a type, 0x8100 or 0x88a8.
type PushVLAN struct{ EthType uint16 }

// PopVLAN removes the outermost VLAN tag.
type PopVLAN struct{}

// PushMPLS adds an MPLS label, EthType 0x8847 or 0x8848.
type PushMPLS struct{ EthType uint16 }

// PopMPLS removes the outermost MPLS label; EthType is that of what is inside.
type PopMPLS struct{ EthType uint16 }

// SetMPLSTTL sets the TTL of the outermost MPLS label.
type SetMPLSTTL struct{ TTL uint8 }

// DecMPLSTTL decrements the TTL of the outermost MPLS label.
type DecMPLSTTL struct{}

// SetTTL sets the IP TTL or hop limit.
type SetTTL struct{ TTL uint8 }

// DecTTL decrements the IP TTL or hop limit; when it expires the packet goes to the controllers.
type DecTTL struct{}

// DecTTLIDs is DecTTL that names the controllers by id (NXAST_DEC_TTL_CNT_IDS).
type DecTTLIDs struct{ IDs []uint16 }

// SetQueue sets the queue of later outputs.
type SetQueue struct{ Queue uint32 }

// PopQueue undoes SetQueue.
type PopQueue struct{}

// Exit ends the processing of the packet in this table and its callers.
type Exit struct{}

// Note carries bytes and does nothing. On the wire it is padded with zeros to 6 plus a multiple of 8 octets.
type Note struct{ Bytes string }

// DeleteField removes a tunnel metadata field.
type DeleteField struct{ Field *Field }

// DecNSHTTL decrements the TTL of the NSH header.
type DecNSHTTL struct{}

func decodeOutput(r *reader) Action {
	a := Output{Port(r.u32()), r.u16()}
	if a.Port != PortController {
		a.MaxLen = 0
	}
	return a
}

// AppendTo implements Action.
func (a Output) AppendTo(b []byte) []byte {
	b = append(b, 0, 0, 0, 16)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Port))
	return append(b, byte(a.MaxLen>>8), byte(a.MaxLen), 0, 0, 0, 0, 0, 0)
}

// AppendText implements Action.
func (a Output) AppendText(b []byte) []byte {
	switch {
	case a.Port == PortController:
		return strconv.AppendUint(append(b, "CONTROLLER:"...), uint64(a.MaxLen), 10)
	case a.Port < PortUnset:
		b = append(b, "output:"...)
	}
	return a.Port.AppendText(b)
}

func (a Output) check(*Match) error {
	if a.Port == 0 || a.Port == PortAny || a.Port == PortUnset {
		return fmt.Errorf("openflow: output to port %s is not possible", a.Port)
	}
	return nil
}

func decodeOutputField(r *reader) Action {
	on := r.u16()
	s := r.subfield(on)
	return OutputField{s, r.u16()}
}

func decodeOutputField2(r *reader) Action {
	on, n := r.u16(), r.u16()
	return OutputField{r.subfield(on), n}
}

// AppendTo implements Action.
func (a OutputField) AppendTo(b []byte) []byte {
	start := len(b)
	if a.Src.exp() {
		b = binary.BigEndian.AppendUint16(nxHeader(b, 32), a.Src.ofsNBits())
		b = binary.BigEndian.AppendUint16(b, a.MaxLen)
		return finish(a.Src.Field.appendHeader(b), start)
	}
	b = binary.BigEndian.AppendUint16(nxHeader(b, 15), a.Src.ofsNBits())
	b = a.Src.Field.appendHeader(b)
	b = binary.BigEndian.AppendUint16(b, a.MaxLen)
	return finish(appendZeros(b, 6), start)
}

// AppendText implements Action.
func (a OutputField) AppendText(b []byte) []byte {
	return a.Src.AppendText(append(b, "output:"...))
}
func (a OutputField) check(m *Match) error { return a.Src.checkIn(m, false) }

// AppendTo implements Action.
func (a OutputTrunc) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 39), a.Port.to16())
	return finish(binary.BigEndian.AppendUint32(b, a.MaxLen), start)
}

// AppendText implements Action.
func (a OutputTrunc) AppendText(b []byte) []byte {
	return fmt.Appendf(b, "output(port=%s,max_len=%d)", a.Port, a.MaxLen)
}

func (a OutputTrunc) check(*Match) error {
	if a.MaxLen < 14 {
		return fmt.Errorf("openflow: output with max_len=%d; the least is 14", a.MaxLen)
	}
	return nil
}

// AppendTo implements Action.
func (a Group) AppendTo(b []byte) []byte { return simple(b, atGroup, a.ID) }

// AppendText implements Action.
func (a Group) AppendText(b []byte) []byte {
	return strconv.AppendUint(append(b, "group:"...), uint64(a.ID), 10)
}
func (a Group) check(*Match) error { return nil }

// decodeSetField reads the OXM of OFPAT_SET_FIELD and NXAST_REG_LOAD2.
func decodeSetField(r *reader) Action {
	b := r.rest()
	t, want := nextTLV(b)
	if want != "" || t.f == nil {
		r.fail("want a known field: %s", want)
		return nil
	}
	return SetBytes(t.f, t.val, t.mask)
}

// AppendTo implements Action.
func (a SetField) AppendTo(b []byte) []byte {
	start := len(b)
	switch {
	case a.Mask != "":
		b = a.Field.Match.appendTo(nxHeader(b, 33), 2*len(a.Value), true)
	default:
		b = a.Field.Match.appendTo(ofHeader(b, atSetField), len(a.Value), false)
	}
	return finish(append(append(b, a.Value...), a.Mask...), start)
}

// AppendText implements Action.
func (a SetField) AppendText(b []byte) []byte {
	b = append(b, "set_field:"...)
	b = a.Field.appendValue(b, []byte(a.Value), []byte(a.Mask))
	b = append(b, "->"...)
	return append(b, a.Field.Name...)
}

func (a SetField) check(m *Match) error {
	f := a.Field
	switch {
	case !f.Writable:
		return fmt.Errorf("openflow: set_field: %s is read-only", f.Name)
	case len(a.Value) != f.Len && !f.VarLen() || a.Mask != "" && len(a.Mask) != len(a.Value):
		return fmt.Errorf("openflow: set_field: %s has %d octets, not %d", f.Name, f.Len, len(a.Value))
	case !f.Prereq.ok(m):
		return fmt.Errorf("openflow: set_field: %s needs %s", f.Name, f.Prereq)
	}
	if f == VLANVID && !NeedVLAN.ok(m) {
		return fmt.Errorf("openflow: set_field: %s needs %s", f.Name, NeedVLAN)
	}
	return f.fits([]byte(a.Value))
}

func decodeLoad(r *reader) Action {
	on := r.u16()
	s := r.subfield(on)
	a := Load{s, r.u64()}
	if r.err == nil && (s.exp() || s.Field.VarLen()) {
		return a.asSetField()
	}
	return a
}

// AppendTo implements Action.
func (a Load) AppendTo(b []byte) []byte {
	if f := a.Dst.Field; a.Dst.exp() || f.VarLen() {
		return a.asSetField().AppendTo(b)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 7), a.Dst.ofsNBits())
	b = a.Dst.Field.appendHeader(b)
	return finish(binary.BigEndian.AppendUint64(b, a.Value), start)
}

// asSetField is the load as a masked set_field, the form in which Open vSwitch sends a load of a field
// whose header does not fit in NXAST_REG_LOAD.
func (a Load) asSetField() SetField {
	n := a.Dst.Field.Len
	if a.Dst.Field.VarLen() {
		n = varLen((int(a.Dst.Ofs+a.Dst.N) + 7) / 8)
	}
	v, k := make([]byte, n), make([]byte, n)
	for i := range int(a.Dst.N) {
		at := int(a.Dst.Ofs) + i
		k[n-1-at/8] |= 1 << (at % 8)
		v[n-1-at/8] |= byte(a.Value>>i&1) << (at % 8)
	}
	return SetBytes(a.Dst.Field, v, k)
}

// varLen is the length of tun_metadataN that a value of n octets takes: Geneve options are multiples of 4.
func varLen(n int) int { return min(max(4, (n+3)&^3), 124) }

// AppendText implements Action.
func (a Load) AppendText(b []byte) []byte {
	b = appendHex(append(b, "load:"...), a.Value)
	return a.Dst.AppendText(append(b, "->"...))
}

func (a Load) check(m *Match) error {
	if err := a.Dst.checkIn(m, true); err != nil {
		return err
	}
	if a.Dst.N > 64 || a.Dst.N < 64 && a.Value>>a.Dst.N != 0 {
		return fmt.Errorf("openflow: load: %#x does not fit in %d bits of %s", a.Value, a.Dst.N, a.Dst.Field.Name)
	}
	return nil
}

func decodeMove(r *reader) Action {
	n, so, do := r.u16(), r.u16(), r.u16()
	sf, _, _ := r.header()
	df, _, _ := r.header()
	return Move{r.inField(Subfield{sf, so, n}), r.inField(Subfield{df, do, n})}
}

// AppendTo implements Action.
func (a Move) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 6), a.Src.N)
	b = binary.BigEndian.AppendUint16(b, a.Src.Ofs)
	b = binary.BigEndian.AppendUint16(b, a.Dst.Ofs)
	return finish(a.Dst.Field.appendHeader(a.Src.Field.appendHeader(b)), start)
}

// AppendText implements Action.
func (a Move) AppendText(b []byte) []byte {
	b = a.Src.AppendText(append(b, "move:"...))
	return a.Dst.AppendText(append(b, "->"...))
}

func (a Move) check(m *Match) error {
	if err := a.Src.checkIn(m, false); err != nil {
		return err
	}
	if a.Src.N != a.Dst.N {
		return fmt.Errorf("openflow: move: source has %d bits, destination %d", a.Src.N, a.Dst.N)
	}
	return a.Dst.checkIn(m, true)
}

// stack reads the subfield of a push or pop.
func (r *reader) stack() Subfield {
	ofs := r.u16()
	f, _, _ := r.header()
	return r.inField(Subfield{f, ofs, r.u16()})
}

// appendStack writes a push or pop.
func (s Subfield) appendStack(b []byte, subtype uint16) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, subtype), s.Ofs)
	b = binary.BigEndian.AppendUint16(s.Field.appendHeader(b), s.N)
	if len(b)-start < 24 {
		b = appendZeros(b, 24-(len(b)-start))
	}
	return finish(b, start)
}

// AppendTo implements Action.
func (a Push) AppendTo(b []byte) []byte { return a.Src.appendStack(b, 27) }

// AppendText implements Action.
func (a Push) AppendText(b []byte) []byte { return a.Src.AppendText(append(b, "push:"...)) }
func (a Push) check(m *Match) error       { return a.Src.checkIn(m, false) }

// AppendTo implements Action.
func (a Pop) AppendTo(b []byte) []byte { return a.Dst.appendStack(b, 28) }

// AppendText implements Action.
func (a Pop) AppendText(b []byte) []byte { return a.Dst.AppendText(append(b, "pop:"...)) }
func (a Pop) check(m *Match) error       { return a.Dst.checkIn(m, true) }

// checkIn is check with the prerequisites of the field in a flow's match.
func (s Subfield) checkIn(m *Match, write bool) error {
	if err := s.check(write); err != nil {
		return err
	}
	if !s.Field.Prereq.ok(m) {
		return fmt.Errorf("openflow: %s needs %s", s.Field.Name, s.Field.Prereq)
	}
	return nil
}

// AppendTo implements Action.
func (a PushVLAN) AppendTo(b []byte) []byte { return simple(b, atPushVLAN, uint32(a.EthType)<<16) }

// AppendText implements Action.
func (a PushVLAN) AppendText(b []byte) []byte { return fmt.Appendf(b, "push_vlan:%#04x", a.EthType) }

func (a PushVLAN) check(*Match) error {
	if a.EthType != 0x8100 && a.EthType != 0x88a8 {
		return fmt.Errorf("openflow: push_vlan of type %#04x; want 0x8100 or 0x88a8", a.EthType)
	}
	return nil
}

// AppendTo implements Action.
func (a PopVLAN) AppendTo(b []byte) []byte { return simple(b, atPopVLAN, 0) }

// AppendText implements Action.
func (a PopVLAN) AppendText(b []byte) []byte { return append(b, "pop_vlan"...) }
func (a PopVLAN) check(m *Match) error       { return need(m, "pop_vlan", NeedVLAN) }

// AppendTo implements Action.
func (a PushMPLS) AppendTo(b []byte) []byte { return simple(b, atPushMPLS, uint32(a.EthType)<<16) }

// AppendText implements Action.
func (a PushMPLS) AppendText(b []byte) []byte { return fmt.Appendf(b, "push_mpls:0x%04x", a.EthType) }

func (a PushMPLS) check(*Match) error {
	if a.EthType != 0x8847 && a.EthType != 0x8848 {
		return fmt.Errorf("openflow: push_mpls of type %#04x; want 0x8847 or 0x8848", a.EthType)
	}
	return nil
}

// AppendTo implements Action.
func (a PopMPLS) AppendTo(b []byte) []byte { return simple(b, atPopMPLS, uint32(a.EthType)<<16) }

// AppendText implements Action.
func (a PopMPLS) AppendText(b []byte) []byte { return fmt.Appendf(b, "pop_mpls:0x%04x", a.EthType) }
func (a PopMPLS) check(m *Match) error       { return need(m, "pop_mpls", NeedMPLS) }

// need checks a prerequisite of an action.
func need(m *Match, action string, p Prereq) error {
	if !p.ok(m) {
		return fmt.Errorf("openflow: %s needs %s", action, p)
	}
	return nil
}

// AppendTo implements Action.
func (a SetMPLSTTL) AppendTo(b []byte) []byte { return simple(b, atSetMPLSTTL, uint32(a.TTL)<<24) }

// AppendText implements Action.
func (a SetMPLSTTL) AppendText(b []byte) []byte { return fmt.Appendf(b, "set_mpls_ttl(%d)", a.TTL) }
func (a SetMPLSTTL) check(m *Match) error       { return need(m, "set_mpls_ttl", NeedMPLS) }

// AppendTo implements Action.
func (a DecMPLSTTL) AppendTo(b []byte) []byte { return simple(b, atDecMPLSTTL, 0) }

// AppendText implements Action.
func (a DecMPLSTTL) AppendText(b []byte) []byte { return append(b, "dec_mpls_ttl"...) }
func (a DecMPLSTTL) check(m *Match) error       { return need(m, "dec_mpls_ttl", NeedMPLS) }

// AppendTo implements Action.
func (a SetTTL) AppendTo(b []byte) []byte { return simple(b, atSetNWTTL, uint32(a.TTL)<<24) }

// AppendText implements Action.
func (a SetTTL) AppendText(b []byte) []byte { return fmt.Appendf(b, "mod_nw_ttl:%d", a.TTL) }
func (a SetTTL) check(m *Match) error       { return need(m, "mod_nw_ttl", NeedIP) }

// AppendTo implements Action.
func (a DecTTL) AppendTo(b []byte) []byte { return simple(b, atDecNWTTL, 0) }

// AppendText implements Action.
func (a DecTTL) AppendText(b []byte) []byte { return append(b, "dec_ttl"...) }
func (a DecTTL) check(m *Match) error       { return need(m, "dec_ttl", NeedIP) }

func decodeDecTTLIDs(r *reader) Action {
	n := int(r.u16())
	r.skip(4)
	ids := r.u16s(n)
	return DecTTLIDs{ids}
}

// u16s reads n 16-bit numbers.
func (r *reader) u16s(n int) []uint16 {
	p := r.take(2 * n)
	if len(p) == 0 {
		return nil
	}
	v := make([]uint16, n)
	for i := range v {
		v[i] = binary.BigEndian.Uint16(p[2*i:])
	}
	return v
}

// AppendTo implements Action.
func (a DecTTLIDs) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 21), uint16(len(a.IDs)))
	b = appendZeros(b, 4)
	for _, id := range a.IDs {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a DecTTLIDs) AppendText(b []byte) []byte {
	b = append(b, "dec_ttl("...)
	for i, id := range a.IDs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(id), 10)
	}
	return append(b, ')')
}
func (a DecTTLIDs) check(m *Match) error { return need(m, "dec_ttl", NeedIP) }

// AppendTo implements Action.
func (a SetQueue) AppendTo(b []byte) []byte { return simple(b, atSetQueue, a.Queue) }

// AppendText implements Action.
func (a SetQueue) AppendText(b []byte) []byte { return fmt.Appendf(b, "set_queue:%d", a.Queue) }
func (a SetQueue) check(*Match) error         { return nil }

// nxPlain appends a Nicira action without arguments.
func nxPlain(b []byte, subtype uint16) []byte { return finish(nxHeader(b, subtype), len(b)) }

// AppendTo implements Action.
func (a PopQueue) AppendTo(b []byte) []byte { return nxPlain(b, 5) }

// AppendText implements Action.
func (a PopQueue) AppendText(b []byte) []byte { return append(b, "pop_queue"...) }
func (a PopQueue) check(*Match) error         { return nil }

// AppendTo implements Action.
func (a Exit) AppendTo(b []byte) []byte { return nxPlain(b, 17) }

// AppendText implements Action.
func (a Exit) AppendText(b []byte) []byte { return append(b, "exit"...) }
func (a Exit) check(*Match) error         { return nil }

// AppendTo implements Action.
func (a Note) AppendTo(b []byte) []byte {
	return finish(append(nxHeader(b, 8), a.Bytes...), len(b))
}

// AppendText implements Action.
func (a Note) AppendText(b []byte) []byte {
	b = appendDots(append(b, "note:"...), a.Bytes)
	for n := len(a.Bytes); n%8 != 6; n++ {
		if n > 0 {
			b = append(b, '.')
		}
		b = append(b, "00"...)
	}
	return b
}
func (a Note) check(*Match) error { return nil }

// appendDots appends octets as hexadecimal pairs with dots between them.
func appendDots(b []byte, s string) []byte {
	for i := range len(s) {
		if i > 0 {
			b = append(b, '.')
		}
		b = fmt.Appendf(b, "%02x", s[i])
	}
	return b
}

func decodeDeleteField(r *reader) Action {
	f, _, _ := r.header()
	if f != nil && !f.VarLen() {
		r.fail("want a tun_metadata field")
	}
	return DeleteField{f}
}

// AppendTo implements Action.
func (a DeleteField) AppendTo(b []byte) []byte {
	start := len(b)
	b = a.Field.appendHeader(nxHeader(b, 50))
	for len(b) < start+24 { // Open vSwitch takes no other length
		b = append(b, 0)
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a DeleteField) AppendText(b []byte) []byte {
	return append(append(b, "delete_field:"...), a.Field.Name...)
}

func (a DeleteField) check(*Match) error {
	if a.Field == nil || !a.Field.VarLen() {
		return fmt.Errorf("openflow: delete_field takes a tun_metadata field only")
	}
	return nil
}

// AppendTo implements Action.
func (a DecNSHTTL) AppendTo(b []byte) []byte { return nxPlain(b, 48) }

// AppendText implements Action.
func (a DecNSHTTL) AppendText(b []byte) []byte { return append(b, "dec_nsh_ttl"...) }
func (a DecNSHTTL) check(m *Match) error       { return need(m, "dec_nsh_ttl", NeedNSH) }

// Encap adds a header; Props are its properties as on the wire (ofp-ed-props.h), each padded to 8 octets.
type Encap struct {
	HdrSize    uint16
	PacketType uint32 // namespace in the high, type in the low 16 bits
	Props      string
}

// Decap removes the outermost header; PacketType says what is inside, 0xfffe to find out.
type Decap struct{ PacketType uint32 }

func decodeEncap(r *reader) Action { return Encap{r.u16(), r.u32(), string(r.rest())} }

// AppendTo implements Action.
func (a Encap) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 46), a.HdrSize)
	b = binary.BigEndian.AppendUint32(b, a.PacketType)
	return finish(append(b, a.Props...), start)
}
func (a Encap) check(*Match) error { return nil }

// AppendTo implements Action.
func (a Decap) AppendTo(b []byte) []byte {
	start := len(b)
	b = append(nxHeader(b, 47), 0, 0)
	return finish(binary.BigEndian.AppendUint32(b, a.PacketType), start)
}

// AppendText implements Action.
func (a Decap) AppendText(b []byte) []byte {
	if a.PacketType == 0xfffe {
		return append(b, "decap()"...)
	}
	if a.PacketType == 0 {
		return append(b, "decap(packet_type(ns=0,type=0))"...)
	}
	return fmt.Appendf(b, "decap(packet_type(ns=%d,type=%#x))", a.PacketType>>16, a.PacketType&0xffff)
}
func (a Decap) check(*Match) error { return nil }
