package e2e

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/penstock/penstock/internal/ovstest"
)

// startEtcd runs an etcd of the operator's in the test process; stop ends it, with its data kept in dir.
func startEtcd(t *testing.T, dir, addr string) (stop func()) {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = dir
	c.ListenPeerUrls = nil
	u := url.URL{Scheme: "http", Host: addr}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{u}, []url.URL{u}
	c.TickMs, c.ElectionMs = 20, 100
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	<-etcd.Server.ReadyNotify()
	return etcd.Close
}

// forward brings connections to an address within the host's namespace to one in the test's.
func forward(t *testing.T, e *env, from, to string) {
	t.Helper()
	l, err := e.host.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.DialTimeout("tcp", to, time.Second)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { io.Copy(out, in); out.Close(); in.Close() }() //nolint:errcheck // either end may close
				io.Copy(in, out)                                          //nolint:errcheck
			}()
		}
	}()
}

// TestExternalEtcd runs penstockd on an etcd of the operator's: restarts of either lose nothing, and forwarding goes
// on while etcd is away.
func TestExternalEtcd(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freePort(t)
	stop := startEtcd(t, dir, addr)
	defer func() { stop() }()
	e := prepare(t, options{extra: "store: {endpoints: [\"http://127.0.0.1:2379\"]}\n"})
	forward(t, e, "127.0.0.1:2379", addr)
	e.d.start()
	e.waitReady()
	a, b := pair(e)
	r := underPing(t, a, b.IP, func(p *ovstest.RunningPing) {
		e.d.kill()
		more(t, p, 200)
		e.d.start()
		e.waitReady()
	})
	if r.Lost != 0 {
		t.Errorf("penstockd's restart: %v", r)
	}
	if n := e.flowMods(); n != 0 {
		t.Errorf("%d flow-mods after a restart", n)
	}

	// etcd goes and comes back.
	stop()
	stop = func() {}
	e.waitProblem("STORE", "etcd")
	a.pings(b.IP)
	if lease := a.DHCP("udhcpc"); lease["ip"] != a.IP {
		t.Errorf("lease without etcd: %v", lease)
	}
	stop = startEtcd(t, dir, addr)
	e.wait("the store to be well again", func() bool { code, _, _ := e.try("GET", "/readyz", nil); return code == 200 })
	c := e.vm("c", object{"id": a.Port["network_id"]}, "10.0.0.13", nil).with()
	a.pings(c.IP)
	if n := len(e.health()); n != 0 {
		t.Errorf("health: %s", fmt.Sprint(e.health()))
	}
}
