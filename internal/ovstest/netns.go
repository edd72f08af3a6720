package ovstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// netnsDir is where iproute2 keeps the names of network namespaces.
const netnsDir = "/run/netns"

// enter moves the calling thread, which must be locked, into a namespace; "" stays where it is.
func enter(ns string) error {
	if ns == "" {
		return nil
	}
	return setns(filepath.Join(netnsDir, ns))
}

func setns(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Package syscall has the number for some architectures only.
	number := map[string]uintptr{"amd64": 308, "arm64": 268, "riscv64": 268, "ppc64le": 350, "s390x": 339}[runtime.GOARCH]
	if number == 0 {
		return fmt.Errorf("setns: not known on %s", runtime.GOARCH)
	}
	if _, _, errno := syscall.RawSyscall(number, f.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		return fmt.Errorf("setns %s: %w", path, errno)
	}
	return nil
}

// inNamespace runs f on a thread that is in ns. Sockets that f opens itself, not through other
// goroutines, belong to ns for ever. The thread is thrown away afterwards.
func inNamespace(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		err := enter(ns)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// addNamespace makes a namespace with lo up and without IPv6 chatter of its own on interfaces made later.
func addNamespace(t TB, ns string, ipv6 bool) {
	t.Helper()
	ip(t, "", "netns", "add", ns)
	t.Cleanup(func() { deleteNamespace(ns) })
	ip(t, ns, "link", "set", "lo", "up")
	if !ipv6 {
		err := inNamespace(ns, func() error {
			return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		})
		if err != nil && !os.IsNotExist(err) { // a kernel without IPv6 needs no telling
			t.Fatalf("ovstest: %v", err)
		}
	}
}

// deleteNamespace ends the processes in a namespace of ours, whoever started them, and removes it.
func deleteNamespace(ns string) {
	pids, _ := run(spec{args: []string{"ip", "netns", "pids", ns}})
	for _, f := range strings.Fields(pids) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		}
	}
	run(spec{args: []string{"ip", "netns", "del", ns}}) // it may be gone
}

// ip runs ip(8) in a namespace.
func ip(t TB, ns string, args ...string) string {
	t.Helper()
	out, err := run(spec{ns: ns, args: append([]string{"ip"}, args...)})
	if err != nil {
		t.Fatalf("ovstest: %v", err)
	}
	return out
}

// addVeth makes a veth between two namespaces, up on both ends, with transmit checksum offload off: the
// userspace datapath would see the missing checksums as bad ones.
func addVeth(t TB, ns1, name1, ns2, name2, mac2 string, mtu int) {
	t.Helper()
	args := []string{"link", "add", name1, "mtu", strconv.Itoa(mtu), "type", "veth", "peer", "name", name2, "mtu", strconv.Itoa(mtu)}
	if mac2 != "" {
		args = append(args, "address", mac2)
	}
	if ns2 != "" {
		args = append(args, "netns", ns2)
	} else {
		args = append(args, "netns", strconv.Itoa(os.Getpid()))
	}
	ip(t, ns1, args...)
	for _, end := range [][2]string{{ns1, name1}, {ns2, name2}} {
		if _, err := run(spec{ns: end[0], args: []string{"ethtool", "-K", end[1], "tx", "off"}}); err != nil {
			t.Fatalf("ovstest: %v", err)
		}
		ip(t, end[0], "link", "set", end[1], "up")
	}
}

// Node is a place in the network: a host, a VM or another machine. Its commands and sockets live in its
// network namespace.
type Node struct {
	t   TB
	ns  string
	dir string
	env []string

	// Name is the name the node was made with.
	Name string
}

// Namespace is the name of the node's network namespace, "" for that of the test process.
func (n *Node) Namespace() string { return n.ns }

// Run runs a command in the node and returns its stdout without the last newline; it fails the test on a
// bad exit status.
func (n *Node) Run(args ...string) string {
	n.t.Helper()
	out, err := n.TryRun(args...)
	if err != nil {
		n.t.Fatalf("ovstest: %s: %v", n.Name, err)
	}
	return out
}

// TryRun is Run that returns the error, which holds the command and its output; the output then includes stderr.
func (n *Node) TryRun(args ...string) (string, error) {
	return run(spec{ns: n.ns, dir: n.dir, env: n.env, args: args})
}

// Start starts a command in the node; it is killed when the test ends.
func (n *Node) Start(args ...string) *Process {
	n.t.Helper()
	return n.StartEnv(nil, args...)
}

// StartEnv is Start with additions to the environment, as NAME=value.
func (n *Node) StartEnv(env []string, args ...string) *Process {
	n.t.Helper()
	p, err := start(spec{ns: n.ns, dir: n.dir, env: append(env[:len(env):len(env)], n.env...), args: args})
	if err != nil {
		n.t.Fatalf("ovstest: %s: %v", n.Name, err)
	}
	n.t.Cleanup(p.Kill)
	return p
}

// Do runs f on a thread in the node's namespace, for sockets that f opens itself.
func (n *Node) Do(f func() error) error { return inNamespace(n.ns, f) }

// Listen opens a listener of the test process in the node's namespace, so that an Open vSwitch there
// reaches an in-process controller over its own loopback. Addresses must be literal.
func (n *Node) Listen(network, address string) (l net.Listener, err error) {
	err = n.Do(func() (e error) { l, e = net.Listen(network, address); return e })
	return l, err
}

// Dial connects from the node's namespace; it is a DialContext for net/http. Addresses must be literal.
func (n *Node) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	// A negative FallbackDelay keeps the dialer from racing in goroutines on other threads.
	d := net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}
	err = n.Do(func() (e error) { c, e = d.DialContext(ctx, network, address); return e })
	return c, err
}
