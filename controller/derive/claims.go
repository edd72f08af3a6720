package derive

// claims holds what units want of one kind of thing on one bridge (groups, meters, zones): a value per key.
// When two units claim one key the lower unit's value stands, whatever came first.
type claims[K, V comparable] struct {
	won  map[K]claim[V]
	lost map[K][]claim[V] // further claims, rare
	// before holds, of each key touched since the last take, the value that stood then; nil while nobody will take.
	before map[K]standing[V]
}

type claim[V comparable] struct {
	v V
	u *unit
}

type standing[V comparable] struct {
	v  V
	ok bool
}

func newClaims[K, V comparable]() claims[K, V] {
	return claims[K, V]{won: map[K]claim[V]{}, before: map[K]standing[V]{}}
}

func (c *claims[K, V]) touch(k K) {
	if c.before == nil {
		return
	}
	if _, ok := c.before[k]; !ok {
		w, ok := c.won[k]
		c.before[k] = standing[V]{w.v, ok}
	}
}

// add claims k for a unit; it reports whether another unit claims it too.
func (c *claims[K, V]) add(k K, v V, u *unit) (conflict bool) {
	c.touch(k)
	w, ok := c.won[k]
	if !ok {
		c.won[k] = claim[V]{v, u}
		return false
	}
	if c.lost == nil {
		c.lost = map[K][]claim[V]{}
	}
	n := claim[V]{v, u}
	if less(u, w.u) {
		c.won[k], n = n, w
	}
	c.lost[k] = append(c.lost[k], n)
	return true
}

// remove withdraws one claim of a unit.
func (c *claims[K, V]) remove(k K, u *unit) {
	c.touch(k)
	lost := c.lost[k]
	if c.won[k].u != u {
		for i := range lost {
			if lost[i].u == u {
				c.setLost(k, append(lost[:i], lost[i+1:]...))
				return
			}
		}
		return
	}
	if len(lost) == 0 {
		delete(c.won, k)
		return
	}
	min := 0
	for i := range lost {
		if less(lost[i].u, lost[min].u) {
			min = i
		}
	}
	c.won[k] = lost[min]
	c.setLost(k, append(lost[:min], lost[min+1:]...))
}

func (c *claims[K, V]) setLost(k K, l []claim[V]) {
	if len(l) == 0 {
		delete(c.lost, k)
		return
	}
	c.lost[k] = l
}

// quiet says that nobody takes what changes until the next take, which reports nothing.
func (c *claims[K, V]) quiet() { c.before = nil }

// take reports the keys whose standing value changed since the last take.
func (c *claims[K, V]) take(set func(K, V), del func(K, V)) {
	for k, b := range c.before {
		w, ok := c.won[k]
		switch {
		case ok && (!b.ok || b.v != w.v):
			set(k, w.v)
		case !ok && b.ok:
			del(k, b.v)
		}
	}
	if c.before == nil || len(c.before) > 1000 { // a map never shrinks, and clearing it costs what it once held
		c.before = map[K]standing[V]{}
		return
	}
	clear(c.before)
}
