package openflow

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
)

// appendHex appends a number as C's %#x prints it: 0 has no prefix.
func appendHex(b []byte, v uint64) []byte {
	if v != 0 {
		b = append(b, "0x"...)
	}
	return strconv.AppendUint(b, v, 16)
}

// appendHexBytes is appendHex for a big-endian value of any length.
func appendHexBytes(b, v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	if len(v) <= 8 {
		if beUint(v) == 0 {
			return append(b, "0"...)
		}
		return appendHex(b, beUint(v))
	}
	b = appendHex(b, uint64(v[0]))
	for _, c := range v[1:] {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return b
}

// appendMAC appends an Ethernet address.
func appendMAC(b, v []byte) []byte {
	for i, c := range v {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return b
}

// appendIPv6 appends an address as inet_ntop does, which unlike netip prints ::1.2.3.4.
func appendIPv6(b, v []byte) []byte {
	a, _ := netip.AddrFromSlice(v)
	head := [12]byte(v[:12])
	if head == [12]byte{} && (v[12] != 0 || v[13] != 0) {
		return netip.AddrFrom4([4]byte(v[12:])).AppendTo(append(b, "::"...))
	}
	return a.AppendTo(b)
}

// prefixLen is the length of a mask that is a prefix, or -1.
func prefixLen(k []byte) int {
	n := 0
	for i, c := range k {
		ones := bits.LeadingZeros8(^c)
		n += ones
		if ones < 8 {
			if c<<ones != 0 {
				return -1
			}
			for _, d := range k[i+1:] {
				if d != 0 {
					return -1
				}
			}
			break
		}
	}
	return n
}

// appendIP appends an IPv4 or IPv6 value with its mask, as a prefix where it is one.
func appendIP(b, v, k []byte) []byte {
	one := func(v []byte) {
		if len(v) == 4 {
			b = netip.AddrFrom4([4]byte(v)).AppendTo(b)
		} else {
			b = appendIPv6(b, v)
		}
	}
	one(v)
	if len(k) > 0 {
		b = append(b, '/')
		if n := prefixLen(k); n >= 0 {
			return strconv.AppendInt(b, int64(n), 10)
		}
		one(k)
	}
	return b
}

// appendFlags appends set flags with a separator between them; bits without a name as [hex].
func appendFlags(b []byte, v uint64, names []string, sep string) []byte {
	first := true
	for i := range 32 {
		if v>>i&1 == 0 {
			continue
		}
		if !first {
			b = append(b, sep...)
		}
		first = false
		if i < len(names) {
			b = append(b, names[i]...)
		} else {
			b = fmt.Appendf(b, "[%x]", uint64(1)<<i)
		}
	}
	return b
}

// appendFlagsMasked appends +set-clear.
func appendFlagsMasked(b []byte, v, k uint64, names []string) []byte {
	for i := range 32 {
		if k>>i&1 == 0 {
			continue
		}
		c := byte('-')
		if v>>i&1 != 0 {
			c = '+'
		}
		b = append(b, c)
		if i < len(names) {
			b = append(b, names[i]...)
		} else {
			b = fmt.Appendf(b, "[%x]", uint64(1)<<i)
		}
	}
	return b
}

// Names of flag bits, lowest first, and of packet_type, ip_frag.
var (
	ctStateNames = []string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}
	tcpFlagNames = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"}
	tunFlagNames = []string{"oam"}
)

// flagNames are the bits that a field of flags has, and their names.
func (f *Field) flagNames() (names []string, full uint64) {
	switch f.Format {
	case CTStateFlags:
		return ctStateNames, 0xff
	case TCPFlagSet:
		return tcpFlagNames, 0xfff
	case TunnelFlags:
		return tunFlagNames, 1
	}
	return nil, 0
}

// appendValue appends a value, with /mask if mask is not empty, in the field's format (mf_format).
func (f *Field) appendValue(b, v, k []byte) []byte {
	switch f.Format {
	case Ethernet:
		b = appendMAC(b, v)
		if len(k) > 0 {
			b = appendMAC(append(b, '/'), k)
		}
		return b
	case IPv4, IPv6:
		return appendIP(b, v, k)
	case PortNumber:
		if len(v) == 2 {
			return portFrom16(binary.BigEndian.Uint16(v)).AppendText(b)
		}
		return Port(binary.BigEndian.Uint32(v)).AppendText(b)
	case FragFormat:
		return append(b, fragName(v[0], k)...)
	case CTStateFlags, TCPFlagSet, TunnelFlags:
		names, full := f.flagNames()
		if len(k) == 0 || beUint(k)&full == full {
			if beUint(v) == 0 {
				return append(b, '0')
			}
			return appendFlags(b, beUint(v), names, "|")
		}
		return appendFlagsMasked(b, beUint(v), beUint(k)&full, names)
	case PacketTypeValue:
		u := beUint(v)
		if u&0xffff < 10 {
			return fmt.Appendf(b, "(%d,%d)", u>>16, u&0xffff)
		}
		return fmt.Appendf(b, "(%d,%#x)", u>>16, u&0xffff)
	case Decimal:
		b = strconv.AppendUint(b, beUint(v), 10)
	default:
		b = appendHexBytes(b, v)
	}
	if len(k) > 0 {
		b = appendHexBytes(append(b, '/'), k)
	}
	return b
}

func fragName(v byte, k []byte) string {
	mask := byte(3)
	if len(k) > 0 {
		mask = k[0] & 3
	}
	switch {
	case mask == 3 && v&3 == 3:
		return "later"
	case mask == 3 && v&3 == 1:
		return "first"
	case mask == 3 && v&3 == 2:
		return "<error>"
	case mask == 1 && v&1 == 1:
		return "yes"
	case mask == 2 && v&2 == 2:
		return "later"
	case mask == 2:
		return "not_later"
	}
	return "no"
}

// AppendText appends the subfield as ovs-ofctl prints it, e.g. NXM_NX_REG0[0..15], NXM_NX_REG0[] or NXM_NX_REG0[3].
func (s Subfield) AppendText(b []byte) []byte {
	if s.Field == nil {
		return append(b, "<none>"...)
	}
	b = append(b, s.Field.Action.Name...)
	switch {
	case s.Ofs == 0 && int(s.N) == s.Field.Bits:
		return append(b, "[]"...)
	case s.N == 1:
		return fmt.Appendf(b, "[%d]", s.Ofs)
	}
	return fmt.Appendf(b, "[%d..%d]", s.Ofs, s.Ofs+s.N-1)
}

// String is the subfield as ovs-ofctl prints it.
func (s Subfield) String() string { return string(s.AppendText(nil)) }

// matchText prints a match.
type matchText struct {
	m *Match
	b []byte
}

// text appends name=value for the fields that are matched.
func (t *matchText) fields(fs ...*Field) {
	for _, f := range fs {
		v, k, ok := t.m.Get(f)
		if !ok {
			continue
		}
		name := f.Text
		if name == "" || late[name] && !f.Prereq.ok(t.m) {
			// A name that several fields share says which one only together with the protocol.
			name = f.Name
		}
		t.b = append(append(t.b, name...), '=')
		t.b = append(t.value(f, v, k), ',')
	}
}

// value appends a value as match_format does, which is not always as mf_format does.
func (t *matchText) value(f *Field, v, k []byte) []byte {
	switch f {
	case IPv6Label:
		b := fmt.Appendf(t.b, "0x%05x", beUint(v))
		if k != nil {
			b = fmt.Appendf(b, "/0x%05x", beUint(k))
		}
		return b
	case EthType:
		return fmt.Appendf(t.b, "0x%04x", beUint(v))
	case CTZone:
		return strconv.AppendUint(t.b, beUint(v), 10)
	case TunFlags:
		return appendFlagsMasked(t.b, beUint(v), 1, tunFlagNames)
	case TunGBPFlags, TunGTPUFlags, TunGTPUMsgType, TunERSPANVer, TunERSPANIdx, TunERSPANDir, TunERSPANHWID:
		k = nil // ovs-ofctl prints no mask for these
	}
	if k != nil && f.Format == Decimal {
		return fmt.Appendf(t.b, "0x%x/0x%x", beUint(v), beUint(k))
	}
	return f.appendValue(t.b, v, k)
}

var ipShort = map[uint64]string{1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}
var ip6Short = map[uint64]string{58: "icmp6", 6: "tcp6", 17: "udp6", 132: "sctp6"}
var typeShort = map[uint64]string{0x0806: "arp", 0x8035: "rarp", 0x8847: "mpls", 0x8848: "mplsm"}

// AppendText appends String to b.
func (m *Match) AppendText(b []byte) []byte {
	t := matchText{m: m, b: b}
	start := len(b)
	t.fields(PktMark, RecircID, DPHash, ConjID, ActsetOutput, CTState, CTZone, CTMark, CTLabel, CTNWSrc, CTIPv6Src, CTNWDst, CTIPv6Dst,
		CTNWProto, CTTPSrc, CTTPDst)
	if v, _, ok := m.GetUint(PacketType); ok && v != 0 {
		t.fields(PacketType)
	}
	et, _, hasType := m.GetUint(EthType)
	proto, _, hasProto := m.GetUint(IPProto)
	short := ""
	skipProto := false
	if hasType {
		names := ipShort
		switch et {
		case 0x86dd:
			names = ip6Short
			fallthrough
		case 0x0800:
			if short, skipProto = names[proto], hasProto; !hasProto || short == "" {
				skipProto, short = false, "ip"
				if et == 0x86dd {
					short = "ipv6"
				}
			}
		default:
			short = typeShort[et]
		}
		if short != "" {
			t.b = append(append(t.b, short...), ',')
		}
	}
	t.fields(regs...)
	t.fields(TunID, TunSrc, TunDst, TunIPv6Src, TunIPv6Dst, TunGBPID, TunGBPFlags)
	ver, _, _ := m.GetUint(TunERSPANVer)
	if ver != 0 {
		t.fields(TunERSPANVer)
	}
	switch ver {
	case 1:
		t.fields(TunERSPANIdx)
	case 2:
		t.fields(TunERSPANDir, TunERSPANHWID)
	}
	t.fields(TunGTPUFlags, TunGTPUMsgType, TunFlags)
	t.fields(tunMetadata...)
	t.fields(Metadata, InPort)
	t.vlan()
	t.fields(EthSrc, EthDst)
	if short == "" {
		t.fields(EthType)
	}
	t.fields(NSHFlags, NSHTTL, NSHMDType, NSHNP, NSHSPI, NSHSI)
	if m.is(NSHMDType, 1) { // the context fields are those of MD type 1
		t.fields(NSHC1, NSHC2, NSHC3, NSHC4)
	}
	t.fields(IPv6Src, IPv6Dst, IPv6Label, ARPSPA, ARPTPA, IPv4Src, IPv4Dst, ARPOp)
	if !skipProto {
		t.fields(IPProto)
	}
	t.fields(ARPSHA, ARPTHA)
	if v, _, ok := m.GetUint(IPDSCP); ok {
		t.b = append(strconv.AppendUint(append(t.b, "nw_tos="...), v<<2, 10), ',')
	}
	t.fields(IPECN, IPTTL, MPLSLabel, MPLSTC, MPLSTTL, MPLSBOS, IPFrag)
	t.fields(ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code, NDTarget, NDSLL, NDTLL, NDReserved, NDOptionsType,
		TCPSrc, TCPDst, UDPSrc, UDPDst, SCTPSrc, SCTPDst, TCPFlags)
	for fm := range m.All() {
		if fm.Field == nil {
			t.b = append(fmt.Appendf(t.b, "raw_oxm=%x", fm.Value), ',')
		}
	}
	if len(t.b) > start {
		t.b = t.b[:len(t.b)-1]
	}
	return t.b
}

// vlan appends what is matched of the VLAN tag.
func (t *matchText) vlan() {
	v, k, ok := t.m.GetUint(VLANTCI)
	if !ok {
		return
	}
	vid, pcp := k&0xfff, k&0xe000
	switch {
	case k&0x1000 != 0 && v&0x1000 != 0 && (vid == 0 || vid == 0xfff) && (pcp == 0 || pcp == 0xe000) && vid|pcp != 0:
		if vid != 0 {
			t.b = fmt.Appendf(t.b, "dl_vlan=%d,", v&0xfff)
		}
		if pcp != 0 {
			t.b = fmt.Appendf(t.b, "dl_vlan_pcp=%d,", v>>13)
		}
	case k == 0xffff:
		t.b = fmt.Appendf(t.b, "vlan_tci=0x%04x,", v)
	default:
		t.b = fmt.Appendf(t.b, "vlan_tci=0x%04x/0x%04x,", v, k)
	}
}

// String is the match as ovs-ofctl prints it, without priority; empty for the match of everything. What
// ovs-ofctl leaves out (masks of tun_gbp_flags and of ERSPAN and GTP-U fields) is left out too.
func (m *Match) String() string { return string(m.AppendText(nil)) }

// FormatActions is a flat list of actions as ovs-ofctl prints it after "actions=".
func FormatActions(acts []Action) string { return string(AppendActionsText(nil, acts)) }

// AppendActionsText appends FormatActions to b.
func AppendActionsText(b []byte, acts []Action) []byte {
	if len(acts) == 0 {
		return append(b, "drop"...)
	}
	return appendList(b, acts)
}

// AppendText appends String to b.
func (f *Flow) AppendText(b []byte) []byte {
	if f.Cookie != 0 {
		b = append(appendHex(append(b, "cookie="...), f.Cookie), ", "...)
	}
	num := func(name string, v uint64) {
		if v != 0 {
			b = append(strconv.AppendUint(append(append(b, name...), '='), v, 10), ", "...)
		}
	}
	num("table", uint64(f.Table))
	num("idle_timeout", uint64(f.IdleTimeout))
	num("hard_timeout", uint64(f.HardTimeout))
	for i, n := range flowFlagNames {
		if f.Flags>>i&1 != 0 {
			b = append(append(b, n...), ' ')
		}
	}
	num("importance", uint64(f.Importance))
	n := len(b)
	if f.Priority != defaultPriority {
		b = strconv.AppendUint(append(b, "priority="...), uint64(f.Priority), 10)
	}
	if f.Match.sizeOXM() > 0 {
		if len(b) > n {
			b = append(b, ',')
		}
		k := len(b)
		b = f.Match.AppendText(b)
		if len(b) == k && k > n {
			b = b[:k-1]
		}
	}
	if len(b) > n {
		b = append(b, ' ')
	}
	return AppendActionsText(append(b, "actions="...), f.Actions)
}

// String is the flow as a line of ovs-ofctl dump-flows --no-stats, without the leading space.
func (f *Flow) String() string { return string(f.AppendText(nil)) }

// encapText prints encap; see Encap.
var encapNames = map[uint32]string{0x1894f: "nsh", 0: "ethernet", 0x18847: "mpls", 0x18848: "mpls_mc"}

// AppendText implements Action.
func (a Encap) AppendText(b []byte) []byte {
	name, ok := encapNames[a.PacketType]
	if !ok {
		name = fmt.Sprintf("%#x", a.PacketType)
	}
	b = append(append(b, "encap("...), name...)
	if a.Props != "" {
		b = append(b, '(')
		r := newReader("encap", []byte(a.Props))
		for i := 0; r.left() >= 4; i++ {
			class, typ, n := r.u16(), r.u8(), int(r.u8())
			p := r.sub(n - 4)
			r.skip(min(pad8(n)-n, r.left()))
			if r.err != nil {
				break
			}
			if i > 0 {
				b = append(b, ',')
			}
			switch {
			case class == 4 && typ == 1:
				b = fmt.Appendf(b, "md_type=%d", p.u8())
			case class == 4 && typ == 2:
				c, t, l := p.u16(), p.u8(), int(p.u8())
				b = fmt.Appendf(b, "tlv(0x%04x,%d,0x%x)", c, t, p.take(min(l, p.left())))
			default:
				b = fmt.Appendf(b, "class=%d,type=%d,raw=%x", class, typ, p.rest())
			}
		}
		b = append(b, ')')
	}
	return append(b, ')')
}
