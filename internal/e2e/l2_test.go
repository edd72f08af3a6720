package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// dhcpServer is the address of a network's DHCP server and its MAC.
func (e *env) dhcpServer(net object) (ip, mac string) {
	e.t.Helper()
	var out struct{ Ports []object }
	e.do("GET", "/v2.0/ports?device_owner="+url.QueryEscape("network:dhcp")+"&network_id="+net["id"].(string), nil, &out)
	if len(out.Ports) != 1 {
		e.t.Fatalf("%d DHCP ports", len(out.Ports))
	}
	p := out.Ports[0]
	return p["fixed_ips"].([]any)[0].(object)["ip_address"].(string), p["mac_address"].(string)
}

// neighbour is the MAC that the VM has found for an address, or "".
func (v *vm) neighbour(ip string) string {
	out, _ := v.TryRun("ip", "neigh", "show", ip, "dev", "eth0")
	f := strings.Fields(out)
	for i, w := range f {
		if w == "lladdr" && i+1 < len(f) {
			return f[i+1]
		}
	}
	return ""
}

// TestIsolation has two networks with the same addresses: each VM reaches its own network only, and the DHCP server
// of each answers ARP and ping.
func TestIsolation(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	blue, _ := e.network("blue", "10.0.0.0/24", nil)
	red, _ := e.network("red", "10.0.0.0/24", nil)
	b1, b2 := e.vm("b1", blue, "10.0.0.11", nil).with(), e.vm("b2", blue, "10.0.0.12", nil).with()
	r1, r2 := e.vm("r1", red, "10.0.0.11", nil).with(), e.vm("r2", red, "10.0.0.13", nil).with()
	seen1, seen2 := r1.Capture("ether src "+b1.MAC+" or ether src "+b2.MAC), r2.Capture("ether src "+b1.MAC+" or ether src "+b2.MAC)
	b1.pings("10.0.0.12")
	b2.pings("10.0.0.11")
	r1.pings("10.0.0.13")
	if r := b1.Ping("10.0.0.13", 3); r.Received != 0 {
		t.Errorf("blue reaches an address that only red has: %v", r)
	}
	if r := r1.Ping("10.0.0.12", 3); r.Received != 0 {
		t.Errorf("red reaches an address that only blue has: %v", r)
	}
	for _, c := range []struct {
		v   *vm
		net object
	}{{b1, blue}, {r1, red}} {
		ip, mac := e.dhcpServer(c.net)
		c.v.pings(ip)
		if got := c.v.neighbour(ip); got != mac {
			t.Errorf("%s: the DHCP server's MAC is %q, want %q", c.v.Name, got, mac)
		}
	}
	if got := b1.neighbour("10.0.0.12"); got != b2.MAC {
		t.Errorf("b1 found %s for b2, want %s", got, b2.MAC)
	}
	for _, c := range []*ovstest.Capture{seen1, seen2} {
		if l := c.Stop(); len(l) != 0 {
			t.Errorf("red saw frames of blue: %q", l)
		}
	}
}

// TestDuplicateAddress runs the probe that clients run before they take an address (RFC 5227).
func TestDuplicateAddress(t *testing.T) {
	t.Parallel()
	ovstest.Need(t, "arping")
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	a, b := e.vm("a", n, "10.0.0.11", nil), e.vm("b", n, "10.0.0.12", nil).with()
	if out, err := a.TryRun("arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", "10.0.0.11"); err != nil {
		t.Errorf("a finds its own address taken: %s", out)
	}
	if out, err := a.TryRun("arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", b.IP); err == nil {
		t.Errorf("a finds b's address free: %s", out)
	}
	server, _ := e.dhcpServer(n)
	if out, err := a.TryRun("arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", server); err == nil {
		t.Errorf("a finds the DHCP server's address free: %s", out)
	}
	if out, err := a.TryRun("arping", "-D", "-c", "2", "-w", "3", "-I", "eth0", "10.0.0.99"); err != nil {
		t.Errorf("a finds an address taken that nobody has: %s", out)
	}
}

// learned waits until a MAC is in the fdb and gives its entry.
func (e *env) learned(mac string) (found opapi.FDBEntry) {
	e.t.Helper()
	e.wait(mac+" to be learned", func() bool {
		for _, f := range e.fdb() {
			if f.MAC == mac {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

// TestLearning has a port without port security bring a second MAC along.
func TestLearning(t *testing.T) {
	t.Parallel()
	const mac, nobody = "02:00:00:00:0b:01", "02:00:00:00:0b:ff"
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	a, other := e.vm("a", n, "10.0.0.11", nil).with(), e.vm("other", n, "10.0.0.12", nil).with()
	v := e.vm("bridge", n, "10.0.0.13", object{"port_security_enabled": false})
	v.Run("ip", "link", "set", "eth0", "address", mac)
	v.SetIP("10.0.0.99/24", "")

	// A frame to a MAC that nobody has goes to everybody.
	flooded := other.Capture("ether dst " + nobody)
	a.Run("ip", "neigh", "replace", "10.0.0.200", "lladdr", nobody, "dev", "eth0")
	a.Ping("10.0.0.200", 2)
	if flooded.Wait("echo request", patience) == "" {
		t.Fatal("a frame to an unknown MAC was not flooded")
	}

	a.pings("10.0.0.99") // and not the other way: a's security group lets in only what it knows
	f := e.learned(mac)
	if f.Host != "h1" || f.NetworkID != n["id"] || f.PortID != v.Port["id"] || f.PortName != "bridge" {
		t.Errorf("fdb: %+v", f)
	}
	// One to a learned MAC goes there only.
	direct := other.Capture("ether dst " + mac)
	a.pings("10.0.0.99")
	if l := direct.Stop(); len(l) != 0 {
		t.Errorf("frames to a learned MAC reach others too: %q", l)
	}
	// A port with port security teaches nothing.
	other.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:0b:02")
	other.TryRun("ping", "-c", "1", "-W", "1", "-b", "10.0.0.255") // nobody answers
	e.settle()

	// The fact lives in the switch: a new penstockd finds it there.
	e.d.kill()
	e.d.start()
	e.waitReady()
	f2 := e.learned(mac)
	if f2.Age < f.Age || f2.PortID != f.PortID {
		t.Errorf("fdb after a restart: %+v, before: %+v", f2, f)
	}
	if n := e.flowMods(); n != 0 {
		t.Errorf("%d flow-mods after a restart", n)
	}
	if got := e.fdb(); len(got) != 1 {
		t.Errorf("fdb: %+v", got)
	}
	// It goes with the port.
	v.Unplug()
	e.wait("the fdb entry to go", func() bool { return len(e.fdb()) == 0 })
}

// TestGratuitousARP has a VM claim its neighbour's address: who asks Penstock's flows is not misled.
func TestGratuitousARP(t *testing.T) {
	t.Parallel()
	ovstest.Need(t, "arping")
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	a, b, thief := e.vm("a", n, "10.0.0.11", nil).with(), e.vm("b", n, "10.0.0.12", nil).with(), e.vm("thief", n, "10.0.0.13", nil).with()
	thief.Run("ip", "addr", "add", b.IP+"/24", "dev", "eth0")
	thief.Run("arping", "-A", "-c", "2", "-I", "eth0", b.IP)
	thief.Run("arping", "-U", "-c", "2", "-I", "eth0", b.IP)
	a.pings(b.IP)
	if got := a.neighbour(b.IP); got != b.MAC {
		t.Errorf("a believes that %s is at %s, it is at %s", b.IP, got, b.MAC)
	}
	if l := e.fdb(); len(l) != 0 {
		t.Errorf("learned from a port with port security: %+v", l)
	}
}
