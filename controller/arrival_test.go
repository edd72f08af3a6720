package controller

import (
	"testing"
	"time"

	"github.com/penstock/penstock/model"
)

// TestArrivals: a port that moves is announced at once, often at first and then after 2, 4 and 8 s, anew when it moves again, and no more than so many.
func TestArrivals(t *testing.T) {
	a, start := newArrivals(), time.Unix(1000, 0)
	at := func(d time.Duration) (n int, next time.Duration) {
		ids, next := a.due(start.Add(d))
		return len(ids), next
	}
	if n, next := at(0); n != 0 || next >= 0 {
		t.Errorf("nothing has come: %d due, next in %v", n, next)
	}
	a.add("p", start)
	for _, x := range []struct {
		at   time.Duration
		n    int
		next time.Duration
	}{{0, 1, 100 * time.Millisecond}, {50 * time.Millisecond, 0, 50 * time.Millisecond}, {100 * time.Millisecond, 1, 100 * time.Millisecond}} {
		if n, next := at(x.at); n != x.n || next != x.next {
			t.Errorf("after %v: %d due, next in %v; want %d, %v", x.at, n, next, x.n, x.next)
		}
	}
	said := 2
	for d := 200 * time.Millisecond; d <= 9*time.Second; d += 100 * time.Millisecond {
		n, next := at(d)
		said += n
		if (next < 0) != (d >= 8*time.Second) {
			t.Errorf("after %v: next in %v", d, next)
		}
	}
	if said != arrivalTimes {
		t.Errorf("announced %d times, want %d", said, arrivalTimes)
	}
	a.add("p", start.Add(10*time.Second))
	if n, _ := at(10 * time.Second); n != 1 {
		t.Error("a port that has moved again is not announced")
	}
	for i := range maxArrivals + 10 {
		a.add(model.PortID(rune('a'+i)), start)
	}
	if len(a.at) != maxArrivals {
		t.Errorf("%d ports wait, want at most %d", len(a.at), maxArrivals)
	}
	port := func(h model.HostName) *model.Port { return &model.Port{Meta: model.Meta{ID: "p"}, HostID: h} }
	for _, x := range []struct {
		was, is model.Object
		host    model.HostName
	}{{port("h1"), port("h2"), "h2"}, {port("h1"), port("h1"), ""}, {nil, port("h2"), ""}, {port(""), port("h2"), ""}, {port("h1"), nil, ""}} {
		if h, ok := moved(model.Change{Table: model.Ports, Old: x.was, New: x.is}); h != x.host || ok != (x.host != "") {
			t.Errorf("moved from %v to %v: %q, %v", x.was, x.is, h, ok)
		}
	}
}
