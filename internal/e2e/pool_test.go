package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestPoolOfThree has 50 clients at once exhaust one pool by three penstockd on one etcd: each address is given once, and
// who comes too late gets Neutron's own refusal.
func TestPoolOfThree(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	stop := startEtcd(t, t.TempDir(), addr)
	defer stop()
	const store = "store: {endpoints: [\"http://127.0.0.1:2379\"]}\n"
	e := prepare(t, options{extra: store})
	forward(t, e, "127.0.0.1:2379", addr)
	e.d.start()
	e.waitReady()
	urls := []string{e.url}
	for i := range 2 {
		api := fmt.Sprintf("127.0.0.1:%d", 9796+i)
		d := newDaemon(t, e.host, fmt.Sprintf("api: {listen: %q}\nopenflow: {listen: \"127.0.0.1:%d\"}\n", api, 6753+i)+store)
		d.start()
		urls = append(urls, "http://"+api)
	}
	e.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 50
	for _, u := range urls {
		e.wait(u+" to be ready", func() bool {
			r, err := e.http.Get(u + "/readyz")
			if err == nil {
				r.Body.Close()
			}
			return err == nil && r.StatusCode == http.StatusOK
		})
	}
	const free = 100
	n, _ := e.network("blue", "10.0.0.0/24", object{"enable_dhcp": false, "allocation_pools": []object{{"start": "10.0.0.10", "end": fmt.Sprintf("10.0.0.%d", 9+free)}}})
	body, err := json.Marshal(object{"port": object{"network_id": n["id"]}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	given, refused := map[string]int{}, 0
	var wg sync.WaitGroup
	for client := range 50 {
		wg.Go(func() {
			for {
				r, err := e.http.Post(urls[client%len(urls)]+"/v2.0/ports", "application/json", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := io.ReadAll(r.Body)
				r.Body.Close()
				var m struct {
					Port struct {
						Fixed []struct {
							Address string `json:"ip_address"`
						} `json:"fixed_ips"`
					}
				}
				mu.Lock()
				switch {
				case r.StatusCode == http.StatusCreated && json.Unmarshal(text, &m) == nil && len(m.Port.Fixed) == 1:
					given[m.Port.Fixed[0].Address]++
				case r.StatusCode == http.StatusConflict && strings.Contains(string(text), "IpAddressGenerationFailure"):
					refused++
				default:
					t.Errorf("status %d: %s", r.StatusCode, text)
				}
				mu.Unlock()
				if r.StatusCode != http.StatusCreated {
					return
				}
			}
		})
	}
	wg.Wait()
	for a, k := range given {
		if k != 1 {
			t.Errorf("%s was given %d times", a, k)
		}
	}
	if len(given) != free || refused != 50 {
		t.Errorf("%d addresses and %d refusals, want %d and 50", len(given), refused, free)
	}
}
