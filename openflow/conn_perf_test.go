package openflow

import (
	"fmt"
	"testing"
)

// TestMessageAllocations pins what a flow-mod costs to encode and a packet-in to decode.
func TestMessageAllocations(t *testing.T) {
	m := &FlowMod{Flow: typicalFlow()}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = m.AppendTo(buf[:0]) }); n != 0 {
		t.Errorf("FlowMod.AppendTo: %v allocations", n)
	}
	var msg Message = m
	if n := testing.AllocsPerRun(100, func() { buf, _ = Encode(buf[:0], msg, 5) }); n != 0 {
		t.Errorf("Encode: %v allocations", n)
	}
	b := samplePacketIn()
	if n := testing.AllocsPerRun(100, func() {
		p := must(Decode(b)).(*PacketIn2)
		if p.FieldUint(Reg(3)) != 7 || p.FieldUint(InPort) != 2 {
			t.Fatal("wrong metadata")
		}
	}); n > 2 {
		t.Errorf("packet-in: %v allocations", n)
	}
}

func samplePacketIn() []byte {
	m := must(ParseMatch("in_port=2,reg3=0x7,reg14=0x9,tun_id=0x99,metadata=0x5,ct_state=+trk"))
	p := &PacketIn2{Packet: make([]byte, 342), BufferID: NoBuffer, Table: 7, Cookie: 8, Reason: ReasonAction, Metadata: m.AppendOXM(nil), UserData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	return p.AppendTo(nil)
}

func BenchmarkEncodeFlowMod(b *testing.B) {
	m := &FlowMod{Flow: typicalFlow()}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = Encode(buf[:0], m, 5)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodePacketIn2(b *testing.B) {
	msg := samplePacketIn()
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		p := must(Decode(msg)).(*PacketIn2)
		if p.FieldUint(Reg(3)) != 7 {
			b.Fatal("wrong metadata")
		}
	}
}

// BenchmarkDecodeFlowStats50k walks over a reply of 50,000 flows.
func BenchmarkDecodeFlowStats50k(b *testing.B) {
	const n = 50000
	var entries []Entry
	f := typicalFlow()
	f.Stats = &FlowStats{}
	for range n {
		entries = append(entries, (*FlowEntry)(&f))
	}
	wire := must(Encode(nil, NewMultipartReply(MultipartFlow, entries...), 1))
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		flows := 0
		for rest := wire; len(rest) > 0; {
			h := must(ParseHeader(rest))
			for _, err := range must(Decode(rest[:h.Length])).(*MultipartReply).Flows() {
				if err != nil {
					b.Fatal(err)
				}
				flows++
			}
			rest = rest[h.Length:]
		}
		if flows != n {
			b.Fatalf("%d flows", flows)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "flows/s")
}

// BenchmarkBundleOVS adds 50,000 flows to a real ovs-vswitchd in bundles of 10,000, and reads them back.
func BenchmarkBundleOVS(b *testing.B) {
	const n, size = 50000, 10000
	h := dummySwitch(b)
	c, _ := dialOVS(b, h, Options{})
	ctx := testCtx(b)
	var ms []Message
	for i := range n {
		ms = append(ms, &FlowMod{Flow: must(ParseFlow(fmt.Sprintf("table=1,priority=9,tcp,reg14=%d,nw_dst=10.0.0.4,tp_dst=80,actions=load:0x1->NXM_NX_REG1[],resubmit(,7)", i)))})
	}
	b.ResetTimer()
	for range b.N {
		for i := 0; i < n; i += size {
			if err := c.Bundle(ctx, BundleAtomic|BundleOrdered, ms[i:i+size]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "flowmods/s")
	b.StopTimer()
	got := 0
	for _, err := range c.Flows(ctx, &FlowRequest{Table: AllTables}) {
		if err != nil {
			b.Fatal(err)
		}
		got++
	}
	if got != n {
		b.Fatalf("%d flows in the switch", got)
	}
}

// BenchmarkConnPacketIns delivers packet-ins over TCP to a handler that reads a register.
func BenchmarkConnPacketIns(b *testing.B) {
	done := make(chan struct{})
	n, sum := 0, uint64(0)
	_, sw := connected(b, Options{Handler: func(_ *Conn, _ uint32, m Message) {
		sum += m.(*PacketIn2).FieldUint(Reg(3))
		if n++; n == b.N {
			close(done)
		}
	}})
	msg := samplePacketIn()
	var chunk []byte
	for range 100 {
		chunk = append(chunk, msg...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= 100 {
		sw.Write(chunk[:min(left, 100)*len(msg)])
	}
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packet-ins/s")
	if sum != uint64(7*b.N) {
		b.Fatal("wrong registers")
	}
}
