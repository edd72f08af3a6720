package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// stateOf is everything on a host's bridges.
func (s *site) stateOf(h *ovstest.Host) []string {
	e := *s.env
	e.host = h
	return e.state()
}

// refused sends to a UDP port where nobody listens and tells whether the kernel heard of it: the error that came back must
// quote the packet as this machine knows it.
func refused(n *ovstest.Node, addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := n.Dial(ctx, "udp4", addr+":9")
	if err != nil {
		return false
	}
	defer c.Close()
	return ovstest.WaitFor(patience, func() bool {
		c.Write([]byte("x")) //nolint:errcheck // may tell of the packet before
		c.SetReadDeadline(time.Now().Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// TestRoutersLife has TCP and the errors of ICMP on every path between two hosts, one of which has the physical network, then
// kills penstockd and restarts each Open vSwitch under traffic, and takes all away again.
func TestRoutersLife(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 2, "")
	h1, h2 := s.hosts[0], s.hosts[1]
	var empty [2][]string
	for i, h := range s.hosts {
		empty[i] = s.stateOf(h)
	}
	const outside = "203.0.113.1"
	public := s.external("203.0.113.0/24", outside, "203.0.113.10-203.0.113.99")
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	red, s2 := s.network("red", "10.0.2.0/24", nil)
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	a, b, c := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(h2, "b", red, "10.0.2.12", nil).via("10.0.2.1"), s.on(h1, "c", red, "10.0.2.13", nil).via("10.0.2.1")
	vms := []*vm{a, b, c}
	for _, v := range vms {
		v.Run("ip", "link", "set", "eth0", "mtu", "1450")
	}
	s.settle()

	// Every path.
	for _, x := range []struct {
		from, to *ovstest.Node
		addr     string
	}{{&a.Node, &b.Node, b.IP}, {&a.Node, &c.Node, c.IP}, {&a.Node, &out.Node, outside}, {&b.Node, &out.Node, outside}} {
		transfer(t, x.from, x.to, x.addr, false)
		transfer(t, x.from, x.to, x.addr, true)
		if !refused(x.from, x.addr) {
			t.Errorf("%s did not hear that nobody listens at %s", x.from.Name, x.addr)
		}
	}
	collide(t, &out.Node, outside, &a.Node, &b.Node, &c.Node)
	own := s.show("router", r["id"])["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
	if !refused(&out.Node, own) {
		t.Error("the outside did not hear that nobody listens at the router")
	}
	floating, addr := map[*vm]object{}, map[*vm]string{}
	for _, v := range vms {
		floating[v], addr[v] = s.floatingIP(public, v)
	}
	s.settle()
	for _, x := range []struct {
		from, to *ovstest.Node
		addr     string
	}{{&out.Node, &a.Node, addr[a]}, {&out.Node, &b.Node, addr[b]}, {&a.Node, &out.Node, outside}, {&b.Node, &out.Node, outside},
		{&a.Node, &c.Node, addr[c]}, {&a.Node, &a.Node, addr[a]}, {&b.Node, &a.Node, addr[a]}, {&a.Node, &b.Node, addr[b]}, {&b.Node, &b.Node, addr[b]}} {
		transfer(t, x.from, x.to, x.addr, false)
		transfer(t, x.from, x.to, x.addr, true)
		if x.from != x.to && !refused(x.from, x.addr) {
			t.Errorf("%s did not hear that nobody listens at %s", x.from.Name, x.addr)
		}
	}
	// In fragments.
	for _, x := range []struct {
		from *ovstest.Node
		addr string
	}{{&a.Node, c.IP}, {&a.Node, b.IP}, {&a.Node, outside}, {&b.Node, outside}, {&out.Node, addr[a]}, {&out.Node, addr[b]}, {&a.Node, addr[c]}} {
		if o, err := x.from.TryRun("ping", "-n", "-c", "2", "-i", "0.2", "-W", "3", "-s", "3000", x.addr); err != nil {
			t.Errorf("%s pings %s in fragments: %s", x.from.Name, x.addr, o)
		}
	}
	// Traceroute from outside: the error quotes the floating IP, which it is from, too.
	if o, _ := out.TryRun("ping", "-n", "-c", "1", "-W", "5", "-t", "1", addr[b]); !strings.Contains(o, "From "+addr[b]+" ") || !strings.Contains(o, "Time to live exceeded") {
		t.Errorf("TTL 1 from outside: %s", o)
	}

	tooBig(t, &out.Node, addr[b], 1500, 1450, addr[b])

	s.survives(t, out, a, b, addr)

	// Down to nothing.
	for _, v := range vms {
		s.delete("floatingip", floating[v]["id"])
	}
	for _, x := range []object{s1, s2} {
		s.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/remove_router_interface", object{"subnet_id": x["id"]}, nil)
	}
	s.delete("router", r["id"])
	for _, v := range vms {
		v.Unplug()
		s.delete("port", v.Port["id"])
	}
	for _, n := range []object{blue, red, public} {
		s.delete("network", n["id"])
	}
	s.settle()
	for i, h := range s.hosts {
		left := ""
		if !ovstest.WaitFor(patience, func() bool { left = differ(empty[i], s.stateOf(h)); return left == "" }) {
			t.Errorf("left on %s: %.3000s", h.Name, left)
		}
		var conns []string
		if !ovstest.WaitFor(patience, func() bool {
			conns = slices.DeleteFunc(strings.Split(h.AppCtl("dpctl/dump-conntrack"), "\n"), func(l string) bool { return !strings.Contains(l, "zone=") })
			return len(conns) == 0
		}) {
			t.Errorf("connections left on %s: %q", h.Name, conns)
		}
	}
	s.noLimits(t)
}

// collide has several machines send from one UDP port to one of another machine, which sees different ones and whose answers
// each go to the right one.
func collide(t *testing.T, to *ovstest.Node, addr string, from ...*ovstest.Node) {
	t.Helper()
	listen := func(n *ovstest.Node, at string) (c net.PacketConn) {
		if err := n.Do(func() (err error) { c, err = net.ListenPacket("udp4", at); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // reading tells
		return c
	}
	far := listen(to, ":40001")
	var near []net.PacketConn
	seen := map[string]bool{}
	for _, n := range from {
		c := listen(n, ":40000")
		near = append(near, c)
		b := make([]byte, 64)
		if _, err := c.WriteTo([]byte(n.Name), &net.UDPAddr{IP: net.ParseIP(addr), Port: 40001}); err != nil {
			t.Fatal(err)
		}
		k, peer, err := far.ReadFrom(b)
		if err != nil || string(b[:k]) != n.Name || seen[peer.String()] {
			t.Fatalf("%s is seen as %v, as another already: %v; %v", n.Name, peer, seen, err)
		}
		seen[peer.String()] = true
		far.WriteTo(b[:k], peer) //nolint:errcheck // the read below tells
	}
	for i, c := range near {
		b := make([]byte, 64)
		if k, _, err := c.ReadFrom(b); err != nil || string(b[:k]) != from[i].Name {
			t.Errorf("%s got %q, %v", from[i].Name, b[:k], err)
		}
	}
}

// survives kills penstockd, which loses no packet on any path, and restarts each Open vSwitch, after which all paths work again.
func (s *site) survives(t *testing.T, out *ovstest.VM, a, b *vm, addr map[*vm]string) {
	paths := []struct {
		from *ovstest.Node
		dst  string
	}{{&a.Node, b.IP}, {&b.Node, "203.0.113.1"}, {&a.Node, "203.0.113.1"}, {&out.Node, addr[a]}, {&out.Node, addr[b]}, {&b.Node, addr[a]}}
	var pings []*ovstest.RunningPing
	for _, p := range paths {
		if !p.from.WaitPing(p.dst, patience) {
			t.Fatalf("%s gets no answer from %s", p.from.Name, p.dst)
		}
		pings = append(pings, p.from.StartPing(p.dst, 20*time.Millisecond))
	}
	goesOn := func(after string) {
		t.Helper()
		for i, p := range pings {
			n := p.Received()
			if !ovstest.WaitFor(patience, func() bool { return p.Received() > n+5 }) {
				t.Errorf("%s gets no answer from %s after %s", paths[i].from.Name, paths[i].dst, after)
			}
		}
	}
	goesOn("nothing")
	s.d.kill()
	goesOn("penstockd was killed")
	s.d.start()
	s.wait("penstockd to be ready", func() bool { code, _, err := s.try("GET", "/readyz", nil); return err == nil && code == 200 })
	s.settle()
	goesOn("penstockd came again")
	for i, p := range pings {
		if got := p.Stop(); got.Lost > 0 {
			t.Errorf("%s to %s while penstockd was killed: %v", paths[i].from.Name, paths[i].dst, got)
		}
		pings[i] = paths[i].from.StartPing(paths[i].dst, 20*time.Millisecond)
	}
	for _, h := range s.hosts {
		h.KillVswitchd()
		h.StartVswitchd()
		goesOn(fmt.Sprintf("ovs-vswitchd of %s was killed", h.Name))
	}
	for _, p := range pings {
		p.Stop()
	}
	s.settle()
}
