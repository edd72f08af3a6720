package l2_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/store/snapshot"
)

// bind gives the changes that put a new port of a network on a host.
func bind(key uint32, net model.NetworkID, host model.HostName) []model.Change {
	id := fmt.Sprintf("p%d", key)
	p := &model.Port{Meta: model.Meta{ID: id, Name: id, Key: key}, NetworkID: net, AdminStateUp: true, PortSecurity: true,
		MAC:      model.MAC{0xfa, 0x16, 0x3e, byte(key >> 16), byte(key >> 8), byte(key)},
		FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, byte(key >> 16), byte(key >> 8), byte(key)})}}}
	b := &model.Binding{PortID: model.PortID(id), Host: host, NetworkID: net, OFPort: key & 0x7fff, Slot: uint16(key)}
	return []model.Change{{Table: model.Ports, New: p}, {Table: model.Bindings, New: b}}
}

func hostRow(i int) model.Change {
	id := fmt.Sprintf("h%d", i)
	return model.Change{Table: model.Hosts, New: &model.Host{Meta: model.Meta{ID: id, Name: id, Key: uint32(0x100000 + 7*i)},
		TunnelIP: netip.AddrFrom4([4]byte{172, 31, byte(i >> 8), byte(i)})}}
}

func overlayRow(key uint32, t model.NetworkType, id uint32) model.Change {
	name := fmt.Sprintf("n%d", key)
	return model.Change{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: name, Name: name, Key: key}, AdminStateUp: true,
		Segments: []model.Segment{{Type: t, ID: id}}}}
}

// TestCostOfAPort: one port more in a network costs every host the same few flows, however many hosts there are, and
// the derivation is done once for all of them.
func TestCostOfAPort(t *testing.T) {
	for _, hosts := range []int{2, 10, 50, 200} {
		e := newEngine()
		changes := []model.Change{overlayRow(1, model.NetworkVXLAN, 77)}
		for i := 1; i <= hosts; i++ {
			changes = append(append(changes, hostRow(i)), bind(uint32(i), "n1", model.HostName(fmt.Sprintf("h%d", i)))...)
		}
		e.apply(changes...)
		before := e.Stats().Derived
		d := e.apply(bind(1000, "n1", "h1")...)
		// The port itself once for all; on its host the port, the network and the flood leaf.
		if n := e.Stats().Derived - before; n > 5 {
			t.Errorf("%d hosts: %d derivations for one port", hosts, n)
		}
		mods := map[model.HostName]int{}
		for _, b := range d.Bridges {
			mods[b.Host] += len(b.Set) + len(b.Del)
			if g := len(b.SetGroups) + len(b.DelGroups); b.Host != "h1" && g != 0 {
				t.Errorf("%d hosts: %d groups of %s change", hosts, g, b.Host)
			}
		}
		for i := 1; i <= hosts; i++ {
			h, want := model.HostName(fmt.Sprintf("h%d", i)), 3 // its MAC and its address on br-int, its host on br-tun
			if i == 1 {
				want = 36 // 25 of them protect it
			}
			if mods[h] != want {
				t.Errorf("%d hosts: %d flows change on %s, want %d", hosts, mods[h], h, want)
			}
		}
		// A host that gets the network changes one flow more on the others: where to replicate.
		d = e.apply(append([]model.Change{hostRow(hosts + 1)}, bind(1001, "n1", model.HostName(fmt.Sprintf("h%d", hosts+1)))...)...)
		for _, b := range d.Bridges {
			if n := len(b.Set) + len(b.Del); b.Host != model.HostName(fmt.Sprintf("h%d", hosts+1)) && b.Bridge == pipeline.BrTun && n > 3 {
				t.Errorf("%d hosts: %d flows change on %s/br-tun for a new host", hosts, n, b.Host)
			}
		}
	}
}

// TestReplicationIsSplit: where many hosts have a network no flow is large, and each host has its place once.
func TestReplicationIsSplit(t *testing.T) {
	const hosts = 300
	e := newEngine()
	changes := []model.Change{overlayRow(1, model.NetworkGRE, 77)}
	for i := 1; i <= hosts; i++ {
		changes = append(append(changes, hostRow(i)), bind(uint32(i), "n1", model.HostName(fmt.Sprintf("h%d", i)))...)
	}
	e.apply(changes...)
	checkFlows(t, &engine{Engine: e.Engine, snap: firstHost(e)})
	places, largest := 0, 0
	for _, f := range e.Desired("h1", pipeline.BrTun).Flows.All() {
		if r := f.Cookie.Rule(); r == pipeline.TunSome.Num || r == pipeline.TunAll.Num {
			largest = max(largest, len(f.Actions))
			if r == pipeline.TunSome.Num {
				places += (len(f.Actions) - 8) / 40 // apply_actions, then load and resubmit of each host
			}
		}
	}
	if places != hosts || largest > 4096 {
		t.Errorf("%d places for %d hosts, the largest flow has %d bytes of actions", places, hosts, largest)
	}
}

// firstHost is the snapshot with no host but the first, so that not all of them are checked.
func firstHost(e *engine) *snapshot.Snapshot {
	var gone []model.Change
	for o := range e.snap.Each(model.Hosts) {
		if o.ObjectID() != "h1" {
			gone = append(gone, model.Change{Table: model.Hosts, Old: o})
		}
	}
	for o := range e.snap.Each(model.Bindings) {
		gone = append(gone, model.Change{Table: model.Bindings, Old: o})
	}
	return e.snap.Apply(e.rev, gone)
}

// TestManyNetworks: a host has more networks than there are VLAN ids, of VXLAN and GRE with equal numbers.
func TestManyNetworks(t *testing.T) {
	const networks = 6000
	e := newEngine()
	changes := []model.Change{hostRow(1), hostRow(2)}
	for i := uint32(1); i <= networks; i++ {
		typ := model.NetworkVXLAN
		if i%2 == 0 {
			typ = model.NetworkGRE
		}
		changes = append(append(changes, overlayRow(i, typ, 1000+i/2)), bind(i, model.NetworkID(fmt.Sprintf("n%d", i)), "h1")...)
	}
	e.apply(changes...)
	checkFlows(t, e)
	s := e.Stats()
	if len(s.Errors) > 0 || s.Conflicts > 0 {
		t.Fatalf("%d conflicts, errors %v", s.Conflicts, s.Errors)
	}
	in := map[string]bool{}
	for _, f := range e.Desired("h1", pipeline.BrInt).Flows.All() {
		if f.Cookie.Rule() == pipeline.FromCarrier.Num {
			in[f.Match] = true
		}
	}
	if len(in) != networks {
		t.Errorf("%d networks are told apart, want %d", len(in), networks)
	}
	if d := e.Desired("h2", pipeline.BrInt); len(d.Groups) > 0 {
		t.Error("a host without ports of a network has something of it")
	}
}

// BenchmarkCold derives 10,000 ports in 500 networks of 20 ports, each on 20 of 200 hosts, from nothing.
func BenchmarkCold(b *testing.B) {
	changes := []model.Change{}
	for i := 1; i <= 200; i++ {
		changes = append(changes, hostRow(i))
	}
	for n := uint32(1); n <= 500; n++ {
		changes = append(changes, overlayRow(n, model.NetworkVXLAN, n))
		for p := range uint32(20) {
			changes = append(changes, bind(n*20+p, model.NetworkID(fmt.Sprintf("n%d", n)), model.HostName(fmt.Sprintf("h%d", (n*7+p*10)%200+1)))...)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		e := newEngine()
		e.apply(changes...)
		_, flows := e.Counts()
		b.ReportMetric(float64(flows), "flows")
	}
}
