package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/sim"
)

// open makes a session with a simulated switch.
func open(t *testing.T) (context.Context, *session.Session, *sim.Switch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	l, err := openflow.Listen("tcp:127.0.0.1:0", openflow.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	sw := sim.NewSwitch("h1", "br-int", 1, nil)
	t.Cleanup(sw.Close)
	sw.SetControllers([]string{"tcp:" + l.Addr().String()})
	conn, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(ctx, conn, "br-int", pipeline.RoleInt, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return ctx, s, sw
}

func flow(t *testing.T, text string) pipeline.Flow {
	t.Helper()
	f, err := openflow.ParseFlow(text)
	if err != nil {
		t.Fatal(err)
	}
	body, err := openflow.AppendInstructions(nil, f.Actions)
	if err != nil {
		t.Fatal(err)
	}
	return pipeline.Flow{Key: pipeline.Key{Table: f.Table, Priority: f.Priority, Match: string(f.Match.AppendOXM(nil))},
		Actions: string(body), Cookie: pipeline.Cookie(f.Cookie)}
}

func change(d derive.BridgeDelta) *session.Change {
	c := session.NewChange()
	c.Merge(&d)
	return c
}

func TestApply(t *testing.T) {
	ctx, s, sw := open(t)
	meter := pipeline.Meter{ID: 7, PPS: 10, Burst: 20}
	if err := s.Apply(ctx, change(derive.BridgeDelta{SetMeters: []pipeline.Meter{meter},
		Set: []pipeline.Flow{flow(t, "table=1,priority=2 actions=meter:7,output:1"), flow(t, "table=1,priority=1 actions=output:2")}})); err != nil {
		t.Fatal(err)
	}
	if st := sw.Stats(); st.Flows != 2 || st.Meters != 1 || st.Bundles != 1 || st.Barriers != 2 { // one of Open
		t.Errorf("%+v", st)
	}
	// What stands already is not sent again; a deleted meter goes when nothing uses it.
	if err := s.Apply(ctx, change(derive.BridgeDelta{SetMeters: []pipeline.Meter{meter}})); err != nil || sw.Stats().MeterMods != 1 {
		t.Errorf("%+v %v", sw.Stats(), err)
	}
	if err := s.Apply(ctx, change(derive.BridgeDelta{DelMeters: []uint32{7}, Del: []pipeline.Flow{flow(t, "table=1,priority=2 actions=drop")}})); err != nil {
		t.Error(err)
	}
	if st := sw.Stats(); st.Flows != 1 || st.Meters != 0 {
		t.Errorf("%+v", st)
	}
}

// TestApplyRefused: nothing of a bundle is done when one of its flows is refused, and the flow is named.
func TestApplyRefused(t *testing.T) {
	ctx, s, sw := open(t)
	bad := flow(t, "table=1,priority=9 actions=group:5")
	err := s.Apply(ctx, change(derive.BridgeDelta{Set: []pipeline.Flow{bad, flow(t, "table=1,priority=1 actions=output:2")}}))
	var rej *session.Rejected
	if !errors.As(err, &rej) || rej.Key == nil || *rej.Key != bad.Key || errors.Is(err, session.ErrPartly) || sw.Stats().Flows != 0 {
		t.Errorf("%v, %+v", err, sw.Stats())
	}
}

// TestApplyPartly: a message that is refused when it is added does not keep the rest from being committed; that is told,
// and does not happen twice.
func TestApplyPartly(t *testing.T) {
	ctx, s, sw := open(t)
	unbundled := string((&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterConfig{ID: 1}}).AppendTo(nil))
	c := func() *session.Change {
		return change(derive.BridgeDelta{SetGroups: []pipeline.Group{{ID: 9, Mod: unbundled}}, Set: []pipeline.Flow{flow(t, "table=1 actions=output:2")}})
	}
	if err := s.Apply(ctx, c()); !errors.Is(err, session.ErrPartly) || sw.Stats().Flows != 1 {
		t.Errorf("%v, %+v", err, sw.Stats())
	}
	in, err := s.Read(ctx, nil)
	if err != nil || in.Flows.Len()+in.Foreign != 1 {
		t.Errorf("%+v %v", in, err)
	}
	before := sw.Stats()
	err = s.Apply(ctx, c())
	var rej *session.Rejected
	if !errors.As(err, &rej) || rej.Group == nil || *rej.Group != 9 || errors.Is(err, session.ErrPartly) || sw.Stats().Bundles != before.Bundles {
		t.Errorf("%v, %+v", err, sw.Stats())
	}
}

// TestApplyLarge: a change of more than one bundle is done whole, and a refusal in a later one is named.
func TestApplyLarge(t *testing.T) {
	ctx, s, sw := open(t)
	var d derive.BridgeDelta
	for i := range session.MaxBundle + 10 {
		d.Set = append(d.Set, flow(t, fmt.Sprintf("table=1,tcp,tp_dst=%d actions=output:2", i)))
	}
	if err := s.Apply(ctx, change(d)); err != nil {
		t.Fatal(err)
	}
	if st := sw.Stats(); st.Flows != session.MaxBundle+10 || st.Bundles != 2 {
		t.Errorf("%+v", st)
	}
	bad := flow(t, "table=0 actions=group:5") // the last in order
	d.Set = append(d.Set, bad)
	var rej *session.Rejected
	if err := s.Apply(ctx, change(d)); !errors.As(err, &rej) || rej.Key == nil || *rej.Key != bad.Key {
		t.Errorf("%v", err)
	}
}
