package openflow

import (
	"math/rand"
	"net/netip"
)

// genFlows returns n valid flows, the same ones for the same seed. The first ones go through every match
// field, exact and masked, and through every action, one by one; the rest are mixtures. They avoid
// what Open vSwitch keeps in another form than it got (see the notes at each exception).
func genFlows(seed int64, n int) []Flow {
	g := gen{rand.New(rand.NewSource(seed))}
	var flows []Flow
	add := func(f Flow) {
		f.Priority = uint16(1 + len(flows)%60000)
		flows = append(flows, f)
	}
	for _, f := range fieldTable {
		if !matchable(f) {
			continue
		}
		for _, masked := range []bool{false, true} {
			if masked && f.Masking == NoMask {
				continue
			}
			var m Match
			g.need(&m, f.Prereq)
			if _, _, there := m.Get(f); there && f != IPProto && f != EthType {
				continue
			}
			if f != IPProto && f != EthType {
				g.field(&m, f, masked)
			}
			add(Flow{Match: m})
		}
	}
	for i := range g.samples() {
		m, a := g.sample(i)
		add(Flow{Match: m, Actions: []Action{a}})
	}
	for len(flows) < n {
		add(g.flow())
	}
	return flows[:n]
}

type gen struct{ *rand.Rand }

// matchable leaves out what a flow in a table of Open vSwitch cannot match, and other views of a field.
func matchable(f *Field) bool {
	switch f {
	case DPHash, RecircID: // refused over OpenFlow
		return false
	case TunERSPANVer, TunERSPANIdx, TunERSPANDir, TunERSPANHWID, TunGTPUFlags, TunGTPUMsgType: // kept and printed in part only
		return false
	}
	return f.alias == aliasNone && !f.VarLen() // tun_metadata needs a TLV table
}

// need makes the match satisfy a prerequisite.
func (g gen) need(m *Match, p Prereq) {
	ip := func(proto uint64) {
		m.SetUint(EthType, []uint64{0x800, 0x86dd}[g.Intn(2)])
		m.SetUint(IPProto, proto)
	}
	switch p {
	case NeedVLAN:
		m.SetUintMasked(VLANTCI, uint64(0x1000|g.Intn(4096)), 0x1fff)
	case NeedMPLS:
		m.SetUint(EthType, 0x8847+uint64(g.Intn(2)))
	case NeedIPv4:
		m.SetUint(EthType, 0x800)
	case NeedIPv6:
		m.SetUint(EthType, 0x86dd)
	case NeedIP:
		m.SetUint(EthType, []uint64{0x800, 0x86dd}[g.Intn(2)])
	case NeedARP:
		m.SetUint(EthType, 0x806)
	case NeedNSH:
		m.SetUint(EthType, 0x894f)
	case NeedTCP:
		ip(6)
	case NeedUDP:
		ip(17)
	case NeedSCTP:
		ip(132)
	case NeedICMP:
		m.SetUint(EthType, 0x800)
		m.SetUint(IPProto, 1)
	case NeedICMPv6, NeedND, NeedNDSolicit, NeedNDAdvert:
		m.SetUint(EthType, 0x86dd)
		m.SetUint(IPProto, 58)
		switch p {
		case NeedND, NeedNDSolicit:
			m.SetUint(ICMPv6Type, 135)
			m.SetUint(ICMPv6Code, 0)
		case NeedNDAdvert:
			m.SetUint(ICMPv6Type, 136)
			m.SetUint(ICMPv6Code, 0)
		}
	case NeedCT:
		m.SetUintMasked(CTState, 0x22, 0x22)
	case NeedCT4:
		m.SetUint(EthType, 0x800)
		m.SetUintMasked(CTState, 0x20, 0x30)
	case NeedCT6:
		m.SetUint(EthType, 0x86dd)
		m.SetUintMasked(CTState, 0x28, 0x2c)
	case NeedCTPorts:
		m.SetUintMasked(CTState, 0x21, 0x21)
		m.SetUint(CTNWProto, 6)
	}
}

// field matches random bits of f.
func (g gen) field(m *Match, f *Field, masked bool) {
	v, k := make([]byte, f.Len), make([]byte, f.Len)
	g.Read(v)
	full := f.fullMask(f.Len)
	for {
		g.Read(k)
		ones, zero := true, true
		for i := range v {
			v[i] &= full[i]
			k[i] &= full[i]
			ones = ones && k[i] == full[i]
			zero = zero && k[i] == 0
		}
		if !masked || !ones && !zero || f.Bits == 1 {
			break
		}
	}
	switch f {
	case InPort, ActsetOutput:
		m.SetUint(f, uint64(1+g.Intn(2)))
		return
	case PacketType:
		m.SetUint(f, 1<<16|uint64(0x600+g.Intn(1000)))
		return
	case VLANVID:
		v[0] |= 0x10
		k[0] |= 0x10
	case ARPOp:
		v[0], v[1] = 0, byte(1+g.Intn(255)) // one octet of it counts
	case IPFrag:
		v[0], k[0] = []byte{0, 1, 3}[g.Intn(3)], 3
		if masked {
			v[0], k[0] = 1, 1 // no with a mask of one bit prints as no without
		}
	case TunFlags:
		m.SetUintMasked(f, uint64(g.Intn(2)), 1)
		return
	case NSHTTL:
		v[0] &= 63
	case NSHMDType:
		v[0] = byte(1 + g.Intn(2))
	case NSHC1, NSHC2, NSHC3, NSHC4:
		m.SetUint(NSHMDType, 1) // without it they are not printed
	case CTState:
		v[3] &= 0x3f
		if k[3] |= 0x20; k[3] == 0xff {
			k[3] = 0x7f
		}
		v[3] |= 0x20
	case CTNWProto, IPv6Label, TCPFlags:
		if v[len(v)-1] == 0 {
			v[len(v)-1] = 1
		}
	}
	switch {
	case f == CTNWProto:
		v[0] = 6
	}
	if masked {
		m.SetMasked(f, v, k)
	} else {
		m.Set(f, v)
	}
}

func (g gen) addr4() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(g.Intn(256)), byte(g.Intn(256)), byte(1 + g.Intn(250))})
}

func (g gen) addr6() netip.Addr {
	var b [16]byte
	g.Read(b[:])
	b[0], b[15] = 0xfd, 1
	return netip.AddrFrom16(b)
}

// writable are fields that set_field writes in any flow that meets their prerequisite.
func writable() (fs []*Field) {
	for _, f := range fieldTable {
		switch {
		case !f.Writable || f.VarLen() || f.alias == aliasPort16 || f == CTMark || f == CTLabel || f == InPort || f.Prereq == NeedNSH:
		case f == TunFlags:
		default:
			fs = append(fs, f)
		}
	}
	return fs
}

// setField makes a set_field, and what the match needs for it.
func (g gen) setField(m *Match, f *Field, masked bool) Action {
	g.need(m, f.Prereq)
	v, k := make([]byte, f.Len), make([]byte, f.Len)
	g.Read(v)
	full := f.fullMask(f.Len)
	for i := range v {
		v[i] &= full[i]
		k[i] = full[i] & 0x55
		if masked {
			v[i] &= k[i]
		}
	}
	switch f {
	case VLANVID:
		m.SetUintMasked(VLANTCI, 0x1005, 0x1fff)
		v[0] |= 0x10
		if masked {
			k[0] |= 0x10
		}
	case ARPOp:
		v[0], k[0] = 0, 0
	case IPTOS:
		v[0] &= 0xfc
		k[0] &= 0xfc
	}
	if f == VLANTCI {
		v[0] |= 0x10
		k[0] |= 0x10
	}
	if masked {
		return SetBytes(f, v, k)
	}
	return SetBytes(f, v, nil)
}

// fixed are actions with what they need of the match.
func (g gen) fixed() []func(m *Match) Action {
	port := func() Port { return Port(1 + g.Intn(2)) }
	r16 := func() Subfield { return Bits(Reg(g.Intn(16)), 0, 15) }
	one := func(a func() Action) func(*Match) Action { return func(*Match) Action { return a() } }
	with := func(p Prereq, a func() Action) func(*Match) Action {
		return func(m *Match) Action { g.need(m, p); return a() }
	}
	return []func(m *Match) Action{
		one(func() Action { return Output{Port: port()} }),
		one(func() Action { return Output{PortController, uint16(g.Intn(65536))} }),
		one(func() Action {
			return Output{Port: []Port{PortInPort, PortLocal, PortNormal, PortFlood, PortAll}[g.Intn(5)]}
		}),
		one(func() Action { return OutputField{r16(), 0xffff} }),
		one(func() Action { return OutputTrunc{port(), uint32(14 + g.Intn(2000))} }),
		one(func() Action { return Load{Bits(Reg(g.Intn(16)), g.Intn(8), 8+g.Intn(24)), uint64(g.Intn(2))} }),
		one(func() Action { return Load{Bits(XXReg(g.Intn(4)), 64, 127), g.Uint64()} }),
		one(func() Action { return Load{All(XReg(g.Intn(8))), g.Uint64()} }),
		one(func() Action { return Load{All(InPort16), uint64(port())} }),
		one(func() Action { return Load{All(Metadata), g.Uint64()} }),
		one(func() Action { return Move{All(EthSrc), All(EthDst)} }),
		one(func() Action { return Move{Bits(Reg(g.Intn(16)), 0, 11), Bits(Metadata, 20, 31)} }),
		with(NeedNSH, func() Action { return Move{All(NSHC1), All(Reg(g.Intn(16)))} }),
		with(NeedNSH, func() Action { return OutputField{Bits(NSHC2, 0, 15), 0xffff} }),
		one(func() Action { return Push{Bits(Reg(g.Intn(16)), g.Intn(4), 4+g.Intn(28))} }),
		one(func() Action { return Push{All(XXReg(g.Intn(4)))} }),
		one(func() Action { return Pop{r16()} }),
		with(NeedNSH, func() Action { return Push{All(NSHC1)} }),
		one(func() Action { return PushVLAN{[]uint16{0x8100, 0x88a8}[g.Intn(2)]} }),
		with(NeedVLAN, func() Action { return PopVLAN{} }),
		with(NeedIP, func() Action { return PushMPLS{0x8847} }),
		with(NeedMPLS, func() Action { return PopMPLS{0x0800} }),
		with(NeedMPLS, func() Action { return SetMPLSTTL{uint8(g.Intn(256))} }),
		with(NeedMPLS, func() Action { return DecMPLSTTL{} }),
		with(NeedIP, func() Action { return SetTTL{uint8(g.Intn(256))} }),
		with(NeedIP, func() Action { return DecTTL{} }),
		with(NeedIP, func() Action { return DecTTLIDs{[]uint16{1, uint16(g.Intn(65536)), 3}[:1+g.Intn(3)]} }),
		one(func() Action { return SetQueue{g.Uint32()} }),
		one(func() Action { return PopQueue{} }),
		one(func() Action { return Exit{} }),
		one(func() Action { return Note{"\x01\x02\x03\x00\x05\x06"} }),
		one(func() Action { return Resubmit{Port: PortInPort, Table: uint8(g.Intn(254))} }),
		one(func() Action { return Resubmit{Port: port(), Table: uint8(g.Intn(254))} }),
		one(func() Action { return Resubmit{Port: port(), Table: 255} }),
		func(m *Match) Action {
			m.SetUint(EthType, 0x800)
			m.SetUintMasked(CTState, 0x22, 0x22)
			return Resubmit{Port: PortInPort, Table: 5, CT: true}
		},
		with(NeedIP, func() Action { return CT{} }),
		with(NeedIP, func() Action { return CT{Commit: true, Force: true, Zone: uint16(g.Intn(65536))} }),
		with(NeedIP, func() Action { return CT{ZoneField: r16(), Table: ToTable(uint8(g.Intn(250))), NAT: &NAT{}} }),
		with(NeedIPv4, func() Action {
			return CT{Commit: true, NAT: &NAT{Src: true, AddrMin: g.addr4(), PortMin: 1000, PortMax: 2000, Hash: true},
				Exec: []Action{SetUint(CTMark, uint64(g.Uint32())), Load{Bits(CTLabel, 32, 63), uint64(g.Uint32())}, Move{All(Reg(1)), All(CTMark)}}}
		}),
		with(NeedIPv4, func() Action {
			a := netip.MustParseAddr("10.0.0.1")
			return CT{Commit: true, Zone: 7, Table: ToTable(9), NAT: &NAT{Dst: true, AddrMin: a, AddrMax: netip.MustParseAddr("10.0.0.9"), Persistent: true, Random: true}}
		}),
		with(NeedIPv6, func() Action {
			return CT{Commit: true, NAT: &NAT{Src: true, AddrMin: g.addr6(), PortMin: 80}}
		}),
		with(NeedIPv6, func() Action { return CT{Commit: true, NAT: &NAT{Dst: true, AddrMin: g.addr6()}} }),
		with(NeedIP, func() Action { return CT{Commit: true, NAT: &NAT{Src: true}} }),
		with(NeedIP, func() Action { return CT{Commit: true, Exec: []Action{SetUintMasked(CTMark, 5, 0xf0f)}} }),
		with(NeedTCP, func() Action { return CT{Commit: true, ALG: 21} }),
		with(NeedUDP, func() Action { return CT{Commit: true, ALG: 69} }),
		one(func() Action { return CTClear{} }),
		func(m *Match) Action {
			m.SetUint(EthType, 0x800)
			return Learn{IdleTimeout: uint16(g.Intn(100)), HardTimeout: uint16(g.Intn(100)), Priority: uint16(g.Intn(65536)), Cookie: g.Uint64(), Table: uint8(g.Intn(200)),
				FinIdleTimeout: uint16(g.Intn(9)), FinHardTimeout: uint16(g.Intn(9)), SendFlowRem: g.Intn(2) == 0, DeleteLearned: g.Intn(2) == 0,
				Specs: []LearnSpec{
					{Kind: LearnMatch, Src: Bits(VLANTCI, 0, 11), Dst: Bits(VLANTCI, 0, 11)},
					{Kind: LearnMatch, Src: All(EthSrc), Dst: All(EthDst)},
					{Kind: LearnMatch, Value: LearnValue(16, 0x800), Dst: All(EthType)},
					{Kind: LearnMatch, Value: LearnValue(32, uint64(g.Uint32())), Dst: All(IPv4Dst)},
					{Kind: LearnMatch, Value: LearnValue(8, 0x55), Dst: Bits(Reg(3), 8, 15)},
					{Kind: LearnLoad, Src: All(InPort16), Dst: Bits(Reg(0), 0, 15)},
					{Kind: LearnLoad, Value: LearnValue(32, uint64(g.Uint32())), Dst: All(Reg(1))},
					{Kind: LearnOutput, Src: All(InPort16)},
				}}
		},
		one(func() Action { return Learn{Priority: defaultPriority, Table: 1, Limit: uint32(1 + g.Intn(1000))} }),
		one(func() Action {
			return Learn{Priority: 7, Limit: 5, ResultDst: Bits(Reg(2), 5, 5), Specs: []LearnSpec{{Kind: LearnLoad, Value: LearnValue(128, g.Uint64()), Dst: All(XXReg(1))}}}
		}),
		one(func() Action { return Controller{MaxLen: 128, ID: uint16(1 + g.Intn(100)), Reason: uint8(g.Intn(6))} }),
		one(func() Action {
			return Controller{MaxLen: 0xffff, Reason: 1, UserData: "\x01\x02\x03\xff\x00", Pause: true, ID: uint16(g.Intn(3))}
		}),
		one(func() Action { return Clone{[]Action{Output{Port: 1}, Clone{[]Action{SetUint(Reg(1), 5)}}}} }),
		one(func() Action { return CheckPktLarger{uint16(g.Intn(9000)), Bits(Reg(g.Intn(16)), 3, 3)} }),
		with(NeedNSH, func() Action { return CheckPktLarger{1500, Bits(NSHC1, 3, 3)} }),
		one(func() Action {
			return Multipath{HashFields(g.Intn(7)), uint16(g.Intn(100)), MultipathAlgorithm(g.Intn(4)), uint32(1 + g.Intn(8)), g.Uint32(), r16()}
		}),
		one(func() Action { return Bundle{Algorithm: 1, Fields: HashFields(g.Intn(7)), Members: []Port{1, 2}} }),
		one(func() Action { return Bundle{Fields: 1, Basis: 5, Members: []Port{1, 2, 1}, Dst: r16()} }),
		one(func() Action {
			return Sample{Probability: 5, CollectorSetID: g.Uint32(), ObsDomainID: g.Uint32(), ObsPointID: g.Uint32(), SamplingPort: PortNone}
		}),
		one(func() Action {
			return Sample{Probability: 5, ObsPointID: 7, SamplingPort: 1, Direction: uint8(g.Intn(3))}
		}),
		with(NeedTCP, func() Action { return FinTimeout{uint16(g.Intn(10)), uint16(g.Intn(10))} }),
		with(NeedNSH, func() Action { return DecNSHTTL{} }),
		one(func() Action { return Encap{PacketType: 0x1894f, Props: "\x00\x04\x01\x05\x01\x00\x00\x00"} }),
		with(NeedNSH, func() Action { return Decap{0xfffe} }),
		one(func() Action { return WriteMetadata{uint64(g.Intn(256)), 0xff} }),
		one(func() Action { return WriteMetadata{g.Uint64(), ^uint64(0)} }),
		one(func() Action { return WriteActions{[]Action{Output{Port: 1}, SetUint(Reg(1), 7), PopVLAN{}}} }),
		one(func() Action { return ClearActions{} }),
		one(func() Action { return GotoTable{uint8(1 + g.Intn(250))} }),
	}
}

func (g gen) samples() int { return len(g.fixed()) + 2*len(writable()) }

// sample is one action of each kind, by number, in a match that allows it.
func (g gen) sample(i int) (m Match, a Action) {
	fixed, ws := g.fixed(), writable()
	if i < len(fixed) {
		a = fixed[i](&m)
		return m, a
	}
	i -= len(fixed)
	f := ws[i/2]
	masked := i%2 == 1
	if f.Bits == 1 { // half of its bits are none
		masked = false
	}
	return m, g.setField(&m, f, masked)
}

// flow is a mixture: some fields that go together, some actions that their match allows.
func (g gen) flow() Flow {
	f := Flow{Cookie: uint64(g.Intn(3)) * g.Uint64(), Table: uint8(g.Intn(200)), IdleTimeout: uint16(g.Intn(2) * 100), HardTimeout: uint16(g.Intn(2) * 200), Flags: FlowFlags(g.Intn(2))}
	p := []Prereq{NeedNothing, NeedARP, NeedIPv4, NeedIPv6, NeedTCP, NeedUDP, NeedICMP, NeedNDSolicit, NeedMPLS}[g.Intn(9)]
	g.need(&f.Match, p)
	for range g.Intn(8) {
		fd := fieldTable[g.Intn(len(fieldTable))]
		if !matchable(fd) || fd == PacketType || fd == EthType || fd == IPProto || fd == CTNWProto || !fd.Prereq.ok(&f.Match) {
			continue
		}
		if _, _, there := f.Match.Get(fd); !there {
			g.field(&f.Match, fd, fd.Masking == AnyMask && g.Intn(2) == 0)
		}
	}
	for range g.Intn(6) {
		m, a := g.sample(g.Intn(g.samples()))
		_ = m
		try := f
		try.Actions = append(append([]Action(nil), f.Actions...), a)
		if _, ok := a.(Conjunction); ok || !last(f.Actions, a) || try.Check() != nil {
			continue
		}
		f = try
	}
	return f
}

// last reports whether a may follow: what changes the kind of packet ends a list.
func last(acts []Action, a Action) bool {
	for _, b := range acts {
		switch b.(type) {
		case Encap, Decap, PushMPLS, PopMPLS, PushVLAN, PopVLAN:
			return isInstruction(a)
		}
	}
	return true
}
