package ovstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// commandTimeout bounds every command that is run to its end.
const commandTimeout = 2 * time.Minute

// Process is a program running as a child of the test, in a process group of its own, perhaps in a
// namespace. It dies with the test process. Its methods may be called from any goroutine.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  output // both streams
	std  output // stdout alone
	done chan struct{}
	err  error // of Wait; read after done
}

// output collects stdout and stderr; reads see what has been written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}
func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.buf.String() }

// spec says what start runs and where.
type spec struct {
	ns   string // namespace, "" for the test's own
	dir  string
	env  []string // added to the test's environment
	args []string
}

// start runs s. The kernel sends Pdeathsig when the *thread* that forked ends, so a goroutine that owns its
// thread forks and waits; it has also moved that thread into the namespace, which is why it is never unlocked.
func start(s spec) (*Process, error) {
	path := lookPath(s.args[0])
	if path == "" {
		return nil, fmt.Errorf("%s is not installed: run scripts/install-deps.sh (Debian package %s)", s.args[0], packageOf[s.args[0]])
	}
	p := &Process{name: s.args[0], cmd: exec.Command(path, s.args[1:]...), done: make(chan struct{})}
	p.cmd.Dir = s.dir
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout, p.cmd.Stderr = io.MultiWriter(&p.out, &p.std), &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open holds nobody up
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := enter(s.ns)
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			if errors.Is(p.err, exec.ErrWaitDelay) {
				p.err = nil
			}
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(s.args, " "), err)
	}
	return p, nil
}

// run runs s to its end and returns what it printed, without the last newline: on stdout, and if it failed on stderr
// too. (A warning of ovs-ofctl on stderr is not part of a dump.)
func run(s spec) (string, error) {
	p, err := start(s)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return p.Output(), fmt.Errorf("%s: still running after %v", strings.Join(s.args, " "), commandTimeout)
	}
	if p.err != nil {
		out := strings.TrimSuffix(p.Output(), "\n")
		return out, fmt.Errorf("%s: %w: %s", strings.Join(s.args, " "), p.err, strings.TrimSpace(out))
	}
	return strings.TrimSuffix(p.std.String(), "\n"), nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the program has printed so far, stdout and stderr as they came.
func (p *Process) Output() string { return p.out.String() }

// Lines is Output without empty lines, cut at newlines.
func (p *Process) Lines() []string {
	return strings.FieldsFunc(p.Output(), func(r rune) bool { return r == '\n' })
}

// Running tells whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the program ends, at most d, and returns its error: nil for exit status 0.
func (p *Process) Wait(d time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(d):
		return fmt.Errorf("%s: still running after %v", p.name, d)
	}
}

// WaitOutput waits at most d until the output holds substr, and tells whether it does.
func (p *Process) WaitOutput(substr string, d time.Duration) bool {
	WaitFor(d, func() bool { return strings.Contains(p.Output(), substr) || !p.Running() })
	return strings.Contains(p.Output(), substr)
}

// Signal sends sig to the program, not to its children.
func (p *Process) Signal(sig syscall.Signal) {
	if p.Running() {
		p.cmd.Process.Signal(sig) // it may just have ended
	}
}

// Kill sends SIGKILL to the program and its children and waits for it to be gone.
func (p *Process) Kill() {
	if p.Running() {
		syscall.Kill(-p.PID(), syscall.SIGKILL) // it may just have ended
	}
	<-p.done
}

// Stop sends SIGTERM, waits up to five seconds, then kills; it returns the program's error.
func (p *Process) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
	}
	p.Kill()
	return p.err
}

// Spawn starts a program in the test's own network namespace; it is killed when the test ends.
func Spawn(t TB, dir string, args ...string) *Process {
	t.Helper()
	p, err := start(spec{dir: dir, args: args})
	if err != nil {
		t.Fatalf("ovstest: %v", err)
	}
	t.Cleanup(p.Kill)
	return p
}
