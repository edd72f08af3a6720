package store

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Config says where the store is. The zero value of every field but DataDir is a good default.
type Config struct {
	// DataDir is where the embedded etcd keeps its data (in DataDir/etcd) and where this member's identity
	// is kept. It may be empty only with Endpoints; then the identity is made anew at each start.
	DataDir string
	// Endpoints are an external etcd's client URLs; empty: etcd runs in this process and listens nowhere.
	Endpoints []string
	// TLS, Username and Password are for Endpoints.
	TLS                *tls.Config
	Username, Password string
	// Logger gets the store's and, from warnings on, etcd's messages; nil: none.
	Logger *zap.Logger
	// MaxTxnOps and MaxRequestBytes bound one transaction. Embedded: etcd is set to them (16,384 and 16 MiB).
	// External: they must not exceed what that etcd is set to (etcd's own defaults, 128 and 1.5 MiB).
	MaxTxnOps       int
	MaxRequestBytes int
	// HistoryRetention is for how long commits are kept (7 days), HistoryMax how many at most (10,000).
	HistoryRetention time.Duration
	HistoryMax       int
	// QuotaBytes bounds the embedded etcd's database (2 GiB). Ignored with Endpoints.
	QuotaBytes int64
	// MinFreeBytes: with less room on DataDir's filesystem, transactions are refused before etcd meets a
	// full disk, which it would not survive (160 MiB: two of its log files and some). Ignored with Endpoints.
	MinFreeBytes uint64
	// Member names this process to others, for example its host's name.
	Member string
	// LeaseTTL is after how long a dead member loses what it owns; whole seconds, at least 1 (5 s).
	LeaseTTL time.Duration
	// Registerer gets the store's metrics; nil: none are kept.
	Registerer prometheus.Registerer
}

func (c *Config) defaults() error {
	if c.DataDir == "" && len(c.Endpoints) == 0 {
		return fmt.Errorf("store: no data directory: set data_dir, or store.endpoints for an external etcd")
	}
	def := func(p *int, embedded, external int) {
		if *p == 0 {
			*p = embedded
			if len(c.Endpoints) > 0 {
				*p = external
			}
		}
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	def(&c.MaxTxnOps, 16384, 128)
	def(&c.MaxRequestBytes, 16<<20, 3<<19)
	def(&c.HistoryMax, 10000, 10000)
	if c.HistoryRetention == 0 {
		c.HistoryRetention = 7 * 24 * time.Hour
	}
	if c.QuotaBytes == 0 {
		c.QuotaBytes = 2 << 30
	}
	if c.MinFreeBytes == 0 {
		c.MinFreeBytes = 160 << 20
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 5 * time.Second
	}
	if c.LeaseTTL < time.Second || c.LeaseTTL%time.Second != 0 {
		return fmt.Errorf("store: lease TTL %v: want whole seconds, at least 1", c.LeaseTTL)
	}
	return nil
}
