package openflow

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// frameQueue holds received messages for the dispatcher, bounded by octets. Full means that the reader waits.
type frameQueue struct {
	mu       sync.Mutex
	notEmpty sync.Cond
	notFull  sync.Cond
	frames   [][]byte
	octets   int
	limit    int
	waits    bool // take waits
	closed   bool
	err      error // why no more come
}

func (q *frameQueue) init(limit int) {
	q.limit = limit
	q.notEmpty.L, q.notFull.L = &q.mu, &q.mu
}

// put waits for room; false means that the queue was aborted. waits is called before waiting.
func (q *frameQueue) put(b []byte, waits func(bool)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.octets >= q.limit && !q.closed {
		waits(true)
		for q.octets >= q.limit && !q.closed {
			q.notFull.Wait()
		}
		waits(false)
	}
	if q.closed {
		return false
	}
	q.frames, q.octets = append(q.frames, b), q.octets+len(b)
	q.notEmpty.Signal()
	return true
}

func (q *frameQueue) tryPut(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.octets >= q.limit {
		return false
	}
	q.frames, q.octets = append(q.frames, b), q.octets+len(b)
	return true
}

// take returns all that is there, waiting for something; nothing means that err is why no more will come. reuse is the
// slice that the last take returned.
func (q *frameQueue) take(reuse [][]byte) ([][]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waits = true; len(q.frames) == 0 && !q.closed; {
		q.notEmpty.Wait()
	}
	q.waits = false
	fs := q.frames
	if cap(reuse) > 4096 {
		reuse = nil
	}
	q.frames, q.octets = reuse[:0], 0
	q.notFull.Signal()
	return fs, q.err
}

// idle reports that nothing is there and what was taken is done with.
func (q *frameQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waits && len(q.frames) == 0 && !q.closed
}

// close lets take drain what is there.
func (q *frameQueue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.err = true, err
	}
	q.notEmpty.Broadcast()
	q.notFull.Broadcast()
}

// abort drops what is there.
func (q *frameQueue) abort() {
	q.mu.Lock()
	q.frames, q.octets = nil, 0
	q.mu.Unlock()
	q.close(ErrClosed)
}

// reader reads messages until the socket ends or a message is malformed.
func (c *Conn) reader(br *bufio.Reader) {
	defer c.wg.Done()
	for {
		if took, err := c.serveDirect(br); err != nil {
			c.rx.close(err)
			return
		} else if took {
			continue
		}
		b, err := readFrame(br, MaxMessage)
		if err == nil && b[0] != Version && b[1] != typeHello && b[1] != typeError {
			err = &malformed{&DecodeError{typeName(b[1]), 0, fmt.Sprintf("want version 4 (OpenFlow 1.3), not %d", b[0])}, b}
		}
		if err != nil {
			c.rx.close(err)
			return
		}
		c.lastRx.Store(time.Now().UnixNano())
		c.stats.rxMsgs.Add(1)
		c.stats.rxOctets.Add(uint64(len(b)))
		if b[1] == typeEchoRequest { // here, so that a slow handler does not make us look dead
			if !c.answerEcho(b) {
				c.rx.close(errors.New("openflow: peer sends echo requests and does not read the replies"))
				return
			}
			continue
		}
		if b[1] == typeEchoReply && binary.BigEndian.Uint32(b[4:]) == c.echoXID.Load() {
			c.echoXID.Store(0)
			continue
		}
		if !c.rx.put(b, c.rxFull.Store) {
			return
		}
		c.lastRx.Store(time.Now().UnixNano()) // it may have waited long
	}
}

// answerEcho queues the reply to an echo request past the limit that holds for others, up to a bound.
func (c *Conn) answerEcho(req []byte) bool {
	req[0], req[1] = Version, typeEchoReply
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > c.opt.SendQueue+4*MaxMessage {
		return false
	}
	if !c.closing {
		c.out = append(c.out, req...)
		c.wakeWriter()
	}
	return true
}

func (c *Conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// reserve returns the first of n consecutive transaction ids, none of them 0.
func (c *Conn) reserve(n int) uint32 {
	for {
		last := c.xid.Add(uint32(n))
		if first := last - uint32(n) + 1; first != 0 && first <= last {
			return first
		}
	}
}

// sendAt encodes and queues messages with xids first, first+1, …; it waits for room.
func (c *Conn) sendAt(ctx context.Context, first uint32, n int, get func(i int) Message) error {
	for i := 0; i < n; {
		c.mu.Lock()
		if c.closing {
			err := c.err
			c.mu.Unlock()
			return err
		}
		start := len(c.out)
		var err error
		for i < n && len(c.out) < c.opt.SendQueue && len(c.out) < start+maxEncodeAtOnce {
			if c.out, err = Encode(c.out, get(i), first+uint32(i)); err != nil {
				break
			}
			i++
			c.stats.txMsgs.Add(1)
		}
		c.stats.txOctets.Add(uint64(len(c.out) - start))
		full, room := i < n && len(c.out) >= c.opt.SendQueue, c.room
		if full && err == nil {
			c.waiting = true
		}
		if len(c.out) > start {
			c.wakeWriter()
		}
		c.mu.Unlock()
		if err != nil {
			return &EncodeError{i, err}
		}
		if full {
			select {
			case <-room:
			case <-ctx.Done():
				return ctx.Err()
			case <-c.dead:
			}
		}
	}
	return nil
}

// EncodeError says which message could not be encoded, and why. Those before it may have been sent.
type EncodeError struct {
	Index int // in what was to be sent
	Err   error
}

// Error names the message by its index.
func (e *EncodeError) Error() string { return fmt.Sprintf("message %d: %v", e.Index, e.Err) }

// Unwrap returns the reason, e.g. ErrTooLong.
func (e *EncodeError) Unwrap() error { return e.Err }

// Send queues messages in order and returns the xid of the first; the others have the next ones. It does not wait for
// the switch: an error that it answers goes to the handler with the xid. When the queue is full Send waits for room,
// for ctx, or for the end of the connection. If it fails, the messages before the one at fault may have been
// sent; one that cannot be encoded is an *EncodeError. Messages of concurrent Sends may mix.
func (c *Conn) Send(ctx context.Context, msgs ...Message) (first uint32, err error) {
	first = c.reserve(len(msgs))
	return first, c.sendAt(ctx, first, len(msgs), func(i int) Message { return msgs[i] })
}

// TrySend queues one message if there is room, and otherwise returns ErrQueueFull at once and counts it: for packet-outs,
// which are better lost than late.
func (c *Conn) TrySend(m Message) (xid uint32, err error) {
	xid = c.reserve(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return 0, c.err
	}
	start := len(c.out)
	if start >= c.opt.SendQueue {
		c.stats.dropped.Add(1)
		return 0, ErrQueueFull
	}
	if c.out, err = Encode(c.out, m, xid); err != nil {
		return 0, err
	}
	c.stats.txMsgs.Add(1)
	c.stats.txOctets.Add(uint64(len(c.out) - start))
	if !c.direct.corked {
		c.wakeWriter()
	}
	return xid, nil
}

// writer writes what is queued, many messages in one write, and keeps the peer honest with echo requests.
func (c *Conn) writer() {
	defer c.wg.Done()
	defer c.nc.Close()
	tick := time.NewTicker(max(min(c.opt.EchoInterval, c.opt.EchoTimeout)/4, time.Millisecond))
	defer tick.Stop()
	var spare []byte
	var echoAt time.Time
	for {
		stop := false
		select {
		case <-c.wake:
		case <-tick.C:
			if !c.keepalive(&echoAt) {
				c.end(ErrSilent, nil)
			}
			continue
		case <-c.dead:
			stop = true
		}
		for {
			c.direct.wmu.Lock()
			buf := c.takeOut(spare)
			if len(buf) == 0 {
				c.direct.wmu.Unlock()
				spare = nil
				break
			}
			err := c.write(buf)
			c.direct.wmu.Unlock()
			if err != nil {
				// What the peer sent before it went is still delivered: the reader ends by itself.
				c.refuseSends(err, nil)
				c.nc.SetReadDeadline(time.Now().Add(flushTimeout))
				select {
				case <-c.dead:
				case <-time.After(2 * flushTimeout):
					c.end(err, nil) // the handler is stuck, and with it the reader
				}
				return
			}
			spare = buf
		}
		if stop {
			return
		}
	}
}

// takeOut takes what is queued and leaves spare in its place. An idle connection keeps no large buffer.
func (c *Conn) takeOut(spare []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := c.out
	if len(buf) == 0 {
		if cap(buf) > writeChunk {
			c.out = nil
		}
		return nil
	}
	c.out = spare[:0]
	if c.waiting {
		c.waiting = false
		close(c.room)
		c.room = make(chan struct{})
	}
	return buf
}

// write writes b in pieces, each within the write timeout.
func (c *Conn) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeChunk)
		if len(b) <= 4*writeChunk {
			n = len(b)
		}
		c.mu.Lock()
		d := c.opt.WriteTimeout
		if c.closing {
			d = min(d, flushTimeout)
		}
		c.nc.SetWriteDeadline(time.Now().Add(d))
		c.mu.Unlock()
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// keepalive sends an echo request when the peer is silent for too long, and reports false when it stays so.
func (c *Conn) keepalive(echoAt *time.Time) bool {
	now := time.Now()
	if c.rxFull.Load() { // it is we who do not read
		c.lastRx.Store(now.UnixNano())
	}
	silent := now.Sub(time.Unix(0, c.lastRx.Load()))
	switch {
	case silent < c.opt.EchoInterval:
		*echoAt = time.Time{}
	case echoAt.IsZero():
		*echoAt = now
		xid := c.reserve(1)
		c.echoXID.Store(xid)
		c.mu.Lock()
		if !c.closing {
			c.out, _ = Encode(c.out, &EchoRequest{}, xid)
			c.wakeWriter()
		}
		c.mu.Unlock()
	case now.Sub(*echoAt) >= c.opt.EchoTimeout:
		return false
	}
	return true
}

// dispatch decodes messages and hands them out, and ends the connection when no more come.
func (c *Conn) dispatch() {
	defer close(c.done)
	defer c.wg.Wait()
	var batch [][]byte
	for {
		var err error
		batch, err = c.rx.take(batch)
		if len(batch) == 0 {
			c.endWith(err)
			return
		}
		for i, b := range batch {
			batch[i] = nil
			select {
			case <-c.dead:
				return
			default:
			}
			if err := c.deliver(b); err != nil {
				c.endWith(err)
				return
			}
		}
	}
}

// endWith ends the connection for err; a peer that sent something malformed is told so first.
func (c *Conn) endWith(err error) {
	var bad *malformed
	if !errors.As(err, &bad) {
		c.end(err, nil)
		return
	}
	e := &Error{Code: codeBadLen, Data: bad.msg[:min(len(bad.msg), 64)]}
	if len(bad.msg) >= headerLen {
		e.XID = binary.BigEndian.Uint32(bad.msg[4:])
		if bad.msg[0] != Version {
			e.Code = codeBadVersion
		}
	}
	c.end(bad.err, e)
}

// deliver decodes one message and gives it to the request with its xid or to the handler.
func (c *Conn) deliver(b []byte) error {
	m, err := decodeFenced(b)
	if err != nil {
		return &malformed{err, b}
	}
	if _, ok := m.(*Error); ok {
		c.stats.errors.Add(1)
	}
	xid := binary.BigEndian.Uint32(b[4:])
	if k := c.calls.find(xid); k != nil {
		if k.handle(xid, m) {
			c.calls.remove(k)
		}
		return nil
	}
	if p, ok := m.(*PacketIn2); ok && c.opt.PacketIn != nil {
		c.opt.PacketIn(c, p)
	} else if c.opt.Handler != nil {
		c.opt.Handler(c, xid, m)
	}
	return nil
}

// decodeFenced is Decode whose panics, which fuzzing says there are none of, cost one connection and not the process.
func decodeFenced(b []byte) (m Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &DecodeError{typeName(b[1]), 0, fmt.Sprintf("the decoder failed: %v", p)}
		}
	}()
	return Decode(b)
}
