// Package nova tells Nova, OpenStack's compute service, when the ports of its servers are plugged, unplugged and
// deleted, for which a server's boot waits, and when their addresses change. It sends os-server-external-events until Nova acknowledges them, and knows
// after a restart what is left to send: that is the difference of the store's ports and their statuses from its
// NovaReports. It decides nothing about ports and asks Nova nothing else.
package nova

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store"
)

// Config is what a Notifier is made of.
type Config struct {
	Store  *store.Store
	Logger *zap.Logger
	// Registerer gets the metrics; nil: none are registered.
	Registerer prometheus.Registerer
	// URL is Nova's, with the version: http://ADDRESS:8774/v2.1.
	URL string
	// Token gives what stands in X-Auth-Token, a new one if the last was refused; nil: nothing.
	Token func(ctx context.Context, refused bool) (string, error)
	// Client makes the requests; nil: one that waits 30 seconds for an answer.
	Client *http.Client
	// Pause is the time between the first and the second of several tries in vain (default 500 ms); it doubles up to
	// MaxPause (default 30 s).
	Pause, MaxPause time.Duration
	// GiveUpAfter is for how long a server that Nova does not know, or has put on no host yet, is told again that its
	// port is plugged (default 10 minutes, twice as long as Nova waits).
	GiveUpAfter time.Duration
}

// Batch is how many ports one request is about at most.
const Batch = 100

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// The names of events.
const (
	plugged   = "network-vif-plugged"
	unplugged = "network-vif-unplugged"
	deleted   = "network-vif-deleted"
	changed   = "network-changed" // addresses or floating IPs: Nova reads them again
)

// Notifier is the one of all penstockds that are alive which sends, or stands by to. Run's goroutines own it; the
// other methods may be called from any.
type Notifier struct {
	cfg  Config
	wake chan struct{} // has one element while something new waits

	mu    sync.Mutex
	queue []*item
	at    map[model.PortID]*item // of queue
	fault error                  // of the last request, nil if it was answered

	requests, events *prometheus.CounterVec
	seconds          prometheus.Histogram
}

// item is a port about which Nova may have something to be told.
type item struct {
	id    model.PortID
	since time.Time // when that was so
	due   time.Time
	tries int // answered with a refusal
}

// New makes a Notifier; Run runs it.
func New(cfg Config) *Notifier {
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 30 * time.Second}
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&cfg.Pause, 500 * time.Millisecond}, {&cfg.MaxPause, 30 * time.Second}, {&cfg.GiveUpAfter, 10 * time.Minute}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	n := &Notifier{cfg: cfg, wake: make(chan struct{}, 1), at: map[model.PortID]*item{}}
	n.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_nova_requests_total", Help: "Requests to Nova, by the status of the answer; none: no answer came."}, []string{"code"})
	n.events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_nova_events_total", Help: "Events that Nova answered, by name and outcome: acknowledged, refused (it is sent again) or dropped (nobody is there to be told)."}, []string{"name", "outcome"})
	n.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "penstock_nova_event_seconds", Help: "Time from a port's change to Nova's acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 16)})
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(n.requests, n.events, n.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "penstock_nova_pending", Help: "Ports about which Nova has something to be told."}, func() float64 {
			n.mu.Lock()
			defer n.mu.Unlock()
			return float64(len(n.queue))
		}))
	}
	return n
}

// Health says that Nova does not take events, if so.
func (n *Notifier) Health() []opapi.Health {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == nil {
		return nil
	}
	return []opapi.Health{{Code: "NOVA_UNREACHABLE", Severity: opapi.SeverityError, Object: "nova " + n.cfg.URL,
		Text: strings.Join(strings.Fields(fmt.Sprintf("Nova is told nothing: %v; %d ports wait, and the boots of their servers with them: is nova.url right, is Nova up, and may nova.keystone's user send os-server-external-events?", n.fault, len(n.queue))), " ")}}
}

// owned is what Store.Own calls the one sender; no host can have this name.
const owned = "service/nova"

// Run sends, while this process is the one that does, until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	return n.cfg.Store.Own(ctx, owned, func(ctx context.Context, _ uint64) { n.lead(ctx) })
}

// lead sends until ctx ends.
func (n *Notifier) lead(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	sub := n.cfg.Store.Subscribe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		for {
			_, changes, err := sub.Next(ctx)
			if err != nil {
				return
			}
			n.note(changes)
		}
	})
	n.send(ctx)
	cancel()
	wg.Wait()
	sub.Close()
	n.mu.Lock()
	n.queue, n.fault = nil, nil
	clear(n.at)
	n.mu.Unlock()
}

// note queues the ports about which there may be something to tell.
func (n *Notifier) note(changes []model.Change) {
	now := time.Now()
	snap := n.cfg.Store.Snapshot() // at least as new as the changes
	var ids []model.PortID
	for _, c := range changes {
		switch c.Table {
		case model.Ports, model.PortStatuses, model.NovaReports:
			ids = append(ids, model.PortID(c.ID()))
		case model.FloatingIPs:
			for _, o := range []model.Object{c.Old, c.New} {
				if f, ok := o.(*model.FloatingIP); ok && f.PortID != "" {
					ids = append(ids, f.PortID)
				}
			}
		}
	}
	any := false
	for _, id := range ids {
		if pending(snap, id) == nil {
			continue
		}
		any = true
		n.mu.Lock()
		if it := n.at[id]; it != nil {
			it.due, it.tries = now, 0
		} else {
			n.add(&item{id: id, since: now, due: now})
		}
		n.mu.Unlock()
	}
	if any {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// add queues an item if its port is not queued: with mu held.
func (n *Notifier) add(it *item) {
	if n.at[it.id] == nil {
		n.at[it.id] = it
		n.queue = append(n.queue, it)
	}
}

// take takes what is due from the queue, the oldest first, and says when the next is due if nothing is.
func (n *Notifier) take(now time.Time) (due []*item, next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.queue[:0]
	for _, it := range n.queue {
		if len(due) < Batch && !it.due.After(now) {
			due = append(due, it)
			delete(n.at, it.id)
			continue
		}
		kept = append(kept, it)
		if next.IsZero() || it.due.Before(next) {
			next = it.due
		}
	}
	clear(n.queue[len(kept):])
	n.queue = kept
	return due, next
}

func (n *Notifier) putBack(it *item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(it)
}

// send is the sender: one request at a time, so that events stay in order.
func (n *Notifier) send(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pause time.Duration
	unrecorded := false
	for ctx.Err() == nil {
		items, next := n.take(time.Now())
		if len(items) == 0 {
			wait := time.Hour
			if !next.IsZero() {
				wait = time.Until(next)
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-n.wake:
			case <-timer.C:
			}
			continue
		}
		reports := n.reports(items)
		if len(reports) == 0 {
			continue
		}
		err := n.deliver(ctx, reports)
		if ctx.Err() != nil {
			return
		}
		fault := err
		if errors.Is(err, errRecord) {
			fault = nil // Nova has answered
		}
		n.mu.Lock()
		first := n.fault == nil
		n.fault = fault
		n.mu.Unlock()
		if err == nil {
			pause, unrecorded = 0, false
			continue
		}
		pause = min(max(2*pause, n.cfg.Pause), n.cfg.MaxPause)
		switch {
		case fault == nil && !unrecorded:
			unrecorded = true
			n.cfg.Logger.Warn("Nova's acknowledgements cannot be recorded: events are sent again", zap.Error(err))
		case fault != nil && first:
			n.cfg.Logger.Warn("Nova does not take events: trying again", zap.String("url", n.cfg.URL), zap.Error(err))
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// report is what Nova is to be told of one port.
type report struct {
	item   *item
	events []event
	next   *model.NovaReport // what is recorded once Nova has acknowledged; nil: nothing, the port is gone
	gone   bool              // the port is
}

// event is one of Nova's external events; Code is in answers only.
type event struct {
	Name   string `json:"name"`
	Server string `json:"server_uuid"`
	Tag    string `json:"tag"`
	Status string `json:"status"`
	Code   int    `json:"code,omitempty"`
}

// source is a state of the store with its objects' versions.
type source interface {
	model.Source
	Version(t *model.Table, id string) int64
}

// pending compares what a port is with what Nova knows of it; nil if there is nothing to tell.
func pending(s source, id model.PortID) *report {
	v := model.NewView(s)
	was, known := s.Get(model.NovaReports, string(id)).(*model.NovaReport)
	p, there := v.Port(id)
	r := &report{gone: !there}
	add := func(name, server string) {
		r.events = append(r.events, event{Name: name, Server: server, Tag: string(id), Status: "completed"})
	}
	if !there {
		if !known {
			return nil
		}
		if was.Server != "" {
			add(deleted, was.Server)
		}
		return r
	}
	now := model.NovaReport{PortID: id, Server: p.Server()}
	if st, ok := v.PortStatus(id); ok && now.Server != "" {
		now.Revision, now.Active = s.Version(model.PortStatuses, string(id)), st.Status == model.StatusActive
	}
	if now.Server != "" {
		now.Addresses = addresses(v, p)
	}
	if known && *was == now || known && was.Server == "" && now.Server == "" || !known && now.Revision == 0 {
		return nil
	}
	r.next = &now
	// A status of another version is another plugging: between the two the port was not ACTIVE, though nobody may have
	// looked then. And that Nova has not acknowledged that a port was plugged does not mean that it was not told.
	same := known && was.Server == now.Server
	if same && was.Addresses != "" && was.Addresses != now.Addresses {
		add(changed, now.Server)
	}
	if same && was.Revision == now.Revision {
		return r
	}
	switch {
	case known && was.Active && (now.Active || !same):
		add(unplugged, was.Server)
	case now.Revision != 0 && !now.Active && (same || !known):
		add(unplugged, now.Server)
	}
	if now.Active {
		add(plugged, now.Server)
	}
	return r
}

// addresses is a digest of what Nova shows of a port's addresses.
func addresses(v model.View, p *model.Port) string {
	h := sha256.New()
	for _, f := range p.FixedIPs {
		fmt.Fprintln(h, f.Address)
	}
	for _, f := range v.FloatingIPsOf(model.PortID(p.ID)) {
		fmt.Fprintln(h, f.FixedIP, f.Address)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// reports says what is to be told of ports now.
func (n *Notifier) reports(items []*item) (reports []*report) {
	snap := n.cfg.Store.Snapshot()
	for _, it := range items {
		if r := pending(snap, it.id); r != nil {
			r.item = it
			reports = append(reports, r)
		}
	}
	return reports
}

// errRecord says that Nova has answered, and the store did not take what it acknowledged.
var errRecord = errors.New("acknowledgements are not recorded")

// deliver tells Nova of ports and records what it acknowledged. An error other than errRecord means that Nova gave no
// answer that says anything of the events. With either all of them are queued again.
func (n *Notifier) deliver(ctx context.Context, reports []*report) error {
	done, err := n.tell(ctx, reports)
	if err == nil {
		if err = n.record(ctx, done); err != nil {
			err = fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	if err != nil {
		for _, r := range reports {
			n.putBack(r.item)
		}
	}
	return err
}

// errBad says that Nova takes the request for malformed or too large.
var errBad = errors.New("refused as malformed")

// tell makes the request and gives the reports that are settled; the others are queued again, for later. A request that
// is refused whole is divided, to find the event that is at fault.
func (n *Notifier) tell(ctx context.Context, reports []*report) (done []*report, err error) {
	var events []event
	for _, r := range reports {
		events = append(events, r.events...)
	}
	var answers []event
	if len(events) > 0 {
		answers, err = n.post(ctx, events)
	}
	switch {
	case errors.Is(err, errBad) && len(reports) > 1:
		for _, half := range [][]*report{reports[:len(reports)/2], reports[len(reports)/2:]} {
			d, err := n.tell(ctx, half)
			if err != nil {
				return nil, err
			}
			done = append(done, d...)
		}
		return done, nil
	case errors.Is(err, errBad):
		n.cfg.Logger.Error("Nova refuses an event as malformed: it is dropped", zap.String("port_id", string(reports[0].item.id)), zap.String("server", events[0].Server), zap.Error(err))
		for _, e := range events {
			n.events.WithLabelValues(e.Name, "dropped").Inc()
		}
		return reports, nil
	case err != nil:
		return nil, err
	}
	codes := map[event]int{} // by the event as it was sent; what was not asked about is not looked at
	for _, a := range answers {
		k := a
		k.Code, k.Status = 0, "completed"
		if _, ok := codes[k]; !ok {
			codes[k] = a.Code
		}
	}
	now := time.Now()
	for _, r := range reports {
		settled := true
		for _, e := range r.events {
			outcome := "acknowledged"
			switch code := codes[e]; {
			case code == http.StatusOK:
			case (code == http.StatusNotFound || code == http.StatusUnprocessableEntity) && (e.Name != plugged || now.Sub(r.item.since) > n.cfg.GiveUpAfter):
				outcome = "dropped" // nobody waits for it
				if e.Name == plugged {
					n.cfg.Logger.Warn("Nova does not know a server, or has put it on no host: giving up telling it that its port is plugged", zap.String("server", e.Server), zap.String("port_id", e.Tag), zap.Int("code", code))
				}
			default:
				outcome, settled = "refused", false
			}
			n.events.WithLabelValues(e.Name, outcome).Inc()
		}
		if settled {
			done = append(done, r)
			n.seconds.Observe(now.Sub(r.item.since).Seconds())
			continue
		}
		r.item.due = now.Add(min(n.cfg.Pause<<min(r.item.tries, 16), n.cfg.MaxPause))
		r.item.tries++
		n.putBack(r.item)
	}
	return done, nil
}

// record writes what Nova acknowledged to the store.
func (n *Notifier) record(ctx context.Context, done []*report) error {
	if len(done) == 0 {
		return nil
	}
	// What Nova has acknowledged is worth writing also when this process ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return store.InParts(done, Batch, func(part []*report) error {
		_, err := n.cfg.Store.Update(ctx, store.Meta{Author: "penstockd", Request: "Nova's acknowledgements"}, func(tx *store.Tx) error {
			return record(tx, part)
		})
		return err
	})
}

func record(tx *store.Tx, done []*report) error {
	for _, r := range done {
		id := string(r.item.id)
		there := tx.Exists(model.Ports, id)
		was, known := store.Get[*model.NovaReport](tx, model.NovaReports, id)
		switch {
		case !there && !r.gone: // deleted meanwhile: Nova is to know that, too
			if !known {
				tx.Put(model.NovaReports, &model.NovaReport{PortID: r.item.id, Server: r.next.Server})
			}
		case r.next != nil && (!known || *was != *r.next):
			tx.Put(model.NovaReports, r.next)
		case r.next == nil && known:
			tx.Delete(model.NovaReports, id)
		}
	}
	return nil
}

// post sends events and gives Nova's answer to each that it answered.
func (n *Notifier) post(ctx context.Context, events []event) ([]event, error) {
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		status, answer, err := n.request(ctx, body, attempt > 0)
		if err != nil {
			n.requests.WithLabelValues("none").Inc()
			return nil, err
		}
		n.requests.WithLabelValues(strconv.Itoa(status)).Inc()
		switch status {
		case http.StatusUnauthorized:
			if attempt == 0 && n.cfg.Token != nil {
				continue // the token has expired, or was taken back
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			return nil, fmt.Errorf("%w: status %d: %.200q", errBad, status, answer)
		case http.StatusOK, http.StatusMultiStatus:
			var a struct {
				Events []event `json:"events"`
			}
			if err := json.Unmarshal(answer, &a); err != nil || a.Events == nil {
				return nil, fmt.Errorf("status %d with a body that is no answer to events: %.200q", status, answer)
			}
			return a.Events, nil
		case http.StatusNotFound:
			// Either there is no server for any of the events, or there is no such API at this address.
			var a struct {
				Fault *json.RawMessage `json:"itemNotFound"`
			}
			if json.Unmarshal(answer, &a) == nil && a.Fault != nil {
				for i := range events {
					events[i].Code = http.StatusNotFound
				}
				return events, nil
			}
		}
		return nil, fmt.Errorf("status %d: %.200q", status, answer)
	}
}

func (n *Notifier) request(ctx context.Context, body []byte, refused bool) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(n.cfg.URL, "/")+"/os-server-external-events", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if n.cfg.Token != nil {
		token, err := n.cfg.Token(ctx, refused)
		if err != nil {
			return 0, nil, err
		}
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := n.cfg.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}
