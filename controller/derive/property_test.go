package derive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// world is a random intent with its history.
type world struct {
	r    *rand.Rand
	rows map[*model.Table]map[string]model.Object
	key  uint32
	rev  int64
	// checked are the flows known to be as declared.
	checked map[pipeline.Flow]struct{}
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), rows: map[*model.Table]map[string]model.Object{}, checked: map[pipeline.Flow]struct{}{}}
	for _, t := range model.Tables() {
		w.rows[t] = map[string]model.Object{}
	}
	return w
}

func (w *world) change(t *model.Table, o model.Object) model.Change {
	c := model.Change{Table: t, Old: w.rows[t][o.ObjectID()], New: o}
	w.rows[t][o.ObjectID()] = o
	return c
}

func (w *world) remove(t *model.Table, id string) []model.Change {
	old := w.rows[t][id]
	if old == nil {
		return nil
	}
	delete(w.rows[t], id)
	return []model.Change{{Table: t, Old: old}}
}

func (w *world) meta(id string, t *model.Table) model.Meta {
	if old := w.rows[t][id]; old != nil {
		return *old.(interface{ MetaOf() *model.Meta }).MetaOf()
	}
	w.key++
	return model.Meta{ID: id, Key: w.key, Name: id}
}

// step makes one random change, valid or not: units must cope with dangling references.
func (w *world) step() []model.Change {
	n := func(k int) int { return w.r.IntN(k) }
	net := fmt.Sprintf("net%d", n(4))
	port := fmt.Sprintf("port%d", n(12))
	host := model.HostName(fmt.Sprintf("h%d", n(3)))
	switch n(23) {
	case 17, 18, 19, 20, 21, 22:
		return w.routingStep()
	case 12, 13, 14, 15:
		return w.securityStep()
	case 0:
		return w.remove(model.Networks, net)
	case 1, 2:
		o := &model.Network{Meta: w.meta(net, model.Networks), AdminStateUp: n(8) > 0, MTU: 1400 + n(3)}
		for range n(3) {
			o.Segments = append(o.Segments, w.segment())
		}
		return []model.Change{w.change(model.Networks, o)}
	case 3:
		return w.remove(model.Ports, port)
	case 4, 5, 6:
		p := &model.Port{Meta: w.meta(port, model.Ports), NetworkID: model.NetworkID(net), MAC: model.MAC{2, 0, 0, 0, 0, byte(n(5))},
			AdminStateUp: n(8) > 0, PortSecurity: n(2) == 0}
		if n(4) == 0 {
			p.DeviceOwner = model.OwnerDHCP
		}
		if n(3) == 0 {
			p.HostID = model.HostName(fmt.Sprintf("h%d", n(3)))
		}
		if n(4) == 0 {
			p.AllowedAddressPairs = []model.AddressPair{{MAC: model.MAC{2, 0, 0, 0, 1, byte(n(3))}}, {Prefix: w.prefix()}}
		}
		for range n(3) {
			if g := fmt.Sprintf("sg%d", n(4)); !slices.Contains(p.SecurityGroups, g) { // as the API has it
				p.SecurityGroups = append(p.SecurityGroups, g)
			}
		}
		for range n(3) {
			p.FixedIPs = append(p.FixedIPs, model.FixedIP{SubnetID: "s", Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n(8))})})
		}
		return []model.Change{w.change(model.Ports, p)}
	case 7:
		return w.remove(model.Bindings, string(host)+"/"+port)
	case 8, 9:
		p, ok := w.rows[model.Ports][port].(*model.Port)
		if !ok {
			return nil
		}
		return []model.Change{w.change(model.Bindings, &model.Binding{PortID: model.PortID(port), Host: host, NetworkID: p.NetworkID,
			Slot: uint16(1 + n(100)), Member: uint32(n(3 * model.LeafSize)), OFPort: uint32(n(20))})}
	case 10:
		return w.remove(model.Hosts, string(host))
	case 11:
		name := fmt.Sprintf("phys%d", n(2))
		if n(3) == 0 {
			return w.remove(model.PhysicalNetworks, name)
		}
		return []model.Change{w.change(model.PhysicalNetworks, &model.PhysicalNetwork{Name: name, Number: uint32(1 + n(3))})}
	default:
		h := &model.Host{Meta: w.meta(string(host), model.Hosts), BridgeMappings: map[string]string{}}
		if n(3) > 0 {
			h.TunnelIP = netip.AddrFrom4([4]byte{172, 31, 0, byte(n(4))})
		}
		for i := range 2 {
			if n(2) == 0 {
				h.BridgeMappings[fmt.Sprintf("phys%d", i)] = fmt.Sprintf("br-ex%d", n(2))
			}
		}
		return []model.Change{w.change(model.Hosts, h)}
	}
}

// segment is of any type, with few different ids, so that networks collide.
func (w *world) segment() model.Segment {
	t := []model.NetworkType{model.NetworkLocal, model.NetworkFlat, model.NetworkVLAN, model.NetworkVXLAN, model.NetworkGRE}[w.r.IntN(5)]
	s := model.Segment{Type: t}
	switch t {
	case model.NetworkVLAN, model.NetworkFlat:
		s.PhysicalNetwork = fmt.Sprintf("phys%d", w.r.IntN(2))
	}
	switch t {
	case model.NetworkVLAN, model.NetworkVXLAN, model.NetworkGRE:
		s.ID = uint32(1 + w.r.IntN(3))
	}
	return s
}

// whole is everything an engine desires.
func whole(e *Engine) map[bridgeKey]*Desired {
	out := map[bridgeKey]*Desired{}
	for k, b := range e.bridges {
		if b.flows.won.n+len(b.groups.won)+len(b.meters.won)+len(b.holds.won)+len(b.zones.won) > 0 {
			out[k] = e.Desired(k.host, k.bridge)
		}
	}
	return out
}

func same(a, b map[bridgeKey]*Desired) error {
	for k := range a {
		if b[k] == nil {
			return fmt.Errorf("%v: only on one side", k)
		}
	}
	for k, y := range b {
		x := a[k]
		switch {
		case x == nil:
			return fmt.Errorf("%v: only on one side", k)
		case !maps.Equal(maps.Collect(x.Flows.All()), maps.Collect(y.Flows.All())):
			return fmt.Errorf("%v: flows differ: %d and %d", k, x.Flows.Len(), y.Flows.Len())
		case !maps.Equal(x.Groups, y.Groups):
			return fmt.Errorf("%v: groups differ", k)
		case !maps.Equal(x.Meters, y.Meters):
			return fmt.Errorf("%v: meters differ", k)
		case !maps.Equal(x.Holds, y.Holds):
			return fmt.Errorf("%v: holds differ", k)
		case !maps.Equal(x.Zones, y.Zones):
			return fmt.Errorf("%v: zones differ", k)
		}
	}
	return nil
}

// declared checks that every flow does only what its table declares.
func declared(w *world, e *Engine) error {
	for k, b := range e.bridges {
		role := pipeline.RoleEx
		switch k.bridge {
		case pipeline.BrInt:
			role = pipeline.RoleInt
		case pipeline.BrTun:
			role = pipeline.RoleTun
		}
		for key, f := range b.flows.won.All() {
			if _, ok := w.checked[f]; ok {
				continue
			}
			if err := pipeline.CheckFlow(role, &f); err != nil {
				return fmt.Errorf("%v %v: %w", k, key.Table, err)
			}
			w.checked[f] = struct{}{}
		}
	}
	return nil
}

// patch applies a delta to what a switch would hold.
func patch(m map[bridgeKey]*Desired, d *Delta) {
	for _, b := range d.Bridges {
		k := bridgeKey{b.Host, b.Bridge}
		x := m[k]
		if x == nil {
			x = &Desired{NewFlows(), map[uint32]pipeline.Group{}, map[uint32]pipeline.Meter{}, map[pipeline.Hold]struct{}{}, map[uint16]pipeline.Zone{}}
			m[k] = x
		}
		replaces := len(b.Del) > 0
		for _, f := range b.Set {
			_, had := x.Flows.Get(f.Key)
			replaces = replaces || had
			x.Flows.put(&flow{Flow: f})
		}
		if replaces != b.Replaces {
			panic(fmt.Sprintf("%v: Replaces is %v", k, b.Replaces))
		}
		for _, f := range b.Del {
			x.Flows.Delete(f.Key)
		}
		for _, g := range b.SetGroups {
			x.Groups[g.ID] = g
		}
		for _, id := range b.DelGroups {
			delete(x.Groups, id)
		}
		for _, mt := range b.SetMeters {
			x.Meters[mt.ID] = mt
		}
		for _, id := range b.DelMeters {
			delete(x.Meters, id)
		}
		for _, z := range b.SetZones {
			x.Zones[z.ID] = z
		}
		for _, id := range b.DelZones {
			delete(x.Zones, id)
		}
	}
}

// The law: incremental output equals output from scratch, and the deltas add up to it.
func TestIncrementalIsFromScratch(t *testing.T) {
	histories := 60
	if testing.Short() {
		histories = 10
	}
	for seed := range uint64(histories) {
		w := newWorld(seed)
		e := New(l2.Root, pipeline.DefaultSettings(), snapshot.Empty())
		snap := snapshot.Empty()
		installed := map[bridgeKey]*Desired{}
		for step := range 150 {
			// One change per object and batch, as the store gives them.
			batch, order := map[string]model.Change{}, []string{}
			for range 1 + w.r.IntN(4) {
				for _, c := range w.step() {
					k := c.Table.Name + "/" + c.ID()
					if first, ok := batch[k]; ok {
						c.Old = first.Old
					} else {
						order = append(order, k)
					}
					batch[k] = c
				}
			}
			var kept []model.Change
			for _, k := range order {
				if c := batch[k]; c.Old != nil || c.New != nil {
					kept = append(kept, c)
				}
			}
			w.rev++
			snap = snap.Apply(w.rev, kept)
			patch(installed, e.Apply(snap, kept))

			scratch := New(l2.Root, pipeline.DefaultSettings(), snapshot.Empty())
			var all []model.Change
			for _, tb := range model.Tables() {
				for _, o := range w.rows[tb] {
					all = append(all, model.Change{Table: tb, New: o})
				}
			}
			if d := scratch.Load(snapshot.Empty().Apply(1, all), all); len(d.Bridges) != 0 {
				t.Fatalf("seed %d: Load gave a difference for %d bridges", seed, len(d.Bridges))
			}
			if err := same(whole(scratch), whole(e)); err != nil {
				t.Fatalf("seed %d step %d: from scratch and incremental: %v", seed, step, err)
			}
			for k, x := range installed {
				if x.Flows.Len()+len(x.Groups)+len(x.Meters) == 0 {
					delete(installed, k)
				}
				x.Holds = e.Desired(k.host, k.bridge).Holds
			}
			if err := same(whole(e), installed); err != nil {
				t.Fatalf("seed %d step %d: desired and sum of deltas: %v", seed, step, err)
			}
			if err := declared(w, e); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if s := e.Stats(); len(s.Errors) > 0 {
				t.Fatalf("seed %d step %d: %v", seed, step, s.Errors)
			}
			if step == 75 {
				e = scratch // a restart: what is loaded goes on the same
			}
		}
		// Down to nothing.
		var all []model.Change
		for _, tb := range model.Tables() {
			for _, o := range w.rows[tb] {
				all = append(all, model.Change{Table: tb, Old: o})
			}
		}
		w.rev++
		snap = snap.Apply(w.rev, all)
		e.Apply(snap, all)
		if n := len(whole(e)); n != 0 || len(e.units) != 1 || read(e) != 0 {
			t.Fatalf("seed %d: after everything is gone: %d bridges, %d units, %d things read left", seed, n, len(e.units), read(e))
		}
	}
}

// read counts the things that units read.
func read(e *Engine) (n int) {
	for _, in := range e.reads {
		n += len(in.of)
	}
	return n
}
