package openflow

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// MultipartType is the type of a multipart request and its reply (enum ofp_multipart_type).
type MultipartType uint32

// Multipart types.
const (
	MultipartDesc          MultipartType = 0
	MultipartFlow          MultipartType = 1
	MultipartAggregate     MultipartType = 2
	MultipartTable         MultipartType = 3
	MultipartPortStats     MultipartType = 4
	MultipartQueue         MultipartType = 5
	MultipartGroup         MultipartType = 6
	MultipartGroupDesc     MultipartType = 7
	MultipartGroupFeatures MultipartType = 8
	MultipartMeter         MultipartType = 9
	MultipartMeterConfig   MultipartType = 10
	MultipartMeterFeatures MultipartType = 11
	MultipartTableFeatures MultipartType = 12
	MultipartPortDesc      MultipartType = 13
	MultipartExperimenter  MultipartType = 0xffff
	// MultipartFlowMonitor is ONF extension 187 of OpenFlow 1.3: on the wire an experimenter multipart with
	// experimenter 0x4f4e4600 and type 1870. The number here is none that a wire could carry.
	MultipartFlowMonitor MultipartType = 1870<<16 | 0xffff
)

const (
	multipartLen    = 16 // header, type, flags, padding
	flagMore        = 1  // OFPMPF_REQ_MORE, OFPMPF_REPLY_MORE
	flowMonitorType = 1870
)

// layout says how the body of a reply is divided into entries: all of them fixed octets long, or each with its length
// in 16 bits at octet lenAt and at least min of them. one means that there is exactly one entry.
type layout struct {
	name       string
	fixed      int
	lenAt, min int
	one        bool
}

var layouts = map[MultipartType]layout{
	MultipartDesc:          {name: "DESC", fixed: 1056, one: true},
	MultipartFlow:          {name: "FLOW", min: 56},
	MultipartAggregate:     {name: "AGGREGATE", fixed: 24, one: true},
	MultipartTable:         {name: "TABLE", fixed: 24},
	MultipartPortStats:     {name: "PORT", fixed: 112},
	MultipartQueue:         {name: "QUEUE", fixed: 40},
	MultipartGroup:         {name: "GROUP", min: 40},
	MultipartGroupDesc:     {name: "GROUP_DESC", min: 8},
	MultipartGroupFeatures: {name: "GROUP_FEATURES", fixed: 40, one: true},
	MultipartMeter:         {name: "METER", lenAt: 4, min: 40},
	MultipartMeterConfig:   {name: "METER_CONFIG", min: 8},
	MultipartMeterFeatures: {name: "METER_FEATURES", fixed: 16, one: true},
	MultipartTableFeatures: {name: "TABLE_FEATURES", min: 64},
	MultipartPortDesc:      {name: "PORT_DESC", fixed: portDescLen},
	MultipartFlowMonitor:   {name: "FLOW_MONITOR", min: 8},
}

// name is the message's name as Open vSwitch prints it, without request or reply.
func (t MultipartType) name() string {
	switch l, ok := layouts[t]; {
	case t == MultipartFlowMonitor:
		return "ONFST_FLOW_MONITOR"
	case ok:
		return "OFPST_" + l.name
	}
	return fmt.Sprintf("OFPST_%d", uint32(t))
}

// next splits the first entry off b.
func (l *layout) next(b []byte) (entry, rest []byte, want string) {
	n := l.fixed
	if n == 0 {
		if len(b) < l.min {
			return nil, nil, fmt.Sprintf("want an entry of at least %d octets, have %d", l.min, len(b))
		}
		if n = int(binary.BigEndian.Uint16(b[l.lenAt:])); n < l.min || n > len(b) {
			return nil, nil, fmt.Sprintf("want an entry length from %d to %d, not %d", l.min, len(b), n)
		}
	} else if len(b) < n {
		return nil, nil, fmt.Sprintf("want an entry of %d octets, have %d", n, len(b))
	}
	return b[:n:n], b[n:], ""
}

// MultipartReply is one OFPT_MULTIPART_REPLY as it came, or a whole reply put together from several. Its entries are
// decoded by the method for its type (Desc, Flows, Groups …); that they do not run over each other was checked.
type MultipartReply struct {
	Type    MultipartType
	More    bool   // more messages of this reply follow
	Exp     uint32 // experimenter and its type, for MultipartExperimenter
	ExpType uint32
	Parts   [][]byte // the entries, one element for each message
}

func decodeMultipartReply(r *reader) Message {
	m := &MultipartReply{Type: MultipartType(r.u16()), More: r.u16()&flagMore != 0}
	r.skip(4)
	if m.Type == MultipartExperimenter {
		m.Exp, m.ExpType = r.u32(), r.u32()
		if m.Exp == expONF && m.ExpType == flowMonitorType {
			m.Type, m.Exp, m.ExpType = MultipartFlowMonitor, 0, 0
		}
	}
	r.typ = m.Name()
	if r.err != nil {
		return m
	}
	l, known := layouts[m.Type]
	body := r.b[r.off:len(r.b):len(r.b)]
	if known && l.one && r.left() != l.fixed {
		r.fail("want exactly %d octets, have %d", l.fixed, r.left())
	}
	for known && r.left() > 0 {
		_, rest, want := l.next(r.b[r.off:])
		if want != "" {
			r.fail("%s", want)
		} else {
			r.off = len(r.b) - len(rest)
		}
	}
	m.Parts = [][]byte{body}
	return m
}

// Name is that of the type, e.g. OFPST_FLOW reply.
func (m *MultipartReply) Name() string { return m.Type.name() + " reply" }

func (m *MultipartReply) appendHeader(b []byte, more bool) []byte {
	var flags uint16
	if more {
		flags = flagMore
	}
	return appendMultipart(b, typeMultipartReply, m.Type, flags, m.Exp, m.ExpType)
}

func appendMultipart(b []byte, typ uint8, t MultipartType, flags uint16, exp, expType uint32) []byte {
	if t == MultipartFlowMonitor {
		t, exp, expType = MultipartExperimenter, expONF, flowMonitorType
	}
	b = append32(append16(append16(beginMsg(b, typ), uint16(t)), flags), 0)
	if t == MultipartExperimenter {
		b = append32(append32(b, exp), expType)
	}
	return b
}

// AppendTo appends one message for each part, all but the last marked that more follow; the last as m.More says.
func (m *MultipartReply) AppendTo(b []byte) []byte {
	parts := m.Parts
	if len(parts) == 0 {
		parts = [][]byte{nil}
	}
	for i, p := range parts {
		n := len(b)
		b = m.appendHeader(b, m.More || i < len(parts)-1)
		b = endMsg(append(b, p...), n)
	}
	return b
}

// Entry is one entry of a multipart reply, such as a *PortDesc.
type Entry interface{ AppendTo(b []byte) []byte }

// NewMultipartReply makes a reply of entries, as a switch would send it: in parts that fit in messages. An entry that
// is too long makes Encode fail.
func NewMultipartReply(t MultipartType, entries ...Entry) *MultipartReply {
	m := &MultipartReply{Type: t}
	var part []byte
	for _, e := range entries {
		n := len(part)
		part = e.AppendTo(part)
		if len(part) > MaxMessage-multipartLen-8 && n > 0 {
			m.Parts = append(m.Parts, part[:n:n])
			part = append([]byte(nil), part[n:]...)
		}
	}
	m.Parts = append(m.Parts, part)
	return m
}

// String is the name and what the entries say, as ovs-ofctl prints them; at most 100 of them.
func (m *MultipartReply) String() string {
	b := append([]byte(m.Name()), ':')
	if m.More {
		b = append(b, " (more)"...)
	}
	n := 0
	for e, err := range m.Entries() {
		if n++; n > 100 {
			return string(append(b, "\n …"...))
		}
		switch s, ok := e.(fmt.Stringer); {
		case err != nil:
			b = fmt.Appendf(b, "\n (%v)", err)
		case ok:
			b = append(b, '\n')
			if m.Type == MultipartMeterConfig && n > 1 { // as dump-meters separates them
				b = append(b, '\n')
			}
			if m.Type != MultipartMeter && m.Type != MultipartMeterConfig { // Open vSwitch begins these lines without a space
				b = append(b, ' ')
			}
			b = append(b, s.String()...)
		}
	}
	return string(b)
}

// EntryError says that one entry of a reply could not be decoded. The others can.
type EntryError struct {
	Raw []byte // the entry as it came
	Err error
}

// Error is the reason and the entry's length.
func (e *EntryError) Error() string {
	return fmt.Sprintf("%v (entry of %d octets kept raw)", e.Err, len(e.Raw))
}

// Unwrap returns the reason, a *DecodeError.
func (e *EntryError) Unwrap() error { return e.Err }

// decoder is an entry that can read itself.
type decoder[T any] interface {
	*T
	decode(r *reader)
}

// rawEntries yields the entries of a reply of type t undecoded; a reply of another type is an error.
func (m *MultipartReply) rawEntries(t MultipartType) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		l, ok := layouts[t]
		if m.Type != t || !ok {
			yield(nil, fmt.Errorf("openflow: %s holds no %s entries", m.Name(), t.name()))
			return
		}
		for _, p := range m.Parts {
			for off := 0; off < len(p); {
				e, _, want := l.next(p[off:])
				if want != "" {
					yield(nil, &DecodeError{m.Name(), off, want})
					return
				}
				if !yield(e, nil) {
					return
				}
				off += len(e)
			}
		}
	}
}

// each decodes the entries one by one. An entry that cannot be decoded yields what was decoded so far and an *EntryError,
// and the next follows. The *T is reused: valid until the next step, copy it to keep it.
func each[T any, P decoder[T]](m *MultipartReply, t MultipartType) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		var v, zero T
		var r reader // one for all: it escapes
		name := m.Type.name() + " entry"
		for raw, err := range m.rawEntries(t) {
			if err != nil {
				yield(nil, err)
				return
			}
			v = zero
			r = newReader(name, raw)
			if P(&v).decode(&r); r.err != nil {
				err = &EntryError{raw, r.err}
			}
			if !yield(&v, err) {
				return
			}
		}
	}
}

// one decodes the only entry.
func one[T any, P decoder[T]](m *MultipartReply, t MultipartType) (v T, err error) {
	n := 0
	for e, err := range each[T, P](m, t) {
		if err != nil {
			return v, err
		}
		v = *e
		n++
	}
	if n != 1 {
		return v, fmt.Errorf("openflow: %s has %d entries, want 1", m.Name(), n)
	}
	return v, nil
}

// Entries decodes the entries of a reply of any type that is known: *Flow, *GroupDesc, *PortDesc … Each is valid until
// the next step. Errors as in Flows. A reply that is not known has no entries.
func (m *MultipartReply) Entries() iter.Seq2[Entry, error] {
	switch m.Type {
	case MultipartDesc:
		return asEntries[SwitchDesc](m)
	case MultipartFlow:
		return func(yield func(Entry, error) bool) {
			for f, err := range m.Flows() {
				if !yield((*FlowEntry)(f), err) {
					return
				}
			}
		}
	case MultipartAggregate:
		return asEntries[Aggregate](m)
	case MultipartTable:
		return asEntries[TableStats](m)
	case MultipartPortStats:
		return asEntries[PortStats](m)
	case MultipartQueue:
		return asEntries[QueueStats](m)
	case MultipartGroup:
		return asEntries[GroupStats](m)
	case MultipartGroupDesc:
		return asEntries[GroupDesc](m)
	case MultipartGroupFeatures:
		return asEntries[GroupFeatures](m)
	case MultipartMeter:
		return asEntries[MeterStats](m)
	case MultipartMeterConfig:
		return asEntries[MeterConfig](m)
	case MultipartMeterFeatures:
		return asEntries[MeterFeatures](m)
	case MultipartTableFeatures:
		return asEntries[TableFeatures](m)
	case MultipartPortDesc:
		return asEntries[PortDesc](m)
	case MultipartFlowMonitor:
		return asEntries[FlowUpdate](m)
	}
	return func(func(Entry, error) bool) {}
}

func asEntries[T any, P interface {
	decoder[T]
	Entry
}](m *MultipartReply) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range each[T, P](m, m.Type) {
			if !yield(P(e), err) {
				return
			}
		}
	}
}
