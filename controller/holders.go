package controller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store"
)

// holders keeps the status of floating IPs in the store, as that of the ports that hold them: ACTIVE when the switches of
// the host where one is have confirmed its flows, DOWN while it stands for nothing, ERROR where a switch refuses its flows.
// In Neutron the L3 agent reports the same. While it moves from one host to another it stays what it was.
type holders struct {
	c    *Controller
	wake chan struct{}

	mu    sync.Mutex
	dirty map[model.PortID]struct{}
	// refused are the ports on each host of which a switch refuses flows.
	refused map[model.HostName]map[model.PortID]bool
}

func newHolders(c *Controller) *holders {
	return &holders{c: c, wake: make(chan struct{}, 1), dirty: map[model.PortID]struct{}{}, refused: map[model.HostName]map[model.PortID]bool{}}
}

// look has a port's status looked at soon.
func (h *holders) look(id model.PortID) {
	h.note(id)
	h.kick()
}

func (h *holders) note(ids ...model.PortID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		h.dirty[id] = struct{}{}
	}
}

func (h *holders) kick() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// refusalsChanged takes over what a host's switches refuse now.
func (h *holders) refusalsChanged(host model.HostName, o *ownedHost) {
	v, now := h.c.cfg.Store.View(), map[model.PortID]bool{}
	for _, r := range o.roll.Refusals() {
		if r.Unit.Kind == l2.NAT.FloatingIP {
			if f, ok := v.FloatingIP(r.Unit.ID); ok {
				now[f.HolderPort] = true
			}
		}
	}
	h.mu.Lock()
	old := h.refused[host]
	if h.refused[host] = now; len(now) == 0 {
		delete(h.refused, host)
	}
	h.mu.Unlock()
	for _, m := range []map[model.PortID]bool{old, now} {
		for id := range m {
			h.look(id)
		}
	}
}

// holdersBatch is how many statuses one transaction writes at most.
const holdersBatch = 100

// run writes statuses until ctx ends.
func (h *holders) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.wake:
		}
		h.mu.Lock()
		ids := slices.Sorted(maps.Keys(h.dirty))
		clear(h.dirty)
		h.mu.Unlock()
		for batch := range slices.Chunk(ids, holdersBatch) {
			if err := h.write(ctx, batch); err != nil && ctx.Err() == nil {
				h.c.cfg.Logger.Warn("cannot record the status of floating IPs; it is tried again", zap.Error(err))
				h.note(batch...)
				time.AfterFunc(time.Second, h.kick)
			}
		}
	}
}

func (h *holders) write(ctx context.Context, ids []model.PortID) error {
	v := h.c.cfg.Store.View()
	if !slices.ContainsFunc(ids, func(id model.PortID) bool { return h.differs(v, id) != nil }) {
		return nil
	}
	_, err := h.c.cfg.Store.Update(ctx, store.Meta{Author: "penstockd", Request: "status of floating IPs"}, func(tx *store.Tx) error {
		v := tx.View()
		for _, id := range ids {
			if s := h.differs(v, id); s != nil {
				tx.Put(model.PortStatuses, s)
			}
		}
		return nil
	})
	return err
}

// differs is what a holder's status should be, nil if it is that, or the port holds no floating IP.
func (h *holders) differs(v model.View, id model.PortID) *model.PortStatus {
	if _, ok := v.FloatingIPHeldBy(id); !ok {
		return nil
	}
	host, waiting := h.c.announcer.where(id)
	h.mu.Lock()
	refused := h.refused[host][id]
	h.mu.Unlock()
	s := &model.PortStatus{PortID: id, Status: model.StatusActive}
	switch {
	case host == "":
		s.Status = model.StatusDown
	case refused:
		s.Status = model.StatusError
	case waiting:
		return nil
	}
	if v.Status(id) == s.Status {
		return nil
	}
	return s
}
