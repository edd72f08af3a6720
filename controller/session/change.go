package session

import (
	"cmp"
	"slices"
	"sort"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/pipeline"
)

// Change is what has to be sent to a bridge. Later changes merge into it, so that a slow switch costs memory
// by flows, not by changes.
type Change struct {
	Set       map[pipeline.Key]pipeline.Flow
	Del       map[pipeline.Key]pipeline.Flow
	SetGroups map[uint32]pipeline.Group
	DelGroups map[uint32]struct{}
	SetMeters map[uint32]pipeline.Meter
	DelMeters map[uint32]struct{}
	Forget    map[pipeline.Hold]struct{}
	// SetZones are conntrack zones to be emptied before the flows that use them come, DelZones those to be emptied
	// when the flows that used them are gone.
	SetZones, DelZones map[uint16]struct{}
	// Replaces says that a flow goes or becomes another; without it flows only come.
	Replaces bool
}

// NewChange makes an empty one.
func NewChange() *Change {
	return &Change{
		map[pipeline.Key]pipeline.Flow{}, map[pipeline.Key]pipeline.Flow{}, map[uint32]pipeline.Group{}, map[uint32]struct{}{},
		map[uint32]pipeline.Meter{}, map[uint32]struct{}{}, map[pipeline.Hold]struct{}{}, map[uint16]struct{}{}, map[uint16]struct{}{}, false,
	}
}

// Merge adds a later delta.
func (c *Change) Merge(d *derive.BridgeDelta) {
	c.Replaces = c.Replaces || d.Replaces
	for _, f := range d.Set {
		delete(c.Del, f.Key)
		c.Set[f.Key] = f
	}
	for _, f := range d.Del {
		delete(c.Set, f.Key)
		c.Del[f.Key] = f
	}
	for _, g := range d.SetGroups {
		delete(c.DelGroups, g.ID)
		c.SetGroups[g.ID] = g
	}
	for _, id := range d.DelGroups {
		delete(c.SetGroups, id)
		c.DelGroups[id] = struct{}{}
	}
	for _, m := range d.SetMeters {
		delete(c.DelMeters, m.ID)
		c.SetMeters[m.ID] = m
	}
	for _, id := range d.DelMeters {
		delete(c.SetMeters, id)
		c.DelMeters[id] = struct{}{}
	}
	for _, h := range d.Forget {
		c.Forget[h] = struct{}{}
	}
	for _, z := range d.SetZones {
		c.SetZones[z.ID] = struct{}{}
	}
	for _, id := range d.DelZones {
		delete(c.SetZones, id)
		c.DelZones[id] = struct{}{}
	}
}

// Size is how many messages its bundles have.
func (c *Change) Size() int {
	return len(c.Set) + len(c.Del) + len(c.SetGroups) + len(c.DelGroups) + len(c.Forget)
}

// Empty reports whether there is nothing to send.
func (c *Change) Empty() bool {
	return len(c.Set)+len(c.Del)+len(c.SetGroups)+len(c.DelGroups)+len(c.SetMeters)+len(c.DelMeters)+len(c.Forget)+len(c.SetZones)+len(c.DelZones) == 0
}

// Additions splits off what makes before breaking: meters, groups and flows that are set.
func (c *Change) Additions() *Change {
	a := NewChange()
	a.Set, a.SetGroups, a.SetMeters = c.Set, c.SetGroups, c.SetMeters
	return a
}

// Removals is the rest of Additions.
func (c *Change) Removals() *Change {
	r := NewChange()
	r.Del, r.DelGroups, r.DelMeters, r.Forget = c.Del, c.DelGroups, c.DelMeters, c.Forget
	return r
}

// Installed is what a bridge holds, as read back.
type Installed struct {
	Flows   *derive.Flows   // ours, those of Learned tables excepted
	Learned []pipeline.Hold // the distinct (table, cookie) of learned facts
	Groups  map[uint32]pipeline.Group
	Meters  map[uint32]pipeline.Meter
	Zones   map[uint16]pipeline.Zone // conntrack zones that our flows name, with the flows' object
	// Kept are groups that foreign flows use, and those that these groups use. They are left alone, since a group
	// takes its flows along; so is the meter of a foreign flow, in KeptMeters.
	Kept, KeptMeters map[uint32]struct{}
	// Foreign counts flows that are not ours by cookie; they are left alone.
	Foreign int
	// Undecoded counts flows whose match this library cannot read; they are foreign too.
	Undecoded int
}

// Diff is what makes a bridge that holds have into one that holds want. Groups and meters carry no cookie: on br-int
// and br-tun they are ours unless a foreign flow uses them; on a mapped bridge (shared) only those that are wanted
// are touched.
func Diff(want *derive.Desired, have *Installed, shared bool) *Change {
	c := NewChange()
	c.Replaces = true // it may, and nobody waits for it
	for k, f := range want.Flows.All() {
		if h, ok := have.Flows.Get(k); !ok || h != f {
			c.Set[k] = f
		}
	}
	for k, f := range have.Flows.All() {
		if _, ok := want.Flows.Get(k); !ok {
			c.Del[k] = f
		}
	}
	for id, g := range want.Groups {
		if h, ok := have.Groups[id]; !ok || h != g {
			c.SetGroups[id] = g
		}
	}
	for id, m := range want.Meters {
		if h, ok := have.Meters[id]; !ok || h != m {
			c.SetMeters[id] = m
		}
	}
	if !shared {
		for id := range have.Groups {
			_, wanted := want.Groups[id]
			if _, kept := have.Kept[id]; !wanted && !kept {
				c.DelGroups[id] = struct{}{}
			}
		}
		for id := range have.Meters {
			_, wanted := want.Meters[id]
			if _, kept := have.KeptMeters[id]; !wanted && !kept {
				c.DelMeters[id] = struct{}{}
			}
		}
	}
	for id, z := range want.Zones {
		if h, ok := have.Zones[id]; !ok || h != z {
			c.SetZones[id] = struct{}{}
		}
	}
	for id := range have.Zones {
		if _, ok := want.Zones[id]; !ok {
			c.DelZones[id] = struct{}{}
		}
	}
	for _, l := range have.Learned {
		if _, ok := want.Holds[l]; !ok {
			c.Forget[l] = struct{}{}
		}
	}
	return c
}

// Split parts a change that is too faulty to go at once: groups and meters that are set, then flows that are set, at
// most n at a time and by object, then everything that goes.
func (c *Change) Split(n int) []*Change {
	first := NewChange()
	first.SetGroups, first.SetMeters = c.SetGroups, c.SetMeters
	flows := sortedFlows(c.Set)
	slices.SortStableFunc(flows, func(a, b pipeline.Flow) int {
		return cmp.Compare(a.Cookie&pipeline.CookieOwnerMask, b.Cookie&pipeline.CookieOwnerMask)
	})
	out := []*Change{first}
	for chunk := range slices.Chunk(flows, n) {
		part := NewChange()
		for _, f := range chunk {
			part.Set[f.Key] = f
		}
		out = append(out, part)
	}
	return append(out, c.Removals())
}

// Without counts what of c is neither in pending nor known to be refused: what drifted, where c is the difference
// to a bridge that held everything but pending.
func (c *Change) Without(pending *Change, refused func(k *pipeline.Key, group, meter *uint32) bool) (n int) {
	for k := range c.Set {
		if _, ok := pending.Set[k]; !ok && !refused(&k, nil, nil) {
			n++
		}
	}
	for k := range c.Del {
		if _, ok := pending.Del[k]; !ok && !refused(&k, nil, nil) {
			n++
		}
	}
	for id := range c.SetGroups {
		if _, ok := pending.SetGroups[id]; !ok && !refused(nil, &id, nil) {
			n++
		}
	}
	for id := range c.DelGroups {
		if _, ok := pending.DelGroups[id]; !ok {
			n++
		}
	}
	for id := range c.SetMeters {
		if _, ok := pending.SetMeters[id]; !ok && !refused(nil, nil, &id) {
			n++
		}
	}
	for id := range c.DelMeters {
		if _, ok := pending.DelMeters[id]; !ok {
			n++
		}
	}
	for h := range c.Forget {
		if _, ok := pending.Forget[h]; !ok {
			n++
		}
	}
	return n
}

// sortedFlows gives flows in an order that does not depend on the map.
func sortedFlows(m map[pipeline.Key]pipeline.Flow) []pipeline.Flow {
	out := make([]pipeline.Flow, 0, len(m))
	for _, f := range m {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i].Key, &out[j].Key
		if a.Table != b.Table {
			return a.Table > b.Table // the last tables first: a packet never meets a goto to what is not there yet
		}
		if a.Priority != b.Priority {
			return a.Priority > b.Priority
		}
		return a.Match < b.Match
	})
	return out
}

// Then adds a change that comes after c.
func (c *Change) Then(later *Change) {
	d := derive.BridgeDelta{Replaces: later.Replaces}
	for _, f := range later.Set {
		d.Set = append(d.Set, f)
	}
	for _, f := range later.Del {
		d.Del = append(d.Del, f)
	}
	for _, g := range later.SetGroups {
		d.SetGroups = append(d.SetGroups, g)
	}
	for id := range later.DelGroups {
		d.DelGroups = append(d.DelGroups, id)
	}
	for _, m := range later.SetMeters {
		d.SetMeters = append(d.SetMeters, m)
	}
	for id := range later.DelMeters {
		d.DelMeters = append(d.DelMeters, id)
	}
	for h := range later.Forget {
		d.Forget = append(d.Forget, h)
	}
	for id := range later.SetZones {
		d.SetZones = append(d.SetZones, pipeline.Zone{ID: id})
	}
	for id := range later.DelZones {
		d.DelZones = append(d.DelZones, id)
	}
	c.Merge(&d)
}

// Rejected says what a switch refused. Exactly one of Key, Group and Meter is set.
type Rejected struct {
	Key   *pipeline.Key
	Group *uint32
	Meter *uint32
	What  string // for people: the flow's text, "group 5", "meter 9"
	Err   error
}

func (r *Rejected) Error() string { return r.What + ": " + r.Err.Error() }

// Unwrap gives the switch's error.
func (r *Rejected) Unwrap() error { return r.Err }

// Drop takes a rejected group or meter out of the change; false if it is not in it.
func (c *Change) Drop(r *Rejected) bool {
	n := len(c.SetGroups) + len(c.DelGroups) + len(c.SetMeters) + len(c.DelMeters)
	if r.Group != nil {
		delete(c.SetGroups, *r.Group)
		delete(c.DelGroups, *r.Group)
	}
	if r.Meter != nil {
		delete(c.SetMeters, *r.Meter)
		delete(c.DelMeters, *r.Meter)
	}
	return n != len(c.SetGroups)+len(c.DelGroups)+len(c.SetMeters)+len(c.DelMeters)
}
