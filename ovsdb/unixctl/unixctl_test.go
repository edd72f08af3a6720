package unixctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// daemon answers each connection with what answers has for the method, nothing for one that it does not have.
func daemon(t *testing.T, path string, answers map[string]string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, err := bufio.NewReader(c).ReadString('\n')
				if err != nil {
					return
				}
				for method, answer := range answers {
					if strings.Contains(line, `"`+method+`"`) {
						fmt.Fprint(c, answer)
						return
					}
				}
				<-t.Context().Done()
			}()
		}
	}()
}

func TestCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ctl")
	daemon(t, path, map[string]string{
		"good":  `{"id":0,"result":"one\ntwo","error":null}`,
		"bad":   `{"id":0,"result":null,"error":"no such\ncommand"}`,
		"junk":  `hello`,
		"long":  `{"id":0,"result":"` + strings.Repeat("x", 200),
		"empty": `{"id":0,"result":null,"error":null}`,
		"odd":   `{"id":0,"result":5,"error":[1]}`,
	})
	for method, want := range map[string]string{"good": "one\ntwo", "empty": "", "odd": ""} {
		if got, err := Call(t.Context(), path, 100, method, "a"); err != nil || got != want {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
	for method, want := range map[string]string{"bad": "no such command", "junk": "read the answer", "long": "longer than 100 bytes"} {
		if got, err := Call(t.Context(), path, 100, method); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %s", method, got, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Call(ctx, path, 100, "silent"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
}

func TestVswitchd(t *testing.T) {
	dir := t.TempDir()
	target := "unix:" + filepath.Join(dir, "db.sock")
	if _, err := Vswitchd(t.Context(), "tcp:192.0.2.1:6640"); !errors.Is(err, ErrElsewhere) {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := Vswitchd(t.Context(), target); err == nil {
		t.Error("found one in an empty directory")
	}
	daemon(t, filepath.Join(dir, "ovsdb.ctl"), map[string]string{"dpctl/dump-dps": `{"id":0,"result":null,"error":"not a valid command"}`})
	daemon(t, filepath.Join(dir, "other.ctl"), map[string]string{"dpctl/dump-dps": `{"id":0,"result":"netdev@ovs-netdev\n","error":null}`})
	if got, err := Vswitchd(t.Context(), target); err != nil || filepath.Base(got) != "other.ctl" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ovs-vswitchd.pid"), []byte("77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, filepath.Join(dir, "ovs-vswitchd.77.ctl"), map[string]string{"dpctl/dump-dps": `{"id":0,"result":"","error":null}`})
	if got, err := Vswitchd(t.Context(), target); err != nil || filepath.Base(got) != "ovs-vswitchd.77.ctl" {
		t.Errorf("%q, %v", got, err)
	}
}
