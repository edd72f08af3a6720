// Package ovstest runs real Open vSwitch hosts and VMs for tests and benches: each host is an
// ovsdb-server and an ovs-vswitchd with a directory, sockets and (by default) a network namespace of
// its own, each VM a network namespace behind a veth that is plugged as libvirt plugs it. Everything is
// stopped by its own process id and removed when the test ends, or at the next Start when the test
// process was killed. It is not for the product: nothing outside tests, benches and the demo imports it.
package ovstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TB is what the harness needs of a test. *testing.T and *testing.B have it; programs use a Program.
type TB interface {
	Helper()
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Program is a TB for a main function: Fatalf prints, cleans up and exits with status 1.
// Call Close when done; it returns whether anything failed.
type Program struct {
	name string

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// NewProgram returns a TB for the program name, which begins every line it prints on stderr.
func NewProgram(name string) *Program { return &Program{name: name} }

// Helper does nothing.
func (p *Program) Helper() {}

// Failed tells whether Errorf or Fatalf was called.
func (p *Program) Failed() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.failed }

// Logf prints one line on stderr.
func (p *Program) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, p.name+": "+strings.TrimSuffix(format, "\n")+"\n", args...)
}

// Errorf prints one line on stderr and marks the program as failed.
func (p *Program) Errorf(format string, args ...any) {
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.Logf(format, args...)
}

// Fatalf is Errorf, Close and exit with status 1.
func (p *Program) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	p.Close()
	os.Exit(1)
}

// Cleanup registers f to run in Close, last registered first.
func (p *Program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

// Close runs the cleanups and returns whether anything failed. A second call does nothing.
func (p *Program) Close() bool {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			defer p.mu.Unlock()
			return p.failed
		}
		f := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		f()
	}
}

// packageOf names the Debian package that holds each program that the harness starts.
var packageOf = map[string]string{
	"ovsdb-server": "openvswitch-switch", "ovs-vswitchd": "openvswitch-switch", "ovsdb-tool": "openvswitch-common",
	"ovs-vsctl": "openvswitch-switch", "ovs-ofctl": "openvswitch-common", "ovs-appctl": "openvswitch-common",
	"ip": "iproute2", "ethtool": "ethtool", "ping": "iputils-ping", "arping": "iputils-arping", "tcpdump": "tcpdump",
	"busybox": "busybox", "udhcpc": "udhcpc", "dhclient": "isc-dhcp-client", "openstack": "python3-openstackclient",
	"iperf3": "iperf3", "dnsmasq": "dnsmasq-base", "ovn-northd": "ovn-central", "ovn-controller": "ovn-host",
}

// Need fails the test unless every program is installed, with a line that says what to install. The
// system's sbin folders are searched too, whatever PATH says.
func Need(t TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if lookPath(p) == "" {
			t.Fatalf("ovstest: %s is not installed: run scripts/install-deps.sh (Debian package %s)", p, packageOf[p])
		}
	}
}

func lookPath(program string) string {
	if p, err := exec.LookPath(program); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, program); exec.Command(p).Err == nil {
			if _, err := os.Stat(p); err == nil {
				return p
			}
		}
	}
	return ""
}

// Wait polls cond every few milliseconds until it returns true, and fails the test with what was waited
// for when d has passed.
func Wait(t TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	if !WaitFor(d, cond) {
		t.Fatalf("ovstest: waited %v for %s", d, what)
	}
}

// WaitFor polls cond every few milliseconds until it returns true, and returns false when d has passed.
func WaitFor(d time.Duration, cond func() bool) bool {
	end := time.Now().Add(d)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
	}
}

// prefix begins the name of every namespace and directory that the harness makes; the process id of the
// test follows, so that what a killed test left can be told from what a running one uses.
const prefix = "pkt."

// workspace makes the directory of one host or underlay; its base name is the prefix of their namespaces.
func workspace(t TB) (dir, id string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("ovstest: needs root for network namespaces: run the tests as root")
	}
	Need(t, "ip", "ethtool")
	sweep()
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+".")
	if err != nil {
		t.Fatalf("ovstest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir, filepath.Base(dir)
}

// sweep removes what test processes that are gone have left behind.
func sweep() {
	gone := func(name string) bool {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return false
		}
		pid, _, _ := strings.Cut(rest, ".")
		if _, err := strconv.Atoi(pid); err != nil {
			return false
		}
		_, err := os.Stat("/proc/" + pid)
		return errors.Is(err, os.ErrNotExist)
	}
	for dir, remove := range map[string]func(string){
		netnsDir:     deleteNamespace,
		os.TempDir(): func(name string) { os.RemoveAll(filepath.Join(os.TempDir(), name)) },
	} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if gone(e.Name()) {
				remove(e.Name())
			}
		}
	}
}
