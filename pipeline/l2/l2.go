// Package l2 derives switching: classification of VIFs, delivery by (network, MAC), flooding, learning, ARP
// answers, and the punts of DHCP and ARP to the controller. It derives only; it decides nothing about order or
// time.
package l2

import (
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The kinds of unit, from the root down. Order settles conflicts: the lower wins.
var (
	// Root is the one unit that nothing asks for: it asks for every host.
	Root = &pipeline.Kind{Name: "root", Order: 0, Shared: true, Derive: root}
	// Host is what every host has, whatever is bound there.
	Host = &pipeline.Kind{Name: "host", Order: 1, Derive: host}
	// LocalPort is a port on the host that has its VIF.
	LocalPort = &pipeline.Kind{Name: "local-port", Order: 20, Derive: localPort}
	// LocalNetwork is a network on a host that has some port of it.
	LocalNetwork = &pipeline.Kind{Name: "local-network", Order: 10, Derive: localNetwork}
	// FloodLeaf is up to model.LeafSize members of a network on a host; its id is network/leaf.
	FloodLeaf = &pipeline.Kind{Name: "flood-leaf", Order: 11, Derive: floodLeaf}
	// Network is what a network means on every host that has it.
	Network = &pipeline.Kind{Name: "network", Order: 12, Shared: true, Derive: network}
	// Port is what a port means on every host that has its network, wherever it is.
	Port = &pipeline.Kind{Name: "port", Order: 21, Shared: true, Derive: port}
)

func root(_ model.View, _ pipeline.Switch, _ string, out *pipeline.Out) {
	out.NeedEach(pipeline.Each{Index: model.HostsAll, Key: "all", Kind: Host, ID: func(model.Object) string { return "" },
		HostOf: func(o model.Object) model.HostName { return model.HostName(o.ObjectID()) }})
}

func host(v model.View, sw pipeline.Switch, _ string, out *pipeline.Out) {
	h, ok := v.Host(sw.Host)
	if !ok {
		return
	}
	pipeline.MissFlows(pipeline.RoleInt, out)
	pipeline.MissFlows(pipeline.RoleTun, out)
	out.Add(pipeline.ToAll, pipeline.Match{pipeline.IsMulticast}, pipeline.Goto(pipeline.Flood))
	out.Add(pipeline.NotLearned, pipeline.Match{pipeline.OutPort.Is(0)}, pipeline.Goto(pipeline.Flood))
	out.Add(pipeline.LearnNothing, pipeline.Match{pipeline.EthSrc.Masked(1<<40, 1<<40)}, pipeline.Goto(pipeline.L2Lookup))
	out.Add(pipeline.ARPUnknown, pipeline.Match{pipeline.IsARP, pipeline.ARPOp.Is(1)},
		openflow.Clone{Actions: []openflow.Action{pipeline.Punt.Load(uint64(pipeline.HandlerARP)), pipeline.Call(pipeline.PuntTable)}},
		pipeline.Goto(pipeline.Learn))
	for _, br := range h.Bridges() {
		out.AddOn(br, pipeline.ExFromInt, pipeline.Match{pipeline.OFPort.Is(pipeline.PortPatchInt)})
		out.AddOn(br, pipeline.ExNormal, nil, openflow.Output{Port: openflow.PortNormal})
	}
	out.NeedEach(pipeline.Each{Index: model.BindingsByHost, Key: string(sw.Host), Kind: LocalPort, Host: sw.Host,
		ID: func(o model.Object) string { return string(o.(*model.Binding).PortID) }})
}

func localPort(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	b, ok := v.Binding(sw.Host, model.PortID(id))
	if !ok || b.OFPort == 0 {
		return
	}
	p, ok := v.Port(b.PortID)
	if !ok {
		return
	}
	n, ok := v.Network(p.NetworkID)
	if !ok {
		return
	}
	out.Need(LocalNetwork, sw.Host, string(p.NetworkID))
	if !p.AdminStateUp || !n.AdminStateUp {
		return
	}
	out.For(model.Ports, p.Key)
	out.Add(pipeline.FromVIF, pipeline.Match{pipeline.OFPort.Is(uint64(b.OFPort))},
		pipeline.Net.Load(uint64(n.Key)), pipeline.InPort.Load(uint64(p.Key)), pipeline.Goto(pipeline.SpoofGuard))
	out.Add(pipeline.ToVIF, pipeline.Match{pipeline.OutPort.Key(p.Key)}, openflow.Output{Port: openflow.Port(b.OFPort)})
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			out.Add(pipeline.ARPOwn, pipeline.Match{pipeline.InPort.Key(p.Key), pipeline.IsARP, pipeline.ARPOp.Is(1), pipeline.ARPTPA.Addr(f.Address)},
				pipeline.Goto(pipeline.Learn))
		}
	}
	punts(sw, p, b, out)
	if !p.PortSecurity {
		fdb := out.Cookie(pipeline.FDBEntry)
		out.Add(pipeline.LearnSource, pipeline.Match{pipeline.InPort.Key(p.Key)},
			learn(sw, fdb), pipeline.Goto(pipeline.L2Lookup))
		out.Hold(pipeline.FDB, fdb)
	}
}

// learn is the action that writes an fdb entry: the match, the port to load and the cookie are the whole fact.
// The switch writes it, not the controller: learning must work while no controller is there.
func learn(sw pipeline.Switch, cookie pipeline.Cookie) openflow.Action {
	return openflow.Learn{
		Table: pipeline.FDB.ID, Priority: pipeline.FDBEntry.Priority, IdleTimeout: sw.Settings.FDBIdle,
		Cookie: uint64(cookie), Limit: sw.Settings.FDBLimit,
		Specs: []openflow.LearnSpec{
			{Kind: openflow.LearnMatch, Src: pipeline.Net.Sub(), Dst: pipeline.Net.Sub()},
			{Kind: openflow.LearnMatch, Src: pipeline.EthSrc.Sub(), Dst: pipeline.EthDst.Sub()},
			{Kind: openflow.LearnLoad, Src: pipeline.InPort.Sub(), Dst: pipeline.OutPort.Sub()},
		},
	}
}

// punts gives a port its meters and its flows in the punt table. The registers are cleared first: what rides
// in a packet-in costs ovs-vswitchd and us time, and the userdata says it all.
func punts(sw pipeline.Switch, p *model.Port, b *model.Binding, out *pipeline.Out) {
	dhcp, arp := pipeline.MeterID(b.Slot, pipeline.MeterDHCP), pipeline.MeterID(b.Slot, pipeline.MeterARP)
	out.AddMeter(pipeline.BrInt, dhcp, sw.Settings.DHCPPPS, sw.Settings.DHCPBurst)
	out.AddMeter(pipeline.BrInt, arp, sw.Settings.ARPPPS, sw.Settings.ARPBurst)
	for _, x := range []struct {
		h     pipeline.Handler
		meter uint32
	}{{pipeline.HandlerDHCP, dhcp}, {pipeline.HandlerARP, arp}, {pipeline.HandlerICMP, arp}} {
		out.Add(pipeline.PuntPort, pipeline.Match{pipeline.InPort.Key(p.Key), pipeline.Punt.Is(uint64(x.h))},
			pipeline.Net.Load(0), pipeline.InPort.Load(0), pipeline.Punt.Load(0),
			openflow.Controller{MaxLen: 0xffff, Reason: 1, UserData: string(pipeline.UserData(x.h, p.Key)), HasMeter: true, MeterID: x.meter})
	}
}

func localNetwork(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	n, ok := v.Network(model.NetworkID(id))
	if !ok {
		return
	}
	out.For(model.Networks, n.Key)
	leaves := v.Leaves(model.NetworkID(id), sw.Host)
	buckets := make([][]openflow.Action, len(leaves))
	for i, l := range leaves {
		buckets[i] = []openflow.Action{openflow.Group{ID: pipeline.LeafGroup(l)}}
		out.Need(FloodLeaf, sw.Host, id+"/"+strconv.FormatUint(uint64(l), 10))
	}
	out.AllGroup(pipeline.BrInt, pipeline.FloodGroup(n.Key), buckets...)
	out.Add(pipeline.FloodLocal, pipeline.Match{pipeline.Net.Key(n.Key)}, openflow.Group{ID: pipeline.FloodGroup(n.Key)})
	out.Need(Network, "", id)
	out.NeedEach(pipeline.Each{Index: model.PortsByNetwork, Key: id, Kind: Port})
}

func floodLeaf(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	netID, leafText, _ := strings.Cut(id, "/")
	leaf, err := strconv.ParseUint(leafText, 10, 32)
	if err != nil {
		return
	}
	members := v.LeafMembers(model.NetworkID(netID), sw.Host, uint32(leaf))
	buckets := make([][]openflow.Action, 0, len(members))
	for _, b := range members {
		if p, ok := v.Port(b.PortID); ok && p.AdminStateUp && b.OFPort != 0 {
			buckets = append(buckets, []openflow.Action{openflow.Output{Port: openflow.Port(b.OFPort)}})
		}
	}
	out.AllGroup(pipeline.BrInt, pipeline.LeafGroup(uint32(leaf)), buckets...)
}

func network(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	n, ok := v.Network(model.NetworkID(id))
	if !ok {
		return
	}
	dhcp, ok := v.DHCPPort(model.NetworkID(id))
	if !ok {
		return
	}
	out.For(model.Networks, n.Key)
	net := pipeline.Net.Key(n.Key)
	out.Add(pipeline.DHCPRequest,
		pipeline.Match{net, pipeline.IsIPv4, pipeline.IPProto.Is(pipeline.ProtoUDP), pipeline.UDPSrc.Is(68), pipeline.UDPDst.Is(67)},
		pipeline.Punt.Load(uint64(pipeline.HandlerDHCP)), pipeline.Goto(pipeline.PuntTable))
	out.For(model.Ports, dhcp.Key)
	to := pipeline.EthDst.MAC(dhcp.MAC)
	for _, f := range dhcp.FixedIPs {
		if f.Address.Is4() {
			out.Add(pipeline.ServerPing,
				pipeline.Match{net, to, pipeline.IsIPv4, pipeline.IPProto.Is(pipeline.ProtoICMP), pipeline.IPv4Dst.Addr(f.Address), pipeline.ICMPTyp.Is(8)},
				pipeline.Punt.Load(uint64(pipeline.HandlerICMP)), pipeline.Goto(pipeline.PuntTable))
		}
	}
	out.Add(pipeline.ServerOther, pipeline.Match{net, to, pipeline.IsIPv4})
}

func port(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	p, ok := v.Port(model.PortID(id))
	if !ok {
		return
	}
	n, ok := v.Network(p.NetworkID)
	if !ok {
		return
	}
	out.For(model.Ports, p.Key)
	net := pipeline.Net.Key(n.Key)
	if p.DeviceOwner != model.OwnerDHCP {
		out.Add(pipeline.KnownMAC, pipeline.Match{net, pipeline.EthDst.MAC(p.MAC)},
			pipeline.OutPort.Load(uint64(p.Key)), pipeline.Goto(pipeline.IngressACL))
	}
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			answerARP(net, p.MAC, f, out)
		}
	}
}

// answerARP turns a request into its reply and sends it back where it came from (RFC 826).
func answerARP(net pipeline.Term, mac model.MAC, f model.FixedIP, out *pipeline.Out) {
	move := func(from, to *pipeline.Field) openflow.Action { return openflow.Move{Src: from.Sub(), Dst: to.Sub()} }
	out.Add(pipeline.ARPKnown, pipeline.Match{net, pipeline.IsARP, pipeline.ARPOp.Is(1), pipeline.ARPTPA.Addr(f.Address)},
		move(pipeline.EthSrc, pipeline.EthDst), pipeline.EthSrc.Load(mac.Uint64()), pipeline.ARPOp.Load(2),
		move(pipeline.ARPSHA, pipeline.ARPTHA), pipeline.ARPSHA.Load(mac.Uint64()),
		move(pipeline.ARPSPA, pipeline.ARPTPA), pipeline.ARPSPA.Load(pipeline.AddrUint(f.Address)),
		openflow.Output{Port: openflow.PortInPort})
}
