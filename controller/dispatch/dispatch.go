// Package dispatch brings packet-ins to their handlers: a fence that turns a panic into a counted error, and
// packet-outs for what handlers answer. It knows no protocol.
//
// There is no queue and no goroutine here. A handler is a pure function of some microseconds, so it runs where its
// packet was read, in the goroutine of that bridge's connection: waking another one costs more than the handler
// does, and a switch cannot be kept waiting by another's packets. What bounds the work is in the switch: a meter per
// port, and the queue of packet-ins per connection, from which Open vSwitch drops what is not read in time.
package dispatch

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/pipeline"
)

// MaxFrame is the longest frame that is handed to a handler, in bytes; longer ones are dropped and counted.
const MaxFrame = 9216

// Outcomes that the dispatcher itself counts.
const (
	OutcomeTooLong  = "dropped-too-long"
	OutcomeUserdata = "dropped-unknown-userdata"
	OutcomePanic    = "panic"
	OutcomeSendFull = "dropped-send-queue-full"
)

// Sender sends packet-outs on the bridge that a packet came from. SendPacket takes what it needs of frame before
// it returns and never blocks; an error means that the packet was not sent.
type Sender interface {
	SendPacket(outPort uint32, frame []byte) error
	// SendInto is SendPacket for a frame that is to be switched in a network; if routerKey is not 0, for one that the
	// router sends out into its external network, the source of which is translated.
	SendInto(routerKey, netKey uint32, frame []byte) error
}

// Config is what a Dispatcher is made of.
type Config struct {
	// View gives the newest snapshot.
	View func() model.View
	// Facts takes what handlers learned; it must not block.
	Facts func(host model.HostName, facts []packetin.Fact)
	// Hold takes a packet that a handler asks to be kept, with the Sender of the bridge that it came from. It copies what
	// it keeps and does not block; nil: such packets are lost.
	Hold       func(s Sender, in *packetin.Packet, h *packetin.Hold)
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

type handler struct {
	id       pipeline.Handler
	f        packetin.Handler
	outcomes sync.Map // outcome -> prometheus.Counter
}

// Dispatcher knows the handlers. Register them before the first Handle.
type Dispatcher struct {
	cfg      Config
	handlers [256]*handler
	works    sync.Pool // of *work
	counter  *prometheus.CounterVec
}

// work is the memory that one packet needs.
type work struct {
	in  packetin.Packet
	out packetin.Result
}

// New makes a Dispatcher without handlers.
func New(cfg Config) *Dispatcher {
	d := &Dispatcher{cfg: cfg}
	d.works.New = func() any { return new(work) }
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
	d.handlers[id] = &handler{id: id, f: f}
}

// Handle gives a packet-in to the handler that its userdata names and sends what it answers. It does not keep frame and
// never blocks. It may be called from any goroutine.
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
	d.give(h, s, packetin.Packet{Host: host, InPort: inPort, PortKey: key, Data: frame, FullLen: fullLen})
}

// Again gives a packet that was held to a handler once more. It may be called from any goroutine.
func (d *Dispatcher) Again(id pipeline.Handler, s Sender, in packetin.Packet) {
	if h := d.handlers[id]; h != nil {
		d.give(h, s, in)
	}
}

func (d *Dispatcher) give(h *handler, s Sender, in packetin.Packet) {
	w := d.works.Get().(*work)
	w.in = in
	w.out.Reset()
	d.handle(h, s, w)
	w.in.Data = nil
	d.works.Put(w)
}

func (d *Dispatcher) handle(h *handler, s Sender, w *work) {
	r := &w.out
	if err := d.fenced(h, w); err != nil && d.cfg.Logger.Core().Enabled(zap.DebugLevel) {
		d.cfg.Logger.Debug("packet-in", zap.Stringer("handler", h.id), zap.String("host", string(w.in.Host)),
			zap.Uint32("port_key", w.in.PortKey), zap.String("outcome", r.Outcome), zap.Error(err))
	}
	for _, o := range r.Out {
		var err error
		if o.Net != 0 {
			err = s.SendInto(o.Router, o.Net, o.Data)
		} else {
			err = s.SendPacket(o.Port, o.Data)
		}
		if err != nil {
			h.count(d, OutcomeSendFull)
		}
	}
	if r.Hold != nil && d.cfg.Hold != nil {
		d.cfg.Hold(s, &w.in, r.Hold)
	}
	if len(r.Facts) > 0 && d.cfg.Facts != nil {
		d.cfg.Facts(w.in.Host, r.Facts)
	}
	h.count(d, r.Outcome)
}

// fenced runs the handler; a panic costs this packet and is reported, nothing else.
func (d *Dispatcher) fenced(h *handler, w *work) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.out.Reset()
			w.out.Outcome = OutcomePanic
			err = fmt.Errorf("panic: %v", p)
			d.cfg.Logger.Error("packet-in handler panicked; the packet was dropped", zap.Stringer("handler", h.id),
				zap.Any("panic", p), zap.Binary("frame", w.in.Data), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return h.f(d.cfg.View(), &w.in, &w.out)
}

// count adds one to an outcome's counter; the curried counters are kept, since looking labels up costs more.
func (h *handler) count(d *Dispatcher, outcome string) {
	c, ok := h.outcomes.Load(outcome)
	if !ok {
		c, _ = h.outcomes.LoadOrStore(outcome, d.counter.WithLabelValues(h.id.String(), outcome))
	}
	c.(prometheus.Counter).Inc()
}
