package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
)

var ruleResource = new(Resource)

func init() {
	*ruleResource = Resource{
		Name: "security_group_rule", Collection: "security_group_rules", Table: model.SecurityGroupRules, NoTags: true, Quota: "security_group_rule", Hides: true,
		New: func() model.Object { return &model.SecurityGroupRule{} },
		Missing: func(id string) *Error {
			return notFound("SecurityGroupRuleNotFound", "Security group rule %s does not exist", id)
		},
		Visible: func(c *call, o model.Object, _ Values) bool {
			g, ok := c.view().SecurityGroup(o.(*model.SecurityGroupRule).GroupID)
			return ok && c.sees(secgroupResource, g)
		},
		NarrowBy: map[string]*model.Index{"security_group_id": model.RulesByGroup, "remote_group_id": model.RulesByRemoteGroup,
			"tenant_id": model.SecurityGroupRulesByProject, "project_id": model.SecurityGroupRulesByProject},
		Before: func(c *call, q *query) error { return c.ensureListedDefault(q) },
		Bulk:   checkRuleBulk,
		Create: createRule,
		Delete: func(c *call, o model.Object) error {
			c.bump(model.SecurityGroups, o.(*model.SecurityGroupRule).GroupID)
			return nil
		},
		Attrs: attrs(
			standardAttrs(),
			Attr{Name: "description", Ops: C | U | V | F, Default: "", Check: isString(255), Set: func(o model.Object, v any) {
				m := metaOf(o)
				m.Description, _ = v.(string)
				setExtra(m, noDescription, nil)
			}, Get: func(_ *call, o model.Object) any {
				if m := metaOf(o); m.Extra[noDescription] == nil {
					return m.Description
				}
				return nil
			}},
			idAttr(),
			Attr{Name: "security_group_id", Ops: C | V | F | S | P, Default: required, Check: isString(36),
				Get: get(func(r *model.SecurityGroupRule) any { return r.GroupID }),
				Set: put(func(r *model.SecurityGroupRule, v any) { r.GroupID = v.(string) })},
			Attr{Name: "remote_group_id", Ops: C | V | F | S,
				Get: get(func(r *model.SecurityGroupRule) any { return orNull(r.RemoteGroupID) })},
			Attr{Name: "direction", Ops: C | V | F | S, Default: required, Check: isOneOf("ingress", "egress"),
				Get: get(func(r *model.SecurityGroupRule) any { return r.Direction }),
				Set: put(func(r *model.SecurityGroupRule, v any) { r.Direction = v.(string) })},
			Attr{Name: "protocol", Ops: C | V | F | S, Conv: convProtocol,
				Get: get(func(r *model.SecurityGroupRule) any { return orNull(r.Protocol) })},
			Attr{Name: "port_range_min", Ops: C | V | F | S, Conv: convPort,
				Get: get(func(r *model.SecurityGroupRule) any { return portOrNull(r.PortMin) })},
			Attr{Name: "port_range_max", Ops: C | V | F | S, Conv: convPort,
				Get: get(func(r *model.SecurityGroupRule) any { return portOrNull(r.PortMax) })},
			Attr{Name: "ethertype", Ops: C | V | F | S, Default: "IPv4", Conv: convEthertype,
				Get: get(func(r *model.SecurityGroupRule) any { return r.EtherType }),
				Set: put(func(r *model.SecurityGroupRule, v any) { r.EtherType = v.(string) })},
			Attr{Name: "remote_ip_prefix", Ops: C | V | F | S, Conv: convIPPrefix,
				Get: get(func(r *model.SecurityGroupRule) any { return orNull(r.RemoteAsSent) })},
			tenantAttr(), projectAttr(),
			Attr{Name: "normalized_cidr", Ops: V | F | S, Get: get(func(r *model.SecurityGroupRule) any {
				if !r.RemotePrefix.IsValid() {
					return nil
				}
				return r.RemotePrefix.String()
			})},
			Attr{Name: "remote_address_group_id", Ops: C | V | F | S,
				Get: get(func(r *model.SecurityGroupRule) any { return orNull(r.RemoteAddressGroupID) })},
		),
	}
}

// noDescription marks the rules that come with a group: their description is null until somebody sets one.
const noDescription = "no_description"

func portOrNull(n int) any {
	if n == model.NoPort {
		return nil
	}
	return n
}

// protocols are the names that rules may use, and their numbers.
var protocols = map[string]int{"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
	"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89,
	"pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112}

// protocolOrder is how the reference lists them in its message.
var protocolOrder = []any{nil, "ah", "dccp", "egp", "esp", "gre", "hopopt", "icmp", "igmp", "ip", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp",
	"icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp"}

func convProtocol(v any) (any, *Error) {
	if v == nil {
		return nil, nil
	}
	if n, ok := toInt(v); ok {
		if n >= 0 && n <= 255 {
			return text(v), nil
		}
	} else if s, ok := v.(string); ok {
		if _, ok := protocols[strings.ToLower(s)]; ok {
			return strings.ToLower(s), nil
		}
	}
	return nil, fail(http.StatusBadRequest, "SecurityGroupRuleInvalidProtocol", "Security group rule protocol %s not supported. Only protocol values %s and integer representations [0 to 255] are supported.", text(v), repr(protocolOrder))
}

func convPort(v any) (any, *Error) {
	if v == nil {
		return nil, nil
	}
	n, ok := toInt(v)
	if _, isBool := v.(bool); !ok || isBool || n < 0 || n > 65535 {
		return nil, fail(http.StatusBadRequest, "SecurityGroupInvalidPortValue", "Invalid value for port %s", text(v))
	}
	return n, nil
}

func convEthertype(v any) (any, *Error) {
	s, _ := v.(string)
	for _, e := range []string{"IPv4", "IPv6"} {
		if strings.EqualFold(e, s) {
			return e, nil
		}
	}
	return nil, fail(http.StatusBadRequest, "SecurityGroupRuleInvalidEtherType", "Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", text(v))
}

func convIPPrefix(v any) (any, *Error) {
	if v == nil || v == "" || v == false {
		return nil, nil
	}
	if s, ok := v.(string); ok {
		if p, ok := parseNetwork(s); ok {
			return p.String(), nil
		}
	}
	return nil, fail(http.StatusBadRequest, "InvalidCIDR", "Invalid CIDR %s given as IP prefix.", text(v))
}

// hasPorts are the protocols with port numbers.
var hasPorts = []int{33, 132, 6, 17, 136}

func secRuleError(typ, format string, args ...any) *Error {
	return fail(http.StatusBadRequest, typ, format, args...)
}

func checkRuleBulk(c *call, items []Values) error {
	for _, in := range items[1:] {
		if in.str("security_group_id") != items[0].str("security_group_id") {
			return secRuleError("SecurityGroupNotSingleGroupRules", "Only allowed to update rules for one security profile at a time")
		}
		if in.str("tenant_id") != items[0].str("tenant_id") {
			return secRuleError("SecurityGroupRulesNotSingleTenant", "Multiple tenant_ids in bulk security group rule create not allowed")
		}
	}
	keys := map[string]bool{}
	for _, in := range items {
		r := &model.SecurityGroupRule{GroupID: in.str("security_group_id"), Direction: in.str("direction"), EtherType: in.str("ethertype")}
		if err := readRule(r, in); err != nil {
			return err
		}
		if keys[ruleKey(r)] {
			return conflict("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")
		}
		keys[ruleKey(r)] = true
	}
	return nil
}

func createRule(c *call, o model.Object, in Values) error {
	r := o.(*model.SecurityGroupRule)
	if err := readRule(r, in); err != nil {
		return err
	}
	if r.RemoteGroupID != "" {
		if g, ok := c.view().SecurityGroup(r.RemoteGroupID); !ok || !c.sees(secgroupResource, g) {
			return secgroupResource.Missing(r.RemoteGroupID)
		}
		c.holdGroups([]string{r.RemoteGroupID})
	}
	if r.RemoteAddressGroupID != "" {
		if g, ok := c.view().AddressGroup(r.RemoteAddressGroupID); !ok || !c.sees(addressGroupResource, g) {
			return addressGroupResource.Missing(r.RemoteAddressGroupID)
		}
		c.tx.Exists(model.AddressGroups, r.RemoteAddressGroupID)
		c.tx.Touch("addressgroup/" + r.RemoteAddressGroupID)
	}
	g, ok := c.view().SecurityGroup(r.GroupID)
	if !ok || !c.sees(secgroupResource, g) {
		return secgroupResource.Missing(r.GroupID)
	}
	key := ruleKey(r)
	for _, x := range c.view().RulesOf(r.GroupID) {
		if ruleKey(x) == key {
			return conflict("SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", x.ID)
		}
	}
	c.bump(model.SecurityGroups, r.GroupID)
	return nil
}

// readRule checks and completes a rule from its attributes, in the reference's order.
func readRule(r *model.SecurityGroupRule, in Values) error {
	proto := in.str("protocol")
	if r.EtherType == "IPv6" {
		switch proto {
		case "icmp", "icmpv6":
			proto = "ipv6-icmp"
		case "1":
			proto = "58"
		}
	}
	r.Protocol, r.ProtocolNumber, r.PortMin, r.PortMax = proto, model.AnyProtocol, model.NoPort, model.NoPort
	if proto != "" {
		n, ok := protocols[proto]
		if !ok {
			n, _ = strconv.Atoi(proto)
		}
		r.ProtocolNumber = n
	}
	if n, ok := in["port_range_min"].(int64); ok {
		r.PortMin = int(n)
	}
	if n, ok := in["port_range_max"].(int64); ok {
		r.PortMax = int(n)
	}
	if r.PortMin == 1 && r.PortMax == 65535 {
		r.PortMin, r.PortMax = model.NoPort, model.NoPort
	}
	if err := checkPorts(r); err != nil {
		return err
	}
	if s := in.str("remote_ip_prefix"); s != "" {
		p, _ := netip.ParsePrefix(s)
		if (r.EtherType == "IPv4") != p.Addr().Is4() {
			return secRuleError("SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", r.EtherType, s)
		}
		r.RemoteAsSent, r.RemotePrefix = s, p.Masked()
	}
	if r.EtherType == "IPv4" {
		switch r.Protocol {
		case "ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "41", "44", "58", "59", "60", "43":
			return secRuleError("SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", r.EtherType, r.Protocol)
		}
	}
	remotes := 0
	for _, k := range []string{"remote_ip_prefix", "remote_group_id", "remote_address_group_id"} {
		if v := in[k]; v != nil && v != "" {
			remotes++
		}
	}
	if remotes > 1 {
		return secRuleError("SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
	}
	if v := in["remote_group_id"]; v != nil {
		r.RemoteGroupID = text(v)
	}
	if v := in["remote_address_group_id"]; v != nil {
		r.RemoteAddressGroupID = text(v)
	}
	return nil
}

func checkPorts(r *model.SecurityGroupRule) error {
	if r.PortMin == model.NoPort && r.PortMax == model.NoPort {
		return nil
	}
	if r.Protocol == "" {
		return secRuleError("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	}
	switch n := r.ProtocolNumber; {
	case slices.Contains(hasPorts, n):
		if r.PortMin == 0 || r.PortMax == 0 {
			return secRuleError("SecurityGroupInvalidPortValue", "Invalid value for port 0")
		}
		if r.PortMin == model.NoPort || r.PortMax == model.NoPort || r.PortMin > r.PortMax {
			return secRuleError("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
		}
	case n == 1 || n == 58:
		for _, x := range []struct {
			value       int
			field, attr string
		}{{r.PortMin, "type", "port_range_min"}, {r.PortMax, "code", "port_range_max"}} {
			if x.value > 255 {
				return secRuleError("SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", x.field, x.attr, x.value)
			}
		}
		if r.PortMin == model.NoPort {
			return secRuleError("SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", r.PortMax)
		}
	default:
		return secRuleError("SecurityGroupInvalidProtocolForPort", "Ports cannot be specified for protocol %d. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE.", n)
	}
	return nil
}

// ruleKey is what makes two rules the same.
func ruleKey(r *model.SecurityGroupRule) string {
	prefix := r.RemoteAsSent
	if prefix == "0.0.0.0/0" || prefix == "::/0" {
		prefix = ""
	}
	return strings.Join([]string{r.Direction, r.EtherType, strconv.Itoa(r.PortMin), strconv.Itoa(r.PortMax), strconv.Itoa(r.ProtocolNumber),
		r.RemoteGroupID, r.RemoteAddressGroupID, prefix}, "_")
}
