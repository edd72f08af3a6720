package dispatch

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/pipeline"
)

// sender keeps copies of what is sent; it refuses when full.
type sender struct {
	mu   sync.Mutex
	sent []string
	full bool
}

func (s *sender) SendPacket(port uint32, frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return errors.New("full")
	}
	s.sent = append(s.sent, fmt.Sprintf("%d:%s", port, frame))
	return nil
}

func (s *sender) SendInto(router, net uint32, frame []byte) error {
	return s.SendPacket(router<<24|net<<16, frame)
}

// counts reads penstock_packet_ins_total as handler/outcome=value.
func counts(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			out[m.Label[0].GetValue()+"/"+m.Label[1].GetValue()] = m.Counter.GetValue()
		}
	}
	return out
}

// TestHandle gives a dispatcher good packets and bad ones, and handlers that panic and that cannot send.
func TestHandle(t *testing.T) {
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zapcore.InfoLevel)
	var facts []packetin.Fact
	d := New(Config{View: func() model.View { return model.View{} }, Logger: zap.New(core), Registerer: reg,
		Facts: func(_ model.HostName, f []packetin.Fact) { facts = append(facts, f...) }})
	d.Register(pipeline.HandlerDHCP, func(_ model.View, in *packetin.Packet, r *packetin.Result) error {
		if string(in.Data) == "bad" {
			panic("a bug")
		}
		r.Send(in.InPort, append(r.Buffer(64), fmt.Sprintf("%s for %d of %d on %s", in.Data, in.PortKey, in.FullLen, in.Host)...))
		r.Send(7, append(r.Buffer(64), "second"...))
		r.Facts = append(r.Facts, packetin.Fact{Kind: packetin.FactDeclined})
		r.Outcome = "done"
		return nil
	})
	s := &sender{}
	dhcp := pipeline.UserData(pipeline.HandlerDHCP, 99)
	d.Handle("h1", s, dhcp, 5, []byte("hello"), 60)
	d.Handle("h1", s, dhcp, 5, []byte("bad"), 3)
	d.Handle("h1", s, dhcp, 5, make([]byte, MaxFrame+1), MaxFrame+1)
	d.Handle("h1", s, []byte("?"), 5, nil, 0)
	d.Handle("h1", s, pipeline.UserData(pipeline.HandlerICMP, 1), 5, nil, 0)
	s.full = true
	d.Handle("h1", s, dhcp, 5, []byte("hello"), 60)

	if want := "[5:hello for 99 of 60 on h1 7:second]"; fmt.Sprint(s.sent) != want {
		t.Errorf("sent %v, want %s", s.sent, want)
	}
	if len(facts) != 2 {
		t.Errorf("%d facts", len(facts))
	}
	h := pipeline.HandlerDHCP.String()
	want := map[string]float64{h + "/done": 2, h + "/" + OutcomePanic: 1, h + "/" + OutcomeTooLong: 1, h + "/" + OutcomeSendFull: 2, "none/" + OutcomeUserdata: 2}
	if got := counts(t, reg); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counters %v, want %v", got, want)
	}
	if logs.FilterMessageSnippet("panicked").Len() != 1 {
		t.Errorf("log: %v", logs.All())
	}
}

// TestConcurrent has the connections of several switches call at once: results must not mix.
func TestConcurrent(t *testing.T) {
	d := New(Config{View: func() model.View { return model.View{} }, Logger: zap.NewNop()})
	d.Register(pipeline.HandlerDHCP, func(_ model.View, in *packetin.Packet, r *packetin.Result) error {
		r.Send(in.InPort, append(r.Buffer(len(in.Data)), in.Data...))
		r.Outcome = "done"
		return nil
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := &sender{}
			for n := range 500 {
				d.Handle("h", s, pipeline.UserData(pipeline.HandlerDHCP, 1), uint32(i), fmt.Appendf(nil, "%d/%d", i, n), 0)
				if want := fmt.Sprintf("%d:%d/%d", i, i, n); s.sent[n] != want {
					t.Errorf("sent %s, want %s", s.sent[n], want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestAllocations: a packet and its answer cost no memory.
func TestAllocations(t *testing.T) {
	d := New(Config{View: func() model.View { return model.View{} }, Logger: zap.NewNop()})
	d.Register(pipeline.HandlerDHCP, func(_ model.View, in *packetin.Packet, r *packetin.Result) error {
		r.Send(in.InPort, append(r.Buffer(len(in.Data)), in.Data...))
		r.Outcome = "done"
		return nil
	})
	u, f := pipeline.UserData(pipeline.HandlerDHCP, 1), make([]byte, 300)
	if n := testing.AllocsPerRun(1000, func() { d.Handle("h", null{}, u, 1, f, 300) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

type null struct{}

func (null) SendPacket(uint32, []byte) error       { return nil }
func (null) SendInto(uint32, uint32, []byte) error { return nil }
