package openflow

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// inbox keeps what a connection's handler got.
type inbox struct {
	mu   sync.Mutex
	xids []uint32
	msgs []Message
}

func (b *inbox) handle(_ *Conn, xid uint32, m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.xids, b.msgs = append(b.xids, xid), append(b.msgs, m)
}

// all returns the messages of one type.
func all[T Message](b *inbox) (out []T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.msgs {
		if v, ok := m.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

// waitFor waits for the nth message of a type.
func waitFor[T Message](t testing.TB, b *inbox, n int) T {
	t.Helper()
	var zero T
	ovstest.Wait(t.(ovstest.TB), 10*time.Second, fmt.Sprintf("%T number %d", zero, n), func() bool { return len(all[T](b)) >= n })
	return all[T](b)[n-1]
}

func testCtx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func dialOVS(t testing.TB, h *ovstest.Host, opt Options) (*Conn, *inbox) {
	t.Helper()
	b := &inbox{}
	if opt.Handler == nil {
		opt.Handler = b.handle
	}
	c, err := Dial(testCtx(t), h.MgmtSocket("br0"), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); <-c.Done() })
	// A connection to a bridge's own socket gets no asynchronous messages until it sets miss_send_len.
	if err := c.Transact(testCtx(t), &SetConfig{0, SendWhole}); err != nil {
		t.Fatal(err)
	}
	return c, b
}

// dummySwitch is an ovs-vswitchd with dummy ports p1 to p3 of bridge br0.
func dummySwitch(t testing.TB) *ovstest.Host {
	h := ovstest.Start(t.(ovstest.TB), ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br0", "fail_mode=secure", "protocols=OpenFlow13", "other-config:datapath-id=0000000000000abc")
	for i := 1; i <= 3; i++ {
		h.AddPort("br0", fmt.Sprintf("p%d", i), "type=dummy", fmt.Sprintf("ofport_request=%d", i))
	}
	return h
}

func mods(flows ...string) (ms []Message) {
	for _, s := range flows {
		ms = append(ms, &FlowMod{Flow: must(ParseFlow(s))})
	}
	return ms
}

func dumpOver(t testing.TB, c *Conn) (out []string) {
	t.Helper()
	for f, err := range c.Flows(testCtx(t), &FlowRequest{Table: AllTables}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.String())
	}
	return out
}

// TestOVSRequests asks a real ovs-vswitchd for everything that can be asked.
func TestOVSRequests(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	c, _ := dialOVS(t, h, Options{})
	ctx := testCtx(t)
	if c.Features().DatapathID != 0xabc {
		t.Errorf("datapath id %x", c.Features().DatapathID)
	}
	groups := []string{"group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2", "group_id=2,type=select,bucket=weight:3,actions=output:1",
		"group_id=3,type=ff,bucket=watch_port:1,actions=output:1"}
	meters := []string{"meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=50", "meter=2,pktps,bands=type=drop,rate=10"}
	var ms []Message
	for _, s := range groups {
		ms = append(ms, &GroupMod{Group: must(ParseGroup(s))})
	}
	for _, s := range meters {
		ms = append(ms, &MeterMod{Meter: must(ParseMeter(s))})
	}
	ms = append(ms, mods("table=1,priority=5,ip,actions=group:1", "table=2,actions=drop")...)
	if err := c.Transact(ctx, ms...); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, req := range []Message{&MultipartRequest{Type: MultipartDesc}, &FlowRequest{Table: AllTables}, &FlowRequest{Aggregate: true, Table: AllTables},
		&MultipartRequest{Type: MultipartTable}, &PortStatsRequest{PortAny}, &QueueStatsRequest{PortAny, AllQueues}, &GroupStatsRequest{GroupAll},
		&MultipartRequest{Type: MultipartGroupDesc}, &MultipartRequest{Type: MultipartGroupFeatures}, &MeterRequest{MeterAll, false}, &MeterRequest{MeterAll, true},
		&MultipartRequest{Type: MultipartMeterFeatures}, &MultipartRequest{Type: MultipartPortDesc}, &MultipartRequest{Type: MultipartTableFeatures}} {
		r, err := c.Multipart(ctx, req)
		if err != nil {
			t.Errorf("%s: %v", req, err)
			continue
		}
		n := 0
		for _, err := range r.Entries() {
			if n++; err != nil {
				t.Errorf("%s: entry %d: %v", r.Name(), n, err)
			}
		}
		want := map[MultipartType]int{MultipartFlow: 2, MultipartGroupDesc: 3, MultipartGroup: 3, MultipartMeter: 2, MultipartMeterConfig: 2, MultipartPortDesc: 4,
			MultipartPortStats: 4, MultipartTable: 254, MultipartTableFeatures: 254}[r.Type]
		if want != 0 && n != want {
			t.Errorf("%s has %d entries, want %d", r.Name(), n, want)
		}
		texts[r.Name()] = r.String()
	}
	d, err := must(c.Multipart(ctx, &MultipartRequest{Type: MultipartDesc})).Desc()
	if err != nil || d.Manufacturer != "Nicira, Inc." {
		t.Errorf("%+v %v", d, err)
	}
	for cmd, name := range map[string]string{"dump-groups": "OFPST_GROUP_DESC reply", "dump-meters": "OFPST_METER_CONFIG reply"} {
		lines := func(s string) (out []string) {
			for _, l := range strings.Split(s, "\n")[1:] {
				if l = strings.TrimRight(l, " "); l != "" {
					out = append(out, l)
				}
			}
			return out
		}
		if got, want := lines(texts[name]), lines(h.OFCtl(cmd, "br0")); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%q\nours\n%q", cmd, want, got)
		}
	}
	for _, req := range []Message{GetConfigRequest{}, GetAsyncRequest{}, FeaturesRequest{}, &EchoRequest{[]byte("x")}} {
		if r, err := c.Request(ctx, req); err != nil {
			t.Errorf("%s: %v", req, err)
		} else if _, raw := r.(*RawMessage); raw {
			t.Errorf("%s: raw answer", req)
		}
	}
	_, err = c.Multipart(ctx, &GroupStatsRequest{77})
	if err != nil {
		t.Log(err) // Open vSwitch answers with nothing or an error; both are an answer
	}
	if _, err := c.Multipart(ctx, &MultipartRequest{Type: 99}); !isCode(err, "OFPBRC_BAD_STAT") {
		t.Errorf("multipart 99: %v", err)
	}
}

func isCode(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code.String() == name
}

// TestOVSBundles commits a bundle, and has others refused whole, with the message at fault.
func TestOVSBundles(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	c, b := dialOVS(t, h, Options{})
	ctx := testCtx(t)
	good := mods("priority=1,ip,actions=output:1", "priority=2,ip,actions=output:2")
	if err := c.Bundle(ctx, BundleAtomic|BundleOrdered, append(good, &GroupMod{Group: must(ParseGroup("group_id=9,type=all,bucket=actions=output:1"))})); err != nil {
		t.Fatal(err)
	}
	before := dumpOver(t, c)
	if len(before) != 2 {
		t.Fatalf("flows %q", before)
	}
	for name, tc := range map[string]struct {
		msgs  []Message
		index int
		code  string
	}{
		"refused when added":     {append(mods("priority=3,ip,actions=output:1", "priority=4,tcp,actions=resubmit(,1)"), &FlowMod{Command: 9}), 2, "OFPFMFC_BAD_COMMAND"},
		"refused when committed": {append(mods("priority=3,ip,actions=output:1"), &GroupMod{Group: must(ParseGroup("group_id=9,type=all"))}, mods("priority=5,ip,actions=drop")[0]), 1, "OFPGMFC_GROUP_EXISTS"},
		"meter":                  {append(mods("priority=3,ip,actions=output:1"), &MeterMod{Meter: must(ParseMeter("meter=1,pktps,bands=type=drop,rate=10"))}), 1, "OFPBFC_MSG_UNSUP"},
	} {
		err := c.Bundle(ctx, BundleAtomic|BundleOrdered, tc.msgs)
		var be *BatchError
		if !errors.As(err, &be) || len(be.Failures) == 0 || be.Failures[0].Index != tc.index || !isCode(err, tc.code) {
			t.Errorf("%s: %v, want message %d %s", name, err, tc.index, tc.code)
		}
		if after := dumpOver(t, c); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: the bundle was refused and changed flows: %q", name, after)
		}
	}
	var ee *EncodeError
	if err := c.Bundle(ctx, BundleAtomic, append(mods("priority=3,ip,actions=drop"), &PacketOut{Data: make([]byte, 65500)})); !errors.As(err, &ee) || ee.Index != 1 {
		t.Errorf("a message too long for a bundle: %v", err)
	}
	if after := dumpOver(t, c); !reflect.DeepEqual(before, after) {
		t.Errorf("flows after that: %q", after)
	}
	if err := c.Bundle(ctx, BundleAtomic, nil); err != nil {
		t.Errorf("empty bundle: %v", err)
	}
	// An error of a message sent alone comes to the handler with its xid.
	xid, err := c.Send(ctx, mods("priority=9,ip,actions=output:1")[0], &FlowMod{Command: 9})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	if e := all[*Error](b); len(e) != 1 || e[0].XID != xid+1 || e[0].Code.String() != "OFPFMFC_BAD_COMMAND" || len(e[0].Data) < 56 {
		t.Errorf("errors %v, want one with xid %d", e, xid+1)
	}
	err = c.Transact(ctx, &FlowMod{Command: 9}, mods("priority=8,ip,actions=drop")[0], &GroupMod{Group: must(ParseGroup("group_id=9,type=all"))})
	var be *BatchError
	if !errors.As(err, &be) || be.Count != 2 || be.Failures[0].Index != 0 || be.Failures[1].Index != 2 {
		t.Errorf("transact: %v", err)
	}
	if n := len(dumpOver(t, c)); n != 4 {
		t.Errorf("%d flows, want 4", n)
	}
}

// TestOVSRoles takes and loses the primary role.
func TestOVSRoles(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	a, abox := dialOVS(t, h, Options{})
	b, _ := dialOVS(t, h, Options{})
	ctx := testCtx(t)
	if err := a.Transact(ctx, &NXSetAsyncConfig2{Props: []AsyncProp{{AsyncRoleStatus, 7}, {AsyncRoleStatus + 1, 7}}}); err != nil {
		t.Fatal(err)
	}
	role := func(c *Conn, r Role, gen uint64) (*RoleReply, error) {
		m, err := c.Request(ctx, &RoleRequest{r, gen})
		rr, _ := m.(*RoleReply)
		return rr, err
	}
	if r, err := role(a, RolePrimary, 10); err != nil || r.Role != RolePrimary || r.Generation != 10 {
		t.Fatal(r, err)
	}
	if _, err := role(b, RolePrimary, 9); !isCode(err, "OFPRRFC_STALE") {
		t.Errorf("an older generation: %v", err)
	}
	if r, err := role(b, RolePrimary, 11); err != nil || r.Role != RolePrimary {
		t.Fatal(r, err)
	}
	if s := waitFor[*RoleStatus](t, abox, 1); s.Role != RoleSecondary || s.Reason != RolePrimaryRequest {
		t.Errorf("%v", s)
	}
	if err := a.Transact(ctx, mods("actions=drop")...); !isCode(err, "OFPBRC_IS_SECONDARY") {
		t.Errorf("a secondary wrote: %v", err)
	}
	if err := a.Bundle(ctx, BundleAtomic, mods("actions=drop")); !isCode(err, "OFPBRC_IS_SECONDARY") {
		t.Errorf("a secondary wrote a bundle: %v", err)
	}
}

// TestOVSPacketIn gets packet-ins with userdata and a continuation, and resumes.
func TestOVSPacketIn(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	c, b := dialOVS(t, h, Options{})
	ctx := testCtx(t)
	err := c.Transact(ctx, append([]Message{&SetPacketInFormat{PacketIn2Format}, &SetControllerID{5}},
		mods("table=0,in_port=1,cookie=0x77,actions=load:0x2a->NXM_NX_REG3[],controller(id=5,userdata=01.02.03,pause),output:2",
			"table=0,in_port=2,actions=controller(id=5,max_len=20)", "table=0,in_port=3,actions=controller(id=6)")...)...)
	if err != nil {
		t.Fatal(err)
	}
	frame := "ffffffffffff0200000000010800" + "4500002e00000000401166b90a0000010a000002" + "0035003500000000" + strings.Repeat("00", 18)
	for i := 3; i >= 1; i-- {
		h.AppCtl("netdev-dummy/receive", fmt.Sprintf("p%d", i), frame)
	}
	plain := waitFor[*PacketIn2](t, b, 1)
	in := waitFor[*PacketIn2](t, b, 2)
	// Open vSwitch keeps no packets for the controller and therefore sends all of it in spite of max_len.
	if plain.FullLen != 0 || len(plain.Packet) != 60 || plain.Continuation != nil || plain.UserData != nil || plain.Cookie != 0 {
		t.Errorf("packet-in %+v", plain)
	}
	m, err := in.Match()
	if err != nil || in.FieldUint(Reg(3)) != 0x2a || in.FieldUint(InPort) != 1 || in.FieldUint(Reg(4)) != 0 || in.Cookie != 0x77 ||
		string(in.UserData) != "\x01\x02\x03" || in.Continuation == nil || hex.EncodeToString(in.Packet) != frame || m.String() != "reg3=0x2a,in_port=1" && m.String() != "in_port=1,reg3=0x2a" {
		t.Errorf("packet-in %s, match %s, %v", in, m.String(), err)
	}
	if err := c.Transact(ctx, &Resume{*in}); err != nil {
		t.Fatal(err)
	}
	tx := func() (n uint64) {
		for p, err := range must(c.Multipart(ctx, &PortStatsRequest{2})).PortStats() {
			if err != nil {
				t.Fatal(err)
			}
			n = p.TxPackets
		}
		return n
	}
	ovstest.Wait(t, 10*time.Second, "the resumed packet", func() bool { return tx() == 1 })
	if err := c.Transact(ctx, &PacketOut{InPort: PortController, Actions: []Action{Output{Port: 2}}, Data: in.Packet}); err != nil {
		t.Fatal(err)
	}
	ovstest.Wait(t, 10*time.Second, "the packet-out", func() bool { return tx() == 2 })
	bad := *in
	bad.Continuation = append([]byte(nil), in.Continuation...)
	bad.Continuation[20] ^= 0xff
	if err := c.Transact(ctx, &Resume{bad}); err == nil {
		t.Error("a broken continuation was taken")
	}
	if n := len(all[*PacketIn2](b)); n != 2 {
		t.Errorf("%d packet-ins; that of the other controller id is not ours", n)
	}
	// The standard format.
	if err := c.Transact(ctx, &SetPacketInFormat{StandardPacketIn}); err != nil {
		t.Fatal(err)
	}
	h.AppCtl("netdev-dummy/receive", "p2", frame)
	if p := waitFor[*PacketIn](t, b, 1); p.TotalLen != 60 || len(p.Data) != 60 {
		t.Errorf("%s", p)
	}
}

// TestOVSEvents has port status, flow removed, a flow monitor and conntrack flushes.
func TestOVSEvents(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	c, b := dialOVS(t, h, Options{})
	ctx := testCtx(t)
	h.AddPort("br0", "p4", "type=dummy", "ofport_request=4")
	if p := waitFor[*PortStatus](t, b, 1); p.Reason != PortAdded || p.Desc.Port != 4 || p.Desc.Name != "p4" {
		t.Errorf("%s", p)
	}
	if err := c.Transact(ctx, &PortMod{Port: 4, HWAddr: waitFor[*PortStatus](t, b, 1).Desc.HWAddr, Config: PortNoFwd, Mask: PortNoFwd}); err != nil {
		t.Error(err)
	}
	h.VSCtl("del-port", "p4")
	ovstest.Wait(t, 10*time.Second, "port deleted", func() bool {
		ps := all[*PortStatus](b)
		return ps[len(ps)-1].Reason == PortDeleted
	})
	r, err := c.Multipart(ctx, &FlowMonitorRequest{[]Monitor{{ID: 3, Flags: MonitorInitial | MonitorAdd | MonitorDelete | MonitorModify | MonitorActions, Table: AllTables}}})
	if err != nil || r.Type != MultipartFlowMonitor {
		t.Fatal(r, err)
	}
	h.OFCtl("add-flow", "br0", "table=3,priority=7,cookie=0x5,ip,actions=output:1")
	h.OFCtl("mod-flows", "br0", "table=3,ip,actions=output:2")
	h.OFCtl("del-flows", "br0", "table=3")
	var events []string
	ovstest.Wait(t, 10*time.Second, "flow monitor", func() bool {
		events = nil
		for _, m := range all[*MultipartReply](b) {
			for u, err := range m.Updates() {
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, u.String())
			}
		}
		return len(events) >= 3
	})
	want := []string{"event=ADDED table=3 cookie=0x5 ip actions=output:1", "event=MODIFIED table=3 cookie=0x5 ip actions=output:2",
		"event=DELETED reason=delete table=3 cookie=0x5 ip actions=output:2"}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("%q, want %q", events, want)
	}
	f := must(ParseFlow("table=4,priority=1,cookie=0x9,send_flow_rem,actions=drop"))
	xid, err := c.Send(ctx, &FlowMod{Flow: f}, &FlowMod{Command: FlowDeleteStrict, Flow: Flow{Table: 4, Priority: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if fr := waitFor[*FlowRemoved](t, b, 1); fr.Cookie != 9 || fr.Reason != RemovedDelete || fr.Table != 4 {
		t.Errorf("%s", fr)
	}
	// Our own changes come abbreviated, with their xids.
	ovstest.Wait(t, 10*time.Second, "abbreviated updates", func() bool { return len(all[*MultipartReply](b)) >= 5 })
	for i, m := range all[*MultipartReply](b)[3:] {
		for u := range m.Updates() {
			if u.Event != FlowAbbrev || u.XID != xid+uint32(i) {
				t.Errorf("update %s, want ABBREV of %#x", u, xid+uint32(i))
			}
		}
	}
	if err := c.Transact(ctx, &FlowMonitorCancel{3}); err != nil {
		t.Error(err)
	}
	if err := c.Transact(ctx, &FlowMonitorCancel{3}); !isCode(err, "OFPMOFC_UNKNOWN_MONITOR") {
		t.Errorf("cancelled twice: %v", err)
	}
	flush := &CTFlush{HasZone: true, Zone: 5, Proto: 17, Orig: CTTuple{Src: netip.MustParseAddr("10.0.0.1"), SrcPort: 53}}
	if err := c.Transact(ctx, &CTFlushZone{5}, flush, &CTFlush{}); err != nil {
		t.Errorf("flush: %v", err)
	}
	if err := c.Transact(ctx, &SetAsync{}); err != nil {
		t.Error(err)
	}
}

// TestOVSDials has ovs-vswitchd connect to a Listener, over TCP, unix and TLS.
func TestOVSDials(t *testing.T) {
	noLeak(t)
	h := dummySwitch(t)
	cert := testCert(t)
	for _, target := range []string{"tcp:127.0.0.1:0", "unix:" + h.ControllerSocket(), "ssl:127.0.0.1:0"} {
		b := &inbox{}
		l, err := Listen(target, ListenOptions{Options: Options{Handler: b.handle, TLS: &tls.Config{Certificates: []tls.Certificate{cert.pair}}},
			Failed: func(a net.Addr, err error) { t.Errorf("%v: %v", a, err) }})
		if err != nil {
			t.Fatal(err)
		}
		scheme, _, _ := strings.Cut(target, ":")
		if scheme == "ssl" {
			h.VSCtl("set-ssl", cert.keyFile, cert.certFile, cert.certFile)
		}
		to := scheme + ":" + l.Addr().String()
		h.VSCtl("set-controller", "br0", to, "--", "set", "controller", "br0", "max_backoff=1000", "connection_mode=out-of-band")
		c, err := l.Accept(testCtx(t))
		if err != nil {
			t.Fatal(err)
		}
		if c.Features().DatapathID != 0xabc {
			t.Errorf("%s: datapath id %x", to, c.Features().DatapathID)
		}
		if err := c.Transact(testCtx(t), mods("priority=1,actions=drop")...); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		h.VSCtl("del-controller", "br0")
		<-c.Done()
		l.Close()
	}
}
