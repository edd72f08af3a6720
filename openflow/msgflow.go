package openflow

import "fmt"

// FlowCommand is what a FlowMod does (enum ofp_flow_mod_command).
type FlowCommand uint8

// Commands of FlowMod. Strict ones are about exactly the flow with that match and priority, the others about all
// flows that the match covers.
const (
	FlowAdd FlowCommand = iota
	FlowModify
	FlowModifyStrict
	FlowDelete
	FlowDeleteStrict
)

var flowCommands = [...]string{"ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT"}

// AllTables as the table of a delete or a request means every table (OFPTT_ALL).
const AllTables = 255

// FlowMod adds, changes or deletes flows (OpenFlow 1.3.5 section 7.3.4.1). Stats of the Flow is not used.
type FlowMod struct {
	Command FlowCommand
	Flow
	CookieMask  uint64 // modify and delete: only flows whose cookie is Cookie in these bits; 0 for any
	OutPort     Port   // delete: only flows that output there; 0 or PortAny for any
	HasOutGroup bool   // delete: only flows that use OutGroup
	OutGroup    uint32
	BufferID    uint32 // packet to send through the new flow; 0 or NoBuffer for none
}

func decodeFlowMod(r *reader) Message {
	m := &FlowMod{}
	m.Cookie, m.CookieMask = r.u64(), r.u64()
	m.Table, m.Command = r.u8(), FlowCommand(r.u8())
	m.IdleTimeout, m.HardTimeout, m.Priority = r.u16(), r.u16(), r.u16()
	m.BufferID = r.u32()
	if m.BufferID == NoBuffer {
		m.BufferID = 0
	}
	m.OutPort, m.OutGroup = Port(r.u32()), r.u32()
	if m.OutPort == PortAny {
		m.OutPort = 0
	}
	if m.HasOutGroup = m.OutGroup != GroupAny; !m.HasOutGroup {
		m.OutGroup = 0
	}
	m.Flags, m.Importance = FlowFlags(r.u16()), r.u16()
	m.Match = decodeMatch(r)
	m.Actions = decodeInstructions(r)
	return m
}

// Name is OFPT_FLOW_MOD.
func (m *FlowMod) Name() string { return "OFPT_FLOW_MOD" }

// AppendTo appends the message. It allocates only to grow b. When the order of the actions cannot be
// expressed in OpenFlow 1.3 nothing is appended; Encode and Flow.Check say why.
func (m *FlowMod) AppendTo(b []byte) []byte {
	b, _ = m.encode(b)
	return b
}

func (m *FlowMod) encode(b []byte) ([]byte, error) {
	start := len(b)
	b = append64(append64(beginMsg(b, typeFlowMod), m.Cookie), m.CookieMask)
	b = append16(append(b, m.Table, byte(m.Command)), m.IdleTimeout)
	b = append16(append16(b, m.HardTimeout), m.Priority)
	b = append32(append32(b, orAll(m.BufferID)), orAll(uint32(m.OutPort)))
	group := GroupAny
	if m.HasOutGroup {
		group = m.OutGroup
	}
	b = append16(append16(append32(b, group), uint16(m.Flags)), m.Importance)
	b, err := AppendInstructions(m.Match.AppendTo(b), m.Actions)
	if err != nil {
		return b[:start], err
	}
	return endMsg(b, start), nil
}

// orAll is v, or all ones for 0: the number that means none or any in a field where 0 cannot be asked for.
func orAll(v uint32) uint32 {
	if v == 0 {
		return ^uint32(0)
	}
	return v
}

// String is what ovs-ofctl prints; it leaves out_group out.
func (m *FlowMod) String() string {
	b := append([]byte(m.Name()), ": "...)
	if int(m.Command) < len(flowCommands) {
		b = append(b, flowCommands[m.Command]...)
	} else {
		b = fmt.Appendf(b, "cmd:%d", m.Command)
	}
	if m.Table != 0 {
		b = fmt.Appendf(b, " table:%d", m.Table)
	}
	b = append(b, ' ')
	b = appendMatchPriority(b, &m.Match, m.Priority)
	if b[len(b)-1] != ' ' {
		b = append(b, ' ')
	}
	if m.Cookie != 0 && m.Cookie != ^uint64(0) && m.CookieMask == 0 {
		b = fmt.Appendf(b, "cookie:0x%x ", m.Cookie)
	}
	if m.CookieMask != 0 {
		b = fmt.Appendf(b, "cookie:0x%x/0x%x ", m.Cookie, m.CookieMask)
	}
	if m.IdleTimeout != 0 {
		b = fmt.Appendf(b, "idle:%d ", m.IdleTimeout)
	}
	if m.HardTimeout != 0 {
		b = fmt.Appendf(b, "hard:%d ", m.HardTimeout)
	}
	if m.BufferID != 0 && m.BufferID != NoBuffer {
		b = fmt.Appendf(b, "buf:0x%x ", m.BufferID)
	}
	if m.OutPort != 0 && m.OutPort != PortAny {
		b = append(m.OutPort.AppendText(append(b, "out_port:"...)), ' ')
	}
	for i, n := range flowFlagNames {
		if m.Flags>>i&1 == 1 {
			b = append(append(b, n...), ' ')
		}
	}
	return string(AppendActionsText(append(b, "actions="...), m.Actions))
}

// appendMatchPriority appends a match as ovs-ofctl prints it where the priority is part of it.
func appendMatchPriority(b []byte, m *Match, priority uint16) []byte {
	if priority != 0x8000 {
		b = fmt.Appendf(b, "priority=%d", priority)
		if m.Len() > 0 {
			b = append(b, ',')
		}
	}
	return m.AppendText(b)
}

// FlowRemovedReason says why a flow went (enum ofp_flow_removed_reason; the later ones are OpenFlow 1.4's).
type FlowRemovedReason uint8

// Reasons of FlowRemoved.
const (
	RemovedIdle FlowRemovedReason = iota
	RemovedHard
	RemovedDelete
	RemovedGroupDelete
	RemovedMeterDelete
	RemovedEviction
)

var flowRemovedReasons = [...]string{"idle", "hard", "delete", "group_delete", "meter_delete", "eviction"}

// String is the name that ovs-ofctl prints.
func (r FlowRemovedReason) String() string {
	if int(r) < len(flowRemovedReasons) {
		return flowRemovedReasons[r]
	}
	return fmt.Sprintf("%d", uint8(r))
}

// FlowRemoved tells that a flow with SendFlowRem went (section 7.4.2).
type FlowRemoved struct {
	Cookie                    uint64
	Priority                  uint16
	Reason                    FlowRemovedReason
	Table                     uint8
	DurationSec, DurationNsec uint32
	IdleTimeout, HardTimeout  uint16 // seconds
	PacketCount, ByteCount    uint64
	Match                     Match
}

func decodeFlowRemoved(r *reader) Message {
	m := &FlowRemoved{Cookie: r.u64(), Priority: r.u16(), Reason: FlowRemovedReason(r.u8()), Table: r.u8(),
		DurationSec: r.u32(), DurationNsec: r.u32(), IdleTimeout: r.u16(), HardTimeout: r.u16(),
		PacketCount: r.u64(), ByteCount: r.u64()}
	m.Match = decodeMatch(r)
	return m
}

// Name is OFPT_FLOW_REMOVED.
func (m *FlowRemoved) Name() string { return "OFPT_FLOW_REMOVED" }

// AppendTo appends the message.
func (m *FlowRemoved) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(append64(beginMsg(b, typeFlowRemoved), m.Cookie), m.Priority)
	b = append32(append32(append(b, byte(m.Reason), m.Table), m.DurationSec), m.DurationNsec)
	b = append16(append16(b, m.IdleTimeout), m.HardTimeout)
	return endMsg(m.Match.AppendTo(append64(append64(b, m.PacketCount), m.ByteCount)), n)
}

// String is what ovs-ofctl prints.
func (m *FlowRemoved) String() string {
	b := appendMatchPriority([]byte(m.Name()+": "), &m.Match, m.Priority)
	b = fmt.Appendf(b, " reason=%s table_id=%d", m.Reason, m.Table)
	if m.Cookie != 0 {
		b = fmt.Appendf(b, " cookie:0x%x", m.Cookie)
	}
	b = append(appendDuration(append(b, " duration"...), m.DurationSec, m.DurationNsec), fmt.Sprintf(" idle%d", m.IdleTimeout)...)
	if m.HardTimeout != 0 {
		b = fmt.Appendf(b, " hard%d", m.HardTimeout)
	}
	return string(fmt.Appendf(b, " pkts%d bytes%d", m.PacketCount, m.ByteCount))
}

// appendDuration appends a time as Open vSwitch does: no decimals, or three, or as many of nine as are needed.
func appendDuration(b []byte, sec, nsec uint32) []byte {
	b = fmt.Appendf(b, "%d", sec)
	switch {
	case nsec == 0:
	case nsec%1e6 == 0:
		b = fmt.Appendf(b, ".%03d", nsec/1e6)
	default:
		b = fmt.Appendf(b, ".%09d", nsec)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, 's')
}
