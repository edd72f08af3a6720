// Package operator is the writing half of the operator API: hosts, which are made and changed by operators and have
// no place in the Networking API. What is read of hosts comes from package controller.
package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/store"
)

// maxBody bounds a request's body in bytes.
const maxBody = 1 << 20

// Errors that have an HTTP status of their own.
var (
	errNotFound = errors.New("not found")
	errConflict = errors.New("conflict")
)

// PutHost writes a host within a transaction: its key if it is new, and a number for each physical network that is
// mapped for the first time. It reports whether anything changed.
func PutHost(tx *store.Tx, h *model.Host) (changed bool, err error) {
	if old, ok := tx.Get(model.Hosts, h.ID).(*model.Host); ok {
		h.Meta = old.Meta
		if reflect.DeepEqual(old, h) {
			return false, nil
		}
	} else {
		h.Key = tx.NextKey()
	}
	for _, o := range tx.View().Source().List(model.HostsAll, "all") {
		if x := o.(*model.Host); x.ID != h.ID && h.TunnelIP.IsValid() && x.TunnelIP == h.TunnelIP {
			return false, fmt.Errorf("host %s: tunnel_ip %s is that of host %s already: packets for one would go to the other", h.ID, h.TunnelIP, x.ID)
		}
	}
	for name := range h.BridgeMappings {
		if tx.Exists(model.PhysicalNetworks, name) {
			continue
		}
		n, err := tx.AllocNumber("physicalnetwork", 1, model.MaxPhysical)
		if err != nil {
			return false, fmt.Errorf("physical network %s: there are %d already, as many as there can be: %w", name, model.MaxPhysical, err)
		}
		tx.Put(model.PhysicalNetworks, &model.PhysicalNetwork{Name: name, Number: n})
	}
	tx.Put(model.Hosts, h)
	return true, nil
}

// HostOf checks a host as somebody asks for it.
func HostOf(s opapi.HostSpec) (*model.Host, error) {
	h := &model.Host{Meta: model.Meta{ID: s.Name, Name: s.Name}, OVSDB: s.OVSDB, DatapathType: s.DatapathType,
		BridgeMappings: s.BridgeMappings, HostTags: s.Tags, Draining: s.Draining}
	if s.Name == "" || len(s.Name) > 255 || strings.ContainsAny(s.Name, "/ \t\n") {
		return nil, fmt.Errorf("host name %q: want 1 to 255 characters without spaces and slashes", s.Name)
	}
	kind, rest, _ := strings.Cut(s.OVSDB, ":")
	switch kind {
	case "unix":
		if !strings.HasPrefix(rest, "/") {
			return nil, fmt.Errorf("host %s: ovsdb %q: want unix:/PATH", s.Name, s.OVSDB)
		}
	case "tcp", "ssl":
		if _, err := netip.ParseAddrPort(rest); err != nil {
			return nil, fmt.Errorf("host %s: ovsdb %q: want %s:ADDRESS:PORT", s.Name, s.OVSDB, kind)
		}
	default:
		return nil, fmt.Errorf("host %s: ovsdb %q: want unix:PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT", s.Name, s.OVSDB)
	}
	if s.TunnelIP != "" {
		a, err := netip.ParseAddr(s.TunnelIP)
		if err != nil || a.IsUnspecified() || a.IsMulticast() {
			return nil, fmt.Errorf("host %s: tunnel_ip %q is no address of a host", s.Name, s.TunnelIP)
		}
		h.TunnelIP = a
	}
	switch s.DatapathType {
	case "", "system", "netdev":
	default:
		return nil, fmt.Errorf("host %s: datapath_type %q: want system, netdev or nothing", s.Name, s.DatapathType)
	}
	seen := map[string]string{}
	for phys, br := range s.BridgeMappings {
		switch {
		case phys == "" || br == "" || len(br) > 15 || strings.ContainsAny(br, "/ \t\n"):
			return nil, fmt.Errorf("host %s: bridge mapping %q to %q: want PHYSICAL_NETWORK:BRIDGE, a bridge of at most 15 characters", s.Name, phys, br)
		case br == "br-int" || br == "br-tun":
			return nil, fmt.Errorf("host %s: bridge mapping of %s: %s is Penstock's own and cannot carry a physical network", s.Name, phys, br)
		case seen[br] != "":
			return nil, fmt.Errorf("host %s: bridge mappings of %s and %s both name %s", s.Name, seen[br], phys, br)
		}
		seen[br] = phys
	}
	return h, nil
}

// Handler serves the writing requests about hosts, and passes every other to next.
func Handler(st *store.Store, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := f(r)
			answer(w, v, err)
		})
	}
	h := hosts{st}
	handle("POST "+opapi.PathHosts, h.add)
	handle("PUT "+opapi.PathHosts+"/{name}", h.set)
	handle("DELETE "+opapi.PathHosts+"/{name}", h.remove)
	mux.Handle("/", next)
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	code, kind := http.StatusOK, ""
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil && v == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	case err == nil:
	case errors.Is(err, errNotFound):
		code, kind = http.StatusNotFound, "HostNotFound"
	case errors.Is(err, errConflict):
		code, kind = http.StatusConflict, "HostInUse"
	case errors.As(err, &tooLarge):
		code, kind = http.StatusRequestEntityTooLarge, "HTTPRequestEntityTooLarge"
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrConflict):
		code, kind = http.StatusServiceUnavailable, "ServiceUnavailable"
	default:
		code, kind = http.StatusBadRequest, "BadRequest"
	}
	w.WriteHeader(code)
	if err != nil {
		v = map[string]any{"NeutronError": map[string]string{"type": kind, "message": err.Error(), "detail": ""}}
	}
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone
}

type hosts struct{ st *store.Store }

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body is no host: %w", err)
	}
	return nil
}

func (h hosts) update(ctx context.Context, what string, f func(tx *store.Tx) error) error {
	_, err := h.st.Update(ctx, store.Meta{Author: "operator", Request: what}, f)
	return err
}

func (h hosts) add(r *http.Request) (any, error) {
	var s opapi.HostSpec
	if err := decode(r, &s); err != nil {
		return nil, err
	}
	host, err := HostOf(s)
	if err != nil {
		return nil, err
	}
	return s, h.update(r.Context(), "host add "+s.Name, func(tx *store.Tx) error {
		if tx.Exists(model.Hosts, s.Name) {
			return fmt.Errorf("host %s is there already: change it with penstockctl host set: %w", s.Name, errConflict)
		}
		fresh := *host
		_, err := PutHost(tx, &fresh)
		return err
	})
}

// set changes what the body names; what it leaves out stays.
func (h hosts) set(r *http.Request) (any, error) {
	var p opapi.HostPatch
	if err := decode(r, &p); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	var s opapi.HostSpec
	err := h.update(r.Context(), "host set "+name, func(tx *store.Tx) error {
		old, ok := tx.Get(model.Hosts, name).(*model.Host)
		if !ok {
			return fmt.Errorf("there is no host %q: see penstockctl host list: %w", name, errNotFound)
		}
		s = specOf(old)
		p.Apply(&s)
		host, err := HostOf(s)
		if err != nil {
			return err
		}
		_, err = PutHost(tx, host)
		return err
	})
	return s, err
}

func specOf(h *model.Host) opapi.HostSpec {
	s := opapi.HostSpec{Name: h.ID, OVSDB: h.OVSDB, DatapathType: h.DatapathType, BridgeMappings: h.BridgeMappings, Tags: h.HostTags, Draining: h.Draining}
	if h.TunnelIP.IsValid() {
		s.TunnelIP = h.TunnelIP.String()
	}
	return s
}

// remove takes a host away, with what was observed of it. Bound ports keep it, unless ?force=true.
func (h hosts) remove(r *http.Request) (any, error) {
	name := r.PathValue("name")
	force := r.URL.Query().Get("force") == "true"
	err := h.removeWith(r.Context(), name, force)
	if large := (*store.ErrTooLarge)(nil); force && errors.As(err, &large) {
		// More ports than one transaction of that etcd can unbind: none is bound any more there first, then as many at
		// a time as it takes.
		if err := h.unbindAll(r.Context(), name); err != nil {
			return nil, err
		}
		err = h.removeWith(r.Context(), name, force)
	}
	return nil, err
}

func (h hosts) unbindAll(ctx context.Context, name string) error {
	if err := h.update(ctx, "host remove "+name, func(tx *store.Tx) error {
		if old, ok := tx.Get(model.Hosts, name).(*model.Host); ok && !old.Draining {
			host := *old
			host.Draining = true
			tx.Put(model.Hosts, &host)
		}
		return nil
	}); err != nil {
		return err
	}
	return store.InParts(h.st.Snapshot().List(model.BindingsByHost, name), 100, func(part []model.Object) error {
		return h.update(ctx, "host remove "+name, func(tx *store.Tx) error {
			for _, o := range part {
				if b, ok := tx.Get(model.Bindings, o.ObjectID()).(*model.Binding); ok {
					store.Unbind(tx, b)
				}
			}
			return nil
		})
	})
}

func (h hosts) removeWith(ctx context.Context, name string, force bool) error {
	return h.update(ctx, "host remove "+name, func(tx *store.Tx) error {
		if !tx.Exists(model.Hosts, name) {
			return fmt.Errorf("there is no host %q: see penstockctl host list: %w", name, errNotFound)
		}
		v := tx.View()
		bound := v.Source().List(model.BindingsByHost, name)
		if len(bound) > 0 && !force {
			return fmt.Errorf("%d ports are bound on host %s: move or unplug them first (penstockctl host drain %s keeps new ones away), or use --force: %w", len(bound), name, name, errConflict)
		}
		for _, o := range bound {
			store.Unbind(tx, o.(*model.Binding))
		}
		tx.Delete(model.HostStates, name)
		tx.Delete(model.Hosts, name)
		return nil
	})
}
