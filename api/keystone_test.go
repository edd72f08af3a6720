package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/api"
)

// TestKeystone validates tokens with a server that speaks the part of the identity API v3 that is used.
func TestKeystone(t *testing.T) {
	var asked, logins atomic.Int32
	var own atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
		switch {
		case r.Method == http.MethodPost:
			var body struct {
				Auth struct {
					Identity struct {
						Password struct {
							User struct{ Name, Password string }
						}
					}
				}
			}
			if json.NewDecoder(r.Body).Decode(&body) != nil || body.Auth.Identity.Password.User.Password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			name := fmt.Sprintf("own-%d", logins.Add(1))
			own.Store(name)
			w.Header().Set("X-Subject-Token", name)
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"token":{"expires_at":%q}}`, until)
		case r.Header.Get("X-Auth-Token") != own.Load():
			w.WriteHeader(http.StatusUnauthorized)
		case r.Header.Get("X-Subject-Token") == "good":
			asked.Add(1)
			fmt.Fprintf(w, `{"token":{"expires_at":%q,"user":{"id":"u1"},"project":{"id":"p1"},"roles":[{"name":"Member"}]}}`, until)
		default:
			asked.Add(1)
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	k := &api.Keystone{URL: srv.URL, Username: "penstock", Password: "secret", Project: "service"}
	ask := func(token string) (*api.Identity, error) {
		r := httptest.NewRequest("GET", "/v2.0/networks", nil)
		if token != "" {
			r.Header.Set("X-Auth-Token", token)
		}
		return k.Authenticate(context.Background(), r)
	}
	for range 3 {
		id, err := ask("good")
		if err != nil || id == nil || id.UserID != "u1" || id.ProjectID != "p1" || len(id.Roles) != 1 || id.Roles[0] != "member" || id.Admin() {
			t.Fatalf("identity %+v, error %v", id, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("keystone was asked %d times for one token", asked.Load())
	}
	for _, bad := range []string{"", "bad"} {
		if id, err := ask(bad); err != nil || id != nil {
			t.Errorf("token %q: %+v %v", bad, id, err)
		}
	}
	own.Store("revoked") // our own token goes: another is fetched
	if id, err := ask("bad2"); err != nil || id != nil || logins.Load() != 2 {
		t.Errorf("after the service's token was revoked: %+v %v, %d logins", id, err, logins.Load())
	}
	s := start(t, func(c *api.Config) { c.Auth = k })
	if st, _ := s.do("GET", "/v2.0/networks", ""); st != 401 {
		t.Errorf("without a token: %d", st)
	}
	if st, m := s.do("GET", "/", ""); st != 200 {
		t.Errorf("discovery needs a token: %d %v", st, m)
	}
	srv.Close()
	if _, err := ask("another"); err == nil {
		t.Error("no error when keystone is gone")
	}
	wrong := &api.Keystone{URL: srv.URL, Username: "penstock", Password: "wrong"}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Auth-Token", "good")
	if _, err := wrong.Authenticate(context.Background(), r); err == nil {
		t.Error("no error with a wrong password")
	}
}
