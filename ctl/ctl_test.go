package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/penstock/penstock/pipeline"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"penstockctl": func() {
		os.Exit(Main(context.Background(), os.Args[1:], Streams{os.Stdin, os.Stdout, os.Stderr, os.Getenv}))
	}})
}

// TestScripts runs testdata/script: each against a server of its own, whose operator API answers with the files
// under opapi/ of the script and which notes every request in the file requests.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(ts *testscript.TestScript, neg bool, args []string){"nowhy": noWhy},
		Setup: func(env *testscript.Env) error {
			s := httptest.NewServer(&fakeServer{dir: env.WorkDir, objects: map[string][]map[string]any{}})
			env.Defer(s.Close)
			l, err := net.Listen("tcp", "127.0.0.1:0") // an address where nobody listens
			if err != nil {
				return err
			}
			l.Close()
			env.Setenv("PENSTOCK_ENDPOINT", s.URL)
			env.Setenv("NOBODY", "http://"+l.Addr().String())
			return nil
		},
	})
}

// noWhy is a script's command: nowhy FILE writes the last stdout to FILE, each rule's sentence replaced by "why", so
// that goldens do not change when package pipeline finds better words.
func noWhy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nowhy FILE")
	}
	text := ts.ReadFile("stdout")
	for _, t := range pipeline.Tables() {
		for _, r := range t.Rules() {
			text = strings.ReplaceAll(text, `   "`+r.Doc+`"`, `   "why"`)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// fakeServer is as much of penstockd as penstockctl can tell. Package api's own tests say what the real one does.
type fakeServer struct {
	dir string

	mu      sync.Mutex
	objects map[string][]map[string]any // by collection
	next    int
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.note(r, body)
	if name, ok := strings.CutPrefix(r.URL.Path, "/penstock/v1/"); ok {
		b, err := os.ReadFile(filepath.Join(s.dir, "opapi", name+".json"))
		if host, ok := strings.CutPrefix(name, "hosts/"); ok && err != nil {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"NeutronError": {"type": "HostNotFound", "message": "there is no host %s: see penstockctl host list", "detail": ""}}`, host)
			return
		}
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
		return
	}
	switch rest, ok := strings.CutPrefix(r.URL.Path, "/v2.0/"); {
	case ok:
		many, id, _ := strings.Cut(rest, "/")
		s.resource(w, r, many, id, body)
	case r.URL.Path == "/html/v2.0/networks":
		fmt.Fprint(w, "<html>hello</html>")
	case r.URL.Path == "/slow/v2.0/networks":
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func (s *fakeServer) note(r *http.Request, body []byte) {
	f, err := os.OpenFile(filepath.Join(s.dir, "requests"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %s %s\n", r.Method, r.URL.RequestURI(), body)
}

func neutronError(w http.ResponseWriter, status int, typ, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"NeutronError": map[string]any{"type": typ, "message": message, "detail": ""}})
}

func (s *fakeServer) resource(w http.ResponseWriter, r *http.Request, many, id string, body []byte) {
	one := strings.TrimSuffix(many, "s")
	at := slices.IndexFunc(s.objects[many], func(o map[string]any) bool { return o["id"] == id })
	if id != "" && at < 0 {
		neutronError(w, 404, strings.ToUpper(one[:1])+one[1:]+"NotFound", fmt.Sprintf("%s %s could not be found.", one, id))
		return
	}
	var in map[string]map[string]any
	_ = json.Unmarshal(body, &in)
	answer := func(status int, v any) { w.WriteHeader(status); _ = json.NewEncoder(w).Encode(v) }
	switch r.Method {
	case http.MethodPost:
		s.next++
		o := map[string]any{"id": fmt.Sprintf("00000000-0000-4000-8000-%012d", s.next), "status": "ACTIVE", "admin_state_up": true}
		for k, v := range in[one] {
			o[k] = v
		}
		if m, _ := o["mtu"].(float64); m > 1450 {
			neutronError(w, 400, "InvalidInput", "Invalid input for operation: Requested MTU is too big,\nmaximum is 1450.")
			return
		}
		s.objects[many] = append(s.objects[many], o)
		answer(201, map[string]any{one: o})
	case http.MethodPut:
		for k, v := range in[one] {
			s.objects[many][at][k] = v
		}
		answer(200, map[string]any{one: s.objects[many][at]})
	case http.MethodDelete:
		if many == "networks" && slices.ContainsFunc(s.objects["ports"], func(p map[string]any) bool { return p["network_id"] == id }) {
			neutronError(w, 409, "NetworkInUse", "Unable to complete operation on network "+id+". There are one or more ports still in use on the network.")
			return
		}
		s.objects[many] = slices.Delete(s.objects[many], at, at+1)
		w.WriteHeader(204)
	case http.MethodGet:
		if id != "" {
			answer(200, map[string]any{one: s.objects[many][at]})
			return
		}
		q := r.URL.Query()
		q.Del("fields")
		found := []map[string]any{}
		for _, o := range s.objects[many] {
			if !slices.ContainsFunc([]string{"id", "name", "network_id"}, func(k string) bool { return q.Has(k) && q.Get(k) != o[k] }) {
				found = append(found, o)
			}
		}
		page := map[string]any{many: found}
		if many == "networks" && q.Get("name") == "" && len(found) > 2 && !q.Has("id") && !q.Has("limit") { // pages of two
			from := 1 + slices.IndexFunc(found, func(o map[string]any) bool { return o["id"] == q.Get("marker") })
			to := min(from+2, len(found))
			page[many] = found[from:to]
			if to-from == 2 {
				page["networks_links"] = []any{map[string]any{"rel": "next",
					"href": fmt.Sprintf("http://elsewhere.invalid/v2.0/networks?limit=2&marker=%s", found[to-1]["id"])}}
			}
		}
		answer(200, page)
	}
}

// syncBuffer is a buffer that a goroutine writes while the test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
