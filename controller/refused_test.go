package controller

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/penstock/penstock/controller/rollout"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// TestRefusedPorts: a refused flow takes its port down, a refused leaf its members, a refused network all of its ports here.
func TestRefusedPorts(t *testing.T) {
	var rows []model.Change
	for i, net := range []model.NetworkID{"n1", "n1", "n2"} {
		rows = append(rows, model.Change{Table: model.Bindings, New: &model.Binding{PortID: model.PortID(fmt.Sprint("p", i)), Host: "h1",
			NetworkID: net, Member: uint32(i * model.LeafSize)}})
	}
	v := model.NewView(snapshot.Empty().Apply(1, rows))
	for _, x := range []struct {
		unit pipeline.UnitID
		want []model.PortID
	}{
		{pipeline.UnitID{Kind: l2.LocalPort, Host: "h1", ID: "p2"}, []model.PortID{"p2"}},
		{pipeline.UnitID{Kind: l2.Port, ID: "p0"}, []model.PortID{"p0"}},
		{pipeline.UnitID{Kind: l2.FloodLeaf, Host: "h1", ID: "n1/1"}, []model.PortID{"p1"}},
		{pipeline.UnitID{Kind: l2.FloodLeaf, Host: "h1", ID: "n1/what"}, nil},
		{pipeline.UnitID{Kind: l2.LocalNetwork, Host: "h1", ID: "n1"}, []model.PortID{"p0", "p1"}},
		{pipeline.UnitID{}, nil},
	} {
		got := slices.Sorted(maps.Keys(refused(v, "h1", []rollout.Refusal{{Unit: x.unit}})))
		if !slices.Equal(got, x.want) {
			t.Errorf("%v: %v, want %v", x.unit, got, x.want)
		}
	}
}
