// Command ofcapture makes a real ovs-vswitchd send OpenFlow 1.3 messages of every kind that it has, and writes
// each as a file of hexadecimal digits: seeds and round-trip input for the decoders of package openflow. The
// requests are written by hand here, so that the seeds do not depend on what they test.
//
//	go run ./internal/ovstest/ofcapture testdata/flows testdata/messages
package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

const (
	nicira = 0x00002320
	onf    = 0x4f4e4600
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: ofcapture FLOWS-FOLDER OUT-FOLDER")
		os.Exit(2)
	}
	flows, err := filepath.Abs(os.Args[1])
	out := os.Args[2]
	t := ovstest.NewProgram("ofcapture")
	defer t.Close()
	if err != nil {
		t.Fatalf("%v", err)
	}
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	h.AddBridge("br0", "fail_mode=secure", "other-config:datapath-id=0000000000000001", "protocols=OpenFlow10,OpenFlow13,OpenFlow15")
	h.AddPort("br0", "p1", "type=dummy", "ofport_request=1")
	h.AddPort("br0", "p2", "type=dummy", "ofport_request=2")
	h.OFCtl("add-meter", "br0", "meter=1,pktps,burst,stats,bands=type=drop,rate=1000,burst_size=10")
	for _, g := range []string{"group_id=1,type=all,bucket=output:1,bucket=output:2",
		"group_id=2,type=select,selection_method=hash,fields(ip_src,ip_dst),bucket=weight:10,actions=output:1,bucket=weight:20,actions=set_field:1->reg1,output:2",
		"group_id=3,type=fast_failover,bucket=watch_port:1,output:1,bucket=watch_port:2,output:2"} {
		h.OFCtl("add-group", "br0", g)
	}

	c := dial(t, h.MgmtSocket("br0"))
	save := func(name string, m []byte) {
		if err := os.WriteFile(filepath.Join(out, name+".hex"), []byte(dump(m)), 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	}
	// ask sends one message and saves every message up to the reply of the barrier that follows.
	ask := func(name string, m []byte, trigger ...func()) {
		c.send(m)
		for _, f := range trigger {
			f()
		}
		c.send(message(20, nil))
		n := 0
		for m := c.read(); m[1] != 21; m = c.read() {
			suffix := ""
			if n > 0 {
				suffix = fmt.Sprintf("-%d", n)
			}
			if !strings.HasPrefix(name, "-") {
				save(name+suffix, m)
			}
			n++
		}
		if n == 0 && !strings.HasPrefix(name, "-") {
			t.Fatalf("no answer to %s", name)
		}
	}
	save("hello", c.hello)
	ask("features-reply", message(5, nil))
	ask("get-config-reply", message(7, nil))
	ask("echo-reply", message(2, []byte("payload")))
	ask("get-async-reply", message(26, nil))
	ask("queue-get-config-reply", message(22, u32(0xffffffff, 0)))
	ask("error-bad-request", message(99, nil))
	ask("error-bad-multipart", multipart(77, nil))
	ask("role-reply", message(24, append(u32(2, 0), 0, 0, 0, 0, 0, 0, 0, 7)))
	ask("role-reply-stale", message(24, append(u32(2, 0), 0, 0, 0, 0, 0, 0, 0, 1)))
	ask("ports", multipart(13, nil))
	ask("port-stats", multipart(4, u32(0xffffffff, 0)))
	ask("queue-stats", multipart(5, u32(0xffffffff, 0xffffffff)))
	ask("groups", multipart(7, nil))
	ask("group-stats", multipart(6, u32(0xfffffffc, 0)))
	ask("group-features", multipart(8, nil))
	ask("meters", multipart(10, u32(0xffffffff, 0)))
	ask("meter-stats", multipart(9, u32(0xffffffff, 0)))
	ask("meter-features", multipart(11, nil))
	ask("desc", multipart(0, nil))

	allFlows := append(append([]byte{0xff, 0, 0, 0}, u32(0xffffffff, 0xffffffff, 0)...), append(make([]byte, 16), 0, 1, 0, 4, 0, 0, 0, 0)...)
	h.OFCtl("add-flows", "br0", filepath.Join(flows, "handwritten.add"))
	ask("flows-handwritten", multipart(1, allFlows))
	ask("aggregate", multipart(2, allFlows))
	ask("tables", multipart(3, nil))

	// A flow monitor, and one change of each kind.
	monitor := append(u32(7, 0x001f0000, 0xffffffff, 0xff000000), 0, 1, 0, 4, 0, 0, 0, 0)
	ask("flow-monitor", experimenterMultipart(onf, 1870, monitor), func() {
		h.OFCtl("add-flow", "br0", "table=9,cookie=5,tcp,tp_dst=80,actions=output:1")
		h.OFCtl("mod-flows", "br0", "table=9,cookie=5,tcp,tp_dst=80,actions=output:2")
		h.OFCtl("--strict", "del-flows", "br0", "table=9,priority=32768,tcp,tp_dst=80")
	})
	ask("-monitor-cancel", experimenter(onf, 1870, u32(7)))

	// Asynchronous messages.
	h.OFCtl("del-flows", "br0")
	h.OFCtl("add-flow", "br0", "cookie=0x7,send_flow_rem,priority=5,udp,actions=output:1")
	c.async(t, save, "flow-removed", func() { h.OFCtl("del-flows", "br0", "udp") })
	c.async(t, save, "port-status-add", func() { h.AddPort("br0", "p3", "type=dummy", "ofport_request=3") })
	c.async(t, save, "port-status-delete", func() { h.VSCtl("del-port", "p3") })
	h.OFCtl("add-flow", "br0", "table=0,cookie=0x11,in_port=1,arp,actions=load:0x12->NXM_NX_REG1[],load:0xabc->OXM_OF_METADATA[],"+
		"load:0x5->NXM_NX_TUN_ID[0..31],load:0x7->NXM_NX_PKT_MARK[],controller(userdata=01.02.03,max_len=40)")
	h.OFCtl("add-flow", "br0", "table=0,cookie=0x12,in_port=1,ip,actions=load:1->NXM_NX_REG0[],ct(table=1,zone=5)")
	h.OFCtl("add-flow", "br0", "table=1,cookie=0x13,ip,actions=controller(userdata=00.00.00.01.00.00.00.02,pause),output:2")
	arp := "ffffffffffff" + "fa163e000001" + "0806" + "0001080006040001" + "fa163e000001" + "0a000001" + "000000000000" + "0a000002"
	udp := "fa163e000002" + "fa163e000001" + "0800" + "4500001c00000000401166cf0a0000010a000002" + "0044004300080000"
	receive := func(frame string) func() { return func() { h.AppCtl("netdev-dummy/receive", "p1", frame) } }
	for i, name := range []string{"packet-in", "packet-in-nxm", "packet-in2"} {
		if i > 0 {
			c.send(experimenter(nicira, 16, u32(uint32(i)))) // NXT_SET_PACKET_IN_FORMAT: 1 = NXM, 2 = NXT_PACKET_IN2
		}
		c.async(t, save, name+"-arp", receive(arp))
		c.async(t, save, name+"-ct-pause", receive(udp))
	}
	ask("bundle-open", experimenter(onf, 2300, append(u32(1), 0, 0, 0, 3)))
	ask("bundle-add-error", experimenter(onf, 2301, append(append(u32(1), 0, 0, 0, 3), message(29, make([]byte, 8))...)))
	ask("bundle-discard", experimenter(onf, 2300, append(u32(1), 0, 6, 0, 3)))
	// A second primary makes the first a secondary one.
	second := dial(t, h.MgmtSocket("br0"))
	c.async(t, save, "role-status", func() {
		second.send(message(24, append(u32(2, 0), 0, 0, 0, 0, 0, 0, 0, 9)))
		second.read()
	})
}

// conn is a connection whose messages are read one at a time.
type conn struct {
	t     ovstest.TB
	c     net.Conn
	hello []byte
}

func dial(t ovstest.TB, addr string) *conn {
	nc, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &conn{t: t, c: nc}
	c.send(message(0, nil))
	c.hello = c.read()
	// A service connection has no asynchronous messages until it asks: all of them, in both roles.
	c.send(message(28, u32(7, 7, 7, 7, 15, 15)))
	return c
}

func (c *conn) send(m []byte) {
	if _, err := c.c.Write(m); err != nil {
		c.t.Fatalf("%v", err)
	}
}

// read returns the next message. Echo requests are answered.
func (c *conn) read() []byte {
	for {
		c.c.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails then
		head := make([]byte, 8)
		if _, err := io.ReadFull(c.c, head); err != nil {
			c.t.Fatalf("no answer: %v", err)
		}
		m := append(head, make([]byte, binary.BigEndian.Uint16(head[2:])-8)...)
		if _, err := io.ReadFull(c.c, m[8:]); err != nil {
			c.t.Fatalf("%v", err)
		}
		if m[1] != 2 {
			return m
		}
		m[1] = 3
		c.send(m)
	}
}

// async saves the first message that comes after trigger.
func (c *conn) async(t ovstest.TB, save func(string, []byte), name string, trigger func()) {
	c.send(message(20, nil))
	for m := c.read(); m[1] != 21; m = c.read() { // what the messages before it made
		t.Logf("%s: before it came type %d", name, m[1])
	}
	trigger()
	save(name, c.read())
}

func u32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

func message(typ byte, body []byte) []byte {
	m := []byte{4, typ, 0, 0, 0, 0, 0, 42}
	m = append(m, body...)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)))
	return m
}

func multipart(typ uint16, body []byte) []byte {
	return message(18, append([]byte{byte(typ >> 8), byte(typ), 0, 0, 0, 0, 0, 0}, body...))
}

func experimenter(id, typ uint32, body []byte) []byte {
	return message(4, append(u32(id, typ), body...))
}

func experimenterMultipart(id, typ uint32, body []byte) []byte {
	return multipart(0xffff, append(u32(id, typ), body...))
}

// dump is hexadecimal, 32 bytes in a line.
func dump(m []byte) string {
	var b strings.Builder
	for len(m) > 0 {
		n := min(32, len(m))
		b.WriteString(hex.EncodeToString(m[:n]) + "\n")
		m = m[n:]
	}
	return b.String()
}
