package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

var anyAddr = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func network(id string) *model.Network {
	return &model.Network{Meta: model.Meta{ID: id, Name: "n-" + id}}
}

func port(id, net string) *model.Port {
	return &model.Port{Meta: model.Meta{ID: id}, NetworkID: model.NetworkID(net),
		FixedIPs: []model.FixedIP{{SubnetID: "s", Address: netip.MustParseAddr("10.0.0.7")}}}
}

func TestUpdateIsSeenAndKept(t *testing.T) {
	dir := t.TempDir()
	ctx := ctxOf(t)
	s, err := store.Open(ctx, store.Config{DataDir: dir, MinFreeBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := port("p/1", "a")
	rev, err := s.Update(ctx, store.Meta{Author: "me", Request: "r1"}, func(tx *store.Tx) error {
		tx.Put(model.Networks, network("a"))
		if _, ok := tx.View().Network("a"); !ok {
			t.Error("the transaction does not see its own write")
		}
		if tx.Get(model.Networks, "a") == nil || !tx.Exists(model.Networks, "a") {
			t.Error("Get or Exists does not see the transaction's own write")
		}
		tx.Put(model.Ports, want)
		return tx.Reserve("ip/a", "10.0.0.7/x y", "p/1")
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *store.Store) {
		t.Helper()
		if s.Snapshot().Revision() < rev {
			t.Fatalf("snapshot at %d, want at least %d", s.Snapshot().Revision(), rev)
		}
		got, _ := s.View().Port("p/1")
		if diff := cmp.Diff(want, got, anyAddr); diff != "" {
			t.Fatal(diff)
		}
		if v := s.Snapshot().Version(model.Ports, "p/1"); v != rev {
			t.Errorf("version %d, want %d", v, rev)
		}
		_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
			if owner, ok := tx.Reserved("ip/a", "10.0.0.7/x y"); owner != "p/1" || !ok {
				t.Errorf("Reserved = %q, %v", owner, ok)
			}
			return tx.Reserve("ip/a", "10.0.0.7/x y", "p2")
		})
		var taken *store.ErrTaken
		if !errors.As(err, &taken) || taken.Owner != "p/1" {
			t.Errorf("second Reserve: %v", err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.Open(t, store.Config{DataDir: dir})
	check(s)
}

func TestErrorDoesNothing(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	boom := errors.New("boom")
	var key uint32
	_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		tx.Put(model.Networks, network("a"))
		key = tx.NextKey()
		if err := tx.Reserve("x", "1", "a"); err != nil {
			t.Error(err)
		}
		return boom
	})
	if err != boom {
		t.Fatalf("error %v, want fn's own", err)
	}
	if s.Snapshot().Len(model.Networks) != 0 {
		t.Error("something was done")
	}
	_, err = s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		if k := tx.NextKey(); k != key {
			t.Errorf("key %d after %d was not used", k, key)
		}
		return tx.Reserve("x", "1", "b")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPoolExhausted has 50 clients at one pool of addresses and numbers until nothing is left.
func TestPoolExhausted(t *testing.T) {
	s := storetest.New(t)
	exhaust(t, []*store.Store{s}, 50, 200)
}

func exhaust(t *testing.T, stores []*store.Store, clients, pool int) {
	ctx := ctxOf(t)
	var mu sync.Mutex
	got := map[string]int{}
	nums := map[uint32]int{}
	keys := map[uint32]int{}
	var wg sync.WaitGroup
	for c := range clients {
		s := stores[c%len(stores)]
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				var ip string
				var num, key uint32
				_, err := s.Update(ctx, store.Meta{Author: fmt.Sprint(c)}, func(tx *store.Tx) error {
					start := int(time.Now().UnixNano()/7) % pool
					for j := range pool {
						ip = fmt.Sprint((start + j) % pool)
						if _, taken := tx.Reserved("ip", ip); !taken {
							if err := tx.Reserve("ip", ip, "c"); err != nil {
								return err
							}
							var err error
							num, err = tx.AllocNumber("slot/h1", 1, uint32(pool))
							key = tx.NextKey()
							tx.Put(model.Networks, &model.Network{Meta: model.Meta{ID: fmt.Sprint("n", ip), Key: key}})
							return err
						}
					}
					return &store.ErrExhausted{Space: "ip"}
				})
				var ex *store.ErrExhausted
				if errors.As(err, &ex) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[ip]++
				nums[num]++
				keys[key]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if len(got) != pool || len(nums) != pool || len(keys) != pool {
		t.Fatalf("%d addresses, %d numbers, %d keys handed out, want %d each", len(got), len(nums), len(keys), pool)
	}
	for _, m := range []map[uint32]int{nums, keys} {
		for k, n := range m {
			if n != 1 || k == 0 {
				t.Errorf("number %d handed out %d times", k, n)
			}
		}
	}
	for _, s := range stores {
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if n := s.Snapshot().Len(model.Networks); n != pool {
			t.Errorf("%d objects, want %d", n, pool)
		}
	}
}

// TestGuard races children against their parent's deletion: there is never a child without parent.
func TestGuard(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	for round := range 20 {
		id := fmt.Sprint("net", round)
		storetest.Put(t, s, network(id))
		var wg sync.WaitGroup
		for c := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
					if !tx.Exists(model.Networks, id) {
						return errors.New("no network")
					}
					tx.Touch("network/" + id)
					tx.Put(model.Ports, port(fmt.Sprint("p", round, "-", c), id))
					return nil
				})
				if err != nil && err.Error() != "no network" {
					t.Error(err)
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
				tx.Guard("network/" + id)
				if len(tx.View().PortsOf(model.NetworkID(id))) > 0 {
					return errors.New("in use")
				}
				tx.Delete(model.Networks, id)
				return nil
			})
			if err != nil && err.Error() != "in use" {
				t.Error(err)
			}
		}()
		wg.Wait()
		if _, ok := s.View().Network(model.NetworkID(id)); !ok {
			if n := len(s.View().PortsOf(model.NetworkID(id))); n > 0 {
				t.Fatalf("round %d: %d ports without network", round, n)
			}
		}
	}
}

func TestConflictRunsAgain(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	storetest.Put(t, s, network("a"))
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
				n, _ := store.Get[*model.Network](tx, model.Networks, "a")
				c := *n
				c.Revision++
				tx.Put(model.Networks, &c)
				return nil
			}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if n, _ := s.View().Network("a"); n.Revision != 20 {
		t.Errorf("revision_number %d after 20 increments", n.Revision)
	}
}

func TestNumbers(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	do := func(fn func(tx *store.Tx) error) error {
		_, err := s.Update(ctx, store.Meta{}, fn)
		return err
	}
	alloc := func(lo, hi uint32) (n uint32) {
		t.Helper()
		if err := do(func(tx *store.Tx) (err error) { n, err = tx.AllocNumber("v", lo, hi); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for want := range uint32(5) {
		if n := alloc(1, 10); n != want+1 {
			t.Fatalf("allocated %d, want %d", n, want+1)
		}
	}
	if err := do(func(tx *store.Tx) error { return tx.TakeNumber("v", 3) }); err == nil {
		t.Error("3 taken twice")
	}
	if err := do(func(tx *store.Tx) error { tx.FreeNumber("v", 2); tx.FreeNumber("v", 4); return tx.TakeNumber("v", 4) }); err != nil {
		t.Error(err)
	}
	if n := alloc(1, 10); n != 2 {
		t.Errorf("allocated %d, want the freed 2", n)
	}
	if n := alloc(1, 1<<32-1); n != 6 {
		t.Errorf("allocated %d, want 6", n)
	}
	var ex *store.ErrExhausted
	if err := do(func(tx *store.Tx) error { _, err := tx.AllocNumber("v", 1, 6); return err }); !errors.As(err, &ex) {
		t.Errorf("error %v, want exhausted", err)
	}
	if n := alloc(1<<32-1, 1<<32-1); n != 1<<32-1 {
		t.Errorf("allocated %d at the top", n)
	}
}

// TestSubscription replays every batch and compares with the snapshot, for a reader that is slow at random.
func TestSubscription(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	storetest.Put(t, s, network("before"))
	sub := s.Subscribe()
	defer sub.Close()
	const writes = 300
	go func() {
		for i := range writes {
			n := network(fmt.Sprint("n", i%7))
			n.Revision = int64(i)
			if i%5 == 4 {
				storetest.Delete(t, s, n)
			} else {
				storetest.Put(t, s, n)
			}
		}
		storetest.Put(t, s, network("end"))
	}()
	state := map[string]model.Object{}
	for state["end"] == nil {
		snap, changes, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Old != state[c.ID()] && !(c.Old == nil && state[c.ID()] == nil) {
				t.Fatalf("%s: Old %v, had %v", c.ID(), c.Old, state[c.ID()])
			}
			if c.New == nil {
				delete(state, c.ID())
			} else {
				state[c.ID()] = c.New
			}
		}
		if snap.Len(model.Networks) != len(state) {
			t.Fatalf("%d objects replayed, snapshot has %d", len(state), snap.Len(model.Networks))
		}
		for o := range snap.Each(model.Networks) {
			if state[o.ObjectID()] != o {
				t.Fatalf("%s differs from the snapshot", o.ObjectID())
			}
		}
	}
	done := make(chan error)
	go func() { _, _, err := sub.Next(ctx); done <- err }()
	sub.Close()
	if err := <-done; err != store.ErrClosed {
		t.Errorf("Next after Close: %v", err)
	}
}

func TestHistory(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	var revs []int64
	var states [][]string
	note := func(rev int64) {
		revs = append(revs, rev)
		var st []string
		for o := range s.Snapshot().Each(model.Networks) {
			st = append(st, o.ObjectID()+"="+o.(*model.Network).Name)
		}
		states = append(states, st)
	}
	for i := range 30 {
		n := network(fmt.Sprint("n", i*7%5))
		n.Name = fmt.Sprint("v", i)
		if i%4 == 3 {
			note(storetest.Delete(t, s, n, network("other")))
		} else {
			note(storetest.Put(t, s, n))
		}
		storetest.Put(t, s, &model.PortStatus{PortID: "p", Status: fmt.Sprint(i)})
	}
	for i, rev := range revs {
		if rev == 0 {
			continue
		}
		snap, err := s.At(ctx, rev)
		if err != nil {
			t.Fatal(err)
		}
		var st []string
		for o := range snap.Each(model.Networks) {
			st = append(st, o.ObjectID()+"="+o.(*model.Network).Name)
		}
		if !slices.Equal(st, states[i]) {
			t.Errorf("at step %d: %v, want %v", i, st, states[i])
		}
	}
	h, err := s.History(ctx, 3)
	if err != nil || len(h) != 3 || h[0].Revision != revs[len(revs)-1] || h[0].Author != "test" {
		t.Errorf("History = %+v, %v", h, err)
	}
	if _, err := s.At(ctx, 1<<40); err == nil {
		t.Error("a revision of the future was given")
	}
}

func TestTooLarge(t *testing.T) {
	s := storetest.Open(t, store.Config{DataDir: t.TempDir(), MaxTxnOps: 50, MaxRequestBytes: 100 << 10})
	ctx := ctxOf(t)
	var tl *store.ErrTooLarge
	_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		for i := range 60 {
			tx.Put(model.Networks, network(fmt.Sprint(i)))
		}
		return nil
	})
	if !errors.As(err, &tl) {
		t.Errorf("60 operations: %v", err)
	}
	_, err = s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		n := network("a")
		n.Description = strings.Repeat("x", 200<<10)
		tx.Put(model.Networks, n)
		return nil
	})
	if !errors.As(err, &tl) {
		t.Errorf("200 kB: %v", err)
	}
	if s.Snapshot().Len(model.Networks) != 0 {
		t.Error("something was done")
	}
}

func TestDiskNearlyFull(t *testing.T) {
	ctx := ctxOf(t)
	dir := t.TempDir()
	_, err := store.Open(ctx, store.Config{DataDir: dir, MinFreeBytes: 1 << 60})
	if err == nil || !strings.Contains(err.Error(), "free at least") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open on a full disk: %v", err)
	}
}

func TestDirInUse(t *testing.T) {
	dir := t.TempDir()
	storetest.Open(t, store.Config{DataDir: dir})
	_, err := store.Open(ctxOf(t), store.Config{DataDir: dir, MinFreeBytes: 1})
	if err == nil || !strings.Contains(err.Error(), "in use by another penstockd") {
		t.Errorf("second Open: %v", err)
	}
}

func TestOwn(t *testing.T) {
	s := storetest.New(t)
	ctx, cancel := context.WithCancel(ctxOf(t))
	gens := make(chan uint64, 1)
	done := make(chan error, 1)
	go func() {
		done <- s.Own(ctx, "h1", func(ctx context.Context, gen uint64) { gens <- gen; <-ctx.Done() })
	}()
	gen := <-gens
	o, ok := s.OwnerOf("h1")
	if !ok || o.Generation != gen || o.Member != s.MemberID() || gen == 0 {
		t.Errorf("OwnerOf = %+v, %v; generation %d", o, ok, gen)
	}
	if m := s.Members(); len(m) != 1 || m[0].ID != s.MemberID() || !m[0].Leader {
		t.Errorf("Members = %+v", m)
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Error(err)
	}
}
