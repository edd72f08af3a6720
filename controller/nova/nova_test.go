package nova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// patience bounds waits for what should happen soon, on a busy machine.
const patience = 30 * time.Second

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// compute is the API of Nova that is needed, and what it was told.
type compute struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex
	// told are the events that it took, as "plugged PORT", in order; requests counts all.
	told     []string
	requests int
	// refuse, if set, gives an event another code than 200; before is called first and may answer by itself; after
	// may replace the answer of a request that was taken.
	refuse        func(event) int
	before, after func(n int, w http.ResponseWriter, r *http.Request, body []byte) (done bool)
}

func newCompute(t *testing.T) *compute {
	c := &compute{t: t}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *compute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if r.Method != "POST" || r.URL.Path != "/v2.1/os-server-external-events" {
		http.Error(w, "<html>not here</html>", http.StatusNotFound)
		return
	}
	var q struct{ Events []event }
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if c.before != nil && c.before(c.requests, w, r, body) {
		return
	}
	if err := json.Unmarshal(body, &q); err != nil || len(q.Events) == 0 || len(q.Events) > 2*Batch {
		c.t.Errorf("%d events: %v in %.200s", len(q.Events), err, body)
	}
	accepted, status := 0, http.StatusOK
	for i := range q.Events {
		e := &q.Events[i]
		if e.Status != "completed" || uuid.Validate(e.Server) != nil || uuid.Validate(e.Tag) != nil {
			c.t.Errorf("event %+v", *e)
		}
		e.Code = http.StatusOK
		if c.refuse != nil {
			e.Code = c.refuse(*e)
		}
		if e.Code == http.StatusOK {
			accepted++
			c.told = append(c.told, strings.TrimPrefix(e.Name, "network-vif-")+" "+e.Tag)
		} else {
			status = http.StatusMultiStatus
		}
	}
	if c.after != nil && c.after(c.requests, w, r, body) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if accepted == 0 {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"itemNotFound": {"code": 404, "message": "No instances found for any event"}}`)
		return
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"events": q.Events})
}

func (c *compute) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

// expect waits until exactly these events were taken since the last expect.
func (c *compute) expect(want ...string) {
	c.t.Helper()
	waitFor(c.t, "events "+strings.Join(want, ", "), func() bool { return len(c.heard()) >= len(want) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.told, want) {
		c.t.Fatalf("Nova was told %q, want %q", c.told, want)
	}
	c.told = nil
}

// run runs a Notifier until the test ends or the function that it gives is called.
func run(t *testing.T, st *store.Store, c *compute, change func(*Config)) (*Notifier, func()) {
	t.Helper()
	cfg := Config{Store: st, Logger: zap.NewNop(), Registerer: prometheus.NewRegistry(), URL: c.URL + "/v2.1/", Pause: time.Millisecond, MaxPause: 20 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	n := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return n, stop
}

// idle waits until nothing is left to be told, by the store and by the Notifier.
func idle(t *testing.T, n *Notifier, st *store.Store) {
	t.Helper()
	waitFor(t, "everything to be acknowledged", func() bool {
		snap := st.Snapshot()
		for _, tab := range []*model.Table{model.Ports, model.NovaReports} {
			for o := range snap.Each(tab) {
				if pending(snap, model.PortID(o.ObjectID())) != nil {
					return false
				}
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.queue) == 0
	})
}

func counted(t *testing.T, n *Notifier, labels ...string) float64 {
	t.Helper()
	var m dto.Metric
	if err := n.events.WithLabelValues(labels...).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func newPort() *model.Port {
	return &model.Port{Meta: model.Meta{ID: uuid.NewString()}, DeviceOwner: "compute:nova", DeviceID: uuid.NewString()}
}

func status(p *model.Port, s string) *model.PortStatus {
	return &model.PortStatus{PortID: model.PortID(p.ID), Status: s, Host: "h1"}
}

// TestLife follows ports through their lives.
func TestLife(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	n, _ := run(t, st, c, nil)
	a, dhcp, odd := newPort(), newPort(), newPort()
	dhcp.DeviceOwner, odd.DeviceID = "network:dhcp", "not-a-uuid"
	storetest.Put(t, st, a, dhcp, odd)
	storetest.Put(t, st, status(dhcp, "ACTIVE"), status(odd, "ACTIVE"))
	storetest.Put(t, st, status(a, "ACTIVE"))
	c.expect("plugged " + a.ID)
	idle(t, n, st)
	storetest.Put(t, st, status(a, "DOWN"))
	c.expect("unplugged " + a.ID)
	idle(t, n, st)
	// A reboot: nobody may look between the two, but the boot waits for the event.
	storetest.Put(t, st, status(a, "ACTIVE"))
	c.expect("plugged " + a.ID)
	idle(t, n, st)
	c.mu.Lock() // a request under way waits; more changes than one come together
	storetest.Put(t, st, status(a, "DOWN"))
	storetest.Put(t, st, status(a, "ACTIVE"))
	c.mu.Unlock()
	waitFor(t, "the reboot's events", func() bool { return len(c.heard()) >= 2 })
	c.expect("unplugged "+a.ID, "plugged "+a.ID)
	idle(t, n, st)
	// Another server takes the port.
	moved := *a
	moved.DeviceID = uuid.NewString()
	storetest.Put(t, st, &moved)
	c.expect("unplugged "+a.ID, "plugged "+a.ID)
	idle(t, n, st)
	// Its addresses change: those that it was plugged with are no change.
	moved2 := moved
	moved2.FixedIPs = []model.FixedIP{{SubnetID: "s", Address: netip.MustParseAddr("10.0.0.5")}}
	storetest.Put(t, st, &moved2)
	c.expect("network-changed " + a.ID)
	idle(t, n, st)
	fip := &model.FloatingIP{Meta: model.Meta{ID: "f"}, Address: netip.MustParseAddr("172.16.0.5"), PortID: model.PortID(a.ID), FixedIP: netip.MustParseAddr("10.0.0.5")}
	storetest.Put(t, st, fip)
	c.expect("network-changed " + a.ID)
	idle(t, n, st)
	named := moved2
	named.Name = "x"
	storetest.Put(t, st, &named)
	storetest.Delete(t, st, fip)
	c.expect("network-changed " + a.ID)
	idle(t, n, st)
	storetest.Delete(t, st, &moved, status(a, ""))
	c.expect("deleted " + a.ID)
	// What the API leaves behind of a port that was never plugged.
	b := newPort()
	storetest.Put(t, st, &model.NovaReport{PortID: model.PortID(b.ID), Server: b.DeviceID})
	c.expect("deleted " + b.ID)
	idle(t, n, st)
	if k := st.Snapshot().Len(model.NovaReports); k != 0 {
		t.Errorf("%d records are left", k)
	}
}

// TestRestart stops the sender in every state: what Nova has not acknowledged is sent by the next one, the rest is not.
func TestRestart(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	c.before = func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	n, stop := run(t, st, c, nil)
	a := newPort()
	storetest.Put(t, st, a, status(a, "ACTIVE"))
	waitFor(t, "Nova's being down to be seen", func() bool { return len(n.Health()) == 1 })
	if h := n.Health()[0]; h.Code != "NOVA_UNREACHABLE" || !strings.Contains(h.Text, "503") || strings.Contains(h.Text, "\n") {
		t.Errorf("health %+v", h)
	}
	stop()
	c.mu.Lock()
	c.before = nil
	c.mu.Unlock()
	n, stop = run(t, st, c, nil)
	c.expect("plugged " + a.ID)
	idle(t, n, st)
	if h := n.Health(); h != nil {
		t.Errorf("health %+v", h)
	}
	stop()
	storetest.Delete(t, st, a, status(a, ""))
	_, stop = run(t, st, c, nil)
	c.expect("deleted " + a.ID)
	stop()
}

// TestUnreliable has a Nova that loses requests and answers, delays, repeats and garbles them, while ports come, go and
// flap and senders are stopped and started. In the end Nova knows of each port what is true, and no event is lost that
// somebody waits for: after the last time that a port became ACTIVE, it was told so.
func TestUnreliable(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1)) // the server's, under c.mu
	cut := func(w http.ResponseWriter) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return true
	}
	var previous []byte
	calm := false
	c.before = func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if calm {
			return false
		}
		switch rnd.IntN(8) {
		case 0:
			return cut(w)
		case 1:
			w.WriteHeader([]int{500, 502, 503, 504, 429, 403, 401, 409}[rnd.IntN(8)])
			return true
		case 2: // a front that answers from a cache: what it says is about another request
			if previous != nil {
				_, _ = w.Write(previous)
				return true
			}
		}
		return false
	}
	c.after = func(_ int, w http.ResponseWriter, r *http.Request, body []byte) bool {
		var q struct{ Events []event }
		_ = json.Unmarshal(body, &q)
		for i := range q.Events {
			q.Events[i].Code = 200
		}
		// For another time, when it is true of none: each is of a port that never was.
		var other []event
		for _, e := range q.Events {
			e.Tag = uuid.NewString()
			other = append(other, e)
		}
		previous, _ = json.Marshal(map[string]any{"events": other})
		if calm {
			return false
		}
		switch rnd.IntN(8) {
		case 0:
			return cut(w) // it was taken, and nobody knows
		case 1:
			<-r.Context().Done() // the client has had enough
			return true
		case 2:
			fmt.Fprint(w, `{"events": [`)
			return true
		case 3:
			_ = json.NewEncoder(w).Encode(map[string]any{"events": append(slices.Clone(q.Events), q.Events...)})
			return true
		case 4:
			_ = json.NewEncoder(w).Encode(map[string]any{"events": q.Events[:len(q.Events)/2]})
			return true
		}
		return false
	}
	impatient := func(cfg *Config) { cfg.Client = &http.Client{Timeout: 50 * time.Millisecond} }
	_, stop := run(t, st, c, impatient)
	mine := rand.New(rand.NewPCG(seed, 2))
	var ports []*model.Port
	last := map[string]string{} // port -> what Nova must have heard last
	for range 300 {
		switch k := mine.IntN(6); {
		case k == 0 || len(ports) < 10:
			p := newPort()
			ports = append(ports, p)
			storetest.Put(t, st, p, status(p, "ACTIVE"))
			last[p.ID] = "plugged"
		case k == 1:
			i := mine.IntN(len(ports))
			p := ports[i]
			ports = slices.Delete(ports, i, i+1)
			if err := deletePort(st, p); err != nil {
				t.Fatal(err)
			}
			last[p.ID] = "deleted"
		case k == 2:
			p := ports[mine.IntN(len(ports))]
			storetest.Put(t, st, status(p, "DOWN"))
			last[p.ID] = "unplugged"
		case k == 3 && mine.IntN(5) == 0:
			stop()
			_, stop = run(t, st, c, impatient)
		default:
			p := ports[mine.IntN(len(ports))]
			storetest.Put(t, st, status(p, "DOWN"))
			storetest.Put(t, st, status(p, "ACTIVE"))
			last[p.ID] = "plugged"
		}
	}
	stop()
	c.mu.Lock()
	calm = true
	before := len(c.told)
	c.mu.Unlock()
	n, _ := run(t, st, c, nil)
	idle(t, n, st)
	heard := map[string]string{}
	for _, s := range c.heard() {
		what, id, _ := strings.Cut(s, " ")
		heard[id] = what
	}
	told := 0
	for id, want := range last {
		told++
		if got := heard[id]; got != want {
			t.Errorf("port %s: Nova heard %q last, want %q", id, got, want)
		}
	}
	t.Logf("%d ports, %d events taken before the calm, %d requests", told, before, c.requests)
}

// deletePort does what the API does when it is configured with a Nova.
func deletePort(st *store.Store, p *model.Port) error {
	_, err := st.Update(context.Background(), store.Meta{}, func(tx *store.Tx) error {
		tx.Delete(model.Ports, p.ID)
		tx.Delete(model.PortStatuses, p.ID)
		tx.Put(model.NovaReports, &model.NovaReport{PortID: model.PortID(p.ID), Server: p.Server()})
		return nil
	})
	return err
}

// TestRefused has Nova refuse single events.
func TestRefused(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	a, b, late, never := newPort(), newPort(), newPort(), newPort()
	times := map[string]int{}
	c.refuse = func(e event) int {
		times[e.Name+e.Server]++
		switch e.Server {
		case late.DeviceID: // on no host yet, then it is
			if times[e.Name+e.Server] < 4 {
				return http.StatusUnprocessableEntity
			}
		case never.DeviceID:
			return http.StatusNotFound
		}
		return http.StatusOK
	}
	n, stop := run(t, st, c, nil)
	storetest.Put(t, st, a, b, late, never, status(a, "ACTIVE"), status(late, "ACTIVE"), status(never, "ACTIVE"))
	storetest.Put(t, st, status(b, "ACTIVE"))
	waitFor(t, "the server that was late", func() bool { return slices.Contains(c.heard(), "plugged "+late.ID) })
	// One that Nova does not know is tried again, and holds nobody up; alone in its request, too.
	waitFor(t, "tries", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return times[plugged+never.DeviceID] > 6 })
	stop()
	if k := counted(t, n, plugged, "refused"); k < 9 {
		t.Errorf("%v refusals were counted", k)
	}
	if got := c.heard(); len(got) != 3 {
		t.Errorf("Nova took %q", got)
	}
	n, _ = run(t, st, c, func(cfg *Config) { cfg.GiveUpAfter = time.Nanosecond })
	idle(t, n, st)
	// Nobody waits for these.
	storetest.Put(t, st, status(never, "DOWN"))
	idle(t, n, st)
	if err := deletePort(st, never); err != nil {
		t.Fatal(err)
	}
	idle(t, n, st)
	if k := counted(t, n, deleted, "dropped"); k != 1 {
		t.Errorf("%v deletions dropped, want 1", k)
	}
	if h := n.Health(); h != nil {
		t.Errorf("health %+v", h)
	}
}

// TestMalformed: one event that Nova cannot read does not hold up the others of its request.
func TestMalformed(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	var ports []*model.Port
	var objs []model.Object
	for range 20 {
		p := newPort()
		ports = append(ports, p)
		objs = append(objs, p, status(p, "ACTIVE"))
	}
	poison := ports[7].DeviceID
	c.before = func(_ int, w http.ResponseWriter, _ *http.Request, body []byte) bool {
		if strings.Contains(string(body), poison) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"badRequest": {"code": 400, "message": "Invalid input for field/attribute server_uuid."}}`)
			return true
		}
		return false
	}
	storetest.Put(t, st, objs...)
	n, _ := run(t, st, c, nil)
	idle(t, n, st)
	if got := c.heard(); len(got) != 19 {
		t.Errorf("Nova took %d events, want 19: %q", len(got), got)
	}
	if h := n.Health(); h != nil {
		t.Errorf("health %+v", h)
	}
}

// TestElsewhere has a wrong address and a wrong token: both are shown, and nothing is dropped.
func TestElsewhere(t *testing.T) {
	st, c := storetest.New(t), newCompute(t)
	a := newPort()
	storetest.Put(t, st, a, status(a, "ACTIVE"))
	n, stop := run(t, st, c, func(cfg *Config) { cfg.URL = c.URL + "/v1" })
	waitFor(t, "health", func() bool { return len(n.Health()) == 1 && strings.Contains(n.Health()[0].Text, "404") })
	stop()
	good := "first"
	c.mu.Lock()
	c.before = func(_ int, w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Header.Get("X-Auth-Token") != good {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	c.mu.Unlock()
	tokens := 0
	n, _ = run(t, st, c, func(cfg *Config) {
		cfg.Token = func(_ context.Context, refused bool) (string, error) {
			switch {
			case tokens == 0:
				tokens++
				return "", errors.New("keystone is down")
			case refused:
				tokens++
			}
			return []string{"none", "first", "second", "third"}[min(tokens-1, 3)], nil
		}
	})
	c.expect("plugged " + a.ID)
	c.mu.Lock()
	good = "second"
	c.mu.Unlock()
	storetest.Put(t, st, status(a, "DOWN"))
	c.expect("unplugged " + a.ID)
	idle(t, n, st)
}

// TestMany: what waits is sent in batches, each event once, also on an etcd whose transactions are smaller. The first
// batch may leave before all is queued.
func TestMany(t *testing.T) {
	st, c := storetest.Open(t, store.Config{Endpoints: []string{storetest.Etcd(t)}}), newCompute(t)
	var want []string
	for range 9 {
		var objs []model.Object
		for range 30 {
			p := newPort()
			objs = append(objs, p, status(p, "ACTIVE"))
			want = append(want, "plugged "+p.ID)
		}
		storetest.Put(t, st, objs...)
	}
	n, _ := run(t, st, c, nil)
	idle(t, n, st)
	got := c.heard()
	slices.Sort(got)
	slices.Sort(want)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(got, want) || c.requests > 4 {
		t.Errorf("%d events in %d requests, want 270 in 3 or 4", len(got), c.requests)
	}
}

// TestSeveral: of several notifiers with a store of their own on one etcd one sends, and when it ends another
// goes on where it was.
func TestSeveral(t *testing.T) {
	endpoint, c := storetest.Etcd(t), newCompute(t)
	var stores []*store.Store
	var notifiers []*Notifier
	var stops []func()
	for range 3 {
		st := storetest.Open(t, store.Config{Endpoints: []string{endpoint}, LeaseTTL: 2 * time.Second})
		n, stop := run(t, st, c, nil)
		stores, notifiers, stops = append(stores, st), append(notifiers, n), append(stops, stop)
	}
	a := newPort()
	storetest.Put(t, stores[1], a, status(a, "ACTIVE"))
	c.expect("plugged " + a.ID)
	for left := 3; left > 1; left-- {
		leader := slices.IndexFunc(stores, func(st *store.Store) bool {
			return slices.ContainsFunc(st.Members(), func(m store.Member) bool { return m.Leader && m.ID == st.MemberID() })
		})
		if leader < 0 {
			t.Fatal("nobody leads")
		}
		other := stores[(leader+1)%left]
		waitFor(t, "the acknowledgement to be recorded", func() bool { return pending(other.Snapshot(), model.PortID(a.ID)) == nil })
		// It ends while Nova is down and something waits.
		c.mu.Lock()
		c.before = func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		c.mu.Unlock()
		storetest.Put(t, other, status(a, "DOWN"))
		storetest.Put(t, other, status(a, "ACTIVE"))
		waitFor(t, "Nova to be asked", func() bool { return notifiers[leader].Health() != nil })
		stops[leader]()
		if err := stores[leader].Close(); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.before = nil
		c.mu.Unlock()
		stores, notifiers, stops = slices.Delete(stores, leader, leader+1), slices.Delete(notifiers, leader, leader+1), slices.Delete(stops, leader, leader+1)
		waitFor(t, "another one to send", func() bool { return len(c.heard()) >= 2 })
		c.expect("unplugged "+a.ID, "plugged "+a.ID)
	}
}
