package openflow

import "fmt"

// Prereq is what a match on a field, or an action that writes it, needs of the match.
type Prereq uint8

// Prerequisites, as in ovs-fields(7).
const (
	NeedNothing   Prereq = iota
	NeedEthernet         // an Ethernet packet (packet_type absent or (0,0))
	NeedVLAN             // a VLAN tag
	NeedMPLS             // eth_type 0x8847 or 0x8848
	NeedIPv4             // eth_type 0x0800
	NeedIPv6             // eth_type 0x86dd
	NeedIP               // eth_type 0x0800 or 0x86dd
	NeedARP              // eth_type 0x0806 or 0x8035
	NeedNSH              // eth_type 0x894f
	NeedTCP              // ip_proto 6
	NeedUDP              // ip_proto 17
	NeedSCTP             // ip_proto 132
	NeedICMP             // ip_proto 1 over IPv4
	NeedICMPv6           // ip_proto 58 over IPv6
	NeedND               // icmpv6_type 135 or 136, code 0
	NeedNDSolicit        // icmpv6_type 135, code 0
	NeedNDAdvert         // icmpv6_type 136, code 0
	NeedCT               // a ct_state of a packet that is tracked and not invalid
	NeedCT4              // NeedCT and eth_type 0x0800
	NeedCT6              // NeedCT and eth_type 0x86dd
	NeedCTPorts          // NeedCT and ct_nw_proto
)

const ctText = "a ct_state that says valid (ct_state=+new, +est, +rel, +rpl or +trk-inv)"

var prereqTexts = [...]string{
	NeedEthernet:  "an Ethernet packet (no packet_type, or packet_type=(0,0))",
	NeedVLAN:      "a VLAN tag (vlan_vid with its bit 0x1000, e.g. dl_vlan=1 or vlan_tci=0x1000/0x1000)",
	NeedMPLS:      "eth_type 0x8847 or 0x8848 (mpls)",
	NeedIPv4:      "eth_type 0x0800 (ip)",
	NeedIPv6:      "eth_type 0x86dd (ipv6)",
	NeedIP:        "eth_type 0x0800 or 0x86dd (ip or ipv6)",
	NeedARP:       "eth_type 0x0806 or 0x8035 (arp or rarp)",
	NeedNSH:       "eth_type 0x894f (nsh)",
	NeedTCP:       "ip_proto 6 (nw_proto=6) and eth_type 0x0800 or 0x86dd",
	NeedUDP:       "ip_proto 17 (nw_proto=17) and eth_type 0x0800 or 0x86dd",
	NeedSCTP:      "ip_proto 132 (nw_proto=132) and eth_type 0x0800 or 0x86dd",
	NeedICMP:      "ip_proto 1 (nw_proto=1) and eth_type 0x0800 (icmp)",
	NeedICMPv6:    "ip_proto 58 (nw_proto=58) and eth_type 0x86dd (icmp6)",
	NeedND:        "icmpv6_type 135 or 136, icmpv6_code 0 or none, ip_proto 58 and eth_type 0x86dd",
	NeedNDSolicit: "icmpv6_type 135, icmpv6_code 0 or none, ip_proto 58 and eth_type 0x86dd",
	NeedNDAdvert:  "icmpv6_type 136, icmpv6_code 0 or none, ip_proto 58 and eth_type 0x86dd",
	NeedCT:        ctText,
	NeedCT4:       ctText + ", and eth_type 0x0800 (ip)",
	NeedCT6:       ctText + ", and eth_type 0x86dd (ipv6)",
	NeedCTPorts:   ctText + ", and a ct_nw_proto other than 0",
}

// String says in words what is needed; empty for nothing.
func (p Prereq) String() string {
	if int(p) < len(prereqTexts) {
		return prereqTexts[p]
	}
	return "an unknown prerequisite"
}

// is reports whether f matches one of vals exactly.
func (m *Match) is(f *Field, vals ...uint64) bool {
	v, mask, ok := m.GetUint(f)
	if !ok || mask != ^uint64(0)>>(64-8*f.Len) {
		return false
	}
	for _, w := range vals {
		if v == w {
			return true
		}
	}
	return false
}

// ethType reports whether the match is on one of the types, as eth_type or as packet_type of namespace 1.
func (m *Match) ethType(types ...uint64) bool {
	if m.is(EthType, types...) {
		return true
	}
	v, _, ok := m.GetUint(PacketType)
	return ok && v>>16 == 1 && func() bool {
		for _, t := range types {
			if v&0xffff == t {
				return true
			}
		}
		return false
	}()
}

func (p Prereq) ok(m *Match) bool {
	switch p {
	case NeedNothing:
		return true
	case NeedEthernet:
		v, _, found := m.GetUint(PacketType)
		return !found || v == 0
	case NeedVLAN:
		v, k, _ := m.GetUint(VLANTCI)
		return v&k&0x1000 != 0
	case NeedMPLS:
		return m.ethType(0x8847, 0x8848)
	case NeedIPv4:
		return m.ethType(0x0800)
	case NeedIPv6:
		return m.ethType(0x86dd)
	case NeedIP:
		return m.ethType(0x0800, 0x86dd)
	case NeedARP:
		return m.ethType(0x0806, 0x8035)
	case NeedNSH:
		return m.ethType(0x894f)
	case NeedTCP:
		return NeedIP.ok(m) && m.is(IPProto, 6)
	case NeedUDP:
		return NeedIP.ok(m) && m.is(IPProto, 17)
	case NeedSCTP:
		return NeedIP.ok(m) && m.is(IPProto, 132)
	case NeedICMP:
		return NeedIPv4.ok(m) && m.is(IPProto, 1)
	case NeedICMPv6:
		return NeedIPv6.ok(m) && m.is(IPProto, 58)
	case NeedND:
		return NeedNDSolicit.ok(m) || NeedNDAdvert.ok(m)
	case NeedNDSolicit:
		return NeedICMPv6.ok(m) && m.is(ICMPv6Type, 135) && m.codeZero()
	case NeedNDAdvert:
		return NeedICMPv6.ok(m) && m.is(ICMPv6Type, 136) && m.codeZero()
	case NeedCT:
		v, k, _ := m.GetUint(CTState)
		return v&k&^(ctTracked|ctInvalid) != 0 || v&k&ctTracked != 0 && k&^v&ctInvalid != 0
	case NeedCT4:
		return NeedCT.ok(m) && NeedIPv4.ok(m)
	case NeedCT6:
		return NeedCT.ok(m) && NeedIPv6.ok(m)
	case NeedCTPorts:
		p, _, _ := m.GetUint(CTNWProto)
		return NeedCT.ok(m) && p != 0
	}
	return false
}

// codeZero tells whether icmpv6_code is 0 or not matched, which Open vSwitch takes for 0 too.
func (m *Match) codeZero() bool {
	v, _, _ := m.GetUint(ICMPv6Code)
	return v == 0
}

// Bits of ct_state.
const ctInvalid, ctTracked = 0x10, 0x20

// Check reports the first field whose prerequisites are not met, whose mask Open vSwitch would refuse, or
// whose value does not fit.
func (m *Match) Check() error {
	for fm := range m.All() {
		f := fm.Field
		if f == nil {
			continue
		}
		if !f.Prereq.ok(m) {
			return fmt.Errorf("openflow: %s needs %s", f.Name, f.Prereq)
		}
		if fm.Mask != nil && f.Masking == NoMask {
			return fmt.Errorf("openflow: %s takes no mask; match it exactly", f.Name)
		}
		if err := f.fits(fm.Value); err != nil {
			return err
		}
	}
	return nil
}

// fits reports a value with bits that f does not have.
func (f *Field) fits(v []byte) error {
	if f.VarLen() || f.Bits == 8*f.Len {
		return nil
	}
	full := f.fullMask(len(v))
	if f == VLANVID {
		full[0] |= 0x10 // OFPVID_PRESENT
	}
	for i, c := range v {
		if c&^full[i] != 0 {
			return fmt.Errorf("openflow: %s has %d bits; %#x does not fit", f.Name, f.Bits, v)
		}
	}
	return nil
}
