package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	lmodel "github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
	"go.uber.org/zap"

	"github.com/penstock/penstock/ovsdb/vswitch"
)

// session is one connection. Its loop runs in the goroutine of DB.Run; the libovsdb goroutines only mark rows.
type session struct {
	db     *DB
	client client.Client
	table  *cache.TableCache
	t      *tracker
	ctx    context.Context // ends with the connection
	fail   context.CancelCauseFunc
	gone   chan struct{} // closed when libovsdb has closed the connection

	mu    sync.Mutex
	dirty map[rowRef]struct{}
	since time.Time     // when dirty got its first row
	due   chan struct{} // dirty is not empty; capacity 1
	heard time.Time     // since, of what is not published yet; the loop's own

	inFlight  bool
	result    chan outcome
	confirmed int
	refused   []Health
	silent    time.Time // since when ovs-vswitchd lags behind, zero if it does not
	noPath    time.Time // since when br-int is without a datapath, zero if it has one
	retry     time.Time // no transaction before, after one was refused
}

type outcome struct {
	rows map[rowRef]struct{}
	err  error
}

var errClosed = errors.New("the connection was closed")

// connectAndServe is one connection's whole life. connected is called when everything was read once.
func (db *DB) connectAndServe(parent context.Context, connected func()) error {
	s := &session{db: db, gone: make(chan struct{}), dirty: map[rowRef]struct{}{}, due: make(chan struct{}, 1),
		result: make(chan outcome, 1)}
	s.ctx, s.fail = context.WithCancelCause(parent)
	defer s.fail(errClosed)
	dbModel, err := vswitch.FullDatabaseModel()
	if err != nil {
		return err
	}
	logger := logr.New(&sink{log: db.log, fail: s.fail})
	s.client, err = client.NewOVSDBClient(dbModel, client.WithEndpoint(db.cfg.Target), client.WithTLSConfig(db.cfg.TLS),
		client.WithLogger(&logger))
	if err != nil {
		return err
	}
	dial, cancel := context.WithTimeout(s.ctx, db.cfg.Timeout)
	defer cancel()
	// libovsdb tells a disconnection only to who is waiting at that moment.
	never := make(chan struct{})
	go func() {
		select {
		case <-s.client.DisconnectNotify():
			s.fail(errClosed)
			close(s.gone)
		case <-never:
		}
	}()
	if err := s.client.Connect(dial); err != nil {
		close(never)
		return errors.New(plain(err))
	}
	defer func() {
		s.fail(errClosed) // ends transactions, which hold a lock that Close needs
		s.client.Close()
		<-s.gone
	}()
	s.table = s.client.Cache()
	if s.table == nil {
		return errClosed
	}
	s.table.AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc:    func(table string, m lmodel.Model) { s.mark(table, m) },
		UpdateFunc: func(table string, _, m lmodel.Model) { s.mark(table, m) },
		DeleteFunc: func(table string, m lmodel.Model) { s.mark(table, m) },
	})
	if err := s.monitor(dial); err != nil {
		return errors.New(plain(err))
	}
	connected()
	db.count.connects.Add(1)
	go s.probe()
	return s.serve()
}

// monitor asks for exactly the columns of the models, in the only Monitor call that this client ever makes.
func (s *session) monitor(ctx context.Context) error {
	var (
		r = &vswitch.OpenvSwitch{}
		b = &vswitch.Bridge{}
		p = &vswitch.Port{}
		i = &vswitch.Interface{}
		c = &vswitch.Controller{}
	)
	m := s.client.NewMonitor(
		client.WithTable(r, &r.Bridges, &r.CurCfg, &r.NextCfg, &r.DatapathTypes, &r.IfaceTypes, &r.ExternalIDs, &r.OVSVersion, &r.SSL),
		client.WithTable(b, &b.Name, &b.Controller, &b.DatapathID, &b.DatapathType, &b.ExternalIDs, &b.FailMode, &b.OtherConfig,
			&b.Ports, &b.Protocols),
		client.WithTable(p, &p.Name, &p.Interfaces, &p.ExternalIDs),
		client.WithTable(i, &i.Name, &i.Type, &i.Options, &i.Ofport, &i.OfportRequest, &i.ExternalIDs, &i.LinkState, &i.Error),
		client.WithTable(c, &c.Target, &c.ConnectionMode, &c.MaxBackoff, &c.InactivityProbe, &c.ControllerQueueSize, &c.ExternalIDs))
	_, err := s.client.Monitor(ctx, m)
	return err
}

// mark is called by libovsdb for every row that changed; what it changed to is read later from the cache, so
// that marks coalesce and an old one does no harm.
func (s *session) mark(table string, m lmodel.Model) {
	r := rowRef{table: table}
	switch row := m.(type) {
	case *vswitch.Interface:
		r.uuid = row.UUID
	case *vswitch.Port:
		r.uuid = row.UUID
	case *vswitch.Bridge:
		r.uuid = row.UUID
	case *vswitch.Controller:
		r.uuid = row.UUID
	case *vswitch.OpenvSwitch:
		r.uuid = row.UUID
	default:
		return
	}
	s.mu.Lock()
	if len(s.dirty) == 0 {
		s.since = time.Now()
	}
	s.dirty[r] = struct{}{}
	s.mu.Unlock()
	select {
	case s.due <- struct{}{}:
	default:
	}
}

func (s *session) takeDirty() map[rowRef]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.dirty
	s.dirty = make(map[rowRef]struct{})
	if s.heard.IsZero() {
		s.heard = s.since
	}
	return d
}

// probe asks a silent server for an echo, so that a hung one is noticed.
func (s *session) probe() {
	tick := time.NewTicker(s.db.cfg.ProbeInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.db.cfg.ProbeInterval)
		if err := s.client.Echo(ctx); err != nil && s.ctx.Err() == nil {
			s.fail(fmt.Errorf("the server does not answer, it may hang: no echo within %v", s.db.cfg.ProbeInterval))
		}
		cancel()
	}
}

// serve reads everything once and then follows the marks.
func (s *session) serve() error {
	db := s.db
	s.t = newTracker(func(r rowRef) lmodel.Model {
		if rows := s.table.Table(r.table); rows != nil {
			return rows.Row(r.uuid)
		}
		return nil
	})
	all := map[rowRef]struct{}{}
	for _, table := range []string{vswitch.OpenvSwitchTable, vswitch.ControllerTable, vswitch.BridgeTable, vswitch.PortTable, vswitch.InterfaceTable} {
		for uuid := range s.table.Table(table).Rows() {
			all[rowRef{table, uuid}] = struct{}{}
		}
	}
	s.t.apply(all)
	// What changed while nobody looked is the difference of the two snapshots.
	s.t.changed = db.State().vifs.differing(s.t.vifs)
	s.t.other = true
	db.mu.Lock()
	db.session = s
	db.mu.Unlock()
	defer func() {
		db.mu.Lock()
		db.session = nil
		db.mu.Unlock()
	}()
	// Transactions end with the connection's context and are waited for.
	defer func() {
		s.fail(errClosed)
		if s.inFlight {
			<-s.result
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.step()
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.due:
			s.t.apply(s.takeDirty())
		case <-db.wake:
		case <-tick.C:
		case o := <-s.result:
			s.inFlight, s.refused = false, nil
			switch {
			case o.err == nil:
				// libovsdb has the transaction's rows in its cache before it hands over the reply.
				s.t.apply(o.rows)
				if s.t.root != nil {
					s.confirmed = s.t.root.NextCfg
				}
			case s.ctx.Err() == nil:
				s.refused = []Health{{CodeTransaction, "", "the database refused a change, trying again: " + plain(o.err)}}
				s.retry = time.Now().Add(time.Second)
			}
		}
	}
}

// step compares, sends what is missing, and publishes.
func (s *session) step() {
	db := s.db
	db.mu.Lock()
	desired, undo := db.desired, db.undo
	db.mu.Unlock()
	health := append([]Health(nil), s.refused...)
	for _, of := range []map[string]Health{s.t.wrong, s.t.twice} {
		for _, h := range of {
			health = append(health, h)
		}
	}
	health = listed(health, 10)
	next := Snapshot{Connected: true}
	if s.t.root == nil || desired == nil {
		p := planner{t: s.t}
		if s.t.root == nil {
			p.run()
		}
		health = append(health, p.health...)
	} else if !s.inFlight && time.Now().After(s.retry) {
		db.count.plans.Add(1)
		p := planner{t: s.t, d: *desired, local: db.local, confirmed: s.confirmed, overdue: s.overdue()}
		if undo {
			p.d = Desired{Owner: desired.Owner}
			p.marks()
		}
		p.run()
		health = append(health, p.health...)
		next.Applied = p.ready && !undo
		next.undone = undo && len(p.b.ops) == 0
		if len(p.b.ops) > 0 {
			s.send(&p.b)
		}
		if h, ok := s.lagging(); ok {
			health = append(health, h)
		}
	} else {
		// Nothing new is known until the reply comes: what was said last still holds.
		health = slices.DeleteFunc(db.Health(), func(h Health) bool { return h.Code == CodeUnreachable })
	}
	s.t.fill(&next)
	old := db.State()
	other := db.setHealth(health) || s.t.other || next.Applied != old.Applied || next.undone != old.undone || !old.Connected
	db.count.rows.Add(uint64(s.t.visited))
	s.t.visited = 0
	if other || len(s.t.changed) > 0 {
		db.publish(next, s.t.changed, other, s.heard)
		s.t.changed, s.t.other = map[string]struct{}{}, false
	}
	s.heard = time.Time{}
}

func (s *session) overdue() bool {
	row := s.t.bridges[s.t.bridgeByName[BridgeInt]]
	switch {
	case row == nil || deref(row.DatapathID) != "":
		s.noPath = time.Time{}
	case s.noPath.IsZero():
		s.noPath = time.Now()
	}
	return !s.noPath.IsZero() && time.Since(s.noPath) > 3*time.Second
}

// marks takes penstock-installed off every VIF.
func (p *planner) marks() {
	p.t.vifs.each(func(vif *VIF) bool {
		if vif.Installed {
			p.b.installed(vif.UUID, false)
		}
		return true
	})
}

// lagging says that ovs-vswitchd has not applied the database for a while.
func (s *session) lagging() (Health, bool) {
	const patience = 10 * time.Second
	if s.t.root.CurCfg >= s.t.root.NextCfg {
		s.silent = time.Time{}
		return Health{}, false
	}
	if s.silent.IsZero() {
		s.silent = time.Now()
	}
	return Health{CodeVswitchdSilent, "", "ovs-vswitchd does not apply changes of the database: check that it runs"},
		time.Since(s.silent) > patience
}

// send starts a transaction; at most one is under way.
func (s *session) send(b *builder) {
	s.inFlight = true
	s.db.count.transactions.Add(1)
	go func() {
		rows, err := s.commit(s.ctx, b)
		s.result <- outcome{rows, err}
	}()
}

// transact is commit for callers outside the session's goroutine.
func (s *session) transact(ctx context.Context, b *builder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	_, err := s.commit(ctx, b)
	return err
}

func (s *session) commit(ctx context.Context, b *builder) (map[rowRef]struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, s.db.cfg.Timeout)
	defer cancel()
	results, err := s.client.Transact(ctx, b.ops...)
	if err != nil {
		return nil, err
	}
	if bad, err := ovsdb.CheckOperationResults(results, b.ops); err != nil {
		for _, e := range bad {
			err = fmt.Errorf("%w: %s on %s", e, e.Operation().Op, e.Operation().Table)
			break
		}
		return nil, err
	}
	return b.touched(results), nil
}

// plain turns an error of several lines into one.
func plain(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// sink is libovsdb's logger. Its cache reports an update that it could not apply, and an event that it
// dropped, nowhere but in the log; either means that the cache can no longer be trusted, so that the
// connection is made anew.
type sink struct {
	log   *zap.Logger
	fail  context.CancelCauseFunc
	cache bool
}

func (s *sink) Init(logr.RuntimeInfo) {}

func (s *sink) Enabled(level int) bool { return level == 0 }

func (s *sink) Info(_ int, msg string, _ ...any) {
	if s.cache {
		s.broken(errors.New(msg))
	}
}

func (s *sink) Error(err error, msg string, _ ...any) {
	if s.cache {
		s.broken(fmt.Errorf("%s: %w", msg, err))
		return
	}
	s.log.Debug("libovsdb: "+msg, zap.Error(err))
}

func (s *sink) broken(err error) {
	s.log.Warn("the copy of the Open vSwitch database is no longer right, reading it anew", zap.Error(err))
	s.fail(err)
}

func (s *sink) WithValues(...any) logr.LogSink { return s }

func (s *sink) WithName(name string) logr.LogSink {
	c := *s
	c.cache = c.cache || name == "cache"
	return &c
}
