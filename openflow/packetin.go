package openflow

import (
	"encoding/binary"
	"fmt"
)

// PacketInReason says why a packet was sent to the controller (enum ofp_packet_in_reason).
type PacketInReason uint8

// Reasons of packet-ins. The later ones are OpenFlow 1.4's; OpenFlow 1.3 connections see ReasonAction for them.
const (
	ReasonNoMatch PacketInReason = iota
	ReasonAction
	ReasonInvalidTTL
	ReasonActionSet
	ReasonGroup
	ReasonPacketOut
)

// String is the name that ovs-ofctl prints.
func (r PacketInReason) String() string {
	if int(r) < len(packetInReasons) {
		return packetInReasons[r]
	}
	return fmt.Sprintf("%d", uint8(r))
}

// PacketIn is OFPT_PACKET_IN (OpenFlow 1.3.5 section 7.4.1). The metadata is decoded when Match is called; slices alias
// the message.
type PacketIn struct {
	BufferID uint32 // NoBuffer: the switch does not keep it
	TotalLen uint16 // octets of the whole frame
	Reason   PacketInReason
	Table    uint8
	Cookie   uint64
	Metadata []byte // bare OXMs
	Data     []byte // the frame, or its start
}

func decodePacketIn(r *reader) Message {
	m := &PacketIn{BufferID: r.u32(), TotalLen: r.u16(), Reason: PacketInReason(r.u8()), Table: r.u8(), Cookie: r.u64()}
	typ, n := r.u16(), int(r.u16())
	if typ != 1 || n < 4 {
		r.failBack(4, "want an OXM match of at least 4 octets, not type %d with %d", typ, n)
	}
	m.Metadata = r.take(n - 4)
	r.skip(pad8(n) - n + 2)
	m.Data = r.rest()
	return m
}

// Name is OFPT_PACKET_IN.
func (m *PacketIn) Name() string { return "OFPT_PACKET_IN" }

// AppendTo appends the message.
func (m *PacketIn) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(append32(beginMsg(b, typePacketIn), m.BufferID), m.TotalLen)
	b = append64(append(b, byte(m.Reason), m.Table), m.Cookie)
	b = append(append16(append16(b, 1), uint16(4+len(m.Metadata))), m.Metadata...)
	b = appendZeros(b, pad8(4+len(m.Metadata))-4-len(m.Metadata)+2)
	return endMsg(append(b, m.Data...), n)
}

// Match decodes the metadata: in_port, registers, tunnel fields, as they were when the packet was sent.
func (m *PacketIn) Match() (Match, error) { return DecodeOXM(m.Metadata) }

// Field looks up one field of the metadata without decoding the rest: big-endian, aliasing the message.
func (m *PacketIn) Field(f *Field) (value []byte, ok bool) { return findOXM(m.Metadata, f) }

// String is what ovs-ofctl prints, without the frame's own fields.
func (m *PacketIn) String() string {
	return string(appendPacketIn(m.Name(), m.Table, m.Cookie, int(m.TotalLen), m.Metadata, m.Reason, len(m.Data), m.BufferID))
}

// PacketIn2 is NXT_PACKET_IN2 (nicira-ext.h, Open vSwitch 2.6). Ask for it with SetPacketInFormat. Slices alias the
// message; the metadata is decoded only by Match.
type PacketIn2 struct {
	Packet       []byte // the frame, or its start
	FullLen      uint32 // octets of the whole frame when Packet is cut, else 0
	BufferID     uint32 // NoBuffer when the switch does not keep the packet
	Table        uint8
	Cookie       uint64 // all ones when there is no flow
	Reason       PacketInReason
	Metadata     []byte // bare OXMs: in_port, registers, tunnel fields …
	UserData     []byte // of the controller action
	Continuation []byte // for Resume, with the 4 octets of padding that it starts with; nil when not paused
	Raw          []byte // properties that are not known, whole
}

// Property types (enum nx_packet_in2_prop_type).
const (
	pinPacket, pinFullLen, pinBufferID, pinTable, pinCookie = 0, 1, 2, 3, 4
	pinReason, pinMetadata, pinUserData, pinContinuation    = 5, 6, 7, 8
)

func decodePacketIn2Props(r *reader) PacketIn2 {
	m := PacketIn2{BufferID: NoBuffer, Cookie: ^uint64(0)}
	for r.left() > 0 && r.err == nil {
		p := nextProp(r)
		n := len(p.body)
		switch {
		case p.err != nil:
		case p.typ == pinPacket:
			m.Packet = p.body
		case p.typ == pinFullLen && n == 4:
			m.FullLen = beUint32(p.body)
		case p.typ == pinBufferID && n == 4:
			m.BufferID = beUint32(p.body)
		case p.typ == pinTable && n == 1:
			m.Table = p.body[0]
		case p.typ == pinCookie && n == 12: // 4 octets of padding first
			m.Cookie = binary.BigEndian.Uint64(p.body[4:])
		case p.typ == pinReason && n == 1:
			m.Reason = PacketInReason(p.body[0])
		case p.typ == pinMetadata:
			m.Metadata = p.body
		case p.typ == pinUserData:
			m.UserData = p.body
		case p.typ == pinContinuation:
			m.Continuation = p.body
		case p.typ > pinContinuation:
			m.Raw = append(m.Raw, p.whole...)
		default:
			r.failBack(len(p.whole), "a property of type %d cannot have %d octets", p.typ, n)
		}
	}
	return m
}

func (m *PacketIn2) appendProps(b []byte) []byte {
	var v [12]byte
	be := binary.BigEndian
	b = appendProp(b, pinPacket, m.Packet)
	if m.FullLen != 0 {
		be.PutUint32(v[:], m.FullLen)
		b = appendProp(b, pinFullLen, v[:4])
	}
	if m.BufferID != NoBuffer {
		be.PutUint32(v[:], m.BufferID)
		b = appendProp(b, pinBufferID, v[:4])
	}
	v[0] = m.Table
	b = appendProp(b, pinTable, v[:1])
	if m.Cookie != ^uint64(0) {
		clear(v[:4])
		be.PutUint64(v[4:], m.Cookie)
		b = appendProp(b, pinCookie, v[:])
	}
	v[0] = byte(m.Reason)
	b = appendProp(b, pinReason, v[:1])
	b = appendProp(b, pinMetadata, m.Metadata)
	if m.Continuation != nil {
		b = appendProp(b, pinContinuation, m.Continuation)
	}
	if m.UserData != nil {
		b = appendProp(b, pinUserData, m.UserData)
	}
	return append(b, m.Raw...)
}

// Name is NXT_PACKET_IN2.
func (m *PacketIn2) Name() string { return "NXT_PACKET_IN2" }

// AppendTo appends the message.
func (m *PacketIn2) AppendTo(b []byte) []byte {
	return endMsg(m.appendProps(beginExp(b, expNicira, 30)), len(b))
}

// Match decodes the metadata.
func (m *PacketIn2) Match() (Match, error) { return DecodeOXM(m.Metadata) }

// Field looks up one field of the metadata without decoding the rest: big-endian, aliasing the message. It does not
// see a register as a part of an xreg.
func (m *PacketIn2) Field(f *Field) (value []byte, ok bool) { return findOXM(m.Metadata, f) }

// FieldUint is Field as a number, for fields of at most 8 octets; 0 when the field is not there, which for
// metadata is what its absence means.
func (m *PacketIn2) FieldUint(f *Field) uint64 {
	if v, ok := findOXM(m.Metadata, f); ok && len(v) <= 8 {
		return beUint(v)
	}
	return 0
}

// findOXM walks over bare OXMs to the one of f.
func findOXM(b []byte, f *Field) ([]byte, bool) {
	for len(b) >= 4 {
		t, want := nextTLV(b)
		if want != "" {
			return nil, false
		}
		if t.f == f {
			return t.val, true
		}
		b = b[t.size:]
	}
	return nil, false
}

// String is what ovs-ofctl prints, without the continuation's and the frame's own fields.
func (m *PacketIn2) String() string { return m.text(m.Name()) }

func (m *PacketIn2) text(name string) string {
	total := int(m.FullLen)
	if total == 0 {
		total = len(m.Packet)
	}
	b := appendPacketIn(name, m.Table, m.Cookie, total, m.Metadata, m.Reason, len(m.Packet), m.BufferID)
	for i, c := range m.UserData {
		sep := "."
		if i == 0 {
			sep = "\n userdata="
		}
		b = fmt.Appendf(b, "%s%02x", sep, c)
	}
	return string(b)
}

func appendPacketIn(name string, table uint8, cookie uint64, total int, oxm []byte, reason PacketInReason, n int, buffer uint32) []byte {
	b := append([]byte(name), ':')
	if table != 0 {
		b = fmt.Appendf(b, " table_id=%d", table)
	}
	if cookie != ^uint64(0) {
		b = fmt.Appendf(b, " cookie=0x%x", cookie)
	}
	b = fmt.Appendf(b, " total_len=%d ", total)
	if m, err := DecodeOXM(oxm); err != nil {
		b = fmt.Appendf(b, "metadata=raw(%x)", oxm)
	} else {
		b = append(b, m.String()...)
	}
	b = fmt.Appendf(b, " (via %s)", reason)
	b = fmt.Appendf(b, " data_len=%d", n)
	switch {
	case buffer != NoBuffer:
		b = fmt.Appendf(b, " buffer=0x%08x", buffer)
	default:
		b = append(b, " (unbuffered)"...)
	}
	if total != n {
		b = append(b, " (***total_len != data_len***)"...)
	}
	return b
}

// Resume is NXT_RESUME: go on with a packet that a controller action with pause sent. It takes the PacketIn2 as it came,
// Packet and Metadata changed if need be. Send it once and promptly.
type Resume struct{ PacketIn2 }

// Name is NXT_RESUME.
func (m *Resume) Name() string { return "NXT_RESUME" }

// AppendTo appends the message.
func (m *Resume) AppendTo(b []byte) []byte {
	return endMsg(m.appendProps(beginExp(b, expNicira, 28)), len(b))
}

// String is what ovs-ofctl prints, as for PacketIn2.
func (m *Resume) String() string { return m.text(m.Name()) }

// PacketOut sends a packet into the switch (section 7.3.7).
type PacketOut struct {
	InPort   Port   // what in_port matches: a port, PortController or PortLocal
	BufferID uint32 // of a kept packet; Data is then empty. The zero value is taken as NoBuffer when there is Data
	Actions  []Action
	Data     []byte
}

func decodePacketOut(r *reader) Message {
	m := &PacketOut{BufferID: r.u32(), InPort: Port(r.u32())}
	n := int(r.u16())
	r.skip(6)
	in := r.sub(n)
	m.Actions = decodeActions(&in, nil, 0)
	r.adopt(in.err)
	m.Data = r.rest()
	return m
}

// Name is OFPT_PACKET_OUT.
func (m *PacketOut) Name() string { return "OFPT_PACKET_OUT" }

// AppendTo appends the message.
func (m *PacketOut) AppendTo(b []byte) []byte {
	n := len(b)
	id := m.BufferID
	if len(m.Data) > 0 {
		id = NoBuffer
	}
	b = append32(append32(beginMsg(b, typePacketOut), id), uint32(m.InPort))
	b = appendZeros(b, 8)
	start := len(b)
	b = AppendActions(b, m.Actions)
	put16(b[start-8:], len(b)-start)
	return endMsg(append(b, m.Data...), n)
}

// String is what ovs-ofctl prints, without the frame's own fields.
func (m *PacketOut) String() string {
	s := fmt.Sprintf("%s: in_port=%s actions=%s ", m.Name(), m.InPort, FormatActions(m.Actions))
	if len(m.Data) == 0 && m.BufferID != NoBuffer {
		return s + fmt.Sprintf("buffer=0x%08x", m.BufferID)
	}
	return s + fmt.Sprintf("data_len=%d", len(m.Data))
}
