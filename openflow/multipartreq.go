package openflow

import (
	"bytes"
	"fmt"
)

// MultipartRequest is a multipart request without a body of its own kind: one of the void ones (MultipartDesc,
// MultipartTable, MultipartGroupDesc, MultipartGroupFeatures, MultipartMeterFeatures, MultipartPortDesc,
// MultipartTableFeatures) or one that is not known, with its body raw.
type MultipartRequest struct {
	Type         MultipartType
	Flags        uint16
	Exp, ExpType uint32 // for MultipartExperimenter
	Body         []byte
}

func decodeMultipartRequest(r *reader) Message {
	m := &MultipartRequest{Type: MultipartType(r.u16()), Flags: r.u16()}
	r.skip(4)
	r.typ = m.Name()
	switch m.Type {
	case MultipartFlow, MultipartAggregate:
		return decodeFlowRequest(r, m.Type == MultipartAggregate)
	case MultipartPortStats:
		return &PortStatsRequest{Port(r.u32())}
	case MultipartQueue:
		return &QueueStatsRequest{Port(r.u32()), r.u32()}
	case MultipartGroup:
		return &GroupStatsRequest{r.u32()}
	case MultipartMeter:
		return &MeterRequest{r.u32(), false}
	case MultipartMeterConfig:
		return &MeterRequest{r.u32(), true}
	case MultipartExperimenter:
		m.Exp, m.ExpType = r.u32(), r.u32()
		if m.Exp == expONF && m.ExpType == flowMonitorType {
			r.typ = MultipartFlowMonitor.name() + " request"
			return decodeFlowMonitorRequest(r)
		}
	}
	m.Body = r.rest()
	return m
}

// Name is that of the type, e.g. OFPST_PORT_DESC request.
func (m *MultipartRequest) Name() string { return m.Type.name() + " request" }

// AppendTo appends the message.
func (m *MultipartRequest) AppendTo(b []byte) []byte {
	n := len(b)
	return endMsg(append(appendMultipart(b, typeMultipartRequest, m.Type, m.Flags, m.Exp, m.ExpType), m.Body...), n)
}

// String is the name, with the body if there is one.
func (m *MultipartRequest) String() string {
	if len(m.Body) == 0 {
		return m.Name()
	}
	return m.Name() + ": " + hexDots(m.Body, 64)
}

// FlowRequest asks for flows (MultipartFlow) or for their sum (MultipartAggregate), OpenFlow 1.3.5 sections 7.3.5.2
// and 7.3.5.3. The zero value asks for those of table 0.
type FlowRequest struct {
	Aggregate   bool
	Table       uint8 // AllTables for all
	OutPort     Port  // only flows that output there; 0 or PortAny for any
	HasOutGroup bool  // only flows that use OutGroup
	OutGroup    uint32
	Cookie      uint64 // only flows with this cookie in the bits of CookieMask
	CookieMask  uint64
	Match       Match // only flows that this covers
}

func decodeFlowRequest(r *reader, aggregate bool) Message {
	m := &FlowRequest{Aggregate: aggregate, Table: r.u8()}
	r.skip(3)
	m.OutPort, m.OutGroup = Port(r.u32()), r.u32()
	if m.OutPort == PortAny {
		m.OutPort = 0
	}
	if m.HasOutGroup = m.OutGroup != GroupAny; !m.HasOutGroup {
		m.OutGroup = 0
	}
	r.skip(4)
	m.Cookie, m.CookieMask = r.u64(), r.u64()
	m.Match = decodeMatch(r)
	return m
}

func (m *FlowRequest) typ() MultipartType {
	if m.Aggregate {
		return MultipartAggregate
	}
	return MultipartFlow
}

// Name is OFPST_FLOW request or OFPST_AGGREGATE request.
func (m *FlowRequest) Name() string { return m.typ().name() + " request" }

// AppendTo appends the message.
func (m *FlowRequest) AppendTo(b []byte) []byte {
	n := len(b)
	b = append(appendMultipart(b, typeMultipartRequest, m.typ(), 0, 0, 0), m.Table, 0, 0, 0)
	group := GroupAny
	if m.HasOutGroup {
		group = m.OutGroup
	}
	b = append32(append32(append32(b, orAll(uint32(m.OutPort))), group), 0)
	return endMsg(m.Match.AppendTo(append64(append64(b, m.Cookie), m.CookieMask)), n)
}

// String is what ovs-ofctl prints; it leaves out_group and the cookie out.
func (m *FlowRequest) String() string {
	b := append([]byte(m.Name()), ':', ' ')
	if m.Table != AllTables {
		b = fmt.Appendf(b, "table=%d ", m.Table)
	}
	if m.OutPort != 0 {
		b = append(m.OutPort.AppendText(append(b, "out_port="...)), ' ')
	}
	return string(bytes.TrimRight(m.Match.AppendText(b), " "))
}

// PortStatsRequest asks for the counters of a port, PortAny for all (section 7.3.5.6).
type PortStatsRequest struct{ Port Port }

// QueueStatsRequest asks for the counters of queues: PortAny for all ports, AllQueues for all queues (section 7.3.5.8).
type QueueStatsRequest struct {
	Port  Port
	Queue uint32
}

// AllQueues is OFPQ_ALL.
const AllQueues uint32 = 0xffffffff

// GroupStatsRequest asks for the counters of a group, GroupAll for all (section 7.3.5.9).
type GroupStatsRequest struct{ Group uint32 }

// MeterRequest asks for the counters of a meter or, with Config, for its configuration; MeterAll for all (sections
// 7.3.5.12 and 7.3.5.13).
type MeterRequest struct {
	Meter  uint32
	Config bool
}

// Name is OFPST_PORT request.
func (m *PortStatsRequest) Name() string { return "OFPST_PORT request" }

// Name is OFPST_QUEUE request.
func (m *QueueStatsRequest) Name() string { return "OFPST_QUEUE request" }

// Name is OFPST_GROUP request.
func (m *GroupStatsRequest) Name() string { return "OFPST_GROUP request" }

func (m *MeterRequest) typ() MultipartType {
	if m.Config {
		return MultipartMeterConfig
	}
	return MultipartMeter
}

// Name is OFPST_METER request or OFPST_METER_CONFIG request.
func (m *MeterRequest) Name() string { return m.typ().name() + " request" }

func appendRequest(b []byte, t MultipartType, x, y uint32) []byte {
	n := len(b)
	return endMsg(append32(append32(appendMultipart(b, typeMultipartRequest, t, 0, 0, 0), x), y), n)
}

// AppendTo appends the message.
func (m *PortStatsRequest) AppendTo(b []byte) []byte {
	return appendRequest(b, MultipartPortStats, uint32(m.Port), 0)
}

// AppendTo appends the message.
func (m *QueueStatsRequest) AppendTo(b []byte) []byte {
	return appendRequest(b, MultipartQueue, uint32(m.Port), m.Queue)
}

// AppendTo appends the message.
func (m *GroupStatsRequest) AppendTo(b []byte) []byte {
	return appendRequest(b, MultipartGroup, m.Group, 0)
}

// AppendTo appends the message.
func (m *MeterRequest) AppendTo(b []byte) []byte { return appendRequest(b, m.typ(), m.Meter, 0) }

// String shows the port.
func (m *PortStatsRequest) String() string { return fmt.Sprintf("%s: port_no=%s", m.Name(), m.Port) }

// String shows port and queue.
func (m *QueueStatsRequest) String() string {
	if m.Queue == AllQueues {
		return fmt.Sprintf("%s:port=%s queue=ALL", m.Name(), m.Port)
	}
	return fmt.Sprintf("%s:port=%s queue=%d", m.Name(), m.Port, m.Queue)
}

// String shows the group.
func (m *GroupStatsRequest) String() string {
	if m.Group == GroupAll {
		return m.Name() + ": group_id=ALL"
	}
	return fmt.Sprintf("%s: group_id=%d", m.Name(), m.Group)
}

// String shows the meter.
func (m *MeterRequest) String() string { return m.Name() + ": meter=" + meterName(m.Meter) }
