package sim

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/ovsdb"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func testHost(t *testing.T, name string) *Host {
	t.Helper()
	h, err := NewHost(name, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// TestDatabase has package ovsdb set a host up, bind VIFs and reconnect, as it does with the real ones.
func TestDatabase(t *testing.T) {
	h := testHost(t, "h1")
	ln, err := openflow.Listen("tcp:127.0.0.1:0", openflow.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx := within(t, 20*time.Second)
	lg := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	for round := range 2 { // the second connection finds all as the first left it
		db, err := ovsdb.New(ovsdb.Config{Host: "h1", Target: h.OVSDB(), Logger: lg})
		if err != nil {
			t.Fatal(err)
		}
		rctx, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- db.Run(rctx) }()
		want, err := ovsdb.DesiredFor(&model.Host{Meta: model.Meta{ID: "h1"}, BridgeMappings: map[string]string{"p": "br-ex"}},
			ovsdb.Options{Controllers: []string{"tcp:" + ln.Addr().String()}, Overlay: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SetDesired(want); err != nil {
			t.Fatal(err)
		}
		sub := db.Subscribe()
		await := func(what string, ok func(ovsdb.Snapshot) bool) {
			t.Helper()
			for !ok(db.State()) {
				select {
				case <-sub.C():
					sub.Take()
				case <-ctx.Done():
					t.Fatalf("round %d: no %s: %+v %v; %v", round, what, db.State(), db.Health(), h.wait(ctx, "", func() bool { return false }))
				}
			}
		}
		await("settled host", func(s ovsdb.Snapshot) bool { return s.Applied })
		b, _ := db.State().Bridge("br-int")
		if b.DatapathID != ovsdb.DatapathID("h1", "br-int") || len(b.Ports) != 2 || b.Ports[1].OFPort != int(ovsdb.OFPortPatchTun) {
			t.Errorf("round %d: br-int is %+v", round, b)
		}
		name := fmt.Sprintf("tap%d", round)
		if err := h.Plug(VIF{"id-" + name, name, "fa:16:3e:00:00:01"}, VIF{"id2-" + name, name + "b", ""}); err != nil {
			t.Fatal(err)
		}
		await("VIF", func(s ovsdb.Snapshot) bool { v := s.VIFs("id-" + name); return len(v) == 1 && v[0].OFPort > 0 })
		if err := db.SetInstalled(ctx, []string{db.State().VIFs("id-" + name)[0].UUID}, true); err != nil {
			t.Fatal(err)
		}
		if err := h.WaitInstalled(ctx, name); err != nil {
			t.Fatal(err)
		}
		if n := db.State().VIFCount(); n != 2+round {
			t.Errorf("round %d: %d VIFs", round, n)
		}
		if err := h.Unplug(name); err != nil {
			t.Fatal(err)
		}
		await("end of the VIF", func(s ovsdb.Snapshot) bool { return len(s.VIFs("id-"+name)) == 0 })
		sub.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, n := range []string{"br-ex", "br-int", "br-tun"} {
		if s := h.Switch(n); s == nil || s.DatapathID != ovsdb.DatapathID("h1", n) {
			t.Errorf("%s has no switch of its datapath id", n)
		}
	}
	if err := h.Unplug("nothing"); err == nil {
		t.Error("unplugged what is not there")
	}
}

// controller accepts one switch.
func controller(t *testing.T, s *Switch) *openflow.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := openflow.NewListener(ln, openflow.ListenOptions{})
	t.Cleanup(func() { l.Close() })
	s.mu.Lock()
	var targets []string
	for x := range s.peers {
		targets = append(targets, x)
	}
	s.mu.Unlock()
	s.SetControllers(append(targets, "tcp:"+ln.Addr().String()))
	c, err := l.Accept(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mod(t *testing.T, c openflow.FlowCommand, text string) *openflow.FlowMod {
	t.Helper()
	f, err := openflow.ParseFlow(text)
	if err != nil {
		t.Fatal(err)
	}
	return &openflow.FlowMod{Command: c, Flow: f}
}

func TestSwitch(t *testing.T) {
	commits := make(chan Commit, 10)
	s := NewSwitch("h1", "br-int", 0x42, func(c Commit) { commits <- c })
	defer s.Close()
	c := controller(t, s)
	ctx := within(t, 10*time.Second)
	if c.Features().DatapathID != 0x42 {
		t.Errorf("datapath id %x", c.Features().DatapathID)
	}
	all := openflow.BundleAtomic | openflow.BundleOrdered
	group := openflow.GroupDesc{ID: 7, Type: openflow.GroupAllBuckets, Buckets: []openflow.Bucket{{Actions: []openflow.Action{openflow.Output{Port: 1}}}}}
	meter := openflow.MeterConfig{ID: 3, Flags: openflow.MeterPktps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 5}}}
	if err := c.Transact(ctx, &openflow.MeterMod{Meter: meter}); err != nil {
		t.Fatal(err)
	}
	if err := c.Bundle(ctx, all, []openflow.Message{
		&openflow.GroupMod{Group: group},
		mod(t, openflow.FlowAdd, "table=1,cookie=5,priority=9,tcp,nw_src=10.0.0.0/24 actions=group:7"),
		mod(t, openflow.FlowAdd, "table=1,cookie=6,priority=9,udp actions=meter:3,output:2"),
	}); err != nil {
		t.Fatal(err)
	}
	if x := <-commits; x.Mods != 3 || x.Switch != s {
		t.Errorf("commit %+v", x)
	}
	// A bundle of which one message fails changes nothing, and the message is named.
	err := c.Bundle(ctx, all, []openflow.Message{
		mod(t, openflow.FlowDelete, "table=1 actions=drop"),
		mod(t, openflow.FlowAdd, "table=2 actions=group:99"),
	})
	if be, ok := err.(*openflow.BatchError); !ok || len(be.Failures) != 1 || be.Failures[0].Index != 1 || be.Failures[0].Err.Code != errBadOutGroup {
		t.Errorf("bundle: %v", err)
	}
	count := func(want int) {
		t.Helper()
		n := 0
		for _, err := range c.Flows(ctx, &openflow.FlowRequest{Table: openflow.AllTables}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want || s.Stats().Flows != want {
			t.Errorf("%d flows read, %d held, want %d", n, s.Stats().Flows, want)
		}
	}
	count(2)
	// Deletes: strict, by cookie, by a match that covers, by group.
	for _, step := range []struct {
		m    openflow.Message
		want int
	}{
		{mod(t, openflow.FlowDeleteStrict, "table=1,priority=8,udp actions=drop"), 2},
		{mod(t, openflow.FlowDelete, "table=1,tcp,nw_src=10.0.0.0/25 actions=drop"), 2},
		{&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.AllTables, Cookie: 6}, CookieMask: ^uint64(0)}, 1},
		{mod(t, openflow.FlowAdd, "table=1,cookie=6,priority=9,udp actions=output:2"), 2},
		{mod(t, openflow.FlowModify, "table=1,udp actions=output:3"), 2},
		{mod(t, openflow.FlowDelete, "table=1,ip,nw_src=10.0.0.0/8 actions=drop"), 1},
		{mod(t, openflow.FlowAdd, "table=1,tcp actions=group:7"), 2},
		{&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupDesc{ID: 7}}, 1},
		{mod(t, openflow.FlowDelete, "table=255 actions=drop"), 0},
	} {
		if err := c.Transact(ctx, step.m); err != nil {
			t.Errorf("%v: %v", step.m, err)
		}
		count(step.want)
	}
	for _, m := range []openflow.Message{
		&openflow.MeterMod{Meter: meter}, &openflow.MeterMod{Command: openflow.MeterModify, Meter: openflow.MeterConfig{ID: 9}},
		&openflow.GroupMod{Command: openflow.GroupModify, Group: group}, mod(t, openflow.FlowAdd, "table=254 actions=drop"),
	} {
		if err := c.Transact(ctx, m); err == nil {
			t.Errorf("%v was taken", m)
		}
	}
	if r, err := c.Multipart(ctx, &openflow.MeterRequest{Meter: openflow.MeterAll, Config: true}); err != nil {
		t.Error(err)
	} else {
		for m, err := range r.Meters() {
			if err != nil || m.ID != 3 {
				t.Errorf("meter %v %v", m, err)
			}
		}
	}
	if st := s.Stats(); st.Bundles != 1 || st.Failed == 0 || st.Octets == 0 {
		t.Errorf("%+v", st)
	}
}

// TestRoles: the newest primary wins, an old generation does not, the tables outlive connections.
func TestRoles(t *testing.T) {
	s := NewSwitch("h1", "br-int", 1, nil)
	defer s.Close()
	ctx := within(t, 10*time.Second)
	a := controller(t, s)
	if _, err := a.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: 5}); err != nil {
		t.Fatal(err)
	}
	if err := a.Transact(ctx, mod(t, openflow.FlowAdd, "actions=drop")); err != nil {
		t.Fatal(err)
	}
	b := controller(t, s)
	if _, err := b.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: 4}); err == nil {
		t.Error("an old generation was taken")
	}
	if _, err := b.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: 6}); err != nil {
		t.Error(err)
	}
	if err := a.Transact(ctx, mod(t, openflow.FlowAdd, "table=1 actions=drop")); err == nil {
		t.Error("a secondary wrote")
	}
	a.Close()
	b.Close()
	if st, err := s.Wait(ctx, func(s Stats) bool { return s.Connections == 0 }); err != nil || st.Flows != 1 {
		t.Errorf("%+v %v", st, err)
	}
	s.SetControllers(nil)
	if st := s.Stats(); st.Flows != 0 {
		t.Errorf("removing the last controller left %d flows", st.Flows)
	}
}

// TestManyHosts: 200 hosts stand in one process.
func TestManyHosts(t *testing.T) {
	ctx := within(t, 60*time.Second)
	for i := range 200 {
		h := testHost(t, fmt.Sprintf("h%d", i))
		if err := h.WaitInstalled(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
