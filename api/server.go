package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
)

// Config is what the API needs.
type Config struct {
	Store  *store.Store
	Logger *zap.Logger
	// Auth says who makes a request; nil: NoAuth of the project "default".
	Auth Authenticator
	// Networks is the configuration's section of that name.
	Networks Networks
	// NoDHCPPorts leaves network:dhcp ports away and routers' ports DOWN, for comparing answers with the reference, which
	// has no agent.
	NoDHCPPorts bool
	// Operator serves /penstock/v1; nil: 404.
	Operator http.Handler
	// MaxBody bounds a request's body in bytes (default 4 MiB); more is answered with 413.
	MaxBody int64
	// Quotas are the default limits by resource name; a resource that is not there has none.
	Quotas map[string]int
	// Nova has the deletion of a server's port leave a record of it, from which Nova is told.
	Nova bool
	// Registerer gets the metrics; nil: none are registered.
	Registerer prometheus.Registerer
	// Clock gives the time; nil: time.Now.
	Clock func() time.Time
}

// Networks says what networks may be.
type Networks struct {
	TenantTypes   []model.NetworkType // default vxlan
	VXLAN, GRE    [2]uint32           // ranges of segmentation ids, both ends included; default 1 to 16777215
	Physical      map[string]Physical // by physical network
	External      string              // physical network of external networks without provider attributes
	UnderlayMTU   int                 // default 1500
	DNSDomain     string              // default openstacklocal
	MaxRoutes     int                 // extra routes of a router, as Neutron's max_routes; default 30
	EncapOverhead map[model.NetworkType]int
}

// Physical says how a physical network may be used.
type Physical struct {
	Flat  bool
	VLANs [][2]uint32 // tenants' ranges; a VLAN outside of them only by admins' request
}

func (n *Networks) defaults() {
	if len(n.TenantTypes) == 0 {
		n.TenantTypes = []model.NetworkType{model.NetworkVXLAN}
	}
	for _, r := range []*[2]uint32{&n.VXLAN, &n.GRE} {
		if *r == [2]uint32{} {
			*r = [2]uint32{1, 1<<24 - 1}
		}
	}
	if n.UnderlayMTU == 0 {
		n.UnderlayMTU = 1500
	}
	if n.DNSDomain == "" {
		n.DNSDomain = "openstacklocal"
	}
	if n.MaxRoutes == 0 {
		n.MaxRoutes = 30
	}
}

// Server is the API's http.Handler. Its methods are safe for concurrent use.
type Server struct {
	cfg       Config
	lg        *zap.Logger
	resources []*Resource
	byPath    map[string]*Resource // "networks", "qos/policies"
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	panics    prometheus.Counter
}

// New makes the handler for /, /v2.0 and /penstock/v1.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Auth == nil {
		cfg.Auth = NoAuth{ProjectID: "default"}
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 4 << 20
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	cfg.Networks.defaults()
	s := &Server{cfg: cfg, lg: cfg.Logger.Named("api"), byPath: map[string]*Resource{}}
	s.resources = declare()
	for _, r := range s.resources {
		s.byPath[strings.TrimPrefix(r.Prefix+"/"+strings.ReplaceAll(r.Collection, "_", "-"), "/")] = r
	}
	s.byPath["policies"] = qosPolicyResource // where the reference has their tags, and by the way all of them
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_api_requests_total", Help: "Requests served, by resource, method and status."}, []string{"resource", "method", "code"})
	s.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "penstock_api_request_seconds", Help: "Time to serve a request, by resource and method.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"resource", "method"})
	s.panics = prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_api_panics_total", Help: "Requests that ended in a panic, which is a defect."})
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(s.requests, s.latency, s.panics)
	}
	return s
}

// HTTPServer gives an http.Server around h with limits for slow and silent clients.
func HTTPServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second,
		WriteTimeout: 120 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10}
}

// reply is an answer: its body is complete JSON, nil for none.
type reply struct {
	status int
	body   []byte
}

func (s *Server) base(req *http.Request) string {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	if p := req.Header.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
		scheme = p
	}
	return scheme + "://" + req.Host
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	begin := time.Now()
	name := "other"
	status := http.StatusInternalServerError
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.panics.Inc()
			s.lg.Error("request panicked: this is a defect, please report it", zap.String("method", req.Method),
				zap.String("path", req.URL.Path), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			s.write(w, nil, internal())
		}
		s.requests.WithLabelValues(name, method(req.Method), strconv.Itoa(status)).Inc()
		s.latency.WithLabelValues(name, method(req.Method)).Observe(time.Since(begin).Seconds())
	}()
	path := req.URL.Path
	switch {
	case path == "/" || path == "":
		status = s.write(w, s.versions(req), nil)
		return
	case strings.HasPrefix(path, "/penstock/v1") && s.cfg.Operator != nil:
		name, status = "operator", http.StatusOK
		if err := s.operatorMay(req); err != nil {
			status = s.write(w, nil, err)
			return
		}
		s.cfg.Operator.ServeHTTP(w, req)
		return
	case !strings.HasPrefix(path, "/v2.0/") && path != "/v2.0":
		status = http.StatusNotFound
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code": 404, "title": "Not Found", "description": null}`))
		return
	}
	id := "req-" + uuid.NewString()
	w.Header().Set("X-Openstack-Request-Id", id)
	rep, res, err := s.serve(w, req)
	if res != "" {
		name = res
	}
	status = s.write(w, rep, err)
	if status >= 500 && req.Context().Err() == nil { // else the client is gone, and what was begun with it
		s.lg.Error("request failed", zap.String("request_id", id), zap.String("method", req.Method), zap.String("path", path), zap.Error(err))
	} else {
		s.lg.Debug("request", zap.String("request_id", id), zap.String("method", req.Method), zap.String("path", path), zap.Int("status", status), zap.Duration("took", time.Since(begin)))
	}
}

// method keeps a metric's label from growing with what clients invent.
func method(m string) string {
	switch m {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS":
		return m
	}
	return "other"
}

func internal() *Error {
	return fail(http.StatusInternalServerError, "HTTPInternalServerError", "Request Failed: internal server error while processing your request.")
}

// write sends an answer or an error and gives its status.
func (s *Server) write(w http.ResponseWriter, rep *reply, err error) int {
	if err != nil {
		e := asError(err)
		if e == nil {
			e = storeError(err)
		}
		body := map[string]any{"NeutronError": map[string]any{"type": e.Type, "message": e.Message, "detail": ""}}
		rep = &reply{e.Status, appendJSON(nil, body)}
		if e.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Keystone")
		}
	}
	if rep.body != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body) // a client that is gone needs no answer
	return rep.status
}

// storeError says what an error of the store means to a client.
func storeError(err error) *Error {
	var large *store.ErrTooLarge
	switch {
	case errors.As(err, &large):
		return fail(http.StatusRequestEntityTooLarge, "HTTPRequestEntityTooLarge", "%s", large.Error())
	case errors.Is(err, store.ErrConflict):
		return fail(http.StatusServiceUnavailable, "HTTPServiceUnavailable", "%s", err.Error())
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return fail(http.StatusServiceUnavailable, "HTTPServiceUnavailable", "%s", err.Error())
	}
	return internal()
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request) (*reply, string, error) {
	who, err := s.cfg.Auth.Authenticate(req.Context(), req)
	if err != nil {
		return nil, "", err
	}
	if who == nil {
		return nil, "", fail(http.StatusUnauthorized, "HTTPUnauthorized", "The request you have made requires authentication.")
	}
	c := &call{s: s, ctx: req.Context(), who: who, req: req, snap: s.cfg.Store.Snapshot(), now: s.cfg.Clock().UTC()}
	path := strings.Trim(strings.TrimPrefix(req.URL.Path, "/v2.0"), "/")
	if req.URL.Path == "/v2.0" {
		return nil, "", hidden
	}
	path = strings.TrimSuffix(path, ".json")
	var parts []string
	if path != "" {
		parts = strings.Split(path, "/")
	}
	body, err := s.readBody(w, req)
	if err != nil {
		return nil, "", err
	}
	return c.route(parts, body)
}

// readBody reads a bounded body; it is nil when there is none.
func (s *Server) readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	tooLarge := fail(http.StatusRequestEntityTooLarge, "HTTPRequestEntityTooLarge", "The request body is larger than %d bytes: split it into several requests", s.cfg.MaxBody)
	if req.ContentLength > s.cfg.MaxBody {
		return nil, tooLarge
	}
	var buf bytes.Buffer
	if n := req.ContentLength; n > 0 {
		buf.Grow(int(n))
	}
	if _, err := io.Copy(&buf, http.MaxBytesReader(w, req.Body, s.cfg.MaxBody)); err != nil {
		var mbe *http.MaxBytesError
		if errors.As(err, &mbe) {
			return nil, tooLarge
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return nil, fail(http.StatusRequestTimeout, "HTTPRequestTimeout", "The request body did not arrive in time")
		}
		return nil, badRequest("Body contains invalid data")
	}
	return buf.Bytes(), nil
}

// operatorMay reports whether a request may use the operator API: it is for admins.
func (s *Server) operatorMay(req *http.Request) error {
	who, err := s.cfg.Auth.Authenticate(req.Context(), req)
	switch {
	case err != nil:
		return err
	case who == nil:
		return &Error{Status: http.StatusUnauthorized, Type: "HTTPUnauthorized", Message: "The request you have made requires authentication."}
	case !who.Admin():
		return &Error{Status: http.StatusForbidden, Type: "PolicyNotAuthorized", Message: "the operator API is for the role admin"}
	}
	return nil
}

// TrustFrom gives a TrustedHeaders.Front for requests that come from these addresses.
func TrustFrom(prefixes []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		ap, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return false
		}
		for _, p := range prefixes {
			if p.Contains(ap.Addr().Unmap()) {
				return true
			}
		}
		return false
	}
}
