package ovsdb

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lmodel "github.com/ovn-kubernetes/libovsdb/model"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/ovsdb/vswitch"
)

// world is a database that changes at random, with libovsdb's way of changing sets.
type world struct {
	rnd  *rand.Rand
	rows map[rowRef]lmodel.Model
	next int
}

func (w *world) id() string { w.next++; return fmt.Sprintf("uuid-%d", w.next) }

func (w *world) read(r rowRef) lmodel.Model {
	if m := w.rows[r]; m != nil {
		return lmodel.Clone(m)
	}
	return nil
}

// pick gives a row of a table at random, nil if it has none.
func pick[M lmodel.Model](w *world) (m M) {
	var all []M
	for _, x := range w.rows {
		if x, ok := x.(M); ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return m
	}
	slices.SortFunc(all, func(a, b M) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all[w.rnd.IntN(len(all))]
}

// step changes something and says which rows.
func (w *world) step() map[rowRef]struct{} {
	touched := map[rowRef]struct{}{}
	put := func(r rowRef, m lmodel.Model) { w.rows[r] = m; touched[r] = struct{}{} }
	drop := func(r rowRef) { delete(w.rows, r); touched[r] = struct{}{} }
	bridge, port, iface := pick[*vswitch.Bridge](w), pick[*vswitch.Port](w), pick[*vswitch.Interface](w)
	detach := func(p string) {
		for r, m := range w.rows {
			if b, ok := m.(*vswitch.Bridge); ok {
				if i := slices.Index(b.Ports, p); i >= 0 {
					b = b.DeepCopy()
					last := len(b.Ports) - 1
					b.Ports[i], b.Ports = b.Ports[last], b.Ports[:last]
					put(r, b)
				}
			}
		}
	}
	attach := func(b *vswitch.Bridge, p string) {
		b = w.read(rowRef{vswitch.BridgeTable, b.UUID}).(*vswitch.Bridge)
		b.Ports = append(b.Ports, p)
		put(rowRef{vswitch.BridgeTable, b.UUID}, b)
	}
	switch n := w.rnd.IntN(10); {
	case bridge == nil || n == 0 && w.next < 40:
		u := w.id()
		name := []string{BridgeInt, BridgeTun, "br-x"}[w.rnd.IntN(3)]
		for _, m := range w.rows {
			if b, ok := m.(*vswitch.Bridge); ok && b.Name == name {
				return touched // names are unique
			}
		}
		put(rowRef{vswitch.BridgeTable, u}, &vswitch.Bridge{UUID: u, Name: name})
	case n < 4 || port == nil || iface == nil: // plug
		i, p := w.id(), w.id()
		ids := map[string]string{}
		if w.rnd.IntN(4) > 0 {
			ids[KeyIfaceID] = fmt.Sprintf("id-%d", w.rnd.IntN(8))
		}
		owner := map[string]string{}
		if w.rnd.IntN(4) == 0 {
			owner[KeyOwner] = DefaultOwner
		}
		put(rowRef{vswitch.InterfaceTable, i}, &vswitch.Interface{UUID: i, Name: "if" + i, ExternalIDs: ids})
		put(rowRef{vswitch.PortTable, p}, &vswitch.Port{UUID: p, Name: "if" + i, Interfaces: []string{i}, ExternalIDs: owner})
		attach(bridge, p)
	case n == 4: // unplug
		detach(port.UUID)
		for _, i := range port.Interfaces {
			drop(rowRef{vswitch.InterfaceTable, i})
		}
		drop(rowRef{vswitch.PortTable, port.UUID})
	case n == 5: // move
		detach(port.UUID)
		attach(bridge, port.UUID)
	case n == 6 && w.rnd.IntN(4) == 0: // a bridge goes with what is on it
		for _, p := range bridge.Ports {
			if row, ok := w.rows[rowRef{vswitch.PortTable, p}].(*vswitch.Port); ok {
				for _, i := range row.Interfaces {
					drop(rowRef{vswitch.InterfaceTable, i})
				}
			}
			drop(rowRef{vswitch.PortTable, p})
		}
		drop(rowRef{vswitch.BridgeTable, bridge.UUID})
	default:
		iface = iface.DeepCopy()
		iface.ExternalIDs = map[string]string{KeyIfaceID: fmt.Sprintf("id-%d", w.rnd.IntN(8))}
		number, text := w.rnd.IntN(100)-1, []string{"", "no such device"}[w.rnd.IntN(2)]
		iface.Ofport, iface.Error = &number, &text
		put(rowRef{vswitch.InterfaceTable, iface.UUID}, iface)
	}
	return touched
}

// view is everything that a tracker concludes.
func view(t *tracker) map[string]any {
	var vifs []VIF
	t.vifs.each(func(v *VIF) bool { vifs = append(vifs, *v); return true })
	return map[string]any{"vifs": vifs, "count": t.vifs.count(), "states": t.states, "wrong": t.wrong, "twice": t.twice,
		"owned": t.owned, "portBridge": t.portBridge, "ifacePort": t.ifacePort, "ports": t.portByName, "ifaces": t.ifaceByName,
		"bridges": t.bridgeByName}
}

// TestIncrementalEqualsFromScratch changes a database at random and hands the marks over in pieces and in
// any order, as libovsdb does.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	for seed := range uint64(25) {
		w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), rows: map[rowRef]lmodel.Model{}}
		inc := newTracker(w.read)
		for step := range 80 {
			before := inc.vifs
			clear(inc.changed)
			marks := map[rowRef]struct{}{}
			for range 1 + w.rnd.IntN(3) {
				for r := range w.step() {
					marks[r] = struct{}{}
				}
			}
			part := map[rowRef]struct{}{}
			for r := range marks { // one piece
				if w.rnd.IntN(2) == 0 {
					part[r] = struct{}{}
					delete(marks, r)
				}
			}
			inc.apply(part)
			inc.apply(marks)
			all := map[rowRef]struct{}{}
			for r := range w.rows {
				all[r] = struct{}{}
			}
			scratch := newTracker(w.read)
			scratch.apply(all)
			if diff := cmp.Diff(view(scratch), view(inc)); diff != "" {
				t.Fatalf("seed %d step %d: incremental differs from scratch:\n%s", seed, step, diff)
			}
			for id := range before.differing(inc.vifs) {
				if _, ok := inc.changed[id]; !ok {
					t.Fatalf("seed %d step %d: the change of %s was not told", seed, step, id)
				}
			}
		}
	}
}

func TestDesiredFor(t *testing.T) {
	host := func(change func(*model.Host)) *model.Host {
		h := &model.Host{Meta: model.Meta{ID: "h1"}, TunnelIP: netip.MustParseAddr("192.0.2.1"),
			BridgeMappings: map[string]string{"b": "br-b", "a": "br-a"}}
		if change != nil {
			change(h)
		}
		return h
	}
	o := Options{Controllers: []string{"tcp:192.0.2.9:6653"}, Overlay: true}
	d, err := DesiredFor(host(nil), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range d.ports() {
		got = append(got, fmt.Sprintf("%s/%s=%d", p.bridge, p.name, p.ofport))
	}
	want := []string{"br-int/patch-tun=65000", "br-tun/patch-int=65000", "br-int/int-br-a=64001", "br-a/phy-br-a=65000",
		"br-int/int-br-b=64002", "br-b/phy-br-b=65000", "br-tun/vxlan-pst=65001", "br-tun/gre-pst=65002"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	o.Number = func(string) uint32 { return 7 }
	for _, bad := range []struct {
		say    string
		change func(*model.Host)
		opt    Options
	}{
		{"both ask for number 64007", nil, o},
		{"datapath_type", func(h *model.Host) { h.DatapathType = "kernel" }, o},
		{"cannot carry", func(h *model.Host) { h.BridgeMappings = map[string]string{"a": "br-int"} }, o},
		{"cannot carry", func(h *model.Host) { h.BridgeMappings = map[string]string{"a": "br-with-a-long-name"} }, o},
		{"both name bridge br-a", func(h *model.Host) { h.BridgeMappings["b"] = "br-a" }, Options{Controllers: o.Controllers}},
		{"openflow.advertise", nil, Options{}},
		{"want 1 to 999", nil, Options{Controllers: o.Controllers, Number: func(string) uint32 { return 1000 }}},
		{"no tunnel port", nil, Options{Controllers: o.Controllers, Overlay: true, Tunnels: []model.NetworkType{"geneve"}}},
	} {
		if _, err := DesiredFor(host(bad.change), bad.opt); err == nil || !strings.Contains(err.Error(), bad.say) {
			t.Errorf("error %v, want one that says %q", err, bad.say)
		}
	}
}

func TestListed(t *testing.T) {
	var h []Health
	for i := range 12 {
		h = append(h, Health{CodeIfaceError, fmt.Sprintf("if%02d", i), "x"})
	}
	h = append(h, Health{CodeVIFTwice, "id", "y"})
	got := listed(h, 10)
	if len(got) != 12 || got[10].Text != "and 2 more: if10, if11 …" || got[11].Code != CodeVIFTwice {
		t.Errorf("%v", got)
	}
}
