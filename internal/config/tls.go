package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS names the files (PEM) of one side of a mutually authenticated connection, as ovs-pki makes them. Empty: none.
type TLS struct {
	Cert string `yaml:"cert" doc:"file with penstockd's certificate (PEM)"`
	Key  string `yaml:"key" doc:"file with its private key (PEM)"`
	CA   string `yaml:"ca" doc:"file with the authorities that sign the hosts' certificates (PEM)"`
}

// Set reports whether TLS is asked for.
func (t TLS) Set() bool { return t != TLS{} }

// Server is the configuration for connections that hosts make: their certificates are required and checked.
func (t TLS) Server() (*tls.Config, error) { return t.config() }

// Client is the configuration for connections to hosts: their certificates are checked.
func (t TLS) Client() (*tls.Config, error) { return t.config() }

// config checks the files, and reads them again for each connection, so that renewed certificates need no restart.
//
// As Open vSwitch itself does, it checks that the peer's certificate is signed by the authority and in date, and not which
// name stands in it: certificates of ovs-pki have none that is an address. The authority must therefore be one for
// Open vSwitch alone, as ovs-pki's are.
func (t TLS) config() (*tls.Config, error) {
	for name, file := range map[string]string{"cert": t.Cert, "key": t.Key, "ca": t.CA} {
		if file == "" {
			return nil, fmt.Errorf("%s is not set: cert, key and ca belong together", name)
		}
	}
	if _, err := t.pair(); err != nil {
		return nil, err
	}
	if _, err := t.pool(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.pair() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() },
		ClientAuth:           tls.RequireAnyClientCert,
		InsecureSkipVerify:   true, // VerifyConnection does it, without a name
		VerifyConnection:     t.verify,
		// A ticket would outlive a certificate that the authority takes back.
		SessionTicketsDisabled: true,
	}, nil
}

// Named is the configuration for connections to servers whose certificate has their name, such as etcd: the name is checked,
// by the authority of ca, or the system's if that is not set. A certificate is shown only if it is set.
func (t TLS) Named() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("cert and key belong together")
	}
	if t.Cert != "" {
		if _, err := t.pair(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() }
	}
	if t.CA != "" {
		pool, err := t.pool()
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	return c, nil
}

func (t TLS) pair() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	return &c, err
}

func (t TLS) pool() (*x509.CertPool, error) {
	b, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate", t.CA)
	}
	return p, nil
}

// verify checks the peer's certificate chain.
func (t TLS) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the peer shows no certificate")
	}
	roots, err := t.pool()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	// ovs-pki's certificates say nothing about their use.
	_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("certificate of %q: %w", s.PeerCertificates[0].Subject.CommonName, err)
	}
	return nil
}
