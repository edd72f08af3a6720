package snapshot

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/penstock/penstock/model"
)

// schema says where in a Snapshot the tables and indexes of model stand.
type schema struct {
	order   []*model.Table
	tables  map[*model.Table]int
	indexes map[*model.Index]int // within its table
}

func newSchema() *schema {
	s := &schema{order: model.Tables(), tables: map[*model.Table]int{}, indexes: map[*model.Index]int{}}
	for i, t := range s.order {
		s.tables[t] = i
		for j, ix := range t.Indexes {
			s.indexes[ix] = j
		}
	}
	return s
}

// place panics for a table that model.Tables does not list, which every test finds.
func (s *schema) place(t *model.Table) int {
	i, ok := s.tables[t]
	if !ok {
		panic("snapshot: table " + t.Name + " is not in model.Tables")
	}
	return i
}

// row is what a table holds: the object and the store's revision that wrote it last.
type row struct {
	obj model.Object
	rev int64
}

// entry is a row under one key of an index. One without a row stands before all of its key.
type entry struct {
	key string
	row *row
}

// tree holds an index: entries by key, then by id.
type tree = btree.BTreeG[entry]

func before(a, b entry) bool {
	switch {
	case a.key != b.key:
		return a.key < b.key
	case a.row == nil || b.row == nil:
		return a.row == nil && b.row != nil
	}
	return a.row.obj.ObjectID() < b.row.obj.ObjectID()
}

// degree makes nodes of at most 31 entries: a change copies a node of each level.
const degree = 16

// table is the rows of one table by id, and its indexes. It changes only while its Snapshot is made.
type table struct {
	of      *model.Table
	rows    *btree.Map[string, *row]
	indexes []*tree
}

func newTable(of *model.Table) *table {
	t := &table{of: of, rows: btree.NewMap[string, *row](degree)}
	for range of.Indexes {
		t.indexes = append(t.indexes, btree.NewBTreeGOptions(before, btree.Options{Degree: degree, NoLocks: true}))
	}
	return t
}

// fork gives a table that can be changed while t stays as it is. The nodes are shared until they change.
func (t *table) fork() *table {
	n := &table{t.of, t.rows.Copy(), slices.Clone(t.indexes)}
	for i, ix := range n.indexes {
		n.indexes[i] = ix.Copy()
	}
	return n
}

func (t *table) put(r *row) {
	old, replaced := t.rows.Set(r.obj.ObjectID(), r)
	for i, ix := range t.of.Indexes {
		keys := ix.Keys(r.obj)
		if replaced {
			for _, k := range ix.Keys(old.obj) {
				if !slices.Contains(keys, k) {
					t.indexes[i].Delete(entry{k, old})
				}
			}
		}
		for _, k := range keys {
			// Where others stand under the key, its string is shared.
			if e, ok := first(t.indexes[i], k); ok && e.key == k {
				k = e.key
			}
			t.indexes[i].Set(entry{k, r})
		}
	}
}

func (t *table) remove(id string) {
	old, ok := t.rows.Delete(id)
	if !ok {
		return
	}
	for i, ix := range t.of.Indexes {
		for _, k := range ix.Keys(old.obj) {
			t.indexes[i].Delete(entry{k, old})
		}
	}
}

// first finds the first entry of a key or behind it.
func first(t *tree, key string) (e entry, ok bool) {
	t.Ascend(entry{key: key}, func(x entry) bool {
		e, ok = x, true
		return false
	})
	return e, ok
}
