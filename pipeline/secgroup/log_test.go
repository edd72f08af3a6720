package secgroup_test

import (
	"fmt"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// TestLogTouchesItsPorts: a network log costs the ports that it is about a constant number of flows and units, whatever the
// number of other ports; going takes all of it along.
func TestLogTouchesItsPorts(t *testing.T) {
	for _, ports := range []int{10, 1000} {
		c := newCloud()
		changes := []model.Change{group("web", 100), group("other", 101)}
		for i := range ports {
			g := "other"
			if i < 6 {
				g = "web"
			}
			changes = append(changes, c.port(i, fmt.Sprint("h", i%3), g)...)
		}
		c.apply(changes...)
		before := c.e.Desired("h0", pipeline.BrInt).Flows.Len()
		log := func(change func(*model.Log)) model.Change {
			l := &model.Log{Meta: model.Meta{ID: "l", Key: 9_000_000}, ResourceType: "security_group", Event: model.LogAll, Enabled: true}
			change(l)
			return model.Change{Table: model.Logs, Old: c.snap.Get(model.Logs, "l"), New: l}
		}
		// Eight flows and a meter for a port, two ports of web on each host; four flows for accepts alone.
		for _, x := range []struct {
			what        string
			change      model.Change
			mods, units int
		}{
			{"a log of a port", log(func(l *model.Log) { l.TargetID = "p0" }), 8, 3},
			{"the same for accepts", log(func(l *model.Log) { l.TargetID, l.Event = "p0", model.LogAccept }), 4, 2},
			{"of a group instead", log(func(l *model.Log) { l.ResourceID = "web" }), 16 - 4, 1 + 2*6},
			{"disabled", log(func(l *model.Log) { l.ResourceID, l.Enabled = "web", false }), 16, 0},
		} {
			was := c.e.Stats().Derived
			x.change.Old = c.snap.Get(model.Logs, "l")
			got := mods(c.apply(x.change))
			if units := int(c.e.Stats().Derived - was); got["h0"] != x.mods || units > x.units {
				t.Errorf("%d ports: %s: %d flow-mods on h0 and %d units, want %d and at most %d", ports, x.what, got["h0"], units, x.mods, x.units)
			}
			if s := c.e.Stats(); s.Conflicts > 0 || len(s.Errors) > 0 {
				t.Fatalf("%s: %d conflicts, %v", x.what, s.Conflicts, s.Errors)
			}
		}
		if n := c.e.Desired("h0", pipeline.BrInt).Flows.Len(); n != before {
			t.Errorf("%d ports: %d flows are left, %d before the log", ports, n, before)
		}
	}
}
