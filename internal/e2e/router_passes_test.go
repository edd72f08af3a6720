package e2e

import (
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/pipeline"
)

// stream is a UDP socket of a machine and one of another that it can reach.
type stream struct {
	t        *testing.T
	from, to net.PacketConn
	addr     net.Addr // of to, as from has to send to it
}

// streamTo opens a stream to a port that is addressed by addr.
func streamTo(t *testing.T, from, to *ovstest.Node, addr string) *stream {
	t.Helper()
	x := &stream{t: t}
	for _, y := range []struct {
		n *ovstest.Node
		c *net.PacketConn
	}{{from, &x.from}, {to, &x.to}} {
		if err := y.n.Do(func() (err error) { *y.c, err = net.ListenPacket("udp4", ":0"); return err }); err != nil {
			t.Fatal(err)
		}
		c := *y.c
		t.Cleanup(func() { c.Close() })
	}
	x.addr = &net.UDPAddr{IP: net.ParseIP(addr), Port: x.to.LocalAddr().(*net.UDPAddr).Port}
	return x
}

// send sends n packets and waits until they have arrived; back has the receiver answer them instead.
func (x *stream) send(n int, back bool) {
	x.t.Helper()
	b := make([]byte, 64)
	from, to, addr := x.from, x.to, x.addr
	if back {
		x.from.WriteTo(b, x.addr) //nolint:errcheck // the read tells
		x.to.SetReadDeadline(time.Now().Add(patience))
		_, peer, err := x.to.ReadFrom(b)
		if err != nil {
			x.t.Fatalf("to %s: %v", x.addr, err)
		}
		from, to, addr = x.to, x.from, peer
	}
	to.SetReadDeadline(time.Now().Add(patience))
	for range n {
		if _, err := from.WriteTo(b, addr); err != nil {
			x.t.Fatalf("to %s: %v", addr, err)
		}
		if _, _, err := to.ReadFrom(b); err != nil {
			x.t.Fatalf("from %s to %s: %v", from.LocalAddr(), addr, err)
		}
	}
}

// recirculations is how many passes beyond the first a host's datapath has made.
func recirculations(h *ovstest.Host) (n int) {
	for _, line := range strings.Split(h.AppCtl("dpif-netdev/pmd-stats-show"), "\n") {
		if name, v, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "packet recirculations" {
			k, _ := strconv.Atoi(strings.TrimSpace(v))
			n += k
		}
	}
	return n
}

// TestPasses sends packets along every routed path and holds the passes that they take on each host against the declared ones.
func TestPasses(t *testing.T) {
	t.Parallel()
	s, out := gateway(t, 2, "")
	h1, h2 := s.hosts[0], s.hosts[1]
	public := s.external("203.0.113.0/24", "203.0.113.1", "203.0.113.10-203.0.113.99")
	blue, s1 := s.network("blue", "10.0.1.0/24", nil)
	red, s2 := s.network("red", "10.0.2.0/24", nil)
	r := s.router("r", s1, s2)
	s.update("router", r["id"], object{"external_gateway_info": object{"network_id": public["id"]}})
	a, d := s.on(h1, "a", blue, "10.0.1.11", nil).via("10.0.1.1"), s.on(h1, "d", red, "10.0.2.14", nil).via("10.0.2.1")
	b, c := s.on(h2, "b", red, "10.0.2.12", nil).via("10.0.2.1"), s.on(h2, "c", blue, "10.0.1.13", nil).via("10.0.1.1")
	s.settle()
	measured := map[string]bool{}
	// measure sends along a path: what it is called on each host, in the order of hosts.
	measure := func(x *stream, back bool, on ...string) {
		t.Helper()
		const n = 100
		x.send(3, back)
		var before [2]int
		for i, h := range s.hosts {
			before[i] = recirculations(h)
		}
		x.send(n, back)
		for i, name := range on {
			if name == "" {
				continue
			}
			budget := -1
			for _, p := range pipeline.RoutedPaths {
				if p.Name == name {
					budget = p.Recirculations
				}
			}
			measured[name] = true
			// What else the machines say by themselves is far less than one a packet.
			if took := float64(recirculations(s.hosts[i])-before[i]) / n; int(math.Round(took)) != budget || budget > pipeline.MaxRecirculations {
				t.Errorf("%s: %.2f passes beyond the first, %d are declared", name, took, budget)
			}
		}
	}
	const outside = "203.0.113.1"
	for _, v := range []*vm{a, b} { // tunnels and neighbours first
		v.pings(outside)
		v.pings("10.0.1.13")
	}
	measure(streamTo(t, &a.Node, &d.Node, d.IP), false, "routed to a vm on its host")
	measure(streamTo(t, &a.Node, &b.Node, b.IP), false, "routed to another host", "routed from another host")
	x := streamTo(t, &a.Node, &out.Node, outside)
	measure(x, false, "out by SNAT")
	measure(x, true, "back by SNAT")
	x = streamTo(t, &b.Node, &out.Node, outside)
	measure(x, false, "through the gateway host by SNAT", "to the gateway host")
	measure(x, true, "back through the gateway host by SNAT", "routed from another host")

	addr := map[*vm]string{}
	for _, v := range []*vm{a, b, c, d} {
		_, addr[v] = s.floatingIP(public, v)
	}
	s.settle()
	for _, v := range []*vm{a, b, c, d} {
		if !out.WaitPing(addr[v], patience) {
			t.Fatalf("%s is not reached", addr[v])
		}
	}
	x = streamTo(t, &out.Node, &a.Node, addr[a])
	measure(x, false, "in by floating IP")
	measure(x, true, "out by floating IP")
	x = streamTo(t, &out.Node, &b.Node, addr[b])
	measure(x, false, "in by floating IP of another host", "routed from another host")
	measure(x, true, "out by floating IP of another host", "to the gateway host")
	measure(streamTo(t, &a.Node, &d.Node, addr[d]), false, "floating IP to floating IP")
	measure(streamTo(t, &a.Node, &a.Node, addr[a]), false, "vm to its own floating IP")
	measure(streamTo(t, &b.Node, &a.Node, addr[a]), false, "another host's vm to floating IP here", "to the gateway host")
	// b's packets leave h2 and come back there: both count.
	measure(streamTo(t, &b.Node, &c.Node, addr[c]), false, "another host's vm to another host's floating IP")
	for _, p := range pipeline.RoutedPaths {
		if !measured[p.Name] {
			t.Errorf("nothing is sent along %q", p.Name)
		}
	}
	s.noLimits(t)
}
