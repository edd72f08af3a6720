package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/penstock/penstock/store/snapshot"
)

// Export writes the whole state at one revision as JSON: what snapshot.Export writes, and beside it the
// reservations and the object keys used, so that Import restores everything but the history.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	if err := s.Sync(ctx); err != nil {
		return err
	}
	// Reservations are published with the objects they belong to, under this lock.
	s.res.mu.Lock()
	snap := s.Snapshot()
	extra := snapshot.Extra{Uniq: map[string]map[string]string{}, Nums: map[string][]uint32{}}
	for space, m := range s.res.uniq {
		extra.Uniq[space] = make(map[string]string, len(m))
		for v, r := range m {
			extra.Uniq[space][v] = r.owner
		}
	}
	for space, nums := range s.res.nums {
		for n := range nums.revs {
			extra.Nums[space] = append(extra.Nums[space], n)
		}
	}
	s.res.mu.Unlock()
	resp, err := s.client.Get(ctx, keyCounter)
	if err != nil {
		return s.explain("export", err)
	}
	if len(resp.Kvs) > 0 {
		if _, err := fmt.Sscan(string(resp.Kvs[0].Value), &extra.KeysUsed); err != nil {
			return fmt.Errorf("store: key %s: %w", keyCounter, err)
		}
	}
	return snap.Export(w, &extra)
}

// Import fills an empty store with an export. It refuses a store that has objects. If it fails in the middle
// the store holds a part: wipe it and import again.
func (s *Store) Import(ctx context.Context, r io.Reader) error {
	if err := s.Sync(ctx); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	snap, extra, err := snapshot.Import(r)
	if err != nil {
		return err
	}
	resp, err := s.client.Get(ctx, watchFrom, clientv3.WithRange(watchTo), clientv3.WithKeysOnly())
	if err != nil {
		return s.explain("import", err)
	}
	for _, kv := range resp.Kvs {
		if k := string(kv.Key); !strings.HasPrefix(k, membersPfx) && !strings.HasPrefix(k, ownerPfx) && k != leaderKey {
			return fmt.Errorf("store: import into a store that is not empty: start penstockd with an empty data_dir")
		}
	}
	var ops []clientv3.Op
	var last int64
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		resp, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return s.explain("import", err)
		}
		last, ops, size = resp.Header.Revision, ops[:0], 0
		return nil
	}
	add := func(key, value string) error {
		n := len(key) + len(value) + 16
		if len(ops) >= s.cfg.MaxTxnOps || size+n > s.cfg.MaxRequestBytes/2 {
			if err := flush(); err != nil {
				return err
			}
		}
		ops, size = append(ops, clientv3.OpPut(key, value)), size+n
		return nil
	}
	// Numbers first: an object never stands without what it holds.
	if extra.KeysUsed > 0 {
		err = add(keyCounter, fmt.Sprint(extra.KeysUsed))
	}
	for space, m := range extra.Uniq {
		for v, owner := range m {
			if err == nil {
				err = add(uniqKey(space, v), owner)
			}
		}
	}
	for space, nums := range extra.Nums {
		for _, n := range nums {
			if err == nil {
				err = add(numKey(space, n), "")
			}
		}
	}
	for t, o := range snap.Objects() {
		var v []byte
		if err == nil {
			v, err = json.Marshal(o)
		}
		if err == nil {
			err = add(objectKey(t, o.ObjectID()), string(v))
		}
	}
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	s.keys.reset()
	return s.WaitFor(ctx, last)
}
