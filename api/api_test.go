package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// server is ours with an admin's identity and everything at its default.
type server struct {
	t   testing.TB
	st  *store.Store
	url string
}

func start(t testing.TB, change func(*api.Config)) *server {
	t.Helper()
	st := storetest.New(t)
	cfg := api.Config{Store: st, Logger: zap.NewNop(), Networks: networksConfig()}
	if change != nil {
		change(&cfg)
	}
	srv := httptest.NewServer(api.New(cfg))
	t.Cleanup(srv.Close)
	return &server{t, st, srv.URL}
}

// do sends a request and gives the status and the decoded body.
func (s *server) do(method, path, body string) (int, map[string]any) {
	s.t.Helper()
	return s.with("", "", method, path, body)
}

// with is do with a header, if that is not empty.
func (s *server) with(header, value, method, path, body string) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if header != "" {
		req.Header.Set(header, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var m map[string]any
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &m); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return resp.StatusCode, m
}

// make creates an object and gives its id.
func (s *server) make(path, name, attrs string) string {
	s.t.Helper()
	status, m := s.do("POST", "/v2.0/"+path, fmt.Sprintf(`{%q:%s}`, name, attrs))
	if status != 201 {
		s.t.Fatalf("create %s: %d %v", name, status, m)
	}
	return m[name].(map[string]any)["id"].(string)
}

func (s *server) dhcpPort(network string) *model.Port {
	p, _ := s.st.View().DHCPPort(model.NetworkID(network))
	return p
}

// TestDHCPPort follows a network's DHCP port through the life of its subnets.
func TestDHCPPort(t *testing.T) {
	s := start(t, nil)
	n := s.make("networks", "network", `{}`)
	a := s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/24"}`)
	p := s.dhcpPort(n)
	if p == nil || len(p.FixedIPs) != 1 || p.FixedIPs[0].Address.String() != "10.0.0.2" || p.MAC.IsZero() {
		t.Fatalf("port %+v: want 10.0.0.2, the pool's first address", p)
	}
	b := s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.1.0/24","enable_dhcp":false}`)
	if got := len(s.dhcpPort(n).FixedIPs); got != 1 {
		t.Fatalf("%d addresses after a subnet without DHCP", got)
	}
	if st, m := s.do("PUT", "/v2.0/subnets/"+b, `{"subnet":{"enable_dhcp":true}}`); st != 200 {
		t.Fatal(st, m)
	}
	if got := s.dhcpPort(n); len(got.FixedIPs) != 2 || got.ID != p.ID || got.MAC != p.MAC {
		t.Fatalf("port %+v after DHCP was enabled: want the same with two addresses", got)
	}
	if _, m := s.do("GET", "/v2.0/ports/"+p.ID, ""); m["port"].(map[string]any)["status"] != "ACTIVE" {
		t.Fatal("the DHCP port is not ACTIVE", m)
	}
	s.make("ports", "port", `{"network_id":"`+n+`","fixed_ips":[{"ip_address":"10.0.0.3"}]}`)
	if st, m := s.do("POST", "/v2.0/ports", `{"port":{"network_id":"`+n+`","fixed_ips":[{"ip_address":"10.0.0.2"}]}}`); st != 409 {
		t.Fatal("the DHCP port's address was given away", st, m)
	}
	if st, m := s.do("PUT", "/v2.0/subnets/"+a, `{"subnet":{"enable_dhcp":false}}`); st != 200 {
		t.Fatal(st, m)
	}
	if got := s.dhcpPort(n); len(got.FixedIPs) != 1 || got.FixedIPs[0].Address.String() != "10.0.1.2" {
		t.Fatalf("port %+v after DHCP was disabled", got)
	}
	if st, m := s.do("DELETE", "/v2.0/subnets/"+b, ""); st != 204 {
		t.Fatal(st, m)
	}
	if got := s.dhcpPort(n); got != nil {
		t.Fatalf("port %+v is left without a subnet", got)
	}
	s.make("ports", "port", `{"network_id":"`+n+`","fixed_ips":[{"ip_address":"10.0.0.2"}]}`)
	m := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+m+`","ip_version":6,"cidr":"fd00::/64","ipv6_ra_mode":"slaac","ipv6_address_mode":"slaac"}`)
	if got := s.dhcpPort(m); got == nil || !strings.Contains(got.FixedIPs[0].Address.String(), "ff:fe") {
		t.Fatalf("port %+v: want an EUI-64 address", got)
	}
	if st, x := s.do("DELETE", "/v2.0/networks/"+m, ""); st != 204 {
		t.Fatal("a DHCP port keeps its network from being deleted", st, x)
	}
}

// TestExhaustion has 50 clients create ports from one small pool: each address once, then 409, and nothing half done.
func TestExhaustion(t *testing.T) {
	s := start(t, nil)
	n := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/24","allocation_pools":[{"start":"10.0.0.10","end":"10.0.0.109"}],"enable_dhcp":false}`)
	var mu sync.Mutex
	got := map[string]int{}
	refused := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				st, m := s.do("POST", "/v2.0/ports", `{"port":{"network_id":"`+n+`"}}`)
				mu.Lock()
				switch st {
				case 201:
					got[m["port"].(map[string]any)["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)]++
				case 409:
					refused++
				default:
					t.Errorf("status %d: %v", st, m)
				}
				mu.Unlock()
				if st != 201 {
					return
				}
			}
		}()
	}
	wg.Wait()
	if len(got) != 100 || refused != 50 {
		t.Errorf("%d addresses, %d refusals: want 100 and 50", len(got), refused)
	}
	for a, k := range got {
		if k != 1 {
			t.Errorf("address %s was given %d times", a, k)
		}
	}
	ports := len(s.st.View().PortsOf(model.NetworkID(n)))
	if ports != 100 {
		t.Errorf("%d ports are there", ports)
	}
	if st, m := s.do("POST", "/v2.0/ports", `{"ports":[{"network_id":"`+n+`","fixed_ips":[{"ip_address":"10.0.0.200"}]},{"network_id":"`+n+`"}]}`); st != 409 {
		t.Error(st, m)
	}
	if now := len(s.st.View().PortsOf(model.NetworkID(n))); now != ports {
		t.Errorf("a refused bulk request left %d ports behind", now-ports)
	}
}

// TestBodies sends what no client should.
func TestBodies(t *testing.T) {
	s := start(t, func(c *api.Config) { c.MaxBody = 1000 })
	if st, m := s.do("POST", "/v2.0/networks", `{"network":{"name":"`+strings.Repeat("x", 2000)+`"}}`); st != 413 {
		t.Error("a large body:", st, m)
	}
	req, _ := http.NewRequest("POST", s.url+"/v2.0/networks", io.MultiReader(strings.NewReader(`{"network":{"name":"`), bytes.NewReader(make([]byte, 2000))))
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 413 {
		t.Error("a large body of unknown length:", resp, err)
	}
	for _, b := range []string{`{"network":{}}{}`, `nul`, `"x"`, `{"network":{"name":"\ud800"}}`, strings.Repeat(`[`, 900)} {
		if st, m := s.do("POST", "/v2.0/networks", b); st != 400 && st != 201 {
			t.Errorf("%.20s: %d %v", b, st, m)
		}
	}
}

// TestPages walks 2,500 ports in pages and sees each once.
func TestPages(t *testing.T) {
	s := start(t, nil)
	n := s.make("networks", "network", `{}`)
	for range 5 {
		var b strings.Builder
		for i := range 500 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"network_id":"` + n + `"}`)
		}
		if st, m := s.do("POST", "/v2.0/ports", `{"ports":[`+b.String()+`]}`); st != 201 {
			t.Fatal(st, m)
		}
	}
	seen := map[string]bool{}
	next := "/v2.0/ports?limit=1000&fields=id"
	pages := 0
	for next != "" {
		st, m := s.do("GET", next, "")
		if st != 200 {
			t.Fatal(st, m)
		}
		pages++
		next = ""
		for _, p := range m["ports"].([]any) {
			id := p.(map[string]any)["id"].(string)
			if seen[id] {
				t.Fatal("twice:", id)
			}
			seen[id] = true
		}
		for _, l := range m["ports_links"].([]any) {
			if l := l.(map[string]any); l["rel"] == "next" {
				next = strings.TrimPrefix(l["href"].(string), s.url)
			}
		}
	}
	if len(seen) != 2500 || pages != 3 {
		t.Fatalf("%d ports on %d pages", len(seen), pages)
	}
}

// BenchmarkPortCreate makes ports from 16 clients on one network with a subnet.
func BenchmarkPortCreate(b *testing.B) {
	s := start(b, nil)
	n := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/8"}`)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 32
	jobs := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range jobs {
				begin := time.Now()
				st, m := s.do("POST", "/v2.0/ports", `{"port":{"network_id":"`+n+`"}}`)
				if st != 201 {
					b.Error(st, m)
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
			}
		}()
	}
	b.ResetTimer()
	for range b.N {
		jobs <- struct{}{}
	}
	close(jobs)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ports/s")
	b.ReportMetric(float64(percentile(took, 99))/1e6, "ms-p99")
}

func percentile(l []time.Duration, p int) time.Duration {
	if len(l) == 0 {
		return 0
	}
	for i := range l { // the sample is small: a selection by counting is enough
		smaller := 0
		for j := range l {
			if l[j] < l[i] {
				smaller++
			}
		}
		if smaller == len(l)*p/100 {
			return l[i]
		}
	}
	return l[len(l)-1]
}

// BenchmarkPortPage lists a page of 1,000 out of 10,000 ports.
func BenchmarkPortPage(b *testing.B) {
	s := start(b, nil)
	n := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/8"}`)
	var body strings.Builder
	for i := range 1000 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`{"network_id":"` + n + `"}`)
	}
	for range 10 {
		if st, m := s.do("POST", "/v2.0/ports", `{"ports":[`+body.String()+`]}`); st != 201 {
			b.Fatal(st, m)
		}
	}
	b.ResetTimer()
	for range b.N {
		resp, err := http.Get(s.url + "/v2.0/ports?limit=1000&marker=" + s.st.View().PortsOf(model.NetworkID(n))[5000].ID)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

// A project without limits of its own has the configured ones; a group counts its rules.
func TestConfiguredQuotas(t *testing.T) {
	s := start(t, func(c *api.Config) { c.Quotas = map[string]int{"network": 1, "security_group_rule": 5} })
	s.make("networks", "network", `{}`)
	if st, m := s.do("POST", "/v2.0/networks", `{"network":{}}`); st != 409 {
		t.Errorf("a second network: %d %v", st, m)
	}
	if _, m := s.do("GET", "/v2.0/quotas/x", ""); m["quota"].(map[string]any)["network"] != 1.0 || m["quota"].(map[string]any)["port"] != -1.0 {
		t.Errorf("quota of a project without one: %v", m)
	}
	// The default group has four rules, so that no other group's two fit.
	if st, m := s.do("POST", "/v2.0/security-groups", `{"security_group":{"name":"a"}}`); st != 409 {
		t.Errorf("a group: %d %v", st, m)
	}
	for name, want := range map[string]bool{"port": true, "cow": false} {
		if err := api.CheckQuotas(map[string]int{name: -1}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if api.CheckQuotas(map[string]int{"port": -2}) == nil {
		t.Error("-2 is taken")
	}
}

// TestNova: the deletion of a server's port leaves what Nova is told from, if there is a Nova.
func TestNova(t *testing.T) {
	const server = "6f4c1c0e-6a53-5d0c-9f5e-0d3b6f1f7a11"
	for _, with := range []bool{false, true} {
		s := start(t, func(c *api.Config) { c.Nova = with })
		n := s.make("networks", "network", `{}`)
		for _, attrs := range []string{`"device_id":"` + server + `","device_owner":"compute:nova"`, `"device_id":"` + server + `","device_owner":"network:dhcp"`, `"device_id":"x","device_owner":"compute:nova"`, `"name":"x"`} {
			p := s.make("ports", "port", `{"network_id":"`+n+`",`+attrs+`}`)
			if st, m := s.do("DELETE", "/v2.0/ports/"+p, ""); st != 204 {
				t.Fatal(st, m)
			}
			r, ok := s.st.Snapshot().Get(model.NovaReports, p).(*model.NovaReport)
			if want := with && strings.Contains(attrs, server) && strings.Contains(attrs, "compute:"); ok != want || ok && (r.Server != server || r.Active) {
				t.Errorf("Nova %v, port with %s: record %+v", with, attrs, r)
			}
		}
	}
}
