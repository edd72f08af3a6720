package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/api/operator"
	"github.com/penstock/penstock/controller"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/log"
	"github.com/penstock/penstock/internal/version"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store"
)

// run starts everything, in the order in which things need each other, and ends with ctx or the first failure.
func run(ctx context.Context, cfg config.Config, lg *zap.Logger) error {
	apiSocket, err := listen("api.listen", cfg.API.Listen)
	if err != nil {
		return err
	}
	defer apiSocket.Close()
	ofSocket, err := listen("openflow.listen", cfg.OpenFlow.Listen)
	if err != nil {
		return err
	}
	defer ofSocket.Close()
	var dbTLS *tls.Config
	if cfg.OpenFlow.TLS.Set() {
		conf, err := cfg.OpenFlow.TLS.Server()
		if err != nil {
			return fmt.Errorf("openflow.tls: %w", err)
		}
		ofSocket = tls.NewListener(ofSocket, conf)
	}
	if cfg.OVSDB.TLS.Set() {
		if dbTLS, err = cfg.OVSDB.TLS.Client(); err != nil {
			return fmt.Errorf("ovsdb.tls: %w", err)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	st, err := openStore(ctx, cfg, lg, reg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := seedHosts(ctx, st, cfg.Hosts); err != nil {
		return err
	}
	nets, err := networks(cfg)
	if err != nil {
		return err
	}
	if err := api.CheckQuotas(cfg.Quotas); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	auth, err := authenticator(cfg.Auth)
	if err != nil {
		return err
	}
	tellNova, novaHealth := notifier(cfg.Nova, st, lg.Named("nova"), reg)
	var lines *zap.Logger
	if name := cfg.Log.Network; name != "" {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("log.network: %w", err)
		}
		defer f.Close()
		if lines, err = log.New(f, "info"); err != nil {
			return err
		}
	}
	ctl := controller.New(controller.Config{
		Store: st, Logger: lg.Named("controller"), Registerer: reg, Socket: ofSocket, Advertise: cfg.OpenFlow.Advertise, OVSDBTLS: dbTLS,
		Settings: settings(cfg.PacketIn), NeighbourRefresh: time.Duration(cfg.Networks.NeighbourRefresh) * time.Second, DNSDomain: cfg.Networks.DNSDomain, Version: version.String(), Health: novaHealth, NetworkLog: lines,
	})
	srv := api.New(api.Config{Store: st, Logger: lg, Auth: auth, Networks: nets, Quotas: cfg.Quotas, Nova: cfg.Nova.URL != "", Operator: operator.Handler(st, ctl.Operator(reg)), Registerer: reg})
	mux := http.NewServeMux()
	mux.Handle("/", srv)
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if h := st.Health(); !h.Writable || !ctl.Ready() {
			http.Error(w, "not ready: see penstockctl health", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	if cfg.API.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	lg.Info("penstockd is up", zap.String("version", version.String()), zap.String("api", "http://"+apiSocket.Addr().String()),
		zap.String("openflow", ofSocket.Addr().String()), zap.Strings("advertise", cfg.OpenFlow.Advertise))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	wg.Go(func() { tellNova(ctx) })
	wg.Go(func() { errs <- ctl.Run(ctx); cancel() })
	wg.Go(func() { errs <- serve(ctx, api.HTTPServer(mux), apiSocket, lg); cancel() })
	wg.Wait()
	lg.Info("penstockd stops; the switches keep their flows")
	return errors.Join(<-errs, <-errs)
}

func openStore(ctx context.Context, cfg config.Config, lg *zap.Logger, reg prometheus.Registerer) (*store.Store, error) {
	c := store.Config{DataDir: cfg.DataDir, Endpoints: cfg.Store.Endpoints, Username: cfg.Store.Username, Password: cfg.Store.Password,
		MaxTxnOps: cfg.Store.MaxTxnOps, MaxRequestBytes: cfg.Store.MaxRequestBytes, Logger: lg, Registerer: reg, Member: cfg.Hosts[0].Name}
	if cfg.Store.TLS.Set() {
		var err error
		if c.TLS, err = cfg.Store.TLS.Named(); err != nil {
			return nil, fmt.Errorf("store.tls: %w", err)
		}
	}
	return store.Open(ctx, c)
}

// seedHosts writes the configured hosts to the store where they are new or different. Hosts that were added at
// run time stay.
func seedHosts(ctx context.Context, st *store.Store, hosts []config.Host) error {
	return store.InParts(hosts, 1000, func(part []config.Host) error {
		_, err := st.Update(ctx, store.Meta{Author: "penstockd", Request: "hosts of the configuration file"}, func(tx *store.Tx) error {
			return putHosts(tx, part)
		})
		return err
	})
}

func putHosts(tx *store.Tx, hosts []config.Host) error {
	for _, h := range hosts {
		want, err := operator.HostOf(opapi.HostSpec{Name: h.Name, OVSDB: h.OVSDB, TunnelIP: h.TunnelIP, DatapathType: h.DatapathType, BridgeMappings: h.BridgeMappings})
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		if old, ok := tx.Get(model.Hosts, h.Name).(*model.Host); ok {
			want.HostTags, want.Draining = old.HostTags, old.Draining
		}
		if _, err := operator.PutHost(tx, want); err != nil {
			return err
		}
	}
	return nil
}
