package pipeline

// The tables of br-tun. What comes from br-int carries its network in pkt_mark, what comes from a tunnel in tun_id and
// the port; both are moved to seg and encap, and the mark is set back to 0, so that the host's own network stack
// never sees it. Nothing leads from a tunnel port to a tunnel port.
var (
	TunSend = &Table{
		ID: 28, Role: RoleTun, Name: "tun_send",
		Doc:   "Sends a packet to the host whose address is in tun_dst, with the network's encapsulation.",
		Match: []*Field{Encap, TunDst},
	}
	TunLeaf = &Table{
		ID: 24, Role: RoleTun, Name: "tun_leaf",
		Doc:   "Replicates to some of a network's hosts, where they are more than one flow should hold.",
		Match: []*Field{Seg, Encap, Leaf}, Write: []*Field{TunDst}, Resubmit: []*Table{TunSend},
	}
	TunFlood = &Table{
		ID: 20, Role: RoleTun, Name: "tun_flood",
		Doc:   "Replicates to all hosts that have the network.",
		Match: []*Field{Seg, Encap}, Write: []*Field{TunDst, Leaf}, Resubmit: []*Table{TunSend, TunLeaf},
	}
	TunUnknown = &Table{
		ID: 16, Role: RoleTun, Name: "tun_unknown",
		Doc:   "Sends what tun_fdb found; replicates what it did not.",
		Match: []*Field{TunDst}, Next: []*Table{TunFlood, TunSend}, Miss: TunSend,
	}
	TunFDB = &Table{
		ID: 12, Role: RoleTun, Name: "tun_fdb",
		Doc:   "MAC addresses learned on other hosts, behind ports that may have several.",
		Match: []*Field{Seg, Encap, EthDst}, Write: []*Field{TunDst}, Learned: true,
	}
	TunUnicast = &Table{
		ID: 8, Role: RoleTun, Name: "tun_unicast",
		Doc:   "Finds the host of the port that has the destination MAC in this network.",
		Match: []*Field{Seg, Encap, EthDst}, Write: []*Field{TunDst}, Next: []*Table{TunSend},
		Resubmit: []*Table{TunFDB}, Miss: TunUnknown, MissCalls: []*Table{TunFDB},
	}
	TunLearn = &Table{
		ID: 4, Role: RoleTun, Name: "tun_learn",
		Doc:   "Learns into tun_fdb where source MACs are that no port of the store is known to have, and passes the packet to br-int.",
		Match: []*Field{Seg, Encap, EthSrc}, Write: []*Field{PktMark}, Learns: []*Table{TunFDB},
	}
	TunClassify = &Table{
		ID: 0, Role: RoleTun, Name: "tun_classify",
		Doc:   "Parts packets of br-int from those of tunnels.",
		Match: []*Field{OFPort, PktMark, TunID}, Write: []*Field{Seg, Encap, TunID, PktMark},
		Next: []*Table{TunLearn, TunUnicast, TunFlood},
	}
)

// The rules of br-tun.
var (
	TunOut       = TunClassify.Rule(100, 100, "a packet of br-int to one host")
	TunOutAll    = TunClassify.Rule(101, 110, "a packet of br-int to all hosts of its network")
	TunIn        = TunClassify.Rule(102, 100, "a packet of a tunnel, if its key is one that a network can have")
	TunLearnNone = TunLearn.Rule(110, 130, "a multicast source is nobody's address")
	TunKnown     = TunLearn.Rule(111, 120, "the MAC of a bound port is known already")
	TunTeach     = TunLearn.Rule(112, 100, "a frame of a network in which MACs are learned teaches its source's host")
	TunPass      = TunLearn.Rule(113, 10, "in other networks nothing is learned")
	TunEntry     = TunFDB.Rule(114, 100, "a MAC address learned from a tunnel")
	TunTo        = TunUnicast.Rule(120, 100, "a frame to a bound port's own MAC goes to the port's host")
	TunMissed    = TunUnknown.Rule(121, 100, "a frame that tun_fdb does not know any more is replicated")
	TunAll       = TunFlood.Rule(122, 100, "one copy to every host that has the network")
	TunSome      = TunLeaf.Rule(123, 100, "one copy to every host of a leaf")
	TunNotSelf   = TunSend.Rule(124, 200, "no copy to this host itself: replication lists are the same everywhere")
	TunVXLAN     = TunSend.Rule(125, 100, "out on the VXLAN port")
	TunGRE       = TunSend.Rule(126, 100, "out on the GRE port")
)
