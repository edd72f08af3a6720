package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/penstock/penstock/api/operator"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// TestManyHosts: a configuration file may name more hosts, and a host that is removed may have more ports, than one
// transaction of an operator's etcd may be about.
func TestManyHosts(t *testing.T) {
	ctx := context.Background()
	st := storetest.Open(t, store.Config{Endpoints: []string{storetest.Etcd(t)}})
	var hosts []config.Host
	for i := range 300 {
		hosts = append(hosts, config.Host{Name: fmt.Sprintf("h%03d", i), OVSDB: "tcp:192.0.2.1:6640", BridgeMappings: map[string]string{"external": "br-ex"}})
	}
	for round := range 2 {
		hosts[7].TunnelIP = fmt.Sprintf("172.31.0.%d", round+1) // one that changes, of many that do not
		if err := seedHosts(ctx, st, hosts); err != nil {
			t.Fatal(err)
		}
		if n := st.Snapshot().Len(model.Hosts); n != 300 {
			t.Fatalf("%d hosts", n)
		}
		if h, _ := st.View().Host("h007"); h.TunnelIP.String() != hosts[7].TunnelIP {
			t.Errorf("tunnel address %v", h.TunnelIP)
		}
	}
	for i := range 150 {
		if _, err := st.Update(ctx, store.Meta{}, func(tx *store.Tx) error {
			return store.Bind(tx, &model.Binding{PortID: model.PortID(fmt.Sprint("p", i)), Host: "h001", NetworkID: "n"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	h := operator.Handler(st, http.NotFoundHandler())
	for _, x := range []struct {
		query string
		want  int
	}{{"", http.StatusConflict}, {"?force=true", http.StatusNoContent}, {"?force=true", http.StatusNotFound}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("DELETE", opapi.PathHosts+"/h001"+x.query, nil))
		if w.Code != x.want {
			t.Errorf("remove%s: %d %s, want %d", x.query, w.Code, w.Body, x.want)
		}
	}
	if n := st.Snapshot().Len(model.Bindings); n != 0 {
		t.Errorf("%d bindings are left", n)
	}
}
