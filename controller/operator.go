package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/controller/rollout"
	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/pipeline"
)

// readTimeout bounds how long reading one bridge may take.
const readTimeout = 20 * time.Second

// auditTimeout bounds how long an audit on demand may take.
const auditTimeout = 2 * time.Minute

// Operator serves the operator API, /penstock/v1.
func (c *Controller) Operator(gather prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			answer(w, func() (any, error) { return f(r) })
		})
	}
	get(opapi.PathStatus, func(r *http.Request) (any, error) { return c.Status(r.Context(), gather), nil })
	get(opapi.PathHealth, func(r *http.Request) (any, error) { return c.Health(r.Context()), nil })
	get(opapi.PathHosts, func(*http.Request) (any, error) { return c.Hosts(), nil })
	get(opapi.PathHosts+"/{name}", func(r *http.Request) (any, error) {
		return c.HostDetail(r.Context(), model.HostName(r.PathValue("name")))
	})
	get(opapi.PathSwitches, func(*http.Request) (any, error) { return c.Switches(), nil })
	get(opapi.PathObjects, func(*http.Request) (any, error) { return c.Objects(), nil })
	get(opapi.PathFlows, func(r *http.Request) (any, error) {
		return c.Flows(r.Context(), r.URL.Query().Get("host"), r.URL.Query().Get("bridge"))
	})
	get(fmt.Sprintf(opapi.PathPortDrops, "{id}"), func(r *http.Request) (any, error) {
		return c.PortDrops(r.Context(), model.PortID(r.PathValue("id")))
	})
	get(fmt.Sprintf(opapi.PathRoute, "{id}"), func(r *http.Request) (any, error) {
		return c.Route(r.Context(), r.PathValue("id"), r.URL.Query().Get("address"), r.URL.Query().Get("source"))
	})
	get(fmt.Sprintf(opapi.PathConntrack, "{id}"), func(r *http.Request) (any, error) {
		return c.Conntrack(r.Context(), r.PathValue("id"))
	})
	get(opapi.PathFDB, func(r *http.Request) (any, error) {
		return c.FDB(r.Context(), r.URL.Query().Get("host"), r.URL.Query().Get("network_id"))
	})
	mux.HandleFunc("POST "+opapi.PathAudit, func(w http.ResponseWriter, r *http.Request) {
		answer(w, func() (any, error) { return c.Audit(r.Context(), r.URL.Query().Get("host")) })
	})
	return mux
}

// answer writes what f gives as JSON, an error as Neutron does.
func answer(w http.ResponseWriter, f func() (any, error)) {
	v, err := f()
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		code, kind := http.StatusBadRequest, "BadRequest"
		if errors.Is(err, errNoHost) {
			code, kind = http.StatusNotFound, "HostNotFound"
		}
		if errors.Is(err, errNoPort) {
			code, kind = http.StatusNotFound, "PortNotFound"
		}
		if errors.Is(err, errNoRouter) {
			code, kind = http.StatusNotFound, "RouterNotFound"
		}
		w.WriteHeader(code)
		v = map[string]any{"NeutronError": map[string]string{"type": kind, "message": err.Error(), "detail": ""}}
	}
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone
}

// Audit reads the bridges of a host, or of all, back now, mends what is not as desired, and tells what it found.
func (c *Controller) Audit(ctx context.Context, host string) ([]opapi.Audit, error) {
	places, err := c.places(host, "")
	if err != nil {
		return nil, err
	}
	before := map[string]uint64{}
	var hosts []*rollout.Host
	for _, p := range places {
		if p.name == ovsdb.BridgeInt {
			hosts = append(hosts, p.o.roll)
		}
		for _, b := range p.o.roll.Status() {
			if b.Bridge == p.name {
				before[string(p.r.host)+" "+p.name] = b.Repaired
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	errs := make(chan error, len(hosts))
	for _, h := range hosts {
		go func() { errs <- h.Audit(ctx) }()
	}
	for range hosts {
		if err := <-errs; err != nil {
			return nil, fmt.Errorf("the audit has not ended after %v: see penstockctl switch list", auditTimeout)
		}
	}
	out := []opapi.Audit{}
	for _, p := range places {
		for _, b := range p.o.roll.Status() {
			if b.Bridge == p.name && b.Connected {
				out = append(out, opapi.Audit{Host: string(p.r.host), Bridge: p.name, Foreign: b.Foreign, Repaired: b.Repaired - before[string(p.r.host)+" "+p.name]})
			}
		}
	}
	return out, nil
}

// place is a connected bridge of a host that this process runs.
type place struct {
	r    *runner
	o    *ownedHost
	name string
	role pipeline.Role
	sess *session.Session // nil: not connected
}

// places lists the bridges of the hosts that this process runs; host and bridge narrow it.
func (c *Controller) places(host, bridge string) ([]place, error) {
	var out []place
	runners := c.allRunners()
	sort.Slice(runners, func(i, j int) bool { return runners[i].host < runners[j].host })
	found := false
	for _, r := range runners {
		if host != "" && string(r.host) != host {
			continue
		}
		found = true
		o := r.current()
		if o == nil {
			continue
		}
		for _, name := range r.bridgeNames() {
			if bridge != "" && name != bridge {
				continue
			}
			r.mu.Lock()
			s := o.sessions[name]
			r.mu.Unlock()
			out = append(out, place{r, o, name, roleOf(name), s})
		}
	}
	if host != "" && !found {
		return nil, fmt.Errorf("there is no host %q: see penstockctl host list", host)
	}
	if bridge != "" && len(out) == 0 {
		return nil, fmt.Errorf("no host has a bridge %q of Penstock's: see penstockctl switch list", bridge)
	}
	return out, nil
}

func roleOf(bridge string) pipeline.Role {
	switch bridge {
	case ovsdb.BridgeInt:
		return pipeline.RoleInt
	case ovsdb.BridgeTun:
		return pipeline.RoleTun
	}
	return pipeline.RoleEx
}

// Flows lists what bridges hold and what they should hold.
func (c *Controller) Flows(ctx context.Context, host, bridge string) ([]opapi.Flow, error) {
	places, err := c.places(host, bridge)
	if err != nil {
		return nil, err
	}
	out := []opapi.Flow{}
	for _, p := range places {
		var want *derive.Desired
		if err := c.loop.Desired(ctx, p.r.host, p.name, func(d *derive.Desired, _ int64) { want = d }); err != nil {
			return nil, err
		}
		first := len(out)
		if p.sess != nil {
			ctx, cancel := context.WithTimeout(ctx, readTimeout)
			err := p.sess.Flows(ctx, openflow.FlowRequest{Table: openflow.AllTables}, func(f *openflow.Flow) {
				out = append(out, describe(p, want, f))
			})
			cancel()
			if err != nil {
				return nil, fmt.Errorf("read flows of %s on host %s: %w", p.name, p.r.host, err)
			}
		}
		for _, f := range want.Flows.All() { // what is left of it
			if of, err := f.Decode(); err == nil {
				out = append(out, opapi.Flow{Host: string(p.r.host), Bridge: p.name, Text: of.String(), State: opapi.FlowMissing})
			}
		}
		sortFlows(out[first:])
	}
	return out, nil
}

// describe tells what a flow that was read is, and takes it off what is wanted.
func describe(p place, want *derive.Desired, f *openflow.Flow) opapi.Flow {
	x := opapi.Flow{Host: string(p.r.host), Bridge: p.name, State: opapi.FlowForeign}
	if f.Stats != nil {
		x.NPackets, x.NBytes = f.Stats.PacketCount, f.Stats.ByteCount
		x.Duration = float64(f.Stats.DurationSec) + float64(f.Stats.DurationNsec)/1e9
	}
	if c := pipeline.Cookie(f.Cookie); c.Ours() {
		if t := pipeline.TableOf(p.role, f.Table); t != nil && t.Learned {
			x.State = opapi.FlowLearned
		} else {
			have := session.Comparable(f)
			x.State = opapi.FlowStale
			if w, ok := want.Flows.Get(have.Key); ok && w == have {
				x.State = opapi.FlowInstalled
				want.Flows.Delete(have.Key)
			}
		}
	}
	bare := *f
	bare.Stats = nil
	x.Text = bare.String()
	return x
}

func sortFlows(l []opapi.Flow) {
	key := func(f *opapi.Flow) (table, prio uint64) {
		p, err := openflow.ParseFlow(f.Text)
		if err != nil {
			return 255, 0
		}
		return uint64(p.Table), uint64(p.Priority)
	}
	type sorted struct {
		f           opapi.Flow
		table, prio uint64
	}
	s := make([]sorted, len(l))
	for i := range l {
		t, p := key(&l[i])
		s[i] = sorted{l[i], t, p}
	}
	sort.SliceStable(s, func(i, j int) bool {
		a, b := &s[i], &s[j]
		if a.table != b.table {
			return a.table < b.table
		}
		if a.prio != b.prio {
			return a.prio > b.prio
		}
		return a.f.Text < b.f.Text
	})
	for i := range s {
		l[i] = s[i].f
	}
}

// FDB lists the MAC addresses that switches learned behind local ports.
func (c *Controller) FDB(ctx context.Context, host, networkID string) ([]opapi.FDBEntry, error) {
	places, err := c.places(host, ovsdb.BridgeInt)
	if err != nil {
		return nil, err
	}
	out := []opapi.FDBEntry{}
	v := c.cfg.Store.View()
	for _, p := range places {
		if p.sess == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		err := p.sess.Flows(ctx, openflow.FlowRequest{Table: pipeline.FDB.ID}, func(f *openflow.Flow) {
			if e, ok := fdbEntry(v, p.r.host, f); ok && (networkID == "" || e.NetworkID == networkID) {
				out = append(out, e)
			}
		})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("read %s on host %s: %w", p.name, p.r.host, err)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		return out[i].Host+out[i].NetworkName+out[i].MAC < out[j].Host+out[j].NetworkName+out[j].MAC
	})
	return out, nil
}

// fdbEntry reads a learned flow: its match and its cookie hold the whole fact.
func fdbEntry(v model.View, h model.HostName, f *openflow.Flow) (opapi.FDBEntry, bool) {
	e := opapi.FDBEntry{Host: string(h)}
	mac, _, ok := f.Match.Get(openflow.EthDst)
	if !ok || len(mac) != 6 {
		return e, false
	}
	e.MAC = model.MAC(mac).String()
	if key, _, ok := f.Match.GetUint(openflow.Metadata); ok {
		if n, ok := v.NetworkByKey(uint32(key)); ok {
			e.NetworkID, e.NetworkName = n.ID, n.Name
		} else {
			e.NetworkID = "key " + strconv.FormatUint(key, 10)
		}
	}
	// An entry from another host or the physical network is the network's: its port is not known here.
	if c := pipeline.Cookie(f.Cookie); c.Kind() != model.Ports.Kind {
		e.PortName = "remote"
	} else if p, ok := v.PortByKey(c.Key()); ok {
		e.PortID, e.PortName = p.ID, p.Name
	}
	if f.Stats != nil {
		e.Age = int(f.Stats.DurationSec)
	}
	return e, true
}
