package pipeline

// Path is a way that packets go, with the most passes through the datapath that it may cost beyond the first: each
// conntrack lookup is one, each tunnel decapsulation another. Open vSwitch before 3.3 drops a packet at its seventh pass;
// no path may have more than MaxRecirculations.
type Path struct {
	Name           string
	Recirculations int
	Why            string
}

// MaxRecirculations is what Open vSwitch allows less one for what an operator may add.
const MaxRecirculations = 5

// Paths lists the paths, on the host where the packet is. A test sends a packet along each of them.
var Paths = []Path{
	{"vm to vm on its host", 2, "conntrack at both ends"},
	{"vm to another host", 1, "conntrack"},
	{"another host to vm", 2, "decapsulation, conntrack"},
	{"vm to all", 2, "conntrack of the sender, then of each member"},
	{"another host to all", 2, "decapsulation, then conntrack of each member"},
	{"vm to physical network", 1, "conntrack"},
	{"physical network to vm", 1, "conntrack"},
	{"physical network to all", 1, "conntrack of each member"},
}

// RoutedPaths lists the paths through routers; package e2e sends packets along each of them between real hosts and reads
// Open vSwitch's counters.
var RoutedPaths = []Path{
	{"routed to a vm on its host", 2, "conntrack at both ends"},
	{"routed to another host", 1, "conntrack"},
	{"routed from another host", 2, "decapsulation, conntrack"},
	{"out by SNAT", 2, "conntrack, SNAT"},
	{"back by SNAT", 2, "SNAT undone, conntrack"},
	{"to the gateway host", 1, "conntrack"},
	{"through the gateway host by SNAT", 2, "decapsulation, SNAT"},
	{"back through the gateway host by SNAT", 1, "SNAT undone"},
	{"out by floating IP", 2, "conntrack, SNAT"},
	{"in by floating IP", 2, "DNAT, conntrack"},
	{"out by floating IP of another host", 2, "decapsulation, SNAT"},
	{"in by floating IP of another host", 1, "DNAT"},
	{"floating IP to floating IP", 4, "conntrack, SNAT, DNAT, conntrack"},
	{"vm to its own floating IP", 4, "conntrack, SNAT, DNAT, conntrack"},
	{"another host's vm to floating IP here", 4, "decapsulation, SNAT, DNAT, conntrack"},
	{"another host's vm to another host's floating IP", 3, "decapsulation, SNAT, DNAT"},
}
