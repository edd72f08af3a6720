package rollout

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/pipeline"
)

// refuse takes what was rejected out of c; false means that it was not in it, so trying again is no use.
func (h *Host) refuse(ctx context.Context, name string, c *session.Change, rej *session.Rejected) bool {
	r := &Refusal{Bridge: name, What: rej.What, Err: rej.Err, group: rej.Group, meter: rej.Meter}
	unit, keys, err := h.cfg.Engine.UnitOf(ctx, h.cfg.Host, name, rej)
	if err != nil {
		return false
	}
	r.Unit = unit
	removed := false
	if rej.Key != nil {
		for _, k := range append(keys, *rej.Key) { // those of the unit that are in place stay there
			if _, ok := c.Set[k]; ok {
				delete(c.Set, k)
				r.keys = append(r.keys, k)
				removed = true
			}
			if _, ok := c.Del[k]; ok && k == *rej.Key {
				delete(c.Del, k)
				r.keys = append(r.keys, k)
				removed = true
			}
		}
	} else {
		removed = c.Drop(rej)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bridge(name)
	b.status.LastError = rej.Error()
	log := h.cfg.Logger.Error
	if b.knows(rej) {
		log = h.cfg.Logger.Debug // tried again in vain
	}
	log("switch refused", zap.String("host", string(h.cfg.Host)), zap.String("bridge", name),
		zap.String("what", rej.What), zap.Stringer("unit", unit), zap.Error(rej.Err))
	if rej.Key == nil {
		b.others = append(slices.DeleteFunc(b.others, r.same), r)
	}
	for _, k := range r.keys {
		b.refused[k] = r
	}
	return removed
}

// same reports whether two refusals are of the same group or meter.
func (r *Refusal) same(o *Refusal) bool {
	eq := func(a, b *uint32) bool { return a != nil && b != nil && *a == *b }
	return eq(r.group, o.group) || eq(r.meter, o.meter)
}

// knows reports whether the same thing stands refused already.
func (b *bridge) knows(rej *session.Rejected) bool {
	if rej.Key != nil {
		return b.refused[*rej.Key] != nil
	}
	return slices.ContainsFunc(b.others, (&Refusal{group: rej.Group, meter: rej.Meter}).same)
}

// isRefused reports whether a flow, group or meter is known to be refused.
func (b *bridge) isRefused(k *pipeline.Key, group, meter *uint32) bool {
	return b.knows(&session.Rejected{Key: k, Group: group, Meter: meter})
}

// forget drops refusals of what is not missing any more, or not wanted; diff is what is.
func (b *bridge) forget(want *derive.Desired, diff *session.Change) {
	for k := range b.refused {
		_, set := diff.Set[k]
		if _, del := diff.Del[k]; !set && !del {
			delete(b.refused, k)
		}
	}
	b.others = slices.DeleteFunc(b.others, func(r *Refusal) bool {
		ok := false
		if r.group != nil {
			_, ok = want.Groups[*r.group]
		} else {
			_, ok = want.Meters[*r.meter]
		}
		return !ok
	})
}

// count notes a change that the switch confirmed.
func (h *Host) count(name string, c *session.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bridge(name)
	b.status.Sent += uint64(len(c.Set) + len(c.Del))
	for k := range c.Set {
		delete(b.refused, k)
	}
	for k := range c.Del {
		delete(b.refused, k)
	}
	b.others = slices.DeleteFunc(b.others, func(r *Refusal) bool {
		var set, del bool
		if r.group != nil {
			_, set = c.SetGroups[*r.group]
			_, del = c.DelGroups[*r.group]
		} else {
			_, set = c.SetMeters[*r.meter]
			_, del = c.DelMeters[*r.meter]
		}
		return set || del
	})
	b.settle()
}

// finish ends a roll-out's jobs: what was refused is tried again soon, then less and less often.
func (h *Host) finish(jobs []job) {
	h.mu.Lock()
	changed := false
	for _, j := range jobs {
		b := h.bridge(j.name)
		b.busy = false
		n := len(b.refused) + len(b.others)
		changed = changed || n != b.had
		b.had = n
		if n == 0 {
			b.retry = 0
			continue
		}
		b.retry = min(max(2*b.retry, h.cfg.RetryInterval), h.cfg.AuditInterval)
		if at := time.Now().Add(b.retry); at.Before(b.due) {
			b.due = at
		}
	}
	h.mu.Unlock()
	if changed && h.cfg.Refused != nil {
		h.cfg.Refused()
	}
}

// later is when a bridge that was just read is due again: hosts that connected together part in time.
func (h *Host) later() time.Time {
	return time.Now().Add(h.cfg.AuditInterval*3/4 + rand.N(h.cfg.AuditInterval/2+1))
}

// untilDue is the time until the next bridge is due.
func (h *Host) untilDue() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.cfg.AuditInterval
	for _, b := range h.bridges {
		if b.sess != nil && b.synced && h.gate {
			d = min(d, time.Until(b.due))
		}
	}
	return max(d, 0)
}

// Audit reads the connected bridges back now, repairs what is not as it should be, and returns when that is done.
func (h *Host) Audit(ctx context.Context) error {
	h.mu.Lock()
	var wait []chan struct{}
	for _, b := range h.bridges {
		if b.sess != nil {
			c := make(chan struct{})
			b.due, b.waiters, wait = time.Time{}, append(b.waiters, c), append(wait, c)
		}
	}
	h.mu.Unlock()
	h.kick()
	for _, c := range wait {
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
