package session_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// TestWide applies large changes to a real ovs-vswitchd over several connections: all of it is there, what goes goes, a
// refusal leaves nothing but is told and then named over one connection, and who is not primary any more changes nothing.
func TestWide(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	l, err := openflow.Listen("unix:"+h.ControllerSocket(), openflow.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.AddBridge("br-int", "fail_mode=secure", "protocols=OpenFlow13")
	h.VSCtl("set-controller", "br-int", "unix:"+h.ControllerSocket(), "--", "set", "controller", "br-int", "connection_mode=out-of-band", "max_backoff=1000")
	conn, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(ctx, conn, "br-int", pipeline.RoleInt, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var dials atomic.Int32
	dial := func(ctx context.Context) (*openflow.Conn, error) {
		dials.Add(1)
		return openflow.Dial(ctx, h.MgmtSocket("br-int"), openflow.Options{})
	}
	s.Widen(dial)
	read := func() *session.Installed {
		t.Helper()
		in, err := s.Read(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	var d derive.BridgeDelta
	const n, meters = 3 * session.MaxBundle / 2, 300
	for i := range n {
		f := flow(t, fmt.Sprintf("table=%d,tcp,tp_dst=%d actions=meter:%d,group:1", 1+i%3, i, 1+i%meters))
		f.Cookie = pipeline.MakeCookie(1, 2, uint32(i))
		d.Set = append(d.Set, f)
	}
	for i := range meters {
		d.SetMeters = append(d.SetMeters, pipeline.Meter{ID: uint32(1 + i), PPS: 10, Burst: 20})
		d.SetZones = append(d.SetZones, pipeline.Zone{ID: uint16(1 + i)})
	}
	d.SetGroups = []pipeline.Group{pipeline.MakeGroup(openflow.GroupDesc{ID: 1, Type: openflow.GroupAllBuckets})}
	if err := s.Apply(ctx, change(d)); err != nil {
		t.Fatal(err)
	}
	in := read()
	if in.Flows.Len() != n || len(in.Meters) != meters || len(in.Groups) != 1 {
		t.Fatalf("%d flows, %d meters, %d groups", in.Flows.Len(), len(in.Meters), len(in.Groups))
	}
	for _, f := range d.Set {
		if got, ok := in.Flows.Get(f.Key); !ok || got != f {
			t.Fatalf("%v is %v", f, got)
		}
	}
	if dials.Load() != 15 {
		t.Errorf("%d connections were opened", dials.Load())
	}
	// Half goes, some are others now.
	part := derive.BridgeDelta{Del: d.Set[:n/2]}
	for _, f := range d.Set[n/2:][:session.WideFrom] {
		f.Cookie++
		part.Set = append(part.Set, f)
	}
	if err := s.Apply(ctx, change(part)); err != nil {
		t.Fatal(err)
	}
	in = read()
	if in.Flows.Len() != n-n/2 {
		t.Errorf("%d flows, want %d", in.Flows.Len(), n-n/2)
	}
	for _, f := range part.Set {
		if got, _ := in.Flows.Get(f.Key); got != f {
			t.Fatalf("%v is %v", f, got)
		}
	}
	// A small change opens nothing.
	before := dials.Load()
	if err := s.Apply(ctx, change(derive.BridgeDelta{Del: d.Set[n-1:]})); err != nil || dials.Load() != before {
		t.Errorf("%v, %d more connections", err, dials.Load()-before)
	}
	// Another controller is primary: nothing is committed.
	other, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: 2}); err != nil {
		t.Fatal(err)
	}
	again := derive.BridgeDelta{Set: d.Set[:n/2]}
	if err := s.Apply(ctx, change(again)); err == nil {
		t.Error("a controller that is not primary any more changed flows")
	}
	if got := read().Flows.Len(); got != n-n/2-1 {
		t.Errorf("%d flows, want %d", got, n-n/2-1)
	}
	if _, err := conn.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: 3}); err != nil {
		t.Fatal(err)
	}
	// A flow with a group that is not there: told, and named when it is sent again.
	bad := flow(t, "table=0 actions=group:5") // the last in order
	again.Set = append(again.Set[:n/2:n/2], bad)
	if err := s.Apply(ctx, change(again)); !errors.Is(err, session.ErrPartly) {
		t.Errorf("%v", err)
	}
	var rej *session.Rejected
	if err := s.Apply(ctx, change(again)); !errors.As(err, &rej) || rej.Key == nil || *rej.Key != bad.Key {
		t.Errorf("%v", err)
	}
}
