package e2e

import (
	"context"
	"net"
	"testing"
	"time"
)

// udp4 opens a UDP socket on a port of the VM.
func (v *vm) udp4(port string) (c net.PacketConn) {
	v.e.t.Helper()
	if err := v.Do(func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp4", v.IP+":"+port)
		return err
	}); err != nil {
		v.e.t.Fatal(err)
	}
	v.e.t.Cleanup(func() { c.Close() })
	return c
}

// TestReopened has two sides send to each other with the same two addresses and ports, while rules of one side change: what
// one side may not carry on, the other may open, though conntrack takes it for the same connection.
func TestReopened(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	open, judged := e.group("open", nil), e.group("judged", nil)
	e.rule(open, "egress", nil)
	e.rule(open, "ingress", nil)
	in := e.rule(judged, "ingress", object{"protocol": "udp"})
	at := func(name, ip, group string) *vm {
		v := e.vm(name, n, "", object{"fixed_ips": []object{{"ip_address": ip}}, "security_groups": []string{group}})
		v.IP = ip
		v.with()
		return v
	}
	a, p := at("a", "10.0.0.11", open), at("p", "10.0.0.12", judged)
	ca, cp := a.udp4("5000"), p.udp4("5000")
	e.settle()
	to := func(v *vm) net.Addr { return &net.UDPAddr{IP: net.ParseIP(v.IP), Port: 5000} }
	// heard sends both ways at once, again and again, until those hear the other that should: "a", "p", both or none.
	heard := func(want string, within time.Duration) (got string) {
		t.Helper()
		got = "not asked"
		for end := time.Now().Add(within); got != want && time.Now().Before(end); {
			got = ""
			for _, c := range []net.PacketConn{ca, cp} { // what came before does not count
				c.SetReadDeadline(time.Now().Add(time.Millisecond))
				for b := make([]byte, 10); ; {
					if _, _, err := c.ReadFrom(b); err != nil {
						break
					}
				}
			}
			for range 3 {
				ca.WriteTo([]byte("x"), to(p))
				cp.WriteTo([]byte("x"), to(a))
			}
			for _, x := range []struct {
				name string
				c    net.PacketConn
			}{{"a", ca}, {"p", cp}} {
				x.c.SetReadDeadline(time.Now().Add(moment / 2))
				if _, _, err := x.c.ReadFrom(make([]byte, 10)); err == nil {
					got += x.name
				}
			}
		}
		return got
	}
	// a opens by p's ingress rule.
	ca.WriteTo([]byte("x"), to(p))
	if got := heard("ap", patience); got != "ap" {
		t.Fatalf("with an ingress rule %q hear the other", got)
	}
	e.delete("security-group-rule", in)
	e.settle()
	if got := heard("", patience); got != "" {
		t.Fatalf("without a rule %q hear the other", got)
	}
	// p may open now: the same addresses and ports, while a goes on sending.
	out := e.rule(judged, "egress", object{"protocol": "udp"})
	e.settle()
	if got := heard("ap", patience); got != "ap" {
		t.Errorf("with an egress rule %q hear the other", got)
	}
	e.delete("security-group-rule", out)
	e.rule(judged, "ingress", object{"protocol": "udp", "port_range_min": 5000, "port_range_max": 5000})
	e.settle()
	if got := heard("ap", patience); got != "ap" {
		t.Errorf("with an ingress rule again %q hear the other", got)
	}
}
