package openflow

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// differentialFlows are the generated flows and those that need something in the switch: groups 1 and 2, meter 1,
// ports 1 and 2, and the TLV map of differentialSwitch. Each has its number, from 1, as cookie, and a priority that
// makes it a flow of its own.
func differentialFlows(n int) []Flow {
	flows := genFlows(1, n)
	for _, text := range []string{
		"ip,actions=group:1", "ip,actions=set_field:1->reg1,group:2", "ip,actions=meter:1,output:1", "ip,actions=meter:1",
		"tun_metadata0=0x1234,actions=output:1", "tun_metadata1=0x1200/0xff00,actions=drop", "ip,actions=set_field:0x77->tun_metadata0,output:1",
		"tun_metadata0=0x5,actions=move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG1[0..15]", "ip,actions=set_field:0x1234->tun_metadata1",
		"ip,actions=delete_field:tun_metadata0", "ip,actions=conjunction(7,1/2),conjunction(8,2/3)", "ip,actions=conjunction(9,2/2),note:01.02",
		"conj_id=7,ip,actions=output:2", "ip,actions=meter:1,output:1,clear_actions,write_actions(output:2),write_metadata:0x1/0xf,goto_table:250",
		"ip,actions=controller(meter_id=1,userdata=01.02)", "ip,actions=clone(ct(commit,zone=1),set_field:1->reg1,resubmit(,5))",
		"ip,actions=output:NXM_NX_REG0[],output(port=1,max_len=64),set_queue:7,output:2,pop_queue",
		"send_flow_rem,reset_counts,check_overlap,no_packet_counts,no_byte_counts,ip,actions=drop",
	} {
		f, err := ParseFlow(text)
		if err != nil {
			panic(err)
		}
		flows = append(flows, f)
	}
	for i := range flows {
		flows[i].Cookie, flows[i].Priority = uint64(i+1), uint16(i+1)
	}
	return flows
}

// differentialSwitch is an ovs-vswitchd with the userspace datapath that has what differentialFlows need.
func differentialSwitch(t ovstest.TB) *ovstest.Host {
	t.Helper()
	h := ovstest.Start(t, ovstest.Options{})
	h.AddBridge("br0", "fail_mode=secure", "protocols=OpenFlow13")
	h.OFCtl("add-tlv-map", "br0", "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1")
	h.OFCtl("add-group", "br0", "group_id=1,type=all,bucket=output:1")
	h.OFCtl("add-group", "br0", "group_id=2,type=select,bucket=output:1,bucket=output:2")
	h.OFCtl("add-meter", "br0", "meter=1,pktps,band=type=drop,rate=100")
	return h
}

// TestFlowsAgainstOpenvSwitch sends generated flows of every field and action to a real ovs-vswitchd by the library's
// own connection. All are accepted; what ovs-ofctl dumps is our text; what the switch sends back is the same flow.
func TestFlowsAgainstOpenvSwitch(t *testing.T) {
	h := differentialSwitch(t)
	flows := differentialFlows(2500)
	c := dialSwitch(t, h, "br0")
	var batch *BatchError
	if err := c.Transact(t.Context(), flowMods(flows)...); errors.As(err, &batch) && batch.Err == nil {
		for _, f := range batch.Failures {
			t.Errorf("refused: %s: %v", &flows[f.Index], f.Err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	compareWithSwitch(t, h, c, flows)

	// The same in one atomic bundle into an empty bridge, which must come to the same.
	if err := c.Transact(t.Context(), &FlowMod{Command: FlowDelete, Flow: Flow{Table: AllTables}}); err != nil {
		t.Fatal(err)
	}
	if left := h.DumpFlows("br0"); len(left) > 0 {
		t.Fatalf("%d flows are left after deleting all: %s", len(left), left[0])
	}
	if err := c.Bundle(t.Context(), BundleAtomic|BundleOrdered, flowMods(flows)); err != nil {
		t.Fatal(err)
	}
	compareWithSwitch(t, h, c, flows)

	// One that is refused takes the whole bundle with it, and is named.
	bad := flowMods(flows[:100])
	bad[42] = &FlowMod{Flow: Flow{Table: 7, Actions: []Action{Group{ID: 4711}}}}
	err := c.Bundle(t.Context(), BundleAtomic|BundleOrdered, append(bad, &FlowMod{Command: FlowDelete, Flow: Flow{Table: AllTables}}))
	if !errors.As(err, &batch) || len(batch.Failures) != 1 || batch.Failures[0].Index != 42 {
		t.Errorf("a bundle whose message 42 is bad: %v", err)
	}
	compareWithSwitch(t, h, c, flows)
}

// dialSwitch connects to a bridge of a host.
func dialSwitch(t testing.TB, h *ovstest.Host, bridge string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), h.MgmtSocket(bridge), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// flowMods are additions of flows.
func flowMods(flows []Flow) []Message {
	msgs := make([]Message, len(flows))
	for i := range flows {
		msgs[i] = &FlowMod{Flow: flows[i]}
	}
	return msgs
}

// compareWithSwitch compares flows with what ovs-ofctl dumps of a bridge and with what c reads back.
func compareWithSwitch(t *testing.T, h *ovstest.Host, c *Conn, flows []Flow) {
	t.Helper()
	dumped := map[string]string{} // cookie -> line
	for _, line := range h.DumpFlows("br0") {
		cookie, _, ok := strings.Cut(line, ",")
		if !ok || !strings.HasPrefix(cookie, "cookie=") {
			t.Fatalf("a flow without its cookie: %s", line)
		}
		dumped[cookie] = line
	}
	if len(dumped) != len(flows) {
		t.Errorf("%d flows sent, %d dumped", len(flows), len(dumped))
	}
	for i := range flows {
		if got, want := flows[i].String(), dumped[fmt.Sprintf("cookie=%#x", i+1)]; got != want {
			t.Errorf("text\n ours      %s\n ovs-ofctl %s", got, want)
		}
	}

	n := 0
	for f, err := range c.Flows(t.Context(), &FlowRequest{Table: AllTables}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		want := flows[f.Cookie-1]
		if f.Stats == nil {
			t.Errorf("no statistics in %s", f)
		}
		if f.String() != want.String() {
			t.Errorf("read back\n ours %s\n sent %s", f, &want)
		}
		// The switch pads tun_metadata to the length that it maps.
		if got, want := f.Match.AppendOXM(nil), want.Match.AppendOXM(nil); !bytes.Equal(got, want) && !strings.Contains(f.String(), "tun_metadata") {
			t.Errorf("match read back\n got  %x\n want %x\n of %s", got, want, f)
		}
		if !sameActions(f.Actions, want.Actions) && !strings.Contains(f.String(), "tun_metadata") {
			t.Errorf("actions read back\n got  %#v\n want %#v\n of %s", f.Actions, want.Actions, f)
		}
	}
	if n != len(flows) {
		t.Errorf("%d flows sent, %d read back", len(flows), n)
	}
}

// sameActions compares as values or, where a value can be written in two ways (a nil and an empty list), as bytes.
func sameActions(a, b []Action) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, err1 := AppendInstructions(nil, a)
	y, err2 := AppendInstructions(nil, b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// TestGeneratedFlowsCoverEverything looks for each field, exact and masked where a mask is allowed, and each kind of
// action in differentialFlows.
func TestGeneratedFlowsCoverEverything(t *testing.T) {
	exact, masked, actions := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var note func(acts []Action)
	note = func(acts []Action) {
		for _, a := range acts {
			actions[fmt.Sprintf("%T", a)] = true
			switch a := a.(type) {
			case CT:
				note(a.Exec)
			case Clone:
				note(a.Actions)
			case WriteActions:
				note(a.Actions)
			}
		}
	}
	for _, f := range differentialFlows(2500) {
		for fm := range f.Match.All() {
			if fm.Mask == nil {
				exact[fm.Field.Name] = true
			} else {
				masked[fm.Field.Name] = true
			}
		}
		note(f.Actions)
	}
	for _, f := range Fields() {
		if _, known := notMatched[f.Name]; known || f.alias != aliasNone || strings.HasPrefix(f.Name, "tun_metadata") {
			continue
		}
		if !exact[f.Name] && f != TunFlags && f.Name != "tcp_flags" && f != CTState {
			t.Errorf("no generated flow matches %s", f.Name)
		}
		// Open vSwitch does not print the mask of tun_gbp_flags.
		if f.Masking != NoMask && !masked[f.Name] && f.Bits > 1 && f != TunGBPFlags {
			t.Errorf("no generated flow matches %s with a mask", f.Name)
		}
	}
	for _, a := range []Action{
		Output{}, OutputField{}, OutputTrunc{}, Group{}, SetField{}, Load{}, Move{}, Push{}, Pop{}, PushVLAN{}, PopVLAN{}, PushMPLS{}, PopMPLS{},
		SetMPLSTTL{}, DecMPLSTTL{}, SetTTL{}, DecTTL{}, DecTTLIDs{}, SetQueue{}, PopQueue{}, Resubmit{}, CT{}, CTClear{}, Learn{}, Conjunction{},
		Controller{}, Clone{}, CheckPktLarger{}, Note{}, Exit{}, Multipath{}, Bundle{}, Sample{}, FinTimeout{}, DeleteField{}, Encap{}, Decap{},
		DecNSHTTL{}, Meter{}, GotoTable{}, WriteMetadata{}, WriteActions{}, ClearActions{},
	} {
		if name := fmt.Sprintf("%T", a); !actions[name] {
			t.Errorf("no generated flow has %s", name)
		}
	}
	names := make([]string, 0, len(notMatched))
	for n := range notMatched {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if FieldByName(n) == nil {
			t.Errorf("notMatched has %s, which is no field", n)
		}
	}
}

// notMatched are fields that no flow in a table of Open vSwitch can match, and why.
var notMatched = map[string]string{
	"dp_hash":          "refused over OpenFlow",
	"recirc_id":        "refused over OpenFlow",
	"tun_erspan_ver":   "kept and printed in part only",
	"tun_erspan_idx":   "kept and printed in part only",
	"tun_erspan_dir":   "kept and printed in part only",
	"tun_erspan_hwid":  "kept and printed in part only",
	"tun_gtpu_flags":   "kept and printed in part only",
	"tun_gtpu_msgtype": "kept and printed in part only",
}
