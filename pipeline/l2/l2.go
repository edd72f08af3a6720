// Package l2 derives switching: classification of VIFs, delivery by (network, MAC), flooding, learning, ARP
// answers, the punts of DHCP and ARP to the controller, and the carriers that join hosts: overlays in br-tun, physical
// networks in mapped bridges. It derives only; it decides nothing about order or time.
package l2

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
	"github.com/penstock/penstock/pipeline/nat"
	"github.com/penstock/penstock/pipeline/secgroup"
)

// The kinds of unit, from the root down. Order settles conflicts: the lower wins.
var (
	// Root is the one unit that nothing asks for: it asks for every host.
	Root = &pipeline.Kind{Name: "root", Order: 0, Shared: true, Derive: root}
	// Host is what every host has, whatever is bound there.
	Host = &pipeline.Kind{Name: "host", Order: 1, Derive: host}
	// LocalNetwork is a network on a host that has some port of it.
	LocalNetwork = &pipeline.Kind{Name: "local-network", Order: 10, Derive: localNetwork}
	// FloodLeaf is up to model.LeafSize members of a network on a host; its id is network/leaf.
	FloodLeaf = &pipeline.Kind{Name: "flood-leaf", Order: 11, Derive: floodLeaf}
	// Network is what a network means on every host that has it.
	Network = &pipeline.Kind{Name: "network", Order: 12, Shared: true, Derive: network}
	// Replication is which hosts have an overlay network.
	Replication = &pipeline.Kind{Name: "replication", Order: 13, Shared: true, Derive: replication}
	// LocalPort is a port on the host that has its VIF.
	LocalPort = &pipeline.Kind{Name: "local-port", Order: 20, Derive: localPort}
	// Port is what a port means on every host that has its network, wherever it is.
	Port = &pipeline.Kind{Name: "port", Order: 21, Shared: true, Derive: port}
	// KnownSource is a port in a network in which MACs are learned: its own need not be.
	// Reach is what a host needs because routers lead there.
	Reach = l3.Reach(LocalNetwork, NAT.LocalRouter)
	// NAT are the kinds of what passes between routers and external networks.
	NAT         = nat.New(LocalNetwork, tunnelMAC)
	KnownSource = &pipeline.Kind{Name: "known-source", Order: 22, Shared: true, Derive: knownSource}
)

func root(_ model.View, _ pipeline.Switch, _ string, out *pipeline.Out) {
	out.NeedEach(pipeline.Each{Index: model.RoutersGated, Key: "all", Kind: NAT.Place})
	out.NeedEach(pipeline.Each{Index: model.RouterInterfaces, Key: "all", Kind: NAT.EntryPlace})
	secgroup.Logs(out)
	out.NeedEach(pipeline.Each{Index: model.HostsAll, Key: "all", Kind: Host, ID: func(model.Object) string { return "" },
		HostOf: func(o model.Object) model.HostName { return model.HostName(o.ObjectID()) }})
}

func host(v model.View, sw pipeline.Switch, _ string, out *pipeline.Out) {
	h, ok := v.Host(sw.Host)
	if !ok {
		return
	}
	pipeline.MissFlows(pipeline.RoleInt, out)
	out.Add(pipeline.ToAll, pipeline.Match{pipeline.IsMulticast}, pipeline.Goto(pipeline.Flood))
	out.Add(pipeline.NotLearned, pipeline.Match{pipeline.OutPort.Is(0)}, pipeline.Goto(pipeline.Flood))
	out.Add(pipeline.LearnNothing, pipeline.Match{pipeline.FromMulticast}, pipeline.Goto(pipeline.L2Lookup))
	out.Add(pipeline.NeverBack, pipeline.Match{pipeline.Remote.Is(1)})
	show := []openflow.Action{openflow.Clone{Actions: []openflow.Action{pipeline.Punt.Load(uint64(pipeline.HandlerARP)), pipeline.Call(pipeline.PuntTable)}}, pipeline.Goto(pipeline.RouteIn)}
	out.Add(pipeline.ARPUnknown, pipeline.Match{pipeline.IsARP, pipeline.ARPOp.Is(1)}, show...)
	out.Add(pipeline.ARPTold, pipeline.Match{pipeline.IsARP, pipeline.ARPOp.Is(2), pipeline.IsMulticast}, show...)
	secgroup.Host(out)
	l3.Host(sw, out)
	l3.Asks(h, sw, out)
	out.Need(Reach, sw.Host, "")
	overlay(h, out)
	for _, br := range h.Bridges() {
		mappedBridge(br, out)
	}
	out.NeedEach(pipeline.Each{Index: model.BindingsByHost, Key: string(sw.Host), Kind: LocalPort, Host: sw.Host,
		ID: func(o model.Object) string { return string(o.(*model.Binding).PortID) }})
}

// output puts a packet out on a port.
func output(port uint32) openflow.Action { return openflow.Output{Port: openflow.Port(port)} }

// learn is the action that writes an entry of a Learned table: match, actions and cookie are the whole fact. The switch
// writes it, not the controller: learning must work while no controller is there, and costs none of its time. It ages by
// the last frame from the address, not to it, as in any switch (executing learn again starts a hard timeout anew, as
// measured): what is gone stops being sent to.
func learn(sw pipeline.Switch, rule *pipeline.Rule, cookie pipeline.Cookie, limit uint32, specs ...openflow.LearnSpec) openflow.Action {
	return openflow.Learn{Table: rule.Table.ID, Priority: rule.Priority, HardTimeout: sw.Settings.FDBAge,
		Cookie: uint64(cookie), Limit: limit, Specs: specs}
}

// same has the learned flow match a field's value in the packet.
func same(f *pipeline.Field) openflow.LearnSpec { return equal(f, f) }

// equal has the learned flow match in a field what another holds in the packet.
func equal(f, src *pipeline.Field) openflow.LearnSpec {
	return openflow.LearnSpec{Kind: openflow.LearnMatch, Src: src.Sub(), Dst: f.Sub()}
}

// then has the learned flow set a field to what another holds in the packet.
func then(f, src *pipeline.Field) openflow.LearnSpec {
	return openflow.LearnSpec{Kind: openflow.LearnLoad, Src: src.Sub(), Dst: f.Sub()}
}

// always has the learned flow set a field to a number.
func always(f *pipeline.Field, v uint64) openflow.LearnSpec {
	s := f.Sub()
	return openflow.LearnSpec{Kind: openflow.LearnLoad, Value: openflow.LearnValue(int(s.N), v), Dst: s}
}
