// Package unixctl asks an Open vSwitch daemon of this machine what ovs-appctl(8) asks: JSON-RPC 1.0 on the daemon's
// control socket (ovs lib/unixctl.c). It finds ovs-vswitchd's socket in a run directory. It changes nothing by itself and
// keeps no connection.
package unixctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrElsewhere is wrapped by errors of Vswitchd about an Open vSwitch that is not on this machine.
var ErrElsewhere = errors.New("its control socket is on the host itself")

// Vswitchd finds the control socket of the ovs-vswitchd whose database is at target, such as
// unix:/run/openvswitch/db.sock. The socket is beside the database's: ovs-vswitchd.PID.ctl by the pidfile there, else any
// that knows datapaths, for daemons that were started with --unixctl.
func Vswitchd(ctx context.Context, target string) (string, error) {
	db, ok := strings.CutPrefix(target, "unix:")
	if !ok {
		return "", fmt.Errorf("the database is at %s: %w", target, ErrElsewhere)
	}
	dir := filepath.Dir(db)
	var candidates []string
	if b, err := os.ReadFile(filepath.Join(dir, "ovs-vswitchd.pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			candidates = append(candidates, filepath.Join(dir, fmt.Sprintf("ovs-vswitchd.%d.ctl", pid)))
		}
	}
	more, _ := filepath.Glob(filepath.Join(dir, "*.ctl")) // the pattern is well formed
	var last error
	for _, path := range append(candidates, more...) {
		if _, last = Call(ctx, path, 1<<16, "dpctl/dump-dps"); last == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no control socket of ovs-vswitchd answers in %s (%v): is it running, and may penstockd use it?", dir, last)
}

// Call runs a command of the daemon that listens on a control socket and returns its output, at most max bytes of it. The
// error is the daemon's own text where it refuses.
func Call(ctx context.Context, socket string, max int64, command string, args ...string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if args == nil {
		args = []string{}
	}
	if err := json.NewEncoder(conn).Encode(map[string]any{"id": 0, "method": command, "params": args}); err != nil {
		return "", fmt.Errorf("ask %s: %w", socket, err)
	}
	var answer struct{ Result, Error any }
	lim := &io.LimitedReader{R: conn, N: max}
	switch err := json.NewDecoder(lim).Decode(&answer); {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not answer %s: %w", socket, command, ctx.Err())
	case err != nil && lim.N <= 0:
		return "", fmt.Errorf("the answer to %s is longer than %d bytes", command, max)
	case err != nil:
		return "", fmt.Errorf("read the answer of %s: %w", socket, err)
	}
	if text, ok := answer.Error.(string); ok {
		return "", errors.New(strings.Join(strings.Fields(text), " "))
	}
	text, _ := answer.Result.(string)
	return text, nil
}
