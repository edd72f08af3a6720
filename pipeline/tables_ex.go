package pipeline

// ExClassify is the one table of br-ex and the other mapped bridges. They belong to the operator, and go on switching as
// before: NORMAL, with the operator's ports, VLANs and addresses. A patch port is to such a bridge one trunk port more, so
// that it learns where the VMs are, gives br-int what is for them, broadcasts and what nobody knows, and the host's own
// address in the same network keeps working. br-int drops the VLANs that no network has.
var ExClassify = &Table{
	ID: 0, Role: RoleEx, Name: "ex_classify",
	Doc:   "Gives packets of br-int the VLAN of their network and lets the operator's bridge switch them with all others.",
	Match: []*Field{OFPort, PktMark, VLAN}, Write: []*Field{PktMark, VLAN},
}

// The rules of mapped bridges.
var (
	ExFromNet = ExClassify.Rule(92, 100, "a packet of a network: tagged with its VLAN and switched")
	ExFromInt = ExClassify.Rule(91, 10, "nothing else passes from br-int")
	ExNormal  = ExClassify.Rule(90, 0, "what comes from the physical network, the operator's ports or the host is switched")
)
