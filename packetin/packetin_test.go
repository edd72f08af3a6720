package packetin

import (
	"bytes"
	"testing"
)

// TestResult checks that frames of one result do not overwrite each other, and that memory is used again.
func TestResult(t *testing.T) {
	var r Result
	var want [][]byte
	for round := range 3 {
		r.Reset()
		want = want[:0]
		for i := range byte(20) {
			f := bytes.Repeat([]byte{i + byte(round)}, 700)
			want = append(want, f)
			r.Send(uint32(i), append(r.Buffer(len(f)), f...))
		}
		r.Send(99, []byte("not from the buffer"))
		r.Send(100, nil)
		for i, w := range want {
			if !bytes.Equal(r.Out[i].Data, w) || r.Out[i].Port != uint32(i) {
				t.Fatalf("round %d: frame %d is overwritten", round, i)
			}
		}
	}
	f := make([]byte, 300)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset()
		r.Send(1, append(r.Buffer(300), f...))
		r.Send(1, append(r.Buffer(300), f...))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTruncated checks the comparison with the full length.
func TestTruncated(t *testing.T) {
	if p := (&Packet{Data: make([]byte, 60), FullLen: 60}); p.Truncated() {
		t.Error("whole frame")
	}
	if p := (&Packet{Data: make([]byte, 60), FullLen: 61}); !p.Truncated() {
		t.Error("cut frame")
	}
}
