package ctl

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/opapi"
)

// routing makes the commands that ask what a router does.
func (a *app) routing() []*cobra.Command {
	var source string
	route := &cobra.Command{
		Use: "route ROUTER ADDRESS", Short: "Show which way a router sends what is for an address, and what becomes of it", Args: cobra.ExactArgs(2),
		Long: "Shows the route that an IPv4 address matches, the next hop with its MAC and host, the host where the router meets its\n" +
			"external network, and which addresses change on the way. It is worked out as the flows are, with what hosts have learned.",
		Example:           "  penstockctl route r1 192.0.2.1\n  penstockctl route r1 192.0.2.1 --source 10.0.0.11",
		ValidArgsFunction: a.completeOne(router),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range []string{args[1], source} {
				if _, err := netip.ParseAddr(s); err != nil && s != "" {
					return usage("%q is not an IP address", s)
				}
			}
			q := url.Values{"address": {args[1]}}
			if source != "" {
				q.Set("source", source)
			}
			var r opapi.Route
			if err := a.askRouter(cmd, args[0], opapi.PathRoute, q, &r); err != nil {
				return err
			}
			return a.print(r, routeTable(&r))
		},
	}
	route.Flags().StringVar(&source, "source", "", "the sender's `address`: it decides on the translation")
	must(route.RegisterFlagCompletionFunc("source", cobra.NoFileCompletions))
	conntrack := &cobra.Command{
		Use: "conntrack ROUTER", Short: "Show the connections that a router's hosts translate", Args: cobra.ExactArgs(1),
		Long: "Shows the conntrack zone of a router on the hosts that translate for it. Only ovs-vswitchd itself tells connections:\n" +
			"for hosts that are not on penstockd's machine the command says what to run there.",
		ValidArgsFunction: a.completeOne(router),
		RunE: func(cmd *cobra.Command, args []string) error {
			l := []opapi.Conntrack{}
			if err := a.askRouter(cmd, args[0], opapi.PathConntrack, nil, &l); err != nil {
				return err
			}
			return a.print(l, conntrackTable(l))
		},
	}
	return []*cobra.Command{route, conntrack}
}

// askRouter asks the operator API about a router that is given by name or id.
func (a *app) askRouter(cmd *cobra.Command, name, path string, q url.Values, answer any) error {
	l, err := a.lookup(cmd)
	if err != nil {
		return err
	}
	id, err := l.ID(router, name)
	if err != nil {
		return err
	}
	return l.c.Get(l.ctx, fmt.Sprintf(path, url.PathEscape(id)), q, answer)
}

// routeKinds says what each kind of route is.
var routeKinds = map[string]string{
	opapi.RouteSelf: "the router's own address", opapi.RouteFloating: "a floating IP of the router", opapi.RouteSubnet: "a subnet of the router",
	opapi.RouteStatic: "a static route", opapi.RouteGateway: "the external network's gateway", opapi.RouteNone: "no route",
}

// routeTable is a route in words, one thing a line.
func routeTable(r *opapi.Route) *table {
	t := &table{}
	add := func(what, text string) { t.add(what, printable(text)) }
	add("router", nameOr(r.RouterName, r.RouterID))
	add("to", r.Address)
	route := nameOr(routeKinds[r.Kind], r.Kind)
	if r.Prefix != "" {
		route = r.Prefix + ", " + route
	}
	add("route", route)
	if r.NextHop != "" {
		hop := r.NextHop
		if r.PortID != "" {
			hop += ", port " + nameOr(r.PortName, r.PortID)
		}
		add("next hop", hop)
		add("mac", nameOr(r.MAC, "not known"))
		for _, n := range r.Learned {
			add("learned", fmt.Sprintf("%s by host %s, %ds ago", n.MAC, n.Host, n.Age))
		}
	}
	if r.NetworkID != "" {
		n := nameOr(r.NetworkName, r.NetworkID)
		if r.External {
			n += ", external"
		}
		add("network", n)
	}
	add("host", nameOr(strings.Join(r.Hosts, ", "), "every host that has it"))
	if r.GatewayHost != "" {
		add("gateway host", r.GatewayHost)
	}
	for _, n := range r.NAT {
		s := fmt.Sprintf("%s %s → %s", n.Direction, n.From, n.To)
		if n.Host != "" {
			s += " on " + n.Host
		}
		if n.FloatingIP != "" {
			s += ", floating IP " + n.FloatingIP
		}
		add("nat", s)
	}
	for _, p := range r.Problems {
		add("problem", p)
	}
	return t
}

func conntrackTable(l []opapi.Conntrack) *table {
	t := &table{header: []string{"HOST", "ZONE", "PROTOCOL", "FROM", "TO", "TRANSLATED", "STATE"}}
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		t.rows = append(t.rows, cells)
	}
	for _, h := range l {
		zone := fmt.Sprint(h.Zone)
		switch {
		case h.Problem != "":
			row(h.Host, zone, "-", "-", "-", "-", h.Problem)
		case len(h.Connections) == 0:
			row(h.Host, zone, "-", "-", "-", "-", "no connections")
		}
		for _, c := range h.Connections {
			row(h.Host, zone, c.Protocol, end(c.Original.Src, c.Original.SPort), end(c.Original.Dst, c.Original.DPort), translated(c), nameOr(c.State, "-"))
		}
		if h.Truncated {
			row(h.Host, zone, "-", "-", "-", "-", "and more")
		}
	}
	return t
}

func end(addr string, port uint16) string {
	if port == 0 {
		return addr
	}
	return fmt.Sprintf("%s:%d", addr, port)
}

// translated says what becomes of a connection's addresses: answers come to the new source, from the new destination.
func translated(c opapi.Connection) string {
	var s []string
	if from := end(c.Reply.Dst, c.Reply.DPort); from != end(c.Original.Src, c.Original.SPort) {
		s = append(s, "from "+from)
	}
	if to := end(c.Reply.Src, c.Reply.SPort); to != end(c.Original.Dst, c.Original.DPort) {
		s = append(s, "to "+to)
	}
	return nameOr(strings.Join(s, " "), "-")
}
