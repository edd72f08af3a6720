package ctl

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/store"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestAgainstAPI runs testdata/api against the real API on a store of its own.
func TestAgainstAPI(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/api",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			st, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir()})
			if err != nil {
				return err
			}
			s := httptest.NewServer(api.New(api.Config{Store: st}))
			env.Defer(func() {
				s.Close()
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			})
			env.Setenv("PENSTOCK_ENDPOINT", s.URL)
			return nil
		},
	})
}
