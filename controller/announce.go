package controller

import (
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/arp"
	"github.com/penstock/penstock/packetin/frame"
)

// announcer tells physical networks by gratuitous ARP (RFC 5944 4.6) which host holds a router's gateway, its interface
// there, or a floating IP now, when that changes: switches and neighbours outside send to the old one otherwise. What a host is to announce
// waits until the host's switches have confirmed the flows that make it true.
type announcer struct {
	mu sync.Mutex
	// held is where each gateway and floating IP port is, waiting what is to be announced on a host.
	held    map[model.PortID]model.HostName
	waiting map[model.HostName]map[model.PortID]int64 // the revision that must be confirmed
	// told, if set, hears of ports that are held elsewhere now, or nowhere.
	told func(model.PortID)
	// stale are the addresses whose connections a host is to forget.
	stale map[model.HostName][]staleAddress
}

// maxStale bounds what is noted for a host that is away: its connections end with its Open vSwitch, if not before.
const maxStale = 4096

// staleAddress is a floating IP that stands for something else now: what was translated by it goes to the wrong place.
type staleAddress struct {
	rev  int64
	zone uint16
	addr netip.Addr
	at   time.Time
}

// maxAnnounced bounds how many addresses are announced at once; the rest follows soon.
const maxAnnounced = 256

// announceAgain is how soon.
const announceAgain = 50 * time.Millisecond

// changed looks where ports are held after changes. It runs in the loop's goroutine.
func (a *announcer) changed(v model.View, changes []model.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		a.held, a.waiting, a.stale = map[model.PortID]model.HostName{}, map[model.HostName]map[model.PortID]int64{}, map[model.HostName][]staleAddress{}
	}
	look := map[model.PortID]bool{}
	floating := func(f *model.FloatingIP) { look[f.HolderPort] = true }
	router := func(id string) {
		if r, ok := v.Router(id); ok && r.GatewayPort != "" {
			look[r.GatewayPort] = true
		}
		for _, p := range v.PortsOfDevice(id) {
			look[model.PortID(p.ID)] = true
		}
		for _, f := range v.FloatingIPsThrough(id) {
			floating(f)
		}
	}
	for _, c := range changes {
		switch c.Table {
		case model.FloatingIPs:
			a.moved(v, c)
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
		case model.Ports:
			for _, o := range []model.Object{c.Old, c.New} {
				if p, ok := o.(*model.Port); ok && model.IsRouterInterface(p.DeviceOwner) {
					look[model.PortID(p.ID)] = true
				}
			}
		case model.Hosts, model.HostStates: // any router may move
			for _, id := range v.GatedRouters() {
				router(id)
			}
			for _, p := range v.AllRouterInterfaces() {
				look[model.PortID(p.ID)] = true
			}
		}
	}
	for id := range look {
		p, ok := v.Port(id)
		var host model.HostName
		if ok {
			if host, ok = v.HeldOn(p); !ok {
				host, _ = v.EntryHost(p)
			}
		}
		if host == a.held[id] {
			continue
		}
		if a.told != nil {
			a.told(id)
		}
		a.settled(a.held[id], id)
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

// moved notes that a floating IP does not stand any more for what it stood for.
func (a *announcer) moved(v model.View, c model.Change) {
	old, ok := c.Old.(*model.FloatingIP)
	if !ok || old.RouterID == "" {
		return
	}
	if now, ok := c.New.(*model.FloatingIP); ok && now.RouterID == old.RouterID && now.PortID == old.PortID && now.FixedIP == old.FixedIP {
		return
	}
	host := a.held[old.HolderPort]
	if r, ok := v.Router(old.RouterID); ok && r.Zone != 0 && host != "" {
		l := a.stale[host]
		if len(l) >= maxStale {
			l = l[1:]
		}
		a.stale[host] = append(l, staleAddress{v.Revision(), r.Zone, old.Address, time.Now()})
	}
}

// settled ends a port's waiting on a host.
func (a *announcer) settled(h model.HostName, id model.PortID) {
	if delete(a.waiting[h], id); len(a.waiting[h]) == 0 {
		delete(a.waiting, h)
	}
}

// takeoverAge is how old what another member has noted as stale may be that is forgotten again when it ends: longer than
// the others take to notice.
const takeoverAge = 30 * time.Second

// own begins with a host. What moved long ago another member has had forgotten; its addresses may be in rightful use since.
func (a *announcer) own(h model.HostName, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.stale[h]
	for len(l) > 0 && now.Sub(l[0].at) > takeoverAge {
		l = l[1:]
	}
	if len(l) == 0 {
		delete(a.stale, h)
		return
	}
	a.stale[h] = l
}

// forgotten gives the addresses whose connections a host may forget, its switches having confirmed what came instead.
func (a *announcer) forgotten(h model.HostName, rev int64) (out []staleAddress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.stale[h]
	n := 0
	for n < len(l) && l[n].rev <= rev {
		n++
	}
	out = l[:n:n]
	if a.stale[h] = l[n:]; n == len(l) {
		delete(a.stale, h)
	}
	return out
}

// confirmed gives the ports that a host may announce, its switches having confirmed everything up to a revision.
func (a *announcer) confirmed(h model.HostName, rev int64) (out []model.PortID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, need := range a.waiting[h] {
		if need > rev || len(out) == maxAnnounced {
			continue
		}
		a.settled(h, id)
		if a.held[id] == h {
			out = append(out, id)
		}
	}
	return out
}

// where says which host holds a port, and whether that host's switches are still to confirm it.
func (a *announcer) where(id model.PortID) (h model.HostName, waiting bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h = a.held[id]
	_, waiting = a.waiting[h][id]
	return h, waiting
}

// announce sends what a host is to announce. It never blocks.
func (r *runner) announce(o *ownedHost, rev int64) {
	ids := r.c.announcer.confirmed(r.host, rev)
	if len(ids) > 0 {
		r.c.holders.note(ids...)
		r.c.holders.kick()
	}
	s := r.brInt(o)
	if s == nil {
		return
	}
	for _, x := range r.c.announcer.forgotten(r.host, rev) {
		if err := s.Forget(x.zone, x.addr); err != nil {
			r.log.Warn("cannot end the connections of a floating IP that moved", zap.Stringer("address", x.addr), zap.Error(err))
		}
	}
	if len(ids) == maxAnnounced {
		time.AfterFunc(announceAgain, func() { r.announce(o, rev) })
	}
	r.tell(o, ids, 0)
}

// announceAfter is how long after an announcement the next is made. Frames are lost; and the bridge of the new host itself
// may be taught otherwise once more after the first: Open vSwitch learns from a datapath flow's packets when it collects
// their number, up to half a second later, so that the old host's last ones come after it.
var announceAfter = [...]time.Duration{time.Second, 3 * time.Second}

// tell sends the round's announcement of ports, and sees to the next.
func (r *runner) tell(o *ownedHost, ids []model.PortID, round int) {
	s := r.brInt(o)
	if s == nil || len(ids) == 0 {
		return
	}
	v := r.c.cfg.Store.View()
	for _, id := range ids {
		p, ok := v.Port(id)
		if host, _ := r.c.announcer.where(id); !ok || host != r.host {
			continue
		}
		n, ok := v.Network(p.NetworkID)
		if !ok {
			continue
		}
		for _, f := range p.FixedIPs {
			if f.Address.Is4() {
				s.SendInto(0, n.Key, gratuitous(p.MAC, f.Address)) //nolint:errcheck // a switch that takes no more hears of it by ARP
			}
		}
	}
	if round < len(announceAfter) {
		time.AfterFunc(announceAfter[round], func() { r.tell(o, ids, round+1) })
	}
}

// gratuitous is a request for an address by the one who has it.
func gratuitous(mac model.MAC, a netip.Addr) []byte {
	b := frame.AppendEthernet(nil, frame.Broadcast, mac, nil, frame.TypeARP)
	return (&arp.Packet{Op: arp.OpRequest, SenderMAC: mac, SenderIP: a, TargetIP: a}).Append(b)
}
