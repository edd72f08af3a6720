package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/penstock/penstock/model"
)

var subnetpoolResource = new(Resource)

func init() {
	*subnetpoolResource = Resource{
		Name: "subnetpool", Collection: "subnetpools", Table: model.SubnetPools, Quota: "subnetpool",
		New: func() model.Object { return &model.SubnetPool{} },
		Missing: func(id string) *Error {
			return notFound("SubnetPoolNotFound", "Subnet pool %s could not be found.", id)
		},
		Visible:  func(c *call, o model.Object, _ Values) bool { return poolShared(c, o.(*model.SubnetPool)) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.SubnetPoolsByProject, "project_id": model.SubnetPoolsByProject},
		Create: func(c *call, o model.Object, in Values) error {
			if o.(*model.SubnetPool).Shared {
				c.shareByRBAC("subnetpool", o)
			}
			return c.settlePool(nil, o.(*model.SubnetPool), in)
		},
		Update: func(c *call, old, o model.Object, in Values) error {
			return c.settlePool(old.(*model.SubnetPool), o.(*model.SubnetPool), in)
		},
		Delete: func(c *call, o model.Object) error {
			id := metaOf(o).ID
			c.tx.Guard(poolGuard(id))
			if len(c.src().List(model.SubnetsByPool, id)) > 0 {
				return fail(400, "SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations.")
			}
			c.forgetRBAC("subnetpool", id)
			return nil
		},
		Actions: map[string]Action{"add_prefixes": {Method: http.MethodPut, Run: addPrefixes}, "remove_prefixes": {Method: http.MethodPut, Run: removePrefixes}},
		Attrs: attrs(
			idAttr(), nameAttr(required, notBlank(0)), tenantAttr(), projectAttr(),
			Attr{Name: "prefixes", Ops: C | U | V, Default: required, Check: listOf(isSubnet), Get: get(func(p *model.SubnetPool) any {
				return prefixTexts(p.Prefixes)
			})},
			Attr{Name: "default_quota", Ops: C | U | V | F | S, Default: unset, Conv: convInt, Check: nonNegative,
				Get: get(func(p *model.SubnetPool) any {
					if p.DefaultQuota == 0 {
						return nil
					}
					return p.DefaultQuota
				}),
				Set: put(func(p *model.SubnetPool, v any) { p.DefaultQuota = int(v.(int64)) })},
			Attr{Name: "ip_version", Ops: V | F | S, Get: get(func(p *model.SubnetPool) any { return versionOf(p.Prefixes[0].Addr()) })},
			poolLen("default_prefixlen", func(p *model.SubnetPool) *int { return &p.DefaultLen }),
			poolLen("min_prefixlen", func(p *model.SubnetPool) *int { return &p.MinLen }),
			poolLen("max_prefixlen", func(p *model.SubnetPool) *int { return &p.MaxLen }),
			Attr{Name: "is_default", Ops: C | U | V | F | S | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Get: get(func(p *model.SubnetPool) any { return p.Default }),
				Set: put(func(p *model.SubnetPool, v any) { p.Default = v.(bool) })},
			Attr{Name: "shared", Ops: C | V | F | S | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Get: getc(func(c *call, p *model.SubnetPool) any { return poolShared(c, p) }),
				Set: put(func(p *model.SubnetPool, v any) { p.Shared = v.(bool) })},
			Attr{Name: "address_scope_id", Ops: C | U | V | F | S, Default: unset, Check: noneOr(isUUID),
				Get: get(func(p *model.SubnetPool) any { return orNull(p.AddressScopeID) }),
				Set: put(func(p *model.SubnetPool, v any) { p.AddressScopeID, _ = v.(string) })},
			standardAttrs(), tagAttrs(), descriptionAttr(),
		),
	}
}

func poolLen(name string, f func(p *model.SubnetPool) *int) Attr {
	return Attr{Name: name, Ops: C | U | V | F | S, Default: unset, Conv: convInt, Check: nonNegative,
		Get: get(func(p *model.SubnetPool) any { return strconv.Itoa(*f(p)) }), // the reference shows these as strings
		Match: func(_ *call, o model.Object, values []any) bool {
			return slices.Contains(values, any(int64(*f(o.(*model.SubnetPool)))))
		},
		Set: put(func(p *model.SubnetPool, v any) { *f(p) = int(min(v.(int64), 1<<20)) })}
}

func poolShared(c *call, p *model.SubnetPool) bool {
	return p.Shared || c.sharedByRBAC("subnetpool", p.ID)
}

func poolGuard(id string) string { return "subnetpool/" + id }

// settlePool checks and completes a pool; was is nil for a new one.
func (c *call) settlePool(was, p *model.SubnetPool, in Values) error {
	if was != nil && was.AddressScopeID != "" && !c.who.Admin() {
		if s, ok := c.view().AddressScope(was.AddressScopeID); ok && s.ProjectID != c.who.ProjectID {
			return fail(400, "IllegalSubnetPoolUpdate", "Illegal subnetpool update : subnetpool %s cannot be updated when associated with shared address scope %s.", p.ID, s.ID)
		}
	}
	if in.has("prefixes") {
		prefixes, err := readPrefixes(in["prefixes"].([]any))
		if err != nil {
			return err
		}
		if was != nil && !covers(prefixes, was.Prefixes) {
			return fail(400, "IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.")
		}
		p.Prefixes = prefixes
	}
	version := versionOf(p.Prefixes[0].Addr())
	bits := p.Prefixes[0].Addr().BitLen()
	if was == nil {
		if !in.has("min_prefixlen") {
			p.MinLen = map[int64]int{4: 8, 6: 64}[version]
		}
		if !in.has("max_prefixlen") {
			p.MaxLen = bits
		}
		if !in.has("default_prefixlen") {
			p.DefaultLen = p.MinLen
		}
	}
	bounds := func(a string, x int, b string, y int) error {
		return fail(400, "IllegalSubnetPoolPrefixBounds", "Illegal prefix bounds: %s=%d, %s=%d.", a, x, b, y)
	}
	switch {
	case p.MinLen > p.MaxLen:
		return bounds("min_prefixlen", p.MinLen, "max_prefixlen", p.MaxLen)
	case p.MaxLen > bits:
		return bounds("max_prefixlen", p.MaxLen, "ip_version_max", bits)
	case p.DefaultLen < p.MinLen:
		return bounds("default_prefixlen", p.DefaultLen, "min_prefixlen", p.MinLen)
	case p.DefaultLen > p.MaxLen:
		return bounds("default_prefixlen", p.DefaultLen, "max_prefixlen", p.MaxLen)
	}
	if p.Default && (was == nil || !was.Default) {
		for o := range c.src().Each(model.SubnetPools) {
			if x := o.(*model.SubnetPool); x.Default && x.ID != p.ID && versionOf(x.Prefixes[0].Addr()) == version {
				return invalidInput("A default subnetpool for this IP family has already been set. Only one default may exist per IP family")
			}
		}
	}
	return c.checkScope(p, version)
}

func (c *call) checkScope(p *model.SubnetPool, version int64) error {
	if p.AddressScopeID == "" {
		return nil
	}
	s, ok := c.view().AddressScope(p.AddressScopeID)
	if !ok || !c.sees(addressScopeResource, s) {
		return addressScopeResource.Missing(p.AddressScopeID)
	}
	if int64(s.IPVersion) != version {
		return fail(400, "IllegalSubnetPoolIpVersionAssociationToAddressScope", "Illegal subnetpool association: subnetpool %s cannot associate with address scope %s because subnetpool ip_version is not %d.", p.ID, s.ID, s.IPVersion)
	}
	for _, o := range c.src().List(model.SubnetPoolsByScope, s.ID) {
		x := o.(*model.SubnetPool)
		if x.ID == p.ID {
			continue
		}
		for _, a := range x.Prefixes {
			if slices.ContainsFunc(p.Prefixes, a.Overlaps) {
				return conflict("AddressScopePrefixConflict", "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.")
			}
		}
	}
	c.tx.Exists(model.AddressScopes, s.ID)
	c.tx.Guard("addressscope/" + s.ID) // two pools with the same prefixes must not come at once
	c.tx.Touch("addressscope/" + s.ID)
	return nil
}

// readPrefixes checks, sorts and merges a list of prefixes.
func readPrefixes(l []any) ([]netip.Prefix, error) {
	if len(l) == 0 {
		return nil, fail(400, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list.")
	}
	var out []netip.Prefix
	for _, x := range l {
		p, _ := parseNetwork(text(x))
		if len(out) > 0 && p.Addr().Is4() != out[0].Addr().Is4() {
			return nil, fail(400, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
		}
		out = append(out, p.Masked())
	}
	return merge(out), nil
}

// merge sorts prefixes, drops those inside others and joins halves.
func merge(l []netip.Prefix) []netip.Prefix {
	slices.SortFunc(l, func(a, b netip.Prefix) int { return a.Compare(b) })
	var out []netip.Prefix
	for _, p := range l {
		if n := len(out); n > 0 && out[n-1].Contains(p.Addr()) && out[n-1].Bits() <= p.Bits() {
			continue
		}
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			a, b := out[n-2], out[n-1]
			up := netip.PrefixFrom(a.Addr(), a.Bits()-1)
			if a.Bits() != b.Bits() || a.Bits() == 0 || up.Masked() != netip.PrefixFrom(b.Addr(), b.Bits()-1).Masked() {
				break
			}
			out = append(out[:n-2], up.Masked())
		}
	}
	return out
}

// covers reports whether every prefix of b lies in one of a.
func covers(a, b []netip.Prefix) bool {
	for _, p := range b {
		if !slices.ContainsFunc(a, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }) {
			return false
		}
	}
	return true
}

// without takes a prefix out of a list.
func without(l []netip.Prefix, x netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range l {
		switch {
		case !p.Overlaps(x):
			out = append(out, p)
		case p.Bits() < x.Bits():
			for p.Bits() < x.Bits() {
				lo := netip.PrefixFrom(p.Addr(), p.Bits()+1)
				hi := netip.PrefixFrom(lastAddr(lo).Next(), p.Bits()+1)
				if lo.Contains(x.Addr()) {
					p, out = lo, append(out, hi)
				} else {
					p, out = hi, append(out, lo)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Compare(b) })
	return out
}

func (c *call) defaultPool(version int64) (string, error) {
	for o := range c.src().Each(model.SubnetPools) {
		if p := o.(*model.SubnetPool); p.Default && versionOf(p.Prefixes[0].Addr()) == version && c.sees(subnetpoolResource, p) {
			return p.ID, nil
		}
	}
	return "", badResource("subnets", "No default subnetpool found for IPv%d", version)
}

// takeFromPool gives a subnet a CIDR of a pool: the one it asks for, or the first that fits.
func (c *call) takeFromPool(s *model.Subnet, id string, in Values) error {
	p, ok := c.view().SubnetPool(id)
	if !ok || !c.sees(subnetpoolResource, p) {
		return subnetpoolResource.Missing(id)
	}
	version := versionOf(p.Prefixes[0].Addr())
	if v := in["ip_version"].(int64); v != version {
		return badResource("subnets", "Cannot allocate IPv%d subnet from IPv%d subnet pool", v, version)
	}
	if s.CIDR.IsValid() && in.set("prefixlen") {
		return badResource("subnets", "cidr and prefixlen must not be supplied together")
	}
	if !s.CIDR.IsValid() && in.set("allocation_pools") {
		return badResource("subnets", "allocation_pools allowed only for specific subnet requests.")
	}
	bits := p.DefaultLen
	if n, ok := in["prefixlen"].(int64); ok {
		bits = int(n)
	}
	if s.CIDR.IsValid() {
		bits = s.CIDR.Bits()
	}
	switch {
	case bits > p.MaxLen:
		return fail(400, "MaxPrefixSubnetAllocationError", "Unable to allocate subnet with prefix length %d, maximum allowed prefix is %d.", bits, p.MaxLen)
	case bits < p.MinLen:
		return fail(400, "MinPrefixSubnetAllocationError", "Unable to allocate subnet with prefix length %d, minimum allowed prefix is %d.", bits, p.MinLen)
	}
	c.tx.Guard(poolGuard(p.ID))
	c.tx.Touch(poolGuard(p.ID))
	c.tx.Exists(model.SubnetPools, p.ID)
	if err := c.poolQuota(p, s.ProjectID, bits); err != nil {
		return err
	}
	free := p.Prefixes
	for _, o := range c.src().List(model.SubnetsByPool, p.ID) {
		free = without(free, o.(*model.Subnet).CIDR)
	}
	s.SubnetPoolID = p.ID
	if s.CIDR.IsValid() {
		if !covers(free, []netip.Prefix{s.CIDR}) {
			return conflict("SubnetAllocationError", "Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes.")
		}
		return nil
	}
	slices.SortStableFunc(free, func(a, b netip.Prefix) int { return b.Bits() - a.Bits() })
	gateway, _ := netip.ParseAddr(in.str("gateway_ip"))
	for _, f := range free {
		if f.Bits() > bits {
			continue
		}
		got := netip.PrefixFrom(f.Addr(), bits)
		if gateway.IsValid() && f.Contains(gateway) {
			got = netip.PrefixFrom(gateway, bits).Masked()
		}
		if !s.CIDR.IsValid() || gateway.IsValid() && got.Contains(gateway) {
			s.CIDR = got
		}
	}
	if !s.CIDR.IsValid() {
		return conflict("SubnetAllocationError", "Failed to allocate subnet: Insufficient prefix space to allocate subnet size /%d.", bits)
	}
	if !gateway.IsValid() { // also when null was given: the reference takes that as not given here
		in["gateway_ip"] = s.CIDR.Addr().Next().String()
	}
	return nil
}

// poolQuota counts what a project has of a pool in /32 or /64.
func (c *call) poolQuota(p *model.SubnetPool, project string, bits int) error {
	if p.DefaultQuota == 0 {
		return nil
	}
	unit := 32
	if p.Prefixes[0].Addr().Is6() {
		unit = 64
	}
	size := func(bits int) float64 {
		if bits > unit {
			return 1 / float64(uint64(1)<<min(bits-unit, 63))
		}
		return float64(uint64(1) << min(unit-bits, 63))
	}
	used := size(bits)
	for _, o := range c.src().List(model.SubnetsByPool, p.ID) {
		if s := o.(*model.Subnet); s.ProjectID == project {
			used += size(s.CIDR.Bits())
		}
	}
	if used > float64(p.DefaultQuota) {
		return conflict("SubnetPoolQuotaExceeded", "Per-tenant subnet pool prefix quota exceeded.")
	}
	return nil
}

// poolAffinity: the subnets of a family on a network come from one pool, or from pools of one address scope.
func (c *call) poolAffinity(s *model.Subnet) error {
	var scope string
	pool, _ := c.view().SubnetPool(s.SubnetPoolID)
	if n, ok := c.view().Network(s.NetworkID); ok {
		scope, _ = networkScope(c, n, versionOf(s.CIDR.Addr())).(string)
	}
	if scope != "" && pool != nil && pool.AddressScopeID != scope {
		return fail(400, "NetworkAddressScopeAffinityError", "Subnets of the same address family hosted on the same network must all participate in the same address scope.")
	}
	for _, x := range c.view().SubnetsOf(s.NetworkID) {
		if x.CIDR.Addr().Is4() != s.CIDR.Addr().Is4() {
			continue
		}
		if pool == nil && x.SubnetPoolID != "" || pool != nil && x.SubnetPoolID != pool.ID && scope == "" {
			return fail(400, "NetworkSubnetPoolAffinityError", "Subnets hosted on the same network must be allocated from the same subnet pool.")
		}
	}
	return nil
}
