package openflow

import (
	"fmt"
	"net/netip"
	"strings"
)

// CTFlushZone is NXT_CT_FLUSH_ZONE: forget all connections of a zone (Open vSwitch 2.7). There is no reply.
type CTFlushZone struct{ Zone uint16 }

// Name is NXT_CT_FLUSH_ZONE.
func (m *CTFlushZone) Name() string { return "NXT_CT_FLUSH_ZONE" }

// AppendTo appends the message.
func (m *CTFlushZone) AppendTo(b []byte) []byte {
	return endMsg(append16(appendZeros(beginExp(b, expNicira, 29), 6), m.Zone), len(b))
}

// String shows the zone.
func (m *CTFlushZone) String() string { return fmt.Sprintf("%s: zone_id=%d", m.Name(), m.Zone) }

// CTTuple is one direction of a connection; what is zero is not compared. For ICMP and ICMPv6 the ICMP fields
// count instead of the ports.
type CTTuple struct {
	Src, Dst           netip.Addr
	SrcPort, DstPort   uint16
	ICMPID             uint16
	ICMPType, ICMPCode uint8
}

// CTFlush is NXT_CT_FLUSH: forget the connections that match (Open vSwitch 3.1). There is no reply.
type CTFlush struct {
	Proto       uint8 // IP protocol, 0 for any
	HasZone     bool  // only Zone; without it all zones
	Zone        uint16
	Orig, Reply CTTuple
	Raw         []byte // properties that are not known, whole
}

// Property types of nicira-ext.h, enum nx_ct_flush_tlv_type and enum nx_ct_flush_tuple_tlv_type.
const (
	ctPropOrig, ctPropReply, ctPropZone       = 0, 1, 2
	ctSrc, ctDst, ctSrcPort, ctDstPort        = 0, 1, 2, 3
	ctICMPID, ctICMPType, ctICMPCode          = 4, 5, 6
	protoICMP, protoICMPv6              uint8 = 1, 58
)

func decodeCTFlush(r *reader) Message {
	m := &CTFlush{Proto: r.u8()}
	r.skip(7)
	for r.left() > 0 && r.err == nil {
		p := nextProp(r)
		switch {
		case p.err != nil:
		case p.typ == ctPropOrig && len(p.body) >= 4:
			m.Orig.decode(r, p.body[4:])
		case p.typ == ctPropReply && len(p.body) >= 4:
			m.Reply.decode(r, p.body[4:])
		case p.typ == ctPropZone && len(p.body) == 2:
			m.HasZone, m.Zone = true, uint16(beUint(p.body))
		default:
			m.Raw = append(m.Raw, p.whole...)
		}
	}
	return m
}

// decode reads the properties nested in a direction; errors are r's.
func (t *CTTuple) decode(r *reader, body []byte) {
	in := reader{typ: r.typ, b: body, base: r.base + r.off - len(body)}
	for in.left() > 0 && in.err == nil {
		p := nextProp(&in)
		n := len(p.body)
		switch {
		case p.err != nil:
		case p.typ <= ctDst && n == 16:
			a := netip.AddrFrom16([16]byte(p.body)).Unmap()
			if p.typ == ctSrc {
				t.Src = a
			} else {
				t.Dst = a
			}
		case p.typ == ctSrcPort && n == 2:
			t.SrcPort = uint16(beUint(p.body))
		case p.typ == ctDstPort && n == 2:
			t.DstPort = uint16(beUint(p.body))
		case p.typ == ctICMPID && n == 2:
			t.ICMPID = uint16(beUint(p.body))
		case p.typ == ctICMPType && n == 1:
			t.ICMPType = p.body[0]
		case p.typ == ctICMPCode && n == 1:
			t.ICMPCode = p.body[0]
		default:
			in.fail("want a property of a connection tuple, not type %d with %d octets", p.typ, n)
		}
	}
	r.adopt(in.err)
}

func (t *CTTuple) append(b []byte, typ uint16, proto uint8) []byte {
	start := len(b)
	b = append32(append16(append16(b, typ), 0), 0)
	for i, a := range [...]netip.Addr{t.Src, t.Dst} {
		if a.IsValid() && !a.IsUnspecified() {
			v := a.As16()
			b = appendProp(b, uint16(i), v[:])
		}
	}
	if proto == protoICMP || proto == protoICMPv6 {
		if typ == ctPropOrig || *t != (CTTuple{}) {
			b = appendProp(b, ctICMPID, []byte{byte(t.ICMPID >> 8), byte(t.ICMPID)})
			b = appendProp(b, ctICMPType, []byte{t.ICMPType})
			b = appendProp(b, ctICMPCode, []byte{t.ICMPCode})
		}
	} else {
		for i, p := range [...]uint16{t.SrcPort, t.DstPort} {
			if p != 0 {
				b = appendProp(b, uint16(ctSrcPort+i), []byte{byte(p >> 8), byte(p)})
			}
		}
	}
	if len(b) == start+8 {
		return b[:start]
	}
	put16(b[start+2:], len(b)-start)
	return b
}

// Name is NXT_CT_FLUSH.
func (m *CTFlush) Name() string { return "NXT_CT_FLUSH" }

// AppendTo appends the message.
func (m *CTFlush) AppendTo(b []byte) []byte {
	n := len(b)
	b = appendZeros(append(beginExp(b, expNicira, 32), m.Proto), 7)
	b = m.Orig.append(b, ctPropOrig, m.Proto)
	b = m.Reply.append(b, ctPropReply, m.Proto)
	if m.HasZone {
		b = appendProp(b, ctPropZone, []byte{byte(m.Zone >> 8), byte(m.Zone)})
	}
	return endMsg(append(b, m.Raw...), n)
}

func (t *CTTuple) text(proto uint8) string {
	var s []string
	for i, a := range [...]netip.Addr{t.Src, t.Dst} {
		if a.IsValid() && !a.IsUnspecified() {
			family := "nw"
			if a.Is6() {
				family = "ipv6"
			}
			s = append(s, fmt.Sprintf("ct_%s_%s=%s", family, [...]string{"src", "dst"}[i], a))
		}
	}
	if proto == protoICMP || proto == protoICMPv6 {
		s = append(s, fmt.Sprintf("icmp_id=%d,icmp_type=%d,icmp_code=%d", t.ICMPID, t.ICMPType, t.ICMPCode))
	}
	if t.SrcPort != 0 {
		s = append(s, fmt.Sprintf("ct_tp_src=%d", t.SrcPort))
	}
	if t.DstPort != 0 {
		s = append(s, fmt.Sprintf("ct_tp_dst=%d", t.DstPort))
	}
	return strings.Join(s, ",")
}

// String is the arguments that ovs-ofctl ct-flush takes for the same.
func (m *CTFlush) String() string {
	s := m.Name() + ":"
	if m.HasZone {
		s += fmt.Sprintf(" zone=%d", m.Zone)
	}
	orig := m.Orig.text(m.Proto)
	if m.Proto != 0 {
		orig = strings.TrimPrefix(orig+fmt.Sprintf(",ct_nw_proto=%d", m.Proto), ",")
	}
	return fmt.Sprintf("%s '%s' '%s'", s, orig, m.Reply.text(0))
}
