package openflow

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Resubmit looks the packet up again. Port, if it is not PortInPort (or 0, which means the same), takes the
// place of in_port for the lookup; Table 255 is the current table; CT swaps in the conntrack tuple.
type Resubmit struct {
	Port  Port
	Table uint8
	CT    bool
}

// Clone runs actions on a copy of the packet and of its metadata.
type Clone struct{ Actions []Action }

// CheckPktLarger sets the bit Dst if the packet is longer than Len octets, Ethernet header included.
type CheckPktLarger struct {
	Len uint16
	Dst Subfield // one bit
}

// Conjunction says that the flow satisfies a clause of a conjunction.
type Conjunction struct {
	ID     uint32 // the conj_id that is matched when all clauses are satisfied
	Clause uint8  // which clause, from 1 to N
	N      uint8  // how many clauses, 2 to 64
}

// Controller sends the packet to a controller, with more to say than Output can (NXAST_CONTROLLER and,
// where that is not enough, NXAST_CONTROLLER2).
type Controller struct {
	MaxLen   uint16 // octets of the packet to send; 0xffff is all of it
	ID       uint16 // controller id (NXT_SET_CONTROLLER_ID)
	Reason   uint8  // ofp_packet_in_reason; ReasonAction (1) is ovs-ofctl's default
	UserData string // handed back in the packet-in
	HasMeter bool
	MeterID  uint32 // meter for this action, when HasMeter
	Pause    bool   // wait for NXT_RESUME with the continuation
}

// packetInReasons are the names that controller(reason=…) takes, by number.
var packetInReasons = [...]string{"no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"}

func decodeResubmit(sub uint16) func(r *reader) Action {
	return func(r *reader) Action {
		a := Resubmit{portFrom16(r.u16()), r.u8(), sub == 44}
		if sub == 1 { // NXAST_RESUBMIT has no table
			a.Table = 255
		}
		return a
	}
}

func (a Resubmit) inPort() bool { return a.Port == PortInPort || a.Port == 0 }

// AppendTo implements Action.
func (a Resubmit) AppendTo(b []byte) []byte {
	start := len(b)
	sub, port := uint16(14), a.Port
	if a.CT {
		sub = 44
	}
	if port == 0 {
		port = PortInPort
	}
	b = binary.BigEndian.AppendUint16(nxHeader(b, sub), port.to16())
	return finish(append(b, a.Table), start)
}

// AppendText implements Action.
func (a Resubmit) AppendText(b []byte) []byte {
	if !a.inPort() && a.Table == 255 && !a.CT {
		return a.Port.AppendText(append(b, "resubmit:"...))
	}
	b = append(b, "resubmit("...)
	if !a.inPort() {
		b = a.Port.AppendText(b)
	}
	b = append(b, ',')
	if a.Table != 255 {
		b = strconv.AppendUint(b, uint64(a.Table), 10)
	}
	if a.CT {
		b = append(b, ",ct"...)
	}
	return append(b, ')')
}

func (a Resubmit) check(m *Match) error {
	if a.CT {
		return need(m, "resubmit(,,ct)", NeedCT)
	}
	return nil
}

func decodeClone(r *reader) Action {
	r.skip(6)
	s := r.sub(r.left())
	acts := decodeActions(&s, nil, r.depth+1)
	r.adopt(s.err)
	return Clone{acts}
}

// AppendTo implements Action.
func (a Clone) AppendTo(b []byte) []byte {
	start := len(b)
	return finish(AppendActions(appendZeros(nxHeader(b, 42), 6), a.Actions), start)
}

// AppendText implements Action.
func (a Clone) AppendText(b []byte) []byte {
	return append(appendList(append(b, "clone("...), a.Actions), ')')
}
func (a Clone) check(m *Match) error { return checkAll(m, a.Actions) }

// appendList appends the text of actions with commas between them.
func appendList(b []byte, acts []Action) []byte {
	for i, a := range acts {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.AppendText(b)
	}
	return b
}

func decodeCheckPktLarger(r *reader) Action {
	n, ofs := r.u16(), r.u16()
	f, _, _ := r.header()
	return CheckPktLarger{n, r.inField(Subfield{f, ofs, 1})}
}

// AppendTo implements Action.
func (a CheckPktLarger) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 49), a.Len)
	b = binary.BigEndian.AppendUint16(b, a.Dst.Ofs)
	return finish(a.Dst.Field.appendHeader(b), start)
}

// AppendText implements Action.
func (a CheckPktLarger) AppendText(b []byte) []byte {
	return a.Dst.AppendText(fmt.Appendf(b, "check_pkt_larger(%d)->", a.Len))
}

func (a CheckPktLarger) check(m *Match) error {
	if a.Dst.N != 1 {
		return fmt.Errorf("openflow: check_pkt_larger writes one bit, not %d", a.Dst.N)
	}
	return a.Dst.checkIn(m, true)
}

func decodeConjunction(r *reader) Action {
	c, n := r.u8(), r.u8()
	return Conjunction{r.u32(), c + 1, n}
}

// AppendTo implements Action.
func (a Conjunction) AppendTo(b []byte) []byte {
	start := len(b)
	b = append(nxHeader(b, 34), a.Clause-1, a.N)
	return finish(binary.BigEndian.AppendUint32(b, a.ID), start)
}

// AppendText implements Action.
func (a Conjunction) AppendText(b []byte) []byte {
	return fmt.Appendf(b, "conjunction(%d,%d/%d)", a.ID, a.Clause, a.N)
}

func (a Conjunction) check(*Match) error {
	if a.N < 2 || a.N > 64 || a.Clause < 1 || a.Clause > a.N {
		return fmt.Errorf("openflow: conjunction clause %d of %d; want 1 to N of N = 2 to 64", a.Clause, a.N)
	}
	return nil
}

func decodeController(r *reader) Action {
	a := Controller{MaxLen: r.u16(), ID: r.u16(), Reason: r.u8()}
	if r.left() > 0 {
		r.skip(1)
	}
	return a
}

// Properties of NXAST_CONTROLLER2 (nicira-ext.h, ofp-actions.c).
const (
	acMaxLen = iota
	acID
	acReason
	acUserData
	acPause
	acMeter
)

func decodeController2(r *reader) Action {
	a := Controller{MaxLen: 0xffff, Reason: 1}
	r.skip(6)
	for r.left() > 0 {
		typ, n := r.u16(), int(r.u16())
		p := r.sub(n - 4)
		if r.err == nil {
			r.skip(min(pad8(n)-n, r.left()))
		}
		switch typ {
		case acMaxLen:
			a.MaxLen = p.u16()
		case acID:
			a.ID = p.u16()
		case acReason:
			a.Reason = p.u8()
		case acUserData:
			a.UserData = string(p.rest())
		case acPause:
			a.Pause = true
		case acMeter:
			a.MeterID, a.HasMeter = p.u32(), true
		default:
			p.fail("property %d is not known", typ)
		}
		if r.adopt(p.err); p.err != nil {
			return nil
		}
	}
	return a
}

// AppendTo implements Action.
func (a Controller) AppendTo(b []byte) []byte {
	start := len(b)
	if a.UserData == "" && !a.Pause && !a.HasMeter {
		b = binary.BigEndian.AppendUint16(nxHeader(b, 20), a.MaxLen)
		b = binary.BigEndian.AppendUint16(b, a.ID)
		return finish(append(b, a.Reason, 0), start)
	}
	b = appendZeros(nxHeader(b, 37), 6)
	if a.MaxLen != 0xffff {
		b = append(b, 0, acMaxLen, 0, 8, byte(a.MaxLen>>8), byte(a.MaxLen), 0, 0)
	}
	if a.ID != 0 {
		b = append(b, 0, acID, 0, 8, byte(a.ID>>8), byte(a.ID), 0, 0)
	}
	if a.Reason != 1 {
		b = append(b, 0, acReason, 0, 5, a.Reason, 0, 0, 0)
	}
	if n := len(a.UserData); n > 0 {
		b = append(b, 0, acUserData, byte((n+4)>>8), byte(n+4))
		b = appendZeros(append(b, a.UserData...), pad8(n+4)-n-4)
	}
	if a.Pause {
		b = append(b, 0, acPause, 0, 4, 0, 0, 0, 0)
	}
	if a.HasMeter {
		b = binary.BigEndian.AppendUint32(append(b, 0, acMeter, 0, 8), a.MeterID)
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a Controller) AppendText(b []byte) []byte {
	b = append(b, "controller("...)
	n := len(b)
	if a.Reason != 1 {
		b = append(append(append(b, "reason="...), reasonName(a.Reason)...), ',')
	}
	if a.MaxLen != 0xffff {
		b = fmt.Appendf(b, "max_len=%d,", a.MaxLen)
	}
	if a.ID != 0 {
		b = fmt.Appendf(b, "id=%d,", a.ID)
	}
	if a.UserData != "" {
		b = append(appendDots(append(b, "userdata="...), a.UserData), ',')
	}
	if a.Pause {
		b = append(b, "pause,"...)
	}
	if a.HasMeter {
		b = fmt.Appendf(b, "meter_id=%d,", a.MeterID)
	}
	if len(b) > n {
		b = b[:len(b)-1]
	}
	return append(b, ')')
}

// reasonName is the name of a packet-in reason, or its number.
func reasonName(r uint8) string {
	if int(r) < len(packetInReasons) {
		return packetInReasons[r]
	}
	return strconv.Itoa(int(r))
}

func (a Controller) check(*Match) error { return nil }

// FinTimeout lowers the flow's timeouts, in seconds, when it sees a TCP FIN or RST.
type FinTimeout struct{ Idle, Hard uint16 }

// AppendTo implements Action.
func (a FinTimeout) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 19), a.Idle)
	return finish(binary.BigEndian.AppendUint16(b, a.Hard), start)
}

// AppendText implements Action.
func (a FinTimeout) AppendText(b []byte) []byte {
	b = append(b, "fin_timeout("...)
	if a.Idle != 0 {
		b = fmt.Appendf(b, "idle_timeout=%d,", a.Idle)
	}
	if a.Hard != 0 {
		b = fmt.Appendf(b, "hard_timeout=%d,", a.Hard)
	}
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, ')')
}
func (a FinTimeout) check(m *Match) error { return need(m, "fin_timeout", NeedTCP) }

// Sample sends some packets to an IPFIX collector set.
type Sample struct {
	Probability    uint16 // of 65535, at least 1
	CollectorSetID uint32
	ObsDomainID    uint32
	ObsPointID     uint32
	SamplingPort   Port  // PortNone or 0 for none
	Direction      uint8 // 0 default, 1 ingress, 2 egress
}

func decodeSample(sub uint16) func(r *reader) Action {
	return func(r *reader) Action {
		a := Sample{Probability: r.u16(), CollectorSetID: r.u32(), ObsDomainID: r.u32(), ObsPointID: r.u32(), SamplingPort: PortNone}
		if sub != 29 {
			a.SamplingPort = portFrom16(r.u16())
			a.Direction = r.u8()
		}
		return a
	}
}

func (a Sample) port() Port {
	if a.SamplingPort == 0 {
		return PortNone
	}
	return a.SamplingPort
}

// AppendTo implements Action.
func (a Sample) AppendTo(b []byte) []byte {
	start := len(b)
	sub := uint16(29)
	if a.Direction != 0 {
		sub = 41
	} else if a.port() != PortNone {
		sub = 38
	}
	b = binary.BigEndian.AppendUint16(nxHeader(b, sub), a.Probability)
	b = binary.BigEndian.AppendUint32(b, a.CollectorSetID)
	b = binary.BigEndian.AppendUint32(b, a.ObsDomainID)
	b = binary.BigEndian.AppendUint32(b, a.ObsPointID)
	if sub != 29 {
		b = binary.BigEndian.AppendUint16(b, a.port().to16())
		b = append(b, a.Direction)
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a Sample) AppendText(b []byte) []byte {
	b = fmt.Appendf(b, "sample(probability=%d,collector_set_id=%d,obs_domain_id=%d,obs_point_id=%d",
		a.Probability, a.CollectorSetID, a.ObsDomainID, a.ObsPointID)
	if p := a.port(); p != PortNone {
		b = p.AppendText(append(b, ",sampling_port="...))
	}
	switch a.Direction {
	case 1:
		b = append(b, ",ingress"...)
	case 2:
		b = append(b, ",egress"...)
	}
	return append(b, ')')
}

func (a Sample) check(*Match) error {
	if a.Probability == 0 {
		return fmt.Errorf("openflow: sample needs probability= of 1 to 65535")
	}
	return nil
}
