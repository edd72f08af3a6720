package controller

import (
	"context"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/pipeline"
)

// What a port sends to a router of its physical network leaves the host from another MAC than its own, into another network.
// A VM that talks to others by routers only is then never seen to send, and switches flood what is for it. So the host says
// for each such port from time to time that it is there, as QEMU does for a VM that has moved: by a RARP that asks nothing.
const (
	// remindEvery is less than the 300 s that switches remember an address for.
	remindEvery = 4 * time.Minute
	// remindTick is how soon a port that is new is announced.
	remindTick = 5 * time.Second
	// maxReminded bounds what one tick sends.
	maxReminded = 256
)

// remind announces the host's ports on physical networks that have routers, until ctx ends.
func (r *runner) remind(ctx context.Context, o *ownedHost) error {
	t := time.NewTicker(remindTick)
	defer t.Stop()
	sent := map[model.PortID]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-t.C:
			s := r.brInt(o)
			if s == nil {
				continue
			}
			for _, p := range remindable(r.c.cfg.Store.View(), r.host, sent, now) {
				if s.SendInto(0, p.net, reverse(p.mac)) != nil {
					break // the switch takes no more now
				}
				sent[p.id] = now
			}
		}
	}
}

type reminder struct {
	id  model.PortID
	net uint32
	mac model.MAC
}

// remindable lists ports of a host that are to be announced, and forgets those that it has no more.
func remindable(v model.View, host model.HostName, sent map[model.PortID]time.Time, now time.Time) (out []reminder) {
	here := map[model.PortID]bool{}
	for _, id := range v.HostNetworks(host) {
		n, ok := v.Network(id)
		if !ok || !n.AdminStateUp || !n.Physical() || len(v.RouterPorts(id)) == 0 {
			continue
		}
		for _, leaf := range v.Leaves(id, host) {
			for _, b := range v.LeafMembers(id, host, leaf) {
				p, ok := v.Port(b.PortID)
				if !ok || !p.AdminStateUp {
					continue
				}
				if place, ok := v.Place(p); !ok || place.Host != host {
					continue // it is moving, and not here yet or any more
				}
				here[b.PortID] = true
				if last, ok := sent[b.PortID]; (!ok || now.Sub(last) >= remindEvery) && len(out) < maxReminded {
					out = append(out, reminder{b.PortID, n.Key, p.MAC})
				}
			}
		}
	}
	for id := range sent {
		if !here[id] {
			delete(sent, id)
		}
	}
	return out
}

// reverse is a RARP request (RFC 903) of a machine for its own address.
func reverse(mac model.MAC) []byte {
	b := frame.AppendEthernet(make([]byte, 0, 60), frame.Broadcast, mac, nil, pipeline.TypeRARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 3)
	b = append(append(b, mac[:]...), 0, 0, 0, 0)
	b = append(append(b, mac[:]...), 0, 0, 0, 0)
	return b[:cap(b)] // the least that Ethernet carries
}
