package pipeline

// ExClassify is the one table of br-ex and the other mapped bridges. They belong to the operator: between the operator's
// ports and LOCAL the bridge goes on switching as before (NORMAL). What a network's ports may want is copied to
// br-int, so that a host's own address in the same untagged network keeps working. NORMAL also floods to the patch
// port; such copies have no mark, and br-int drops what has none.
var ExClassify = &Table{
	ID: 0, Role: RoleEx, Name: "ex_classify",
	Doc:   "Parts packets of br-int from those of the physical network; what is the operator's passes as NORMAL.",
	Match: []*Field{OFPort, PktMark, VLAN, EthDst}, Write: []*Field{PktMark, VLAN},
}

// The rules of mapped bridges.
var (
	ExFromNet  = ExClassify.Rule(92, 100, "a packet of a network: tagged with its VLAN, and switched to the physical network or the host")
	ExReserved = ExClassify.Rule(93, 95, "link-local protocols (LLDP, STP) are about the physical link, not about networks")
	ExFromInt  = ExClassify.Rule(91, 90, "nothing else passes from br-int")
	ExToPort   = ExClassify.Rule(94, 60, "a frame to a port of this host: a copy to br-int, marked with the network")
	ExToAll    = ExClassify.Rule(95, 50, "a broadcast or multicast frame of a network: a copy to br-int")
	ExToAny    = ExClassify.Rule(96, 40, "any other frame of a network with a port on this host that may have any MAC: a copy to br-int")
	ExNormal   = ExClassify.Rule(90, 0, "what passes between the operator's ports and the host keeps passing, without a mark")
)
