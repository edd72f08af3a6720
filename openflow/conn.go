package openflow

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler gets every message that answers no request: packet-ins, port status, errors of messages sent with Send (an
// *Error carries the xid that Send returned), flow monitor updates. It is called from one goroutine, one message
// after the other in the order in which they came, and replies to requests complete in that order too: when Barrier
// returns, the handler has returned for everything before the barrier's reply. Therefore it must not wait for replies
// on the same connection; it may Send. A slow handler makes the connection's receive queue fill and then the switch
// wait; echo requests that are already read are answered all the same.
type Handler func(c *Conn, xid uint32, m Message)

// PacketHandler gets the packet-ins in NXT_PACKET_IN2 form, in order with what Handler gets and never at the same time. It
// must be quick and must not wait for anything, since nothing else is read meanwhile; m and what it points at are
// valid until it returns. What it sends with TrySend is written when all packet-ins that came together are handled.
type PacketHandler func(c *Conn, m *PacketIn2)

// Options of a connection. The zero value is usable: durations and sizes that are 0 get the default named.
type Options struct {
	Handler          Handler       // nil drops what it would get
	PacketIn         PacketHandler // gets the packet-ins instead of Handler; nil: Handler gets them
	Thread           bool          // the reader waits in a thread of its own: quicker by some microseconds; for few connections
	TLS              *tls.Config   // for ssl: targets
	HandshakeTimeout time.Duration // from connect to features reply; 5 s
	EchoInterval     time.Duration // of silence until an echo request is sent; 5 s
	EchoTimeout      time.Duration // of silence after that until the connection is closed; 5 s
	WriteTimeout     time.Duration // that a peer may take for 64 kB; 10 s
	SendQueue        int           // octets that wait to be written, and as much is being written; 4 MiB
	ReceiveQueue     int           // octets that wait for the handler, and as much is with it; 4 MiB
	MaxReply         int           // octets of one multipart reply that are kept at a time; 256 MiB
	Switch           bool          // play the switch: do not ask for features (tests, simulators)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.HandshakeTimeout, 5 * time.Second}, {&o.EchoInterval, 5 * time.Second}, {&o.EchoTimeout, 5 * time.Second},
		{&o.WriteTimeout, 10 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.SendQueue, 4 << 20}, {&o.ReceiveQueue, 4 << 20}, {&o.MaxReply, 256 << 20}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	return o
}

// Limits on a peer that has not finished the handshake.
const (
	maxHello        = 1024    // octets of a hello or of an error instead of it
	maxBeforeReady  = 1 << 20 // octets of messages before the features reply
	flushTimeout    = time.Second
	maxEncodeAtOnce = 256 << 10 // octets that one Send encodes while it holds the queue
	writeChunk      = 64 << 10
)

// Errors of connections.
var (
	ErrClosed    = errors.New("openflow: connection closed")
	ErrQueueFull = errors.New("openflow: send queue is full")
	ErrSilent    = errors.New("openflow: peer is silent: no answer to an echo request")
	ErrReply     = errors.New("openflow: multipart reply is longer than Options.MaxReply")
)

// ConnStats are counters of a connection since its start.
type ConnStats struct {
	RxMessages, RxOctets uint64
	TxMessages, TxOctets uint64 // queued for sending
	Dropped              uint64 // refused by TrySend with ErrQueueFull
	Errors               uint64 // OFPT_ERROR messages received
}

// Conn is an OpenFlow connection after its handshake. It has a goroutine that reads, one that writes and
// one that calls the handler; all its methods may be called from any goroutine.
//
//	reader: socket → (echo request → answer) → receive queue
//	dispatcher: receive queue → decode → pending request, or handler
//	writer: send queue → socket, as many messages in one write as wait; echo requests when it is silent
//	packet-ins, if Options.PacketIn is set: reader → handler → socket while nothing else waits, see direct
type Conn struct {
	nc       net.Conn
	opt      Options
	features Features

	mu      sync.Mutex    // guards the following
	out     []byte        // encoded and not yet taken by the writer
	room    chan struct{} // closed and replaced when the writer takes out and a sender is waiting for that
	waiting bool
	closing bool  // nothing more is accepted
	err     error // why it ended, set once

	wake     chan struct{} // tells the writer that out is not empty
	rx       frameQueue
	xid      atomic.Uint32
	echoXID  atomic.Uint32 // of the echo request not answered yet, or 0
	lastRx   atomic.Int64  // time of the last octets received, unix nanoseconds
	rxFull   atomic.Bool   // the reader waits for the handler
	calls    callTable
	direct   direct
	dead     chan struct{} // closed when requests can get no answer any more
	deadOnce sync.Once
	done     chan struct{}
	wg       sync.WaitGroup // reader and writer

	stats struct{ rxMsgs, rxOctets, txMsgs, txOctets, dropped, errors atomic.Uint64 }
}

// NewConn makes the handshake over nc: hello in both directions, settling on OpenFlow 1.3, then features request
// and reply unless opt.Switch. It closes nc when it fails. The context ends the handshake early.
func NewConn(ctx context.Context, nc net.Conn, opt Options) (*Conn, error) {
	c := &Conn{nc: nc, opt: opt.withDefaults(), room: make(chan struct{}), wake: make(chan struct{}, 1),
		dead: make(chan struct{}), done: make(chan struct{})}
	c.rx.init(c.opt.ReceiveQueue)
	c.calls.byXID = map[uint32]*call{}
	nc.SetDeadline(time.Now().Add(c.opt.HandshakeTimeout))
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	br, err := c.handshake()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("openflow: handshake with %s: %w", peerName(nc), err)
	}
	nc.SetDeadline(time.Time{})
	c.lastRx.Store(time.Now().UnixNano())
	if c.opt.Thread {
		if t := newThreadConn(nc); t != nil {
			c.nc = t
		}
	}
	c.initDirect()
	c.wg.Add(2)
	go c.reader(br)
	go c.writer()
	go c.dispatch()
	return c, nil
}

func peerName(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.Network() + ":" + a.String()
	}
	return "peer"
}

// handshake says hello, reads the peer's, and asks for the features.
func (c *Conn) handshake() (*bufio.Reader, error) {
	// Both ends write first: on a connection without a buffer, such as net.Pipe, they must read meanwhile.
	written := make(chan error, 1)
	go func() {
		_, err := c.nc.Write(ourHello.AppendTo(nil))
		written <- err
	}()
	b, err := readFrame(c.nc, maxHello)
	if err != nil {
		return nil, fmt.Errorf("reading hello: %w", err)
	}
	if err := <-written; err != nil {
		return nil, err
	}
	m, err := Decode(b)
	if err != nil {
		c.refuse(codeBadLen, b)
		return nil, err
	}
	hello, ok := m.(*Hello)
	if e, isErr := m.(*Error); isErr {
		return nil, e
	} else if !ok {
		c.refuse(codeIncompatible, []byte("the first message must be a hello"))
		return nil, fmt.Errorf("first message is %s, not OFPT_HELLO", m.Name())
	}
	if !hello.Speaks(Version) {
		c.refuse(codeIncompatible, []byte("only OpenFlow 1.3 (version 4) is spoken here"))
		return nil, fmt.Errorf("peer does not speak OpenFlow 1.3: version %d, bitmap %#x; set the bridge's protocols to OpenFlow13", hello.Version, hello.Bitmap)
	}
	br := bufio.NewReaderSize(connReader{c}, 64<<10)
	if c.opt.Switch {
		return br, nil
	}
	xid := c.reserve(1)
	req, _ := Encode(nil, FeaturesRequest{}, xid)
	if _, err := c.nc.Write(req); err != nil {
		return nil, err
	}
	for n := 0; n < maxBeforeReady; {
		b, err := readFrame(br, MaxMessage)
		if err != nil {
			return nil, fmt.Errorf("waiting for features: %w", err)
		}
		n += len(b)
		h, _ := ParseHeader(b)
		switch {
		case h.Type == typeEchoRequest:
			if _, err := c.nc.Write(echoReply(b)); err != nil {
				return nil, err
			}
		case h.XID != xid:
			if !c.rx.tryPut(b) {
				return nil, fmt.Errorf("more than %d octets of messages before the features reply", c.opt.ReceiveQueue)
			}
		default:
			m, err := Decode(b)
			if err != nil {
				c.refuse(codeBadLen, b)
				return nil, err
			}
			switch m := m.(type) {
			case *Features:
				c.features = *m
				return br, nil
			case *Error:
				return nil, m
			}
			return nil, fmt.Errorf("want OFPT_FEATURES_REPLY, not %s", m.Name())
		}
	}
	return nil, fmt.Errorf("more than %d octets of messages before the features reply", maxBeforeReady)
}

// connReader reads from what the connection's socket is at the time.
type connReader struct{ c *Conn }

func (r connReader) Read(p []byte) (int, error) { return r.c.nc.Read(p) }

// refuse tells the peer why it is refused, during the handshake.
func (c *Conn) refuse(code ErrorCode, data []byte) {
	e := &Error{Code: code, Data: data}
	if code.Type != 0 && len(data) >= headerLen {
		e.XID = binary.BigEndian.Uint32(data[4:])
		e.Data = data[:min(len(data), 64)]
	}
	c.nc.Write(e.AppendTo(nil))
}

// echoReply turns an encoded echo request into its reply.
func echoReply(req []byte) []byte {
	r := append([]byte(nil), req...)
	r[0], r[1] = Version, typeEchoReply
	return r
}

// readFrame reads one message of at most limit octets into a buffer of its own.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	hd, err := ParseHeader(h[:])
	if err != nil {
		return nil, &malformed{err, h[:]}
	}
	if int(hd.Length) > limit {
		return nil, &malformed{&DecodeError{typeName(hd.Type), 2, fmt.Sprintf("want at most %d octets here, not %d", limit, hd.Length)}, h[:]}
	}
	b := make([]byte, hd.Length)
	copy(b, h[:])
	if _, err := io.ReadFull(r, b[headerLen:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// malformed is a message that cannot be, with as much of it as there is.
type malformed struct {
	err error
	msg []byte
}

func (m *malformed) Error() string { return m.err.Error() }
func (m *malformed) Unwrap() error { return m.err }

// Features are the switch's, from the handshake; all zero with Options.Switch.
func (c *Conn) Features() Features { return c.features }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// NetConn is the connection underneath, for its TLS state or addresses; do not read or write it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Done is closed when the connection has ended and the handler will not be called again.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection ended: ErrClosed after Close, io.EOF when the peer closed it, ErrSilent, a
// *DecodeError for a malformed message, or the error of the network. It is nil while the connection lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection: what waits to be sent is still written if the peer takes it within a second, what was
// received and not handled is dropped. It does not wait; Done does. It may be called from the handler.
func (c *Conn) Close() error {
	c.end(ErrClosed, nil)
	return nil
}

// Stats returns the counters.
func (c *Conn) Stats() ConnStats {
	s := &c.stats
	return ConnStats{s.rxMsgs.Load(), s.rxOctets.Load(), s.txMsgs.Load(), s.txOctets.Load(), s.dropped.Load(), s.errors.Load()}
}

// refuseSends makes further sends fail with the first reason given, and lets the writer have last as its last message.
func (c *Conn) refuseSends(err error, last Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.closing, c.err = true, err
		if last != nil {
			c.out = last.AppendTo(c.out)
		}
	}
}

// end stops everything: the writer flushes and closes the socket, which stops the reader, and the dispatcher drops what
// it has.
func (c *Conn) end(err error, last Message) {
	c.refuseSends(err, last)
	c.deadOnce.Do(func() {
		close(c.dead)
		c.rx.abort()
		c.nc.SetWriteDeadline(time.Now().Add(flushTimeout))
		c.nc.SetReadDeadline(time.Unix(1, 0))
	})
}
