package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"strings"
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
	"github.com/penstock/penstock/pipeline"
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
	st, err := store.Open(ctx, store.Config{DataDir: cfg.DataDir, Endpoints: cfg.Store.Endpoints, Logger: lg, Registerer: reg, Member: cfg.Hosts[0].Name})
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

// authenticator says who makes a request; nil, for auth.mode none, takes everybody for the admin.
func authenticator(a config.Auth) (api.Authenticator, error) {
	switch a.Mode {
	case "trusted-headers":
		fronts, err := a.Prefixes()
		return api.TrustedHeaders{Front: api.TrustFrom(fronts)}, err
	case "keystone":
		k := a.Keystone
		return &api.Keystone{URL: k.URL, Username: k.Username, Password: k.Password, Project: k.Project, Domain: k.Domain}, nil
	}
	return nil, nil
}

func settings(p config.PacketIn) pipeline.Settings {
	s := pipeline.DefaultSettings()
	s.DHCPPPS, s.DHCPBurst, s.ARPPPS, s.ARPBurst = p.DHCPPPS, p.DHCPBurst, p.ARPPPS, p.ARPBurst
	s.LogPPS, s.LogBurst = p.LogPPS, p.LogBurst
	return s
}

func networks(cfg config.Config) (api.Networks, error) {
	n := api.Networks{External: cfg.Networks.ExternalPhysicalNetwork, UnderlayMTU: cfg.Networks.UnderlayMTU, DNSDomain: cfg.Networks.DNSDomain, MaxRoutes: cfg.Networks.MaxRoutes,
		Physical: map[string]api.Physical{}}
	for _, t := range cfg.Networks.TenantTypes {
		switch nt := model.NetworkType(t); nt {
		case model.NetworkLocal, model.NetworkVLAN, model.NetworkVXLAN, model.NetworkGRE, model.NetworkFlat:
			n.TenantTypes = append(n.TenantTypes, nt)
		default:
			return n, fmt.Errorf("configuration: networks.tenant_types: %q is no network type; want local, vlan, vxlan or gre", t)
		}
	}
	var err error
	if n.VXLAN, err = idRange("networks.vxlan_range", cfg.Networks.VXLANRange, 1<<24-1); err != nil {
		return n, err
	}
	if n.GRE, err = idRange("networks.gre_range", cfg.Networks.GRERange, 1<<24-1); err != nil {
		return n, err
	}
	for name, p := range cfg.Networks.Physical {
		x := api.Physical{Flat: p.Flat}
		for _, r := range p.VLANRanges {
			v, err := idRange("networks.physical."+name+".vlan_ranges", r, 4094)
			if err != nil {
				return n, err
			}
			x.VLANs = append(x.VLANs, v)
		}
		n.Physical[name] = x
	}
	return n, nil
}

func idRange(what, s string, limit uint64) ([2]uint32, error) {
	a, b, ok := strings.Cut(s, ":")
	lo, err1 := strconv.ParseUint(a, 10, 32)
	hi, err2 := strconv.ParseUint(b, 10, 32)
	if !ok || err1 != nil || err2 != nil || lo < 1 || lo > hi || hi > limit {
		return [2]uint32{}, fmt.Errorf("configuration: %s %q: want MIN:MAX within 1:%d", what, s, limit)
	}
	return [2]uint32{uint32(lo), uint32(hi)}, nil
}
