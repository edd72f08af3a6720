package pipeline

// The tables of br-int, in the order a packet meets them. Ids are fixed for ever; the gaps are the places of
// what comes later: 4 trunk, 24–27 nd and dns, 28–43 routing and NAT.
//
// They are declared from the last to the first because Next holds variables.
var (
	PuntTable = &Table{
		ID: 72, Role: RoleInt, Name: "punt",
		Doc:   "Sends a packet to the controller behind the meter of the port it came from.",
		Match: []*Field{InPort, Punt}, Write: []*Field{Net, InPort, Punt},
	}
	Uplink = &Table{
		ID: 68, Role: RoleInt, Name: "uplink",
		Doc:   "Sends a packet to another host or the physical network, marked with its network, over the network's carrier.",
		Match: []*Field{Net, Remote}, Write: []*Field{PktMark},
	}
	Output = &Table{
		ID: 64, Role: RoleInt, Name: "output",
		Doc:   "Puts the packet out on the port that was found, the only table that knows OpenFlow port numbers of VIFs; what is not here goes to the uplink.",
		Match: []*Field{OutPort}, Next: []*Table{Uplink}, Miss: Uplink,
	}
	IngressACL = &Table{
		ID: 60, Role: RoleInt, Name: "ingress_acl",
		Doc:  "Judges what a port may receive (security groups); lets everything pass until they exist.",
		Next: []*Table{Output}, Miss: Output,
	}
	Flood = &Table{
		ID: 58, Role: RoleInt, Name: "flood",
		Doc:   "Copies broadcast, multicast and unknown destinations to all members of the network.",
		Match: []*Field{Net, Remote}, Write: []*Field{PktMark},
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
		Match: []*Field{Net, EthDst}, Write: []*Field{OutPort}, Next: []*Table{IngressACL, Flood},
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
		Next:  []*Table{Learn}, Resubmit: []*Table{PuntTable}, Miss: Learn,
	}
	EgressACL = &Table{
		ID: 16, Role: RoleInt, Name: "egress_acl",
		Doc:  "Judges what a port may send (security groups); lets everything pass until they exist.",
		Next: []*Table{ARPResponder}, Miss: ARPResponder,
	}
	Services = &Table{
		ID: 12, Role: RoleInt, Name: "services",
		Doc:   "Takes out what Penstock answers itself: DHCP, and ping of the DHCP server's address.",
		Match: []*Field{Net, EthType, EthDst, IPProto, UDPSrc, UDPDst, ICMPTyp, IPv4Dst},
		Write: []*Field{Punt}, Next: []*Table{EgressACL, PuntTable}, Miss: EgressACL,
	}
	SpoofGuard = &Table{
		ID: 8, Role: RoleInt, Name: "spoof_guard",
		Doc:  "Drops a source MAC, IP or ARP sender that the port may not use; lets everything pass until it exists.",
		Next: []*Table{Services}, Miss: Services,
	}
	Classify = &Table{
		ID: 0, Role: RoleInt, Name: "classify",
		Doc:   "Finds out which port and network a packet comes from; what is not known is dropped.",
		Match: []*Field{OFPort, PktMark, VLAN}, Write: []*Field{Net, InPort, Remote, PktMark, VLAN},
		Next: []*Table{SpoofGuard, Learn},
	}
)

// The rules of br-int. Numbers are never reused; tens part subjects.
var (
	FromVIF     = Classify.Rule(10, 100, "a packet of a bound port: its keys go into the registers")
	FromCarrier = Classify.Rule(11, 100, "a packet of a network from its carrier: a tunnel, by way of br-tun, or the physical network, by way of a mapped bridge")

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
	FloodOut   = Flood.Rule(54, 110, "what comes from a port of this host also goes out over the network's carrier")

	ToVIF     = Output.Rule(60, 100, "out on the port's VIF; also over the carrier while the port is moving and others reach it elsewhere")
	NeverBack = Uplink.Rule(61, 200, "what came from another host or the physical network never goes back there")
	ToCarrier = Uplink.Rule(62, 100, "marked with the network, to br-tun or a mapped bridge")
	PuntPort  = PuntTable.Rule(70, 100, "to the controller, with handler and port in the userdata")
)
