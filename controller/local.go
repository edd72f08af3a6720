package controller

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/openflow"
)

// localName is the socket that penstockd makes in the run directory of an Open vSwitch on this machine. A
// controller target without a slash is looked up there by ovs-vswitchd, and it takes no unix: target from
// anywhere else (bridge.c).
const localName = "penstockd.sock"

// localPatience is how long a switch may take to come by the local socket until it is told the other targets.
const localPatience = 15 * time.Second

// local is the OpenFlow listener of one host whose Open vSwitch runs on this machine. A unix socket costs ovs-vswitchd
// 10 to 15 % less CPU time for each packet-in and packet-out than TCP over loopback, and only who may use the
// database's socket may connect.
type local struct {
	*openflow.Listener
	path  string
	made  os.FileInfo
	since time.Time
	used  atomic.Bool // a switch has come
}

// bridge is the target of a bridge's own socket.
func (l *local) bridge(name string) string {
	return "unix:" + filepath.Join(filepath.Dir(l.path), name+".mgmt")
}

// listenLocal makes the socket beside the database's; nil where the database is not a unix socket in the run
// directory of a running ovs-vswitchd.
func listenLocal(ovsdb string, opt openflow.ListenOptions) (*local, error) {
	db, ok := strings.CutPrefix(ovsdb, "unix:")
	if !ok || filepath.Base(db) != "db.sock" { // the database's own name for it in its run directory
		return nil, nil
	}
	dir := filepath.Dir(db)
	if _, err := os.Stat(filepath.Join(dir, "ovs-vswitchd.pid")); err != nil {
		return nil, nil
	}
	l := &local{path: filepath.Join(dir, localName), since: time.Now()}
	if err := os.Remove(l.path); err != nil && !os.IsNotExist(err) { // left by one that was killed
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // by then it may be another's
	if err = l.own(db); err != nil {
		ln.Close()
		os.Remove(l.path)
		return nil, err
	}
	l.Listener = openflow.NewListener(ln, opt)
	return l, nil
}

// own gives the socket the owner and group of the database's, which is ovs-vswitchd's user, and nobody else access.
func (l *local) own(db string) error {
	st, err := os.Stat(db)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(l.path, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(l.path, 0o660); err != nil {
		return err
	}
	l.made, err = os.Stat(l.path)
	return err
}

// target is what bridges are told to connect to.
func (l *local) target() string { return "unix:" + localName }

// close stops listening; connections live on.
func (l *local) close() {
	l.Listener.Close()
	if st, err := os.Stat(l.path); err == nil && os.SameFile(st, l.made) {
		os.Remove(l.path)
	}
}

// openLocal makes the host's local socket, if it can have one, and serves it until ctx ends.
func (r *runner) openLocal(ctx context.Context, ovsdb string) *local {
	opt := r.c.listenOptions()
	opt.Thread = true
	l, err := listenLocal(ovsdb, opt)
	if err != nil {
		r.log.Warn("no unix socket for the switch, which will use the other targets", zap.Error(err))
		return nil
	}
	if l != nil {
		go r.c.accept(ctx, l.Listener, func() { l.used.Store(true) })
	}
	return l
}

// targets are the OpenFlow targets of the host's bridges.
func (r *runner) targets(o *ownedHost) []string {
	if l := o.local.Load(); l != nil {
		return []string{l.target()}
	}
	return r.c.cfg.Advertise
}

// checkLocal gives up a local socket that no switch has come by although the database is there.
func (r *runner) checkLocal(o *ownedHost) {
	l := o.local.Load()
	if l == nil || l.used.Load() || time.Since(l.since) < localPatience || !o.db.State().Connected {
		return
	}
	r.log.Warn(fmt.Sprintf("no switch has come by %s in %v: using the other targets", l.path, localPatience))
	o.local.Store(nil)
	l.close()
	r.setDesired(o)
}
