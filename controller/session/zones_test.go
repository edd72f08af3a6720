package session_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// TestZones: a zone is emptied when it changes hands and when nobody has it, and not when a controller only comes back.
func TestZones(t *testing.T) {
	ctx, s, _ := open(t)
	flow := func(key uint32, zone uint16) pipeline.Flow {
		of, err := openflow.ParseFlow("table=16,priority=100,ip,reg14=" + string(rune('0'+key)) + " actions=drop")
		if err != nil {
			t.Fatal(err)
		}
		acts, err := openflow.AppendInstructions(nil, []openflow.Action{openflow.CT{Zone: zone, Table: openflow.ToTable(17)}})
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.Flow{Key: pipeline.Key{Table: 16, Priority: 100, Match: string(of.Match.AppendOXM(nil))}, Actions: string(acts), Cookie: pipeline.MakeCookie(pipeline.TrackOut.Num, 3, key)}
	}
	want := func(zones map[uint16]uint32) *derive.Desired {
		d := &derive.Desired{Zones: map[uint16]pipeline.Zone{}}
		var flows []pipeline.Flow
		for z, key := range zones {
			f := flow(key, z)
			flows = append(flows, f)
			d.Zones[z] = pipeline.Zone{ID: z, Owner: pipeline.ZoneOwner(f.Cookie)}
		}
		d.Flows = derive.NewFlows(flows...)
		return d
	}
	for _, x := range []struct {
		what     string
		zones    map[uint16]uint32
		set, del []uint16
	}{
		{"two ports come", map[uint16]uint32{1: 1, 2: 2}, []uint16{1, 2}, nil},
		{"a controller comes back", map[uint16]uint32{1: 1, 2: 2}, nil, nil},
		{"another port has a zone", map[uint16]uint32{1: 1, 2: 3}, []uint16{2}, nil},
		{"a port goes", map[uint16]uint32{2: 3}, nil, []uint16{1}},
	} {
		have, err := s.Read(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := session.Diff(want(x.zones), have, false)
		if set, del := slices.Sorted(maps.Keys(c.SetZones)), slices.Sorted(maps.Keys(c.DelZones)); !slices.Equal(set, x.set) || !slices.Equal(del, x.del) {
			t.Errorf("%s: empties %v before and %v after, want %v and %v", x.what, set, del, x.set, x.del)
		}
		if err := s.Apply(ctx, c); err != nil {
			t.Fatalf("%s: %v", x.what, err)
		}
	}
}
