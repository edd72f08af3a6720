package openflow_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/penstock/penstock/openflow"
)

// Flows are read and written as ovs-ofctl does.
func ExampleParseFlow() {
	f, err := openflow.ParseFlow("table=3,priority=100,tcp,nw_dst=10.0.0.0/24,tp_dst=80 actions=ct(commit,zone=5,nat(dst=192.0.2.1)),goto_table:9")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.String())
	fmt.Println(len(openflow.AppendActions(nil, f.Actions[:1])), "octets of ct")
	// Output:
	// table=3, priority=100,tcp,nw_dst=10.0.0.0/24,tp_dst=80 actions=ct(commit,zone=5,nat(dst=192.0.2.1)),goto_table:9
	// 48 octets of ct
}

// Prerequisites are checked where a flow is built.
func ExampleMatch_Check() {
	var m openflow.Match
	m.SetUint(openflow.EthType, 0x0800)
	m.SetAddr(openflow.IPv4Dst, netip.MustParseAddr("10.0.0.1"))
	m.SetUint(openflow.TCPDst, 80)
	fmt.Println(m.Check())
	m.SetUint(openflow.IPProto, 6)
	fmt.Println(m.Check(), m.String())
	// Output:
	// openflow: tcp_dst needs ip_proto 6 (nw_proto=6) and eth_type 0x0800 or 0x86dd
	// <nil> tcp,nw_dst=10.0.0.1,tp_dst=80
}

// A controller: switches connect, get flows in one bundle, and send packets.
func Example_controller() {
	ctx := context.Background()
	l, err := openflow.Listen("tcp:127.0.0.1:6653", openflow.ListenOptions{Options: openflow.Options{
		Handler: func(c *openflow.Conn, xid uint32, m openflow.Message) { fmt.Println(m) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	c, err := l.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	f, _ := openflow.ParseFlow("priority=1 actions=NORMAL")
	err = c.Bundle(ctx, openflow.BundleAtomic|openflow.BundleOrdered, []openflow.Message{&openflow.FlowMod{Command: openflow.FlowAdd, Flow: f}})
	fmt.Println(err) // a *BatchError names the message that the switch refused
	for flow, err := range c.Flows(ctx, &openflow.FlowRequest{Table: openflow.AllTables}) {
		fmt.Println(flow, err)
	}
}
