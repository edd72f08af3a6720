package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/binding"
	"github.com/penstock/penstock/controller/rollout"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store"
)

// runner runs one host while this process owns it: its database, its bindings, its bridges.
//
//	Own ─▶ database read, bindings agree ─▶ roll-outs open ─▶ … ─▶ ownership or host gone: all stops, flows stay
type runner struct {
	c    *Controller
	host model.HostName
	log  *zap.Logger
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	conf  *model.Host
	owned *ownedHost // nil while another member owns the host
	error string     // why the host cannot be run, for health
}

// ownedHost is what exists only while the host is owned.
type ownedHost struct {
	generation uint64
	db         *ovsdb.DB
	roll       *rollout.Host
	bind       *binding.Worker
	sessions   map[string]*session.Session // by bridge; under runner.mu
	look       chan struct{}               // has observe look now; capacity 1
	arrivals   *arrivals                   // ports that have moved here
	local      atomic.Pointer[local]       // nil where the switch comes by one of Config.Advertise
}

func (c *Controller) newRunner(ctx context.Context, h *model.Host) *runner {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{c: c, host: model.HostName(h.ID), conf: h, stop: cancel, done: make(chan struct{}),
		log: c.cfg.Logger.With(zap.String("host", h.ID))}
	go func() {
		defer close(r.done)
		if err := c.cfg.Store.Own(ctx, r.host, r.own); err != nil && ctx.Err() == nil {
			r.log.Error("cannot run host", zap.Error(err))
		}
	}()
	return r
}

// update takes over a changed configuration of the host.
func (r *runner) update(h *model.Host) {
	r.mu.Lock()
	r.conf = h
	o := r.owned
	r.mu.Unlock()
	if o != nil {
		r.setDesired(o)
		o.bind.HostChanged()
	}
}

// undoTimeout bounds how long a host that is removed is tried to be put back as it was.
const undoTimeout = 30 * time.Second

// leave ends the running of a host that is removed: what was changed on it is put back.
func (r *runner) leave() {
	if o := r.current(); o != nil {
		ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
		if err := o.db.Undo(ctx); err != nil {
			r.log.Warn("could not put the removed host back as it was; its bridges keep their settings", zap.Error(err))
		}
		cancel()
	}
	r.stop()
}

func (r *runner) setDesired(o *ownedHost) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, err := ovsdb.DesiredFor(r.conf, ovsdb.Options{Controllers: r.targets(o), Overlay: true, Number: r.c.physicalNumber})
	if err == nil {
		err = o.db.SetDesired(d)
	}
	r.error = ""
	if err != nil {
		r.error = err.Error()
	}
}

// own runs the host until ctx, the ownership's, ends.
func (r *runner) own(ctx context.Context, generation uint64) {
	r.mu.Lock()
	conf := r.conf
	r.mu.Unlock()
	db, err := ovsdb.New(ovsdb.Config{Host: r.host, Target: conf.OVSDB, TLS: r.c.cfg.OVSDBTLS, Logger: r.log.Named("ovsdb")})
	if err != nil {
		r.mu.Lock()
		r.error = err.Error()
		r.mu.Unlock()
		<-ctx.Done()
		return
	}
	o := &ownedHost{generation: generation, db: db, sessions: map[string]*session.Session{}, look: make(chan struct{}, 1), arrivals: newArrivals()}
	r.c.announcer.own(r.host, time.Now())
	o.roll = rollout.New(rollout.Config{Host: r.host, Engine: r.c.loop, Logger: r.log.Named("rollout"), Applied: func(rev int64) { o.bind.Applied(rev); r.announce(o, rev) },
		Refused: func() { o.bind.RefusalsChanged(); r.c.holders.refusalsChanged(r.host, o) }, Observe: r.c.metrics.bundle, Audited: r.c.metrics.audited, AuditInterval: r.c.cfg.AuditInterval, Slots: r.c.slots})
	o.bind = binding.New(binding.Config{Host: r.host, Store: r.c.cfg.Store, DB: db, Logger: r.log.Named("binding"),
		Complete: o.roll.Open, Refused: func() map[model.PortID]bool { return refused(r.c.cfg.Store.View(), r.host, o.roll.Refusals()) }, Bound: func(d time.Duration) { r.c.metrics.bind.Observe(d.Seconds()) }})
	if l := r.openLocal(ctx, conf.OVSDB); l != nil {
		o.local.Store(l)
		defer func() {
			if l := o.local.Load(); l != nil {
				l.close()
			}
		}()
	}
	r.setDesired(o)
	r.mu.Lock()
	r.owned = o
	r.mu.Unlock()
	r.log.Info("running host", zap.String("ovsdb", conf.OVSDB), zap.Uint64("generation", generation))
	var wg sync.WaitGroup
	for _, f := range []func(context.Context) error{db.Run, o.roll.Run, o.bind.Run, func(ctx context.Context) error { return r.observe(ctx, o) },
		func(ctx context.Context) error { return r.remind(ctx, o) }, func(ctx context.Context) error { return r.welcome(ctx, o) }} {
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				r.log.Error("host stopped", zap.Error(err))
			}
		})
	}
	<-ctx.Done()
	r.mu.Lock()
	r.owned = nil
	var open []*session.Session
	for _, s := range o.sessions {
		open = append(open, s)
	}
	r.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	wg.Wait()
}

// brInt is the session with br-int, nil where there is none.
func (r *runner) brInt(o *ownedHost) *session.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return o.sessions[ovsdb.BridgeInt]
}

// refused lists the ports of a host whose flows a switch would not take, or that a flood group it would not take leaves out.
func refused(v model.View, host model.HostName, refusals []rollout.Refusal) map[model.PortID]bool {
	if len(refusals) == 0 {
		return nil
	}
	out := map[model.PortID]bool{}
	leaf := func(net model.NetworkID, n uint32) {
		for _, b := range v.LeafMembers(net, host, n) {
			out[b.PortID] = true
		}
	}
	for _, x := range refusals {
		switch x.Unit.Kind {
		case l2.LocalPort, l2.Port, l2.KnownSource: // whose id is the port's
			out[model.PortID(x.Unit.ID)] = true
		case l2.FloodLeaf:
			net, text, _ := strings.Cut(x.Unit.ID, "/")
			if n, err := strconv.ParseUint(text, 10, 32); err == nil {
				leaf(model.NetworkID(net), uint32(n))
			}
		case l2.LocalNetwork:
			for _, n := range v.Leaves(model.NetworkID(x.Unit.ID), host) {
				leaf(model.NetworkID(x.Unit.ID), n)
			}
		}
	}
	return out
}

// recordSoon has observe look at the host's state without waiting for its next turn.
func (r *runner) recordSoon(o *ownedHost) {
	select {
	case o.look <- struct{}{}:
	default:
	}
}

// observe keeps the host's observed state in the store.
func (r *runner) observe(ctx context.Context, o *ownedHost) error {
	sub := o.db.Subscribe()
	defer sub.Close()
	t := time.NewTicker(r.c.cfg.LivenessInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.C():
			if !sub.Take().Other {
				continue
			}
		case <-o.look:
		case <-t.C:
			r.checkLocal(o)
		}
		if err := r.record(ctx, o); err != nil && ctx.Err() == nil {
			r.log.Warn("cannot record the host's state", zap.Error(err))
		}
	}
}

// record writes the host's state if it differs from what is recorded.
func (r *runner) record(ctx context.Context, o *ownedHost) error {
	s := o.db.State()
	now := &model.HostState{Host: r.host, OVSVersion: s.OVSVersion, Bridges: map[string]uint64{}}
	for _, b := range s.Bridges {
		if b.Owned {
			now.Bridges[b.Name] = b.DatapathID
		}
		if b.Name == ovsdb.BridgeInt {
			if now.Datapath = b.DatapathType; now.Datapath == "" {
				now.Datapath = "system"
			}
		}
	}
	r.mu.Lock()
	now.Alive = s.Connected && o.sessions[ovsdb.BridgeInt] != nil
	r.mu.Unlock()
	if sameHostState(r.c.cfg.Store.View(), now) {
		return nil
	}
	_, err := r.c.cfg.Store.Update(ctx, store.Meta{Author: "penstockd", Request: "state of host " + string(r.host)}, func(tx *store.Tx) error {
		v := tx.View()
		if sameHostState(v, now) {
			return nil
		}
		now.Since = time.Now().UTC().Truncate(time.Second)
		if old, ok := v.HostState(r.host); ok && old.Alive == now.Alive {
			now.Since = old.Since
		}
		tx.Put(model.HostStates, now)
		return nil
	})
	return err
}

func sameHostState(v model.View, now *model.HostState) bool {
	old, ok := v.HostState(now.Host)
	return ok && old.Alive == now.Alive && old.OVSVersion == now.OVSVersion && old.Datapath == now.Datapath &&
		fmt.Sprint(old.Bridges) == fmt.Sprint(now.Bridges)
}

// physicalNumber is a physical network's number, given in the store with the first host that maps it.
func (c *Controller) physicalNumber(name string) uint32 {
	if p, ok := c.cfg.Store.View().PhysicalNetwork(name); ok {
		return p.Number
	}
	return 0
}
