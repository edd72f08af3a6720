package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/controller/nova"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store"
)

// notifier makes what tells Nova of ports, and what says how that goes; both do nothing when there is no Nova.
func notifier(n config.Nova, st *store.Store, lg *zap.Logger, reg prometheus.Registerer) (run func(context.Context), health func() []opapi.Health) {
	if n.URL == "" {
		return func(context.Context) {}, nil
	}
	cfg := nova.Config{Store: st, Logger: lg, Registerer: reg, URL: n.URL}
	switch k := n.Keystone; {
	case n.Token != "":
		cfg.Token = func(context.Context, bool) (string, error) { return n.Token, nil }
	case k.URL != "":
		cfg.Token = (&api.Keystone{URL: k.URL, Username: k.Username, Password: k.Password, Project: k.Project, Domain: k.Domain}).Token
	}
	x := nova.New(cfg)
	return func(ctx context.Context) { _ = x.Run(ctx) }, x.Health // it ends with ctx or the store, which others report
}
