package model

import (
	"net/netip"
	"strconv"
	"strings"
)

// Table declares one kind of object: its name in the store, its constructor for decoding, its indexes.
type Table struct {
	Name string
	// New gives an empty object to decode into.
	New func() Object
	// Observed tables hold what was seen on hosts: no history is kept of them and no revision_number bumped.
	Observed bool
	// Kind is the table's number in cookies (8 bits), never reused; zero for observed tables.
	Kind    uint8
	Indexes []*Index
}

// Index declares one way to find objects of a table. A key's parts are joined by "/", the coarsest first.
type Index struct {
	Name  string
	Table *Table
	// Keys gives the keys an object is found under: none, one or several, without duplicates.
	Keys func(o Object) []string
}

// JoinKey builds an index key of its parts.
func JoinKey(parts ...string) string { return strings.Join(parts, "/") }

func one(parts ...string) []string { return []string{JoinKey(parts...)} }

// The tables. Their names and kinds are part of the store's layout: never change or reuse one.
var (
	Networks     = &Table{Name: "network", Kind: 1, New: func() Object { return new(Network) }}
	Subnets      = &Table{Name: "subnet", Kind: 2, New: func() Object { return new(Subnet) }}
	Ports        = &Table{Name: "port", Kind: 3, New: func() Object { return new(Port) }}
	Hosts        = &Table{Name: "host", Kind: 4, New: func() Object { return new(Host) }}
	Bindings     = &Table{Name: "binding", Observed: true, New: func() Object { return new(Binding) }}
	PortStatuses = &Table{Name: "portstatus", Observed: true, New: func() Object { return new(PortStatus) }}
	HostStates   = &Table{Name: "hoststate", Observed: true, New: func() Object { return new(HostState) }}
	// PhysicalNetworks are numbers given, not intent: hence without history.
	PhysicalNetworks = &Table{Name: "physicalnetwork", Observed: true, New: func() Object { return new(PhysicalNetwork) }}
)

// The indexes.
var (
	SubnetsByNetwork = index(Subnets, "network", func(o Object) []string { return one(string(o.(*Subnet).NetworkID)) })

	PortsByNetwork = index(Ports, "network", func(o Object) []string { return one(string(o.(*Port).NetworkID)) })
	// PortsByOwner is network/device_owner.
	PortsByOwner = index(Ports, "owner", func(o Object) []string {
		p := o.(*Port)
		return one(string(p.NetworkID), p.DeviceOwner)
	})
	PortsByDevice = index(Ports, "device", func(o Object) []string {
		if p := o.(*Port); p.DeviceID != "" {
			return one(p.DeviceID)
		}
		return nil
	})
	// PortsByAddress is network/address.
	PortsByAddress = index(Ports, "address", func(o Object) []string {
		p := o.(*Port)
		keys := make([]string, 0, len(p.FixedIPs))
		for _, f := range p.FixedIPs {
			keys = append(keys, JoinKey(string(p.NetworkID), f.Address.String()))
		}
		return keys
	})
	// PortsBySubnet finds the ports with an address of a subnet.
	PortsBySubnet = index(Ports, "subnet", func(o Object) []string {
		var keys []string
	next:
		for _, f := range o.(*Port).FixedIPs {
			for _, k := range keys {
				if k == string(f.SubnetID) {
					continue next
				}
			}
			keys = append(keys, string(f.SubnetID))
		}
		return keys
	})
	// PortsByMAC is network/mac.
	PortsByMAC = index(Ports, "mac", func(o Object) []string {
		p := o.(*Port)
		return one(string(p.NetworkID), p.MAC.String())
	})
	// PortsManyMACs is the network of every port for which Port.ManyMACs holds, or that has allowed_address_pairs.
	PortsManyMACs = index(Ports, "manymacs", func(o Object) []string {
		if p := o.(*Port); p.ManyMACs() || len(p.AllowedAddressPairs) > 0 {
			return one(string(p.NetworkID))
		}
		return nil
	})
	// PortsByKey finds the port of a key, as registers and packet-in userdata carry it.
	PortsByKey = index(Ports, "key", func(o Object) []string { return one(strconv.FormatUint(uint64(o.(*Port).Key), 10)) })
	// NetworksByKey finds the network of a key.
	NetworksByKey = index(Networks, "key", func(o Object) []string { return one(strconv.FormatUint(uint64(o.(*Network).Key), 10)) })

	// HostsAll finds every host under the one key "all".
	HostsAll = index(Hosts, "all", func(Object) []string { return one("all") })

	BindingsByHost = index(Bindings, "host", func(o Object) []string { return one(string(o.(*Binding).Host)) })
	BindingsByPort = index(Bindings, "port", func(o Object) []string { return one(string(o.(*Binding).PortID)) })
	// BindingsByNetwork is network/host.
	BindingsByNetwork = index(Bindings, "network", func(o Object) []string {
		b := o.(*Binding)
		return one(string(b.NetworkID), string(b.Host))
	})
	// BindingsByLeaf is network/host/leaf, the leaf as eight hexadecimal digits so that keys sort as numbers do.
	BindingsByLeaf = index(Bindings, "leaf", func(o Object) []string {
		b := o.(*Binding)
		return one(string(b.NetworkID), string(b.Host), LeafKey(b.Leaf()))
	})
)

// LeafKey is how a leaf's number stands in BindingsByLeaf.
func LeafKey(leaf uint32) string {
	s := strconv.FormatUint(uint64(leaf), 16)
	return "00000000"[len(s):] + s
}

func index(t *Table, name string, keys func(Object) []string) *Index {
	ix := &Index{Name: name, Table: t, Keys: keys}
	t.Indexes = append(t.Indexes, ix)
	return ix
}

// Tables lists every table, in a fixed order.
func Tables() []*Table {
	return []*Table{Networks, Subnets, Ports, Hosts, Bindings, PortStatuses, HostStates, PhysicalNetworks,
		SecurityGroups, SecurityGroupRules, AddressGroups, Routers, FloatingIPs,
		SubnetPools, AddressScopes, RBACPolicies, Quotas, Trunks, QosPolicies, QosRules, NovaReports, Logs}
}

// TableByName finds a table, nil if there is none.
func TableByName(name string) *Table {
	for _, t := range Tables() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// AddressKey is the key of PortsByAddress.
func AddressKey(n NetworkID, a netip.Addr) string { return JoinKey(string(n), a.String()) }
