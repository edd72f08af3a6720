package controller

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock/penstock/openflow"
)

// TestListenLocal makes the local socket where it may be made, over a stale one, and takes away its own only.
func TestListenLocal(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "db.sock")
	for _, target := range []string{"tcp:127.0.0.1:6640", "unix:" + db} {
		if l, err := listenLocal(target, openflow.ListenOptions{}); l != nil || err != nil {
			t.Fatalf("%s without a run directory: %v, %v", target, l, err)
		}
	}
	for _, f := range []string{"db.sock", "ovs-vswitchd.pid", localName} { // the last one is stale
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := listenLocal("unix:"+db, openflow.ListenOptions{})
	if err != nil || first == nil {
		t.Fatalf("%v, %v", first, err)
	}
	if st, err := os.Stat(first.path); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", st, err)
	}
	second, err := listenLocal("unix:"+db, openflow.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first.close()
	c, err := net.Dial("unix", second.path)
	if err != nil {
		t.Fatalf("the first took the second's socket away: %v", err)
	}
	c.Close()
	second.close()
	if _, err := os.Stat(second.path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := os.Mkdir(second.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second.path, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listenLocal("unix:"+db, openflow.ListenOptions{}); err == nil {
		t.Errorf("%v where the name is taken", l)
	}
}
