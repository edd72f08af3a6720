package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// nova is the part of Nova's API that is told of ports, in the host's namespace.
type nova struct {
	mu   sync.Mutex
	down bool
	seen int // requests
	told []string
}

func (n *nova) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Events []map[string]any `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v2.1/os-server-external-events" || r.Header.Get("X-Auth-Token") != "secret" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen++
	if n.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, e := range q.Events {
		n.told = append(n.told, strings.Join([]string{e["name"].(string), e["server_uuid"].(string), e["tag"].(string), e["status"].(string)}, " "))
		e["code"] = http.StatusOK
	}
	_ = json.NewEncoder(w).Encode(q)
}

func (n *nova) heard() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

func (n *nova) set(down bool) (seen int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	return n.seen
}

// TestNova boots a server's port as Nova does: it makes the port for a host, asks how to plug it, plugs it and waits for
// the event, which comes although penstockd is killed when it is due and Nova is down for a while.
func TestNova(t *testing.T) {
	t.Parallel()
	e := prepare(t, options{extra: "nova: {url: \"http://127.0.0.1:8774/v2.1\", token: secret}\n"})
	l, err := e.host.Listen("tcp", "127.0.0.1:8774")
	if err != nil {
		t.Fatal(err)
	}
	n := &nova{}
	srv := &http.Server{Handler: n}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	e.d.start()
	e.waitReady()
	net, _ := e.network("blue", "10.0.0.0/24", nil)
	server := uuid.NewString()
	v := e.unplugged("v", net, "", object{"device_id": server, "device_owner": "compute:nova", "binding:host_id": "h1",
		"binding:vnic_type": "normal", "binding:profile": object{"os_vif_delegation": true}})
	id := v.Port["id"].(string)
	details := v.Port["binding:vif_details"].(object)
	if v.Port["binding:vif_type"] != "ovs" || details["bridge_name"] != "br-int" || details["port_filter"] != true || details["ovs_hybrid_plug"] != false || details["connectivity"] != "l2" {
		t.Errorf("the port is to be plugged as %v, %v", v.Port["binding:vif_type"], details)
	}
	e.settle()
	if got := n.heard(); len(got) != 0 {
		t.Errorf("before the plug Nova was told %q", got)
	}
	// Nova is down when the port becomes ACTIVE, and penstockd dies before it is up again.
	before := n.set(true)
	v.Plug()
	v.waitActive()
	e.waitProblem("NOVA_UNREACHABLE", "503")
	if n.set(true) == before {
		t.Error("Nova was not asked")
	}
	e.d.kill()
	n.set(false)
	e.d.start()
	expect := func(what string, events ...string) {
		t.Helper()
		var want []string
		for _, x := range events {
			want = append(want, x+" "+server+" "+id+" completed")
		}
		heard := func() []string { return slices.Compact(n.heard()) } // an event may come twice
		e.wait(what, func() bool { return len(heard()) >= len(want) })
		if got := heard(); !slices.Equal(got, want) {
			t.Errorf("%s: Nova was told %q, want %q", what, got, want)
		}
	}
	expect("the event after a restart", "network-vif-plugged")
	e.waitReady()
	e.waitNoProblem("NOVA_UNREACHABLE")
	if s := v.status(); s != "ACTIVE" {
		t.Errorf("Nova was told, but the port is %s", s)
	}
	e.d.stop()
	e.d.start()
	e.waitReady()
	v.Unplug()
	expect("the event of the unplug", "network-vif-plugged", "network-vif-unplugged")
	e.delete("port", id)
	expect("the event of the deletion", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted")
}
