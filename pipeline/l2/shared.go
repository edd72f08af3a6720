package l2

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

func network(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	n, ok := v.Network(model.NetworkID(id))
	if !ok {
		return
	}
	out.For(model.Networks, n.Key)
	learning(v, sw, n, out)
	dhcp, ok := v.DHCPPort(model.NetworkID(id))
	if !ok {
		return
	}
	net := pipeline.Net.Key(n.Key)
	request := pipeline.Match{net, pipeline.IsIPv4, pipeline.IPProto.Is(pipeline.ProtoUDP), pipeline.UDPSrc.Is(68), pipeline.UDPDst.Is(67)}
	out.Add(pipeline.RenewV4, request, pipeline.Goto(pipeline.Services))
	out.Add(pipeline.DHCPRequest, request,
		pipeline.Punt.Load(uint64(pipeline.HandlerDHCP)), pipeline.Goto(pipeline.PuntTable))
	out.For(model.Ports, dhcp.Key)
	for _, f := range dhcp.FixedIPs {
		if f.Address.Is4() {
			out.Add(pipeline.ServerPing,
				pipeline.Match{net, pipeline.EthDst.MAC(dhcp.MAC), pipeline.IsIPv4, pipeline.IPProto.Is(pipeline.ProtoICMP), pipeline.IPv4Dst.Addr(f.Address), pipeline.ICMPTyp.Is(8)},
				pipeline.Punt.Load(uint64(pipeline.HandlerICMP)), pipeline.Goto(pipeline.PuntTable))
		}
	}
}

// learning has the sources of frames from other hosts and the physical network learned, the known ones excepted. The
// entries are the network's, and go when it leaves the host.
func learning(v model.View, sw pipeline.Switch, n *model.Network, out *pipeline.Out) {
	if !learns(v, n) {
		return
	}
	fdb := out.Cookie(pipeline.FDBRemote)
	out.Add(pipeline.LearnRemote, pipeline.Match{pipeline.Net.Key(n.Key), pipeline.Remote.Is(1)},
		learn(sw, pipeline.FDBRemote, fdb, sw.Settings.FDBRemoteLimit, same(pipeline.Net), equal(pipeline.EthDst, pipeline.EthSrc), always(pipeline.OutPort, pipeline.Away)),
		pipeline.Goto(pipeline.L2Lookup))
	out.Hold(pipeline.FDB, fdb)
	if mark, ok := overlayMark(n); ok && v.HasManyMACs(model.NetworkID(n.ID)) {
		tun := out.Cookie(pipeline.TunEntry)
		out.Add(pipeline.TunTeach, carried(mark),
			learn(sw, pipeline.TunEntry, tun, sw.Settings.FDBRemoteLimit, same(pipeline.Seg), same(pipeline.Encap), equal(pipeline.EthDst, pipeline.EthSrc), then(pipeline.TunDst, pipeline.TunSrc)),
			passIn[0], passIn[1])
		out.Hold(pipeline.TunFDB, tun)
	}
	out.NeedEach(pipeline.Each{Index: model.PortsByNetwork, Key: n.ID, Kind: KnownSource})
}

// own says whether Penstock itself holds the addresses of ports with a device_owner, on no host in particular.
func own(owner string) bool {
	switch owner {
	case model.OwnerDHCP, model.OwnerRouterInterface, model.OwnerDistributedRoute, model.OwnerRouterGateway:
		return true
	}
	return false
}

// port makes a port known: its MAC and addresses, and in an overlay the host it is on. A port that is nowhere is not
// known: its address may be one that others share, and its MAC is found by flooding and learning, if anywhere.
func port(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	p, ok := v.Port(model.PortID(id))
	if !ok {
		return
	}
	n, ok := v.Network(p.NetworkID)
	if !ok {
		return
	}
	place, placed := v.Place(p)
	heldOn, held := v.HeldOn(p)
	if !placed && !held && !own(p.DeviceOwner) {
		return
	}
	out.For(model.Ports, p.Key)
	net := pipeline.Net.Key(n.Key)
	to := pipeline.Match{net, pipeline.EthDst.MAC(p.MAC)}
	switch {
	case model.IsRouterInterface(p.DeviceOwner) && !placed:
		l3.Interface(net, p.MAC, out)
	case held:
		// The host that holds it has a flow above this one.
		out.Add(pipeline.KnownMAC, to, pipeline.OutPort.Load(pipeline.Away), pipeline.Goto(pipeline.IngressACL))
		tunnelTo(v, n, p, heldOn, out)
	case !placed:
		out.Add(pipeline.NoListener, to)
	case !p.AdminStateUp:
		out.Add(pipeline.KnownMAC, to)
	default:
		out.Add(pipeline.KnownMAC, to, pipeline.OutPort.Load(uint64(p.Key)), pipeline.Goto(pipeline.IngressACL))
		tunnelTo(v, n, p, place.Host, out)
	}
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			answerARP(net, p.MAC, f, out)
		}
	}
}

// answerARP turns a request into its reply and sends it back where it came from (RFC 826).
func answerARP(net pipeline.Term, mac model.MAC, f model.FixedIP, out *pipeline.Out) {
	out.Add(pipeline.ARPKnown, pipeline.Match{net, pipeline.IsARP, pipeline.ARPOp.Is(1), pipeline.ARPTPA.Addr(f.Address)},
		pipeline.Copy(pipeline.EthSrc, pipeline.EthDst), pipeline.EthSrc.Load(mac.Uint64()), pipeline.ARPOp.Load(2),
		pipeline.Copy(pipeline.ARPSHA, pipeline.ARPTHA), pipeline.ARPSHA.Load(mac.Uint64()),
		pipeline.Copy(pipeline.ARPSPA, pipeline.ARPTPA), pipeline.ARPSPA.Load(pipeline.AddrUint(f.Address)),
		openflow.Output{Port: openflow.PortInPort})
}

func knownSource(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	p, ok := v.Port(model.PortID(id))
	if !ok {
		return
	}
	n, ok := v.Network(p.NetworkID)
	if !ok {
		return
	}
	if _, placed := v.Place(p); !placed && !model.IsRouterInterface(p.DeviceOwner) {
		return
	}
	out.For(model.Ports, p.Key)
	from := pipeline.EthSrc.MAC(p.MAC)
	out.Add(pipeline.LearnKnown, pipeline.Match{pipeline.Net.Key(n.Key), from}, pipeline.Goto(pipeline.L2Lookup))
	if mark, ok := overlayMark(n); ok && v.HasManyMACs(p.NetworkID) {
		out.Add(pipeline.TunKnown, append(carried(mark), from), passIn...)
	}
}
