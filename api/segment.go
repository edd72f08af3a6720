package api

import (
	"errors"
	"fmt"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
)

const (
	netType = "provider:network_type"
	physNet = "provider:physical_network"
	segID   = "provider:segmentation_id"
)

var providerAttrs = []string{netType, physNet, segID}

func segmentAttr(s model.Segment, name string) any {
	switch {
	case name == netType:
		return string(s.Type)
	case name == physNet && s.PhysicalNetwork != "":
		return s.PhysicalNetwork
	case name == segID && s.ID != 0:
		return int64(s.ID)
	}
	return nil
}

// isSegments checks and completes the segments attribute of multi-provider networks.
func isSegments(v any) string {
	l, ok := v.([]any)
	if !ok || len(l) == 0 {
		return raised + "'segments' is not a list or empty" // the reference's own text is a Python traceback's
	}
	for _, x := range l {
		m, ok := x.(map[string]any)
		if !ok {
			return fmt.Sprintf("'%s' is not a dictionary", text(x))
		}
		for _, k := range sortedKeys(m) {
			if k != netType && k != physNet && k != segID {
				return "Unexpected keys supplied: " + k
			}
		}
		if id, given := m[segID]; given && id != nil {
			n, ok := toInt(id)
			if !ok {
				return raised + fmt.Sprintf("'%s' is not an integer", text(id))
			}
			m[segID] = n
		}
	}
	return ""
}

// wanted is a segment as it was asked for.
type wantedSegment struct {
	model.Segment
	hasID bool
	id    int64
}

// segmentsOf reads and checks the provider attributes; none at all gives nil: what tenants get.
func (c *call) segmentsOf(in Values, external bool) ([]wantedSegment, error) {
	single := in.set(netType) || in.set(physNet) || in.set(segID)
	if single && in.set("segments") {
		return nil, fail(400, "SegmentsSetInConjunctionWithProviders", "Segments and provider values cannot both be set.")
	}
	var raw []map[string]any
	switch {
	case single:
		raw = []map[string]any{in}
	case in.set("segments"):
		for _, x := range in["segments"].([]any) {
			raw = append(raw, x.(map[string]any))
		}
	case external && c.s.cfg.Networks.External != "":
		raw = []map[string]any{{netType: "flat", physNet: c.s.cfg.Networks.External}}
	}
	var out []wantedSegment
	for _, m := range raw {
		w := wantedSegment{}
		if m[netType] == nil {
			return nil, invalidInput("network_type required")
		}
		w.Type = model.NetworkType(text(m[netType]))
		w.PhysicalNetwork, _ = m[physNet].(string)
		if m[segID] != nil {
			w.hasID = true
			w.id, _ = m[segID].(int64)
		}
		if err := c.checkSegment(&w); err != nil {
			return nil, err
		}
		for _, o := range out {
			if o.Segment == w.Segment && o.id == w.id && w.hasID {
				return nil, fail(400, "SegmentsContainDuplicateEntry", "Duplicate segment entry in request.")
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// physical finds the rules of a physical network: the configured ones, or for a name that some host maps, also one added
// at run time, flat and any VLAN that is asked for.
func (c *call) physical(name string) (Physical, bool) {
	if p, ok := c.s.cfg.Networks.Physical[name]; ok || name == "" {
		return p, ok
	}
	for o := range c.src().Each(model.Hosts) {
		if o.(*model.Host).BridgeMappings[name] != "" {
			return Physical{Flat: true}, true
		}
	}
	return Physical{}, false
}

// checkSegment applies each type's rules.
func (c *call) checkSegment(w *wantedSegment) error {
	prohibited := func(name string) error {
		return invalidInput("%s prohibited for %s provider network", name, w.Type)
	}
	switch w.Type {
	case model.NetworkLocal:
		switch {
		case w.PhysicalNetwork != "":
			return prohibited("physical_network")
		case w.hasID:
			return prohibited("segmentation_id")
		}
	case model.NetworkFlat:
		p, ok := c.physical(w.PhysicalNetwork)
		switch {
		case w.PhysicalNetwork == "":
			return invalidInput("physical_network required for flat provider network")
		case !ok || !p.Flat:
			return invalidInput("physical_network '%s' unknown for flat provider network", w.PhysicalNetwork)
		case w.hasID:
			return prohibited("segmentation_id")
		}
	case model.NetworkVLAN:
		if w.PhysicalNetwork == "" {
			if w.hasID {
				return invalidInput("segmentation_id requires physical_network for VLAN provider network")
			}
			break
		}
		if _, ok := c.physical(w.PhysicalNetwork); !ok {
			return invalidInput("physical_network '%s' unknown for VLAN provider network", w.PhysicalNetwork)
		}
		if w.hasID && (w.id < 1 || w.id > 4094) {
			return invalidInput("segmentation_id out of range (1 through 4094)")
		}
	case model.NetworkVXLAN, model.NetworkGRE:
		if w.PhysicalNetwork != "" {
			return invalidInput("provider:physical_network specified for %s network", w.Type)
		}
		if w.hasID && (w.id < 1 || w.id > 1<<24-1) {
			return invalidInput("segmentation_id out of range (1 through %d)", 1<<24-1)
		}
	default:
		return invalidInput("network_type value '%s' not supported", w.Type)
	}
	return nil
}

// takeSegments reserves what was asked for, or a tenant's segment.
func (c *call) takeSegments(n *model.Network, want []wantedSegment) ([]model.Segment, error) {
	if want == nil {
		for _, t := range c.s.cfg.Networks.TenantTypes {
			s, err := c.takeSegment(n, wantedSegment{Segment: model.Segment{Type: t}})
			if err == nil {
				return []model.Segment{s}, nil
			}
			if e := asError(err); e == nil || e.Type != "NoNetworkAvailable" {
				return nil, err
			}
		}
		return nil, noNetwork()
	}
	var out []model.Segment
	for _, w := range want {
		s, err := c.takeSegment(n, w)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func noNetwork() *Error {
	return fail(503, "NoNetworkAvailable", "Unable to create the network. No tenant network is available for allocation.")
}

func numberSpace(s model.Segment) string {
	if s.Type == model.NetworkVLAN {
		return "vlan/" + s.PhysicalNetwork
	}
	return string(s.Type)
}

func (c *call) takeSegment(n *model.Network, w wantedSegment) (model.Segment, error) {
	s := w.Segment
	cfg := &c.s.cfg.Networks
	var taken *store.ErrTaken
	switch s.Type {
	case model.NetworkLocal:
		return s, nil
	case model.NetworkFlat:
		err := c.tx.Reserve("flat", s.PhysicalNetwork, n.ID)
		if errors.As(err, &taken) {
			return s, conflict("FlatNetworkInUse", "Unable to create the flat network. Physical network %s is in use.", s.PhysicalNetwork)
		}
		return s, err
	}
	if w.hasID {
		s.ID = uint32(w.id)
		err := c.tx.TakeNumber(numberSpace(s), s.ID)
		if errors.As(err, &taken) {
			if s.Type == model.NetworkVLAN {
				return s, conflict("VlanIdInUse", "Unable to create the network. The VLAN %d on physical network %s is in use.", s.ID, s.PhysicalNetwork)
			}
			return s, conflict("TunnelIdInUse", "Unable to create the network. The tunnel ID %d is in use.", s.ID)
		}
		return s, err
	}
	type option struct {
		phys   string
		lo, hi uint32
	}
	var options []option
	switch s.Type {
	case model.NetworkVXLAN:
		options = []option{{"", cfg.VXLAN[0], cfg.VXLAN[1]}}
	case model.NetworkGRE:
		options = []option{{"", cfg.GRE[0], cfg.GRE[1]}}
	case model.NetworkVLAN:
		for _, phys := range sortedKeys(cfg.Physical) {
			if s.PhysicalNetwork != "" && s.PhysicalNetwork != phys {
				continue
			}
			for _, r := range cfg.Physical[phys].VLANs {
				options = append(options, option{phys, r[0], r[1]})
			}
		}
	}
	for _, o := range options {
		s.PhysicalNetwork = o.phys
		id, err := c.tx.AllocNumber(numberSpace(s), o.lo, o.hi)
		if err == nil {
			s.ID = id
			return s, nil
		}
		var none *store.ErrExhausted
		if !errors.As(err, &none) {
			return s, err
		}
	}
	return s, noNetwork()
}

func (c *call) freeSegments(l []model.Segment) {
	for _, s := range l {
		switch s.Type {
		case model.NetworkFlat:
			c.tx.Release("flat", s.PhysicalNetwork)
		case model.NetworkVLAN, model.NetworkVXLAN, model.NetworkGRE:
			c.tx.FreeNumber(numberSpace(s), s.ID)
		}
	}
}

// changeSegment: of the provider attributes only a VLAN's number may change, and only while nothing is bound.
func (c *call) changeSegment(was, n *model.Network, in Values) error {
	if in.set("segments") {
		return invalidInput("Plugin does not support updating provider attributes")
	}
	var given []string
	for _, a := range providerAttrs {
		if in.has(a) {
			given = append(given, a)
		}
	}
	if given == nil {
		return nil
	}
	s := was.Segments[0]
	if len(was.Segments) > 1 || in.has(netType) && !equal(in[netType], string(s.Type)) || in.has(physNet) && !equal(in[physNet], segmentAttr(s, physNet)) {
		return invalidInput("Plugin does not support updating the following provider network attributes: provider:network_type, provider:physical_network")
	}
	if s.Type != model.NetworkVLAN {
		return invalidInput("Only VLAN type networks can be updated.")
	}
	id, _ := in[segID].(int64)
	if id == 0 {
		return invalidInput("Only segmentation_id field can be updated in VLAN type networks")
	}
	w := wantedSegment{Segment: model.Segment{Type: s.Type, PhysicalNetwork: s.PhysicalNetwork}, hasID: true, id: id}
	if err := c.checkSegment(&w); err != nil {
		return err
	}
	next, err := c.takeSegment(n, w)
	if err != nil {
		return err
	}
	c.freeSegments(was.Segments)
	n.Segments = []model.Segment{next}
	return nil
}
