package openflow

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// seedMessages are messages of a real ovs-vswitchd and one of every kind of ours.
func seedMessages(t testing.TB) (out [][]byte) {
	for _, b := range captured(t) {
		out = append(out, b)
	}
	for _, m := range sampleMessages() {
		out = append(out, m.AppendTo(nil))
	}
	return out
}

// FuzzDecodeMessage decodes anything as a message: no panic, and what decodes has a text and an encoding that
// decodes to the same encoding.
func FuzzDecodeMessage(f *testing.F) {
	for _, b := range seedMessages(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 && len(b) <= MaxMessage {
			b = append([]byte(nil), b...)
			put16(b[2:], len(b)) // otherwise almost all inputs fail there
		}
		m, err := Decode(b)
		if err != nil {
			return
		}
		_ = m.String()
		enc := m.AppendTo(nil)
		if len(enc) == 0 || len(enc) > MaxMessage {
			return // it cannot be expressed: instructions in another order, or padding that we add
		}
		m2, err := Decode(enc)
		if err != nil {
			t.Fatalf("%s\n%x\nencodes to what does not decode: %v\n%x", m, b, err, enc)
		}
		if enc2 := m2.AppendTo(nil); !bytes.Equal(enc, enc2) {
			t.Fatalf("%s\n%x\nencodes to\n%x\nand that to\n%x", m, b, enc, enc2)
		}
		if r, ok := m.(*MultipartReply); ok {
			for e, err := range r.Entries() {
				if err == nil {
					e.AppendTo(nil)
				}
			}
		}
	})
}

// FuzzMultipartReassembly feeds a stream of messages to what collects a reply: no panic, no more kept than the limit, and
// the flows of the whole are those of its parts.
func FuzzMultipartReassembly(f *testing.F) {
	flow := must(ParseFlow("table=1,tcp,tp_dst=80,actions=ct(commit,nat(src=10.0.0.1)),output:3"))
	e := (*FlowEntry)(&flow)
	f.Add((&MultipartReply{Type: MultipartFlow, Parts: [][]byte{e.AppendTo(e.AppendTo(nil)), e.AppendTo(nil), nil}}).AppendTo(nil), uint16(1000))
	f.Add(NewMultipartReply(MultipartFlowMonitor, &FlowUpdate{Flow: flow}).AppendTo(nil), uint16(10))
	for _, b := range captured(f) {
		if b[1] == typeMultipartReply {
			f.Add(append(append([]byte(nil), b...), b...), uint16(60000))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16) {
		p := &parts{ready: make(chan struct{}, 1)}
		var whole *MultipartReply
		each := 0
		for len(stream) >= headerLen {
			n := int(binary.BigEndian.Uint16(stream[2:]))
			if n < headerLen || n > len(stream) {
				break
			}
			m, err := Decode(stream[:n])
			stream = stream[n:]
			if err != nil {
				break
			}
			finished := p.add(int(limit), m)
			kept := 0
			for _, r := range p.got {
				for _, b := range r.Parts {
					kept += len(b)
				}
			}
			if kept > int(limit) {
				t.Fatalf("%d octets kept, limit %d", kept, limit)
			}
			if r, ok := m.(*MultipartReply); ok && p.err == nil {
				if whole == nil {
					whole = &MultipartReply{Type: r.Type, Exp: r.Exp, ExpType: r.ExpType}
				}
				if r.Type != whole.Type {
					break
				}
				whole.Parts = append(whole.Parts, r.Parts...)
				for range r.Entries() {
					each++
				}
			}
			if finished {
				break
			}
		}
		if whole == nil {
			return
		}
		for range whole.Entries() {
			each--
		}
		if each != 0 {
			t.Fatalf("the parts have %d entries more than the whole", each)
		}
	})
}

// FuzzParseGroup parses anything as a group: no panic, and text and wire give the same group back.
func FuzzParseGroup(f *testing.F) {
	for _, s := range []string{"group_id=1,type=all", "group_id=2,type=select,bucket=weight:5,watch_port:1,actions=ct(commit,nat(src=10.0.0.1)),output:1,bucket=actions=drop",
		"group_id=4,type=ff,bucket=watch_group:2,actions=group:2", "group_id=all,type=indirect"} {
		f.Add(s)
	}
	for _, lines := range dumpLines(f, "*.groups") {
		for _, l := range lines {
			f.Add(l)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGroup(s)
		if err != nil {
			return
		}
		text := g.String()
		g2, err := ParseGroup(text)
		if err != nil || g2.String() != text {
			t.Fatalf("%q prints as %q, which is %q (%v)", s, text, g2.String(), err)
		}
		b := g.AppendTo(nil)
		if len(b) > MaxMessage {
			return
		}
		var g3 GroupDesc
		r := newReader("group", b)
		if g3.decode(&r); r.err != nil || g3.String() != text {
			t.Fatalf("%q over the wire is %q (%v)", text, g3.String(), r.err)
		}
	})
}

// FuzzParseMeter is FuzzParseGroup for meters.
func FuzzParseMeter(f *testing.F) {
	for _, s := range []string{"meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=50", "meter=controller pktps bands= type=drop rate=10",
		"meter=7,pktps,band=type=dscp_remark,rate=5,prec_level=1,type=drop,rate=10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMeter(s)
		if err != nil {
			return
		}
		text := m.String()
		m2, err := ParseMeter(text)
		if err != nil || !reflect.DeepEqual(m, m2) {
			t.Fatalf("%q prints as %q, which is %q (%v)", s, text, m2.String(), err)
		}
		b := m.AppendTo(nil)
		var m3 MeterConfig
		r := newReader("meter", b)
		if m3.decode(&r); len(b) <= MaxMessage && (r.err != nil || m3.String() != text) {
			t.Fatalf("%q over the wire is %q (%v)", text, m3.String(), r.err)
		}
	})
}
