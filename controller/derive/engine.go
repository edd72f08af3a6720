package derive

import (
	"fmt"
	"slices"
	"sort"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

type indexKey struct {
	index *model.Index
	key   string
}

// subscription is one NeedEach of a unit with the children it made, counted.
type subscription struct {
	u        *unit
	each     pipeline.Each
	children map[*unit]int
}

type bridgeKey struct {
	host   model.HostName
	bridge string
}

// bridge is what is desired of one bridge.
type bridge struct {
	flows  flowClaims
	groups claims[uint32, pipeline.Group]
	meters claims[uint32, pipeline.Meter]
	holds  claims[pipeline.Hold, struct{}]
	zones  claims[uint16, pipeline.Zone] // of br-int
}

// Stats counts the engine's work since it was made.
type Stats struct {
	// Derived counts runs of derive functions; Units are those alive.
	Derived uint64
	Units   int
	// Conflicts counts matches claimed by two units at once: defects of the pipeline.
	Conflicts uint64
	// Errors are derivation errors standing now, by unit.
	Errors map[string]error
}

// Engine is the single owner of what is desired. It is used by one goroutine.
type Engine struct {
	settings pipeline.Settings
	src      model.Source
	units    map[pipeline.UnitID]*unit
	reads    map[space]*nodes
	each     map[indexKey][]*subscription
	names    []string // of bridges, by flow.bridge
	bridges  map[bridgeKey]*bridge
	touched  map[bridgeKey]struct{}
	// queue holds the dirty units by order; none is dirty below low.
	queue     [256][]*unit
	low       int
	rec       recorder
	pack      packer
	derived   uint64
	conflicts uint64
	loading   bool // in Load
	errs      map[*unit]error
}

// New makes an engine over an empty state whose root unit is of a kind.
func New(root *pipeline.Kind, settings pipeline.Settings, empty model.Source) *Engine {
	e := &Engine{
		settings: settings, src: empty,
		units: map[pipeline.UnitID]*unit{}, reads: map[space]*nodes{}, each: map[indexKey][]*subscription{},
		bridges: map[bridgeKey]*bridge{}, touched: map[bridgeKey]struct{}{},
		errs: map[*unit]error{},
	}
	e.rec.e = e
	e.need(pipeline.UnitID{Kind: root}, nil, 1)
	e.drain()
	return e
}

// Apply brings what is desired up to date with src, which differs from the last one by changes, and gives the
// difference.
func (e *Engine) Apply(src model.Source, changes []model.Change) *Delta {
	before := e.src
	e.src = src
	var keys []keyChange
	for _, c := range changes {
		e.touch(space{table: c.Table}, c.ID())
		keys = keyChanges(c, keys[:0])
		for _, k := range keys {
			e.touch(space{index: k.index}, k.key)
			below := space{index: k.index, prefix: true}
			if (k.old == nil) != (k.new == nil) && e.reads[below].any() && has(before, k.index, k.key) != has(src, k.index, k.key) {
				prefixes(k.key, func(p string) { e.touch(below, p) })
			}
			e.resubscribe(k)
		}
	}
	e.drain()
	return e.take(src.Revision())
}

// Load is Apply for the first state, whose difference to nothing nobody needs: who has a switch asks for what is
// Desired. It saves half the memory of a large start.
func (e *Engine) Load(src model.Source, changes []model.Change) *Delta {
	e.loading = true
	d := e.Apply(src, changes)
	e.loading = false
	return d
}

// touch marks the readers of a thing dirty.
func (e *Engine) touch(s space, key string) {
	in := e.reads[s]
	if in == nil {
		return
	}
	if n := in.of[key]; n != nil {
		for _, u := range n.readers {
			e.mark(u)
		}
	}
}

func (e *Engine) mark(u *unit) {
	if !u.dirty && !u.dead {
		u.dirty = true
		o := int(u.id.Kind.Order)
		e.queue[o] = append(e.queue[o], u)
		e.low = min(e.low, o)
	}
}

// resubscribe brings the children of NeedEach subscriptions up to date with one index key's change.
func (e *Engine) resubscribe(k keyChange) {
	for _, s := range slices.Clone(e.each[indexKey{k.index, k.key}]) {
		if s.children == nil { // ended meanwhile
			continue
		}
		var oldID, newID pipeline.UnitID
		if k.old != nil {
			oldID = s.each.Unit(k.old)
		}
		if k.new != nil {
			newID = s.each.Unit(k.new)
		}
		if oldID == newID {
			continue
		}
		if k.new != nil {
			e.addChild(s, newID)
		}
		if k.old != nil {
			e.dropChild(s, oldID)
		}
	}
}

func (e *Engine) addChild(s *subscription, id pipeline.UnitID) {
	s.children[e.need(id, s.u, 1)]++
}

func (e *Engine) dropChild(s *subscription, id pipeline.UnitID) {
	c := e.units[id]
	if c == nil || s.children[c] == 0 {
		return
	}
	if s.children[c]--; s.children[c] == 0 {
		delete(s.children, c)
	}
	e.unneed(c, s.u, 1)
}

// need adds n needs of a unit on behalf of parent, making it if it is new.
func (e *Engine) need(id pipeline.UnitID, parent *unit, n int) *unit {
	u := e.units[id]
	if u == nil {
		u = &unit{id: id}
		e.units[id] = u
		e.mark(u)
	}
	u.refs += int32(n)
	if id.Kind.Shared && parent != nil {
		e.eachHost(parent, func(h model.HostName) { e.interest(u, h, n) })
	}
	return u
}

func (e *Engine) unneed(u, parent *unit, n int) {
	if u.id.Kind.Shared && parent != nil {
		e.eachHost(parent, func(h model.HostName) { e.interest(u, h, -n) })
	}
	if u.refs -= int32(n); u.refs == 0 {
		e.remove(u)
	}
}

// eachHost calls f for the hosts a unit's needs come from.
func (e *Engine) eachHost(u *unit, f func(model.HostName)) {
	if !u.id.Kind.Shared {
		f(u.id.Host)
		return
	}
	for _, h := range slices.Clone(u.hosts) { // f may change them, where units need each other
		f(h.host)
	}
}

// interest changes how many needs of a shared unit come from a host, and with the first and the last puts its
// flows on that host or takes them away; the units it needs follow.
func (e *Engine) interest(u *unit, h model.HostName, n int) {
	was := u.count(h, n)
	if (was == 0) == (was+n == 0) {
		return
	}
	if was == 0 {
		e.place(u, u.flows, u.more, h)
	} else {
		e.displace(u, u.flows, u.more, h)
	}
	sign := 1
	if was != 0 {
		sign = -1
	}
	for _, c := range u.needs {
		if c.id.Kind.Shared {
			e.interest(c, h, sign)
		}
	}
	for _, s := range u.subs {
		for c, k := range s.children {
			if c.id.Kind.Shared {
				e.interest(c, h, sign*k)
			}
		}
	}
}

// drain derives dirty units until none is left, those of a lower order first: so that how often a function runs does
// not hang on chance, where one unit's new output ends another that is dirty too.
func (e *Engine) drain() {
	for e.low = 0; e.low < len(e.queue); {
		q := e.queue[e.low]
		if len(q) == 0 {
			e.low++
			continue
		}
		u := q[len(q)-1]
		e.queue[e.low] = q[:len(q)-1]
		if u.dead {
			continue
		}
		u.dirty = false
		e.derive(u) // may mark units of a lower order, and sets low back then
	}
}

// derive runs a unit's function and replaces what it made before.
func (e *Engine) derive(u *unit) {
	e.derived++
	e.rec.Source, e.rec.run, e.rec.read = e.src, e.derived, e.rec.read[:0]
	var out pipeline.Out
	e.run(u, &out)
	e.setDeps(u)
	old := u.needs
	// What is needed now comes before what is not needed any more goes, so that what both need is not made anew.
	u.needs = nil
	if len(out.Units) > 0 {
		u.needs = make([]*unit, len(out.Units))
		for i, id := range out.Units {
			u.needs[i] = e.need(id, u, 1)
		}
	}
	for _, c := range old {
		e.unneed(c, u, 1)
	}
	if m := moreOf(&out); !e.equalFlows(u.flows, out.Flows) || !u.more.equal(m) {
		flows := e.pack.flows(u, out.Flows, e.number)
		var d difference
		part := len(u.hosts) > 1 && len(u.flows) > fewFlows
		if part {
			d, part = differ(u.flows, flows)
		}
		if part {
			more := !u.more.equal(m)
			e.eachHost(u, func(h model.HostName) {
				e.replace(d, h)
				if more {
					e.displace(u, nil, u.more, h)
					e.place(u, nil, m, h)
				}
			})
		} else {
			e.eachHost(u, func(h model.HostName) {
				e.displace(u, u.flows, u.more, h)
				e.place(u, flows, m, h)
			})
		}
		u.flows, u.more = flows, m
	}
	e.setEaches(u, out.Eaches)
	if len(out.Errs) > 0 {
		e.errs[u] = out.Errs[0]
	} else {
		delete(e.errs, u)
	}
}

// number is a bridge's in flow.bridge. A host has the same few bridges as the others.
func (e *Engine) number(bridge string) uint16 {
	i := slices.Index(e.names, bridge)
	if i < 0 {
		i = len(e.names)
		e.names = append(e.names, bridge)
	}
	return uint16(i)
}

func (e *Engine) equalFlows(have []flow, out []pipeline.BridgeFlow) bool {
	return slices.EqualFunc(have, out, func(f flow, o pipeline.BridgeFlow) bool { return f.Flow == o.Flow && e.names[f.bridge] == o.Bridge })
}

// run fences a derive function: a panic costs that unit its flows and is shown, and nothing else.
func (e *Engine) run(u *unit, out *pipeline.Out) {
	defer func() {
		if p := recover(); p != nil {
			*out = pipeline.Out{Errs: []error{fmt.Errorf("panic while deriving %s: %v", u.id, p)}}
		}
	}()
	u.id.Kind.Derive(model.NewView(&e.rec), pipeline.Switch{Host: u.id.Host, Settings: &e.settings}, u.id.ID, out)
}

// setDeps replaces what a unit is known to read by what the recorder noted.
func (e *Engine) setDeps(u *unit) {
	run := e.rec.run
	for _, n := range u.deps {
		n.had = run
	}
	for _, n := range e.rec.read {
		if n.had != run {
			n.add(u)
		}
	}
	for _, n := range u.deps {
		if n.seen != run {
			n.remove(u)
		}
	}
	if !slices.Equal(u.deps, e.rec.read) {
		u.deps = slices.Clone(e.rec.read)
	}
}

// setEaches replaces a unit's subscriptions. Those that did not change keep their children.
func (e *Engine) setEaches(u *unit, now []pipeline.Each) {
	old := u.subs
	if slices.EqualFunc(old, now, func(s *subscription, n pipeline.Each) bool {
		return s.each.Index == n.Index && s.each.Key == n.Key && s.each.Kind == n.Kind && s.each.Host == n.Host
	}) {
		return
	}
	u.subs = nil
	for _, n := range now {
		s := &subscription{u: u, each: n, children: map[*unit]int{}}
		u.subs = append(u.subs, s)
		k := indexKey{n.Index, n.Key}
		e.each[k] = append(e.each[k], s)
		for _, o := range e.src.List(n.Index, n.Key) {
			e.addChild(s, n.Unit(o))
		}
	}
	e.endSubscriptions(old)
}

// endSubscriptions ends them and the needs of their children.
func (e *Engine) endSubscriptions(subs []*subscription) {
	for _, s := range subs {
		k := indexKey{s.each.Index, s.each.Key}
		if l := e.each[k]; len(l) == 1 {
			delete(e.each, k)
		} else {
			i := slices.Index(l, s)
			e.each[k] = slices.Delete(l, i, i+1)
		}
		for c, n := range s.children {
			e.unneed(c, s.u, n)
		}
		s.children = nil
	}
}

// remove takes a unit and everything only it needs away.
func (e *Engine) remove(u *unit) {
	u.dead = true
	delete(e.units, u.id)
	delete(e.errs, u)
	for _, n := range u.deps {
		n.remove(u)
	}
	e.eachHost(u, func(h model.HostName) { e.displace(u, u.flows, u.more, h) })
	for _, c := range u.needs {
		e.unneed(c, u, 1)
	}
	e.endSubscriptions(u.subs)
	u.flows, u.more, u.deps, u.needs, u.subs = nil, nil, nil, nil, nil
}

func (e *Engine) bridge(h model.HostName, name string) *bridge {
	k := bridgeKey{h, name}
	e.touched[k] = struct{}{}
	b := e.bridges[k]
	if b == nil {
		b = &bridge{newFlowClaims(), newClaims[uint32, pipeline.Group](),
			newClaims[uint32, pipeline.Meter](), newClaims[pipeline.Hold, struct{}](), newClaims[uint16, pipeline.Zone]()}
		e.bridges[k] = b
		if e.loading {
			b.flows.quiet()
			b.groups.quiet()
			b.meters.quiet()
			b.holds.quiet()
			b.zones.quiet()
		}
	}
	return b
}

func (e *Engine) place(u *unit, flows []flow, m *more, h model.HostName) {
	var b *bridge // the last one's
	for i := range flows {
		f := &flows[i]
		if i == 0 || f.bridge != flows[i-1].bridge {
			b = e.bridge(h, e.names[f.bridge])
		}
		if b.flows.add(f) {
			e.conflicts++
		}
	}
	if m == nil {
		return
	}
	for i := range m.groups {
		e.bridge(h, m.groups[i].Bridge).groups.add(m.groups[i].ID, m.groups[i].Group, u)
	}
	for i := range m.meters {
		e.bridge(h, m.meters[i].Bridge).meters.add(m.meters[i].ID, m.meters[i].Meter, u)
	}
	for _, x := range m.holds {
		e.bridge(h, x.Bridge).holds.add(x, struct{}{}, u)
	}
	for _, z := range m.zones {
		e.bridge(h, pipeline.BrInt).zones.add(z.ID, z, u)
	}
}

func (e *Engine) displace(u *unit, flows []flow, m *more, h model.HostName) {
	for i := range flows {
		e.bridge(h, e.names[flows[i].bridge]).flows.remove(&flows[i])
	}
	if m == nil {
		return
	}
	for i := range m.groups {
		e.bridge(h, m.groups[i].Bridge).groups.remove(m.groups[i].ID, u)
	}
	for i := range m.meters {
		e.bridge(h, m.meters[i].Bridge).meters.remove(m.meters[i].ID, u)
	}
	for _, x := range m.holds {
		e.bridge(h, x.Bridge).holds.remove(x, u)
	}
	for _, z := range m.zones {
		e.bridge(h, pipeline.BrInt).zones.remove(z.ID, u)
	}
}

// replace does what differ found on a host.
func (e *Engine) replace(d difference, h model.HostName) {
	for _, f := range d.gone {
		e.bridge(h, e.names[f.bridge]).flows.remove(f)
	}
	for _, f := range d.came {
		if e.bridge(h, e.names[f.bridge]).flows.add(f) {
			e.conflicts++
		}
	}
	var b *bridge
	for i, s := range d.same {
		if i == 0 || s.now.bridge != d.same[i-1].now.bridge {
			b = e.bridges[bridgeKey{h, e.names[s.now.bridge]}]
		}
		b.flows.swap(s.was, s.now)
	}
}

// Stats tells how much the engine did and what stands wrong.
func (e *Engine) Stats() Stats {
	s := Stats{Derived: e.derived, Units: len(e.units), Conflicts: e.conflicts, Errors: map[string]error{}}
	for u, err := range e.errs {
		s.Errors[u.id.String()] = err
	}
	return s
}

// Counts gives the units alive and the flows desired on all bridges.
func (e *Engine) Counts() (units, flows int) {
	for _, b := range e.bridges {
		flows += b.flows.won.n
	}
	return len(e.units), flows
}

// Owner finds the unit whose flow stands under a key of a bridge.
func (e *Engine) Owner(h model.HostName, bridge string, k pipeline.Key) (pipeline.UnitID, bool) {
	if b := e.bridges[bridgeKey{h, bridge}]; b != nil {
		if w := b.flows.won.get(&k); w != nil {
			return w.u.id, true
		}
	}
	return pipeline.UnitID{}, false
}

// GroupOwner finds the unit whose group stands under an id of a bridge.
func (e *Engine) GroupOwner(h model.HostName, bridge string, id uint32) (pipeline.UnitID, bool) {
	if b := e.bridges[bridgeKey{h, bridge}]; b != nil {
		if w, ok := b.groups.won[id]; ok {
			return w.u.id, true
		}
	}
	return pipeline.UnitID{}, false
}

// MeterOwner finds the unit whose meter stands under an id of a bridge.
func (e *Engine) MeterOwner(h model.HostName, bridge string, id uint32) (pipeline.UnitID, bool) {
	if b := e.bridges[bridgeKey{h, bridge}]; b != nil {
		if w, ok := b.meters.won[id]; ok {
			return w.u.id, true
		}
	}
	return pipeline.UnitID{}, false
}

// Bridges lists the bridges of a host for which anything is desired, sorted.
func (e *Engine) Bridges(h model.HostName) []string {
	var out []string
	for k := range e.bridges {
		if k.host == h {
			out = append(out, k.bridge)
		}
	}
	sort.Strings(out)
	return out
}

// FlowsOf lists the keys of a unit's flows on bridges of a name.
func (e *Engine) FlowsOf(id pipeline.UnitID, bridge string) []pipeline.Key {
	var out []pipeline.Key
	if u := e.units[id]; u != nil {
		for i := range u.flows {
			if e.names[u.flows[i].bridge] == bridge {
				out = append(out, u.flows[i].Key)
			}
		}
	}
	return out
}

// Needed lists a host's units of a kind by id, each with the units that need it there. It looks at every unit.
func (e *Engine) Needed(k *pipeline.Kind, h model.HostName) map[string][]pipeline.UnitID {
	out := map[string][]pipeline.UnitID{}
	note := func(child pipeline.UnitID, u *unit) {
		if child.Kind == k && child.Host == h {
			out[child.ID] = append(out[child.ID], u.id)
		}
	}
	for _, u := range e.units {
		for _, child := range u.needs {
			note(child.id, u)
		}
		for _, s := range u.subs {
			for child := range s.children {
				note(child.id, u)
			}
		}
	}
	return out
}
