package controller

import (
	"testing"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// TestRemindable: ports that are here, on physical networks that have a router, once at first and again before switches forget.
func TestRemindable(t *testing.T) {
	segment := func(typ model.NetworkType) []model.Segment {
		return []model.Segment{{Type: typ, PhysicalNetwork: "p", ID: 7}}
	}
	rows := []model.Change{
		{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "vlan", Key: 1}, AdminStateUp: true, Segments: segment(model.NetworkVLAN)}},
		{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "alone", Key: 2}, AdminStateUp: true, Segments: segment(model.NetworkVLAN)}},
		{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "vxlan", Key: 3}, AdminStateUp: true, Segments: segment(model.NetworkVXLAN)}},
	}
	port := func(id, network string, key uint32, host model.HostName) {
		p := &model.Port{Meta: model.Meta{ID: id, Key: key}, NetworkID: model.NetworkID(network), AdminStateUp: true, MAC: model.MAC{2, 0, 0, 0, 0, byte(key)}, HostID: host}
		if host == "" {
			p.DeviceOwner = model.OwnerRouterInterface
		} else {
			rows = append(rows, model.Change{Table: model.Bindings, New: &model.Binding{PortID: model.PortID(id), Host: host, NetworkID: p.NetworkID, OFPort: key, Member: key}})
		}
		rows = append(rows, model.Change{Table: model.Ports, New: p})
	}
	port("r1", "vlan", 10, "")
	port("r2", "vxlan", 11, "")
	port("a", "vlan", 12, "h1")
	port("b", "vlan", 13, "h2")
	port("c", "alone", 14, "h1")
	port("d", "vxlan", 15, "h1")
	v := model.NewView(snapshot.Empty().Apply(1, rows))
	start := time.Unix(1e9, 0)
	sent := map[model.PortID]time.Time{"gone": start}
	for _, x := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {remindTick, 0}, {remindEvery - 1, 0}, {remindEvery, 1}, {remindEvery + remindTick, 0}} {
		got := remindable(v, "h1", sent, start.Add(x.after))
		if len(got) != x.want || x.want == 1 && (got[0].id != "a" || got[0].net != 1 || got[0].mac[5] != 12) {
			t.Errorf("after %v: %v, want %d", x.after, got, x.want)
		}
		for _, p := range got {
			sent[p.id] = start.Add(x.after)
		}
	}
	if len(sent) != 1 {
		t.Errorf("what is gone is remembered: %v", sent)
	}
	if b := reverse(model.MAC{2, 0, 0, 0, 0, 1}); len(b) != 60 {
		t.Errorf("%d bytes", len(b))
	}
}
