package openflow

import (
	"bytes"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"time"
)

type testConn struct {
	t testing.TB
	c net.Conn
}

func dialTest(t testing.TB, addr string) *testConn {
	nc, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &testConn{t, nc}
	c.send([]byte{4, 0, 0, 8, 0, 0, 0, 0})
	c.read()
	return c
}

func (c *testConn) send(b []byte) {
	if _, err := c.c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testConn) read() Message {
	c.c.SetReadDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, 8)
	if _, err := io.ReadFull(c.c, head); err != nil {
		c.t.Fatal(err)
	}
	b := append(head, make([]byte, int(head[2])<<8+int(head[3])-8)...)
	if _, err := io.ReadFull(c.c, b[8:]); err != nil {
		c.t.Fatal(err)
	}
	m, err := Decode(b)
	if err != nil {
		c.t.Fatalf("%x: %v", b, err)
	}
	if a, ok := m.(interface{ AppendTo([]byte) []byte }); ok {
		if got := a.AppendTo(nil); !bytes.Equal(got[8:], b[8:]) {
			c.t.Errorf("%T encodes otherwise than it came\n got  %x\n came %x", m, got, b)
		}
	}
	return m
}

func (c *testConn) add(m *FlowMod) error {
	c.send(m.AppendTo(nil))
	c.send([]byte{4, 20, 0, 8, 0, 0, 0, 9})
	var err error
	for {
		switch m := c.read().(type) {
		case *Error:
			err = m
		case BarrierReply, *BarrierReply:
			return err
		}
	}
}

func (c *testConn) flows() iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		c.send((&FlowRequest{Table: AllTables}).AppendTo(nil))
		for {
			m, ok := c.read().(*MultipartReply)
			if !ok {
				continue
			}
			for f, err := range m.Flows() {
				if !yield(f, err) {
					return
				}
			}
			if !m.More {
				return
			}
		}
	}
}
