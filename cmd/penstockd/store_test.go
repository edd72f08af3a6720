package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/store/storetest"
)

// certificate writes a key and a certificate for 127.0.0.1 that signs itself, and gives their files.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = t.TempDir()+"/"+name+".crt", t.TempDir()+"/"+name+".key"
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestSecureStore opens the store on an etcd that wants TLS, a client's certificate and a password, and is refused
// where one of them is missing.
func TestSecureStore(t *testing.T) {
	cert, key := certificate(t, "etcd")
	mine, myKey := certificate(t, "penstockd")
	endpoint := storetest.Etcd(t, func(c *embed.Config) {
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile, c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = cert, key, mine, true
		c.MaxTxnOps = 500
	})
	cfg := config.Default()
	cfg.DataDir, cfg.Hosts = t.TempDir(), []config.Host{{Name: "h1"}}
	cfg.Store = config.Store{Endpoints: []string{endpoint}, TLS: config.TLS{Cert: mine, Key: myKey, CA: cert}, MaxTxnOps: 500}
	open := func(cfg config.Config) error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		st, err := openStore(ctx, cfg, zap.NewNop(), prometheus.NewRegistry())
		if err != nil {
			return err
		}
		return st.Close()
	}
	if err := open(cfg); err != nil {
		t.Fatal(err)
	}
	// With a password from now on.
	ct, err := cfg.Store.TLS.Named()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := clientv3.New(clientv3.Config{Endpoints: cfg.Store.Endpoints, TLS: ct, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = admin.UserAdd(ctx, "root", "secret")
	if err == nil {
		_, err = admin.UserGrantRole(ctx, "root", "root")
	}
	if err == nil {
		_, err = admin.AuthEnable(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	good := cfg
	good.Store.Username, good.Store.Password = "root", "secret"
	if err := open(good); err != nil {
		t.Error(err)
	}
	wrong := good
	wrong.Store.Password = "wrong"
	stranger := good
	stranger.Store.TLS.CA = mine
	for what, cfg := range map[string]config.Config{"without a password": cfg, "with another password": wrong, "to an etcd of another authority": stranger} {
		if err := open(cfg); err == nil {
			t.Errorf("the store opens %s", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}
