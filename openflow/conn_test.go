package openflow

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

type certFiles struct {
	pair              tls.Certificate
	pool              *x509.CertPool
	certFile, keyFile string
}

// testCert makes a certificate for 127.0.0.1 that is its own authority.
func testCert(t testing.TB) certFiles {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))
	dir := t.TempDir()
	c := certFiles{pool: x509.NewCertPool(), certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	c.pool.AddCert(must(x509.ParseCertificate(der)))
	cp := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	kp := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(key))})
	for f, b := range map[string][]byte{c.certFile: cp, c.keyFile: kp} {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.pair = must(tls.X509KeyPair(cp, kp))
	return c
}

// noLeak fails the test if goroutines of this package are left when everything that the test cleans up is gone.
func noLeak(t testing.TB) {
	t.Cleanup(func() {
		var stacks string
		if !ovstest.WaitFor(10*time.Second, func() bool {
			buf := make([]byte, 1<<20)
			stacks = string(buf[:runtime.Stack(buf, true)])
			for _, g := range strings.Split(stacks, "\n\n")[1:] {
				if strings.Contains(g, "openflow.(*Conn)") || strings.Contains(g, "openflow.(*Listener)") {
					return false
				}
			}
			return true
		}) {
			t.Errorf("goroutines left:\n%s", stacks)
		}
	})
}

// socketPair is a TCP connection over loopback.
func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	a = must(net.Dial("tcp", l.Addr().String()))
	b = must(l.Accept())
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// fakeSwitch answers the handshake on nc as a switch would; then the test reads and writes nc itself.
func fakeSwitch(t testing.TB, nc net.Conn) {
	t.Helper()
	nc.Write(ourHello.AppendTo(nil))
	for {
		b, err := readFrame(nc, MaxMessage)
		if err != nil {
			t.Errorf("fake switch: %v", err)
			return
		}
		if b[1] == typeFeaturesRequest {
			nc.Write(must(Encode(nil, &Features{DatapathID: 7}, must(ParseHeader(b)).XID)))
			return
		}
	}
}

// connected returns a controller's Conn and the raw other end, past the handshake.
func connected(t testing.TB, opt Options) (*Conn, net.Conn) {
	t.Helper()
	a, b := socketPair(t)
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

// TestHandshake has two of our ends meet over a pipe, TCP, unix sockets and TLS, and one serve the other's requests.
func TestHandshake(t *testing.T) {
	noLeak(t)
	cert := testCert(t)
	serve := func(c *Conn, xid uint32, m Message) {
		switch m := m.(type) {
		case FeaturesRequest:
			c.Reply(context.Background(), xid, &Features{DatapathID: 0xabc})
		case BarrierRequest:
			c.Reply(context.Background(), xid, BarrierReply{})
		case *MultipartRequest:
			c.Reply(context.Background(), xid, NewMultipartReply(m.Type, &PortDesc{Port: 1, Name: "p1"}))
		}
	}
	check := func(name string, ctl, sw *Conn) {
		t.Helper()
		ctx := testCtx(t)
		if ctl.Features().DatapathID != 0xabc {
			t.Errorf("%s: features %+v", name, ctl.Features())
		}
		if err := ctl.Barrier(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r, err := ctl.Multipart(ctx, &MultipartRequest{Type: MultipartPortDesc}); err != nil || !strings.Contains(r.String(), "1(p1)") {
			t.Errorf("%s: %v %v", name, r, err)
		}
		ctl.Close()
		<-ctl.Done()
		<-sw.Done()
		if !errors.Is(ctl.Err(), ErrClosed) || !errors.Is(sw.Err(), io.EOF) {
			t.Errorf("%s: ended with %v and %v", name, ctl.Err(), sw.Err())
		}
		if _, err := ctl.Send(ctx, BarrierRequest{}); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: send after close: %v", name, err)
		}
		if err := ctl.Barrier(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: barrier after close: %v", name, err)
		}
	}
	swOpt := Options{Switch: true, Handler: serve}
	{
		a, b := net.Pipe()
		ch := make(chan *Conn, 1)
		go func() { ch <- must(NewConn(context.Background(), b, swOpt)) }()
		check("pipe", must(NewConn(testCtx(t), a, Options{})), <-ch)
	}
	for _, target := range []string{"tcp:127.0.0.1:0", "ptcp:0:127.0.0.1", "unix:" + filepath.Join(t.TempDir(), "s"), "ssl:127.0.0.1:0"} {
		l, err := Listen(target, ListenOptions{Options: Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert.pair}}}})
		if err != nil {
			t.Fatal(err)
		}
		scheme, _, _ := strings.Cut(target, ":")
		opt := swOpt
		opt.TLS = &tls.Config{RootCAs: cert.pool}
		sw, err := Dial(testCtx(t), strings.TrimPrefix(scheme, "p")+":"+l.Addr().String(), opt)
		if err != nil {
			t.Fatal(err)
		}
		check(target, must(l.Accept(testCtx(t))), sw)
		l.Close()
		if _, err := l.Accept(testCtx(t)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
	}
	for _, bad := range []string{"", "tcp", "udp:1.2.3.4", "unix:", "ssl:127.0.0.1:1"} {
		if _, err := Dial(testCtx(t), bad, Options{}); err == nil {
			t.Errorf("dialled %q", bad)
		}
	}
}

// TestVersions has peers that speak other versions, and other things.
func TestVersions(t *testing.T) {
	noLeak(t)
	for name, tc := range map[string]struct {
		first []byte
		want  string // in the error; empty for success
		reply string // the error sent back
	}{
		"1.3 only":             {(&Hello{Version: 4}).AppendTo(nil), "", ""},
		"1.0 to 1.5 by bitmap": {(&Hello{Version: 6, Bitmap: 0x7e}).AppendTo(nil), "", ""},
		"up to 1.5, no bitmap": {(&Hello{Version: 6}).AppendTo(nil), "", ""},
		"1.0 only":             {(&Hello{Version: 1}).AppendTo(nil), "does not speak OpenFlow 1.3", "OFPHFC_INCOMPATIBLE"},
		"1.5 only":             {(&Hello{Version: 6, Bitmap: 0x40}).AppendTo(nil), "does not speak OpenFlow 1.3", "OFPHFC_INCOMPATIBLE"},
		"not a hello":          {BarrierRequest{}.AppendTo(nil), "first message is OFPT_BARRIER_REQUEST", "OFPHFC_INCOMPATIBLE"},
		"an error":             {(&Error{Data: []byte("go away")}).AppendTo(nil), "OFPHFC_INCOMPATIBLE: \"go away\"", ""},
		"HTTP":                 {[]byte("GET / HTTP/1.1\r\n\r\n"), "want at most 1024 octets", ""},
		"bad element":          {[]byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0, 16}, "want a hello element length of at least 4, not 2", "OFPBRC_BAD_LEN"},
		"unknown element":      {[]byte{4, 0, 0, 24, 0, 0, 0, 1, 0, 9, 0, 5, 0, 0, 0, 16, 0, 1, 0, 8, 0, 0, 0, 16}, "", ""},
		"length 4":             {[]byte{4, 0, 0, 4, 0, 0, 0, 1}, "want a length of at least 8", ""},
		"closes":               {nil, "reading hello", ""},
	} {
		a, b := socketPair(t)
		got := make(chan string, 1)
		go func() {
			if tc.first == nil {
				b.Close()
				got <- ""
				return
			}
			b.Write(tc.first)
			for {
				f, err := readFrame(b, MaxMessage)
				if err != nil {
					got <- ""
					return
				}
				switch f[1] {
				case typeFeaturesRequest:
					b.Write(must(Encode(nil, &Features{}, must(ParseHeader(f)).XID)))
				case typeError:
					got <- must(Decode(f)).(*Error).Code.String()
					return
				}
			}
		}()
		c, err := NewConn(testCtx(t), a, Options{})
		if err == nil {
			c.Close()
			<-c.Done()
		}
		reply := <-got
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		case reply != tc.reply:
			t.Errorf("%s: replied %q, want %q", name, reply, tc.reply)
		}
	}
}

// TestSilentPeers fills a listener with peers that say nothing: they are let go, and a switch gets in meanwhile.
func TestSilentPeers(t *testing.T) {
	noLeak(t)
	var failed atomic.Int32
	l, err := Listen("tcp:127.0.0.1:0", ListenOptions{MaxPending: 5, Options: Options{HandshakeTimeout: 2 * time.Second},
		Failed: func(net.Addr, error) { failed.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var silent []net.Conn
	for range 20 {
		nc := must(net.Dial("tcp", l.Addr().String()))
		defer nc.Close()
		silent = append(silent, nc)
	}
	go func() {
		sw, err := Dial(testCtx(t), "tcp:"+l.Addr().String(), Options{Switch: true, Handler: func(c *Conn, xid uint32, m Message) {
			c.Reply(context.Background(), xid, &Features{DatapathID: 1})
		}})
		if err == nil {
			<-sw.Done()
		}
	}()
	c, err := l.Accept(testCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	ovstest.Wait(t, 10*time.Second, "the silent ones to be let go", func() bool { return failed.Load() >= 20 })
	for _, nc := range silent {
		nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, nc); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("a silent connection stays open: %v", err)
		}
	}
}

// TestHalfOpen has a peer that stays connected and answers nothing.
func TestHalfOpen(t *testing.T) {
	noLeak(t)
	c, _ := connected(t, Options{EchoInterval: 50 * time.Millisecond, EchoTimeout: 50 * time.Millisecond})
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a half-open connection was not found")
	}
	if !errors.Is(c.Err(), ErrSilent) {
		t.Errorf("ended with %v", c.Err())
	}
}

// TestAliveWithSlowHandler answers echo requests while the handler is stuck, and does not take the peer for silent.
func TestAliveWithSlowHandler(t *testing.T) {
	noLeak(t)
	stuck := make(chan struct{})
	c, sw := connected(t, Options{EchoInterval: 30 * time.Millisecond, EchoTimeout: 5 * time.Second,
		Handler: func(*Conn, uint32, Message) { <-stuck }})
	sw.Write((&PortStatus{}).AppendTo(nil))
	for i := range 20 {
		sw.Write(must(Encode(nil, &EchoRequest{[]byte{byte(i)}}, uint32(i))))
		for {
			b := must(readFrame(sw, MaxMessage))
			if b[1] == typeEchoRequest {
				sw.Write(echoReply(b))
				continue
			}
			if m := must(Decode(b)).(*EchoReply); !bytes.Equal(m.Data, []byte{byte(i)}) {
				t.Fatalf("echo reply %v", m.Data)
			}
			break
		}
	}
	select {
	case <-c.Done():
		t.Error(c.Err())
	default:
	}
	close(stuck)
}

// TestMalformedCloses sends what cannot be: that connection gets an OFPT_ERROR and is closed, after what came before was
// delivered; another goes on.
func TestMalformedCloses(t *testing.T) {
	noLeak(t)
	other, otherSwitch := connected(t, Options{})
	short := (&PortStatus{}).AppendTo(nil)[:20]
	short[3] = 20
	for name, tc := range map[string]struct {
		b          []byte
		code, want string
	}{
		"short body": {short, "OFPBRC_BAD_LEN", "OFPT_PORT_STATUS: at octet 20"},
		"length 3":   {[]byte{4, 10, 0, 3, 0, 0, 0, 9}, "OFPBRC_BAD_LEN", "header of OFPT_PACKET_IN: at octet 2"},
		"version 1":  {[]byte{1, 20, 0, 8, 0, 0, 0, 9}, "OFPBRC_BAD_VERSION", "want version 4"},
	} {
		b := &inbox{}
		c, sw := connected(t, Options{Handler: b.handle})
		sw.Write(append((&PortStatus{}).AppendTo(nil), tc.b...))
		m := must(Decode(must(readFrame(sw, MaxMessage))))
		if e, ok := m.(*Error); !ok || e.Code.String() != tc.code || !bytes.HasPrefix(e.Data, tc.b[:8]) {
			t.Errorf("%s: replied %s", name, m)
		}
		if _, err := readFrame(sw, MaxMessage); err != io.EOF {
			t.Errorf("%s: not closed: %v", name, err)
		}
		<-c.Done()
		var de *DecodeError
		if !errors.As(c.Err(), &de) || !strings.Contains(c.Err().Error(), tc.want) {
			t.Errorf("%s: ended with %v", name, c.Err())
		}
		if len(all[*PortStatus](b)) != 1 {
			t.Errorf("%s: what came before was not delivered", name)
		}
	}
	go func() {
		b := must(readFrame(otherSwitch, MaxMessage))
		otherSwitch.Write(must(Encode(nil, BarrierReply{}, must(ParseHeader(b)).XID)))
	}()
	if err := other.Barrier(testCtx(t)); err != nil {
		t.Errorf("the other connection: %v", err)
	}
}

// TestSlowReader has a peer that does not read: TrySend refuses and counts, Send waits for its context, and the write
// timeout ends the connection.
func TestSlowReader(t *testing.T) {
	noLeak(t)
	c, _ := connected(t, Options{SendQueue: 100 << 10, WriteTimeout: time.Second, EchoInterval: time.Hour})
	out := &PacketOut{InPort: PortController, Data: make([]byte, 1000)}
	for err := error(nil); !errors.Is(err, ErrQueueFull); _, err = c.TrySend(out) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Dropped == 0 {
		t.Errorf("stats %+v", s)
	}
	// The kernel's buffers may still take a good deal; then Send waits, and gives up with its context.
	late := false
	for c.Err() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		var err error
		for err == nil {
			_, err = c.Send(ctx, out, out)
		}
		cancel()
		late = late || errors.Is(err, context.DeadlineExceeded)
	}
	if !late {
		t.Error("no send gave up with its context")
	}
	<-c.Done()
	if !errors.Is(c.Err(), os.ErrDeadlineExceeded) {
		t.Errorf("ended with %v", c.Err())
	}
}

// TestOrder has messages, errors and replies come in the order sent.
func TestOrder(t *testing.T) {
	noLeak(t)
	const n = 20000
	var got []uint32
	c, sw := connected(t, Options{ReceiveQueue: 10000, Handler: func(_ *Conn, xid uint32, _ Message) { got = append(got, xid) }})
	go func() {
		b := must(readFrame(sw, MaxMessage))
		var out []byte
		for i := range n {
			out = must(Encode(out, &PacketIn2{Packet: make([]byte, 60), BufferID: NoBuffer}, uint32(1<<31+i)))
		}
		sw.Write(must(Encode(out, BarrierReply{}, must(ParseHeader(b)).XID)))
	}()
	if err := c.Barrier(testCtx(t)); err != nil {
		t.Fatal(err)
	}
	if len(got) != n { // the handler has returned for all before the barrier's reply
		t.Fatalf("%d of %d before the barrier's reply", len(got), n)
	}
	for i, xid := range got {
		if xid != uint32(1<<31+i) {
			t.Fatalf("message %d came as number %d", xid-1<<31, i)
		}
	}
}

// TestReplies has replies that are too long, of the wrong type, late, errors, and never come.
func TestReplies(t *testing.T) {
	noLeak(t)
	b := &inbox{}
	c, sw := connected(t, Options{MaxReply: 10000, Handler: b.handle, EchoInterval: time.Hour})
	part := (&MultipartReply{Type: MultipartPortDesc, More: true, Parts: [][]byte{make([]byte, 50*portDescLen)}})
	answers := []func(xid uint32){
		func(xid uint32) { // too long
			for range 5 {
				sw.Write(must(Encode(nil, part, xid)))
			}
			sw.Write(must(Encode(nil, &MultipartReply{Type: MultipartPortDesc}, xid)))
		},
		func(xid uint32) { sw.Write(must(Encode(nil, BarrierReply{}, xid))) },
		func(xid uint32) {
			sw.Write(must(Encode(nil, &MultipartReply{Type: MultipartPortDesc, More: true}, xid)))
			sw.Write(must(Encode(nil, &MultipartReply{Type: MultipartTable}, xid)))
		},
		func(xid uint32) {
			sw.Write(must(Encode(nil, part, xid)))
			sw.Write(must(Encode(nil, &Error{XID: xid, Code: must(codeByName("OFPBRC_MULTIPART_BUFFER_OVERFLOW"))}, xid)))
		},
		func(xid uint32) { // three parts in good order
			m := &MultipartReply{Type: MultipartPortDesc, Parts: [][]byte{make([]byte, portDescLen), make([]byte, portDescLen), nil}}
			sw.Write(must(Encode(nil, m, xid)))
		},
	}
	go func() {
		for _, a := range answers {
			f, err := readFrame(sw, MaxMessage)
			if err != nil {
				return
			}
			a(must(ParseHeader(f)).XID)
		}
	}()
	ask := func() (*MultipartReply, error) {
		return c.Multipart(testCtx(t), &MultipartRequest{Type: MultipartPortDesc})
	}
	if _, err := ask(); !errors.Is(err, ErrReply) {
		t.Errorf("too long: %v", err)
	}
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "not OFPT_BARRIER_REPLY") {
		t.Errorf("wrong type: %v", err)
	}
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "in the middle") {
		t.Errorf("wrong part: %v", err)
	}
	if _, err := ask(); !isCode(err, "OFPBRC_MULTIPART_BUFFER_OVERFLOW") {
		t.Errorf("error in the middle: %v", err)
	}
	if m, err := ask(); err != nil || len(m.Parts) != 3 || m.More {
		t.Errorf("three parts: %v %v", m, err)
	}
	// A request that is given up; its late reply is swallowed.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("barrier: %v", err)
	}
	f := must(readFrame(sw, MaxMessage))
	sw.Write(must(Encode(nil, BarrierReply{}, must(ParseHeader(f)).XID)))
	go func() {
		f := must(readFrame(sw, MaxMessage))
		sw.Write(must(Encode(nil, BarrierReply{}, must(ParseHeader(f)).XID)))
	}()
	if err := c.Barrier(testCtx(t)); err != nil {
		t.Fatal(err)
	}
	if len(b.msgs) != 0 {
		t.Errorf("the handler got %v", b.msgs)
	}
	// The peer goes while a request waits.
	go func() { readFrame(sw, MaxMessage); sw.Close() }()
	if err := c.Barrier(testCtx(t)); !errors.Is(err, ErrClosed) || !errors.Is(err, io.EOF) {
		t.Errorf("peer gone: %v", err)
	}
	if n := len(c.calls.byXID) + len(c.calls.ranges); n != 0 {
		t.Errorf("%d calls left", n)
	}
}

func codeByName(s string) (ErrorCode, error) {
	c, ok := ErrorCodeByName(s)
	if !ok {
		return c, fmt.Errorf("no error %s", s)
	}
	return c, nil
}

// TestTooLong refuses a message of more than 65,535 octets and sends the next.
func TestTooLong(t *testing.T) {
	noLeak(t)
	c, sw := connected(t, Options{})
	if _, err := c.Send(testCtx(t), &PacketOut{Data: make([]byte, 65536)}); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
	if _, err := c.Send(testCtx(t), &FlowMod{Flow: Flow{Actions: []Action{GotoTable{3}, Output{Port: 1}}}}); err == nil {
		t.Error("actions after goto_table were sent")
	}
	if _, err := c.Send(testCtx(t), &EchoReply{[]byte("x")}); err != nil {
		t.Fatal(err)
	}
	if m, ok := must(Decode(must(readFrame(sw, MaxMessage)))).(*EchoReply); !ok || string(m.Data) != "x" {
		t.Errorf("got %s", m)
	}
}
