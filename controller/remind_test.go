package controller

import (
	"maps"
	"testing"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/snapshot"
)

// TestReminders: what comes to a physical network is announced some times, and again before switches forget it where a router is;
// what was there before penstockd, once in that time.
func TestReminders(t *testing.T) {
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
	start := time.Unix(1e9, 0)
	var m reminders
	count := func(rows []model.Change, rev int64, from, to time.Duration) map[string]int {
		v := model.NewView(snapshot.Empty().Apply(rev, rows))
		n := map[string]int{}
		for at := from; at < to; at += remindTick {
			for _, p := range m.due(v, "h1", start.Add(at)) {
				n[string(p.id)]++
			}
		}
		return n
	}
	if n := count(rows, 1, 0, remindEvery); !maps.Equal(n, map[string]int{"a": 1}) {
		t.Errorf("at first: %v", n)
	}
	if n := count(rows, 1, remindEvery, 3*remindEvery); !maps.Equal(n, map[string]int{"a": 2}) {
		t.Errorf("in twice the time: %v", n)
	}
	port("e", "vlan", 16, "h1")
	port("f", "alone", 17, "h1")
	if n := count(rows, 2, 3*remindEvery, 3*remindEvery+100*remindTick); n["e"] != arrivals || n["f"] != arrivals || n["c"] > 0 || n["a"] > 1 {
		t.Errorf("when two have come: %v", n)
	}
	if n := count(rows, 2, 3*remindEvery+100*remindTick, 4*remindEvery+100*remindTick); !maps.Equal(n, map[string]int{"a": 1, "e": 1}) {
		t.Errorf("then: %v", n)
	}
	if b := reverse(model.MAC{2, 0, 0, 0, 0, 1}); len(b) != 60 {
		t.Errorf("%d bytes", len(b))
	}
}
