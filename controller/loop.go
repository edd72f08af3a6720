package controller

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/snapshot"
)

// loop owns the derivation engine: it applies the store's changes in order and hands each host its part. Others
// ask it through do, so that an answer stands in a fixed order to the deltas.
type loop struct {
	engine *derive.Engine
	do     chan func()
	rev    int64
	// deliver gets every delta, by host, in order; hosts without a delta whose bindings changed get an empty one.
	deliver func(rev int64, byHost map[model.HostName][]derive.BridgeDelta)
	changed func(model.Source, []model.Change)
	derived func(d time.Duration, changes int)
	// units and desired mirror the engine's counts for metrics.
	units, desired atomic.Int64
	// delivered is the revision up to which every host has its part.
	delivered atomic.Int64
}

func newLoop(root *pipeline.Kind, settings pipeline.Settings) *loop {
	return &loop{engine: derive.New(root, settings, snapshot.Empty()), do: make(chan func())}
}

type storeUpdate struct {
	snap    *snapshot.Snapshot
	changes []model.Change
}

func (l *loop) run(ctx context.Context, st *store.Store) error {
	sub := st.Subscribe()
	defer sub.Close()
	updates := make(chan storeUpdate)
	errs := make(chan error, 1)
	go func() {
		for {
			snap, changes, err := sub.Next(ctx)
			if err != nil {
				errs <- err
				return
			}
			select {
			case updates <- storeUpdate{snap, changes}:
			case <-ctx.Done():
				errs <- ctx.Err()
				return
			}
		}
	}()
	for {
		select {
		case err := <-errs:
			return err
		case f := <-l.do:
			f()
		case u := <-updates:
			l.apply(u)
		}
	}
}

func (l *loop) apply(u storeUpdate) {
	start := time.Now()
	apply := l.engine.Apply
	if l.rev == 0 { // no host is run yet
		apply = l.engine.Load
	}
	delta := apply(u.snap, u.changes)
	l.rev = delta.Revision
	byHost := map[model.HostName][]derive.BridgeDelta{}
	for _, b := range delta.Bridges {
		byHost[b.Host] = append(byHost[b.Host], b)
	}
	// Bindings wait for the confirmation of the revision of their port, also where nothing is to be sent for it.
	confirm := func(b *model.Binding) {
		if byHost[b.Host] == nil {
			byHost[b.Host] = []derive.BridgeDelta{}
		}
	}
	v := model.NewView(u.snap)
	for _, c := range u.changes {
		switch c.Table {
		case model.Bindings:
			for _, o := range []model.Object{c.Old, c.New} {
				if b, ok := o.(*model.Binding); ok {
					confirm(b)
				}
			}
		case model.Ports:
			for _, b := range v.BindingsOf(model.PortID(c.ID())) {
				confirm(b)
			}
		}
	}
	units, flows := l.engine.Counts()
	l.units.Store(int64(units))
	l.desired.Store(int64(flows))
	if l.derived != nil {
		l.derived(time.Since(start), len(u.changes))
	}
	l.changed(u.snap, u.changes)
	l.deliver(delta.Revision, byHost)
	l.delivered.Store(delta.Revision)
}

// ask runs f in the loop's goroutine.
func (l *loop) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case l.do <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Desired implements rollout.Engine.
func (l *loop) Desired(ctx context.Context, h model.HostName, bridge string, f func(*derive.Desired, int64)) error {
	return l.ask(ctx, func() { f(l.engine.Desired(h, bridge), l.rev) })
}

// UnitOf implements rollout.Engine.
func (l *loop) UnitOf(ctx context.Context, h model.HostName, bridge string, r *session.Rejected) (unit pipeline.UnitID, keys []pipeline.Key, err error) {
	err = l.ask(ctx, func() {
		ok := false
		switch {
		case r.Key != nil:
			unit, ok = l.engine.Owner(h, bridge, *r.Key)
		case r.Group != nil:
			unit, ok = l.engine.GroupOwner(h, bridge, *r.Group)
		case r.Meter != nil:
			unit, ok = l.engine.MeterOwner(h, bridge, *r.Meter)
		}
		if ok {
			keys = l.engine.FlowsOf(unit, bridge)
		}
	})
	return unit, keys, err
}
