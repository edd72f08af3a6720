package openflow

import (
	"encoding/binary"
	"fmt"
)

// Limits on what a peer may make the decoders do.
const (
	maxNesting = 16   // actions inside actions (clone, ct); Open vSwitch has no more than that in practice
	maxActions = 4096 // actions of one list; 64 kB hold no more than 8,192 of 8 octets
)

// Action is an action, or an instruction in the flat list that ovs-ofctl prints. The types are structs
// that are written as literals and compared with == where they hold no lists.
//
// Instructions (Meter, WriteMetadata, WriteActions, ClearActions, GotoTable, RawInstruction) belong in the list of a
// flow; in a plain list of actions a switch refuses them.
type Action interface {
	// AppendTo appends the wire form, a multiple of 8 octets, to b. It allocates only to grow b.
	AppendTo(b []byte) []byte
	// AppendText appends the text that ovs-ofctl prints.
	AppendText(b []byte) []byte
	// check reports what a switch would refuse; m is the match of the flow.
	check(m *Match) error
}

// Action types of OpenFlow 1.3 (section 7.2.5) and of the Nicira extensions (nicira-ext.h), the latter plus nxBase.
const (
	nxBase       = 1 << 16
	expNX        = 0x00002320
	atOutput     = 0
	atSetMPLSTTL = 15
	atDecMPLSTTL = 16
	atPushVLAN   = 17
	atPopVLAN    = 18
	atPushMPLS   = 19
	atPopMPLS    = 20
	atSetQueue   = 21
	atGroup      = 22
	atSetNWTTL   = 23
	atDecNWTTL   = 24
	atSetField   = 25
	atExp        = 0xffff
)

// actionSpec is one row of the table of actions.
type actionSpec struct {
	name   string // in text; empty if the type shares another row's name
	typ    uint32 // wire type, nxBase added to a Nicira subtype
	decode func(r *reader) Action
	parse  func(p *parser, arg string) Action // nil: the row of the same name parses
}

// rows are the table of actions. The reader given to decode stands after the action's header (type and
// length, or the 10 octets of a Nicira header) and ends with the action.
func actionRows() []actionSpec {
	return []actionSpec{
		{"output", atOutput, decodeOutput, parseOutput},
		{"", nxBase + 15, decodeOutputField, nil},
		{"", nxBase + 32, decodeOutputField2, nil},
		{"", nxBase + 39, func(r *reader) Action { return OutputTrunc{portFrom16(r.u16()), r.u32()} }, nil},
		{"group", atGroup, func(r *reader) Action { return Group{r.u32()} }, func(p *parser, a string) Action { return Group{uint32(p.uint(a, 32))} }},
		{"set_field", atSetField, decodeSetField, parseSetField},
		{"", nxBase + 33, decodeSetField, nil},
		{"load", nxBase + 7, decodeLoad, parseLoad},
		{"move", nxBase + 6, decodeMove, parseMove},
		{"push", nxBase + 27, func(r *reader) Action { return Push{r.stack()} }, func(p *parser, a string) Action { return Push{p.subfield(a)} }},
		{"pop", nxBase + 28, func(r *reader) Action { return Pop{r.stack()} }, func(p *parser, a string) Action { return Pop{p.subfield(a)} }},
		{"push_vlan", atPushVLAN, func(r *reader) Action { return PushVLAN{r.u16()} }, func(p *parser, a string) Action { return PushVLAN{uint16(p.uint(a, 16))} }},
		{"pop_vlan", atPopVLAN, func(r *reader) Action { return PopVLAN{} }, func(p *parser, a string) Action { return PopVLAN{} }},
		{"push_mpls", atPushMPLS, func(r *reader) Action { return PushMPLS{r.u16()} }, func(p *parser, a string) Action { return PushMPLS{uint16(p.uint(a, 16))} }},
		{"pop_mpls", atPopMPLS, func(r *reader) Action { return PopMPLS{r.u16()} }, func(p *parser, a string) Action { return PopMPLS{uint16(p.uint(a, 16))} }},
		{"set_mpls_ttl", atSetMPLSTTL, func(r *reader) Action { return SetMPLSTTL{r.u8()} }, func(p *parser, a string) Action { return SetMPLSTTL{uint8(p.uint(a, 8))} }},
		{"dec_mpls_ttl", atDecMPLSTTL, func(r *reader) Action { return DecMPLSTTL{} }, func(p *parser, a string) Action { return DecMPLSTTL{} }},
		{"mod_nw_ttl", atSetNWTTL, func(r *reader) Action { return SetTTL{r.u8()} }, func(p *parser, a string) Action { return SetTTL{uint8(p.uint(a, 8))} }},
		{"dec_ttl", atDecNWTTL, func(r *reader) Action { return DecTTL{} }, parseDecTTL},
		{"", nxBase + 21, decodeDecTTLIDs, nil},
		{"set_queue", atSetQueue, func(r *reader) Action { return SetQueue{r.u32()} }, func(p *parser, a string) Action { return SetQueue{uint32(p.uint(a, 32))} }},
		{"pop_queue", nxBase + 5, func(r *reader) Action { return PopQueue{} }, func(p *parser, a string) Action { return PopQueue{} }},
		{"resubmit", nxBase + 14, decodeResubmit(14), parseResubmit},
		{"", nxBase + 1, decodeResubmit(1), nil},
		{"", nxBase + 44, decodeResubmit(44), nil},
		{"ct", nxBase + 35, decodeCT, parseCT},
		{"nat", nxBase + 36, decodeNAT, parseNAT},
		{"ct_clear", nxBase + 43, func(r *reader) Action { return CTClear{} }, func(p *parser, a string) Action { return CTClear{} }},
		{"learn", nxBase + 16, decodeLearn(false), parseLearn},
		{"", nxBase + 45, decodeLearn(true), nil},
		{"conjunction", nxBase + 34, decodeConjunction, parseConjunction},
		{"controller", nxBase + 20, decodeController, parseController},
		{"", nxBase + 37, decodeController2, nil},
		{"clone", nxBase + 42, decodeClone, parseClone},
		{"check_pkt_larger", nxBase + 49, decodeCheckPktLarger, parseCheckPktLarger},
		{"note", nxBase + 8, func(r *reader) Action { return Note{string(r.rest())} }, parseNote},
		{"exit", nxBase + 17, func(r *reader) Action { return Exit{} }, func(p *parser, a string) Action { return Exit{} }},
		{"multipath", nxBase + 10, decodeMultipath, parseMultipath},
		{"bundle", nxBase + 12, decodeBundle(false), parseBundle(false)},
		{"bundle_load", nxBase + 13, decodeBundle(true), parseBundle(true)},
		{"sample", nxBase + 29, decodeSample(29), parseSample},
		{"", nxBase + 38, decodeSample(38), nil},
		{"", nxBase + 41, decodeSample(41), nil},
		{"fin_timeout", nxBase + 19, func(r *reader) Action { return FinTimeout{r.u16(), r.u16()} }, parseFinTimeout},
		{"delete_field", nxBase + 50, decodeDeleteField, func(p *parser, a string) Action { return DeleteField{p.field(a)} }},
		{"encap", nxBase + 46, decodeEncap, parseEncap},
		{"decap", nxBase + 47, func(r *reader) Action { r.skip(2); return Decap{r.u32()} }, parseDecap},
		{"dec_nsh_ttl", nxBase + 48, func(r *reader) Action { return DecNSHTTL{} }, func(p *parser, a string) Action { return DecNSHTTL{} }},
	}
}

// specByType and specByName index the rows. Filled once, then read only.
var (
	specByType = map[uint32]*actionSpec{}
	specByName = map[string]*actionSpec{}
)

func init() {
	rows := actionRows()
	for i := range rows {
		s := &rows[i]
		specByType[s.typ] = s
		if s.name != "" {
			specByName[s.name] = s
		}
	}
}

// RawAction is an action that this package does not know, whole, with its header.
type RawAction struct{ Bytes string }

// AppendTo appends the bytes as they came.
func (a RawAction) AppendTo(b []byte) []byte { return append(b, a.Bytes...) }

// AppendText appends a form of our own, since ovs-ofctl prints none: raw(hex).
func (a RawAction) AppendText(b []byte) []byte { return fmt.Appendf(b, "raw(%x)", a.Bytes) }
func (a RawAction) check(*Match) error         { return nil }

// nxHeader appends the start of a Nicira action; finish sets its length.
func nxHeader(b []byte, subtype uint16) []byte {
	return append(b, 0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, byte(subtype>>8), byte(subtype))
}

// ofHeader appends the start of an OpenFlow action or instruction.
func ofHeader(b []byte, typ uint16) []byte { return append(b, byte(typ>>8), byte(typ), 0, 0) }

// finish pads what follows start to 8 octets and writes its length.
func finish(b []byte, start int) []byte {
	n := len(b) - start
	b = appendZeros(b, pad8(n)-n)
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// simple appends an 8-octet OpenFlow action with a 32-bit argument.
func simple(b []byte, typ uint16, arg uint32) []byte {
	return binary.BigEndian.AppendUint32(append(ofHeader(b, typ)[:len(b)+2], 0, 8), arg)
}

// AppendActions appends a plain list of actions, as in a packet-out, a bucket or an instruction.
func AppendActions(b []byte, acts []Action) []byte {
	for _, a := range acts {
		b = a.AppendTo(b)
	}
	return b
}

// DecodeActions decodes a plain list of actions. An action that is not known, or known but of a form that
// is not, becomes a RawAction; an error means that the list itself is broken.
func DecodeActions(b []byte) ([]Action, error) {
	r := newReader("actions", b)
	return decodeActions(&r, nil, 0), r.err
}

// decodeActions appends the actions that r holds to acts.
func decodeActions(r *reader, acts []Action, depth int) []Action {
	if depth > maxNesting {
		r.fail("actions are nested more than %d deep", maxNesting)
		return nil
	}
	if acts == nil && r.left() > 0 {
		acts = make([]Action, 0, countTLVs(r.b[r.off:]))
	}
	var s reader // one for all: it escapes into the decoders
	for r.left() > 0 {
		if len(acts) >= maxActions {
			r.fail("more than %d actions", maxActions)
			return nil
		}
		raw := r.b[r.off:]
		typ, n := uint32(r.u16()), int(r.u16())
		if r.err == nil && (n < 8 || n%8 != 0) {
			r.fail("action %d has length %d, want a multiple of 8", typ, n)
		}
		s = r.sub(n - 4)
		if r.err != nil {
			return nil
		}
		raw = raw[:n]
		s.depth = depth
		if typ == atExp {
			if s.u32() != expNX {
				acts = append(acts, RawAction{string(raw)})
				continue
			}
			typ = nxBase + uint32(s.u16())
		}
		spec := specByType[typ]
		if spec == nil || s.err != nil {
			acts = append(acts, RawAction{string(raw)})
			continue
		}
		a := spec.decode(&s)
		if s.err != nil {
			a = RawAction{string(raw)}
		}
		acts = append(acts, a)
	}
	return acts
}

// countTLVs counts the actions or instructions at the start of b, to size a slice; at most 32.
func countTLVs(b []byte) (n int) {
	for len(b) >= 8 && n < 32 {
		l := int(binary.BigEndian.Uint16(b[2:]))
		if l < 8 || l > len(b) {
			break
		}
		b = b[l:]
		n++
	}
	return n
}

// checkAll checks a list of actions inside another action.
func checkAll(m *Match, acts []Action) error {
	for _, a := range acts {
		if isInstruction(a) {
			return fmt.Errorf("openflow: %s is an instruction and cannot stand inside another action", a.AppendText(nil))
		}
		if err := a.check(m); err != nil {
			return err
		}
	}
	return nil
}
