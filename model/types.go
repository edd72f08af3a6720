package model

import (
	"bytes"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Typed identifiers: Neutron UUIDs in their canonical text form, or a host's name.
type (
	NetworkID string
	SubnetID  string
	PortID    string
	HostName  string
)

// Object is what every table holds. Objects are immutable once they are in a snapshot: a change is a new value.
type Object interface {
	// ObjectID is the primary key within the object's table.
	ObjectID() string
}

// Meta is what every object that users make has.
type Meta struct {
	ID string `json:"id"`
	// Key is the object's number in registers, groups and cookies: allocated once in the store, never
	// reused, never zero.
	Key         uint32    `json:"key"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	ProjectID   string    `json:"project_id"`
	Tags        []string  `json:"tags,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	// Revision is Neutron's revision_number, a counter of the object; it is not the store's revision.
	Revision int64 `json:"revision"`
	// Extra holds attributes that no flow depends on, by their API name.
	Extra map[string]any `json:"extra,omitempty"`
}

// ObjectID implements Object.
func (m *Meta) ObjectID() string { return m.ID }

// MetaOf gives the Meta itself, so that generic code can stamp any object.
func (m *Meta) MetaOf() *Meta { return m }

// NetworkType is Neutron's provider:network_type.
type NetworkType string

// The network types of Neutron that Penstock has.
const (
	NetworkLocal NetworkType = "local"
	NetworkFlat  NetworkType = "flat"
	NetworkVLAN  NetworkType = "vlan"
	NetworkVXLAN NetworkType = "vxlan"
	NetworkGRE   NetworkType = "gre"
)

// Segment is one way a network is carried between hosts (provider:* attributes).
type Segment struct {
	Type            NetworkType `json:"type"`
	PhysicalNetwork string      `json:"physical_network,omitempty"`
	// ID is the VLAN id, VNI or GRE key; zero for flat and local.
	ID uint32 `json:"id,omitempty"`
}

// Network is an isolated L2 broadcast domain.
type Network struct {
	Meta
	AdminStateUp bool      `json:"admin_state_up"`
	Shared       bool      `json:"shared"`
	External     bool      `json:"external"`
	MTU          int       `json:"mtu"` // bytes of IP packet
	PortSecurity bool      `json:"port_security"`
	DNSDomain    string    `json:"dns_domain,omitempty"`
	Segments     []Segment `json:"segments"`
}

// Route is a static route of a subnet (host_routes) or router.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	NextHop     netip.Addr   `json:"nexthop"`
}

// Subnet is a block of addresses of a network.
type Subnet struct {
	Meta
	NetworkID       NetworkID    `json:"network_id"`
	CIDR            netip.Prefix `json:"cidr"`
	GatewayIP       netip.Addr   `json:"gateway_ip"` // the zero Addr: no gateway
	AllocationPools []AddrRange  `json:"allocation_pools"`
	EnableDHCP      bool         `json:"enable_dhcp"`
	DNSNameservers  []netip.Addr `json:"dns_nameservers,omitempty"`
	HostRoutes      []Route      `json:"host_routes,omitempty"`
	IPv6RAMode      string       `json:"ipv6_ra_mode,omitempty"`
	IPv6AddressMode string       `json:"ipv6_address_mode,omitempty"`
	ServiceTypes    []string     `json:"service_types,omitempty"`
	SubnetPoolID    string       `json:"subnetpool_id,omitempty"`
}

// FixedIP is one address of a port.
type FixedIP struct {
	SubnetID SubnetID   `json:"subnet_id"`
	Address  netip.Addr `json:"ip_address"`
}

// AddressPair is one of a port's allowed_address_pairs.
type AddressPair struct {
	Prefix netip.Prefix `json:"ip_address"`
	MAC    MAC          `json:"mac_address"`
}

// DHCPOption is one of a port's extra_dhcp_opts.
type DHCPOption struct {
	Name      string `json:"opt_name"` // dnsmasq's name ("tftp-server") or a number
	Value     string `json:"opt_value"`
	IPVersion int    `json:"ip_version"` // 4 or 6
}

// Device owners that mean something to the derivation; all others are users' or Nova's own.
const (
	OwnerDHCP             = "network:dhcp"
	OwnerRouterInterface  = "network:router_interface"
	OwnerRouterGateway    = "network:router_gateway"
	OwnerFloatingIP       = "network:floatingip"
	OwnerDistributedRoute = "network:router_interface_distributed"
)

// Port is an attachment point of a network.
type Port struct {
	Meta
	NetworkID    NetworkID `json:"network_id"`
	MAC          MAC       `json:"mac_address"`
	AdminStateUp bool      `json:"admin_state_up"`
	FixedIPs     []FixedIP `json:"fixed_ips,omitempty"` // in the order the API shows them
	DeviceID     string    `json:"device_id"`
	DeviceOwner  string    `json:"device_owner"`
	// HostID is binding:host_id as a client set it; empty: the first host that shows the VIF binds it.
	HostID   HostName       `json:"host_id,omitempty"`
	VNICType string         `json:"vnic_type,omitempty"`
	Profile  map[string]any `json:"profile,omitempty"`
	// InactiveBindings are further hosts that the port may be bound on, for live migration, sorted by host.
	InactiveBindings    []HostBinding `json:"inactive_bindings,omitempty"`
	PortSecurity        bool          `json:"port_security"`
	SecurityGroups      []string      `json:"security_groups,omitempty"`
	AllowedAddressPairs []AddressPair `json:"allowed_address_pairs,omitempty"`
	DHCPOptions         []DHCPOption  `json:"dhcp_options,omitempty"`
	DNSName             string        `json:"dns_name,omitempty"`
}

// ManyMACs says whether frames of the port may have another source than its own MAC address: without port security,
// or with an address pair of another MAC. Such addresses are learned, all others are known. Ports of DHCP and routers, which
// Penstock itself is, have no port security and one MAC.
func (p *Port) ManyMACs() bool {
	switch p.DeviceOwner {
	case OwnerDHCP, OwnerRouterInterface, OwnerDistributedRoute, OwnerRouterGateway, OwnerFloatingIP:
		return false
	}
	return !p.PortSecurity || slices.ContainsFunc(p.AllowedAddressPairs, func(a AddressPair) bool { return !a.MAC.IsZero() && a.MAC != p.MAC })
}

// Secured says whether port security holds the port: its sources are checked, and its security groups count. Ports of
// the network itself (DHCP, routers) are trusted.
func (p *Port) Secured() bool { return p.PortSecurity && !strings.HasPrefix(p.DeviceOwner, "network:") }

// Sources gives what a secured port may send from: each MAC with its prefixes, sorted, each once. A MAC's link-local
// address (RFC 4291) is among them.
func (p *Port) Sources() iter.Seq2[MAC, []netip.Prefix] {
	of := map[MAC][]netip.Prefix{}
	add := func(m MAC, a netip.Prefix) {
		if m.IsZero() {
			m = p.MAC
		}
		if of[m] == nil {
			of[m] = []netip.Prefix{netip.PrefixFrom(m.LinkLocal(), 128)}
		}
		if a = a.Masked(); a.IsValid() && !slices.Contains(of[m], a) {
			of[m] = append(of[m], a)
		}
	}
	add(p.MAC, netip.Prefix{})
	for _, f := range p.FixedIPs {
		add(p.MAC, netip.PrefixFrom(f.Address, f.Address.BitLen()))
	}
	for _, a := range p.AllowedAddressPairs {
		add(a.MAC, a.Prefix)
	}
	return func(yield func(MAC, []netip.Prefix) bool) {
		for _, m := range slices.SortedFunc(maps.Keys(of), func(a, b MAC) int { return bytes.Compare(a[:], b[:]) }) {
			slices.SortFunc(of[m], netip.Prefix.Compare)
			if !yield(m, of[m]) {
				return
			}
		}
	}
}

// PhysicalNetwork is the number that a physical network of bridge mappings has on every host: OpenFlow port numbers
// follow from it. It is given, once and for all, in the transaction that writes the first host that maps the name.
type PhysicalNetwork struct {
	Name   string `json:"name"`
	Number uint32 `json:"number"` // 1…MaxPhysical
}

// MaxPhysical is how many physical networks there may be.
const MaxPhysical = 999

// ObjectID implements Object.
func (p *PhysicalNetwork) ObjectID() string { return p.Name }

// HostBinding is what a client asked for on one host.
type HostBinding struct {
	Host     HostName       `json:"host"`
	VNICType string         `json:"vnic_type"`
	Profile  map[string]any `json:"profile,omitempty"`
	// Released: the port was active there before and moved away.
	Released bool `json:"released,omitempty"`
}

// Host is one Open vSwitch host as configured.
type Host struct {
	Meta                             // Name is the host's name, ID equals it
	OVSDB          string            `json:"ovsdb"` // unix:PATH, tcp:IP:PORT or ssl:IP:PORT
	TunnelIP       netip.Addr        `json:"tunnel_ip"`
	DatapathType   string            `json:"datapath_type,omitempty"`
	BridgeMappings map[string]string `json:"bridge_mappings,omitempty"` // physical network -> bridge
	HostTags       map[string]string `json:"host_tags,omitempty"`       // zone, rack, …
	Draining       bool              `json:"draining,omitempty"`
}

// Bridges lists the mapped bridges, sorted, each once.
func (h *Host) Bridges() []string {
	var out []string
	for _, br := range h.BridgeMappings {
		if !slices.Contains(out, br) {
			out = append(out, br)
		}
	}
	slices.Sort(out)
	return out
}

// Binding says that a port's VIF is there on a host. It is observed, not intent, and outlives a silent host.
type Binding struct {
	PortID    PortID    `json:"port_id"`
	Host      HostName  `json:"host"`
	NetworkID NetworkID `json:"network_id"`
	// Slot is the port's number on the host, 1…65535: meters and conntrack zones follow from it.
	Slot uint16 `json:"slot"`
	// Member is the port's place in the host's flood leaves: leaf Member/LeafSize belongs to one network, and
	// leaf numbers are the host's own (16 bits), so that group ids follow from them.
	Member    uint32 `json:"member"`
	Interface string `json:"interface"` // the Interface's name on br-int
	OFPort    uint32 `json:"ofport"`    // its OpenFlow port number on br-int
}

// LeafSize is how many members a leaf of a flood tree has at most (see DESIGN.md, the three bridges).
const LeafSize = 64

// Leaf is the flood tree's leaf that the binding's port is in.
func (b *Binding) Leaf() uint32 { return b.Member / LeafSize }

// ObjectID implements Object: one binding for each port and host.
func (b *Binding) ObjectID() string { return string(b.Host) + "/" + string(b.PortID) }

// Port states as Neutron shows them.
const (
	StatusActive = "ACTIVE"
	StatusDown   = "DOWN"
	StatusBuild  = "BUILD"
	StatusError  = "ERROR"
)

// PortStatus is a port's observed state, a record apart from the Port.
type PortStatus struct {
	PortID PortID   `json:"port_id"`
	Status string   `json:"status"`
	Host   HostName `json:"host,omitempty"` // where it is ACTIVE
}

// ObjectID implements Object.
func (s *PortStatus) ObjectID() string { return string(s.PortID) }

// HostState is what was last observed of a host.
type HostState struct {
	Host       HostName          `json:"host"`
	Alive      bool              `json:"alive"`
	Since      time.Time         `json:"since"` // of the last change of Alive
	OVSVersion string            `json:"ovs_version,omitempty"`
	Bridges    map[string]uint64 `json:"bridges,omitempty"` // name -> datapath id
	// Datapath is the type in use: "system" or "netdev".
	Datapath string `json:"datapath,omitempty"`
}

// ObjectID implements Object.
func (s *HostState) ObjectID() string { return string(s.Host) }
