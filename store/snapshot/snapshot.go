package snapshot

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/penstock/penstock/model"
)

// Snapshot is the state of every table at one revision. It never changes; all methods are safe for
// concurrent use. Objects it gives are shared and must not be modified.
type Snapshot struct {
	rev int64
	db  *memdb.MemDB
	// txn is a read transaction of db. go-memdb's read transactions only load from immutable trees, so one
	// serves every reader.
	txn  *memdb.Txn
	lens map[*model.Table]int
}

var _ model.Source = (*Snapshot)(nil)

// Empty gives a state without objects at revision 0.
func Empty() *Snapshot {
	db := newDB()
	return &Snapshot{db: db, txn: db.Txn(false), lens: map[*model.Table]int{}}
}

// Apply gives the state after the changes, at revision rev; s stays as it is. A change with New inserts or
// replaces, one without deletes; deleting what is not there does nothing. Old is used only for its id.
func (s *Snapshot) Apply(rev int64, changes []model.Change) *Snapshot {
	return s.ApplyVersions(rev, changes, nil)
}

// ApplyVersions is Apply where versions[i] is the revision that wrote changes[i], given back by Version.
// Without versions it is rev.
func (s *Snapshot) ApplyVersions(rev int64, changes []model.Change, versions []int64) *Snapshot {
	if len(changes) == 0 {
		next := *s
		next.rev = rev
		return &next
	}
	db := s.db.Snapshot()
	w := db.Txn(true)
	lens := maps.Clone(s.lens)
	for i, c := range changes {
		name := c.Table.Name
		old, err := w.First(name, idIndex, c.ID())
		switch {
		case err != nil:
		case c.New != nil:
			r := &row{obj: c.New, rev: rev}
			if versions != nil {
				r.rev = versions[i]
			}
			if err = w.Insert(name, r); old == nil {
				lens[c.Table]++
			}
		case old != nil:
			err = w.Delete(name, old)
			lens[c.Table]--
		}
		if err != nil { // only for a table that model.Tables does not list
			panic("snapshot: apply to table " + name + ": " + err.Error())
		}
	}
	w.Commit()
	return &Snapshot{rev: rev, db: db, txn: db.Txn(false), lens: lens}
}

// Revision implements model.Source.
func (s *Snapshot) Revision() int64 { return s.rev }

func (s *Snapshot) row(t *model.Table, id string) *row {
	raw, err := s.txn.First(t.Name, idIndex, id)
	if err != nil {
		panic("snapshot: get from table " + t.Name + ": " + err.Error())
	}
	r, _ := raw.(*row)
	return r
}

// Get implements model.Source.
func (s *Snapshot) Get(t *model.Table, id string) model.Object {
	if r := s.row(t, id); r != nil {
		return r.obj
	}
	return nil
}

// Version is the revision that last wrote an object, 0 if it is not there.
func (s *Snapshot) Version(t *model.Table, id string) int64 {
	if r := s.row(t, id); r != nil {
		return r.rev
	}
	return 0
}

// Len is the number of objects in a table.
func (s *Snapshot) Len(t *model.Table) int { return s.lens[t] }

// rows iterates over an index from the entries that begin with an encoded key; all of them for nil.
func (s *Snapshot) rows(t *model.Table, index string, prefix []byte) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		it, err := s.txn.Get(t.Name, index, prefix)
		if err != nil {
			panic("snapshot: list table " + t.Name + ": " + err.Error())
		}
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*row)) {
				return
			}
		}
	}
}

// Each iterates over a table, sorted by id.
func (s *Snapshot) Each(t *model.Table) iter.Seq[model.Object] {
	return func(yield func(model.Object) bool) {
		for r := range s.rows(t, idIndex, nil) {
			if !yield(r.obj) {
				return
			}
		}
	}
}

// From iterates over a table from the first id that is at or behind a given one, sorted by id: a page's start.
func (s *Snapshot) From(t *model.Table, id string) iter.Seq[model.Object] {
	return func(yield func(model.Object) bool) {
		it, err := s.txn.LowerBound(t.Name, idIndex, encode(id))
		if err != nil {
			panic("snapshot: list table " + t.Name + ": " + err.Error())
		}
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*row).obj) {
				return
			}
		}
	}
}

// EachVersion iterates over a table, sorted by id, with the revision that last wrote each object.
func (s *Snapshot) EachVersion(t *model.Table) iter.Seq2[model.Object, int64] {
	return func(yield func(model.Object, int64) bool) {
		for r := range s.rows(t, idIndex, nil) {
			if !yield(r.obj, r.rev) {
				return
			}
		}
	}
}

// EachOf iterates over the objects found under a key of an index, sorted by id.
func (s *Snapshot) EachOf(ix *model.Index, key string) iter.Seq[model.Object] {
	return func(yield func(model.Object) bool) {
		for r := range s.rows(ix.Table, ix.Name, encode(key)) {
			if !yield(r.obj) {
				return
			}
		}
	}
}

// All lists a table, sorted by id. The slice is the caller's.
func (s *Snapshot) All(t *model.Table) []model.Object {
	return slices.AppendSeq(make([]model.Object, 0, s.Len(t)), s.Each(t))
}

// List implements model.Source.
func (s *Snapshot) List(ix *model.Index, key string) []model.Object {
	return slices.Collect(s.EachOf(ix, key))
}

// Keys implements model.Source. Its cost follows the number of distinct keys, not of objects: behind each
// key it seeks past all of the key's entries.
func (s *Snapshot) Keys(ix *model.Index, prefix string) []string {
	var keys []string
	var begin []byte
	if prefix != "" {
		if raw, _ := s.txn.First(ix.Table.Name, ix.Name, prefix); raw != nil {
			keys = append(keys, prefix)
		}
		// Keys such as "a-b" stand between "a" and "a/b": start again behind them.
		begin = append(appendKey(nil, prefix), '/')
	}
	bound := begin
	for {
		it, err := s.txn.LowerBound(ix.Table.Name, ix.Name, bound)
		if err != nil {
			panic("snapshot: keys of " + ix.Table.Name + "." + ix.Name + ": " + err.Error())
		}
		raw := it.Next()
		if raw == nil {
			return keys
		}
		// The entry found is the first behind bound, hence the least such key of its object.
		key, enc := smallestFrom(ix, raw.(*row).obj, bound)
		if !bytes.HasPrefix(enc, begin) {
			return keys
		}
		keys = append(keys, key)
		enc[len(enc)-1] = end + 1
		bound = enc
	}
}
