package secgroup_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// cloud is hosts with ports in one network and the engine over it.
type cloud struct {
	e    *derive.Engine
	snap *snapshot.Snapshot
	rev  int64
}

func newCloud() *cloud {
	c := &cloud{e: derive.New(l2.Root, pipeline.DefaultSettings(), snapshot.Empty()), snap: snapshot.Empty()}
	c.apply(
		model.Change{Table: model.Networks, New: &model.Network{Meta: model.Meta{ID: "n", Key: 1}, AdminStateUp: true, Segments: []model.Segment{{Type: model.NetworkVXLAN, ID: 7}}}})
	for i := range 3 {
		c.apply(model.Change{Table: model.Hosts, New: &model.Host{Meta: model.Meta{ID: fmt.Sprint("h", i), Key: uint32(10 + i)}, TunnelIP: netip.AddrFrom4([4]byte{172, 31, 0, byte(i + 1)})}})
	}
	return c
}

func (c *cloud) apply(changes ...model.Change) *derive.Delta {
	c.rev++
	c.snap = c.snap.Apply(c.rev, changes)
	return c.e.Apply(c.snap, changes)
}

// port gives the changes that make a port with groups and put it on a host.
func (c *cloud) port(i int, host string, groups ...string) []model.Change {
	id := fmt.Sprint("p", i)
	p := &model.Port{Meta: model.Meta{ID: id, Key: uint32(1000 + i)}, NetworkID: "n", AdminStateUp: true, PortSecurity: true, SecurityGroups: groups,
		MAC: model.MAC{0xfa, 0x16, 0x3e, byte(i >> 16), byte(i >> 8), byte(i)}, FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}}}
	out := []model.Change{{Table: model.Ports, New: p}}
	if o := c.snap.Get(model.Ports, id); o != nil {
		out[0].Old = o
	}
	if host != "" {
		out = append(out, model.Change{Table: model.Bindings, New: &model.Binding{PortID: model.PortID(id), Host: model.HostName(host), NetworkID: "n", OFPort: uint32(1 + i%30000), Slot: uint16(1 + i%60000), Member: uint32(i)}})
	}
	return out
}

func group(id string, key uint32) model.Change {
	return model.Change{Table: model.SecurityGroups, New: &model.SecurityGroup{Meta: model.Meta{ID: id, Name: id, Key: key}, Stateful: true}}
}

func rule(group string, i int, r model.SecurityGroupRule) model.Change {
	r.Meta = model.Meta{ID: fmt.Sprint(group, "-", i), Key: uint32(5_000_000 + 1000*len(group) + i)}
	r.GroupID = group
	if r.Direction == "" {
		r.Direction = "ingress"
	}
	r.EtherType = "IPv4"
	return model.Change{Table: model.SecurityGroupRules, New: &r}
}

func mods(d *derive.Delta) map[model.HostName]int {
	out := map[model.HostName]int{}
	for _, b := range d.Bridges {
		out[b.Host] += len(b.Set) + len(b.Del)
	}
	return out
}

// TestRemoteGroupIsSum: N ports with a rule that names a group of M members cost N + M flows, not N × M, whatever the rules'
// number is; a member more costs every host one flow, and a port with the group the same however large the group is.
func TestRemoteGroupIsSum(t *testing.T) {
	count := func(ports, members, rules int) int {
		c := newCloud()
		changes := []model.Change{group("web", 100), group("members", 101)}
		for i := range rules {
			changes = append(changes, rule("web", i, model.SecurityGroupRule{ProtocolNumber: 6, PortMin: 1 + 2*i, PortMax: 1 + 2*i, RemoteGroupID: "members"}))
		}
		for i := range ports {
			changes = append(changes, c.port(i, "h0", "web")...)
		}
		for i := range members {
			changes = append(changes, c.port(10000+i, "", "members")...)
		}
		c.apply(changes...)
		n := 0
		for _, f := range c.e.Desired("h0", pipeline.BrInt).Flows.All() {
			switch f.Cookie.Rule() {
			case pipeline.AskGroups.Num, pipeline.AskSets.Num, pipeline.SetMember.Num, pipeline.GroupRule.Num:
				n++
			}
		}
		if s := c.e.Stats(); s.Conflicts > 0 || len(s.Errors) > 0 {
			t.Fatalf("%d conflicts, %v", s.Conflicts, s.Errors)
		}
		for _, x := range []struct {
			what    string
			changes []model.Change
			want    int
		}{
			{"a member more", c.port(20000, "", "members"), 1},
			{"a member less", []model.Change{{Table: model.Ports, Old: c.snap.Get(model.Ports, "p10000")}}, 1},
			{"a rule more", []model.Change{rule("web", rules, model.SecurityGroupRule{ProtocolNumber: 6, PortMin: 1 + 2*rules, PortMax: 1 + 2*rules, RemoteGroupID: "members"})}, 1},
		} {
			if got := mods(c.apply(x.changes...)); got["h0"] != x.want || got["h1"] != 0 {
				t.Errorf("%d ports, %d members, %d rules: %s changes %v flows, want %d", ports, members, rules, x.what, got, x.want)
			}
		}
		return n
	}
	for _, x := range [][3]int{{1, 1, 1}, {10, 10, 1}, {100, 10, 1}, {10, 100, 10}, {100, 500, 100}} {
		if got, want := count(x[0], x[1], x[2]), x[0]+x[1]+x[2]+1; got != want {
			t.Errorf("%d ports, %d members, %d rules: %d flows, want %d", x[0], x[1], x[2], got, want)
		}
	}
}

// BenchmarkChange measures the changes of a large site: 1,000 ports on a host, a group of 100 rules that they all have, and
// a remote group of 5,000 members that three hosts look at.
func BenchmarkChange(b *testing.B) {
	c := newCloud()
	changes := []model.Change{group("web", 100), group("members", 101)}
	for i := range 100 {
		changes = append(changes, rule("web", i, model.SecurityGroupRule{ProtocolNumber: 6, PortMin: 1000 + 10*i, PortMax: 1007 + 10*i, RemoteGroupID: "members"}))
	}
	for i := range 1000 {
		changes = append(changes, c.port(i, fmt.Sprint("h", i%3), "web")...)
	}
	for i := range 5000 {
		changes = append(changes, c.port(10000+i, "", "members")...)
	}
	start := time.Now()
	c.apply(changes...)
	all := time.Since(start)
	for name, f := range map[string]func(i int) []model.Change{
		"member": func(i int) []model.Change {
			if i%2 == 0 {
				return c.port(20000, "", "members")
			}
			return []model.Change{{Table: model.Ports, Old: c.snap.Get(model.Ports, "p20000")}}
		},
		"rule": func(i int) []model.Change {
			r := rule("web", 200, model.SecurityGroupRule{ProtocolNumber: 17, PortMin: 53, PortMax: 53})
			if i%2 == 1 {
				r.Old, r.New = c.snap.Get(model.SecurityGroupRules, r.New.ObjectID()), nil
			}
			return []model.Change{r}
		},
		"port": func(i int) []model.Change {
			if i%2 == 0 {
				return c.port(30000, "h0", "web")
			}
			return []model.Change{{Table: model.Ports, Old: c.snap.Get(model.Ports, "p30000")}, {Table: model.Bindings, Old: c.snap.Get(model.Bindings, "h0/p30000")}}
		},
	} {
		b.Run(name, func(b *testing.B) {
			n, i := 0, 0
			for b.Loop() {
				n += mods(c.apply(f(i)...))["h0"]
				i++
			}
			if i%2 == 1 {
				c.apply(f(i)...)
			}
			b.ReportMetric(float64(n)/float64(i), "flow-mods/host")
			b.ReportMetric(float64(all.Milliseconds()), "ms-from-nothing")
		})
	}
}
