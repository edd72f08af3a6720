package openflow

import "fmt"

// Hello opens a connection in both directions (OpenFlow 1.3.5 section 7.5.1).
type Hello struct {
	Version uint8  // of the header: the highest version that the sender speaks
	Bitmap  uint64 // bit v is set when version v is spoken; 0 when the sender sent no bitmap
}

// ourHello offers OpenFlow 1.3 and nothing else.
var ourHello = &Hello{Version: Version, Bitmap: 1 << Version}

// Speaks reports whether a peer that sent h and a side that sent Hello{v, 1<<v} settle on version v.
func (h *Hello) Speaks(v uint8) bool {
	if h.Bitmap != 0 {
		return h.Bitmap>>v&1 == 1
	}
	return h.Version >= v
}

func decodeHello(r *reader) Message {
	h := &Hello{Version: r.b[0]}
	for r.left() >= 4 { // a shorter rest is from a version to come
		typ, n := r.u16(), int(r.u16())
		if n < 4 {
			r.failBack(2, "want a hello element length of at least 4, not %d", n)
			return h
		}
		el := r.sub(n - 4)
		if typ == 1 {
			for shift := 0; el.left() >= 4 && shift < 64; shift += 32 {
				h.Bitmap |= uint64(el.u32()) << shift
			}
		}
		if pad := pad8(n) - n; pad <= r.left() {
			r.skip(pad)
		}
	}
	return h
}

// Name is OFPT_HELLO.
func (h *Hello) Name() string { return "OFPT_HELLO" }

// AppendTo appends the message; Version 0 is sent as 4, Bitmap 0 not at all.
func (h *Hello) AppendTo(b []byte) []byte {
	n := len(b)
	b = beginMsg(b, typeHello)
	if h.Version != 0 {
		b[n] = h.Version
	}
	switch {
	case h.Bitmap>>32 != 0:
		b = append32(append32(append16(append16(b, 1), 12), uint32(h.Bitmap)), uint32(h.Bitmap>>32))
		b = appendZeros(b, 4)
	case h.Bitmap != 0:
		b = append32(append16(append16(b, 1), 8), uint32(h.Bitmap))
	}
	return endMsg(b, n)
}

// String lists the versions by wire number.
func (h *Hello) String() string {
	return fmt.Sprintf("OFPT_HELLO: version=%d bitmap=%#x", h.Version, h.Bitmap)
}

// EchoRequest asks the peer to send Data back (section 7.5.2).
type EchoRequest struct{ Data []byte }

// EchoReply answers EchoRequest with the same Data (section 7.5.3).
type EchoReply struct{ Data []byte }

// Name is OFPT_ECHO_REQUEST.
func (m *EchoRequest) Name() string { return "OFPT_ECHO_REQUEST" }

// Name is OFPT_ECHO_REPLY.
func (m *EchoReply) Name() string { return "OFPT_ECHO_REPLY" }

// AppendTo appends the message.
func (m *EchoRequest) AppendTo(b []byte) []byte {
	return endMsg(append(beginMsg(b, typeEchoRequest), m.Data...), len(b))
}

// AppendTo appends the message.
func (m *EchoReply) AppendTo(b []byte) []byte {
	return endMsg(append(beginMsg(b, typeEchoReply), m.Data...), len(b))
}

// String says how long the data is, as ovs-ofctl does.
func (m *EchoRequest) String() string {
	return fmt.Sprintf("OFPT_ECHO_REQUEST: %d bytes of payload", len(m.Data))
}

// String says how long the data is.
func (m *EchoReply) String() string {
	return fmt.Sprintf("OFPT_ECHO_REPLY: %d bytes of payload", len(m.Data))
}
