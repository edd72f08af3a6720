package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// embedded is an etcd in this process, reached by function calls: it listens nowhere.
//
// etcd ends its process when it cannot write its log (full disk, failing disk). Ours forwards packets, so
// those ends are caught: the goroutine at fault stops, failed is closed, reads from the snapshot go on, and
// every transaction is refused with one line that says what to do.
type embedded struct {
	etcd   *embed.Etcd
	lock   *os.File
	failed chan struct{}
	up     context.Context // ends with failed
	down   context.CancelFunc
	once   sync.Once
	err    error // why; valid once failed is closed
	lg     *zap.Logger
	dir    string
	level  zap.AtomicLevel // of etcd's own messages
}

// OnWrite implements zapcore.CheckWriteHook: etcd has just logged the message that would end the process.
func (e *embedded) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	e.once.Do(func() {
		cause := ce.Message
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok {
				cause += ": " + err.Error()
			}
		}
		e.err = fmt.Errorf("%w: the embedded etcd in %s stopped (%s): free space or repair the disk, then restart penstockd; forwarding goes on", ErrUnavailable, e.dir, cause)
		e.lg.Error("store stopped", zap.Error(e.err))
		close(e.failed)
		e.down()
	})
	runtime.Goexit()
}

// startEmbedded starts etcd on cfg.DataDir and waits until it serves.
func startEmbedded(ctx context.Context, cfg *Config) (*embedded, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make data directory: %w: create %s for penstockd's user or set data_dir", err, cfg.DataDir)
	}
	if err := checkFree(cfg); err != nil {
		return nil, err
	}
	e := &embedded{failed: make(chan struct{}), lg: cfg.Logger, dir: cfg.DataDir}
	e.up, e.down = context.WithCancel(context.Background())
	var err error
	if e.lock, err = lockDir(cfg.DataDir); err != nil {
		return nil, err
	}
	ec := embed.NewConfig()
	ec.Name = "penstock"
	ec.Dir = filepath.Join(cfg.DataDir, "etcd")
	// No listener at all: the peer URL only names the single member.
	ec.ListenPeerUrls, ec.ListenClientUrls = nil, nil
	self := url.URL{Scheme: "http", Host: "localhost:2380"}
	ec.AdvertisePeerUrls, ec.AdvertiseClientUrls = []url.URL{self}, []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	ec.InitialCluster = ec.InitialClusterFromName(ec.Name)
	ec.MaxTxnOps = uint(cfg.MaxTxnOps)
	ec.MaxRequestBytes = uint(cfg.MaxRequestBytes)
	ec.QuotaBackendBytes = cfg.QuotaBytes
	// The log's entries stay in memory until a snapshot of the state lets go of them: 5,000 to 15,000 of them
	// by default, some 60 MB of port creations. One member has no follower that would need them.
	ec.SnapshotCount, ec.SnapshotCatchUpEntries = 500, 50
	ec.MaxSnapFiles, ec.MaxWalFiles = 2, 2
	// Alone it needs no patience with others: it leads within 0.2 s of a restart instead of 2 s.
	ec.TickMs, ec.ElectionMs = 20, 100
	ec.WarningApplyDuration, ec.WarningUnaryRequestDuration = time.Second, 2*time.Second
	// What it warns of at start is listeners and tokens that are not there, and a term that it has yet to write;
	// what matters then is returned. Later warnings are of slow disks: maintain lets them through.
	e.level = zap.NewAtomicLevelAt(zap.DPanicLevel)
	lg := cfg.Logger.Named("etcd").WithOptions(zap.IncreaseLevel(e.level), zap.WithFatalHook(e), zap.WithPanicHook(e), zap.AddStacktrace(zap.FatalLevel+1))
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)
	done := make(chan error, 1)
	// In a goroutine of its own, since a failure may end it.
	go func() {
		var err error
		e.etcd, err = embed.StartEtcd(ec)
		done <- err
	}()
	select {
	case err = <-done:
	case <-e.failed:
		err = e.err
	}
	if err == nil {
		select {
		case <-e.etcd.Server.ReadyNotify():
			return e, nil
		case <-e.failed:
			err = e.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	e.close()
	if errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	return nil, fmt.Errorf("store: start the embedded etcd in %s: %w", ec.Dir, err)
}

// closeWait bounds how long a failed etcd is waited for; its goroutines may hold locks for ever.
const closeWait = 5 * time.Second

func (e *embedded) close() {
	if e.etcd != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.etcd.Close()
		}()
		var timeout <-chan time.Time
		select {
		case <-e.failed:
			timeout = time.After(closeWait)
		default:
		}
		select {
		case <-done:
		case <-timeout:
		}
	}
	e.down()
	e.lock.Close()
}

// lockDir makes sure that one process uses the directory.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %s is in use by another penstockd: stop it, or set another data_dir", dir)
	}
	return f, nil
}

// checkFree refuses to write when the disk is nearly full.
func checkFree(cfg *Config) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(cfg.DataDir, &st); err != nil {
		return fmt.Errorf("%w: free space of %s: %w", ErrUnavailable, cfg.DataDir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < cfg.MinFreeBytes {
		return fmt.Errorf("%w: only %d MiB are free under %s: free at least %d MiB", ErrUnavailable, free>>20, cfg.DataDir, cfg.MinFreeBytes>>20)
	}
	return nil
}
