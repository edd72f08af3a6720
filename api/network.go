package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

var networkResource = new(Resource)

func init() {
	*networkResource = Resource{
		Name: "network", Collection: "networks", Table: model.Networks, FirstRevision: 1, Quota: "network",
		New:      func() model.Object { return &model.Network{} },
		Missing:  func(id string) *Error { return notFound("NetworkNotFound", "Network %s could not be found.", id) },
		Visible:  networkVisible,
		NarrowBy: map[string]*model.Index{"tenant_id": model.NetworksByProject, "project_id": model.NetworksByProject},
		Create:   createNetwork, Update: updateNetwork, Delete: deleteNetwork,
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			Attr{Name: "subnets", Ops: V, Get: getc(func(c *call, n *model.Network) any {
				l := c.view().SubnetsOf(model.NetworkID(n.ID))
				ids := make([]string, len(l))
				for i, s := range l {
					ids[i] = s.ID
				}
				return ids
			})},
			adminStateAttr(func(o model.Object) *bool { return &o.(*model.Network).AdminStateUp }),
			Attr{Name: "status", Ops: V | F | S, Get: func(*call, model.Object) any { return model.StatusActive }},
			tenantAttr(), projectAttr(),
			Attr{Name: "shared", Ops: C | U | V | F | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Get: getc(func(c *call, n *model.Network) any { return networkShared(c, n) }),
				Set: put(func(n *model.Network, v any) { n.Shared = v.(bool) })},
			Attr{Name: "ipv4_address_scope", Ops: V, Get: getc(func(c *call, n *model.Network) any { return networkScope(c, n, 4) })},
			Attr{Name: "ipv6_address_scope", Ops: V, Get: getc(func(c *call, n *model.Network) any { return networkScope(c, n, 6) })},
			Attr{Name: "router:external", Ops: C | U | V | F | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Get: get(func(n *model.Network) any { return n.External }),
				Set: put(func(n *model.Network, v any) { n.External = v.(bool) })},
			Attr{Name: "l2_adjacency", Ops: V, Get: func(*call, model.Object) any { return true }},
			Attr{Name: "segments", Ops: C | U | V, Default: unset, Check: isSegments, SetBy: adminOnly, SeenBy: adminOnly,
				Absent: func(_ *call, o model.Object) bool { return len(o.(*model.Network).Segments) < 2 },
				Get: get(func(n *model.Network) any {
					var out []any
					for _, s := range n.Segments {
						m := map[string]any{}
						for _, name := range providerAttrs {
							m[name] = segmentAttr(s, name)
						}
						out = append(out, m)
					}
					return out
				})},
			Attr{Name: "mtu", Ops: C | U | V | F | S, Default: int64(0), Conv: convInt, Check: nonNegative,
				Get: get(func(n *model.Network) any { return n.MTU }),
				Set: put(func(n *model.Network, v any) { n.MTU = int(min(v.(int64), 1<<31)) })},
			Attr{Name: "availability_zones", Ops: V, Get: func(*call, model.Object) any { return []string{} }},
			extraAttr(Attr{Name: "availability_zone_hints", Ops: C | V | S, Default: []any{}, Check: isZoneHints}, []any{}),
			Attr{Name: "port_security_enabled", Ops: C | U | V, Default: true, Conv: convBool, SetBy: anyone,
				Get: get(func(n *model.Network) any { return n.PortSecurity }),
				Set: put(func(n *model.Network, v any) { n.PortSecurity = v.(bool) })},
			providerAttr(netType, isString(32), nil), providerAttr(physNet, isString(64), nil), providerAttr(segID, nil, convInt),
			extraAttr(Attr{Name: "qos_policy_id", Ops: C | U | V, Check: noneOr(isUUID)}, nil),
			standardAttrs(), tagAttrs(),
			extraAttr(Attr{Name: "is_default", Ops: C | U | V | F | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Absent: func(c *call, o model.Object) bool {
					return !o.(*model.Network).External && c.req.Method != http.MethodPost
				}}, false),
			Attr{Name: "dns_domain", Ops: C | U | V, Default: "", Conv: convLower, Check: isDNSDomain,
				Get: get(func(n *model.Network) any { return n.DNSDomain }),
				Set: put(func(n *model.Network, v any) { n.DNSDomain = v.(string) })},
			descriptionAttr(),
		),
	}
}

// anyone is for attributes with a rule of their own that everybody passes: it stands in the text of refusals.
func anyone(*call, model.Object, Values) bool { return true }

// mayUse reports whether the caller may make subnets and ports on a network.
func (c *call) mayUse(n *model.Network) bool {
	return c.who.Admin() || c.who.advsvc() || n.ProjectID == c.who.ProjectID || networkShared(c, n)
}

func adminOnly(c *call, _ model.Object, _ Values) bool { return c.who.Admin() }

func networkVisible(c *call, o model.Object, _ Values) bool {
	n := o.(*model.Network)
	return c.externalFor(n) || networkShared(c, n) || c.who.advsvc()
}

// providerAttr declares one of the three provider attributes.
func providerAttr(name string, check Check, conv Conv) Attr {
	return Attr{Name: name, Ops: C | U | V | F, Default: unset, Conv: conv, Check: check, SetBy: adminOnly, SeenBy: adminOnly, Still: true,
		Absent: func(_ *call, o model.Object) bool { return len(o.(*model.Network).Segments) > 1 },
		Get: get(func(n *model.Network) any {
			if len(n.Segments) == 0 {
				return nil
			}
			return segmentAttr(n.Segments[0], name)
		}),
		Match: func(_ *call, o model.Object, values []any) bool {
			return slices.ContainsFunc(o.(*model.Network).Segments, func(s model.Segment) bool {
				return matchAny(segmentAttr(s, name), values)
			})
		}}
}

func createNetwork(c *call, o model.Object, in Values) error {
	n := o.(*model.Network)
	if _, err := c.defaultGroup(n.ProjectID); err != nil {
		return err
	}
	if err := c.checkQos(in); err != nil {
		return err
	}
	if !in.set("qos_policy_id") {
		if id := c.defaultQos(n.ProjectID); id != "" {
			setExtra(&n.Meta, "qos_policy_id", id)
			c.tx.Exists(model.QosPolicies, id)
			c.tx.Touch(qosGuard(id))
		}
	}
	segments, err := c.segmentsOf(in, n.External)
	if err != nil {
		return err
	}
	if n.Segments, err = c.takeSegments(n, segments); err != nil {
		return err
	}
	if err := c.settleMTU(n); err != nil {
		return err
	}
	c.settleRBAC(n)
	if in.bool("is_default") {
		return c.soleDefault(n)
	}
	return nil
}

// settleMTU gives a network the greatest MTU its segments can carry, or checks the one that was asked for.
func (c *call) settleMTU(n *model.Network) error {
	most := c.maxMTU(n)
	switch {
	case n.MTU == 0:
		n.MTU = most
	case n.MTU > most:
		return invalidInput("Requested MTU is too big, maximum is %d", most)
	}
	return nil
}

func (c *call) maxMTU(n *model.Network) int {
	most := c.s.cfg.Networks.UnderlayMTU
	for _, s := range n.Segments {
		most = min(most, c.s.cfg.Networks.UnderlayMTU-overhead(s.Type))
	}
	return most
}

// overhead is what an encapsulation adds to an IPv4 packet, in bytes: outer IP, UDP and VXLAN, or GRE with key, and
// the inner Ethernet header.
func overhead(t model.NetworkType) int {
	switch t {
	case model.NetworkVXLAN:
		return 20 + 8 + 8 + 14
	case model.NetworkGRE:
		return 20 + 8 + 14
	}
	return 0
}

func updateNetwork(c *call, old, o model.Object, in Values) error {
	was, n := old.(*model.Network), o.(*model.Network)
	if err := c.checkQos(in); err != nil {
		return err
	}
	if err := c.changeSegment(was, n, in); err != nil {
		return err
	}
	if in.has("mtu") {
		if err := c.settleMTU(n); err != nil {
			return err
		}
	}
	if was.External && !n.External && len(c.view().PortsOwned(model.NetworkID(n.ID), model.OwnerRouterGateway)) > 0 {
		return conflict("ExternalNetworkInUse", "External network %s cannot be updated to be made non-external, since it has existing gateway ports.", n.ID)
	}
	if was.Shared != n.Shared || was.External != n.External {
		c.settleRBAC(n)
	}
	if was.Shared && !n.Shared {
		for _, p := range c.view().PortsOf(model.NetworkID(n.ID)) {
			if p.ProjectID != "" && p.ProjectID != n.ProjectID && !strings.HasPrefix(p.DeviceOwner, "network:") {
				return conflict("InvalidSharedSetting", "Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.", n.Name)
			}
		}
	}
	if in.bool("is_default") {
		return c.soleDefault(n)
	}
	return nil
}

// soleDefault: one external network may be the default.
func (c *call) soleDefault(n *model.Network) error {
	for o := range c.src().Each(model.Networks) {
		x := o.(*model.Network)
		if d, _ := x.Extra["is_default"].(bool); d && x.ID != n.ID {
			return conflict("DefaultExternalNetworkExists", "A default external network already exists: %s.", x.ID)
		}
	}
	return nil
}

func deleteNetwork(c *call, o model.Object) error {
	n := o.(*model.Network)
	id := model.NetworkID(n.ID)
	c.tx.Guard(networkGuard(id))
	for _, x := range c.src().List(model.FloatingIPsByNetwork, n.ID) { // those that are in use keep the network
		if f := x.(*model.FloatingIP); f.PortID == "" {
			if err := c.drop(floatingipResource, f); err != nil {
				return err
			}
		}
	}
	var busy []string
	ports := c.view().PortsOf(id)
	for _, p := range ports {
		if p.DeviceOwner != model.OwnerDHCP {
			busy = append(busy, p.ID)
		}
	}
	if busy != nil {
		return conflict("NetworkInUse", "Unable to complete operation on network %s. There are one or more ports still in use on the network, id for these ports is: %s.", n.ID, strings.Join(busy, ","))
	}
	for _, p := range ports {
		c.releasePort(p)
	}
	for _, s := range c.view().SubnetsOf(id) {
		c.forgetSubnet(s)
		c.tx.Delete(model.Subnets, s.ID)
	}
	c.forgetRBAC("network", n.ID)
	c.freeSegments(n.Segments)
	return nil
}

// networkGuard names what a network's ports and subnets touch.
func networkGuard(id model.NetworkID) string { return "network/" + string(id) }

// subnetsGuard is touched by what changes a network's subnets or their pools.
func subnetsGuard(id model.NetworkID) string { return "subnets/" + string(id) }

func isZoneHints(v any) string {
	l, ok := v.([]any)
	if !ok {
		return "'" + text(v) + "' is not a list"
	}
	for _, x := range l {
		if r := isString(255)(x); r != "" {
			return r
		}
	}
	if len(l) > 10 {
		return "Too many availability_zone_hints specified"
	}
	return ""
}
