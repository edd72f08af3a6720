package openflow

import (
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// ListenOptions are the options of a Listener and of the connections that it accepts.
type ListenOptions struct {
	Options
	// MaxPending is how many connections may be in the handshake or wait for Accept; 256 if 0. One more closes the oldest
	// of them, so that silent peers cannot keep switches out.
	MaxPending int
	// Failed, if not nil, is told of connections that did not get through the handshake, from any goroutine.
	Failed func(peer net.Addr, err error)
}

// Listener accepts connections of switches. It has a goroutine that accepts and one for each handshake.
type Listener struct {
	ln     net.Listener
	opt    ListenOptions
	secure bool
	ready  chan *Conn
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	pending *list.List // of context.CancelCauseFunc, oldest first
}

// Listen listens at tcp:HOST:PORT, ssl:HOST:PORT (with opt.TLS), unix:PATH or their passive forms of Open vSwitch
// (ptcp:PORT:HOST, punix:PATH). An empty HOST is all addresses, PORT 0 a free one, see Addr.
func Listen(target string, opt ListenOptions) (*Listener, error) {
	network, addr, secure, err := parseTarget(target, opt.TLS)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, fmt.Errorf("openflow: listen at %s: %w", target, err)
	}
	return newListener(ln, opt, secure), nil
}

// NewListener accepts connections of ln, which it closes in the end. With opt.TLS they are TLS.
func NewListener(ln net.Listener, opt ListenOptions) *Listener {
	return newListener(ln, opt, opt.TLS != nil)
}

func newListener(ln net.Listener, opt ListenOptions, secure bool) *Listener {
	opt.Options = opt.withDefaults()
	if opt.MaxPending <= 0 {
		opt.MaxPending = 256
	}
	l := &Listener{ln: ln, opt: opt, secure: secure, ready: make(chan *Conn), pending: list.New()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.wg.Add(1)
	go l.accept()
	return l
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Accept returns the next connection whose handshake is done. Its handler may have been called already.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close stops listening and ends handshakes; connections that Accept returned live on. It waits for its goroutines.
func (l *Listener) Close() error {
	l.cancel()
	err := l.ln.Close()
	l.wg.Wait()
	return err
}

func (l *Listener) accept() {
	defer l.wg.Done()
	wait := time.Duration(0)
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if l.ctx.Err() != nil {
				return
			}
			l.failed(l.ln.Addr(), err) // out of descriptors, for example: it passes
			wait = min(max(2*wait, 10*time.Millisecond), time.Second)
			select {
			case <-time.After(wait):
				continue
			case <-l.ctx.Done():
				return
			}
		}
		wait = 0
		l.wg.Add(1)
		ctx, cancel := context.WithCancelCause(l.ctx)
		e := l.enter(cancel)
		go l.handshake(ctx, cancel, e, nc)
	}
}

// errCrowded is why the oldest pending connection goes.
var errCrowded = fmt.Errorf("openflow: too many connections without a handshake; this was the oldest")

// enter makes room for one more pending connection.
func (l *Listener) enter(cancel context.CancelCauseFunc) *list.Element {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending.Len() >= l.opt.MaxPending {
		l.pending.Remove(l.pending.Front()).(context.CancelCauseFunc)(errCrowded)
	}
	return l.pending.PushBack(cancel)
}

func (l *Listener) handshake(ctx context.Context, cancel context.CancelCauseFunc, e *list.Element, nc net.Conn) {
	defer l.wg.Done()
	defer cancel(nil)
	defer func() {
		l.mu.Lock()
		l.pending.Remove(e) // does nothing when it is out already
		l.mu.Unlock()
	}()
	peer := nc.RemoteAddr()
	if l.secure {
		nc = tls.Server(nc, l.opt.TLS)
	}
	c, err := NewConn(ctx, nc, l.opt.Options)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		l.failed(peer, err)
		return
	}
	select {
	case l.ready <- c:
	case <-c.Done():
	case <-ctx.Done():
		c.Close()
		<-c.Done()
		l.failed(peer, context.Cause(ctx))
	}
}

func (l *Listener) failed(peer net.Addr, err error) {
	if l.opt.Failed != nil && l.ctx.Err() == nil {
		l.opt.Failed(peer, err)
	}
}
