package neighbour

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/packetin"
)

// deaf is a switch that cannot be read.
type deaf struct{ *world }

func (deaf) Flows(context.Context, openflow.FlowRequest, func(*openflow.Flow)) error {
	return errors.New("no")
}

// TestFirstRead: a first read that fails is done again although nothing is known; one that succeeds with nothing is not.
func TestFirstRead(t *testing.T) {
	w := newWorld(t, Limits{Sweep: 10 * time.Second})
	w.r.Connected("h1", deaf{w})
	for i := range 3 {
		due := w.r.dueSweeps(w.now)
		if len(due) != 1 {
			t.Fatalf("%d sweeps after %d failures", len(due), i)
		}
		if i == 2 {
			w.r.hosts["h1"].sw = w
		}
		due[0].run(t.Context())
		if due := w.r.dueSweeps(w.now); len(due) > 0 {
			t.Fatal("read again at once")
		}
		w.now = w.now.Add(10 * time.Second)
	}
	if due := w.r.dueSweeps(w.now); len(due) > 0 {
		t.Error("what knows nothing is read again")
	}
}

// TestSlowSweep: a read that is under way is not waited for with Ticks, and its failure wakes Run.
func TestSlowSweep(t *testing.T) {
	w := newWorld(t, Limits{Sweep: 10 * time.Second})
	w.r.Connected("h1", deaf{w})
	due := w.r.dueSweeps(w.now)
	for _, d := range []time.Duration{time.Second, 9 * time.Second, time.Second} {
		if next := w.pass(d); !next.After(w.now) {
			t.Errorf("wants a Tick %v ago", w.now.Sub(next))
		}
	}
	select {
	case <-w.r.wake:
	default:
	}
	due[0].run(t.Context())
	select {
	case <-w.r.wake:
	default:
		t.Error("Run does not learn that the read has failed")
	}
	if next := w.r.Tick(w.now); next.After(w.now) {
		t.Errorf("the next read is in %v", next.Sub(w.now))
	}
}

// TestRefreshesAside: however much is asked for again, new questions have their whole share.
func TestRefreshesAside(t *testing.T) {
	w := newWorld(t, Limits{AskedPerPort: 4, AskedPerNet: 4})
	a := netip.MustParseAddr("203.0.113.100")
	for range 8 {
		w.hold(11, a, "x")
		w.r.Told(w.now, "h1", &packetin.Fact{Kind: packetin.FactAnswer, Net: 7, Addr: a, MAC: gw})
		a = a.Next()
	}
	w.now = w.now.Add(time.Minute)
	w.read(1)
	w.has(8, 8)
	for range 5 {
		w.hold(11, a, "y")
		a = a.Next()
	}
	w.has(12, 8)
	if len(w.back) != 1 {
		t.Errorf("%d were refused, want 1", len(w.back))
	}
	for range 4 {
		w.pass(time.Second)
	}
	if h := w.r.hosts["h1"]; len(h.asking)+len(h.asked)+len(h.byPort) != 0 {
		t.Errorf("left: %+v", h)
	}
}
