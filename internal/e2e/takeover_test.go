package e2e

import (
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestTakeover runs two penstockd on one etcd. Both serve the API; one runs the host. When it is killed, and when it is
// stopped, the other takes the host over: no packet is lost, nothing is sent anew, and what either is asked is done.
func TestTakeover(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	stop := startEtcd(t, t.TempDir(), addr)
	defer func() { stop() }()
	const store = "store: {endpoints: [\"http://127.0.0.1:2379\"]}\n"
	e := prepare(t, options{extra: store})
	forward(t, e, "127.0.0.1:2379", addr)
	first := e.d
	first.start()
	e.waitReady()
	second := newDaemon(t, e.host, "api: {listen: \"127.0.0.1:9796\"}\nopenflow: {listen: \"127.0.0.1:6753\"}\n"+
		"hosts:\n  - {name: "+e.host.Name+", ovsdb: \""+e.host.OVSDB()+"\"}\n"+store)
	second.start()
	urls := map[*daemon]string{first: e.url, second: "http://127.0.0.1:9796"}
	use := func(d *daemon) { e.d, e.url = d, urls[d] }
	use(second)
	e.wait("the second penstockd to be ready", func() bool { code, _, err := e.try("GET", "/readyz", nil); return err == nil && code == 200 })
	if e.status().Leader {
		t.Error("the second penstockd leads beside the first")
	}
	n, _ := e.network("blue", "10.0.0.0/24", nil) // asked of the one that does not run the host
	a, b := e.vm("a", n, "10.0.0.11", nil).with(), e.vm("b", n, "10.0.0.12", nil).with()

	for _, x := range []struct {
		how      string
		end      func()
		old, now *daemon
		third    string
	}{
		{"SIGKILL", first.kill, first, second, "10.0.0.13"},
		{"SIGTERM", second.stop, second, first, "10.0.0.14"},
	} {
		use(x.old)
		e.settle()
		r := underPing(t, a, b.IP, func(p *ovstest.RunningPing) {
			x.end()
			use(x.now)
			e.wait("the other penstockd to lead", func() bool { return e.status().Leader })
			e.settle()
			more(t, p, 50)
		})
		if r.Lost != 0 {
			t.Errorf("%s: %v", x.how, r)
		}
		if n := e.flowMods(); n != 0 {
			t.Errorf("%s: the other penstockd sent %d flow-mods", x.how, n)
		}
		c := e.vm("c"+x.how, n, x.third, nil).with()
		a.pings(c.IP)
		if lease := c.DHCP("udhcpc"); lease["ip"] != c.IP {
			t.Errorf("%s: lease %v", x.how, lease)
		}
		x.old.start()
		use(x.old)
		e.wait("the ended penstockd to be back", func() bool { code, _, err := e.try("GET", "/readyz", nil); return err == nil && code == 200 })
		use(x.now)
		if ovstest.WaitFor(500*time.Millisecond, func() bool { return !e.status().Leader }) {
			t.Errorf("%s: the one that came back has taken over again", x.how)
		}
	}
	if h := e.health(); len(h) != 0 {
		t.Errorf("health: %v", h)
	}
}
