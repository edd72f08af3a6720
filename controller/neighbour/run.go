package neighbour

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

// readTimeout bounds one reading of a switch's next hops.
const readTimeout = 10 * time.Second

// Run asks, refreshes and forgets until ctx ends.
func (r *Resolver) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case <-t.C:
		}
		now := time.Now()
		next := r.Tick(now)
		for _, s := range r.dueSweeps(now) {
			go s.run(ctx)
		}
		t.Reset(max(next.Sub(now), time.Millisecond))
	}
}

// Tick does what is due, and gives when it wants to be called again at the latest.
func (r *Resolver) Tick(now time.Time) (next time.Time) {
	type lost struct {
		sw Switch
		in packetin.Packet
	}
	var back []lost
	r.mu.Lock()
	next = now.Add(r.lim.Sweep)
	for _, h := range r.hosts {
		for _, e := range h.asking {
			if now.Before(e.due) {
				next = earlier(next, e.due)
				continue
			}
			if e.tries < r.lim.Tries {
				r.ask(now, h, e)
				e.due = now.Add(r.lim.Interval)
				next = earlier(next, e.due)
				continue
			}
			r.m.event(eventUnanswered)
			r.close(now, h, e)
			for _, x := range e.held {
				h.held--
				h.octets -= len(x.in.Data)
				back = append(back, lost{h.sw, x.in})
			}
			e.held = nil
			r.forget(h, e)
		}
		if !h.sweeping {
			next = earlier(next, h.swept.Add(r.lim.Sweep))
		}
	}
	r.mu.Unlock()
	for _, x := range back {
		r.cfg.Back(x.sw, x.in)
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sweep is one reading of what a switch knows and uses.
type sweep struct {
	r     *Resolver
	h     *host
	began time.Time
}

// dueSweeps begins the sweeps that are due: after a connection at once and until one succeeds, then of hosts that know
// anything.
func (r *Resolver) dueSweeps(now time.Time) (out []sweep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hosts {
		if h.sweeping || now.Sub(h.swept) < r.lim.Sweep {
			continue
		}
		h.swept = now
		if !h.read || len(h.known) > 0 {
			h.sweeping = true
			out = append(out, sweep{r, h, now})
		}
	}
	return out
}

// state is what a switch says of one next hop.
type state struct {
	l3.Learned
	packets uint64
	age     time.Duration
}

func (s sweep) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var all []state
	watched := map[key]bool{}
	read := func(t *pipeline.Table) error {
		req := openflow.FlowRequest{Table: t.ID, Cookie: pipeline.CookieMark << 56, CookieMask: pipeline.CookieMarkMask}
		return s.h.sw.Flows(ctx, req, func(f *openflow.Flow) {
			if l, ok := l3.ReadLearned(f); ok && f.Stats != nil {
				all = append(all, state{l, f.Stats.PacketCount, time.Duration(f.Stats.DurationSec) * time.Second})
			} else if l, ok := l3.ReadWatch(f); ok {
				watched[key{l.Net, l.Addr}] = true
			}
		})
	}
	err := read(pipeline.Neighbours)
	if err == nil {
		err = read(pipeline.ARPWatch)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.r.cfg.Logger.Debug("cannot read next hops", zap.String("host", string(s.h.name)), zap.Error(err))
		}
		s.r.mu.Lock()
		s.h.sweeping = false
		s.r.mu.Unlock()
		s.r.kick()
		return
	}
	s.r.swept(time.Now(), s, all, watched)
}

// swept takes over what was read: what nobody uses any more is gone, what is used and old is asked for again.
func (r *Resolver) swept(now time.Time, s sweep, all []state, watched map[key]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := s.h
	h.sweeping, h.read = false, true
	if r.hosts[h.name] != h {
		return
	}
	seen := map[key]bool{}
	for _, x := range all {
		k := key{x.Net, x.Addr}
		seen[k] = true
		e := h.entries[k]
		if e == nil { // from before this process
			e = &entry{Learned: x.Learned, confirmed: s.began.Add(-x.age), used: s.began, packets: x.packets}
			h.entries[k] = e
			r.learn(h, e)
		}
		if !watched[k] {
			r.send(h, e.Watch(openflow.FlowAdd)...)
		}
		used := x.packets != e.packets
		if e.packets = x.packets; used {
			e.used = s.began
		}
		if e.known && e.tries == 0 && used && now.Sub(e.confirmed) >= r.lim.Refresh {
			r.refresh(now, h, e)
		}
	}
	for k, e := range h.entries {
		if e.known && e.tries == 0 && !seen[k] && e.confirmed.Before(s.began.Add(-r.lim.Interval)) {
			r.forget(h, e)
		}
	}
	for k := range watched {
		if h.entries[k] == nil {
			r.send(h, (&l3.Learned{Net: k.net, Addr: k.addr}).Unwatch())
		}
	}
	r.kick()
}
