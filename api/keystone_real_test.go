package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/api"
)

// realKeystone is Debian's keystone, run by scripts/keystone-reference.py.
type realKeystone struct {
	t     *testing.T
	url   string
	admin string // the admin's token
}

func startKeystone(t *testing.T, networkURL string) *realKeystone {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "../scripts/keystone-reference.py", t.TempDir(), "0", networkURL)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: scripts/install-deps.sh installs keystone", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait() //nolint:errcheck // it ends with its input
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		in.Close()
		cmd.Wait() //nolint:errcheck // it is gone already
		t.Fatalf("keystone did not start: %v; scripts/install-deps.sh installs it\n%s", err, stderr.String())
	}
	k := &realKeystone{t: t, url: strings.TrimSpace(line)}
	k.admin = k.token("admin", "secret", "admin")
	return k
}

func (k *realKeystone) do(method, path, body string, header http.Header, want int) (http.Header, map[string]any) {
	k.t.Helper()
	req, err := http.NewRequest(method, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header = header
	if header == nil {
		req.Header = http.Header{"X-Auth-Token": {k.admin}}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		k.t.Fatalf("%s %s: %d, want %d: %s %v", method, path, resp.StatusCode, want, b, err)
	}
	var m map[string]any
	if len(b) > 0 {
		if err := json.Unmarshal(b, &m); err != nil {
			k.t.Fatal(err)
		}
	}
	return resp.Header, m
}

// token logs in; an empty project gives a token without one.
func (k *realKeystone) token(user, password, project string) string {
	k.t.Helper()
	dom := map[string]any{"name": "Default"}
	auth := map[string]any{"identity": map[string]any{"methods": []string{"password"},
		"password": map[string]any{"user": map[string]any{"name": user, "domain": dom, "password": password}}}}
	if project != "" {
		auth["scope"] = map[string]any{"project": map[string]any{"name": project, "domain": dom}}
	}
	b, err := json.Marshal(map[string]any{"auth": auth})
	if err != nil {
		k.t.Fatal(err)
	}
	h, _ := k.do("POST", "/v3/auth/tokens", string(b), http.Header{}, http.StatusCreated)
	return h.Get("X-Subject-Token")
}

// make creates an object and gives its id.
func (k *realKeystone) make(path, name, attrs string) string {
	k.t.Helper()
	_, m := k.do("POST", "/v3/"+path, `{"`+name+`":`+attrs+`}`, nil, http.StatusCreated)
	return m[name].(map[string]any)["id"].(string)
}

// TestRealKeystone has Debian's keystone give the tokens: who may do what follows from their roles and projects, and
// a token that is revoked or too old is none.
func TestRealKeystone(t *testing.T) {
	auth := &api.Keystone{Username: "penstock", Password: "pw", Project: "service"}
	var ahead atomic.Int64 // how far our clock is in the future
	auth.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	var asked atomic.Int32
	auth.Client = &http.Client{Timeout: 60 * time.Second, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Subject-Token") != "" {
			asked.Add(1)
		}
		return http.DefaultTransport.RoundTrip(r)
	})}
	s := start(t, func(c *api.Config) { c.Auth = auth })
	k := startKeystone(t, s.url)
	auth.URL = k.url

	roles := map[string]string{}
	_, m := k.do("GET", "/v3/roles", "", nil, 200)
	for _, r := range m["roles"].([]any) {
		roles[r.(map[string]any)["name"].(string)] = r.(map[string]any)["id"].(string)
	}
	projects := map[string]string{}
	for _, p := range []string{"service", "blue", "green"} {
		projects[p] = k.make("projects", "project", `{"name":"`+p+`"}`)
	}
	for _, u := range []struct{ name, project, role string }{
		{"penstock", "service", "admin"}, {"alice", "blue", "member"}, {"rob", "blue", "reader"}, {"gwen", "green", "member"}} {
		id := k.make("users", "user", `{"name":"`+u.name+`","password":"pw"}`)
		k.do("PUT", "/v3/projects/"+projects[u.project]+"/users/"+id+"/roles/"+roles[u.role], "", nil, http.StatusNoContent)
	}
	as := func(token, method, path, body string) (int, map[string]any) {
		t.Helper()
		req := httptest.NewRequest(method, s.url+path, strings.NewReader(body))
		req.RequestURI = ""
		req.Header.Set("X-Auth-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var m map[string]any
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 && json.Unmarshal(b, &m) != nil {
			t.Fatalf("%s %v", b, err)
		}
		return resp.StatusCode, m
	}
	expect := func(token, method, path, body string, want int) map[string]any {
		t.Helper()
		st, m := as(token, method, path, body)
		if st != want {
			t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, st, m, want)
		}
		return m
	}
	alice, rob, gwen := k.token("alice", "pw", "blue"), k.token("rob", "pw", "blue"), k.token("gwen", "pw", "green")
	n := expect(alice, "POST", "/v2.0/networks", `{"network":{"name":"n"}}`, 201)["network"].(map[string]any)
	if n["project_id"] != projects["blue"] || n["provider:network_type"] != nil {
		t.Errorf("a member's network: %v", n)
	}
	path := "/v2.0/networks/" + n["id"].(string)
	expect(rob, "GET", path, "", 200)
	expect(rob, "PUT", path, `{"network":{"name":"x"}}`, 403)
	expect(rob, "POST", "/v2.0/networks", `{"network":{}}`, 403)
	expect(gwen, "GET", path, "", 404)
	expect(gwen, "POST", "/v2.0/networks", `{"network":{"project_id":"`+projects["blue"]+`"}}`, 400)
	expect(alice, "POST", "/v2.0/networks", `{"network":{"shared":true}}`, 403)
	if m := expect(k.admin, "PUT", path, `{"network":{"shared":true}}`, 200); m["network"].(map[string]any)["provider:network_type"] != "vxlan" {
		t.Errorf("what an admin sees: %v", m)
	}
	expect(gwen, "GET", path, "", 200)
	expect("nonsense", "GET", path, "", 401)
	expect("", "GET", path, "", 401)
	if m := expect(k.token("alice", "pw", ""), "GET", "/v2.0/networks", "", 200); len(m["networks"].([]any)) != 1 {
		t.Errorf("a token without a project sees what is shared, not %v", m)
	}

	// A token is asked about once, until its time in the cache is over; then keystone says that it is revoked.
	before := asked.Load()
	gone := k.token("gwen", "pw", "green")
	for range 20 {
		expect(gone, "GET", path, "", 200)
	}
	if got := asked.Load() - before; got != 1 {
		t.Errorf("keystone was asked %d times about one token", got)
	}
	k.do("DELETE", "/v3/auth/tokens", "", http.Header{"X-Auth-Token": {k.admin}, "X-Subject-Token": {gone}}, http.StatusNoContent)
	ahead.Store(int64(2 * time.Minute))
	expect(gone, "GET", path, "", 401)
	expect(rob, "GET", path, "", 200)

	// The real client logs in and finds us in the catalogue.
	cmd := exec.Command("openstack", "network", "list", "-f", "value", "-c", "Name")
	cmd.Env = append(os.Environ(), "OS_AUTH_URL="+k.url+"/v3", "OS_USERNAME=alice", "OS_PASSWORD=pw", "OS_PROJECT_NAME=blue",
		"OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne", "PYTHONWARNINGS=ignore")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "n" {
		t.Errorf("openstack network list with keystone: %v\n%s", err, out)
	}
	ahead.Store(int64(25 * time.Hour)) // beyond the life of every token there is
	expect(rob, "GET", path, "", 401)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
