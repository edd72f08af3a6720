package openflow

import "fmt"

// Bundles are ONF extension 230 in OpenFlow 1.3 (experimenter types 2300 and 2301), native in 1.4.

// BundleFlags say how a bundle is committed (enum ofp14_bundle_flags). All messages of a bundle carry the same.
type BundleFlags uint16

// Flags of a bundle. With BundleAtomic lookups see all changes or none; Open vSwitch needs it for packet-outs. With
// BundleOrdered changes are applied in order; Open vSwitch always does.
const (
	BundleAtomic  BundleFlags = 1
	BundleOrdered BundleFlags = 2
)

// BundleCommand is the type of a BundleControl (enum ofp14_bundle_ctrl_type); a reply has the command plus one.
type BundleCommand uint16

// Commands of BundleControl.
const (
	BundleOpen         BundleCommand = 0
	BundleOpenReply    BundleCommand = 1
	BundleClose        BundleCommand = 2
	BundleCloseReply   BundleCommand = 3
	BundleCommit       BundleCommand = 4
	BundleCommitReply  BundleCommand = 5
	BundleDiscard      BundleCommand = 6
	BundleDiscardReply BundleCommand = 7
)

var bundleCommands = [...]string{"OPEN_REQUEST", "OPEN_REPLY", "CLOSE_REQUEST", "CLOSE_REPLY", "COMMIT_REQUEST",
	"COMMIT_REPLY", "DISCARD_REQUEST", "DISCARD_REPLY"}

// BundleControl opens, closes, commits or discards a bundle, and is the reply to that.
type BundleControl struct {
	ID      uint32 // chosen by the controller, unique on the connection
	Command BundleCommand
	Flags   BundleFlags
	Props   []byte // raw, whole
}

func decodeBundleControl(r *reader) Message {
	return &BundleControl{r.u32(), BundleCommand(r.u16()), BundleFlags(r.u16()), r.rest()}
}

// Name is ONFT_BUNDLE_CONTROL.
func (m *BundleControl) Name() string { return "ONFT_BUNDLE_CONTROL" }

// AppendTo appends the message.
func (m *BundleControl) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(append16(append32(beginExp(b, expONF, 2300), m.ID), uint16(m.Command)), uint16(m.Flags))
	return endMsg(append(b, m.Props...), n)
}

// String lists the flags as ovs-ofctl does.
func (f BundleFlags) String() string {
	return flagText(uint32(f), " ", map[uint32]string{1: "atomic", 2: "ordered"})
}

// String is what ovs-ofctl prints.
func (m *BundleControl) String() string {
	c := fmt.Sprintf("type %d", m.Command)
	if int(m.Command) < len(bundleCommands) {
		c = bundleCommands[m.Command]
	}
	return fmt.Sprintf("%s:\n bundle_id=%#x type=%s flags=%s", m.Name(), m.ID, c, m.Flags)
}

// BundleAdd puts Message into a bundle: a FlowMod, GroupMod, PacketOut or PortMod. The message inside has the
// same xid as the one outside.
type BundleAdd struct {
	ID      uint32
	Flags   BundleFlags
	Message Message
	Props   []byte // raw, whole
}

const bundleAddLen = 24 // to the message inside

func decodeBundleAdd(r *reader) Message {
	m := &BundleAdd{ID: r.u32()}
	r.skip(2)
	m.Flags = BundleFlags(r.u16())
	start := r.off
	h, err := ParseHeader(r.b[min(r.off, len(r.b)):])
	if r.err != nil || err != nil || int(h.Length) > r.left() || h.Type == typeExperimenter {
		r.fail("want a whole message of another type than experimenter inside")
		return m
	}
	inner := reader{typ: r.typ + " with " + typeName(h.Type), b: r.take(int(h.Length)), base: r.base + start}
	if h.Version != Version {
		inner.fail("want version 4 (OpenFlow 1.3), not %d", h.Version)
	}
	inner.skip(headerLen)
	m.Message = decodeBody(&inner, h)
	r.adopt(inner.err)
	m.Props = r.rest()
	return m
}

// Name is ONFT_BUNDLE_ADD_MESSAGE.
func (m *BundleAdd) Name() string { return "ONFT_BUNDLE_ADD_MESSAGE" }

// AppendTo appends the message, nothing when the one inside cannot be expressed.
func (m *BundleAdd) AppendTo(b []byte) []byte {
	b, _ = m.encode(b)
	return b
}

func (m *BundleAdd) encode(b []byte) ([]byte, error) {
	n := len(b)
	b = append16(append16(append32(beginExp(b, expONF, 2301), m.ID), 0), uint16(m.Flags))
	b, err := Encode(b, m.Message, 0)
	if err != nil {
		return b[:n], err
	}
	if len(m.Props) > 0 { // properties start 8-aligned
		b = appendZeros(b, pad8(len(b)-n)-(len(b)-n))
		b = append(b, m.Props...)
	}
	return endMsg(b, n), nil
}

// String is what ovs-ofctl prints, with the message inside.
func (m *BundleAdd) String() string {
	return fmt.Sprintf("%s:\n bundle_id=%#x flags=%s\n%s", m.Name(), m.ID, m.Flags, m.Message)
}
