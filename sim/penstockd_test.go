package sim_test

import (
	"testing"
	"time"

	"github.com/penstock/penstock/controller"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/sim"
	"github.com/penstock/penstock/store/storetest"

	"context"
	"net"
	"net/netip"
	"slices"
)

// TestController: the whole controller takes simulated hosts for real ones: it makes their bridges, binds a VIF,
// installs its flows on both hosts, and sends nothing again when it is restarted.
func TestController(t *testing.T) {
	st := storetest.New(t)
	a, b := host(t, "h1"), host(t, "h2")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	net1 := &model.Network{Meta: model.Meta{ID: "n1", Key: 11}, AdminStateUp: true, Segments: []model.Segment{{Type: model.NetworkVXLAN, ID: 5}}}
	p1 := &model.Port{Meta: model.Meta{ID: "p1", Key: 12}, NetworkID: "n1", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1},
		FixedIPs: []model.FixedIP{{SubnetID: "s1", Address: netip.MustParseAddr("10.0.0.5")}}}
	p2 := &model.Port{Meta: model.Meta{ID: "p2", Key: 13}, NetworkID: "n1", AdminStateUp: true, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 2}}
	storetest.Put(t, st, net1, p1, p2,
		&model.Host{Meta: model.Meta{ID: "h1", Key: 1}, OVSDB: a.OVSDB(), TunnelIP: netip.MustParseAddr("172.16.0.1")},
		&model.Host{Meta: model.Meta{ID: "h2", Key: 2}, OVSDB: b.OVSDB(), TunnelIP: netip.MustParseAddr("172.16.0.2")})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	var c *controller.Controller
	start := func(ln net.Listener) (stop func()) {
		c = controller.New(controller.Config{Store: st, Logger: zapNop, Settings: pipeline.DefaultSettings(), Socket: ln, Advertise: []string{"tcp:" + addr}})
		rctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func(c *controller.Controller) { done <- c.Run(rctx) }(c)
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := start(ln)
	for h, v := range map[*sim.Host]sim.VIF{a: {IfaceID: "p1", Name: "tap1"}, b: {IfaceID: "p2", Name: "tap2"}} {
		if _, err := h.WaitBridge(ctx, "br-int"); err != nil {
			t.Fatal(err)
		}
		if err := h.Plug(v); err != nil {
			t.Fatal(err)
		}
		if err := h.WaitInstalled(ctx, v.Name); err != nil {
			t.Fatal(err)
		}
	}
	knows := func(h *sim.Host, key uint32) bool {
		for _, f := range h.Switch("br-int").Flows() {
			if c := pipeline.Cookie(f.Cookie); c.Ours() && c.Key() == key {
				return true
			}
		}
		return false
	}
	if !knows(a, 13) || !knows(b, 12) {
		t.Error("a host has no flow of the other host's port")
	}
	if f := a.Switch("br-int").Stats().Failed; f != 0 {
		t.Errorf("%d messages were refused", f)
	}
	synced := func() {
		t.Helper()
		for !slices.ContainsFunc(c.Switches(), func(s opapi.Switch) bool { return s.Host == "h1" && s.Name == "br-int" && s.Connected && s.Synced }) {
			if ctx.Err() != nil {
				t.Fatalf("h1 is not synced: %+v", c.Switches())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	synced()
	stop()
	before := a.Switch("br-int").Stats()
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	stop = start(ln)
	defer stop()
	synced()
	if now := a.Switch("br-int").Stats(); now.FlowMods != before.FlowMods || now.Flows == 0 {
		t.Errorf("the restart sent flows again: %+v, before %+v", now, before)
	}
	// Unplugging shows that the new one is at work.
	if _, err := b.Switch("br-int").Wait(ctx, func(s sim.Stats) bool { return s.Connections == 1 }); err != nil {
		t.Fatal(err)
	}
	base := b.Switch("br-int").Stats().Flows
	if err := b.Unplug("tap2"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Switch("br-int").Wait(ctx, func(s sim.Stats) bool { return s.Flows < base }); err != nil {
		t.Fatal(err)
	}
	if now := a.Switch("br-int").Stats(); now.FlowMods-before.FlowMods > 40 || now.Flows == 0 {
		t.Errorf("an unplug elsewhere sent much: %+v, before %+v", now, before)
	}
}
