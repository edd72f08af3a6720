package ctl

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/opapi"
)

// hostFlags are the flags of a host's settings, shared by add and set.
type hostFlags struct {
	ovsdb, tunnelIP, datapath string
	mappings, tags            []string
}

func (f *hostFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ovsdb, "ovsdb", "", "its database: `unix:PATH`, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT")
	cmd.Flags().StringVar(&f.tunnelIP, "tunnel-ip", "", "`address` on the host that tunnels end at")
	cmd.Flags().StringVar(&f.datapath, "datapath-type", "", "system (the kernel's) or netdev; empty: the kernel's where it is there")
	cmd.Flags().StringArrayVar(&f.mappings, "bridge-mapping", nil, "`PHYSICAL_NETWORK:BRIDGE`, once for each; together they replace what was there")
	cmd.Flags().StringArrayVar(&f.tags, "tag", nil, "`NAME=VALUE` such as rack=r1, once for each; together they replace what was there")
}

// patch is what of the flags was given.
func (f *hostFlags) patch(cmd *cobra.Command) (p opapi.HostPatch, err error) {
	given := cmd.Flags().Changed
	for _, x := range []struct {
		flag string
		v    *string
		to   **string
	}{{"ovsdb", &f.ovsdb, &p.OVSDB}, {"tunnel-ip", &f.tunnelIP, &p.TunnelIP}, {"datapath-type", &f.datapath, &p.DatapathType}} {
		if given(x.flag) {
			*x.to = x.v
		}
	}
	if given("bridge-mapping") {
		m, err := keyValues(f.mappings, ":", "--bridge-mapping", "PHYSICAL_NETWORK:BRIDGE")
		if err != nil {
			return p, err
		}
		p.BridgeMappings = &m
	}
	if given("tag") {
		m, err := keyValues(f.tags, "=", "--tag", "NAME=VALUE")
		if err != nil {
			return p, err
		}
		p.Tags = &m
	}
	return p, nil
}

func keyValues(l []string, sep, flag, form string) (map[string]string, error) {
	m := map[string]string{}
	for _, s := range l {
		k, v, ok := strings.Cut(s, sep)
		if s == "" { // one empty value: none at all
			continue
		}
		if !ok || k == "" || v == "" {
			return nil, usage("%s %q: want %s", flag, s, form)
		}
		m[k] = v
	}
	return m, nil
}

// hostWrites are the commands that change hosts.
func (a *app) hostWrites() []*cobra.Command {
	var f hostFlags
	add := &cobra.Command{
		Use: "add NAME --ovsdb TARGET", Short: "Have penstockd run a host", Args: cobra.ExactArgs(1),
		Example: "  penstockctl host add h2 --ovsdb tcp:192.0.2.12:6640 --tunnel-ip 192.0.2.12 --bridge-mapping external:br-ex",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.patch(cmd)
			if err != nil {
				return err
			}
			s := opapi.HostSpec{Name: args[0]}
			p.Apply(&s)
			return a.sendHost(cmd, http.MethodPost, opapi.PathHosts, s)
		},
	}
	f.register(add)
	must(add.MarkFlagRequired("ovsdb"))
	var g hostFlags
	set := &cobra.Command{
		Use: "set NAME", Short: "Change a host's settings; what is not named stays", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := g.patch(cmd)
			if err != nil {
				return err
			}
			return a.sendHost(cmd, http.MethodPut, hostPath(args[0]), p)
		},
	}
	g.register(set)
	var end bool
	drain := &cobra.Command{
		Use: "drain NAME", Short: "Keep new ports off a host; those on it stay until they are moved", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			on := !end
			return a.sendHost(cmd, http.MethodPut, hostPath(args[0]), opapi.HostPatch{Draining: &on})
		},
	}
	drain.Flags().BoolVar(&end, "end", false, "let the host take new ports again")
	var force bool
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Stop running a host and put back what was changed on it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q := url.Values{}
			if force {
				q.Set("force", "true")
			}
			return c.Send(cmd.Context(), http.MethodDelete, hostPath(args[0]), q, nil, nil)
		},
	}
	remove.Flags().BoolVar(&force, "force", false, "also with ports bound on it: they are DOWN then")
	return []*cobra.Command{add, set, drain, remove}
}

func hostPath(name string) string { return opapi.PathHosts + "/" + url.PathEscape(name) }

// sendHost sends a host's settings and shows those it has now.
func (a *app) sendHost(cmd *cobra.Command, method, path string, body any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var s opapi.HostSpec
	if err := c.Send(cmd.Context(), method, path, nil, body, &s); err != nil {
		return err
	}
	t := &table{header: []string{"FIELD", "VALUE"}}
	t.add("name", printable(s.Name))
	t.add("ovsdb", printable(s.OVSDB))
	t.add("tunnel ip", printable(s.TunnelIP))
	t.add("datapath type", printable(s.DatapathType))
	t.add("bridge mappings", printable(fmt.Sprint(s.BridgeMappings)))
	t.add("tags", printable(fmt.Sprint(s.Tags)))
	t.add("draining", yes(s.Draining))
	return a.print(s, t)
}
