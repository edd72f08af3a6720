// Package ctl is penstockctl: its commands, their flags, tables and texts. What the objects of the Networking API
// look like on the command line is data (Resource); a further resource is a further value. It asks penstockd over
// HTTP (package ctl/client) and holds no state; it does not open the store nor speak to switches.
package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/penstock/penstock/ctl/client"
	"github.com/spf13/cobra"
)

// Streams are what a command reads and writes, and the environment it sees.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// Exit statuses of Main.
const (
	exitOK     = 0 // what was asked happened
	exitFailed = 1 // it did not
	exitUsage  = 2 // the command line makes no sense; nothing was asked
)

// Main runs penstockctl with the arguments after the program's name and returns its exit status.
func Main(ctx context.Context, args []string, s Streams) int {
	out := bufio.NewWriter(s.Out)
	a := &app{Streams: s, out: out}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(out)
	root.SetErr(s.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("write the answer: %w", ferr)
	}
	if err == nil {
		return exitOK
	}
	line, status := client.OneLine(err.Error()), exitFailed
	var u *usageError
	if errors.As(err, &u) || !a.ran {
		status = exitUsage
		line += fmt.Sprintf(": see %s --help", cmd.CommandPath())
	}
	fmt.Fprintf(s.Err, "penstockctl: %s\n", printable(line))
	return status
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// app is one run.
type app struct {
	Streams
	out      *bufio.Writer
	endpoint string
	format   string
	timeout  time.Duration
	ran      bool // a command has begun: what fails now is not the command line's fault
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "penstockctl",
		Short:         "Operate Penstock: make networks, see what is healthy and what is not, read flows",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, a.format) {
				return usage("-o %q is not a format: want one of %s", a.format, strings.Join(formats, ", "))
			}
			a.ran = true
			return nil
		},
	}
	def := a.Getenv("PENSTOCK_ENDPOINT")
	if def == "" {
		def = client.DefaultEndpoint
	}
	pf := root.PersistentFlags()
	pf.StringVar(&a.endpoint, "endpoint", def, "penstockd's `URL` (environment: PENSTOCK_ENDPOINT)")
	pf.StringVarP(&a.format, "output", "o", "table", "`format`: table, json, yaml, or value (bare cells, for scripts)")
	pf.DurationVar(&a.timeout, "timeout", time.Minute, "how long to wait for one `answer`; 0: for ever")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
	for _, r := range Resources() {
		top := a.resource(r)
		switch r {
		case port:
			top.AddCommand(a.whyDropped())
		case router:
			top.AddCommand(a.routerCommands()...)
		}
		root.AddCommand(top)
	}
	root.AddCommand(a.operator()...)
	root.AddCommand(a.routing()...)
	root.AddCommand(a.flow(), a.version())
	group(root)
	return root
}

// group gives every command that only holds others help as its action, and an error for what it does not hold.
func group(c *cobra.Command) {
	for _, s := range c.Commands() {
		if s.HasSubCommands() && s.Run == nil && s.RunE == nil {
			s.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usage("there is no command %q", cmd.CommandPath()+" "+args[0])
				}
				return cmd.Help()
			}
		}
		s.Args = usageArgs(s.Args)
		group(s)
	}
}

// usageArgs makes mistakes in arguments usage errors.
func usageArgs(f cobra.PositionalArgs) cobra.PositionalArgs {
	if f == nil {
		return nil
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd, args); err != nil {
			want := strings.TrimPrefix(strings.TrimPrefix(cmd.Use, cmd.Name()), " ")
			if want == "" {
				want = "no arguments"
			}
			return usage("want %s, got %d arguments", want, len(args))
		}
		return nil
	}
}

// must is for what only a programming error makes fail, at start.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// client makes the client of the endpoint that the flags name.
func (a *app) client() (*client.Client, error) {
	c, err := client.New(a.endpoint, a.timeout)
	if err != nil {
		return nil, err
	}
	c.Token = a.Getenv("PENSTOCK_TOKEN")
	if terminal(a.Err) {
		c.Progress = progress{a.Err, time.Second}.begin
	}
	return c, nil
}

// print prints a table, or v for programs.
func (a *app) print(v any, t *table) error {
	switch a.format {
	case "json", "yaml":
		return encode(a.out, a.format, v)
	case "value":
		t.values(a.out)
	default:
		t.write(a.out)
	}
	return nil
}

// Version is the version that this program was built as.
func Version() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := bi.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range bi.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func (a *app) version() *cobra.Command {
	var server bool
	cmd := &cobra.Command{
		Use: "version", Short: "Show the version of penstockctl, with --server also penstockd's", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := []component{{"penstockctl", Version()}}
			if server {
				s, err := a.status(cmd.Context())
				if err != nil {
					return err
				}
				v = append(v, component{"penstockd", s.Version})
			}
			t := &table{}
			for _, c := range v {
				t.add(c.Name, printable(c.Version))
			}
			return a.print(v, t)
		},
	}
	cmd.Flags().BoolVar(&server, "server", false, "ask penstockd too")
	return cmd
}

type component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// openIn opens a file, or stdin for "-".
func (a *app) openIn(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.In), nil
	}
	return os.Open(name)
}
