package ctl

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/opapi"
	"github.com/spf13/cobra"
)

// field is one column of a list of the operator API.
type field[T any] struct {
	title string
	text  func(T) string
}

// listing makes a command that lists the answer of a path. Its flags, each the name of a query parameter, narrow it.
func listing[T any](a *app, use, short, path string, filters map[string]string, cols []field[T]) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name := range filters {
				if f := cmd.Flags().Lookup(name); f.Changed {
					q.Set(strings.ReplaceAll(name, "-", "_"), f.Value.String())
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			l := []T{}
			if err := c.Get(cmd.Context(), path, q, &l); err != nil {
				return err
			}
			return a.print(l, typedTable(l, cols))
		},
	}
	for name, usage := range filters {
		cmd.Flags().String(name, "", usage)
		must(cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
	return cmd
}

func typedTable[T any](l []T, cols []field[T]) *table {
	t := &table{}
	for _, c := range cols {
		t.header = append(t.header, c.title)
	}
	for _, v := range l {
		row := make([]string, len(cols))
		for i, c := range cols {
			row[i] = printable(c.text(v))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func yes(b bool) string { return cell(b) }

// ago is how long ago a time was, in the one or two units that matter.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(now.Sub(t), 0).Round(time.Second)
	day := 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

var hostColumns = []field[opapi.Host]{
	{"NAME", func(h opapi.Host) string { return h.Name }},
	{"ALIVE", func(h opapi.Host) string { return yes(h.Alive) }},
	{"FOR", func(h opapi.Host) string { return ago(h.Since, time.Now()) }},
	{"OVS", func(h opapi.Host) string { return h.OVSVersion }},
	{"DATAPATH", func(h opapi.Host) string { return h.Datapath }},
	{"PORTS", func(h opapi.Host) string { return strconv.Itoa(h.Ports) }},
	{"TUNNEL IP", func(h opapi.Host) string { return h.TunnelIP }},
	{"BRIDGES", func(h opapi.Host) string {
		names := make([]string, len(h.Bridges))
		for i, b := range h.Bridges {
			names[i] = b.Name
		}
		return strings.Join(names, ",")
	}},
	{"OVSDB", func(h opapi.Host) string { return h.OVSDB }},
}

var switchColumns = []field[opapi.Switch]{
	{"HOST", func(s opapi.Switch) string { return s.Host }},
	{"BRIDGE", func(s opapi.Switch) string { return s.Name }},
	{"DATAPATH ID", func(s opapi.Switch) string { return s.DatapathID }},
	{"CONNECTED", func(s opapi.Switch) string { return yes(s.Connected) }},
	{"SYNCED", func(s opapi.Switch) string { return yes(s.Synced) }},
	{"DESIRED", func(s opapi.Switch) string { return strconv.Itoa(s.FlowsDesired) }},
	{"INSTALLED", func(s opapi.Switch) string { return strconv.Itoa(s.FlowsInstalled) }},
	{"GROUPS", func(s opapi.Switch) string { return strconv.Itoa(s.Groups) }},
	{"METERS", func(s opapi.Switch) string { return strconv.Itoa(s.Meters) }},
	{"MODS SENT", func(s opapi.Switch) string { return strconv.FormatUint(s.FlowModsSent, 10) }},
	{"LAST ERROR", func(s opapi.Switch) string { return s.LastError }},
}

var healthColumns = []field[opapi.Health]{
	{"SEVERITY", func(h opapi.Health) string { return h.Severity }},
	{"CODE", func(h opapi.Health) string { return h.Code }},
	{"OBJECT", func(h opapi.Health) string { return h.Object }},
	{"WHAT", func(h opapi.Health) string { return h.Text }},
}

var fdbColumns = []field[opapi.FDBEntry]{
	{"HOST", func(e opapi.FDBEntry) string { return e.Host }},
	{"NETWORK", func(e opapi.FDBEntry) string { return nameOr(e.NetworkName, e.NetworkID) }},
	{"MAC", func(e opapi.FDBEntry) string { return e.MAC }},
	{"PORT", func(e opapi.FDBEntry) string { return nameOr(e.PortName, e.PortID) }},
	{"AGE", func(e opapi.FDBEntry) string { return strconv.Itoa(e.Age) + "s" }},
}

var objectColumns = []field[opapi.Object]{
	{"KIND", func(o opapi.Object) string { return o.Kind }},
	{"KEY", func(o opapi.Object) string { return "0x" + strconv.FormatUint(uint64(o.Key), 16) }},
	{"ID", func(o opapi.Object) string { return o.ID }},
	{"NAME", func(o opapi.Object) string { return o.Name }},
	{"NETWORK ID", func(o opapi.Object) string { return o.NetworkID }},
}

func nameOr(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// operator makes the commands on what penstockd does and sees.
func (a *app) operator() []*cobra.Command {
	host := &cobra.Command{Use: "host", Aliases: []string{"hosts"}, Short: "Show, add and remove the Open vSwitch hosts"}
	host.AddCommand(listing(a, "list", "List hosts and whether they are alive", opapi.PathHosts, nil, hostColumns), a.hostShow())
	host.AddCommand(a.hostWrites()...)

	sw := &cobra.Command{Use: "switch", Aliases: []string{"switches"}, Short: "Show the bridges that Penstock programs"}
	byHost := map[string]string{"host": "only those of this `host`"}
	sw.AddCommand(listing(a, "list", "List bridges, their connection and their flows", opapi.PathSwitches, byHost, switchColumns))

	fdb := &cobra.Command{Use: "fdb", Short: "Show the MAC addresses that switches learned"}
	fdb.AddCommand(a.fdbList())

	object := &cobra.Command{Use: "object", Aliases: []string{"objects"}, Short: "Show the objects that flows name by number"}
	object.AddCommand(listing(a, "list", "List objects; with -o json the export that flow dump --export reads", opapi.PathObjects, nil, objectColumns))
	return []*cobra.Command{host, sw, fdb, object, a.statusCommand(), a.health()}
}

func (a *app) hostShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a host, its bridges, the networks that it carries and why", Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if c, err := a.client(); err == nil && len(args) == 0 {
				ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
				defer cancel()
				var hosts []opapi.Host
				_ = c.Get(ctx, opapi.PathHosts, nil, &hosts) // no answer, no names
				for _, h := range hosts {
					names = append(names, h.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var h opapi.HostDetail
			if err := c.Get(cmd.Context(), hostPath(args[0]), nil, &h); err != nil {
				return err
			}
			return a.print(h, hostTable(&h))
		},
	}
}

// hostTable is a host in words, one thing a line.
func hostTable(h *opapi.HostDetail) *table {
	t := &table{}
	for _, f := range hostColumns {
		t.add(strings.ToLower(f.title), printable(f.text(h.Host)))
	}
	if h.Draining {
		t.add("draining", "yes: it takes no new ports")
	}
	for _, m := range []struct {
		what, sep string
		m         map[string]string
	}{{"mapping", ":", h.BridgeMappings}, {"tag", "=", h.Tags}} {
		for _, k := range slices.Sorted(maps.Keys(m.m)) {
			t.add(m.what, printable(k+m.sep+m.m[k]))
		}
	}
	for _, b := range h.Bridges {
		t.add("bridge "+printable(b.Name), bridgeLine(b))
	}
	for _, n := range h.Networks {
		t.add("network "+printable(nameOr(n.Name, n.ID)), hostNetworkLine(n))
		for _, p := range n.Ports {
			line := fmt.Sprintf("%s, Interface %s, OpenFlow port %d", p.Status, p.Interface, p.OFPort)
			if p.Moving != "" {
				line += ", also on " + p.Moving + " while it moves"
			}
			t.add("  port "+printable(nameOr(p.Name, p.ID)), printable(line))
		}
	}
	return t
}

// hostNetworkLine says how a host carries a network and why.
func hostNetworkLine(n opapi.HostNetwork) string {
	s := "on this host only"
	switch {
	case n.Bridge != "" && n.SegmentationID != 0:
		s = fmt.Sprintf("%s %d of %s, over %s", n.Type, n.SegmentationID, n.PhysicalNetwork, n.Bridge)
	case n.Bridge != "":
		s = fmt.Sprintf("%s on %s, over %s", n.Type, n.PhysicalNetwork, n.Bridge)
	case n.Type != "":
		s = fmt.Sprintf("%s %d, to %s", n.Type, n.SegmentationID, strings.Join(n.Hosts, ", "))
	}
	var why []string
	if len(n.Ports) > 0 {
		why = append(why, fmt.Sprintf("%d ports here", len(n.Ports)))
	}
	return printable(s + "; because of " + strings.Join(append(why, n.Why...), ", "))
}

// bridgeLine says in words how a bridge is.
func bridgeLine(b opapi.Bridge) string {
	state := "not connected"
	if b.Connected {
		state = "connected, not in sync yet"
		if b.Synced {
			state = "in sync"
		}
	}
	s := fmt.Sprintf("%s: %d of %d flows, %d groups, %d meters, %d flow-mods sent, datapath id %s",
		state, b.FlowsInstalled, b.FlowsDesired, b.Groups, b.Meters, b.FlowModsSent, nameOr(b.DatapathID, "not known"))
	if b.LastError != "" {
		s += "; last error: " + b.LastError
	}
	return printable(s)
}

func (a *app) fdbList() *cobra.Command {
	var host, net string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List learned MAC addresses: of ports without port security", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			q := url.Values{}
			if host != "" {
				q.Set("host", host)
			}
			if net != "" {
				id, err := l.ID(network, net)
				if err != nil {
					return err
				}
				q.Set("network_id", id)
			}
			entries := []opapi.FDBEntry{}
			if err := l.c.Get(l.ctx, opapi.PathFDB, q, &entries); err != nil {
				return err
			}
			return a.print(entries, typedTable(entries, fdbColumns))
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only those of this `host`")
	cmd.Flags().StringVar(&net, "network", "", "only those of this `network`")
	must(cmd.RegisterFlagCompletionFunc("host", cobra.NoFileCompletions))
	must(cmd.RegisterFlagCompletionFunc("network", a.complete(network)))
	return cmd
}

// status asks for the status.
func (a *app) status(ctx context.Context) (*opapi.Status, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	s := new(opapi.Status)
	return s, c.Get(ctx, opapi.PathStatus, nil, s)
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how penstockd, its hosts, bridges and ports are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.status(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(s, statusTable(s, time.Now()))
		},
	}
}

// statusTable is the status in words, one thing a line.
func statusTable(s *opapi.Status, now time.Time) *table {
	t := &table{}
	role := "standing by"
	if s.Leader {
		role = "runs the hosts"
	}
	t.add("penstockd", printable(fmt.Sprintf("%s, up %s, revision %d, %s", nameOr(s.Version, "of unknown version"), ago(s.Started, now), s.Revision, role)))
	t.add("ports", fmt.Sprintf("%d: %d active, %d down", s.Ports.Total, s.Ports.Active, s.Ports.Down))
	for _, h := range s.Hosts {
		state := "not reachable since " + ago(h.Since, now)
		if h.Alive {
			state = "alive for " + ago(h.Since, now)
		}
		t.add("host "+printable(h.Name), printable(fmt.Sprintf("%s: Open vSwitch %s, datapath %s, %d ports",
			state, nameOr(h.OVSVersion, "not known"), nameOr(h.Datapath, "not known"), h.Ports)))
		for _, b := range h.Bridges {
			t.add("  "+printable(b.Name), bridgeLine(b))
		}
	}
	if len(s.Hosts) == 0 {
		t.add("hosts", "none: see hosts in the configuration file")
	}
	handlers := make([]string, 0, len(s.PacketIns))
	for h := range s.PacketIns {
		handlers = append(handlers, h)
	}
	sort.Strings(handlers)
	for _, h := range handlers {
		outcomes := make([]string, 0, len(s.PacketIns[h]))
		for o, n := range s.PacketIns[h] {
			outcomes = append(outcomes, fmt.Sprintf("%s %d", o, n))
		}
		sort.Strings(outcomes)
		t.add("packets to "+printable(h), printable(strings.Join(outcomes, ", ")))
	}
	if len(s.Health) == 0 {
		t.add("health", "ok")
	}
	for _, h := range s.Health {
		t.add(printable(h.Severity), healthLine(h))
	}
	return t
}

func healthLine(h opapi.Health) string {
	return printable(strings.TrimPrefix(fmt.Sprintf("%s %s: %s", h.Code, h.Object, h.Text), " "))
}

func (a *app) health() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "health", Short: "Show what is not as it should be, and what to do about it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			hs := []opapi.Health{}
			if err := c.Get(cmd.Context(), opapi.PathHealth, nil, &hs); err != nil {
				return err
			}
			if len(hs) == 0 && a.format == "table" {
				fmt.Fprintln(a.out, "ok")
				return nil
			}
			if err := a.print(hs, typedTable(hs, healthColumns)); err != nil || !check {
				return err
			}
			errs := 0
			for _, h := range hs {
				if h.Severity == opapi.SeverityError {
					errs++
				}
			}
			if errs > 0 {
				return fmt.Errorf("not healthy: %d errors", errs)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit with status 1 when there is an error, for scripts")
	return cmd
}
