// Command penstock-sim runs simulated hosts for a penstockd: each serves an Open_vSwitch database on a unix socket and
// connects a switch per bridge to the controllers that it finds there. No packet is forwarded.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/version"
	"github.com/penstock/penstock/sim"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "penstock-sim: "+strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var n int
	var dir, prefix string
	cmd := &cobra.Command{
		Use:   "penstock-sim --dir DIR [--hosts N]",
		Short: "Simulated Open vSwitch hosts for penstockd",
		Long: `penstock-sim serves N simulated hosts and prints their part of penstockd's configuration. Commands on
its standard input, one in a line:

  plug HOST IFACE-ID NAME    adds a VIF to the host's br-int, as libvirt does
  unplug HOST NAME           takes it away
  stats                      prints what each switch was sent and holds

It ends when it is interrupted.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version.String(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return run(ctx, cmd.InOrStdin(), cmd.OutOrStdout(), dir, prefix, n)
		},
	}
	cmd.Flags().IntVar(&n, "hosts", 1, "how many hosts")
	cmd.Flags().StringVar(&dir, "dir", "", "where their sockets are made")
	cmd.Flags().StringVar(&prefix, "prefix", "sim", "what their names begin with; a number follows")
	cmd.MarkFlagRequired("dir") //nolint:errcheck // the flag is there
	return cmd
}

func run(ctx context.Context, in io.Reader, out io.Writer, dir, prefix string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	hosts := map[string]*sim.Host{}
	var order []*sim.Host
	fmt.Fprintln(out, "hosts:")
	for i := range n {
		h, err := sim.NewHost(fmt.Sprintf("%s%d", prefix, i), sim.Options{Dir: dir})
		if err != nil {
			return err
		}
		defer h.Close()
		hosts[h.Name], order = h, append(order, h)
		fmt.Fprintf(out, "- name: %s\n  ovsdb: %s\n", h.Name, h.OVSDB())
	}
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-lines:
			if err := do(hosts, order, out, strings.Fields(line)); err != nil {
				fmt.Fprintln(os.Stderr, "penstock-sim: "+err.Error())
			}
		}
	}
}

func do(hosts map[string]*sim.Host, order []*sim.Host, out io.Writer, words []string) error {
	if len(words) == 0 {
		return nil
	}
	if words[0] == "stats" && len(words) == 1 {
		for _, h := range order {
			for _, s := range h.Switches() {
				st := s.Stats()
				fmt.Fprintf(out, "%s %s: %d connections, %d flows, %d groups, %d meters; received %d flow-mods, %d group-mods, %d meter-mods in %d bundles, %d failed\n",
					h.Name, s.Name, st.Connections, st.Flows, st.Groups, st.Meters, st.FlowMods, st.GroupMods, st.MeterMods, st.Bundles, st.Failed)
			}
		}
		return nil
	}
	if len(words) < 2 || hosts[words[1]] == nil {
		return fmt.Errorf("%q: want plug HOST IFACE-ID NAME, unplug HOST NAME or stats, with a host of this process", strings.Join(words, " "))
	}
	switch h := hosts[words[1]]; {
	case words[0] == "plug" && len(words) == 4:
		return h.Plug(sim.VIF{IfaceID: words[2], Name: words[3]})
	case words[0] == "unplug" && len(words) == 3:
		return h.Unplug(words[2])
	}
	return fmt.Errorf("%q: want plug HOST IFACE-ID NAME, unplug HOST NAME or stats", strings.Join(words, " "))
}
