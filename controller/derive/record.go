package derive

import (
	"strings"

	"github.com/penstock/penstock/model"
)

// dep is one thing a unit read: a row (table), a key of an index, or which keys an index has below a prefix.
type dep struct {
	table  *model.Table
	index  *model.Index
	key    string
	prefix bool
}

// recorder is a Source that notes what is read through it, also in vain.
type recorder struct {
	model.Source
	deps map[dep]struct{}
}

func (r *recorder) Get(t *model.Table, id string) model.Object {
	r.deps[dep{table: t, key: id}] = struct{}{}
	return r.Source.Get(t, id)
}

func (r *recorder) List(ix *model.Index, key string) []model.Object {
	r.deps[dep{index: ix, key: key}] = struct{}{}
	return r.Source.List(ix, key)
}

func (r *recorder) Keys(ix *model.Index, prefix string) []string {
	r.deps[dep{index: ix, key: prefix, prefix: true}] = struct{}{}
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
