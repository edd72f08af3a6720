package derive

import (
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// Delta is what must change on the switches to have what is desired at a revision.
type Delta struct {
	Revision int64
	Bridges  []BridgeDelta // no empty ones, in no order
}

// BridgeDelta is one bridge's part of a Delta.
type BridgeDelta struct {
	Host   model.HostName
	Bridge string
	Set    []pipeline.Flow
	Del    []pipeline.Flow
	// Groups and meters to be as given, and those to be gone.
	SetGroups []pipeline.Group
	DelGroups []uint32
	SetMeters []pipeline.Meter
	DelMeters []uint32
	// Forget lists the learned facts whose object is gone.
	Forget []pipeline.Hold
	// SetZones are conntrack zones that change hands, DelZones those that nothing has any more: they are emptied.
	SetZones []pipeline.Zone
	DelZones []uint16
	// Replaces says that a flow goes or is another one now; without it flows only come.
	Replaces bool
	// Flows, Groups and Meters count all that is desired of the bridge after this delta.
	Flows, Groups, Meters int
}

// Desired is all that one bridge should hold.
type Desired struct {
	Flows  *Flows
	Groups map[uint32]pipeline.Group
	Meters map[uint32]pipeline.Meter
	Holds  map[pipeline.Hold]struct{}
	Zones  map[uint16]pipeline.Zone
}

// take gives and forgets what changed since the last take.
func (e *Engine) take(rev int64) *Delta {
	d := &Delta{Revision: rev}
	for k := range e.touched {
		b := e.bridges[k]
		x := BridgeDelta{Host: k.host, Bridge: k.bridge}
		x.Replaces = b.flows.take(func(f *flow) { x.Set = append(x.Set, f.Flow) }, func(f *flow) { x.Del = append(x.Del, f.Flow) })
		b.groups.take(func(_ uint32, g pipeline.Group) { x.SetGroups = append(x.SetGroups, g) },
			func(id uint32, _ pipeline.Group) { x.DelGroups = append(x.DelGroups, id) })
		b.meters.take(func(_ uint32, m pipeline.Meter) { x.SetMeters = append(x.SetMeters, m) },
			func(id uint32, _ pipeline.Meter) { x.DelMeters = append(x.DelMeters, id) })
		b.holds.take(func(pipeline.Hold, struct{}) {}, func(h pipeline.Hold, _ struct{}) { x.Forget = append(x.Forget, h) })
		b.zones.take(func(_ uint16, z pipeline.Zone) { x.SetZones = append(x.SetZones, z) },
			func(id uint16, _ pipeline.Zone) { x.DelZones = append(x.DelZones, id) })
		x.Flows, x.Groups, x.Meters = b.flows.won.n, len(b.groups.won), len(b.meters.won)
		if !x.Empty() {
			d.Bridges = append(d.Bridges, x)
		}
		if b.flows.won.n+len(b.groups.won)+len(b.meters.won)+len(b.holds.won)+len(b.zones.won) == 0 {
			delete(e.bridges, k)
		}
	}
	clear(e.touched)
	return d
}

// Empty reports whether nothing changes.
func (d *BridgeDelta) Empty() bool {
	return len(d.Set)+len(d.Del)+len(d.SetGroups)+len(d.DelGroups)+len(d.SetMeters)+len(d.DelMeters)+len(d.Forget)+len(d.SetZones)+len(d.DelZones) == 0
}

// Desired copies what is desired of a bridge. The flows are shared, so that the copy is small.
func (e *Engine) Desired(h model.HostName, name string) *Desired {
	d := &Desired{NewFlows(), map[uint32]pipeline.Group{}, map[uint32]pipeline.Meter{}, map[pipeline.Hold]struct{}{}, map[uint16]pipeline.Zone{}}
	b := e.bridges[bridgeKey{h, name}]
	if b == nil {
		return d
	}
	d.Flows = b.flows.won.clone()
	for k, c := range b.groups.won {
		d.Groups[k] = c.v
	}
	for k, c := range b.meters.won {
		d.Meters[k] = c.v
	}
	for k := range b.holds.won {
		d.Holds[k] = struct{}{}
	}
	for k, c := range b.zones.won {
		d.Zones[k] = c.v
	}
	return d
}
