package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
)

// Meta says who changes intent and for what request; it stands in the history.
type Meta struct{ Author, Request string }

// maxAttempts bounds how often a transaction is run. Each time that it collides, another one succeeded.
const maxAttempts = 100

// encode is the stored form of an object.
func encode(o model.Object) ([]byte, error) { return json.Marshal(o) }

// Update runs fn on the current state and does what it asked for in one etcd transaction, all or nothing. If
// another transaction came between, fn is run again on a state that has it: it must have no effects of its
// own. The revision is 0 if fn wrote nothing. On return Snapshot includes the transaction. Errors are fn's
// own, ErrConflict, *ErrTooLarge, or of etcd: then errors.Is(err, ErrUnavailable).
func (s *Store) Update(ctx context.Context, m Meta, fn func(tx *Tx) error) (rev int64, err error) {
	start := time.Now()
	retries := 0
	defer func() {
		s.metrics.observe(time.Since(start), retries, err)
	}()
	synced := s.emb != nil // with one process the state is never behind what clients know
	for attempt := 0; attempt < maxAttempts; attempt++ {
		if attempt > 1 {
			select {
			case <-time.After(rand.N(time.Millisecond << min(attempt, 5))):
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		tx := newTx(ctx, s, attempt)
		rev, again, err := s.try(tx, m, fn)
		if !again {
			if err != nil && !synced && tx.err == nil && !errors.Is(err, ErrUnavailable) {
				// Another member may have changed what made fn fail; once is enough to know.
				synced = true
				before := tx.base.Revision()
				if s.Sync(ctx) == nil && s.Snapshot().Revision() > before {
					continue
				}
			}
			return rev, err
		}
		retries++
		for other := range tx.busy {
			select {
			case <-other.settled:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	return 0, ErrConflict
}

// try makes one attempt; again says that it is worth another.
func (s *Store) try(tx *Tx, m Meta, fn func(tx *Tx) error) (rev int64, again bool, err error) {
	used := false // the keys taken are in etcd, or may be
	defer func() {
		if !used {
			s.keys.giveBack(tx.keys)
		}
		s.res.settle(tx)
	}()
	err = fn(tx)
	if tx.err != nil {
		return 0, false, tx.err
	}
	if err != nil {
		return 0, len(tx.busy) > 0, err
	}
	cmps, ops, err := tx.build()
	if err != nil || len(ops) == 0 {
		return 0, false, err
	}
	if err := s.writable(); err != nil {
		return 0, false, err
	}
	commit, err := tx.commit(m)
	if err != nil {
		return 0, false, err
	}
	id := ""
	if commit != nil {
		id = s.commitKey()
		ops = append(ops, clientv3.OpPut(id, string(commit)))
		// Also the fence of settleUnknown.
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(id), "=", 0))
	}
	size := 0
	for _, op := range ops {
		size += len(op.KeyBytes()) + len(op.ValueBytes()) + 16
	}
	for range cmps {
		size += 64
	}
	if n := max(len(ops), len(cmps)); n > s.cfg.MaxTxnOps || size > s.cfg.MaxRequestBytes {
		return 0, false, &ErrTooLarge{n, s.cfg.MaxTxnOps, size, s.cfg.MaxRequestBytes}
	}
	start := time.Now()
	txnCtx, cancel := s.whileUp(tx.ctx)
	defer cancel()
	resp, err := s.client.Txn(txnCtx).If(cmps...).Then(ops...).Commit()
	s.metrics.etcd.Observe(time.Since(start).Seconds())
	switch {
	case err != nil && s.failure() != nil:
		used = true
		return 0, false, fmt.Errorf("%w; whether the change was made is unknown", s.failure())
	case err != nil && certain(err):
		s.noteError(tx.ctx, err)
		return 0, false, s.explain("write", err)
	case err != nil:
		s.noteError(tx.ctx, err)
		used = true
		if id == "" { // observed state: writing it again is harmless
			return 0, false, s.explain("write", err)
		}
		done, ferr := s.settleUnknown(tx.ctx, id)
		if ferr != nil {
			return 0, false, fmt.Errorf("%w; whether the change was made is unknown", s.explain("write", err))
		}
		if done == 0 {
			return 0, false, s.explain("write", err)
		}
		rev = done
	case !resp.Succeeded:
		if err := s.WaitFor(tx.ctx, resp.Header.Revision); err != nil {
			return 0, false, err
		}
		return 0, true, nil
	default:
		rev = resp.Header.Revision
	}
	used = true
	// What is taken must be in the mirror before others are told that this transaction is settled, even if
	// the caller no longer waits.
	if err := s.WaitFor(tx.ctx, rev); err != nil {
		waitCtx, cancel := context.WithTimeout(context.WithoutCancel(tx.ctx), time.Second)
		defer cancel()
		_ = s.WaitFor(waitCtx, rev)
	}
	return rev, false, nil
}

// settleUnknown finds out what became of a transaction whose answer was lost: it takes the key of the
// transaction's history entry, which both only create. Who comes first wins, so the answer is final.
func (s *Store) settleUnknown(ctx context.Context, id string) (rev int64, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// A caller that no longer waits gets an answer soon, a certain one if it can be had.
	defer context.AfterFunc(caller, func() { time.AfterFunc(time.Second, cancel) })()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(id), "=", 0)).
			Then(clientv3.OpPut(id, abortedCommit)).Else(clientv3.OpGet(id)).Commit()
		switch {
		case err == nil && resp.Succeeded:
			return 0, nil
		case err == nil:
			kv := resp.Responses[0].GetResponseRange().Kvs[0]
			if string(kv.Value) == abortedCommit { // an earlier round of this loop
				return 0, nil
			}
			return kv.CreateRevision, nil
		}
		select {
		case <-time.After(pause):
		case <-s.stopped():
			return 0, s.emb.err
		case <-ctx.Done():
			return 0, err
		}
	}
}

// keyPool gives out object keys from a block that etcd has reserved for this process.
type keyPool struct {
	mu         sync.Mutex
	next, last uint32
	spare      []uint32 // taken by transactions that surely did not happen
}

// keyBlock is how many keys a process reserves at once; what is left of them at its end is lost.
const keyBlock = 1000

func (p *keyPool) giveBack(keys []uint32) {
	if len(keys) > 0 {
		p.mu.Lock()
		p.spare = append(p.spare, keys...)
		p.mu.Unlock()
	}
}

func (s *Store) nextKey(ctx context.Context) (uint32, error) {
	p := &s.keys
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		k := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return k, nil
	}
	for p.next == 0 || p.next > p.last {
		resp, err := s.client.Get(ctx, keyCounter)
		if err != nil {
			return 0, s.explain("reserve object keys", err)
		}
		var used uint64
		var rev int64
		if len(resp.Kvs) > 0 {
			if _, err := fmt.Sscan(string(resp.Kvs[0].Value), &used); err != nil {
				return 0, fmt.Errorf("store: key %s holds %q: restore it from an export", keyCounter, resp.Kvs[0].Value)
			}
			rev = resp.Kvs[0].ModRevision
		}
		if used+keyBlock > 1<<32-1 {
			return 0, fmt.Errorf("store: all object keys have been used: export, wipe and import the store")
		}
		txn, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(keyCounter), "=", rev)).
			Then(clientv3.OpPut(keyCounter, fmt.Sprint(used+keyBlock))).Commit()
		if err != nil {
			return 0, s.explain("reserve object keys", err)
		}
		if txn.Succeeded {
			p.next, p.last = uint32(used)+1, uint32(used)+keyBlock
		}
	}
	p.next++
	return p.next - 1, nil
}

// whileUp ends a context when the embedded etcd has failed: it would not answer any more.
func (s *Store) whileUp(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.emb == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.emb.up, cancel)
	return ctx, func() { stop(); cancel() }
}

// writable says why transactions are refused now, nil if they are not.
func (s *Store) writable() error {
	if s.run.Err() != nil {
		return ErrClosed
	}
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.problems.refuse.Load(); err != nil {
		return *err
	}
	return nil
}

// noteError counts an error of etcd; that the caller does not wait any more is none.
func (s *Store) noteError(caller context.Context, err error) {
	if caller.Err() != nil {
		return
	}
	s.metrics.errors.Inc()
	s.lg.Warn("etcd", zap.Error(err))
}

// reset forgets the block, so that the next key comes from behind the counter as it is now.
func (p *keyPool) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.last, p.spare = 0, 0, nil
}

// failure says why the embedded etcd ended, nil if it did not.
func (s *Store) failure() error {
	select {
	case <-s.stopped():
		return s.emb.err
	default:
		return nil
	}
}
