package store

import (
	"context"
	"fmt"
	"math/rand/v2"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// Tx is one attempt of a transaction: what it read and what it is to write. Only the function that Update
// runs may use it, from one goroutine. Nothing happens before that function returns nil.
type Tx struct {
	ctx     context.Context
	s       *Store
	attempt int
	base    *snapshot.Snapshot

	writes  map[string]*write // by key
	order   []*write
	reads   map[string]int64 // object key -> mod revision it must still have
	exist   map[string]bool  // object keys that must exist (true) or must not (false)
	guards  map[string]bool  // guard key -> touched (true), or only compared
	compare map[string]bool  // guard keys that nobody may have touched since base
	res     map[string]*resOp
	keys    []uint32

	over  *snapshot.Snapshot // base with the first applied of order
	dirty []model.Change     // writes that over does not have

	settled chan struct{}    // closed when the attempt is over
	busy    map[*Tx]struct{} // transactions whose outcome may change what this one was told
	err     error
}

// write is the last of a transaction's writes of one object.
type write struct {
	key      string
	table    *model.Table
	id       string
	old, new model.Object
	version  int64 // of old in base
}

// resOp is what a transaction does to one uniq or num key.
type resOp struct {
	space, value string
	n            uint32
	num          bool
	had          int64 // mod revision of what was there, 0 if nothing
	owner        string
	put          bool
}

func newTx(ctx context.Context, s *Store, attempt int) *Tx {
	return &Tx{ctx: ctx, s: s, attempt: attempt, base: s.Snapshot(), writes: map[string]*write{}, reads: map[string]int64{},
		exist: map[string]bool{}, guards: map[string]bool{}, compare: map[string]bool{}, res: map[string]*resOp{},
		settled: make(chan struct{}), busy: map[*Tx]struct{}{}}
}

// Context is the context that Update was given.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Snapshot is the state that the transaction started from with its own writes on top. What is read from it is
// not guarded: another transaction may change it before this one is done.
func (tx *Tx) Snapshot() *snapshot.Snapshot {
	if tx.over == nil {
		tx.over = tx.base
	}
	if len(tx.dirty) > 0 {
		tx.over = tx.over.Apply(tx.base.Revision(), tx.dirty)
		tx.dirty = nil
	}
	return tx.over
}

// View is Snapshot, typed.
func (tx *Tx) View() model.View { return model.NewView(tx.Snapshot()) }

// Get gives an object, nil if there is none, with the transaction's own writes. The transaction is run again
// if the object is changed, made or deleted by another before it is done.
func (tx *Tx) Get(t *model.Table, id string) model.Object {
	key := objectKey(t, id)
	if w := tx.writes[key]; w != nil {
		return w.new
	}
	tx.reads[key] = tx.base.Version(t, id)
	return tx.base.Get(t, id)
}

// Get is Tx.Get, typed.
func Get[T model.Object](tx *Tx, t *model.Table, id string) (T, bool) {
	o, ok := tx.Get(t, id).(T)
	return o, ok
}

// Exists reports whether an object is there, and has the transaction run again if that ceases to be true; a
// change of the object does not matter. It is how a child holds on to its parent.
func (tx *Tx) Exists(t *model.Table, id string) bool {
	key := objectKey(t, id)
	if w := tx.writes[key]; w != nil {
		return w.new != nil
	}
	there := tx.base.Version(t, id) != 0
	tx.exist[key] = there
	return there
}

// Put writes an object, new or changed. The object must not be modified afterwards. The transaction is run
// again if another writes the same object first.
func (tx *Tx) Put(t *model.Table, o model.Object) {
	id := o.ObjectID()
	if err := checkName("id of "+t.Name, id); err != nil {
		tx.fail(err)
		return
	}
	tx.write(t, id, o)
}

// Delete deletes an object; one that is not there stays so.
func (tx *Tx) Delete(t *model.Table, id string) { tx.write(t, id, nil) }

func (tx *Tx) write(t *model.Table, id string, o model.Object) {
	key := objectKey(t, id)
	w := tx.writes[key]
	if w == nil {
		w = &write{key: key, table: t, id: id, old: tx.base.Get(t, id), version: tx.base.Version(t, id)}
		tx.writes[key] = w
		tx.order = append(tx.order, w)
	}
	was := w.new
	if was == nil {
		was = w.old
	}
	w.new = o
	if o != nil || was != nil {
		tx.dirty = append(tx.dirty, model.Change{Table: t, Old: was, New: o})
	}
}

// fail makes Update fail with err, whatever the function returns.
func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// state says what a uniq or num key is for this transaction; the reservations' lock is held.
func (tx *Tx) state(key string, mirrored bool) (taken bool) {
	if op := tx.res[key]; op != nil {
		return op.put
	}
	if mirrored {
		return true
	}
	if other := tx.s.res.byTx[key]; other != nil && other != tx {
		tx.busy[other] = struct{}{}
		return true
	}
	return false
}

// take notes that the transaction creates a uniq or num key.
func (tx *Tx) take(key string, op resOp) {
	if old := tx.res[key]; old != nil {
		op.had = old.had
	} else {
		tx.s.res.byTx[key] = tx
	}
	op.put = true
	tx.res[key] = &op
}

// Reserved gives who has a value of a space. A value that another transaction of this process is about to
// take counts as taken, by ""; if that makes this one fail, it is run again once the other is done. It is not
// a guarded read: Reserve is.
func (tx *Tx) Reserved(space, value string) (owner string, ok bool) {
	r := tx.s.res
	key := uniqKey(space, value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if op := tx.res[key]; op != nil {
		return op.owner, op.put
	}
	e, mirrored := r.uniq[space][value]
	return e.owner, tx.state(key, mirrored)
}

// Reserve takes a value of a space for an owner, at most once among all transactions of all members. The
// error is *ErrTaken if it is taken; otherwise names that are too long.
func (tx *Tx) Reserve(space, value, owner string) error {
	if err := checkName("a value of "+space, value); err != nil {
		return err
	}
	r := tx.s.res
	key := uniqKey(space, value)
	r.mu.Lock()
	defer r.mu.Unlock()
	e, mirrored := r.uniq[space][value]
	if tx.state(key, mirrored) {
		if op := tx.res[key]; op != nil {
			e.owner = op.owner
		}
		return &ErrTaken{space, value, e.owner}
	}
	tx.take(key, resOp{space: space, value: value, owner: owner})
	return nil
}

// Release gives a value back; one that is not taken stays so.
func (tx *Tx) Release(space, value string) {
	r := tx.s.res
	key := uniqKey(space, value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.uniq[space][value]; ok || tx.res[key] != nil {
		tx.drop(key, resOp{space: space, value: value, had: e.rev})
	}
}

func (tx *Tx) drop(key string, op resOp) {
	if old := tx.res[key]; old != nil {
		op.had = old.had
	}
	tx.res[key] = &op
}

// AllocNumber takes the smallest free number of a space from lo to hi, both included; under contention of
// several members another small one. The error is *ErrExhausted.
func (tx *Tx) AllocNumber(space string, lo, hi uint32) (uint32, error) {
	r := tx.s.res
	r.mu.Lock()
	defer r.mu.Unlock()
	// After a collision with another member, both would try the same number again: spread.
	skip := 0
	if tx.attempt > 1 {
		skip = rand.IntN(16 * tx.attempt)
	}
	var first uint32
	found := false
	// Numbers that this transaction frees are free again for itself.
	for key, op := range tx.res {
		if op.num && op.space == space && !op.put && op.had != 0 && op.n >= lo && op.n <= hi && (!found || op.n < first) && r.byTx[key] == nil {
			first, found = op.n, true
		}
	}
	for from := uint64(lo); from <= uint64(hi); {
		n, ok := r.nums[space].free(uint32(from), hi)
		if !ok {
			break
		}
		if !tx.state(numKey(space, n), false) {
			if !found || (tx.attempt > 1 && skip >= 0) || n < first {
				first, found = n, true
			}
			if skip--; skip < 0 {
				break
			}
		}
		from = uint64(n) + 1
	}
	if !found {
		return 0, &ErrExhausted{space, lo, hi}
	}
	tx.take(numKey(space, first), resOp{space: space, n: first, num: true})
	return first, nil
}

// TakeNumber takes one number of a space. The error is *ErrTaken.
func (tx *Tx) TakeNumber(space string, n uint32) error {
	r := tx.s.res
	key := numKey(space, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	mirrored := false
	if s := r.nums[space]; s != nil {
		_, mirrored = s.revs[n]
	}
	if tx.state(key, mirrored) {
		return &ErrTaken{Space: space, Value: fmt.Sprint(n)}
	}
	tx.take(key, resOp{space: space, n: n, num: true})
	return nil
}

// FreeNumber gives a number back; one that is not taken stays so.
func (tx *Tx) FreeNumber(space string, n uint32) {
	r := tx.s.res
	key := numKey(space, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	var rev int64
	if s := r.nums[space]; s != nil {
		rev = s.revs[n]
	}
	if rev != 0 || tx.res[key] != nil {
		tx.drop(key, resOp{space: space, n: n, num: true, had: rev})
	}
}

// NumberTaken reports whether a number of a space is allocated. It is not a guarded read.
func (tx *Tx) NumberTaken(space string, n uint32) bool {
	r := tx.s.res
	r.mu.Lock()
	defer r.mu.Unlock()
	mirrored := false
	if s := r.nums[space]; s != nil {
		_, mirrored = s.revs[n]
	}
	return tx.state(numKey(space, n), mirrored)
}

// NextKey gives an object key: never zero, never given before by any member. If none can be had it is zero
// and Update fails.
func (tx *Tx) NextKey() uint32 {
	k, err := tx.s.nextKey(tx.ctx)
	if err != nil {
		tx.fail(err)
		return 0
	}
	tx.keys = append(tx.keys, k)
	return k
}

// Touch marks a guard, so that transactions that Guard it and began before are run again. Touching does not
// make transactions conflict with each other. A child touches its parent's guard ("network/ID") and checks
// with Exists that the parent is there; what deletes the parent guards it, then looks for children.
func (tx *Tx) Touch(guard string) { tx.guards[guardPfx+guard] = true }

// Guard has the transaction run again if another touched the guard since the state that it reads.
func (tx *Tx) Guard(guard string) { tx.compare[guardPfx+guard] = true }

// build makes the etcd transaction, without the history's entry.
func (tx *Tx) build() (cmps []clientv3.Cmp, ops []clientv3.Op, err error) {
	for key, rev := range tx.reads {
		if tx.writes[key] == nil {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=", rev))
		}
	}
	for key, there := range tx.exist {
		if _, read := tx.reads[key]; read || tx.writes[key] != nil {
			continue
		}
		op := "="
		if there {
			op = ">"
		}
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(key), op, 0))
	}
	for key := range tx.compare {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "<", tx.base.Revision()+1))
	}
	for key := range tx.guards {
		ops = append(ops, clientv3.OpPut(key, ""))
	}
	for key, op := range tx.res {
		if op.put || op.had != 0 {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=", op.had))
		}
		switch {
		case op.put:
			ops = append(ops, clientv3.OpPut(key, op.owner))
		case op.had != 0:
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	for _, w := range tx.order {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(w.key), "=", w.version))
		switch {
		case w.new != nil:
			v, err := encode(w.new)
			if err != nil {
				return nil, nil, fmt.Errorf("store: encode %s %s: %w", w.table.Name, w.id, err)
			}
			ops = append(ops, clientv3.OpPut(w.key, string(v)))
		case w.version != 0:
			ops = append(ops, clientv3.OpDelete(w.key))
		}
	}
	return cmps, ops, nil
}
