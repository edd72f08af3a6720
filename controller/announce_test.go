package controller

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// TestTakeoverForgetsLittle: who takes a host over has what has just moved forgotten, not what moved while another
// member ran it.
func TestTakeoverForgetsLittle(t *testing.T) {
	var a announcer
	now := time.Unix(1e9, 0)
	a.own("h1", now) // before anything is known
	a.changed(model.NewView(snapshot.Empty()), nil)
	for i, age := range []time.Duration{time.Hour, takeoverAge + time.Second, takeoverAge - time.Second} {
		a.stale["h1"] = append(a.stale["h1"], staleAddress{rev: int64(i), addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), at: now.Add(-age)})
	}
	a.own("h1", now)
	if got := a.forgotten("h1", 10); len(got) != 1 || got[0].rev != 2 {
		t.Errorf("%v is forgotten, want only what moved last", got)
	}
	a.own("h1", now)
	if len(a.stale) != 0 {
		t.Errorf("%v is left", a.stale)
	}
}

// TestAnnouncerIsBounded: ports that come and go on hosts that never confirm, as for a member that runs none, leave nothing.
func TestAnnouncerIsBounded(t *testing.T) {
	var a announcer
	s := snapshot.Empty()
	step := func(c model.Change) {
		s = s.Apply(s.Revision()+1, []model.Change{c})
		a.changed(model.NewView(s), []model.Change{c})
	}
	step(model.Change{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "n", Key: 1}, AdminStateUp: true,
		Segments: []model.Segment{{Type: model.NetworkFlat, PhysicalNetwork: "p"}}}})
	step(model.Change{Table: model.Hosts, New: &model.Host{Meta: model.Meta{ID: "h1", Key: 2}, BridgeMappings: map[string]string{"p": "br-ex"}}})
	step(model.Change{Table: model.HostStates, New: &model.HostState{Host: "h1", Alive: true}})
	most := 0
	for i := range 50 {
		id := fmt.Sprint("i", i)
		p := &model.Port{Meta: model.Meta{ID: id, Key: uint32(10 + i)}, NetworkID: "n", AdminStateUp: true, DeviceOwner: model.OwnerRouterInterface, DeviceID: "r",
			FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}}}
		r := &model.Router{Meta: model.Meta{ID: "r", Key: 3}, AdminStateUp: true}
		step(model.Change{Table: model.Routers, New: r})
		step(model.Change{Table: model.Ports, New: p})
		most = max(most, len(a.waiting["h1"]))
		step(model.Change{Table: model.Ports, Old: p})
	}
	if most != 1 || len(a.waiting) != 0 || len(a.held) != 0 {
		t.Errorf("at most %d waited, %v wait, %v are held after all are gone", most, a.waiting, a.held)
	}
}
