package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/store/storetest"
)

// The operator API is for admins, as soon as there is anybody else.
func TestOperatorIsForAdmins(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	front := api.TrustedHeaders{Front: api.TrustFrom([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")})}
	s := api.New(api.Config{Store: storetest.New(t), Auth: front, Operator: inner})
	for _, x := range []struct {
		from, role string
		want       int
	}{{"192.0.2.1:5", "admin", 204}, {"192.0.2.1:5", "member", 403}, {"192.0.2.1:5", "reader", 403}, {"192.0.2.9:5", "admin", 401}} {
		r := httptest.NewRequest("GET", "/penstock/v1/status", nil)
		r.RemoteAddr = x.from
		r.Header.Set("X-User-Id", "u")
		r.Header.Set("X-Project-Id", "p")
		r.Header.Set("X-Roles", x.role)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != x.want {
			t.Errorf("%s as %s: %d %s, want %d", x.from, x.role, w.Code, w.Body, x.want)
		}
		// The Networking API believes the same front and nobody else, whatever the headers say.
		r.URL.Path = "/v2.0/networks"
		w = httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if ok := x.from != "192.0.2.9:5"; ok && w.Code != 200 || !ok && w.Code != 401 {
			t.Errorf("GET networks from %s as %s: %d %s", x.from, x.role, w.Code, w.Body)
		}
	}
}
