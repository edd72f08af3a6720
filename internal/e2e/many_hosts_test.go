package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// ctl runs the real penstockctl beside penstockd.
func (s *site) ctl(args ...string) (string, error) {
	s.t.Helper()
	bin := filepath.Join(filepath.Dir(penstockd(s.t)), "penstockctl")
	if _, err := os.Stat(bin); err != nil {
		if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/penstockctl").CombinedOutput(); err != nil {
			s.t.Fatalf("go build: %v: %s", err, out)
		}
	}
	return s.host.TryRun(append([]string{bin}, args...)...)
}

func (s *site) mustCtl(args ...string) string {
	s.t.Helper()
	out, err := s.ctl(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// alive is what the API's agent of a host says.
func (s *site) alive(host string) (alive, there bool) {
	s.t.Helper()
	var l struct {
		Agents []struct {
			Host  string
			Alive bool
		}
	}
	s.do("GET", "/v2.0/agents?host="+host, nil, &l)
	return len(l.Agents) == 1 && l.Agents[0].Alive, len(l.Agents) == 1
}

// TestHosts adds a host at run time, loses it in two ways, drains and removes it.
func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{hosts: 2})
	h1, h2, h3 := s.hosts[0], s.hosts[1], s.addHost(t, nil)
	if out, err := s.ctl("host", "add", "h3", "--ovsdb", "nonsense"); err == nil || !strings.Contains(out, "want unix:PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT") {
		t.Errorf("host add with a bad database: %v", err)
	}
	s.mustCtl("host", "add", "h3", "--ovsdb", s.tcp(2), "--tunnel-ip", s.tunnelIP(2), "--tag", "zone=z1")
	s.waitAlive(h3, true)
	if out := s.mustCtl("host", "list"); !strings.Contains(out, "h3") {
		t.Errorf("host list: %s", out)
	}
	if up, _ := s.alive("h3"); !up {
		t.Error("the agent of h3 is not alive")
	}
	n := s.net("blue", "10.0.0.0/24", provider("vxlan", 77, ""))
	a, b, c := s.on(h1, "a", n, "10.0.0.11", nil), s.on(h2, "b", n, "10.0.0.12", nil), s.on(h3, "c", n, "10.0.0.13", nil)
	s.settle()
	allPairs(a, b, c)

	// It falls silent: its packets still flow, and so do its neighbours'.
	ab, ac := a.StartPing(b.IP, 20*time.Millisecond), a.StartPing(c.IP, 20*time.Millisecond)
	start := time.Now()
	h3.SetLink("mgmt0", false)
	s.waitAlive(h3, false)
	t.Logf("h3 was marked down %v after it fell silent", time.Since(start).Round(100*time.Millisecond))
	if up, there := s.alive("h3"); up || !there {
		t.Error("the agent of h3 is still alive")
	}
	d := s.on(h1, "d", n, "10.0.0.14", nil) // h3 does not know it yet
	s.settle()
	d.pings(b.IP)
	h3.SetLink("mgmt0", true)
	s.waitAlive(h3, true)
	s.settle()
	d.pings(c.IP)
	// A port that is plugged has Open vSwitch rebuild its datapath, in which it drops what needs an upcall just then: one
	// packet may be lost on the host of the new port (dpif-netdev.c, upcall_rwlock).
	for _, p := range []*ovstest.RunningPing{ab, ac} {
		if r := p.Stop(); r.Lost > 1 {
			t.Errorf("while a host was silent: %v", r)
		}
	}

	// It dies, and its ports change meanwhile.
	ab = a.StartPing(b.IP, 20*time.Millisecond)
	h3.KillVswitchd()
	h3.KillDB()
	s.waitAlive(h3, false)
	s.wait("a health entry", func() bool { p := s.problem("OVSDB_UNREACHABLE"); return p != nil && p.Object == "host h3" })
	e := s.on(h2, "e", n, "10.0.0.15", nil)
	h3.StartDB()
	h3.StartVswitchd()
	h3.Run("ip", "addr", "replace", s.tunnelIP(2)+"/24", "dev", "br-phy") // br-phy is new
	h3.Run("ip", "link", "set", "br-phy", "up")
	s.waitAlive(h3, true)
	s.settle()
	e.pings(c.IP)
	a.pings(c.IP)
	if r := ab.Stop(); r.Lost > 1 {
		t.Errorf("between neighbours of a dead host: %v", r)
	}
	c.waitActive()

	// Drained, it takes no new ports; those that are there stay.
	s.mustCtl("host", "drain", "h3")
	f := s.place(h3, "f", n, "10.0.0.16", nil)
	f.Plug()
	s.wait("HOST_DRAINING", func() bool { return s.problem("HOST_DRAINING") != nil })
	a.pings(c.IP)
	s.mustCtl("host", "drain", "--end", "h3")
	f.waitActive()

	// Removed, it is as it was before.
	out, err := s.ctl("host", "remove", "h3")
	if err == nil || !strings.Contains(out, "2 ports are bound on host h3") {
		t.Errorf("remove with bound ports: %v", err)
	}
	s.mustCtl("host", "remove", "--force", "h3")
	s.wait("h3 to be left", func() bool {
		br, err := h3.TryVSCtl("list-br")
		return err == nil && !strings.Contains(br, "br-tun")
	})
	if _, there := s.alive("h3"); there {
		t.Error("the agent of h3 is still there")
	}
	if st := s.show("port", c.Port["id"])["status"]; st != "DOWN" {
		t.Errorf("a port of a removed host is %v", st)
	}
	allPairs(a, b)
	if fl := h1.OFCtl("dump-flows", "br-tun"); strings.Contains(fl, "0xac1f0003") {
		t.Errorf("h1 still sends to h3:\n%s", fl)
	}
	s.noLimits(t)
}

// pki makes an authority and certificates in a directory, and returns their files by name.
func pki(t *testing.T, dir string, names ...string) map[string][2]string {
	t.Helper()
	write := func(name, typ string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(err)
	out := map[string][2]string{"ca": {write("ca.pem", "CERTIFICATE", der), ""}}
	for i, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		// No name in it but the common one, as ovs-pki makes them.
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		must(err)
		k, err := x509.MarshalPKCS8PrivateKey(key)
		must(err)
		out[name] = [2]string{write(name+".crt", "CERTIFICATE", der), write(name+".key", "PRIVATE KEY", k)}
	}
	return out
}

// TestTLS reaches a host's database and its bridges by TLS, with certificates on both sides.
func TestTLS(t *testing.T) {
	t.Parallel()
	f, other := pki(t, t.TempDir(), "controller", "h2"), pki(t, t.TempDir(), "stranger")
	s := newSite(t, siteOptions{hosts: 1, setup: func(s *site) {
		s.addHost(t, nil, "--remote=pssl:6641", "--private-key="+f["h2"][1], "--certificate="+f["h2"][0], "--ca-cert="+f["ca"][0])
		b, err := os.ReadFile(s.d.dir + "/penstock.yaml")
		if err != nil {
			t.Fatal(err)
		}
		s.d.configure(strings.Replace(string(b), `listen: "10.255.0.1:6653"`,
			`listen: "10.255.0.1:6653", tls: {cert: "`+f["controller"][0]+`", key: "`+f["controller"][1]+`", ca: "`+f["ca"][0]+`"}`, 1))
	}})
	h1, h2 := s.hosts[0], s.hosts[1]
	s.mustCtl("host", "add", "h2", "--ovsdb", "ssl:10.255.0.2:6641", "--tunnel-ip", s.tunnelIP(1))
	s.wait("SSL_NOT_SET", func() bool { return s.problem("SSL_NOT_SET") != nil })
	// A certificate of somebody else's is not let in.
	h2.VSCtl("--no-wait", "set-ssl", other["stranger"][1], other["stranger"][0], f["ca"][0])
	s.wait("SWITCH_DISCONNECTED", func() bool { return s.problem("SSL_NOT_SET") == nil && s.problem("SWITCH_DISCONNECTED") != nil })
	if s.of(h2).Alive {
		t.Error("a host with a certificate of another authority is let in")
	}
	h2.VSCtl("--no-wait", "set-ssl", f["h2"][1], f["h2"][0], f["ca"][0])
	s.waitAlive(h2, true)
	s.settle()
	if target := h2.VSCtl("get-controller", "br-int"); target != "ssl:10.255.0.1:6653" {
		t.Errorf("br-int's controller is %s", target)
	}
	n := s.net("blue", "10.0.0.0/24", provider("gre", 9, ""))
	a, b := s.on(h1, "a", n, "10.0.0.11", nil), s.on(h2, "b", n, "10.0.0.12", nil)
	s.settle()
	a.pings(b.IP)
}

// TestBadHosts has hosts that are wrong in one way each; everything else works on.
func TestBadHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{hosts: 2, extra: "networks: {vxlan_range: \"5:6\", gre_range: \"1:1\"}\n"})
	h1, h2 := s.hosts[0], s.hosts[1]
	// Unreachable: nobody is at 10.255.0.9.
	s.mustCtl("host", "add", "h9", "--ovsdb", "tcp:10.255.0.9:6640", "--tunnel-ip", "172.31.0.9")
	s.wait("OVSDB_UNREACHABLE", func() bool {
		p := s.problem("OVSDB_UNREACHABLE")
		return p != nil && p.Object == "host h9" && strings.Contains(p.Text, "10.255.0.9")
	})
	if up, there := s.alive("h9"); up || !there {
		t.Error("the agent of an unreachable host is alive")
	}
	for _, x := range []struct {
		path string
		body any
		want string
	}{
		{"", opapi.HostSpec{Name: "h1", OVSDB: "unix:/x"}, "is there already"},
		{"", opapi.HostSpec{Name: "x", OVSDB: "tcp:h2:6640"}, "want tcp:ADDRESS:PORT"},
		{"", opapi.HostSpec{Name: "x", OVSDB: "unix:/x", TunnelIP: "224.0.0.1"}, "is no address of a host"},
		{"", opapi.HostSpec{Name: "x", OVSDB: "unix:/x", TunnelIP: s.tunnelIP(0)}, "is that of host h1"},
		{"", opapi.HostSpec{Name: "x", OVSDB: "unix:/x", BridgeMappings: map[string]string{"p": "br-int"}}, "cannot carry a physical network"},
		{"", opapi.HostSpec{Name: "x y", OVSDB: "unix:/x"}, "without spaces"},
		{"", `{"name": "x", "ovsdb": "unix:/x", "colour": "blue"}`, "colour"},
	} {
		code, body, err := s.try("POST", opapi.PathHosts+x.path, x.body)
		if err != nil || code < 400 || code >= 500 || !strings.Contains(string(body), x.want) {
			t.Errorf("%v: %d %s; want %q", x.body, code, body, x.want)
		}
	}
	s.mustCtl("host", "add", "h8", "--ovsdb", "ssl:10.255.0.9:6640")
	s.wait("HOST_CONFIG", func() bool {
		p := s.problem("HOST_CONFIG")
		return p != nil && p.Object == "host h8" && strings.Contains(p.Text, "ovsdb.tls")
	})
	s.mustCtl("host", "remove", "h8")
	// A range that is exhausted, and numbers outside it that are asked for.
	s.create("network", object{"name": "n5"})
	last := s.net("n6", "10.0.0.0/24", nil)
	code, body, _ := s.try("POST", "/v2.0/networks", object{"network": object{"name": "n7"}})
	if code != 503 || !strings.Contains(string(body), "NoNetworkAvailable") {
		t.Errorf("an exhausted range: %d %s", code, body)
	}
	s.create("network", mergeObjects(object{"name": "out"}, provider("vxlan", 4000, "")))
	// A tunnel address that is not on the host.
	s.do("PUT", opapi.PathHosts+"/h1", map[string]any{"tunnel_ip": "172.31.0.77"}, nil)
	s.settle()
	a, b := s.on(h1, "a", last, "10.0.0.11", nil), s.on(h2, "b", last, "10.0.0.12", nil)
	if r := a.Ping(b.IP, 1); r.Received > 0 {
		t.Error("a tunnel address that is not there carries packets")
	}
	s.wait("TUNNEL_IP_MISSING", func() bool {
		p := s.problem("TUNNEL_IP_MISSING")
		return p != nil && p.Object == "host h1" && strings.Contains(p.Text, "172.31.0.77")
	})
	s.do("PUT", opapi.PathHosts+"/h1", map[string]any{"tunnel_ip": s.tunnelIP(0)}, nil)
	a.pings(b.IP)
	if p := s.problem("TUNNEL_IP_MISSING"); p != nil {
		t.Errorf("%+v", p)
	}
}
