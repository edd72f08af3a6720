package neighbour

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/arp"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/pipeline/l3"
)

// Switch is br-int of a host. All but Flows never block.
type Switch interface {
	// SendInto has a frame switched in a network; routerKey is 0 here.
	SendInto(routerKey, netKey uint32, frame []byte) error
	// Route has a packet routed again, as it came from a network.
	Route(netKey, portKey, inPort uint32, remote bool, frame []byte) error
	TryFlow(*openflow.FlowMod) error
	Flows(context.Context, openflow.FlowRequest, func(*openflow.Flow)) error
}

// Limits bound what is kept and asked. Zero values mean the defaults.
type Limits struct {
	HeldPerHop, HeldPerHost, OctetsPerHost int // packets that wait: 8, 1024, and 4 MiB
	// AskedPerPort is how many next hops one port may have asked for at a time, AskedPerNet how many all may in one network
	// of a host: 16, 256. What is known and asked for again is not among them: KnownPerNet bounds it.
	AskedPerPort, AskedPerNet int
	// KnownPerNet is how many next hops a host knows in one network; beyond, the one that was not used for the longest time
	// goes: 1024.
	KnownPerNet int
	// Tries is how often is asked, Interval how long is waited each time: 3, 1 s.
	Tries    int
	Interval time.Duration
	// Doubt is how long the owner of a known address has to defend it against another claim: 300 ms.
	Doubt time.Duration
	// Refresh is how old something known that is in use becomes until its owner is asked again, Sweep how often is looked
	// what is in use: 30 s, 10 s.
	Refresh, Sweep time.Duration
	// Idle is for how many seconds the switch keeps what is not used: 300.
	Idle uint16
}

func (l Limits) withDefaults() Limits {
	for _, x := range []struct {
		p *int
		d int
	}{{&l.HeldPerHop, 8}, {&l.HeldPerHost, 1024}, {&l.OctetsPerHost, 4 << 20}, {&l.AskedPerPort, 16}, {&l.AskedPerNet, 256}, {&l.KnownPerNet, 1024}, {&l.Tries, 3}} {
		if *x.p == 0 {
			*x.p = x.d
		}
	}
	for _, x := range []struct {
		p *time.Duration
		d time.Duration
	}{{&l.Interval, time.Second}, {&l.Doubt, 300 * time.Millisecond}, {&l.Refresh, 30 * time.Second}, {&l.Sweep, 10 * time.Second}} {
		if *x.p == 0 {
			*x.p = x.d
		}
	}
	if l.Idle == 0 {
		l.Idle = 300
	}
	return l
}

// elsewhere is how many times the share of a port those of other hosts have together, whose packets come by way of a router.
const elsewhere = 4

// Config is what a Resolver is made of.
type Config struct {
	// Asker gives the MAC and IP that a host may ask with in a network; false if no router of the host leads there now.
	Asker func(model.HostName, uint32) (model.MAC, netip.Addr, bool)
	// Back takes a packet whose next hop does not answer, or is not asked for. Its Data is the callee's.
	Back       func(Switch, packetin.Packet)
	Limits     Limits
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// Resolver knows the next hops of all hosts that this process runs. Its methods may be called from any goroutine.
type Resolver struct {
	cfg  Config
	lim  Limits
	m    *metrics
	wake chan struct{}

	mu    sync.Mutex
	hosts map[model.HostName]*host
}

type key struct {
	net  uint32
	addr netip.Addr
}

// host is one br-int. Everything in it is under Resolver.mu.
type host struct {
	name         model.HostName
	sw           Switch
	entries      map[key]*entry
	asking       map[key]*entry
	known        map[uint32]int // entries by network
	asked        map[uint32]int // questions that packets opened, by network: refreshes take nothing from new ones
	byPort       map[uint32]int // and by port
	held, octets int
	swept        time.Time // when the last sweep began
	sweeping     bool
	read         bool // a sweep has succeeded
}

// entry is one next hop.
type entry struct {
	l3.Learned
	known bool
	// asker, when asking.
	mac    model.MAC
	ip     netip.Addr
	opener uint32 // port key whose packet opened the question; 0 for a refresh
	tries  int    // questions sent; 0: none is open
	due    time.Time
	held   []held

	confirmed, used, ended time.Time // last answer; last seen in use; end of the last question
	packets                uint64    // of the flow, when it was last read
}

type held struct {
	in   packetin.Packet
	hold packetin.Hold
}

// New makes a Resolver without hosts.
func New(cfg Config) *Resolver {
	r := &Resolver{cfg: cfg, lim: cfg.Limits.withDefaults(), wake: make(chan struct{}, 1), hosts: map[model.HostName]*host{}}
	r.m = newMetrics(cfg.Registerer, r)
	return r
}

// Connected begins with a host's br-int; what the switch knows already is read back.
func (r *Resolver) Connected(name model.HostName, sw Switch) {
	r.mu.Lock()
	r.hosts[name] = &host{name: name, sw: sw, entries: map[key]*entry{}, asking: map[key]*entry{}, known: map[uint32]int{}, asked: map[uint32]int{}, byPort: map[uint32]int{}}
	r.mu.Unlock()
	r.kick()
}

// Disconnected ends with a host's br-int, if it is still that one: its held packets are lost, what it knows is its own.
func (r *Resolver) Disconnected(name model.HostName, sw Switch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.hosts[name]; h != nil && h.sw == sw {
		delete(r.hosts, name)
	}
}

func (r *Resolver) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Hold keeps a packet and asks for its next hop. It copies what it keeps.
func (r *Resolver) Hold(now time.Time, in *packetin.Packet, x *packetin.Hold) {
	r.mu.Lock()
	h := r.hosts[in.Host]
	if h == nil || !x.Addr.Is4() {
		r.mu.Unlock()
		return
	}
	k := key{x.Net, x.Addr}
	e := h.entries[k]
	if e == nil || e.tries == 0 {
		if e != nil && now.Sub(e.confirmed) < r.lim.Interval {
			// The answer came while this packet was on its way here.
			r.release(h, held{*in, *x})
			r.mu.Unlock()
			return
		}
		port := in.PortKey
		share := r.lim.AskedPerPort
		if !x.Inside {
			share *= elsewhere
		}
		if h.asked[k.net] >= r.lim.AskedPerNet || h.byPort[port] >= share {
			r.m.event(eventLimited)
			sw, lost := h.sw, *in
			r.mu.Unlock()
			r.cfg.Back(sw, lost)
			return
		}
		if e == nil {
			e = &entry{Learned: l3.Learned{Net: k.net, Addr: k.addr}}
			h.entries[k] = e
		} else {
			r.unlearn(h, e) // the switch says that it does not know it any more
		}
		e.opener, e.used = port, now
		e.mac, e.ip = x.MAC, x.IP
		r.open(now, h, e)
		r.kick()
	}
	if len(e.held) < r.lim.HeldPerHop && h.held < r.lim.HeldPerHost && h.octets+len(in.Data) <= r.lim.OctetsPerHost {
		kept := held{*in, *x}
		kept.in.Data = append([]byte(nil), in.Data...)
		e.held = append(e.held, kept)
		h.held++
		h.octets += len(in.Data)
		r.m.event(eventHeld)
	} else {
		r.m.event(eventOverflow)
	}
	r.mu.Unlock()
}

// open begins a question and asks for the first time.
func (r *Resolver) open(now time.Time, h *host, e *entry) {
	k := key{e.Net, e.Addr}
	h.asking[k] = e
	if e.opener != 0 {
		h.asked[e.Net]++
		h.byPort[e.opener]++
	}
	r.send(h, e.Ask(openflow.FlowAdd, uint16((time.Duration(r.lim.Tries)*r.lim.Interval+5*time.Second)/time.Second)))
	r.ask(now, h, e)
	e.due = now.Add(r.lim.Interval)
}

// close ends a question.
func (r *Resolver) close(now time.Time, h *host, e *entry) {
	delete(h.asking, key{e.Net, e.Addr})
	if e.opener != 0 {
		lower(h.asked, e.Net)
		lower(h.byPort, e.opener)
	}
	e.tries, e.opener, e.ended = 0, 0, now
	r.send(h, e.Ask(openflow.FlowDeleteStrict, 0))
}

// ask sends one ARP request: to the MAC that is known first, then to all.
func (r *Resolver) ask(now time.Time, h *host, e *entry) {
	to := frame.Broadcast
	if e.known && e.tries == 0 {
		to = e.MAC
	}
	e.tries++
	b := frame.AppendEthernet(nil, to, e.mac, nil, frame.TypeARP)
	b = (&arp.Packet{Op: arp.OpRequest, SenderMAC: e.mac, SenderIP: e.ip, TargetIP: e.Addr}).Append(b)
	if h.sw.SendInto(0, e.Net, b) == nil {
		r.m.event(eventAsked)
	}
}

func (r *Resolver) send(h *host, mods ...*openflow.FlowMod) {
	for _, m := range mods {
		if h.sw.TryFlow(m) != nil {
			r.m.event(eventLost)
		}
	}
}

// Told takes what ARP packets say of next hops.
func (r *Resolver) Told(now time.Time, name model.HostName, f *packetin.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[name]
	if h == nil {
		return
	}
	e := h.entries[key{f.Net, f.Addr}]
	switch {
	case e == nil:
		r.m.event(eventUnasked)
	case e.tries == 0:
		r.doubt(now, h, e, f.MAC)
	case f.Kind != packetin.FactAnswer, e.known && e.tries == 1 && f.MAC != e.MAC:
		r.m.event(eventUnasked) // only the owner was asked
	default:
		r.answered(now, h, e, f.MAC)
	}
}

// Announced takes what a port says of an address that is not its own: all hosts that know it doubt.
func (r *Resolver) Announced(now time.Time, f *packetin.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hosts {
		if e := h.entries[key{f.Net, f.Addr}]; e != nil && e.tries == 0 {
			r.doubt(now, h, e, f.MAC)
		}
	}
}

// doubt has the owner of a known address asked because another claims it, now and then.
func (r *Resolver) doubt(now time.Time, h *host, e *entry, claim model.MAC) {
	r.m.event(eventUnasked)
	if !e.known || claim == e.MAC || now.Sub(e.ended) < r.lim.Interval {
		return
	}
	if r.refresh(now, h, e) {
		e.due = now.Add(r.lim.Doubt)
		r.kick()
	}
}

// refresh asks for what is known again; what no router leads to any more is forgotten.
func (r *Resolver) refresh(now time.Time, h *host, e *entry) bool {
	mac, ip, ok := r.cfg.Asker(h.name, e.Net)
	if !ok {
		r.forget(h, e)
		return false
	}
	e.mac, e.ip = mac, ip
	r.open(now, h, e)
	return true
}

// answered writes what was found out, and sends on what waits for it.
func (r *Resolver) answered(now time.Time, h *host, e *entry, mac model.MAC) {
	r.m.event(eventAnswered)
	r.close(now, h, e)
	e.confirmed = now
	if !e.known || mac != e.MAC {
		if e.known {
			r.m.event(eventMoved)
			r.unlearn(h, e)
		}
		e.MAC = mac
		r.learn(h, e)
		r.send(h, append(e.Watch(openflow.FlowAdd), e.Flow(openflow.FlowAdd, r.lim.Idle))...)
		e.packets = 0
	}
	waiting := e.held
	e.held = nil
	for _, x := range waiting {
		h.held--
		h.octets -= len(x.in.Data)
		r.release(h, x)
	}
}

// learn counts an entry as known; where there are too many, the one that was not used for the longest time goes.
func (r *Resolver) learn(h *host, e *entry) {
	if h.known[e.Net] >= r.lim.KnownPerNet {
		var oldest *entry
		for _, o := range h.entries {
			if o.Net == e.Net && o.known && o.tries == 0 && (oldest == nil || o.used.Before(oldest.used)) {
				oldest = o
			}
		}
		if oldest != nil {
			r.m.event(eventEvicted)
			r.forget(h, oldest)
		}
	}
	e.known = true
	h.known[e.Net]++
}

// unlearn takes what is known of an entry out of the switch.
func (r *Resolver) unlearn(h *host, e *entry) {
	if !e.known {
		return
	}
	e.known = false
	lower(h.known, e.Net)
	r.send(h, append(e.Watch(openflow.FlowDeleteStrict), e.Flow(openflow.FlowDeleteStrict, 0))...)
}

// forget ends an entry of which no question is open.
func (r *Resolver) forget(h *host, e *entry) {
	r.unlearn(h, e)
	delete(h.entries, key{e.Net, e.Addr})
}

func (r *Resolver) release(h *host, x held) {
	if h.sw.Route(x.hold.From, inside(&x), x.in.InPort, x.hold.Remote, x.in.Data) == nil {
		r.m.event(eventReleased)
	} else {
		r.m.event(eventLost)
	}
}

// inside is the key of the port that a packet comes from, 0 if it is none of this host.
func inside(x *held) uint32 {
	if x.hold.Inside {
		return x.in.PortKey
	}
	return 0
}

func lower(m map[uint32]int, k uint32) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}
