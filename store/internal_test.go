package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	if cfg.MinFreeBytes == 0 {
		cfg.MinFreeBytes = 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *Store, objs ...*model.Network) int64 {
	t.Helper()
	rev, err := s.Update(context.Background(), Meta{Author: "test"}, func(tx *Tx) error {
		for _, o := range objs {
			tx.Put(model.Networks, o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func net(id, name string) *model.Network { return &model.Network{Meta: model.Meta{ID: id, Name: name}} }

// TestNumbersBitmap compares the bitmap with a plain set.
func TestNumbersBitmap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	res := newReservations()
	set := map[uint32]bool{}
	for range 20000 {
		n := uint32(r.IntN(2300))
		if r.IntN(3) > 0 {
			res.setNum("x", n, 1)
			set[n] = true
		} else {
			res.dropNum("x", n)
			delete(set, n)
		}
		if r.IntN(50) > 0 {
			continue
		}
		lo := uint32(r.IntN(2400))
		hi := lo + uint32(r.IntN(1200))
		want, ok := uint32(0), false
		for u := lo; u <= hi && !ok; u++ {
			want, ok = u, !set[u]
		}
		if got, has := res.nums["x"].free(lo, hi); has != ok || (ok && got != want) {
			t.Fatalf("free(%d, %d) = %d, %v, want %d, %v", lo, hi, got, has, want, ok)
		}
	}
	for n := range set {
		res.dropNum("x", n)
	}
	if len(res.nums) != 0 {
		t.Error("an empty space is kept")
	}
}

func TestKeysRoundTrip(t *testing.T) {
	for _, v := range []string{"10.0.0.1", "fe80::1", "a/b", "a%2Fb", "ä \x00", "/"} {
		k := uniqKey("a/b", v)
		if space, got, ok := parseUniq(k[len(uniqPfx):]); space != "a/b" || got != v || !ok {
			t.Errorf("%q: %q, %q, %v", v, space, got, ok)
		}
		if k < watchFrom || k >= watchTo {
			t.Errorf("%q is not watched", k)
		}
	}
	if space, n, ok := parseNum(numKey("slot/h1", 4711)[len(numPfx):]); space != "slot/h1" || n != 4711 || !ok {
		t.Error(space, n, ok)
	}
	for _, k := range []string{objectKey(model.Ports, "p"), objectKey(model.Bindings, "h/p"), leaderKey, ownerPfx, membersPfx} {
		if k < watchFrom || k >= watchTo {
			t.Errorf("%q is not watched", k)
		}
	}
	for _, k := range []string{commitPfx, guardPfx, keyCounter, prunedKey} {
		if k >= watchFrom {
			t.Errorf("%q is watched", k)
		}
	}
}

// TestSubscriptionIsBounded: a reader that never reads costs by objects, not by changes.
func TestSubscriptionIsBounded(t *testing.T) {
	sub := &Subscription{wake: make(chan struct{}, 1), done: make(chan struct{}), at: map[subKey]int{}}
	for i := range 10000 {
		n := net(fmt.Sprint(i%10), fmt.Sprint(i))
		c := model.Change{Table: model.Networks, Old: n, New: n}
		if i%10 == 3 { // made and gone again, never seen
			c = model.Change{Table: model.Networks, New: n}
			if i%20 == 13 {
				c = model.Change{Table: model.Networks, Old: n}
			}
		}
		sub.add(snapshot.Empty(), []model.Change{c})
	}
	if len(sub.queue) > 100 || len(sub.at) > 10 {
		t.Errorf("%d changes wait for 10 objects", len(sub.queue))
	}
	_, changes, err := sub.Next(context.Background())
	if err != nil || len(changes) != 9 {
		t.Errorf("%d changes, %v, want 9", len(changes), err)
	}
	for _, c := range changes {
		if n := c.Old.(*model.Network); n.Name != n.ID {
			t.Errorf("Old is of change %s, want the first", n.Name)
		}
		if n := c.New.(*model.Network); len(n.Name) != 4 {
			t.Errorf("New is of change %s, want the last", n.Name)
		}
	}
}

func TestUndecodableIsReported(t *testing.T) {
	s := open(t, Config{})
	ctx := context.Background()
	if _, err := s.client.Put(ctx, objectKey(model.Networks, "bad"), `{"id":"other"}`); err != nil {
		t.Fatal(err)
	}
	put(t, s, net("good", ""))
	h := s.Health()
	if len(h.Problems) != 1 || h.Problems[0].Code != "STORE_DECODE" || !strings.Contains(h.Problems[0].Text, "network/bad") {
		t.Errorf("health %+v", h)
	}
	if s.Snapshot().Len(model.Networks) != 1 {
		t.Error("the good one is missing")
	}
	if _, err := s.client.Delete(ctx, objectKey(model.Networks, "bad")); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if h := s.Health(); len(h.Problems) != 0 {
		t.Errorf("health after repair %+v", h)
	}
}

func TestPrune(t *testing.T) {
	s := open(t, Config{HistoryMax: 5})
	ctx := context.Background()
	var revs []int64
	for i := range 12 {
		revs = append(revs, put(t, s, net("a", fmt.Sprint(i))))
	}
	if err := s.prune(ctx); err != nil {
		t.Fatal(err)
	}
	h, err := s.History(ctx, 0)
	if err != nil || len(h) != 5 || h[4].Revision != revs[7] {
		t.Errorf("history %+v, %v", h, err)
	}
	if _, err := s.At(ctx, revs[5]); err == nil || !strings.Contains(err.Error(), "older than the history") {
		t.Errorf("At before the history: %v", err)
	}
	for _, i := range []int{6, 9} {
		snap, err := s.At(ctx, revs[i])
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := model.NewView(snap).Network("a"); n.Name != fmt.Sprint(i) {
			t.Errorf("at %d: %s", i, n.Name)
		}
	}
	s.cfg.HistoryRetention = -time.Hour
	if err := s.prune(ctx); err != nil {
		t.Fatal(err)
	}
	if h, err := s.History(ctx, 0); err != nil || len(h) != 0 {
		t.Errorf("history %+v, %v", h, err)
	}
}

// TestDiskFillsAndEmpties: refused with one line while the disk is nearly full, taken again afterwards.
func TestDiskFillsAndEmpties(t *testing.T) {
	s := open(t, Config{})
	put(t, s, net("a", ""))
	full := s.cfg
	full.MinFreeBytes = 1 << 62
	s.checkDisk(&full)
	_, err := s.Update(context.Background(), Meta{}, func(tx *Tx) error { tx.Delete(model.Networks, "a"); return nil })
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "free at least") {
		t.Errorf("with a full disk: %v", err)
	}
	if h := s.Health(); h.Writable || len(h.Problems) != 1 {
		t.Errorf("health %+v", h)
	}
	s.checkDisk(&s.cfg)
	put(t, s, net("a", "b"))
	if !s.Health().Writable {
		t.Error("not writable again")
	}
}

// TestNoGoroutinesLeft: Close ends everything, subscribers and owners included.
func TestNoGoroutinesLeft(t *testing.T) {
	run := func() {
		s, err := Open(context.Background(), Config{DataDir: t.TempDir(), MinFreeBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		owned := make(chan struct{})
		go func() {
			done <- s.Own(context.Background(), "h", func(ctx context.Context, _ uint64) { close(owned); <-ctx.Done() })
		}()
		<-owned
		sub := s.Subscribe()
		if _, _, err := sub.Next(context.Background()); err != nil {
			t.Fatal(err)
		}
		go func() { _, _, err := sub.Next(context.Background()); done <- err }()
		put(t, s, net("a", ""))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			<-done
		}
		if _, err := s.Update(context.Background(), Meta{}, func(tx *Tx) error { tx.Delete(model.Networks, "a"); return nil }); err == nil {
			t.Error("a closed store took a transaction")
		}
	}
	run() // what libraries keep for ever is there after the first
	before := runtime.NumGoroutine()
	for range 3 {
		run()
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// TestSizeLimit: an embedded etcd that has reached its limit gets itself out of it.
func TestSizeLimit(t *testing.T) {
	s := open(t, Config{QuotaBytes: 8 << 20, Logger: zap.NewNop()})
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	big := strings.Repeat("x", 1<<20)
	var err error
	for i := 0; err == nil && i < 100; i++ {
		_, err = s.Update(ctx, Meta{}, func(tx *Tx) error {
			tx.Put(model.PortStatuses, &model.PortStatus{PortID: "p", Status: fmt.Sprint(i, big)})
			return nil
		})
	}
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "size limit") {
		t.Fatalf("error %v", err)
	}
	for {
		if _, err = s.Update(ctx, Meta{}, func(tx *Tx) error { tx.Delete(model.PortStatuses, "p"); return nil }); err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("never writable again: %v", err)
		}
	}
}

// TestSubscriptionTellsRevisions: a revision that changes no object, as another member's record does, is told too: who
// follows knows that he is up to date.
func TestSubscriptionTellsRevisions(t *testing.T) {
	sub := &Subscription{wake: make(chan struct{}, 1), done: make(chan struct{}), at: map[subKey]int{}}
	sub.add(snapshot.Empty().Apply(5, nil), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	snap, changes, err := sub.Next(ctx)
	if err != nil || snap.Revision() != 5 || len(changes) != 0 {
		t.Fatalf("%v, %d changes, %v", snap, len(changes), err)
	}
	sub.add(snap, nil) // nothing moved
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := sub.Next(ctx); err == nil {
		t.Error("a revision is told twice")
	}
}
