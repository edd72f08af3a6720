package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/penstock/penstock/openflow"
)

// ovs-vswitchd reads at most 50 messages of each connection in a round of its main loop (ofconn_run of connmgr.c), and in
// a round it looks at every port: with 1,000 ports of the userspace datapath a round takes 10 ms, so that one connection
// carries 5,000 flow-mods a second, with 4,000 ports some 1,200. A large change therefore goes over several connections.
const (
	// WideFrom is the number of messages from which a change goes over several connections.
	WideFrom = 1000
	// wideMax is over how many at most.
	wideMax = 16
	// perConn is how many messages make a further connection worth its opening.
	perConn = 250
)

// Widen gives the session a way to open further connections to its bridge, without role, such as that to the bridge's own
// socket NAME.mgmt. It is called before the first Apply.
func (s *Session) Widen(dial func(context.Context) (*openflow.Conn, error)) { s.dial = dial }

// applyWide applies a large change: what is set in bundles that are filled over several connections at once and committed
// one after the other, the last tables first; then what goes, as usual. A refusal when a bundle is filled leaves nothing
// done of the flows; one when it is committed is ErrPartly, and the session sends over one connection from then on, where a
// refusal can be named. It reports false when there is but one connection, and then has done nothing.
func (s *Session) applyWide(ctx context.Context, c *Change) (bool, error) {
	conns, done := s.open(ctx, min(wideMax, c.messages()/perConn))
	defer done()
	if len(conns) < 2 {
		return false, nil
	}
	if err := each(conns, flushes(c.SetZones), func(conn *openflow.Conn, msgs []openflow.Message) error {
		return withoutFlushes(conn.Transact(ctx, msgs...), len(msgs), len(msgs))
	}); err != nil {
		return true, err
	}
	if err := s.setMetersOver(ctx, conns, c); err != nil {
		return true, err
	}
	groups, rest := NewChange(), c.Removals()
	groups.SetGroups, rest.DelZones = c.SetGroups, c.DelZones
	if err := s.applyOver(ctx, groups); err != nil {
		return true, err
	}
	set := NewChange()
	set.Set = c.Set
	msgs, parts := s.bundle(set)
	for len(msgs) > 0 {
		n := min(len(msgs), MaxBundle*len(conns))
		if err := s.fill(ctx, conns, msgs[:n], parts[:n]); err != nil {
			return true, err
		}
		msgs, parts = msgs[n:], parts[n:]
	}
	return true, s.applyOver(ctx, rest)
}

// messages is about how many messages a change takes.
func (c *Change) messages() int {
	return c.Size() + len(c.SetMeters) + len(c.DelMeters) + 2*len(c.SetZones) + 2*len(c.DelZones)
}

// open gives up to n connections, the session's own the first, and what closes the others.
func (s *Session) open(ctx context.Context, n int) ([]*openflow.Conn, func()) {
	conns := make([]*openflow.Conn, n)
	conns[0] = s.conn
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() {
			if c, err := s.dial(ctx); err == nil {
				conns[i] = c
			}
		})
	}
	wg.Wait()
	out := conns[:0]
	for _, c := range conns {
		if c != nil {
			out = append(out, c)
		}
	}
	return out, func() {
		for _, c := range out[1:] {
			c.Close()
		}
	}
}

// spread gives each of n its even share of a list, in order; the first ones have one where there is not enough for all.
func spread[T any](list []T, n int) [][]T {
	out := make([][]T, n)
	for i := range out {
		out[i] = list[(i*len(list)+n-1)/n : ((i+1)*len(list)+n-1)/n]
	}
	return out
}

// each has f send its share of a list over every connection at once, and gives the first error.
func each[T any](conns []*openflow.Conn, list []T, f func(*openflow.Conn, []T) error) error {
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, share := range spread(list, len(conns)) {
		if len(share) > 0 {
			wg.Go(func() { errs[i] = f(conns[i], share) })
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// setMetersOver is setMeters over several connections.
func (s *Session) setMetersOver(ctx context.Context, conns []*openflow.Conn, c *Change) error {
	mods, ids := s.meterMods(c)
	type meter struct {
		mod openflow.Message
		id  uint32
	}
	list := make([]meter, len(mods))
	for i := range mods {
		list[i] = meter{mods[i], ids[i]}
	}
	var mu sync.Mutex
	return each(conns, list, func(conn *openflow.Conn, share []meter) error {
		msgs, ids := make([]openflow.Message, len(share)), make([]uint32, len(share))
		for i, m := range share {
			msgs[i], ids[i] = m.mod, m.id
		}
		if err := sendMeters(ctx, conn, msgs, ids); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			s.meters[id] = c.SetMeters[id]
		}
		return nil
	})
}

// applyOver applies what is left of a change over the session's own connection.
func (s *Session) applyOver(ctx context.Context, c *Change) error {
	if c.Empty() {
		return nil
	}
	return s.applyNarrow(ctx, c)
}

// fill stages messages in a bundle on each connection and commits the bundles in the order of the messages.
func (s *Session) fill(ctx context.Context, conns []*openflow.Conn, msgs []openflow.Message, parts []part) error {
	s.bundleID++
	control := openflow.BundleControl{ID: s.bundleID, Flags: openflow.BundleAtomic | openflow.BundleOrdered}
	of := func(c openflow.BundleCommand) openflow.Message {
		m := control
		m.Command = c
		return &m
	}
	index := make([]int, len(msgs))
	for i := range index {
		index[i] = i
	}
	err := each(conns, index, func(conn *openflow.Conn, share []int) error {
		out := make([]openflow.Message, 0, len(share)+2)
		out = append(out, of(openflow.BundleOpen))
		for _, i := range share {
			out = append(out, &openflow.BundleAdd{ID: control.ID, Flags: control.Flags, Message: msgs[i]})
		}
		err := conn.Transact(ctx, append(out, of(openflow.BundleClose))...)
		var be *openflow.BatchError
		if errors.As(err, &be) && be.Err == nil && len(be.Failures) > 0 && be.Failures[0].Index > 0 && be.Failures[0].Index <= len(share) {
			return parts[share[be.Failures[0].Index-1]].reject(be.Failures[0].Err)
		}
		return err
	})
	if err != nil {
		// Bundles of the other connections go with them.
		return errors.Join(err, s.conn.Transact(ctx, of(openflow.BundleDiscard)))
	}
	// The further connections have no role. The session's own is the first, has a share always, and is refused where another
	// controller has taken over: then nothing is committed.
	for i, share := range spread(index, len(conns)) {
		if len(share) == 0 {
			continue
		}
		if err := conns[i].Transact(ctx, of(openflow.BundleCommit)); err != nil {
			s.dial = nil
			return fmt.Errorf("%w: commit %d of %d: %w", ErrPartly, i+1, len(conns), err)
		}
	}
	return nil
}
