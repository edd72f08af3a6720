package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// external is an etcd on loopback, the operator's as far as the store knows.
type external struct {
	t    testing.TB
	dir  string
	addr string
	etcd *embed.Etcd
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newExternal(t testing.TB) *external {
	e := &external{t: t, dir: t.TempDir(), addr: freeAddr(t)}
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *external) start() {
	e.t.Helper()
	c := embed.NewConfig()
	c.Dir = e.dir
	c.ListenPeerUrls = nil
	u := url.URL{Scheme: "http", Host: e.addr}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{u}, []url.URL{u}
	c.TickMs, c.ElectionMs = 20, 100
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	var err error
	if e.etcd, err = embed.StartEtcd(c); err != nil {
		e.t.Fatal(err)
	}
	<-e.etcd.Server.ReadyNotify()
}

func (e *external) stop() {
	if e.etcd != nil {
		e.etcd.Close()
		e.etcd = nil
	}
}

// proxy stands between a store and etcd and can be cut.
type proxy struct {
	l      net.Listener
	to     string
	mu     sync.Mutex
	cut    bool
	open   map[net.Conn]bool
	served sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: to, open: map[net.Conn]bool{}}
	p.served.Add(1)
	go func() {
		defer p.served.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			p.mu.Lock()
			if err != nil || p.cut {
				c.Close()
				if up != nil {
					up.Close()
				}
			} else {
				p.open[c], p.open[up] = true, true
				for _, d := range [][2]net.Conn{{c, up}, {up, c}} {
					p.served.Add(1)
					go func() {
						defer p.served.Done()
						io.Copy(d[0], d[1])
						d[0].Close()
						d[1].Close()
					}()
				}
			}
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { l.Close(); p.set(true); p.served.Wait() })
	return p
}

// set cuts all connections and refuses new ones, or takes them again.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.open {
		c.Close()
		delete(p.open, c)
	}
}

func (e *external) store(t testing.TB, endpoint string) *store.Store {
	return storetest.Open(t, store.Config{Endpoints: []string{endpoint}, LeaseTTL: time.Second})
}

// eventually polls until ok, with a deadline that only a defect reaches.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestThreeMembersExhaustOnePool(t *testing.T) {
	e := newExternal(t)
	exhaust(t, []*store.Store{e.store(t, e.addr), e.store(t, e.addr), e.store(t, e.addr)}, 48, 150)
}

// TestReadsOthersWrites: what one member was told is done, another's transaction does not fail for the lack of.
func TestReadsOthersWrites(t *testing.T) {
	e := newExternal(t)
	a, b := e.store(t, e.addr), e.store(t, e.addr)
	ctx := ctxOf(t)
	for i := range 100 {
		id := fmt.Sprint("n", i)
		storetest.Put(t, a, network(id))
		if _, err := b.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
			if !tx.Exists(model.Networks, id) {
				return errors.New("not found")
			}
			tx.Put(model.Ports, port(id, id))
			return nil
		}); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestWatchResumes cuts a member off while others write and etcd forgets the revisions between: it must come
// to the same state, and its subscribers must see the difference.
func TestWatchResumes(t *testing.T) {
	e := newExternal(t)
	p := newProxy(t, e.addr)
	direct := newProxy(t, e.addr)
	a, b := e.store(t, direct.l.Addr().String()), e.store(t, p.l.Addr().String())
	ctx := ctxOf(t)
	storetest.Put(t, a, network("stays"), network("goes"), network("changes"))
	if err := b.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	sub := b.Subscribe()
	if _, changes, err := sub.Next(ctx); err != nil || len(changes) != 3 {
		t.Fatalf("first Next: %d changes, %v", len(changes), err)
	}
	p.set(true)
	storetest.Delete(t, a, network("goes"))
	c := network("changes")
	c.Name = "new"
	rev := storetest.Put(t, a, c, network("comes"))
	if _, err := e.etcd.Server.KV().Compact(traceutil.TODO(), rev); err != nil {
		t.Fatal(err)
	}
	p.set(false)
	got := map[string]string{}
	for len(got) < 3 {
		_, changes, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			got[c.ID()] = fmt.Sprint(c.Old != nil, c.New != nil)
		}
	}
	if diff := cmp.Diff(map[string]string{"goes": "true false", "changes": "true true", "comes": "false true"}, got); diff != "" {
		t.Error(diff)
	}
	if err := b.WaitFor(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if n, _ := b.View().Network("changes"); n.Name != "new" {
		t.Errorf("name %q", n.Name)
	}
	// And over a restart of etcd itself.
	p.set(true)
	direct.set(true)
	e.stop()
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := b.Update(short, store.Meta{}, func(tx *store.Tx) error { tx.Delete(model.Networks, "stays"); return nil }); err == nil {
		t.Error("a write without etcd was acknowledged")
	}
	if b.View().Source().Get(model.Networks, "comes") == nil {
		t.Error("the snapshot is gone with etcd")
	}
	e.start()
	p.set(false)
	direct.set(false)
	rev = storetest.Put(t, a, network("later"))
	if err := b.WaitFor(ctx, rev); err != nil {
		t.Fatal(err)
	}
	eventually(t, "health is good again", func() bool { return len(b.Health().Problems) == 0 })
}

// TestLostAnswers counts up over a connection that breaks all the time: what was acknowledged counts exactly
// once, what was refused for sure does not count.
func TestLostAnswers(t *testing.T) {
	e := newExternal(t)
	p := newProxy(t, e.addr)
	s := e.store(t, p.l.Addr().String())
	ctx := ctxOf(t)
	storetest.Put(t, s, network("a"))
	stop := make(chan struct{})
	var cuts atomic.Int64
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.set(false) // cuts what is open, takes new ones
				cuts.Add(1)
			case <-stop:
				return
			}
		}
	}()
	var acked, failed int64
	for cuts.Load() < 25 {
		_, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
			n, _ := store.Get[*model.Network](tx, model.Networks, "a")
			c := *n
			c.Revision++
			tx.Put(model.Networks, &c)
			return nil
		})
		if err == nil {
			acked++
		} else {
			failed++
			t.Log(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.View().Network("a"); n.Revision != acked {
		t.Errorf("%d counted, %d acknowledged, %d refused", n.Revision, acked, failed)
	}
}

// TestOwnershipMoves: one member at a time owns a host, generations grow, and a closed member's hosts move.
func TestOwnershipMoves(t *testing.T) {
	e := newExternal(t)
	ctx := ctxOf(t)
	type owned struct {
		by  string
		gen uint64
	}
	ch := make(chan owned, 16)
	var stores []*store.Store
	var wg sync.WaitGroup
	for range 3 {
		s, err := store.Open(ctx, store.Config{Endpoints: []string{e.addr}, LeaseTTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
		own, cancel := context.WithCancel(ctx)
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.Own(own, "h1", func(ctx context.Context, gen uint64) {
				ch <- owned{s.MemberID(), gen}
				<-ctx.Done()
			})
		}()
		t.Cleanup(func() { cancel(); wg.Wait() })
	}
	eventually(t, "three members", func() bool { return len(stores[2].Members()) == 3 })
	var last uint64
	for len(stores) > 0 {
		o := <-ch
		if o.gen <= last {
			t.Errorf("generation %d after %d", o.gen, last)
		}
		last = o.gen
		i := slices.IndexFunc(stores, func(s *store.Store) bool { return s.MemberID() == o.by })
		if i < 0 {
			t.Fatal("a closed member owns the host")
		}
		if got, ok := stores[i].OwnerOf("h1"); !ok || got.Member != o.by || got.Generation != o.gen {
			t.Errorf("OwnerOf = %+v, want %+v", got, o)
		}
		stores[i].Close()
		stores = slices.Delete(stores, i, i+1)
	}
}

func TestNewerLayoutIsRefused(t *testing.T) {
	e := newExternal(t)
	store.PutRaw(t, e.addr, "/penstock/schema", "2")
	_, err := store.Open(ctxOf(t), store.Config{Endpoints: []string{e.addr}})
	if err == nil || err.Error() != "store: the data has layout 2, this penstockd knows 1: start the newer penstockd that wrote it" {
		t.Errorf("Open: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := store.Open(ctx, store.Config{Endpoints: []string{freeAddr(t)}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open: %v", err)
	}
}

func TestExportImport(t *testing.T) {
	s := storetest.New(t)
	ctx := ctxOf(t)
	if _, err := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		for i := range 50 {
			n := network(fmt.Sprint("n", i))
			n.Key = tx.NextKey()
			tx.Put(model.Networks, n)
		}
		tx.Put(model.Bindings, &model.Binding{PortID: "p", Host: "h", NetworkID: "n1", Slot: 3})
		if _, err := tx.AllocNumber("vni", 7, 9); err != nil {
			return err
		}
		return tx.Reserve("mac/n1", "fa:16:3e:00:00:01", "p")
	}); err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := s.Export(ctx, &a); err != nil {
		t.Fatal(err)
	}
	other := storetest.New(t)
	if err := other.Import(ctx, bytes.NewReader(a.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := other.Import(ctx, bytes.NewReader(a.Bytes())); err == nil {
		t.Error("imported into a store that is not empty")
	}
	if err := other.Export(ctx, &b); err != nil {
		t.Fatal(err)
	}
	_, first, _ := bytes.Cut(a.Bytes(), []byte("\n"))
	_, second, _ := bytes.Cut(b.Bytes(), []byte("\n"))
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Error(diff)
	}
	if _, err := other.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
		if k := tx.NextKey(); k <= 50 {
			t.Errorf("key %d was used before the export", k)
		}
		if n, err := tx.AllocNumber("vni", 7, 9); n != 8 || err != nil {
			t.Errorf("number %d, %v, want 8", n, err)
		}
		if owner, ok := tx.Reserved("mac/n1", "fa:16:3e:00:00:01"); owner != "p" || !ok {
			t.Errorf("Reserved = %q, %v", owner, ok)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestWaitEndsWithClose: who waits for a revision that will not come is told so when the store is closed.
func TestWaitEndsWithClose(t *testing.T) {
	s := storetest.Open(t, store.Config{Endpoints: []string{"http://" + newExternal(t).addr}})
	done := make(chan error, 1)
	go func() { done <- s.WaitFor(context.Background(), 1<<40) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for ever")
	}
}
