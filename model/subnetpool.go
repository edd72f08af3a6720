package model

import "net/netip"

// AddressScope is a set of subnet pools whose addresses do not overlap; inside one no NAT is needed.
type AddressScope struct {
	Meta
	IPVersion int  `json:"ip_version"` // 4 or 6
	Shared    bool `json:"shared,omitempty"`
}

// SubnetPool is where subnets get their CIDRs from.
type SubnetPool struct {
	Meta
	Prefixes       []netip.Prefix `json:"prefixes"` // sorted, merged
	DefaultLen     int            `json:"default_prefixlen"`
	MinLen         int            `json:"min_prefixlen"`
	MaxLen         int            `json:"max_prefixlen"`
	DefaultQuota   int            `json:"default_quota,omitempty"` // in /32 or /64 per project; 0: none
	Default        bool           `json:"default,omitempty"`
	Shared         bool           `json:"shared,omitempty"`
	AddressScopeID string         `json:"address_scope_id,omitempty"`
}

// RBACPolicy gives another project access to an object.
type RBACPolicy struct {
	Meta
	ObjectType string `json:"object_type"` // as the API names it: network, security_group, …
	Object     string `json:"object_id"`   // the id of the object
	Action     string `json:"action"`      // access_as_shared or access_as_external
	Target     string `json:"target"`      // a project, or * for all
}

// Quota is a project's own limits by resource name; -1 is no limit. Its ID is the project.
type Quota struct {
	Meta
	Limits map[string]int `json:"limits"`
}

// The tables of address management and access.
var (
	SubnetPools   = &Table{Name: "subnetpool", Kind: 10, New: func() Object { return new(SubnetPool) }}
	AddressScopes = &Table{Name: "addressscope", Kind: 11, New: func() Object { return new(AddressScope) }}
	RBACPolicies  = &Table{Name: "rbacpolicy", Kind: 12, New: func() Object { return new(RBACPolicy) }}
	Quotas        = &Table{Name: "quota", Kind: 16, New: func() Object { return new(Quota) }}
)

// The indexes of address management and access.
var (
	SubnetPoolsByProject = byProject(SubnetPools)
	// SubnetPoolsByScope finds the pools of an address scope.
	SubnetPoolsByScope = index(SubnetPools, "scope", func(o Object) []string { return given(o.(*SubnetPool).AddressScopeID) })
	// SubnetsByPool finds the subnets that a pool gave their CIDR.
	SubnetsByPool = index(Subnets, "pool", func(o Object) []string { return given(o.(*Subnet).SubnetPoolID) })
	// RBACByObject is object_type/object_id.
	RBACByObject        = index(RBACPolicies, "object", func(o Object) []string { p := o.(*RBACPolicy); return one(p.ObjectType, p.Object) })
	RBACByProject       = byProject(RBACPolicies)
	AddressScopeProject = byProject(AddressScopes)
)

// SubnetPool finds a subnet pool by id.
func (v View) SubnetPool(id string) (*SubnetPool, bool) { return get[*SubnetPool](v, SubnetPools, id) }

// AddressScope finds an address scope by id.
func (v View) AddressScope(id string) (*AddressScope, bool) {
	return get[*AddressScope](v, AddressScopes, id)
}

// RBACOf lists the RBAC policies of an object, sorted by id.
func (v View) RBACOf(objectType, id string) []*RBACPolicy {
	return list[*RBACPolicy](v, RBACByObject, JoinKey(objectType, id))
}
