package peertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Sirupsen/logrus"
	"github.com/contiv/libOpenflow/openflow13"
	"github.com/contiv/ofnet/ofctrl"
	"github.com/penstock/penstock/openflow"
)

// app is an application of ofctrl. Its callbacks run in ofctrl's goroutines.
type app struct {
	connected, gone chan *ofctrl.OFSwitch
	packets         chan *ofctrl.PacketIn
	replies         chan *openflow13.MultipartReply
}

func (a *app) SwitchConnected(sw *ofctrl.OFSwitch)                             { a.connected <- sw }
func (a *app) SwitchDisconnected(sw *ofctrl.OFSwitch)                          { a.gone <- sw }
func (a *app) PacketRcvd(_ *ofctrl.OFSwitch, p *ofctrl.PacketIn)               { a.packets <- p }
func (a *app) MultipartReply(_ *ofctrl.OFSwitch, r *openflow13.MultipartReply) { a.replies <- r }

func get[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited 10 s for %s", what)
	}
	return v
}

// TestOfctrl has contiv/ofnet's controller on one end and a connection of this library, as the switch, on the other.
func TestOfctrl(t *testing.T) {
	logrus.SetOutput(io.Discard)
	a := &app{make(chan *ofctrl.OFSwitch, 1), make(chan *ofctrl.OFSwitch, 1), make(chan *ofctrl.PacketIn, 1), make(chan *openflow13.MultipartReply, 1)}
	ctl := ofctrl.NewController(a)
	port := freePort(t)
	go ctl.Listen(fmt.Sprintf("127.0.0.1:%d", port))
	t.Cleanup(ctl.Delete)

	// The switch: answers as one, and keeps the flow-mods that it gets.
	flows := make(chan string, 100)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	opt := openflow.Options{Switch: true, Handler: func(c *openflow.Conn, xid uint32, m openflow.Message) {
		var err error
		switch m := m.(type) {
		case openflow.FeaturesRequest:
			err = c.Reply(ctx, xid, &openflow.Features{DatapathID: 0x0102030405060708, Tables: 254, Capabilities: 0x4f})
		case *openflow.FlowMod:
			flows <- strings.TrimPrefix(m.String(), "OFPT_FLOW_MOD: ")
		case *openflow.FlowRequest:
			f, perr := openflow.ParseFlow("table=3, priority=100,arp,in_port=7 actions=output:9")
			if perr != nil {
				t.Error(perr)
			}
			f.Stats = &openflow.FlowStats{DurationSec: 5, PacketCount: 11, ByteCount: 660}
			err = c.Reply(ctx, xid, openflow.NewMultipartReply(openflow.MultipartFlow, (*openflow.FlowEntry)(&f)))
		default:
			t.Logf("the switch got %T", m)
		}
		if err != nil {
			t.Errorf("reply: %v", err)
		}
	}}
	var sw *openflow.Conn
	for end := time.Now().Add(10 * time.Second); sw == nil; {
		c, err := openflow.Dial(ctx, fmt.Sprintf("tcp:127.0.0.1:%d", port), opt)
		if err == nil {
			sw = c
		} else if time.Now().After(end) { // Listen has no way to say that it listens
			t.Fatal(err)
		}
	}
	defer sw.Close()
	of := get(t, "SwitchConnected", a.connected)
	if got := of.DPID().String(); got != "01:02:03:04:05:06:07:08" {
		t.Errorf("datapath id %s", got)
	}

	// A flow that uses most of what it can say.
	want := "ADD table:3 priority=100,tcp,metadata=0x12/0xff,in_port=5,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.0/24,nw_dst=10.1.0.1,tp_dst=80 " +
		"actions=set_field:10.9.9.9->ip_src,set_field:fa:16:3e:00:00:02->eth_dst,output:7" // it puts each new action in front
	tbl, err := of.NewTable(3)
	if err != nil {
		t.Fatal(err)
	}
	ipSa, mask, ipDa := net.ParseIP("10.0.0.0"), net.ParseIP("255.255.255.0"), net.ParseIP("10.1.0.1")
	src, _ := net.ParseMAC("fa:16:3e:00:00:01")
	dst, _ := net.ParseMAC("fa:16:3e:00:00:02")
	meta, metaMask := uint64(0x12), uint64(0xff)
	f, err := tbl.NewFlow(ofctrl.FlowMatch{Priority: 100, InputPort: 5, MacSa: &src, Ethertype: 0x0800, IpSa: &ipSa, IpSaMask: &mask, IpDa: &ipDa,
		IpProto: 6, TcpDstPort: 80, Metadata: &meta, MetadataMask: &metaMask})
	if err != nil {
		t.Fatal(err)
	}
	out, err := of.OutputPort(7)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{func() error { return f.SetMacDa(dst) }, func() error { return f.SetIPField(net.ParseIP("10.9.9.9"), "Src") },
		func() error { return f.Next(out) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for {
		got := get(t, fmt.Sprintf("the flow; so far %q", seen), flows)
		seen = append(seen, got)
		if i := strings.Index(got, "cookie:"); i >= 0 { // ofctrl numbers its flows
			_, rest, _ := strings.Cut(got[i:], " ")
			got = got[:i] + rest
		}
		if got == want {
			break
		}
	}

	// A packet-in of ours.
	arp := []byte{255, 255, 255, 255, 255, 255, 0xfa, 0x16, 0x3e, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0xfa, 0x16, 0x3e, 0, 0, 1, 10, 0, 0, 1,
		0, 0, 0, 0, 0, 0, 10, 0, 0, 2}
	var m openflow.Match
	m.SetUint(openflow.InPort, 5)
	pin := &openflow.PacketIn{BufferID: openflow.NoBuffer, TotalLen: uint16(len(arp)), Reason: openflow.ReasonAction, Table: 3, Cookie: 0x99,
		Metadata: m.AppendOXM(nil), Data: arp}
	if _, err := sw.Send(ctx, pin); err != nil {
		t.Fatal(err)
	}
	p := get(t, "PacketRcvd", a.packets)
	if p.TableId != 3 || p.Cookie != 0x99 || p.TotalLen != uint16(len(arp)) || p.Data.Ethertype != 0x0806 || p.Data.HWSrc.String() != "fa:16:3e:00:00:01" {
		t.Errorf("packet-in as ofctrl reads it: %+v", p)
	}

	// A flow-stats request of theirs, a reply of ours.
	req := &openflow13.MultipartRequest{Header: openflow13.NewOfp13Header(), Type: openflow13.MultipartType_Flow}
	req.Header.Type = openflow13.Type_MultiPartRequest
	stats := openflow13.NewFlowStatsRequest()
	stats.TableId = 0xff
	req.Body = stats
	of.Send(req)
	r := get(t, "MultipartReply", a.replies)
	fs, ok := r.Body[0].(*openflow13.FlowStats)
	if !ok || len(r.Body) != 1 {
		t.Fatalf("flow stats as ofctrl reads them: %+v", r)
	}
	if fs.TableId != 3 || fs.Priority != 100 || fs.PacketCount != 11 || fs.ByteCount != 660 || len(fs.Match.Fields) != 2 || len(fs.Instructions) != 1 {
		t.Errorf("flow as ofctrl reads it: %+v", fs)
	}

	// An error of ours is read by it without harm, an echo of theirs is answered.
	if _, err := sw.Send(ctx, &openflow.Error{Code: openflow.ErrorCode{Type: 1, Code: 6}, Data: []byte("12345678")}); err != nil {
		t.Fatal(err)
	}
	of.Send(openflow13.NewEchoRequest())
	if _, err := sw.Send(ctx, pin); err != nil {
		t.Fatal(err)
	}
	get(t, "a packet-in after the error", a.packets)
	sw.Close()
	get(t, "SwitchDisconnected", a.gone)
}

// freePort is a TCP port that was free a moment ago: ofctrl listens by number only.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
