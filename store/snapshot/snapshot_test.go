package snapshot

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penstock/penstock/model"
)

// naive is the model implementation that a Snapshot must equal.
type naive map[*model.Table]map[string]model.Object

func (n naive) apply(c model.Change) {
	if n[c.Table] == nil {
		n[c.Table] = map[string]model.Object{}
	}
	if c.New != nil {
		n[c.Table][c.ID()] = c.New
	} else {
		delete(n[c.Table], c.ID())
	}
}

func (n naive) all(t *model.Table) []model.Object {
	out := []model.Object{}
	for _, o := range n[t] {
		out = append(out, o)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ObjectID() < out[j].ObjectID() })
	return out
}

func (n naive) list(ix *model.Index, key string) []model.Object {
	var out []model.Object
	for _, o := range n.all(ix.Table) {
		if slices.Contains(ix.Keys(o), key) {
			out = append(out, o)
		}
	}
	return out
}

func (n naive) keys(ix *model.Index, prefix string) []string {
	set := map[string]bool{}
	for _, o := range n.all(ix.Table) {
		for _, k := range ix.Keys(o) {
			if prefix == "" || k == prefix || strings.HasPrefix(k, prefix+"/") {
				set[k] = true
			}
		}
	}
	var out []string
	for k := range set {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Names that are beginnings of each other or hold the bytes of the encoding.
var names = []string{"a", "a-", "a/b", "a/", "ab", "b", "b\x00", "b\x00c", "b\x01", "b\x01\x01", "c", "\xff", "/", "0"}

func pick(r *rand.Rand) string { return names[r.IntN(len(names))] }

func randomObject(r *rand.Rand) (*model.Table, model.Object) {
	switch r.IntN(4) {
	case 0:
		return model.Networks, &model.Network{Meta: model.Meta{ID: pick(r), Key: uint32(r.IntN(5)), Name: fmt.Sprint(r.Uint32())}}
	case 1:
		return model.Subnets, &model.Subnet{Meta: model.Meta{ID: pick(r)}, NetworkID: model.NetworkID(pick(r))}
	case 2:
		p := &model.Port{Meta: model.Meta{ID: pick(r), Key: uint32(r.IntN(5))}, NetworkID: model.NetworkID(pick(r)), DeviceOwner: pick(r)}
		if r.IntN(2) == 0 {
			p.DeviceID = pick(r)
		}
		for range r.IntN(4) {
			p.FixedIPs = append(p.FixedIPs, model.FixedIP{SubnetID: model.SubnetID(pick(r)),
				Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(6))})})
		}
		return model.Ports, p
	default:
		return model.Bindings, &model.Binding{PortID: model.PortID(pick(r)), Host: model.HostName(pick(r)),
			NetworkID: model.NetworkID(pick(r)), Member: uint32(r.IntN(3 * model.LeafSize))}
	}
}

func check(t *testing.T, s *Snapshot, n naive) {
	t.Helper()
	for _, tab := range model.Tables() {
		want := n.all(tab)
		if got := s.All(tab); !slices.Equal(got, want) {
			t.Fatalf("%s: All = %v, want %v", tab.Name, got, want)
		}
		if s.Len(tab) != len(want) {
			t.Fatalf("%s: Len = %d, want %d", tab.Name, s.Len(tab), len(want))
		}
		for _, id := range names {
			if got, want := s.Get(tab, id), n[tab][id]; got != want {
				t.Fatalf("%s: Get(%q) = %v, want %v", tab.Name, id, got, want)
			}
			i := sort.Search(len(want), func(i int) bool { return want[i].ObjectID() >= id })
			if got := slices.Collect(s.From(tab, id)); !slices.Equal(got, want[i:]) {
				t.Fatalf("%s: From(%q) = %v, want %v", tab.Name, id, got, want[i:])
			}
		}
		for _, ix := range tab.Indexes {
			for _, prefix := range append([]string{"", "a/b/c", "a/a"}, names...) {
				if diff := cmp.Diff(n.keys(ix, prefix), s.Keys(ix, prefix)); diff != "" {
					t.Fatalf("%s.%s: Keys(%q) -want +got\n%s", tab.Name, ix.Name, prefix, diff)
				}
				if got, want := s.List(ix, prefix), n.list(ix, prefix); !slices.Equal(got, want) {
					t.Fatalf("%s.%s: List(%q) = %v, want %v", tab.Name, ix.Name, prefix, got, want)
				}
			}
			for _, k := range n.keys(ix, "") {
				if got, want := s.List(ix, k), n.list(ix, k); !slices.Equal(got, want) {
					t.Fatalf("%s.%s: List(%q) = %v, want %v", tab.Name, ix.Name, k, got, want)
				}
			}
		}
	}
}

// TestHistories applies random histories and compares every state with a plain map's, the old states too.
func TestHistories(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			s, n := Empty(), naive{}
			var oldS *Snapshot
			var oldN naive
			for step := range 30 {
				var cs []model.Change
				for range r.IntN(12) {
					tab, o := randomObject(r)
					c := model.Change{Table: tab, New: o}
					if r.IntN(3) == 0 {
						c = model.Change{Table: tab, Old: o}
					}
					cs = append(cs, c)
					n.apply(c)
				}
				s = s.Apply(int64(step+1), cs)
				if s.Revision() != int64(step+1) {
					t.Fatalf("revision %d, want %d", s.Revision(), step+1)
				}
				if step == 10 {
					oldS, oldN = s, naive{}
					for tab, m := range n {
						for _, o := range m {
							oldN.apply(model.Change{Table: tab, New: o})
						}
					}
				}
				if step%5 == 0 {
					check(t, s, n)
				}
			}
			check(t, s, n)
			check(t, oldS, oldN)
		})
	}
}

func TestVersions(t *testing.T) {
	a := &model.Network{Meta: model.Meta{ID: "a"}}
	b := &model.Network{Meta: model.Meta{ID: "b"}}
	s := Empty().ApplyVersions(9, []model.Change{{Table: model.Networks, New: a}, {Table: model.Networks, New: b}}, []int64{7, 8})
	for id, want := range map[string]int64{"a": 7, "b": 8, "c": 0} {
		if got := s.Version(model.Networks, id); got != want {
			t.Errorf("Version(%s) = %d, want %d", id, got, want)
		}
	}
	if s = s.Apply(12, []model.Change{{Table: model.Networks, New: a}}); s.Version(model.Networks, "a") != 12 {
		t.Errorf("Version after Apply = %d, want 12", s.Version(model.Networks, "a"))
	}
}

// TestKeysCost proves that Keys follows the distinct keys: 2 keys of 20,000 objects cost few allocations.
func TestKeysCost(t *testing.T) {
	s := ports(20000)
	if n := testing.AllocsPerRun(5, func() { s.Keys(model.PortsByNetwork, "") }); n > 200 {
		t.Errorf("Keys over 2 distinct keys makes %v allocations", n)
	}
}

func ports(n int) *Snapshot {
	cs := make([]model.Change, n)
	for i := range cs {
		cs[i] = model.Change{Table: model.Ports, New: port(i)}
	}
	return Empty().Apply(1, cs)
}

func portID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761, i) }

func port(i int) *model.Port {
	return &model.Port{Meta: model.Meta{ID: portID(i), Key: uint32(i + 1)}, NetworkID: model.NetworkID(fmt.Sprintf("net%d", i%2)),
		MAC:      model.MAC{0xfa, 0x16, 0x3e, byte(i >> 16), byte(i >> 8), byte(i)},
		FixedIPs: []model.FixedIP{{SubnetID: "sub", Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}}}
}

func BenchmarkGet(b *testing.B) {
	s := ports(10000)
	id := portID(777)
	b.ReportAllocs()
	for b.Loop() {
		if s.Get(model.Ports, id) == nil {
			b.Fatal("not there")
		}
	}
}

func BenchmarkListByAddress(b *testing.B) {
	s := ports(10000)
	v := model.NewView(s)
	a := netip.AddrFrom4([4]byte{10, 0, 3, 9})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.PortByAddress("net1", a); !ok {
			b.Fatal("not there")
		}
	}
}

func BenchmarkListNetwork5000(b *testing.B) {
	s := ports(10000)
	b.ReportAllocs()
	for b.Loop() {
		if len(s.List(model.PortsByNetwork, "net1")) != 5000 {
			b.Fatal("not all there")
		}
	}
}

func BenchmarkApplyOne(b *testing.B) {
	s := ports(10000)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		s.Apply(int64(i), []model.Change{{Table: model.Ports, New: port(i % 10000)}})
	}
}
