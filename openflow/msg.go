package openflow

import (
	"encoding/hex"
	"fmt"
)

// msgKind is one row of the tables of messages: what it is called and how its body is read. A nil decode means
// that the message is known by name only and kept raw.
type msgKind struct {
	name   string
	decode func(r *reader) Message
}

// expKey is the experimenter and subtype of an experimenter message.
type expKey struct{ exp, subtype uint32 }

// basicKinds are the standard messages by type; expKinds the Nicira and ONF ones (ofp-msgs.h of Open vSwitch).
var (
	basicKinds [30]msgKind
	expKinds   map[expKey]msgKind
)

// The tables are filled here because bundle-adds decode messages inside messages.
func init() {
	basicKinds = [...]msgKind{
		typeHello:                 {"OFPT_HELLO", decodeHello},
		typeError:                 {"OFPT_ERROR", nil}, // needs the header's xid, see Decode
		typeEchoRequest:           {"OFPT_ECHO_REQUEST", func(r *reader) Message { return &EchoRequest{r.rest()} }},
		typeEchoReply:             {"OFPT_ECHO_REPLY", func(r *reader) Message { return &EchoReply{r.rest()} }},
		typeExperimenter:          {"OFPT_EXPERIMENTER", nil},
		typeFeaturesRequest:       {"OFPT_FEATURES_REQUEST", void(FeaturesRequest{})},
		typeFeaturesReply:         {"OFPT_FEATURES_REPLY", decodeFeatures},
		typeGetConfigRequest:      {"OFPT_GET_CONFIG_REQUEST", void(GetConfigRequest{})},
		typeGetConfigReply:        {"OFPT_GET_CONFIG_REPLY", func(r *reader) Message { return &GetConfigReply{r.u16(), r.u16()} }},
		typeSetConfig:             {"OFPT_SET_CONFIG", func(r *reader) Message { return &SetConfig{r.u16(), r.u16()} }},
		typePacketIn:              {"OFPT_PACKET_IN", decodePacketIn},
		typeFlowRemoved:           {"OFPT_FLOW_REMOVED", decodeFlowRemoved},
		typePortStatus:            {"OFPT_PORT_STATUS", decodePortStatus},
		typePacketOut:             {"OFPT_PACKET_OUT", decodePacketOut},
		typeFlowMod:               {"OFPT_FLOW_MOD", decodeFlowMod},
		typeGroupMod:              {"OFPT_GROUP_MOD", decodeGroupMod},
		typePortMod:               {"OFPT_PORT_MOD", decodePortMod},
		typeTableMod:              {"OFPT_TABLE_MOD", func(r *reader) Message { t := r.u8(); r.skip(3); return &TableMod{t, r.u32()} }},
		typeMultipartRequest:      {"OFPT_MULTIPART_REQUEST", decodeMultipartRequest},
		typeMultipartReply:        {"OFPT_MULTIPART_REPLY", decodeMultipartReply},
		typeBarrierRequest:        {"OFPT_BARRIER_REQUEST", void(BarrierRequest{})},
		typeBarrierReply:          {"OFPT_BARRIER_REPLY", void(BarrierReply{})},
		typeQueueGetConfigRequest: {"OFPT_QUEUE_GET_CONFIG_REQUEST", nil},
		typeQueueGetConfigReply:   {"OFPT_QUEUE_GET_CONFIG_REPLY", nil},
		typeRoleRequest:           {"OFPT_ROLE_REQUEST", func(r *reader) Message { role, gen := decodeRole(r); return &RoleRequest{role, gen} }},
		typeRoleReply:             {"OFPT_ROLE_REPLY", func(r *reader) Message { role, gen := decodeRole(r); return &RoleReply{role, gen} }},
		typeGetAsyncRequest:       {"OFPT_GET_ASYNC_REQUEST", void(GetAsyncRequest{})},
		typeGetAsyncReply:         {"OFPT_GET_ASYNC_REPLY", func(r *reader) Message { return &GetAsyncReply{decodeAsync(r)} }},
		typeSetAsync:              {"OFPT_SET_ASYNC", func(r *reader) Message { return &SetAsync{decodeAsync(r)} }},
		typeMeterMod:              {"OFPT_METER_MOD", decodeMeterMod},
	}
	expKinds = map[expKey]msgKind{
		{expNicira, 16}: {"NXT_SET_PACKET_IN_FORMAT", func(r *reader) Message { return &SetPacketInFormat{PacketInFormat(r.u32())} }},
		{expNicira, 19}: {"NXT_SET_ASYNC_CONFIG", func(r *reader) Message { return &NXSetAsyncConfig{decodeAsync(r)} }},
		{expNicira, 20}: {"NXT_SET_CONTROLLER_ID", func(r *reader) Message { r.skip(6); return &SetControllerID{r.u16()} }},
		{expNicira, 27}: {"NXT_SET_ASYNC_CONFIG2", decodeAsync2},
		{expNicira, 28}: {"NXT_RESUME", func(r *reader) Message { return &Resume{decodePacketIn2Props(r)} }},
		{expNicira, 29}: {"NXT_CT_FLUSH_ZONE", func(r *reader) Message { r.skip(6); return &CTFlushZone{r.u16()} }},
		{expNicira, 30}: {"NXT_PACKET_IN2", func(r *reader) Message { p := decodePacketIn2Props(r); return &p }},
		{expNicira, 32}: {"NXT_CT_FLUSH", decodeCTFlush},
		{expONF, 1870}:  {"ONFT_FLOW_MONITOR_CANCEL", func(r *reader) Message { return &FlowMonitorCancel{r.u32()} }},
		{expONF, 1871}:  {"ONFT_FLOW_MONITOR_PAUSED", void(FlowMonitorPaused{})},
		{expONF, 1872}:  {"ONFT_FLOW_MONITOR_RESUMED", void(FlowMonitorResumed{})},
		{expONF, 1911}:  {"ONFT_ROLE_STATUS", decodeRoleStatus},
		{expONF, 2300}:  {"ONFT_BUNDLE_CONTROL", decodeBundleControl},
		{expONF, 2301}:  {"ONFT_BUNDLE_ADD_MESSAGE", decodeBundleAdd},
	}
}

// void is the decoder of a message without a body. What a peer sends there all the same is ignored.
func void(m Message) func(*reader) Message { return func(*reader) Message { return m } }

// typeName is the OFPT_ name of a message type.
func typeName(t uint8) string {
	if int(t) < len(basicKinds) {
		return basicKinds[t].name
	}
	return fmt.Sprintf("OFPT_%d", t)
}

// Decode reads one whole message. The result aliases msg (packets, userdata, raw bytes): a caller that reuses its
// buffer copies msg first. Types and experimenter messages that are not known become a *RawMessage, and
// entries of a MultipartReply are decoded only when they are asked for. The error is a *DecodeError
// that names the message, the offset from its start and what was expected there.
func Decode(msg []byte) (Message, error) {
	h, err := ParseHeader(msg)
	if err != nil {
		return nil, err
	}
	r := newReader(typeName(h.Type), msg)
	switch {
	case int(h.Length) != len(msg):
		r.off = 2
		r.fail("the length field says %d octets, the message has %d", h.Length, len(msg))
	case h.Version != Version && h.Type != typeHello && h.Type != typeError:
		r.fail("want version 4 (OpenFlow 1.3), not %d", h.Version)
	}
	if r.err != nil {
		return nil, r.err
	}
	r.skip(headerLen)
	m := decodeBody(&r, h)
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func decodeBody(r *reader, h MsgHeader) Message {
	if h.Type == typeError {
		return decodeError(r, h.XID)
	}
	if h.Type == typeExperimenter && r.left() >= 8 {
		body := *r
		if k := expKinds[expKey{r.u32(), r.u32()}]; k.decode != nil {
			r.typ = k.name
			return k.decode(r)
		}
		return &RawMessage{h.Type, body.rest()}
	}
	if int(h.Type) < len(basicKinds) && basicKinds[h.Type].decode != nil {
		return basicKinds[h.Type].decode(r)
	}
	return &RawMessage{h.Type, r.rest()}
}

// RawMessage is a message that is not known, kept as it came.
type RawMessage struct {
	Type uint8  // OFPT_*
	Body []byte // everything after the header
}

// Name is the name of the type, or OFPT_ and its number.
func (m *RawMessage) Name() string { return typeName(m.Type) }

// AppendTo appends the message as it came.
func (m *RawMessage) AppendTo(b []byte) []byte {
	n := len(b)
	return endMsg(append(beginMsg(b, m.Type), m.Body...), n)
}

// String shows at most 64 octets of the body.
func (m *RawMessage) String() string {
	return fmt.Sprintf("%s: %d octets %s", m.Name(), len(m.Body), hexDots(m.Body, 64))
}

// hexDots is b in hexadecimal, cut after n octets.
func hexDots(b []byte, n int) string {
	if len(b) > n {
		return hex.EncodeToString(b[:n]) + "…"
	}
	return hex.EncodeToString(b)
}

// appendVoid appends a message without a body.
func appendVoid(b []byte, t uint8) []byte { return endMsg(beginMsg(b, t), len(b)) }

// FeaturesRequest asks for FeaturesReply (OpenFlow 1.3.5 section 7.3.1).
type FeaturesRequest struct{}

// GetConfigRequest asks for GetConfigReply (section 7.3.2).
type GetConfigRequest struct{}

// BarrierRequest is answered by BarrierReply when all messages before it have been processed (section 7.3.7).
type BarrierRequest struct{}

// BarrierReply answers BarrierRequest.
type BarrierReply struct{}

// GetAsyncRequest asks for GetAsyncReply (section 7.3.10).
type GetAsyncRequest struct{}

// Name is OFPT_FEATURES_REQUEST.
func (FeaturesRequest) Name() string { return "OFPT_FEATURES_REQUEST" }

// Name is OFPT_GET_CONFIG_REQUEST.
func (GetConfigRequest) Name() string { return "OFPT_GET_CONFIG_REQUEST" }

// Name is OFPT_BARRIER_REQUEST.
func (BarrierRequest) Name() string { return "OFPT_BARRIER_REQUEST" }

// Name is OFPT_BARRIER_REPLY.
func (BarrierReply) Name() string { return "OFPT_BARRIER_REPLY" }

// Name is OFPT_GET_ASYNC_REQUEST.
func (GetAsyncRequest) Name() string { return "OFPT_GET_ASYNC_REQUEST" }

// AppendTo appends the message.
func (FeaturesRequest) AppendTo(b []byte) []byte { return appendVoid(b, typeFeaturesRequest) }

// AppendTo appends the message.
func (GetConfigRequest) AppendTo(b []byte) []byte { return appendVoid(b, typeGetConfigRequest) }

// AppendTo appends the message.
func (BarrierRequest) AppendTo(b []byte) []byte { return appendVoid(b, typeBarrierRequest) }

// AppendTo appends the message.
func (BarrierReply) AppendTo(b []byte) []byte { return appendVoid(b, typeBarrierReply) }

// AppendTo appends the message.
func (GetAsyncRequest) AppendTo(b []byte) []byte { return appendVoid(b, typeGetAsyncRequest) }

// String is the name.
func (m FeaturesRequest) String() string { return m.Name() }

// String is the name.
func (m GetConfigRequest) String() string { return m.Name() }

// String is the name.
func (m BarrierRequest) String() string { return m.Name() }

// String is the name.
func (m BarrierReply) String() string { return m.Name() }

// String is the name.
func (m GetAsyncRequest) String() string { return m.Name() }
