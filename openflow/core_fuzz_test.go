package openflow

import (
	"bytes"
	"testing"
)

// fuzzFlows are the seeds of the targets below.
func fuzzFlows() []Flow { return genFlows(3, 400) }

func FuzzDecodeMatch(f *testing.F) {
	for _, fl := range fuzzFlows() {
		f.Add(fl.Match.AppendTo(nil))
	}
	f.Add([]byte{0, 1, 0, 4, 0, 0, 0, 0})
	f.Add([]byte{0, 1, 0, 12, 0xff, 0xff, 0x56, 4, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := DecodeMatch(b)
		if err != nil {
			return
		}
		again, n, err := DecodeMatch(m.AppendTo(nil))
		if err != nil || again != m || n != len(m.AppendTo(nil)) {
			t.Fatalf("%x: %v\n%s\n%s", b, err, &m, &again)
		}
		_ = m.Check()
		_ = m.String()
	})
}

func FuzzDecodeActions(f *testing.F) {
	for _, fl := range fuzzFlows() {
		f.Add(AppendActions(nil, fl.Actions))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		acts, err := DecodeActions(b)
		if err != nil {
			return
		}
		w := AppendActions(nil, acts)
		again, err := DecodeActions(w)
		if err != nil || !bytes.Equal(AppendActions(nil, again), w) {
			t.Fatalf("%x\n%x: %v", b, w, err)
		}
		_ = FormatActions(acts)
		var m Match
		_ = checkAll(&m, acts)
	})
}

func FuzzDecodeInstructions(f *testing.F) {
	for _, fl := range fuzzFlows() {
		b, _ := AppendInstructions(nil, fl.Actions)
		f.Add(b)
	}
	// What the fuzzer found: write_metadata with bits outside its mask, a load of tun_metadata, a learn without a port.
	f.Add([]byte("\x00\x02\x00\x180000000000000000000A"))
	f.Add([]byte("\x00\x04\x00\x200000\xff\xff\x00\x18\x00\x00\x23\x20\x00\x0700\x00\x01X00000000"))
	f.Add([]byte("\x00\x04\x00\x380000\xff\xff\x00\x30\x00\x00\x23\x20\x00\x1000000000000000\x00\x000000000 000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		acts, err := DecodeInstructions(b)
		if err != nil {
			return
		}
		w, err := AppendInstructions(nil, acts)
		if err != nil {
			return // grew past 64 kB by padding
		}
		again, err := DecodeInstructions(w)
		if err != nil || FormatActions(again) != FormatActions(acts) {
			t.Fatalf("%x\n%x: %v", b, w, err)
		}
	})
}

func FuzzParseFlow(f *testing.F) {
	for _, fl := range fuzzFlows() {
		f.Add(fl.String())
	}
	f.Add("cookie=0x0, duration=1.5s, table=0, n_packets=1, n_bytes=2, idle_age=3, priority=5,tcp6,in_port=LOCAL actions=NORMAL")
	f.Fuzz(func(t *testing.T, s string) {
		fl, err := ParseFlow(s)
		if err != nil {
			return
		}
		text := fl.String()
		again, err := ParseFlow(text)
		if err != nil || again.String() != text {
			t.Fatalf("%q\n%q\n%q: %v", s, text, again.String(), err)
		}
		if fl.Check() == nil {
			flowModBytes(t, &fl)
		}
	})
}

func FuzzParseActions(f *testing.F) {
	for _, fl := range fuzzFlows() {
		f.Add(FormatActions(fl.Actions))
	}
	f.Fuzz(func(t *testing.T, s string) {
		acts, err := ParseActions(s)
		if err != nil {
			return
		}
		text := FormatActions(acts)
		again, err := ParseActions(text)
		if err != nil || FormatActions(again) != text {
			t.Fatalf("%q\n%q\n%q: %v", s, text, FormatActions(again), err)
		}
	})
}
