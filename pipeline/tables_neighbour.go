package pipeline

// ARPWatch is where ARP packets are looked at that may tell of next hops. The controller writes its flows.
var ARPWatch = &Table{
	ID: 43, Role: RoleInt, Name: "arp_watch",
	Doc:   "Shows the controller the answers to what it asked for next hops, and who else claims to be one that is known.",
	Match: []*Field{Net, EthType, ARPOp, ARPSPA, ARPSHA}, Learned: true,
}

// The rules of next hops that no port of the store has.
var (
	AnswerAsked = ARPWatch.Rule(245, 120, "an ARP reply from an address that was asked for goes to the controller")
	ClaimSame   = ARPWatch.Rule(246, 110, "ARP from a known next hop says nothing new")
	ClaimOther  = ARPWatch.Rule(247, 100, "ARP from a known next hop by another MAC address goes to the controller, which asks who is right")
	ARPAnswer   = RouteIn.Rule(248, 110, "an ARP reply to a question of this host is looked at, and ends")
	RouteEntry  = RouteIn.Rule(251, 100, "a packet of a machine in the physical network to the router's MAC is routed on one host")
	RouterSays  = Uplink.Rule(252, 160, "ARP of a router's interface leaves from its own MAC address, on one host")
	ARPTold     = ARPResponder.Rule(250, 50, "an ARP reply to all, which nobody asked for, is flooded and shown to the handler: the address may have moved")
	ARPHeard    = RouteIn.Rule(249, 60, "any other ARP may tell of a next hop that moved")
)
