package controller

import (
	"testing"
	"time"

	"github.com/penstock/penstock/model"
)

// TestArrivals: a port that moves is announced at once and five times more, anew when it moves again, and no more than so many.
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
	}{{0, 1, 300 * time.Millisecond}, {100 * time.Millisecond, 0, 200 * time.Millisecond}, {300 * time.Millisecond, 1, 700 * time.Millisecond},
		{time.Second, 1, time.Second}, {2 * time.Second, 1, 2 * time.Second}, {4 * time.Second, 1, 4 * time.Second}, {8 * time.Second, 1, -1}, {9 * time.Second, 0, -1}} {
		if n, next := at(x.at); n != x.n || next != x.next {
			t.Errorf("after %v: %d due, next in %v; want %d, %v", x.at, n, next, x.n, x.next)
		}
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
