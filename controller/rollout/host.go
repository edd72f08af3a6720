package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// Session is one bridge's connection as rollout uses it.
type Session interface {
	// Read gives what the bridge holds.
	Read(ctx context.Context, known *derive.Flows) (*session.Installed, error)
	// Apply sends a change and waits for its barrier. A *session.Rejected error names what the switch refused,
	// nothing of the change being done then; any other error ends the session.
	Apply(ctx context.Context, c *session.Change) error
	// Close ends the connection.
	Close() error
}

// Engine is what rollout needs of the derivation engine. Both are answered by the engine's goroutine, in order
// with Enqueue.
type Engine interface {
	// Desired gives all that a bridge should hold. f runs before any later delta is enqueued.
	Desired(ctx context.Context, h model.HostName, bridge string, f func(*derive.Desired, int64)) error
	// UnitOf names the unit that wants what was refused, zero if none does, and lists the keys of all its flows on
	// the bridge.
	UnitOf(ctx context.Context, h model.HostName, bridge string, r *session.Rejected) (pipeline.UnitID, []pipeline.Key, error)
}

// Config is what a Host is made of.
type Config struct {
	Host   model.HostName
	Engine Engine
	Logger *zap.Logger
	// Applied is called after every roll-out with the revision that all connected bridges have confirmed. It must
	// not block.
	Applied func(rev int64)
	// Observe, if set, is told how long each bridge took to take a change, and of how many flow-mods.
	Observe func(bridge string, d time.Duration, flowMods int)
	// Refused, if set, is called when what switches refuse has changed, before Applied of the same roll-out. It must
	// not block.
	Refused func()
	// Audited, if set, is told of every audit: how many flows, groups and meters were not as they should be.
	Audited func(bridge string, repaired int)
	// AuditInterval is how often a bridge is read back and compared, about, default 5 min.
	AuditInterval time.Duration
	// RetryInterval is how soon what was refused is tried again, default 1 s; it doubles up to AuditInterval.
	RetryInterval time.Duration
	// Slots, if set, is shared by hosts: a value in it is held while a bridge is read back and what it lacks is sent, so
	// that at a start with hundreds of hosts only a few hold copies of all flows at a time. A host that has waited for
	// slotWait goes on without, so that switches which do not answer hold up nobody for long.
	Slots chan struct{}
	// Timeout bounds one exchange with a switch, a bundle for example, default 30 s: a switch that does not answer is
	// disconnected.
	Timeout time.Duration
}

// Refusal is a flow, group or meter that a switch would not take.
type Refusal struct {
	Bridge string
	What   string // the flow's text, or the group's or meter's id
	// Unit is the unit whose flows were left out because of it; its Kind is nil if no unit wanted it.
	Unit pipeline.UnitID
	Err  error
	keys []pipeline.Key
	// group or meter, where it is one
	group, meter *uint32
}

// BridgeStatus is a bridge's state for people.
type BridgeStatus struct {
	Bridge            string
	Connected, Synced bool   // Synced: nothing is left to send; what was refused excepted
	Foreign           int    // flows that are not ours, when the bridge was last read
	Audits, Repaired  uint64 // read-backs of a synced bridge, and what they found wrong and mended
	Desired           int    // flows
	Flows             int    // confirmed
	Groups            int
	Meters            int
	Sent              uint64 // flow-mods since the Host was made
	LastError         string
}

type bridge struct {
	sess   Session
	synced bool
	change *session.Change
	total  [3]int // flows, groups and meters desired
	status BridgeStatus
	// refused are the flows left out, by key, until they change.
	refused map[pipeline.Key]*Refusal
	others  []*Refusal // groups and meters
	// busy while a part of a change is under way.
	busy bool
	// due is when the bridge is read back next; retry is the wait after the last refusal, 0 without one.
	due   time.Time
	retry time.Duration
	had   int // refusals after the last roll-out
	// waiters are told when an audit that began after they asked has been rolled out.
	waiters []chan struct{}
}

// Host rolls changes out to one host's bridges. One goroutine, Run's, talks to the switches; the methods may be
// called from any.
type Host struct {
	cfg  Config
	wake chan struct{}

	mu      sync.Mutex
	bridges map[string]*bridge
	rev     int64 // of the newest delta enqueued
	gate    bool
}

// New makes a Host with no bridges connected.
func New(cfg Config) *Host {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.AuditInterval == 0 {
		cfg.AuditInterval = 5 * time.Minute
	}
	if cfg.RetryInterval == 0 {
		cfg.RetryInterval = time.Second
	}
	return &Host{cfg: cfg, wake: make(chan struct{}, 1), bridges: map[string]*bridge{}}
}

func (h *Host) kick() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *Host) bridge(name string) *bridge {
	b := h.bridges[name]
	if b == nil {
		b = &bridge{change: session.NewChange(), refused: map[pipeline.Key]*Refusal{}}
		b.status.Bridge = name
		h.bridges[name] = b
	}
	return b
}

// Enqueue adds what the engine found to be different at a revision. It never blocks.
func (h *Host) Enqueue(rev int64, deltas []derive.BridgeDelta) {
	h.mu.Lock()
	h.rev = rev
	for i := range deltas {
		if b := h.bridge(deltas[i].Bridge); b.sess != nil {
			b.change.Merge(&deltas[i])
			b.total = [3]int{deltas[i].Flows, deltas[i].Groups, deltas[i].Meters}
		}
	}
	h.mu.Unlock()
	h.kick()
}

// Open lets changes flow: the engine has the whole store and the host's OVSDB monitor is complete. Until then
// nothing is read or sent, so that nothing is removed for want of knowledge.
func (h *Host) Open() {
	h.mu.Lock()
	h.gate = true
	h.mu.Unlock()
	h.kick()
}

// Connected hands over a bridge's new session; an older one of the same bridge is closed.
func (h *Host) Connected(name string, s Session) {
	h.mu.Lock()
	b := h.bridge(name)
	old := b.sess
	b.sess, b.synced = s, false
	b.status.Connected = true
	h.mu.Unlock()
	if old != nil {
		old.Close()
	}
	h.kick()
}

// Disconnected says that a session ended. A session that was replaced meanwhile changes nothing.
func (h *Host) Disconnected(name string, s Session, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.bridge(name); b.sess == s {
		b.sess, b.synced, b.change = nil, false, session.NewChange()
		for _, c := range b.waiters {
			close(c)
		}
		b.waiters = nil
		b.status.Connected = false
		if err != nil {
			b.status.LastError = err.Error()
		}
	}
}

// Status lists the bridges by name.
func (h *Host) Status() []BridgeStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []BridgeStatus
	for _, name := range slices.Sorted(maps.Keys(h.bridges)) {
		b := h.bridges[name]
		s := b.status
		s.Synced = b.sess != nil && b.synced && !b.busy && b.change.Empty()
		out = append(out, s)
	}
	return out
}

// Refusals lists what switches would not take and still stands.
func (h *Host) Refusals() []Refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Refusal
	for _, b := range h.bridges {
		seen := map[*Refusal]bool{}
		for _, r := range b.refused {
			if !seen[r] {
				seen[r] = true
				out = append(out, *r)
			}
		}
		for _, r := range b.others {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b Refusal) int { return compare(a.Bridge+a.What, b.Bridge+b.What) })
	return out
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Run does the work until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	t := time.NewTimer(h.cfg.AuditInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.wake:
		case <-t.C:
		}
		h.round(ctx)
		t.Reset(h.untilDue())
	}
}

// round synchronises new sessions, audits those that are due, and rolls out what is pending.
func (h *Host) round(ctx context.Context) {
	h.mu.Lock()
	if !h.gate {
		h.mu.Unlock()
		return
	}
	var read []string
	now := time.Now()
	for name, b := range h.bridges {
		if b.sess != nil && (!b.synced || !now.Before(b.due)) {
			read = append(read, name)
		}
	}
	h.mu.Unlock()
	if len(read) > 0 {
		defer h.slot(ctx)()
	}
	slices.Sort(read)
	var told []chan struct{}
	for _, name := range read {
		told = append(told, h.sync(ctx, name)...)
	}
	h.rollOut(ctx)
	for _, c := range told {
		close(c)
	}
}

// slotWait is how long a host waits for one of Config.Slots at most.
const slotWait = 5 * time.Second

// slot takes one of Config.Slots and returns what gives it back.
func (h *Host) slot(ctx context.Context) (free func()) {
	t := time.NewTimer(slotWait)
	defer t.Stop()
	select {
	case h.cfg.Slots <- struct{}{}: // never if it is nil
		return func() { <-h.cfg.Slots }
	default:
	}
	if h.cfg.Slots == nil {
		return func() {}
	}
	select {
	case h.cfg.Slots <- struct{}{}:
		return func() { <-h.cfg.Slots }
	case <-t.C:
	case <-ctx.Done():
	}
	return func() {}
}

// sync reads a bridge back and makes the difference to what is desired its pending change. It gives those who
// waited for that.
func (h *Host) sync(ctx context.Context, name string) (told []chan struct{}) {
	h.mu.Lock()
	b := h.bridge(name)
	s, audit, asked := b.sess, b.synced, len(b.waiters)
	h.mu.Unlock()
	if s == nil {
		return nil
	}
	tctx, cancel := context.WithTimeout(ctx, 2*h.cfg.Timeout)
	defer cancel()
	var known *derive.Flows // what is read and desired is kept once
	if err := h.cfg.Engine.Desired(ctx, h.cfg.Host, name, func(d *derive.Desired, _ int64) { known = d.Flows }); err != nil {
		return nil // the engine is stopping
	}
	have, err := s.Read(tctx, known)
	if err != nil {
		h.fail(name, s, fmt.Errorf("read flows back: %w", err))
		return nil
	}
	var want *derive.Desired
	var pending *session.Change
	err = h.cfg.Engine.Desired(ctx, h.cfg.Host, name, func(d *derive.Desired, rev int64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		// What was pending is part of d; what comes from here on is merged behind the difference.
		want, pending, b.change = d, b.change, session.NewChange()
		h.rev = max(h.rev, rev)
	})
	if err != nil {
		return nil // the engine is stopping
	}
	diff := session.Diff(want, have, name != pipeline.BrInt && name != pipeline.BrTun)
	h.mu.Lock()
	if b.sess != s {
		h.mu.Unlock()
		return nil
	}
	told, b.waiters = b.waiters[:asked:asked], b.waiters[asked:]
	b.forget(want, diff)
	drift := 0
	if audit {
		drift = diff.Without(pending, b.isRefused)
		b.status.Audits++
		b.status.Repaired += uint64(drift)
	}
	log := h.cfg.Logger.Debug
	switch {
	case drift > 0:
		log = h.cfg.Logger.Warn
	case !audit:
		log = h.cfg.Logger.Info
	}
	log("read bridge back", zap.String("host", string(h.cfg.Host)), zap.String("bridge", name),
		zap.Int("flows", have.Flows.Len()), zap.Int("foreign", have.Foreign), zap.Int("to_set", len(diff.Set)),
		zap.Int("to_delete", len(diff.Del)), zap.Int("drifted", drift))
	diff.Then(b.change)
	b.change, b.synced, b.due = diff, true, h.later()
	b.status.Foreign = have.Foreign
	b.total = [3]int{want.Flows.Len(), len(want.Groups), len(want.Meters)}
	if b.change.Empty() {
		b.settle()
	}
	h.mu.Unlock()
	if audit && h.cfg.Audited != nil {
		h.cfg.Audited(name, drift)
	}
	return told
}

// settle says that the bridge holds what is desired, what it refused excepted.
func (b *bridge) settle() {
	b.status.Desired, b.status.Flows = b.total[0], b.total[0]-len(b.refused)
	b.status.Groups, b.status.Meters = b.total[1], b.total[2]
}

// A change of which the switch has refused parts faulty times is no longer sent at once but together flows at a time.
const faulty, together = 8, 64

type job struct {
	name string
	sess Session
	c    *session.Change
}

// rollOut sends all pending changes in three steps. Where flows only come, as for a port that is plugged, nothing that
// works now can break between br-int and the others, and the first two steps are one: an ovs-vswitchd with thousands of
// ports takes some hundred milliseconds for a round trip.
func (h *Host) rollOut(ctx context.Context) {
	h.mu.Lock()
	var jobs []job
	intUp := false
	for name, b := range h.bridges {
		if b.sess == nil || !b.synced {
			continue
		}
		intUp = intUp || name == pipeline.BrInt
		if !b.change.Empty() {
			jobs = append(jobs, job{name, b.sess, b.change})
			b.change, b.busy = session.NewChange(), true
		}
	}
	rev := h.rev
	h.mu.Unlock()
	slices.SortFunc(jobs, func(a, b job) int { return compare(a.name, b.name) })
	atOnce := !slices.ContainsFunc(jobs, func(j job) bool { return j.c.Replaces })
	var wg sync.WaitGroup
	results := make([]bool, len(jobs))
	for i, j := range jobs {
		switch {
		case j.name == pipeline.BrInt:
		case atOnce:
			wg.Go(func() { results[i] = h.apply(ctx, j, j.c.Additions()) })
		default:
			results[i] = h.apply(ctx, j, j.c.Additions())
		}
	}
	for i, j := range jobs {
		if j.name == pipeline.BrInt {
			results[i] = h.apply(ctx, j, j.c)
		}
	}
	wg.Wait()
	ok := !slices.Contains(results, false)
	for _, j := range jobs {
		if j.name != pipeline.BrInt {
			ok = h.apply(ctx, j, j.c.Removals()) && ok
		}
	}
	h.finish(jobs)
	if intUp && ok && h.cfg.Applied != nil {
		h.cfg.Applied(rev)
	}
}

// apply sends one bridge's part and reports whether the session still stands. What the switch refuses is taken out with its unit and the rest is sent again.
func (h *Host) apply(ctx context.Context, j job, c *session.Change) bool {
	for tries := 0; !c.Empty(); tries++ {
		if tries == faulty && len(c.Set) > together {
			// Every fault costs the whole change once more: a full table would take minutes.
			for _, part := range c.Split(together) {
				if !h.apply(ctx, j, part) {
					return false
				}
			}
			return true
		}
		start := time.Now()
		tctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout*time.Duration(1+c.Size()/session.MaxBundle))
		err := j.sess.Apply(tctx, c)
		cancel()
		if h.cfg.Observe != nil && err == nil {
			h.cfg.Observe(j.name, time.Since(start), len(c.Set)+len(c.Del))
		}
		var rej *session.Rejected
		switch {
		case err == nil:
			h.count(j.name, c)
			return true
		case errors.Is(err, session.ErrPartly):
			h.cfg.Logger.Error("reading the bridge back", zap.String("host", string(h.cfg.Host)), zap.String("bridge", j.name), zap.Error(err))
			h.mu.Lock()
			if b := h.bridge(j.name); b.sess == j.sess {
				b.synced, b.status.Synced, b.status.LastError = false, false, err.Error()
			}
			h.mu.Unlock()
			h.kick()
			return false
		case errors.As(err, &rej):
			if !h.refuse(ctx, j.name, c, rej) {
				h.fail(j.name, j.sess, err)
				return false
			}
		default:
			h.fail(j.name, j.sess, err)
			return false
		}
	}
	return true
}

// fail ends a session that does not answer as it should; the switch connects again and is read back.
func (h *Host) fail(name string, s Session, err error) {
	h.cfg.Logger.Warn("switch session failed", zap.String("host", string(h.cfg.Host)), zap.String("bridge", name), zap.Error(err))
	h.Disconnected(name, s, err)
	s.Close()
}
