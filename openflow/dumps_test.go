package openflow

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dumpLines returns the lines of every file of a kind in testdata/flows, by file, without the reply's heading.
func dumpLines(t testing.TB, pattern string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../testdata/flows", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in testdata/flows: %v", pattern, err)
	}
	lines := map[string][]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(string(text), "\n") {
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "OFPST_") && !strings.HasPrefix(l, "#") {
				lines[f] = append(lines[f], l)
			}
		}
	}
	return lines
}

// statistics is what a dump with statistics has and one without has not.
var statistics = regexp.MustCompile(`duration=[^ ]*, |n_packets=[0-9]+, |n_bytes=[0-9]+, |idle_age=[0-9]+, |hard_age=[0-9]+, `)

// TestDumpsRoundTrip takes every flow of every dump from text to flow, to bytes, to flow, to text.
func TestDumpsRoundTrip(t *testing.T) {
	n := 0
	for file, lines := range dumpLines(t, "*.flows") {
		for _, line := range lines {
			f, err := ParseFlow(line)
			if err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
				continue
			}
			want := line
			if strings.Contains(line, "n_packets=") {
				if f.Stats == nil {
					t.Errorf("%s: %s: no statistics", file, line)
				}
				want = statistics.ReplaceAllString(line, "")
				want = strings.Replace(strings.Replace(want, "cookie=0x0, ", "", 1), "table=0, ", "", 1)
				f.Stats = nil
			}
			if got := f.String(); got != want {
				t.Errorf("%s:\n got %s\nwant %s", file, got, want)
			}
			got, err := overTheWire(&f)
			if err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
				continue
			}
			if got.String() != want {
				t.Errorf("%s over the wire:\n got %s\nwant %s", file, got.String(), want)
			}
			if err := f.Check(); err != nil {
				t.Errorf("%s: %s: %v", file, line, err)
			}
			n++
		}
	}
	t.Logf("%d flows", n)
}

// overTheWire encodes match and instructions of a flow and decodes them into a copy.
func overTheWire(f *Flow) (*Flow, error) {
	g := *f
	m, _, err := DecodeMatch(f.Match.AppendTo(nil))
	if err != nil {
		return nil, err
	}
	b, err := AppendInstructions(nil, f.Actions)
	if err != nil {
		return nil, err
	}
	g.Match = m
	g.Actions, err = DecodeInstructions(b)
	return &g, err
}

// TestGroupAndMeterDumpsRoundTrip does the same for groups and meters.
func TestGroupAndMeterDumpsRoundTrip(t *testing.T) {
	check := func(file, want string, got Entry, err error, wire MultipartType) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %s: %v", file, want, err)
			return
		}
		reply := NewMultipartReply(wire, got)
		if text := strings.TrimSpace(strings.TrimPrefix(reply.String(), reply.Name()+":")); text != want {
			t.Errorf("%s:\n got %s\nwant %s", file, text, want)
		}
		again, err := Decode(reply.AppendTo(nil))
		if err != nil {
			t.Errorf("%s: %s: %v", file, want, err)
		} else if again.String() != reply.String() {
			t.Errorf("%s over the wire:\n got %s\nwant %s", file, again, reply)
		}
	}
	for file, lines := range dumpLines(t, "*.groups") {
		for _, line := range lines {
			g, err := ParseGroup(line)
			check(file, line, &g, err, MultipartGroupDesc)
		}
	}
	for file, lines := range dumpLines(t, "*.meters") { // a meter has a line, and one for each band
		for i := 0; i < len(lines); {
			text := lines[i]
			for i++; i < len(lines) && strings.HasPrefix(lines[i], "type="); i++ {
				text += "\n" + lines[i]
			}
			m, err := ParseMeter(text)
			check(file, text, &m, err, MultipartMeterConfig)
		}
	}
}
