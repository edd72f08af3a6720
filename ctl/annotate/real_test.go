package annotate

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
	"github.com/penstock/penstock/store/snapshot"
)

// derive derives everything that the snapshot means for a host, from scratch.
func derive(t *testing.T, s *snapshot.Snapshot, host model.HostName) (flows []pipeline.BridgeFlow, groups []pipeline.BridgeGroup, meters []pipeline.BridgeMeter) {
	t.Helper()
	settings := pipeline.DefaultSettings()
	seen := map[pipeline.UnitID]bool{}
	for todo := []pipeline.UnitID{{Kind: l2.Root}}; len(todo) > 0; {
		u := todo[0]
		todo = todo[1:]
		if seen[u] || u.Host != "" && u.Host != host {
			continue
		}
		seen[u] = true
		out := &pipeline.Out{}
		u.Kind.Derive(model.NewView(s), pipeline.Switch{Host: host, Settings: &settings}, u.ID, out)
		if len(out.Errs) > 0 {
			t.Fatalf("%s: %v", u, out.Errs)
		}
		flows, groups, meters = append(flows, out.Flows...), append(groups, out.Groups...), append(meters, out.Meters...)
		todo = append(todo, out.Units...)
		for _, e := range out.Eaches {
			for _, o := range s.List(e.Index, e.Key) {
				todo = append(todo, e.Unit(o))
			}
		}
	}
	return flows, groups, meters
}

// TestRealDump installs what is derived of a network with DHCP and two ports in a real Open vSwitch and explains its
// dump: every flow is understood, has a table, a rule and an owner, and reads as the derived flow itself does.
func TestRealDump(t *testing.T) {
	network := &model.Network{Meta: model.Meta{ID: "n1", Key: 1, Name: "blue"}, AdminStateUp: true, MTU: 1450, PortSecurity: true}
	subnet := &model.Subnet{Meta: model.Meta{ID: "s1", Key: 2, Name: "blue-v4"}, NetworkID: "n1", CIDR: netip.MustParsePrefix("10.0.0.0/24"), EnableDHCP: true}
	objs := []model.Object{&model.Host{Meta: model.Meta{ID: "h1", Key: 3, Name: "h1"}}, network, subnet}
	names := []opapi.Object{{Kind: "network", KindNumber: 1, Key: 1, ID: "n1", Name: "blue"}}
	for i, name := range []string{"dhcp", "web1", "web2"} {
		p := &model.Port{Meta: model.Meta{ID: name, Key: uint32(10 + i), Name: name}, NetworkID: "n1", AdminStateUp: true,
			MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, byte(i)}, PortSecurity: name != "web2",
			FixedIPs: []model.FixedIP{{SubnetID: "s1", Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i)})}}}
		if name == "dhcp" {
			p.DeviceOwner = model.OwnerDHCP
		} else {
			objs = append(objs, &model.Binding{PortID: model.PortID(name), Host: "h1", NetworkID: "n1", Slot: uint16(i), Member: uint32(i), OFPort: uint32(i)})
		}
		objs = append(objs, p)
		names = append(names, opapi.Object{Kind: "port", KindNumber: 3, Key: p.Key, ID: p.ID, Name: p.Name, MAC: p.MAC.String()})
	}
	changes := make([]model.Change, len(objs))
	for i, o := range objs {
		table := map[string]*model.Table{"*model.Host": model.Hosts, "*model.Network": model.Networks, "*model.Subnet": model.Subnets,
			"*model.Port": model.Ports, "*model.Binding": model.Bindings}[fmt.Sprintf("%T", o)]
		changes[i] = model.Change{Table: table, New: o}
	}
	flows, groups, meters := derive(t, snapshot.Empty().Apply(1, changes), "h1")
	x := NewObjects(names)

	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	var texts strings.Builder
	want := map[string]Flow{}
	n := 0
	for _, f := range flows {
		if f.Bridge != pipeline.BrInt {
			continue
		}
		n++
		of, err := f.Decode()
		if err != nil {
			t.Fatal(err)
		}
		e := x.Explain(pipeline.RoleInt, of.String())
		want[fmt.Sprint(e.Table, e.Priority, e.Match, e.Cookie)] = e
		texts.WriteString(of.String() + "\n")
	}
	h.AddBridge(pipeline.BrInt, "fail_mode=secure")
	for _, m := range meters {
		h.OFCtl("add-meter", pipeline.BrInt, fmt.Sprintf("meter=%d,pktps,band=type=drop,rate=%d", m.ID, m.PPS))
	}
	for _, g := range groups {
		h.OFCtl("add-group", pipeline.BrInt, fmt.Sprintf("group_id=%d,type=all", g.ID))
	}
	file := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(file, []byte(texts.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.OFCtl("add-flows", pipeline.BrInt, file)
	got, err := x.Dump(strings.NewReader(h.OFCtl("dump-flows", pipeline.BrInt)), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n || n == 0 {
		t.Errorf("%d flows explained, %d derived", len(got), n)
	}
	for _, f := range got {
		t.Logf("%d %s, %s: %s → %s", f.Table, f.TableName, f.Owner(), f.Match, f.Does)
		w, ok := want[fmt.Sprint(f.Table, f.Priority, f.Match, f.Cookie)]
		switch {
		case f.Problem != "":
			t.Errorf("%s: %s", f.Text, f.Problem)
		case !ok:
			t.Errorf("no derived flow reads as %s %s", f.Owner(), f.Match)
		case f.Does != w.Does:
			t.Errorf("%s:\n     dump: %s\n  derived: %s", f.Match, f.Does, w.Does)
		case !f.Ours || f.TableName == "" || f.Why == "" || strings.Contains(f.Owner(), "not known"):
			t.Errorf("not explained: %+v", f)
		}
		for _, raw := range []string{"load:", "NXM_NX_REG", "reg1", "metadata", "resubmit", "goto_table"} {
			if strings.Contains(f.Match+" "+f.Does, raw) {
				t.Errorf("%s is left in %s → %s", raw, f.Match, f.Does)
			}
		}
	}
}
