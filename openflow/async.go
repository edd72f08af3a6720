package openflow

import "fmt"

// AsyncConfig says which asynchronous messages a connection gets. Element 0 counts while its role is equal or
// primary, element 1 while it is secondary; bit r of a mask is the message with reason r (OpenFlow 1.3.5 section
// 7.3.10; nx_async_config).
type AsyncConfig struct {
	PacketIn    [2]uint32 // by PacketInReason
	PortStatus  [2]uint32 // by PortReason
	FlowRemoved [2]uint32 // by FlowRemovedReason
}

func decodeAsync(r *reader) (c AsyncConfig) {
	for _, p := range [...]*[2]uint32{&c.PacketIn, &c.PortStatus, &c.FlowRemoved} {
		p[0], p[1] = r.u32(), r.u32()
	}
	return c
}

func (c *AsyncConfig) append(b []byte, start int) []byte {
	for _, p := range [...]*[2]uint32{&c.PacketIn, &c.PortStatus, &c.FlowRemoved} {
		b = append32(append32(b, p[0]), p[1])
	}
	return endMsg(b, start)
}

func (c *AsyncConfig) text(name string) string {
	return fmt.Sprintf("%s: packet_in=%#x/%#x port_status=%#x/%#x flow_removed=%#x/%#x (equal or primary/secondary)", name,
		c.PacketIn[0], c.PacketIn[1], c.PortStatus[0], c.PortStatus[1], c.FlowRemoved[0], c.FlowRemoved[1])
}

// SetAsync sets the sender's AsyncConfig; there is no reply.
type SetAsync struct{ AsyncConfig }

// GetAsyncReply answers GetAsyncRequest.
type GetAsyncReply struct{ AsyncConfig }

// NXSetAsyncConfig is NXT_SET_ASYNC_CONFIG, the same as SetAsync for switches before OpenFlow 1.3.
type NXSetAsyncConfig struct{ AsyncConfig }

// Name is OFPT_SET_ASYNC.
func (m *SetAsync) Name() string { return "OFPT_SET_ASYNC" }

// Name is OFPT_GET_ASYNC_REPLY.
func (m *GetAsyncReply) Name() string { return "OFPT_GET_ASYNC_REPLY" }

// Name is NXT_SET_ASYNC_CONFIG.
func (m *NXSetAsyncConfig) Name() string { return "NXT_SET_ASYNC_CONFIG" }

// AppendTo appends the message.
func (m *SetAsync) AppendTo(b []byte) []byte { return m.append(beginMsg(b, typeSetAsync), len(b)) }

// AppendTo appends the message.
func (m *GetAsyncReply) AppendTo(b []byte) []byte {
	return m.append(beginMsg(b, typeGetAsyncReply), len(b))
}

// AppendTo appends the message.
func (m *NXSetAsyncConfig) AppendTo(b []byte) []byte {
	return m.append(beginExp(b, expNicira, 19), len(b))
}

// String shows the masks.
func (m *SetAsync) String() string { return m.text(m.Name()) }

// String shows the masks.
func (m *GetAsyncReply) String() string { return m.text(m.Name()) }

// String shows the masks.
func (m *NXSetAsyncConfig) String() string { return m.text(m.Name()) }

// AsyncProp is one mask of NXSetAsyncConfig2 (enum ofp14_async_config_prop_type): an even Type is for the
// secondary role, Type+1 for equal and primary.
type AsyncProp struct {
	Type uint16
	Mask uint32
}

// Types of AsyncProp for the secondary role; add 1 for equal and primary.
const (
	AsyncPacketIn       = 0
	AsyncPortStatus     = 2
	AsyncFlowRemoved    = 4
	AsyncRoleStatus     = 6
	AsyncTableStatus    = 8
	AsyncRequestForward = 10
)

// NXSetAsyncConfig2 is NXT_SET_ASYNC_CONFIG2: the masks of OpenFlow 1.4 in 1.3. Masks that are not named stay as
// they are. It is the way to RoleStatus messages in OpenFlow 1.3.
type NXSetAsyncConfig2 struct {
	Props []AsyncProp
	Raw   []byte // properties with other lengths (experimenter), whole
}

func decodeAsync2(r *reader) Message {
	m := &NXSetAsyncConfig2{}
	for r.left() > 0 && r.err == nil {
		p := nextProp(r)
		if p.err == nil && len(p.body) == 4 && p.typ < 0xfffe {
			m.Props = append(m.Props, AsyncProp{p.typ, beUint32(p.body)})
		} else {
			m.Raw = append(m.Raw, p.whole...)
		}
	}
	return m
}

// Name is NXT_SET_ASYNC_CONFIG2.
func (m *NXSetAsyncConfig2) Name() string { return "NXT_SET_ASYNC_CONFIG2" }

// AppendTo appends the message.
func (m *NXSetAsyncConfig2) AppendTo(b []byte) []byte {
	n := len(b)
	b = beginExp(b, expNicira, 27)
	for _, p := range m.Props {
		b = append32(append16(append16(b, p.Type), 8), p.Mask)
	}
	return endMsg(append(b, m.Raw...), n)
}

// String lists the masks.
func (m *NXSetAsyncConfig2) String() string {
	return fmt.Sprintf("%s: %v", m.Name(), m.Props)
}

// prop is one property: type, length, body, padding to 8 (OpenFlow 1.4 section 7.2.1.2, Nicira's too).
type prop struct {
	typ         uint16
	body, whole []byte // whole has header and padding
	err         error
}

// nextProp takes the next property off r, or makes r fail.
func nextProp(r *reader) (p prop) {
	start := r.off
	p.typ = r.u16()
	n := int(r.u16())
	if n < 4 {
		r.failBack(2, "want a property length of at least 4, not %d", n)
	}
	p.body = r.take(n - 4)
	r.skip(min(pad8(n)-n, r.left()))
	if p.err = r.err; p.err == nil {
		p.whole = r.b[start:r.off:r.off]
	}
	return p
}

// appendProp appends a property with its padding.
func appendProp(b []byte, typ uint16, body []byte) []byte {
	b = append16(append16(b, typ), uint16(4+len(body)))
	b = append(b, body...)
	return appendZeros(b, pad8(4+len(body))-4-len(body))
}

// beUint32 reads 4 octets that are known to be there.
func beUint32(b []byte) uint32 { return uint32(beUint(b[:4])) }
