package controller

import (
	"context"
	"sync"
	"time"

	"github.com/penstock/penstock/model"
)

// When a port moves to another host, physical switches, and bridges that switch by NORMAL, look for it where they saw it
// last. QEMU announces a guest when it runs in its new place, but that may be before the port is at home there, and Open
// vSwitch pushes what the last packets from the old place taught up to a second late, over what was announced meanwhile:
// a guest that only ever answers would not be found any more. So the new host announces the port itself, several times.

// A port that has moved is announced arrivalSoon times, every arrivalPause, while revalidators collect what was, and then
// after 2, 4 and 8 seconds, should a host be slower than that.
const (
	arrivalSoon  = 13
	arrivalPause = 100 * time.Millisecond
	arrivalTimes = arrivalSoon + 3
)

// arrivalAt is how long after its arrival a port is announced for the nth time, from 0.
func arrivalAt(n int) time.Duration {
	if n < arrivalSoon {
		return time.Duration(n) * arrivalPause
	}
	return time.Second << (n - arrivalSoon + 1)
}

// maxArrivals bounds the ports of a host that are announced at a time; those beyond are found by what they send.
const maxArrivals = 4096

// arrivals are ports that have moved to a host.
type arrivals struct {
	mu   sync.Mutex
	at   map[model.PortID]arrival
	wake chan struct{}
}

type arrival struct {
	since time.Time
	said  int
}

func newArrivals() *arrivals {
	return &arrivals{at: map[model.PortID]arrival{}, wake: make(chan struct{}, 1)}
}

// add notes that a port has moved here.
func (a *arrivals) add(id model.PortID, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.at[id]; !ok && len(a.at) >= maxArrivals {
		return
	}
	a.at[id] = arrival{since: now}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// due takes the ports that are to be announced now, and tells how long the next have time; negative when there is none.
func (a *arrivals) due(now time.Time) (ids []model.PortID, next time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next = -1
	for id, x := range a.at {
		if wait := x.since.Add(arrivalAt(x.said)).Sub(now); wait <= 0 {
			ids = append(ids, id)
			if x.said++; x.said == arrivalTimes {
				delete(a.at, id)
				continue
			}
			a.at[id] = x
		}
		if wait := x.since.Add(arrivalAt(x.said)).Sub(now); next < 0 || wait < next {
			next = max(wait, 0)
		}
	}
	return ids, next
}

// welcome announces ports that have moved here, until ctx ends.
func (r *runner) welcome(ctx context.Context, o *ownedHost) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		ids, next := o.arrivals.due(time.Now())
		s := r.brInt(o)
		v := r.c.cfg.Store.View()
		for _, id := range ids {
			p, ok := v.Port(id)
			if !ok || s == nil || !p.AdminStateUp || p.HostID != r.host {
				continue
			}
			if n, ok := v.Network(p.NetworkID); ok && n.AdminStateUp && n.Physical() {
				_ = s.SendInto(0, n.Key, reverse(p.MAC)) // it is said again
			}
		}
		if next < 0 {
			next = time.Hour
		}
		t.Reset(next)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.arrivals.wake:
		case <-t.C:
		}
	}
}

// moved gives the host that a port has moved to by a change.
func moved(ch model.Change) (model.HostName, bool) {
	was, _ := ch.Old.(*model.Port)
	is, _ := ch.New.(*model.Port)
	if was == nil || is == nil || was.HostID == "" || is.HostID == "" || was.HostID == is.HostID {
		return "", false
	}
	return is.HostID, true
}
