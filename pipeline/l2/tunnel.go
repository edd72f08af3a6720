package l2

import (
	"math/bits"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The pieces of pkt_mark and tun_id that are moved.
var (
	markAll = &pipeline.Field{OF: openflow.PktMark, Bits: 31} // all but MarkReplicate
	markSeg = &pipeline.Field{OF: openflow.PktMark, Bits: 24}
	tunSeg  = &pipeline.Field{OF: openflow.TunID, Bits: 24}
	carry   = &pipeline.Field{OF: pipeline.Seg.OF, Bits: 31} // Seg and Encap
	toMark  = &pipeline.Field{OF: openflow.PktMark, Bits: 32}
	toCarry = &pipeline.Field{OF: pipeline.Seg.OF, Bits: 32}
)

// passIn gives a packet from a tunnel its mark and sends it to br-int.
var passIn = []openflow.Action{pipeline.Copy(toCarry, toMark), output(pipeline.PortPatchInt)}

// carried matches the packets of a network in br-tun.
func carried(mark uint32) pipeline.Match {
	return pipeline.Match{pipeline.Seg.Is(uint64(mark & 0xffffff)), pipeline.Encap.Is(uint64(mark >> 24))}
}

// overlay is what br-tun has whatever networks there are. A host without a tunnel address has none of it.
func overlay(h *model.Host, out *pipeline.Out) {
	if !h.TunnelIP.Is4() {
		return
	}
	pipeline.MissFlows(pipeline.RoleTun, out)
	fromInt := pipeline.OFPort.Is(pipeline.PortPatchInt)
	read := []openflow.Action{pipeline.Copy(markAll, carry), pipeline.Copy(markSeg, tunSeg), pipeline.PktMark.Load(0)}
	out.Add(pipeline.TunOut, pipeline.Match{fromInt}, append(read, pipeline.Goto(pipeline.TunUnicast))...)
	out.Add(pipeline.TunOutAll, pipeline.Match{fromInt, pipeline.PktMark.Masked(pipeline.MarkReplicate, pipeline.MarkReplicate)},
		append(read[:3:3], pipeline.Goto(pipeline.TunFlood))...)
	for _, x := range []struct {
		send  *pipeline.Rule
		port  uint64
		encap uint64
	}{{pipeline.TunVXLAN, pipeline.PortVXLAN, pipeline.EncapVXLAN}, {pipeline.TunGRE, pipeline.PortGRE, pipeline.EncapGRE}} {
		// A GRE key has 32 bits; those that no network can have must not look like one that has.
		out.Add(pipeline.TunIn, pipeline.Match{pipeline.OFPort.Is(x.port), pipeline.TunID.Masked(0, ^uint64(0xffffff))},
			pipeline.Copy(tunSeg, pipeline.Seg), pipeline.Encap.Load(x.encap), pipeline.Goto(pipeline.TunLearn))
		out.Add(x.send, pipeline.Match{pipeline.Encap.Is(x.encap)}, output(uint32(x.port)))
	}
	out.Add(pipeline.TunLearnNone, pipeline.Match{pipeline.FromMulticast}, passIn...)
	out.Add(pipeline.TunPass, nil, passIn...)
	out.Add(pipeline.TunMissed, pipeline.Match{pipeline.TunDst.Is(0)}, pipeline.Goto(pipeline.TunFlood))
	out.Add(pipeline.TunNotSelf, pipeline.Match{pipeline.TunDst.Addr(h.TunnelIP)})
}

// tunnelTo sends what is for a port to its host, if the overlay is how that host has the network.
func tunnelTo(v model.View, n *model.Network, p *model.Port, host model.HostName, out *pipeline.Out) {
	tunnelMAC(v, n, p.MAC, host, out)
}

// tunnelMAC is tunnelTo by MAC address.
func tunnelMAC(v model.View, n *model.Network, mac model.MAC, host model.HostName, out *pipeline.Out) {
	mark, ok := overlayMark(n)
	if !ok {
		return
	}
	h, ok := v.Host(host)
	if !ok || !carrierOf(v, n, h).overlay() {
		return
	}
	out.Add(pipeline.TunTo, append(carried(mark), pipeline.EthDst.MAC(mac)),
		pipeline.TunDst.Load(pipeline.AddrUint(h.TunnelIP)), pipeline.Goto(pipeline.TunSend))
}

// leafHosts is how many hosts one flow replicates to; more make a tree, so that a host that comes or goes changes a
// small flow, and no flow comes near the 64 kB that a message can have.
const leafHosts = 64

// replication lists the hosts of an overlay network. The list is the same on all of them, derived once: tun_send drops
// the copy to the host itself.
func replication(v model.View, _ pipeline.Switch, id string, out *pipeline.Out) {
	n, ok := v.Network(model.NetworkID(id))
	if !ok {
		return
	}
	mark, ok := overlayMark(n)
	if !ok {
		return
	}
	var hosts []*model.Host
	for _, name := range v.NetworkHosts(model.NetworkID(id)) {
		if h, ok := v.Host(name); ok && carrierOf(v, n, h).overlay() {
			hosts = append(hosts, h)
		}
	}
	out.For(model.Networks, n.Key)
	if len(hosts) <= leafHosts {
		out.Add(pipeline.TunAll, carried(mark), copies(hosts)...)
		return
	}
	// A host's leaf depends on its key alone, as long as their number is the same: a power of two.
	shift := 64 - bits.Len(uint(len(hosts)-1)/(leafHosts/2))
	leaves := make([][]*model.Host, 1<<(64-shift))
	for _, h := range hosts {
		i := uint64(h.Key) * 0x9e3779b97f4a7c15 >> shift
		leaves[i] = append(leaves[i], h)
	}
	var all []openflow.Action
	for i, l := range leaves {
		if len(l) > 0 {
			all = append(all, pipeline.Leaf.Load(uint64(i)), pipeline.Call(pipeline.TunLeaf))
			out.Add(pipeline.TunSome, append(carried(mark), pipeline.Leaf.Is(uint64(i))), copies(l)...)
		}
	}
	out.Add(pipeline.TunAll, carried(mark), all...)
}

// copies sends a copy to each host.
func copies(hosts []*model.Host) []openflow.Action {
	acts := make([]openflow.Action, 0, 2*len(hosts))
	for _, h := range hosts {
		acts = append(acts, pipeline.TunDst.Load(pipeline.AddrUint(h.TunnelIP)), pipeline.Call(pipeline.TunSend))
	}
	return acts
}
