package neighbour

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/arp"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

// world is one host with a switch that notes what it is told, and holds flows as a switch does.
type world struct {
	t     *testing.T
	r     *Resolver
	reg   *prometheus.Registry
	now   time.Time
	did   []string
	flows map[string]*openflow.FlowMod
	back  []packetin.Packet
	away  bool // no router leads anywhere any more
	full  bool
}

var (
	gw, own, other = model.MAC{2, 0, 0, 0, 0, 1}, model.MAC{0xfa, 0x16, 0x3e, 0, 0, 20}, model.MAC{2, 0, 0, 0, 0, 66}
	hopIP          = netip.MustParseAddr("203.0.113.1")
	ownIP          = netip.MustParseAddr("203.0.113.10")
)

func newWorld(t *testing.T, lim Limits) *world {
	w := &world{t: t, now: time.Unix(1e9, 0), flows: map[string]*openflow.FlowMod{}, reg: prometheus.NewPedanticRegistry()}
	w.r = New(Config{Limits: lim, Logger: zap.NewNop(), Registerer: w.reg, Back: func(_ Switch, in packetin.Packet) { w.back = append(w.back, in) },
		Asker: func(model.HostName, uint32) (model.MAC, netip.Addr, bool) { return own, ownIP, !w.away }})
	w.r.Connected("h1", w)
	return w
}

func (w *world) SendInto(_, net uint32, b []byte) error {
	if w.full {
		return openflow.ErrQueueFull
	}
	var eth frame.Ethernet
	var p arp.Packet
	if err := eth.Decode(b); err != nil || p.Decode(eth.Payload) != nil || p.Op != arp.OpRequest || eth.Src != p.SenderMAC {
		w.t.Errorf("sent %x", b)
	}
	w.did = append(w.did, fmt.Sprintf("ask net %d %s of %s", net, p.TargetIP, eth.Dst))
	return nil
}

func (w *world) Route(net, port, in uint32, remote bool, b []byte) error {
	if w.full {
		return openflow.ErrQueueFull
	}
	w.did = append(w.did, fmt.Sprintf("route net %d port %d/%d %v %s", net, port, in, remote, b))
	return nil
}

func (w *world) TryFlow(m *openflow.FlowMod) error {
	if w.full {
		return openflow.ErrQueueFull
	}
	k := fmt.Sprint(m.Table, m.Priority, m.Match.String())
	switch m.Command {
	case openflow.FlowAdd:
		w.flows[k] = m
	case openflow.FlowDeleteStrict:
		delete(w.flows, k)
	case openflow.FlowDelete:
		for k, f := range w.flows {
			a, _, _ := f.Match.GetUint(openflow.ARPSPA)
			if b, _, _ := m.Match.GetUint(openflow.ARPSPA); f.Table == m.Table && a == b {
				delete(w.flows, k)
			}
		}
	}
	return nil
}

func (w *world) Flows(_ context.Context, req openflow.FlowRequest, f func(*openflow.Flow)) error {
	for _, m := range w.flows {
		if m.Table == req.Table {
			x := m.Flow
			x.Stats = &openflow.FlowStats{PacketCount: 5, DurationSec: 100}
			f(&x)
		}
	}
	return nil
}

// of counts the flows of a rule.
func (w *world) of(r *pipeline.Rule) (n int) {
	for _, m := range w.flows {
		if pipeline.Cookie(m.Cookie).Rule() == r.Num {
			n++
		}
	}
	return n
}

// has holds the switch to a number of questions, and of known next hops with their watches.
func (w *world) has(asked, known int) {
	w.t.Helper()
	if a, k, s, o := w.of(pipeline.AnswerAsked), w.of(pipeline.NeighbourIs), w.of(pipeline.ClaimSame), w.of(pipeline.ClaimOther); a != asked || k != known || s != known || o != known {
		w.t.Errorf("the switch has %d questions, %d next hops, %d and %d watches; want %d and %d", a, k, s, o, asked, known)
	}
}

// saw holds what was done since the last call to a text, a line each.
func (w *world) saw(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.did, "\n"); got != strings.Join(want, "\n") {
		w.t.Errorf("did\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	w.did = nil
}

func (w *world) hold(port uint32, addr netip.Addr, data string) {
	w.r.Hold(w.now, &packetin.Packet{Host: "h1", InPort: 3, PortKey: port, Data: []byte(data)},
		&packetin.Hold{Net: 7, Addr: addr, MAC: own, IP: ownIP, From: 5, Inside: true})
}

func (w *world) told(kind packetin.FactKind, mac model.MAC) {
	w.r.Told(w.now, "h1", &packetin.Fact{Kind: kind, Net: 7, Addr: hopIP, MAC: mac})
}

func (w *world) pass(d time.Duration) time.Time {
	w.now = w.now.Add(d)
	return w.r.Tick(w.now)
}

// read is a sweep in which the switch says how many packets each next hop has had.
func (w *world) read(packets uint64) {
	var all []state
	watched := map[key]bool{}
	for _, m := range w.flows {
		if l, ok := l3.ReadLearned(&m.Flow); ok {
			all = append(all, state{l, packets, 100 * time.Second})
		} else if l, ok := l3.ReadWatch(&m.Flow); ok {
			watched[key{l.Net, l.Addr}] = true
		}
	}
	w.r.swept(w.now, sweep{w.r, w.r.hosts["h1"], w.now}, all, watched)
}

func (w *world) counts(want map[string]int) {
	w.t.Helper()
	for e, n := range want {
		var m dto.Metric
		if err := w.r.m.events[e].Write(&m); err != nil || m.GetCounter().GetValue() != float64(n) {
			w.t.Errorf("%s: %v, want %d", e, m.GetCounter().GetValue(), n)
		}
	}
}

const all = "ff:ff:ff:ff:ff:ff"

// TestAnswered: packets wait, and go on in order when the answer comes; nothing is asked twice for them.
func TestAnswered(t *testing.T) {
	w := newWorld(t, Limits{HeldPerHop: 2})
	w.hold(11, hopIP, "a")
	w.hold(11, hopIP, "b")
	w.hold(12, hopIP, "c") // one too many
	w.saw("ask net 7 203.0.113.1 of " + all)
	w.has(1, 0)
	w.told(packetin.FactHeard, other) // no answer
	w.has(1, 0)
	w.told(packetin.FactAnswer, gw)
	w.saw("route net 5 port 11/3 false a", "route net 5 port 11/3 false b")
	w.has(0, 1)
	w.hold(11, hopIP, "late") // was on its way
	w.saw("route net 5 port 11/3 false late")
	if w.pass(time.Minute); len(w.did) > 0 {
		t.Errorf("%v", w.did)
	}
	w.counts(map[string]int{eventAsked: 1, eventAnswered: 1, eventHeld: 2, eventOverflow: 1, eventReleased: 3, eventUnasked: 1, eventUnanswered: 0})
	if h := w.r.hosts["h1"]; h.held != 0 || h.octets != 0 || len(h.asked)+len(h.byPort)+len(h.asking) != 0 {
		t.Errorf("%+v", h)
	}
	// The switch let it go by itself, and says so with the next packet.
	w.hold(11, hopIP, "d")
	w.saw("ask net 7 203.0.113.1 of " + all)
	w.has(1, 0)
}

// TestUnanswered: three questions, then the packets go back.
func TestUnanswered(t *testing.T) {
	w := newWorld(t, Limits{})
	w.hold(11, hopIP, "a")
	w.hold(11, hopIP, "b")
	for range 2 {
		w.pass(time.Second)
	}
	q := "ask net 7 203.0.113.1 of " + all
	w.saw(q, q, q)
	if len(w.back) > 0 {
		t.Error("gave up early")
	}
	w.pass(time.Second)
	if len(w.back) != 2 || string(w.back[0].Data) != "a" || string(w.back[1].Data) != "b" {
		t.Errorf("back: %+v", w.back)
	}
	w.has(0, 0)
	w.saw()
	w.told(packetin.FactAnswer, gw) // too late: nobody asks
	w.has(0, 0)
	if h := w.r.hosts["h1"]; len(h.entries)+len(h.asking)+h.held != 0 {
		t.Errorf("%+v", h)
	}
}

// TestBelief: only who was asked is believed; a claim of another has the owner asked first.
func TestBelief(t *testing.T) {
	w := newWorld(t, Limits{})
	w.told(packetin.FactAnswer, other)
	w.has(0, 0)
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	w.did = nil
	w.pass(2 * time.Second)
	w.told(packetin.FactHeard, gw)
	w.saw()
	w.told(packetin.FactHeard, other)
	w.saw("ask net 7 203.0.113.1 of 02:00:00:00:00:01")
	w.told(packetin.FactAnswer, other) // it was not asked
	w.told(packetin.FactAnswer, gw)
	w.has(0, 1)
	if e := w.r.hosts["h1"].entries[key{7, hopIP}]; e.MAC != gw || e.tries != 0 {
		t.Errorf("%+v", e)
	}
	w.told(packetin.FactHeard, other) // once more at once: not asked again so soon
	w.saw()
	// The owner is silent: all are asked, and who answers then is it.
	w.pass(2 * time.Second)
	w.told(packetin.FactHeard, other)
	w.pass(100 * time.Millisecond)
	w.saw("ask net 7 203.0.113.1 of 02:00:00:00:00:01")
	w.pass(200 * time.Millisecond)
	w.saw("ask net 7 203.0.113.1 of " + all)
	w.told(packetin.FactAnswer, other)
	w.has(0, 1)
	if l, _ := l3.ReadLearned(&w.flows[w.entry()].Flow); l.MAC != other {
		t.Errorf("%+v", l)
	}
	w.counts(map[string]int{eventMoved: 1})
}

func (w *world) entry() string {
	for k, m := range w.flows {
		if m.Table == pipeline.Neighbours.ID {
			return k
		}
	}
	return ""
}

// TestRefresh: what is in use is asked for again when it is old, its flow staying; what is not used is not, and is forgotten
// with the switch's flow; what does not answer goes.
func TestRefresh(t *testing.T) {
	w := newWorld(t, Limits{})
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	w.did = nil
	w.now = w.now.Add(20 * time.Second)
	w.read(9) // used, but young
	w.saw()
	w.now = w.now.Add(20 * time.Second)
	w.read(9) // old, but not used since
	w.saw()
	w.read(10)
	w.saw("ask net 7 203.0.113.1 of 02:00:00:00:00:01")
	w.has(1, 1)
	w.told(packetin.FactAnswer, gw)
	w.has(0, 1)
	w.now = w.now.Add(40 * time.Second)
	w.read(11)
	for range 3 {
		w.pass(time.Second)
	}
	w.has(0, 0)
	// Forgotten with the flow.
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	w.now = w.now.Add(300 * time.Second)
	delete(w.flows, w.entry())
	w.read(0)
	w.has(0, 0)
	// Without a router nobody asks, and nothing stays.
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	w.away = true
	w.now = w.now.Add(40 * time.Second)
	w.read(1)
	w.has(0, 0)
}

// TestRestart: another process takes over what the switch knows, puts back what is missing, and forgets watches of nothing.
func TestRestart(t *testing.T) {
	w := newWorld(t, Limits{})
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	lone := l3.Learned{Net: 7, Addr: netip.MustParseAddr("203.0.113.9"), MAC: gw}
	for _, m := range lone.Watch(openflow.FlowAdd) {
		w.TryFlow(m)
	}
	for k, m := range w.flows {
		if c := pipeline.Cookie(m.Cookie).Rule(); c == pipeline.ClaimOther.Num && !strings.Contains(m.Match.String(), "203.0.113.9") {
			delete(w.flows, k)
		}
	}
	w.r = New(w.r.cfg2())
	w.r.Connected("h1", w)
	w.did = nil
	due := w.r.dueSweeps(w.now)
	if len(due) != 1 {
		t.Fatal("nothing is read after a connection")
	}
	due[0].run(t.Context())
	w.has(0, 1)
	if e := w.r.hosts["h1"].entries[key{7, hopIP}]; e == nil || e.MAC != gw || !e.known {
		t.Fatalf("%+v", e)
	}
	w.now = w.now.Add(time.Second)
	w.read(6)
	w.saw("ask net 7 203.0.113.1 of 02:00:00:00:00:01")
	w.r.Disconnected("h1", w)
	w.hold(11, hopIP, "gone")
	w.told(packetin.FactAnswer, gw)
}

// cfg2 is the configuration with a registry of its own.
func (r *Resolver) cfg2() Config { c := r.cfg; c.Registerer = nil; return c }

// TestScan: one port cannot have more asked than its share, nor all more than the network's; the rest is refused at once.
func TestScan(t *testing.T) {
	w := newWorld(t, Limits{AskedPerPort: 4, AskedPerNet: 6, KnownPerNet: 5, HeldPerHost: 3})
	a := netip.MustParseAddr("203.0.113.100")
	for range 20 {
		w.hold(11, a, "x")
		a = a.Next()
	}
	for range 20 {
		w.hold(12, a, "y")
		a = a.Next()
	}
	w.has(6, 0)
	if len(w.back) != 34 {
		t.Errorf("%d were refused at once", len(w.back))
	}
	w.counts(map[string]int{eventLimited: 34, eventHeld: 3, eventOverflow: 3})
	for range 4 {
		w.pass(time.Second)
	}
	w.has(0, 0)
	// All of a network that answers: as many are known as may be, those last used.
	a = netip.MustParseAddr("203.0.113.100")
	for range 20 {
		w.now = w.now.Add(time.Second)
		w.hold(11, a, "x")
		w.r.Told(w.now, "h1", &packetin.Fact{Kind: packetin.FactAnswer, Net: 7, Addr: a, MAC: gw})
		a = a.Next()
	}
	w.has(0, 5)
	w.counts(map[string]int{eventEvicted: 15})
	if w.r.hosts["h1"].entries[key{7, netip.MustParseAddr("203.0.113.119")}] == nil {
		t.Error("the last is not among them")
	}
}

// TestRandom runs random histories: counts stay true, and all ends in nothing.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, Limits{AskedPerPort: 3, AskedPerNet: 6, KnownPerNet: 4, HeldPerHop: 2, HeldPerHost: 7})
		addr := func() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.IntN(12))}) }
		for range 2000 {
			switch rnd.IntN(8) {
			case 0, 1, 2:
				w.hold(uint32(1+rnd.IntN(4)), addr(), "x")
			case 3, 4:
				kind := packetin.FactAnswer
				if rnd.IntN(4) == 0 {
					kind = packetin.FactHeard
				}
				w.r.Told(w.now, "h1", &packetin.Fact{Kind: kind, Net: 7, Addr: addr(), MAC: model.MAC{2, 0, 0, 0, 0, byte(rnd.IntN(3))}})
			case 5:
				w.pass(time.Duration(rnd.IntN(1500)) * time.Millisecond)
			case 6:
				w.read(uint64(rnd.IntN(3)))
			case 7:
				if k := w.entry(); k != "" && rnd.IntN(3) == 0 {
					delete(w.flows, k) // unused for long
				}
			}
			w.check()
		}
		w.away = true
		for k, m := range w.flows {
			if m.Table == pipeline.Neighbours.ID {
				delete(w.flows, k)
			}
		}
		for range 5 {
			w.pass(2 * time.Second)
		}
		w.read(0)
		w.has(0, 0)
		if h := w.r.hosts["h1"]; len(h.entries)+len(h.asking)+len(h.known)+len(h.asked)+len(h.byPort)+h.held+h.octets != 0 {
			t.Fatalf("left: %+v", h)
		}
	}
}

// check holds the counts against what they count.
func (w *world) check() {
	w.t.Helper()
	h := w.r.hosts["h1"]
	known, asked, opened, held := 0, 0, 0, 0
	for k, e := range h.entries {
		if e.known {
			known++
		}
		if e.tries > 0 {
			asked++
		}
		if e.opener != 0 {
			opened++
		}
		if !e.known && e.tries == 0 || (h.asking[k] == e) != (e.tries > 0) || len(e.held) > 0 && e.tries == 0 {
			w.t.Fatalf("%+v", e)
		}
		held += len(e.held)
	}
	if h.known[7] != known || h.asked[7] != opened || opened > 6 || len(h.asking) != asked || h.held != held || known > 5 || held > 7 || w.of(pipeline.AnswerAsked) != asked {
		w.t.Fatalf("known %d (%d), opened %d (%d), held %d (%d)", h.known[7], known, h.asked[7], opened, h.held, held)
	}
}

// TestFull: a switch that takes no more loses packets and nothing else.
func TestFull(t *testing.T) {
	w := newWorld(t, Limits{})
	w.full = true
	w.hold(11, hopIP, "a")
	w.told(packetin.FactAnswer, gw)
	w.full = false
	w.hold(11, hopIP, "b")
	w.counts(map[string]int{eventLost: 6, eventReleased: 1})
}
