package dhcp

import (
	"encoding/binary"
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/frame"
)

// headers is what stands before a DHCP message on the wire; minPacket is the IP packet every client takes
// (RFC 2131 2).
const (
	headers   = frame.EthernetLen + 8 + frame.IPv4Len + frame.UDPLen
	minPacket = 576
	ttl       = 64
)

// limit is how many bytes the reply's IP packet may have.
func (x *exchange) limit(p *plan) int {
	mtu := p.network.MTU
	if mtu <= 0 {
		mtu = 1500
	}
	return max(minPacket, min(x.req.maxSize, mtu))
}

// reply sends OFFER or ACK. Type typeInform stands for the ACK to an INFORM: no address, no times.
func (x *exchange) reply(p *plan, l *lease, typ uint8, rapid bool) {
	q, set := &x.req, l.options(x.req.ipxe)
	var yiaddr, ciaddr netip.Addr
	inform := typ == typeInform
	outcome, truncated := OutcomeOffer, OutcomeOfferTruncated
	switch typ {
	case typeAck:
		outcome, truncated = OutcomeAck, OutcomeAckTruncated
		if yiaddr = l.addr; q.ciaddr == l.addr {
			ciaddr = q.ciaddr
		}
	case typeInform:
		outcome, truncated, typ = OutcomeAckInform, OutcomeAckInformTruncated, typeAck
		ciaddr = q.ciaddr
	default:
		yiaddr = l.addr
	}
	// RFC 2131 4.1: to ciaddr if the client has it already, else broadcast if it asks for that, else to the
	// address that it is getting.
	dst := limitedBroadcast
	switch {
	case ciaddr.IsValid() && !ciaddr.IsUnspecified():
		dst = ciaddr
	case q.flags&broadcast == 0 && yiaddr.IsValid():
		dst = yiaddr
	}
	limit := x.limit(p)
	b := x.begin(x.out.Buffer(headers+limit), l, dst)
	msg := len(b)
	b = x.fixed(b, ciaddr, yiaddr, set)
	start := len(b)
	b = append(b, optMessageType, 1, typ)
	b = appendServerID(b, l)
	if n := len(q.clientID); n > 0 {
		b = appendOption(b, optClientID, q.clientID) // RFC 6842
	}
	if rapid {
		b = append(b, optRapidCommit, 0)
	}
	var order [256]uint8
	picked := pick(&order, set, q, inform)
	size := 0
	for _, i := range picked {
		size += encodedLen(int(set.entries[i].n))
	}
	space := limit - frame.IPv4Len - frame.UDPLen - headLen
	if len(b)-start+size < space { // and the end
		for _, i := range picked {
			e := set.entries[i]
			b = appendOption(b, e.code, set.bytes(e))
		}
		b = append(b, optEnd)
	} else {
		var all bool
		if b, all = overload(b, msg, start+space, set, picked); !all {
			outcome = truncated
		}
	}
	x.send(b, msg, l, dst)
	x.out.Outcome = outcome
}

// nak sends DHCPNAK (RFC 2131 4.3.2), always broadcast.
func (x *exchange) nak(p *plan) {
	l := &p.leases[0]
	b := x.begin(x.out.Buffer(headers+minPacket), l, limitedBroadcast)
	msg := len(b)
	b = x.fixed(b, netip.Addr{}, netip.Addr{}, nil)
	b = append(b, optMessageType, 1, typeNak)
	b = appendServerID(b, l)
	if len(x.req.clientID) > 0 {
		b = appendOption(b, optClientID, x.req.clientID)
	}
	b = appendOption(b, optMessage, []byte("address not available on this port"))
	b = append(b, optEnd)
	x.send(b, msg, l, limitedBroadcast)
	x.out.Outcome = OutcomeNak
}

// begin appends the headers of link, IP and UDP.
func (x *exchange) begin(b []byte, l *lease, dst netip.Addr) []byte {
	var mac model.MAC
	if mac = x.req.chaddr; dst == limitedBroadcast {
		mac = frame.Broadcast
	}
	b = frame.AppendEthernet(b, mac, l.serverMAC, x.eth.Tags, frame.TypeIPv4)
	b = frame.AppendIPv4(b, &frame.IPv4{TOS: 0xc0, DontFragment: true, TTL: ttl, Protocol: frame.ProtoUDP, Src: l.server, Dst: dst})
	return frame.AppendUDP(b, portServer, portClient)
}

var zeros [minLen]byte

// fixed appends the fixed part and the cookie (RFC 2131 table 3).
func (x *exchange) fixed(b []byte, ciaddr, yiaddr netip.Addr, set *optionSet) []byte {
	q := &x.req
	b = append(b, opReply, htypeEth, 6, 0)
	b = binary.BigEndian.AppendUint32(b, q.xid)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, q.flags)
	b = appendAddr(b, ciaddr)
	b = appendAddr(b, yiaddr)
	if set == nil {
		b = append(b, 0, 0, 0, 0)
	} else {
		b = append(b, set.siaddr[:]...)
	}
	b = append(b, 0, 0, 0, 0) // giaddr: relayed messages are not answered
	b = append(b, q.chaddr[:]...)
	b = append(b, zeros[:10+snameLen+fileLen]...)
	if set != nil {
		fields := b[len(b)-snameLen-fileLen:]
		copy(fields, set.sname)
		copy(fields[snameLen:], set.file)
	}
	return binary.BigEndian.AppendUint32(b, cookie)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, 0, 0, 0, 0)
	}
	v := a.As4()
	return append(b, v[:]...)
}

func appendServerID(b []byte, l *lease) []byte {
	return appendAddr(append(b, optServerID, 4), l.server)
}

// send pads and closes the frame whose DHCP message begins at msg.
func (x *exchange) send(b []byte, msg int, l *lease, dst netip.Addr) {
	if n := len(b) - msg; n < minLen {
		b = append(b, zeros[:minLen-n]...)
	}
	frame.FinishUDP(b[msg-frame.UDPLen:], l.server, dst)
	frame.FinishIPv4(b[msg-frame.UDPLen-frame.IPv4Len:])
	x.out.Send(x.in.InPort, b)
}

// pick lists which options of the set go out, by index, in their order: times and mask (which must stand
// before the router, RFC 2132 3.3), what the client asks for in its order (RFC 2131 4.3.1), what always goes.
func pick(order *[256]uint8, set *optionSet, q *request, inform bool) []uint8 {
	var done codeSet
	out := order[:0]
	add := func(i int) {
		if e := &set.entries[i]; !done.has(e.code) && !(inform && e.timed) {
			done.add(e.code)
			out = append(out, uint8(i))
		}
	}
	for i := range set.entries {
		if c := set.entries[i].code; c == optLease || c == optMask {
			add(i)
		}
	}
	for _, code := range q.params {
		if i := set.find(code); i >= 0 {
			add(i)
		}
	}
	for i := range set.entries {
		// Without a list everything is sent, but not the routes twice.
		if e := &set.entries[i]; e.always || q.params == nil && e.code != optRoutesMS {
			add(i)
		}
	}
	return out
}

// encodedLen is how many bytes an option with a value of n takes, cut into pieces of 255 (RFC 3396).
func encodedLen(n int) int { return n + 2*max(1, (n+254)/255) }

// appendOption appends an option, in pieces if its value is long.
func appendOption(b []byte, code uint8, v []byte) []byte {
	for {
		n := min(len(v), 255)
		b = append(append(b, code, byte(n)), v[:n]...)
		if v = v[n:]; len(v) == 0 {
			return b
		}
	}
}

// overload appends options to a message that has not enough room for all of them up to end, and uses the fields
// file and sname for the rest if they are free (RFC 2132 9.3). An option that fits nowhere whole is split over
// the areas (RFC 3396), one that does not fit even so is left out.
func overload(b []byte, msg, end int, set *optionSet, picked []uint8) (out []byte, all bool) {
	end -= 3 // option 52
	head := b[msg : msg+fixedLen]
	areas := [3][]byte{b, nil, nil} // then file, sname: RFC 3396's order
	room := [3]int{end - 1, 0, 0}   // how long each may become, its end mark aside
	if len(set.file) == 0 {
		areas[1], room[1] = head[108:108:236], fileLen-1
	}
	if len(set.sname) == 0 {
		areas[2], room[2] = head[44:44:108], snameLen-1
	}
	all = true
next:
	for _, i := range picked {
		e := set.entries[i]
		v := set.bytes(e)
		total := 0
		for a := range areas {
			left := room[a] - len(areas[a])
			if encodedLen(len(v)) <= left {
				areas[a] = appendOption(areas[a], e.code, v)
				continue next
			}
			total += valueRoom(left)
		}
		if total < len(v) {
			all = false
			continue
		}
		for a := range areas {
			if n := min(len(v), valueRoom(room[a]-len(areas[a]))); n > 0 {
				areas[a] = appendOption(areas[a], e.code, v[:n])
				v = v[n:]
			}
		}
	}
	b = areas[0]
	used := byte(0)
	if len(areas[1]) > 0 {
		areas[1] = append(areas[1], optEnd)
		used |= 1
	}
	if len(areas[2]) > 0 {
		areas[2] = append(areas[2], optEnd)
		used |= 2
	}
	if used != 0 {
		b = append(b, optOverload, 1, used)
	}
	return append(b, optEnd), all
}

// valueRoom is how much of a value fits into an area with so many bytes left.
func valueRoom(left int) int {
	whole := left / 257
	return max(0, whole*255+max(0, left-whole*257-2))
}
