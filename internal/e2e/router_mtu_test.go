package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// tooBig pings with DF set and a packet of size bytes until somebody says that it is too big for an MTU.
func tooBig(t *testing.T, from *ovstest.Node, dst string, size, mtu int, by string) {
	t.Helper()
	out := ""
	if !ovstest.WaitFor(patience, func() bool {
		from.TryRun("ip", "route", "flush", "cache")
		out, _ = from.TryRun("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", fmt.Sprint(size-28), dst)
		return strings.Contains(out, "From "+by+" ") && strings.Contains(out, fmt.Sprintf("mtu = %d)", mtu))
	}) {
		t.Errorf("%s pings %s with %d bytes: %s; want a word of %s about an MTU of %d", from.Name, dst, size, out, by, mtu)
	}
}

// transfer sends a megabyte by TCP, from who opens the connection or, back, to it, and tells of what does not arrive.
func transfer(t *testing.T, from, to *ovstest.Node, addr string, back bool) {
	t.Helper()
	const size = 1 << 20
	l, err := to.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ends := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			ends <- c
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := from.Dial(t.Context(), "tcp4", net.JoinHostPort(addr, port))
	if err != nil {
		t.Errorf("%s to %s at %s: %v", from.Name, to.Name, addr, err)
		return
	}
	defer c.Close()
	far := <-ends
	defer far.Close()
	send, receive := c, far
	if back {
		send, receive = far, c
	}
	for _, x := range []net.Conn{c, far} {
		x.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // reading and writing tells
	}
	go func() {
		send.Write(make([]byte, size)) //nolint:errcheck // what does not arrive tells
		send.Close()
	}()
	if n, err := io.Copy(io.Discard, receive); n != size {
		t.Errorf("%s and %s at %s, back %v: %d of %d bytes arrived: %v", from.Name, to.Name, addr, back, n, size, err)
	}
}

// TestPathMTU has networks with MTUs of 1500, 1450 and 1400 behind one router, and the outside at 1500 (as its machine
// believes): whoever sends too much is told, through NAT too, and TCP gets through.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 1, "external_physical_network: external")
	h := s.hosts[0]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	wide := s.create("network", object{"name": "wide", "provider:network_type": "vlan", "provider:segmentation_id": 100, "provider:physical_network": "external"})
	s1 := s.create("subnet", object{"network_id": wide["id"], "ip_version": 4, "cidr": "10.0.1.0/24"})
	narrow, s2 := s.network("narrow", "10.0.2.0/24", nil)
	if a, b := wide["mtu"], narrow["mtu"]; a != 1500. || b != 1450. {
		t.Fatalf("MTUs of VLAN and VXLAN are %v and %v", a, b)
	}
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	open := object{"port_security_enabled": false}
	a, b, c := s.on(h, "a", wide, "10.0.1.11", open).via("10.0.1.1"), s.on(h, "b", narrow, "10.0.2.12", nil).via("10.0.2.1"), s.on(h, "c", narrow, "10.0.2.13", open).via("10.0.2.1")
	// c takes no notice of its network's MTU: TCP's handshake does not bound what it is sent.
	c.Run("ip", "link", "set", "eth0", "mtu", "1500")
	s.settle()
	a.pings("10.0.2.12")
	b.pings("203.0.113.1")

	// Between inner networks; back there is nothing to be told, and what fits passes.
	tooBig(t, &a.Node, "10.0.2.12", 1451, 1450, "10.0.1.1")
	a.Run("ip", "route", "flush", "cache")
	for _, x := range []struct {
		v    *vm
		dst  string
		size int
	}{{a, "10.0.2.12", 1450}, {b, "10.0.1.11", 1450}, {b, "203.0.113.1", 1450}, {a, "203.0.113.1", 1500}} {
		if o, err := x.v.TryRun("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", fmt.Sprint(x.size-28), x.dst); err != nil {
			t.Errorf("%s pings %s with %d bytes: %s", x.v.Name, x.dst, x.size, o)
		}
	}
	transfer(t, &a.Node, &c.Node, "10.0.2.13", false)

	// From outside to a floating IP: the error quotes the floating IP, or the sender would not know its connection.
	_, fb := s.floatingIP(public, b)
	s.settle()
	if !out.WaitPing(fb, patience) {
		t.Fatalf("%s is not reached", fb)
	}
	tooBig(t, &out.Node, fb, 1500, 1450, fb)
	f, fc := s.floatingIP(public, c)
	s.settle()
	transfer(t, &out.Node, &c.Node, fc, false)

	// From outside to a VM that opened the connection, through SNAT: a large answer to a small request.
	s.delete("floatingip", f["id"])
	s.settle()
	out.Run("ip", "route", "flush", "cache")
	errors := out.Capture("icmp[icmptype] == 3 and icmp[icmpcode] == 4")
	transfer(t, &c.Node, &out.Node, "203.0.113.1", false) // the other way nothing is too big
	transfer(t, &c.Node, &out.Node, "203.0.113.1", true)
	if l := strings.Join(errors.Stop(), "\n"); strings.Contains(l, "10.0.2") || !strings.Contains(l, own+" > 203.0.113.1") {
		t.Errorf("the outside was told %s", l)
	}

	// A smaller network in the middle of an operation, by the API.
	s.update("network", narrow["id"], object{"mtu": 1400})
	s.settle()
	tooBig(t, &a.Node, "10.0.2.12", 1450, 1400, "10.0.1.1")
}
