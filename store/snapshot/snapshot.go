package snapshot

import (
	"iter"
	"slices"
	"sync"

	"github.com/penstock/penstock/model"
)

// Snapshot is the state of every table at one revision. It never changes; all methods are safe for
// concurrent use. Objects it gives are shared and must not be modified.
type Snapshot struct {
	rev    int64
	sch    *schema
	tables []*table // by schema.tables
	// fork is held while the trees are copied: that marks them, and two writers may start from one state.
	fork *sync.Mutex
}

var _ model.Source = (*Snapshot)(nil)

// Empty gives a state without objects at revision 0.
func Empty() *Snapshot {
	sch := newSchema()
	s := &Snapshot{sch: sch, fork: new(sync.Mutex)}
	for _, t := range sch.order {
		s.tables = append(s.tables, newTable(t))
	}
	return s
}

// Apply gives the state after the changes, at revision rev; s stays as it is. A change with New inserts or
// replaces, one without deletes; deleting what is not there does nothing. Old is used only for its id.
func (s *Snapshot) Apply(rev int64, changes []model.Change) *Snapshot {
	return s.ApplyVersions(rev, changes, nil)
}

// ApplyVersions is Apply where versions[i] is the revision that wrote changes[i], given back by Version.
// Without versions it is rev.
func (s *Snapshot) ApplyVersions(rev int64, changes []model.Change, versions []int64) *Snapshot {
	next := *s
	next.rev = rev
	if len(changes) == 0 {
		return &next
	}
	next.fork = new(sync.Mutex)
	next.tables = slices.Clone(s.tables)
	s.fork.Lock()
	for _, c := range changes {
		if i := s.sch.place(c.Table); next.tables[i] == s.tables[i] {
			next.tables[i] = s.tables[i].fork()
		}
	}
	s.fork.Unlock()
	for i, c := range changes {
		t := next.table(c.Table)
		if c.New == nil {
			t.remove(c.ID())
			continue
		}
		r := &row{obj: c.New, rev: rev}
		if versions != nil {
			r.rev = versions[i]
		}
		t.put(r)
	}
	return &next
}

// Revision implements model.Source.
func (s *Snapshot) Revision() int64 { return s.rev }

func (s *Snapshot) table(t *model.Table) *table { return s.tables[s.sch.place(t)] }

func (s *Snapshot) index(ix *model.Index) *tree {
	return s.table(ix.Table).indexes[s.sch.indexes[ix]]
}

// Get implements model.Source.
func (s *Snapshot) Get(t *model.Table, id string) model.Object {
	if r, ok := s.table(t).rows.Get(id); ok {
		return r.obj
	}
	return nil
}

// Version is the revision that last wrote an object, 0 if it is not there.
func (s *Snapshot) Version(t *model.Table, id string) int64 {
	if r, ok := s.table(t).rows.Get(id); ok {
		return r.rev
	}
	return 0
}

// Len is the number of objects in a table.
func (s *Snapshot) Len(t *model.Table) int { return s.table(t).rows.Len() }

// Each iterates over a table, sorted by id.
func (s *Snapshot) Each(t *model.Table) iter.Seq[model.Object] { return s.From(t, "") }

// From iterates over a table from the first id that is at or behind a given one, sorted by id: a page's start.
func (s *Snapshot) From(t *model.Table, id string) iter.Seq[model.Object] {
	return func(yield func(model.Object) bool) {
		s.table(t).rows.Ascend(id, func(_ string, r *row) bool { return yield(r.obj) })
	}
}

// EachVersion iterates over a table, sorted by id, with the revision that last wrote each object.
func (s *Snapshot) EachVersion(t *model.Table) iter.Seq2[model.Object, int64] {
	return func(yield func(model.Object, int64) bool) {
		s.table(t).rows.Scan(func(_ string, r *row) bool { return yield(r.obj, r.rev) })
	}
}

// EachOf iterates over the objects found under a key of an index, sorted by id.
func (s *Snapshot) EachOf(ix *model.Index, key string) iter.Seq[model.Object] {
	return func(yield func(model.Object) bool) {
		s.index(ix).Ascend(entry{key: key}, func(e entry) bool { return e.key == key && yield(e.row.obj) })
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
	t := s.index(ix)
	from, below := "", ""
	if prefix != "" {
		if e, ok := first(t, prefix); ok && e.key == prefix {
			keys = append(keys, e.key)
		}
		// Keys such as "a-b" stand between "a" and "a/b": start again behind them.
		below = prefix + "/"
		from = below
	}
	for {
		e, ok := first(t, from)
		if !ok || len(e.key) < len(below) || e.key[:len(below)] != below {
			return keys
		}
		keys = append(keys, e.key)
		from = e.key + "\x00" // the least string behind it
	}
}
