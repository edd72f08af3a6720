package pipeline

// The tables of br-int, in the order a packet meets them. Ids are fixed for ever; the gaps are the places of
// what comes later: 4 trunk, 8 spoof_guard, 16 egress_acl, 24–27 nd and dns, 28–43 routing and NAT, 60 ingress_acl.
//
// They are declared from the last to the first because Next holds variables.
var (
	PuntTable = &Table{
		ID: 72, Role: RoleInt, Name: "punt",
		Doc:   "Sends a packet to the controller behind the meter of the port it came from.",
		Match: []*Field{InPort, Punt}, Write: []*Field{Net, InPort, Punt},
	}
	Output = &Table{
		ID: 64, Role: RoleInt, Name: "output",
		Doc:   "Puts the packet out on the port that was found, the only table that knows OpenFlow port numbers of VIFs.",
		Match: []*Field{OutPort}, Write: []*Field{PktMark},
	}
	IngressACL = &Table{
		ID: 60, Role: RoleInt, Name: "ingress_acl",
		Doc:  "Judges what a port may receive (security groups); lets everything pass until they exist.",
		Next: []*Table{Output}, Miss: Output,
	}
	Flood = &Table{
		ID: 58, Role: RoleInt, Name: "flood",
		Doc:   "Copies broadcast, multicast and unknown destinations to all members of the network.",
		Match: []*Field{Net, Overlay}, Write: []*Field{PktMark},
	}
	Unknown = &Table{
		ID: 56, Role: RoleInt, Name: "unknown",
		Doc:   "Delivers what fdb found; floods what nobody knows.",
		Match: []*Field{OutPort}, Next: []*Table{IngressACL, Flood}, Miss: IngressACL,
	}
	FDB = &Table{
		ID: 52, Role: RoleInt, Name: "fdb",
		Doc:   "MAC addresses learned behind ports without port security.",
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
		Doc:   "Learns source MACs of ports without port security into fdb.",
		Match: []*Field{InPort, EthSrc}, Write: []*Field{OutPort}, Next: []*Table{L2Lookup}, Miss: L2Lookup,
	}
	ARPResponder = &Table{
		ID: 20, Role: RoleInt, Name: "arp_responder",
		Doc:   "Answers ARP requests for every known address of the network on the asker's own host.",
		Match: []*Field{Net, InPort, EthType, EthDst, ARPOp, ARPTPA, ARPSPA},
		Write: []*Field{EthSrc, EthDst, ARPOp, ARPSHA, ARPTHA, ARPSPA, ARPTPA, Punt},
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
		Match: []*Field{OFPort, PktMark}, Write: []*Field{Net, InPort, Overlay, PktMark},
		Next: []*Table{SpoofGuard, L2Lookup},
	}

	// TunClassify is br-tun's first table. Many-host overlays fill it; until then br-tun drops.
	TunClassify = &Table{
		ID: 0, Role: RoleTun, Name: "tun_classify",
		Doc:   "Parts packets of br-int from those of tunnels.",
		Match: []*Field{OFPort, PktMark},
	}
	// ExClassify is the first table of br-ex and the other mapped bridges.
	ExClassify = &Table{
		ID: 0, Role: RoleEx, Name: "ex_classify",
		Doc:   "Parts packets of br-int from those of the physical network; what is the operator's passes as NORMAL.",
		Match: []*Field{OFPort, VLAN},
	}
)

var allTables = []*Table{
	Classify, SpoofGuard, Services, EgressACL, ARPResponder, Learn, L2Lookup, FDB, Unknown, Flood, IngressACL,
	Output, PuntTable, TunClassify, ExClassify,
}

// The rules. Numbers are never reused; hundreds part subjects.
var (
	// MissRule flows have the rule number 1 in every table.
	MissRuleNum uint16 = 1

	FromVIF = Classify.Rule(10, 100, "a packet of a bound port: its keys go into the registers")

	DHCPRequest  = Services.Rule(20, 100, "a DHCPv4 request in a network with DHCP goes to the handler")
	ServerPing   = Services.Rule(21, 90, "an echo request to the DHCP server's address goes to the handler")
	ServerOther  = Services.Rule(22, 80, "anything else to the DHCP server's MAC ends here: nothing listens")
	ARPOwn       = ARPResponder.Rule(30, 110, "a port that asks for an address of its own is looking for a duplicate and is not answered")
	ARPKnown     = ARPResponder.Rule(31, 100, "an ARP request for a known address is answered")
	ARPUnknown   = ARPResponder.Rule(32, 50, "an ARP request for any other address is flooded, and shown to the handler in case flows are behind")
	LearnSource  = Learn.Rule(40, 100, "a frame of a port without port security teaches its source MAC")
	LearnNothing = Learn.Rule(41, 110, "a multicast source is nobody's address")
	FDBEntry     = FDB.Rule(42, 100, "a learned MAC address")
	KnownMAC     = L2Lookup.Rule(50, 100, "a frame to a port's own MAC")
	ToAll        = L2Lookup.Rule(51, 200, "a broadcast or multicast frame")
	NotLearned   = Unknown.Rule(52, 100, "a frame that fdb does not know either is flooded")
	FloodLocal   = Flood.Rule(53, 100, "one copy to every member of the network on this host")
	ToVIF        = Output.Rule(60, 100, "out on the port's VIF")
	PuntPort     = PuntTable.Rule(70, 100, "to the controller, with handler and port in the userdata")
	ExNormal     = ExClassify.Rule(90, 0, "what passes between the operator's ports and the host keeps passing")
	ExFromInt    = ExClassify.Rule(91, 10, "nothing passes from br-int by this flow: what may is in flows above it")
)

func init() { rulesByNum[MissRuleNum] = &Rule{Num: MissRuleNum, Doc: "what no flow above matches"} }

// MissActions are the actions of a table's priority-0 flow; nil where a miss drops.
func (t *Table) missFlow(o *Out) {
	if t.Miss == nil {
		return
	}
	r := &Rule{Table: t, Num: MissRuleNum, Doc: "what no flow above matches"}
	acts := o.acts[:0]
	for _, c := range t.MissCalls {
		acts = append(acts, Call(c))
	}
	o.Add(r, nil, append(acts, Goto(t.Miss))...)
}

// MissFlows adds the priority-0 flows of all tables of a role that do not drop what they miss.
func MissFlows(r Role, o *Out) {
	for _, t := range Tables() {
		if t.Role == r {
			t.missFlow(o)
		}
	}
}
