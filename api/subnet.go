package api

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

var subnetResource = new(Resource)

func init() {
	*subnetResource = Resource{
		Name: "subnet", Collection: "subnets", Table: model.Subnets, Quota: "subnet",
		New:     func() model.Object { return &model.Subnet{} },
		Missing: func(id string) *Error { return notFound("SubnetNotFound", "Subnet %s could not be found.", id) },
		Visible: func(c *call, o model.Object, _ Values) bool {
			n, ok := c.view().Network(o.(*model.Subnet).NetworkID)
			return ok && (networkShared(c, n) || c.who.advsvc())
		},
		OwnedBy: func(c *call, o model.Object, _ Values) bool {
			return ownsNetwork(c, o.(*model.Subnet).NetworkID)
		},
		NarrowBy: map[string]*model.Index{"network_id": model.SubnetsByNetwork, "tenant_id": model.SubnetsByProject, "project_id": model.SubnetsByProject},
		Create:   createSubnet, Update: updateSubnet, Delete: deleteSubnet,
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			Attr{Name: "ip_version", Ops: C | V | F | S, Default: required, Conv: convInt, Check: isOneOf(int64(4), int64(6)),
				Get: get(func(s *model.Subnet) any {
					if s.CIDR.Addr().Is4() {
						return 4
					}
					return 6
				})},
			Attr{Name: "network_id", Ops: C | V | F | S | P, Default: required, Check: isUUID,
				Get: get(func(s *model.Subnet) any { return string(s.NetworkID) }),
				Set: put(func(s *model.Subnet, v any) { s.NetworkID = model.NetworkID(v.(string)) })},
			Attr{Name: "subnetpool_id", Ops: C | V | F | S, Default: unset, Check: noneOr(isPoolID),
				Get: get(func(s *model.Subnet) any { return orNull(s.SubnetPoolID) })},
			Attr{Name: "prefixlen", Ops: C, Default: unset, Conv: convInt, Check: nonNegative},
			Attr{Name: "cidr", Ops: C | V | F | S, Default: unset, Conv: convCIDRAttr, Check: noneOr(isSubnet),
				Get: get(func(s *model.Subnet) any { return s.CIDR.String() })},
			Attr{Name: "gateway_ip", Ops: C | U | V | F | S, Default: unset, Conv: convIP, Check: noneOr(isIP),
				Get: get(func(s *model.Subnet) any { return addrOrNull(s.GatewayIP) })},
			Attr{Name: "allocation_pools", Ops: C | U | V, Default: unset, Check: isPools,
				Get: get(func(s *model.Subnet) any {
					out := []any{}
					for _, p := range s.AllocationPools {
						out = append(out, map[string]any{"start": p.Start.String(), "end": p.End.String()})
					}
					return out
				})},
			Attr{Name: "dns_nameservers", Ops: C | U | V, Default: unset, Conv: convNoneToList, Check: isNameservers,
				Get: get(func(s *model.Subnet) any {
					out := []string{}
					for _, a := range s.DNSNameservers {
						out = append(out, a.String())
					}
					return out
				})},
			Attr{Name: "host_routes", Ops: C | U | V, Default: unset, Conv: convNoneToList, Check: isRoutes,
				Get: get(func(s *model.Subnet) any { return routesOf(s.HostRoutes) })},
			tenantAttr(), projectAttr(),
			Attr{Name: "enable_dhcp", Ops: C | U | V | F | S, Default: true, Conv: convBool,
				Get: get(func(s *model.Subnet) any { return s.EnableDHCP }),
				Set: put(func(s *model.Subnet, v any) { s.EnableDHCP = v.(bool) })},
			modeAttr("ipv6_ra_mode", func(s *model.Subnet) *string { return &s.IPv6RAMode }),
			modeAttr("ipv6_address_mode", func(s *model.Subnet) *string { return &s.IPv6AddressMode }),
			Attr{Name: "shared", Ops: F | P, Conv: convBool, Match: func(c *call, o model.Object, values []any) bool {
				n, ok := c.view().Network(o.(*model.Subnet).NetworkID)
				return ok && matchAny(networkShared(c, n), values)
			}},
			Attr{Name: "service_types", Ops: C | U | V, Default: unset, Check: isServiceTypes,
				Get: get(func(s *model.Subnet) any { return stringList(s.ServiceTypes) }),
				Set: put(func(s *model.Subnet, v any) { s.ServiceTypes = strs(v) })},
			standardAttrs(), tagAttrs(),
			Attr{Name: "use_default_subnetpool", Ops: C, Default: false, Conv: convBool},
			descriptionAttr(),
			Attr{Name: "segment_id", Ops: C | U | V | F | S, Check: noneOr(isUUID), SeenBy: adminOnly,
				Get: func(*call, model.Object) any { return nil }},
		),
	}
}

func modeAttr(name string, f func(s *model.Subnet) *string) Attr {
	return Attr{Name: name, Ops: C | V | F | S, Default: unset, Check: isOneOf("dhcpv6-stateful", "dhcpv6-stateless", "slaac"),
		Get: get(func(s *model.Subnet) any { return orNull(*f(s)) }),
		Set: put(func(s *model.Subnet, v any) { *f(s) = v.(string) })}
}

func ownsNetwork(c *call, id model.NetworkID) bool {
	n, ok := c.view().Network(id)
	return ok && n.ProjectID == c.who.ProjectID && n.ProjectID != ""
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func addrOrNull(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

// strs gives the strings of a checked list.
func strs(v any) []string {
	l, _ := v.([]any)
	out := make([]string, 0, len(l))
	for _, x := range l {
		out = append(out, text(x))
	}
	return out
}

func routesOf(l []model.Route) any {
	out := []any{}
	for _, r := range l {
		out = append(out, map[string]any{"destination": r.Destination.String(), "nexthop": r.NextHop.String()})
	}
	return out
}

// convCIDRAttr is convCIDR; a null from a client is refused as the reference refuses it.
func convCIDRAttr(v any) (any, *Error) { return convCIDR(v) }

func isPoolID(v any) string {
	if v == "prefix_delegation" {
		return ""
	}
	return isUUID(v)
}

func isServiceTypes(v any) string {
	l, ok := v.([]any)
	if !ok {
		return raisedAs("HTTPBadRequest", "Subnet service types must be a list.")
	}
	for i, x := range l {
		s, ok := x.(string)
		switch {
		case !ok:
			return raisedAs("InvalidInputSubnetServiceType", "Subnet service type "+text(x)+" is not a string.")
		case !strings.HasPrefix(s, "network:") && !strings.HasPrefix(s, "neutron:") && (s == "" || !strings.Contains("compute:", s[:1])):
			// The reference takes each letter of compute: for a prefix, and its own tests use a type that begins with test:.
			return raisedAs("InvalidSubnetServiceType", "Subnet service type "+s+" does not correspond to a valid device owner.")
		case slices.ContainsFunc(l[:i], func(y any) bool { return equal(x, y) }):
			return "Duplicate items in the list: '" + s + "'"
		}
	}
	return ""
}

func createSubnet(c *call, o model.Object, in Values) error {
	s := o.(*model.Subnet)
	n, ok := c.view().Network(s.NetworkID)
	if !ok || !c.sees(networkResource, n) {
		return networkResource.Missing(string(s.NetworkID))
	}
	if !c.mayUse(n) {
		return fail(403, "HTTPForbidden", "Tenant %s not allowed to create subnet on this network", s.ProjectID)
	}
	if len(s.ServiceTypes) > 0 {
		s.Revision++ // the reference writes them after the subnet
	}
	if err := c.chooseCIDR(s, in); err != nil {
		return err
	}
	if err := c.checkSubnet(s, nil, in); err != nil {
		return err
	}
	if err := c.settlePools(s, in); err != nil {
		return err
	}
	if s.CIDR.Bits() == 0 {
		return invalidInput("0 is not allowed as CIDR prefix length")
	}
	for _, x := range c.view().SubnetsOf(s.NetworkID) {
		if x.CIDR.Overlaps(s.CIDR) {
			return invalidInput("Requested subnet with cidr: %s for network: %s overlaps with another subnet", s.CIDR, s.NetworkID)
		}
	}
	if err := c.poolAffinity(s); err != nil {
		return err
	}
	setRoutes(s, in)
	c.tx.Guard(networkGuard(s.NetworkID))
	c.tx.Touch(networkGuard(s.NetworkID))
	c.tx.Touch(subnetsGuard(s.NetworkID))
	c.bump(model.Networks, string(s.NetworkID))
	c.tx.Put(model.Subnets, s)
	if autoAddress(s) {
		if err := c.addAutoAddresses(s); err != nil {
			return err
		}
	}
	return c.settleDHCPPort(s.NetworkID)
}

// chooseCIDR settles the CIDR: given, or taken from a subnet pool.
func (c *call) chooseCIDR(s *model.Subnet, in Values) error {
	if in.set("cidr") {
		p, _ := netip.ParsePrefix(in.str("cidr"))
		s.CIDR = p.Masked()
	}
	pool := in.str("subnetpool_id")
	if in.bool("use_default_subnetpool") {
		if pool != "" {
			return badResource("subnets", "subnetpool_id and use_default_subnetpool cannot both be specified")
		}
		var err error
		if pool, err = c.defaultPool(in["ip_version"].(int64)); err != nil {
			return err
		}
	}
	if pool == "" {
		if !s.CIDR.IsValid() {
			return badResource("subnets", "a subnetpool must be specified in the absence of a cidr")
		}
		if in.set("prefixlen") {
			return badResource("subnets", "cidr and prefixlen must not be supplied together")
		}
		return nil
	}
	return c.takeFromPool(s, pool, in)
}

func mismatch(version int64, addr, name string) *Error {
	return invalidInput("%s '%s' does not match the ip_version '%d'", name, addr, version)
}

func versionOf(a netip.Addr) int64 {
	if a.Is4() {
		return 4
	}
	return 6
}

// checkSubnet applies the rules over several attributes, in the reference's order. was is nil for a new subnet.
func (c *call) checkSubnet(s, was *model.Subnet, in Values) error {
	version := versionOf(s.CIDR.Addr())
	if was == nil {
		version = in["ip_version"].(int64)
		if versionOf(s.CIDR.Addr()) != version {
			return mismatch(version, in.cidr(s), "cidr")
		}
	}
	if in.bool("enable_dhcp") && (was == nil || !was.EnableDHCP) {
		if err := checkDHCPAble(s.CIDR); err != nil {
			return err
		}
	}
	if in.set("gateway_ip") {
		g, _ := netip.ParseAddr(in.str("gateway_ip"))
		if versionOf(g) != version {
			return mismatch(version, g.String(), "gateway_ip")
		}
		if g.Is4() && s.CIDR.Contains(g) && (g == s.CIDR.Masked().Addr() || g == lastAddr(s.CIDR)) {
			return invalidInput("Gateway is not valid on subnet")
		}
		if was != nil && was.GatewayIP.IsValid() && g != was.GatewayIP {
			if p, ok := c.view().PortByAddress(s.NetworkID, was.GatewayIP); ok && isRouterPort(p.DeviceOwner) {
				return conflict("GatewayIpInUse", "Current gateway ip %s already in use by port %s. Unable to update.", was.GatewayIP, p.ID)
			}
		}
	}
	id := "new subnet"
	if was != nil {
		id = s.ID
	}
	if l, _ := in["dns_nameservers"].([]any); l != nil {
		if len(l) > 5 {
			return fail(400, "DNSNameServersExhausted", "Unable to complete operation for %s. The number of DNS nameservers exceeds the limit 5.", id)
		}
		for _, x := range l {
			if a, err := netip.ParseAddr(text(x)); err != nil || versionOf(a) != version {
				return mismatch(version, text(x), "dns_nameserver")
			}
		}
	}
	if l, _ := in["host_routes"].([]any); l != nil {
		if len(l) > 20 {
			return fail(400, "HostRoutesExhausted", "Unable to complete operation for %s. The number of host routes exceeds the limit 20.", id)
		}
		for _, x := range l {
			m := x.(map[string]any)
			for _, k := range []string{"nexthop", "destination"} {
				p, ok := parseNetwork(text(m[k]))
				if !ok || versionOf(p.Addr()) != version {
					return mismatch(version, text(m[k]), k)
				}
			}
		}
	}
	return checkModes(version, s, was, in)
}

// cidr gives the CIDR as the reference names it in messages.
func (v Values) cidr(s *model.Subnet) string { return s.CIDR.String() }

func checkDHCPAble(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case a.Is4() && p.Bits() > 30, a.Is6() && p.Bits() > 126:
		return invalidInput("Subnet has a prefix length that is incompatible with DHCP service enabled")
	case a.IsMulticast():
		return invalidInput("Multicast IP subnet is not supported if enable_dhcp is True")
	case a.IsLoopback():
		return invalidInput("Loopback IP subnet is not supported if enable_dhcp is True")
	case a.Is4() && a.IsUnspecified():
		return invalidInput("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")
	}
	return nil
}

func checkModes(version int64, s, was *model.Subnet, in Values) error {
	ra, address := in.str("ipv6_ra_mode"), in.str("ipv6_address_mode")
	switch {
	case version == 4 && ra != "":
		return invalidInput("ipv6_ra_mode is not valid when ip_version is 4")
	case version == 4 && address != "":
		return invalidInput("ipv6_address_mode is not valid when ip_version is 4")
	case version == 4:
		return nil
	case was != nil:
		if in.has("enable_dhcp") && !in.bool("enable_dhcp") && (was.IPv6RAMode != "" || was.IPv6AddressMode != "") {
			return invalidInput("Cannot disable enable_dhcp with ipv6 attributes set")
		}
		return nil
	case (ra != "" || address != "") && !in.bool("enable_dhcp"):
		return invalidInput("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
	case ra != "" && address != "" && ra != address:
		return invalidInput("ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. If both attributes are set, they must be the same value", ra, address)
	case autoAddress(s) && s.CIDR.Bits() != 64:
		return invalidInput("Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64", s.CIDR)
	}
	return nil
}

// settlePools sets gateway and pools of a new subnet.
func (c *call) settlePools(s *model.Subnet, in Values) error {
	switch {
	case in.set("gateway_ip"):
		s.GatewayIP, _ = netip.ParseAddr(in.str("gateway_ip"))
	case !in.has("gateway_ip"):
		if s.GatewayIP = s.CIDR.Masked().Addr(); s.GatewayIP.Is4() {
			s.GatewayIP = s.GatewayIP.Next()
			if s.GatewayIP == lastAddr(s.CIDR) {
				return conflict("IpamValueInvalid", "Gateway IP %s cannot be allocated in CIDR %s", s.GatewayIP, s.CIDR)
			}
		}
	}
	if l, _ := in["allocation_pools"].([]any); len(l) > 0 {
		pools, err := readPools(s.CIDR, l)
		if err != nil {
			return err
		}
		s.AllocationPools = pools
		return gatewayOutside(s.GatewayIP, pools)
	}
	s.AllocationPools = defaultPools(s.CIDR, s.GatewayIP)
	return nil
}

func gatewayOutside(g netip.Addr, pools []model.AddrRange) error {
	for _, p := range pools {
		if g.IsValid() && p.Contains(g) {
			return conflict("GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s.", g, rangeText(p))
		}
	}
	return nil
}

func rangeText(r model.AddrRange) string { return r.Start.String() + "-" + r.End.String() }

// readPools checks allocation_pools against the subnet and each other.
func readPools(cidr netip.Prefix, l []any) ([]model.AddrRange, error) {
	var pools []model.AddrRange
	for _, x := range l {
		m := x.(map[string]any)
		a, _ := netip.ParseAddr(text(m["start"]))
		b, _ := netip.ParseAddr(text(m["end"]))
		if a.Is4() != b.Is4() || b.Less(a) {
			return nil, fail(400, "InvalidAllocationPool", "The allocation pool {'start': %s, 'end': %s} is not valid.", repr(m["start"]), repr(m["end"]))
		}
		pools = append(pools, model.AddrRange{Start: a, End: b})
	}
	host := hostRange(cidr)
	for _, p := range pools {
		if p.Start.Is4() != cidr.Addr().Is4() {
			return nil, fail(400, "InvalidAllocationPool", "The allocation pool %s is not valid.", rangeText(p))
		}
		if p.Start.Less(host.Start) || host.End.Less(p.End) {
			return nil, fail(400, "OutOfBoundsAllocationPool", "The allocation pool %s spans beyond the subnet cidr %s.", rangeText(p), cidr)
		}
	}
	for i, p := range pools {
		for _, q := range pools[i+1:] {
			if p.Contains(q.Start) || q.Contains(p.Start) {
				return nil, conflict("OverlappingAllocationPools", "Found overlapping allocation pools: %s %s for subnet %s.", rangeText(p), rangeText(q), cidr)
			}
		}
	}
	return pools, nil
}

func setRoutes(s *model.Subnet, in Values) {
	if l, ok := in["dns_nameservers"].([]any); ok {
		s.DNSNameservers = nil
		for _, x := range l {
			a, _ := netip.ParseAddr(text(x))
			s.DNSNameservers = append(s.DNSNameservers, a)
		}
	}
	if l, ok := in["host_routes"].([]any); ok {
		s.HostRoutes = readRoutes(l)
	}
}

func readRoutes(l []any) []model.Route {
	var out []model.Route
	for _, x := range l {
		m := x.(map[string]any)
		p, _ := parseNetwork(text(m["destination"]))
		a, _ := netip.ParseAddr(text(m["nexthop"]))
		out = append(out, model.Route{Destination: p, NextHop: a})
	}
	return out
}

func updateSubnet(c *call, old, o model.Object, in Values) error {
	was, s := old.(*model.Subnet), o.(*model.Subnet)
	if err := c.checkSubnet(s, was, in); err != nil {
		return err
	}
	if in.has("gateway_ip") {
		s.GatewayIP, _ = netip.ParseAddr(in.str("gateway_ip"))
	}
	l, poolsGiven := in["allocation_pools"].([]any)
	if poolsGiven {
		pools, err := readPools(s.CIDR, l)
		if err != nil {
			return err
		}
		s.AllocationPools = pools
		c.tx.Touch(subnetsGuard(s.NetworkID))
	}
	if poolsGiven || s.GatewayIP != was.GatewayIP {
		if err := gatewayOutside(s.GatewayIP, s.AllocationPools); err != nil {
			return err
		}
	}
	setRoutes(s, in)
	if len(in) > 0 {
		c.bump(model.Networks, string(s.NetworkID))
	}
	if was.EnableDHCP == s.EnableDHCP {
		return nil
	}
	c.tx.Put(model.Subnets, s)
	return c.settleDHCPPort(s.NetworkID)
}

func deleteSubnet(c *call, o model.Object) error {
	s := o.(*model.Subnet)
	c.tx.Guard(networkGuard(s.NetworkID))
	c.tx.Touch(networkGuard(s.NetworkID))
	c.tx.Touch(subnetsGuard(s.NetworkID))
	auto := autoAddress(s)
	var free []*model.Port
	for _, x := range c.src().List(model.PortsBySubnet, s.ID) {
		p := x.(*model.Port)
		if !auto && p.DeviceOwner != model.OwnerDHCP || auto && isRouterPort(p.DeviceOwner) {
			return conflict("SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", s.ID)
		}
		free = append(free, p)
	}
	for _, p := range free {
		c.dropAddresses(p, model.SubnetID(s.ID))
	}
	c.forgetSubnet(s)
	c.bump(model.Networks, string(s.NetworkID))
	c.tx.Delete(model.Subnets, s.ID)
	return c.settleDHCPPort(s.NetworkID)
}

// forgetSubnet gives back what a subnet took from a pool.
func (c *call) forgetSubnet(s *model.Subnet) {
	if s.SubnetPoolID != "" {
		c.tx.Touch("subnetpool/" + s.SubnetPoolID)
	}
}

// dropAddresses takes a subnet's addresses away from a port.
func (c *call) dropAddresses(p *model.Port, id model.SubnetID) {
	next := clone(p).(*model.Port)
	next.FixedIPs = nil
	for _, f := range p.FixedIPs {
		if f.SubnetID == id {
			c.tx.Release(addressSpace(p.NetworkID), f.Address.String())
		} else {
			next.FixedIPs = append(next.FixedIPs, f)
		}
	}
	c.save(model.Ports, p, next)
}

// addAutoAddresses gives every port of the network its address of a new automatic subnet.
func (c *call) addAutoAddresses(s *model.Subnet) error {
	for _, p := range c.view().PortsOf(s.NetworkID) {
		next := clone(p).(*model.Port)
		next.FixedIPs = slices.Clone(p.FixedIPs)
		subnets, err := c.candidates(next)
		if err != nil || !slices.ContainsFunc(subnets, func(x *model.Subnet) bool { return x.ID == s.ID }) {
			continue
		}
		if err := c.takeAuto(next, []*model.Subnet{s}, nil); err != nil {
			return err
		}
		c.save(model.Ports, p, next)
	}
	return nil
}
