package openflow

import (
	"bufio"
	"encoding/binary"
	"sync"
	"syscall"
	"time"
)

// direct is the short way of packet-ins: socket → Options.PacketIn → socket in the reader's goroutine, without
// waking another one and without copying. It is taken while nothing older waits for the dispatcher, so the
// order of messages stays.
//
//	reader: all packet-ins that one read brought → handler → what it sent, in one write
//
// A change of goroutine costs a wake-up of an idle processor each time, which is most of what answering a
// packet costs, and the switch's main loop goes to sleep meanwhile.
type direct struct {
	corked bool // under Conn.mu: the reader will write what TrySend queues
	msg    PacketIn2
	spare  []byte

	wmu sync.Mutex                  // held while the socket is written to
	try func(b []byte) (int, error) // writes what the socket takes at once; nil: the writer writes
}

// initDirect finds out whether the socket can be written to without waiting. TLS cannot.
func (c *Conn) initDirect() {
	if c.opt.PacketIn == nil {
		return
	}
	if t, ok := c.nc.(interface{ tryWrite([]byte) (int, error) }); ok {
		c.direct.try = t.tryWrite
		return
	}
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	var buf []byte
	var n int
	write := func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), buf)
		return true
	}
	c.direct.try = func(b []byte) (int, error) {
		buf, n = b, 0
		if werr := raw.Write(write); werr != nil {
			return 0, werr
		}
		buf = nil
		return max(n, 0), err
	}
}

// isPacketIn2 looks at the first 16 octets of a message.
func isPacketIn2(b []byte) bool {
	return b[0] == Version && b[1] == typeExperimenter && binary.BigEndian.Uint32(b[8:]) == expNicira && binary.BigEndian.Uint32(b[12:]) == 30
}

// peekPacketIn returns the next message if it is a packet-in, whole; it stays in br. It waits for the message.
func peekPacketIn(br *bufio.Reader) []byte {
	h, err := br.Peek(headerLen)
	if err != nil || h[1] != typeExperimenter || binary.BigEndian.Uint16(h[2:]) < 16 {
		return nil
	}
	if h, err = br.Peek(16); err != nil || !isPacketIn2(h) {
		return nil
	}
	b, err := br.Peek(int(binary.BigEndian.Uint16(h[2:])))
	if err != nil {
		return nil
	}
	return b
}

// packetInBuffered reports whether another packet-in is there already, whole.
func packetInBuffered(br *bufio.Reader) bool {
	n := br.Buffered()
	if n < 16 {
		return false
	}
	h, _ := br.Peek(16)
	return isPacketIn2(h) && int(binary.BigEndian.Uint16(h[2:])) <= n
}

// serveDirect hands out the packet-ins that come next, and writes what the handler sent. It returns false when the
// next message has to take the long way.
func (c *Conn) serveDirect(br *bufio.Reader) (bool, error) {
	if c.opt.PacketIn == nil {
		return false, nil
	}
	b := peekPacketIn(br)
	if b == nil || !c.rx.idle() {
		return false, nil
	}
	c.mu.Lock()
	c.direct.corked = true
	c.mu.Unlock()
	var err error
	for {
		c.lastRx.Store(time.Now().UnixNano())
		c.stats.rxMsgs.Add(1)
		c.stats.rxOctets.Add(uint64(len(b)))
		if c.direct.msg, err = decodePacketIn2(b); err != nil {
			err = &malformed{err, append([]byte(nil), b...)}
			break
		}
		c.opt.PacketIn(c, &c.direct.msg)
		br.Discard(len(b)) // it is there
		if !packetInBuffered(br) || c.ended() {
			break
		}
		b = peekPacketIn(br)
	}
	c.uncork()
	return true, err
}

// decodePacketIn2 decodes without allocating, fenced like decodeFenced.
func decodePacketIn2(b []byte) (m PacketIn2, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = PacketIn2{}, &DecodeError{m.Name(), 0, "the decoder failed"}
		}
	}()
	r := newReader(m.Name(), b)
	r.skip(16)
	m = decodePacketIn2Props(&r)
	return m, r.err
}

// uncork writes what was queued meanwhile, as far as the socket takes it at once; the rest is the writer's.
func (c *Conn) uncork() {
	d := &c.direct
	if d.try != nil && d.wmu.TryLock() {
		if buf := c.takeOut(d.spare); len(buf) > 0 {
			d.spare = nil
			// An error, such as a full socket or a deadline that the writer left behind, is the writer's to meet.
			n, err := d.try(buf)
			if err != nil {
				n = 0
			}
			if rest := buf[n:]; len(rest) > 0 {
				c.mu.Lock()
				c.out = append(rest[:len(rest):len(rest)], c.out...)
				c.mu.Unlock()
			}
			if cap(buf) <= writeChunk {
				d.spare = buf
			}
		}
		d.wmu.Unlock()
	}
	c.mu.Lock()
	d.corked = false
	if len(c.out) > 0 {
		c.wakeWriter()
	}
	c.mu.Unlock()
}

// ended reports whether Close was called or the connection broke.
func (c *Conn) ended() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}
