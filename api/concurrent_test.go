package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// agree fails the test if what is reserved is not exactly what the ports have: addresses and MACs.
func agree(t *testing.T, st *store.Store) {
	t.Helper()
	var b bytes.Buffer
	if err := st.Export(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	var h struct {
		Uniq map[string]map[string]string `json:"uniq"`
	}
	if err := json.NewDecoder(&b).Decode(&h); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for o := range st.Snapshot().Each(model.Ports) {
		p := o.(*model.Port)
		want["mac/"+string(p.NetworkID)+" "+p.MAC.String()] = p.ID
		for _, f := range p.FixedIPs {
			want["ip/"+string(p.NetworkID)+" "+f.Address.String()] = p.ID
		}
	}
	for space, values := range h.Uniq {
		if !strings.HasPrefix(space, "ip/") && !strings.HasPrefix(space, "mac/") {
			continue
		}
		for v, owner := range values {
			if k := space + " " + v; want[k] != owner {
				t.Errorf("%s is reserved for %s, but the port that has it is %q", k, owner, want[k])
			} else {
				delete(want, k)
			}
		}
	}
	for k, id := range want {
		t.Errorf("port %s has %s, which is not reserved", id, k)
	}
}

// TestExhaustionOfMany has 50 clients of three servers, each with a store of its own on one etcd, create ports from one
// pool until it is exhausted, while a server ends: each address once, then 409, and nothing half done. Then they give
// the addresses back, all at once, and take them again.
func TestExhaustionOfMany(t *testing.T) {
	endpoint := storetest.Etcd(t)
	var servers []*server
	var front []*httptest.Server
	for range 3 {
		st := storetest.Open(t, store.Config{Endpoints: []string{endpoint}})
		h := httptest.NewServer(api.New(api.Config{Store: st, Logger: zap.NewNop(), Networks: networksConfig()}))
		t.Cleanup(h.Close)
		servers, front = append(servers, &server{t, st, h.URL}), append(front, h)
	}
	s := servers[0]
	n := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/24","allocation_pools":[{"start":"10.0.0.10","end":"10.0.0.129"}],"enable_dhcp":false}`)
	for alive := 3; alive > 1; alive-- {
		var mu sync.Mutex
		got := map[string]string{} // address -> port
		refused, lost := 0, 0
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				at := i % alive
				for {
					resp, err := http.Post(servers[at].url+"/v2.0/ports", "application/json", strings.NewReader(fmt.Sprintf(`{"port":{"network_id":%q}}`, n)))
					var b []byte
					if err == nil {
						b, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					var m struct {
						Port struct {
							ID    string
							Fixed []struct {
								Address string `json:"ip_address"`
							} `json:"fixed_ips"`
						}
						Error struct{ Type string } `json:"NeutronError"`
					}
					mu.Lock()
					if err != nil || json.Unmarshal(b, &m) != nil || at == 2 && resp.StatusCode >= 500 { // the server is ending: another one
						lost++
						mu.Unlock()
						at = i % 2
						continue
					}
					switch {
					case resp.StatusCode == 201 && len(m.Port.Fixed) == 1:
						if old := got[m.Port.Fixed[0].Address]; old != "" {
							t.Errorf("%s was given to %s and %s", m.Port.Fixed[0].Address, old, m.Port.ID)
						}
						got[m.Port.Fixed[0].Address] = m.Port.ID
						if len(got) == 60 && alive == 3 {
							wg.Go(func() {
								front[2].CloseClientConnections()
								if err := servers[2].st.Close(); err != nil {
									t.Error(err)
								}
							})
						}
					case resp.StatusCode == 409 && m.Error.Type == "IpAddressGenerationFailure":
						refused++
					default:
						t.Errorf("status %d: %s", resp.StatusCode, b)
					}
					mu.Unlock()
					if resp.StatusCode != 201 {
						return
					}
				}
			})
		}
		wg.Wait()
		// A port whose answer was lost is there all the same.
		if len(got) > 120 || len(got) < 120-lost || refused != 50 {
			t.Errorf("%d addresses, %d refusals, %d answers lost: want 120 and 50", len(got), refused, lost)
		}
		for _, x := range servers[:2] {
			if err := x.st.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			if k := len(x.st.View().PortsOf(model.NetworkID(n))); k != 120 {
				t.Errorf("a server sees %d ports, want 120", k)
			}
			agree(t, x.st)
		}
		var all []string
		for _, p := range s.st.View().PortsOf(model.NetworkID(n)) {
			all = append(all, p.ID)
		}
		for part := range slices.Chunk(all, 10) {
			wg.Go(func() {
				for i, id := range part {
					if st, m := servers[i%2].do("DELETE", "/v2.0/ports/"+id, ""); st != 204 {
						t.Errorf("delete: %d %v", st, m)
					}
				}
			})
		}
		wg.Wait()
		agree(t, s.st)
	}
}

// TestCutOff cuts requests off in their middle and right behind their end: each is done whole or not at all.
func TestCutOff(t *testing.T) {
	s := start(t, nil)
	addr := strings.TrimPrefix(s.url, "http://")
	n := s.make("networks", "network", `{}`)
	s.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/20","enable_dhcp":false}`)
	rnd := rand.New(rand.NewPCG(1, 2))
	const each = 7 // ports of a request
	whole, cut := 0, 0
	for i := range 120 {
		var items []string
		for range each {
			items = append(items, fmt.Sprintf(`{"network_id":%q,"name":"batch%d"}`, n, i))
		}
		body := `{"ports":[` + strings.Join(items, ",") + `]}`
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		sent := body
		if i%3 == 0 {
			sent = body[:rnd.IntN(len(body))]
			cut++
		} else {
			whole++
		}
		fmt.Fprintf(conn, "POST /v2.0/ports HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), sent)
		if i%2 == 0 {
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		conn.Close()
	}
	waitQuiet(t, s.st) // the server ends what it is at
	done := map[string]int{}
	for _, p := range s.st.View().PortsOf(model.NetworkID(n)) {
		done[p.Name]++
	}
	for name, k := range done {
		var i int
		if _, err := fmt.Sscanf(name, "batch%d", &i); err != nil || i%3 == 0 {
			t.Errorf("a request whose body did not arrive made ports: %s", name)
		}
		if k != each {
			t.Errorf("%s made %d of %d ports", name, k, each)
		}
	}
	if len(done) == 0 {
		t.Error("no request was done")
	}
	t.Logf("%d requests whole, %d of them done; %d cut in their middle", whole, len(done), cut)
	agree(t, s.st)
	if st, _ := s.do("GET", "/v2.0/networks/"+n, ""); st != 200 {
		t.Error("the server does not answer any more")
	}
}

// waitQuiet waits until the store has not changed for a while.
func waitQuiet(t *testing.T, st *store.Store) {
	t.Helper()
	last, since := st.Snapshot().Revision(), time.Now()
	for end := time.Now().Add(30 * time.Second); time.Since(since) < 300*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		if r := st.Snapshot().Revision(); r != last {
			last, since = r, time.Now()
		}
		if time.Now().After(end) {
			t.Fatal("the store does not come to rest")
		}
	}
}

// TestSlowClients has clients that send nothing, or their request byte by byte, or do not read their answer: each is
// let go of in time, leaves nothing, and holds up nobody.
func TestSlowClients(t *testing.T) {
	st := storetest.New(t)
	handler := api.New(api.Config{Store: st, Logger: zap.NewNop(), Networks: networksConfig()})
	srv := api.HTTPServer(handler)
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Errorf("a limit is missing: %+v", srv)
	}
	srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout = time.Second/2, time.Second/2, 2*time.Second, time.Second/2
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	patient := httptest.NewServer(handler) // for the requests that are not slow, however busy the machine is
	t.Cleanup(patient.Close)
	s := &server{t, st, patient.URL}
	n := s.make("networks", "network", `{"description":"`+strings.Repeat("x", 200)+`"}`)
	body := `{"port":{"network_id":"` + n + `"}}`
	var wg sync.WaitGroup
	var let, told atomic.Int32
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return nil
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		return c
	}
	for i := range 60 {
		wg.Go(func() {
			c := dial()
			if c == nil {
				return
			}
			defer c.Close()
			switch i % 3 {
			case 0: // silence
			case 1: // the head, then drops of the body
				fmt.Fprintf(c, "POST /v2.0/ports HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)/2])
			case 2: // drops of the head
				fmt.Fprint(c, "POST /v2.0/ports HTTP/1.1\r\nHost:")
			}
			answer, err := io.ReadAll(c)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("client %d was not let go of", i)
				return
			}
			if i%3 == 1 && len(answer) > 0 { // nothing, if even the head was read too late
				resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
				if err != nil || resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("half a body: %.80q %v, want 408", answer, err)
				}
				told.Add(1)
			}
			let.Add(1)
		})
	}
	// Others are served meanwhile, by the same handler.
	for range 20 {
		if code, m := s.do("GET", "/v2.0/networks/"+n, ""); code != 200 {
			t.Error(code, m)
		}
	}
	wg.Wait()
	if let.Load() != 60 || told.Load() == 0 {
		t.Errorf("%d of 60 were let go of, %d told why", let.Load(), told.Load())
	}
	if k := st.Snapshot().Len(model.Ports); k != 0 {
		t.Errorf("%d ports of requests that did not arrive", k)
	}
	// One that does not read: more is written than the sockets hold.
	for range 300 {
		s.make("networks", "network", `{"description":"`+strings.Repeat("x", 250)+`"}`)
	}
	c := dial()
	defer c.Close()
	for range 200 { // pipelined, so that the answers pile up
		if _, err := fmt.Fprint(c, "GET /v2.0/networks HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			break
		}
	}
	for buf := make([]byte, 1); ; time.Sleep(100 * time.Millisecond) {
		// It reads a byte now and then.
		_, err := c.Read(buf)
		if err == nil {
			_, err = c.Write([]byte("\r\n"))
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() { // dial's deadline
			t.Fatal("a client that does not read was not let go of")
		}
		if err != nil {
			break
		}
	}
	if code, m := s.do("GET", "/v2.0/networks/"+n, ""); code != 200 {
		t.Error(code, m)
	}
}

// TestLargeBodies sends more than the limit, with and without saying so before, through the server as it runs.
func TestLargeBodies(t *testing.T) {
	st := storetest.New(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = api.HTTPServer(api.New(api.Config{Store: st, Logger: zap.NewNop(), Networks: networksConfig()}))
	srv.Start()
	t.Cleanup(srv.Close)
	big := `{"network":{"name":"` + strings.Repeat("x", 4<<20) + `"}}`
	for name, body := range map[string]func() io.Reader{
		"of known length":   func() io.Reader { return strings.NewReader(big) },
		"of unknown length": func() io.Reader { return io.MultiReader(strings.NewReader(big)) }} {
		for _, path := range []string{"networks", "ports"} {
			req, err := http.NewRequest("POST", srv.URL+"/v2.0/"+path, body())
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				// The server answers and closes before it has read all; the client may see only that.
				if !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
					t.Errorf("%s %s: %v", path, name, err)
				}
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 413 || !strings.Contains(string(b), "split it into several requests") {
				t.Errorf("%s %s: %d %s", path, name, resp.StatusCode, b)
			}
		}
	}
	if k := st.Snapshot().Len(model.Networks); k != 0 {
		t.Errorf("%d networks", k)
	}
}

// TestAnotherServer makes a subnet at one server and at once a port at another: the port has an address of it, however
// far the other server's view of the store is behind.
func TestAnotherServer(t *testing.T) {
	endpoint := storetest.Etcd(t)
	var servers []*server
	for range 2 {
		st := storetest.Open(t, store.Config{Endpoints: []string{endpoint}})
		h := httptest.NewServer(api.New(api.Config{Store: st, Logger: zap.NewNop(), Networks: networksConfig()}))
		t.Cleanup(h.Close)
		servers = append(servers, &server{t, st, h.URL})
	}
	for i := range 100 {
		a, b := servers[i%2], servers[(i+1)%2]
		n := a.make("networks", "network", `{}`)
		b.make("ports", "port", `{"network_id":"`+n+`"}`) // it waits for the network; the subnet comes behind
		a.make("subnets", "subnet", `{"network_id":"`+n+`","ip_version":4,"cidr":"10.0.0.0/24","enable_dhcp":false}`)
		st, m := b.do("POST", "/v2.0/ports", `{"port":{"network_id":"`+n+`"}}`)
		if p, _ := m["port"].(map[string]any); st != 201 || len(p["fixed_ips"].([]any)) != 1 {
			t.Fatalf("round %d: %d %v", i, st, m)
		}
	}
}
