package secgroup

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The kinds of unit.
var (
	// Group is the rules of a security group, for every host that has a port with it.
	Group = &pipeline.Kind{Name: "security-group", Order: 60, Shared: true, Derive: group}
	// Members is the addresses of the ports that have a group, for every host with a rule that names it.
	Members = &pipeline.Kind{Name: "remote-group", Order: 61, Shared: true, Derive: members}
	// Member is one port of a remote group; its id is group/port.
	Member = &pipeline.Kind{Name: "remote-member", Order: 62, Shared: true, Derive: member}
	// MemberAddress is one address of a remote group, of one port or of several; its id is group/prefix.
	MemberAddress = &pipeline.Kind{Name: "remote-address", Order: 63, Shared: true, Derive: memberAddress}
	// AddressGroup is the prefixes of an address group.
	AddressGroup = &pipeline.Kind{Name: "address-group", Order: 64, Shared: true, Derive: addressGroup}
)

// cond is what one flow of a rule matches, the group's key aside. Two rules may come to the same.
type cond struct {
	opened   uint64 // 1: ingress
	v6       bool
	set      uint32
	prefix   netip.Prefix // of no bits: any
	proto    int          // model.AnyProtocol: any
	ports    mask
	hasPorts bool
	typ      int // of ICMP, model.NoPort: any
	code     int
	later    bool // fragments but the first, whatever their ports
}

// group adds the flows of a group's rules: for each rule as many as its range of ports needs, whatever the number of
// ports that have the group and of addresses that a remote group has.
func group(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	g, ok := v.SecurityGroup(id)
	if !ok {
		return
	}
	rules := v.RulesOf(id)
	slices.SortFunc(rules, func(a, b *model.SecurityGroupRule) int { return int(int64(a.Key) - int64(b.Key)) })
	seen := map[cond]bool{}
	type side struct {
		opened uint64
		v6     bool
	}
	sets := map[side][]uint32{}
	for _, r := range rules {
		c, ok := ruleSide(v, r, out)
		if !ok {
			continue
		}
		if s := (side{c.opened, c.v6}); c.set != 0 && !slices.Contains(sets[s], c.set) {
			sets[s] = append(sets[s], c.set)
		}
		out.For(model.SecurityGroupRules, r.Key)
		for _, c := range expand(c, r) {
			if !seen[c] {
				seen[c] = true
				out.Add(pipeline.GroupRule, c.match(g), pipeline.Allowed.Load(1))
			}
			if !c.hasPorts && c.typ == model.NoPort {
				continue
			}
			if c = c.ofLater(); !seen[c] {
				seen[c] = true
				out.Add(pipeline.LaterRule, c.match(g), pipeline.Allowed.Load(1))
			}
		}
	}
	out.For(model.SecurityGroups, g.Key)
	for _, opened := range []uint64{0, 1} {
		for _, v6 := range []bool{false, true} {
			if s := sets[side{opened, v6}]; s != nil {
				slices.Sort(s)
				askSets(g, opened, v6, s, out)
			}
		}
	}
}

// ruleSide is a rule's direction, family and other side.
func ruleSide(v model.View, r *model.SecurityGroupRule, out *pipeline.Out) (c cond, ok bool) {
	c = cond{v6: r.EtherType == "IPv6", proto: r.ProtocolNumber, typ: model.NoPort, code: model.NoPort}
	if r.Direction == "ingress" {
		c.opened = 1
	}
	if c.v6 && c.proto == pipeline.ProtoICMP {
		c.proto = pipeline.ProtoICMPv6
	} else if !c.v6 && c.proto == pipeline.ProtoICMPv6 {
		return c, false // there is no such packet
	}
	switch {
	case r.RemoteGroupID != "":
		g, ok := v.SecurityGroup(r.RemoteGroupID)
		if !ok {
			return c, false
		}
		c.set = g.Key
		out.Need(Members, "", g.ID)
	case r.RemoteAddressGroupID != "":
		g, ok := v.AddressGroup(r.RemoteAddressGroupID)
		if !ok {
			return c, false
		}
		c.set = g.Key
		out.Need(AddressGroup, "", g.ID)
	case r.RemotePrefix.IsValid() && r.RemotePrefix.Bits() > 0:
		if r.RemotePrefix.Addr().Is4() == c.v6 {
			return c, false
		}
		c.prefix = r.RemotePrefix.Masked()
	}
	return c, true
}

// expand gives the conditions of a rule's range of ports, or ICMP type and code.
func expand(c cond, r *model.SecurityGroupRule) []cond {
	switch {
	case c.proto == pipeline.ProtoICMP || c.proto == pipeline.ProtoICMPv6:
		c.typ, c.code = r.PortMin, r.PortMax
		if c.typ == model.NoPort {
			c.code = model.NoPort
		}
	case c.proto != model.AnyProtocol && r.PortMin != model.NoPort && r.PortMax != model.NoPort:
		var out []cond
		c.hasPorts = true
		for _, c.ports = range portMasks(r.PortMin, r.PortMax) {
			out = append(out, c)
		}
		return out
	}
	return []cond{c}
}

// ofLater is the condition for fragments but the first. Open vSwitch's ct_tp_dst of them is 0, though conntrack has put
// the packet together and knows better.
func (c cond) ofLater() cond {
	c.ports, c.hasPorts, c.typ, c.code, c.later = mask{}, false, model.NoPort, model.NoPort, true
	return c
}

// match builds the match of a group's condition: on the tuple with which a connection was opened, or, in stateless
// groups, on the packet itself.
func (c *cond) match(g *model.SecurityGroup) pipeline.Match {
	m := pipeline.Match{pipeline.SecGroup.Key(g.Key), pipeline.SecSet.Key(c.set), pipeline.Opened.Is(c.opened), pipeline.Allowed.Is(0), family(c.v6)}
	if c.set != 0 {
		m = append(m, pipeline.InSet.Is(1))
	}
	if g.Stateful {
		m = append(m, valid)
	}
	if c.prefix.IsValid() {
		m = append(m, farField(g.Stateful, c.v6, c.opened).In(c.prefix))
	}
	if c.later {
		m = append(m, pipeline.LaterFragment)
	}
	if c.proto == model.AnyProtocol {
		return m
	}
	if g.Stateful {
		m = append(m, pipeline.CTProto.Is(uint64(c.proto)))
	} else {
		m = append(m, pipeline.IPProto.Is(uint64(c.proto)))
	}
	typ, code, ports := pipeline.CTSrc, pipeline.CTDst, pipeline.CTDst // where Open vSwitch has an ICMP type and code
	if !g.Stateful {
		switch c.proto {
		case pipeline.ProtoICMP:
			typ, code = pipeline.ICMPTyp, pipeline.ICMPCod
		case pipeline.ProtoICMPv6:
			typ, code = pipeline.ICMP6Typ, pipeline.ICMP6Cod
		case pipeline.ProtoTCP:
			ports = pipeline.TCPDst
		case pipeline.ProtoUDP:
			ports = pipeline.UDPDst
		case pipeline.ProtoSCTP:
			ports = pipeline.SCTPDst
		default:
			ports = nil
		}
	}
	if c.typ != model.NoPort {
		m = append(m, typ.Is(uint64(c.typ)))
	}
	if c.code != model.NoPort {
		m = append(m, code.Is(uint64(c.code)))
	}
	if c.hasPorts && ports != nil && c.ports.mask != 0 {
		m = append(m, ports.Masked(uint64(c.ports.value), uint64(c.ports.mask)))
	}
	return m
}

func family(v6 bool) pipeline.Term {
	if v6 {
		return pipeline.IsIPv6
	}
	return pipeline.IsIPv4
}

// farField is the field that holds the other side's address: the source of what was opened towards the port.
func farField(stateful, v6 bool, opened uint64) *pipeline.Field {
	at := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return [2][2][2]*pipeline.Field{
		{{pipeline.IPv4Dst, pipeline.IPv4Src}, {pipeline.IPv6Dst, pipeline.IPv6Src}},
		{{pipeline.CTIPv4Dst, pipeline.CTIPv4Src}, {pipeline.CTIPv6Dst, pipeline.CTIPv6Src}},
	}[at(stateful)][at(v6)][opened]
}

// askSets asks a group's rules without a set, then for each set whether the far address is in it, and the rules with it.
// The address is copied to where the sets have it, so that one flow for each address serves both directions, stateful
// and stateless groups.
func askSets(g *model.SecurityGroup, opened uint64, v6 bool, sets []uint32, out *pipeline.Out) {
	m := pipeline.Match{pipeline.SecGroup.Key(g.Key), pipeline.Opened.Is(opened), family(v6)}
	if g.Stateful {
		m = append(m, valid)
	}
	far := pipeline.Far
	if v6 {
		far = pipeline.Far6
	}
	acts := []openflow.Action{pipeline.Copy(farField(g.Stateful, v6, opened), far), pipeline.Call(pipeline.Rules)}
	for _, s := range sets {
		acts = append(acts, pipeline.SecSet.Load(uint64(s)), pipeline.InSet.Load(0), pipeline.Call(pipeline.RemoteSets), pipeline.Call(pipeline.Rules))
	}
	out.Add(pipeline.AskSets, m, append(acts, pipeline.InSet.Load(0), pipeline.SecSet.Load(0))...)
}

func members(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	out.NeedEach(pipeline.Each{Index: model.PortsBySecurityGroup, Key: id, Kind: Member,
		ID: func(o model.Object) string { return id + "/" + o.ObjectID() }})
}

func member(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	groupID, port, _ := strings.Cut(id, "/")
	p, ok := v.Port(model.PortID(port))
	if !ok {
		return
	}
	var seen []netip.Prefix
	need := func(a netip.Prefix) {
		if a = a.Masked(); a.IsValid() && !slices.Contains(seen, a) {
			seen = append(seen, a)
			out.Need(MemberAddress, "", groupID+"/"+a.String())
		}
	}
	for _, f := range p.FixedIPs {
		need(netip.PrefixFrom(f.Address, f.Address.BitLen()))
	}
	for _, a := range p.AllowedAddressPairs {
		need(a.Prefix)
	}
}

func memberAddress(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	groupID, text, _ := strings.Cut(id, "/")
	g, ok := v.SecurityGroup(groupID)
	a, err := netip.ParsePrefix(text)
	if !ok || err != nil {
		return
	}
	out.For(model.SecurityGroups, g.Key)
	addSet(g.Key, a, out)
}

func addressGroup(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	g, ok := v.AddressGroup(id)
	if !ok {
		return
	}
	out.For(model.AddressGroups, g.Key)
	seen := map[netip.Prefix]bool{}
	for _, a := range g.Addresses {
		if a = a.Masked(); !seen[a] {
			seen[a] = true
			addSet(g.Key, a, out)
		}
	}
}

// addSet puts a prefix into a set.
func addSet(set uint32, a netip.Prefix, out *pipeline.Out) {
	out.Add(pipeline.SetMember, pipeline.Match{pipeline.SecSet.Key(set), family(!a.Addr().Is4()), pipeline.FarIn(a)}, pipeline.InSet.Load(1))
}
