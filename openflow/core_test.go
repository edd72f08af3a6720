package openflow

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// flowModBytes wraps a flow in an OFPT_FLOW_MOD of OpenFlow 1.3 that adds it, for ovs-ofctl to read.
func flowModBytes(t testing.TB, f *Flow) []byte {
	b := append(make([]byte, 0, 512), 4, 14, 0, 0, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint64(b, f.Cookie)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, f.Table, 0)
	b = binary.BigEndian.AppendUint16(b, f.IdleTimeout)
	b = binary.BigEndian.AppendUint16(b, f.HardTimeout)
	b = binary.BigEndian.AppendUint16(b, f.Priority)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = binary.BigEndian.AppendUint16(b, uint16(f.Flags))
	b = f.Match.AppendTo(append(b, 0, 0))
	b, err := AppendInstructions(b, f.Actions)
	if err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

var modText = regexp.MustCompile(`ADD (?:table:\d+ )?(.*?) ?(?:cookie:\S+ )?(?:idle:\S+ )?(?:hard:\S+ )?(?:send_flow_rem )?actions=(.*)$`)

// ovs-ofctl reads every generated flow, and prints it as this package does.
func TestGeneratedFlowsAgainstOfctl(t *testing.T) {
	flows := genFlows(1, 2500)
	var all []byte
	for i := range flows {
		if err := flows[i].Check(); err != nil {
			t.Errorf("Check %s: %v", &flows[i], err)
		}
		all = append(all, flowModBytes(t, &flows[i])...)
	}
	name := filepath.Join(t.TempDir(), "mods")
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ovs-ofctl", "ofp-parse", name).Output()
	if err != nil {
		t.Fatalf("ovs-ofctl ofp-parse: %v (is openvswitch-switch installed?)\n%.500s", err, out)
	}
	i, bad := 0, 0
	for _, line := range strings.Split(string(out), "\n") {
		if !strings.HasPrefix(line, "OFPT_FLOW_MOD") {
			continue
		}
		plain := flows[i]
		plain.Table, plain.Cookie, plain.IdleTimeout, plain.HardTimeout, plain.Flags = 0, 0, 0, 0, 0
		got := plain.String()
		i++
		m := modText.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("flow %d: ovs-ofctl: %s\n  %s", i-1, line, got)
			bad++
		} else if want := strings.TrimSpace(m[1] + " actions=" + m[2]); got != want {
			t.Errorf("flow %d\n ofctl %s\n  ours %s", i-1, want, got)
			bad++
		}
		if bad > 30 {
			t.Fatal("…")
		}
	}
	if i != len(flows) {
		t.Errorf("ovs-ofctl printed %d of %d flows", i, len(flows))
	}
}

// text -> flow -> bytes -> flow -> text.
func TestRoundTrip(t *testing.T) {
	for _, f := range genFlows(2, 3000) {
		text := f.String()
		p, err := ParseFlow(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		a, b := flowModBytes(t, &f), flowModBytes(t, &p)
		if _, k, _ := f.Match.Get(TunGBPFlags); k != nil {
			p.Match = f.Match // ovs-ofctl prints no mask for it
			b = flowModBytes(t, &p)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s\n  %x\n  %x", text, a, b)
		}
		m, n, err := DecodeMatch(b[48:])
		if err != nil || m != f.Match {
			t.Errorf("%s: match %v: %s", text, err, &m)
			continue
		}
		acts, err := DecodeInstructions(b[48+n:])
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		g := p
		g.Match, g.Actions = m, acts
		if g.String() != text {
			t.Errorf("want %s\n got %s", text, &g)
		}
	}
}
