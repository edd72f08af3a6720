package ovsdb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestRemoteTargets reaches one ovsdb-server over tcp and over ssl, each side checking the other's certificate.
func TestRemoteTargets(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)

	ports := [2]int{}
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		l.Close() //nolint:errcheck // only its number is wanted
	}
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy,
		Remotes:   []string{fmt.Sprintf("ptcp:%d:127.0.0.1", ports[0]), fmt.Sprintf("pssl:%d:127.0.0.1", ports[1])},
		OVSDBArgs: []string{"--private-key=" + keyFile, "--certificate=" + certFile, "--ca-cert=" + certFile}})
	for _, target := range []string{fmt.Sprintf("tcp:127.0.0.1:%d", ports[0]), fmt.Sprintf("ssl:127.0.0.1:%d", ports[1])} {
		r := run(t, newDB(t, target, func(c *Config) {
			c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}
		}))
		if err := r.SetDesired(testDesired(t, nil)); err != nil {
			t.Fatal(err)
		}
		r.await(target, applied)
		r.stop()
	}
	target := fmt.Sprintf("ssl:127.0.0.1:%d", ports[1])
	if _, err := New(Config{Target: target, Logger: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), "ovsdb.tls") {
		t.Errorf("ssl: without certificates: %v", err)
	}
	r := run(t, newDB(t, target, func(c *Config) { c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}} })) // nobody vouches for the server
	ovstest.Wait(t, patience, "a refused certificate", func() bool { return r.Counters().Failures > 1 })
	if r.State().Complete {
		t.Error("an unknown server's certificate was accepted")
	}
	if got := h.VSCtl("br-exists", BridgeInt); got != "" {
		t.Error(got)
	}
}
