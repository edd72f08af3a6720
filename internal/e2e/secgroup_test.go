package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// serve answers what connects or sends to a port of the VM with the same, until the test ends.
func (v *vm) serve(network string, port int) {
	v.e.t.Helper()
	addr := ":" + strconv.Itoa(port)
	if strings.HasPrefix(network, "udp") {
		var c net.PacketConn
		err := v.Do(func() (err error) {
			c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), network, addr)
			return err
		})
		if err != nil {
			v.e.t.Fatal(err)
		}
		v.e.t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 2000)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				c.WriteTo(b[:n], from)
			}
		}()
		return
	}
	l, err := v.Listen(network, addr)
	if err != nil {
		v.e.t.Fatal(err)
	}
	v.e.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// dial opens a TCP connection or UDP socket to an address of serve's.
func (v *vm) dial(network, addr string, within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return v.Dial(ctx, network, addr)
}

// echoes tells whether a byte comes back from the other side in time.
func echoes(c net.Conn, within time.Duration) bool {
	c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte{'x'}); err != nil {
		return false
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	return err == nil && n > 0
}

// exchange tells whether a datagram comes back whole.
func exchange(c net.Conn, data []byte) bool {
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(data); err != nil {
		return false
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	return err == nil && n == len(data)
}

// refusedBy tells whether an ICMP error said that nobody listens on the other side.
func refusedBy(c net.Conn) bool {
	c.SetDeadline(time.Now().Add(moment))
	_, err := c.Write([]byte{'x'})
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// tries tells whether one exchange with a server succeeds.
func (v *vm) tries(network, addr string, within time.Duration) bool {
	c, err := v.dial(network, addr, within)
	if err != nil {
		return false
	}
	defer c.Close()
	return echoes(c, within)
}

// long enough for what is allowed, on a busy machine; what is not allowed is waited for this long in vain.
const moment = 400 * time.Millisecond

// reaches fails the test unless an exchange succeeds before patience ends.
func (v *vm) reaches(network string, to *vm, port int) {
	v.e.t.Helper()
	if addr := net.JoinHostPort(to.IP, strconv.Itoa(port)); !ovstest.WaitFor(patience, func() bool { return v.tries(network, addr, time.Second) }) {
		v.e.t.Errorf("%s does not reach %s port %d of %s", v.Name, network, port, to.Name)
	}
}

// refused fails the test if an exchange succeeds.
func (v *vm) refused(network string, to *vm, port int) {
	v.e.t.Helper()
	if addr := net.JoinHostPort(to.IP, strconv.Itoa(port)); v.tries(network, addr, moment) {
		v.e.t.Errorf("%s reaches %s port %d of %s", v.Name, network, port, to.Name)
	}
}

// silent fails the test if a ping is answered.
func (v *vm) silent(dst string) {
	v.e.t.Helper()
	if r := v.Ping(dst, 2); r.Received > 0 {
		v.e.t.Errorf("%s gets an answer from %s", v.Name, dst)
	}
}

// group makes a security group without rules.
func (e *env) group(name string, attrs object) string {
	e.t.Helper()
	body := object{"name": name}
	for k, v := range attrs {
		body[k] = v
	}
	g := e.create("security-group", body)
	for _, r := range g["security_group_rules"].([]any) {
		e.delete("security-group-rule", r.(object)["id"])
	}
	return g["id"].(string)
}

// rule adds a rule to a group.
func (e *env) rule(group, direction string, attrs object) string {
	e.t.Helper()
	body := object{"security_group_id": group, "direction": direction, "ethertype": "IPv4"}
	for k, v := range attrs {
		body[k] = v
	}
	return e.create("security-group-rule", body)["id"].(string)
}

// TestSecurityGroups has real peers try what rules allow and what they do not, on one host and across two.
func TestSecurityGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{hosts: 2})
	n, _ := s.network("blue", "10.0.0.0/24", object{"gateway_ip": nil})
	out := s.group("out", nil)
	s.rule(out, "egress", nil)
	at := func(h int, name, ip string, groups ...string) *vm {
		attrs := object{"fixed_ips": []object{{"ip_address": ip}}}
		if groups != nil {
			attrs["security_groups"] = groups
		}
		v := s.vmOn(s.hosts[h], name, n, attrs)
		v.IP = ip
		v.with()
		for _, port := range []int{80, 81, 22} {
			v.serve("tcp4", port)
			v.serve("udp4", port)
		}
		return v
	}
	a, b, c := at(0, "a", "10.0.0.11"), at(0, "b", "10.0.0.12"), at(1, "c", "10.0.0.13")
	x, y := at(0, "x", "10.0.0.21", out), at(1, "y", "10.0.0.22", out)
	s.settle()

	// The default group: its members reach each other, here and there; others reach nobody of it, and are reached.
	for _, v := range []*vm{b, c} {
		a.reaches("tcp4", v, 80)
		v.reaches("udp4", a, 81)
		a.pings(v.IP)
	}
	for _, v := range []*vm{x, y} {
		v.refused("tcp4", a, 80)
		v.refused("udp4", a, 80)
		v.silent(a.IP)
		v.silent(c.IP)
	}
	a.refused("tcp4", x, 80) // x lets nobody in
	a.silent(y.IP)

	// Rules of each kind, while packets flow.
	web := s.group("web", nil)
	s.rule(web, "egress", nil)
	tcp80 := s.rule(web, "ingress", object{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
	udp81 := s.rule(web, "ingress", object{"protocol": "udp", "port_range_min": 81, "port_range_max": 90, "remote_ip_prefix": "10.0.0.16/28"})
	remote := s.rule(web, "ingress", object{"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_group_id": out})
	w := at(0, "w", "10.0.0.31", web)
	s.settle()
	for _, v := range []*vm{a, c, x, y} {
		v.reaches("tcp4", w, 80)
		v.refused("tcp4", w, 81)
	}
	x.reaches("udp4", w, 81)
	y.reaches("udp4", w, 81)
	a.refused("udp4", w, 81)
	x.refused("udp4", w, 80)
	x.reaches("tcp4", w, 22)
	y.reaches("tcp4", w, 22)
	c.refused("tcp4", w, 22)
	x.silent(w.IP)
	s.rule(web, "ingress", object{"protocol": "icmp", "port_range_min": 8, "port_range_max": 0})
	x.pings(w.IP)
	y.pings(w.IP)

	// What a rule, a membership or an address carried stops when it goes; all else goes on.
	conns := map[string]net.Conn{}
	for name, d := range map[string]struct {
		from *vm
		port int
	}{"x80": {x, 80}, "y80": {y, 80}, "x22": {x, 22}, "y22": {y, 22}} {
		conn, err := d.from.dial("tcp4", fmt.Sprintf("%s:%d", w.IP, d.port), patience)
		if err != nil || !echoes(conn, patience) {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { conn.Close() })
		conns[name] = conn
	}
	stops := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if !ovstest.WaitFor(patience, func() bool { return !echoes(conns[name], 2*moment) }) {
				t.Errorf("connection %s still carries", name)
			}
			conns[name].Close()
			delete(conns, name)
		}
		for name, conn := range conns {
			if !echoes(conn, patience) {
				t.Errorf("connection %s has stopped too", name)
			}
		}
	}
	s.delete("security-group-rule", udp81)
	s.settle()
	stops()
	s.update("port", y.Port["id"], object{"security_groups": []string{}}) // leaves the remote group
	s.settle()
	stops("y22", "y80") // and may send nothing any more
	s.delete("security-group-rule", remote)
	s.settle()
	stops("x22")
	s.d.kill()
	stops()
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	s.settle()
	stops()
	s.delete("security-group-rule", tcp80)
	s.settle()
	stops("x80")
	s.noLimits(t)
}

// vmOn is vm on a host of several.
func (s *site) vmOn(h *ovstest.Host, name string, net object, attrs object) *vm {
	s.t.Helper()
	body := object{"name": name, "network_id": net["id"]}
	for k, v := range attrs {
		body[k] = v
	}
	p := s.create("port", body)
	v := &vm{e: s.env, Port: p}
	v.VM = h.AddVM(name, ovstest.VMOptions{MAC: p["mac_address"].(string), IfaceID: p["id"].(string), NoPlug: true})
	if mtu, ok := net["mtu"].(float64); ok {
		v.Run("ip", "link", "set", "eth0", "mtu", strconv.Itoa(int(mtu)))
	}
	v.Plug()
	v.waitActive()
	return v
}
