package openflow

import (
	"fmt"
	"iter"
	"strings"
)

// MonitorFlags say what a flow monitor reports (enum nx_flow_monitor_flags).
type MonitorFlags uint16

// Flags of a Monitor.
const (
	MonitorInitial MonitorFlags = 1 << iota // the flows that are there
	MonitorAdd
	MonitorDelete
	MonitorModify
	MonitorActions // with actions
	MonitorOwn     // this connection's own changes in full, not abbreviated
)

var monitorFlagNames = [...]string{"initial", "add", "delete", "modify", "actions", "own"}

// Monitor is one request to report changes of flows (ONF extension 187 as Open vSwitch 3.0 and later speak it).
type Monitor struct {
	ID      uint32 // chosen by the controller, unique on the connection
	Flags   MonitorFlags
	OutPort Port  // only flows that output there; 0 or PortAny for any
	Table   uint8 // AllTables for any
	Match   Match // only flows that this covers
}

// FlowMonitorRequest starts monitors. The reply holds the flows that are there if a monitor asks for them; updates come
// later as MultipartReply messages of type MultipartFlowMonitor with xid 0, to the connection's handler.
type FlowMonitorRequest struct{ Monitors []Monitor }

func decodeFlowMonitorRequest(r *reader) Message {
	m := &FlowMonitorRequest{}
	for r.left() > 0 && r.err == nil {
		o := Monitor{ID: r.u32(), Flags: MonitorFlags(r.u16())}
		n := int(r.u16())
		o.OutPort, o.Table = Port(r.u32()), r.u8()
		if o.OutPort == PortAny {
			o.OutPort = 0
		}
		r.skip(3)
		in := r.sub(pad8(n))
		o.Match = decodeMatch(&in)
		r.adopt(in.err)
		m.Monitors = append(m.Monitors, o)
	}
	return m
}

// Name is ONFST_FLOW_MONITOR request.
func (m *FlowMonitorRequest) Name() string { return "ONFST_FLOW_MONITOR request" }

// AppendTo appends the message.
func (m *FlowMonitorRequest) AppendTo(b []byte) []byte {
	n := len(b)
	b = appendMultipart(b, typeMultipartRequest, MultipartFlowMonitor, 0, 0, 0)
	for i := range m.Monitors {
		o := &m.Monitors[i]
		b = append16(append32(b, o.ID), uint16(o.Flags))
		b = append16(b, uint16(4+o.Match.sizeOXM()))
		b = append(append32(b, orAll(uint32(o.OutPort))), o.Table, 0, 0, 0)
		b = o.Match.AppendTo(b)
	}
	return endMsg(b, n)
}

// String is what ovs-ofctl prints.
func (m *FlowMonitorRequest) String() string {
	b := append([]byte(m.Name()), ':')
	for i := range m.Monitors {
		o := &m.Monitors[i]
		var flags []string
		for k, n := range monitorFlagNames {
			if o.Flags>>k&1 == 1 {
				flags = append(flags, n)
			}
		}
		b = fmt.Appendf(b, "\n id=%d flags=%s", o.ID, strings.Join(flags, ","))
		if len(flags) == 0 {
			b = append(b, '0')
		}
		if o.OutPort != 0 {
			b = o.OutPort.AppendText(append(b, " out_port="...))
		}
		if o.Table != AllTables {
			b = fmt.Appendf(b, " table=%d", o.Table)
		}
		if o.Match.Len() > 0 {
			b = o.Match.AppendText(append(b, ' '))
		}
	}
	return string(b)
}

// FlowEvent is what happened to a monitored flow (enum nx_flow_update_event).
type FlowEvent uint16

// Events of a FlowUpdate.
const (
	FlowAdded FlowEvent = iota
	FlowDeleted
	FlowModified
	FlowAbbrev // this connection did it, in the request with that xid
)

var flowEvents = [...]string{"ADDED", "DELETED", "MODIFIED", "ABBREV"}

// FlowUpdate is one entry of a MultipartFlowMonitor reply.
type FlowUpdate struct {
	Event  FlowEvent
	Reason FlowRemovedReason // of FlowDeleted
	Flow   Flow              // without flags and statistics; actions only if asked for
	XID    uint32            // FlowAbbrev
	Raw    []byte            // of an event that is not known, all after the event
}

func (u *FlowUpdate) decode(r *reader) {
	r.skip(2)
	u.Event = FlowEvent(r.u16())
	switch f := &u.Flow; u.Event {
	case FlowAbbrev:
		u.XID = r.u32()
	case FlowAdded, FlowDeleted, FlowModified:
		u.Reason = FlowRemovedReason(r.u16())
		f.Priority, f.IdleTimeout, f.HardTimeout = r.u16(), r.u16(), r.u16()
		n := int(r.u16())
		f.Table = r.u8()
		r.skip(1)
		f.Cookie = r.u64()
		in := r.sub(pad8(n))
		f.Match = decodeMatch(&in)
		r.adopt(in.err)
		f.Actions = decodeInstructions(r)
	default:
		u.Raw = r.rest()
	}
}

// AppendTo appends the entry; nothing when the order of the actions cannot be expressed.
func (u *FlowUpdate) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(append16(b, 0), uint16(u.Event))
	switch f := &u.Flow; u.Event {
	case FlowAbbrev:
		b = append32(b, u.XID)
	case FlowAdded, FlowDeleted, FlowModified:
		b = append16(append16(append16(append16(b, uint16(u.Reason)), f.Priority), f.IdleTimeout), f.HardTimeout)
		b = append64(append(append16(b, uint16(4+f.Match.sizeOXM())), f.Table, 0), f.Cookie)
		var err error
		if b, err = AppendInstructions(f.Match.AppendTo(b), f.Actions); err != nil {
			return b[:n]
		}
	default:
		b = append(b, u.Raw...)
	}
	put16(b[n:], len(b)-n)
	return b
}

// String is what ovs-ofctl prints.
func (u *FlowUpdate) String() string {
	if int(u.Event) >= len(flowEvents) {
		return fmt.Sprintf("event=%d raw(%x)", uint16(u.Event), u.Raw)
	}
	b := append([]byte("event="), flowEvents[u.Event]...)
	if u.Event == FlowAbbrev {
		return string(fmt.Appendf(b, " xid=0x%x", u.XID))
	}
	if u.Event == FlowDeleted {
		b = fmt.Appendf(b, " reason=%s", u.Reason)
	}
	f := &u.Flow
	b = fmt.Appendf(b, " table=%d", f.Table)
	if f.IdleTimeout != 0 {
		b = fmt.Appendf(b, " idle_timeout=%d", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		b = fmt.Appendf(b, " hard_timeout=%d", f.HardTimeout)
	}
	b = append(appendHex(append(b, " cookie="...), f.Cookie), ' ')
	b = f.Match.AppendText(b)
	if len(f.Actions) > 0 {
		if b[len(b)-1] != ' ' {
			b = append(b, ' ')
		}
		b = AppendActionsText(append(b, "actions="...), f.Actions)
	}
	return string(b)
}

// Updates decodes a MultipartFlowMonitor reply; the *FlowUpdate is reused, copy it to keep it.
func (m *MultipartReply) Updates() iter.Seq2[*FlowUpdate, error] {
	return each[FlowUpdate](m, MultipartFlowMonitor)
}

// FlowMonitorCancel ends a monitor (ONFT type 1870). There is no reply but an error.
type FlowMonitorCancel struct{ ID uint32 }

// FlowMonitorPaused tells that updates stop because the connection is full (ONFT type 1871).
type FlowMonitorPaused struct{}

// FlowMonitorResumed tells that updates go on; the changes between were sent just before (ONFT type 1872).
type FlowMonitorResumed struct{}

// Name is ONFT_FLOW_MONITOR_CANCEL.
func (m *FlowMonitorCancel) Name() string { return "ONFT_FLOW_MONITOR_CANCEL" }

// Name is ONFT_FLOW_MONITOR_PAUSED.
func (FlowMonitorPaused) Name() string { return "ONFT_FLOW_MONITOR_PAUSED" }

// Name is ONFT_FLOW_MONITOR_RESUMED.
func (FlowMonitorResumed) Name() string { return "ONFT_FLOW_MONITOR_RESUMED" }

// AppendTo appends the message.
func (m *FlowMonitorCancel) AppendTo(b []byte) []byte {
	return endMsg(append32(beginExp(b, expONF, 1870), m.ID), len(b))
}

// AppendTo appends the message.
func (FlowMonitorPaused) AppendTo(b []byte) []byte { return endMsg(beginExp(b, expONF, 1871), len(b)) }

// AppendTo appends the message.
func (FlowMonitorResumed) AppendTo(b []byte) []byte { return endMsg(beginExp(b, expONF, 1872), len(b)) }

// String shows the id.
func (m *FlowMonitorCancel) String() string { return fmt.Sprintf("%s: id=%d", m.Name(), m.ID) }

// String is the name.
func (m FlowMonitorPaused) String() string { return m.Name() }

// String is the name.
func (m FlowMonitorResumed) String() string { return m.Name() }
