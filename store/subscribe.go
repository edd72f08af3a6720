package store

import (
	"context"
	"sync"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// Subscription delivers changes to one reader, who may be slow: changes that wait are coalesced per object,
// so what waits is bounded by the number of objects.
type Subscription struct {
	s      *Store
	wake   chan struct{} // has one element while something waits
	done   chan struct{}
	mu     sync.Mutex
	first  bool
	snap   *snapshot.Snapshot
	told   int64          // the revision of the last Next
	queue  []model.Change // in order of each object's last change; an empty Change is a hole
	at     map[subKey]int
	closed bool
}

type subKey struct {
	t  *model.Table
	id string
}

// Subscribe starts a subscription. Its first Next delivers the whole state as changes; Close ends it.
func (s *Store) Subscribe() *Subscription {
	sub := &Subscription{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), first: true, at: map[subKey]int{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.snap = s.Snapshot()
	s.subs[sub] = struct{}{}
	sub.wake <- struct{}{}
	return sub
}

// add queues what a new state changed.
func (sub *Subscription) add(snap *snapshot.Snapshot, changes []model.Change) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.snap = snap
	if sub.first {
		return // the first Next delivers everything
	}
	for _, c := range changes {
		k := subKey{c.Table, c.ID()}
		if i, ok := sub.at[k]; ok {
			c.Old = sub.queue[i].Old
			sub.queue[i] = model.Change{}
			delete(sub.at, k)
			if c.Old == nil && c.New == nil {
				continue
			}
		}
		sub.at[k] = len(sub.queue)
		sub.queue = append(sub.queue, c)
	}
	if len(sub.queue) > 2*len(sub.at)+64 {
		sub.compact()
	}
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// compact closes the holes.
func (sub *Subscription) compact() {
	n := 0
	for _, c := range sub.queue {
		if c.Table != nil {
			sub.queue[n] = c
			sub.at[subKey{c.Table, c.ID()}] = n
			n++
		}
	}
	clear(sub.queue[n:])
	sub.queue = sub.queue[:n]
}

// Next waits for changes and gives them with the state that they lead to: every change once, in the order of
// revisions, several of one object as one. There are none where only the revision moved, as by another member's record: who
// follows knows so that he is up to date. The error is ctx's or ErrClosed. The slice is the caller's.
func (sub *Subscription) Next(ctx context.Context) (*snapshot.Snapshot, []model.Change, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-sub.done:
			return nil, nil, ErrClosed
		case <-sub.wake:
		}
		sub.mu.Lock()
		snap, first, told := sub.snap, sub.first, sub.told
		sub.told = snap.Revision()
		sub.compact()
		changes := sub.queue
		sub.first, sub.queue = false, nil
		clear(sub.at)
		sub.mu.Unlock()
		if first {
			for _, t := range model.Tables() {
				for o := range snap.Each(t) {
					changes = append(changes, model.Change{Table: t, New: o})
				}
			}
			return snap, changes, nil
		}
		if len(changes) > 0 || snap.Revision() > told {
			return snap, changes, nil
		}
	}
}

// Close ends the subscription; a waiting Next returns ErrClosed.
func (sub *Subscription) Close() {
	sub.s.mu.Lock()
	delete(sub.s.subs, sub)
	sub.s.mu.Unlock()
	sub.close()
}

func (sub *Subscription) close() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if !sub.closed {
		sub.closed = true
		close(sub.done)
	}
}
