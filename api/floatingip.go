package api

import (
	"net/http"
	"net/netip"

	"github.com/penstock/penstock/model"
)

var floatingipResource = new(Resource)

func init() {
	*floatingipResource = Resource{
		Name: "floatingip", Collection: "floatingips", Table: model.FloatingIPs, Quota: "floatingip",
		New:     func() model.Object { return &model.FloatingIP{} },
		Missing: func(id string) *Error { return notFound("FloatingIPNotFound", "Floating IP %s could not be found", id) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.FloatingIPsByProject, "project_id": model.FloatingIPsByProject,
			"port_id": model.FloatingIPsByPort, "router_id": model.FloatingIPsByRouter, "floating_network_id": model.FloatingIPsByNetwork},
		Create: createFloatingIP, Update: updateFloatingIP,
		Delete: func(c *call, o model.Object) error {
			if p, ok := c.view().Port(o.(*model.FloatingIP).HolderPort); ok {
				c.releasePort(p)
			}
			return nil
		},
		Attrs: attrs(
			idAttr(),
			Attr{Name: "floating_ip_address", Ops: C | V | F | S, Check: noneOr(isIP), SetBy: adminOnly,
				Get: get(func(f *model.FloatingIP) any { return addrOrNull(f.Address) })},
			Attr{Name: "subnet_id", Ops: C, Check: noneOr(isUUID)},
			Attr{Name: "floating_network_id", Ops: C | V | F | S, Default: required, Check: isUUID,
				Get: get(func(f *model.FloatingIP) any { return string(f.NetworkID) }),
				Set: put(func(f *model.FloatingIP, v any) { f.NetworkID = model.NetworkID(v.(string)) })},
			Attr{Name: "router_id", Ops: V | F | S, Get: get(func(f *model.FloatingIP) any { return orNull(f.RouterID) })},
			Attr{Name: "port_id", Ops: C | U | V | F | P, Check: noneOr(isUUID),
				Get: get(func(f *model.FloatingIP) any { return orNull(string(f.PortID)) })},
			Attr{Name: "fixed_ip_address", Ops: C | U | V | F | S, Check: noneOr(isIP),
				Get: get(func(f *model.FloatingIP) any { return addrOrNull(f.FixedIP) })},
			tenantAttr(), projectAttr(),
			Attr{Name: "status", Ops: V | F | S, Get: getc(func(c *call, f *model.FloatingIP) any { return c.view().Status(f.HolderPort) })},
			extraAttr(Attr{Name: "qos_policy_id", Ops: C | U | V, Check: noneOr(isUUID)}, nil),
			standardAttrs(), tagAttrs(),
			extraAttr(Attr{Name: "dns_name", Ops: C | V, Default: "", Conv: convLower, Check: isDNSName}, ""),
			extraAttr(Attr{Name: "dns_domain", Ops: C | V, Default: "", Conv: convLower, Check: isDNSDomain}, ""),
			Attr{Name: "port_details", Ops: V, Get: getc(func(c *call, f *model.FloatingIP) any {
				p, ok := c.view().Port(f.PortID)
				if !ok {
					return nil
				}
				return map[string]any{"name": p.Name, "network_id": string(p.NetworkID), "mac_address": p.MAC.String(), "admin_state_up": p.AdminStateUp,
					"status": portStatus(c, p), "device_id": p.DeviceID, "device_owner": p.DeviceOwner}
			})},
			descriptionAttr(),
		),
	}
}

func badFloatingIP(format string, args ...any) *Error {
	return badResource("floatingip", format, args...)
}

func createFloatingIP(c *call, o model.Object, in Values) error {
	f := o.(*model.FloatingIP)
	n, ok := c.view().Network(f.NetworkID)
	if !ok || !c.sees(networkResource, n) {
		return networkResource.Missing(string(f.NetworkID))
	}
	if !n.External {
		return badFloatingIP("Network %s is not a valid external network", f.NetworkID)
	}
	probe := &model.Port{NetworkID: f.NetworkID, DeviceOwner: model.OwnerFloatingIP}
	subnets, err := c.candidates(probe)
	if err != nil {
		return err
	}
	var v4 []*model.Subnet
	for _, s := range subnets {
		if s.CIDR.Addr().Is4() {
			v4 = append(v4, s)
		}
	}
	if len(v4) == 0 {
		return badFloatingIP("Network %s does not contain any IPv4 subnet", f.NetworkID)
	}
	reqs := []request{{subnets: v4}}
	fixed := map[string]any{}
	if in.set("floating_ip_address") {
		fixed["ip_address"] = in["floating_ip_address"]
	}
	if in.set("subnet_id") {
		fixed["subnet_id"] = in["subnet_id"]
	}
	if len(fixed) > 0 {
		if reqs, err = c.requests(probe, subnets, []any{fixed}); err != nil {
			return err
		}
	}
	p, err := c.internalPort(f.NetworkID, "", model.OwnerFloatingIP, f.ID, reqs, nil)
	if err != nil {
		return err
	}
	f.HolderPort, f.Address = model.PortID(p.ID), p.FixedIPs[0].Address
	return c.associate(f, in)
}

func updateFloatingIP(c *call, old, o model.Object, in Values) error {
	f := o.(*model.FloatingIP)
	if !in.has("port_id") && len(in) > 0 {
		if in.set("fixed_ip_address") {
			return badFloatingIP("fixed_ip_address cannot be specified without a port_id")
		}
		return nil // a description alone leaves the association as it is
	}
	f.PortID, f.FixedIP, f.RouterID = "", netip.Addr{}, ""
	return c.associate(f, in)
}

// associate binds a floating IP to what in says: a port and, where it has several, one of its addresses.
func (c *call) associate(f *model.FloatingIP, in Values) error {
	id := in.str("port_id")
	if id == "" {
		if in.set("fixed_ip_address") {
			return badFloatingIP("fixed_ip_address cannot be specified without a port_id")
		}
		return nil
	}
	p, ok := c.view().Port(model.PortID(id))
	if !ok || !c.sees(portResource, p) {
		return portResource.Missing(id)
	}
	if !c.who.Admin() && p.ProjectID != f.ProjectID {
		return badFloatingIP("Port %s is associated with a different tenant than Floating IP %s and therefore cannot be bound.", p.ID, f.ID)
	}
	if p.DeviceOwner == model.OwnerDHCP {
		return badFloatingIP("Port %s is unable to be assigned a floating IP", p.ID)
	}
	fixed, err := internalAddress(p, in.str("fixed_ip_address"))
	if err != nil {
		return err
	}
	router, err := c.routerFor(p, fixed, f.NetworkID)
	if err != nil {
		return err
	}
	for _, x := range c.view().FloatingIPsOf(model.PortID(p.ID)) {
		if x.ID != f.ID && x.FixedIP == fixed.Address && x.NetworkID == f.NetworkID {
			return conflict("FloatingIPPortAlreadyAssociated", "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.", f.Address, f.ID, p.ID, fixed.Address, f.NetworkID)
		}
	}
	f.PortID, f.FixedIP, f.RouterID = model.PortID(p.ID), fixed.Address, router
	c.tx.Get(model.Ports, p.ID) // what the association rests on must not change meanwhile
	c.tx.Get(model.Routers, router)
	return nil
}

func internalAddress(p *model.Port, want string) (model.FixedIP, error) {
	if a, err := netip.ParseAddr(want); err == nil && !a.Is4() {
		return model.FixedIP{}, badFloatingIP("Cannot process floating IP association with %s, since that is not an IPv4 address", want)
	}
	var v4 []model.FixedIP
	for _, f := range p.FixedIPs {
		if !f.Address.Is4() {
			continue
		}
		if f.Address.String() == want {
			return f, nil
		}
		v4 = append(v4, f)
	}
	switch {
	case want != "":
		return model.FixedIP{}, badFloatingIP("Port %s does not have fixed ip %s", p.ID, want)
	case len(v4) == 0:
		return model.FixedIP{}, badFloatingIP("Cannot add floating IP to port %s that has no fixed IPv4 addresses", p.ID)
	case len(v4) > 1:
		return model.FixedIP{}, badFloatingIP("Port %s has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP", p.ID)
	}
	return v4[0], nil
}

// routerFor finds the router between a port's subnet and the external network; the one that holds the subnet's
// gateway address goes first.
func (c *call) routerFor(p *model.Port, f model.FixedIP, ext model.NetworkID) (string, error) {
	found := ""
	s, _ := c.view().Subnet(f.SubnetID)
	for _, x := range c.src().List(model.PortsBySubnet, string(f.SubnetID)) {
		rp := x.(*model.Port)
		if !isRouterPort(rp.DeviceOwner) {
			continue
		}
		r, ok := c.view().Router(rp.DeviceID)
		if !ok || r.GatewayNetwork != ext {
			continue
		}
		if found == "" {
			found = r.ID
		}
		for _, a := range rp.FixedIPs {
			if s != nil && a.Address == s.GatewayIP {
				return r.ID, nil
			}
		}
	}
	if found == "" {
		return "", notFound("ExternalGatewayForFloatingIPNotFound", "External network %s is not reachable from subnet %s.  Therefore, cannot associate Port %s with a Floating IP.", ext, f.SubnetID, p.ID)
	}
	return found, nil
}

// poolsOfFloatingIPs lists the IPv4 subnets of the external networks that the caller sees.
func poolsOfFloatingIPs(c *call, parts []string, _ []byte) (*reply, error) {
	if len(parts) != 1 || c.req.Method != http.MethodGet {
		return nil, hidden
	}
	out := []any{}
	for o := range c.src().Each(model.Networks) {
		n := o.(*model.Network)
		if !n.External || !c.sees(networkResource, n) {
			continue
		}
		for _, s := range c.view().SubnetsOf(model.NetworkID(n.ID)) {
			if s.CIDR.Addr().Is4() {
				out = append(out, map[string]any{"subnet_id": s.ID, "subnet_name": s.Name, "network_id": n.ID, "cidr": s.CIDR.String(),
					"project_id": s.ProjectID, "tenant_id": s.ProjectID})
			}
		}
	}
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{"floatingip_pools": out})}, nil
}
