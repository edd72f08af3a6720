package e2e

import (
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// underPing runs f while a pings dst every 5 ms, and more than a second before and after it.
func underPing(t *testing.T, a *vm, dst string, f func(p *ovstest.RunningPing)) ovstest.PingResult {
	t.Helper()
	a.pings(dst)
	p := a.StartPing(dst, 5*time.Millisecond)
	more(t, p, 100)
	f(p)
	more(t, p, 100)
	return p.Stop()
}

// more waits until the ping has had n more answers.
func more(t *testing.T, p *ovstest.RunningPing, n int) {
	t.Helper()
	want := p.Received() + n
	ovstest.Wait(t, patience, "answers", func() bool { return p.Received() >= want })
}

func pair(e *env) (a, b *vm) {
	e.t.Helper()
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	return e.vm("a", n, "10.0.0.11", nil).with(), e.vm("b", n, "10.0.0.12", nil).with()
}

// TestRestartPenstockd kills penstockd and stops it under a running ping: no packet is lost, and the new one sends
// nothing, since nothing has changed.
func TestRestartPenstockd(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	for name, end := range map[string]func(){"SIGKILL": e.d.kill, "SIGTERM": e.d.stop} {
		r := underPing(t, a, b.IP, func(p *ovstest.RunningPing) {
			end()
			more(t, p, 200) // a second without a controller
			e.d.start()
			e.waitReady()
		})
		if r.Lost != 0 || r.Duplicates != 0 {
			t.Errorf("%s: %v", name, r)
		}
		if n := e.flowMods(); n != 0 {
			t.Errorf("%s: the new penstockd sent %d flow-mods", name, n)
		}
		if a.status() != "ACTIVE" || !a.installed() {
			t.Errorf("%s: port is %s, installed %v", name, a.status(), a.installed())
		}
	}
	// What changes while it is down is done when it is back.
	e.d.kill()
	b.Unplug()
	e.d.start()
	e.waitReady()
	b.waitStatus("DOWN")
	b.Plug()
	b.waitActive()
	a.pings(b.IP)
}

// TestRestartOVS restarts ovsdb-server (none lost), ovs-vswitchd, and both (they recover, with all flows).
func TestRestartOVS(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	a, b := pair(e)
	e.settle()
	before := e.state()
	mods := e.flowMods()
	r := underPing(t, a, b.IP, func(*ovstest.RunningPing) {
		e.host.RestartDB()
		e.wait("the database to be known again", func() bool { return e.problem("OVSDB_UNREACHABLE") == nil })
		e.settle()
	})
	if r.Lost != 0 {
		t.Errorf("ovsdb-server: %v", r)
	}
	if n := e.flowMods(); n != mods {
		t.Errorf("ovsdb-server: %d flow-mods", n-mods)
	}
	for _, c := range []struct {
		name    string
		restart func()
	}{
		{"ovs-vswitchd", e.host.RestartVswitchd},
		{"ovs-vswitchd by SIGKILL", func() { e.host.KillVswitchd(); e.host.StartVswitchd() }},
		{"both", func() { e.host.StopVswitchd(); e.host.StopDB(); e.host.StartDB(); e.host.StartVswitchd() }},
	} {
		r := underPing(t, a, b.IP, func(*ovstest.RunningPing) { c.restart() })
		t.Logf("%s: %v", c.name, r)
		e.settle()
		if d := differ(before, e.state()); d != "" {
			t.Errorf("%s: not everything is installed again:%s", c.name, d)
		}
		if a.status() != "ACTIVE" || !a.installed() {
			t.Errorf("%s: port is %s, installed %v", c.name, a.status(), a.installed())
		}
		// A VIF that comes now is served as ever.
		b.Unplug()
		b.waitStatus("DOWN")
		b.Plug()
		b.waitActive()
		a.pings(b.IP)
		e.settle()
		before = e.state()
	}
}
