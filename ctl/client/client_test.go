package client

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var things = Collection{Name: "thing", Path: "/v2.0/things", Many: "things"}

// TestErrors is every way that an answer can fail, and the one line that comes of it.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"neutron", 409, `{"NeutronError": {"type": "InUse", "message": "It is\nin use.", "detail": ""}}`, "It is in use."},
		{"detail", 400, `{"NeutronError": {"type": "X", "message": "Bad.", "detail": "Really."}}`, "Bad. Really."},
		{"text", 400, `{"NeutronError": "plain words"}`, "plain words"},
		{"empty", 500, `{"NeutronError": {}}`, "answered 500 Internal Server Error to GET /v2.0/things: see its log"},
		{"no JSON", 502, `<html>`, "answered 502 Bad Gateway to GET /v2.0/things: see its log"},
		{"login", 401, `{"error": {}}`, "answered 401 Unauthorized to GET /v2.0/things: it asks for authentication"},
		{"elsewhere", 404, `no`, "answered 404 Not Found to GET /v2.0/things: it is not penstockd, or an older one than this penstockctl"},
		{"not JSON", 200, `hello`, "what is not the API's JSON"},
		{"no list", 200, `{}`, "what is not the API's JSON"},
		{"a string", 200, `{"things": "x"}`, "what is not the API's JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			_, err := cl.List(t.Context(), things, nil)
			if err == nil || !strings.HasSuffix(err.Error(), c.want) && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if got := IsNotFound(err); got != (c.status == 404) {
				t.Errorf("IsNotFound = %v", got)
			}
		})
	}
}

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBrokenConnection is a server that answers half.
func TestBrokenConnection(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"things": [`))
	})
	if _, err := c.List(t.Context(), things, nil); err == nil || !strings.Contains(err.Error(), "broke off GET /v2.0/things") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.List(ctx, things, nil); err == nil || err.Error() != "interrupted" {
		t.Errorf("got %v, want interrupted", err)
	}
	tls := strings.Replace(c.Endpoint(), "http:", "https:", 1)
	c2, err := New(tls, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c2.List(t.Context(), things, nil); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("got %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:9696": "http://127.0.0.1:9696", "h:1": "http://h:1", "https://h/net/v2.0/?x#y": "https://h/net",
		"": "", "ftp://h": "", "http://": "", "http://h:x": "",
	} {
		c, err := New(in, 0)
		if (err == nil) != (want != "") || err == nil && c.Endpoint() != want {
			t.Errorf("New(%q) = %v, %v, want %q", in, c, err, want)
		}
	}
}

// TestFindByID shows that an id wins over a name, and that an empty name asks nobody.
func TestFindByID(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	asked := []string{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if r.URL.Query().Get("id") == id {
			_, _ = w.Write([]byte(`{"things": [{"id": "` + id + `", "name": "x"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"things": [{"id": "other", "name": "` + id + `"}]}`))
	})
	o, err := c.Find(t.Context(), things, id, "id")
	if err != nil || o.Text("name") != "x" || len(asked) != 1 {
		t.Errorf("got %v, %v after %q", o, err, asked)
	}
	if _, err := c.Find(t.Context(), things, ""); err == nil || len(asked) != 1 {
		t.Errorf("an empty name: %v after %q", err, asked)
	}
}
