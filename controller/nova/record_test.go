package nova

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// TestUnrecorded: a store that takes no acknowledgements is no fault of Nova's; events are sent again, with pauses.
func TestUnrecorded(t *testing.T) {
	st, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir(), MinFreeBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c := newCompute(t)
	core, logs := observer.New(zapcore.WarnLevel)
	n := New(Config{Store: st, Logger: zap.New(core), URL: c.URL + "/v2.1", Pause: 10 * time.Millisecond, MaxPause: 20 * time.Millisecond})
	a := newPort()
	storetest.Put(t, st, a, status(a, "ACTIVE"))
	if err := st.Close(); err != nil { // what it knew it still says
		t.Fatal(err)
	}
	it := &item{id: model.PortID(a.ID), since: time.Now()}
	if err := n.deliver(t.Context(), n.reports([]*item{it})); !errors.Is(err, errRecord) || n.at[it.id] != it {
		t.Fatalf("%v; queued: %v", err, n.at)
	}
	n.fault = errors.New("of before")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.send(ctx) }()
	began, before := time.Now(), len(c.heard())
	waitFor(t, "the event to be sent again", func() bool { return len(c.heard()) >= before+5 })
	if d := time.Since(began); d < 60*time.Millisecond {
		t.Errorf("sent five times in %v", d)
	}
	if h := n.Health(); h != nil {
		t.Errorf("health %+v", h)
	}
	cancel()
	<-done
	if e := logs.All(); len(e) != 1 || e[0].Message != "Nova's acknowledgements cannot be recorded: events are sent again" {
		t.Errorf("logged %+v", e)
	}
}
