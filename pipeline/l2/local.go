package l2

import (
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/secgroup"
)

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
	out.NeedEach(pipeline.Each{Index: model.FloatingIPsByPort, Key: p.ID, Kind: NAT.FloatingIP, Host: sw.Host})
	if !p.AdminStateUp || !n.AdminStateUp {
		return
	}
	c := carrierOn(v, n, sw.Host)
	out.For(model.Ports, p.Key)
	first := pipeline.Services
	if p.Secured() {
		first = pipeline.SpoofGuard
	}
	out.Add(pipeline.FromVIF, pipeline.Match{pipeline.OFPort.Is(uint64(b.OFPort))},
		pipeline.Net.Load(uint64(n.Key)), pipeline.InPort.Load(uint64(p.Key)), pipeline.Goto(first))
	secgroup.LocalPort(v, p, b, out)
	toVIF := []openflow.Action{output(b.OFPort)}
	if place, ok := v.Place(p); ok && place.Host != sw.Host {
		// It is moving, and this is where it will be or was: ports of this host reach it in both places.
		toVIF = append(toVIF, pipeline.Goto(pipeline.Uplink))
	}
	out.Add(pipeline.ToVIF, pipeline.Match{pipeline.OutPort.Key(p.Key)}, toVIF...)
	ownARP(p, c, out)
	punts(sw, p, b, out)
	if p.ManyMACs() {
		fdb := out.Cookie(pipeline.FDBEntry)
		out.Add(pipeline.LearnSource, pipeline.Match{pipeline.InPort.Key(p.Key)},
			learn(sw, pipeline.FDBEntry, fdb, sw.Settings.FDBLimit, same(pipeline.Net), equal(pipeline.EthDst, pipeline.EthSrc), then(pipeline.OutPort, pipeline.InPort)),
			pipeline.Goto(pipeline.L2Lookup))
		out.Hold(pipeline.FDB, fdb)
	}
}

// ownARP settles what a port says and asks about its own addresses. A question goes to the others in case one uses the
// address unlawfully; not over an overlay, since no ARP about a known address shall cross a tunnel.
func ownARP(p *model.Port, c *carrier, out *pipeline.Out) {
	ask := []openflow.Action{pipeline.Goto(pipeline.Learn)}
	if c.overlay() {
		ask = []openflow.Action{pipeline.Remote.Load(1), pipeline.Goto(pipeline.Learn)}
	}
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			own := pipeline.Match{pipeline.InPort.Key(p.Key), pipeline.IsARP, pipeline.ARPOp.Is(1), pipeline.ARPTPA.Addr(f.Address)}
			out.Add(pipeline.ARPOwn, own, ask...)
			out.Add(pipeline.ARPAnnounce, append(own, pipeline.ARPSPA.Addr(f.Address)), pipeline.Goto(pipeline.Learn))
		}
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
	}{{pipeline.HandlerDHCP, dhcp}, {pipeline.HandlerARP, arp}, {pipeline.HandlerICMP, arp}, {pipeline.HandlerRouter, arp}} {
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
		if len(leaves) > directLeaves {
			buckets[i] = []openflow.Action{pipeline.FloodPart.Load(uint64(l)), openflow.CT{Table: openflow.ToTable(pipeline.FloodLeaf.ID)}}
		}
		out.Need(FloodLeaf, sw.Host, id+"/"+strconv.FormatUint(uint64(l), 10))
	}
	members := openflow.Group{ID: pipeline.FloodGroup(n.Key)}
	out.AllGroup(pipeline.BrInt, members.ID, buckets...)
	net := pipeline.Net.Key(n.Key)
	out.Add(pipeline.FloodLocal, pipeline.Match{net}, members)
	out.Need(Network, "", id)
	out.NeedEach(pipeline.Each{Index: model.PortsByNetwork, Key: id, Kind: Port})
	c := carrierOn(v, n, sw.Host)
	if c == nil || !n.AdminStateUp {
		return
	}
	from, acts := c.arrival()
	out.Add(pipeline.FromCarrier, from, append(acts, pipeline.Net.Load(uint64(n.Key)), pipeline.Remote.Load(1), pipeline.Goto(pipeline.RouteIn))...)
	out.Add(pipeline.ToCarrier, pipeline.Match{net}, pipeline.PktMark.Load(uint64(c.mark)), output(c.port))
	if !c.overlay() {
		toMapped(c, out)
		out.Add(pipeline.FloodOut, pipeline.Match{net, pipeline.Remote.Is(0)}, members, pipeline.Goto(pipeline.Uplink))
		routersAway(v, sw, n, c, out)
		return
	}
	out.Need(Replication, "", id)
	out.Add(pipeline.FloodOut, pipeline.Match{net, pipeline.Remote.Is(0)}, members, pipeline.PktMark.Load(uint64(c.mark|pipeline.MarkReplicate)), output(c.port))
}

// routersAway has what routers send over a physical network leave from a MAC address of the host, and arrive from the
// router's own. The ARP of one host leaves from that, so that the switches there know the way to it.
func routersAway(v model.View, sw pipeline.Switch, n *model.Network, c *carrier, out *pipeline.Out) {
	h, ok := v.Host(sw.Host)
	if !ok {
		return
	}
	from, acts := c.arrival()
	for i, p := range v.RouterPorts(model.NetworkID(n.ID)) {
		mac, ok := h.RouteMAC(i)
		if !ok {
			return
		}
		out.For(model.Ports, p.Key)
		own := pipeline.Match{pipeline.Net.Key(n.Key), pipeline.EthSrc.MAC(p.MAC)}
		out.Add(pipeline.RouterAway, own, pipeline.EthSrc.Load(mac.Uint64()), pipeline.PktMark.Load(uint64(c.mark)), output(c.port))
		if at, _ := v.EntryHost(p); at == sw.Host {
			out.Add(pipeline.RouterSays, append(own, pipeline.IsARP), pipeline.PktMark.Load(uint64(c.mark)), output(c.port))
		}
		any, mask := model.RouteMACs(i)
		out.Add(pipeline.FromRouter, append(from[:len(from):len(from)], pipeline.EthSrc.Masked(any.Uint64(), mask.Uint64())),
			append(acts[:len(acts):len(acts)], pipeline.EthSrc.Load(p.MAC.Uint64()), pipeline.Net.Load(uint64(n.Key)), pipeline.Remote.Load(1), pipeline.Goto(pipeline.RouteIn))...)
	}
}

// directLeaves is how many flood leaves are copied to in one pass. A pass has room for 4,096 resubmits; a member with
// security groups takes up to four. Beyond that each leaf gets a pass of its own: conntrack's recirculation counts anew, and
// nothing is committed, so no connection comes of it.
const directLeaves = 12

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
			buckets = append(buckets, copyTo(p, b))
		}
	}
	out.AllGroup(pipeline.BrInt, pipeline.LeafGroup(uint32(leaf)), buckets...)
	if n, ok := v.Network(model.NetworkID(netID)); ok && len(v.Leaves(model.NetworkID(netID), sw.Host)) > directLeaves {
		out.For(model.Networks, n.Key)
		out.Add(pipeline.FloodLeafs, pipeline.Match{pipeline.FloodPart.Is(leaf)}, openflow.Group{ID: pipeline.LeafGroup(uint32(leaf))})
	}
}

// copyTo delivers a copy of what is flooded. One to a port with security groups is judged like any packet; Remote keeps
// a port that is moving from sending it on to its other place, which has a copy of its own.
func copyTo(p *model.Port, b *model.Binding) []openflow.Action {
	if !p.Secured() {
		return []openflow.Action{output(b.OFPort)}
	}
	return []openflow.Action{pipeline.Remote.Load(1), pipeline.OutPort.Load(uint64(p.Key)), pipeline.Call(pipeline.IngressACL)}
}
