package openflow

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// errExperimenter is OFPET_EXPERIMENTER: the error is another organisation's.
const errExperimenter = 0xffff

// ErrorCode says what went wrong. It is comparable.
type ErrorCode struct {
	Exp  uint32 // experimenter (ONF 0x4f4e4600, Nicira 0x2320) when Type is 0xffff, else 0
	Type uint16 // OFPET_*
	Code uint16 // meaning depends on Type; for Type 0xffff it is the experimenter's own number
}

// Error codes that this package itself sends or looks for. ErrorCodeByName knows all.
var (
	codeIncompatible = ErrorCode{Type: 0, Code: 0}
	codeBadVersion   = ErrorCode{Type: 1, Code: 0}
	codeBadLen       = ErrorCode{Type: 1, Code: 6}
)

// errorTable holds the names as Open vSwitch has them (ofp-errors.h), in the order of their numbers in OpenFlow 1.3.
var errorTable = []struct {
	exp         uint32
	typ, first  uint16
	prefix, all string
}{
	{0, 0, 0, "OFPHFC", "INCOMPATIBLE EPERM"},
	{0, 1, 0, "OFPBRC", "BAD_VERSION BAD_TYPE BAD_STAT BAD_VENDOR BAD_SUBTYPE EPERM BAD_LEN BUFFER_EMPTY BUFFER_UNKNOWN BAD_TABLE_ID IS_SECONDARY BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW"},
	{0, 2, 0, "OFPBAC", "BAD_TYPE BAD_LEN BAD_VENDOR BAD_VENDOR_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY BAD_QUEUE BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN BAD_SET_ARGUMENT"},
	{0, 3, 0, "OFPBIC", "UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER BAD_EXP_TYPE BAD_LEN EPERM"},
	{0, 4, 0, "OFPBMC", "BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE BAD_MASK BAD_PREREQ DUP_FIELD EPERM"},
	{0, 5, 0, "OFPFMFC", "UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS"},
	{0, 6, 0, "OFPGMFC", "GROUP_EXISTS INVALID_GROUP WEIGHT_UNSUPPORTED OUT_OF_GROUPS OUT_OF_BUCKETS CHAINING_UNSUPPORTED WATCH_UNSUPPORTED LOOP UNKNOWN_GROUP CHAINED_GROUP BAD_TYPE BAD_COMMAND BAD_BUCKET BAD_WATCH EPERM"},
	{0, 7, 0, "OFPPMFC", "BAD_PORT BAD_HW_ADDR BAD_CONFIG BAD_ADVERTISE EPERM"},
	{0, 8, 0, "OFPTMFC", "BAD_TABLE BAD_CONFIG EPERM"},
	{0, 9, 0, "OFPQOFC", "BAD_PORT BAD_QUEUE EPERM"},
	{0, 10, 0, "OFPSCFC", "BAD_FLAGS BAD_LEN EPERM"},
	{0, 11, 0, "OFPRRFC", "STALE UNSUP BAD_ROLE"},
	{0, 12, 0, "OFPMMFC", "UNKNOWN METER_EXISTS INVALID_METER UNKNOWN_METER BAD_COMMAND BAD_FLAGS BAD_RATE BAD_BURST BAD_BAND BAD_BAND_VALUE OUT_OF_METERS OUT_OF_BANDS"},
	{0, 13, 0, "OFPTFFC", "BAD_TABLE BAD_METADATA"},
	{0, 13, 2, "OFPBPC", "BAD_TYPE BAD_LEN BAD_VALUE"},
	{0, 13, 5, "OFPTFFC", "EPERM"},
	{expONF, errExperimenter, 2300, "OFPBFC", "UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN MSG_BAD_XID MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS"},
	{expONF, errExperimenter, 2600, "OFPBIC", "DUP_INST"},
	{expONF, errExperimenter, 4250, "OFPBAC", "BAD_SET_MASK"},
	{expONF, errExperimenter, 4443, "OFPBPC", "TOO_MANY DUP_TYPE BAD_EXPERIMENTER BAD_EXP_TYPE BAD_EXP_VALUE EPERM"},
	{expNicira, errExperimenter, 2, "NXBRC", "NXM_INVALID NXM_BAD_TYPE MUST_BE_ZERO BAD_REASON"},
	{expNicira, errExperimenter, 6, "OFPMOFC", "MONITOR_EXISTS BAD_FLAGS UNKNOWN_MONITOR"},
	{expNicira, errExperimenter, 9, "NXBRC", "FM_BAD_EVENT UNENCODABLE_ERROR"},
	{expNicira, errExperimenter, 11, "NXBAC", "MUST_BE_ZERO"},
	{expNicira, errExperimenter, 12, "NXFMFC", "HARDWARE BAD_TABLE_ID"},
	{expNicira, errExperimenter, 15, "NXBAC", "BAD_CONJUNCTION"},
	{expNicira, errExperimenter, 16, "NXTTMFC", "BAD_COMMAND BAD_OPT_LEN BAD_FIELD_IDX TABLE_FULL ALREADY_MAPPED DUP_ENTRY"},
	{expNicira, errExperimenter, 34, "NXR", "NOT_SUPPORTED STALE"},
	{expNicira, errExperimenter, 36, "NXST", "NOT_CONFIGURED"},
	{expNicira, errExperimenter, 37, "NXFMFC", "INVALID_TLV_FIELD"},
	{expNicira, errExperimenter, 38, "NXTTMFC", "INVALID_TLV_DEL"},
	{expNicira, errExperimenter, 39, "NXBAC", "BAD_HEADER_TYPE UNKNOWN_ED_PROP BAD_ED_PROP CT_DATAPATH_SUPPORT"},
	{expNicira, errExperimenter, 43, "NXBMC", "CT_DATAPATH_SUPPORT"},
	{expNicira, errExperimenter, 44, "NXTFFC", "DUP_TABLE"},
}

// errorNames and errorCodes are errorTable by code and by name, made once and then read only.
var errorNames, errorCodes = func() (map[ErrorCode]string, map[string]ErrorCode) {
	byCode, byName := map[ErrorCode]string{}, map[string]ErrorCode{}
	for _, row := range errorTable {
		for i, n := range strings.Fields(row.all) {
			c := ErrorCode{row.exp, row.typ, row.first + uint16(i)}
			byCode[c], byName[row.prefix+"_"+n] = row.prefix+"_"+n, c
		}
	}
	return byCode, byName
}()

// ErrorCodeByName returns the code that Open vSwitch calls name (OFPFMFC_TABLE_FULL) in OpenFlow 1.3.
func ErrorCodeByName(name string) (c ErrorCode, ok bool) {
	c, ok = errorCodes[name]
	return c, ok
}

// String is the name that Open vSwitch has for the code, or its numbers.
func (c ErrorCode) String() string {
	switch n := errorNames[c]; {
	case n != "":
		return n
	case c.Type == errExperimenter:
		return fmt.Sprintf("experimenter %#x error %d", c.Exp, c.Code)
	}
	return fmt.Sprintf("error type %d code %d", c.Type, c.Code)
}

// Error is OFPT_ERROR (OpenFlow 1.3.5 section 7.5.4). It is a message and a Go error: requests that fail at the
// switch return it.
type Error struct {
	XID  uint32 // of the message that caused it
	Code ErrorCode
	Data []byte // that message, or at least its first 64 octets; text when a hello failed
}

func decodeError(r *reader, xid uint32) Message {
	e := &Error{XID: xid, Code: ErrorCode{Type: r.u16(), Code: r.u16()}}
	if e.Code.Type == errExperimenter {
		e.Code.Exp = r.u32()
	}
	e.Data = r.rest()
	return e
}

// Name is OFPT_ERROR.
func (e *Error) Name() string { return "OFPT_ERROR" }

// AppendTo appends the message with e.XID.
func (e *Error) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(append16(beginMsg(b, typeError), e.Code.Type), e.Code.Code)
	if e.Code.Type == errExperimenter {
		b = append32(b, e.Code.Exp)
	}
	b = append(b, e.Data...)
	SetXID(b[n:], e.XID)
	return endMsg(b, n)
}

// text is Data when it is text.
func (e *Error) text() string {
	if e.Code.Type == 0 && len(e.Data) > 0 {
		return strconv.Quote(string(e.Data[:min(len(e.Data), 200)]))
	}
	return ""
}

// Error is the code's name, the request that it is about and its xid, in one line.
func (e *Error) Error() string {
	s := "openflow: " + e.Code.String()
	if t := e.text(); t != "" {
		return s + ": " + t
	}
	if len(e.Data) < headerLen {
		return fmt.Sprintf("%s (xid %#x)", s, e.XID)
	}
	return fmt.Sprintf("%s in answer to %s (xid %#x)", s, requestName(e.Data), e.XID)
}

// String is the code's name and the start of the message that caused it.
func (e *Error) String() string {
	if t := e.text(); t != "" {
		return "OFPT_ERROR: " + e.Code.String() + " " + t
	}
	return fmt.Sprintf("OFPT_ERROR: %s %s", e.Code, hexDots(e.Data, 64))
}

// requestName names the message that starts with b, which may be cut.
func requestName(b []byte) string {
	if b[1] == typeExperimenter && len(b) >= 16 {
		if k, ok := expKinds[expKey{binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}]; ok {
			return k.name
		}
	}
	return typeName(b[1])
}
