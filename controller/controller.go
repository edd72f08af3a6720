package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/dispatch"
	"github.com/penstock/penstock/controller/neighbour"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/arp"
	"github.com/penstock/penstock/packetin/dhcp"
	"github.com/penstock/penstock/packetin/icmp"
	"github.com/penstock/penstock/packetin/router"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store"
)

// Config is what a Controller is made of.
type Config struct {
	Store  *store.Store
	Logger *zap.Logger
	// NetworkLog takes the lines of network logs; nil: Logger, named "network".
	NetworkLog *zap.Logger
	Registerer prometheus.Registerer
	Settings   pipeline.Settings
	// Socket accepts the switches' connections; Run closes it.
	Socket net.Listener
	// Advertise are the targets that bridges are told to connect to.
	Advertise []string
	// OVSDBTLS is used for ssl: databases.
	OVSDBTLS *tls.Config
	// DNSDomain is handed out by DHCP where the network names none.
	DNSDomain string
	// LivenessInterval is how often hosts' states are looked at without a cause, default 5 s.
	LivenessInterval time.Duration
	// AuditInterval is how often each bridge is read back and compared, about, default 5 min.
	AuditInterval time.Duration
	// Health, if set, says what else is not as it should be.
	Health func() []opapi.Health
	// NeighbourRefresh is neighbour.Limits.Refresh, default 30 s.
	NeighbourRefresh time.Duration
	// Version is shown in status.
	Version string
}

// Controller runs all hosts that this process owns.
type Controller struct {
	cfg      Config
	loop     *loop
	dispatch *dispatch.Dispatcher
	metrics  *metrics
	started  time.Time
	facts    declined
	// announcer tells external networks where addresses are.
	announcer announcer
	live      sync.Map // *openflow.Conn -> *live
	// holders keeps the status of floating IPs.
	holders *holders
	// neighbours finds out the next hops of routers that no port has.
	neighbours *neighbour.Resolver
	netlog     *netlog

	mu      sync.Mutex
	runners map[model.HostName]*runner
	slots   chan struct{} // of rollout.Config
	ready   bool          // the store's state is derived
}

// New makes a Controller; Run runs it.
func New(cfg Config) *Controller {
	if cfg.LivenessInterval == 0 {
		cfg.LivenessInterval = 5 * time.Second
	}
	c := &Controller{cfg: cfg, loop: newLoop(l2.Root, cfg.Settings), started: time.Now().UTC().Truncate(time.Second), runners: map[model.HostName]*runner{},
		slots: make(chan struct{}, 16)}
	c.metrics = newMetrics(cfg.Registerer, c)
	c.holders = newHolders(c)
	c.announcer.told = c.holders.look
	c.neighbours = neighbour.New(neighbour.Config{Asker: c.asker, Back: c.unresolved, Limits: neighbour.Limits{Idle: cfg.Settings.FDBAge, Refresh: cfg.NeighbourRefresh, Sweep: cfg.NeighbourRefresh / 3},
		Logger: cfg.Logger.Named("neighbour"), Registerer: cfg.Registerer})
	c.dispatch = dispatch.New(dispatch.Config{View: cfg.Store.View, Facts: c.noted, Hold: c.hold, Logger: cfg.Logger.Named("packetin"), Registerer: cfg.Registerer})
	c.dispatch.Register(pipeline.HandlerDHCP, dhcp.New(dhcp.Config{DNSDomain: cfg.DNSDomain}))
	c.dispatch.Register(pipeline.HandlerARP, arp.Handle)
	c.dispatch.Register(pipeline.HandlerICMP, icmp.Handle)
	c.dispatch.Register(pipeline.HandlerRouter, router.Handle)
	c.dispatch.Register(pipeline.HandlerNeighbour, arp.Neighbour)
	lines := cfg.NetworkLog
	if lines == nil {
		lines = cfg.Logger.Named("network")
	}
	c.netlog = newNetlog(lines, c.dispatch)
	return c
}

// Run works until ctx ends. Flows stay in the switches.
func (c *Controller) Run(ctx context.Context) error {
	c.loop.changed = func(src model.Source, changes []model.Change) {
		c.announcer.changed(model.NewView(src), changes)
		c.changed(ctx, changes)
	}
	c.loop.deliver = c.deliver
	c.loop.derived = c.metrics.derived
	l := openflow.NewListener(c.cfg.Socket, c.listenOptions())
	defer l.Close()
	errs := make(chan error, 5)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range []func(context.Context) error{
		func(ctx context.Context) error { return c.loop.run(ctx, c.cfg.Store) },
		func(ctx context.Context) error { return c.accept(ctx, l, func() {}) },
		c.neighbours.Run, c.holders.run,
		c.netlog.run,
	} {
		wg.Go(func() { errs <- f(ctx); cancel() })
	}
	err := <-errs
	cancel()
	wg.Wait()
	c.mu.Lock()
	var all []*runner
	for _, r := range c.runners {
		all = append(all, r)
	}
	c.mu.Unlock()
	for _, r := range all {
		r.stop()
		<-r.done
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Ready reports whether the store's whole state has been derived once.
func (c *Controller) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// changed follows the hosts and tells bindings of changed ports. It runs in the loop's goroutine.
func (c *Controller) changed(ctx context.Context, changes []model.Change) {
	var ports []model.PortID
	c.mu.Lock()
	for _, ch := range changes {
		switch ch.Table {
		case model.Ports:
			ports = append(ports, model.PortID(ch.ID()))
			if h, ok := moved(ch); ok && c.runners[h] != nil {
				if o := c.runners[h].current(); o != nil { // another member announces it otherwise
					o.arrivals.add(model.PortID(ch.ID()), time.Now())
				}
			}
		case model.Bindings: // a binding that comes or goes may let another host of the port act
			if (ch.Old == nil) != (ch.New == nil) {
				_, id, _ := strings.Cut(ch.ID(), "/")
				ports = append(ports, model.PortID(id))
			}
		case model.Hosts:
			c.hostChanged(ctx, ch)
		}
	}
	c.ready = true
	var tell []*runner
	if len(ports) > 0 {
		for _, r := range c.runners {
			tell = append(tell, r)
		}
	}
	c.mu.Unlock()
	for _, r := range tell {
		if o := r.current(); o != nil {
			o.bind.PortsChanged(ports)
		}
	}
}

// hostChanged starts, changes or stops a host's runner. A host whose database moved is run anew.
func (c *Controller) hostChanged(ctx context.Context, ch model.Change) {
	name := model.HostName(ch.ID())
	r := c.runners[name]
	h, _ := ch.New.(*model.Host)
	if r != nil && h != nil {
		if old, ok := ch.Old.(*model.Host); ok && old.OVSDB == h.OVSDB {
			r.update(h)
			return
		}
	}
	if r != nil {
		delete(c.runners, name)
		if h == nil {
			go r.leave()
		} else {
			r.stop()
		}
	}
	if h != nil {
		c.runners[name] = c.newRunner(ctx, h)
	}
}

func (r *runner) current() *ownedHost {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owned
}

// deliver hands each host its part of a delta. It runs in the loop's goroutine and never blocks.
func (c *Controller) deliver(rev int64, byHost map[model.HostName][]derive.BridgeDelta) {
	for h, d := range byHost {
		if r := c.runner(h); r != nil {
			if o := r.current(); o != nil {
				o.roll.Enqueue(rev, d)
			}
		}
	}
}

func (c *Controller) runner(h model.HostName) *runner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runners[h]
}

func (c *Controller) allRunners() []*runner {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*runner, 0, len(c.runners))
	for _, r := range c.runners {
		out = append(out, r)
	}
	return out
}

// declined keeps the newest addresses that VMs declined, for health: somebody else uses them.
type declined struct {
	mu   sync.Mutex
	last map[packetin.Fact]time.Time
}

// maxDeclined bounds what is kept of declined addresses; older ones go first.
const maxDeclined = 256

func (d *declined) note(_ model.HostName, facts []packetin.Fact) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = map[packetin.Fact]time.Time{}
	}
	for _, f := range facts {
		if f.Kind != packetin.FactDeclined {
			continue
		}
		if _, ok := d.last[f]; !ok && len(d.last) >= maxDeclined {
			var oldest packetin.Fact
			first := true
			for k, t := range d.last {
				if first || t.Before(d.last[oldest]) {
					oldest, first = k, false
				}
			}
			delete(d.last, oldest)
		}
		d.last[f] = time.Now()
	}
}
