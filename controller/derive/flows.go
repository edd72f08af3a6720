package derive

import (
	"hash/maphash"
	"iter"
	"slices"

	"github.com/penstock/penstock/pipeline"
)

// flow is one desired flow with the unit that made it. It never changes, so that sets of them share it.
type flow struct {
	pipeline.Flow
	u *unit // nil outside the engine
	// bridge is the number of the bridge's name in Engine.names.
	bridge uint16
}

// Flows is a set of flows by key. What it holds is shared between sets and never changes; the set itself is its
// owner's. It is a table of pointers with linear probing: a bridge has some 40 flows a port, and a map of them by value
// took five times as much.
type Flows struct {
	seed  maphash.Seed
	slots []*flow // a power of two, at most 3/4 full
	n     int
}

// NewFlows makes a set.
func NewFlows(flows ...pipeline.Flow) *Flows {
	s := newFlows()
	for _, f := range flows {
		s.put(&flow{Flow: f})
	}
	return &s
}

func newFlows() Flows { return Flows{seed: maphash.MakeSeed()} }

// Len is the number of flows.
func (s *Flows) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// Get finds the flow of a key.
func (s *Flows) Get(k pipeline.Key) (pipeline.Flow, bool) {
	if f := s.get(&k); f != nil {
		return f.Flow, true
	}
	return pipeline.Flow{}, false
}

// All iterates over the flows, in no order. The set must not change meanwhile.
func (s *Flows) All() iter.Seq2[pipeline.Key, pipeline.Flow] {
	return func(yield func(pipeline.Key, pipeline.Flow) bool) {
		if s == nil {
			return
		}
		for _, f := range s.slots {
			if f != nil && !yield(f.Key, f.Flow) {
				return
			}
		}
	}
}

// Delete takes the flow of a key out.
func (s *Flows) Delete(k pipeline.Key) { s.remove(&k) }

// Put adds a flow of these wire bytes, which the caller may use again. Where known, which may be nil, holds the same
// flow, that is shared.
func (s *Flows) Put(table uint8, priority uint16, match, actions []byte, cookie pipeline.Cookie, known *Flows) {
	if known != nil && known.n > 0 {
		for i := known.hash(table, priority, maphash.Bytes(known.seed, match)); ; i++ {
			f := known.slots[i&(len(known.slots)-1)]
			if f == nil {
				break
			}
			if f.Table == table && f.Priority == priority && f.Match == string(match) {
				if f.Actions == string(actions) && f.Cookie == cookie {
					s.put(f)
					return
				}
				break
			}
		}
	}
	s.put(&flow{Flow: pipeline.Flow{Key: pipeline.Key{Table: table, Priority: priority, Match: string(match)}, Actions: string(actions), Cookie: cookie}})
}

// clone copies the set.
func (s *Flows) clone() *Flows { return &Flows{s.seed, slices.Clone(s.slots), s.n} }

// hash is where a key's probing starts.
func (s *Flows) hash(table uint8, priority uint16, match uint64) int {
	return int((match ^ (uint64(table)<<16|uint64(priority))*0x9e3779b97f4a7c15) >> 3 & uint64(len(s.slots)-1))
}

func (s *Flows) start(k *pipeline.Key) int {
	return s.hash(k.Table, k.Priority, maphash.String(s.seed, k.Match))
}

// slot is where a key stands, or where it would.
func (s *Flows) slot(k *pipeline.Key) int {
	i := s.start(k)
	for s.slots[i] != nil && s.slots[i].Key != *k {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i
}

func (s *Flows) get(k *pipeline.Key) *flow {
	if s == nil || s.n == 0 {
		return nil
	}
	return s.slots[s.slot(k)]
}

// put adds a flow or replaces the one of its key.
func (s *Flows) put(f *flow) {
	if 4*(s.n+1) > 3*len(s.slots) {
		s.resize(max(8, 2*len(s.slots)))
	}
	i := s.slot(&f.Key)
	if s.slots[i] == nil {
		s.n++
	}
	s.slots[i] = f
}

func (s *Flows) resize(size int) {
	old := s.slots
	s.slots = make([]*flow, size)
	for _, f := range old {
		if f != nil {
			s.slots[s.slot(&f.Key)] = f
		}
	}
}

func (s *Flows) remove(k *pipeline.Key) {
	if s.get(k) == nil {
		return
	}
	mask := len(s.slots) - 1
	hole := s.slot(k)
	// What probed past the hole moves up, so that no search ends there too early.
	for i := (hole + 1) & mask; s.slots[i] != nil; i = (i + 1) & mask {
		if (i-s.start(&s.slots[i].Key))&mask >= (i-hole)&mask {
			s.slots[hole], hole = s.slots[i], i
		}
	}
	s.slots[hole] = nil
	s.n--
	if len(s.slots) > 64 && 8*s.n < len(s.slots) {
		s.resize(len(s.slots) / 4)
	}
}

// flowClaims is claims for flows, which are by far the most of what is claimed.
type flowClaims struct {
	won  Flows
	lost map[pipeline.Key][]*flow // further claims, rare
	// before holds, of each key touched since the last take, the flow that stood then, nil for none; it is nil itself
	// while nobody will take.
	before map[pipeline.Key]*flow
}

func newFlowClaims() flowClaims { return flowClaims{won: newFlows(), before: map[pipeline.Key]*flow{}} }

func (c *flowClaims) touch(k *pipeline.Key) {
	if c.before == nil {
		return
	}
	if _, ok := c.before[*k]; !ok {
		c.before[*k] = c.won.get(k)
	}
}

// add claims a flow's key for its unit; it reports whether another unit claims it too.
func (c *flowClaims) add(f *flow) (conflict bool) {
	c.touch(&f.Key)
	w := c.won.get(&f.Key)
	if w == nil {
		c.won.put(f)
		return false
	}
	if c.lost == nil {
		c.lost = map[pipeline.Key][]*flow{}
	}
	loser := f
	if less(f.u, w.u) {
		c.won.put(f)
		loser = w
	}
	c.lost[f.Key] = append(c.lost[f.Key], loser)
	return true
}

// remove withdraws one claim of a flow's unit.
func (c *flowClaims) remove(f *flow) {
	c.touch(&f.Key)
	lost := c.lost[f.Key]
	if w := c.won.get(&f.Key); w == nil || w.u != f.u {
		if i := slices.IndexFunc(lost, func(l *flow) bool { return l.u == f.u }); i >= 0 {
			c.setLost(f.Key, slices.Delete(lost, i, i+1))
		}
		return
	}
	if len(lost) == 0 {
		c.won.remove(&f.Key)
		return
	}
	least := 0
	for i := range lost {
		if less(lost[i].u, lost[least].u) {
			least = i
		}
	}
	c.won.put(lost[least])
	c.setLost(f.Key, slices.Delete(lost, least, least+1))
}

// swap puts a flow in the place of an equal one of its unit: nothing changes but where it is kept.
func (c *flowClaims) swap(was, now *flow) {
	if c.won.n > 0 {
		if i := c.won.slot(&was.Key); c.won.slots[i] == was {
			c.won.slots[i] = now
			return
		}
	}
	if l := c.lost[was.Key]; len(l) > 0 {
		if i := slices.Index(l, was); i >= 0 {
			l[i] = now
			return
		}
	}
	c.remove(was)
	c.add(now)
}

func (c *flowClaims) setLost(k pipeline.Key, l []*flow) {
	if len(l) == 0 {
		delete(c.lost, k)
		return
	}
	c.lost[k] = l
}

// quiet says that nobody takes what changes until the next take, which reports nothing.
func (c *flowClaims) quiet() { c.before = nil }

// take reports the flows that changed since the last take, and whether any was there before.
func (c *flowClaims) take(set, del func(*flow)) (replaced bool) {
	for k, was := range c.before {
		is := c.won.get(&k)
		switch {
		case is != nil && (was == nil || was.Flow != is.Flow):
			set(is)
			replaced = replaced || was != nil
		case is == nil && was != nil:
			del(was)
			replaced = true
		}
	}
	if c.before == nil || len(c.before) > 1000 { // a map never shrinks, and clearing it costs what it once held
		c.before = map[pipeline.Key]*flow{}
		return replaced
	}
	clear(c.before)
	return replaced
}
