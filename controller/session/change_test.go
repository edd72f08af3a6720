package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

func fl(n int, actions string) pipeline.Flow {
	return pipeline.Flow{Key: pipeline.Key{Table: uint8(n % 5), Priority: uint16(n)}, Actions: actions, Cookie: pipeline.MakeCookie(1, 1, uint32(n))}
}

func gr(id uint32, text string) pipeline.Group { return pipeline.Group{ID: id, Mod: text} }

// content is what a bridge holds, as Diff and Apply see it.
type content struct {
	flows  map[pipeline.Key]pipeline.Flow
	groups map[uint32]pipeline.Group
	meters map[uint32]pipeline.Meter
}

func empty() *content {
	return &content{map[pipeline.Key]pipeline.Flow{}, map[uint32]pipeline.Group{}, map[uint32]pipeline.Meter{}}
}

func (x *content) apply(c *Change) {
	maps.Copy(x.flows, c.Set)
	maps.Copy(x.groups, c.SetGroups)
	maps.Copy(x.meters, c.SetMeters)
	for k := range c.Del {
		delete(x.flows, k)
	}
	for k := range c.DelGroups {
		delete(x.groups, k)
	}
	for k := range c.DelMeters {
		delete(x.meters, k)
	}
}

func (x *content) equal(y *content) bool {
	return maps.Equal(x.flows, y.flows) && maps.Equal(x.groups, y.groups) && maps.Equal(x.meters, y.meters)
}

func (x *content) installed() *Installed {
	return &Installed{Flows: derive.NewFlows(slices.Collect(maps.Values(x.flows))...), Groups: x.groups, Meters: x.meters}
}

// random is a random delta.
func random(r *rand.Rand) *derive.BridgeDelta {
	d := &derive.BridgeDelta{}
	used := map[int]bool{} // a delta names a thing once
	for range r.IntN(6) {
		n := r.IntN(30)
		if used[n] {
			continue
		}
		used[n] = true
		id := uint32(n)
		text := fmt.Sprint(r.IntN(3))
		switch r.IntN(6) {
		case 0:
			d.Del = append(d.Del, fl(n, ""))
		case 1:
			d.SetGroups = append(d.SetGroups, gr(id, text))
		case 2:
			d.DelGroups = append(d.DelGroups, id)
		case 3:
			d.SetMeters = append(d.SetMeters, pipeline.Meter{ID: id, PPS: uint32(r.IntN(3))})
		case 4:
			d.DelMeters = append(d.DelMeters, id)
		default:
			d.Set = append(d.Set, fl(n, text))
		}
	}
	return d
}

// TestMerge shows that merged deltas do what they do one by one, that Then is the same, and that Additions and
// Removals do it in two steps.
func TestMerge(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		one, merged, then, parts, split := empty(), empty(), empty(), empty(), empty()
		start := NewChange()
		start.Merge(random(r))
		for _, x := range []*content{one, merged, then, parts, split} {
			x.apply(start)
		}
		all, first, second := NewChange(), NewChange(), NewChange()
		n := r.IntN(10)
		for i := range n {
			d := random(r)
			step := NewChange()
			step.Merge(d)
			one.apply(step)
			all.Merge(d)
			if i < n/2 {
				first.Merge(d)
			} else {
				second.Merge(d)
			}
		}
		merged.apply(all)
		first.Then(second)
		then.apply(first)
		parts.apply(all.Additions())
		parts.apply(all.Removals())
		for _, p := range all.Split(3) {
			split.apply(p)
			if len(p.Set) > 3 {
				t.Fatalf("a part of %d flows", len(p.Set))
			}
		}
		for name, x := range map[string]*content{"merged": merged, "then": then, "in two steps": parts, "split": split} {
			if !x.equal(one) {
				t.Fatalf("seed %d, %s: %v, want %v", seed, name, x, one)
			}
		}
	}
}

// TestDiff shows that the difference of two contents makes one into the other, and is empty between equals.
func TestDiff(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		have, want := empty(), empty()
		for _, x := range []*content{have, want} {
			for range 8 {
				c := NewChange()
				c.Merge(random(r))
				x.apply(c)
			}
		}
		d := &derive.Desired{Flows: derive.NewFlows(slices.Collect(maps.Values(want.flows))...), Groups: want.groups, Meters: want.meters}
		c := Diff(d, have.installed(), false)
		have.apply(c)
		if !have.equal(want) {
			t.Fatalf("seed %d: %v, want %v", seed, have, want)
		}
		if c := Diff(d, have.installed(), false); !c.Empty() {
			t.Fatalf("seed %d: a difference between equals: %+v", seed, c)
		}
	}
}

// TestDiffForeign shows what is left alone: groups and meters of foreign flows, everything that is not wanted on a
// shared bridge, and learned facts whose object is there.
func TestDiffForeign(t *testing.T) {
	have := empty()
	for _, id := range []uint32{1, 2, 3} {
		have.groups[id], have.meters[id] = gr(id, "x"), pipeline.Meter{ID: id}
	}
	in := have.installed()
	in.Kept, in.KeptMeters = map[uint32]struct{}{2: {}}, map[uint32]struct{}{3: {}}
	held, lost := pipeline.Hold{Bridge: "br-int", Table: 52, Cookie: 1}, pipeline.Hold{Bridge: "br-int", Table: 52, Cookie: 2}
	in.Learned = []pipeline.Hold{held, lost}
	want := &derive.Desired{Groups: map[uint32]pipeline.Group{1: gr(1, "x")}, Meters: map[uint32]pipeline.Meter{1: {ID: 1}}, Holds: map[pipeline.Hold]struct{}{held: {}}}
	c := Diff(want, in, false)
	if len(c.DelGroups) != 1 || len(c.DelMeters) != 1 || len(c.SetGroups)+len(c.SetMeters) != 0 || len(c.Forget) != 1 {
		t.Errorf("%+v", c)
	}
	if _, ok := c.DelGroups[3]; !ok {
		t.Errorf("groups %v", c.DelGroups)
	}
	if _, ok := c.DelMeters[2]; !ok {
		t.Errorf("meters %v", c.DelMeters)
	}
	if _, ok := c.Forget[lost]; !ok {
		t.Errorf("forgets %v", c.Forget)
	}
	if c := Diff(want, in, true); len(c.DelGroups)+len(c.DelMeters) != 0 {
		t.Errorf("on a shared bridge: %+v", c)
	}
}

// TestKeep follows groups that foreign flows use to those that these use, in circles too.
func TestKeep(t *testing.T) {
	acts, err := openflow.ParseActions("group:1,clone(group:4,controller(meter_id=9))")
	if err != nil {
		t.Fatal(err)
	}
	kept, meters := map[uint32]struct{}{}, map[uint32]struct{}{}
	uses(acts, kept, meters)
	keep(kept, map[uint32]map[uint32]struct{}{1: {2: {}}, 2: {3: {}, 1: {}}, 5: {6: {}}})
	if len(kept) != 4 || len(meters) != 1 {
		t.Errorf("groups %v, meters %v", kept, meters)
	}
	for _, id := range []uint32{1, 2, 3, 4} {
		if _, ok := kept[id]; !ok {
			t.Errorf("group %d is not kept", id)
		}
	}
}

// TestWithout counts drift: what is neither pending nor refused.
func TestWithout(t *testing.T) {
	diff, pending := NewChange(), NewChange()
	diff.Merge(&derive.BridgeDelta{Set: []pipeline.Flow{fl(1, "a"), fl(2, "a"), fl(3, "a")}, Del: []pipeline.Flow{fl(4, ""), fl(5, "")},
		SetGroups: []pipeline.Group{gr(1, ""), gr(2, "")}, DelGroups: []uint32{3, 4}, SetMeters: []pipeline.Meter{{ID: 1}, {ID: 2}}, DelMeters: []uint32{3, 4},
		Forget: []pipeline.Hold{{Table: 1}, {Table: 2}}})
	pending.Merge(&derive.BridgeDelta{Set: []pipeline.Flow{fl(1, "a")}, Del: []pipeline.Flow{fl(4, "")}, SetGroups: []pipeline.Group{gr(1, "")},
		DelGroups: []uint32{3}, SetMeters: []pipeline.Meter{{ID: 1}}, DelMeters: []uint32{3}, Forget: []pipeline.Hold{{Table: 1}}})
	n := diff.Without(pending, func(k *pipeline.Key, group, meter *uint32) bool {
		return k != nil && *k == fl(2, "").Key || group != nil && *group == 2 || meter != nil && *meter == 2
	})
	if n != 5 { // flows 3 and 5, group 4, meter 4, one learned fact
		t.Errorf("%d drifted", n)
	}
}

// TestBundleOrder shows the order within a bundle: groups before the flows and groups that use them, later tables
// first, deletions of flows, learned facts, and groups after what uses them.
func TestBundleOrder(t *testing.T) {
	s := &Session{bridge: "br-int"}
	leaf, root := pipeline.MakeGroup(openflow.GroupDesc{ID: 1<<31 | 5}), pipeline.MakeGroup(openflow.GroupDesc{ID: 7})
	c := NewChange()
	f := func(table uint8, prio uint16, actions string) pipeline.Flow {
		return pipeline.Flow{Key: pipeline.Key{Table: table, Priority: prio}, Actions: actions}
	}
	c.Merge(&derive.BridgeDelta{Set: []pipeline.Flow{f(0, 1, "x"), f(64, 1, "x"), f(64, 9, "x"), f(8, 1, "x")}, Del: []pipeline.Flow{f(3, 1, ""), f(4, 1, "")},
		SetGroups: []pipeline.Group{root, leaf}, DelGroups: []uint32{1<<31 | 9, 8}, Forget: []pipeline.Hold{{Table: 52, Cookie: 3}}})
	_, parts := s.bundle(c)
	var got []string
	for _, p := range parts {
		switch {
		case p.flow == nil:
			got = append(got, fmt.Sprintf("g%d", p.group))
		default:
			got = append(got, fmt.Sprintf("t%d/%d%s", p.flow.Table, p.flow.Priority, map[bool]string{true: "", false: "-"}[p.flow.Actions != ""]))
		}
	}
	const want = "g2147483653 g7 t64/9 t64/1 t8/1 t0/1 t4/1- t3/1- t52/0- g8 g2147483657"
	if g := strings.Join(got, " "); g != want {
		t.Errorf("order\n%s, want\n%s", g, want)
	}
	for range 20 { // whatever the order of maps
		_, again := s.bundle(c)
		if fmt.Sprint(again[0].group, len(again)) != fmt.Sprint(parts[0].group, len(parts)) {
			t.Fatal("another order")
		}
	}
}

// TestComparable shows that a flow as read equals the desired one only if nothing is different.
func TestComparable(t *testing.T) {
	read := func(text string) pipeline.Flow {
		t.Helper()
		f, err := openflow.ParseFlow(text)
		if err != nil {
			t.Fatal(err)
		}
		return Comparable(&f)
	}
	base := read("cookie=0x5100010000000000,table=3,priority=5,tcp,tp_dst=80 actions=output:1")
	if read("cookie=0x5100010000000000,table=3,priority=5,tcp,tp_dst=80 actions=output:1") != base {
		t.Error("not equal to itself")
	}
	for _, other := range []string{
		"cookie=0x5100010000000001,table=3,priority=5,tcp,tp_dst=80 actions=output:1",
		"cookie=0x5100010000000000,table=3,priority=5,tcp,tp_dst=80 actions=output:2",
		"cookie=0x5100010000000000,table=3,priority=5,tcp,tp_dst=81 actions=output:1",
		"cookie=0x5100010000000000,table=4,priority=5,tcp,tp_dst=80 actions=output:1",
		"cookie=0x5100010000000000,table=3,priority=5,idle_timeout=9,tcp,tp_dst=80 actions=output:1",
		"cookie=0x5100010000000000,table=3,priority=5,hard_timeout=9,tcp,tp_dst=80 actions=output:1",
		"cookie=0x5100010000000000,table=3,priority=5,send_flow_rem,tcp,tp_dst=80 actions=output:1",
	} {
		if read(other) == base {
			t.Errorf("equal: %s", other)
		}
	}
}
