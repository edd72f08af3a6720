package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Problem is one thing that is wrong with the store. Code is stable, for programs; Text says what to do.
type Problem struct{ Code, Text string }

// Health is the store's part of the health page.
type Health struct {
	Writable bool      // transactions are taken
	Problems []Problem // sorted by code
	Revision int64     // of the snapshot
	Embedded bool
}

type problems struct {
	mu     sync.Mutex
	m      map[string]string
	refuse atomic.Pointer[error] // why transactions are refused
}

func (p *problems) set(code, text string) (isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[string]string{}
	}
	_, had := p.m[code]
	p.m[code] = text
	return !had
}

func (p *problems) clear(code string) (had bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, had = p.m[code]
	delete(p.m, code)
	return had
}

// Health says what is wrong with the store now.
func (s *Store) Health() Health {
	h := Health{Revision: s.Snapshot().Revision(), Embedded: s.emb != nil}
	if err := s.writable(); err != nil {
		h.Problems = append(h.Problems, Problem{"STORE_REFUSES_WRITES", err.Error()})
	}
	h.Writable = len(h.Problems) == 0
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	for _, code := range slices.Sorted(maps.Keys(s.problems.m)) {
		name, _, _ := strings.Cut(code, " ")
		h.Problems = append(h.Problems, Problem{"STORE_" + name, s.problems.m[code]})
	}
	return h
}

const (
	// checkEvery is how often free space and etcd's answer are looked at.
	checkEvery = 2 * time.Second
	// pruneEvery is how often the history is cut.
	pruneEvery = 20 * time.Second
	// compactBehind: the embedded etcd forgets old values of keys once there are so many revisions more. The
	// watch needs only the latest; our own history is kept in keys of its own.
	compactBehind = 1000
	// lagMax: a watch that is so far behind etcd is started anew.
	lagMax = 15 * time.Second
)

// maintain looks after etcd until ctx ends.
func (s *Store) maintain(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var compacted int64
	var pruned, behindSince time.Time
	for {
		if s.emb != nil {
			s.checkDisk(&s.cfg)
		}
		rev := s.probe(ctx)
		if seen := s.Snapshot().Revision(); rev <= seen {
			behindSince = time.Time{}
			s.problems.clear("WATCH_BEHIND")
		} else {
			_ = s.client.RequestProgress(clientv3.WithRequireLeader(ctx))
			if behindSince.IsZero() {
				behindSince = time.Now()
			} else if time.Since(behindSince) > lagMax {
				s.problems.set("WATCH_BEHIND", "changes in etcd arrive late: check its load and the network to it")
			}
		}
		if s.emb != nil && rev-compacted > 2*compactBehind && s.writable() == nil {
			if _, err := s.client.Compact(ctx, rev-compactBehind); err == nil || errors.Is(err, rpctypes.ErrCompacted) {
				compacted = rev - compactBehind
			}
		}
		if time.Since(pruned) > pruneEvery && s.writable() == nil {
			pruned = time.Now()
			if err := s.prune(ctx); err != nil && ctx.Err() == nil {
				s.lg.Warn("cannot cut the history", zap.Error(err))
			}
		}
		select {
		case <-tick.C:
			if s.emb != nil {
				s.emb.level.SetLevel(zap.WarnLevel)
			}
		case <-s.stopped():
			return
		case <-ctx.Done():
			return
		}
	}
}

// checkDisk refuses transactions while the disk is nearly full, and takes them again when it is not.
func (s *Store) checkDisk(cfg *Config) {
	err := checkFree(cfg)
	was := s.problems.refuse.Load()
	switch {
	case err != nil && was == nil:
		s.lg.Error("transactions are refused", zap.Error(err))
		s.problems.refuse.Store(&err)
	case err != nil:
		s.problems.refuse.Store(&err)
	case was != nil:
		s.lg.Info("transactions are taken again")
		s.problems.refuse.Store(nil)
	}
}

// probe asks etcd for its revision; 0 if it does not answer.
func (s *Store) probe(ctx context.Context) int64 {
	probeCtx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	resp, err := s.client.Get(probeCtx, schemaKey, clientv3.WithKeysOnly())
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		err = s.explain("probe", err)
		if s.problems.set("UNREACHABLE", err.Error()) {
			s.lg.Error("etcd does not answer", zap.Error(err))
		}
		return 0
	}
	if s.problems.clear("UNREACHABLE") {
		s.lg.Info("etcd answers again")
	}
	s.checkAlarms(probeCtx, resp.Header.Revision)
	return resp.Header.Revision
}

// checkAlarms gets an embedded etcd out of its size limit, which it does not leave by itself: what is old is
// compacted, the file made smaller, the alarm taken back.
func (s *Store) checkAlarms(ctx context.Context, rev int64) {
	resp, err := s.client.AlarmList(ctx)
	if err != nil {
		return
	}
	full := false
	for _, a := range resp.Alarms {
		full = full || a.Alarm == etcdserverpb.AlarmType_NOSPACE
	}
	if !full {
		s.problems.clear("FULL")
		return
	}
	s.problems.set("FULL", "etcd is at its size limit and takes no writes: raise its quota, compact and defragment it, disarm its alarm (the embedded one does the last three itself)")
	if s.emb == nil {
		return
	}
	s.lg.Error("the embedded etcd is at its size limit: compacting it")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, _ = s.client.Compact(ctx, rev, clientv3.WithCompactPhysical())
	if err := s.emb.etcd.Server.Backend().Defrag(); err != nil {
		s.lg.Error("cannot defragment", zap.Error(err))
		return
	}
	for _, a := range resp.Alarms {
		_, _ = s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a))
	}
}

type metrics struct {
	update, etcd                     prometheus.Histogram
	updates                          *prometheus.CounterVec
	retries, errors, reloads, events prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 14)
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "penstock", Subsystem: "store", Name: name, Help: help})
	}
	m := &metrics{
		update: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "penstock", Subsystem: "store", Name: "update_seconds", Buckets: buckets,
			Help: "Time of a transaction, from the call until the snapshot includes it."}),
		etcd: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "penstock", Subsystem: "store", Name: "etcd_txn_seconds", Buckets: buckets,
			Help: "Time of one etcd transaction."}),
		updates: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "penstock", Subsystem: "store", Name: "updates_total",
			Help: "Transactions by outcome: ok, refused (by the caller's rules), conflict, unavailable."}, []string{"outcome"}),
		retries: counter("retries_total", "Transactions run again because another came between."),
		errors:  counter("etcd_errors_total", "Errors that etcd answered."),
		reloads: counter("reloads_total", "Times the whole state was read again after the watch broke."),
		events:  counter("events_total", "Events that the watch delivered."),
	}
	if r != nil {
		for _, c := range []prometheus.Collector{m.update, m.etcd, m.updates, m.retries, m.errors, m.reloads, m.events} {
			r.MustRegister(c)
		}
	}
	return m
}

func (m *metrics) observe(d time.Duration, retries int, err error) {
	m.retries.Add(float64(retries))
	outcome := "ok"
	switch {
	case err == nil:
		m.update.Observe(d.Seconds())
	case errors.Is(err, ErrConflict):
		outcome = "conflict"
	case errors.Is(err, ErrUnavailable):
		outcome = "unavailable"
	default:
		outcome = "refused"
	}
	m.updates.WithLabelValues(outcome).Inc()
}
