package ctl

import (
	"strconv"
	"strings"

	"github.com/penstock/penstock/ctl/client"
)

var securityGroup = &Resource{
	Collection: client.Collection{Name: "security_group", Path: "/v2.0/security-groups", Many: "security_groups"},
	Short:      "security groups",
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "STATEFUL", Attr: "stateful"}, {Title: "PROJECT", Attr: "project_id"},
		{Title: "DESCRIPTION", Attr: "description"},
	},
	Flags: concat([]Flag{
		{Name: "stateful", Usage: "answers to what is allowed are allowed (default)", On: Create | Update, Attr: "stateful", Value: true},
		{Name: "stateless", Usage: "each packet is judged by itself", On: Create | Update, Attr: "stateful", Value: false},
	}, commonFlags),
}

var securityGroupRule = &Resource{
	Collection: client.Collection{Name: "security_group_rule", Path: "/v2.0/security-group-rules", Many: "security_group_rules", Handle: "id"},
	Short:      "rules of security groups",
	Fixed:      true,
	Arg:        &Flag{Name: "GROUP", Attr: "security_group_id", Ref: securityGroup},
	Complete: func(attrs map[string]any) {
		if _, ok := attrs["direction"]; !ok {
			attrs["direction"] = "ingress"
		}
		if m, ok := attrs["port"].([2]int); ok {
			delete(attrs, "port")
			attrs["port_range_min"], attrs["port_range_max"] = m[0], m[1]
		}
		if c, _ := attrs["remote_ip_prefix"].(string); strings.Contains(c, ":") {
			attrs["ethertype"] = "IPv6"
		}
	},
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "GROUP", Attr: "security_group_id", Ref: securityGroup}, {Title: "DIRECTION", Attr: "direction"},
		{Title: "FAMILY", Attr: "ethertype"}, {Title: "PROTOCOL", Attr: "protocol"}, {Title: "FROM PORT", Attr: "port_range_min"},
		{Title: "TO PORT", Attr: "port_range_max"}, {Title: "PREFIX", Attr: "remote_ip_prefix"},
		{Title: "REMOTE GROUP", Attr: "remote_group_id", Ref: securityGroup},
	},
	Flags: concat([]Flag{
		{Name: "group", Usage: "only those of this `group`", On: List, Attr: "security_group_id", Ref: securityGroup},
		{Name: "ingress", Usage: "what may be opened towards a port (default)", On: Create, Attr: "direction", Value: "ingress"},
		{Name: "egress", Usage: "what a port may open", On: Create, Attr: "direction", Value: "egress"},
		{Name: "direction", Usage: "only those of this `direction`", On: List, Attr: "direction", Enum: []string{"ingress", "egress"}},
		{Name: "ethertype", Usage: "`family`: IPv4 (default) or IPv6", On: Create | List, Attr: "ethertype", Enum: []string{"IPv4", "IPv6"}},
		{Name: "protocol", Usage: "`name` or number (default: any)", On: Create | List, Attr: "protocol", Enum: []string{"tcp", "udp", "icmp", "ipv6-icmp", "sctp"}},
		{Name: "port", Aliases: []string{"dst-port"}, Usage: "destination `PORT or FIRST-LAST` or ICMP TYPE-CODE", On: Create, Attr: "port", Parse: portRange},
		{Name: "prefix", Aliases: []string{"remote-ip"}, Usage: "the other side's `PREFIX/LENGTH` (default: any)", On: Create | List, Attr: "remote_ip_prefix"},
		{Name: "remote-group", Usage: "the other side is in this `group`", On: Create | List, Attr: "remote_group_id", Ref: securityGroup},
		{Name: "remote-address-group", Usage: "the other side is in the address group with this `id`", On: Create | List, Attr: "remote_address_group_id"},
	}, commonFlags),
}

var networkLog = &Resource{
	Collection: client.Collection{Name: "log", Path: "/v2.0/log/logs", Many: "logs", Noun: "network log"},
	Short:      "network logs: lines about what security groups let pass and drop",
	Complete: func(attrs map[string]any) {
		attrs["resource_type"] = "security_group"
	},
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "ENABLED", Attr: "enabled"}, {Title: "EVENT", Attr: "event"},
		{Title: "GROUP", Attr: "resource_id", Ref: securityGroup}, {Title: "PORT", Attr: "target_id", Ref: port}, {Title: "PROJECT", Attr: "project_id"},
	},
	Flags: concat([]Flag{
		{Name: "group", Aliases: []string{"resource"}, Usage: "of the ports of this `group` (default: of the whole project)", On: Create | List, Attr: "resource_id", Ref: securityGroup},
		{Name: "port", Aliases: []string{"target"}, Usage: "of this `port` alone", On: Create | List, Attr: "target_id", Ref: port},
		{Name: "event", Usage: "`event`: ALL (default), ACCEPT or DROP", On: Create | List, Attr: "event", Enum: []string{"ALL", "ACCEPT", "DROP"}},
		{Name: "enable", Usage: "write lines (default)", On: Create | Update, Attr: "enabled", Value: true},
		{Name: "disable", Usage: "write no lines", On: Create | Update, Attr: "enabled", Value: false},
	}, commonFlags),
}

// portRange reads PORT or FIRST-LAST.
func portRange(_ *Lookup, s string) (any, error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil {
		return nil, usage("it is not PORT or FIRST-LAST, such as 8000-8099")
	}
	return [2]int{int(a), int(b)}, nil
}
