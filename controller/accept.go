package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/ovsdb"
)

// handshakeTimeout bounds the time from a switch's connection to its session.
const handshakeTimeout = 10 * time.Second

// listenOptions are those of every listener.
func (c *Controller) listenOptions() openflow.ListenOptions {
	return openflow.ListenOptions{
		Options: openflow.Options{Handler: c.Received, PacketIn: c.PacketIn},
		Failed: func(peer net.Addr, err error) {
			c.cfg.Logger.Warn("a connection did not become a switch", zap.Stringer("peer", peer), zap.Error(err))
		},
	}
}

// accept serves the switches that connect, until ctx ends; came is told of each.
func (c *Controller) accept(ctx context.Context, l *openflow.Listener, came func()) error {
	for {
		conn, err := l.Accept(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			c.cfg.Logger.Warn("a connection did not become a switch", zap.Error(err))
			continue
		}
		came()
		go func() {
			if err := c.serve(ctx, conn); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("switch session ended", zap.Stringer("peer", conn.RemoteAddr()), zap.Error(err))
			}
			conn.Close()
		}()
	}
}

// serve runs one switch's connection until it ends.
func (c *Controller) serve(ctx context.Context, conn *openflow.Conn) error {
	features := conn.Features()
	r, o, bridge := c.bridgeOf(features.DatapathID)
	if r == nil {
		// Another member may own the host, or its database may not be read yet: the switch tries again.
		return fmt.Errorf("datapath %016x is of no host that this penstockd runs", features.DatapathID)
	}
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	s, err := session.Open(hctx, conn, bridge, roleOf(bridge), o.generation)
	cancel()
	if err != nil {
		return fmt.Errorf("host %s %s: %w", r.host, bridge, err)
	}
	if l := o.local.Load(); l != nil {
		s.Widen(func(ctx context.Context) (*openflow.Conn, error) {
			return openflow.Dial(ctx, l.bridge(bridge), openflow.Options{})
		})
	}
	if bridge == ovsdb.BridgeInt {
		o.bind.ForgetNumbers()
	}
	c.live.Store(conn, &live{r.host, s, bridge, o})
	defer c.live.Delete(conn)
	r.mu.Lock()
	if r.owned != o {
		r.mu.Unlock()
		return errors.New("the host is not run here any more")
	}
	o.sessions[bridge] = s
	r.mu.Unlock()
	o.roll.Connected(bridge, s)
	if bridge == ovsdb.BridgeInt {
		c.neighbours.Connected(r.host, s)
		defer c.neighbours.Disconnected(r.host, s)
	}
	r.log.Info("switch connected", zap.String("bridge", bridge), zap.Stringer("peer", conn.RemoteAddr()))
	r.recordSoon(o)
	select {
	case <-conn.Done():
	case <-ctx.Done():
	}
	r.mu.Lock()
	if o.sessions[bridge] == s {
		delete(o.sessions, bridge)
	}
	r.mu.Unlock()
	o.roll.Disconnected(bridge, s, conn.Err())
	r.recordSoon(o)
	return conn.Err()
}

// live is what packet-ins and port status messages of a connection need.
type live struct {
	host   model.HostName
	sess   *session.Session
	bridge string
	owned  *ownedHost
}

// Received takes every message of a switch that answers no request and is no packet-in. It is the Handler of the
// listener's connections.
func (c *Controller) Received(conn *openflow.Conn, _ uint32, m openflow.Message) {
	switch m := m.(type) {
	case *openflow.Error:
		c.cfg.Logger.Warn("switch reports an error", zap.Stringer("peer", conn.RemoteAddr()), zap.Error(m))
	case *openflow.PortStatus:
		l, ok := c.live.Load(conn)
		if !ok || l.(*live).bridge != ovsdb.BridgeInt {
			return // the database tells of ports, a little later
		}
		switch bind := l.(*live).owned.bind; m.Reason {
		case openflow.PortAdded:
			bind.PortNumber(m.Desc.Name, uint32(m.Desc.Port))
		case openflow.PortDeleted:
			bind.PortNumber(m.Desc.Name, 0)
		}
	}
}

// PacketIn takes every packet-in, in the goroutine that reads from the switch.
func (c *Controller) PacketIn(conn *openflow.Conn, p *openflow.PacketIn2) {
	l, ok := c.live.Load(conn)
	if !ok {
		return // before the session stands: the VM asks again
	}
	c.dispatch.Handle(l.(*live).host, l.(*live).sess, p.UserData, uint32(p.FieldUint(openflow.InPort)), p.Packet, max(int(p.FullLen), len(p.Packet)))
}

// bridgeOf finds the host and bridge of a datapath id; nil if this process does not run it.
func (c *Controller) bridgeOf(dpid uint64) (*runner, *ownedHost, string) {
	for _, r := range c.allRunners() {
		o := r.current()
		if o == nil {
			continue
		}
		for _, name := range r.bridgeNames() {
			if ovsdb.DatapathID(r.host, name) == dpid {
				return r, o, name
			}
		}
	}
	return nil, nil, ""
}
