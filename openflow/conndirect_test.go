package openflow

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// directPair is a controller's Conn over a kind of socket, and the switch's end.
func directPair(t *testing.T, kind string, opt Options) (*Conn, net.Conn) {
	t.Helper()
	var a, b net.Conn
	switch kind {
	case "unix":
		l := must(net.Listen("unix", filepath.Join(t.TempDir(), "s")))
		defer l.Close()
		a = must(net.Dial("unix", l.Addr().String()))
		b = must(l.Accept())
	case "pipe":
		a, b = net.Pipe()
	default:
		a, b = socketPair(t)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	if kind == "tls" {
		cert := testCert(t)
		a = tls.Client(a, &tls.Config{RootCAs: cert.pool, ServerName: "127.0.0.1"})
		b = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{cert.pair}})
	}
	done := make(chan struct{})
	go func() { fakeSwitch(t, b); close(done) }()
	c, err := NewConn(testCtx(t), a, opt)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	t.Cleanup(func() { c.Close(); <-c.Done() })
	return c, b
}

// TestDirect answers packet-ins where they are read, between messages that take the long way, with a switch that reads
// late, over every kind of connection: all are answered, in order, with the handlers' calls in order too.
func TestDirect(t *testing.T) {
	for _, kind := range []string{"tcp", "unix", "tls", "pipe"} {
		for _, thread := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/thread=%v", kind, thread), func(t *testing.T) {
				noLeak(t)
				const n = 20000
				var calls, others int // not atomic: calls are never at the same time
				c, sw := directPair(t, kind, Options{Thread: thread, SendQueue: 64 << 20,
					Handler: func(*Conn, uint32, Message) { calls++; others++ },
					PacketIn: func(c *Conn, m *PacketIn2) {
						calls++
						if got := binary.BigEndian.Uint32(m.Packet); int(got) != calls {
							t.Errorf("packet %d came as call %d", got, calls)
						}
						c.TrySend(&PacketOut{BufferID: NoBuffer, InPort: PortController, Data: m.Packet, Actions: []Action{Output{Port: 1}}})
					}})
				written := make(chan struct{})
				go func() {
					defer close(written)
					var out []byte
					for i := 1; i <= n; i++ {
						if i%1000 == 0 {
							out = must(Encode(out, &Error{Code: codeBadLen}, 1<<31))
						} else {
							frame := make([]byte, 300)
							binary.BigEndian.PutUint32(frame, uint32(i))
							out = must(Encode(out, &PacketIn2{Packet: frame, BufferID: NoBuffer}, 0))
						}
						if i%777 == 0 || i == n {
							sw.Write(out)
							out = out[:0]
						}
					}
				}()
				if kind != "pipe" && kind != "tls" {
					<-written // the answers fill the sockets first
				}
				last := 0
				for i := 1; i <= n; i++ {
					if i%1000 == 0 {
						continue
					}
					sw.SetReadDeadline(time.Now().Add(20 * time.Second))
					b, err := readFrame(sw, MaxMessage)
					if err != nil {
						t.Fatalf("after %d answers: %v", last, err)
					}
					m := must(Decode(b)).(*PacketOut)
					if got := int(binary.BigEndian.Uint32(m.Data)); got != i {
						t.Fatalf("answer %d came after %d", got, last)
					}
					last = i
				}
				c.Close()
				<-c.Done()
				if calls != n || others != n/1000 {
					t.Errorf("%d calls, %d of them not for packet-ins", calls, others)
				}
			})
		}
	}
}

// TestDirectEnds ends connections whose reader waits in a thread, from either end, and with a malformed packet-in.
func TestDirectEnds(t *testing.T) {
	for _, kind := range []string{"tcp", "unix"} {
		for name, end := range map[string]struct {
			do   func(c *Conn, sw net.Conn)
			want error
		}{
			"close":  {func(c *Conn, _ net.Conn) { c.Close() }, ErrClosed},
			"peer":   {func(_ *Conn, sw net.Conn) { sw.Close() }, io.EOF},
			"silent": {func(*Conn, net.Conn) {}, ErrSilent},
			"malformed": {func(_ *Conn, sw net.Conn) {
				b := must(Encode(nil, &PacketIn2{Packet: make([]byte, 60), BufferID: NoBuffer}, 0))
				b[19] = 0xff // longer than the message
				sw.Write(b)
			}, new(DecodeError)},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				noLeak(t)
				opt := Options{Thread: true, PacketIn: func(*Conn, *PacketIn2) {}}
				if name == "silent" {
					opt.EchoInterval, opt.EchoTimeout = 20*time.Millisecond, 20*time.Millisecond
				}
				c, sw := directPair(t, kind, opt)
				end.do(c, sw)
				select {
				case <-c.Done():
				case <-time.After(20 * time.Second):
					t.Fatal("the connection does not end")
				}
				var de *DecodeError
				if err := c.Err(); !errors.Is(err, end.want) && !(errors.As(err, &de) && errors.As(end.want, &de)) {
					t.Errorf("ended with %v, want %v", err, end.want)
				}
			})
		}
	}
}

// TestThreadRequests has a connection in a thread serve requests like any other, and a switch that does not read.
func TestThreadRequests(t *testing.T) {
	noLeak(t)
	c, sw := directPair(t, "unix", Options{Thread: true, WriteTimeout: 300 * time.Millisecond, SendQueue: 1 << 20, PacketIn: func(*Conn, *PacketIn2) {}})
	go func() {
		b := must(readFrame(sw, MaxMessage))
		sw.Write(must(Encode(nil, BarrierReply{}, must(ParseHeader(b)).XID)))
	}()
	if err := c.Barrier(testCtx(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testCtx(t), 20*time.Second)
	defer cancel()
	m := &PacketOut{BufferID: NoBuffer, InPort: PortController, Data: make([]byte, 60000)}
	for ctx.Err() == nil {
		if _, err := c.Send(ctx, m); err != nil {
			break
		}
	}
	<-c.Done()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("ended with %v, want a write timeout", err)
	}
}
