package opapi

// PathRoute and PathConntrack, with a router's id for %s, give Route (?address= is where to, ?source= where from if it
// matters) and []Conntrack.
const (
	PathRoute     = "/penstock/v1/routers/%s/route"
	PathConntrack = "/penstock/v1/routers/%s/conntrack"
)

// The kinds of Route.
const (
	RouteSelf     = "self"     // the router's own address
	RouteFloating = "floating" // a floating IP of the router
	RouteSubnet   = "subnet"   // a subnet that the router is on
	RouteStatic   = "static"   // an entry of the router's routes
	RouteGateway  = "gateway"  // the external network's gateway
	RouteNone     = "none"     // no route: the sender is told so
)

// Route is what a router does with what is for an address.
type Route struct {
	RouterID   string `json:"router_id"`
	RouterName string `json:"router_name"`
	AdminUp    bool   `json:"admin_up"` // a router that is down forwards nothing
	Address    string `json:"address"`
	Source     string `json:"source,omitempty"`
	Kind       string `json:"kind"`
	// Prefix is the route that matched. NextHop is whose MAC the packet goes to: the address itself within a subnet.
	Prefix      string `json:"prefix,omitempty"`
	NextHop     string `json:"next_hop,omitempty"`
	NetworkID   string `json:"network_id,omitempty"` // into which it goes
	NetworkName string `json:"network_name,omitempty"`
	External    bool   `json:"external,omitempty"` // the network is the router's external one
	// PortID is the port that has the next hop's address, empty when no port of the store has it.
	PortID   string `json:"port_id,omitempty"`
	PortName string `json:"port_name,omitempty"`
	// MAC is the next hop's, if it is known: of the port, or learned by hosts.
	MAC     string      `json:"mac,omitempty"`
	Learned []Neighbour `json:"learned,omitempty"`
	// Hosts are where the packet goes to: of the port, or where it leaves to the external network.
	Hosts []string `json:"hosts"`
	// GatewayHost is where the router meets its external network, empty for none.
	GatewayHost string        `json:"gateway_host,omitempty"`
	NAT         []Translation `json:"nat"`
	// Problems say why it may not work, one line each.
	Problems []string `json:"problems"`
}

// Neighbour is a MAC address that a host learned for an address.
type Neighbour struct {
	Host string `json:"host"`
	MAC  string `json:"mac"`
	Age  int    `json:"age"` // seconds since it was learned
}

// Translation is an address that changes on the way.
type Translation struct {
	Direction string `json:"direction"` // "source" or "destination"
	From      string `json:"from"`      // an address, or "any other source"
	To        string `json:"to"`        // an address, or "unchanged"
	Host      string `json:"host"`      // where
	// FloatingIP is the id of the floating IP that asks for it; empty: SNAT to the router's address.
	FloatingIP string `json:"floating_ip,omitempty"`
}

// Conntrack is what one host tracks for a router.
type Conntrack struct {
	Host string `json:"host"`
	Zone uint16 `json:"zone"`
	Why  string `json:"why"` // what the host has of the router
	// Problem says why Connections are not known; empty: they are.
	Problem     string       `json:"problem,omitempty"`
	Connections []Connection `json:"connections"`
	Truncated   bool         `json:"truncated,omitempty"` // there are more
}

// Connection is one entry of conntrack.
type Connection struct {
	Protocol string `json:"protocol"` // as Open vSwitch writes it: "tcp", "udp", "icmp"
	// Original is the tuple of the packet that opened it, Reply that of the answers: where they are not each other's
	// mirror, there is a translation.
	Original Tuple  `json:"original"`
	Reply    Tuple  `json:"reply"`
	State    string `json:"state,omitempty"` // of TCP, such as ESTABLISHED
	Text     string `json:"text"`            // as ovs-appctl dpctl/dump-conntrack prints it
}

// Tuple is addresses and ports; ICMP has id, type and code in place of ports, which Text has.
type Tuple struct {
	Src   string `json:"src"`
	Dst   string `json:"dst"`
	SPort uint16 `json:"sport,omitempty"`
	DPort uint16 `json:"dport,omitempty"`
}
