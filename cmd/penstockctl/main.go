// Command penstockctl is the operator's command line of Penstock. See docs/penstockctl.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/penstock/penstock/ctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := ctl.Main(ctx, os.Args[1:], ctl.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	stop()
	os.Exit(status)
}
