package rig

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// OVN is OVN beside Penstock: its two databases, ovn-northd and ovn-controller on one host.
type OVN struct {
	h          *ovstest.Host
	t          ovstest.TB
	env        []string
	nb, sb     string
	controller *ovstest.Process
	northd     *ovstest.Process
}

// StartOVN starts it on a host that has nothing else, and makes a logical switch s1.
func StartOVN(t ovstest.TB, h *ovstest.Host) *OVN {
	t.Helper()
	ovstest.Need(t, "ovn-northd", "ovn-controller")
	dir := h.Dir()
	o := &OVN{h: h, t: t, env: []string{"OVN_RUNDIR=" + dir, "OVN_LOGDIR=" + dir, "OVN_DBDIR=" + dir}, nb: "unix:" + dir + "/nb.sock", sb: "unix:" + dir + "/sb.sock"}
	for _, db := range []string{"nb", "sb"} {
		h.Run("ovsdb-tool", "create", dir+"/ovn"+db+".db", "/usr/share/ovn/ovn-"+db+".ovsschema")
		h.Start("ovsdb-server", "--remote=punix:"+dir+"/"+db+".sock", "--unixctl="+dir+"/"+db+".ctl", "--log-file="+dir+"/"+db+".log", "-vconsole:emer", dir+"/ovn"+db+".db")
		ovstest.Wait(t, 10*time.Second, db+".sock", func() bool { _, err := os.Stat(dir + "/" + db + ".sock"); return err == nil })
	}
	o.northd = h.StartEnv(o.env, "ovn-northd", "--ovnnb-db="+o.nb, "--ovnsb-db="+o.sb, "--unixctl="+dir+"/northd.ctl", "--log-file="+dir+"/northd.log", "-vconsole:emer")
	h.AddBridge("br-int", "fail_mode=secure")
	h.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-remote="+o.sb, "external_ids:ovn-encap-type=geneve",
		"external_ids:ovn-encap-ip=172.31.0.1", "external_ids:system-id=h1", "external_ids:ovn-bridge-datapath-type=netdev",
		"external_ids:ovn-monitor-all=false")
	o.controller = h.StartEnv(o.env, "ovn-controller", h.OVSDB(), "--log-file="+dir+"/controller.log", "-vconsole:emer")
	o.NB("ls-add", "s1", "--", "set", "logical_switch", "s1", "other_config:subnet=10.0.0.0/16")
	return o
}

// NB runs ovn-nbctl.
func (o *OVN) NB(args ...string) {
	o.t.Helper()
	o.h.Run(append([]string{"ovn-nbctl", "--db=" + o.nb}, args...)...)
}

// Ports makes logical ports p0 … on s1 and waits until ovn-northd has them.
func (o *OVN) Ports(from, to int) {
	o.t.Helper()
	var cmd []string
	for i := from; i < to; i++ {
		if len(cmd) > 0 {
			cmd = append(cmd, "--")
		}
		p := fmt.Sprintf("p%d", i)
		addr := fmt.Sprintf("fa:16:3e:00:%02x:%02x 10.0.%d.%d", i>>8, i&0xff, 1+i/250, 1+i%250)
		cmd = append(cmd, "lsp-add", "s1", p, "--", "lsp-set-addresses", p, addr)
		if len(cmd) > 2000 {
			o.NB(cmd...)
			cmd = nil
		}
	}
	if len(cmd) > 0 {
		o.NB(cmd...)
	}
	o.NB("--wait=sb", "sync")
}

// Stop ends OVN; what it made stays.
func (o *OVN) Stop() {
	o.controller.Kill()
	o.northd.Kill()
}

// Version is what ovn-controller calls itself.
func (o *OVN) Version() string {
	out := o.h.Run("ovn-controller", "--version")
	line, _, _ := strings.Cut(out, "\n")
	return strings.TrimPrefix(line, "ovn-controller ")
}

// SB runs ovn-sbctl.
func (o *OVN) SB(args ...string) {
	o.t.Helper()
	o.h.Run(append([]string{"ovn-sbctl", "--db=" + o.sb}, args...)...)
}

// KillController kills ovn-controller with SIGKILL.
func (o *OVN) KillController() { o.controller.Kill() }

// StartController starts ovn-controller again.
func (o *OVN) StartController() {
	o.t.Helper()
	o.controller = o.h.StartEnv(o.env, "ovn-controller", o.h.OVSDB(), "--log-file="+o.h.Dir()+"/controller.log", "-vconsole:emer")
}
