package ctl

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/penstock/penstock/ctl/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Verb is a set of commands of a resource.
type Verb uint8

// The verbs that have flags of their own. On a list a flag is a filter.
const (
	Create Verb = 1 << iota
	Update
	List
)

// Resource declares the commands of one resource of the Networking API: create, list, show, update, delete.
type Resource struct {
	client.Collection
	Short   string // what the objects are, for help: "networks"
	Columns []Column
	Flags   []Flag
	// Complete, where given, adds what follows from the attributes of a new object.
	Complete func(attrs map[string]any)
	// Arg, where given, is what create takes instead of a name. Fixed objects have no update.
	Arg   *Flag
	Fixed bool
}

// Column is one column of a list.
type Column struct {
	Title, Attr string
	// Text makes the cell of the attribute; nil: by its type.
	Text func(v any) string
	// Ref is the resource whose ids the attribute holds; the cell shows RefAttr (default: the name) instead.
	Ref     *Resource
	RefAttr string
}

// handle is how help writes what names an object: NAME|ID.
func (r *Resource) handle() string {
	switch r.NameAttr() {
	case "id":
		return "ID"
	case "name":
		return "NAME|ID"
	}
	return "ADDRESS|ID"
}

// Flag declares one flag of a resource's commands. Value excludes Ref and Parse; a flag with none of them takes a text.
// With both Ref and Parse, Ref is for completion.
type Flag struct {
	Name string
	// Aliases are further names, such as those of the openstack command line.
	Aliases []string
	Usage   string // the value's name in back quotes, as pflag has it
	On      Verb
	Attr    string // attribute set, or filter's name
	// Required on create.
	Required bool
	// Value is what a switch, a flag without a value, sets the attribute to.
	Value any
	// Ref is the resource of which the value is a name or id.
	Ref *Resource
	// Parse turns the value into what goes into the request.
	Parse func(c *Lookup, s string) (any, error)
	// Many flags may be repeated and make a list.
	Many bool
	// Enum lists the values that completion offers.
	Enum []string
}

// omit is the value of a flag that asks for the API's own default.
var omit = new(int)

// Lookup resolves names while flags are parsed.
type Lookup struct {
	ctx context.Context
	c   *client.Client
}

// ID is the id of an object given by name or id.
func (l *Lookup) ID(r *Resource, nameOrID string) (string, error) {
	o, err := l.c.Find(l.ctx, r.Collection, nameOrID, "id")
	if err != nil {
		return "", err
	}
	return o.Text("id"), nil
}

func (f *Flag) isSwitch() bool { return f.Value != nil }

// add defines the flag.
func (f *Flag) add(fs *pflag.FlagSet) {
	switch {
	case f.isSwitch():
		fs.Bool(f.Name, false, f.Usage)
	case f.Many:
		fs.StringArray(f.Name, nil, f.Usage+"; may be repeated")
	default:
		fs.String(f.Name, "", f.Usage)
	}
}

// values are what the command line gave, nil if it did not give the flag.
func (f *Flag) values(fs *pflag.FlagSet) []string {
	g := fs.Lookup(f.Name)
	if g == nil || !g.Changed {
		return nil
	}
	if sv, ok := g.Value.(pflag.SliceValue); ok {
		return sv.GetSlice()
	}
	return []string{g.Value.String()}
}

// value is what goes into the request.
func (f *Flag) value(l *Lookup, given []string) (any, error) {
	if f.isSwitch() {
		if given[0] != "true" {
			return nil, usage("--%s takes no value", f.Name)
		}
		return f.Value, nil
	}
	out := make([]any, len(given))
	for i, s := range given {
		out[i] = s
		var err error
		switch {
		case f.Parse != nil:
			if out[i], err = f.Parse(l, s); err != nil && f.Ref == nil {
				err = fmt.Errorf("--%s %s: %w", f.Name, s, err)
			}
		case f.Ref != nil:
			out[i], err = l.ID(f.Ref, s)
		}
		if err != nil {
			return nil, err
		}
	}
	if f.Many {
		return out, nil
	}
	return out[0], nil
}

// command is one verb's command while it is being made.
type command struct {
	a     *app
	r     *Resource
	verb  Verb
	flags []*Flag
}

// define gives cmd the flags of the verb.
func (c *command) define(cmd *cobra.Command) {
	aliases := map[string]string{}
	for i := range c.r.Flags {
		f := &c.r.Flags[i]
		if f.On&c.verb == 0 {
			continue
		}
		c.flags = append(c.flags, f)
		f.add(cmd.Flags())
		for _, al := range f.Aliases {
			aliases[al] = f.Name
		}
		switch {
		case f.Ref != nil:
			must(cmd.RegisterFlagCompletionFunc(f.Name, c.a.complete(f.Ref)))
		case f.Enum != nil:
			must(cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(f.Enum, cobra.ShellCompDirectiveNoFileComp)))
		case !f.isSwitch():
			must(cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions))
		}
	}
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if n, ok := aliases[name]; ok {
			name = n
		}
		return pflag.NormalizedName(name)
	})
}

// collect calls set with each attribute that the command line gives. What can be wrong without asking the server
// is found before it is asked.
func (c *command) collect(cmd *cobra.Command, l *Lookup, set func(attr string, v any)) error {
	by := map[string]string{}
	var plain, refs []*Flag
	for _, f := range c.flags {
		if f.values(cmd.Flags()) == nil {
			if f.Required && c.verb == Create {
				return usage("--%s is missing", f.Name)
			}
			continue
		}
		if other, ok := by[f.Attr]; ok && c.verb != List {
			return usage("--%s and --%s cannot both be given", other, f.Name)
		}
		by[f.Attr] = f.Name
		if f.Ref != nil {
			refs = append(refs, f)
		} else {
			plain = append(plain, f)
		}
	}
	for _, f := range append(plain, refs...) {
		v, err := f.value(l, f.values(cmd.Flags()))
		if err != nil {
			return err
		}
		if v != any(omit) {
			set(f.Attr, v)
		}
	}
	return nil
}

// body is the attributes that the command line gives.
func (c *command) body(cmd *cobra.Command, l *Lookup) (map[string]any, error) {
	attrs := map[string]any{}
	err := c.collect(cmd, l, func(attr string, v any) { attrs[attr] = v })
	return attrs, err
}

// lookup makes what a command needs to ask.
func (a *app) lookup(cmd *cobra.Command) (*Lookup, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return &Lookup{cmd.Context(), c}, nil
}

// resource makes the commands of a resource.
func (a *app) resource(r *Resource) *cobra.Command {
	verbs := "Create, list, show, update and delete "
	if r.Fixed {
		verbs = "Create, list, show and delete "
	}
	top := &cobra.Command{Use: r.Command(), Aliases: []string{r.Command() + "s"}, Short: verbs + r.Short}
	top.AddCommand(a.create(r), a.list(r), a.show(r), a.delete(r))
	if !r.Fixed {
		top.AddCommand(a.update(r))
	}
	return top
}

func (a *app) create(r *Resource) *cobra.Command {
	c := &command{a: a, r: r, verb: Create}
	arg, complete := &Flag{Name: "NAME", Attr: "name"}, cobra.CompletionFunc(cobra.NoFileCompletions)
	if r.Arg != nil {
		arg, complete = r.Arg, a.completeOne(r.Arg.Ref)
	}
	cmd := &cobra.Command{
		Use: "create " + arg.Name, Short: "Create a " + r.Words(), Args: cobra.ExactArgs(1), ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			attrs, err := c.body(cmd, l)
			if err != nil {
				return err
			}
			if attrs[arg.Attr], err = arg.value(l, args); err != nil {
				return err
			}
			if r.Complete != nil {
				r.Complete(attrs)
			}
			o, err := l.c.Create(l.ctx, r.Collection, attrs)
			if err != nil {
				return err
			}
			return a.printObject(cmd, o)
		},
	}
	c.define(cmd)
	columnFlag(cmd)
	return cmd
}

func (a *app) update(r *Resource) *cobra.Command {
	c := &command{a: a, r: r, verb: Update}
	cmd := &cobra.Command{
		Use: "update " + r.handle(), Aliases: []string{"set"}, Short: "Change a " + r.Words() + "; lists that are given replace what was there",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOne(r),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			attrs, err := c.body(cmd, l)
			if err != nil {
				return err
			}
			if len(attrs) == 0 {
				return usage("nothing to change: give a flag")
			}
			id, err := l.ID(r, args[0])
			if err != nil {
				return err
			}
			o, err := l.c.Update(l.ctx, r.Collection, id, attrs)
			if err != nil {
				return err
			}
			return a.printObject(cmd, o)
		},
	}
	if r.Arg == nil {
		cmd.Flags().String("name", "", "new `name`")
		c.flags = append(c.flags, &Flag{Name: "name", Attr: "name", On: Update})
	}
	c.define(cmd)
	columnFlag(cmd)
	return cmd
}

func (a *app) show(r *Resource) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show " + r.handle(), Short: "Show a " + r.Words(), Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOne(r),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			o, err := l.c.Find(l.ctx, r.Collection, args[0])
			if err != nil {
				return err
			}
			return a.printObject(cmd, o)
		},
	}
	columnFlag(cmd)
	return cmd
}

func (a *app) delete(r *Resource) *cobra.Command {
	return &cobra.Command{
		Use: "delete " + r.handle() + "...", Aliases: []string{"rm"}, Short: "Delete one or more " + r.Short, Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(r),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			var failed []string
			for _, arg := range args {
				id, err := l.ID(r, arg)
				if err == nil {
					err = l.c.Delete(l.ctx, r.Collection, id)
				}
				if err == nil {
					continue
				}
				if len(args) == 1 || l.ctx.Err() != nil {
					return err
				}
				failed = append(failed, arg+": "+err.Error())
			}
			if len(failed) > 0 {
				return fmt.Errorf("%d of %d %s not deleted: %s", len(failed), len(args), r.Words()+"s", strings.Join(failed, "; "))
			}
			return nil
		},
	}
}

func (a *app) list(r *Resource) *cobra.Command {
	c := &command{a: a, r: r, verb: List}
	var filters []string
	var sort []string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List " + r.Short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			cols, err := columns(cmd, r)
			if err != nil {
				return err
			}
			q, err := c.query(cmd, l, filters, sort, limit)
			if err != nil {
				return err
			}
			if a.format == "table" || a.format == "value" {
				for _, col := range cols {
					q.Add("fields", col.Attr)
				}
			}
			objs, err := l.c.List(l.ctx, r.Collection, q)
			if err != nil {
				return err
			}
			return a.printObjects(l, objs, cols)
		},
	}
	if r.Arg == nil {
		cmd.Flags().String("name", "", "only those with this `name`")
		c.flags = append(c.flags, &Flag{Name: "name", Attr: "name", On: List})
	}
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "only those whose `attribute=value` is so, by the API's names; may be repeated")
	cmd.Flags().StringArrayVar(&sort, "sort", nil, "sort by an `attribute[:desc]`; may be repeated")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this `many`; 0: all")
	columnFlag(cmd)
	c.define(cmd)
	return cmd
}

// query is what a list asks for.
func (c *command) query(cmd *cobra.Command, l *Lookup, filters, sort []string, limit int) (url.Values, error) {
	q := url.Values{}
	for _, f := range filters {
		k, v, ok := strings.Cut(f, "=")
		if !ok || k == "" {
			return nil, usage("--filter %q is not attribute=value", f)
		}
		q.Add(k, v)
	}
	for _, s := range sort {
		key, dir, ok := strings.Cut(s, ":")
		if !ok {
			dir = "asc"
		}
		if dir != "asc" && dir != "desc" {
			return nil, usage("--sort %q: the direction is asc or desc", s)
		}
		q.Add("sort_key", key)
		q.Add("sort_dir", dir)
	}
	if limit < 0 {
		return nil, usage("--limit %d is negative", limit)
	}
	if limit > 0 {
		q.Set("limit", fmt.Sprint(limit))
	}
	err := c.collect(cmd, l, func(attr string, v any) {
		vs, ok := v.([]any)
		if !ok {
			vs = []any{v}
		}
		for _, v := range vs {
			q.Add(attr, fmt.Sprint(v))
		}
	})
	return q, err
}

func columnFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayP("column", "c", nil, "show this `attribute`, by the API's name; may be repeated")
	must(cmd.RegisterFlagCompletionFunc("column", cobra.NoFileCompletions))
}

// columns are those that -c asks for, else the resource's own.
func columns(cmd *cobra.Command, r *Resource) ([]Column, error) {
	attrs, err := cmd.Flags().GetStringArray("column")
	if err != nil || len(attrs) == 0 {
		return r.Columns, err
	}
	cols := make([]Column, len(attrs))
	for i, at := range attrs {
		cols[i] = Column{Title: strings.ToUpper(at), Attr: at}
	}
	return cols, nil
}

func (a *app) printObjects(l *Lookup, objs []client.Object, cols []Column) error {
	if a.format == "json" || a.format == "yaml" {
		if objs == nil {
			objs = []client.Object{}
		}
		return a.print(objs, nil)
	}
	t := &table{}
	refs := make([]map[string]string, len(cols))
	for i, c := range cols {
		t.header = append(t.header, c.Title)
		if c.Ref != nil && len(objs) > 0 {
			refs[i] = l.names(c)
		}
	}
	for i := range objs {
		row := make([]string, len(cols))
		for j, c := range cols {
			v := objs[i].Attrs[c.Attr]
			switch {
			case c.Ref != nil:
				row[j] = cell(deref(v, refs[j]))
			case c.Text != nil:
				row[j] = c.Text(v)
			default:
				row[j] = cell(v)
			}
		}
		t.rows = append(t.rows, row)
	}
	return a.print(nil, t)
}

// names maps the ids of a column's resource to what the column shows. Where it cannot be had, the ids are shown.
func (l *Lookup) names(c Column) map[string]string {
	attr := c.RefAttr
	if attr == "" {
		attr = c.Ref.NameAttr()
	}
	objs, err := l.c.List(l.ctx, c.Ref.Collection, url.Values{"fields": {"id", attr}})
	if err != nil {
		return nil
	}
	m := make(map[string]string, len(objs))
	for i := range objs {
		m[objs[i].Text("id")] = objs[i].Text(attr)
	}
	return m
}

// deref replaces ids by names, also in a list.
func deref(v any, names map[string]string) any {
	switch v := v.(type) {
	case string:
		if n := names[v]; n != "" {
			return n
		}
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = deref(x, names)
		}
		slices.SortFunc(out, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		return out
	}
	return v
}

func (a *app) printObject(cmd *cobra.Command, o *client.Object) error {
	keys, err := cmd.Flags().GetStringArray("column")
	if err != nil {
		return err
	}
	t := &table{}
	if len(keys) > 0 {
		for _, k := range keys {
			if _, ok := o.Attrs[k]; !ok {
				return fmt.Errorf("it has no attribute %q: -o json shows all", k)
			}
		}
	}
	if a.format == "value" && len(keys) > 0 { // bare, one per line
		for _, k := range keys {
			t.add(cell(o.Attrs[k]))
		}
		return a.print(o, t)
	}
	if len(keys) == 0 {
		keys = keysInOrder(o.Raw)
	}
	for _, k := range keys {
		t.add(printable(k), cell(o.Attrs[k]))
	}
	return a.print(o, t)
}

// complete offers the names of a resource's objects that are not on the command line yet.
func (a *app) complete(r *Resource) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := client.New(a.endpoint, min(a.timeout, completionTimeout))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		objs, err := c.List(cmd.Context(), r.Collection, url.Values{"fields": {"id", r.NameAttr()}})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for i := range objs {
			n := objs[i].Text(r.NameAttr())
			if n == "" || strings.ContainsAny(n, "\t\n ") {
				n = objs[i].Text("id")
			}
			if !slices.Contains(args, n) {
				out = append(out, n)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOne is complete for the first argument only.
func (a *app) completeOne(r *Resource) cobra.CompletionFunc {
	all := a.complete(r)
	return func(cmd *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all(cmd, args, s)
	}
}
