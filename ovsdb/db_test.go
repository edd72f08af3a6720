package ovsdb

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/model"
)

const patience = 30 * time.Second

// running is a DB with its Run goroutine.
type running struct {
	*DB
	t    testing.TB
	stop func()
}

func newDB(t testing.TB, target string, change func(*Config)) *DB {
	t.Helper()
	log := zap.NewNop()
	if tt, ok := t.(*testing.T); ok {
		log = zaptest.NewLogger(tt, zaptest.Level(zap.InfoLevel))
	}
	cfg := Config{Host: "h1", Target: target, Logger: log, ProbeInterval: 500 * time.Millisecond, RetryMax: 200 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	db, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func run(t testing.TB, db *DB) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	r := &running{DB: db, t: t}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(r.stop)
	return r
}

// await waits until the newest snapshot is as wanted, looking at each change.
func (r *running) await(what string, ok func(Snapshot) bool) Snapshot {
	r.t.Helper()
	sub := r.Subscribe()
	defer sub.Close()
	late := time.After(patience)
	for {
		select {
		case <-sub.C():
			if u := sub.Take(); ok(u.Snapshot) {
				return u.Snapshot
			}
		case <-late:
			r.t.Fatalf("waited %v for %s; state %+v, health %v", patience, what, r.State(), r.Health())
		}
	}
}

func applied(s Snapshot) bool { return s.Applied }

func (r *running) awaitHealth(code string) Health {
	r.t.Helper()
	var h Health
	r.await("health "+code, func(Snapshot) bool {
		i := slices.IndexFunc(r.Health(), func(x Health) bool { return x.Code == code })
		if i >= 0 {
			h = r.Health()[i]
		}
		return i >= 0
	})
	return h
}

func testDesired(t testing.TB, mappings map[string]string) Desired {
	t.Helper()
	d, err := DesiredFor(&model.Host{Meta: model.Meta{ID: "h1"}, DatapathType: "dummy", TunnelIP: netip.MustParseAddr("192.0.2.1"), BridgeMappings: mappings},
		Options{Controllers: []string{"tcp:127.0.0.1:1"}, Overlay: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts an Open vSwitch and a DB that has made what is desired there.
func start(t testing.TB, mappings map[string]string) (*ovstest.Host, *running) {
	t.Helper()
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	r := run(t, newDB(t, h.OVSDB(), nil))
	if err := r.SetDesired(testDesired(t, mappings)); err != nil {
		t.Fatal(err)
	}
	r.await("everything made", applied)
	return h, r
}

func plug(h *ovstest.Host, bridge, name, id string) {
	h.AddPort(bridge, name, "external_ids:iface-id="+id, "external_ids:attached-mac=fa:16:3e:00:00:01")
}

func TestMakesEverythingAndThenNothing(t *testing.T) {
	h, r := start(t, map[string]string{"external": "br-ex", "second": "br-second-net"})
	for _, want := range []struct{ table, row, column, value string }{
		{"Bridge", "br-int", "fail_mode", "secure"},
		{"Bridge", "br-int", "protocols", "[OpenFlow13]"},
		{"Bridge", "br-int", "other_config:datapath-id", fmt.Sprintf("%016x", DatapathID("h1", "br-int"))},
		{"Bridge", "br-tun", "datapath_id", fmt.Sprintf("%016x", DatapathID("h1", "br-tun"))},
		{"Interface", "patch-tun", "ofport", "65000"},
		{"Interface", "patch-int", "options", "{peer=patch-tun}"},
		{"Interface", "int-br-ex", "ofport", "64001"},
		{"Interface", "phy-br-ex", "ofport", "65000"},
		{"Interface", PortVXLAN, "ofport", "65001"},
		{"Interface", PortVXLAN, "options", `{key=flow, local_ip="192.0.2.1", remote_ip=flow}`},
		{"Interface", PortGRE, "ofport", "65002"},
	} {
		if got := h.VSCtl("get", want.table, want.row, want.column); strings.Trim(got, `"`) != want.value {
			t.Errorf("%s %s %s = %s, want %s", want.table, want.row, want.column, got, want.value)
		}
	}
	if got := h.VSCtl("--columns=connection_mode,max_backoff,inactivity_probe,target", "--bare", "find", "Controller"); !strings.HasPrefix(got, "out-of-band\n1000\n5000\ntcp:127.0.0.1:1") {
		t.Errorf("controllers: %s", got)
	}
	if n := r.Counters().Transactions; n != 1 {
		t.Errorf("%d transactions to make everything, want 1", n)
	}
	onInt, onPhy := PatchPorts("br-second-net")
	s := r.State()
	if b, ok := s.Bridge("br-second-net"); !ok || len(b.Ports) != 2 || b.Ports[1].Name != onPhy || b.Ports[1].OFPort != 65000 || len(onInt) > 15 {
		t.Errorf("br-second-net is %+v", b)
	}
	if s.Hostname != "h1" || !s.Complete || !s.Connected {
		t.Errorf("snapshot %+v", s)
	}
	r.stop()

	h.OFCtl("add-flow", "br-int", "table=7,priority=3,actions=drop")
	before := dump(h)
	again := run(t, newDB(t, h.OVSDB(), nil))
	if err := again.SetDesired(testDesired(t, map[string]string{"external": "br-ex", "second": "br-second-net"})); err != nil {
		t.Fatal(err)
	}
	again.await("nothing to do", applied)
	if n := again.Counters().Transactions; n != 0 {
		t.Errorf("%d transactions on a correct database, want none", n)
	}
	if diff := cmp.Diff(before, dump(h)); diff != "" {
		t.Errorf("the database changed:\n%s", diff)
	}
	if f := h.DumpFlows("br-int"); len(f) != 1 {
		t.Errorf("flows after the second start: %v", f)
	}
}

// dump is the part of the database that configuration changes.
func dump(h *ovstest.Host) string {
	var b strings.Builder
	for _, q := range []struct{ table, columns string }{
		{"Bridge", "_uuid,name,ports,controller,fail_mode,protocols,datapath_type,other_config,external_ids"},
		{"Port", "_uuid,name,interfaces,tag,external_ids,other_config"},
		{"Interface", "_uuid,name,type,options,ofport_request,external_ids"},
		{"Controller", "_uuid,target,connection_mode,max_backoff,external_ids"},
	} {
		lines := strings.Split(h.VSCtl("-f", "csv", "--columns="+q.columns, "list", q.table), "\n")
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

func TestRepairsWhatIsOursAndNothingElse(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br-op", "external_ids:who=operator")
	h.AddPort("br-op", "op1", "ofport_request=7")
	h.VSCtl("set", "Port", "op1", "tag=12")
	foreign := h.VSCtl("list", "Port", "op1") + h.VSCtl("--columns=_uuid,name,ports,fail_mode,protocols,other_config,external_ids", "list", "Bridge", "br-op")
	r := run(t, newDB(t, h.OVSDB(), nil))
	if err := r.SetDesired(testDesired(t, nil)); err != nil {
		t.Fatal(err)
	}
	r.await("everything made", applied)
	h.AddPort("br-int", "op2")
	for _, damage := range [][]string{
		{"del-port", "patch-tun"},
		{"del-br", "br-tun"},
		{"set-controller", "br-int", "tcp:127.0.0.1:2"},
		{"del-controller", "br-int"},
		{"set", "Bridge", "br-int", "fail_mode=standalone", "protocols=[]"},
		{"remove", "Bridge", "br-int", "other_config", "datapath-id"},
		{"set", "Interface", PortVXLAN, "options:remote_ip=192.0.2.9"},
		{"del-port", PortGRE, "--", "add-port", "br-int", PortGRE, "--", "set", "Port", PortGRE, "external_ids:penstock-owner=penstock"},
	} {
		before := r.Counters().Transactions
		h.VSCtl(append([]string{"--no-wait"}, damage...)...)
		r.await("repair of "+strings.Join(damage, " "), func(s Snapshot) bool {
			return s.Applied && r.Counters().Transactions > before
		})
		if n := r.Counters().Transactions - before; n > 2 {
			t.Errorf("%d transactions to repair %v", n, damage)
		}
	}
	if got := h.VSCtl("iface-to-br", PortGRE); got != "br-tun" {
		t.Errorf("%s is on %s", PortGRE, got)
	}
	if got := h.VSCtl("list", "Port", "op1") + h.VSCtl("--columns=_uuid,name,ports,fail_mode,protocols,other_config,external_ids", "list", "Bridge", "br-op"); got != foreign {
		t.Errorf("the operator's bridge changed:\n%s", cmp.Diff(foreign, got))
	}
	if got := h.VSCtl("iface-to-br", "op2"); got != "br-int" {
		t.Errorf("the operator's port on br-int is on %q", got)
	}
}

func TestRestarts(t *testing.T) {
	h, r := start(t, map[string]string{"external": "br-ex"})
	plug(h, "br-int", "v1", "id-1")
	plug(h, "br-int", "v2", "id-2")
	r.await("two VIFs", func(s Snapshot) bool { return s.VIFCount() == 2 })
	made := r.Counters().Transactions
	both := func(s Snapshot) bool {
		v := s.VIFs("id-1")
		return s.Connected && s.Applied && s.VIFCount() == 1 && len(v) == 1 && v[0].OFPort > 0
	}
	sub := r.Subscribe()
	defer sub.Close()
	sub.Take()
	h.StopDB()
	r.await("the disconnection", func(s Snapshot) bool { return !s.Connected && s.Complete && s.VIFCount() == 2 })
	if hl := r.awaitHealth(CodeUnreachable); !strings.Contains(hl.Text, h.OVSDB()) || strings.Contains(hl.Text, "\n") {
		t.Errorf("health: %s", hl.Text)
	}
	h.StopVswitchd() // so that the database can be changed while nobody looks
	h.Run("ovsdb-tool", "transact", h.Dir()+"/conf.db", `["Open_vSwitch",
		{"op":"select","table":"Port","where":[["name","==","v2"]],"columns":["_uuid"]}]`)
	h.StartDB()
	h.VSCtl("--no-wait", "del-port", "v2")
	h.StartVswitchd()
	r.await("the state after both restarted", both)
	for {
		<-sub.C()
		if u := sub.Take(); slices.Contains(u.IfaceIDs, "id-2") && len(u.Snapshot.VIFs("id-2")) == 0 {
			break
		}
	}
	h.RestartDB()
	r.await("the state after ovsdb-server restarted", both)
	h.RestartVswitchd()
	r.await("the state after ovs-vswitchd restarted", both)
	if n := r.Counters().Transactions; n != made {
		t.Errorf("restarts caused %d transactions", n-made)
	}
	if len(r.Health()) != 1 || r.Health()[0].Code != CodeNoUplink {
		t.Errorf("health: %v", r.Health())
	}
}

func TestVIFEvents(t *testing.T) {
	h, r := start(t, nil)
	sub := r.Subscribe()
	defer sub.Close()
	if u := sub.Take(); !u.All {
		t.Fatal("the first update is not All")
	}
	next := func(id string, ok func(Snapshot) bool) Snapshot {
		t.Helper()
		seen := false
		late := time.After(patience)
		for {
			select {
			case <-sub.C():
				u := sub.Take()
				seen = seen || slices.Contains(u.IfaceIDs, id)
				if seen && ok(u.Snapshot) {
					return u.Snapshot
				}
			case <-late:
				t.Fatalf("no update for %s; have %v", id, r.State().VIFs(id))
			}
		}
	}
	h.AddPort("br-int", "v1")
	plug(h, "br-int", "v2", "id-2")
	s := next("id-2", func(s Snapshot) bool { return len(s.VIFs("id-2")) == 1 && s.VIFs("id-2")[0].OFPort > 0 })
	if v := s.VIFs("id-2")[0]; v.Name != "v2" || v.AttachedMAC.String() != "fa:16:3e:00:00:01" || v.Bridge != "br-int" || v.Installed {
		t.Errorf("VIF %+v", v)
	}
	h.VSCtl("set", "Interface", "v1", "external_ids:iface-id=id-1") // as some tools do: afterwards
	next("id-1", func(s Snapshot) bool { return len(s.VIFs("id-1")) == 1 })
	h.VSCtl("set", "Interface", "v1", "external_ids:iface-id=id-3")
	next("id-1", func(s Snapshot) bool { return len(s.VIFs("id-1")) == 0 && len(s.VIFs("id-3")) == 1 })
	// Unplugged and plugged anew in one transaction, under the same name.
	old := s.VIFs("id-2")[0].UUID
	h.VSCtl("del-port", "v2", "--", "add-port", "br-int", "v2", "--", "set", "Interface", "v2", "external_ids:iface-id=id-2")
	next("id-2", func(s Snapshot) bool { return len(s.VIFs("id-2")) == 1 && s.VIFs("id-2")[0].UUID != old })
	// Another bridge is no place for a VIF.
	h.VSCtl("del-port", "v2", "--", "add-port", "br-tun", "v2", "--", "set", "Interface", "v2", "external_ids:iface-id=id-2")
	next("id-2", func(s Snapshot) bool { return len(s.VIFs("id-2")) == 0 })
	r.awaitHealth(CodeVIFElsewhere)
	h.VSCtl("del-port", "v2")
	h.AddPort("br-int", "v4", "external_ids:iface-id=id-3")
	if x := r.awaitHealth(CodeVIFTwice); !strings.Contains(x.Text, "v1 and v4") {
		t.Errorf("health: %v", x)
	}
	h.VSCtl("del-port", "v4")
	s = r.await("one VIF", func(s Snapshot) bool { return s.VIFCount() == 1 && len(r.Health()) == 0 })

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := s.VIFs("id-3")[0].UUID
	h.VSCtl("set", "Interface", "v1", "external_ids:mine=kept")
	for range 2 { // the second time nothing is sent
		if err := r.SetInstalled(ctx, []string{id, "no such row"}, true); err != nil {
			t.Fatal(err)
		}
		r.await("the mark", func(s Snapshot) bool { return s.VIFs("id-3")[0].Installed })
	}
	if n := r.Counters().Marks; n != 1 {
		t.Errorf("%d transactions for one mark", n)
	}
	if got := h.VSCtl("get", "Interface", "v1", "external_ids"); !strings.Contains(got, `penstock-installed="true"`) || !strings.Contains(got, "mine=kept") {
		t.Errorf("external_ids %s", got)
	}
	if err := r.ClearInstalled(ctx); err != nil {
		t.Fatal(err)
	}
	r.await("the mark's end", func(s Snapshot) bool { return !s.VIFs("id-3")[0].Installed })
}

func TestAThousandVIFs(t *testing.T) {
	h, r := start(t, nil)
	r.await("quiet", applied)
	h.StopVswitchd() // Open vSwitch's own work on 1,000 ports is not what is measured
	base, steady := r.Counters(), r.Counters().Transactions
	const n = 1000
	for i := 0; i < n; i += 100 {
		args := []string{"--no-wait"}
		for j := i; j < i+100; j++ {
			name := fmt.Sprintf("v%d", j)
			args = append(args, "--", "add-port", "br-int", name, "--", "set", "Interface", name, "external_ids:iface-id=id-"+name)
		}
		h.VSCtl(args...)
	}
	r.await("all VIFs", func(s Snapshot) bool { return s.VIFCount() == n })
	c := r.Counters()
	// Each VIF is one Port and one Interface row; a bridge and the root row come with each transaction.
	if rows := c.Rows - base.Rows; rows < 2*n || rows > 2*n+10*2+100 {
		t.Errorf("%d rows looked at for %d VIFs", rows, n)
	}
	if v := c.VIFChanges - base.VIFChanges; v != n {
		t.Errorf("%d VIF changes for %d VIFs", v, n)
	}
	if c.Transactions != steady {
		t.Errorf("%d transactions for VIFs", c.Transactions-steady)
	}
	// One more costs what the first one cost.
	before := r.Counters()
	h.VSCtl("--no-wait", "add-port", "br-int", "more", "--", "set", "Interface", "more", "external_ids:iface-id=id-more")
	r.await("one more", func(s Snapshot) bool { return len(s.VIFs("id-more")) == 1 })
	after := r.Counters()
	if rows := after.Rows - before.Rows; rows > 6 {
		t.Errorf("%d rows looked at for one more VIF", rows)
	}
	h.VSCtl("--no-wait", "del-port", "v500")
	r.await("one less", func(s Snapshot) bool { return s.VIFCount() == n })
	if v := r.Counters().VIFChanges - after.VIFChanges; v != 1 {
		t.Errorf("%d VIF changes for one less", v)
	}
}

func TestHungServer(t *testing.T) {
	h, r := start(t, nil)
	h.DB().Signal(syscall.SIGSTOP)
	if x := r.awaitHealth(CodeUnreachable); !strings.Contains(x.Text, "does not answer") {
		t.Errorf("health: %v", x)
	}
	h.DB().Signal(syscall.SIGCONT)
	r.await("the connection again", applied)
}

func TestSilentVswitchd(t *testing.T) {
	h, r := start(t, nil)
	h.StopVswitchd()
	h.VSCtl("--no-wait", "del-port", "patch-tun")
	r.awaitHealth(CodeVswitchdSilent)
	h.StartVswitchd()
	r.await("the repair", func(s Snapshot) bool { return s.Applied && len(r.Health()) == 0 })
}

func TestUnreachable(t *testing.T) {
	for _, bad := range []string{"", "db.sock", "tcp:6640", "tcp:host.example:6640", "http://127.0.0.1", "unix:relative"} {
		if _, err := New(Config{Host: "h1", Target: bad, Logger: zap.NewNop()}); err == nil {
			t.Errorf("target %q is accepted", bad)
		}
	}
	dir := t.TempDir()
	r := run(t, newDB(t, "unix:"+dir+"/db.sock", nil))
	r.await("an attempt", func(Snapshot) bool { return r.Counters().Failures >= 1 })
	ovstest.Wait(t, patience, "more attempts", func() bool { return r.Counters().Failures > 3 })
	x := r.awaitHealth(CodeUnreachable)
	if !strings.Contains(x.Text, dir) || strings.Contains(x.Text, "\n") {
		t.Errorf("health: %q", x.Text)
	}
	if s := r.State(); s.Complete || s.Connected {
		t.Errorf("state %+v", s)
	}
	if err := r.SetInstalled(context.Background(), []string{"x"}, true); err != nil {
		t.Errorf("a mark for nobody: %v", err)
	}
}

func TestAdoptAndUndo(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br-ex", "fail_mode=standalone", "other_config:datapath-id=00000000000000aa", "other_config:mac-aging-time=60")
	h.AddPort("br-ex", "eth9")
	h.AddBridge("br-op")
	before := dump(h)
	r := run(t, newDB(t, h.OVSDB(), nil))
	d := testDesired(t, map[string]string{"external": "br-ex"})
	d.DatapathType = "" // then the operator's bridge decides
	if err := r.SetDesired(d); err != nil {
		t.Fatal(err)
	}
	r.await("the takeover", applied)
	if len(r.Health()) != 0 {
		t.Errorf("health: %v", r.Health())
	}
	if got := h.VSCtl("get-fail-mode", "br-ex"); got != "secure" {
		t.Errorf("fail mode %s", got)
	}
	// A mapping that is taken away gives the bridge back at once, the rest stays.
	if err := r.SetDesired(testDesired(t, nil)); err != nil {
		t.Fatal(err)
	}
	r.await("br-ex given back", func(s Snapshot) bool {
		b, ok := s.Bridge("br-ex")
		return s.Applied && ok && !b.Owned && len(b.Ports) == 2
	})
	if err := r.SetDesired(d); err != nil {
		t.Fatal(err)
	}
	r.await("the takeover again", func(s Snapshot) bool { b, _ := s.Bridge("br-ex"); return s.Applied && b.Owned })
	plug(h, "br-int", "v1", "id-1")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := r.await("the VIF", func(s Snapshot) bool { return s.VIFCount() == 1 })
	if err := r.SetInstalled(ctx, []string{s.VIFs("id-1")[0].UUID}, true); err != nil {
		t.Fatal(err)
	}
	r.await("the mark", func(s Snapshot) bool { return s.VIFs("id-1")[0].Installed })
	if err := r.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	// br-int stays for the VIF that somebody else plugged, with nothing of ours on it.
	if got := h.VSCtl("list-ports", "br-int"); got != "v1" {
		t.Errorf("br-int has %q", got)
	}
	h.VSCtl("del-br", "br-int")
	if diff := cmp.Diff(before, dump(h)); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
}

func TestLeavesBridgeInUseAlone(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br-ex")
	h.AddPort("br-ex", "eth9")
	before := h.VSCtl("list", "Port", "eth9") + h.VSCtl("--columns=ports,controller,fail_mode,protocols,external_ids,other_config", "list", "Bridge", "br-ex")
	db := newDB(t, h.OVSDB(), nil)
	db.local = false // as with tcp: to another machine
	r := run(t, db)
	if err := r.SetDesired(testDesired(t, map[string]string{"external": "br-ex"})); err != nil {
		t.Fatal(err)
	}
	x := r.awaitHealth(CodeBridgeInUse)
	r.await("the other bridges", func(s Snapshot) bool {
		b, ok := s.Bridge("br-tun")
		return ok && b.Owned && b.DatapathID == DatapathID("h1", "br-tun")
	})
	if got := h.VSCtl("list", "Port", "eth9") + h.VSCtl("--columns=ports,controller,fail_mode,protocols,external_ids,other_config", "list", "Bridge", "br-ex"); got != before {
		t.Errorf("the bridge changed:\n%s", cmp.Diff(before, got))
	}
	if got := h.VSCtl("list-ports", "br-int"); got != "patch-tun" {
		t.Errorf("half a patch was made: %q", got)
	}
	// The command that the line names works.
	_, command, ok := strings.Cut(x.Text, "run ovs-vsctl ")
	if !ok {
		t.Fatalf("health: %v", x)
	}
	h.VSCtl(strings.Fields(command)...)
	r.await("the takeover", func(s Snapshot) bool { return s.Applied && len(r.Health()) == 0 })
	// A bridge that another program controls is left alone whatever the way to it.
	h.AddBridge("br-other")
	h.VSCtl("set-controller", "br-other", "tcp:127.0.0.1:3")
	if err := r.SetDesired(testDesired(t, map[string]string{"external": "br-ex", "x": "br-other"})); err != nil {
		t.Fatal(err)
	}
	if x := r.awaitHealth(CodeBridgeInUse); !strings.Contains(x.Text, "tcp:127.0.0.1:3") {
		t.Errorf("health: %v", x)
	}
}

func TestPortHealth(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br-int")
	h.AddPort("br-int", "squatter", "ofport_request=65000")
	h.AddPort("br-int", PortGRE)
	r := run(t, newDB(t, h.OVSDB(), nil))
	if err := r.SetDesired(testDesired(t, nil)); err != nil {
		t.Fatal(err)
	}
	r.awaitHealth(CodeOFPortTaken)
	r.awaitHealth(CodePortNameTaken)
	h.VSCtl("del-port", "squatter", "--", "del-port", PortGRE)
	r.await("everything", func(s Snapshot) bool { return s.Applied && len(r.Health()) == 0 })
}

func TestOtherControllersKeepTheFlows(t *testing.T) {
	h, r := start(t, nil)
	h.OFCtl("add-flow", "br-int", "table=7,priority=3,actions=drop")
	d := testDesired(t, nil)
	for i := range d.Bridges {
		d.Bridges[i].Controllers = []string{"tcp:127.0.0.1:2", "tcp:127.0.0.1:3"}
	}
	before := r.Counters().Transactions
	if err := r.SetDesired(d); err != nil {
		t.Fatal(err)
	}
	r.await("the new targets", func(s Snapshot) bool { return s.Applied && r.Counters().Transactions == before+1 })
	if got := h.VSCtl("get-controller", "br-int"); got != "tcp:127.0.0.1:2\ntcp:127.0.0.1:3" {
		t.Errorf("controllers %q", got)
	}
	if f := h.DumpFlows("br-int"); len(f) != 1 {
		t.Errorf("flows: %v", f)
	}
}

// TestDatapathFallback needs an ovs-vswitchd that offers the kernel's datapath, whether or not the kernel has it.
func TestDatapathFallback(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{})
	h.StopVswitchd()
	vswitchd := h.Start("ovs-vswitchd", "--unixctl="+h.Dir()+"/vswitchd.ctl", "--log-file="+h.Dir()+"/ovs-vswitchd.log", "-vconsole:emer", h.OVSDB())
	t.Cleanup(vswitchd.Kill)
	r := run(t, newDB(t, h.OVSDB(), nil))
	d := testDesired(t, map[string]string{"external": "br-ex"})
	d.DatapathType = ""
	if err := r.SetDesired(d); err != nil {
		t.Fatal(err)
	}
	s := r.await("bridges", applied)
	if slices.Contains(s.DatapathTypes, "system") {
		_, err := exec.Command("test", "-d", "/sys/module/openvswitch").CombinedOutput()
		want := map[bool]string{true: "system", false: "netdev"}[err == nil]
		for _, b := range s.Bridges {
			if b.DatapathType != want {
				t.Errorf("bridge %s is %s, want %s", b.Name, b.DatapathType, want)
			}
		}
	} else {
		t.Errorf("ovs-vswitchd offers %v only", s.DatapathTypes)
	}
	for _, p := range []string{PortVXLAN, PortGRE} {
		if got := h.VSCtl("get", "Interface", p, "error"); got != "[]" {
			t.Errorf("%s: %s", p, got)
		}
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	before := runtime.NumGoroutine()
	r := run(t, newDB(t, h.OVSDB(), nil))
	if err := r.SetDesired(testDesired(t, nil)); err != nil {
		t.Fatal(err)
	}
	r.await("everything", applied)
	for range 3 {
		was := r.Counters().Connects
		h.RestartDB()
		r.await("the connection", func(s Snapshot) bool { return s.Applied && r.Counters().Connects > was })
	}
	r.stop()
	ovstest.Wait(t, patience, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}
