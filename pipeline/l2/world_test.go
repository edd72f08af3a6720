package l2_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// yamlState is the state.yaml of a scenario, or a step: what there is after it, by name.
type yamlState struct {
	Physical []struct {
		Name   string
		Number uint32
	}
	Hosts []struct {
		Name     string
		Tunnel   string            // tunnel_ip
		Mappings map[string]string // physical network -> bridge
	}
	Networks []struct {
		Name     string
		Down     bool
		MTU      int
		Segments []struct {
			Type     model.NetworkType
			Physical string
			ID       uint32
		}
	}
	Ports []struct {
		Name, Network, MAC string
		IPs                []string
		Owner, Device      string
		Pairs              []string // allowed_address_pairs: a MAC, a prefix, or "MAC prefix"
		Groups             []string
		Unsecured, Down    bool
		HostID             string `yaml:"host_id"`
		// On lists the hosts that have the port's VIF, each with its OpenFlow port, slot and member number.
		On map[string]uint32
	}
	Groups []struct {
		Name      string
		Stateless bool
		// Rules are, each, "ingress" or "egress", "ipv4" or "ipv6", a protocol's number or "any", "MIN-MAX" or "any",
		// and the other side: a prefix, a group, an address group after "@", or "any".
		Rules []string
	}
	// Logs are network logs: of a group, of a port, of both, or of all.
	Logs          []struct{ Name, Group, Port, Event string }
	AddressGroups map[string][]string `yaml:"address_groups"`
	Subnets       []struct{ Name, Network, CIDR, Gateway string }
	Routers       []struct {
		Name, Gateway, Port string // the external network, and the port on it
		Down                bool
		NoSNAT              bool `yaml:"no_snat"`
		Zone                uint16
		Routes              map[string]string
	}
	FloatingIPs []struct{ Name, Network, Address, Holder, Port, Fixed, Router string } `yaml:"floatingips"`
	Remove      []string                                                               // "port a", "network n1", "host h1", "binding h1/a"
}

// world is intent by name with its history, as the store would give it.
type world struct {
	t    testing.TB
	rows map[*model.Table]map[string]model.Object
	keys map[string]uint32
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, rows: map[*model.Table]map[string]model.Object{}, keys: map[string]uint32{}}
	for _, tb := range model.Tables() {
		w.rows[tb] = map[string]model.Object{}
	}
	return w
}

// meta gives an object its key: in the order in which they come, each kind from its own base for the reader's sake.
func (w *world) meta(tb *model.Table, name string) model.Meta {
	id := tb.Name + " " + name
	if w.keys[id] == 0 {
		base := map[*model.Table]uint32{model.Hosts: 0x100, model.Networks: 1, model.Ports: 0x10, model.SecurityGroups: 0x200, model.SecurityGroupRules: 0x300, model.AddressGroups: 0x400,
			model.Routers: 0x40, model.FloatingIPs: 0x50}[tb]
		for k := range w.keys {
			if strings.HasPrefix(k, tb.Name+" ") {
				base++
			}
		}
		w.keys[id] = base
	}
	return model.Meta{ID: name, Name: name, Key: w.keys[id]}
}

func (w *world) put(o model.Object, tb *model.Table) model.Change {
	c := model.Change{Table: tb, Old: w.rows[tb][o.ObjectID()], New: o}
	w.rows[tb][o.ObjectID()] = o
	return c
}

func (w *world) remove(tb *model.Table, id string) []model.Change {
	old := w.rows[tb][id]
	if old == nil {
		return nil
	}
	delete(w.rows[tb], id)
	return []model.Change{{Table: tb, Old: old}}
}

// step takes a state over and gives the changes.
func (w *world) step(text []byte) (changes []model.Change) {
	var y yamlState
	if err := yaml.Unmarshal(text, &y); err != nil {
		w.t.Fatalf("state: %v", err)
	}
	for _, p := range y.Physical {
		changes = append(changes, w.put(&model.PhysicalNetwork{Name: p.Name, Number: p.Number}, model.PhysicalNetworks))
	}
	for _, h := range y.Hosts {
		o := &model.Host{Meta: w.meta(model.Hosts, h.Name), BridgeMappings: h.Mappings}
		if h.Tunnel != "" {
			o.TunnelIP = netip.MustParseAddr(h.Tunnel)
		}
		changes = append(changes, w.put(o, model.Hosts))
	}
	for _, n := range y.Networks {
		o := &model.Network{Meta: w.meta(model.Networks, n.Name), AdminStateUp: !n.Down, MTU: n.MTU}
		for _, s := range n.Segments {
			o.Segments = append(o.Segments, model.Segment{Type: s.Type, PhysicalNetwork: s.Physical, ID: s.ID})
		}
		changes = append(changes, w.put(o, model.Networks))
	}
	for _, s := range y.Subnets {
		o := &model.Subnet{Meta: w.meta(model.Subnets, s.Name), NetworkID: model.NetworkID(s.Network), CIDR: netip.MustParsePrefix(s.CIDR)}
		if s.Gateway != "" {
			o.GatewayIP = netip.MustParseAddr(s.Gateway)
		}
		changes = append(changes, w.put(o, model.Subnets))
	}
	for _, r := range y.Routers {
		o := &model.Router{Meta: w.meta(model.Routers, r.Name), AdminStateUp: !r.Down, EnableSNAT: !r.NoSNAT, Zone: r.Zone,
			GatewayNetwork: model.NetworkID(r.Gateway), GatewayPort: model.PortID(r.Port)}
		for _, d := range slices.Sorted(maps.Keys(r.Routes)) {
			o.Routes = append(o.Routes, model.Route{Destination: netip.MustParsePrefix(d), NextHop: netip.MustParseAddr(r.Routes[d])})
		}
		changes = append(changes, w.put(o, model.Routers))
	}
	for _, f := range y.FloatingIPs {
		o := &model.FloatingIP{Meta: w.meta(model.FloatingIPs, f.Name), NetworkID: model.NetworkID(f.Network), Address: netip.MustParseAddr(f.Address),
			HolderPort: model.PortID(f.Holder), PortID: model.PortID(f.Port), RouterID: f.Router}
		if f.Fixed != "" {
			o.FixedIP = netip.MustParseAddr(f.Fixed)
		}
		changes = append(changes, w.put(o, model.FloatingIPs))
	}
	for _, p := range y.Ports {
		o := &model.Port{Meta: w.meta(model.Ports, p.Name), NetworkID: model.NetworkID(p.Network), AdminStateUp: !p.Down,
			PortSecurity: !p.Unsecured, DeviceOwner: p.Owner, DeviceID: p.Device, HostID: model.HostName(p.HostID)}
		o.MAC = w.mac(p.MAC)
		for _, a := range p.IPs {
			f := model.FixedIP{Address: netip.MustParseAddr(a)}
			for id, s := range w.rows[model.Subnets] {
				if s := s.(*model.Subnet); s.NetworkID == o.NetworkID && s.CIDR.Contains(f.Address) {
					f.SubnetID = model.SubnetID(id)
				}
			}
			o.FixedIPs = append(o.FixedIPs, f)
		}
		for _, m := range p.Pairs {
			var a model.AddressPair
			for _, part := range strings.Fields(m) {
				if strings.Contains(part, "/") {
					a.Prefix = netip.MustParsePrefix(part)
				} else {
					a.MAC = w.mac(part)
				}
			}
			o.AllowedAddressPairs = append(o.AllowedAddressPairs, a)
		}
		o.SecurityGroups = p.Groups
		changes = append(changes, w.put(o, model.Ports))
		for _, h := range slices.Sorted(maps.Keys(p.On)) {
			b := &model.Binding{PortID: model.PortID(p.Name), Host: model.HostName(h), NetworkID: o.NetworkID, OFPort: p.On[h], Slot: uint16(p.On[h])}
			// One leaf per network and host.
			b.Member = w.meta(model.Networks, p.Network).Key*model.LeafSize + p.On[h]%model.LeafSize
			changes = append(changes, w.put(b, model.Bindings))
		}
	}
	for _, g := range y.Groups {
		changes = append(changes, w.put(&model.SecurityGroup{Meta: w.meta(model.SecurityGroups, g.Name), Stateful: !g.Stateless}, model.SecurityGroups))
		for id, o := range w.rows[model.SecurityGroupRules] {
			if o.(*model.SecurityGroupRule).GroupID == g.Name && !slices.Contains(g.Rules, strings.TrimPrefix(id, g.Name+": ")) {
				changes = append(changes, w.remove(model.SecurityGroupRules, id)...)
			}
		}
		for _, text := range g.Rules {
			changes = append(changes, w.put(w.rule(g.Name, text), model.SecurityGroupRules))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(y.AddressGroups)) {
		g := &model.AddressGroup{Meta: w.meta(model.AddressGroups, name)}
		for _, a := range y.AddressGroups[name] {
			g.Addresses = append(g.Addresses, netip.MustParsePrefix(a))
		}
		changes = append(changes, w.put(g, model.AddressGroups))
	}
	for _, l := range y.Logs {
		changes = append(changes, w.put(&model.Log{Meta: w.meta(model.Logs, l.Name), ResourceID: l.Group, TargetID: model.PortID(l.Port), Event: l.Event, Enabled: true}, model.Logs))
	}
	for _, r := range y.Remove {
		kind, name, _ := strings.Cut(r, " ")
		tb := model.TableByName(kind)
		if tb == nil {
			w.t.Fatalf("remove %q: no such table", r)
		}
		changes = append(changes, w.remove(tb, name)...)
	}
	return changes
}

// rule makes the rule that a text says.
func (w *world) rule(group, text string) *model.SecurityGroupRule {
	f := strings.Fields(text)
	if len(f) != 5 {
		w.t.Fatalf("rule %q: want five words", text)
	}
	r := &model.SecurityGroupRule{Meta: w.meta(model.SecurityGroupRules, group+": "+text), GroupID: group, Direction: f[0],
		EtherType: map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[f[1]], ProtocolNumber: model.AnyProtocol, PortMin: model.NoPort, PortMax: model.NoPort}
	if f[2] != "any" {
		fmt.Sscan(f[2], &r.ProtocolNumber)
	}
	if f[3] != "any" {
		fmt.Sscanf(f[3], "%d-%d", &r.PortMin, &r.PortMax)
	}
	switch far := f[4]; {
	case far == "any":
	case far[0] == '@':
		r.RemoteAddressGroupID = far[1:]
	case strings.Contains(far, "/"):
		r.RemotePrefix = netip.MustParsePrefix(far)
	default:
		r.RemoteGroupID = far
	}
	return r
}

func (w *world) mac(s string) model.MAC {
	m, err := model.ParseMAC(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// all is what there is as changes of an empty world, in an order that depends on nothing else.
func (w *world) all() (changes []model.Change) {
	for _, tb := range model.Tables() {
		for _, id := range slices.Sorted(maps.Keys(w.rows[tb])) {
			changes = append(changes, model.Change{Table: tb, New: w.rows[tb][id]})
		}
	}
	return changes
}

// engine is an engine with the snapshot that it has seen.
type engine struct {
	*derive.Engine
	snap *snapshot.Snapshot
	rev  int64
}

func newEngine() *engine {
	return &engine{Engine: derive.New(l2.Root, pipeline.DefaultSettings(), snapshot.Empty()), snap: snapshot.Empty()}
}

func (e *engine) apply(changes ...model.Change) *derive.Delta {
	e.rev++
	e.snap = e.snap.Apply(e.rev, changes)
	return e.Apply(e.snap, changes)
}

// hosts lists the hosts that the engine derived anything for in its last snapshot, and those of more.
func (e *engine) hosts() (out []model.HostName) {
	for o := range e.snap.Each(model.Hosts) {
		out = append(out, model.HostName(o.ObjectID()))
	}
	for o := range e.snap.Each(model.Bindings) {
		if h := o.(*model.Binding).Host; !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out
}

// roleOf is the role of a bridge.
func roleOf(bridge string) pipeline.Role {
	switch bridge {
	case pipeline.BrInt:
		return pipeline.RoleInt
	case pipeline.BrTun:
		return pipeline.RoleTun
	}
	return pipeline.RoleEx
}

// render is everything that is desired as text, by host/bridge, one line each, in the order that packets meet it.
func (e *engine) render(w *world) map[string][]string {
	out := map[string][]string{}
	for _, h := range e.hosts() {
		for _, br := range e.Bridges(h) {
			d := e.Desired(h, br)
			at := string(h) + "/" + br
			for _, f := range sorted(maps.Collect(d.Flows.All())) {
				out[at] = append(out[at], flowLine(w, &f))
			}
			for _, id := range slices.Sorted(maps.Keys(d.Groups)) {
				out[at+" groups"] = append(out[at+" groups"], groupText(w.t, d.Groups[id]))
			}
		}
	}
	return out
}

func sorted(m map[pipeline.Key]pipeline.Flow) []pipeline.Flow {
	return slices.SortedFunc(maps.Values(m), func(a, b pipeline.Flow) int {
		switch {
		case a.Table != b.Table:
			return int(a.Table) - int(b.Table)
		case a.Priority != b.Priority:
			return int(b.Priority) - int(a.Priority)
		}
		return strings.Compare(a.Match, b.Match)
	})
}

// flowLine is a flow as ovs-ofctl add-flows takes it, with the rule's number and the object in a comment.
func flowLine(w *world, f *pipeline.Flow) string {
	of, err := f.Decode()
	if err != nil {
		w.t.Fatal(err)
	}
	c := f.Cookie
	line := fmt.Sprintf("%s # rule %d", of.String(), c.Rule())
	for _, tb := range model.Tables() {
		if tb.Kind == 0 || tb.Kind != c.Kind() {
			continue
		}
		for id, o := range w.rows[tb] {
			if o.(interface{ MetaOf() *model.Meta }).MetaOf().Key == c.Key() {
				line += ", " + tb.Name + " " + id
			}
		}
	}
	return line
}

func groupText(t testing.TB, g pipeline.Group) string {
	m, err := openflow.Decode([]byte(g.Mod))
	if err != nil {
		t.Fatal(err)
	}
	mod, ok := m.(*openflow.GroupMod)
	if !ok {
		t.Fatalf("group %d is a %s", g.ID, m.Name())
	}
	return mod.Group.String()
}

// same compares what two engines desire.
func same(t testing.TB, what string, a, b *engine) {
	t.Helper()
	for _, h := range slices.Compact(slices.Sorted(slices.Values(append(a.hosts(), b.hosts()...)))) {
		for _, br := range slices.Compact(slices.Sorted(slices.Values(append(a.Bridges(h), b.Bridges(h)...)))) {
			x, y := a.Desired(h, br), b.Desired(h, br)
			if !maps.Equal(maps.Collect(x.Flows.All()), maps.Collect(y.Flows.All())) || !maps.Equal(x.Groups, y.Groups) || !maps.Equal(x.Meters, y.Meters) || !maps.Equal(x.Holds, y.Holds) || !maps.Equal(x.Zones, y.Zones) {
				t.Errorf("%s: %s/%s differs: %d and %d flows, %d and %d groups", what, h, br, x.Flows.Len(), y.Flows.Len(), len(x.Groups), len(y.Groups))
			}
		}
	}
}
