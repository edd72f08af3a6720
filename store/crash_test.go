package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// A test runs itself again as a child with one of these set.
const (
	crashDir = "PENSTOCK_TEST_CRASH_DIR"
	fullDir  = "PENSTOCK_TEST_FULL_DIR"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
	}
	if dir := os.Getenv(fullDir); dir != "" {
		fullChild(dir)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, variable, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// crashChild writes from four clients until it is killed, and says what was acknowledged.
func crashChild(dir string) {
	s, err := store.Open(context.Background(), store.Config{DataDir: dir, MinFreeBytes: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	run := fmt.Sprintf("%x", time.Now().UnixNano())
	acks := make(chan string)
	for c := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprint(run, "-", c, "-", i)
				var key, num uint32
				_, err := s.Update(context.Background(), store.Meta{}, func(tx *store.Tx) (err error) {
					key = tx.NextKey()
					tx.Put(model.Networks, &model.Network{Meta: model.Meta{ID: id, Key: key}})
					num, err = tx.AllocNumber("n", 1, 1<<20)
					return errors.Join(err, tx.Reserve("name", id, id))
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				acks <- fmt.Sprint(id, " ", key, " ", num)
			}
		}()
	}
	for a := range acks {
		fmt.Println(a)
	}
}

// TestKill kills a writing process at random moments: all that it had acknowledged is there afterwards, and
// no key or number was given twice.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	keys, nums := map[string]bool{}, map[string]bool{}
	for range 4 {
		cmd := child(t, crashDir, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for want := 50 + rand.IntN(300); want > 0 && in.Scan(); want-- {
			f := strings.Fields(in.Text())
			if len(f) != 3 {
				break
			}
			if keys[f[1]] || nums[f[2]] {
				t.Errorf("given twice: key %s or number %s", f[1], f[2])
			}
			acked[f[0]], keys[f[1]], nums[f[2]] = true, true, true
		}
		cmd.Process.Kill()
		for in.Scan() { // acknowledged before it died
			if f := strings.Fields(in.Text()); len(f) == 3 {
				acked[f[0]], keys[f[1]], nums[f[2]] = true, true, true
			}
		}
		cmd.Wait()
	}
	if len(acked) < 200 {
		t.Fatalf("only %d acknowledged", len(acked))
	}
	s := storetest.Open(t, store.Config{DataDir: dir})
	for id := range acked {
		if _, ok := s.View().Network(model.NetworkID(id)); !ok {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
}

// fullChild meets a full disk: no file may grow beyond etcd's first log file. It says what it sees.
func fullChild(dir string) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 64<<20 + 4096, Max: 64<<20 + 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("setrlimit:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s, err := store.Open(ctx, store.Config{DataDir: dir, MinFreeBytes: 1})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	n := 0
	for ; ; n++ {
		if _, err = s.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
			tx.Put(model.Networks, &model.Network{Meta: model.Meta{ID: fmt.Sprint(n), Description: strings.Repeat("x", 2<<20)}})
			return nil
		}); err != nil {
			break
		}
	}
	fmt.Println("refused:", err)
	_, again := s.Update(ctx, store.Meta{}, func(tx *store.Tx) error { tx.Delete(model.Networks, "0"); return nil })
	fmt.Println("again:", again)
	fmt.Println("reads:", s.Snapshot().Len(model.Networks) >= n && s.View().Source().Get(model.Networks, "0") != nil)
	fmt.Println("health:", s.Health().Writable, len(s.Health().Problems) > 0)
	s.Close()
	fmt.Println("acknowledged:", n)
	os.Exit(0)
}

// TestFullDisk: where etcd alone would end the process, writes are refused with one line, reads go on, and
// after a restart all that was acknowledged is there.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, fullDir, dir).Output()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("the process did not survive: %v", err)
	}
	got := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		k, v, _ := strings.Cut(l, ": ")
		got[k] = v
	}
	for _, k := range []string{"refused", "again"} {
		if !strings.HasPrefix(got[k], store.ErrUnavailable.Error()) || !strings.Contains(got[k], "free space") {
			t.Errorf("%s: %s", k, got[k])
		}
	}
	if got["reads"] != "true" || got["health"] != "false true" {
		t.Errorf("reads %s, health %s", got["reads"], got["health"])
	}
	s := storetest.Open(t, store.Config{DataDir: dir})
	acked, err := strconv.Atoi(got["acknowledged"])
	if n := s.Snapshot().Len(model.Networks); err != nil || n < acked || acked == 0 {
		t.Errorf("%d there, %s acknowledged", n, got["acknowledged"])
	}
}
