package ovsdb

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	lmodel "github.com/ovn-kubernetes/libovsdb/model"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb/vswitch"
)

// rowRef names a row of the database.
type rowRef struct{ table, uuid string }

// rowSource reads the newest content of a row, nil if it is gone. The result is not shared.
type rowSource func(rowRef) lmodel.Model

// tracker is what one connection has seen, with the references between rows turned round, kept up to date
// row by row: applying a change costs the same however many other rows there are, but for a bridge's list
// of ports, which is compared by walking two slices once. It belongs to the goroutine of Run.
type tracker struct {
	read rowSource

	root        *vswitch.OpenvSwitch
	bridges     map[string]*vswitch.Bridge
	ports       map[string]*vswitch.Port
	ifaces      map[string]*vswitch.Interface
	controllers map[string]*vswitch.Controller

	bridgeByName, portByName, ifaceByName map[string]string // name -> UUID
	portBridge, ifacePort                 map[string]string // UUID -> UUID
	owned                                 map[string]bool   // Ports with any owner mark

	vifs   vifSet
	states map[string]BridgeState // by bridge UUID
	wrong  map[string]Health      // by Interface UUID: not on br-int, or an error
	twice  map[string]Health      // by iface-id

	// What the current batch changed.
	changed      map[string]struct{} // iface-ids
	other        bool
	staleBridges map[string]bool
	staleIfaces  map[string]bool
	visited      int
}

func newTracker(read rowSource) *tracker {
	return &tracker{read: read,
		bridges: map[string]*vswitch.Bridge{}, ports: map[string]*vswitch.Port{},
		ifaces: map[string]*vswitch.Interface{}, controllers: map[string]*vswitch.Controller{},
		bridgeByName: map[string]string{}, portByName: map[string]string{}, ifaceByName: map[string]string{},
		portBridge: map[string]string{}, ifacePort: map[string]string{}, owned: map[string]bool{},
		vifs: newVIFSet(), states: map[string]BridgeState{}, wrong: map[string]Health{},
		twice: map[string]Health{}, changed: map[string]struct{}{}, staleBridges: map[string]bool{}, staleIfaces: map[string]bool{}}
}

// apply reads the named rows again and brings everything that depends on them up to date.
func (t *tracker) apply(rows map[rowRef]struct{}) {
	for r := range rows {
		t.visited++
		m := t.read(r)
		switch r.table {
		case vswitch.InterfaceTable:
			row, _ := m.(*vswitch.Interface)
			t.setInterface(r.uuid, row)
		case vswitch.PortTable:
			row, _ := m.(*vswitch.Port)
			t.setPort(r.uuid, row)
		case vswitch.BridgeTable:
			row, _ := m.(*vswitch.Bridge)
			t.setBridge(r.uuid, row)
		case vswitch.ControllerTable:
			if row, ok := m.(*vswitch.Controller); ok {
				t.controllers[r.uuid] = row
			} else {
				delete(t.controllers, r.uuid)
			}
		case vswitch.OpenvSwitchTable:
			t.setRoot(r.uuid, m)
		}
	}
	if len(t.staleIfaces) > 0 {
		t.vifs = t.vifs.fork()
	}
	for u := range t.staleIfaces {
		t.setVIF(u)
	}
	for id := range t.changed {
		t.setTwice(id)
	}
	for u := range t.staleBridges {
		t.setState(u)
	}
	clear(t.staleIfaces)
	clear(t.staleBridges)
}

func (t *tracker) setRoot(uuid string, m lmodel.Model) {
	row, ok := m.(*vswitch.OpenvSwitch)
	switch {
	case ok:
		old := t.root
		t.root = row
		if old == nil || !slices.Equal(old.DatapathTypes, row.DatapathTypes) || !slices.Equal(old.IfaceTypes, row.IfaceTypes) ||
			deref(old.OVSVersion) != deref(row.OVSVersion) || !maps.Equal(old.ExternalIDs, row.ExternalIDs) {
			t.other = true
		}
	case t.root != nil && t.root.UUID == uuid:
		t.root, t.other = nil, true
	}
}

func (t *tracker) setInterface(uuid string, row *vswitch.Interface) {
	old := t.ifaces[uuid]
	if old != nil && (row == nil || old.Name != row.Name) && t.ifaceByName[old.Name] == uuid {
		delete(t.ifaceByName, old.Name)
	}
	if row == nil {
		delete(t.ifaces, uuid)
	} else {
		t.ifaces[uuid], t.ifaceByName[row.Name] = row, uuid
	}
	t.touchIface(uuid)
}

// touchIface marks an Interface's VIF and, where Interfaces are listed, its bridge for a new look.
func (t *tracker) touchIface(uuid string) {
	t.staleIfaces[uuid] = true
	p := t.ifacePort[uuid]
	if b := t.bridges[t.portBridge[p]]; b != nil && (b.Name != BridgeInt || t.owned[p]) {
		t.staleBridges[b.UUID] = true
	}
}

func (t *tracker) setPort(uuid string, row *vswitch.Port) {
	old := t.ports[uuid]
	if old != nil {
		if t.portByName[old.Name] == uuid {
			delete(t.portByName, old.Name)
		}
		for _, i := range old.Interfaces {
			if t.ifacePort[i] == uuid && (row == nil || !slices.Contains(row.Interfaces, i)) {
				t.touchIface(i)
				delete(t.ifacePort, i)
			}
		}
	}
	if row == nil {
		delete(t.ports, uuid)
		delete(t.owned, uuid)
		return
	}
	t.ports[uuid], t.portByName[row.Name] = row, uuid
	if row.ExternalIDs[KeyOwner] != "" {
		t.owned[uuid] = true
	} else {
		delete(t.owned, uuid)
	}
	for _, i := range row.Interfaces {
		t.ifacePort[i] = uuid
		t.touchIface(i)
	}
}

func (t *tracker) setBridge(uuid string, row *vswitch.Bridge) {
	old := t.bridges[uuid]
	var was, is []string
	if old != nil {
		was = old.Ports
		if t.bridgeByName[old.Name] == uuid {
			delete(t.bridgeByName, old.Name)
		}
	}
	if row != nil {
		is = row.Ports
		t.bridges[uuid], t.bridgeByName[row.Name] = row, uuid
	} else {
		delete(t.bridges, uuid)
	}
	t.staleBridges[uuid] = true
	gone, come := changedMembers(was, is)
	for _, p := range gone {
		if t.portBridge[p] == uuid {
			delete(t.portBridge, p)
			t.touchPort(p)
		}
	}
	for _, p := range come {
		t.portBridge[p] = uuid
		t.touchPort(p)
	}
}

func (t *tracker) touchPort(uuid string) {
	if p := t.ports[uuid]; p != nil {
		for _, i := range p.Interfaces {
			t.touchIface(i)
		}
	}
}

// changedMembers compares two versions of a set that libovsdb changed in place: it appends what comes and
// moves the last member into the place of what goes, so that few positions differ.
func changedMembers(was, is []string) (gone, come []string) {
	n := min(len(was), len(is))
	for i := range n {
		if was[i] != is[i] {
			gone, come = append(gone, was[i]), append(come, is[i])
		}
	}
	gone, come = append(gone, was[n:]...), append(come, is[n:]...)
	if len(gone) == 0 || len(come) == 0 {
		return gone, come
	}
	both := make(map[string]bool, len(gone))
	for _, x := range gone {
		both[x] = false
	}
	come = slices.DeleteFunc(come, func(x string) bool {
		if _, ok := both[x]; ok {
			both[x] = true
			return true
		}
		return false
	})
	return slices.DeleteFunc(gone, func(x string) bool { return both[x] }), come
}

// bridgeOf finds the bridge that an Interface is on.
func (t *tracker) bridgeOf(iface string) *vswitch.Bridge {
	return t.bridges[t.portBridge[t.ifacePort[iface]]]
}

func (t *tracker) setVIF(uuid string) {
	row := t.ifaces[uuid]
	var vif *VIF
	delete(t.wrong, uuid)
	if row != nil {
		id, bridge := row.ExternalIDs[KeyIfaceID], t.bridgeOf(uuid)
		switch {
		case id == "" || strings.IndexByte(id, 0) >= 0 || bridge == nil: // not a VIF, or the reference comes with another row
		case bridge.Name != BridgeInt:
			t.wrong[uuid] = Health{CodeVIFElsewhere, row.Name, fmt.Sprintf(
				"Interface %s with iface-id %s is on %s and therefore not bound: plug it into %s", row.Name, id, bridge.Name, BridgeInt)}
		default:
			vif = &VIF{IfaceID: id, UUID: uuid, Name: row.Name, Bridge: BridgeInt, Error: deref(row.Error),
				LinkUp: deref(row.LinkState) == vswitch.InterfaceLinkStateUp, Installed: row.ExternalIDs[KeyInstalled] == "true"}
			vif.OFPort = deref(row.Ofport)
			if mac, err := model.ParseMAC(row.ExternalIDs[KeyAttachedMAC]); err == nil {
				vif.AttachedMAC = mac
			}
			if vif.Error != "" {
				t.wrong[uuid] = ifaceError(row)
			}
		}
	}
	was := t.vifs.get(uuid)
	switch {
	case was == nil && vif == nil, was != nil && vif != nil && *was == *vif:
		return
	case was != nil && (vif == nil || was.IfaceID != vif.IfaceID):
		t.changed[was.IfaceID] = struct{}{}
	}
	if vif == nil {
		t.vifs.remove(was)
		return
	}
	t.vifs.put(was, vif)
	t.changed[vif.IfaceID] = struct{}{}
}

// setTwice looks whether an iface-id is on several Interfaces, usually one that was left behind.
func (t *tracker) setTwice(id string) {
	var names []string
	for _, v := range t.vifs.of(id) {
		names = append(names, v.Name)
	}
	delete(t.twice, id)
	if len(names) > 1 {
		slices.Sort(names)
		t.twice[id] = Health{CodeVIFTwice, id, fmt.Sprintf("iface-id %s is on the Interfaces %s: remove the ports that were left behind",
			id, strings.Join(names, " and "))}
	}
}

func ifaceError(row *vswitch.Interface) Health {
	return Health{CodeIfaceError, row.Name, fmt.Sprintf(
		"ovs-vswitchd cannot use Interface %s: %s; mend that or remove the port", row.Name, strings.TrimSpace(deref(row.Error)))}
}

// setState describes a bridge anew. On br-int only our own ports are listed.
func (t *tracker) setState(uuid string) {
	row := t.bridges[uuid]
	old, had := t.states[uuid]
	if row == nil {
		delete(t.states, uuid)
		t.other = t.other || had
		return
	}
	s := BridgeState{Name: row.Name, UUID: uuid, DatapathType: row.DatapathType, PortCount: len(row.Ports),
		Owned: row.ExternalIDs[KeyOwner] != ""}
	if id, err := strconv.ParseUint(deref(row.DatapathID), 16, 64); err == nil {
		s.DatapathID = id
	}
	add := func(p string) {
		port := t.ports[p]
		if port == nil || len(port.Interfaces) == 0 {
			return
		}
		if i := t.ifaces[port.Interfaces[0]]; i != nil {
			s.Ports = append(s.Ports, PortState{Name: port.Name, Type: i.Type, OFPort: deref(i.Ofport), Owned: t.owned[p]})
		}
	}
	if row.Name == BridgeInt {
		for p := range t.owned {
			if t.portBridge[p] == uuid {
				add(p)
			}
		}
	} else {
		for _, p := range row.Ports {
			add(p)
		}
	}
	slices.SortFunc(s.Ports, func(a, b PortState) int { return strings.Compare(a.Name, b.Name) })
	if !had || old.Name != s.Name || old.DatapathID != s.DatapathID || old.DatapathType != s.DatapathType ||
		old.Owned != s.Owned || !slices.Equal(old.Ports, s.Ports) {
		t.other = true
	}
	t.states[uuid] = s
}

// fill writes what was observed into a snapshot.
func (t *tracker) fill(s *Snapshot) {
	s.Complete, s.vifs = t.root != nil, t.vifs
	if t.root != nil {
		s.OVSVersion = deref(t.root.OVSVersion)
		s.Hostname, s.SystemID = t.root.ExternalIDs["hostname"], t.root.ExternalIDs["system-id"]
		s.DatapathTypes, s.IfaceTypes = t.root.DatapathTypes, t.root.IfaceTypes
	}
	s.Bridges = make([]BridgeState, 0, len(t.states))
	for _, b := range t.states {
		s.Bridges = append(s.Bridges, b)
	}
	slices.SortFunc(s.Bridges, func(a, b BridgeState) int { return strings.Compare(a.Name, b.Name) })
}

// ifaceOf is the single Interface of a port, nil if it has none that is known.
func (t *tracker) ifaceOf(port string) *vswitch.Interface {
	if p := t.ports[port]; p != nil && len(p.Interfaces) > 0 {
		return t.ifaces[p.Interfaces[0]]
	}
	return nil
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
