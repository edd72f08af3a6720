package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/ctl/client"
)

// completionTimeout bounds how long a shell waits for names.
const completionTimeout = 2 * time.Second

// Resources are the resources of the Networking API that penstockctl has commands for, in the order help lists them.
func Resources() []*Resource {
	return []*Resource{network, subnet, port, router, floatingIP, securityGroup, securityGroupRule, networkLog}
}

func collection(name, many string) client.Collection {
	return client.Collection{Name: name, Path: "/v2.0/" + many, Many: many}
}

// Flags that many resources have.
var (
	adminFlags = []Flag{
		{Name: "enable", Usage: "administrative state up (default)", On: Create | Update, Attr: "admin_state_up", Value: true},
		{Name: "disable", Usage: "administrative state down: nothing passes", On: Create | Update, Attr: "admin_state_up", Value: false},
	}
	commonFlags = []Flag{
		{Name: "description", Usage: "free `text`", On: Create | Update | List, Attr: "description"},
		{Name: "project", Usage: "owner's project `id`", On: Create | List, Attr: "project_id"},
	}
	portSecurityFlags = []Flag{
		{Name: "port-security", Aliases: []string{"enable-port-security"}, Usage: "anti-spoofing and security groups (default)",
			On: Create | Update, Attr: "port_security_enabled", Value: true},
		{Name: "no-port-security", Aliases: []string{"disable-port-security"}, Usage: "any source address may be sent; MACs are learned",
			On: Create | Update, Attr: "port_security_enabled", Value: false},
	}
)

var network = &Resource{
	Collection: collection("network", "networks"),
	Short:      "networks",
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "TYPE", Attr: "provider:network_type"},
		{Title: "SEGMENT", Attr: "provider:segmentation_id"}, {Title: "MTU", Attr: "mtu"},
		{Title: "STATUS", Attr: "status"}, {Title: "ADMIN UP", Attr: "admin_state_up"},
	},
	Flags: concat([]Flag{
		{Name: "type", Aliases: []string{"provider-network-type"}, Usage: "`type`: vxlan, gre, vlan, flat or local", On: Create | List,
			Attr: "provider:network_type", Enum: []string{"vxlan", "gre", "vlan", "flat", "local"}},
		{Name: "segment", Aliases: []string{"provider-segment"}, Usage: "VNI, GRE key or VLAN `id`", On: Create | Update | List,
			Attr: "provider:segmentation_id", Parse: number},
		{Name: "physical-network", Aliases: []string{"provider-physical-network"}, Usage: "`name` of the physical network that carries it",
			On: Create | List, Attr: "provider:physical_network"},
		{Name: "mtu", Usage: "`bytes` of an IP packet", On: Create | Update | List, Attr: "mtu", Parse: number},
		{Name: "share", Usage: "every project may use it", On: Create | Update, Attr: "shared", Value: true},
		{Name: "no-share", Usage: "only its project may use it (default)", On: Create | Update, Attr: "shared", Value: false},
		{Name: "external", Usage: "routers may have their gateway in it", On: Create | Update, Attr: "router:external", Value: true},
		{Name: "internal", Usage: "routers may not have their gateway in it (default)", On: Create | Update, Attr: "router:external", Value: false},
		{Name: "dns-domain", Usage: "`domain` of its ports' names", On: Create | Update, Attr: "dns_domain"},
		{Name: "status", Usage: "only those with this `status`", On: List, Attr: "status", Enum: statuses},
	}, portSecurityFlags, adminFlags, commonFlags),
}

var subnet = &Resource{
	Collection: collection("subnet", "subnets"),
	Short:      "subnets",
	Complete: func(attrs map[string]any) {
		attrs["ip_version"] = 4
		if c, _ := attrs["cidr"].(string); strings.Contains(c, ":") {
			attrs["ip_version"] = 6
		}
	},
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "NETWORK", Attr: "network_id", Ref: network},
		{Title: "CIDR", Attr: "cidr"}, {Title: "GATEWAY", Attr: "gateway_ip"}, {Title: "DHCP", Attr: "enable_dhcp"},
		{Title: "POOLS", Attr: "allocation_pools", Text: fields("-", "start", "end")},
	},
	Flags: concat([]Flag{
		{Name: "network", Usage: "`network` it belongs to", On: Create | List, Attr: "network_id", Ref: network, Required: true},
		{Name: "cidr", Aliases: []string{"subnet-range"}, Usage: "its addresses as `PREFIX/LENGTH`", On: Create | List, Attr: "cidr", Required: true, Parse: prefix},
		{Name: "gateway", Usage: "router's `address`; auto: the first (default); none", On: Create, Attr: "gateway_ip", Parse: gateway},
		{Name: "gateway", Usage: "router's `address`; none", On: Update, Attr: "gateway_ip", Parse: gateway},
		{Name: "dns", Aliases: []string{"dns-nameserver"}, Usage: "name server's `address`", On: Create | Update, Attr: "dns_nameservers", Many: true, Parse: address},
		{Name: "no-dns", Aliases: []string{"no-dns-nameservers"}, Usage: "no name servers", On: Update, Attr: "dns_nameservers", Value: []any{}},
		{Name: "dhcp", Usage: "answer DHCP (default)", On: Create | Update, Attr: "enable_dhcp", Value: true},
		{Name: "no-dhcp", Usage: "do not answer DHCP", On: Create | Update, Attr: "enable_dhcp", Value: false},
		{Name: "pool", Aliases: []string{"allocation-pool"}, Usage: "`FIRST-LAST` address given to ports", On: Create | Update,
			Attr: "allocation_pools", Many: true, Parse: pool},
		{Name: "host-route", Usage: "`PREFIX/LENGTH,NEXTHOP` that DHCP tells", On: Create | Update, Attr: "host_routes", Many: true, Parse: hostRoute},
		{Name: "no-host-route", Usage: "no host routes", On: Update, Attr: "host_routes", Value: []any{}},
		{Name: "ipv6-ra-mode", Usage: "`mode` of router advertisements", On: Create | List, Attr: "ipv6_ra_mode", Enum: ipv6Modes},
		{Name: "ipv6-address-mode", Usage: "`mode` of addresses", On: Create | List, Attr: "ipv6_address_mode", Enum: ipv6Modes},
		{Name: "ip-version", Usage: "4 or 6 (default: the CIDR's) as a `number`", On: List, Attr: "ip_version", Parse: number, Enum: []string{"4", "6"}},
		{Name: "service-type", Usage: "only ports with this `device owner` get addresses of it", On: Create | Update, Attr: "service_types", Many: true},
	}, commonFlags),
}

var port = &Resource{
	Collection: collection("port", "ports"),
	Short:      "ports",
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "NETWORK", Attr: "network_id", Ref: network},
		{Title: "MAC", Attr: "mac_address"}, {Title: "ADDRESSES", Attr: "fixed_ips", Text: fields("", "ip_address")},
		{Title: "HOST", Attr: "binding:host_id"}, {Title: "STATUS", Attr: "status"}, {Title: "OWNER", Attr: "device_owner"},
	},
	Flags: concat([]Flag{
		{Name: "network", Usage: "`network` it belongs to", On: Create | List, Attr: "network_id", Ref: network, Required: true},
		{Name: "fixed-ip", Usage: "its `address`: IP, or subnet=NAME,ip-address=IP, or subnet=NAME alone", On: Create | Update,
			Attr: "fixed_ips", Many: true, Parse: fixedIP},
		{Name: "no-fixed-ip", Usage: "no addresses", On: Create | Update, Attr: "fixed_ips", Value: []any{}},
		{Name: "fixed-ip", Usage: "only those with this `address`: IP, ip-address=IP or subnet=NAME", On: List,
			Attr: "fixed_ips", Many: true, Parse: fixedIPFilter},
		{Name: "mac", Aliases: []string{"mac-address"}, Usage: "MAC `address` (default: one of fa:16:3e)", On: Create | Update | List, Attr: "mac_address"},
		{Name: "host", Usage: "only this `host` may bind it (default: the first that shows it)", On: Create | Update, Attr: "binding:host_id"},
		{Name: "host", Usage: "only those on this `host`", On: List, Attr: "binding:host_id"},
		{Name: "device", Usage: "`id` of the machine it is for", On: Create | Update, Attr: "device_id"},
		{Name: "device", Aliases: []string{"device-id"}, Usage: "only those of this machine's `id`", On: List, Attr: "device_id"},
		{Name: "device-owner", Usage: "what the machine is, an `owner` such as compute:nova", On: Create | Update | List, Attr: "device_owner"},
		{Name: "vnic-type", Usage: "`type` of its interface", On: Create | Update, Attr: "binding:vnic_type", Enum: []string{"normal", "direct", "macvtap"}},
		{Name: "security-group", Usage: "security `group` it is in", On: Create | Update, Attr: "security_groups", Many: true, Ref: securityGroup},
		{Name: "no-security-group", Usage: "in no security group", On: Create | Update, Attr: "security_groups", Value: []any{}},
		{Name: "allowed-address", Usage: "further `address` it may send from: IP, or ip-address=PREFIX,mac-address=MAC", On: Create | Update,
			Attr: "allowed_address_pairs", Many: true, Parse: allowedAddress},
		{Name: "no-allowed-address", Usage: "no further addresses", On: Update, Attr: "allowed_address_pairs", Value: []any{}},
		{Name: "dhcp-option", Aliases: []string{"extra-dhcp-option"}, Usage: "DHCP option as `NAME=VALUE`, or name=NAME,value=VALUE,ip-version=N; an empty value takes it away", On: Create | Update,
			Attr: "extra_dhcp_opts", Many: true, Parse: dhcpOption},
		{Name: "dns-name", Usage: "its host `name` in DNS and DHCP", On: Create | Update, Attr: "dns_name"},
		{Name: "status", Usage: "only those with this `status`", On: List, Attr: "status", Enum: statuses},
	}, portSecurityFlags, adminFlags, commonFlags),
}

var (
	statuses  = []string{"ACTIVE", "DOWN", "BUILD", "ERROR"}
	ipv6Modes = []string{"slaac", "dhcpv6-stateful", "dhcpv6-stateless"}
)

func concat(parts ...[]Flag) []Flag {
	var out []Flag
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// fields makes a cell of a list of objects: their fields joined by sep.
func fields(sep string, names ...string) func(any) string {
	return func(v any) string {
		l, _ := v.([]any)
		parts := make([]string, 0, len(l))
		for _, x := range l {
			m, _ := x.(map[string]any)
			one := make([]string, len(names))
			for i, n := range names {
				one[i] = cell(m[n])
			}
			parts = append(parts, strings.Join(one, sep))
		}
		if len(parts) == 0 {
			return "-"
		}
		return strings.Join(parts, ", ")
	}
}

// --- values of flags

func number(_ *Lookup, s string) (any, error) {
	if _, err := strconv.ParseUint(s, 10, 32); err != nil {
		return nil, usage("it is not a number")
	}
	return json.Number(s), nil
}

func address(_ *Lookup, s string) (any, error) {
	if _, err := netip.ParseAddr(s); err != nil {
		return nil, usage("it is not an IP address")
	}
	return s, nil
}

func prefix(_ *Lookup, s string) (any, error) {
	if _, err := netip.ParsePrefix(s); err != nil {
		return nil, usage("it is not a prefix such as 10.0.0.0/24")
	}
	return s, nil
}

func gateway(l *Lookup, s string) (any, error) {
	switch s {
	case "none":
		return nil, nil
	case "auto":
		return omit, nil
	}
	return address(l, s)
}

func pool(l *Lookup, s string) (any, error) {
	first, last, ok := strings.Cut(s, "-")
	if strings.Contains(s, "=") {
		m, err := pairs(s, "start", "end")
		if err != nil {
			return nil, err
		}
		first, last, ok = m["start"], m["end"], true
	}
	_, err1 := address(l, first)
	_, err2 := address(l, last)
	if !ok || err1 != nil || err2 != nil {
		return nil, usage("it is not FIRST-LAST, such as 10.0.0.10-10.0.0.20")
	}
	return map[string]any{"start": first, "end": last}, nil
}

func hostRoute(l *Lookup, s string) (any, error) {
	dst, hop, ok := strings.Cut(s, ",")
	if strings.Contains(s, "=") {
		m, err := pairs(s, "destination", "gateway")
		if err != nil {
			return nil, err
		}
		dst, hop, ok = m["destination"], m["gateway"], true
	}
	_, err1 := prefix(l, dst)
	_, err2 := address(l, hop)
	if !ok || err1 != nil || err2 != nil {
		return nil, usage("it is not PREFIX/LENGTH,NEXTHOP, such as 10.9.0.0/16,10.0.0.254")
	}
	return map[string]any{"destination": dst, "nexthop": hop}, nil
}

func fixedIP(l *Lookup, s string) (any, error) {
	if !strings.Contains(s, "=") {
		if _, err := address(l, s); err != nil {
			return nil, err
		}
		return map[string]any{"ip_address": s}, nil
	}
	m, err := pairs(s, "subnet", "ip-address")
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if v := m["ip-address"]; v != "" {
		if out["ip_address"], err = address(l, v); err != nil {
			return nil, err
		}
	}
	if v := m["subnet"]; v != "" {
		if out["subnet_id"], err = l.ID(subnet, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fixedIPFilter(l *Lookup, s string) (any, error) {
	v, err := fixedIP(l, s)
	if err != nil {
		return nil, err
	}
	m := v.(map[string]any)
	if len(m) != 1 {
		return nil, usage("a filter is one of IP, ip-address=IP and subnet=NAME; repeat the flag for both")
	}
	for k, x := range m {
		return fmt.Sprintf("%s=%v", k, x), nil
	}
	return nil, errors.New("empty")
}

func allowedAddress(_ *Lookup, s string) (any, error) {
	if !strings.Contains(s, "=") {
		return map[string]any{"ip_address": s}, nil
	}
	m, err := pairs(s, "ip-address", "mac-address")
	if err != nil {
		return nil, err
	}
	if m["ip-address"] == "" {
		return nil, usage("ip-address is missing")
	}
	out := map[string]any{"ip_address": m["ip-address"]}
	if v := m["mac-address"]; v != "" {
		out["mac_address"] = v
	}
	return out, nil
}

// dhcpOption reads NAME=VALUE, where the value may hold anything, and openstack's name=…,value=…,ip-version=….
func dhcpOption(_ *Lookup, s string) (any, error) {
	name, value, ok := strings.Cut(s, "=")
	out := map[string]any{}
	if name == "name" && ok && (strings.Contains(value, ",value=") || !strings.Contains(value, "=")) {
		m, err := pairs(s, "name", "value", "ip-version")
		if err != nil {
			return nil, err
		}
		name, value = m["name"], m["value"]
		if v := m["ip-version"]; v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || (n != 4 && n != 6) {
				return nil, usage("ip-version is 4 or 6")
			}
			out["ip_version"] = n
		}
	}
	if !ok || name == "" {
		return nil, usage("it is not NAME=VALUE, such as mtu=1400")
	}
	out["opt_name"], out["opt_value"] = name, value
	if value == "" {
		out["opt_value"] = nil // as Neutron asks, to take the option away
	}
	return out, nil
}

// pairs reads k=v,k=v with the keys that are allowed. A value goes on over commas until the next key.
func pairs(s string, keys ...string) (map[string]string, error) {
	m := map[string]string{}
	last := ""
	for _, part := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(part, "=")
		known := false
		for _, key := range keys {
			known = known || (ok && k == key)
		}
		switch {
		case known:
			m[k], last = v, k
		case last != "":
			m[last] += "," + part
		default:
			return nil, usage("%q is not one of %s=", part, strings.Join(keys, "=, "))
		}
	}
	return m, nil
}
