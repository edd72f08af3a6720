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
	{"vm to vm on its host", 0, "no conntrack until security groups"},
	{"vm to another host", 0, ""},
	{"another host to vm", 1, "decapsulation"},
	{"vm to all", 0, "replication is within one pass"},
	{"another host to all", 1, "decapsulation"},
	{"vm to physical network", 0, ""},
	{"physical network to vm", 0, ""},
	{"physical network to all", 0, ""},
}
