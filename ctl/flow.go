package ctl

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/ctl/annotate"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
	"github.com/spf13/cobra"
)

// flow makes the commands on flows.
func (a *app) flow() *cobra.Command {
	top := &cobra.Command{Use: "flow", Aliases: []string{"flows"}, Short: "Read the flows of switches, each with what caused it"}
	top.AddCommand(a.flowDump())
	return top
}

// dump is one run of flow dump.
type dump struct {
	host, bridge, table, object, export string
	raw                                 bool
}

func (a *app) flowDump() *cobra.Command {
	var d dump
	cmd := &cobra.Command{
		Use:   "dump [-]",
		Short: "Show flows with their table, object and meaning; - annotates the output of ovs-ofctl dump-flows from stdin",
		Example: `  penstockctl flow dump --host h1 --bridge br-int --table l2_lookup
  penstockctl flow dump --object web1
  ovs-ofctl dump-flows br-int | penstockctl flow dump -
  penstockctl object list -o json >objects.json; penstockctl flow dump - --export objects.json <old-dump`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return usage("flow dump takes no argument but -, which reads a dump from stdin")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			stdin := len(args) == 1
			switch {
			case stdin && d.raw:
				return usage("--raw and - cannot both be given: the input is raw already")
			case stdin && d.host != "":
				return usage("--host and - cannot both be given: a dump on stdin is of one host")
			case stdin && d.export == "-":
				return usage("--export - and - cannot both be given: there is one stdin")
			case !stdin && d.export != "":
				return usage("--export is for a dump from stdin: add - as the argument")
			}
			return a.runDump(cmd, &d, stdin)
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.host, "host", "", "only those of this `host`")
	f.StringVar(&d.bridge, "bridge", "", "only those of this `bridge`; with -: the bridge that the dump is of, else guessed")
	f.StringVar(&d.table, "table", "", "only those of this `table`, by name or number")
	f.StringVar(&d.object, "object", "", "only those that this object, by `name` or id, caused")
	f.BoolVar(&d.raw, "raw", false, "the text of ovs-ofctl alone, which ovs-ofctl add-flows reads")
	f.StringVar(&d.export, "export", "", "with -: take names from this `file`, made by object list -o json, instead of asking penstockd")
	must(cmd.RegisterFlagCompletionFunc("table", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, t := range pipeline.Tables() {
			names = append(names, t.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
	for _, n := range []string{"host", "object"} {
		must(cmd.RegisterFlagCompletionFunc(n, cobra.NoFileCompletions))
	}
	must(cmd.RegisterFlagCompletionFunc("bridge", cobra.FixedCompletions([]string{"br-int", "br-tun", "br-ex"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (a *app) runDump(cmd *cobra.Command, d *dump, stdin bool) error {
	if _, err := strconv.ParseUint(d.table, 10, 8); err != nil && d.table != "" &&
		!slices.ContainsFunc(pipeline.Tables(), func(t *pipeline.Table) bool { return t.Name == d.table }) {
		return usage("--table %q is neither a table's name nor a number from 0 to 255", d.table)
	}
	objects, err := a.objects(cmd, d.export)
	if err != nil {
		return err
	}
	want := map[string]bool{} // kind and key of what --object names
	for _, o := range objects {
		if d.object != "" && (o.ID == d.object || o.Name == d.object) {
			want[fmt.Sprint(o.KindNumber, o.Key)] = true
		}
	}
	if d.object != "" && len(want) == 0 {
		return fmt.Errorf("there is no object %q: see penstockctl object list", d.object)
	}
	x := annotate.NewObjects(objects)
	var flows []annotate.Flow
	if stdin {
		flows, err = x.Dump(a.In, d.bridge)
	} else {
		flows, err = a.answeredFlows(cmd, d, x)
	}
	if err != nil {
		return err
	}
	flows = slices.DeleteFunc(flows, func(f annotate.Flow) bool {
		if d.table != "" && d.table != f.TableName && d.table != strconv.Itoa(int(f.Table)) {
			return true
		}
		return d.object != "" && (f.Object == nil || !want[fmt.Sprint(f.Object.KindNumber, f.Object.Key)])
	})
	switch {
	case a.format == "json" || a.format == "yaml":
		if flows == nil {
			flows = []annotate.Flow{}
		}
		return encode(a.out, a.format, flows)
	case d.raw:
		a.printRaw(flows)
	default:
		a.printFlows(flows)
	}
	return nil
}

// objects are the names that flows are annotated with: of penstockd, or of a file.
func (a *app) objects(cmd *cobra.Command, export string) ([]opapi.Object, error) {
	var list []opapi.Object
	if export == "" {
		c, err := a.client()
		if err != nil {
			return nil, err
		}
		return list, c.Get(cmd.Context(), opapi.PathObjects, nil, &list)
	}
	f, err := a.openIn(export)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := json.NewDecoder(f).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s is not an export (%w): make one with penstockctl object list -o json", export, err)
	}
	return list, nil
}

func (a *app) answeredFlows(cmd *cobra.Command, d *dump, x *annotate.Objects) ([]annotate.Flow, error) {
	q := url.Values{}
	for k, v := range map[string]string{"host": d.host, "bridge": d.bridge} {
		if v != "" {
			q.Set(k, v)
		}
	}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	var list []opapi.Flow
	if err = c.Get(cmd.Context(), opapi.PathFlows, q, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 && len(q) > 0 { // an empty bridge, or a name that is wrong?
		var sw []opapi.Switch
		if err := c.Get(cmd.Context(), opapi.PathSwitches, nil, &sw); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(sw, func(s opapi.Switch) bool {
			return (d.host == "" || s.Host == d.host) && (d.bridge == "" || s.Name == d.bridge)
		}) {
			return nil, fmt.Errorf("there is no switch %s: see penstockctl switch list", strings.TrimSpace(d.host+" "+d.bridge))
		}
	}
	return x.Answer(list), nil
}

// printRaw prints the flows as ovs-ofctl reads them, the bridges as comments.
func (a *app) printRaw(flows []annotate.Flow) {
	last := ""
	for _, f := range flows {
		if at := place(f); at != last {
			fmt.Fprintf(a.out, "# %s\n", at)
			last = at
		}
		if f.State != opapi.FlowMissing {
			fmt.Fprintln(a.out, f.Text)
		}
	}
}

// place is the host and bridge of a flow.
func place(f annotate.Flow) string {
	return strings.TrimSpace(printable(f.Host + " " + f.Bridge)) // empty for a dump of a bridge that is not named
}

// printFlows prints one line a flow, under a line for each bridge: table, priority, packets and object are
// aligned, then come match and actions, then the rule's sentence.
func (a *app) printFlows(flows []annotate.Flow) {
	for len(flows) > 0 {
		at := place(flows[0])
		n := slices.IndexFunc(flows, func(f annotate.Flow) bool { return place(f) != at })
		if n < 0 {
			n = len(flows)
		}
		if at != "" && a.format != "value" {
			fmt.Fprintf(a.out, "%s: %d flows\n", at, n)
		}
		t := &table{}
		if a.format != "value" {
			t.header = []string{"TABLE", "PRIO", "PACKETS", "OBJECT", "MATCH → WHAT IT DOES"}
		}
		for _, f := range flows[:n] {
			t.add(strings.TrimSpace(fmt.Sprintf("%d %s", f.Table, f.TableName)), strconv.Itoa(int(f.Priority)),
				strconv.FormatUint(f.NPackets, 10), printable(f.Owner()), printable(sentence(f)))
		}
		if a.format == "value" {
			t.values(a.out)
		} else {
			t.write(a.out)
		}
		flows = flows[n:]
	}
}

// sentence is the part of a flow's line that has no columns.
func sentence(f annotate.Flow) string {
	s := f.Match + " → " + f.Does
	if f.Problem != "" {
		s = f.Text + "   (" + f.Problem + ")"
	}
	if f.Why != "" {
		s += "   \"" + f.Why + "\""
	}
	switch f.State {
	case opapi.FlowMissing:
		s += "   NOT IN THE SWITCH"
	case opapi.FlowLearned:
		s += "   learned"
	}
	return s
}
