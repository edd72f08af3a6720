// Command penstockd is the controller: it serves the Networking API and keeps Open vSwitch hosts as it says.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/penstock/penstock/internal/config"
	plog "github.com/penstock/penstock/internal/log"
	"github.com/penstock/penstock/internal/version"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "penstockd: "+strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "penstockd",
		Short: "OpenFlow SDN controller for Open vSwitch with OpenStack's Networking API",
		Long: `penstockd gives VMs and containers their networks by programming Open vSwitch directly.
Without any settings it keeps its data in /var/lib/penstock, serves the Networking API v2.0 on
http://127.0.0.1:9696 and manages the Open vSwitch of this machine. Every setting can stand in the
file, in the environment (PENSTOCK_ and the flag's name in capitals with underscores) or be a flag.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version.String(),
	}
	loader := config.NewLoader(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loader.Load(os.LookupEnv)
		if err != nil {
			return err
		}
		lg, err := plog.New(os.Stderr, cfg.Log.Level)
		if err != nil {
			return err
		}
		defer lg.Sync() //nolint:errcheck // stderr
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if os.Getenv("GOGC") == "" {
			go tuneGC(ctx)
		}
		return run(ctx, cfg, lg)
	}
	return cmd
}

// listen opens the API's socket before anything else is started, so that a taken port is one clear line.
func listen(what, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s cannot listen on %s: %w; is another penstockd running, or set %s to a free port", what, addr, err, what)
	}
	return l, nil
}

// serve runs an HTTP server until ctx ends, then lets requests under way finish.
func serve(ctx context.Context, srv *http.Server, l net.Listener, lg *zap.Logger) error {
	errs := make(chan error, 1)
	go func() { errs <- srv.Serve(l) }()
	select {
	case err := <-errs:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.ShutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		lg.Warn("requests were cut off at the end", zap.Error(err))
		return srv.Close()
	}
	return nil
}
