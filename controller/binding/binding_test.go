package binding_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/binding"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/sim"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

const patience = 20 * time.Second

// world is a store, a simulated host and its Worker; the test plays the switches, which confirm revisions.
type world struct {
	t    *testing.T
	st   *store.Store
	host *sim.Host
	db   *ovsdb.DB
	w    *binding.Worker

	mu       sync.Mutex
	complete bool
	refused  map[model.PortID]bool
}

func newWorld(t *testing.T, objs ...model.Object) *world {
	t.Helper()
	return newWorldOn(t, storetest.New(t), objs...)
}

func newWorldOn(t *testing.T, st *store.Store, objs ...model.Object) *world {
	t.Helper()
	w := &world{t: t, st: st}
	h := &model.Host{Meta: model.Meta{ID: "h1", Name: "h1", Key: 1}}
	storetest.Put(t, w.st, append([]model.Object{h, &model.Network{Meta: model.Meta{ID: "n1", Key: 2}, AdminStateUp: true}}, objs...)...)
	var err error
	if w.host, err = sim.NewHost("h1", sim.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.host.Close)
	h.OVSDB = w.host.OVSDB()
	if w.db, err = ovsdb.New(ovsdb.Config{Host: "h1", Target: h.OVSDB, Logger: zap.NewNop()}); err != nil {
		t.Fatal(err)
	}
	d, err := ovsdb.DesiredFor(h, ovsdb.Options{Controllers: []string{"tcp:127.0.0.1:1"}})
	if err == nil {
		err = w.db.SetDesired(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.w = binding.New(binding.Config{Host: "h1", Store: w.st, DB: w.db, Logger: zap.NewNop(),
		Complete: func() { w.mu.Lock(); w.complete = true; w.mu.Unlock() },
		Refused:  func() map[model.PortID]bool { w.mu.Lock(); defer w.mu.Unlock(); return maps.Clone(w.refused) }})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.db.Run(ctx) }) //nolint:errcheck // both end with ctx
	wg.Go(func() { w.w.Run(ctx) })  //nolint:errcheck
	t.Cleanup(func() { cancel(); wg.Wait() })
	if _, err := w.host.WaitBridge(t.Context(), "br-int"); err != nil {
		t.Fatal(err)
	}
	w.wait("the first look", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.complete })
	return w
}

func port(id string, key uint32) *model.Port {
	return &model.Port{Meta: model.Meta{ID: id, Key: key}, NetworkID: "n1", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, byte(key)},
		FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(key)})}}}
}

func (w *world) wait(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s; problems %+v", what, w.w.Problems())
		}
	}
}

func (w *world) binding(id string) *model.Binding {
	if b, ok := w.st.View().Binding("h1", model.PortID(id)); ok {
		return b
	}
	return nil
}

func (w *world) plug(name, id string) {
	w.t.Helper()
	if err := w.host.Plug(sim.VIF{Name: name, IfaceID: id}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unplug(names ...string) {
	w.t.Helper()
	if err := w.host.Unplug(names...); err != nil {
		w.t.Fatal(err)
	}
}

// put changes ports and tells the Worker, as the controller does.
func (w *world) put(objs ...model.Object) int64 {
	w.t.Helper()
	rev := storetest.Put(w.t, w.st, objs...)
	w.tell(objs...)
	return rev
}

func (w *world) tell(objs ...model.Object) {
	var ids []model.PortID
	for _, o := range objs {
		switch o := o.(type) {
		case *model.Port:
			ids = append(ids, model.PortID(o.ID))
		case *model.Binding:
			ids = append(ids, o.PortID)
		}
	}
	w.w.PortsChanged(ids)
}

// confirm plays the switches: everything until now is in place.
func (w *world) confirm() { w.w.Applied(w.st.Snapshot().Revision()) }

func (w *world) status(id string) string { return string(w.st.View().Status(model.PortID(id))) }

func (w *world) marked(id, name string) bool {
	s := w.db.State()
	for _, v := range s.VIFs(id) {
		if v.Name == name {
			return v.Installed
		}
	}
	return false
}

func (w *world) waitBound(id, iface string) *model.Binding {
	w.t.Helper()
	w.wait(id+" to be bound by "+iface, func() bool { b := w.binding(id); return b != nil && b.Interface == iface })
	return w.binding(id)
}

func (w *world) waitActive(id, iface string) {
	w.t.Helper()
	w.wait(id+" to be ACTIVE", func() bool { w.confirm(); return w.status(id) == "ACTIVE" && w.marked(id, iface) })
}

func (w *world) waitDown(id, iface string) {
	w.t.Helper()
	w.wait(id+" to be DOWN", func() bool { return w.status(id) != "ACTIVE" && !w.marked(id, iface) })
}

func (w *world) waitProblem(id, code string) {
	w.t.Helper()
	w.wait(id+" to have problem "+code, func() bool {
		for _, p := range w.w.Problems() {
			if string(p.Port) == id && p.Code == code {
				return true
			}
		}
		return code == "" && len(w.w.Problems()) == 0
	})
}

// TestLife follows a port: bound with numbers of its own, ACTIVE only after the confirmation, DOWN without its VIF.
func TestLife(t *testing.T) {
	w := newWorld(t, port("p1", 11), port("p2", 12))
	w.plug("tap1", "p1")
	b := w.waitBound("p1", "tap1")
	if b.OFPort == 0 || b.Slot == 0 || b.NetworkID != "n1" {
		t.Errorf("%+v", b)
	}
	w.w.Applied(w.st.Snapshot().Version(model.Bindings, b.ObjectID()) - 1)
	w.plug("tap2", "p2")
	b2 := w.waitBound("p2", "tap2")
	if b2.Slot == b.Slot || b2.Member == b.Member || b2.Leaf() != b.Leaf() {
		t.Errorf("numbers %+v and %+v", b, b2)
	}
	if w.status("p1") == "ACTIVE" || w.marked("p1", "tap1") {
		t.Error("ACTIVE before the switches have confirmed")
	}
	w.waitActive("p1", "tap1")

	// Unplugged and plugged under another name.
	w.unplug("tap1")
	w.wait("p1 to be unbound", func() bool { return w.binding("p1") == nil })
	w.waitDown("p1", "tap1")
	w.plug("other", "p1")
	w.waitBound("p1", "other")
	w.waitActive("p1", "other")

	// Down by the API, up again.
	p := port("p1", 11)
	p.AdminStateUp = false
	w.put(p)
	w.waitDown("p1", "other")
	if w.binding("p1") == nil {
		t.Error("a port that is down is not bound")
	}
	w.put(port("p1", 11))
	w.waitActive("p1", "other")

	// Refused flows, and healed.
	w.setRefused("p1")
	w.waitDown("p1", "other")
	w.confirm()
	w.setRefused()
	w.waitActive("p1", "other")

	// Deleted with its VIF there.
	storetest.Delete(t, w.st, p)
	w.tell(p)
	w.waitProblem("p1", "VIF_UNKNOWN")
	w.wait("the binding to go", func() bool { return w.binding("p1") == nil && !w.marked("p1", "other") })
	if _, ok := w.st.View().PortStatus("p1"); ok {
		t.Error("the status of a deleted port is left")
	}
	if w.binding("p2") == nil {
		t.Error("the neighbour is unbound")
	}
}

func (w *world) setRefused(ids ...model.PortID) {
	w.mu.Lock()
	w.refused = map[model.PortID]bool{}
	for _, id := range ids {
		w.refused[id] = true
	}
	w.mu.Unlock()
	w.w.RefusalsChanged()
}

// TestVIFBeforePort has the VIF come first, and the worker find VIFs and bindings at its start.
func TestVIFBeforePort(t *testing.T) {
	w := newWorld(t, &model.Binding{PortID: "gone", Host: "h1", NetworkID: "n1", Interface: "tap9", OFPort: 9, Slot: 9}, port("gone", 19))
	if w.binding("gone") != nil {
		t.Error("a binding without a VIF outlives the first look")
	}
	w.plug("tap1", "late")
	w.waitProblem("late", "VIF_UNKNOWN")
	w.put(port("late", 13))
	w.waitBound("late", "tap1")
	w.waitProblem("late", "")
	w.waitActive("late", "tap1")
}

// TestTwoInterfaces has two Interfaces with one iface-id: the first stays until it goes.
func TestTwoInterfaces(t *testing.T) {
	w := newWorld(t, port("p1", 11))
	w.plug("tap1", "p1")
	slot := w.waitBound("p1", "tap1").Slot
	w.plug("tap0", "p1")
	w.waitProblem("p1", "VIF_TWICE")
	if b := w.binding("p1"); b == nil || b.Interface != "tap1" {
		t.Errorf("%+v", b)
	}
	w.unplug("tap1")
	if b := w.waitBound("p1", "tap0"); b.Slot != slot {
		t.Errorf("a binding that stays has another slot: %+v", b)
	}
	w.waitProblem("p1", "")
}

// TestOtherHost has the port belong to, or be bound on, another host.
func TestOtherHost(t *testing.T) {
	there := port("p1", 11)
	there.HostID = "h2"
	w := newWorld(t, there, port("p2", 12), &model.Binding{PortID: "p2", Host: "h2", NetworkID: "n1", Interface: "x", OFPort: 1, Slot: 1})
	w.plug("tap1", "p1")
	w.waitProblem("p1", "VIF_ELSEWHERE")
	w.plug("tap2", "p2")
	w.waitProblem("p2", "VIF_TWICE")
	if w.binding("p1") != nil || w.binding("p2") != nil {
		t.Error("bound here")
	}
	w.put(port("p1", 11))
	w.waitBound("p1", "tap1")
	b := &model.Binding{PortID: "p2", Host: "h2"}
	storetest.Delete(t, w.st, b)
	w.tell(b)
	w.waitBound("p2", "tap2")
	w.waitProblem("p2", "")
}

// TestNumbers binds more ports than a flood leaf has members; slots and places come back when they go.
func TestNumbers(t *testing.T) {
	const n = 3*model.LeafSize + 5
	var objs []model.Object
	var vifs []sim.VIF
	var names []string
	id := func(i int) string { return "p" + string(rune('A'+i/64)) + string(rune('0'+i%64)) }
	for i := range n {
		objs = append(objs, port(id(i), uint32(100+i)))
		names = append(names, "tap"+id(i)[1:])
		vifs = append(vifs, sim.VIF{Name: names[i], IfaceID: id(i)})
	}
	w := newWorld(t, objs...)
	if err := w.host.Plug(vifs...); err != nil {
		t.Fatal(err)
	}
	bound := func() int { return len(w.st.Snapshot().List(model.BindingsByHost, "h1")) }
	w.wait("all to be bound", func() bool { return bound() == n })
	slots, members, leaves := map[uint16]bool{}, map[uint32]bool{}, map[uint32]int{}
	for i := range n {
		b := w.binding(id(i))
		slots[b.Slot], members[b.Member] = true, true
		leaves[b.Leaf()]++
	}
	if len(slots) != n || len(members) != n || len(leaves) != 4 {
		t.Errorf("%d slots, %d members, %d leaves of %d ports", len(slots), len(members), len(leaves), n)
	}
	w.unplug(names...)
	w.wait("all to be gone", func() bool { return bound() == 0 })
	w.plug("again", id(7))
	if b := w.waitBound(id(7), "again"); b.Leaf() > 3 {
		t.Errorf("%+v: leaves are not given back", b)
	}
}

// TestManyOnExternalEtcd plugs, activates and unplugs more ports at once than one transaction of an operator's etcd may
// be about, which is 128 operations unless it is set otherwise.
func TestManyOnExternalEtcd(t *testing.T) {
	w := newWorldOn(t, storetest.Open(t, store.Config{Endpoints: []string{storetest.Etcd(t)}}))
	const n = 150
	var ids, names []string
	var vifs []sim.VIF
	for i := range n {
		id, name := fmt.Sprintf("p%03d", i), fmt.Sprintf("tap%03d", i)
		storetest.Put(t, w.st, port(id, uint32(100+i)))
		ids, names, vifs = append(ids, id), append(names, name), append(vifs, sim.VIF{Name: name, IfaceID: id})
	}
	if err := w.host.Plug(vifs...); err != nil {
		t.Fatal(err)
	}
	w.wait("all to be bound", func() bool { return w.st.Snapshot().Len(model.Bindings) == n })
	w.confirm()
	w.wait("all to be ACTIVE", func() bool {
		w.confirm()
		for _, id := range ids {
			if w.status(id) != "ACTIVE" {
				return false
			}
		}
		return true
	})
	w.unplug(names...)
	w.wait("none to be bound", func() bool { return w.st.Snapshot().Len(model.Bindings) == 0 })
}
