package controller

import (
	"net/netip"
	"sync"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/packetin/arp"
	"github.com/penstock/penstock/packetin/frame"
)

// announcer tells external networks by gratuitous ARP (RFC 5944 4.6) which host holds a router's gateway or a floating
// IP now, when that changes: switches and neighbours outside send to the old one otherwise. What a host is to announce
// waits until the host's switches have confirmed the flows that make it true.
type announcer struct {
	mu sync.Mutex
	// held is where each gateway and floating IP port is, waiting what is to be announced on a host.
	held    map[model.PortID]model.HostName
	waiting map[model.HostName]map[model.PortID]int64 // the revision that must be confirmed
}

// maxAnnounced bounds how many addresses one confirmation announces; the rest follows with the next.
const maxAnnounced = 256

// changed looks where ports are held after changes. It runs in the loop's goroutine.
func (a *announcer) changed(v model.View, changes []model.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		a.held, a.waiting = map[model.PortID]model.HostName{}, map[model.HostName]map[model.PortID]int64{}
	}
	look := map[model.PortID]bool{}
	floating := func(f *model.FloatingIP) { look[f.HolderPort] = true }
	router := func(id string) {
		if r, ok := v.Router(id); ok && r.GatewayPort != "" {
			look[r.GatewayPort] = true
		}
		for _, f := range v.FloatingIPsThrough(id) {
			floating(f)
		}
	}
	for _, c := range changes {
		switch c.Table {
		case model.FloatingIPs:
			for _, o := range []model.Object{c.Old, c.New} {
				if f, ok := o.(*model.FloatingIP); ok {
					floating(f)
				}
			}
		case model.Routers:
			router(c.ID())
			if r, ok := c.Old.(*model.Router); ok {
				look[r.GatewayPort] = true
			}
		case model.Bindings:
			b, ok := c.New.(*model.Binding)
			if !ok {
				b = c.Old.(*model.Binding)
			}
			for _, f := range v.FloatingIPsOf(b.PortID) {
				floating(f)
			}
		case model.Hosts, model.HostStates: // any router may move
			for _, id := range v.GatedRouters() {
				router(id)
			}
		}
	}
	for id := range look {
		p, ok := v.Port(id)
		var host model.HostName
		if ok {
			host, _ = v.HeldOn(p)
		}
		if host == a.held[id] {
			continue
		}
		if host == "" {
			delete(a.held, id)
			continue
		}
		a.held[id] = host
		if a.waiting[host] == nil {
			a.waiting[host] = map[model.PortID]int64{}
		}
		a.waiting[host][id] = v.Revision()
	}
}

// confirmed gives the ports that a host may announce, its switches having confirmed everything up to a revision.
func (a *announcer) confirmed(h model.HostName, rev int64) (out []model.PortID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, need := range a.waiting[h] {
		if need > rev || len(out) == maxAnnounced {
			continue
		}
		delete(a.waiting[h], id)
		if a.held[id] == h {
			out = append(out, id)
		}
	}
	return out
}

// announce sends what a host is to announce. It never blocks.
func (r *runner) announce(o *ownedHost, rev int64) {
	ids := r.c.announcer.confirmed(r.host, rev)
	if len(ids) == 0 {
		return
	}
	r.mu.Lock()
	s := o.sessions[ovsdb.BridgeInt]
	r.mu.Unlock()
	if s == nil {
		return
	}
	v := r.c.cfg.Store.View()
	for _, id := range ids {
		p, ok := v.Port(id)
		if !ok {
			continue
		}
		n, ok := v.Network(p.NetworkID)
		if !ok {
			continue
		}
		for _, f := range p.FixedIPs {
			if f.Address.Is4() {
				s.SendInto(n.Key, gratuitous(p.MAC, f.Address)) //nolint:errcheck // a switch that takes no more hears of it by ARP
			}
		}
	}
}

// gratuitous is a request for an address by the one who has it.
func gratuitous(mac model.MAC, a netip.Addr) []byte {
	all := model.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b := frame.AppendEthernet(nil, all, mac, nil, frame.TypeARP)
	return (&arp.Packet{Op: arp.OpRequest, SenderMAC: mac, SenderIP: a, TargetIP: a}).Append(b)
}
