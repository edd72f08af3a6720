package openflow

import "strconv"

// fieldTable lists every field in canonical order.
var fieldTable []*Field

// def adds a row to the table. Without Action, the header in actions is that of the match, and the other way.
func def(f Field) *Field {
	if f.Action.Name == "" {
		f.Action = f.Match
	}
	if f.Match.Name == "" {
		f.Match = f.Action
	}
	f.ID = FieldID(len(fieldTable))
	if f.Bits == 0 {
		f.Bits = 8 * f.Len
	}
	p := &f
	fieldTable = append(fieldTable, p)
	return p
}

// defN adds n numbered rows: names, header numbers (step apart) and header names count up.
func defN(n int, f Field) []*Field {
	var fs []*Field
	for i := range n {
		g, s := f, strconv.Itoa(i)
		g.Name += s
		g.Match.Name += s
		g.Match.Num += uint8(i)
		fs = append(fs, def(g))
	}
	return fs
}

// The fields, in the order in which Open vSwitch sends them. Sources: ovs-fields(7), meta-flow.h, nx-match.c.
// A row's Writable, Masking and Prereq are those of ovs-fields(7).
var (
	// PacketType is packet_type: namespace in the high 16 bits, type in the low ones. Ethernet when absent.
	PacketType = def(Field{Name: "packet_type", Len: 4, Format: PacketTypeValue, Match: oxm("PACKET_TYPE", 44)})
	// DPHash is dp_hash, the datapath's hash of the packet.
	DPHash = def(Field{Name: "dp_hash", Len: 4, Format: Hexadecimal, Masking: AnyMask, Match: nx("DP_HASH", 35)})
	// RecircID is recirc_id, internal to Open vSwitch.
	RecircID = def(Field{Name: "recirc_id", Len: 4, Format: Hexadecimal, Match: nx("RECIRC_ID", 36)})
	// ConjID is conj_id, the id of a satisfied conjunction.
	ConjID = def(Field{Name: "conj_id", Len: 4, Match: nx("CONJ_ID", 37)})
	// InPort is in_port_oxm, the 32-bit ingress port; a match prints it as in_port.
	InPort = def(Field{Name: "in_port_oxm", Text: "in_port", Len: 4, Format: PortNumber, Writable: true, Match: oxm("IN_PORT", 0)})
	// ActsetOutput is actset_output, the output port in the action set.
	ActsetOutput = def(Field{Name: "actset_output", Len: 4, Format: PortNumber, Match: onf("ACTSET_OUTPUT", 43)})

	// EthSrc is eth_src.
	EthSrc = def(Field{Name: "eth_src", Aliases: []string{"dl_src"}, Text: "dl_src", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedEthernet, Match: oxm("ETH_SRC", 4), Action: nxm("ETH_SRC", 2)})
	// EthDst is eth_dst.
	EthDst = def(Field{Name: "eth_dst", Aliases: []string{"dl_dst"}, Text: "dl_dst", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedEthernet, Match: oxm("ETH_DST", 3), Action: nxm("ETH_DST", 1)})
	// EthType is eth_type, after any VLAN tags.
	EthType = def(Field{Name: "eth_type", Aliases: []string{"dl_type"}, Text: "dl_type", Len: 2, Format: Hexadecimal, Prereq: NeedEthernet, Match: oxm("ETH_TYPE", 5), Action: nxm("ETH_TYPE", 3)})
	// VLANVID is vlan_vid: 12 bits of VLAN id, and 0x1000 when there is a tag (OFPVID_PRESENT).
	VLANVID = def(Field{Name: "vlan_vid", Len: 2, Bits: 12, Masking: AnyMask, Writable: true, Prereq: NeedEthernet, Match: oxm("VLAN_VID", 6)})
	// VLANPCP is vlan_pcp, 3 bits of priority.
	VLANPCP = def(Field{Name: "vlan_pcp", Aliases: []string{"dl_vlan_pcp"}, Len: 1, Bits: 3, Writable: true, Prereq: NeedVLAN, Match: oxm("VLAN_PCP", 7)})
	// MPLSTC is mpls_tc of the outermost label.
	MPLSTC = def(Field{Name: "mpls_tc", Len: 1, Bits: 3, Writable: true, Prereq: NeedMPLS, Match: oxm("MPLS_TC", 35)})
	// MPLSBOS is mpls_bos, bottom of stack.
	MPLSBOS = def(Field{Name: "mpls_bos", Len: 1, Bits: 1, Prereq: NeedMPLS, Match: oxm("MPLS_BOS", 36)})
	// MPLSTTL is mpls_ttl.
	MPLSTTL = def(Field{Name: "mpls_ttl", Len: 1, Writable: true, Prereq: NeedMPLS, Match: nx("MPLS_TTL", 30)})
	// MPLSLabel is mpls_label, 20 bits.
	MPLSLabel = def(Field{Name: "mpls_label", Len: 4, Bits: 20, Writable: true, Prereq: NeedMPLS, Match: oxm("MPLS_LABEL", 34)})

	// IPv4Src is ip_src.
	IPv4Src = def(Field{Name: "ip_src", Aliases: []string{"nw_src"}, Text: "nw_src", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Prereq: NeedIPv4, Match: oxm("IPV4_SRC", 11), Action: nxm("IP_SRC", 7)})
	// IPv4Dst is ip_dst.
	IPv4Dst = def(Field{Name: "ip_dst", Aliases: []string{"nw_dst"}, Text: "nw_dst", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Prereq: NeedIPv4, Match: oxm("IPV4_DST", 12), Action: nxm("IP_DST", 8)})
	// IPv6Src is ipv6_src.
	IPv6Src = def(Field{Name: "ipv6_src", Len: 16, Format: IPv6, Masking: AnyMask, Writable: true, Prereq: NeedIPv6, Match: oxm("IPV6_SRC", 26), Action: nx("IPV6_SRC", 19)})
	// IPv6Dst is ipv6_dst.
	IPv6Dst = def(Field{Name: "ipv6_dst", Len: 16, Format: IPv6, Masking: AnyMask, Writable: true, Prereq: NeedIPv6, Match: oxm("IPV6_DST", 27), Action: nx("IPV6_DST", 20)})
	// IPFrag is ip_frag: bit 0 a fragment, bit 1 not the first.
	IPFrag = def(Field{Name: "ip_frag", Aliases: []string{"nw_frag"}, Text: "nw_frag", Len: 1, Bits: 2, Format: FragFormat, Masking: AnyMask, Prereq: NeedIP, Match: nx("IP_FRAG", 26)})
	// IPDSCP is ip_dscp, 6 bits, not shifted.
	IPDSCP = def(Field{Name: "ip_dscp", Len: 1, Bits: 6, Writable: true, Prereq: NeedIP, Match: oxm("IP_DSCP", 8)})
	// IPECN is nw_ecn, 2 bits.
	IPECN = def(Field{Name: "nw_ecn", Aliases: []string{"ip_ecn"}, Len: 1, Bits: 2, Writable: true, Prereq: NeedIP, Match: oxm("IP_ECN", 9), Action: nx("IP_ECN", 28)})
	// IPTTL is nw_ttl, TTL or hop limit.
	IPTTL = def(Field{Name: "nw_ttl", Len: 1, Writable: true, Prereq: NeedIP, Match: nx("IP_TTL", 29)})
	// IPv6Label is ipv6_label, 20 bits.
	IPv6Label = def(Field{Name: "ipv6_label", Len: 4, Bits: 20, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedIPv6, Match: oxm("IPV6_FLABEL", 28), Action: nx("IPV6_LABEL", 27)})
	// IPProto is nw_proto, protocol or last next header.
	IPProto = def(Field{Name: "nw_proto", Aliases: []string{"ip_proto"}, Len: 1, Prereq: NeedIP, Match: oxm("IP_PROTO", 10), Action: nxm("IP_PROTO", 6)})

	// TCPSrc is tcp_src.
	TCPSrc = def(Field{Name: "tcp_src", Text: "tp_src", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedTCP, Match: oxm("TCP_SRC", 13), Action: nxm("TCP_SRC", 9)})
	// TCPDst is tcp_dst.
	TCPDst = def(Field{Name: "tcp_dst", Text: "tp_dst", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedTCP, Match: oxm("TCP_DST", 14), Action: nxm("TCP_DST", 10)})
	// TCPFlags is tcp_flags, 12 bits.
	TCPFlags = def(Field{Name: "tcp_flags", Len: 2, Bits: 12, Format: TCPFlagSet, Masking: AnyMask, Prereq: NeedTCP, Match: onf("TCP_FLAGS", 42), Action: nx("TCP_FLAGS", 34)})
	// UDPSrc is udp_src.
	UDPSrc = def(Field{Name: "udp_src", Text: "tp_src", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedUDP, Match: oxm("UDP_SRC", 15), Action: nxm("UDP_SRC", 11)})
	// UDPDst is udp_dst.
	UDPDst = def(Field{Name: "udp_dst", Text: "tp_dst", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedUDP, Match: oxm("UDP_DST", 16), Action: nxm("UDP_DST", 12)})
	// SCTPSrc is sctp_src.
	SCTPSrc = def(Field{Name: "sctp_src", Text: "tp_src", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedSCTP, Match: oxm("SCTP_SRC", 17)})
	// SCTPDst is sctp_dst.
	SCTPDst = def(Field{Name: "sctp_dst", Text: "tp_dst", Len: 2, Masking: AnyMask, Writable: true, Prereq: NeedSCTP, Match: oxm("SCTP_DST", 18)})
	// ICMPType is icmp_type of ICMPv4.
	ICMPType = def(Field{Name: "icmp_type", Len: 1, Writable: true, Prereq: NeedICMP, Match: oxm("ICMPV4_TYPE", 19), Action: nxm("ICMP_TYPE", 13)})
	// ICMPCode is icmp_code of ICMPv4.
	ICMPCode = def(Field{Name: "icmp_code", Len: 1, Writable: true, Prereq: NeedICMP, Match: oxm("ICMPV4_CODE", 20), Action: nxm("ICMP_CODE", 14)})
	// ICMPv6Type is icmpv6_type; a match prints it as icmp_type.
	ICMPv6Type = def(Field{Name: "icmpv6_type", Text: "icmp_type", Len: 1, Writable: true, Prereq: NeedICMPv6, Match: oxm("ICMPV6_TYPE", 29), Action: nx("ICMPV6_TYPE", 21)})
	// ICMPv6Code is icmpv6_code; a match prints it as icmp_code.
	ICMPv6Code = def(Field{Name: "icmpv6_code", Text: "icmp_code", Len: 1, Writable: true, Prereq: NeedICMPv6, Match: oxm("ICMPV6_CODE", 30), Action: nx("ICMPV6_CODE", 22)})
	// NDReserved is nd_reserved, the reserved word of an ND message.
	NDReserved = def(Field{Name: "nd_reserved", Len: 4, Writable: true, Prereq: NeedND, Match: eric("ICMPV6_ND_RESERVED", 1)})
	// NDTarget is nd_target.
	NDTarget = def(Field{Name: "nd_target", Len: 16, Format: IPv6, Masking: AnyMask, Writable: true, Prereq: NeedND, Match: oxm("IPV6_ND_TARGET", 31), Action: nx("ND_TARGET", 23)})
	// NDOptionsType is nd_options_type.
	NDOptionsType = def(Field{Name: "nd_options_type", Len: 1, Writable: true, Prereq: NeedND, Match: eric("ICMPV6_ND_OPTIONS_TYPE", 2)})
	// NDSLL is nd_sll, source link-layer address of a solicitation.
	NDSLL = def(Field{Name: "nd_sll", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedNDSolicit, Match: oxm("IPV6_ND_SLL", 32), Action: nx("ND_SLL", 24)})
	// NDTLL is nd_tll, target link-layer address of an advertisement.
	NDTLL = def(Field{Name: "nd_tll", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedNDAdvert, Match: oxm("IPV6_ND_TLL", 33), Action: nx("ND_TLL", 25)})

	// ARPOp is arp_op.
	ARPOp = def(Field{Name: "arp_op", Len: 2, Writable: true, Prereq: NeedARP, Match: oxm("ARP_OP", 21), Action: nxm("ARP_OP", 15)})
	// ARPSPA is arp_spa, sender protocol address.
	ARPSPA = def(Field{Name: "arp_spa", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Prereq: NeedARP, Match: oxm("ARP_SPA", 22), Action: nxm("ARP_SPA", 16)})
	// ARPTPA is arp_tpa, target protocol address.
	ARPTPA = def(Field{Name: "arp_tpa", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Prereq: NeedARP, Match: oxm("ARP_TPA", 23), Action: nxm("ARP_TPA", 17)})
	// ARPSHA is arp_sha, sender hardware address.
	ARPSHA = def(Field{Name: "arp_sha", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedARP, Match: oxm("ARP_SHA", 24), Action: nx("ARP_SHA", 17)})
	// ARPTHA is arp_tha, target hardware address.
	ARPTHA = def(Field{Name: "arp_tha", Len: 6, Format: Ethernet, Masking: AnyMask, Writable: true, Prereq: NeedARP, Match: oxm("ARP_THA", 25), Action: nx("ARP_THA", 18)})

	// TunID is tun_id, the tunnel key.
	TunID = def(Field{Name: "tun_id", Aliases: []string{"tunnel_id"}, Len: 8, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: oxm("TUNNEL_ID", 38), Action: nx("TUN_ID", 16)})
	// TunFlags is tun_flags; bit 0 is oam.
	TunFlags = def(Field{Name: "tun_flags", Len: 2, Bits: 1, Format: TunnelFlags, Masking: AnyMask, Writable: true, Match: nx("TUN_FLAGS", 104)})
	// TunSrc is tun_src, outer IPv4 source.
	TunSrc = def(Field{Name: "tun_src", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Match: nx("TUN_IPV4_SRC", 31)})
	// TunDst is tun_dst, outer IPv4 destination.
	TunDst = def(Field{Name: "tun_dst", Len: 4, Format: IPv4, Masking: AnyMask, Writable: true, Match: nx("TUN_IPV4_DST", 32)})
	// TunIPv6Src is tun_ipv6_src, outer IPv6 source.
	TunIPv6Src = def(Field{Name: "tun_ipv6_src", Len: 16, Format: IPv6, Masking: AnyMask, Writable: true, Match: nx("TUN_IPV6_SRC", 109)})
	// TunIPv6Dst is tun_ipv6_dst, outer IPv6 destination.
	TunIPv6Dst = def(Field{Name: "tun_ipv6_dst", Len: 16, Format: IPv6, Masking: AnyMask, Writable: true, Match: nx("TUN_IPV6_DST", 110)})
	// TunGBPID is tun_gbp_id, VXLAN group policy id.
	TunGBPID = def(Field{Name: "tun_gbp_id", Len: 2, Masking: AnyMask, Writable: true, Match: nx("TUN_GBP_ID", 38)})
	// TunGBPFlags is tun_gbp_flags.
	TunGBPFlags = def(Field{Name: "tun_gbp_flags", Len: 1, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("TUN_GBP_FLAGS", 39)})
	tunMetadata = defN(64, Field{Name: "tun_metadata", Len: 124, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("TUN_METADATA", 40)})
	// TunERSPANIdx is tun_erspan_idx, 20 bits.
	TunERSPANIdx = def(Field{Name: "tun_erspan_idx", Len: 4, Bits: 20, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: et("ERSPAN_IDX", 11)})
	// TunERSPANVer is tun_erspan_ver, 4 bits.
	TunERSPANVer = def(Field{Name: "tun_erspan_ver", Len: 1, Bits: 4, Masking: AnyMask, Writable: true, Match: et("ERSPAN_VER", 12)})
	// TunERSPANDir is tun_erspan_dir, 1 bit.
	TunERSPANDir = def(Field{Name: "tun_erspan_dir", Len: 1, Bits: 1, Masking: AnyMask, Writable: true, Match: et("ERSPAN_DIR", 13)})
	// TunERSPANHWID is tun_erspan_hwid, 6 bits.
	TunERSPANHWID = def(Field{Name: "tun_erspan_hwid", Len: 1, Bits: 6, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: et("ERSPAN_HWID", 14)})
	// TunGTPUFlags is tun_gtpu_flags.
	TunGTPUFlags = def(Field{Name: "tun_gtpu_flags", Aliases: []string{"gtpu_flags"}, Text: "gtpu_flags", Len: 1, Format: Hexadecimal, Masking: AnyMask, Match: et("GTPU_FLAGS", 15)})
	// TunGTPUMsgType is tun_gtpu_msgtype.
	TunGTPUMsgType = def(Field{Name: "tun_gtpu_msgtype", Aliases: []string{"gtpu_msgtype"}, Text: "gtpu_msgtype", Len: 1, Masking: AnyMask, Match: et("GTPU_MSGTYPE", 16)})

	// NSHFlags is nsh_flags.
	NSHFlags = def(Field{Name: "nsh_flags", Len: 1, Masking: AnyMask, Writable: true, Prereq: NeedNSH, Match: nsh("FLAGS", 1)})
	// NSHTTL is nsh_ttl.
	NSHTTL = def(Field{Name: "nsh_ttl", Len: 1, Writable: true, Prereq: NeedNSH, Match: nsh("TTL", 10)})
	// NSHMDType is nsh_mdtype.
	NSHMDType = def(Field{Name: "nsh_mdtype", Len: 1, Prereq: NeedNSH, Match: nsh("MDTYPE", 2)})
	// NSHNP is nsh_np, next protocol.
	NSHNP = def(Field{Name: "nsh_np", Len: 1, Prereq: NeedNSH, Match: nsh("NP", 3)})
	// NSHSPI is nsh_spi, 24 bits.
	NSHSPI = def(Field{Name: "nsh_spi", Aliases: []string{"nsp"}, Len: 4, Bits: 24, Format: Hexadecimal, Writable: true, Prereq: NeedNSH, Match: nsh("SPI", 4)})
	// NSHSI is nsh_si.
	NSHSI = def(Field{Name: "nsh_si", Aliases: []string{"nsi"}, Len: 1, Writable: true, Prereq: NeedNSH, Match: nsh("SI", 5)})
	// NSHC1 is nsh_c1.
	NSHC1 = def(Field{Name: "nsh_c1", Aliases: []string{"nshc1"}, Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedNSH, Match: nsh("C1", 6)})
	// NSHC2 is nsh_c2.
	NSHC2 = def(Field{Name: "nsh_c2", Aliases: []string{"nshc2"}, Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedNSH, Match: nsh("C2", 7)})
	// NSHC3 is nsh_c3.
	NSHC3 = def(Field{Name: "nsh_c3", Aliases: []string{"nshc3"}, Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedNSH, Match: nsh("C3", 8)})
	// NSHC4 is nsh_c4.
	NSHC4 = def(Field{Name: "nsh_c4", Aliases: []string{"nshc4"}, Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedNSH, Match: nsh("C4", 9)})

	regs = defN(16, Field{Name: "reg", Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("REG", 0)})

	// PktMark is pkt_mark, the packet's mark in the datapath (skb mark).
	PktMark = def(Field{Name: "pkt_mark", Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("PKT_MARK", 33)})
	// CTState is ct_state: the CS bits of ovs-fields(7).
	CTState = def(Field{Name: "ct_state", Len: 4, Bits: 8, Format: CTStateFlags, Masking: AnyMask, Match: nx("CT_STATE", 105)})
	// CTZone is ct_zone.
	CTZone = def(Field{Name: "ct_zone", Len: 2, Format: Hexadecimal, Match: nx("CT_ZONE", 106)})
	// CTMark is ct_mark; written only inside ct(exec(…)).
	CTMark = def(Field{Name: "ct_mark", Len: 4, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("CT_MARK", 107)})
	// CTLabel is ct_label; written only inside ct(exec(…)).
	CTLabel = def(Field{Name: "ct_label", Len: 16, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("CT_LABEL", 108)})
	// CTNWSrc is ct_nw_src, of the original direction's tuple.
	CTNWSrc = def(Field{Name: "ct_nw_src", Len: 4, Format: IPv4, Masking: AnyMask, Prereq: NeedCT4, Match: nx("CT_NW_SRC", 120)})
	// CTIPv6Src is ct_ipv6_src.
	CTIPv6Src = def(Field{Name: "ct_ipv6_src", Len: 16, Format: IPv6, Masking: AnyMask, Prereq: NeedCT6, Match: nx("CT_IPV6_SRC", 122)})
	// CTNWDst is ct_nw_dst.
	CTNWDst = def(Field{Name: "ct_nw_dst", Len: 4, Format: IPv4, Masking: AnyMask, Prereq: NeedCT4, Match: nx("CT_NW_DST", 121)})
	// CTIPv6Dst is ct_ipv6_dst.
	CTIPv6Dst = def(Field{Name: "ct_ipv6_dst", Len: 16, Format: IPv6, Masking: AnyMask, Prereq: NeedCT6, Match: nx("CT_IPV6_DST", 123)})
	// CTNWProto is ct_nw_proto.
	CTNWProto = def(Field{Name: "ct_nw_proto", Len: 1, Prereq: NeedCT, Match: nx("CT_NW_PROTO", 119)})
	// CTTPSrc is ct_tp_src.
	CTTPSrc = def(Field{Name: "ct_tp_src", Len: 2, Masking: AnyMask, Prereq: NeedCTPorts, Match: nx("CT_TP_SRC", 124)})
	// CTTPDst is ct_tp_dst.
	CTTPDst = def(Field{Name: "ct_tp_dst", Len: 2, Masking: AnyMask, Prereq: NeedCTPorts, Match: nx("CT_TP_DST", 125)})
	// Metadata is metadata, 64 bits carried between tables.
	Metadata = def(Field{Name: "metadata", Len: 8, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: oxm("METADATA", 2)})

	// Other views of the fields above. A Match keeps them as those.

	// InPort16 is in_port, the ingress port in 16 bits; Nicira actions know it as NXM_OF_IN_PORT.
	InPort16 = def(Field{Name: "in_port", Len: 2, Format: PortNumber, Writable: true, Match: nxm("IN_PORT", 0), alias: aliasPort16})
	// VLANTCI is vlan_tci: pcp, tag present (0x1000), vid.
	VLANTCI = def(Field{Name: "vlan_tci", Len: 2, Format: Hexadecimal, Masking: AnyMask, Writable: true, Prereq: NeedEthernet, Match: nxm("VLAN_TCI", 4), alias: aliasTCI})
	// IPTOS is nw_tos: DSCP in the high six bits.
	IPTOS  = def(Field{Name: "nw_tos", Len: 1, Writable: true, Prereq: NeedIP, Match: nxm("IP_TOS", 5), alias: aliasTOS})
	xregs  = defN(8, Field{Name: "xreg", Len: 8, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: pktReg("PKT_REG", 0), alias: aliasXReg})
	xxregs = defN(4, Field{Name: "xxreg", Len: 16, Format: Hexadecimal, Masking: AnyMask, Writable: true, Match: nx("XXREG", 111), alias: aliasXXReg})
)
