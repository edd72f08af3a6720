package ctl

import (
	"errors"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// routerCommands are what a router has beside the commands of every resource.
func (a *app) routerCommands() []*cobra.Command {
	iface := &cobra.Command{Use: "interface", Short: "Connect a router with subnets"}
	iface.AddCommand(a.interfaceList(), a.interfaceCommand("add", "Connect a router with a subnet, at its gateway's address, or by a port"),
		a.interfaceCommand("remove", "Take a router off a subnet; the port goes, also one that was given"))
	gw := &cobra.Command{Use: "gateway", Short: "Connect a router with an external network"}
	gw.AddCommand(a.gatewaySet(), a.gatewayUnset())
	route := &cobra.Command{Use: "route", Short: "Change a router's static routes one by one"}
	route.AddCommand(a.extraRoute("add", "add_extraroutes"), a.extraRoute("remove", "remove_extraroutes"))
	return []*cobra.Command{iface, gw, route}
}

// interfaceList lists the ports of a router, that on the external network too.
func (a *app) interfaceList() *cobra.Command {
	return &cobra.Command{
		Use: "list ROUTER", Aliases: []string{"ls"}, Short: "List a router's ports", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOne(router),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			id, err := l.ID(router, args[0])
			if err != nil {
				return err
			}
			ports, err := l.c.List(l.ctx, port.Collection, url.Values{"device_id": {id}})
			if err != nil {
				return err
			}
			return a.printObjects(l, ports, port.Columns)
		},
	}
}

func (a *app) interfaceCommand(verb, short string) *cobra.Command {
	var byPort, bySubnet string
	cmd := &cobra.Command{
		Use: verb + " ROUTER", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOne(router),
		Example: "  penstockctl router interface " + verb + " r1 --subnet blue-v4",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (byPort == "") == (bySubnet == "") {
				return usage("give --subnet or --port")
			}
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			id, err := l.ID(router, args[0])
			if err != nil {
				return err
			}
			body := map[string]any{}
			if byPort != "" {
				body["port_id"], err = l.ID(port, byPort)
			} else {
				body["subnet_id"], err = l.ID(subnet, bySubnet)
			}
			if err != nil {
				return err
			}
			o, err := l.c.Action(l.ctx, router.Collection, id, verb+"_router_interface", body)
			if err != nil {
				return err
			}
			return a.printObject(cmd, o)
		},
	}
	cmd.Flags().StringVar(&bySubnet, "subnet", "", "the `subnet`")
	cmd.Flags().StringVar(&byPort, "port", "", "the `port` that is or becomes the router's")
	must(cmd.RegisterFlagCompletionFunc("subnet", a.complete(subnet)))
	must(cmd.RegisterFlagCompletionFunc("port", a.complete(port)))
	columnFlag(cmd)
	return cmd
}

// change sends an update of a router and shows what it is then.
func (a *app) changeRouter(cmd *cobra.Command, name string, attrs func(l *Lookup) (map[string]any, error)) error {
	l, err := a.lookup(cmd)
	if err != nil {
		return err
	}
	id, err := l.ID(router, name)
	if err != nil {
		return err
	}
	m, err := attrs(l)
	if err != nil {
		return err
	}
	o, err := l.c.Update(l.ctx, router.Collection, id, m)
	if err != nil {
		return err
	}
	return a.printObject(cmd, o)
}

func (a *app) gatewaySet() *cobra.Command {
	var fixed []string
	var snat, noSNAT bool
	cmd := &cobra.Command{
		Use: "set ROUTER NETWORK", Short: "Lead a router to an external network, or change how", Args: cobra.ExactArgs(2),
		Example: "  penstockctl router gateway set r1 public --fixed-ip 203.0.113.9\n  penstockctl router gateway set r1 public --no-snat",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return a.complete(network)(cmd, nil, s)
			}
			return a.completeOne(router)(cmd, args, s)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if snat && noSNAT {
				return usage("--snat and --no-snat cannot both be given")
			}
			return a.changeRouter(cmd, args[0], func(l *Lookup) (map[string]any, error) {
				id, err := l.ID(network, args[1])
				info := map[string]any{"network_id": id}
				if snat || noSNAT {
					info["enable_snat"] = snat
				}
				var ips []any
				for _, s := range fixed {
					ip, ferr := fixedIP(l, s)
					err = errors.Join(err, ferr)
					ips = append(ips, ip)
				}
				if ips != nil {
					info["external_fixed_ips"] = ips
				}
				return map[string]any{"external_gateway_info": info}, err
			})
		},
	}
	cmd.Flags().StringArrayVar(&fixed, "fixed-ip", nil, "its `address` there: IP, or subnet=NAME,ip-address=IP, or subnet=NAME alone; may be repeated")
	cmd.Flags().BoolVar(&snat, "snat", false, "what leaves has the router's address, if no floating IP (default)")
	cmd.Flags().BoolVar(&noSNAT, "no-snat", false, "what leaves keeps its address; the outside needs routes back")
	must(cmd.RegisterFlagCompletionFunc("fixed-ip", cobra.NoFileCompletions))
	columnFlag(cmd)
	return cmd
}

func (a *app) gatewayUnset() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unset ROUTER", Aliases: []string{"clear"}, Short: "Take a router off its external network", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOne(router),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeRouter(cmd, args[0], func(*Lookup) (map[string]any, error) {
				return map[string]any{"external_gateway_info": map[string]any{}}, nil
			})
		},
	}
	columnFlag(cmd)
	return cmd
}

// extraRoute adds or removes routes without a look at the others.
func (a *app) extraRoute(verb, action string) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " ROUTER PREFIX/LENGTH,NEXTHOP...", Short: strings.ToUpper(verb[:1]) + verb[1:] + " static routes; the others stay", Args: cobra.MinimumNArgs(2),
		Example: "  penstockctl router route " + verb + " r1 10.9.0.0/16,10.0.0.254", ValidArgsFunction: a.completeOne(router),
		RunE: func(cmd *cobra.Command, args []string) error {
			var routes []any
			for _, s := range args[1:] {
				r, err := hostRoute(nil, s)
				if err != nil {
					return usage("%s: %s", s, err)
				}
				routes = append(routes, r)
			}
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			id, err := l.ID(router, args[0])
			if err != nil {
				return err
			}
			wrapped, err := l.c.Action(l.ctx, router.Collection, id, action, map[string]any{"router": map[string]any{"routes": routes}})
			if err != nil {
				return err
			}
			o, err := wrapped.In(router.Name)
			if err != nil {
				return err
			}
			return a.printObject(cmd, o)
		},
	}
	columnFlag(cmd)
	return cmd
}
