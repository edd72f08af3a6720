package openflow

import (
	"encoding/binary"
	"fmt"
)

// Learn adds or changes a flow, made from the packet, when a packet comes by (NXAST_LEARN, NXAST_LEARN2).
type Learn struct {
	IdleTimeout, HardTimeout       uint16 // seconds
	FinIdleTimeout, FinHardTimeout uint16 // seconds
	Priority                       uint16 // ovs-ofctl's default is 32768
	Cookie                         uint64
	Table                          uint8 // ovs-ofctl's default is 1
	SendFlowRem, DeleteLearned     bool
	Limit                          uint32   // of flows learned in Table with Cookie; 0 for none
	ResultDst                      Subfield // a bit that says whether the flow could be added; Field nil for none
	Specs                          []LearnSpec
}

// LearnKind says what a LearnSpec makes.
type LearnKind uint8

// Kinds of LearnSpec.
const (
	LearnMatch  LearnKind = iota // the learned flow matches Dst
	LearnLoad                    // the learned flow loads Dst
	LearnOutput                  // the learned flow outputs to the port in Src
)

// LearnSpec is one match field or action of a learned flow. Its value comes from Src or, when Src.Field is nil,
// is the constant Value.
type LearnSpec struct {
	Kind  LearnKind
	Src   Subfield
	Value Bytes    // big-endian, Dst.N bits rounded up to a multiple of 16
	Dst   Subfield // not for LearnOutput
}

// Flags of learn and bits of a spec's header (nicira-ext.h).
const (
	learnSendFlowRem   = 1
	learnDelete        = 2
	learnWriteResult   = 4
	learnImmediate     = 1 << 13
	learnDstShift      = 11
	maxLearnSpecs      = 1024
	learnDstMask       = 3
	learnBitsMask      = 0x7ff
	learnHeaderUnknown = 0xc000
)

// LearnValue is the constant Value of a LearnSpec for bits bits that hold v.
func LearnValue(bits int, v uint64) Bytes {
	b := make([]byte, (bits+15)/16*2)
	for i := range b {
		if shift := 8 * (len(b) - 1 - i); shift < 64 {
			b[i] = byte(v >> shift)
		}
	}
	return Bytes(b)
}

func decodeLearn(two bool) func(r *reader) Action {
	return func(r *reader) Action {
		a := Learn{IdleTimeout: r.u16(), HardTimeout: r.u16(), Priority: r.u16(), Cookie: r.u64()}
		flags := r.u16()
		a.Table = r.u8()
		r.skip(1)
		a.FinIdleTimeout, a.FinHardTimeout = r.u16(), r.u16()
		a.SendFlowRem, a.DeleteLearned = flags&learnSendFlowRem != 0, flags&learnDelete != 0
		if flags&^7 != 0 || !two && flags&learnWriteResult != 0 {
			r.fail("learn flags %#x", flags)
		}
		if two {
			a.Limit = r.u32()
			ofs := r.u16()
			r.skip(2)
			if flags&learnWriteResult != 0 {
				f, _, _ := r.header()
				a.ResultDst = r.inField(Subfield{f, ofs, 1})
			}
		}
		for r.left() >= 2 {
			h := r.u16()
			if h == 0 {
				break
			}
			s := LearnSpec{Kind: LearnKind(h >> learnDstShift & learnDstMask)}
			n := h & learnBitsMask
			if h&learnHeaderUnknown != 0 || s.Kind > LearnOutput || n == 0 || s.Kind == LearnOutput && h&learnImmediate != 0 || len(a.Specs) == maxLearnSpecs {
				r.fail("learn spec %#04x", h)
				return nil
			}
			if h&learnImmediate != 0 {
				s.Value = Bytes(r.take((int(n) + 15) / 16 * 2))
			} else {
				f, _, _ := r.header()
				s.Src = r.inField(Subfield{f, r.u16(), n})
			}
			if s.Kind != LearnOutput {
				f, _, _ := r.header()
				s.Dst = r.inField(Subfield{f, r.u16(), n})
			}
			if r.err != nil {
				return nil
			}
			a.Specs = append(a.Specs, s)
		}
		return a
	}
}

// AppendTo implements Action.
func (a Learn) AppendTo(b []byte) []byte {
	start := len(b)
	var flags byte
	if a.SendFlowRem {
		flags |= learnSendFlowRem
	}
	if a.DeleteLearned {
		flags |= learnDelete
	}
	sub := uint16(16)
	if a.Limit != 0 || a.ResultDst.Field != nil {
		sub = 45
	}
	if a.ResultDst.Field != nil {
		flags |= learnWriteResult
	}
	b = binary.BigEndian.AppendUint16(nxHeader(b, sub), a.IdleTimeout)
	b = binary.BigEndian.AppendUint16(b, a.HardTimeout)
	b = binary.BigEndian.AppendUint16(b, a.Priority)
	b = binary.BigEndian.AppendUint64(b, a.Cookie)
	b = append(b, 0, flags, a.Table, 0)
	b = binary.BigEndian.AppendUint16(b, a.FinIdleTimeout)
	b = binary.BigEndian.AppendUint16(b, a.FinHardTimeout)
	if sub == 45 {
		b = binary.BigEndian.AppendUint32(b, a.Limit)
		b = append(binary.BigEndian.AppendUint16(b, a.ResultDst.Ofs), 0, 0)
		if a.ResultDst.Field != nil {
			b = a.ResultDst.Field.appendHeader(b)
		}
	}
	for i := range a.Specs {
		s := &a.Specs[i]
		h := uint16(s.Kind) << learnDstShift
		if s.Kind == LearnOutput {
			h |= s.Src.N
		} else {
			h |= s.Dst.N
		}
		if s.Src.Field == nil {
			b = binary.BigEndian.AppendUint16(b, h|learnImmediate)
			b = append(b, s.Value...)
		} else {
			b = s.Src.Field.appendHeader(binary.BigEndian.AppendUint16(b, h))
			b = binary.BigEndian.AppendUint16(b, s.Src.Ofs)
		}
		if s.Kind != LearnOutput {
			b = binary.BigEndian.AppendUint16(s.Dst.Field.appendHeader(b), s.Dst.Ofs)
		}
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a Learn) AppendText(b []byte) []byte {
	b = fmt.Appendf(b, "learn(table=%d", a.Table)
	num := func(name string, v uint16) {
		if v != 0 {
			b = fmt.Appendf(b, ",%s=%d", name, v)
		}
	}
	num("idle_timeout", a.IdleTimeout)
	num("hard_timeout", a.HardTimeout)
	num("fin_idle_timeout", a.FinIdleTimeout)
	num("fin_hard_timeout", a.FinHardTimeout)
	if a.Priority != defaultPriority {
		b = fmt.Appendf(b, ",priority=%d", a.Priority)
	}
	if a.SendFlowRem {
		b = append(b, ",send_flow_rem"...)
	}
	if a.DeleteLearned {
		b = append(b, ",delete_learned"...)
	}
	if a.Cookie != 0 {
		b = fmt.Appendf(b, ",cookie=%#x", a.Cookie)
	}
	if a.Limit != 0 {
		b = fmt.Appendf(b, ",limit=%d", a.Limit)
	}
	if a.ResultDst.Field != nil {
		b = a.ResultDst.AppendText(append(b, ",result_dst="...))
	}
	for i := range a.Specs {
		b = a.Specs[i].appendText(append(b, ','))
	}
	return append(b, ')')
}

func (s *LearnSpec) appendText(b []byte) []byte {
	switch s.Kind {
	case LearnOutput:
		return s.Src.AppendText(append(b, "output:"...))
	case LearnLoad:
		b = append(b, "load:"...)
		if s.Src.Field == nil {
			b = appendHexBytes(b, []byte(s.Value))
		} else {
			b = s.Src.AppendText(b)
		}
		return s.Dst.AppendText(append(b, "->"...))
	}
	f := s.Dst.Field
	whole := s.Dst.Ofs == 0 && int(s.Dst.N) == f.Bits
	switch {
	case s.Src.Field == nil && whole:
		v := make([]byte, f.Len)
		copy(v[max(0, f.Len-len(s.Value)):], s.Value[max(0, len(s.Value)-f.Len):])
		return f.appendValue(append(append(b, f.Name...), '='), v, nil)
	case s.Src.Field == nil:
		return appendHexBytes(append(s.Dst.AppendText(b), '='), []byte(s.Value))
	}
	b = s.Dst.AppendText(b)
	if s.Src != s.Dst {
		b = s.Src.AppendText(append(b, '='))
	}
	return b
}

func (a Learn) check(m *Match) error {
	if a.ResultDst.Field != nil {
		if a.ResultDst.N != 1 {
			return fmt.Errorf("openflow: learn: result_dst is one bit, not %d", a.ResultDst.N)
		}
		if err := a.ResultDst.checkIn(m, true); err != nil {
			return err
		}
	}
	var learned Match // what the learned flow matches, for the prerequisites of its fields
	for i := range a.Specs {
		s := &a.Specs[i]
		if s.Src.Field != nil {
			if err := s.Src.checkIn(m, false); err != nil {
				return fmt.Errorf("%w in learn", err)
			}
			if s.Kind != LearnOutput && s.Src.N != s.Dst.N {
				return fmt.Errorf("openflow: learn: source has %d bits, destination %d", s.Src.N, s.Dst.N)
			}
		} else if s.Kind == LearnOutput || len(s.Value) != (int(s.Dst.N)+15)/16*2 {
			return fmt.Errorf("openflow: learn: a constant of %d octets for %d bits", len(s.Value), s.Dst.N)
		}
		if s.Kind == LearnOutput {
			continue
		}
		if err := s.Dst.check(s.Kind == LearnLoad); err != nil {
			return fmt.Errorf("%w in learn", err)
		}
		if f := s.Dst.Field; !f.Prereq.ok(&learned) && !f.Prereq.ok(m) {
			return fmt.Errorf("openflow: learn: %s needs %s", f.Name, f.Prereq)
		}
		if f := s.Dst.Field; s.Kind == LearnMatch && s.Src.Field == nil && s.Dst.Ofs == 0 && int(s.Dst.N) == f.Bits && f.Len <= 2 {
			learned.SetUint(f, beUint([]byte(s.Value)))
		}
	}
	return nil
}
