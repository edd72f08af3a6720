// Package dispatch brings packet-ins to their handlers: a bounded queue and workers per handler, a fence that
// turns a panic into a counted error, and packet-outs for what handlers answer. It knows no protocol.
package dispatch

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/pipeline"
)

// QueueLen is how many packets wait for one handler at most; what comes when it is full is dropped and counted.
// Meters in the switch bound each port, this bounds all ports together.
const QueueLen = 2048

// MaxFrame is the longest frame that is handed to a handler, in bytes; longer ones are dropped and counted.
const MaxFrame = 9216

// Outcomes that the dispatcher itself counts.
const (
	OutcomeQueueFull = "dropped-queue-full"
	OutcomeTooLong   = "dropped-too-long"
	OutcomeUserdata  = "dropped-unknown-userdata"
	OutcomePanic     = "panic"
	OutcomeSendFull  = "dropped-send-queue-full"
)

// Sender sends packet-outs on the bridge that a packet came from. SendPacket takes what it needs of frame before
// it returns and never blocks; an error means that the packet was not sent.
type Sender interface {
	SendPacket(outPort uint32, frame []byte) error
}

// Config is what a Dispatcher is made of.
type Config struct {
	// View gives the newest snapshot.
	View func() model.View
	// Facts takes what handlers learned; it must not block.
	Facts      func(host model.HostName, facts []packetin.Fact)
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Workers per handler, default 1.
	Workers int
}

type item struct {
	in     packetin.Packet
	sender Sender
	buf    *[]byte
}

type handler struct {
	id       pipeline.Handler
	f        packetin.Handler
	queue    chan item
	outcomes sync.Map // outcome -> prometheus.Counter
}

// Dispatcher owns the queues. Register before Run.
type Dispatcher struct {
	cfg      Config
	handlers [256]*handler
	bufs     sync.Pool
	counter  *prometheus.CounterVec
}

// New makes a Dispatcher without handlers.
func New(cfg Config) *Dispatcher {
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	d := &Dispatcher{cfg: cfg}
	d.bufs.New = func() any { b := make([]byte, 0, 2048); return &b }
	d.counter = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "penstock_packet_ins_total", Help: "Packet-ins by handler and what became of them.",
	}, []string{"handler", "outcome"})
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(d.counter)
	}
	return d
}

// Register gives a handler its packets.
func (d *Dispatcher) Register(id pipeline.Handler, f packetin.Handler) {
	d.handlers[id] = &handler{id: id, f: f, queue: make(chan item, QueueLen)}
}

// Handle queues a packet-in for the handler its userdata names. It copies frame and never blocks.
func (d *Dispatcher) Handle(host model.HostName, s Sender, userdata []byte, inPort uint32, frame []byte, fullLen int) {
	id, key, ok := pipeline.ParseUserData(userdata)
	var h *handler
	if ok {
		h = d.handlers[id]
	}
	if h == nil {
		d.counter.WithLabelValues("none", OutcomeUserdata).Inc()
		return
	}
	if len(frame) > MaxFrame {
		h.count(d, OutcomeTooLong)
		return
	}
	buf := d.bufs.Get().(*[]byte)
	*buf = append((*buf)[:0], frame...)
	it := item{packetin.Packet{Host: host, InPort: inPort, PortKey: key, Data: *buf, FullLen: fullLen}, s, buf}
	select {
	case h.queue <- it:
	default:
		d.bufs.Put(buf)
		h.count(d, OutcomeQueueFull)
	}
}

// Run works the queues off until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, h := range d.handlers {
		if h == nil {
			continue
		}
		for range d.cfg.Workers {
			wg.Go(func() { d.work(ctx, h) })
		}
	}
	wg.Wait()
	return ctx.Err()
}

func (d *Dispatcher) work(ctx context.Context, h *handler) {
	var r packetin.Result
	for {
		select {
		case <-ctx.Done():
			return
		case it := <-h.queue:
			r.Reset()
			d.handle(h, &it, &r)
			d.bufs.Put(it.buf)
		}
	}
}

func (d *Dispatcher) handle(h *handler, it *item, r *packetin.Result) {
	if err := d.fenced(h, it, r); err != nil && d.cfg.Logger.Core().Enabled(zap.DebugLevel) {
		d.cfg.Logger.Debug("packet-in", zap.Stringer("handler", h.id), zap.String("host", string(it.in.Host)),
			zap.Uint32("port_key", it.in.PortKey), zap.String("outcome", r.Outcome), zap.Error(err))
	}
	for _, o := range r.Out {
		if it.sender.SendPacket(o.Port, o.Data) != nil {
			h.count(d, OutcomeSendFull)
		}
	}
	if len(r.Facts) > 0 && d.cfg.Facts != nil {
		d.cfg.Facts(it.in.Host, r.Facts)
	}
	h.count(d, r.Outcome)
}

// fenced runs the handler; a panic costs this packet and is reported, nothing else.
func (d *Dispatcher) fenced(h *handler, it *item, r *packetin.Result) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Reset()
			r.Outcome = OutcomePanic
			err = fmt.Errorf("panic: %v", p)
			d.cfg.Logger.Error("packet-in handler panicked; the packet was dropped", zap.Stringer("handler", h.id),
				zap.Any("panic", p), zap.Binary("frame", it.in.Data), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return h.f(d.cfg.View(), &it.in, r)
}

// count adds one to an outcome's counter; the curried counters are kept, since looking labels up costs more.
func (h *handler) count(d *Dispatcher, outcome string) {
	c, ok := h.outcomes.Load(outcome)
	if !ok {
		c, _ = h.outcomes.LoadOrStore(outcome, d.counter.WithLabelValues(h.id.String(), outcome))
	}
	c.(prometheus.Counter).Inc()
}
