package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

var routerResource = new(Resource)

func init() {
	*routerResource = Resource{
		Name: "router", Collection: "routers", Table: model.Routers, FirstRevision: 1, Quota: "router",
		New:      func() model.Object { return &model.Router{EnableSNAT: true} },
		Missing:  func(id string) *Error { return notFound("RouterNotFound", "Router %s could not be found", id) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.RoutersByProject, "project_id": model.RoutersByProject},
		Create: func(c *call, o model.Object, in Values) error {
			r := o.(*model.Router)
			if !in.set("external_gateway_info") {
				return nil
			}
			r.Revision += 2 // the reference writes the gateway after the router
			return c.setGateway(r, in["external_gateway_info"])
		},
		Update: func(c *call, old, o model.Object, in Values) error {
			r := o.(*model.Router)
			if l, ok := in["routes"].([]any); ok {
				routes := readRoutes(l)
				if err := c.checkRoutes(r, routes, l); err != nil {
					return err
				}
				r.Routes = routes
			}
			if !in.has("external_gateway_info") {
				return nil
			}
			return c.setGateway(r, in["external_gateway_info"])
		},
		Delete: deleteRouter,
		Actions: map[string]Action{
			"add_router_interface":    {Method: http.MethodPut, Run: addInterface},
			"remove_router_interface": {Method: http.MethodPut, Run: removeInterface},
			"add_extraroutes":         {Method: http.MethodPut, Run: addRoutes},
			"remove_extraroutes":      {Method: http.MethodPut, Run: removeRoutes},
			"l3-agents":               {Method: http.MethodGet, Run: func(*call, model.Object, map[string]any) (any, error) { return map[string]any{"agents": []any{}}, nil }},
		},
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			adminStateAttr(func(o model.Object) *bool { return &o.(*model.Router).AdminStateUp }),
			Attr{Name: "status", Ops: V | S, Get: func(*call, model.Object) any { return model.StatusActive }},
			tenantAttr(), projectAttr(),
			Attr{Name: "external_gateway_info", Ops: C | U | V, Check: isGateway, SetBy: gatewayRule, Sub: []string{"network_id", "enable_snat", "external_fixed_ips"},
				Get: getc(func(c *call, r *model.Router) any {
					if r.GatewayNetwork == "" {
						return nil
					}
					ips := any([]any{})
					if p, ok := c.view().Port(r.GatewayPort); ok {
						ips = fixedIPs(p)
					}
					return map[string]any{"network_id": string(r.GatewayNetwork), "enable_snat": r.EnableSNAT, "external_fixed_ips": ips}
				})},
			Attr{Name: "ha", Ops: C | U | V, Default: unset, Conv: orNone(convBool), SetBy: adminOnly, SeenBy: adminOnly,
				Get: get(func(r *model.Router) any { return r.HA }),
				Set: put(func(r *model.Router, v any) { r.HA, _ = v.(bool) })},
			extraAttr(Attr{Name: "flavor_id", Ops: C | V | S, Default: unset}, nil),
			standardAttrs(),
			Attr{Name: "availability_zones", Ops: V, Get: func(*call, model.Object) any { return []string{} }},
			extraAttr(Attr{Name: "availability_zone_hints", Ops: C | V, Default: []any{}, Check: isZoneHints}, []any{}),
			tagAttrs(),
			Attr{Name: "distributed", Ops: C | U | V, Default: unset, Conv: orNone(convBool), SetBy: adminOnly, SeenBy: adminOnly,
				Get: get(func(r *model.Router) any { return r.Distributed }),
				Set: put(func(r *model.Router, v any) { r.Distributed, _ = v.(bool) })},
			Attr{Name: "routes", Ops: U | V, Default: unset, Conv: convNoneToList, Check: isRoutes,
				Get: get(func(r *model.Router) any { return routesOf(r.Routes) })},
			descriptionAttr(),
		),
	}
}

func isGateway(v any) string {
	m, ok := v.(map[string]any)
	if v == nil || ok && len(m) == 0 || v == "" || v == false {
		return ""
	}
	if !ok {
		return "'" + text(v) + "' is not a dictionary"
	}
	if !has(m, "network_id") {
		return "Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: " + setOf(sortedKeys(m))
	}
	var unexpected []string
	for _, k := range sortedKeys(m) {
		switch k {
		case "network_id", "enable_snat", "external_fixed_ips", "qos_policy_id":
		default:
			unexpected = append(unexpected, k)
		}
	}
	if unexpected != nil {
		return "Unexpected keys supplied: " + strings.Join(unexpected, ", ")
	}
	if r := isUUID(m["network_id"]); r != "" {
		return r
	}
	if x, ok := m["enable_snat"]; ok {
		b, ok := toBool(x)
		if !ok {
			return raised + "'" + text(x) + "' cannot be converted to boolean"
		}
		m["enable_snat"] = b
	}
	if x, ok := m["external_fixed_ips"]; ok && x != nil {
		if r := isFixedIPs(x); r != "" {
			return r
		}
	}
	return ""
}

// gatewayRule: everybody may choose the network, only admins SNAT and addresses.
func gatewayRule(_ *call, _ model.Object, in Values) bool {
	m, _ := in["external_gateway_info"].(map[string]any)
	return !has(m, "enable_snat") && !has(m, "external_fixed_ips")
}

// ownedPort reports whether a port of a router or floating IP still has its owner.
func (c *call) ownedPort(p *model.Port) bool {
	if p.DeviceOwner == model.OwnerFloatingIP {
		return len(c.src().List(model.FloatingIPsByHolder, p.ID)) > 0
	}
	_, ok := c.view().Router(p.DeviceID)
	return ok
}

// forgetPort clears what refers to a port that goes.
func (c *call) forgetPort(p *model.Port) error {
	for _, f := range c.view().FloatingIPsOf(model.PortID(p.ID)) {
		next := clone(f).(*model.FloatingIP)
		next.PortID, next.FixedIP, next.RouterID = "", netip.Addr{}, ""
		c.save(model.FloatingIPs, f, next)
	}
	return nil
}

// internalPort makes a port of a router or floating IP, without security, in the transaction.
func (c *call) internalPort(id model.NetworkID, project, owner, device string, reqs []request, subnets []*model.Subnet) (*model.Port, error) {
	p := &model.Port{Meta: c.meta("", project), NetworkID: id, AdminStateUp: true, DeviceOwner: owner, DeviceID: device, VNICType: "normal"}
	p.Revision = 1
	if err := c.takeMAC(p); err != nil {
		return nil, err
	}
	if err := c.takeAddresses(p, reqs, subnets); err != nil {
		return nil, err
	}
	c.tx.Exists(model.Networks, string(id))
	c.tx.Touch(networkGuard(id))
	c.tx.Put(model.Ports, p)
	return p, nil
}

// setGateway makes a router's gateway what was asked for.
func (c *call) setGateway(r *model.Router, v any) error {
	m, _ := v.(map[string]any)
	if len(m) == 0 {
		if err := c.checkLeaving(r, ""); err != nil {
			return err
		}
		return c.clearGateway(r)
	}
	id := model.NetworkID(text(m["network_id"]))
	n, ok := c.view().Network(id)
	if !ok || !c.sees(networkResource, n) {
		return networkResource.Missing(string(id))
	}
	if !n.External {
		return badResource("router", "Network %s is not an external network", id)
	}
	snat := true
	if b, ok := m["enable_snat"].(bool); ok {
		snat = b
	}
	fixed, hasFixed := m["external_fixed_ips"].([]any)
	gateways := c.view().SubnetsOf(id)
	for _, x := range fixed {
		m, _ := x.(map[string]any)
		a := text(m["ip_address"])
		if slices.ContainsFunc(gateways, func(s *model.Subnet) bool { return s.GatewayIP.IsValid() && s.GatewayIP.String() == a }) {
			return badResource("router", "External IP %s is the same as the gateway IP", a)
		}
	}
	if r.GatewayNetwork == id {
		r.EnableSNAT = snat
		old, ok := c.view().Port(r.GatewayPort)
		if !hasFixed || !ok {
			return nil
		}
		p := clone(old).(*model.Port)
		if err := c.changeAddresses(old, p, fixed, true); err != nil {
			return err
		}
		c.save(model.Ports, old, p)
		return nil
	}
	for _, p := range c.view().PortsOfDevice(r.ID) {
		for _, f := range p.FixedIPs {
			if s, ok := c.view().Subnet(f.SubnetID); ok && p.DeviceOwner != model.OwnerRouterGateway {
				for _, x := range c.view().SubnetsOf(id) {
					if x.CIDR.Overlaps(s.CIDR) {
						return overlaps(x, s)
					}
				}
			}
		}
	}
	if err := c.checkLeaving(r, id); err != nil {
		return err
	}
	if err := c.clearGateway(r); err != nil {
		return err
	}
	probe := &model.Port{NetworkID: id, DeviceOwner: model.OwnerRouterGateway}
	subnets, err := c.candidates(probe)
	if err != nil {
		return err
	}
	reqs := defaultRequests(subnets)
	if len(fixed) > 0 {
		if reqs, err = c.requests(probe, subnets, fixed); err != nil {
			return err
		}
	}
	p, err := c.internalPort(id, "", model.OwnerRouterGateway, r.ID, reqs, subnets)
	if err != nil {
		return err
	}
	zone, err := c.tx.AllocNumber(routerZones, model.FirstRouterZone, model.LastRouterZone)
	if err != nil {
		return err
	}
	r.GatewayNetwork, r.GatewayPort, r.EnableSNAT, r.Zone = id, model.PortID(p.ID), snat, uint16(zone)
	return nil
}

// routerZones is the number space of the routers' conntrack zones.
const routerZones = "routerzone"

func overlaps(a, b *model.Subnet) *Error {
	return badResource("router", "Cidr %s of subnet %s overlaps with cidr %s of subnet %s", a.CIDR, a.ID, b.CIDR, b.ID)
}

// checkLeaving: the routes of a router must go on having a next hop on a subnet when its gateway goes to another network.
func (c *call) checkLeaving(r *model.Router, next model.NetworkID) error {
	if r.GatewayNetwork == "" || len(r.Routes) == 0 {
		return nil
	}
	left := c.view().SubnetsOf(next)
	for _, p := range c.view().PortsOfDevice(r.ID) {
		for _, f := range p.FixedIPs {
			if s, ok := c.view().Subnet(f.SubnetID); ok && p.DeviceOwner != model.OwnerRouterGateway {
				left = append(left, s)
			}
		}
	}
	for _, route := range r.Routes {
		if !slices.ContainsFunc(left, func(s *model.Subnet) bool { return s.CIDR.Contains(route.NextHop) }) {
			return invalidRoutes(routesOf(r.Routes).([]any), "the nexthop is not connected with router")
		}
	}
	return nil
}

func (c *call) clearGateway(r *model.Router) error {
	if r.GatewayNetwork == "" {
		return nil
	}
	for _, x := range c.src().List(model.FloatingIPsByRouter, r.ID) {
		if x.(*model.FloatingIP).NetworkID == r.GatewayNetwork {
			return conflict("RouterExternalGatewayInUseByFloatingIp", "Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.", r.ID, r.GatewayNetwork)
		}
	}
	if p, ok := c.view().Port(r.GatewayPort); ok {
		c.releasePort(p)
	}
	if r.Zone != 0 {
		c.tx.FreeNumber(routerZones, uint32(r.Zone))
	}
	r.GatewayNetwork, r.GatewayPort, r.EnableSNAT, r.Zone = "", "", true, 0
	return nil
}

func deleteRouter(c *call, o model.Object) error {
	r := clone(o).(*model.Router)
	c.tx.Guard(routerGuard(r.ID))
	var busy []string
	for _, p := range c.view().PortsOfDevice(r.ID) {
		if isRouterPort(p.DeviceOwner) {
			busy = append(busy, p.ID)
		}
	}
	if busy != nil {
		return conflict("RouterInUse", "Router %s has ports still attached: %s", r.ID, strings.Join(busy, ", "))
	}
	if len(c.src().List(model.FloatingIPsByRouter, r.ID)) > 0 {
		return conflict("RouterInUse", "Router %s still has floating IPs associated", r.ID)
	}
	return c.clearGateway(r)
}

func routerGuard(id string) string { return "router/" + id }

// --- interfaces

func addInterface(c *call, o model.Object, body map[string]any) (any, error) {
	r := o.(*model.Router)
	portID, subnetID, err := interfaceOf(body)
	if err != nil {
		return nil, err
	}
	if portID != "" && subnetID != "" {
		return nil, badResource("router", "Cannot specify both subnet-id and port-id")
	}
	c.tx.Guard(routerGuard(r.ID)) // two subnets that overlap must not be added at once
	c.tx.Touch(routerGuard(r.ID))
	if portID != "" {
		return c.addPort(r, portID)
	}
	return c.addSubnet(r, subnetID)
}

func interfaceOf(body map[string]any) (port, subnet string, err error) {
	for _, x := range []struct {
		key string
		to  *string
	}{{"port_id", &port}, {"subnet_id", &subnet}} {
		if v, ok := body[x.key]; ok && v != nil {
			if reason := isUUID(v); reason != "" {
				return "", "", badResource("router", "%s", reason)
			}
			*x.to = v.(string)
		}
	}
	if port == "" && subnet == "" {
		return "", "", badResource("router", "Either subnet_id or port_id must be specified")
	}
	return port, subnet, nil
}

func (c *call) addSubnet(r *model.Router, id string) (any, error) {
	s, ok := c.view().Subnet(model.SubnetID(id))
	if !ok || !c.sees(subnetResource, s) {
		return nil, subnetResource.Missing(id)
	}
	if !s.GatewayIP.IsValid() {
		return nil, badResource("router", "Subnet for router interface must have a gateway IP")
	}
	// Who may see a network that is shared with all may not have a router answer on it.
	if !c.who.Admin() && s.ProjectID != c.who.ProjectID && !slices.ContainsFunc(c.view().RBACOf("network", string(s.NetworkID)), func(p *model.RBACPolicy) bool {
		return p.Action == asShared && p.Target == c.who.ProjectID
	}) {
		return nil, badResource("router", "Cannot add interface to router because subnet %s is not owned by project making the request", s.ID)
	}
	if err := checkAdvertiser(s); err != nil {
		return nil, err
	}
	if err := c.checkOverlap(r, s, ""); err != nil {
		return nil, err
	}
	// IPv6 subnets of a network share one interface.
	if s.CIDR.Addr().Is6() {
		for _, p := range c.view().PortsOfDevice(r.ID) {
			if p.NetworkID != s.NetworkID || !isRouterPort(p.DeviceOwner) || len(p.FixedIPs) == 0 || p.FixedIPs[0].Address.Is4() {
				continue
			}
			next := clone(p).(*model.Port)
			f, err := c.takeAddress(next, request{subnets: []*model.Subnet{s}, addr: s.GatewayIP})
			if err != nil {
				return nil, err
			}
			next.FixedIPs = append(slices.Clone(p.FixedIPs), f)
			c.save(model.Ports, p, next)
			return c.interfaceAnswer(r, next, s.ID), nil
		}
	}
	p, err := c.internalPort(s.NetworkID, r.ProjectID, model.OwnerRouterInterface, r.ID, []request{{subnets: []*model.Subnet{s}, addr: s.GatewayIP}}, nil)
	if err != nil {
		return nil, err
	}
	c.bump(model.Routers, r.ID)
	return c.interfaceAnswer(r, p, s.ID), nil
}

// checkAdvertiser: a subnet whose router advertisements come from elsewhere has its router elsewhere.
func checkAdvertiser(s *model.Subnet) error {
	if s.CIDR.Addr().Is6() && s.IPv6RAMode == "" && s.IPv6AddressMode != "" {
		return badResource("router", "IPv6 subnet %s configured to receive RAs from an external router cannot be added to Neutron Router.", s.ID)
	}
	return nil
}

// hasIPv6 says whether a port has an IPv6 address.
func hasIPv6(p *model.Port) bool {
	return slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address.Is6() })
}

func (c *call) addPort(r *model.Router, id string) (any, error) {
	p, ok := c.view().Port(model.PortID(id))
	if !ok || !c.sees(portResource, p) {
		return nil, portResource.Missing(id)
	}
	if p.DeviceID != "" {
		return nil, conflict("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p.ID, p.NetworkID, p.DeviceID)
	}
	if len(p.FixedIPs) == 0 {
		return nil, badResource("router", "Router port must have at least one fixed IP")
	}
	for _, f := range p.FixedIPs {
		if s, ok := c.view().Subnet(f.SubnetID); ok {
			if err := checkAdvertiser(s); err != nil {
				return nil, err
			}
		}
	}
	for _, x := range c.view().PortsOfDevice(r.ID) {
		if x.NetworkID == p.NetworkID && hasIPv6(x) && hasIPv6(p) {
			return nil, badResource("router", "Cannot have multiple router ports with the same network id if both contain IPv6 subnets. Existing port %s has IPv6 subnet(s) and network id %s", x.ID, x.NetworkID)
		}
	}
	v4 := 0
	subnet := ""
	for _, f := range p.FixedIPs {
		s, ok := c.view().Subnet(f.SubnetID)
		if !ok {
			continue
		}
		if f.Address.Is4() {
			v4++
		}
		if subnet == "" {
			subnet = s.ID
		}
		if err := c.checkOverlap(r, s, p.ID); err != nil {
			return nil, err
		}
	}
	if v4 > 1 {
		return nil, badResource("router", "Cannot have multiple IPv4 subnets on router port")
	}
	for _, f := range p.FixedIPs {
		if s, ok := c.view().Subnet(f.SubnetID); ok && !c.who.Admin() && s.ProjectID != c.who.ProjectID &&
			!slices.ContainsFunc(s.AllocationPools, func(r model.AddrRange) bool { return r.Contains(f.Address) }) {
			return nil, badResource("router", "Cannot add interface to router because specified port %s has an IP address out of the allocation pool of subnet %s, which is not owned by the project making the request", p.ID, s.ID)
		}
	}
	next := clone(p).(*model.Port)
	next.DeviceID, next.DeviceOwner = r.ID, model.OwnerRouterInterface
	if next.Name == "" {
		next.Name = p.Name
	}
	c.save(model.Ports, p, next)
	c.bump(model.Routers, r.ID)
	return c.interfaceAnswer(r, next, subnet), nil
}

// checkOverlap: a router may have a subnet once, and no two that overlap.
func (c *call) checkOverlap(r *model.Router, s *model.Subnet, except string) error {
	for _, p := range c.view().PortsOfDevice(r.ID) {
		if p.ID == except {
			continue
		}
		for _, f := range p.FixedIPs {
			if string(f.SubnetID) == s.ID {
				return badResource("router", "Router already has a port on subnet %s", s.ID)
			}
			if x, ok := c.view().Subnet(f.SubnetID); ok && x.CIDR.Overlaps(s.CIDR) {
				return overlaps(s, x)
			}
		}
	}
	return nil
}

func (c *call) interfaceAnswer(r *model.Router, p *model.Port, subnet string) any {
	ids := []string{}
	for _, f := range p.FixedIPs {
		if !slices.Contains(ids, string(f.SubnetID)) {
			ids = append(ids, string(f.SubnetID))
		}
	}
	if len(ids) > 1 {
		ids = []string{subnet}
	}
	return map[string]any{"id": r.ID, "tenant_id": r.ProjectID, "port_id": p.ID, "network_id": string(p.NetworkID), "subnet_id": subnet, "subnet_ids": ids}
}

func removeInterface(c *call, o model.Object, body map[string]any) (any, error) {
	r := o.(*model.Router)
	portID, subnetID, err := interfaceOf(body)
	if err != nil {
		return nil, err
	}
	if _, ok := c.view().Subnet(model.SubnetID(subnetID)); !ok && portID == "" {
		return nil, subnetResource.Missing(subnetID)
	}
	var p *model.Port
	for _, x := range c.view().PortsOfDevice(r.ID) {
		if !isRouterPort(x.DeviceOwner) {
			continue
		}
		on := slices.ContainsFunc(x.FixedIPs, func(f model.FixedIP) bool { return string(f.SubnetID) == subnetID })
		if portID == x.ID {
			if subnetID != "" && !on {
				return nil, fail(http.StatusBadRequest, "SubnetMismatchForPort", "Subnet on port %s does not match the requested subnet %s.", portID, subnetID)
			}
			p = x
		} else if portID == "" && on {
			p = x
		}
	}
	switch {
	case p == nil && portID != "":
		return nil, notFound("RouterInterfaceNotFound", "Router %s does not have an interface with id %s", r.ID, portID)
	case p == nil:
		return nil, notFound("RouterInterfaceNotFoundForSubnet", "Router %s has no interface on subnet %s", r.ID, subnetID)
	}
	if subnetID == "" && len(p.FixedIPs) > 0 {
		subnetID = string(p.FixedIPs[0].SubnetID)
	}
	s, ok := c.view().Subnet(model.SubnetID(subnetID))
	if ok {
		for _, route := range r.Routes {
			if s.CIDR.Contains(route.NextHop) {
				return nil, conflict("RouterInterfaceInUseByRoute", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.", s.ID, r.ID)
			}
		}
		for _, x := range c.src().List(model.FloatingIPsByRouter, r.ID) {
			if f := x.(*model.FloatingIP); f.FixedIP.IsValid() && s.CIDR.Contains(f.FixedIP) {
				return nil, conflict("RouterInterfaceInUseByFloatingIP", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", s.ID, r.ID)
			}
		}
	}
	c.tx.Touch(routerGuard(r.ID))
	answer := c.interfaceAnswer(r, p, subnetID)
	if portID == "" && len(p.FixedIPs) > 1 {
		c.dropAddresses(p, model.SubnetID(subnetID))
	} else {
		c.releasePort(p)
	}
	c.bump(model.Routers, r.ID)
	return answer, nil
}

// --- routes

// checkRoutes: each next hop must be on a subnet of the router, gateway included.
func (c *call) checkRoutes(r *model.Router, routes []model.Route, shown []any) error {
	if most := c.s.cfg.Networks.MaxRoutes; len(routes) > most {
		return fail(http.StatusBadRequest, "RoutesExhausted", "Unable to complete operation for %s. The number of routes exceeds the maximum %d.", r.ID, most)
	}
	var subnets []*model.Subnet
	own := map[netip.Addr]bool{}
	for _, p := range c.view().PortsOfDevice(r.ID) {
		for _, f := range p.FixedIPs {
			own[f.Address] = true
			if s, ok := c.view().Subnet(f.SubnetID); ok {
				subnets = append(subnets, s)
			}
		}
	}
	for _, route := range routes {
		reason := ""
		switch {
		case !slices.ContainsFunc(subnets, func(s *model.Subnet) bool { return s.CIDR.Contains(route.NextHop) }):
			reason = "the nexthop is not connected with router"
		case own[route.NextHop]:
			reason = "the nexthop is used by router"
		}
		if reason != "" {
			return invalidRoutes(shown, reason)
		}
	}
	return nil
}

func invalidRoutes(shown []any, reason string) *Error {
	parts := make([]string, len(shown))
	for i, x := range shown {
		m := x.(map[string]any)
		parts[i] = "{'destination': " + repr(m["destination"]) + ", 'nexthop': " + repr(m["nexthop"]) + "}"
	}
	return fail(http.StatusBadRequest, "InvalidRoutes", "Invalid format for routes: [%s], %s", strings.Join(parts, ", "), reason)
}

func routesBody(body map[string]any) ([]any, error) {
	m, _ := body["router"].(map[string]any)
	l, ok := m["routes"]
	if !ok {
		return nil, badRequest("Unable to find 'routes' in request body")
	}
	if reason := isRoutes(l); reason != "" {
		return nil, badRequest("Invalid input for routes. Reason: %s.", reason)
	}
	return l.([]any), nil
}

func addRoutes(c *call, o model.Object, body map[string]any) (any, error) {
	r := o.(*model.Router)
	l, err := routesBody(body)
	if err != nil {
		return nil, err
	}
	routes, shown := slices.Clone(r.Routes), routesOf(r.Routes).([]any)
	for i, x := range readRoutes(l) {
		if !slices.Contains(routes, x) {
			routes, shown = append(routes, x), append(shown, l[i])
		}
	}
	if err := c.checkRoutes(r, routes, shown); err != nil {
		return nil, err
	}
	return c.storeRoutes(r, routes)
}

func removeRoutes(c *call, o model.Object, body map[string]any) (any, error) {
	r := o.(*model.Router)
	l, err := routesBody(body)
	if err != nil {
		return nil, err
	}
	gone := readRoutes(l)
	return c.storeRoutes(r, slices.DeleteFunc(slices.Clone(r.Routes), func(x model.Route) bool { return slices.Contains(gone, x) }))
}

func (c *call) storeRoutes(r *model.Router, routes []model.Route) (any, error) {
	next := clone(r).(*model.Router)
	next.Routes = routes
	c.write(model.Routers, r, next)
	return c.one(http.StatusOK, routerResource, next, nil).body, nil
}
