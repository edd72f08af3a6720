package l2

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// normal switches a frame as the operator's bridge would without Penstock. The mark is cleared first: it would say to
// br-int that the frame is a network's, where NORMAL floods it to the patch port.
var normal = []openflow.Action{pipeline.PktMark.Load(0), output(uint32(openflow.PortNormal))}

// mappedBridge is what a bridge has whatever networks there are.
func mappedBridge(br string, out *pipeline.Out) {
	out.AddOn(br, pipeline.ExReserved, pipeline.Match{pipeline.EthDst.Masked(0x0180c2000000, 0xfffffffffff0)}, normal...)
	out.AddOn(br, pipeline.ExFromInt, pipeline.Match{pipeline.OFPort.Is(pipeline.PortPatchInt)})
	out.AddOn(br, pipeline.ExNormal, nil, normal...)
}

// mappedNetwork joins a network and its VLAN on a mapped bridge.
func mappedNetwork(c *carrier, out *pipeline.Out) {
	from := pipeline.Match{pipeline.OFPort.Is(pipeline.PortPatchInt), pipeline.PktMark.Is(uint64(c.mark))}
	acts := normal
	if c.vlan == 0 {
		// A tag that a VM puts on would take its frame to another VLAN.
		from = append(from, pipeline.Untagged)
	} else {
		acts = append(pipeline.PushTag(c.vlan), normal...)
	}
	out.AddOn(c.bridge, pipeline.ExFromNet, from, acts...)
	out.AddOn(c.bridge, pipeline.ExToAll, pipeline.Match{c.frames(), pipeline.IsMulticast}, c.copyIn()...)
}

// frames matches the network's frames on the mapped bridge.
func (c *carrier) frames() pipeline.Term {
	if c.vlan == 0 {
		return pipeline.Untagged
	}
	return pipeline.Tagged(c.vlan)
}

// copyIn gives br-int a copy of a frame of the network and lets the bridge do with it what it would have done.
func (c *carrier) copyIn() []openflow.Action {
	in := []openflow.Action{pipeline.PktMark.Load(uint64(c.mark))}
	if c.vlan != 0 {
		in = append(in, openflow.PopVLAN{})
	}
	return append([]openflow.Action{openflow.Clone{Actions: append(in, output(pipeline.PortPatchInt))}}, normal...)
}

// anyMAC has br-int see every frame of a network, since a port of this host may have any MAC.
func anyMAC(v model.View, sw pipeline.Switch, id string, out *pipeline.Out) {
	n, ok := v.Network(model.NetworkID(id))
	if !ok {
		return
	}
	if c := carrierOn(v, n, sw.Host); c.mapped() {
		out.For(model.Networks, n.Key)
		out.AddOn(c.bridge, pipeline.ExToAny, pipeline.Match{c.frames()}, c.copyIn()...)
	}
}
