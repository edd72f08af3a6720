package openflow

import "fmt"

// defaultPriority is the priority that ovs-ofctl leaves out.
const defaultPriority = 32768

// FlowFlags are the flags of a flow (ofp_flow_mod_flags, OpenFlow 1.3.5 section 7.3.4.1).
type FlowFlags uint16

// Flow flags.
const (
	SendFlowRem  FlowFlags = 1 << iota // send_flow_rem
	CheckOverlap                       // check_overlap
	ResetCounts                        // reset_counts
	NoPktCounts                        // no_packet_counts
	NoByteCounts                       // no_byte_counts
)

var flowFlagNames = [...]string{"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"}

// FlowStats is what a switch tells of a flow in use.
type FlowStats struct {
	DurationSec, DurationNsec uint32
	PacketCount, ByteCount    uint64 // all ones when the switch does not count
	IdleAge, HardAge          uint32 // seconds; only from text
}

// Flow is one flow: what a flow-mod adds and what a flow-stats reply holds.
type Flow struct {
	Table       uint8
	Priority    uint16
	Cookie      uint64
	Match       Match
	Actions     []Action // actions and instructions, in the order that AppendInstructions wants
	IdleTimeout uint16   // seconds; 0 for none
	HardTimeout uint16   // seconds; 0 for none
	Flags       FlowFlags
	Importance  uint16     // OpenFlow 1.4; not sent over 1.3
	Stats       *FlowStats // nil when not known
}

// Check reports the first reason why a switch would refuse the flow: prerequisites of a match field or of
// an action, masks, values that do not fit, the order of instructions.
func (f *Flow) Check() error {
	if f.Table == 255 {
		return fmt.Errorf("openflow: table 255 means all tables; a flow is in one of 0 to 254")
	}
	if err := f.Match.Check(); err != nil {
		return err
	}
	// Actions change the packet: what a push adds or a set_field decides is there for the actions after it.
	m := f.Match
	rank := -1
	for _, a := range f.Actions {
		k := insRank(a)
		if k < rank || k == rank && k != rankApply && k != 6 {
			return orderError(a)
		}
		rank = k
		if g, ok := a.(GotoTable); ok && g.Table <= f.Table {
			return fmt.Errorf("openflow: goto_table:%d in table %d; the table must be a later one", g.Table, f.Table)
		}
		if err := a.check(&m); err != nil {
			return err
		}
		if err := outsideCT(a); err != nil {
			return err
		}
		after(&m, a)
	}
	return nil
}

// outsideCT reports a write to a conntrack field outside of ct(exec(…)).
func outsideCT(a Action) error {
	var f *Field
	switch a := a.(type) {
	case SetField:
		f = a.Field
	case Load:
		f = a.Dst.Field
	case Move:
		f = a.Dst.Field
	}
	if f != nil && (f == CTMark || f == CTLabel) {
		return fmt.Errorf("openflow: %s can be written inside ct(exec(…)) only", f.Name)
	}
	return nil
}

// after changes the match as the action changes the packet, as far as prerequisites depend on it.
func after(m *Match, a Action) {
	switch a := a.(type) {
	case PushVLAN:
		m.SetUintMasked(VLANTCI, 0x1000, 0x1000)
	case PopVLAN:
		m.Delete(VLANTCI)
	case PushMPLS:
		m.SetUint(EthType, uint64(a.EthType))
		m.Delete(IPProto)
	case PopMPLS:
		m.SetUint(EthType, uint64(a.EthType))
	case SetField:
		if a.Field == VLANVID {
			m.SetUintMasked(VLANTCI, 0x1000, 0x1000)
		}
	case Encap:
		m.Delete(IPProto)
		if a.PacketType == 0 {
			m.Delete(PacketType)
		} else {
			m.SetUint(EthType, uint64(a.PacketType&0xffff))
		}
	}
}
