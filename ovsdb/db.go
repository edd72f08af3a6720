package ovsdb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
)

// Config is what a DB needs.
type Config struct {
	Host   model.HostName // for texts only
	Target string         // unix:PATH, tcp:IP:PORT or ssl:IP:PORT
	TLS    *tls.Config    // for ssl:
	Logger *zap.Logger    // required
	// ProbeInterval is how long a silent server is waited for before it is asked for an echo, and how long
	// for that; default 4 s, so that a hung server is noticed within 8 s.
	ProbeInterval time.Duration
	// Timeout bounds connecting and every transaction; default 10 s.
	Timeout time.Duration
	// RetryMax bounds the pause between two attempts to connect; default 2 s, the first is 50 ms.
	RetryMax time.Duration
}

// DB is one host's database. Its methods may be called from any goroutine; what is observed and planned
// belongs to the goroutine of Run.
type DB struct {
	cfg   Config
	local bool // the target is on this machine, so that no bridge of the host can cut us off
	log   *zap.Logger

	state  atomic.Pointer[Snapshot]
	health atomic.Pointer[[]Health]
	count  struct{ connects, failures, transactions, marks, rows, vifs, plans atomic.Uint64 }

	wake chan struct{} // desired changed; capacity 1

	mu      sync.Mutex
	subs    []*Subscription
	desired *Desired // nil: observe only
	undo    bool     // take everything back
	settled chan struct{}
	session *session // nil when not connected
}

// ErrNotConnected is returned by what needs the database at once while there is no connection.
var ErrNotConnected = errors.New("not connected to the Open vSwitch database")

// New checks the configuration and makes a DB; Run connects it.
func New(cfg Config) (*DB, error) {
	if cfg.Logger == nil {
		return nil, errors.New("ovsdb: a logger is required")
	}
	local, err := checkTarget(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Host, err)
	}
	if strings.HasPrefix(cfg.Target, "ssl:") && cfg.TLS == nil {
		return nil, fmt.Errorf("host %s: the database at %s needs certificates: set ovsdb.tls (cert, key, ca) for penstockd", cfg.Host, cfg.Target)
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&cfg.ProbeInterval, 4 * time.Second}, {&cfg.Timeout, 10 * time.Second}, {&cfg.RetryMax, 2 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	db := &DB{cfg: cfg, local: local, log: cfg.Logger.With(zap.String("host", string(cfg.Host))),
		wake: make(chan struct{}, 1), settled: make(chan struct{})}
	db.state.Store(&Snapshot{})
	db.health.Store(&[]Health{{CodeUnreachable, "", fmt.Sprintf("%s: not connected yet", cfg.Target)}})
	return db, nil
}

// checkTarget says whether a target is valid, and whether it is on this machine.
func checkTarget(target string) (local bool, err error) {
	bad := fmt.Errorf("ovsdb target %q: want unix:PATH, tcp:IP:PORT or ssl:IP:PORT", target)
	u, err := url.Parse(target)
	if err != nil {
		return false, bad
	}
	switch u.Scheme {
	case "unix":
		if !strings.HasPrefix(u.Path, "/") {
			return false, bad
		}
		return true, nil
	case "tcp", "ssl":
		a, err := netip.ParseAddrPort(u.Opaque)
		if err != nil {
			return false, bad
		}
		return a.Addr().IsLoopback(), nil
	}
	return false, bad
}

// SetDesired says what should be there from now on. It does not wait: Snapshot.Applied tells when it is so.
func (db *DB) SetDesired(d Desired) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("host %s: %w", db.cfg.Host, err)
	}
	db.mu.Lock()
	db.desired, db.undo = &d, false
	db.mu.Unlock()
	db.poke()
	return nil
}

// Undo takes back everything that was made on the host: our ports, tunnels, controllers and marks; bridges
// that were made go, unless somebody else has ports on them, and adopted ones get their old settings back.
// It returns when that is in the database; Run must be running.
func (db *DB) Undo(ctx context.Context) error {
	db.mu.Lock()
	db.undo = true
	if db.desired == nil {
		db.desired = &Desired{}
	}
	db.mu.Unlock()
	db.poke()
	for {
		db.mu.Lock()
		settled := db.settled
		db.mu.Unlock()
		if s := db.State(); s.undone && s.Connected {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("take Penstock off host %s: %w; %s", db.cfg.Host, ctx.Err(), healthLine(db.Health()))
		case <-settled:
		}
	}
}

func (db *DB) poke() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// State is the newest Snapshot: one pointer load.
func (db *DB) State() Snapshot { return *db.state.Load() }

// Health lists what is wrong, sorted by code and object.
func (db *DB) Health() []Health { return slices.Clone(*db.health.Load()) }

// Counters are read without a lock; they are not a consistent set.
func (db *DB) Counters() Counters {
	c := &db.count
	return Counters{Connects: c.connects.Load(), Failures: c.failures.Load(), Transactions: c.transactions.Load(),
		Marks: c.marks.Load(), Rows: c.rows.Load(), VIFChanges: c.vifs.Load(), Plans: c.plans.Load()}
}

// Subscribe starts telling a consumer about changes; the first Update says All. Close it in the end.
func (db *DB) Subscribe() *Subscription {
	s := &Subscription{c: make(chan struct{}, 1), db: db, all: true, ids: map[string]struct{}{}}
	s.c <- struct{}{}
	db.mu.Lock()
	db.subs = append(db.subs, s)
	db.mu.Unlock()
	return s
}

// publish makes a snapshot the newest one and tells the subscribers.
func (db *DB) publish(s Snapshot, ids map[string]struct{}, other bool, since time.Time) {
	s.Revision = db.state.Load().Revision + 1
	db.state.Store(&s)
	db.count.vifs.Add(uint64(len(ids)))
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, sub := range db.subs {
		sub.note(ids, other, since)
	}
	close(db.settled)
	db.settled = make(chan struct{})
}

// setHealth replaces the health list and reports whether it changed. Each entry that is new is logged once.
func (db *DB) setHealth(h []Health) bool {
	sortHealth(h)
	h = slices.Compact(h)
	old := *db.health.Load()
	if slices.Equal(old, h) {
		return false
	}
	for _, x := range h {
		if !slices.Contains(old, x) {
			db.log.Warn(x.Text, zap.String("code", x.Code))
		}
	}
	for _, x := range old {
		if !slices.ContainsFunc(h, func(y Health) bool { return x.Code == y.Code && x.Object == y.Object }) {
			db.log.Info("no longer: "+x.Text, zap.String("code", x.Code))
		}
	}
	db.health.Store(&h)
	return true
}

func healthLine(h []Health) string {
	if len(h) == 0 {
		return "nothing else is wrong"
	}
	return h[0].Code + ": " + h[0].Text
}

// Run connects and keeps the host as desired until ctx ends; it returns nil then. It retries for ever.
func (db *DB) Run(ctx context.Context) error {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		err := db.connectAndServe(ctx, func() { pause = 50 * time.Millisecond })
		if ctx.Err() != nil {
			break
		}
		db.count.failures.Add(1)
		// What was wrong before still is, as far as anybody knows.
		health := slices.DeleteFunc(db.Health(), func(h Health) bool { return h.Code == CodeUnreachable })
		changed := db.setHealth(append(health, Health{CodeUnreachable, "", fmt.Sprintf(
			"cannot reach the Open vSwitch database at %s: %v; check that ovsdb-server runs and listens there, trying again",
			db.cfg.Target, err)}))
		if s := db.State(); s.Connected || changed {
			s.Connected, s.Applied = false, false
			db.publish(s, nil, true, time.Time{})
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
		pause = min(2*pause, db.cfg.RetryMax)
	}
	s := db.State()
	s.Connected, s.Applied = false, false
	db.publish(s, nil, true, time.Time{})
	return nil
}

// SetInstalled sets or removes external_ids:penstock-installed=true on the Interfaces of VIFs, given by
// their UUIDs, in one transaction. VIFs that are gone or have it as wanted already are left out; when none
// is left, nothing is sent.
func (db *DB) SetInstalled(ctx context.Context, uuids []string, installed bool) error {
	s := db.State()
	var b builder
	for _, u := range uuids {
		if v, ok := s.vifByUUID(u); ok && v.Installed != installed {
			b.installed(u, installed)
		}
	}
	if len(b.ops) == 0 {
		return nil
	}
	db.mu.Lock()
	sess := db.session
	db.mu.Unlock()
	if sess == nil {
		return fmt.Errorf("mark %d VIFs on %s: %w", len(b.ops), db.cfg.Host, ErrNotConnected)
	}
	db.count.marks.Add(1)
	if err := sess.transact(ctx, &b); err != nil {
		return fmt.Errorf("mark %d VIFs on %s: %w", len(b.ops), db.cfg.Host, err)
	}
	return nil
}

// ClearInstalled removes the mark from every VIF that has it.
func (db *DB) ClearInstalled(ctx context.Context) error {
	var uuids []string
	db.State().EachVIF(func(v *VIF) bool {
		if v.Installed {
			uuids = append(uuids, v.UUID)
		}
		return true
	})
	return db.SetInstalled(ctx, uuids, false)
}
