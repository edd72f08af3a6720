package l2

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// carrier is how a network's packets leave a host and come to it.
type carrier struct {
	segment model.Segment
	mark    uint32
	port    uint32 // on br-int
	// bridge is the mapped bridge, empty for an overlay; vlan its tag there, 0 for none.
	bridge string
	vlan   uint16
}

func (c *carrier) overlay() bool { return c != nil && c.bridge == "" }

// overlayMark is the mark of a network's overlay segment, if it has one.
func overlayMark(n *model.Network) (mark uint32, ok bool) {
	for _, s := range n.Segments {
		switch s.Type {
		case model.NetworkVXLAN:
			return pipeline.Mark(pipeline.EncapVXLAN, s.ID), true
		case model.NetworkGRE:
			return pipeline.Mark(pipeline.EncapGRE, s.ID), true
		}
	}
	return 0, false
}

// carrierOf is the first of a network's segments that a host can reach; nil for a network that stays on the host.
// Which one it is depends on the host, as for Neutron's multi-provider networks: each rack has its own segment, and
// something outside joins them.
func carrierOf(v model.View, n *model.Network, h *model.Host) *carrier {
	for _, s := range n.Segments {
		switch s.Type {
		case model.NetworkVXLAN, model.NetworkGRE:
			if mark, _ := overlayMark(n); h.TunnelIP.Is4() {
				return &carrier{segment: s, mark: mark, port: pipeline.PortPatchTun}
			}
		case model.NetworkFlat, model.NetworkVLAN:
			br := h.BridgeMappings[s.PhysicalNetwork]
			if br == "" {
				continue
			}
			if pn, ok := v.PhysicalNetwork(s.PhysicalNetwork); ok {
				return &carrier{segment: s, mark: pipeline.Mark(pipeline.EncapProvider, s.ID), port: pipeline.PortPhysicalBase + pn.Number,
					bridge: br, vlan: uint16(s.ID)}
			}
		}
	}
	return nil
}

// Carrier is how a host reaches the rest of a network, for people: the segment, and the mapped bridge, empty for an overlay.
// A local network and one that the host has no way to have none.
func Carrier(v model.View, n *model.Network, host model.HostName) (s model.Segment, bridge string, ok bool) {
	if c := carrierOn(v, n, host); c != nil {
		return c.segment, c.bridge, true
	}
	return s, "", false
}

// carrierOn is carrierOf by the host's name.
func carrierOn(v model.View, n *model.Network, host model.HostName) *carrier {
	if h, ok := v.Host(host); ok {
		return carrierOf(v, n, h)
	}
	return nil
}

// learns says whether any MAC of a network is learned: those of the physical network always, in an overlay only while
// some port may have several.
func learns(v model.View, n *model.Network) bool {
	for _, s := range n.Segments {
		if s.Type == model.NetworkFlat || s.Type == model.NetworkVLAN {
			return true
		}
	}
	return v.HasManyMACs(model.NetworkID(n.ID))
}
