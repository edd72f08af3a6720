package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

const patience = 10 * time.Second

// world is an engine and switches that are maps. What the engine wants changes by set, what is sent by Apply.
type world struct {
	t    *testing.T
	h    *Host
	stop func()

	mu       sync.Mutex
	rev      int64
	want     map[string]map[pipeline.Key]pipeline.Flow
	units    map[pipeline.Key]string // of flows, for UnitOf; a flow without one is its own
	has      map[string]map[pipeline.Key]pipeline.Flow
	applied  []int64
	audited  map[string]int
	refusals int      // calls of Refused
	log      []string // what was applied, in order
	gate     chan struct{}
	reject   func(bridge string, c *session.Change) error
	reads    int
	applying int // calls of Apply, begun
}

func newWorld(t *testing.T, change func(*Config)) *world {
	w := &world{t: t, want: map[string]map[pipeline.Key]pipeline.Flow{}, has: map[string]map[pipeline.Key]pipeline.Flow{},
		units: map[pipeline.Key]string{}, audited: map[string]int{}}
	cfg := Config{Host: "h1", Engine: w, Logger: zap.NewNop(), RetryInterval: time.Millisecond,
		Applied: func(rev int64) { w.mu.Lock(); w.applied = append(w.applied, rev); w.mu.Unlock() },
		Refused: func() { w.mu.Lock(); w.refusals++; w.mu.Unlock() },
		Audited: func(b string, n int) { w.mu.Lock(); w.audited[b] += n; w.mu.Unlock() },
	}
	if change != nil {
		change(&cfg)
	}
	w.h = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.h.Run(ctx) }() //nolint:errcheck // ends with ctx
	w.stop = func() { cancel(); <-done }
	t.Cleanup(w.stop)
	return w
}

func (w *world) Desired(_ context.Context, _ model.HostName, bridge string, f func(*derive.Desired, int64)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&derive.Desired{Flows: derive.NewFlows(slices.Collect(maps.Values(w.want[bridge]))...)}, w.rev)
	return nil
}

var kind = &pipeline.Kind{Name: "unit"}

func (w *world) UnitOf(_ context.Context, _ model.HostName, bridge string, r *session.Rejected) (pipeline.UnitID, []pipeline.Key, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, ok := w.units[*r.Key]
	if !ok {
		return pipeline.UnitID{}, nil, nil
	}
	var keys []pipeline.Key
	for k := range w.want[bridge] {
		if w.units[k] == name {
			keys = append(keys, k)
		}
	}
	return pipeline.UnitID{Kind: kind, ID: name}, keys, nil
}

// link is one connection to a switch of the world.
type link struct {
	w      *world
	bridge string
	closed bool
}

func (l *link) Read(context.Context, *derive.Flows) (*session.Installed, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.reads++
	if l.closed {
		return nil, errors.New("closed")
	}
	return &session.Installed{Flows: derive.NewFlows(slices.Collect(maps.Values(l.w.has[l.bridge]))...)}, nil
}

func (l *link) Apply(_ context.Context, c *session.Change) error {
	w := l.w
	w.mu.Lock()
	gate := w.gate
	w.applying++
	w.mu.Unlock()
	if gate != nil {
		<-gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.closed {
		return errors.New("closed")
	}
	if w.reject != nil {
		if err := w.reject(l.bridge, c); err != nil {
			return err
		}
	}
	w.log = append(w.log, fmt.Sprintf("%s +%d -%d", l.bridge, len(c.Set), len(c.Del)))
	if w.has[l.bridge] == nil {
		w.has[l.bridge] = map[pipeline.Key]pipeline.Flow{}
	}
	for k, f := range c.Set {
		w.has[l.bridge][k] = f
	}
	for k := range c.Del {
		delete(w.has[l.bridge], k)
	}
	return nil
}

func (l *link) Close() error { l.w.mu.Lock(); defer l.w.mu.Unlock(); l.closed = true; return nil }

func (w *world) connect(bridge string) *link {
	l := &link{w: w, bridge: bridge}
	w.h.Connected(bridge, l)
	return l
}

func flow(n int, actions string) pipeline.Flow {
	return pipeline.Flow{Key: pipeline.Key{Table: 1, Priority: uint16(n)}, Actions: actions, Cookie: pipeline.MakeCookie(1, 1, uint32(n))}
}

// set changes what is wanted and enqueues it: flows of a bridge with empty actions go.
func (w *world) set(flows map[string][]pipeline.Flow) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rev++
	var deltas []derive.BridgeDelta
	for _, bridge := range slices.Sorted(maps.Keys(flows)) {
		d := derive.BridgeDelta{Host: "h1", Bridge: bridge}
		if w.want[bridge] == nil {
			w.want[bridge] = map[pipeline.Key]pipeline.Flow{}
		}
		for _, f := range flows[bridge] {
			if _, had := w.want[bridge][f.Key]; had {
				d.Replaces = true
			}
			if f.Actions == "" {
				d.Del = append(d.Del, f)
				delete(w.want[bridge], f.Key)
			} else {
				d.Set = append(d.Set, f)
				w.want[bridge][f.Key] = f
			}
		}
		d.Flows = len(w.want[bridge])
		deltas = append(deltas, d)
	}
	w.h.Enqueue(w.rev, deltas) // under mu, as the engine's goroutine keeps the order to Desired
	return w.rev
}

func (w *world) wait(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		yes := ok()
		w.mu.Unlock()
		if yes {
			return
		}
		if time.Now().After(end) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("waited in vain for %s; applied %v, log %q", what, w.applied, w.log)
		}
	}
}

func (w *world) waitApplied(rev int64) {
	w.t.Helper()
	w.wait(fmt.Sprintf("revision %d", rev), func() bool { return len(w.applied) > 0 && w.applied[len(w.applied)-1] >= rev })
}

func (w *world) takeLog() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := strings.Join(w.log, ", ")
	w.log = nil
	return l
}

func (w *world) up(bridges ...string) {
	w.t.Helper()
	w.h.Open()
	for _, b := range bridges {
		w.connect(b)
	}
	w.wait("all bridges to be synced", func() bool {
		n := 0
		for _, s := range w.h.Status() {
			if s.Synced {
				n++
			}
		}
		return n == len(bridges)
	})
	w.waitApplied(0)
}

// TestGate shows that nothing is read or sent before Open.
func TestGate(t *testing.T) {
	w := newWorld(t, nil)
	w.has["br-int"] = map[pipeline.Key]pipeline.Flow{flow(1, "old").Key: flow(1, "old")}
	w.connect("br-int")
	w.set(map[string][]pipeline.Flow{"br-int": {flow(2, "new")}})
	w.h.Audit(canceled()) //nolint:errcheck // it only has to wake Run
	if w.reads != 0 || w.takeLog() != "" {
		t.Fatalf("%d reads before Open", w.reads)
	}
	w.h.Open()
	w.waitApplied(1)
	if l := w.takeLog(); l != "br-int +1 -1" {
		t.Error(l)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestAtOnce shows that bridges do not wait for each other where flows only come.
func TestAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.up("br-int", "br-tun")
	for i, want := range []string{"br-int +1 -0, br-tun +1 -0", "br-tun +1 -0, br-int +1 -0"} {
		name := fmt.Sprint("v", i)
		w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(1, name)}, "br-tun": {flow(9, "new"+name)}}))
		got := strings.Split(w.takeLog(), ", ")
		if i == 0 { // in any order
			slices.Sort(got)
		}
		if l := strings.Join(got, ", "); l != want {
			t.Errorf("step %d: %s, want %s", i, l, want)
		}
	}
}

// TestOrder shows that a change over several bridges is made before it is broken.
func TestOrder(t *testing.T) {
	w := newWorld(t, nil)
	w.up("br-int", "br-tun", "br-ex")
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a")}, "br-tun": {flow(1, "a")}, "br-ex": {flow(1, "a")}}))
	w.takeLog()
	rev := w.set(map[string][]pipeline.Flow{
		"br-int": {flow(1, ""), flow(2, "b")}, "br-tun": {flow(1, ""), flow(2, "b")}, "br-ex": {flow(1, ""), flow(2, "b"), flow(3, "b")}})
	w.waitApplied(rev)
	if l, want := w.takeLog(), "br-ex +2 -0, br-tun +1 -0, br-int +1 -1, br-ex +0 -1, br-tun +0 -1"; l != want {
		t.Errorf("order\n%s, want\n%s", l, want)
	}
	for _, s := range w.h.Status() {
		if !s.Synced || s.Flows != s.Desired || s.Desired != len(w.want[s.Bridge]) {
			t.Errorf("%+v", s)
		}
	}
	if _, ok := w.has["br-int"][flow(1, "").Key]; ok {
		t.Error("a deleted flow is there")
	}
	// A revision that changes nothing here is confirmed too.
	w.waitApplied(w.set(nil))
	if l := w.takeLog(); l != "" {
		t.Error(l)
	}
}

// TestCoalesce shows that changes which come while a switch is busy become one.
func TestCoalesce(t *testing.T) {
	w := newWorld(t, nil)
	w.up("br-int")
	gate := make(chan struct{})
	w.mu.Lock()
	w.gate = gate
	w.mu.Unlock()
	begun := w.applying
	w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a"), flow(9, "x")}})
	w.wait("the switch to be busy", func() bool { return w.applying > begun })
	for i := range 100 {
		w.set(map[string][]pipeline.Flow{"br-int": {flow(1, fmt.Sprint("v", i)), flow(i%7+2, fmt.Sprint("w", i))}})
	}
	w.set(map[string][]pipeline.Flow{"br-int": {flow(9, "")}})
	w.mu.Lock()
	w.gate = nil
	w.mu.Unlock()
	close(gate)
	w.waitApplied(w.rev)
	if l := w.log; len(l) > 3 {
		t.Errorf("%d messages to the switch: %q", len(l), l)
	}
	if !maps.Equal(w.has["br-int"], w.want["br-int"]) {
		t.Errorf("has %v, want %v", w.has, w.want)
	}
}

// refuses makes the switch refuse a flow for as long as on says so.
func refuses(on *bool, key pipeline.Key) func(string, *session.Change) error {
	return func(_ string, c *session.Change) error {
		if _, ok := c.Set[key]; ok && *on {
			return &session.Rejected{Key: &key, What: "flow", Err: errors.New("TABLE_FULL")}
		}
		return nil
	}
}

// TestRefused shows that a refused flow is left out with its unit, is told, and heals.
func TestRefused(t *testing.T) {
	w := newWorld(t, nil)
	on := true
	bad := flow(1, "a")
	w.units[bad.Key], w.units[flow(2, "").Key], w.units[flow(3, "").Key] = "one", "one", "two"
	w.reject = refuses(&on, bad.Key)
	w.up("br-int")
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {bad, flow(2, "a"), flow(3, "a")}}))
	w.mu.Lock()
	if len(w.has["br-int"]) != 1 || w.refusals == 0 {
		t.Errorf("has %v, told %d times", w.has, w.refusals)
	}
	w.mu.Unlock()
	r := w.h.Refusals()
	if len(r) != 1 || r[0].Unit.ID != "one" || r[0].Bridge != "br-int" || r[0].Err == nil {
		t.Errorf("refusals %+v", r)
	}
	// Others go through meanwhile, and the one is tried again and again.
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(4, "a")}}))
	w.mu.Lock()
	n := w.reads
	w.mu.Unlock()
	w.wait("a retry", func() bool { return w.reads > n+1 })
	w.mu.Lock()
	told := w.refusals
	on = false
	w.mu.Unlock()
	w.wait("everything to be in place", func() bool { return maps.Equal(w.has["br-int"], w.want["br-int"]) })
	w.wait("the news of it", func() bool { return w.refusals > told })
	if r := w.h.Refusals(); len(r) != 0 {
		t.Errorf("refusals %+v", r)
	}
	if n := w.audited["br-int"]; n != 0 {
		t.Errorf("%d refused flows count as drifted", n)
	}
}

// TestManyRefused has a table that is full: what fits is in place, and it costs little to find out.
func TestManyRefused(t *testing.T) {
	const flows, room = 3000, 500
	w := newWorld(t, func(c *Config) { c.RetryInterval = time.Hour })
	sent := 0
	w.reject = func(b string, c *session.Change) error {
		sent += len(c.Set)
		n := len(w.has[b])
		for k := range c.Set {
			if _, ok := w.has[b][k]; ok {
				continue
			}
			if n++; n > room {
				return &session.Rejected{Key: &k, What: "flow", Err: errors.New("TABLE_FULL")}
			}
		}
		return nil
	}
	w.up("br-int")
	var all []pipeline.Flow
	for i := range flows {
		all = append(all, flow(i, "a"))
	}
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": all}))
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.has["br-int"]); n != room {
		t.Errorf("%d flows in place, there is room for %d", n, room)
	}
	if n := len(w.h.Refusals()); n != flows-room {
		t.Errorf("%d refusals", n)
	}
	if sent > 50*flows {
		t.Errorf("%d flows were sent for %d", sent, flows)
	}
}

// TestRefusedGone shows that a refusal goes with what was refused.
func TestRefusedGone(t *testing.T) {
	w := newWorld(t, nil)
	on := true
	w.reject = refuses(&on, flow(1, "").Key)
	w.up("br-int")
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a")}}))
	if len(w.h.Refusals()) != 1 {
		t.Fatalf("%+v", w.h.Refusals())
	}
	w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "")}})
	w.wait("the refusal to go", func() bool { return len(w.h.Refusals()) == 0 })
}

// TestRefusesWhatWasNotSent shows that a switch that makes no sense is disconnected, not asked for ever.
func TestRefusesWhatWasNotSent(t *testing.T) {
	w := newWorld(t, nil)
	w.up("br-int")
	k := flow(77, "").Key
	w.mu.Lock()
	w.reject = func(string, *session.Change) error {
		return &session.Rejected{Key: &k, What: "flow", Err: errors.New("nonsense")}
	}
	w.mu.Unlock()
	w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a")}})
	w.wait("the session to end", func() bool { return !w.h.Status()[0].Connected })
}

// TestReconnect shows that a failed session is closed and the next one reads back and sends what is missing.
func TestReconnect(t *testing.T) {
	w := newWorld(t, nil)
	w.up("br-int", "br-tun")
	w.mu.Lock()
	fail := true
	w.reject = func(b string, _ *session.Change) error {
		if fail && b == "br-int" {
			return errors.New("broken pipe")
		}
		return nil
	}
	w.mu.Unlock()
	rev := w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a")}, "br-tun": {flow(1, "a")}})
	w.wait("the session to end", func() bool { return !w.h.Status()[0].Connected })
	if s := w.h.Status()[0]; s.LastError == "" || s.Synced {
		t.Errorf("%+v", s)
	}
	w.mu.Lock()
	if slices.Contains(w.applied, rev) {
		t.Error("a revision that br-int does not have is confirmed")
	}
	fail = false
	w.mu.Unlock()
	l := w.connect("br-int")
	w.waitApplied(rev)
	old := &link{w: w, bridge: "br-int"}
	w.h.Disconnected("br-int", old, errors.New("late news of an older session"))
	if s := w.h.Status()[0]; !s.Connected {
		t.Errorf("%+v", s)
	}
	next := w.connect("br-int") // the switch connects anew before the old connection is known to be dead
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(2, "a")}}))
	w.wait("the old session to be closed", func() bool { return l.closed && !next.closed })
	if !maps.Equal(w.has["br-int"], w.want["br-int"]) {
		t.Errorf("has %v", w.has)
	}
}

// TestAudit shows that drift is found and repaired, by itself and on demand, and that what is pending is no drift.
func TestAudit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AuditInterval = 5 * time.Millisecond })
	w.up("br-int", "br-tun")
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a"), flow(2, "a")}, "br-tun": {flow(1, "a")}}))
	w.wait("audits", func() bool { s := w.h.Status(); return s[0].Audits > 2 && s[1].Audits > 2 })
	w.mu.Lock()
	if n := w.audited["br-int"] + w.audited["br-tun"]; n != 0 {
		t.Errorf("%d repaired where nothing is wrong", n)
	}
	w.has["br-int"][flow(1, "").Key] = flow(1, "other")
	w.has["br-int"][flow(7, "").Key] = flow(7, "stale")
	delete(w.has["br-tun"], flow(1, "").Key)
	w.mu.Unlock()
	w.wait("the repair", func() bool {
		return maps.Equal(w.has["br-int"], w.want["br-int"]) && maps.Equal(w.has["br-tun"], w.want["br-tun"])
	})
	w.wait("its count", func() bool { return w.audited["br-int"] == 2 && w.audited["br-tun"] == 1 })

	w = newWorld(t, nil) // five minutes apart: on demand only
	w.up("br-int")
	w.waitApplied(w.set(map[string][]pipeline.Flow{"br-int": {flow(1, "a")}}))
	w.mu.Lock()
	delete(w.has["br-int"], flow(1, "").Key)
	w.mu.Unlock()
	if err := w.h.Audit(t.Context()); err != nil || w.audited["br-int"] != 1 || !maps.Equal(w.has["br-int"], w.want["br-int"]) {
		t.Errorf("%v, audited %v, has %v", err, w.audited, w.has)
	}
	// One that asks while the bridge goes away is not left waiting.
	gate := make(chan struct{})
	w.mu.Lock()
	w.gate = gate
	begun := w.applying
	w.mu.Unlock()
	w.set(map[string][]pipeline.Flow{"br-int": {flow(2, "a")}})
	w.wait("the switch to be busy", func() bool { return w.applying > begun })
	done := make(chan error, 1)
	go func() { done <- w.h.Audit(t.Context()) }()
	w.h.mu.Lock()
	s := w.h.bridges["br-int"].sess
	w.h.mu.Unlock()
	for waiting, end := false, time.Now().Add(patience); !waiting; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an audit does not come to wait")
		}
		w.h.mu.Lock()
		waiting = len(w.h.bridges["br-int"].waiters) > 0
		w.h.mu.Unlock()
	}
	w.h.Disconnected("br-int", s, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.mu.Lock()
	w.gate = nil
	w.mu.Unlock()
	close(gate)
}

// TestRandom changes what is wanted, drops connections, refuses flows and lets flows drift at random; in the end every
// bridge holds what is wanted.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		r, rejects := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t, func(c *Config) { c.AuditInterval = 2 * time.Millisecond })
		for i := range 40 {
			w.units[flow(i, "").Key] = fmt.Sprint("u", i/4)
		}
		var bad pipeline.Key
		rejecting := false
		w.reject = func(_ string, c *session.Change) error {
			if _, ok := c.Set[bad]; ok && rejecting {
				k := bad
				return &session.Rejected{Key: &k, What: "flow", Err: errors.New("no")}
			}
			if rejects.IntN(30) == 0 && rejecting {
				return errors.New("connection reset")
			}
			return nil
		}
		bridges := []string{"br-ex", "br-int", "br-tun"}
		w.up(bridges...)
		for range 200 {
			b := bridges[r.IntN(3)]
			n := r.IntN(40)
			switch x := r.IntN(20); {
			case x < 12:
				a := fmt.Sprint("a", r.IntN(4))
				if a == "a0" {
					a = ""
				}
				w.set(map[string][]pipeline.Flow{b: {flow(n, a), flow((n+1)%40, a)}})
			case x < 14:
				w.mu.Lock()
				delete(w.has[b], flow(n, "").Key)
				w.mu.Unlock()
			case x < 16:
				w.mu.Lock()
				bad, rejecting = flow(n, "").Key, !rejecting
				w.mu.Unlock()
			default:
				w.connect(b)
			}
		}
		w.mu.Lock()
		rejecting = false
		w.mu.Unlock()
		for _, b := range bridges {
			w.connect(b)
		}
		w.wait(fmt.Sprintf("seed %d: all bridges as wanted", seed), func() bool {
			for _, b := range bridges {
				if !maps.Equal(w.has[b], w.want[b]) {
					return false
				}
			}
			return len(w.h.Refusals()) == 0
		})
		w.waitApplied(w.rev)
		w.stop()
	}
}
