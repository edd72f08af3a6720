package openflow

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// threadConn is a socket whose readers and writers wait in the kernel, each in its thread, not in Go's poller: a
// message wakes the thread that handles it and none that polls for the whole process. Not all of net.Conn's promises on
// deadlines are kept: one for reading ends all reading when it has passed, one for writing is looked at
// every pollSlice.
type threadConn struct {
	fd            int
	local, remote net.Addr
	using         sync.RWMutex // read: somebody uses fd
	closed        atomic.Bool
	wdeadline     atomic.Int64 // unix nanoseconds, 0: none

	yielded time.Time // by the reader
	mu      sync.Mutex
	timer   *time.Timer // of the read deadline
}

const (
	pollSlice = 200 * time.Millisecond
	// yieldEvery is how often the reader goes through Go's scheduler, less than the 10 ms after which the runtime takes a
	// goroutine that never did for a busy loop, and takes its processor away in every system call from then on.
	yieldEvery = 4 * time.Millisecond
)

// newThreadConn takes a connection over; nc is closed if it succeeds. It returns nil if nc is not a plain socket.
func newThreadConn(nc net.Conn) net.Conn {
	f, ok := nc.(interface{ File() (*os.File, error) })
	if !ok {
		return nil
	}
	file, err := f.File()
	if err != nil {
		return nil
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil
	}
	c := &threadConn{fd: fd, local: nc.LocalAddr(), remote: nc.RemoteAddr()}
	nc.Close() // takes the socket out of Go's poller; the duplicate keeps it open
	return c
}

// use keeps fd open until the returned function is called.
func (c *threadConn) use() error {
	c.using.RLock()
	if c.closed.Load() {
		c.using.RUnlock()
		return net.ErrClosed
	}
	return nil
}

// poll waits for events at most d, or for ever if d is negative.
func (c *threadConn) poll(events int16, d time.Duration) error {
	pfd := struct {
		fd              int32
		events, revents int16
	}{fd: int32(c.fd), events: events}
	var ts *syscall.Timespec
	if d >= 0 {
		t := syscall.NsecToTimespec(d.Nanoseconds())
		ts = &t
	}
	if _, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&pfd)), 1, uintptr(unsafe.Pointer(ts)), 0, 0, 0); e != 0 && e != syscall.EINTR {
		return os.NewSyscallError("ppoll", e)
	}
	return nil
}

const pollIn, pollOut = 1, 4

func (c *threadConn) Read(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	defer c.using.RUnlock()
	if now := time.Now(); now.Sub(c.yielded) > yieldEvery {
		c.yielded = now
		runtime.Gosched()
	}
	for {
		if err := c.poll(pollIn, -1); err != nil {
			return 0, err
		}
		n, err := syscall.Read(c.fd, p)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (c *threadConn) Write(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	defer c.using.RUnlock()
	for done := 0; ; {
		n, err := syscall.Write(c.fd, p[done:])
		done += max(n, 0)
		switch {
		case err == nil && done == len(p):
			return done, nil
		case err == nil || err == syscall.EINTR:
			continue
		case err != syscall.EAGAIN:
			return done, os.NewSyscallError("write", err)
		}
		if t := c.wdeadline.Load(); t != 0 && time.Now().UnixNano() >= t {
			return done, os.ErrDeadlineExceeded
		}
		if err := c.poll(pollOut, pollSlice); err != nil {
			return done, err
		}
	}
}

// tryWrite writes what the socket takes at once.
func (c *threadConn) tryWrite(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, err
	}
	defer c.using.RUnlock()
	n, err := syscall.Write(c.fd, p)
	return max(n, 0), err
}

// Close ends reads and writes that wait, and closes the socket when they are gone.
func (c *threadConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	syscall.Shutdown(c.fd, syscall.SHUT_RDWR) // the peer may have done it
	c.using.Lock()
	defer c.using.Unlock()
	c.SetReadDeadline(time.Time{})
	return syscall.Close(c.fd)
}

func (c *threadConn) LocalAddr() net.Addr  { return c.local }
func (c *threadConn) RemoteAddr() net.Addr { return c.remote }

func (c *threadConn) SetDeadline(t time.Time) error {
	c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

func (c *threadConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.wdeadline.Store(0)
	} else {
		c.wdeadline.Store(t.UnixNano())
	}
	return nil
}

// SetReadDeadline ends reading at t, for good.
func (c *threadConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if t.IsZero() {
		return nil
	}
	stop := func() {
		if c.use() == nil {
			syscall.Shutdown(c.fd, syscall.SHUT_RD) // wakes a read that waits
			c.using.RUnlock()
		}
	}
	if d := time.Until(t); d > 0 {
		c.timer = time.AfterFunc(d, stop)
	} else {
		go stop() // Close may hold the lock
	}
	return nil
}
