package binding

import (
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
)

// A VIF's port number comes on two ways: in the database when ovs-vswitchd has gone through its whole configuration,
// and in a port status message as soon as the port is made. With thousands of ports that is some hundred
// milliseconds sooner; and after the database's update ovs-vswitchd, told by the kernel of the new device, goes through
// its configuration once more before it reads OpenFlow again. So the message's number is used until the database
// has one.

// numbers are the port numbers that port status messages told, by interface name, and the VIFs that wait for one.
// They are guarded by the Worker's mu.
type numbers struct {
	told   map[string]uint32
	waited map[string]model.PortID
}

// PortNumber takes a port status of br-int: the interface has a number now, or is gone if n is 0.
func (w *Worker) PortNumber(iface string, n uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n == 0 {
		delete(w.numbers.told, iface)
		return
	}
	w.numbers.told[iface] = n
	if id, ok := w.numbers.waited[iface]; ok {
		delete(w.numbers.waited, iface)
		w.dirty[id] = struct{}{}
		w.kick()
	}
}

// ForgetNumbers is for a new session with br-int: what happened before is not known.
func (w *Worker) ForgetNumbers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.numbers = numbers{map[string]uint32{}, map[string]model.PortID{}}
}

// number is a VIF's port number: positive when it is known, negative when Open vSwitch could not make the port.
func (w *Worker) number(v *ovsdb.VIF) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v.OFPort != 0 {
		delete(w.numbers.told, v.Name)
		delete(w.numbers.waited, v.Name)
		return v.OFPort
	}
	if n, ok := w.numbers.told[v.Name]; ok {
		return int(n)
	}
	w.numbers.waited[v.Name] = model.PortID(v.IfaceID)
	return 0
}

// timing is when a port that is newly bound got its number in the database, and when its flows were confirmed. Run's
// goroutine has them.
type timing struct{ numbered, confirmed time.Time }

// clock notes one of the two, and tells how long the second came after the first; nothing when the flows came first.
func (w *Worker) clock(id model.PortID, numbered, confirmed time.Time) {
	t := w.begun[id]
	if t == nil {
		return
	}
	if t.numbered.IsZero() {
		t.numbered = numbered
	}
	if t.confirmed.IsZero() {
		t.confirmed = confirmed
	}
	if t.numbered.IsZero() || t.confirmed.IsZero() {
		return
	}
	delete(w.begun, id)
	if w.cfg.Bound != nil {
		w.cfg.Bound(max(0, t.confirmed.Sub(t.numbered)))
	}
}
