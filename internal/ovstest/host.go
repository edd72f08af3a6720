package ovstest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Datapath says how a host's packets move.
type Datapath string

const (
	// Netdev is the userspace datapath: real packets between real interfaces.
	Netdev Datapath = "netdev"
	// Dummy has dummy devices only: flows, traces and injected frames, no interfaces and no namespace.
	Dummy Datapath = "dummy"
)

// Options of Start. The zero value is a host named h1 with the userspace datapath in its own namespace.
type Options struct {
	Name        string   // external_ids:hostname; default h1
	Datapath    Datapath // default Netdev
	NoNamespace bool     // use the test's own network namespace; Dummy does always
	Remotes     []string // further --remote of ovsdb-server, such as ptcp:6640:127.0.0.1
	OVSDBArgs   []string // further arguments of ovsdb-server
	Args        []string // further arguments of ovs-vswitchd

	Underlay *Underlay         // attach the host to it
	TunnelIP string            // address with prefix length on br-phy, for tunnels; needs Underlay
	MgmtIP   string            // address with prefix length on the management interface; needs Underlay
	Physical map[string]string // physical network -> name of the host's NIC in it; needs Underlay
	MTU      int               // of the host's NICs; default 1500
}

// Host is a running Open vSwitch. Its methods fail the test on errors, unless they return them.
// They may be called from the test's goroutine only, those of Node from any.
type Host struct {
	Node
	opt      Options
	id       string
	db, vsw  *Process
	underlay *Underlay
}

// Start starts ovsdb-server and ovs-vswitchd in a new directory, and in a new network namespace unless
// the options say otherwise. Both are killed, and everything is removed, when the test ends; if it failed,
// the ends of their logs are printed.
func Start(t TB, opt Options) *Host {
	t.Helper()
	Need(t, "ovsdb-server", "ovs-vswitchd", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
	if opt.Name == "" {
		opt.Name = "h1"
	}
	if opt.Datapath == "" {
		opt.Datapath = Netdev
	}
	if opt.MTU == 0 {
		opt.MTU = 1500
	}
	dir, id := workspace(t)
	h := &Host{Node: Node{t: t, dir: dir, Name: opt.Name}, opt: opt, id: id, underlay: opt.Underlay}
	h.env = []string{"OVS_RUNDIR=" + dir, "OVS_LOGDIR=" + dir, "OVS_DBDIR=" + dir, "OVS_SYSCONFDIR=" + dir}
	if !opt.NoNamespace && opt.Datapath == Netdev {
		h.ns = id + "." + opt.Name
		addNamespace(t, h.ns, false)
	}
	h.Run("ovsdb-tool", "create", "conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ovstest: %s", h.Log(40))
		}
		for _, p := range []*Process{h.vsw, h.db} {
			if p != nil {
				p.Kill()
			}
		}
	})
	h.StartDB()
	h.VSCtl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
		"external_ids:hostname="+opt.Name, "external_ids:system-id="+id+"."+opt.Name, "external_ids:rundir="+dir)
	h.StartVswitchd()
	if h.underlay != nil {
		h.underlay.attach(h)
	}
	return h
}

// Dir is the host's directory: conf.db, sockets, pidfiles, logs.
func (h *Host) Dir() string { return h.dir }

// OVSDB is the database's address: unix:PATH, reachable from every namespace.
func (h *Host) OVSDB() string { return "unix:" + h.dir + "/db.sock" }

// MgmtSocket is where a bridge listens for OpenFlow: unix:PATH.
func (h *Host) MgmtSocket(bridge string) string { return "unix:" + h.dir + "/" + bridge + ".mgmt" }

// ControllerSocket is an address for an in-process controller that every bridge of the host reaches
// whatever its namespace: a path to listen on; "unix:"+path is the bridge's controller target.
func (h *Host) ControllerSocket() string { return h.dir + "/controller.sock" }

// StartDB starts ovsdb-server and waits until it answers.
func (h *Host) StartDB() {
	h.t.Helper()
	args := []string{"ovsdb-server", "--remote=punix:" + h.dir + "/db.sock", "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
		"--unixctl=" + h.dir + "/ovsdb.ctl", "--pidfile=" + h.dir + "/ovsdb-server.pid", "--log-file=" + h.dir + "/ovsdb-server.log", "-vconsole:emer"}
	for _, r := range h.opt.Remotes {
		args = append(args, "--remote="+r)
	}
	args = append(args, h.opt.OVSDBArgs...)
	h.db = h.daemon("ovsdb.ctl", append(args, h.dir+"/conf.db")...)
}

// StopDB stops ovsdb-server; its file stays.
func (h *Host) StopDB() {
	h.t.Helper()
	h.db.Stop() // how it ends does not matter
}

// KillDB kills ovsdb-server with SIGKILL.
func (h *Host) KillDB() { h.db.Kill() }

// RestartDB stops and starts ovsdb-server.
func (h *Host) RestartDB() { h.t.Helper(); h.StopDB(); h.StartDB() }

// StartVswitchd starts ovs-vswitchd and waits until it has applied the database once.
func (h *Host) StartVswitchd() {
	h.t.Helper()
	args := []string{"ovs-vswitchd", "--unixctl=" + h.dir + "/vswitchd.ctl", "--pidfile=" + h.dir + "/ovs-vswitchd.pid",
		"--log-file=" + h.dir + "/ovs-vswitchd.log", "-vconsole:emer"}
	if h.opt.Datapath == Dummy {
		args = append(args, "--enable-dummy=override", "--disable-system", "--disable-system-route")
	} else {
		args = append(args, "--disable-system")
	}
	args = append(args, h.opt.Args...)
	h.vsw = h.daemon("vswitchd.ctl", append(args, h.OVSDB())...)
	// Any change of the database without --no-wait returns when ovs-vswitchd has applied all of it.
	h.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovstest-start="+strconv.FormatInt(time.Now().UnixNano(), 10))
}

// StopVswitchd stops ovs-vswitchd with SIGTERM.
func (h *Host) StopVswitchd() {
	h.t.Helper()
	h.vsw.Stop() // how it ends does not matter
}

// KillVswitchd kills ovs-vswitchd with SIGKILL.
func (h *Host) KillVswitchd() { h.vsw.Kill() }

// RestartVswitchd stops and starts ovs-vswitchd.
func (h *Host) RestartVswitchd() { h.t.Helper(); h.StopVswitchd(); h.StartVswitchd() }

// Vswitchd is the ovs-vswitchd process, for its PID and CPU time; DB is the ovsdb-server.
func (h *Host) Vswitchd() *Process { return h.vsw }

// DB is the ovsdb-server process.
func (h *Host) DB() *Process { return h.db }

// daemon starts a program and waits until its control socket answers.
func (h *Host) daemon(ctl string, args ...string) *Process {
	h.t.Helper()
	os.Remove(filepath.Join(h.dir, ctl)) // left by one that was killed, or not there
	p, err := start(spec{ns: h.ns, dir: h.dir, env: h.env, args: args})
	if err != nil {
		h.t.Fatalf("ovstest: %v", err)
	}
	Wait(h.t, 30*time.Second, args[0]+" to answer", func() bool {
		if !p.Running() {
			h.t.Fatalf("ovstest: %s ended: %s", args[0], p.Output())
		}
		if _, err := os.Stat(filepath.Join(h.dir, ctl)); err != nil {
			return false
		}
		_, err := h.TryRun("ovs-appctl", "-t", filepath.Join(h.dir, ctl), "version")
		return err == nil
	})
	return p
}

// VSCtl runs ovs-vsctl on the host's database and returns its output.
func (h *Host) VSCtl(args ...string) string {
	h.t.Helper()
	return h.must(h.TryVSCtl(args...))
}

// TryVSCtl is VSCtl that returns the error.
func (h *Host) TryVSCtl(args ...string) (string, error) {
	return h.TryRun(append([]string{"ovs-vsctl", "--timeout=60", "--db=" + h.OVSDB()}, args...)...)
}

// OFCtl runs ovs-ofctl, with -O OpenFlow13 unless args name a version; bridges may be given by name.
func (h *Host) OFCtl(args ...string) string {
	h.t.Helper()
	return h.must(h.TryOFCtl(args...))
}

// TryOFCtl is OFCtl that returns the error.
func (h *Host) TryOFCtl(args ...string) (string, error) {
	version := []string{"-O", "OpenFlow13"}
	for _, a := range args {
		if strings.HasPrefix(a, "-O") || strings.HasPrefix(a, "--protocols") {
			version = nil
		}
	}
	return h.TryRun(append(append([]string{"ovs-ofctl"}, version...), args...)...)
}

// AppCtl runs ovs-appctl on ovs-vswitchd.
func (h *Host) AppCtl(args ...string) string {
	h.t.Helper()
	return h.must(h.TryAppCtl(args...))
}

// TryAppCtl is AppCtl that returns the error.
func (h *Host) TryAppCtl(args ...string) (string, error) {
	return h.TryRun(append([]string{"ovs-appctl", "-t", h.dir + "/vswitchd.ctl"}, args...)...)
}

func (h *Host) must(out string, err error) string {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("ovstest: %s: %v", h.Name, err)
	}
	return out
}

// AddBridge makes a bridge with the host's datapath type if it is not there, with settings of its Bridge
// record such as fail_mode=secure. A bridge in the default fail mode forwards as a learning switch.
func (h *Host) AddBridge(bridge string, settings ...string) {
	h.t.Helper()
	h.VSCtl(append([]string{"--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge,
		"datapath_type=" + string(h.opt.Datapath)}, settings...)...)
}

// AddPort adds an interface to a bridge, as ovs-vsctl add-port does, with settings of its Interface record.
func (h *Host) AddPort(bridge, name string, settings ...string) {
	h.t.Helper()
	args := []string{"--may-exist", "add-port", bridge, name}
	if len(settings) > 0 {
		args = append(append(args, "--", "set", "Interface", name), settings...)
	}
	h.VSCtl(args...)
}

// OFPort is the OpenFlow port number of an interface.
func (h *Host) OFPort(name string) uint32 {
	h.t.Helper()
	s := h.VSCtl("get", "Interface", name, "ofport")
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		h.t.Fatalf("ovstest: %s: interface %s has ofport %s", h.Name, name, s)
	}
	return uint32(n)
}

// DumpFlows is a bridge's flows, one in a line, without statistics and port names, as
// ovs-ofctl dump-flows --no-stats --no-names prints them.
func (h *Host) DumpFlows(bridge string) []string {
	h.t.Helper()
	var flows []string
	for _, line := range strings.Split(h.OFCtl("dump-flows", "--no-stats", "--no-names", bridge), "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "OFPST_FLOW") {
			flows = append(flows, line)
		}
	}
	return flows
}

// Trace is the output of ofproto/trace for a packet on a bridge, in ovs-ofctl's flow syntax.
func (h *Host) Trace(bridge, flow string, args ...string) string {
	h.t.Helper()
	return h.AppCtl(append(append([]string{"ofproto/trace"}, args...), bridge, flow)...)
}

// Log is the last n lines of the logs of ovs-vswitchd and ovsdb-server.
func (h *Host) Log(n int) string {
	var b strings.Builder
	for _, name := range []string{"ovsdb-server.log", "ovs-vswitchd.log"} {
		text, _ := os.ReadFile(filepath.Join(h.dir, name))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "%s: end of %s:\n%s\n", h.Name, name, strings.Join(lines[max(0, len(lines)-n):], "\n"))
	}
	return b.String()
}
