package l2

import (
	"slices"

	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// normal switches a frame as the operator's bridge does without Penstock.
var normal = output(uint32(openflow.PortNormal))

// mappedBridge is what a bridge has whatever networks there are.
func mappedBridge(br string, out *pipeline.Out) {
	out.AddOn(br, pipeline.ExFromInt, pipeline.Match{pipeline.OFPort.Is(pipeline.PortPatchInt)})
	out.AddOn(br, pipeline.ExNormal, nil, normal)
}

// toMapped gives a network's packets their VLAN on a mapped bridge.
func toMapped(c *carrier, out *pipeline.Out) {
	from := pipeline.Match{pipeline.OFPort.Is(pipeline.PortPatchInt), pipeline.PktMark.Is(uint64(c.mark))}
	var tag []openflow.Action
	if c.vlan == 0 {
		// A tag that a VM puts on would take its frame to another VLAN.
		from = append(from, pipeline.Untagged)
	} else {
		tag = pipeline.PushTag(c.vlan)
	}
	out.AddOn(c.bridge, pipeline.ExFromNet, from, slices.Concat(tag, []openflow.Action{pipeline.PktMark.Load(0), normal})...)
}

// arrival is how the network's packets look when they come from the carrier, and what takes them out of that look.
func (c *carrier) arrival() (m pipeline.Match, acts []openflow.Action) {
	m = pipeline.Match{pipeline.OFPort.Is(uint64(c.port))}
	switch {
	case c.bridge == "":
		return append(m, pipeline.PktMark.Is(uint64(c.mark))), []openflow.Action{pipeline.PktMark.Load(0)}
	case c.vlan == 0:
		return append(m, pipeline.Untagged), nil
	}
	return append(m, pipeline.Tagged(c.vlan)), []openflow.Action{openflow.PopVLAN{}}
}
