package derive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/penstock/penstock/pipeline"
)

// TestFlows compares the set with a map over random histories, through growth and shrinkage.
func TestFlows(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		s, want := NewFlows(), map[pipeline.Key]pipeline.Flow{}
		keys := 1 + r.IntN(3000)
		for step := range 20_000 {
			f := pipeline.Flow{Key: pipeline.Key{Table: uint8(r.IntN(3)), Priority: uint16(r.IntN(2)), Match: fmt.Sprint(r.IntN(keys))}, Cookie: pipeline.Cookie(step)}
			if grow := step/5000%2 == 0; r.IntN(10) < 3 == grow {
				s.Delete(f.Key)
				delete(want, f.Key)
			} else {
				s.put(&flow{Flow: f})
				want[f.Key] = f
			}
			got, ok := s.Get(f.Key)
			if is, has := want[f.Key]; ok != has || got != is {
				t.Fatalf("seed %d step %d: Get(%v) = %v, %v", seed, step, f.Key, got, ok)
			}
		}
		if got := maps.Collect(s.All()); !maps.Equal(got, want) || s.Len() != len(want) {
			t.Fatalf("seed %d: %d flows, Len %d, want %d", seed, len(got), s.Len(), len(want))
		}
		c := s.clone()
		for k := range want {
			c.Delete(k)
		}
		if c.Len() != 0 || s.Len() != len(want) {
			t.Fatalf("seed %d: %d flows after all were deleted from a copy of %d", seed, c.Len(), s.Len())
		}
	}
}

// TestPut reads a set back into another, which shares what is the same.
func TestPut(t *testing.T) {
	f := pipeline.Flow{Key: pipeline.Key{Table: 1, Priority: 2, Match: "match"}, Actions: "actions", Cookie: 3}
	known := NewFlows(f)
	for _, x := range []struct {
		name    string
		actions string
		known   *Flows
		shared  bool
	}{{"same", "actions", known, true}, {"other actions", "action", known, false}, {"nothing known", "actions", nil, false}, {"empty", "actions", NewFlows(), false}} {
		s := NewFlows()
		s.Put(1, 2, []byte("match"), []byte(x.actions), 3, x.known)
		g := s.get(&f.Key)
		if g == nil || g.Actions != x.actions || g.Cookie != 3 {
			t.Fatalf("%s: got %v", x.name, g)
		}
		if shared := g == known.get(&f.Key); shared != x.shared {
			t.Errorf("%s: shared is %v", x.name, shared)
		}
	}
}
