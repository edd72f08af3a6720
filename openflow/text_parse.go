package openflow

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxText is the longest text that the parsers take, in octets: more than any 64 kB message prints as.
const maxText = 1 << 20

// parser holds the first error and what the actions read so far say about the packet.
type parser struct {
	err     error
	m       *Match // of the flow; nil without
	hasVLAN bool   // the packet has a VLAN tag
	depth   int
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("openflow: "+format, args...)
	}
}

// uint reads a decimal, 0x or 0 number of so many bits.
func (p *parser) uint(s string, bits int) uint64 {
	v, err := strconv.ParseUint(strings.TrimSpace(s), 0, bits)
	if err != nil {
		p.fail("%q is not a number of %d bits", s, bits)
	}
	return v
}

// split cuts s at commas and spaces outside of parentheses and brackets.
func (p *parser) split(s string) (parts []string) {
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[':
			depth++
		case ')', ']':
			if depth--; depth < 0 {
				p.fail("%q has a closing bracket too many", s)
				return nil
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				if i > start {
					parts = append(parts, s[start:i])
				}
				start = i + 1
			}
		}
	}
	if depth != 0 {
		p.fail("%q has an opening bracket too many", s)
		return nil
	}
	if start < len(s) {
		parts = append(parts, s[start:])
	}
	return parts
}

// keyVal cuts one part at its first ':', '=' or '('. In the last case the argument is what the parentheses
// hold, and what follows them comes back as tail.
func (p *parser) keyVal(s string) (key, arg, tail string, has bool) {
	i := strings.IndexAny(s, ":=(")
	if i < 0 {
		return s, "", "", false
	}
	if s[i] != '(' {
		return s[:i], s[i+1:], "", true
	}
	depth := 0
	for j := i; j < len(s); j++ {
		switch s[j] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[:i], s[i+1 : j], s[j+1:], true
			}
		}
	}
	p.fail("%q has no closing parenthesis", s)
	return s[:i], "", "", true
}

// args yields key and value of each part of an action's argument.
func (p *parser) args(s string, each func(k, v string)) {
	for _, part := range p.split(s) {
		k, v, _, _ := p.keyVal(part)
		each(k, v)
	}
}

// field looks a field up by name.
func (p *parser) field(s string) *Field {
	f := FieldByName(s)
	if f == nil {
		p.fail("%q is not a field; see ovs-fields(7)", s)
		return regs[0]
	}
	return f
}

// subfield reads name, name[], name[b] or name[b..c].
func (p *parser) subfield(s string) Subfield {
	name, rest, ok := strings.Cut(strings.TrimSpace(s), "[")
	f := p.field(name)
	sf := All(f)
	if !ok {
		return sf
	}
	rest, ok = strings.CutSuffix(rest, "]")
	if !ok {
		p.fail("%q lacks its closing bracket", s)
	}
	if rest != "" {
		lo, hi, two := strings.Cut(rest, "..")
		sf.Ofs, sf.N = uint16(p.uint(lo, 16)), 1
		if two {
			h := uint16(p.uint(hi, 16))
			if h < sf.Ofs {
				p.fail("%q ends before it starts", s)
				h = sf.Ofs
			}
			sf.N = h - sf.Ofs + 1
		}
	}
	if int(sf.Ofs)+int(sf.N) > f.Bits {
		p.fail("%s has bits 0 to %d only, not %q", f.Name, f.Bits-1, s)
		return All(f)
	}
	return sf
}

// hexBytes reads 0x… or a decimal of up to 64 bits as n big-endian octets.
func (p *parser) hexBytes(s string, n int) []byte {
	v := make([]byte, n)
	d, isHex := strings.CutPrefix(s, "0x")
	if !isHex {
		d, isHex = strings.CutPrefix(s, "0X")
	}
	if !isHex {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], p.uint(s, 64))
		d = hex.EncodeToString(b[:])
	}
	d = strings.TrimLeft(d, "0")
	if len(d)%2 != 0 {
		d = "0" + d
	}
	raw, err := hex.DecodeString(d)
	if err != nil || len(raw) > n {
		p.fail("%q is not a number of %d octets", s, n)
		return v
	}
	copy(v[n-len(raw):], raw)
	return v
}

func (p *parser) mac(s string) []byte {
	v, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(v) != 6 || strings.Count(s, ":") != 5 {
		p.fail("%q is not an Ethernet address", s)
		return make([]byte, 6)
	}
	return v
}

func (p *parser) addr(s string, n int) []byte {
	a, err := netip.ParseAddr(s)
	if err != nil || a.BitLen() != 8*n || a.Zone() != "" {
		p.fail("%q is not an IPv%d address", s, map[int]int{4: 4, 16: 6}[n])
		return make([]byte, n)
	}
	return a.AsSlice()
}

// flags reads a|b, +a-b, or numbers with an optional mask.
func (p *parser) flags(f *Field, s string) (v, k uint64, masked bool) {
	names, full := f.flagNames()
	bit := func(n string) uint64 {
		for i, name := range names {
			if name == n {
				return 1 << i
			}
		}
		if h, ok := strings.CutPrefix(n, "["); ok {
			b, err := strconv.ParseUint(strings.TrimSuffix(h, "]"), 16, 32)
			if err == nil {
				return b
			}
		}
		p.fail("%s has no flag %q", f.Name, n)
		return 0
	}
	switch {
	case s != "" && (s[0] == '+' || s[0] == '-'):
		for s != "" {
			end := strings.IndexAny(s[1:], "+-") + 1
			if end == 0 {
				end = len(s)
			}
			b := bit(s[1:end])
			k |= b
			if s[0] == '+' {
				v |= b
			}
			s = s[end:]
		}
		return v, k, true
	case s != "" && s[0] >= '0' && s[0] <= '9':
		a, b, two := strings.Cut(s, "/")
		v = p.uint(a, 8*f.Len)
		if two {
			return v, p.uint(b, 8*f.Len), true
		}
		return v, full, false
	}
	for _, n := range strings.Split(s, "|") {
		v |= bit(n)
	}
	return v, full, false
}

// value reads VALUE[/MASK] in the field's format; n is the length that a variable field takes, 0 for what
// the value needs.
func (p *parser) value(f *Field, s string) (v, k []byte) {
	num := func(u uint64) []byte {
		b := binary.BigEndian.AppendUint64(nil, u)
		return b[8-f.Len:]
	}
	switch f.Format {
	case CTStateFlags, TCPFlagSet, TunnelFlags:
		u, m, masked := p.flags(f, s)
		if masked {
			return num(u), num(m)
		}
		return num(u), nil
	case FragFormat:
		switch s {
		case "no":
			return []byte{0}, nil
		case "yes":
			return []byte{1}, []byte{1}
		case "first":
			return []byte{1}, nil
		case "later":
			return []byte{3}, nil
		case "not_later":
			return []byte{0}, []byte{2}
		}
		p.fail("%q is not one of no, yes, first, later, not_later", s)
		return []byte{0}, nil
	case PacketTypeValue:
		a, b, ok := strings.Cut(strings.Trim(s, "()"), ",")
		if !ok {
			p.fail("packet_type %q; want (namespace,type)", s)
		}
		return num(p.uint(a, 16)<<16 | p.uint(b, 16)), nil
	}
	a, m, masked := strings.Cut(s, "/")
	one := func(s string) []byte {
		switch f.Format {
		case Ethernet:
			return p.mac(s)
		case IPv4, IPv6:
			return p.addr(s, f.Len)
		case PortNumber:
			pt, err := ParsePort(s)
			if err != nil && p.err == nil {
				p.err = err
			}
			if f.Len == 2 {
				return binary.BigEndian.AppendUint16(nil, pt.to16())
			}
			return num(uint64(pt))
		}
		return p.hexBytes(s, f.Len)
	}
	v = one(a)
	if masked {
		n, err := strconv.ParseUint(m, 10, 8)
		if (f.Format == IPv4 || f.Format == IPv6) && err == nil {
			if int(n) > 8*f.Len {
				p.fail("prefix /%d of %s; at most %d", n, f.Name, 8*f.Len)
				n = 0
			}
			k = make([]byte, f.Len)
			for i := range int(n) {
				k[i/8] |= 0x80 >> (i % 8)
			}
		} else {
			k = one(m)
		}
	}
	if f.VarLen() { // as long as it is written, in words; the switch's TLV table decides
		n := varLen((max(len(a), len(m)) - 2 + 1) / 2)
		z := len(v) - n
		for z > 0 && (wordSet(v, z) || k != nil && wordSet(k, z)) {
			z -= 4 // a decimal may be longer than its digits say
		}
		v = v[z:]
		if k != nil {
			k = k[z:]
		}
	}
	return v, k
}

// wordSet reports whether the 4 octets before end hold a bit.
func wordSet(v []byte, end int) bool { return beUint(v[end-4:end]) != 0 }

// shorthands of matches: eth_type and, if not 0, ip_proto.
var shorthands = map[string][2]uint64{
	"ip": {0x800, 0}, "ipv4": {0x800, 0}, "ipv6": {0x86dd, 0}, "ip6": {0x86dd, 0}, "arp": {0x806, 0}, "rarp": {0x8035, 0},
	"icmp": {0x800, 1}, "igmp": {0x800, 2}, "tcp": {0x800, 6}, "udp": {0x800, 17}, "sctp": {0x800, 132},
	"icmp6": {0x86dd, 58}, "tcp6": {0x86dd, 6}, "udp6": {0x86dd, 17}, "sctp6": {0x86dd, 132},
	"mpls": {0x8847, 0}, "mplsm": {0x8848, 0},
}

// late are match names whose field depends on eth_type and ip_proto, which may stand after them.
var late = map[string]bool{"tp_src": true, "tp_dst": true, "icmp_type": true, "icmp_code": true, "nw_src": true, "nw_dst": true, "nw_proto": true}

// ParseMatch reads a match as ovs-ofctl does: names with or without a value, in any order, separated by
// commas or spaces.
func ParseMatch(s string) (Match, error) {
	var m Match
	p := parser{}
	p.match(&m, s)
	return m, p.err
}

func (p *parser) match(m *Match, s string) {
	if len(s) > maxText {
		p.fail("a text of %d octets; at most %d", len(s), maxText)
		return
	}
	var later [][2]string
	for _, part := range p.split(s) {
		k, v, has := strings.Cut(part, "=")
		switch {
		case !has && k == "eth":
			m.SetUint(PacketType, 0)
		case !has:
			p.short(m, k)
		case late[k]:
			later = append(later, [2]string{k, v})
		default:
			p.matchField(m, k, v)
		}
	}
	for _, kv := range later {
		p.matchField(m, resolve(m, kv[0]), kv[1])
	}
}

// short sets what a shorthand stands for.
func (p *parser) short(m *Match, k string) {
	sh, ok := shorthands[k]
	if !ok {
		if FieldByName(k) != nil {
			p.fail("%s lacks a value", k)
		} else {
			p.fail("%q is not a match; see ovs-fields(7)", k)
		}
		return
	}
	m.SetUint(EthType, sh[0])
	if sh[1] != 0 {
		m.SetUint(IPProto, sh[1])
	}
}

// resolve names the field that a name means given the match's eth_type and ip_proto.
func resolve(m *Match, k string) string {
	proto, _, _ := m.GetUint(IPProto)
	l4 := map[uint64]string{6: "tcp", 17: "udp", 132: "sctp"}[proto]
	arp := NeedARP.ok(m)
	switch {
	case k == "nw_src" && arp:
		return "arp_spa"
	case k == "nw_dst" && arp:
		return "arp_tpa"
	case k == "nw_proto" && arp:
		return "arp_op"
	case (k == "tp_src" || k == "tp_dst") && l4 != "":
		return l4 + k[2:]
	case k == "tp_src" && NeedICMPv6.ok(m), k == "icmp_type" && NeedICMPv6.ok(m):
		return "icmpv6_type"
	case k == "tp_dst" && NeedICMPv6.ok(m), k == "icmp_code" && NeedICMPv6.ok(m):
		return "icmpv6_code"
	case k == "tp_src" && NeedICMP.ok(m):
		return "icmp_type"
	case k == "tp_dst" && NeedICMP.ok(m):
		return "icmp_code"
	}
	return k
}

func (p *parser) matchField(m *Match, k, v string) {
	switch k {
	case "dl_vlan":
		vid := p.uint(v, 16)
		tci, mask, _ := m.GetUint(VLANTCI)
		if vid == 0xffff {
			m.SetUint(VLANVID, 0)
			return
		}
		if vid > 0xfff {
			p.fail("dl_vlan=%s; want 0 to 4095, or 0xffff for no tag", v)
			return
		}
		m.SetUintMasked(VLANTCI, tci&0xe000|0x1000|vid, mask|0x1fff)
		return
	case "dl_vlan_pcp", "vlan_pcp":
		pcp := p.uint(v, 8)
		if pcp > 7 {
			p.fail("%s=%s; want 0 to 7", k, v)
			return
		}
		tci, mask, _ := m.GetUint(VLANTCI)
		m.SetUintMasked(VLANTCI, tci&0xfff|0x1000|pcp<<13, mask|0xf000)
		return
	case "nw_tos":
		tos := p.uint(v, 8)
		if tos&3 != 0 {
			p.fail("nw_tos=%s; its two low bits are nw_ecn", v)
		}
		m.SetUint(IPDSCP, tos>>2)
		return
	case "raw_oxm":
		b, err := hex.DecodeString(v)
		um, err2 := DecodeOXM(b)
		if err != nil || err2 != nil || um.Len() != 1 {
			p.fail("raw_oxm=%s is not the hexadecimal of one OXM", v)
			return
		}
		m.splice(m.sizeOXM(), 0, b)
		return
	}
	f := FieldByName(k)
	if f == nil {
		if k == "tp_src" || k == "tp_dst" {
			p.fail("%s needs %s", k, "ip_proto 6, 17 or 132 (tcp, udp or sctp)")
		} else {
			p.fail("%q is not a field; see ovs-fields(7)", k)
		}
		return
	}
	if v == "*" || v == "ANY" && f.Format != PortNumber {
		return
	}
	val, mask := p.value(f, v)
	if p.err != nil {
		return
	}
	if f == VLANVID && mask == nil && f.fits(val) != nil {
		p.fail("vlan_vid=%s; want at most 0x1fff", v)
		return
	}
	if f != VLANVID {
		if err := f.fits(val); err != nil && f.alias == aliasNone {
			p.fail("%s=%s: more than %d bits", k, v, f.Bits)
			return
		}
	}
	m.set(f, val, mask)
}

// ParseFlow reads a flow as ovs-ofctl add-flow does, and lines of ovs-ofctl dump-flows with their statistics.
// It does not check prerequisites; Flow.Check does.
func ParseFlow(s string) (Flow, error) {
	f := Flow{Priority: defaultPriority}
	p := parser{}
	if len(s) > maxText {
		return f, fmt.Errorf("openflow: a flow of %d octets of text; at most %d", len(s), maxText)
	}
	s = strings.TrimSpace(s)
	head, acts, has := cutActions(s)
	if !has {
		return f, fmt.Errorf("openflow: the flow has no actions=; use actions=drop for none")
	}
	var rest []string
	for _, part := range p.split(head) {
		k, v, _ := strings.Cut(part, "=")
		if !f.attribute(&p, k, v) {
			rest = append(rest, part)
		}
	}
	if p.err == nil {
		p.match(&f.Match, strings.Join(rest, ","))
	}
	if p.err == nil {
		p.m = &f.Match
		f.Actions = p.actions(acts)
	}
	if p.err != nil {
		return Flow{}, p.err
	}
	return f, nil
}

// cutActions cuts a flow at its actions.
func cutActions(s string) (head, acts string, ok bool) {
	for _, k := range []string{"actions=", "action="} {
		if i := strings.Index(s, k); i >= 0 && (i == 0 || strings.IndexByte(", \t", s[i-1]) >= 0) {
			return s[:i], s[i+len(k):], true
		}
	}
	return s, "", false
}

// attribute reads what is not match; false if k is no attribute.
func (f *Flow) attribute(p *parser, k, v string) bool {
	stats := func() *FlowStats {
		if f.Stats == nil {
			f.Stats = new(FlowStats)
		}
		return f.Stats
	}
	switch k {
	case "cookie":
		f.Cookie = p.uint(v, 64)
	case "table":
		f.Table = uint8(p.uint(v, 8))
	case "priority":
		f.Priority = uint16(p.uint(v, 16))
	case "idle_timeout":
		f.IdleTimeout = uint16(p.uint(v, 16))
	case "hard_timeout":
		f.HardTimeout = uint16(p.uint(v, 16))
	case "importance":
		f.Importance = uint16(p.uint(v, 16))
	case "duration":
		sec, frac, _ := strings.Cut(strings.TrimSuffix(v, "s"), ".")
		stats().DurationSec = uint32(p.uint(sec, 32))
		if frac != "" {
			frac = (frac + "000000000")[:9]
			stats().DurationNsec = uint32(p.uint(strings.TrimLeft(frac[:8], "0")+frac[8:], 32))
		}
	case "n_packets":
		stats().PacketCount = p.uint(v, 64)
	case "n_bytes":
		stats().ByteCount = p.uint(v, 64)
	case "idle_age":
		stats().IdleAge = uint32(p.uint(v, 32))
	case "hard_age":
		stats().HardAge = uint32(p.uint(v, 32))
	default:
		for i, n := range flowFlagNames {
			if k == n && v == "" {
				f.Flags |= 1 << i
				return true
			}
		}
		return false
	}
	return true
}

// ParseActions reads what stands after "actions=". "drop" or nothing is the empty list.
func ParseActions(s string) ([]Action, error) {
	if len(s) > maxText {
		return nil, fmt.Errorf("openflow: actions of %d octets of text; at most %d", len(s), maxText)
	}
	p := parser{}
	acts := p.actions(s)
	if p.err != nil {
		return nil, p.err
	}
	return acts, nil
}
