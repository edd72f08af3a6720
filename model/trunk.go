package model

// Trunk lets one port carry others, each behind a VLAN tag of its own.
type Trunk struct {
	Meta
	AdminStateUp bool      `json:"admin_state_up"`
	PortID       PortID    `json:"port_id"` // the parent port, untagged
	SubPorts     []SubPort `json:"sub_ports,omitempty"`
}

// SubPort is a port behind a tag of a trunk.
type SubPort struct {
	PortID PortID `json:"port_id"`
	Type   string `json:"type"` // "vlan"
	ID     uint32 `json:"id"`   // the tag, 1…4094
}

// QosPolicy is a set of rules for the traffic of ports and networks.
type QosPolicy struct {
	Meta
	Shared  bool `json:"shared,omitempty"`
	Default bool `json:"default,omitempty"`
}

// QosRule is one rule of a policy. Fields that its kind does not have are zero.
type QosRule struct {
	Meta
	PolicyID  string `json:"policy_id"`
	Type      string `json:"type"`                // bandwidth_limit, dscp_marking or minimum_bandwidth
	Direction string `json:"direction,omitempty"` // egress or ingress, as seen from the port
	MaxKbps   int    `json:"max_kbps,omitempty"`
	MaxBurst  int    `json:"max_burst_kbps,omitempty"`
	MinKbps   int    `json:"min_kbps,omitempty"`
	DSCP      int    `json:"dscp_mark,omitempty"`
}

// The tables of trunks and QoS.
var (
	Trunks      = &Table{Name: "trunk", Kind: 13, New: func() Object { return new(Trunk) }}
	QosPolicies = &Table{Name: "qospolicy", Kind: 14, New: func() Object { return new(QosPolicy) }}
	QosRules    = &Table{Name: "qosrule", Kind: 15, New: func() Object { return new(QosRule) }}
)

// The indexes of trunks and QoS.
var (
	TrunksByProject = byProject(Trunks)
	// TrunksByPort finds the trunk that a port is the parent of.
	TrunksByPort = index(Trunks, "port", func(o Object) []string { return one(string(o.(*Trunk).PortID)) })
	// TrunksBySubPort finds the trunk that a port is a subport of.
	TrunksBySubPort = index(Trunks, "subport", func(o Object) []string {
		var keys []string
		for _, s := range o.(*Trunk).SubPorts {
			keys = append(keys, string(s.PortID))
		}
		return keys
	})
	QosPoliciesByProject = byProject(QosPolicies)
	// QosRulesByPolicy finds a policy's rules.
	QosRulesByPolicy = index(QosRules, "policy", func(o Object) []string { return one(o.(*QosRule).PolicyID) })
)

// TrunkOf finds the trunk that a port is the parent of.
func (v View) TrunkOf(id PortID) (*Trunk, bool) { return first[*Trunk](v, TrunksByPort, string(id)) }

// TrunkOver finds the trunk that a port is a subport of.
func (v View) TrunkOver(id PortID) (*Trunk, bool) {
	return first[*Trunk](v, TrunksBySubPort, string(id))
}

// QosRulesOf lists a policy's rules, sorted by id.
func (v View) QosRulesOf(policy string) []*QosRule {
	return list[*QosRule](v, QosRulesByPolicy, policy)
}
