// Command flows measures installing 50,000 flows in a real ovs-vswitchd by Penstock's session, next to ovs-ofctl --bundle
// add-flows of the same flows, and reading them back and comparing after a reconnect.
//
//	go run ./bench/flows [-n 50000] [-rounds 5]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock/penstock/bench/internal/rig"
	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

func main() {
	n := flag.Int("n", 50000, "flows")
	rounds := flag.Int("rounds", 5, "times that each is measured")
	flag.Parse()
	t := ovstest.NewProgram("bench/flows")
	defer t.Close()
	h := ovstest.Start(t, ovstest.Options{Name: "h1", Datapath: ovstest.Dummy})
	l, err := openflow.Listen("unix:"+h.ControllerSocket(), openflow.ListenOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { l.Close() })
	h.AddBridge(pipeline.BrInt, "fail_mode=secure", "protocols=OpenFlow13")
	h.VSCtl("set-controller", pipeline.BrInt, "unix:"+h.ControllerSocket(), "--", "set", "controller", pipeline.BrInt, "connection_mode=out-of-band", "max_backoff=1000")

	want := &derive.Desired{Groups: map[uint32]pipeline.Group{}, Meters: map[uint32]pipeline.Meter{}, Holds: map[pipeline.Hold]struct{}{}}
	var text strings.Builder
	d := derive.BridgeDelta{}
	for i := range *n {
		// As the flow of a known MAC: a network's register, a MAC, a register to set, the next table.
		line := fmt.Sprintf("table=%d,priority=%d,cookie=%#x,reg0=%#x,dl_dst=fa:16:3e:%02x:%02x:%02x actions=load:%#x->NXM_NX_REG2[],resubmit(,%d)",
			20+i%4, 100+i%7, uint64(pipeline.MakeCookie(1, 2, uint32(i))), i%50, i>>16, i>>8&0xff, i&0xff, i, 30+i%4)
		text.WriteString(line + "\n")
		f, err := openflow.ParseFlow(line)
		if err != nil {
			t.Fatalf("%v", err)
		}
		body, err := openflow.AppendInstructions(nil, f.Actions)
		if err != nil {
			t.Fatalf("%v", err)
		}
		pf := pipeline.Flow{Key: pipeline.Key{Table: f.Table, Priority: f.Priority, Match: string(f.Match.AppendOXM(nil))}, Actions: string(body), Cookie: pipeline.Cookie(f.Cookie)}
		d.Set = append(d.Set, pf)
	}
	want.Flows = derive.NewFlows(d.Set...)
	file := filepath.Join(h.Dir(), "flows.txt")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	open := func() *session.Session {
		c, err := l.Accept(ctx)
		if err != nil {
			t.Fatalf("%v", err)
		}
		s, err := session.Open(ctx, c, pipeline.BrInt, pipeline.RoleInt, 1)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return s
	}
	s := open()
	var ofctl, ours, resync []float64
	mods := 0
	for range *rounds {
		h.OFCtl("del-flows", h.MgmtSocket(pipeline.BrInt))
		start := time.Now()
		h.OFCtl("--bundle", "add-flows", h.MgmtSocket(pipeline.BrInt), file)
		ofctl = append(ofctl, time.Since(start).Seconds())
		h.OFCtl("del-flows", h.MgmtSocket(pipeline.BrInt))
		start = time.Now()
		c := session.NewChange()
		c.Merge(&d)
		if err := s.Apply(ctx, c); err != nil {
			t.Fatalf("%v", err)
		}
		ours = append(ours, time.Since(start).Seconds())
		if got := len(h.DumpFlows(h.MgmtSocket(pipeline.BrInt))); got != *n {
			t.Fatalf("%d flows are installed, not %d", got, *n)
		}
		s.Close()
		s = open()
		start = time.Now()
		have, err := s.Read(ctx, want.Flows)
		if err != nil {
			t.Fatalf("%v", err)
		}
		mods = session.Diff(want, have, false).Size()
		resync = append(resync, time.Since(start).Seconds())
	}
	m := rig.Median
	rig.Print(map[string]any{"bench": "flows", "flows": *n, "ofctl_s": rig.Round(m(ofctl)), "penstock_s": rig.Round(m(ours)),
		"penstock_flows_per_s": rig.Round(float64(*n) / m(ours)), "speed_of_ofctl": rig.Round(m(ofctl) / m(ours)), "speed_aim": 0.8,
		"resync_s": rig.Round(m(resync)), "resync_flow_mods": mods, "resync_aim_s": 2,
		"ok": m(ofctl)/m(ours) >= 0.8 && m(resync) < 2 && mods == 0})
}
