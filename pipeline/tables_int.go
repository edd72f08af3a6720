package pipeline

// The tables of br-int, in the order a packet meets them. Ids are fixed for ever; the gaps are the places of
// what comes later: 4 trunk, 24–27 nd and dns, 28–43 routing and NAT.
//
// They are declared from the last to the first because Next holds variables.
var (
	Rules = &Table{
		ID: 83, Role: RoleInt, Name: "rules",
		Doc: "The rules of security groups; one that matches allows the connection.",
		Match: []*Field{SecGroup, SecSet, InSet, Opened, Allowed, EthType, CTState, CTProto, CTSrc, CTDst, CTIPv4Src, CTIPv4Dst, CTIPv6Src, CTIPv6Dst,
			IPProto, IPFrag, IPv4Src, IPv4Dst, IPv6Src, IPv6Dst, TCPDst, UDPDst, SCTPDst, ICMPTyp, ICMPCod, ICMP6Typ, ICMP6Cod},
		Write: []*Field{Allowed},
	}
	RemoteSets = &Table{
		ID: 82, Role: RoleInt, Name: "remote_sets",
		Doc:   "The addresses of the members of remote groups and address groups.",
		Match: []*Field{SecSet, EthType, Far, Far1, Far2, Far3}, Write: []*Field{InSet},
	}
	GroupSets = &Table{
		ID: 81, Role: RoleInt, Name: "group_sets",
		Doc:   "Asks the rules of a group, once for each set of addresses that they name.",
		Match: []*Field{SecGroup, Opened, EthType, CTState}, Write: []*Field{SecSet, InSet, Far, Far6},
		Resubmit: []*Table{RemoteSets, Rules}, Miss: Rules,
	}
	PortGroups = &Table{
		ID: 80, Role: RoleInt, Name: "port_groups",
		Doc:   "Asks the security groups of a port, one after the other.",
		Match: []*Field{SecPort}, Write: []*Field{SecGroup}, Resubmit: []*Table{GroupSets},
	}
	PuntTable = &Table{
		ID: 72, Role: RoleInt, Name: "punt",
		Doc:   "Sends a packet to the controller behind the meter of the port it came from.",
		Match: []*Field{InPort, Punt, Router}, Write: []*Field{Net, InPort, Punt, Router, NextHop},
	}
	Uplink = &Table{
		ID: 68, Role: RoleInt, Name: "uplink",
		Doc:   "Sends a packet to another host or the physical network, marked with its network, over the network's carrier.",
		Match: []*Field{Net, Remote, EthSrc, EthType}, Write: []*Field{PktMark, EthSrc, EthType},
	}
	Output = &Table{
		ID: 64, Role: RoleInt, Name: "output",
		Doc:   "Puts the packet out on the port that was found, the only table that knows OpenFlow port numbers of VIFs; what is not here goes to the uplink.",
		Match: []*Field{OutPort}, Next: []*Table{Uplink}, Miss: Uplink,
	}
	IngressVerdict = &Table{
		ID: 62, Role: RoleInt, Name: "ingress_verdict",
		Doc:   "Delivers what the port's security groups allow, and remembers its connection in the port's zone.",
		Match: []*Field{Allowed, EthType, IPProto, CTState, OutPort}, Write: []*Field{Allowed}, Next: []*Table{Output},
	}
	IngressJudge = &Table{
		ID: 61, Role: RoleInt, Name: "ingress_judge",
		Doc:   "Asks the security groups of the port that a packet goes to: ingress rules where the other side opened the connection, egress rules where the port did.",
		Match: []*Field{CTState, OutPort}, Write: []*Field{SecPort, Opened}, Next: []*Table{IngressVerdict}, Resubmit: []*Table{PortGroups},
	}
	IngressACL = &Table{
		ID: 60, Role: RoleInt, Name: "ingress_acl",
		Doc:   "Tracks the connections of what goes to a port with security groups; all else is delivered.",
		Match: []*Field{InPort, OutPort, EthType, IPProto, UDPSrc, UDPDst, ICMP6Typ}, Next: []*Table{IngressJudge, Output}, Miss: Output,
	}
	FloodLeaf = &Table{
		ID: 59, Role: RoleInt, Name: "flood_leaf",
		Doc:   "Copies to one part of a network's members, in a pass of its own: one pass has no room for thousands that are judged.",
		Match: []*Field{FloodPart},
	}
	Flood = &Table{
		ID: 58, Role: RoleInt, Name: "flood",
		Doc:   "Copies broadcast, multicast and unknown destinations to all members of the network.",
		Match: []*Field{Net, Remote}, Write: []*Field{PktMark}, Next: []*Table{FloodLeaf, Uplink},
	}
	Unknown = &Table{
		ID: 56, Role: RoleInt, Name: "unknown",
		Doc:   "Delivers what fdb found; floods what nobody knows.",
		Match: []*Field{OutPort}, Next: []*Table{IngressACL, Flood}, Miss: IngressACL,
	}
	FDB = &Table{
		ID: 52, Role: RoleInt, Name: "fdb",
		Doc:   "MAC addresses learned behind ports that may have several, on other hosts and in the physical network.",
		Match: []*Field{Net, EthDst}, Write: []*Field{OutPort}, Learned: true,
	}
	L2Lookup = &Table{
		ID: 48, Role: RoleInt, Name: "l2_lookup",
		Doc:   "Finds the port that has the destination MAC in this network.",
		Match: []*Field{Net, EthDst}, Write: []*Field{OutPort, InPort, Resolved}, Next: []*Table{IngressACL, Flood},
		Resubmit: []*Table{FDB}, Miss: Unknown, MissCalls: []*Table{FDB},
	}
	Learn = &Table{
		ID: 44, Role: RoleInt, Name: "learn",
		Doc:   "Learns into fdb the source MACs that no port of the store is known to have.",
		Match: []*Field{Net, InPort, Remote, EthSrc}, Next: []*Table{L2Lookup}, Learns: []*Table{FDB}, Miss: L2Lookup,
	}
	ARPResponder = &Table{
		ID: 20, Role: RoleInt, Name: "arp_responder",
		Doc:   "Answers ARP requests for every known address of the network on the asker's own host.",
		Match: []*Field{Net, InPort, EthType, EthDst, ARPOp, ARPTPA, ARPSPA},
		Write: []*Field{EthSrc, EthDst, ARPOp, ARPSHA, ARPTHA, ARPSPA, ARPTPA, Punt, Remote},
		Next:  []*Table{Learn}, Resubmit: []*Table{PuntTable}, Miss: RouteIn,
	}
	EgressVerdict = &Table{
		ID: 18, Role: RoleInt, Name: "egress_verdict",
		Doc:   "Passes on what the port's security groups allow, and remembers its connection in the port's zone.",
		Match: []*Field{Allowed, EthType, IPProto, CTState, InPort}, Write: []*Field{Allowed}, Next: []*Table{ARPResponder},
	}
	EgressJudge = &Table{
		ID: 17, Role: RoleInt, Name: "egress_judge",
		Doc:   "Asks the security groups of the port that a packet comes from: egress rules where the port opened the connection, ingress rules where the other side did.",
		Match: []*Field{CTState, InPort}, Write: []*Field{SecPort, Opened}, Next: []*Table{EgressVerdict}, Resubmit: []*Table{PortGroups},
	}
	EgressACL = &Table{
		ID: 16, Role: RoleInt, Name: "egress_acl",
		Doc:   "Tracks the connections of what a port with security groups sends; all else passes.",
		Match: []*Field{InPort, EthType, IPProto, UDPSrc, UDPDst, ICMP6Typ}, Next: []*Table{EgressJudge, ARPResponder}, Miss: ARPResponder,
	}
	Services = &Table{
		ID: 12, Role: RoleInt, Name: "services",
		Doc:   "Takes out what Penstock answers itself: DHCP, and ping of the DHCP server's address.",
		Match: []*Field{Net, EthType, EthDst, IPProto, UDPSrc, UDPDst, ICMPTyp, IPv4Dst},
		Write: []*Field{Punt}, Next: []*Table{EgressACL, PuntTable}, Miss: EgressACL,
	}
	NDGuard = &Table{
		ID: 10, Role: RoleInt, Name: "nd_guard",
		Doc:   "Passes neighbour discovery of a port about its own addresses.",
		Match: []*Field{InPort, EthSrc, EthType, IPProto, IPv6Src, ICMP6Typ, NDTarget, NDSLL, NDTLL}, Next: []*Table{Services},
	}
	AddrGuard = &Table{
		ID: 9, Role: RoleInt, Name: "addr_guard",
		Doc:   "Passes what a port sends from its own addresses, and what DHCP and duplicate address detection need before it has one.",
		Match: []*Field{Net, InPort, EthSrc, EthType, IPProto, IPv4Src, IPv4Dst, IPv6Src, IPv6Dst, UDPSrc, UDPDst, ICMP6Typ, ARPSPA, ARPSHA},
		Next:  []*Table{NDGuard, Services},
	}
	SpoofGuard = &Table{
		ID: 8, Role: RoleInt, Name: "spoof_guard",
		Doc:   "Drops what a port with port security sends from another MAC than its own, and what only DHCP servers and routers may send.",
		Match: []*Field{InPort, EthSrc, EthType, IPProto, UDPSrc, UDPDst, ICMP6Typ}, Next: []*Table{AddrGuard},
	}
	Classify = &Table{
		ID: 0, Role: RoleInt, Name: "classify",
		Doc:   "Finds out which port and network a packet comes from; what is not known is dropped.",
		Match: []*Field{OFPort, PktMark, VLAN, EthSrc}, Write: []*Field{Net, InPort, Remote, PktMark, VLAN, EthSrc},
		Next: []*Table{SpoofGuard, Services, RouteIn},
	}
)

// The rules of br-int. Numbers are never reused; tens part subjects.
var (
	FromVIF     = Classify.Rule(10, 100, "a packet of a bound port: its keys go into the registers")
	FromCarrier = Classify.Rule(11, 100, "a packet of a network from its carrier: a tunnel, by way of br-tun, or the physical network, by way of a mapped bridge")
	FromRouter  = Classify.Rule(12, 110, "a packet that a router sent from another host's MAC over a physical network: its source is the router's again")

	NoDHCPServer  = SpoofGuard.Rule(580, 200, "what a DHCPv4 server says to its clients is not a port's to say")
	NoDHCP6Server = SpoofGuard.Rule(581, 200, "nor is what a DHCPv6 server says")
	NoRouter      = SpoofGuard.Rule(582, 200, "nor is a router advertisement")
	OwnMAC        = SpoofGuard.Rule(583, 100, "a frame from a MAC of the port or of its allowed_address_pairs")
	OtherMAC      = SpoofGuard.Rule(584, 10, "a frame from any other MAC is dropped, and counted for its port")

	ToNDGuard    = AddrGuard.Rule(590, 200, "neighbour solicitations and advertisements have a table of their own")
	BeforeV4     = AddrGuard.Rule(591, 190, "a DHCPv4 client has no address yet")
	BeforeV6     = AddrGuard.Rule(592, 190, "router solicitations and multicast listener reports may come from the unspecified address")
	ReverseARP   = AddrGuard.Rule(593, 100, "a RARP, with which a machine that moved says where it is")
	OwnARPSender = AddrGuard.Rule(594, 100, "an ARP whose sender is an address of the port")
	ProbeARP     = AddrGuard.Rule(595, 100, "an ARP probe, which has no sender address (RFC 5227)")
	OwnAddress   = AddrGuard.Rule(596, 100, "a packet from an address of the port or of its allowed_address_pairs")
	RenewV4      = AddrGuard.Rule(598, 190, "where Penstock answers DHCPv4, a client may ask with any address that it takes for its own: it may be told no, and the packet goes nowhere else")
	OtherAddress = AddrGuard.Rule(597, 10, "a packet from any other address is dropped, and counted for its port")

	OwnSolicit = NDGuard.Rule(600, 100, "a neighbour solicitation from an address of the port, with its MAC or none")
	OwnProbe   = NDGuard.Rule(601, 100, "a duplicate address detection for an address of the port")
	OwnAdvert  = NDGuard.Rule(602, 100, "a neighbour advertisement of an address of the port, with its MAC or none")
	OtherND    = NDGuard.Rule(603, 10, "any other is dropped, and counted for its port")

	AlwaysOut    = EgressACL.Rule(610, 200, "what DHCP, neighbour discovery and multicast need passes whatever the rules say, as in Neutron")
	TrackOut     = EgressACL.Rule(611, 100, "the state of a packet's connection in the port's zone")
	StatelessOut = EgressACL.Rule(612, 100, "a packet of a port that has stateless groups alone is judged by itself")

	InvalidOut = EgressJudge.Rule(620, 200, "a packet that belongs to no connection and opens none is dropped, and counted for its port")
	AskOut     = EgressJudge.Rule(621, 100, "a connection that the port opened is up to egress rules, one opened towards it to ingress rules")
	CommitOut  = EgressVerdict.Rule(622, 120, "a new connection that is allowed is remembered")
	PassOut    = EgressVerdict.Rule(623, 110, "what is allowed passes")
	ReopenOut  = EgressVerdict.Rule(625, 108, "what answers a connection that no rule allows, of a protocol without connections, is judged again as the first packet of one")
	DropOut    = EgressVerdict.Rule(624, 100, "what no rule allows is dropped, and counted for its port")

	DHCPRequest = Services.Rule(20, 100, "a DHCPv4 request in a network with DHCP goes to the handler")
	ServerPing  = Services.Rule(21, 90, "an echo request to the DHCP server's address goes to the handler")

	ARPAnnounce = ARPResponder.Rule(33, 120, "a port that announces an address of its own is heard everywhere, so that others forget an older owner")
	ARPOwn      = ARPResponder.Rule(30, 110, "a port that asks for an address of its own is looking for a duplicate and is not answered; in an overlay the question stays on the host")
	ARPKnown    = ARPResponder.Rule(31, 100, "an ARP request for a known address is answered")
	ARPUnknown  = ARPResponder.Rule(32, 50, "an ARP request for any other address is flooded, and shown to the handler in case flows are behind")

	LearnNothing = Learn.Rule(41, 130, "a multicast source is nobody's address")
	LearnKnown   = Learn.Rule(44, 120, "the MAC of a bound port is known already, wherever it is")
	LearnSource  = Learn.Rule(40, 110, "a frame of a port that may have several MACs teaches its source")
	LearnRemote  = Learn.Rule(45, 100, "a frame from the network's carrier teaches that its source is over there")
	FDBEntry     = FDB.Rule(42, 100, "a MAC address learned on a port of this host")
	FDBRemote    = FDB.Rule(43, 100, "a MAC address learned behind the network's carrier")

	KnownMAC   = L2Lookup.Rule(50, 100, "a frame to a bound port's own MAC; dropped if the port is down")
	ToAll      = L2Lookup.Rule(51, 200, "a broadcast or multicast frame")
	NoListener = L2Lookup.Rule(55, 100, "a frame to the MAC of an address that Penstock holds itself: what was not answered ends here")
	NotLearned = Unknown.Rule(52, 100, "a frame that fdb does not know either is flooded")
	FloodLocal = Flood.Rule(53, 100, "one copy to every member of the network on this host")
	FloodLeafs = FloodLeaf.Rule(56, 100, "one copy to every member of a part of a network with many members on this host")
	FloodOut   = Flood.Rule(54, 110, "what comes from a port of this host also goes out over the network's carrier")

	OwnCopy     = IngressACL.Rule(630, 300, "a port does not get back what it sends")
	AlwaysIn    = IngressACL.Rule(631, 200, "what DHCP, neighbour discovery, router advertisements and multicast need is delivered whatever the rules say, as in Neutron")
	TrackIn     = IngressACL.Rule(632, 100, "the state of a packet's connection in the port's zone")
	StatelessIn = IngressACL.Rule(633, 100, "a packet to a port that has stateless groups alone is judged by itself")
	InvalidIn   = IngressJudge.Rule(640, 200, "a packet that belongs to no connection and opens none is dropped, and counted for its port")
	AskIn       = IngressJudge.Rule(641, 100, "a connection opened towards the port is up to ingress rules, one that it opened to egress rules")
	CommitIn    = IngressVerdict.Rule(642, 120, "a new connection that is allowed is remembered")
	PassIn      = IngressVerdict.Rule(643, 110, "what is allowed is delivered")
	ReopenIn    = IngressVerdict.Rule(645, 108, "what answers a connection that no rule allows, of a protocol without connections, is judged again as the first packet of one")
	DropIn      = IngressVerdict.Rule(644, 100, "what no rule allows is dropped, and counted for its port")

	AskGroups = PortGroups.Rule(650, 100, "a port's groups")
	AskSets   = GroupSets.Rule(651, 100, "the rules of a group that name sets of addresses: those without first")
	SetMember = RemoteSets.Rule(652, 100, "an address of a set")
	GroupRule = Rules.Rule(653, 100, "a rule, or a part of its range of ports")
	LaterRule = Rules.Rule(654, 90, "a rule with ports lets all but the first fragments pass, which have none: the first is judged, and nothing is whole without it")

	ToVIF      = Output.Rule(60, 100, "out on the port's VIF; also over the carrier while the port is moving and others reach it elsewhere")
	NeverBack  = Uplink.Rule(61, 200, "what came from another host or the physical network never goes back there")
	ToCarrier  = Uplink.Rule(62, 100, "marked with the network, to br-tun or a mapped bridge")
	RouterAway = Uplink.Rule(63, 150, "what a router sends into a physical network leaves from a MAC of this host, lest switches see the router's on many ports")
	PuntPort   = PuntTable.Rule(70, 100, "to the controller, with handler and port in the userdata")
)

// A packet goes back to be judged again once: then it opens its connection, and does not answer one.
func init() {
	EgressVerdict.Back, IngressVerdict.Back = []*Table{EgressJudge}, []*Table{IngressJudge}
}
