package ctl

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "-",
		"web1":             "web1",
		"Straße 東京":        "Straße 東京",
		"x\x1b[2Jy":        "x?[2Jy",
		"a\nb\tc":          "a?b?c",
		"\u202egnp.exe":    "?gnp.exe",
		"\xff\u009b31mred": "??31mred",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEncode(t *testing.T) {
	v := map[string]any{"a<b": []any{}, "big": 18446744073709551615.0, "n": 5, "s": "1e3", "t": "yes", "x": nil, "z": map[string]any{"k": "a: b\n#"}}
	for format, want := range map[string]string{
		"json": "{\n  \"a<b\": [],\n  \"big\": 18446744073709552000,\n  \"n\": 5,\n  \"s\": \"1e3\",\n  \"t\": \"yes\",\n  \"x\": null,\n  \"z\": {\n    \"k\": \"a: b\\n#\"\n  }\n}\n",
		"yaml": "a<b: []\nbig: 18446744073709552000\n\"n\": 5\ns: \"1e3\"\nt: \"yes\"\nx: null\nz:\n  k: |-\n    a: b\n    #\n",
	} {
		var b bytes.Buffer
		if err := encode(&b, format, v); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s:\n%s\nwant:\n%s", format, b.String(), want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 26 * time.Hour: "26h0m", 50 * time.Hour: "2d2h",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("ago %v = %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "-" {
		t.Errorf("ago of no time = %q", got)
	}
}

// TestProgress shows that the line appears while something is waited for and is wiped after.
func TestProgress(t *testing.T) {
	var b syncBuffer
	done := progress{&b, 0}.begin("GET /x")
	for end := time.Now().Add(10 * time.Second); !strings.Contains(b.String(), "waiting for penstockd: GET /x"); {
		if time.Now().After(end) {
			t.Fatal("no progress line")
		}
		time.Sleep(time.Millisecond)
	}
	done()
	if s := b.String(); !strings.HasSuffix(s, "\r") || strings.TrimSpace(s[strings.LastIndex(strings.TrimSuffix(s, "\r"), "\r"):]) != "" {
		t.Errorf("the line is not wiped: %q", s)
	}
	if terminal(&b) {
		t.Error("a buffer is a terminal")
	}
}
