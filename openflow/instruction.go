package openflow

import (
	"encoding/binary"
	"fmt"
)

// Meter passes the packet through a meter. It stands first.
type Meter struct{ ID uint32 }

// GotoTable goes on with a later table. It stands last.
type GotoTable struct{ Table uint8 }

// WriteMetadata sets the bits of metadata that are 1 in Mask. It stands after all but GotoTable.
type WriteMetadata struct{ Value, Mask uint64 }

// WriteActions puts actions in the action set. It stands after the actions and ClearActions.
type WriteActions struct{ Actions []Action }

// ClearActions empties the action set. It stands after the actions.
type ClearActions struct{}

// RawInstruction is an instruction that this package does not know, whole, with its header. It stands last.
type RawInstruction struct{ Bytes string }

// Instruction types (OpenFlow 1.3.5 section 7.2.4).
const (
	insGoto          = 1
	insWriteMetadata = 2
	insWriteActions  = 3
	insApply         = 4
	insClear         = 5
	insMeter         = 6
)

// insRank is the place of an instruction in a flat list; plain actions have that of apply_actions.
func insRank(a Action) int {
	switch a.(type) {
	case Meter:
		return 0
	case ClearActions:
		return 2
	case WriteActions:
		return 3
	case WriteMetadata:
		return 4
	case GotoTable:
		return 5
	case RawInstruction:
		return 6
	}
	return rankApply
}

const rankApply = 1

func isInstruction(a Action) bool { return insRank(a) != rankApply }

// AppendTo implements Action.
func (a Meter) AppendTo(b []byte) []byte { return simple(b, insMeter, a.ID) }

// AppendText implements Action.
func (a Meter) AppendText(b []byte) []byte { return fmt.Appendf(b, "meter:%d", a.ID) }
func (a Meter) check(*Match) error         { return nil }

// AppendTo implements Action.
func (a GotoTable) AppendTo(b []byte) []byte { return simple(b, insGoto, uint32(a.Table)<<24) }

// AppendText implements Action.
func (a GotoTable) AppendText(b []byte) []byte { return fmt.Appendf(b, "goto_table:%d", a.Table) }
func (a GotoTable) check(*Match) error         { return nil }

// AppendTo implements Action.
func (a WriteMetadata) AppendTo(b []byte) []byte {
	b = append(ofHeader(b, insWriteMetadata)[:len(b)+2], 0, 24, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.Value&a.Mask), a.Mask)
}

// AppendText implements Action.
func (a WriteMetadata) AppendText(b []byte) []byte {
	b = appendHex(append(b, "write_metadata:"...), a.Value)
	if a.Mask != ^uint64(0) {
		b = appendHex(append(b, '/'), a.Mask)
	}
	return b
}
func (a WriteMetadata) check(*Match) error { return nil }

// appendListInstruction appends an instruction that holds actions.
func appendListInstruction(b []byte, typ uint16, acts []Action) []byte {
	start := len(b)
	return finish(AppendActions(appendZeros(ofHeader(b, typ), 4), acts), start)
}

// AppendTo implements Action.
func (a WriteActions) AppendTo(b []byte) []byte {
	return appendListInstruction(b, insWriteActions, a.Actions)
}

// AppendText implements Action.
func (a WriteActions) AppendText(b []byte) []byte {
	return append(appendList(append(b, "write_actions("...), a.Actions), ')')
}

func (a WriteActions) check(m *Match) error {
	for _, x := range a.Actions {
		switch x.(type) {
		case Output, Group, SetField, Load, Move, PushVLAN, PopVLAN, PushMPLS, PopMPLS, SetMPLSTTL, DecMPLSTTL, SetTTL, DecTTL, DecTTLIDs,
			SetQueue, CT, RawAction, Encap, Decap, DecNSHTTL, OutputTrunc, Resubmit:
		default:
			return fmt.Errorf("openflow: write_actions: %s cannot be in an action set", x.AppendText(nil))
		}
	}
	// The set runs when the pipeline ends; a tag that pop_vlan takes off may have come by then.
	tagged := *m
	if !NeedVLAN.ok(m) {
		tagged.SetUintMasked(VLANTCI, 0x1000, 0x1000)
	}
	return checkAll(&tagged, a.Actions)
}

// AppendTo implements Action.
func (a ClearActions) AppendTo(b []byte) []byte { return simple(b, insClear, 0) }

// AppendText implements Action.
func (a ClearActions) AppendText(b []byte) []byte { return append(b, "clear_actions"...) }
func (a ClearActions) check(*Match) error         { return nil }

// AppendTo appends the bytes as they came.
func (a RawInstruction) AppendTo(b []byte) []byte { return append(b, a.Bytes...) }

// AppendText appends a form of our own, since ovs-ofctl prints none: raw_instruction(hex).
func (a RawInstruction) AppendText(b []byte) []byte {
	return fmt.Appendf(b, "raw_instruction(%x)", a.Bytes)
}
func (a RawInstruction) check(*Match) error { return nil }

// AppendInstructions appends a flat list, in the order in which ovs-ofctl prints it (meter, actions,
// clear_actions, write_actions, write_metadata, goto_table), as OpenFlow 1.3 instructions. Another order,
// or an instruction that is there twice, cannot be expressed and is an error; b is then returned as it was.
func AppendInstructions(b []byte, acts []Action) ([]byte, error) {
	start, rank := len(b), -1
	for i := 0; i < len(acts); {
		k := insRank(acts[i])
		if k < rank || k == rank && k != 6 {
			return b[:start], orderError(acts[i])
		}
		rank = k
		if k != rankApply {
			b = acts[i].AppendTo(b)
			i++
			continue
		}
		at := len(b)
		b = appendZeros(ofHeader(b, insApply), 4)
		for ; i < len(acts) && insRank(acts[i]) == rankApply; i++ {
			b = acts[i].AppendTo(b)
		}
		b = finish(b, at)
		if len(b)-at > 0xffff {
			return b[:start], fmt.Errorf("openflow: actions of %d octets; at most 65,535 fit", len(b)-at)
		}
	}
	return b, nil
}

func orderError(a Action) error {
	return fmt.Errorf("openflow: %s stands too late; the order is meter, actions, clear_actions, write_actions, write_metadata, goto_table, each once", a.AppendText(nil))
}

// DecodeInstructions decodes OpenFlow 1.3 instructions to a flat list in canonical order. Instructions and
// actions that are not known are kept raw.
func DecodeInstructions(b []byte) ([]Action, error) {
	r := newReader("instructions", b)
	return decodeInstructions(&r), r.err
}

// decodeInstructions decodes all that r holds.
func decodeInstructions(r *reader) []Action {
	var slots [6][]byte // position and body of each known instruction, by rank
	var acts []Action
	var raws []Action
	for r.left() > 0 {
		raw := r.b[r.off:]
		typ, n := r.u16(), int(r.u16())
		if r.err == nil && (n < 8 || n%8 != 0) {
			r.fail("instruction %d has length %d, want a multiple of 8", typ, n)
		}
		body := r.take(n - 4)
		if r.err != nil {
			return nil
		}
		rank, want := -1, 8
		switch typ {
		case insMeter:
			rank = 0
		case insApply:
			rank, want = 1, n
		case insClear:
			rank = 2
		case insWriteActions:
			rank, want = 3, n
		case insWriteMetadata:
			rank, want = 4, 24
		case insGoto:
			rank = 5
		}
		if rank >= 0 && slots[rank] != nil {
			r.fail("instruction %d occurs twice", typ) // Open vSwitch refuses it too: OFPBIC_DUP_INST
			return nil
		}
		if rank < 0 || n != want {
			if len(raws) == maxActions {
				r.fail("more than %d unknown instructions", maxActions)
				return nil
			}
			raws = append(raws, RawInstruction{string(raw[:n])})
			continue
		}
		slots[rank] = body
	}
	list := func(body []byte, acts []Action) []Action {
		s := reader{typ: r.typ, b: body, off: 4, base: r.off - len(body)}
		acts = decodeActions(&s, acts, 0)
		r.adopt(s.err)
		return acts
	}
	if s := slots[0]; s != nil {
		acts = append(acts, Meter{binary.BigEndian.Uint32(s)})
	}
	if s := slots[1]; s != nil {
		acts = list(s, acts)
	}
	if slots[2] != nil {
		acts = append(acts, ClearActions{})
	}
	if s := slots[3]; s != nil {
		acts = append(acts, WriteActions{list(s, nil)})
	}
	if s := slots[4]; s != nil {
		mask := binary.BigEndian.Uint64(s[12:])
		acts = append(acts, WriteMetadata{binary.BigEndian.Uint64(s[4:]) & mask, mask})
	}
	if s := slots[5]; s != nil {
		acts = append(acts, GotoTable{s[0]})
	}
	if r.err != nil {
		return nil
	}
	return append(acts, raws...)
}
