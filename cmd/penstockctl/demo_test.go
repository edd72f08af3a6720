package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// root is the repository's folder, from this package's.
const root = "../.."

// limit is how long the whole demo may take on a machine that is busy with other tests.
const limit = 5 * time.Minute

// demo starts scripts/demo.sh with binaries built for the test and an Open vSwitch of its own.
func demo(t *testing.T, ctx context.Context, bin string, out io.Writer) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "demo.sh"))
	cmd.Env = append(os.Environ(), "BIN="+bin, "OVS=own")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // its trap cleans up
	cmd.WaitDelay = time.Minute
	return cmd
}

func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	if b, err := exec.Command("go", "build", "-o", bin+"/", root+"/cmd/penstockd", root+"/cmd/penstockctl").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	return bin
}

// TestDemoScript runs the whole demo and looks for what it left behind.
func TestDemoScript(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("the demo makes network namespaces: run the tests as root")
	}
	bin := build(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out bytes.Buffer
	cmd := demo(t, ctx, bin, &out)
	if err := cmd.Run(); err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "steps worked") {
		t.Errorf("the demo does not say that all steps worked:\n%s", out.String())
	}
	nothingLeft(t, cmd.Process.Pid)
}

// TestDemoScriptInterrupted ends the demo while it runs: it still takes away all that it made.
func TestDemoScriptInterrupted(t *testing.T) {
	bin := build(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, w := io.Pipe()
	cmd := demo(t, ctx, bin, w)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait(); w.Close() }()
	var out bytes.Buffer
	seen := io.TeeReader(r, &out)
	for b := make([]byte, 4096); !bytes.Contains(out.Bytes(), []byte("VMs:")); { // machines are being made
		if _, err := seen.Read(b); err != nil {
			t.Fatalf("the demo ended before it was interrupted:\n%s", out.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	var ee *exec.ExitError
	if err := <-done; !errors.As(err, &ee) {
		t.Errorf("the interrupted demo ended with %v, want a failure", err)
	}
	nothingLeft(t, cmd.Process.Pid)
}

// nothingLeft looks for namespaces, directories and processes of a demo.
func nothingLeft(t *testing.T, pid int) {
	t.Helper()
	id := "pkdemo." + strconv.Itoa(pid)
	for _, pattern := range []string{"/run/netns/" + id + "*", filepath.Join(os.TempDir(), id+"*")} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("the demo left %v", left)
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(id)) {
			t.Errorf("the demo left the process %s", bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		}
	}
}
