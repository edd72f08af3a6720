package pipeline

import "github.com/penstock/penstock/openflow"

// The registers of routing.
var (
	Router   = &Field{Name: "router", OF: openflow.Reg(2), Bits: 32, Doc: "key of the router that the packet is in"}
	NextHop  = &Field{Name: "next_hop", OF: openflow.Reg(3), Bits: 32, Doc: "IPv4 address whose MAC the packet goes to"}
	Resolved = &Field{Name: "resolved", OF: openflow.Reg(10), Ofs: 1, Bits: 1, Doc: "1: the next hop's MAC is known and in eth_dst"}
	// InMTU and TooBig are free to be wrong outside routing: every flow that sets Router sets InMTU.
	InMTU  = &Field{Name: "in_mtu", OF: openflow.Reg(10), Ofs: 16, Bits: 16, Doc: "bytes of IP packet that the network carries from which the router has the packet"}
	TooBig = &Field{Name: "too_big", OF: openflow.Reg(10), Ofs: 2, Bits: 1, Doc: "1: the packet is larger than the next network carries"}
	// Stash holds a MAC address while two change places. It is Router and NextHop, which nobody needs then.
	Stash = &Field{Name: "stash", OF: openflow.XReg(1), Bits: 48}
)

// The tables of routing and NAT in br-int, from the last to the first as in tables_int.go. A packet comes here by its
// destination MAC, the router's, and leaves to l2_lookup in the network that it was routed to. It is changed only when
// its next hop is known: what goes to the controller before is as the sender sent it.
var (
	NATOut = &Table{
		ID: 37, Role: RoleInt, Name: "nat_out",
		Doc:   "Translates the source of what leaves to an external network: to the floating IP of its address, or to the router's own.",
		Match: []*Field{Router, EthType, IPv4Src}, Write: []*Field{EthSrc}, Next: []*Table{L2Lookup}, Miss: L2Lookup,
	}
	RouteOut = &Table{
		ID: 36, Role: RoleInt, Name: "route_out",
		Doc:   "Forwards: one TTL less, from the router's MAC on the next network; to the controller where the next hop's MAC is not known.",
		Match: []*Field{Router, Net, EthType, Resolved}, Write: []*Field{EthSrc, NoPort, InPort, Remote, Punt}, Next: []*Table{NATOut, L2Lookup, PuntTable},
	}
	Neighbours = &Table{
		ID: 35, Role: RoleInt, Name: "neighbours",
		Doc:   "MAC addresses of next hops that no port of the store has, found out by the controller.",
		Match: []*Field{Net, NextHop}, Write: []*Field{EthDst, Resolved}, Learned: true,
	}
	Neighbour = &Table{
		ID: 34, Role: RoleInt, Name: "neighbour",
		Doc:   "Finds the MAC of the next hop: ports of the store need no ARP.",
		Match: []*Field{Net, NextHop, TooBig, EthType}, Write: []*Field{EthDst, Resolved, Punt}, Next: []*Table{RouteOut, PuntTable},
		Resubmit: []*Table{Neighbours}, Miss: RouteOut, MissCalls: []*Table{Neighbours},
	}
	PathMTU = &Table{
		ID: 33, Role: RoleInt, Name: "path_mtu",
		Doc:   "Measures packets that come from a network with a larger MTU than the one they go to; no others.",
		Match: []*Field{Router, Net, InMTU, EthType}, Write: []*Field{TooBig}, Next: []*Table{Neighbour}, Miss: Neighbour,
	}
	Exit = &Table{
		ID: 32, Role: RoleInt, Name: "exit",
		Doc:   "Where a packet for an external network leaves: here, or on the router's gateway host, to which it goes in the network that it is in.",
		Match: []*Field{Router, Net, EthType, IPv4Src}, Write: []*Field{Net, EthDst}, Next: []*Table{PathMTU, L2Lookup},
	}
	Route = &Table{
		ID: 31, Role: RoleInt, Name: "route",
		Doc:   "The router's routes: finds the network and next hop of a destination, the longest prefix first.",
		Match: []*Field{Router, EthType, IPv4Dst}, Write: []*Field{Net, NextHop, Punt}, Next: []*Table{Exit, PathMTU, PuntTable},
	}
	RouteSelf = &Table{
		ID: 30, Role: RoleInt, Name: "route_self",
		Doc:   "What is for the router itself, and what may not go on: answers ping, sends the rest to the controller.",
		Match: []*Field{Router, Net, Remote, EthType, IPTTL, IPProto, ICMPTyp, IPv4Dst},
		Write: []*Field{Stash, EthSrc, EthDst, IPv4Src, IPv4Dst, ICMPTyp, IPTTL, NoPort, Remote, Punt},
		Next:  []*Table{Route, PuntTable, Uplink}, Miss: Route,
	}
	NATIn = &Table{
		ID: 29, Role: RoleInt, Name: "nat_in",
		Doc:   "Translates the destination of what comes from an external network: a floating IP to its address, the router's own to the address that opened the connection.",
		Match: []*Field{Router, EthType, IPv4Dst}, Next: []*Table{RouteSelf}, Miss: RouteSelf,
	}
	RouteIn = &Table{
		ID: 28, Role: RoleInt, Name: "route_in",
		Doc:   "Takes out what is for a router: by its MAC in this network.",
		Match: []*Field{Net, Remote, EthDst, EthType, ARPOp, ARPTPA},
		Write: []*Field{Router, InMTU, EthSrc, EthDst, ARPOp, ARPSHA, ARPTHA, ARPSPA, ARPTPA, NoPort, Remote},
		Next:  []*Table{NATIn, RouteSelf, Learn, Uplink}, Resubmit: []*Table{ARPWatch}, Miss: Learn,
	}
)

// The rules of routing.
var (
	RouteThis    = RouteIn.Rule(200, 100, "a packet to the router's MAC is routed on the host where it is")
	RouteNothing = RouteIn.Rule(201, 50, "what is to the router's MAC and not routed here ends")
	RouteCentral = RouteIn.Rule(202, 100, "a packet that another host sends to the gateway host is routed here")
	RouteBack    = RouteIn.Rule(203, 100, "a packet from the external network to the router or a floating IP")
	ARPOutside   = RouteIn.Rule(204, 100, "an ARP request from outside for the router's address or a floating IP is answered")
	Untranslate  = NATIn.Rule(222, 100, "what answers a connection that was translated")
	FloatingIn   = NATIn.Rule(223, 100, "a floating IP becomes the address that it stands for")
	FloatingHere = Exit.Rule(224, 110, "what has a floating IP here leaves here")
	ExitHere     = Exit.Rule(225, 100, "on the gateway host: straight on")
	ExitThere    = Exit.Rule(226, 100, "elsewhere: to the gateway host")
	FloatingOut  = NATOut.Rule(227, 110, "the address that a floating IP stands for becomes the floating IP, from its MAC")
	Translate    = NATOut.Rule(228, 100, "any other source becomes the router's address")
	ForwardOut   = RouteOut.Rule(218, 100, "on into the external network")
	GatewayAway  = L2Lookup.Rule(229, 105, "a frame to what another host holds: the router's gateway, a floating IP")
	PuntRemote   = PuntTable.Rule(230, 90, "a packet of a router that came from elsewhere, to the controller")
	SelfPing     = RouteSelf.Rule(205, 120, "an echo request to one of the router's addresses is answered")
	SelfOther    = RouteSelf.Rule(206, 110, "all else to the router goes to the handler")
	TTLExpired   = RouteSelf.Rule(207, 100, "a packet that may not be forwarded any more goes to the handler")
	RouteNet     = Route.Span(210, 101, 198, "a subnet of the router; priority 102 and twice the length of its prefix")
	RouteVia     = Route.Span(211, 100, 198, "a route by a next hop; priority 101 and twice the length of its prefix")
	RouteMissing = Route.Rule(213, 10, "a destination without a route goes to the handler")
	Measure      = PathMTU.Rule(231, 100, "measures what comes from a network that carries larger packets than the next one")
	Oversized    = Neighbour.Rule(232, 110, "a packet that is larger than the next network carries goes to the handler, which says so to its sender")
	NextHopMAC   = Neighbour.Rule(215, 100, "the MAC of a port that has the next hop's address")
	NeighbourIs  = Neighbours.Rule(216, 100, "the MAC address of a next hop, which answered for it")
	Forward      = RouteOut.Rule(217, 100, "on into an inner network")
	NoNeighbour  = RouteOut.Rule(219, 50, "a packet whose next hop's MAC is not known goes to the handler")
	ToRouter     = L2Lookup.Rule(220, 110, "a frame from one router to another, or back into the same, is routed again")
)

// Routing comes before l2_lookup; this is the one way back.
func init() { L2Lookup.Back = []*Table{RouteIn} }
