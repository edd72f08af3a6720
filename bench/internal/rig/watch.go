package rig

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	lmodel "github.com/ovn-kubernetes/libovsdb/model"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/ovsdb/vswitch"
)

// Watch looks at a host's Interfaces, so that what sets external_ids is seen at once and the same for whoever sets them.
type Watch struct {
	c  client.Client
	mu sync.Mutex
	// ids are the external_ids of each Interface by name, with the port number under "ofport".
	ids     map[string]map[string]string
	changed chan struct{}
}

// NewWatch connects to a host's database.
func NewWatch(t ovstest.TB, target string) *Watch {
	t.Helper()
	m, err := vswitch.FullDatabaseModel()
	if err != nil {
		t.Fatalf("%v", err)
	}
	w := &Watch{ids: map[string]map[string]string{}, changed: make(chan struct{})}
	lg := logr.Discard()
	if w.c, err = client.NewOVSDBClient(m, client.WithEndpoint(target), client.WithLogger(&lg)); err != nil {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.c.Connect(ctx); err != nil {
		t.Fatalf("%v", err)
	}
	w.c.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc:    func(_ string, m lmodel.Model) { w.note(m, true) },
		UpdateFunc: func(_ string, _, m lmodel.Model) { w.note(m, true) },
		DeleteFunc: func(_ string, m lmodel.Model) { w.note(m, false) },
	})
	i := &vswitch.Interface{}
	if _, err := w.c.Monitor(ctx, w.c.NewMonitor(client.WithTable(i, &i.Name, &i.ExternalIDs, &i.Ofport))); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { w.c.Close() })
	return w
}

func (w *Watch) note(m lmodel.Model, there bool) {
	i, ok := m.(*vswitch.Interface)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ids, i.Name)
	if there {
		ids := map[string]string{}
		for k, v := range i.ExternalIDs {
			ids[k] = v
		}
		if i.Ofport != nil {
			ids["ofport"] = fmt.Sprint(*i.Ofport)
		}
		w.ids[i.Name] = ids
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// All waits until every interface named has key=value ("" for any value), and returns when it was seen.
func (w *Watch) All(t ovstest.TB, d time.Duration, key, value string, names ...string) time.Time {
	t.Helper()
	timeout := time.After(d)
	missing := names
	for {
		w.mu.Lock()
		changed := w.changed
		for len(missing) > 0 {
			v, ok := w.ids[missing[0]][key]
			if !ok || value != "" && v != value {
				break
			}
			missing = missing[1:]
		}
		w.mu.Unlock()
		if len(missing) == 0 {
			return time.Now()
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited %v for %s of %d of %d interfaces, %s first", d, key, len(missing), len(names), missing[0])
		}
	}
}

// Gone waits until an interface is not there any more.
func (w *Watch) Gone(t ovstest.TB, d time.Duration, name string) {
	t.Helper()
	ovstest.Wait(t, d, name+" to go", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.ids[name] == nil
	})
}
