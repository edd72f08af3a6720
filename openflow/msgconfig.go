package openflow

import "fmt"

// Features is OFPT_FEATURES_REPLY (OpenFlow 1.3.5 section 7.3.1).
type Features struct {
	DatapathID   uint64 // of the bridge; Open vSwitch prints it as 16 hexadecimal digits
	Buffers      uint32 // packets that the switch can keep; 0 for Open vSwitch today
	Tables       uint8
	AuxID        uint8 // 0 for a main connection
	Capabilities uint32
	Reserved     uint32
}

func decodeFeatures(r *reader) Message {
	m := &Features{DatapathID: r.u64(), Buffers: r.u32(), Tables: r.u8(), AuxID: r.u8()}
	r.skip(2)
	m.Capabilities, m.Reserved = r.u32(), r.u32()
	return m
}

// Name is OFPT_FEATURES_REPLY.
func (m *Features) Name() string { return "OFPT_FEATURES_REPLY" }

// AppendTo appends the message.
func (m *Features) AppendTo(b []byte) []byte {
	n := len(b)
	b = append32(append64(beginMsg(b, typeFeaturesReply), m.DatapathID), m.Buffers)
	b = append32(append(b, m.Tables, m.AuxID, 0, 0), m.Capabilities)
	return endMsg(append32(b, m.Reserved), n)
}

// String shows the datapath id and the sizes.
func (m *Features) String() string {
	return fmt.Sprintf("OFPT_FEATURES_REPLY: dpid:%016x n_tables:%d, n_buffers:%d capabilities:%#x", m.DatapathID, m.Tables, m.Buffers, m.Capabilities)
}

// NoBuffer as miss_send_len or max_len sends whole packets, as a buffer id says that the packet is not kept by
// the switch (OFPCML_NO_BUFFER, OFP_NO_BUFFER).
const (
	SendWhole uint16 = 0xffff
	NoBuffer  uint32 = 0xffffffff
)

// SetConfig sets how the switch handles fragments and how much of a packet a table miss sends (section 7.3.2).
type SetConfig struct {
	Flags       uint16 // OFPC_FRAG_*: 0 normal, 1 drop, 2 reassemble, 3 nx-match
	MissSendLen uint16 // octets, SendWhole for all
}

// GetConfigReply answers GetConfigRequest.
type GetConfigReply struct {
	Flags       uint16
	MissSendLen uint16
}

// Name is OFPT_SET_CONFIG.
func (m *SetConfig) Name() string { return "OFPT_SET_CONFIG" }

// Name is OFPT_GET_CONFIG_REPLY.
func (m *GetConfigReply) Name() string { return "OFPT_GET_CONFIG_REPLY" }

// AppendTo appends the message.
func (m *SetConfig) AppendTo(b []byte) []byte {
	return endMsg(append16(append16(beginMsg(b, typeSetConfig), m.Flags), m.MissSendLen), len(b))
}

// AppendTo appends the message.
func (m *GetConfigReply) AppendTo(b []byte) []byte {
	return endMsg(append16(append16(beginMsg(b, typeGetConfigReply), m.Flags), m.MissSendLen), len(b))
}

var fragNames = [...]string{"normal", "drop", "reassemble", "nx-match"}

// String shows the handling of fragments and miss_send_len.
func (m *SetConfig) String() string {
	return fmt.Sprintf("OFPT_SET_CONFIG: frags=%s miss_send_len=%d", fragNames[m.Flags&3], m.MissSendLen)
}

// String shows the handling of fragments and miss_send_len.
func (m *GetConfigReply) String() string {
	return fmt.Sprintf("OFPT_GET_CONFIG_REPLY: frags=%s miss_send_len=%d", fragNames[m.Flags&3], m.MissSendLen)
}

// TableMod is OFPT_TABLE_MOD. Open vSwitch ignores its flags in OpenFlow 1.3.
type TableMod struct {
	Table  uint8
	Config uint32
}

// Name is OFPT_TABLE_MOD.
func (m *TableMod) Name() string { return "OFPT_TABLE_MOD" }

// AppendTo appends the message.
func (m *TableMod) AppendTo(b []byte) []byte {
	return endMsg(append32(append(beginMsg(b, typeTableMod), m.Table, 0, 0, 0), m.Config), len(b))
}

// String shows the fields.
func (m *TableMod) String() string {
	return fmt.Sprintf("OFPT_TABLE_MOD: table_id=%d config=%#x", m.Table, m.Config)
}

// PacketInFormat says how a switch sends packet-ins (enum nx_packet_in_format).
type PacketInFormat uint32

// Formats of packet-ins. Continuations and userdata come only with PacketIn2Format.
const (
	StandardPacketIn PacketInFormat = 0 // OFPT_PACKET_IN of the OpenFlow version
	NXPacketInFormat PacketInFormat = 1 // NXT_PACKET_IN
	PacketIn2Format  PacketInFormat = 2 // NXT_PACKET_IN2
)

// SetPacketInFormat is NXT_SET_PACKET_IN_FORMAT; it holds for the connection and has no reply.
type SetPacketInFormat struct{ Format PacketInFormat }

// Name is NXT_SET_PACKET_IN_FORMAT.
func (m *SetPacketInFormat) Name() string { return "NXT_SET_PACKET_IN_FORMAT" }

// AppendTo appends the message.
func (m *SetPacketInFormat) AppendTo(b []byte) []byte {
	return endMsg(append32(beginExp(b, expNicira, 16), uint32(m.Format)), len(b))
}

// String names the format.
func (m *SetPacketInFormat) String() string {
	names := [...]string{"standard", "nxt_packet_in", "nxt_packet_in2"}
	if int(m.Format) < len(names) {
		return m.Name() + ": format=" + names[m.Format]
	}
	return fmt.Sprintf("%s: format=%d", m.Name(), uint32(m.Format))
}

// SetControllerID is NXT_SET_CONTROLLER_ID: the connection gets the packet-ins of controller actions with this
// id (0 until it is set). There is no reply.
type SetControllerID struct{ ID uint16 }

// Name is NXT_SET_CONTROLLER_ID.
func (m *SetControllerID) Name() string { return "NXT_SET_CONTROLLER_ID" }

// AppendTo appends the message.
func (m *SetControllerID) AppendTo(b []byte) []byte {
	return endMsg(append16(appendZeros(beginExp(b, expNicira, 20), 6), m.ID), len(b))
}

// String shows the id.
func (m *SetControllerID) String() string { return fmt.Sprintf("%s: id=%d", m.Name(), m.ID) }
