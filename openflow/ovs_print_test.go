package openflow

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// captured returns the messages of a real ovs-vswitchd under testdata/messages, by name.
func captured(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../testdata/messages/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("no messages in testdata/messages: %v", err)
	}
	msgs := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		msgs[strings.TrimSuffix(filepath.Base(f), ".hex")] = b
	}
	return msgs
}

// versionXID is what Open vSwitch adds to a message's name.
var versionXID = regexp.MustCompile(` \(OF1\.3\)( \(xid=0x[0-9a-f]+\))?`)

var continuation = regexp.MustCompile(`\n continuation\.[^\n]*`)

// ofpPrint is how Open vSwitch prints messages, one text each.
func ofpPrint(t testing.TB, msgs ...[]byte) []string {
	t.Helper()
	ovstest.Need(t.(ovstest.TB), "ovs-ofctl")
	texts := make([]string, len(msgs))
	for i, m := range msgs {
		out, err := exec.Command("ovs-ofctl", "ofp-print", hex.EncodeToString(m), "0").CombinedOutput()
		if err != nil {
			t.Fatalf("ovs-ofctl ofp-print: %v: %s", err, out)
		}
		// A continuation is opaque to everybody but the switch that made it.
		out = continuation.ReplaceAll(out, nil)
		texts[i] = strings.TrimRight(versionXID.ReplaceAllString(string(out), ""), "\n ")
	}
	return texts
}

// carries are the messages with flows, groups, meters, matches or packet-ins: their text is that of Open vSwitch.
// The others are decoded by it without complaint, which is looked at for all.
func carries(m Message) bool {
	switch m := m.(type) {
	case *FlowMod, *FlowRemoved, *GroupMod, *MeterMod, *PacketIn, *PacketIn2, *PacketOut, *Resume, *FlowRequest, *FlowMonitorRequest:
		return true
	case *MultipartReply:
		switch m.Type {
		case MultipartFlow, MultipartGroup, MultipartGroupDesc, MultipartMeter, MultipartMeterConfig, MultipartFlowMonitor:
			return true
		}
	case *BundleAdd:
		return carries(m.Message)
	}
	return false
}

// TestCapturedMessages decodes what a real ovs-vswitchd sent, encodes it to the same bytes, and prints what has flows,
// groups, meters, matches or packets as Open vSwitch does.
func TestCapturedMessages(t *testing.T) {
	for name, b := range captured(t) {
		m, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// The old format of packet-ins, which nobody asks for, and queues, which OVSDB configures, are kept raw.
		if _, raw := m.(*RawMessage); raw && name != "queue-get-config-reply" && !strings.HasPrefix(name, "packet-in-nxm") {
			t.Errorf("%s is not known", name)
		}
		got := m.AppendTo(nil)
		SetXID(got, 0x2a)
		want := append([]byte(nil), b...)
		SetXID(want, 0x2a)
		if string(got) != string(want) {
			t.Errorf("%s encodes otherwise:\n got  %x\n want %x", name, got, want)
		}
		comparePrint(t, name, m, b)
	}
}

// withoutStatistics makes dump-flows lines of a flow-stats reply's text into those without statistics.
func withoutStatistics(text string) string {
	if !strings.HasPrefix(text, "OFPST_FLOW reply") {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		l = statistics.ReplaceAllString(l, "")
		l = strings.Replace(l, " cookie=0x0, ", " ", 1)
		lines[i] = strings.Replace(l, " table=0, ", " ", 1)
	}
	return strings.Join(lines, "\n")
}

func comparePrint(t *testing.T, name string, m Message, b []byte) {
	t.Helper()
	text := ofpPrint(t, b)[0]
	if _, quotes := m.(*Error); !quotes && strings.Contains(text, "decode error") {
		t.Errorf("%s: Open vSwitch complains: %s", name, text)
	}
	if s, ok := m.(interface{ String() string }); carries(m) {
		if !ok {
			t.Errorf("%s: %T has no text", name, m)
		} else if text = withoutStatistics(text); s.String() != text {
			t.Errorf("%s:\n ours      %s\n ofp-print %s", name, s.String(), text)
		}
	}
}
