package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
)

// pageKeys is how many keys are read at once when the whole state is loaded.
const pageKeys = 2000

// batch collects what a watch response or a load changes, to be published in one step.
type batch struct {
	s        *Store
	changes  []model.Change
	versions []int64
	at       map[string]int // object key -> index in changes: the last of several wins, with the first's Old
	records  bool
}

func (s *Store) newBatch() *batch { return &batch{s: s, at: map[string]int{}} }

// object notes an object's new value; o is nil if it is gone.
func (b *batch) object(key string, t *model.Table, id string, o model.Object, rev int64) {
	if i, ok := b.at[key]; ok {
		b.changes[i].New, b.versions[i] = o, rev
		return
	}
	old := b.s.Snapshot().Get(t, id)
	b.at[key] = len(b.changes)
	b.changes = append(b.changes, model.Change{Table: t, Old: old, New: o})
	b.versions = append(b.versions, rev)
}

// publish applies the batch as one new state at rev.
func (b *batch) publish(rev int64) {
	n := 0
	for i, c := range b.changes {
		if c.Old == nil && c.New == nil {
			continue
		}
		b.changes[n], b.versions[n] = c, b.versions[i]
		n++
	}
	b.changes, b.versions = b.changes[:n], b.versions[:n]
	b.s.publish(b.s.Snapshot().ApplyVersions(rev, b.changes, b.versions), b.changes)
	if b.records {
		b.s.mu.Lock()
		close(b.s.changed)
		b.s.changed = make(chan struct{})
		b.s.mu.Unlock()
	}
}

// put takes one key's value in; the reservations' lock is held.
func (b *batch) put(key string, value []byte, rev int64, lease int64) {
	s := b.s
	switch {
	case strings.HasPrefix(key, objPfx), strings.HasPrefix(key, obsPfx):
		t, id := parseObject(key[len(objPfx):])
		if t == nil {
			return // a newer penstockd's table
		}
		o := t.New()
		if err := json.Unmarshal(value, o); err != nil || o.ObjectID() != id {
			s.problems.set("DECODE "+key, "the store's key "+key+" holds no "+t.Name+" of that id: restore it from an export")
			s.lg.Error("cannot decode", zap.String("key", key), zap.Error(err))
			return
		}
		s.problems.clear("DECODE " + key)
		b.object(key, t, id, o, rev)
	case strings.HasPrefix(key, uniqPfx):
		if space, v, ok := parseUniq(key[len(uniqPfx):]); ok {
			s.res.setUniq(space, v, string(value), rev)
		}
	case strings.HasPrefix(key, numPfx):
		if space, n, ok := parseNum(key[len(numPfx):]); ok {
			s.res.setNum(space, n, rev)
		}
	case strings.HasPrefix(key, membersPfx), strings.HasPrefix(key, ownerPfx), key == leaderKey:
		s.setRecord(key, &record{value: value, rev: rev, lease: lease})
		b.records = true
	}
}

func (b *batch) drop(key string) {
	s := b.s
	switch {
	case strings.HasPrefix(key, objPfx), strings.HasPrefix(key, obsPfx):
		if t, id := parseObject(key[len(objPfx):]); t != nil {
			s.problems.clear("DECODE " + key)
			b.object(key, t, id, nil, 0)
		}
	case strings.HasPrefix(key, uniqPfx):
		if space, v, ok := parseUniq(key[len(uniqPfx):]); ok {
			s.res.dropUniq(space, v)
		}
	case strings.HasPrefix(key, numPfx):
		if space, n, ok := parseNum(key[len(numPfx):]); ok {
			s.res.dropNum(space, n)
		}
	case strings.HasPrefix(key, membersPfx), strings.HasPrefix(key, ownerPfx), key == leaderKey:
		s.setRecord(key, nil)
		b.records = true
	}
}

// load reads the whole state at one revision and publishes its difference to the current one.
func (s *Store) load(ctx context.Context) (int64, error) {
	type kv struct {
		key        string
		value      []byte
		rev, lease int64
	}
	var all []kv
	var rev int64
	for from := watchFrom; ; {
		opts := []clientv3.OpOption{clientv3.WithRange(watchTo), clientv3.WithLimit(pageKeys)}
		if rev > 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		resp, err := s.client.Get(ctx, from, opts...)
		if err != nil {
			return 0, err
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		for _, k := range resp.Kvs {
			all = append(all, kv{string(k.Key), k.Value, k.ModRevision, k.Lease})
		}
		if !resp.More {
			break
		}
		from = all[len(all)-1].key + "\x00"
	}
	snap := s.Snapshot()
	b := s.newBatch()
	s.res.mu.Lock()
	seen := make(map[string]bool, len(all))
	s.res.uniq, s.res.nums = map[string]map[string]reservation{}, map[string]*numbers{}
	for _, k := range all {
		seen[k.key] = true
		if strings.HasPrefix(k.key, objPfx) || strings.HasPrefix(k.key, obsPfx) {
			if t, id := parseObject(k.key[len(objPfx):]); t != nil && snap.Version(t, id) == k.rev {
				continue
			}
		}
		b.put(k.key, k.value, k.rev, k.lease)
	}
	for _, t := range model.Tables() {
		for o := range snap.Each(t) {
			if key := objectKey(t, o.ObjectID()); !seen[key] {
				b.drop(key)
			}
		}
	}
	s.mu.Lock()
	var gone []string
	for key := range s.records {
		if !seen[key] {
			gone = append(gone, key)
		}
	}
	s.mu.Unlock()
	for _, key := range gone {
		b.drop(key)
	}
	b.publish(rev)
	s.res.mu.Unlock()
	return rev, nil
}

// watch follows etcd from the revision behind rev until ctx ends, over lost connections, restarts and compactions.
func (s *Store) watch(ctx context.Context, rev int64) {
	pause := 10 * time.Millisecond
	for ctx.Err() == nil {
		next, err := s.follow(ctx, rev)
		if next > rev {
			pause = 10 * time.Millisecond
		}
		rev = next
		if ctx.Err() != nil {
			return
		}
		s.metrics.reloads.Inc()
		s.lg.Warn("watch interrupted: the state is read again", zap.Error(err), zap.Int64("revision", rev))
		// Whatever ended it, the difference to what is there now brings us up to date.
		loadCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		if r, err := s.load(loadCtx); err == nil {
			rev = r
		} else if ctx.Err() == nil {
			s.lg.Warn("cannot read the state", zap.Error(s.explain("load", err)))
		}
		cancel()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// follow watches until the watch ends, and gives the last revision published.
func (s *Store) follow(ctx context.Context, rev int64) (int64, error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	opts := []clientv3.OpOption{clientv3.WithRange(watchTo), clientv3.WithRev(rev + 1), clientv3.WithProgressNotify()}
	if s.emb == nil {
		opts = append(opts, clientv3.WithFragment())
	}
	for resp := range s.client.Watch(ctx, watchFrom, opts...) {
		if err := resp.Err(); err != nil {
			return rev, err
		}
		if len(resp.Events) == 0 {
			if resp.IsProgressNotify() && resp.Header.Revision > rev {
				rev = resp.Header.Revision
				s.publish(s.Snapshot().Apply(rev, nil), nil)
			}
			continue
		}
		b := s.newBatch()
		s.res.mu.Lock()
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete {
				b.drop(string(ev.Kv.Key))
			} else {
				b.put(string(ev.Kv.Key), ev.Kv.Value, ev.Kv.ModRevision, ev.Kv.Lease)
			}
			rev = max(rev, ev.Kv.ModRevision)
		}
		// Published with the reservations locked: who sees a reservation sees its object.
		b.publish(rev)
		s.res.mu.Unlock()
		s.metrics.events.Add(float64(len(resp.Events)))
	}
	return rev, ctx.Err()
}
