package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// Commit is one transaction that changed intent.
type Commit struct {
	Revision int64     `json:"revision,omitempty"` // known from the key when read, not stored
	Author   string    `json:"author"`
	Request  string    `json:"request"`
	Time     time.Time `json:"time"`
	Changes  []Changed `json:"changes"`
}

// Changed is one object of a commit. Old is its stored form before, absent if it was made.
type Changed struct {
	Table   string          `json:"table"`
	ID      string          `json:"id"`
	Old     json.RawMessage `json:"old,omitempty"`
	Deleted bool            `json:"deleted,omitempty"`
}

// abortedCommit stands where a commit would, when its transaction was found not to have happened.
const abortedCommit = "aborted"

// commitKey names the next commit: by time, so that keys sort as commits were made, then by member and number.
func (s *Store) commitKey() string {
	return fmt.Sprintf("%s%016x-%s-%x", commitPfx, time.Now().UnixNano(), s.member, s.seq.Add(1))
}

// commit gives the history's entry of a transaction, nil if it changes no intent.
func (tx *Tx) commit(m Meta) ([]byte, error) {
	c := Commit{Author: m.Author, Request: m.Request, Time: time.Now().UTC()}
	for _, w := range tx.order {
		if w.table.Observed || (w.new == nil && w.old == nil) {
			continue
		}
		ch := Changed{Table: w.table.Name, ID: w.id, Deleted: w.new == nil}
		if w.old != nil {
			var err error
			if ch.Old, err = encode(w.old); err != nil {
				return nil, err
			}
		}
		c.Changes = append(c.Changes, ch)
	}
	if len(c.Changes) == 0 {
		return nil, nil
	}
	return json.Marshal(c)
}

// commits reads entries of the history, newest first; n <= 0: all. Only those made behind a revision count.
func (s *Store) commits(ctx context.Context, n int, behind int64) ([]Commit, error) {
	var out []Commit
	for end := clientv3.GetPrefixRangeEnd(commitPfx); ; {
		limit := 500
		if n > 0 {
			limit = min(limit, n-len(out))
		}
		resp, err := s.client.Get(ctx, commitPfx, clientv3.WithRange(end), clientv3.WithLimit(int64(limit)),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithMinCreateRev(behind+1))
		if err != nil {
			return nil, s.explain("read history", err)
		}
		for _, kv := range resp.Kvs {
			end = string(kv.Key)
			if string(kv.Value) == abortedCommit {
				continue
			}
			var c Commit
			if err := json.Unmarshal(kv.Value, &c); err != nil {
				return nil, fmt.Errorf("store: history entry %s: %w", kv.Key, err)
			}
			c.Revision = kv.CreateRevision
			out = append(out, c)
		}
		// More counts what the filter left out too; the filter comes before the limit.
		if len(resp.Kvs) < limit || (n > 0 && len(out) >= n) {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b Commit) int { return int(b.Revision - a.Revision) })
	return out, nil
}

// History lists the last n commits, newest first; all that are kept for n <= 0.
func (s *Store) History(ctx context.Context, n int) ([]Commit, error) { return s.commits(ctx, n, 0) }

// At gives intent as it was at a revision; observed tables are as they are now. It fails for revisions that
// the history no longer reaches.
func (s *Store) At(ctx context.Context, rev int64) (*snapshot.Snapshot, error) {
	if err := s.Sync(ctx); err != nil {
		return nil, err
	}
	now := s.Snapshot()
	if rev > now.Revision() {
		return nil, fmt.Errorf("store: revision %d is not there yet: the current one is %d", rev, now.Revision())
	}
	resp, err := s.client.Get(ctx, prunedKey)
	if err != nil {
		return nil, s.explain("read history", err)
	}
	if len(resp.Kvs) > 0 {
		var pruned int64
		if _, err := fmt.Sscan(string(resp.Kvs[0].Value), &pruned); err == nil && rev < pruned {
			return nil, fmt.Errorf("store: revision %d is older than the history: the oldest is %d", rev, pruned)
		}
	}
	cs, err := s.commits(ctx, 0, rev)
	if err != nil {
		return nil, err
	}
	var undo []model.Change
	for _, c := range cs {
		if c.Revision > now.Revision() {
			continue
		}
		for _, ch := range c.Changes {
			t := model.TableByName(ch.Table)
			if t == nil {
				continue
			}
			o := t.New()
			if ch.Old == nil {
				if o = now.Get(t, ch.ID); o == nil {
					// Made and deleted later: undoing the deletion, which came first here, brought it back.
					o = find(undo, t, ch.ID)
				}
				if o != nil {
					undo = append(undo, model.Change{Table: t, Old: o})
				}
				continue
			}
			if err := json.Unmarshal(ch.Old, o); err != nil {
				return nil, fmt.Errorf("store: history of %s %s: %w", ch.Table, ch.ID, err)
			}
			undo = append(undo, model.Change{Table: t, New: o})
		}
	}
	return now.Apply(rev, undo), nil
}

func find(changes []model.Change, t *model.Table, id string) model.Object {
	for _, c := range slices.Backward(changes) {
		if c.Table == t && c.New != nil && c.ID() == id {
			return c.New
		}
	}
	return nil
}

// prunedKey holds the revision from which on the history is whole.
const prunedKey = root + "history"

// prune deletes what is older than the retention, and the oldest beyond the greatest number.
func (s *Store) prune(ctx context.Context) error {
	end := fmt.Sprintf("%s%016x", commitPfx, time.Now().Add(-s.cfg.HistoryRetention).UnixNano())
	resp, err := s.client.Get(ctx, commitPfx, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if over := resp.Count - int64(s.cfg.HistoryMax); over > 0 {
		resp, err := s.client.Get(ctx, commitPfx, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(over),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
		if err != nil {
			return err
		}
		if n := len(resp.Kvs); n > 0 {
			end = max(end, string(resp.Kvs[n-1].Key)+"\x00")
		}
	}
	// Entries of other members may stand in the range with revisions in any order: the last one counts.
	last, err := s.client.Get(ctx, commitPfx, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(1),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))
	if err != nil || len(last.Kvs) == 0 {
		return err
	}
	_, err = s.client.Txn(ctx).Then(clientv3.OpDelete(commitPfx, clientv3.WithRange(end)),
		clientv3.OpPut(prunedKey, fmt.Sprint(last.Kvs[0].CreateRevision))).Commit()
	return err
}

// Retention is said in one place for the log and the operator API.
func (s *Store) Retention() string {
	return strings.TrimSpace(fmt.Sprintf("%v, at most %d commits", s.cfg.HistoryRetention, s.cfg.HistoryMax))
}
