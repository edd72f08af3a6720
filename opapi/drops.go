package opapi

// PathPortDrops with a port's id for %s gives PortDrops.
const PathPortDrops = "/penstock/v1/ports/%s/drops"

// PortDrops is what switches dropped of a port for its protection, and what the rules of its groups let pass, from the
// flows' own counters. They begin at 0 with the flow; Open vSwitch brings them up to date about twice a second.
type PortDrops struct {
	PortID   string `json:"port_id"`
	PortName string `json:"port_name"`
	// Secured: port security holds the port. Without it nothing is dropped.
	Secured bool   `json:"secured"`
	Drops   []Drop `json:"drops"`
	// Rules are those of the port's groups on the port's hosts: they count for all ports there that have the group.
	Rules []RuleCount `json:"rules"`
}

// Drop is one reason for which packets were dropped.
type Drop struct {
	Host string `json:"host"`
	// Direction is "egress" or "ingress", as seen from the port.
	Direction string `json:"direction"`
	// Reason is one word: "mac", "address", "neighbour", "dhcp-server", "router-advertisement", "invalid" or "no-rule".
	Reason   string `json:"reason"`
	Text     string `json:"text"` // the reason in words
	NPackets uint64 `json:"n_packets"`
	NBytes   uint64 `json:"n_bytes"`
}

// RuleCount is how much a security group rule let pass on a host.
type RuleCount struct {
	Host      string `json:"host"`
	RuleID    string `json:"rule_id"`
	GroupID   string `json:"group_id"`
	GroupName string `json:"group_name"`
	Text      string `json:"text"` // the rule in words
	NPackets  uint64 `json:"n_packets"`
	NBytes    uint64 `json:"n_bytes"`
}
