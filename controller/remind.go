package controller

import (
	"context"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/pipeline"
)

// The switches of a physical network, and the hosts' own mapped bridges, know where a VM is by what they see it send. That
// fails twice. What it sends to a router leaves the host from another MAC, into another network: a VM that talks to others by
// routers only is never seen, and all that is for it is flooded. And when it moves, the bridge of its old host may be taught the
// old place once more after the VM's own announcement: Open vSwitch learns from a datapath flow's packets when it collects
// their number, up to half a second later. So its host says that it is there, when it comes and, where there are routers, from
// time to time, as QEMU does for a VM that has moved: by a RARP that asks nothing.
const (
	// remindEvery is less than the 300 s that switches remember an address for.
	remindEvery = 4 * time.Minute
	// remindTick is how soon a port that has come is announced, and how long after that again.
	remindTick = 50 * time.Millisecond
	// arrivals is how often a port that has come is announced: for a second.
	arrivals = 20
	// maxReminded bounds what one tick sends.
	maxReminded = 32
)

// remind announces the host's ports on physical networks, until ctx ends.
func (r *runner) remind(ctx context.Context, o *ownedHost) error {
	t := time.NewTicker(remindTick)
	defer t.Stop()
	var m reminders
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-t.C:
			r.mu.Lock()
			s := o.sessions[ovsdb.BridgeInt]
			r.mu.Unlock()
			if s == nil {
				continue
			}
			for _, p := range m.due(r.c.cfg.Store.View(), r.host, now) {
				if s.SendInto(0, p.net, reverse(p.mac)) != nil {
					break // the switch takes no more now
				}
			}
		}
	}
}

// reminders are the ports that a host has announced.
type reminders struct {
	ports map[model.PortID]announced
	rev   int64     // that ports is of
	next  time.Time // when one is due, if nothing changes
}

// announced is when a port is due next, and how often it is so for having come.
type announced struct {
	due  time.Time
	left int
}

type reminder struct {
	id  model.PortID
	net uint32
	mac model.MAC
}

// due lists the ports of the host that are to be announced now. Those that it has at first are not new: penstockd is. They are
// spread over the time that switches remember them for.
func (m *reminders) due(v model.View, host model.HostName, now time.Time) (out []reminder) {
	if m.ports != nil && m.rev == v.Revision() && now.Before(m.next) {
		return nil
	}
	was := m.ports
	m.ports, m.rev, m.next = map[model.PortID]announced{}, v.Revision(), now.Add(remindEvery)
	for _, id := range v.HostNetworks(host) {
		n, ok := v.Network(id)
		if !ok || !n.AdminStateUp || !n.Physical() {
			continue
		}
		routed := len(v.RouterPorts(id)) > 0
		for _, leaf := range v.Leaves(id, host) {
			for _, b := range v.LeafMembers(id, host, leaf) {
				p, ok := v.Port(b.PortID)
				if !ok || !p.AdminStateUp {
					continue
				}
				if place, ok := v.Place(p); !ok || place.Host != host {
					continue // it is moving, and not here yet or any more
				}
				a, ok := was[b.PortID]
				switch {
				case was == nil:
					a.due = now.Add(remindEvery * time.Duration(p.Key%256) / 256)
				case !ok:
					a = announced{now, arrivals}
				}
				if !a.due.After(now) && (routed || a.left > 0) && len(out) < maxReminded {
					out = append(out, reminder{b.PortID, n.Key, p.MAC})
					a.left = max(0, a.left-1)
					a.due = now.Add(remindEvery)
					if a.left > 0 {
						a.due = now.Add(remindTick)
					}
				}
				if (routed || a.left > 0) && a.due.Before(m.next) {
					m.next = a.due
				}
				m.ports[b.PortID] = a
			}
		}
	}
	return out
}

// reverse is a RARP request (RFC 903) of a machine for its own address.
func reverse(mac model.MAC) []byte {
	all := model.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b := frame.AppendEthernet(make([]byte, 0, 60), all, mac, nil, pipeline.TypeRARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 3)
	b = append(append(b, mac[:]...), 0, 0, 0, 0)
	b = append(append(b, mac[:]...), 0, 0, 0, 0)
	return b[:cap(b)] // the least that Ethernet carries
}
