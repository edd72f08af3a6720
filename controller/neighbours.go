package controller

import (
	"net/netip"
	"time"

	"github.com/penstock/penstock/controller/dispatch"
	"github.com/penstock/penstock/controller/neighbour"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/pipeline"
)

var _ neighbour.Switch = (*session.Session)(nil)

// asker implements neighbour.Config.Asker.
func (c *Controller) asker(host model.HostName, net uint32) (mac model.MAC, ip netip.Addr, ok bool) {
	v := c.cfg.Store.View()
	if n, found := v.NetworkByKey(net); found {
		return v.Asker(host, n, netip.Addr{}, "")
	}
	return mac, ip, false
}

// hold implements dispatch.Config.Hold.
func (c *Controller) hold(_ dispatch.Sender, in *packetin.Packet, h *packetin.Hold) {
	c.neighbours.Hold(time.Now(), in, h)
}

// unresolved has the sender of a packet told that its next hop is not there.
func (c *Controller) unresolved(s neighbour.Switch, in packetin.Packet) {
	if sess, ok := s.(dispatch.Sender); ok {
		in.Unresolved = true
		c.dispatch.Again(pipeline.HandlerRouter, sess, in)
	}
}

// noted takes what handlers learned.
func (c *Controller) noted(host model.HostName, facts []packetin.Fact) {
	c.facts.note(host, facts)
	for i := range facts {
		switch f := &facts[i]; f.Kind {
		case packetin.FactAnswer, packetin.FactHeard:
			c.neighbours.Told(time.Now(), host, f)
		case packetin.FactAnnounced:
			c.neighbours.Announced(time.Now(), f)
		}
	}
}
