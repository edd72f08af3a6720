package controller

import (
	"context"
	"net"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/sim"
	"github.com/penstock/penstock/store/storetest"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestRun runs a whole controller with a simulated host: a port becomes ACTIVE, a second controller after the first
// sends nothing, an audit mends what was lost, and with the context every goroutine ends.
func TestRun(t *testing.T) {
	st := storetest.New(t)
	host, err := sim.NewHost("h1", sim.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	port := &model.Port{Meta: model.Meta{ID: "p1", Name: "web", Key: 12}, NetworkID: "n1", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1},
		FixedIPs: []model.FixedIP{{Address: netip.MustParseAddr("10.0.0.5")}}}
	storetest.Put(t, st, &model.Host{Meta: model.Meta{ID: "h1", Name: "h1", Key: 10}, OVSDB: host.OVSDB()},
		&model.Network{Meta: model.Meta{ID: "n1", Name: "blue", Key: 11}, AdminStateUp: true}, port)
	addr := ""
	run := func() (c *Controller, stop func()) {
		t.Helper()
		listen := "127.0.0.1:0"
		if addr != "" {
			listen = addr // the bridges know it
		}
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		c = New(Config{Store: st, Logger: zap.NewNop(), Registerer: prometheus.NewRegistry(), Settings: pipeline.DefaultSettings(),
			Socket: l, Advertise: []string{"tcp:" + addr}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		stop = func() {
			t.Helper()
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("Run does not end")
			}
		}
		eventually(t, "readiness", c.Ready)
		return c, stop
	}
	synced := func(c *Controller) bool {
		h := c.Hosts()
		for _, b := range h[0].Bridges {
			if !b.Connected || !b.Synced || b.FlowsInstalled != b.FlowsDesired {
				return false
			}
		}
		return len(h[0].Bridges) > 0
	}
	before := runtime.NumGoroutine()
	c, stop := run()
	sw, err := host.WaitBridge(t.Context(), "br-int")
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Plug(sim.VIF{Name: "tap1", IfaceID: "p1"}); err != nil {
		t.Fatal(err)
	}
	if err := host.WaitInstalled(t.Context(), "tap1"); err != nil {
		t.Fatal(err)
	}
	if s := st.View().Status("p1"); s != model.StatusActive {
		t.Errorf("status %s", s)
	}
	eventually(t, "all bridges to be in sync", func() bool { return synced(c) })
	flows := len(sw.Flows())
	if flows < 20 {
		t.Errorf("%d flows", flows)
	}
	// A name changes no flow; it is derived all the same.
	renamed := *port
	renamed.Name = "renamed"
	rev := storetest.Put(t, st, &renamed)
	eventually(t, "the new name to be derived", func() bool { return c.Status(t.Context(), nil).Derived >= rev })
	stop()

	mods := sw.Stats().FlowMods
	c, stop = run()
	eventually(t, "all bridges to be in sync again", func() bool { return synced(c) })
	if n := sw.Stats().FlowMods - mods; n != 0 {
		t.Errorf("a second controller sent %d flow-mods", n)
	}
	w := httptest.NewRecorder()
	c.Operator(nil).ServeHTTP(w, httptest.NewRequest("POST", opapi.PathAudit+"?host=nobody", nil))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "nobody") {
		t.Errorf("audit of no host: %d %s", w.Code, w.Body)
	}
	got, err := c.Audit(t.Context(), "h1")
	if err != nil || len(got) != 2 || got[0].Repaired+got[1].Repaired != 0 {
		t.Errorf("audit: %+v %v", got, err)
	}
	sw.Wipe() // all is lost: the session ends, the next one brings it back
	eventually(t, "the flows to come back", func() bool { return len(sw.Flows()) == flows && synced(c) })
	// A second network's groups do not fit: its port is not ACTIVE until they do.
	sw.LimitGroups(1)
	storetest.Put(t, st, &model.Network{Meta: model.Meta{ID: "n2", Name: "red", Key: 13}, AdminStateUp: true},
		&model.Port{Meta: model.Meta{ID: "p2", Key: 14}, NetworkID: "n2", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}})
	if err := host.Plug(sim.VIF{Name: "tap2", IfaceID: "p2"}); err != nil {
		t.Fatal(err)
	}
	refused := func() bool {
		return slices.ContainsFunc(c.Status(t.Context(), nil).Health, func(h opapi.Health) bool { return h.Code == "FLOW_REFUSED" })
	}
	eventually(t, "the groups to be refused", refused)
	eventually(t, "the port behind them to be down", func() bool { return st.View().Status("p2") == model.StatusDown })
	if s := st.View().Status("p1"); s != model.StatusActive {
		t.Errorf("the other network's port is %s", s)
	}
	sw.LimitGroups(0)
	eventually(t, "the port to be active", func() bool { return st.View().Status("p2") == model.StatusActive && !refused() })
	// A port moves here on a VLAN: it is announced for a while.
	moving := model.Port{Meta: model.Meta{ID: "p3", Key: 15}, NetworkID: "n3", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 3}, HostID: "elsewhere"}
	came := moving
	came.HostID = "h1"
	storetest.Put(t, st, &model.Network{Meta: model.Meta{ID: "n3", Name: "vlan", Key: 16}, AdminStateUp: true,
		Segments: []model.Segment{{Type: model.NetworkVLAN, PhysicalNetwork: "p", ID: 7}}}, &moving)
	outs := sw.Stats().PacketOuts
	storetest.Put(t, st, &came)
	eventually(t, "its announcements", func() bool { return sw.Stats().PacketOuts >= outs+3 })
	stop()
	eventually(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 }) // the simulated switches' own
}
