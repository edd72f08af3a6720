// Package binding keeps the store's record of which port's VIF is where, for one host: it compares the VIFs
// that the host's Open vSwitch shows with the ports, takes the numbers a bound port needs, and reports a port
// ACTIVE once its flows are confirmed. Level triggered: it compares states and never counts events.
package binding

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/store"
)

// BatchSize is how many ports one transaction binds at most: it bounds the transaction's size, and the wait
// of the first of many ports plugged at once.
const BatchSize = 100

// DB is the host's database as the worker uses it.
type DB interface {
	State() ovsdb.Snapshot
	Subscribe() *ovsdb.Subscription
	SetInstalled(ctx context.Context, uuids []string, installed bool) error
}

// Config is what a Worker is made of.
type Config struct {
	Host   model.HostName
	Store  *store.Store
	DB     DB
	Logger *zap.Logger
	// Complete is called once, when the host's database is read whole and the bindings agree with it.
	Complete func()
	// Bound, if set, is told how long after the database's update with its port number the switches confirmed the
	// flows of each newly bound port; 0 if that was before.
	Bound func(time.Duration)
	// Refused gives the ports of which switches refuse flows: they are not ACTIVE. It may be called often.
	Refused func() map[model.PortID]bool
}

// Problem is a VIF that cannot be bound, for health.
type Problem struct {
	Code, Text string
	Port       model.PortID
}

// Worker does the binding of one host. Run's goroutine does the work; the other methods may be called from any.
type Worker struct {
	cfg  Config
	wake chan struct{}

	mu       sync.Mutex
	dirty    map[model.PortID]struct{}
	applied  int64
	at       time.Time                  // of applied
	heard    map[model.PortID]time.Time // of dirty ports: when the database told
	problems map[model.PortID]Problem
	refused  map[model.PortID]bool // as of the last RefusalsChanged
	numbers  numbers

	// waiting holds the ports whose flows are not confirmed yet, by the revision they need; begun is for the
	// measure of those newly bound. Run's alone.
	waiting map[model.PortID]int64
	begun   map[model.PortID]*timing
	backoff time.Duration // of the last failure, 0 after a success
}

// New makes a Worker.
func New(cfg Config) *Worker {
	return &Worker{cfg: cfg, wake: make(chan struct{}, 1), dirty: map[model.PortID]struct{}{},
		problems: map[model.PortID]Problem{}, waiting: map[model.PortID]int64{},
		heard: map[model.PortID]time.Time{}, begun: map[model.PortID]*timing{},
		numbers: numbers{map[string]uint32{}, map[string]model.PortID{}}}
}

func (w *Worker) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// PortsChanged says that ports changed in the store. Those without a VIF or binding here cost a look-up.
func (w *Worker) PortsChanged(ids []model.PortID) {
	s, v := w.cfg.DB.State(), w.cfg.Store.View()
	w.mu.Lock()
	n := len(w.dirty)
	for _, id := range ids {
		if _, bound := v.Binding(w.cfg.Host, id); bound || len(s.VIFs(string(id))) > 0 {
			w.dirty[id] = struct{}{}
		}
	}
	n -= len(w.dirty)
	w.mu.Unlock()
	if n != 0 {
		w.kick()
	}
}

// Applied says that the host's switches confirmed everything up to a revision.
func (w *Worker) Applied(rev int64) {
	w.mu.Lock()
	if rev > w.applied {
		w.applied, w.at = rev, time.Now()
	}
	w.mu.Unlock()
	w.kick()
}

// HostChanged says that the host's settings changed: VIFs that could not be bound are looked at again.
func (w *Worker) HostChanged() {
	w.mu.Lock()
	for id := range w.problems {
		w.dirty[id] = struct{}{}
	}
	w.mu.Unlock()
	w.kick()
}

// RefusalsChanged says that Config.Refused has another answer now.
func (w *Worker) RefusalsChanged() {
	now := w.cfg.Refused()
	w.mu.Lock()
	for id := range w.refused {
		w.dirty[id] = struct{}{}
	}
	for id := range now {
		w.dirty[id] = struct{}{}
	}
	w.refused = now
	w.mu.Unlock()
	w.kick()
}

func (w *Worker) isRefused(id model.PortID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused[id]
}

// Problems lists the VIFs that cannot be bound, by port.
func (w *Worker) Problems() []Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Problem, 0, len(w.problems))
	for _, id := range slices.Sorted(maps.Keys(w.problems)) {
		out = append(out, w.problems[id])
	}
	return out
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	sub := w.cfg.DB.Subscribe()
	defer sub.Close()
	complete := false
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.C():
		case <-w.wake:
		case <-retry.C:
		}
		u := sub.Take()
		if !u.Snapshot.Complete {
			continue
		}
		w.note(&u, !complete)
		if err := w.bind(ctx); err != nil {
			w.again(ctx, retry, "bind ports", err)
			continue
		}
		if !complete {
			complete = true
			w.cfg.Complete()
		}
		if err := w.activate(ctx); err != nil {
			w.again(ctx, retry, "report ports active", err)
			continue
		}
		w.backoff = 0
	}
}

// again tries what failed once more a little later; nothing is lost, since states are compared.
func (w *Worker) again(ctx context.Context, t *time.Timer, what string, err error) {
	if ctx.Err() == nil {
		w.cfg.Logger.Warn("cannot "+what+", trying again", zap.String("host", string(w.cfg.Host)), zap.Error(err))
		w.backoff = min(max(2*w.backoff, 250*time.Millisecond), 8*time.Second)
		t.Reset(w.backoff)
	}
}

// note takes over what the database says changed; all of it the first time and after a gap.
func (w *Worker) note(u *ovsdb.Update, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range u.IfaceIDs {
		w.dirty[model.PortID(id)] = struct{}{}
		if !u.Since.IsZero() {
			w.heard[model.PortID(id)] = u.Since
		}
	}
	if !all && !u.All {
		return
	}
	u.Snapshot.EachVIF(func(v *ovsdb.VIF) bool {
		w.dirty[model.PortID(v.IfaceID)] = struct{}{}
		return true
	})
	for o := range w.cfg.Store.Snapshot().EachOf(model.BindingsByHost, string(w.cfg.Host)) {
		w.dirty[o.(*model.Binding).PortID] = struct{}{}
	}
}

// bind brings the bindings of dirty ports up to date, a batch a transaction.
func (w *Worker) bind(ctx context.Context) error {
	for {
		w.mu.Lock()
		var ids []model.PortID
		for id := range w.dirty {
			if ids = append(ids, id); len(ids) == BatchSize {
				break
			}
		}
		for _, id := range ids {
			delete(w.dirty, id)
		}
		w.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		slices.Sort(ids)
		if err := w.bindBatch(ctx, ids); err != nil {
			w.mu.Lock()
			for _, id := range ids {
				w.dirty[id] = struct{}{}
			}
			w.mu.Unlock()
			return err
		}
	}
}

func (w *Worker) bindBatch(ctx context.Context, ids []model.PortID) error {
	state := w.cfg.DB.State()
	v := w.cfg.Store.View()
	problems, fresh, heard := map[model.PortID]Problem{}, map[model.PortID]bool{}, map[model.PortID]time.Time{}
	var change []model.PortID
	for _, id := range ids {
		want, p := w.want(v, &state, id)
		if p != nil {
			problems[id] = *p
		}
		cur, bound := v.Binding(w.cfg.Host, id)
		fresh[id] = want != nil && !bound
		if (want != nil) != bound || bound && (want.Interface != cur.Interface || want.OFPort != cur.OFPort) || w.staleStatus(v, id, bound) {
			change = append(change, id)
		}
	}
	w.mu.Lock()
	for _, id := range ids {
		delete(w.problems, id)
		heard[id] = w.heard[id]
		delete(w.heard, id)
	}
	maps.Copy(w.problems, problems)
	w.mu.Unlock()
	for _, id := range ids {
		if fresh[id] {
			w.begun[id] = &timing{}
		}
		switch b := w.begun[id]; {
		case b == nil || !numbered(&state, id):
		case heard[id].IsZero() && b.numbered.IsZero(): // it was not the VIF that came last
			delete(w.begun, id)
		default:
			w.clock(id, heard[id], time.Time{})
		}
	}
	if err := store.InParts(change, BatchSize, func(part []model.PortID) error {
		_, err := w.cfg.Store.Update(ctx, w.meta(), func(tx *store.Tx) error {
			for _, id := range part {
				if err := w.put(tx, &state, id); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}); err != nil {
		return err
	}
	w.await(ids, &state)
	return w.unmark(ctx, ids, &state)
}

// unmark takes penstock-installed away from VIFs whose ports are not, or not any more, in place.
func (w *Worker) unmark(ctx context.Context, ids []model.PortID, state *ovsdb.Snapshot) error {
	v := w.cfg.Store.View()
	var uuids []string
	for _, id := range ids {
		b, bound := v.Binding(w.cfg.Host, id)
		s, ok := v.PortStatus(id)
		active := bound && ok && s.Status == model.StatusActive && s.Host == w.cfg.Host
		for _, vif := range state.VIFs(string(id)) {
			if vif.Installed && !(active && vif.Name == b.Interface) {
				uuids = append(uuids, vif.UUID)
			}
		}
	}
	if len(uuids) == 0 {
		return nil
	}
	return w.cfg.DB.SetInstalled(ctx, uuids, false)
}

func (w *Worker) meta() store.Meta {
	return store.Meta{Author: "penstockd", Request: "bindings of " + string(w.cfg.Host)}
}

// await notes which of the ports are to be reported active, and when.
func (w *Worker) await(ids []model.PortID, state *ovsdb.Snapshot) {
	snap := w.cfg.Store.Snapshot()
	v := model.NewView(snap)
	for _, id := range ids {
		b, bound := v.Binding(w.cfg.Host, id)
		p, ok := v.Port(id)
		if !bound || !ok || !p.AdminStateUp {
			delete(w.waiting, id)
			delete(w.begun, id)
			continue
		}
		vif := find(state, id, b.Interface)
		if v.Status(id) == model.StatusActive && vif != nil && vif.Installed {
			continue
		}
		w.waiting[id] = max(snap.Version(model.Bindings, b.ObjectID()), snap.Version(model.Ports, string(id)))
	}
}

// want is the binding that a port should have on this host, without its numbers; nil for none.
func (w *Worker) want(v model.View, state *ovsdb.Snapshot, id model.PortID) (*model.Binding, *Problem) {
	vifs := state.VIFs(string(id))
	if len(vifs) == 0 {
		return nil, nil
	}
	p, ok := v.Port(id)
	if !ok {
		return nil, &Problem{"VIF_UNKNOWN", fmt.Sprintf("Interface %s on host %s has iface-id %s, but there is no such port: create the port or remove the Interface", vifs[0].Name, w.cfg.Host, id), id}
	}
	cur, bound := v.Binding(w.cfg.Host, id)
	if problem := w.elsewhere(v, p, vifs[0], bound); problem != nil {
		return nil, problem
	}
	var problem *Problem
	if len(vifs) > 1 {
		problem = &Problem{"VIF_TWICE", fmt.Sprintf("%d Interfaces on host %s have iface-id %s: remove all but one", len(vifs), w.cfg.Host, id), id}
	}
	var best *ovsdb.VIF
	port := 0
	for _, vif := range vifs {
		if n := w.number(vif); n > 0 && (best == nil || bound && vif.Name == cur.Interface) {
			best, port = vif, n
		}
	}
	if best == nil {
		if vifs[0].OFPort < 0 {
			problem = &Problem{"VIF_FAILED", fmt.Sprintf("Open vSwitch on host %s could not add Interface %s of port %s: %s", w.cfg.Host, vifs[0].Name, id, vifs[0].Error), id}
		}
		return nil, problem
	}
	return &model.Binding{PortID: id, Host: w.cfg.Host, NetworkID: p.NetworkID, Interface: best.Name, OFPort: uint32(port)}, problem
}

// elsewhere says why a port that has a VIF here is not to be bound here; nil if it is.
//
// A port is bound on the host that binding:host_id names, on those of its inactive bindings and the one that the
// migration profile names beside it, and, without a host_id, on the first that shows the VIF. When host_id moves on, the old binding stays until the new
// host has one, so that there is a place to send to at every moment.
func (w *Worker) elsewhere(v model.View, p *model.Port, vif *ovsdb.VIF, bound bool) *Problem {
	id := model.PortID(p.ID)
	if h, ok := v.Host(w.cfg.Host); ok && h.Draining && !bound {
		return &Problem{"HOST_DRAINING", fmt.Sprintf("Interface %s of port %s appeared on host %s, which is being drained: plug it elsewhere, or end the drain with penstockctl host drain --end %s", vif.Name, id, w.cfg.Host, w.cfg.Host), id}
	}
	may := func(b model.HostBinding) bool { return b.Host == w.cfg.Host }
	switch to, _ := p.Profile["migrating_to"].(string); {
	case p.HostID == w.cfg.Host, to == string(w.cfg.Host), slices.ContainsFunc(p.InactiveBindings, may):
		return nil
	case p.HostID != "":
		if _, there := v.Binding(p.HostID, id); bound && !there {
			return nil
		}
		return &Problem{"VIF_ELSEWHERE", fmt.Sprintf("Interface %s of port %s is on host %s, but the port's binding:host_id is %s: set it to %s or unplug the Interface here", vif.Name, id, w.cfg.Host, p.HostID, w.cfg.Host), id}
	}
	for _, b := range v.BindingsOf(id) {
		if b.Host != w.cfg.Host {
			return &Problem{"VIF_TWICE", fmt.Sprintf("Interface %s of port %s is on host %s, but the port is bound on %s already: set the port's binding:host_id to the host that is right", vif.Name, id, w.cfg.Host, b.Host), id}
		}
	}
	return nil
}

// staleStatus reports whether a port's recorded status cannot be right: ACTIVE here without a binding, with the
// port down, or with flows that the switch refuses.
func (w *Worker) staleStatus(v model.View, id model.PortID, bound bool) bool {
	s, ok := v.PortStatus(id)
	if !ok || s.Host != w.cfg.Host || s.Status != model.StatusActive {
		return false
	}
	p, ok := v.Port(id)
	return !bound || ok && !p.AdminStateUp || w.isRefused(id)
}

// put makes one port's binding as it should be, within a transaction.
func (w *Worker) put(tx *store.Tx, state *ovsdb.Snapshot, id model.PortID) error {
	v := tx.View()
	want, _ := w.want(v, state, id)
	cur, bound := v.Binding(w.cfg.Host, id)
	switch {
	case want == nil && bound:
		store.Unbind(tx, cur)
		return nil
	case want != nil && bound:
		want.Slot, want.Member = cur.Slot, cur.Member
		tx.Put(model.Bindings, want)
	case want != nil:
		if err := store.Bind(tx, want); err != nil {
			return err
		}
		bound = true
	}
	if w.staleStatus(v, id, bound) {
		if _, exists := v.Port(id); exists {
			tx.Put(model.PortStatuses, &model.PortStatus{PortID: id, Status: model.StatusDown})
		} else {
			tx.Delete(model.PortStatuses, string(id))
		}
	}
	return nil
}

// activate reports the ports whose flows are confirmed: in the store, and on the Interface.
func (w *Worker) activate(ctx context.Context) error {
	w.mu.Lock()
	applied, at := w.applied, w.at
	w.mu.Unlock()
	var ready []model.PortID
	for id, rev := range w.waiting {
		if rev <= applied && !w.isRefused(id) {
			ready = append(ready, id)
			w.clock(id, time.Time{}, at)
		}
	}
	slices.Sort(ready)
	if err := store.InParts(ready, BatchSize, func(batch []model.PortID) error {
		_, err := w.cfg.Store.Update(ctx, w.meta(), func(tx *store.Tx) error {
			v := tx.View()
			for _, id := range batch {
				_, bound := v.Binding(w.cfg.Host, id)
				p, ok := v.Port(id)
				if !ok || !bound || !p.AdminStateUp {
					continue
				}
				if place, ok := v.Place(p); !ok || place.Host != w.cfg.Host {
					continue // it migrates: the other host says how it is
				}
				if s, ok := v.PortStatus(id); !ok || s.Status != model.StatusActive || s.Host != w.cfg.Host {
					tx.Put(model.PortStatuses, &model.PortStatus{PortID: id, Status: model.StatusActive, Host: w.cfg.Host})
				}
			}
			return nil
		})
		return err
	}); err != nil {
		return err
	}
	// One transaction for all: ovs-vswitchd goes through its whole configuration after each.
	state, v := w.cfg.DB.State(), w.cfg.Store.View()
	var uuids []string
	for _, id := range ready {
		if b, ok := v.Binding(w.cfg.Host, id); ok {
			if vif := find(&state, id, b.Interface); vif != nil && !vif.Installed {
				uuids = append(uuids, vif.UUID)
			}
		}
	}
	if len(uuids) > 0 {
		if err := w.cfg.DB.SetInstalled(ctx, uuids, true); err != nil {
			return err
		}
	}
	for _, id := range ready {
		delete(w.waiting, id)
	}
	return nil
}

func find(state *ovsdb.Snapshot, id model.PortID, iface string) *ovsdb.VIF {
	for _, v := range state.VIFs(string(id)) {
		if v.Name == iface {
			return v
		}
	}
	return nil
}

// numbered reports whether the database has the port number of a VIF.
func numbered(state *ovsdb.Snapshot, id model.PortID) bool {
	return slices.ContainsFunc(state.VIFs(string(id)), func(v *ovsdb.VIF) bool { return v.OFPort > 0 })
}
