// Package packetin declares what a packet-in handler gets and gives. The handlers are in packages of their
// own, one per protocol: dhcp, arp, icmp. A handler is a function of packet bytes and a view of the intent;
// it does no I/O, reads no clock, logs nothing and keeps no state but caches of what the view says. Queues,
// limits, the fence against panics and the sending belong to controller/dispatch.
package packetin

import (
	"net/netip"

	"github.com/penstock/penstock/model"
)

// Packet is one packet that a switch sent to the controller.
type Packet struct {
	Host model.HostName
	// InPort is the OpenFlow port on br-int that the packet came in by.
	InPort uint32
	// PortKey is the key of the asking Port as the pipeline wrote it into the flow's userdata. It says who
	// asks; addresses inside the packet do not.
	PortKey uint32
	// Data is the Ethernet frame, without FCS, or as much of it as the switch sent. A handler neither
	// modifies nor keeps it.
	Data []byte
	// FullLen is the frame's length in bytes at the switch; more than len(Data) if it was cut.
	FullLen int
	// Unresolved says that the packet was held, and that its next hop was asked for in vain.
	Unresolved bool
}

// Truncated reports whether the switch sent less than the whole frame.
func (p *Packet) Truncated() bool { return p.FullLen > len(p.Data) }

// Out is one packet to send: a packet-out on the bridge that the Packet came from, straight to a port.
type Out struct {
	// Data is the Ethernet frame. It lives in the Result's memory, until the Result's next Reset.
	Data []byte
	// Port is the OpenFlow port to send it out of.
	Port uint32
	// Net, if not 0, is the key of the network that the frame is switched in, as if a port of this host had sent it;
	// Port does not count then.
	Net uint32
	// Router, if not 0, is the key of the router that forwards the frame out of its external network, Net, to the MAC
	// address that the frame has: its source is translated, as that of any packet that leaves.
	Router uint32
}

// FactKind says what a Fact is about.
type FactKind uint8

// The kinds of facts.
const (
	// FactDeclined: the port's VM says that somebody else uses the address that it was given.
	FactDeclined FactKind = iota + 1
	// FactAnswer: Addr says in an ARP reply that it is at MAC.
	FactAnswer
	// FactHeard: Addr says so in another ARP packet.
	FactHeard
	// FactAnnounced: a port says so of an address that is not its own in the store. Other hosts may not hear of it.
	FactAnnounced
)

// Fact is something that a handler learned of a packet, for the controller to keep or report.
type Fact struct {
	Kind FactKind
	Port model.PortID // the asking port
	// Net is the key of the network that Addr is in, with FactAnswer, FactHeard and FactAnnounced.
	Net  uint32
	Addr netip.Addr
	MAC  model.MAC
}

// Hold asks the controller to find the MAC of a router's next hop out, and to keep the packet until then.
type Hold struct {
	Net  uint32     // key of the network that the next hop is in
	Addr netip.Addr // IPv4
	// MAC and IP are who asks; IP is 0.0.0.0 for a question that teaches nobody who asks (a probe, RFC 5227).
	MAC model.MAC
	IP  netip.Addr
	// From is the key of the network that the packet is routed from. Inside says that the asking port of this host sent it
	// there, Remote that another host did; otherwise it came from a router, or from outside.
	From           uint32
	Inside, Remote bool
}

// Result is what a handler made of a packet. A dispatcher keeps one per worker and resets it before each
// packet, so that answering costs no allocation.
type Result struct {
	Out   []Out
	Facts []Fact
	// Hold, if not nil, has the packet kept.
	Hold *Hold
	// Outcome is a metric label, one of the handler's exported list; the handler always sets it.
	Outcome string

	buf []byte
}

// Reset empties the result and makes its memory free for use again: every Out.Data it gave is void.
func (r *Result) Reset() {
	r.Out, r.Facts, r.Hold, r.Outcome, r.buf = r.Out[:0], r.Facts[:0], nil, "", r.buf[:0]
}

// Buffer gives an empty slice with room for at least n bytes to build a frame in; hand it back with Send.
func (r *Result) Buffer(n int) []byte {
	if cap(r.buf)-len(r.buf) < n {
		r.buf = make([]byte, 0, max(n, 4096)) // frames sent before keep the old memory
	}
	return r.buf[len(r.buf):len(r.buf):cap(r.buf)]
}

// Send adds a frame that was built in the slice of the last Buffer (or elsewhere) to what goes out.
func (r *Result) Send(port uint32, frame []byte) {
	r.Out = append(r.Out, Out{Data: frame, Port: port})
	if n := len(r.buf); len(frame) > 0 && cap(r.buf)-n >= len(frame) && &r.buf[n : n+1][0] == &frame[0] {
		r.buf = r.buf[:n+len(frame)]
	}
}

// SendInto is Send for a frame that is to be switched in the network with a key.
func (r *Result) SendInto(net uint32, frame []byte) {
	r.Send(0, frame)
	r.Out[len(r.Out)-1].Net = net
}

// SendOut is SendInto for a frame that a router sends into its external network.
func (r *Result) SendOut(router, net uint32, frame []byte) {
	r.SendInto(net, frame)
	r.Out[len(r.Out)-1].Router = router
}

// Ignore sets the outcome of a packet that is not answered and gives why as the handler's error (nil for
// what is no fault of the sender).
func (r *Result) Ignore(outcome string, why error) error {
	r.Outcome = outcome
	return why
}

// Handler answers one packet of the protocol it is for. The returned error says what is wrong with the
// packet; it is for counters and debug logs and never means that the handler itself failed. Handlers are
// safe for concurrent use, each call with its own Result.
type Handler func(v model.View, in *Packet, r *Result) error

// Outcomes that every handler may give beside its own.
const (
	// OutcomeMalformed: the bytes do not make a packet of the protocol.
	OutcomeMalformed = "ignored-malformed"
	// OutcomeTruncated: the switch sent only part of the packet.
	OutcomeTruncated = "ignored-truncated"
	// OutcomeUnknownPort: the view has no port of that key (any more).
	OutcomeUnknownPort = "ignored-unknown-port"
)
