package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the OpenFlow version that this package speaks: 1.3, wire number 4.
const Version = 4

// MaxMessage is the most octets that an OpenFlow message can have: its length field has 16 bits.
const MaxMessage = 65535

// headerLen is the length of struct ofp_header.
const headerLen = 8

// MsgHeader is struct ofp_header, big-endian on the wire (OpenFlow 1.3.5 section 7.1).
type MsgHeader struct {
	Version uint8  // 4 for OpenFlow 1.3
	Type    uint8  // OFPT_*
	Length  uint16 // octets of the whole message, header included
	XID     uint32 // transaction id: a reply and an error carry that of their request
}

// ParseHeader reads the header at the start of b. It fails when b has fewer than 8 octets or the length field
// is below 8; it does not look at whether b holds the whole message.
func ParseHeader(b []byte) (MsgHeader, error) {
	if len(b) < headerLen {
		return MsgHeader{}, &DecodeError{"header", len(b), fmt.Sprintf("want 8 octets, have %d", len(b))}
	}
	h := MsgHeader{b[0], b[1], binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])}
	if h.Length < headerLen {
		return h, &DecodeError{"header of " + typeName(h.Type), 2, fmt.Sprintf("want a length of at least 8, not %d", h.Length)}
	}
	return h, nil
}

// SetXID writes xid into the header of the encoded message msg.
func SetXID(msg []byte, xid uint32) { binary.BigEndian.PutUint32(msg[4:8], xid) }

// Message types (enum ofp_type of OpenFlow 1.3.5).
const (
	typeHello = iota
	typeError
	typeEchoRequest
	typeEchoReply
	typeExperimenter
	typeFeaturesRequest
	typeFeaturesReply
	typeGetConfigRequest
	typeGetConfigReply
	typeSetConfig
	typePacketIn
	typeFlowRemoved
	typePortStatus
	typePacketOut
	typeFlowMod
	typeGroupMod
	typePortMod
	typeTableMod
	typeMultipartRequest
	typeMultipartReply
	typeBarrierRequest
	typeBarrierReply
	typeQueueGetConfigRequest
	typeQueueGetConfigReply
	typeRoleRequest
	typeRoleReply
	typeGetAsyncRequest
	typeGetAsyncReply
	typeSetAsync
	typeMeterMod
)

// Message is one OpenFlow message without its transaction id. All messages of this package are used by pointer,
// except those without fields.
type Message interface {
	// Name is the message's name as Open vSwitch prints it, e.g. OFPT_FLOW_MOD.
	Name() string
	// AppendTo appends the whole message, header included, with xid 0 (an Error with its own). What cannot be
	// expressed on the wire appends nothing; Encode says why.
	AppendTo(b []byte) []byte
	// String is one line for logs; for flows, groups, meters and packet-ins it is what ovs-ofctl prints, and may
	// then have several lines.
	String() string
}

// encoder is implemented by messages whose encoding can fail.
type encoder interface {
	encode(b []byte) ([]byte, error)
}

// ErrTooLong is returned for a message that does not fit in 65,535 octets. Split it (a group into a tree, a
// bundle into messages); OpenFlow has no other way.
var ErrTooLong = errors.New("openflow: message is longer than 65535 octets")

// Encode appends the whole message with transaction id xid. On an error b is returned as it was. A
// MultipartReply of several parts appends several messages; every other message appends one.
func Encode(b []byte, m Message, xid uint32) ([]byte, error) {
	start := len(b)
	var err error
	if e, ok := m.(encoder); ok {
		b, err = e.encode(b)
	} else {
		b = m.AppendTo(b)
	}
	if err != nil {
		return b[:start], fmt.Errorf("openflow: %s: %w", m.Name(), err)
	}
	for n := start; n < len(b); {
		l := int(binary.BigEndian.Uint16(b[n+2:]))
		if _, multi := m.(*MultipartReply); !multi && l != len(b)-start || l < headerLen || l > len(b)-n {
			return b[:start], fmt.Errorf("%s of %d octets: %w", m.Name(), len(b)-start, ErrTooLong)
		}
		SetXID(b[n:], xid)
		n += l
	}
	if _, ok := m.(*BundleAdd); ok {
		SetXID(b[start+bundleAddLen:], xid)
	}
	if len(b) == start {
		return b, fmt.Errorf("openflow: %s cannot be expressed on the wire", m.Name())
	}
	return b, nil
}

// beginMsg appends a header of type t whose length endMsg fills in.
func beginMsg(b []byte, t uint8) []byte { return append(b, Version, t, 0, 0, 0, 0, 0, 0) }

// beginExp appends the header of an experimenter message.
func beginExp(b []byte, exp, subtype uint32) []byte {
	return append32(append32(beginMsg(b, typeExperimenter), exp), subtype)
}

// endMsg writes the length of the message that starts at start.
func endMsg(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

func append16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func append32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func append64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// put16 writes a length found only after what it measures was appended.
func put16(b []byte, v int) { binary.BigEndian.PutUint16(b, uint16(v)) }
