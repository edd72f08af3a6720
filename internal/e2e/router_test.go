package e2e

import (
	"strings"
	"testing"
)

// router makes a router with interfaces on subnets.
func (e *env) router(name string, subnets ...object) object {
	e.t.Helper()
	r := e.create("router", object{"name": name})
	for _, s := range subnets {
		e.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/add_router_interface", object{"subnet_id": s["id"]}, nil)
	}
	return r
}

// via gives the VM its port's address without DHCP, in a /24, and a gateway.
func (v *vm) via(gateway string) *vm {
	v.e.t.Helper()
	v.SetIP(v.IP+"/24", gateway)
	return v
}

// TestRouting routes between two subnets on one host, and two more routers with the same addresses beside it.
func TestRouting(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	blue, s1 := e.network("blue", "10.0.1.0/24", nil)
	red, s2 := e.network("red", "10.0.2.0/24", nil)
	r := e.router("r", s1, s2)
	a, b := e.vm("a", blue, "10.0.1.11", nil).via("10.0.1.1"), e.vm("b", red, "10.0.2.12", nil).via("10.0.2.1")
	blue2, s3 := e.network("blue2", "10.0.1.0/24", nil)
	red2, s4 := e.network("red2", "10.0.2.0/24", nil)
	e.router("r2", s3, s4)
	c, d := e.vm("c", blue2, "10.0.1.11", nil).via("10.0.1.1"), e.vm("d", red2, "10.0.2.13", nil).via("10.0.2.1")
	e.settle()

	seen := b.Capture("icmp[icmptype] == 8")
	a.pings("10.0.2.12")
	b.pings("10.0.1.11")
	c.pings("10.0.2.13")
	d.pings("10.0.1.11")
	for _, self := range []string{"10.0.1.1", "10.0.2.1"} {
		a.pings(self)
	}
	if l := strings.Join(seen.Stop(), "\n"); !strings.Contains(l, "10.0.1.11 > 10.0.2.12") {
		t.Errorf("b saw %s", l)
	}
	// One hop: the router shows itself.
	if out, _ := a.TryRun("ping", "-c", "1", "-W", "5", "-t", "1", "10.0.2.12"); !strings.Contains(out, "From 10.0.1.1 ") || !strings.Contains(out, "Time to live exceeded") {
		t.Errorf("TTL 1: %s", out)
	}
	if out, err := a.TryRun("ping", "-c", "1", "-W", "5", "-t", "2", "10.0.2.12"); err != nil || !strings.Contains(out, "ttl=63") {
		t.Errorf("TTL 2: %s", out)
	}
	for dst, want := range map[string]string{"192.0.2.1": "Destination Net Unreachable", "10.0.2.13": "Destination Host Unreachable"} {
		if out, _ := a.TryRun("ping", "-c", "1", "-W", "5", dst); !strings.Contains(out, "From 10.0.1.1 ") || !strings.Contains(out, want) {
			t.Errorf("%s: %s, want %s", dst, out, want)
		}
	}
	// Off and on, and without an interface.
	e.update("router", r["id"], object{"admin_state_up": false})
	e.settle()
	if p := a.Ping("10.0.2.12", 2); p.Received > 0 {
		t.Errorf("a router that is down forwards: %v", p)
	}
	e.update("router", r["id"], object{"admin_state_up": true})
	a.pings("10.0.2.12")
	e.do("PUT", "/v2.0/routers/"+r["id"].(string)+"/remove_router_interface", object{"subnet_id": s2["id"]}, nil)
	e.settle()
	if p := a.Ping("10.0.2.12", 2); p.Received > 0 {
		t.Errorf("a router forwards into a subnet that it has no interface on: %v", p)
	}
}
