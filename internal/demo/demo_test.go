package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestDemo runs what make demo runs.
func TestDemo(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var out bytes.Buffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the demo said:\n%s", &out)
		}
	})
	run(t, &out, bin)
	if !t.Failed() && !strings.Contains(out.String(), "== Done") {
		t.Error("the demo did not come to its end")
	}
}
