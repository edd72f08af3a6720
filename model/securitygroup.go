package model

import "net/netip"

// SecurityGroup is a set of rules that ports have.
type SecurityGroup struct {
	Meta
	Stateful bool `json:"stateful"`
	// Default is set for the one group that ports of the project get when they ask for none.
	Default bool `json:"default,omitempty"`
}

// AnyProtocol is SecurityGroupRule.ProtocolNumber of a rule for every protocol, NoPort its PortMin or PortMax when
// that is not given.
const (
	AnyProtocol = -1
	NoPort      = -1
)

// SecurityGroupRule allows what it matches; rules only allow.
type SecurityGroupRule struct {
	Meta
	GroupID   string `json:"group_id"`
	Direction string `json:"direction"` // "ingress" or "egress", as seen from the port
	EtherType string `json:"ethertype"` // "IPv4" or "IPv6"
	// Protocol is as the API shows it, a name or a number in decimal, empty for any; ProtocolNumber is the IP
	// protocol it means (ICMPv6 for ICMP names in IPv6 rules) or AnyProtocol.
	Protocol       string `json:"protocol,omitempty"`
	ProtocolNumber int    `json:"protocol_number"`
	// PortMin and PortMax are the destination ports, both included; of ICMP rules type and code. NoPort: not given.
	PortMin int `json:"port_min"`
	PortMax int `json:"port_max"`
	// RemotePrefix is the other side's addresses, host bits cleared; the zero Prefix: not given. RemoteAsSent is how
	// the client wrote it.
	RemotePrefix         netip.Prefix `json:"remote_prefix"`
	RemoteAsSent         string       `json:"remote_as_sent,omitempty"`
	RemoteGroupID        string       `json:"remote_group_id,omitempty"`
	RemoteAddressGroupID string       `json:"remote_address_group_id,omitempty"`
}

// AddressGroup is a named set of prefixes that rules can name as the other side.
type AddressGroup struct {
	Meta
	Addresses []netip.Prefix `json:"addresses,omitempty"` // sorted, host bits cleared
}

// The tables of security groups.
var (
	SecurityGroups     = &Table{Name: "securitygroup", Kind: 7, New: func() Object { return new(SecurityGroup) }}
	SecurityGroupRules = &Table{Name: "securitygrouprule", Kind: 8, New: func() Object { return new(SecurityGroupRule) }}
	AddressGroups      = &Table{Name: "addressgroup", Kind: 9, New: func() Object { return new(AddressGroup) }}
)

// The indexes of security groups.
var (
	SecurityGroupsByProject     = byProject(SecurityGroups)
	SecurityGroupRulesByProject = byProject(SecurityGroupRules)
	// DefaultSecurityGroups finds a project's default group.
	DefaultSecurityGroups = index(SecurityGroups, "default", func(o Object) []string {
		if g := o.(*SecurityGroup); g.Default {
			return one(g.ProjectID)
		}
		return nil
	})
	// RulesByGroup finds the rules of a group.
	RulesByGroup = index(SecurityGroupRules, "group", func(o Object) []string { return one(o.(*SecurityGroupRule).GroupID) })
	// RulesByRemoteGroup finds the rules that name a group as the other side.
	RulesByRemoteGroup = index(SecurityGroupRules, "remote", func(o Object) []string {
		return given(o.(*SecurityGroupRule).RemoteGroupID)
	})
	// RulesByAddressGroup finds the rules that name an address group.
	RulesByAddressGroup = index(SecurityGroupRules, "addressgroup", func(o Object) []string {
		return given(o.(*SecurityGroupRule).RemoteAddressGroupID)
	})
	// PortsBySecurityGroup finds the ports that have a group: its members.
	PortsBySecurityGroup = index(Ports, "securitygroup", func(o Object) []string { return o.(*Port).SecurityGroups })
)

// given is one key unless it is empty.
func given(key string) []string {
	if key == "" {
		return nil
	}
	return one(key)
}

// SecurityGroup finds a security group by id.
func (v View) SecurityGroup(id string) (*SecurityGroup, bool) {
	return get[*SecurityGroup](v, SecurityGroups, id)
}

// DefaultSecurityGroup finds a project's default group.
func (v View) DefaultSecurityGroup(project string) (*SecurityGroup, bool) {
	return first[*SecurityGroup](v, DefaultSecurityGroups, project)
}

// RulesOf lists a security group's rules, sorted by id.
func (v View) RulesOf(group string) []*SecurityGroupRule {
	return list[*SecurityGroupRule](v, RulesByGroup, group)
}

// MembersOf lists the ports that have a security group, sorted by id.
func (v View) MembersOf(group string) []*Port { return list[*Port](v, PortsBySecurityGroup, group) }

// AddressGroup finds an address group by id.
func (v View) AddressGroup(id string) (*AddressGroup, bool) {
	return get[*AddressGroup](v, AddressGroups, id)
}
