package pipeline

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/penstock/penstock/openflow"
)

// CheckFlow says what a flow of ours on a bridge of a role does that its table does not declare: matches, writes, the
// tables it goes to, calls or learns into, its priority, and anything Open vSwitch would refuse. Nil if nothing.
func CheckFlow(role Role, f *Flow) error {
	of, err := f.Decode()
	if err != nil {
		return err
	}
	t, r := TableOf(role, f.Table), RuleByNum(f.Cookie.Rule())
	fail := func(format string, a ...any) error {
		return fmt.Errorf("%s on %s: "+format, append([]any{of.String(), role}, a...)...)
	}
	switch {
	case t == nil:
		return fail("table %d is not declared", f.Table)
	case !f.Cookie.Ours() || r == nil:
		return fail("the cookie names no rule")
	case r.Num == MissRuleNum && (t.Miss == nil || f.Match != "" || f.Priority != 0):
		return fail("not what a miss in %s is declared to do", t)
	case r.Num != MissRuleNum && (r.Table != t || f.Priority < r.Priority || f.Priority > r.Priority+r.Span):
		return fail("rule %d is of %s with priority %d", r.Num, r.Table, r.Priority)
	case t.Learned:
		return fail("%s is for learned flows only", t)
	}
	if err := of.Check(); err != nil {
		return fail("%w", err)
	}
	for fm := range of.Match.All() {
		if fm.Field == nil || !covered(t.Match, fm.Field, fm.Mask) {
			return fail("%s does not declare to match %v", t, fm.Field)
		}
	}
	if err := t.checkActions(of.Actions); err != nil {
		return fail("%w", err)
	}
	return nil
}

func (t *Table) checkActions(acts []openflow.Action) error {
	for _, a := range acts {
		var err error
		switch a := a.(type) {
		case openflow.GotoTable:
			err = t.leadsTo("goto", t.Next, a.Table)
		case openflow.Resubmit:
			err = t.leadsTo("resubmit", slices.Concat(t.Resubmit, t.MissCalls, t.Back), a.Table)
		case openflow.Learn:
			err = t.checkLearn(a)
		case openflow.Clone:
			err = t.checkActions(a.Actions)
		case openflow.Load:
			err = t.writes(a.Dst)
		case openflow.Move:
			err = t.writes(a.Dst)
		case openflow.CheckPktLarger:
			err = t.writes(a.Dst)
		case openflow.SetField:
			err = t.writes(openflow.Subfield{Field: a.Field, N: uint16(a.Field.Bits)})
		case openflow.PushVLAN, openflow.PopVLAN:
			err = t.writes(openflow.Subfield{Field: openflow.VLANVID, N: 12})
		case openflow.CT:
			if a.Table.Valid {
				err = t.leadsTo("track to", slices.Concat(t.Next, t.Back), a.Table.ID)
			}
			if err == nil {
				err = t.checkActions(a.Exec)
			}
		case openflow.Output, openflow.Group, openflow.Controller, openflow.CTClear, openflow.DecTTL:
		default:
			err = fmt.Errorf("action %s is not one of ours", a.AppendText(nil))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) leadsTo(how string, tables []*Table, id uint8) error {
	for _, n := range tables {
		if n.ID == id && n.Role == t.Role {
			return nil
		}
	}
	if how == "goto" && t.Miss != nil && t.Miss.ID == id {
		return nil
	}
	return fmt.Errorf("%s does not declare to %s table %d", t, how, id)
}

func (t *Table) writes(s openflow.Subfield) error {
	if !covered(t.Write, s.Field, bitsOf(s)) {
		return fmt.Errorf("%s does not declare to write %s", t, s.AppendText(nil))
	}
	return nil
}

// checkLearn holds the learned flow against the table it comes to be in.
func (t *Table) checkLearn(l openflow.Learn) error {
	if err := t.leadsTo("learn into", t.Learns, l.Table); err != nil {
		return err
	}
	to := TableOf(t.Role, l.Table)
	if to == nil || !to.Learned {
		return fmt.Errorf("%s learns into table %d, which is not declared for that", t, l.Table)
	}
	if r := RuleByNum(Cookie(l.Cookie).Rule()); r == nil || r.Table != to || r.Priority != l.Priority || l.HardTimeout == 0 || l.Limit == 0 {
		return fmt.Errorf("%s learns flows into %s that are not of a rule there, or without age or limit", t, to)
	}
	for _, s := range l.Specs {
		switch {
		case s.Kind == openflow.LearnMatch && covered(to.Match, s.Dst.Field, bitsOf(s.Dst)):
		case s.Kind == openflow.LearnLoad && covered(to.Write, s.Dst.Field, bitsOf(s.Dst)):
		default:
			return fmt.Errorf("%s learns flows into %s that match or set %s, which it does not declare", t, to, s.Dst.AppendText(nil))
		}
	}
	return nil
}

// bitsOf is the mask of a subfield, as long as its field; nil, for all, of fields that are longer than a register pair.
func bitsOf(s openflow.Subfield) []byte {
	if s.Field.Len > 8 {
		return nil
	}
	mask := ^uint64(0) >> (64 - uint(s.N)) << s.Ofs
	return binary.BigEndian.AppendUint64(nil, mask)[8-s.Field.Len:]
}

// covered reports whether fields, whole or in pieces, declare the bits of mask of an OpenFlow field; nil is all bits.
func covered(fields []*Field, of *openflow.Field, mask []byte) bool {
	var have uint64
	for _, f := range fields {
		if f.OF == of {
			if f.Bits == 0 {
				return true
			}
			have |= f.mask()
		}
	}
	var want uint64
	for _, b := range mask {
		want = want<<8 | uint64(b)
	}
	if mask == nil && of.Len <= 8 {
		want = ^uint64(0) >> (64 - 8*uint(of.Len))
	}
	return have != 0 && want&^have == 0
}
