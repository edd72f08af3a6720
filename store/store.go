package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// Store is the network map. Its methods are safe for concurrent use.
//
// One goroutine (watch) owns what follows etcd: snapshot, reservations, records of members and owners. It
// publishes under mu; readers of the snapshot take no lock.
type Store struct {
	cfg     Config
	lg      *zap.Logger
	emb     *embedded // nil with an external etcd
	client  *clientv3.Client
	member  string // this process's identity, stable over restarts with the same DataDir
	metrics *metrics

	snap atomic.Pointer[snapshot.Snapshot]
	res  *reservations

	mu      sync.Mutex
	subs    map[*Subscription]struct{}
	waiters map[*waiter]struct{}
	records map[string]record // members, owners, leader: by key
	changed chan struct{}     // closed and made anew when records change

	keys     keyPool
	seq      atomic.Uint64 // numbers this process's commits
	lease    leaseState
	problems problems

	run    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type waiter struct {
	rev int64
	ch  chan struct{}
}

// Open starts or reaches etcd, loads the whole state and follows it. It refuses data of a newer layout.
// Close ends what it started.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, lg: cfg.Logger.Named("store"), res: newReservations(), metrics: newMetrics(cfg.Registerer),
		subs: map[*Subscription]struct{}{}, waiters: map[*waiter]struct{}{}, records: map[string]record{}, changed: make(chan struct{})}
	s.snap.Store(snapshot.Empty())
	var err error
	if len(cfg.Endpoints) == 0 {
		if s.emb, err = startEmbedded(ctx, &s.cfg); err != nil {
			return nil, err
		}
		s.client = v3client.New(s.emb.etcd.Server)
	} else if s.client, err = clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		MaxCallSendMsgSize: cfg.MaxRequestBytes + 1<<20, Logger: s.lg.Named("etcd").WithOptions(zap.IncreaseLevel(zap.ErrorLevel)),
		// gRPC's own patience grows to two minutes: an etcd that is back would not be noticed for as long.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 3 * time.Second,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}})},
	}); err != nil {
		return nil, s.explain("connect", err)
	}
	s.run, s.cancel = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) error {
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	rev, err := s.load(ctx)
	if err != nil {
		return s.explain("load", err)
	}
	for _, f := range []func(context.Context){func(ctx context.Context) { s.watch(ctx, rev) }, s.keepLease, s.maintain} {
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			f(s.run)
		}()
	}
	return nil
}

// Close gives up what this process owns, stops following etcd and, if it is embedded, etcd itself.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	for sub := range s.subs {
		sub.close()
	}
	s.mu.Unlock()
	err := s.client.Close()
	if s.emb != nil {
		s.emb.close()
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// identify gives this process its identity: a random name, kept in the data directory.
func (s *Store) identify() error {
	var b [8]byte
	rand.Read(b[:])
	s.member = hex.EncodeToString(b[:])
	if s.cfg.DataDir == "" {
		return nil
	}
	path := filepath.Join(s.cfg.DataDir, "member-id")
	if old, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(old))) == len(s.member) {
		s.member = strings.TrimSpace(string(old))
		return nil
	}
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("store: make data directory: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(s.member+"\n"), 0o600); err != nil {
		return fmt.Errorf("store: write member identity: %w", err)
	}
	return os.Rename(tmp, path)
}

// MemberID is this process's identity, as Owner and Members give it.
func (s *Store) MemberID() string { return s.member }

func (s *Store) checkSchema(ctx context.Context) error {
	want := strconv.Itoa(schemaVersion)
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(schemaKey), "=", 0)).
		Then(clientv3.OpPut(schemaKey, want)).Else(clientv3.OpGet(schemaKey)).Commit()
	if err != nil {
		return s.explain("read schema version", err)
	}
	if resp.Succeeded {
		return nil
	}
	have := string(resp.Responses[0].GetResponseRange().Kvs[0].Value)
	if have == want {
		return nil
	}
	if v, err := strconv.Atoi(have); err == nil && v > schemaVersion {
		return fmt.Errorf("store: the data has layout %d, this penstockd knows %d: start the newer penstockd that wrote it", v, schemaVersion)
	}
	return fmt.Errorf("store: the data has layout %q, this penstockd knows %d and no way from one to the other", have, schemaVersion)
}

// Snapshot gives the current state: one pointer load.
func (s *Store) Snapshot() *snapshot.Snapshot { return s.snap.Load() }

// View is the current state, typed.
func (s *Store) View() model.View { return model.NewView(s.Snapshot()) }

// publish makes a new state current: the watch goroutine only.
func (s *Store) publish(next *snapshot.Snapshot, changes []model.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snap.Store(next)
	for sub := range s.subs {
		sub.add(next, changes)
	}
	for w := range s.waiters {
		if w.rev <= next.Revision() {
			close(w.ch)
			delete(s.waiters, w)
		}
	}
}

// progressAfter is how long a revision is waited for before etcd is asked whether it has any event for us.
const progressAfter = 5 * time.Millisecond

// WaitFor waits until the snapshot includes a revision.
func (s *Store) WaitFor(ctx context.Context, rev int64) error {
	s.mu.Lock()
	if s.Snapshot().Revision() >= rev {
		s.mu.Unlock()
		return nil
	}
	w := &waiter{rev, make(chan struct{})}
	s.waiters[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiters, w)
		s.mu.Unlock()
	}()
	tick := time.NewTimer(progressAfter)
	defer tick.Stop()
	for d := progressAfter; ; {
		select {
		case <-w.ch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopped():
			return s.emb.err
		case <-s.run.Done(): // nobody follows etcd any more
			return ErrClosed
		case <-tick.C:
			// The revision may be of a key that is not watched: ask for a progress notice.
			_ = s.client.RequestProgress(clientv3.WithRequireLeader(ctx)) // the watch's stream is the one with this mark
			d = min(2*d, time.Second)
			tick.Reset(d)
		}
	}
}

// Sync waits until the snapshot includes every transaction that had been done, by any member, when it was called.
func (s *Store) Sync(ctx context.Context) error {
	resp, err := s.client.Get(ctx, schemaKey, clientv3.WithKeysOnly())
	if err != nil {
		return s.explain("sync", err)
	}
	return s.WaitFor(ctx, resp.Header.Revision)
}

// stopped is closed when the embedded etcd has failed; nil, hence never, with an external one.
func (s *Store) stopped() <-chan struct{} {
	if s.emb == nil {
		return nil
	}
	return s.emb.failed
}
