package ctl

import (
	"strings"

	"github.com/penstock/penstock/ctl/client"
)

var router = &Resource{
	Collection: collection("router", "routers"),
	Short:      "routers",
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "NAME", Attr: "name"}, {Title: "STATUS", Attr: "status"}, {Title: "ADMIN UP", Attr: "admin_state_up"},
		{Title: "GATEWAY", Attr: "external_gateway_info", Text: gatewayText}, {Title: "ROUTES", Attr: "routes", Text: fields(" by ", "destination", "nexthop")},
	},
	Flags: concat([]Flag{
		{Name: "external-gateway", Usage: "external `network` that it leads to; more with gateway set", On: Create | Update,
			Attr: "external_gateway_info", Ref: network, Parse: externalGateway},
		{Name: "no-external-gateway", Usage: "no way to an external network", On: Update, Attr: "external_gateway_info", Value: map[string]any{}},
		{Name: "route", Usage: "static route as `PREFIX/LENGTH,NEXTHOP`", On: Update, Attr: "routes", Many: true, Parse: hostRoute},
		{Name: "no-route", Usage: "no static routes", On: Update, Attr: "routes", Value: []any{}},
	}, adminFlags, commonFlags),
}

var floatingIP = &Resource{
	Collection: client.Collection{Name: "floatingip", Path: "/v2.0/floatingips", Many: "floatingips", Handle: "floating_ip_address"},
	Short:      "floating IPs",
	Arg:        &Flag{Name: "NETWORK", Attr: "floating_network_id", Ref: network},
	Columns: []Column{
		{Title: "ID", Attr: "id"}, {Title: "ADDRESS", Attr: "floating_ip_address"}, {Title: "NETWORK", Attr: "floating_network_id", Ref: network},
		{Title: "PORT", Attr: "port_id", Ref: port}, {Title: "FIXED IP", Attr: "fixed_ip_address"},
		{Title: "ROUTER", Attr: "router_id", Ref: router}, {Title: "STATUS", Attr: "status"},
	},
	Flags: concat([]Flag{
		{Name: "port", Usage: "`port` that it stands for", On: Create | Update | List, Attr: "port_id", Ref: port},
		{Name: "no-port", Usage: "stands for nothing", On: Update, Attr: "port_id", Value: nothing{}},
		{Name: "fixed-ip", Aliases: []string{"fixed-ip-address"}, Usage: "which `address` of the port", On: Create | Update | List,
			Attr: "fixed_ip_address", Parse: address},
		{Name: "address", Aliases: []string{"floating-ip-address"}, Usage: "this `address` (default: any)", On: Create | List,
			Attr: "floating_ip_address", Parse: address},
		{Name: "subnet", Usage: "an address of this `subnet` of the network", On: Create, Attr: "subnet_id", Ref: subnet},
		{Name: "router", Usage: "only those of this `router`", On: List, Attr: "router_id", Ref: router},
		{Name: "network", Usage: "only those of this external `network`", On: List, Attr: "floating_network_id", Ref: network},
		{Name: "status", Usage: "only those with this `status`", On: List, Attr: "status", Enum: statuses},
	}, commonFlags),
}

// nothing is the value of a switch that sets an attribute to null.
type nothing struct{}

// MarshalJSON implements json.Marshaler.
func (nothing) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func externalGateway(l *Lookup, s string) (any, error) {
	id, err := l.ID(network, s)
	return map[string]any{"network_id": id}, err
}

// gatewayText is a router's addresses on its external network.
func gatewayText(v any) string {
	m, _ := v.(map[string]any)
	if m == nil {
		return "-"
	}
	s := fields("", "ip_address")(m["external_fixed_ips"])
	if snat, ok := m["enable_snat"].(bool); ok && !snat {
		s += ", no SNAT"
	}
	return strings.TrimPrefix(s, "-, ")
}
