package model

import (
	"net/netip"
	"strconv"
)

// Source is a consistent state of all tables at one revision. A store's snapshot is one; the derivation
// engine wraps it to record what is read. Implementations are safe for concurrent use.
type Source interface {
	// Get gives the object of a table by its id, nil if it is not there.
	Get(t *Table, id string) Object
	// List gives the objects found under a key of an index, sorted by id. The slice is the caller's.
	List(ix *Index, key string) []Object
	// Keys gives the distinct keys of an index that are prefix itself or begin with prefix and "/", sorted; all
	// of them for an empty prefix.
	Keys(ix *Index, prefix string) []string
	// Revision is the store's revision of this state.
	Revision() int64
}

// Change is one object's change. Old is nil for a new object, New for one that is gone.
type Change struct {
	Table    *Table
	Old, New Object
}

// ID is the changed object's id.
func (c Change) ID() string {
	if c.New != nil {
		return c.New.ObjectID()
	}
	return c.Old.ObjectID()
}

// View gives typed access to a Source. The objects it returns are shared and must not be modified.
type View struct{ src Source }

// NewView wraps a Source.
func NewView(s Source) View { return View{s} }

// Source gives the wrapped Source.
func (v View) Source() Source { return v.src }

// Revision is the store's revision of this view.
func (v View) Revision() int64 { return v.src.Revision() }

func get[T Object](v View, t *Table, id string) (T, bool) {
	o, ok := v.src.Get(t, id).(T)
	return o, ok
}

func list[T Object](v View, ix *Index, key string) []T {
	objs := v.src.List(ix, key)
	out := make([]T, len(objs))
	for i, o := range objs {
		out[i] = o.(T)
	}
	return out
}

func first[T Object](v View, ix *Index, key string) (T, bool) {
	if l := v.src.List(ix, key); len(l) > 0 {
		return l[0].(T), true
	}
	var zero T
	return zero, false
}

// Network finds a network by id.
func (v View) Network(id NetworkID) (*Network, bool) { return get[*Network](v, Networks, string(id)) }

// NetworkByKey finds a network by its key.
func (v View) NetworkByKey(key uint32) (*Network, bool) {
	return first[*Network](v, NetworksByKey, strconv.FormatUint(uint64(key), 10))
}

// Subnet finds a subnet by id.
func (v View) Subnet(id SubnetID) (*Subnet, bool) { return get[*Subnet](v, Subnets, string(id)) }

// SubnetsOf lists a network's subnets, sorted by id.
func (v View) SubnetsOf(id NetworkID) []*Subnet {
	return list[*Subnet](v, SubnetsByNetwork, string(id))
}

// Port finds a port by id.
func (v View) Port(id PortID) (*Port, bool) { return get[*Port](v, Ports, string(id)) }

// PortByKey finds a port by its key.
func (v View) PortByKey(key uint32) (*Port, bool) {
	return first[*Port](v, PortsByKey, strconv.FormatUint(uint64(key), 10))
}

// PortByAddress finds the port of a network that has an address as a fixed IP.
func (v View) PortByAddress(n NetworkID, a netip.Addr) (*Port, bool) {
	return first[*Port](v, PortsByAddress, AddressKey(n, a))
}

// PortsOf lists a network's ports, sorted by id. In a derive function this makes the unit depend on every one of them.
func (v View) PortsOf(id NetworkID) []*Port { return list[*Port](v, PortsByNetwork, string(id)) }

// PortsOwned lists the ports of a network with a device_owner, sorted by id.
func (v View) PortsOwned(id NetworkID, owner string) []*Port {
	return list[*Port](v, PortsByOwner, JoinKey(string(id), owner))
}

// DHCPPort finds the network's network:dhcp port.
func (v View) DHCPPort(id NetworkID) (*Port, bool) {
	return first[*Port](v, PortsByOwner, JoinKey(string(id), OwnerDHCP))
}

// Host finds a configured host by name.
func (v View) Host(name HostName) (*Host, bool) { return get[*Host](v, Hosts, string(name)) }

// PhysicalNetwork finds the number of a physical network.
func (v View) PhysicalNetwork(name string) (*PhysicalNetwork, bool) {
	return get[*PhysicalNetwork](v, PhysicalNetworks, name)
}

// HasManyMACs reports whether a network has a port that may have MAC or IP addresses that the store does not know: one for
// which Port.ManyMACs holds, or with allowed_address_pairs. Where none has, and no physical network is behind, nobody
// answers for an address that is no port's.
func (v View) HasManyMACs(n NetworkID) bool { return len(v.src.Keys(PortsManyMACs, string(n))) > 0 }

// Place is the one binding of a port to which other hosts send: that on the port's HostID, or the first by host when
// there is none there. While a port migrates it has two bindings; one without an OpenFlow port does not count.
func (v View) Place(p *Port) (*Binding, bool) {
	var place *Binding
	for _, b := range v.BindingsOf(PortID(p.ID)) {
		if b.OFPort != 0 && (place == nil || b.Host == p.HostID) {
			place = b
		}
	}
	return place, place != nil
}

// Binding finds a port's binding on a host.
func (v View) Binding(host HostName, id PortID) (*Binding, bool) {
	return get[*Binding](v, Bindings, string(host)+"/"+string(id))
}

// BindingsOf lists a port's bindings, sorted by host; more than one only while it migrates.
func (v View) BindingsOf(id PortID) []*Binding { return list[*Binding](v, BindingsByPort, string(id)) }

// LeafMembers lists the bindings of one leaf of a network's flood tree on a host, sorted by id.
func (v View) LeafMembers(n NetworkID, h HostName, leaf uint32) []*Binding {
	return list[*Binding](v, BindingsByLeaf, JoinKey(string(n), string(h), LeafKey(leaf)))
}

// Leaves lists the numbers of the leaves of a network's flood tree on a host that have members, ascending.
func (v View) Leaves(n NetworkID, h HostName) []uint32 {
	prefix := JoinKey(string(n), string(h))
	keys := v.src.Keys(BindingsByLeaf, prefix)
	out := make([]uint32, 0, len(keys))
	for _, k := range keys {
		if x, err := strconv.ParseUint(k[len(prefix)+1:], 16, 32); err == nil {
			out = append(out, uint32(x))
		}
	}
	return out
}

// NetworkHosts lists the hosts with a binding of the network, sorted.
func (v View) NetworkHosts(n NetworkID) []HostName {
	keys := v.src.Keys(BindingsByNetwork, string(n))
	out := make([]HostName, 0, len(keys))
	for _, k := range keys {
		out = append(out, HostName(k[len(n)+1:]))
	}
	return out
}

// Status is a port's observed status; DOWN when nothing was observed.
func (v View) Status(id PortID) string {
	if s, ok := get[*PortStatus](v, PortStatuses, string(id)); ok {
		return s.Status
	}
	return StatusDown
}

// PortStatus is a port's observed state, if any was observed.
func (v View) PortStatus(id PortID) (*PortStatus, bool) {
	return get[*PortStatus](v, PortStatuses, string(id))
}

// HostState is what was last observed of a host.
func (v View) HostState(h HostName) (*HostState, bool) {
	return get[*HostState](v, HostStates, string(h))
}
