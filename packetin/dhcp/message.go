package dhcp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/model"
)

// Message types (RFC 2132 9.6).
const (
	typeDiscover = 1
	typeOffer    = 2
	typeRequest  = 3
	typeDecline  = 4
	typeAck      = 5
	typeNak      = 6
	typeRelease  = 7
	typeInform   = 8
)

// Ports (RFC 2131 4.1).
const (
	portServer = 67
	portClient = 68
)

// The fixed part of a message (RFC 2131 figure 1).
const (
	opRequest = 1
	opReply   = 2
	htypeEth  = 1

	snameLen  = 64
	fileLen   = 128
	fixedLen  = 236 // without the magic cookie
	headLen   = 240 // with it
	minLen    = 300 // of a BOOTP message, below which old clients and relays drop (RFC 1542 2.1)
	cookie    = 0x63825363
	broadcast = 0x8000 // in flags
)

// request is a client's message, as far as it matters. Its slices alias the packet.
type request struct {
	xid            uint32
	flags          uint16
	ciaddr, giaddr netip.Addr
	chaddr         model.MAC

	msgType   uint8      // zero: none, that is BOOTP
	requested netip.Addr // option 50
	serverID  netip.Addr // option 54
	params    []byte     // option 55
	clientID  []byte     // option 61
	maxSize   int        // option 57, of the IP packet in bytes
	overload  uint8      // option 52
	ipxe      bool       // option 175, or a user class (77) of iPXE
	rapid     bool       // option 80
}

var (
	errNotRequest = errors.New("dhcp: a server's message")
	errHardware   = errors.New("dhcp: hardware address is not Ethernet's")
)

// decode reads a message.
func (q *request) decode(b []byte) error {
	r := wire.NewReader(b)
	op, htype, hlen := r.Uint8(), r.Uint8(), r.Uint8()
	r.Skip(1) // hops
	q.xid = r.Uint32()
	r.Skip(2) // secs
	q.flags = r.Uint16()
	var ci, gi [4]byte
	r.Copy(ci[:])
	r.Skip(8) // yiaddr, siaddr
	r.Copy(gi[:], q.chaddr[:])
	q.ciaddr, q.giaddr = netip.AddrFrom4(ci), netip.AddrFrom4(gi)
	r.Skip(10) // rest of chaddr
	sname, file := r.Bytes(snameLen), r.Bytes(fileLen)
	if r.Err() == nil && op != opRequest {
		return errNotRequest
	}
	if r.Err() == nil && (htype != htypeEth || hlen != 6) {
		return errHardware
	}
	if r.Err() == nil && r.Len() == 0 {
		return nil // BOOTP of before RFC 1048
	}
	if c := r.Uint32(); r.Err() == nil && c != cookie {
		return fmt.Errorf("dhcp: magic cookie is %08x", c)
	}
	if r.Err() != nil {
		return fmt.Errorf("dhcp: fixed part of %d bytes: %w", len(b), r.Err())
	}
	if err := q.options(r.Rest()); err != nil {
		return err
	}
	// The fields hold options, too, where the client says so; what is split over them is put together in
	// this order (RFC 3396 5).
	o := q.overload
	if o&1 != 0 {
		if err := q.options(file); err != nil {
			return err
		}
	}
	if o&2 != 0 {
		return q.options(sname)
	}
	return nil
}

// options reads one area of options.
func (q *request) options(b []byte) error {
	for len(b) > 0 {
		code := b[0]
		if code == optPad {
			b = b[1:]
			continue
		}
		if code == optEnd {
			return nil
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return fmt.Errorf("dhcp: option %d is longer than the message", code)
		}
		v := b[2 : 2+int(b[1])]
		b = b[2+int(b[1]):]
		ok := true
		switch code {
		case optMessageType:
			if ok = len(v) == 1 && v[0] >= typeDiscover; ok {
				q.msgType = v[0]
			}
		case optRequestedAddr:
			q.requested, ok = netip.AddrFromSlice(v)
			ok = ok && len(v) == 4
		case optServerID:
			q.serverID, ok = netip.AddrFromSlice(v)
			ok = ok && len(v) == 4
		case optOverload:
			if ok = len(v) == 1 && v[0] >= 1 && v[0] <= 3; ok {
				q.overload = v[0]
			}
		case optMaxSize:
			if ok = len(v) == 2; ok {
				q.maxSize = int(v[0])<<8 | int(v[1])
			}
		case optParameters:
			q.params = concat(q.params, v)
		case optClientID:
			// It is echoed, so it must not make the reply as long as it likes.
			q.clientID = concat(q.clientID, v)
			ok = len(q.clientID) <= 255
		case optRapidCommit:
			q.rapid = true
		case optIPXE:
			q.ipxe = true
		case optUserClass:
			// iPXE sends the bare string, RFC 3004 wants a length in front.
			q.ipxe = q.ipxe || string(v) == "iPXE" || string(v) == "\x04iPXE"
		}
		if !ok {
			return fmt.Errorf("dhcp: option %d has %d bytes that make no sense", code, len(v))
		}
	}
	return nil
}

// concat joins the parts of an option that comes in several (RFC 3396 7). One part costs no copy.
func concat(a, b []byte) []byte {
	if a == nil {
		return b
	}
	return slices.Concat(a, b)
}
