package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

var portResource = new(Resource)

func init() {
	*portResource = Resource{
		Name: "port", Collection: "ports", Table: model.Ports, FirstRevision: 1, Quota: "port",
		New:     func() model.Object { return &model.Port{} },
		Missing: func(id string) *Error { return notFound("PortNotFound", "Port %s could not be found.", id) },
		Visible: portOfOwnNetwork, DeleteBy: portOfOwnNetwork, OwnedBy: func(c *call, _ model.Object, _ Values) bool { return c.who.advsvc() },
		NarrowBy: map[string]*model.Index{"network_id": model.PortsByNetwork, "device_id": model.PortsByDevice,
			"tenant_id": model.PortsByProject, "project_id": model.PortsByProject},
		Create: createPort, Update: updatePort, Delete: deletePort,
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			Attr{Name: "network_id", Ops: C | V | F | S | P, Default: required, Check: isUUID,
				Get: get(func(p *model.Port) any { return string(p.NetworkID) }),
				Set: put(func(p *model.Port, v any) { p.NetworkID = model.NetworkID(v.(string)) })},
			adminStateAttr(func(o model.Object) *bool { return &o.(*model.Port).AdminStateUp }),
			Attr{Name: "mac_address", Ops: C | U | V | F | S, Default: unset, Check: noneOr(isMAC), SetBy: func(c *call, o model.Object, in Values) bool {
				return o == nil && networkOwnerSets(c, o, in) || c.who.advsvc()
			},
				Get: get(func(p *model.Port) any { return p.MAC.String() }),
				Match: func(_ *call, o model.Object, values []any) bool {
					return slices.ContainsFunc(values, func(v any) bool { return strings.EqualFold(text(v), o.(*model.Port).MAC.String()) })
				}},
			Attr{Name: "fixed_ips", Ops: C | U | V | F, Default: unset, Check: isFixedIPs, KeyValue: true, Match: matchFixedIPs, SetBy: mayFixIPs, Sub: []string{"ip_address", "subnet_id"},
				Get: get(func(p *model.Port) any { return fixedIPs(p) })},
			Attr{Name: "device_id", Ops: C | U | V | F | S, Default: "", Check: isString(255),
				Get: get(func(p *model.Port) any { return p.DeviceID }),
				Set: put(func(p *model.Port, v any) { p.DeviceID = v.(string) })},
			Attr{Name: "device_owner", Ops: C | U | V | F | S, Default: "", Check: isString(255),
				SetBy: func(c *call, o model.Object, in Values) bool {
					return !strings.HasPrefix(in.str("device_owner"), "network:") || networkOwnerSets(c, o, in)
				},
				Get: get(func(p *model.Port) any { return p.DeviceOwner }),
				Set: put(func(p *model.Port, v any) { p.DeviceOwner = v.(string) })},
			tenantAttr(), projectAttr(),
			Attr{Name: "status", Ops: V | F | S, Get: getc(func(c *call, p *model.Port) any { return portStatus(c, p) })},
			Attr{Name: "allowed_address_pairs", Ops: C | U | V, Default: unset, Conv: convNoneToList, Check: isAddressPairs, SetBy: networkOwnerSets, Sub: []string{"mac_address", "ip_address"},
				Get: get(func(p *model.Port) any {
					out := []any{}
					sent, _ := p.Extra[pairsAsSent].([]any)
					for i, a := range p.AllowedAddressPairs {
						m := map[string]any{"mac_address": a.MAC.String(), "ip_address": prefixText(a.Prefix)}
						if len(sent) == len(p.AllowedAddressPairs) {
							m["ip_address"] = sent[i]
						}
						out = append(out, m)
					}
					return out
				})},
			Attr{Name: "extra_dhcp_opts", Ops: C | U | V, Check: isDHCPOptions,
				Get: get(func(p *model.Port) any {
					out := []any{}
					for _, d := range p.DHCPOptions {
						out = append(out, map[string]any{"opt_name": d.Name, "opt_value": d.Value, "ip_version": d.IPVersion})
					}
					return out
				})},
			Attr{Name: "ip_allocation", Ops: V | F | S, Get: get(func(p *model.Port) any {
				if p.Extra["ip_allocation"] != nil {
					return p.Extra["ip_allocation"]
				}
				return "immediate"
			})},
			Attr{Name: "resource_request", Ops: V, SeenBy: adminOnly, Get: func(*call, model.Object) any { return nil }},
			Attr{Name: "binding:vif_type", Ops: V, SeenBy: adminOnly, Get: getc(func(c *call, p *model.Port) any { t, _ := c.vif(p); return t })},
			Attr{Name: "binding:vif_details", Ops: V, SeenBy: adminOnly, Get: getc(func(c *call, p *model.Port) any { _, d := c.vif(p); return d })},
			Attr{Name: "binding:vnic_type", Ops: C | U | V, Default: "normal", Check: isOneOf("normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa", "accelerator-direct", "accelerator-direct-physical", "remote-managed"), SetBy: anyone,
				Get: get(func(p *model.Port) any { return p.VNICType }),
				Set: put(func(p *model.Port, v any) { p.VNICType = v.(string) })},
			Attr{Name: "binding:host_id", Ops: C | U | V | F, Default: unset, SetBy: adminOnly, SeenBy: adminOnly,
				Get: getc(func(c *call, p *model.Port) any { return string(c.portHost(p)) }),
				Set: put(func(p *model.Port, v any) { s, _ := v.(string); p.HostID = model.HostName(s) })},
			Attr{Name: "binding:profile", Ops: C | U | V, Default: unset, Check: noneOr(isDict), SetBy: adminOnly, SeenBy: adminOnly,
				Get: get(func(p *model.Port) any {
					if p.Profile == nil {
						return map[string]any{}
					}
					return p.Profile
				}),
				Set: put(func(p *model.Port, v any) { p.Profile, _ = v.(map[string]any) })},
			Attr{Name: "port_security_enabled", Ops: C | U | V, Default: unset, Conv: convBool, SetBy: networkOwnerSets,
				Get: get(func(p *model.Port) any { return p.PortSecurity }),
				Set: put(func(p *model.Port, v any) { p.PortSecurity = v.(bool) })},
			Attr{Name: "trunk_details", Ops: V, Get: getc(trunkDetails), Absent: func(c *call, o model.Object) bool {
				_, ok := c.view().TrunkOf(model.PortID(metaOf(o).ID))
				return !ok
			}},
			extraAttr(Attr{Name: "qos_policy_id", Ops: C | U | V, Check: noneOr(isUUID)}, nil),
			Attr{Name: "qos_network_policy_id", Ops: V, Get: getc(func(c *call, p *model.Port) any {
				if n, ok := c.view().Network(p.NetworkID); ok {
					return n.Extra["qos_policy_id"]
				}
				return nil
			})},
			standardAttrs(),
			Attr{Name: "tags", Ops: C | V | F, Default: []any{}, Check: listOf(isString(255)), Get: tagAttrs()[0].Get, Match: tagAttrs()[0].Match,
				Set: func(o model.Object, v any) { metaOf(o).Tags = strs(v) }},
			tagAttrs()[1:],
			Attr{Name: "dns_name", Ops: C | U | V, Default: "", Conv: convLower, Check: isDNSName,
				Get: get(func(p *model.Port) any { return p.DNSName }),
				Set: put(func(p *model.Port, v any) { p.DNSName = v.(string) })},
			Attr{Name: "dns_assignment", Ops: V, Get: getc(dnsAssignment)},
			extraAttr(Attr{Name: "dns_domain", Ops: C | U | V, Default: "", Conv: convLower, Check: isDNSDomain}, ""),
			descriptionAttr(),
			Attr{Name: "security_groups", Ops: C | U | V | F, Default: unset, Conv: convNoneToList, Check: listOf(isUUID),
				Get: get(func(p *model.Port) any { return stringList(p.SecurityGroups) })},
		),
	}
}

// networkOwnerSets: attributes that only the network's owner may choose.
func networkOwnerSets(c *call, o model.Object, in Values) bool {
	id := model.NetworkID(in.str("network_id"))
	if p, ok := o.(*model.Port); ok && p != nil {
		id = p.NetworkID
	}
	return c.who.advsvc() || ownsNetwork(c, id)
}

// mayFixIPs: on a shared network anybody may choose subnets, only its owner addresses.
func mayFixIPs(c *call, o model.Object, in Values) bool {
	if networkOwnerSets(c, o, in) {
		return true
	}
	id := model.NetworkID(in.str("network_id"))
	if p, ok := o.(*model.Port); ok && p != nil {
		id = p.NetworkID
	}
	n, ok := c.view().Network(id)
	if !ok || !networkShared(c, n) {
		return false
	}
	l, _ := in["fixed_ips"].([]any)
	return !slices.ContainsFunc(l, func(x any) bool { m, _ := x.(map[string]any); return has(m, "ip_address") })
}

func portOfOwnNetwork(c *call, o model.Object, _ Values) bool {
	return c.who.advsvc() || ownsNetwork(c, o.(*model.Port).NetworkID)
}

func fixedIPs(p *model.Port) any {
	out := make([]any, len(p.FixedIPs))
	for i, f := range p.FixedIPs {
		out[i] = map[string]any{"subnet_id": string(f.SubnetID), "ip_address": f.Address.String()}
	}
	return out
}

func matchFixedIPs(_ *call, o model.Object, values []any) bool {
	want := values[0].(map[string]any)
	p := o.(*model.Port)
	for _, k := range sortedKeys(want) {
		if k != "subnet_id" && k != "ip_address" && k != "ip_address_substr" {
			continue
		}
		hit := slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool {
			return slices.ContainsFunc(want[k].([]any), func(v any) bool {
				switch k {
				case "subnet_id":
					return string(f.SubnetID) == v
				case "ip_address":
					return f.Address.String() == v
				}
				return strings.Contains(f.Address.String(), text(v))
			})
		})
		if !hit {
			return false
		}
	}
	return true
}

// prefixText leaves a full prefix length away.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func portStatus(c *call, p *model.Port) string {
	if p.DeviceOwner == model.OwnerDHCP && ownDHCPPort(p) {
		return model.StatusActive
	}
	if p.DeviceOwner == model.OwnerFloatingIP {
		return "N/A"
	}
	if s := c.routerPortStatus(p); s != "" {
		return s
	}
	return c.view().Status(model.PortID(p.ID))
}

// routerPortStatus is the status of a router's own port, "" for other ports. An interface is on every host that needs it
// before a port there becomes ACTIVE, so nothing is outstanding for it; a gateway needs a host that is alive.
func (c *call) routerPortStatus(p *model.Port) string {
	gateway := p.DeviceOwner == model.OwnerRouterGateway
	if c.s.cfg.NoDHCPPorts || !gateway && !isRouterPort(p.DeviceOwner) {
		return ""
	}
	r, ok := c.view().Router(p.DeviceID)
	if !ok {
		return ""
	}
	up := r.AdminStateUp && p.AdminStateUp
	if gateway && up {
		h, ok := c.view().GatewayHost(r)
		s, known := c.view().HostState(h)
		up = ok && known && s.Alive
	}
	if up {
		return model.StatusActive
	}
	return model.StatusDown
}

// portHost is where a port is bound: where a client said, or where its VIF was seen.
func (c *call) portHost(p *model.Port) model.HostName {
	if p.HostID != "" {
		return p.HostID
	}
	if l := c.view().BindingsOf(model.PortID(p.ID)); len(l) > 0 {
		return l[0].Host
	}
	return ""
}

// vif gives binding:vif_type and binding:vif_details.
func (c *call) vif(p *model.Port) (string, map[string]any) {
	host := c.portHost(p)
	if host == "" {
		return "unbound", map[string]any{}
	}
	return c.vifOn(p, host, p.VNICType)
}

// vifOn is what vif gives if the port is bound on a host.
func (c *call) vifOn(p *model.Port, host model.HostName, vnic string) (string, map[string]any) {
	h, ok := c.view().Host(host)
	if !ok || !reachable(c, h, p) || vnic != "normal" {
		return "binding_failed", map[string]any{}
	}
	datapath := h.DatapathType
	if s, ok := c.src().Get(model.HostStates, string(host)).(*model.HostState); ok && s.Datapath != "" {
		datapath = s.Datapath
	}
	if datapath == "" {
		datapath = "system"
	}
	return "ovs", map[string]any{"connectivity": "l2", "port_filter": true, "ovs_hybrid_plug": false,
		"datapath_type": datapath, "bridge_name": "br-int"}
}

// reachable reports whether a host has what a port's network needs: the bridge of a physical network.
func reachable(c *call, h *model.Host, p *model.Port) bool {
	n, ok := c.view().Network(p.NetworkID)
	if !ok {
		return false
	}
	for _, s := range n.Segments {
		if s.PhysicalNetwork == "" || h.BridgeMappings[s.PhysicalNetwork] != "" {
			return true
		}
	}
	return len(n.Segments) == 0
}

// settleDNS: with the default domain ports have no names of their own, as the reference has it.
func (c *call) settleDNS(p *model.Port) {
	if strings.TrimSuffix(c.s.cfg.Networks.DNSDomain, ".") == "openstacklocal" {
		p.DNSName = ""
		setExtra(&p.Meta, "dns_domain", nil)
	}
}

func dnsAssignment(c *call, p *model.Port) any {
	domain := strings.TrimSuffix(c.s.cfg.Networks.DNSDomain, ".") + "."
	out := []any{}
	for _, f := range p.FixedIPs {
		host := p.DNSName
		if host == "" {
			host = "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(f.Address.String())
		}
		fqdn := host
		if !strings.HasSuffix(host, ".") {
			fqdn = host + "." + domain
		}
		out = append(out, map[string]any{"ip_address": f.Address.String(), "hostname": host, "fqdn": fqdn})
	}
	return out
}

func createPort(c *call, o model.Object, in Values) error {
	p := o.(*model.Port)
	n, ok := c.view().Network(p.NetworkID)
	if !ok || !c.sees(networkResource, n) {
		return networkResource.Missing(string(p.NetworkID))
	}
	if !c.mayUse(n) {
		return fail(http.StatusForbidden, "HTTPForbidden", "Tenant %s not allowed to create port on this network", in.str("tenant_id"))
	}
	if err := c.checkQos(in); err != nil {
		return err
	}
	if !in.has("port_security_enabled") {
		p.PortSecurity = n.PortSecurity && !strings.HasPrefix(p.DeviceOwner, "network:")
	}
	if in.set("mac_address") {
		m, _ := parseMAC(in.str("mac_address"))
		p.MAC = m
	}
	if err := c.takeMAC(p); err != nil {
		return err
	}
	subnets, err := c.candidates(p)
	if err != nil {
		return err
	}
	reqs := defaultRequests(subnets)
	if l, ok := in["fixed_ips"].([]any); ok {
		if len(l) == 0 {
			setExtra(&p.Meta, "ip_allocation", "none")
		}
		if reqs, err = c.requests(p, subnets, l); err != nil {
			return err
		}
	}
	if err := c.takeAddresses(p, reqs, subnets); err != nil {
		return err
	}
	if err := setPairs(p, in); err != nil {
		return err
	}
	if err := c.setGroups(p, in, true); err != nil {
		return err
	}
	if l, ok := in["extra_dhcp_opts"].([]any); ok {
		p.DHCPOptions = mergeOptions(nil, l)
	}
	if len(p.Tags) > 0 {
		p.Revision++ // the reference writes them after the port
	}
	c.settleDNS(p)
	c.tx.Exists(model.Networks, n.ID)
	c.tx.Touch(networkGuard(p.NetworkID))
	return nil
}

func updatePort(c *call, old, o model.Object, in Values) error {
	was, p := old.(*model.Port), o.(*model.Port)
	if err := c.checkQos(in); err != nil {
		return err
	}
	if in.has("mac_address") {
		if err := c.changeMAC(was, p, in); err != nil {
			return err
		}
	}
	if l, ok := in["fixed_ips"].([]any); ok || p.MAC != was.MAC {
		if err := c.changeAddresses(was, p, l, ok); err != nil {
			return err
		}
	}
	if isRouterPort(was.DeviceOwner) && c.ownedPort(was) && !slices.Equal(v4Of(was), v4Of(p)) {
		return badResource("ports", "IP updates for port %s are not allowed", p.ID)
	}
	if err := setPairs(p, in); err != nil {
		return err
	}
	if err := c.setGroups(p, in, false); err != nil {
		return err
	}
	c.settleDNS(p)
	if l, ok := in["extra_dhcp_opts"].([]any); ok {
		p.DHCPOptions = mergeOptions(was.DHCPOptions, l)
	}
	return nil
}

// v4Of are a port's IPv4 addresses, sorted.
func v4Of(p *model.Port) (out []netip.Addr) {
	for _, f := range p.FixedIPs {
		if f.Address.Is4() {
			out = append(out, f.Address)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func (c *call) changeMAC(was, p *model.Port, in Values) error {
	next := model.MAC{}
	if in.set("mac_address") {
		m, _ := parseMAC(in.str("mac_address"))
		next = m
	}
	if next == was.MAC {
		return nil
	}
	if t, _ := c.vif(was); t != "unbound" && t != "binding_failed" {
		return conflict("PortBound", "Unable to complete operation on port %s, port is already bound, port type: %s, old_mac %s, new_mac %s.", p.ID, t, was.MAC, next)
	}
	p.MAC = next
	if err := c.takeMAC(p); err != nil {
		return err
	}
	c.tx.Release(macSpace(p.NetworkID), was.MAC.String())
	return nil
}

// changeAddresses gives a port a new list of addresses, keeping those that stay.
func (c *call) changeAddresses(was, p *model.Port, fixed []any, given bool) error {
	subnets, err := c.candidates(p)
	if err != nil {
		return err
	}
	auto := func(id model.SubnetID) bool {
		s, ok := c.view().Subnet(id)
		return ok && autoAddress(s) && !isRouterPort(p.DeviceOwner)
	}
	keep := map[netip.Addr]bool{}
	var add []any
	if !given {
		for _, f := range was.FixedIPs {
			keep[f.Address] = true
		}
	}
	left := slices.Clone(was.FixedIPs)
	takeLeft := func(f func(model.FixedIP) bool) bool {
		i := slices.IndexFunc(left, f)
		if i < 0 {
			return false
		}
		keep[left[i].Address] = true
		left = slices.Delete(left, i, i+1)
		return true
	}
	for _, x := range fixed {
		m := x.(map[string]any)
		if s, ok := m["ip_address"].(string); ok {
			a, _ := netip.ParseAddr(s)
			if !takeLeft(func(f model.FixedIP) bool { return f.Address == a }) {
				add = append(add, x)
			}
		}
	}
	for _, x := range fixed {
		m := x.(map[string]any)
		if _, ok := m["ip_address"]; ok {
			continue
		}
		if !takeLeft(func(f model.FixedIP) bool { return string(f.SubnetID) == m["subnet_id"] }) {
			add = append(add, x)
		}
	}
	p.FixedIPs = nil
	for _, f := range was.FixedIPs {
		switch {
		case auto(f.SubnetID) && p.MAC != was.MAC: // made anew below
			c.tx.Release(addressSpace(p.NetworkID), f.Address.String())
		case keep[f.Address] || auto(f.SubnetID):
			p.FixedIPs = append(p.FixedIPs, f)
		default:
			c.tx.Release(addressSpace(p.NetworkID), f.Address.String())
		}
	}
	reqs, err := c.requests(p, subnets, add)
	if err != nil {
		return err
	}
	return c.takeAddresses(p, reqs, subnets)
}

func deletePort(c *call, o model.Object) error {
	p := o.(*model.Port)
	switch p.DeviceOwner {
	case model.OwnerRouterInterface, model.OwnerRouterGateway, model.OwnerFloatingIP, model.OwnerDistributedRoute:
		if c.ownedPort(p) {
			return conflict("ServicePortInUse", "Port %s cannot be deleted directly via the port API: has device owner %s.", p.ID, p.DeviceOwner)
		}
	}
	if err := c.trunkHolds(p); err != nil {
		return err
	}
	if err := c.forgetPort(p); err != nil {
		return err
	}
	c.releasePort(p)
	return nil
}

// --- allowed address pairs and DHCP options

const maxPairs = 10

// pairsAsSent keeps how a client wrote the pairs' addresses, where that is not how they would be shown.
const pairsAsSent = "allowed_address_pairs_as_sent"

func isAddressPairs(v any) string {
	l, ok := v.([]any)
	if !ok {
		return raisedAs("HTTPBadRequest", "Allowed address pairs must be a list.")
	}
	if len(l) > maxPairs {
		return raisedAs("AllowedAddressPairExhausted", "The number of allowed address pair exceeds the maximum 10.")
	}
	seen := map[string]bool{}
	for _, x := range l {
		m, ok := x.(map[string]any)
		if !ok {
			return "'" + text(x) + "' is not a dictionary"
		}
		if !has(m, "ip_address") {
			return raisedAs("AllowedAddressPairsMissingIP", "AllowedAddressPair must contain ip_address")
		}
		if mac, ok := m["mac_address"]; ok {
			if r := isMAC(mac); r != "" {
				return raisedAs("HTTPBadRequest", r)
			}
		}
		mac, _ := m["mac_address"].(string)
		key := mac + " " + text(m["ip_address"])
		if seen[key] {
			shown := mac
			if shown == "" {
				shown = "None"
			}
			return raisedAs("DuplicateAddressPairInRequest", "Request contains duplicate address pair: mac_address "+shown+" ip_address "+text(m["ip_address"])+".")
		}
		seen[key] = true
		for _, k := range sortedKeys(m) {
			if k != "ip_address" && k != "mac_address" {
				return raisedAs("HTTPBadRequest", "Unrecognized attribute(s) '"+k+"'")
			}
		}
		check := isIP
		if strings.Contains(text(m["ip_address"]), "/") {
			check = isSubnet
		}
		if r := check(m["ip_address"]); r != "" {
			return raisedAs("HTTPBadRequest", r)
		}
	}
	return ""
}

// setPairs stores allowed_address_pairs; without a MAC a pair has the port's.
func setPairs(p *model.Port, in Values) error {
	l, ok := in["allowed_address_pairs"].([]any)
	if ok {
		p.AllowedAddressPairs = nil
		var sent []any
		differ := false
		for _, x := range l {
			m := x.(map[string]any)
			a := model.AddressPair{MAC: p.MAC}
			if s, ok := m["mac_address"].(string); ok {
				a.MAC, _ = parseMAC(s)
			}
			a.Prefix, _ = parseNetwork(text(m["ip_address"]))
			p.AllowedAddressPairs = append(p.AllowedAddressPairs, a)
			sent = append(sent, text(m["ip_address"]))
			differ = differ || text(m["ip_address"]) != prefixText(a.Prefix)
		}
		if differ {
			setExtra(&p.Meta, pairsAsSent, sent)
		} else {
			setExtra(&p.Meta, pairsAsSent, nil)
		}
	}
	if !p.PortSecurity && len(p.AllowedAddressPairs) > 0 {
		return conflict("AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed address pairs on a port.")
	}
	return nil
}

func isDHCPOptions(v any) string {
	if v == nil {
		return ""
	}
	l, ok := v.([]any)
	if !ok {
		return raised + "'" + text(v) + "' is not a list"
	}
	if r := listOf(func(any) string { return "" })(v); r != "" {
		return raised + r
	}
	for _, x := range l {
		if !dhcpOption(x) {
			return raised + "No valid key specs matched for: " + optionText(x)
		}
	}
	return ""
}

// optionText shows an option with its keys in their usual order.
func optionText(x any) string {
	m, ok := x.(map[string]any)
	if !ok {
		return text(x)
	}
	var parts []string
	for _, k := range []string{"opt_name", "opt_value", "ip_version"} {
		if v, ok := m[k]; ok {
			parts = append(parts, repr(k)+": "+repr(v))
		}
	}
	if len(parts) != len(m) {
		return text(x)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func dhcpOption(x any) bool {
	m, ok := x.(map[string]any)
	if !ok || !has(m, "opt_name") || !has(m, "opt_value") {
		return false
	}
	for k := range m {
		if k != "opt_name" && k != "opt_value" && k != "ip_version" {
			return false
		}
	}
	if v, ok := m["ip_version"]; ok {
		n, ok := toInt(v)
		if !ok || n != 4 && n != 6 {
			return false
		}
		m["ip_version"] = n
	}
	if m["opt_name"] == "router" || m["opt_name"] == "classless-static-route" {
		return noneOr(isString(255))(m["opt_value"]) == ""
	}
	return oneLine(64)(m["opt_name"]) == "" && noneOr(oneLine(255))(m["opt_value"]) == ""
}

// mergeOptions applies a list of options: one with a null value goes, one that is there is replaced.
func mergeOptions(have []model.DHCPOption, l []any) []model.DHCPOption {
	out := slices.Clone(have)
	for _, x := range l {
		m := x.(map[string]any)
		d := model.DHCPOption{Name: text(m["opt_name"]), IPVersion: 4}
		if n, ok := m["ip_version"].(int64); ok {
			d.IPVersion = int(n)
		}
		i := slices.IndexFunc(out, func(o model.DHCPOption) bool { return o.Name == d.Name && o.IPVersion == d.IPVersion })
		if m["opt_value"] == nil {
			if i >= 0 {
				out = slices.Delete(out, i, i+1)
			}
			continue
		}
		d.Value = text(m["opt_value"])
		if i >= 0 {
			out[i] = d
		} else {
			out = append(out, d)
		}
	}
	return out
}
