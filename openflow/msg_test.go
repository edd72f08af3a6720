package openflow

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// must returns v of a parser that cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sampleMessages has at least one message of every type, by Name.
func sampleMessages() []Message {
	flow := must(ParseFlow("table=3,priority=7,cookie=0x12,tcp,in_port=2,ct_state=+trk+est,reg3=0x5/0xf,tp_dst=80,actions=load:0x1->NXM_NX_REG1[],ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.9:1000-2000)),resubmit(,7)"))
	arp := must(ParseMatch("arp,arp_tpa=10.0.0.0/24"))
	meta := must(ParseMatch("in_port=3,reg0=0x7,tun_id=0x99,metadata=0x5"))
	frame := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	groups := []string{
		"group_id=1,type=all", "group_id=2,type=all,bucket=actions=output:1,bucket=actions=output:2",
		"group_id=3,type=select,bucket=weight:5,actions=output:1,bucket=actions=set_field:1->reg1,output:2",
		"group_id=4,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:2,actions=group:2",
		"group_id=5,type=indirect,bucket=actions=drop",
	}
	meters := []string{
		"meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=50", "meter=controller,pktps,bands=type=drop,rate=10",
		"meter=7,pktps,bands=type=dscp_remark,rate=5,prec_level=1,type=drop,rate=10",
	}
	ms := []Message{
		&Hello{Version: 4, Bitmap: 0x10}, &Hello{Version: 6}, &EchoRequest{[]byte("abc")}, &EchoReply{[]byte{}},
		&Error{Code: ErrorCode{Type: 5, Code: 1}, Data: (&EchoRequest{make([]byte, 60)}).AppendTo(nil)},
		&Error{Code: ErrorCode{expONF, 0xffff, 2313}, Data: BarrierRequest{}.AppendTo(nil)},
		&Error{Code: ErrorCode{expNicira, 0xffff, 35}, Data: BarrierRequest{}.AppendTo(nil)},
		&Error{Code: ErrorCode{Type: 0, Code: 0}, Data: []byte("no")},
		FeaturesRequest{}, GetConfigRequest{}, BarrierRequest{}, BarrierReply{}, GetAsyncRequest{},
		&Features{DatapathID: 0xabc, Tables: 254, Capabilities: 0x4f}, &SetConfig{0, 128}, &GetConfigReply{2, SendWhole},
		&TableMod{Table: 3}, &SetPacketInFormat{PacketIn2Format}, &SetControllerID{7},
		&RoleRequest{RolePrimary, 99}, &RoleReply{RoleSecondary, NoGeneration}, &RoleStatus{Role: RoleSecondary, Generation: 5, Properties: []byte{}},
		&SetAsync{AsyncConfig{[2]uint32{7, 1}, [2]uint32{7, 7}, [2]uint32{15, 0}}}, &GetAsyncReply{AsyncConfig{[2]uint32{7, 1}, [2]uint32{7, 7}, [2]uint32{15, 0}}},
		&NXSetAsyncConfig{AsyncConfig{[2]uint32{7, 1}, [2]uint32{7, 7}, [2]uint32{15, 0}}},
		&NXSetAsyncConfig2{Props: []AsyncProp{{AsyncRoleStatus, 3}, {AsyncPacketIn + 1, 7}}},
		&PortStatus{PortAdded, PortDesc{Port: 5, HWAddr: [6]byte{2, 0, 0, 0, 0, 5}, Name: "p5", State: PortLive, CurrSpeed: 10000000}},
		&PortMod{Port: 1, HWAddr: [6]byte{2, 0, 0, 0, 0, 1}, Config: PortDown, Mask: PortDown},
		&PacketIn{BufferID: NoBuffer, TotalLen: 60, Reason: ReasonAction, Table: 2, Cookie: 9, Metadata: meta.AppendOXM(nil), Data: frame},
		&PacketIn2{Packet: frame, BufferID: NoBuffer, Table: 7, Cookie: 8, Reason: ReasonAction, Metadata: meta.AppendOXM(nil), UserData: []byte{1, 2, 3}},
		&PacketIn2{Packet: frame, FullLen: 1500, BufferID: NoBuffer, Cookie: ^uint64(0), Metadata: meta.AppendOXM(nil)},
		&PacketOut{InPort: PortController, Actions: must(ParseActions("set_field:5->reg1,resubmit(,3)")), Data: frame},
		&PacketOut{InPort: 3, Data: frame},
		&FlowMod{Flow: flow}, &FlowMod{Command: FlowDelete, Flow: Flow{Table: AllTables, Match: arp, Cookie: 5, Priority: 0x8000}, CookieMask: 0xff, OutPort: 3, HasOutGroup: true},
		&FlowMod{Command: FlowModifyStrict, Flow: Flow{Priority: 1, IdleTimeout: 5, HardTimeout: 6, Flags: SendFlowRem | CheckOverlap}},
		&FlowRemoved{Cookie: 3, Priority: 7, Reason: RemovedHard, Table: 2, DurationSec: 1, DurationNsec: 500000000, HardTimeout: 9, PacketCount: 1, ByteCount: 60, Match: arp},
		&BundleControl{ID: 5, Command: BundleCommit, Flags: BundleAtomic | BundleOrdered, Props: []byte{}},
		&BundleAdd{ID: 5, Flags: BundleAtomic, Message: &FlowMod{Flow: flow}, Props: []byte{}},
		&CTFlushZone{9}, &CTFlush{}, &CTFlush{HasZone: true, Zone: 5, Proto: 17, Orig: CTTuple{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("10.1.1.2"), SrcPort: 1, DstPort: 2},
			Reply: CTTuple{Src: netip.MustParseAddr("10.1.1.3")}},
		&CTFlush{Proto: 58, Orig: CTTuple{Src: netip.MustParseAddr("fe80::1"), ICMPID: 7, ICMPType: 8, ICMPCode: 1}},
		&FlowMonitorRequest{[]Monitor{{ID: 1, Flags: MonitorInitial | MonitorAdd | MonitorActions, Table: AllTables}, {ID: 2, Flags: MonitorDelete, OutPort: 3, Table: 4, Match: arp}}},
		&FlowMonitorCancel{5}, FlowMonitorPaused{}, FlowMonitorResumed{},
		&FlowRequest{Table: AllTables}, &FlowRequest{Aggregate: true, Table: 3, OutPort: 1, HasOutGroup: true, OutGroup: 4, Cookie: 1, CookieMask: 3, Match: arp},
		&PortStatsRequest{PortAny}, &QueueStatsRequest{PortAny, AllQueues}, &GroupStatsRequest{GroupAll}, &MeterRequest{MeterAll, false}, &MeterRequest{3, true},
		NewMultipartReply(MultipartDesc, &SwitchDesc{"m", "h", "s", "n", "d"}),
		NewMultipartReply(MultipartFlow, (*FlowEntry)(&flow), &FlowEntry{Table: 1, Priority: 5, Match: arp}), NewMultipartReply(MultipartFlow),
		NewMultipartReply(MultipartAggregate, &Aggregate{1, 2, 3}), NewMultipartReply(MultipartTable, &TableStats{0, 1, 2, 3}),
		NewMultipartReply(MultipartPortStats, &PortStats{Port: 3, RxPackets: 5}), NewMultipartReply(MultipartQueue, &QueueStats{Port: 1, Queue: 2}),
		NewMultipartReply(MultipartGroup, &GroupStats{ID: 3, RefCount: 1, Counter: Counter{1, 2}, Buckets: []Counter{{3, 4}, {5, 6}}}),
		NewMultipartReply(MultipartGroupFeatures, &GroupFeatures{Types: 15, MaxGroups: [4]uint32{1, 2, 3, 4}}),
		NewMultipartReply(MultipartMeter, &MeterStats{ID: 1, Counter: Counter{1, 2}, Bands: []Counter{{3, 4}}}),
		NewMultipartReply(MultipartMeterFeatures, &MeterFeatures{MaxMeters: 5, BandTypes: 2}),
		NewMultipartReply(MultipartPortDesc, &PortDesc{Port: PortLocal, Name: "br0"}),
		NewMultipartReply(MultipartFlowMonitor, &FlowUpdate{Event: FlowAdded, Flow: flow}, &FlowUpdate{Event: FlowAbbrev, XID: 7}, &FlowUpdate{Event: FlowDeleted, Reason: RemovedDelete, Flow: Flow{Match: arp, IdleTimeout: 1}}),
		NewMultipartReply(MultipartTableFeatures, &TableFeatures{Table: 0, TableName: "classifier", MaxEntries: 100}),
	}
	for _, t := range []MultipartType{MultipartDesc, MultipartTable, MultipartGroupDesc, MultipartGroupFeatures, MultipartMeterFeatures, MultipartPortDesc, MultipartTableFeatures} {
		ms = append(ms, &MultipartRequest{Type: t})
	}
	var gs, mets []Entry
	for i, s := range groups {
		g := must(ParseGroup(s))
		gs = append(gs, &g)
		ms = append(ms, &GroupMod{GroupCommand([]GroupCommand{GroupAdd, GroupModify, GroupAddOrMod, GroupAdd, GroupAdd}[i]), g})
	}
	for _, s := range meters {
		m := must(ParseMeter(s))
		mets = append(mets, &m)
		ms = append(ms, &MeterMod{MeterAdd, m})
	}
	r := &PacketIn2{Packet: frame, BufferID: NoBuffer, Table: 7, Cookie: 8, Reason: ReasonAction, Metadata: meta.AppendOXM(nil)}
	return append(ms, &Resume{*r}, &GroupMod{GroupDelete, GroupDesc{ID: 77}}, &MeterMod{MeterDelete, MeterConfig{ID: 5}},
		NewMultipartReply(MultipartGroupDesc, gs...), NewMultipartReply(MultipartMeterConfig, mets...))
}

// TestMessages encodes every kind of message, decodes it to the same, and lets Open vSwitch print it: without complaint,
// and with our text where it carries flows, groups, meters, matches or packets.
func TestMessages(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range sampleMessages() {
		b, err := Encode(nil, m, 0x2a)
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		seen[m.Name()] = true
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", m, err)
			continue
		}
		if got.Name() != m.Name() {
			t.Errorf("%s decodes as %s", m.Name(), got.Name())
		}
		if b2, err := Encode(nil, got, 0x2a); err != nil || !bytes.Equal(b, b2) {
			t.Errorf("%s: decoded and encoded again:\n was %x\n is  %x (%v)", m, b, b2, err)
		}
		if s := m.String(); s != got.String() || s == "" {
			t.Errorf("text %q, decoded %q", s, got.String())
		}
		if m.Name() != "OFPST_TABLE_FEATURES reply" { // Open vSwitch wants properties there, which are raw here
			comparePrint(t, m.Name(), got, b)
		}
	}
	for i, k := range basicKinds {
		if k.decode != nil && !seen[k.name] && i != typeMultipartRequest && i != typeMultipartReply {
			t.Errorf("no sample of %s", k.name)
		}
	}
	for _, k := range expKinds {
		if !seen[k.name] {
			t.Errorf("no sample of %s", k.name)
		}
	}
}

// TestForeignEntries shows that one entry that cannot be decoded does not cost the others.
func TestForeignEntries(t *testing.T) {
	f1, f2 := must(ParseFlow("priority=1,ip,actions=output:1")), must(ParseFlow("priority=3,ip,actions=output:3"))
	bad := (*FlowEntry)(&f1).AppendTo(nil)
	bad[len(bad)-13] = 7 // the length of its last action
	part := append((*FlowEntry)(&f1).AppendTo(nil), bad...)
	part = (*FlowEntry)(&f2).AppendTo(part)
	m := must(Decode((&MultipartReply{Type: MultipartFlow, Parts: [][]byte{part}}).AppendTo(nil))).(*MultipartReply)
	var got []string
	for f, err := range m.Flows() {
		if e, ok := err.(*EntryError); ok && bytes.Equal(e.Raw, bad) {
			got = append(got, "raw")
		} else if err != nil {
			t.Fatal(err)
		} else {
			got = append(got, f.String())
		}
	}
	if want := []string{f1.String(), "raw", f2.String()}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMalformed shows that an error names the message, the offset and what was expected.
func TestMalformed(t *testing.T) {
	short := func(m Message, n int) []byte {
		b := m.AppendTo(nil)[:n]
		put16(b[2:], n)
		return b
	}
	for _, tc := range []struct {
		b    []byte
		want string
	}{
		{[]byte{4, 10, 0}, "openflow: header: at octet 3: want 8 octets, have 3"},
		{[]byte{4, 10, 0, 4, 0, 0, 0, 1}, "openflow: header of OFPT_PACKET_IN: at octet 2: want a length of at least 8, not 4"},
		{[]byte{4, 10, 0, 8, 0, 0, 0, 1}, "openflow: OFPT_PACKET_IN: at octet 8: want 4 more octets, have 0"},
		{[]byte{1, 10, 0, 8, 0, 0, 0, 1}, "openflow: OFPT_PACKET_IN: at octet 0: want version 4 (OpenFlow 1.3), not 1"},
		{[]byte{4, 20, 0, 9, 0, 0, 0, 1}, "openflow: OFPT_BARRIER_REQUEST: at octet 2: the length field says 9 octets, the message has 8"},
		{short(&PortStatus{}, 50), "openflow: OFPT_PORT_STATUS: at octet 48: want 4 more octets, have 2"},
		{short(NewMultipartReply(MultipartPortDesc, &PortDesc{}), 40), "openflow: OFPST_PORT_DESC reply: at octet 16: want an entry of 64 octets, have 24"},
	} {
		if _, err := Decode(tc.b); err == nil || err.Error() != tc.want {
			t.Errorf("%x: %v, want %s", tc.b, err, tc.want)
		}
	}
}

// TestErrorNames compares the names of error codes with Open vSwitch.
func TestErrorNames(t *testing.T) {
	var msgs [][]byte
	var names []string
	for code, name := range errorNames {
		msgs = append(msgs, (&Error{Code: code, Data: BarrierRequest{}.AppendTo(nil)}).AppendTo(nil))
		names = append(names, name)
	}
	for i, text := range ofpPrint(t, msgs...) {
		if !strings.HasPrefix(text, "OFPT_ERROR: "+names[i]) {
			t.Errorf("%s is %s", names[i], text)
		}
	}
}

func TestGroupText(t *testing.T) {
	for _, bad := range []string{"", "group_id=1", "type=all", "group_id=1,type=x", "group_id=1,type=all,bucket=", "group_id=1,type=all,bucket=weight:3,actions=drop",
		"group_id=1,type=ff,bucket=actions=output:1", "group_id=1,type=indirect,bucket=actions=drop,bucket=actions=drop",
		"group_id=1,type=select,selection_method=hash,bucket=actions=drop", "group_id=0xffffff01,type=all"} {
		if g, err := ParseGroup(bad); err == nil {
			t.Errorf("%q parses as %s", bad, g.String())
		} else if !strings.HasPrefix(err.Error(), "openflow: group ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "meter=1", "meter=1,kbps", "meter=1,kbps,bands=", "meter=1,kbps,bands=rate=3", "meter=1,kbps,bands=type=drop",
		"meter=1,bands=type=drop,rate=1", "meter=1,kbps,pktps,bands=type=drop,rate=1", "meter=0,kbps,bands=type=drop,rate=1", "meter=1,kbps,bands=type=drop,rate=1,burst_size=2"} {
		if m, err := ParseMeter(bad); err == nil {
			t.Errorf("%q parses as %s", bad, m.String())
		}
	}
	// What ovs-ofctl takes, in other spellings.
	for in, out := range map[string]string{
		"group_id=5 type=fast_failover bucket=watch_port=1,output:1,output=2": "group_id=5,type=ff,bucket=watch_port:1,actions=output:1,output:2",
		" group_id=6,type=select, bucket=weight=7,actions=drop":               "group_id=6,type=select,bucket=weight:7,actions=drop",
	} {
		if g, err := ParseGroup(in); err != nil || g.String() != out {
			t.Errorf("%q: %q %v, want %q", in, g.String(), err, out)
		}
	}
}

// TestGroupAndMeterDumps parses dumps of a real switch and prints them as they were.
func TestGroupAndMeterDumps(t *testing.T) {
	for file, lines := range dumpLines(t, "*.groups") {
		for _, l := range lines {
			if g, err := ParseGroup(l); err != nil || g.String() != strings.TrimSpace(l) {
				t.Errorf("%s: %q is %q (%v)", file, l, g.String(), err)
			}
		}
	}
	files, _ := filepath.Glob("../testdata/flows/*.meters")
	for _, file := range files {
		text := strings.ReplaceAll(string(must(os.ReadFile(file))), "\r", "")
		_, text, _ = strings.Cut("\n"+text, "\nmeter=")
		for _, s := range strings.Split(text, "\nmeter=") {
			s = "meter=" + strings.TrimSpace(s)
			if m, err := ParseMeter(s); err != nil || m.String() != s {
				t.Errorf("%s: %q is %q (%v)", file, s, m.String(), err)
			}
		}
	}
	if len(files) == 0 {
		t.Error("no dumps of meters in testdata/flows")
	}
}
