package openflow

import (
	"net/netip"
	"testing"
)

// typicalFlow has 6 match fields and 5 actions, one of them ct with nat and exec.
func typicalFlow() Flow {
	f := Flow{Table: 10, Priority: 100, Cookie: 0x5001000200000007}
	f.Match.SetUint(InPort, 7)
	f.Match.SetUint(EthType, 0x0800)
	f.Match.SetUint(IPProto, 6)
	f.Match.SetPrefix(IPv4Dst, netip.MustParsePrefix("10.1.0.0/16"))
	f.Match.SetUint(TCPDst, 443)
	f.Match.SetUintMasked(CTState, 0x21, 0x21)
	f.Actions = []Action{
		SetUint(Reg(6), 7),
		Load{All(Reg(7)), 5},
		CT{Commit: true, ZoneField: Bits(Reg(6), 0, 15), NAT: &NAT{Src: true, AddrMin: netip.MustParseAddr("203.0.113.9")},
			Exec: []Action{SetUint(CTMark, 1)}},
		Move{All(EthSrc), All(EthDst)},
		GotoTable{20},
	}
	return f
}

func encode(b []byte, f *Flow) []byte {
	b = f.Match.AppendTo(b)
	b, err := AppendInstructions(b, f.Actions)
	if err != nil {
		panic(err)
	}
	return b
}

// A typical flow encodes into the caller's buffer without a heap allocation.
func TestEncodeAllocations(t *testing.T) {
	f, buf := typicalFlow(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { encode(buf, &f) }); n != 0 {
		t.Errorf("encoding a flow allocates %v times", n)
	}
}

// Decoding allocates about three times an action: its box, its value, its lists.
func TestDecodeAllocations(t *testing.T) {
	f := typicalFlow()
	b := encode(nil, &f)
	n := testing.AllocsPerRun(100, func() {
		_, n, err := DecodeMatch(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeInstructions(b[n:]); err != nil {
			t.Fatal(err)
		}
	})
	if n > 16 {
		t.Errorf("decoding a flow allocates %v times", n)
	}
}

func BenchmarkEncodeFlow(b *testing.B) {
	f, buf := typicalFlow(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		encode(buf, &f)
	}
}

func BenchmarkDecodeFlow(b *testing.B) {
	f := typicalFlow()
	w := encode(nil, &f)
	b.ReportAllocs()
	for b.Loop() {
		_, n, _ := DecodeMatch(w)
		_, _ = DecodeInstructions(w[n:])
	}
}

func BenchmarkParseFlow(b *testing.B) {
	f := typicalFlow()
	s := f.String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFlow(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatchSet(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var m Match
		m.SetUint(InPort, 7)
		m.SetUint(EthType, 0x0800)
		m.SetUint(IPProto, 6)
		m.SetUint(TCPDst, 443)
	}
}
