package model

import "net/netip"

// Router forwards between the networks that its interfaces are on. Its interfaces are ports with its id as
// device_id: OwnerRouterInterface for the inner ones, OwnerRouterGateway for the one on the external network.
type Router struct {
	Meta
	AdminStateUp bool `json:"admin_state_up"`
	// GatewayNetwork is the external network, empty for none; GatewayPort is the port on it, which holds the
	// router's addresses there.
	GatewayNetwork NetworkID `json:"gateway_network,omitempty"`
	GatewayPort    PortID    `json:"gateway_port,omitempty"`
	EnableSNAT     bool      `json:"enable_snat"`
	// Zone is the router's conntrack zone on every host, given with the gateway.
	Zone        uint16  `json:"zone,omitempty"`
	Routes      []Route `json:"routes,omitempty"` // sorted by destination and next hop
	Distributed bool    `json:"distributed,omitempty"`
	HA          bool    `json:"ha,omitempty"`
}

// FloatingIP is an address of an external network that stands for a fixed IP of a port.
type FloatingIP struct {
	Meta
	NetworkID NetworkID  `json:"network_id"` // the external network
	Address   netip.Addr `json:"address"`
	// HolderPort is the OwnerFloatingIP port that keeps the address on the external network.
	HolderPort PortID `json:"holder_port"`
	// PortID, FixedIP and RouterID are set while it is associated: with an address of a port, over a router.
	PortID   PortID     `json:"port_id,omitempty"`
	FixedIP  netip.Addr `json:"fixed_ip"`
	RouterID string     `json:"router_id,omitempty"`
}

// The tables of routing.
var (
	Routers     = &Table{Name: "router", Kind: 5, New: func() Object { return new(Router) }}
	FloatingIPs = &Table{Name: "floatingip", Kind: 6, New: func() Object { return new(FloatingIP) }}
)

// The indexes of routing.
var (
	RoutersByProject     = byProject(Routers)
	FloatingIPsByProject = byProject(FloatingIPs)
	// RoutersByGateway finds the routers with a gateway on an external network.
	RoutersByGateway = index(Routers, "gateway", func(o Object) []string { return given(string(o.(*Router).GatewayNetwork)) })
	// FloatingIPsByPort finds the floating IPs of a port.
	FloatingIPsByPort = index(FloatingIPs, "port", func(o Object) []string { return given(string(o.(*FloatingIP).PortID)) })
	// FloatingIPsByHolder finds the floating IP that a OwnerFloatingIP port belongs to.
	FloatingIPsByHolder = index(FloatingIPs, "holder", func(o Object) []string { return given(string(o.(*FloatingIP).HolderPort)) })
	// FloatingIPsByRouter finds the floating IPs that pass through a router.
	FloatingIPsByRouter = index(FloatingIPs, "router", func(o Object) []string { return given(o.(*FloatingIP).RouterID) })
	// FloatingIPsByNetwork finds the floating IPs of an external network.
	FloatingIPsByNetwork = index(FloatingIPs, "network", func(o Object) []string { return one(string(o.(*FloatingIP).NetworkID)) })
)

// Router finds a router by id.
func (v View) Router(id string) (*Router, bool) { return get[*Router](v, Routers, id) }

// PortsOfDevice lists the ports with a device_id, sorted by id: a router's interfaces, a VM's ports.
func (v View) PortsOfDevice(id string) []*Port { return list[*Port](v, PortsByDevice, id) }

// FloatingIP finds a floating IP by id.
func (v View) FloatingIP(id string) (*FloatingIP, bool) { return get[*FloatingIP](v, FloatingIPs, id) }

// FloatingIPHeldBy finds the floating IP that an OwnerFloatingIP port belongs to.
func (v View) FloatingIPHeldBy(id PortID) (*FloatingIP, bool) {
	return first[*FloatingIP](v, FloatingIPsByHolder, string(id))
}

// FloatingIPsOf lists the floating IPs associated with a port, sorted by id.
func (v View) FloatingIPsOf(id PortID) []*FloatingIP {
	return list[*FloatingIP](v, FloatingIPsByPort, string(id))
}
