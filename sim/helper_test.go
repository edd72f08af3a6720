package sim_test

import (
	"testing"

	"go.uber.org/zap"

	"github.com/penstock/penstock/sim"
)

var zapNop = zap.NewNop()

func host(t *testing.T, name string) *sim.Host {
	t.Helper()
	h, err := sim.NewHost(name, sim.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}
