package openflow

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// actions reads a list of actions and instructions.
func (p *parser) actions(s string) (acts []Action) {
	if p.depth++; p.depth > maxNesting {
		p.fail("actions are nested more than %d deep", maxNesting)
		return nil
	}
	defer func() { p.depth-- }()
	if p.m != nil && p.depth == 1 {
		p.hasVLAN = NeedVLAN.ok(p.m)
	}
	parts := p.split(s)
	if len(parts) == 1 && parts[0] == "drop" {
		return nil
	}
	for _, part := range parts {
		key, arg, tail, _ := p.keyVal(part)
		if p.err != nil {
			return nil
		}
		acts = append(acts, p.action(key, arg+tail, part)...)
		if p.err != nil {
			return nil
		}
		if len(acts) > maxActions {
			p.fail("more than %d actions", maxActions)
			return nil
		}
	}
	return acts
}

// action reads one action; some texts make several.
func (p *parser) action(key, arg, part string) []Action {
	set := func(f *Field, v uint64) []Action { return []Action{SetUint(f, v)} }
	switch key {
	case "drop":
		p.fail("drop stands alone")
		return nil
	case "goto_table":
		return []Action{GotoTable{uint8(p.uint(arg, 8))}}
	case "meter":
		return []Action{Meter{uint32(p.uint(arg, 32))}}
	case "write_metadata":
		v, m, masked := strings.Cut(arg, "/")
		a := WriteMetadata{p.uint(v, 64), ^uint64(0)}
		if masked {
			a.Mask = p.uint(m, 64)
			a.Value &= a.Mask
		}
		return []Action{a}
	case "clear_actions":
		return []Action{ClearActions{}}
	case "write_actions":
		return []Action{WriteActions{p.nested(arg)}}
	case "apply_actions":
		return p.nested(arg)
	case "raw", "raw_instruction":
		b, err := hex.DecodeString(arg)
		if err != nil || len(b) < 8 || len(b)%8 != 0 || int(b[2])<<8|int(b[3]) != len(b) {
			p.fail("%s(%s) is not the hexadecimal of one whole action", key, arg)
		}
		if key == "raw" {
			return []Action{RawAction{string(b)}}
		}
		return []Action{RawInstruction{string(b)}}
	case "enqueue":
		sep := ":"
		if strings.Contains(arg, ",") {
			sep = ","
		}
		port, q, _ := strings.Cut(arg, sep)
		return []Action{SetQueue{uint32(p.uint(q, 32))}, Output{p.port(port), 0}, PopQueue{}}
	case "strip_vlan":
		key = "pop_vlan"
	case "set_tunnel", "set_tunnel64":
		return set(TunID, p.uint(arg, 64))
	case "mod_dl_src":
		return []Action{SetBytes(EthSrc, p.mac(arg), nil)}
	case "mod_dl_dst":
		return []Action{SetBytes(EthDst, p.mac(arg), nil)}
	case "mod_nw_src":
		return []Action{SetBytes(IPv4Src, p.addr(arg, 4), nil)}
	case "mod_nw_dst":
		return []Action{SetBytes(IPv4Dst, p.addr(arg, 4), nil)}
	case "mod_nw_tos":
		return set(IPDSCP, p.uint(arg, 8)>>2)
	case "mod_nw_ecn":
		return set(IPECN, p.uint(arg, 2))
	case "set_mpls_label":
		return set(MPLSLabel, p.uint(arg, 20))
	case "set_mpls_tc":
		return set(MPLSTC, p.uint(arg, 3))
	case "mod_tp_src", "mod_tp_dst":
		if p.m == nil {
			p.fail("%s needs a flow that matches tcp, udp or sctp; use set_field:N->tcp_src or the like", key)
			return nil
		}
		f := FieldByName(resolve(p.m, key[4:]))
		if f == nil || f.Len != 2 {
			p.fail("%s needs a match on tcp, udp or sctp", key)
			return nil
		}
		return set(f, p.uint(arg, 16))
	case "mod_vlan_vid", "mod_vlan_pcp":
		var acts []Action
		if !p.hasVLAN {
			acts = append(acts, PushVLAN{0x8100})
			p.hasVLAN = true
		}
		if key == "mod_vlan_pcp" {
			return append(acts, SetUint(VLANPCP, p.uint(arg, 3)))
		}
		return append(acts, SetUint(VLANVID, p.uint(arg, 12)|0x1000))
	case "load":
		if a := p.wideLoad(arg); a != nil {
			return a
		}
	}
	switch key {
	case "push_vlan":
		p.hasVLAN = true
	case "pop_vlan":
		p.hasVLAN = false
	case "CONTROLLER":
		key = "controller"
	}
	if spec := specByName[key]; spec != nil {
		if key == "check_pkt_larger" || key == "output" || key == "resubmit" || key == "controller" || key == "dec_ttl" {
			arg = part[len(key):] // these tell ":" from "("
			if part[:len(key)] == "CONTROLLER" {
				arg = part[len("CONTROLLER"):]
			}
		}
		a := spec.parse(p, arg)
		if _, ok := a.(NAT); ok {
			p.fail("nat stands inside ct only")
		}
		return []Action{a}
	}
	if port, err := ParsePort(part); err == nil {
		return []Action{Output{Port: port}}
	}
	p.fail("%q is not an action; see ovs-actions(7)", key)
	return nil
}

// nested reads the actions inside of another action.
func (p *parser) nested(s string) []Action {
	acts := p.actions(s)
	for _, a := range acts {
		if isInstruction(a) {
			p.fail("%s is an instruction and cannot stand inside another action", a.AppendText(nil))
		}
	}
	return acts
}

func (p *parser) port(s string) Port {
	port, err := ParsePort(strings.TrimSpace(s))
	if err != nil && p.err == nil {
		p.err = err
	}
	return port
}

// inner cuts "(x)", ":x" or "=x" to x.
func inner(s string) string {
	if strings.HasPrefix(s, "(") {
		return strings.TrimSuffix(s[1:], ")")
	}
	return strings.TrimLeft(s, ":=")
}

func parseOutput(p *parser, s string) Action {
	if strings.HasPrefix(s, "(") {
		var a OutputTrunc
		p.args(inner(s), func(k, v string) {
			switch k {
			case "port":
				a.Port = p.port(v)
			case "max_len":
				a.MaxLen = uint32(p.uint(v, 32))
			default:
				p.fail("output has no argument %q; want port and max_len", k)
			}
		})
		return a
	}
	s = inner(s)
	name, _, _ := strings.Cut(s, "[")
	if port, err := ParsePort(s); err == nil {
		if port == PortController {
			return Output{port, 0xffff}
		}
		return Output{Port: port}
	}
	if c, n, ok := strings.Cut(s, ":"); ok && strings.EqualFold(c, "CONTROLLER") {
		return Output{PortController, uint16(p.uint(n, 16))}
	}
	if FieldByName(name) == nil {
		p.fail("output:%s is neither a port nor a field", s)
		return Output{}
	}
	return OutputField{p.subfield(s), 0xffff}
}

// arrow cuts "x->y".
func (p *parser) arrow(s string) (from, to string) {
	from, to, ok := strings.Cut(s, "->")
	if !ok {
		p.fail("%q lacks ->", s)
	}
	return strings.TrimSpace(from), strings.TrimSpace(to)
}

func parseSetField(p *parser, s string) Action {
	val, name := p.arrow(s)
	f := p.field(name)
	v, k := p.value(f, val)
	if p.err != nil {
		return SetField{}
	}
	if k != nil {
		for i := range v {
			v[i] &= k[i]
		}
	}
	if !f.Writable {
		p.fail("set_field: %s is read-only", f.Name)
	}
	return SetBytes(f, v, k)
}

func parseLoad(p *parser, s string) Action {
	val, dst := p.arrow(s)
	a := Load{p.subfield(dst), p.uint(val, 64)}
	if a.Dst.N < 64 && a.Value>>a.Dst.N != 0 {
		p.fail("load: %s does not fit in %d bits of %s", val, a.Dst.N, a.Dst.Field.Name)
	}
	if p.err == nil && (a.Dst.exp() || a.Dst.Field.VarLen()) {
		return a.asSetField()
	}
	return a
}

// wideLoad reads a load of more than 64 bits as loads of 64, lowest first; nil if it is none.
func (p *parser) wideLoad(s string) (acts []Action) {
	val, dst := p.arrow(s)
	d := p.subfield(dst)
	if p.err != nil || d.N <= 64 || d.exp() || d.Field.VarLen() {
		return nil
	}
	v := p.hexBytes(val, d.Field.Len)
	for ofs := 0; ofs < int(d.N); ofs += 64 {
		n := min(64, int(d.N)-ofs)
		acts = append(acts, Load{Subfield{d.Field, d.Ofs + uint16(ofs), uint16(n)}, bitsUint(v, ofs, n)})
	}
	return acts
}

func parseMove(p *parser, s string) Action {
	src, dst := p.arrow(s)
	a := Move{p.subfield(src), p.subfield(dst)}
	if a.Src.N != a.Dst.N {
		p.fail("move: source has %d bits, destination %d", a.Src.N, a.Dst.N)
	}
	return a
}

func parseDecTTL(p *parser, s string) Action {
	if s == "" {
		return DecTTL{}
	}
	var a DecTTLIDs // without ids it prints as dec_ttl(), which is how Open vSwitch shows such bytes
	for _, id := range p.split(inner(s)) {
		a.IDs = append(a.IDs, uint16(p.uint(id, 16)))
	}
	return a
}

func parseResubmit(p *parser, s string) Action {
	a := Resubmit{Port: PortInPort, Table: 255}
	if !strings.HasPrefix(s, "(") {
		a.Port = p.port(inner(s))
		return a
	}
	parts := strings.Split(inner(s), ",")
	if parts[0] != "" {
		a.Port = p.port(parts[0])
	}
	if len(parts) > 1 && parts[1] != "" {
		a.Table = uint8(p.uint(parts[1], 8))
	}
	if len(parts) > 2 {
		if a.CT = parts[2] == "ct"; !a.CT {
			p.fail("resubmit has no argument %q; want ct", parts[2])
		}
	}
	return a
}

func parseCT(p *parser, s string) Action {
	var a CT
	p.args(s, func(k, v string) {
		switch k {
		case "commit":
			a.Commit = true
		case "force":
			a.Force = true
		case "table":
			a.Table = ToTable(uint8(p.uint(v, 8)))
		case "zone":
			if n, err := strconv.ParseUint(v, 0, 16); err == nil {
				a.Zone = uint16(n)
			} else {
				a.ZoneField = p.subfield(v)
			}
		case "alg":
			switch v {
			case "ftp":
				a.ALG = 21
			case "tftp":
				a.ALG = 69
			default:
				a.ALG = uint16(p.uint(v, 16))
			}
		case "nat":
			n, _ := parseNAT(p, v).(NAT)
			a.NAT = &n
		case "exec":
			a.Exec = p.nested(v)
		default:
			p.fail("ct has no argument %q; see ovs-actions(7)", k)
		}
	})
	return a
}

func parseNAT(p *parser, s string) Action {
	var a NAT
	for _, part := range p.split(s) {
		k, v, has := strings.Cut(part, "=")
		switch k {
		case "src", "dst":
			a.Src, a.Dst = a.Src || k == "src", a.Dst || k == "dst"
			if has {
				p.natRange(&a, v)
			}
		case "persistent":
			a.Persistent = true
		case "hash":
			a.Hash = true
		case "random":
			a.Random = true
		default:
			p.fail("nat has no argument %q; want src, dst, persistent, hash or random", part)
		}
	}
	return a
}

// natRange reads ADDR[-ADDR][:PORT[-PORT]]; IPv6 addresses with ports are in brackets.
func (p *parser) natRange(a *NAT, s string) {
	one := func(s string) netip.Addr {
		x, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil || x.Zone() != "" {
			p.fail("nat: %q is not an address", s)
		}
		return x
	}
	addrs, ports := s, ""
	switch i := strings.LastIndexByte(s, ']'); {
	case i >= 0 && i+1 < len(s) && s[i+1] == ':':
		addrs, ports = s[:i+1], s[i+2:]
	case i < 0 && strings.Count(s, ":") == 1:
		addrs, ports, _ = strings.Cut(s, ":")
	}
	lo, hi, two := strings.Cut(addrs, "-")
	if lo != "" {
		a.AddrMin = one(lo)
	}
	if two {
		if a.AddrMax = one(hi); a.AddrMax == a.AddrMin {
			a.AddrMax = netip.Addr{}
		}
	}
	if ports != "" {
		lo, hi, two := strings.Cut(ports, "-")
		a.PortMin = uint16(p.uint(lo, 16))
		if two {
			if a.PortMax = uint16(p.uint(hi, 16)); a.PortMax == a.PortMin {
				a.PortMax = 0
			}
		}
	}
}

func parseConjunction(p *parser, s string) Action {
	id, of, ok := strings.Cut(s, ",")
	c, n, ok2 := strings.Cut(of, "/")
	if !ok || !ok2 {
		p.fail("conjunction(%s); want conjunction(ID,K/N)", s)
		return nil
	}
	a := Conjunction{uint32(p.uint(id, 32)), uint8(p.uint(c, 8)), uint8(p.uint(n, 8))}
	if err := a.check(nil); err != nil && p.err == nil {
		p.err = err
	}
	return a
}

func parseController(p *parser, s string) Action {
	a := Controller{MaxLen: 0xffff, Reason: 1}
	if !strings.HasPrefix(s, "(") {
		if s = inner(s); s != "" {
			a.MaxLen = uint16(p.uint(s, 16))
		}
		return Output{PortController, a.MaxLen}
	}
	plain := true
	p.args(inner(s), func(k, v string) {
		switch k {
		case "max_len":
			a.MaxLen = uint16(p.uint(v, 16))
			return
		case "id":
			a.ID = uint16(p.uint(v, 16))
		case "reason":
			found := false
			for i, n := range packetInReasons {
				if n == v {
					a.Reason, found = uint8(i), true
				}
			}
			if !found {
				a.Reason = uint8(p.uint(v, 8))
			}
		case "userdata":
			a.UserData = p.dots(v)
		case "pause":
			a.Pause = true
		case "meter_id":
			a.MeterID, a.HasMeter = uint32(p.uint(v, 32)), true
		default:
			p.fail("controller has no argument %q; see ovs-actions(7)", k)
		}
		plain = false
	})
	if plain || a.ID == 0 && a.Reason == 1 && a.UserData == "" && !a.Pause && !a.HasMeter {
		return Output{PortController, a.MaxLen}
	}
	return a
}

// dots reads hexadecimal octets with optional dots between them.
func (p *parser) dots(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ".", ""))
	if err != nil {
		p.fail("%q are not hexadecimal octets", s)
	}
	return string(b)
}

func parseNote(p *parser, s string) Action {
	b := p.dots(s)
	for len(b)%8 != 6 {
		b += "\x00"
	}
	return Note{b}
}

func parseClone(p *parser, s string) Action { return Clone{p.nested(s)} }

func parseCheckPktLarger(p *parser, s string) Action {
	n, dst := p.arrow(s)
	return CheckPktLarger{uint16(p.uint(inner(n), 16)), p.subfield(dst)}
}

// nameIndex is the position of s in names.
func nameIndex[T ~uint16](p *parser, what string, names []string, s string) T {
	for i, n := range names {
		if n == s {
			return T(i)
		}
	}
	p.fail("%s %q is not one of %s", what, s, strings.Join(names, ", "))
	return 0
}

func parseMultipath(p *parser, s string) Action {
	v := p.split(s)
	if len(v) != 6 {
		p.fail("multipath(%s) has %d arguments, want 6", s, len(v))
		return nil
	}
	return Multipath{nameIndex[HashFields](p, "multipath fields", hashNames[:], v[0]), uint16(p.uint(v[1], 16)),
		nameIndex[MultipathAlgorithm](p, "multipath algorithm", multipathNames[:], v[2]), uint32(p.uint(v[3], 32)), uint32(p.uint(v[4], 32)), p.subfield(v[5])}
}

func parseBundle(load bool) func(p *parser, s string) Action {
	return func(p *parser, s string) Action {
		head, members, ok := strings.Cut(s, "members:")
		if !ok {
			head, members, ok = strings.Cut(s, "slaves:")
		}
		v := p.split(head)
		want := 4
		if load {
			want = 5
		}
		if !ok || len(v) != want || v[3] != "ofport" {
			p.fail("bundle(%s); want fields, basis, algorithm, ofport, members:", s)
			return nil
		}
		a := Bundle{Fields: nameIndex[HashFields](p, "bundle fields", hashNames[:], v[0]), Basis: uint16(p.uint(v[1], 16)),
			Algorithm: nameIndex[BundleAlgorithm](p, "bundle algorithm", bundleNames[:], v[2])}
		if load {
			a.Dst = p.subfield(v[4])
		}
		for _, m := range p.split(strings.Trim(members, "[]")) {
			a.Members = append(a.Members, p.port(m))
		}
		return a
	}
}

func parseSample(p *parser, s string) Action {
	a := Sample{SamplingPort: PortNone}
	p.args(s, func(k, v string) {
		switch k {
		case "probability":
			a.Probability = uint16(p.uint(v, 16))
		case "collector_set_id":
			a.CollectorSetID = uint32(p.uint(v, 32))
		case "obs_domain_id":
			a.ObsDomainID = uint32(p.uint(v, 32))
		case "obs_point_id":
			a.ObsPointID = uint32(p.uint(v, 32))
		case "sampling_port":
			a.SamplingPort = p.port(v)
		case "ingress":
			a.Direction = 1
		case "egress":
			a.Direction = 2
		default:
			p.fail("sample has no argument %q; see ovs-actions(7)", k)
		}
	})
	return a
}

func parseFinTimeout(p *parser, s string) Action {
	var a FinTimeout
	p.args(s, func(k, v string) {
		switch k {
		case "idle_timeout":
			a.Idle = uint16(p.uint(v, 16))
		case "hard_timeout":
			a.Hard = uint16(p.uint(v, 16))
		default:
			p.fail("fin_timeout has no argument %q; want idle_timeout or hard_timeout", k)
		}
	})
	return a
}

func parseEncap(p *parser, s string) Action {
	name, props, _, _ := p.keyVal(s)
	for t, n := range encapNames {
		if n != name {
			continue
		}
		a := Encap{PacketType: t}
		var b []byte
		p.args(props, func(k, v string) {
			switch k {
			case "md_type":
				b = append(b, 0, 4, 1, 5, uint8(p.uint(v, 8)), 0, 0, 0)
			case "tlv":
				parts := p.split(v)
				if len(parts) != 3 {
					p.fail("tlv(%s); want class, type, value", v)
					return
				}
				raw, err := hex.DecodeString(strings.TrimPrefix(parts[2], "0x"))
				if err != nil || len(raw) > 124 {
					p.fail("tlv value %q is not hexadecimal of at most 124 octets", parts[2])
				}
				c := p.uint(parts[0], 16)
				n := pad8(8 + len(raw))
				b = append(b, 0, 4, 2, uint8(n), byte(c>>8), byte(c), uint8(p.uint(parts[1], 8)), uint8(len(raw)))
				b = append(b, raw...)
				b = append(b, make([]byte, n-8-len(raw))...)
			default:
				p.fail("encap has no property %q; want md_type or tlv", k)
			}
		})
		a.Props = string(b)
		return a
	}
	p.fail("encap(%s); want nsh, ethernet, mpls or mpls_mc", s)
	return nil
}

func parseDecap(p *parser, s string) Action {
	a := Decap{0xfffe}
	p.args(s, func(k, v string) {
		if k != "packet_type" {
			p.fail("decap has no argument %q; want packet_type(ns=,type=)", k)
			return
		}
		a.PacketType = 0
		p.args(v, func(k, v string) {
			n := uint32(p.uint(v, 16))
			if k == "ns" {
				n <<= 16
			}
			a.PacketType |= n
		})
	})
	return a
}

func parseLearn(p *parser, s string) Action {
	a := Learn{Priority: defaultPriority, Table: 1}
	for _, part := range p.split(s) {
		k, v, _, _ := p.keyVal(part)
		switch k {
		case "table":
			a.Table = uint8(p.uint(v, 8))
		case "idle_timeout":
			a.IdleTimeout = uint16(p.uint(v, 16))
		case "hard_timeout":
			a.HardTimeout = uint16(p.uint(v, 16))
		case "fin_idle_timeout":
			a.FinIdleTimeout = uint16(p.uint(v, 16))
		case "fin_hard_timeout":
			a.FinHardTimeout = uint16(p.uint(v, 16))
		case "priority":
			a.Priority = uint16(p.uint(v, 16))
		case "cookie":
			a.Cookie = p.uint(v, 64)
		case "send_flow_rem":
			a.SendFlowRem = true
		case "delete_learned":
			a.DeleteLearned = true
		case "limit":
			a.Limit = uint32(p.uint(v, 32))
		case "result_dst":
			a.ResultDst = p.subfield(v)
		case "load":
			src, dst := p.arrow(v)
			spec := LearnSpec{Kind: LearnLoad, Dst: p.subfield(dst)}
			p.learnSource(&spec, src)
			a.Specs = append(a.Specs, spec)
		case "output":
			a.Specs = append(a.Specs, LearnSpec{Kind: LearnOutput, Src: p.subfield(v)})
		default:
			a.Specs = append(a.Specs, p.learnMatch(part))
		}
		if p.err == nil && len(a.Specs) > maxLearnSpecs {
			p.fail("learn has more than %d specs", maxLearnSpecs)
		}
		if p.err != nil {
			return nil
		}
	}
	return a
}

// learnSource reads a field or a constant for the bits of spec.Dst.
func (p *parser) learnSource(spec *LearnSpec, s string) {
	name, _, _ := strings.Cut(s, "[")
	if FieldByName(name) != nil {
		spec.Src = p.subfield(s)
		if spec.Src.N != spec.Dst.N {
			p.fail("learn: source has %d bits, destination %d", spec.Src.N, spec.Dst.N)
		}
		return
	}
	spec.Value = Bytes(p.hexBytes(s, (int(spec.Dst.N)+15)/16*2))
}

// learnMatch reads FIELD=VALUE, FIELD[..]=SRC[..], FIELD[..]=CONSTANT or FIELD[..].
func (p *parser) learnMatch(part string) LearnSpec {
	k, v, has := strings.Cut(part, "=")
	spec := LearnSpec{Dst: p.subfield(k)}
	f := spec.Dst.Field
	n := (int(spec.Dst.N) + 15) / 16 * 2
	name, _, _ := strings.Cut(v, "[")
	switch {
	case !has:
		spec.Src = spec.Dst
	case FieldByName(name) != nil:
		p.learnSource(&spec, v)
	case !strings.Contains(k, "[") || f.Format == IPv4 || f.Format == IPv6 || f.Format == Ethernet:
		val, mask := p.value(f, v)
		if mask != nil {
			p.fail("learn: %s takes no mask", k)
		}
		if len(val) <= n {
			val = append(make([]byte, n-len(val)), val...)
		}
		spec.Value = Bytes(val[len(val)-n:])
	default:
		spec.Value = Bytes(p.hexBytes(v, n))
	}
	return spec
}
