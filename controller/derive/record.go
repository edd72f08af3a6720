package derive

import (
	"strings"

	"github.com/penstock/penstock/model"
)

// space is what reads of one kind are filed under: rows of a table, keys of an index, or prefixes of its keys.
type space struct {
	table  *model.Table
	index  *model.Index
	prefix bool
}

// node is one thing that units read: a row (by id), a key of an index, or which keys an index has below a prefix.
type node struct {
	in      *nodes
	key     string
	readers []*unit
	// at is where readers stand, once they are many.
	at map[*unit]int32
	// seen and had are the runs that read it last and whose unit had read it before: sets without a map.
	seen, had uint64
}

// nodes are the things of one space that are read.
type nodes struct {
	space
	of map[string]*node
}

// any reports whether anything of the space is read.
func (ns *nodes) any() bool { return ns != nil && len(ns.of) > 0 }

// many is the number of readers from which a node knows where they stand.
const many = 32

func (n *node) add(u *unit) {
	if n.at != nil {
		n.at[u] = int32(len(n.readers))
	}
	n.readers = append(n.readers, u)
	if n.at == nil && len(n.readers) > many {
		n.at = make(map[*unit]int32, len(n.readers))
		for i, r := range n.readers {
			n.at[r] = int32(i)
		}
	}
}

// remove takes a reader away; with the last one the node goes.
func (n *node) remove(u *unit) {
	i := -1
	if n.at != nil {
		i = int(n.at[u])
		delete(n.at, u)
	} else {
		for j, r := range n.readers {
			if r == u {
				i = j
			}
		}
	}
	last := len(n.readers) - 1
	if i != last {
		n.readers[i] = n.readers[last]
		if n.at != nil {
			n.at[n.readers[i]] = int32(i)
		}
	}
	n.readers[last] = nil
	if n.readers = n.readers[:last]; last == 0 {
		delete(n.in.of, n.key)
	}
}

// recorder is a Source that notes what is read through it, also in vain.
type recorder struct {
	model.Source
	e    *Engine
	run  uint64
	read []*node
}

func (r *recorder) note(s space, key string) {
	in := r.e.reads[s]
	if in == nil {
		in = &nodes{s, map[string]*node{}}
		r.e.reads[s] = in
	}
	n := in.of[key]
	if n == nil {
		n = &node{in: in, key: key}
		in.of[key] = n
	}
	if n.seen != r.run {
		n.seen = r.run
		r.read = append(r.read, n)
	}
}

func (r *recorder) Get(t *model.Table, id string) model.Object {
	r.note(space{table: t}, id)
	return r.Source.Get(t, id)
}

func (r *recorder) List(ix *model.Index, key string) []model.Object {
	r.note(space{index: ix}, key)
	return r.Source.List(ix, key)
}

func (r *recorder) Keys(ix *model.Index, prefix string) []string {
	r.note(space{index: ix, prefix: true}, prefix)
	return r.Source.Keys(ix, prefix)
}

// keyChange is an index key that an object is found under before or after a change.
type keyChange struct {
	index    *model.Index
	key      string
	old, new model.Object // nil: not found under the key on that side
}

// keyChanges lists the index keys a change touches.
func keyChanges(c model.Change, out []keyChange) []keyChange {
	for _, ix := range c.Table.Indexes {
		from := len(out)
		if c.Old != nil {
			for _, k := range ix.Keys(c.Old) {
				out = append(out, keyChange{ix, k, c.Old, nil})
			}
		}
		if c.New == nil {
			continue
		}
	next:
		for _, k := range ix.Keys(c.New) {
			for i := from; i < len(out); i++ {
				if out[i].key == k {
					out[i].new = c.New
					continue next
				}
			}
			out = append(out, keyChange{ix, k, nil, c.New})
		}
	}
	return out
}

// has reports whether any object is found under a key.
func has(s model.Source, ix *model.Index, key string) bool {
	keys := s.Keys(ix, key)
	return len(keys) > 0 && keys[0] == key
}

// prefixes calls f for every prefix of a key at a "/", the key itself and the empty prefix included.
func prefixes(key string, f func(string)) {
	f("")
	for i := 0; ; {
		j := strings.IndexByte(key[i:], '/')
		if j < 0 {
			break
		}
		f(key[:i+j])
		i += j + 1
	}
	f(key)
}
