package rig

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/sim"
)

// Fleet is many simulated hosts.
type Fleet struct {
	Hosts []*sim.Host

	mu      sync.Mutex
	commits map[string][]sim.Commit // by host, since the last Reset
	changed chan struct{}
	plugged []int
}

// NewFleet starts n hosts with their sockets in dir.
func NewFleet(t ovstest.TB, dir string, n int) *Fleet {
	t.Helper()
	f := &Fleet{commits: map[string][]sim.Commit{}, changed: make(chan struct{}), plugged: make([]int, n)}
	for i := range n {
		h, err := sim.NewHost(fmt.Sprintf("s%d", i), sim.Options{Dir: dir, OnCommit: f.note})
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(h.Close)
		f.Hosts = append(f.Hosts, h)
	}
	return f
}

// Conf is penstockd's configuration of them.
func (f *Fleet) Conf() (out []HostConf) {
	for i, h := range f.Hosts {
		out = append(out, HostConf{Name: h.Name, OVSDB: h.OVSDB(), TunnelIP: fmt.Sprintf("172.16.%d.%d", i/250, 1+i%250)})
	}
	return out
}

func (f *Fleet) note(c sim.Commit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits[c.Switch.Host] = append(f.commits[c.Switch.Host], c)
	close(f.changed)
	f.changed = make(chan struct{})
}

// Reset forgets the commits.
func (f *Fleet) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.commits)
}

// Committed waits until n hosts have committed a bundle since Reset, and returns when the last of them did.
func (f *Fleet) Committed(ctx context.Context, t ovstest.TB, n int) (last time.Time) {
	t.Helper()
	for {
		f.mu.Lock()
		changed, got := f.changed, len(f.commits)
		for _, l := range f.commits {
			if l[0].Time.After(last) {
				last = l[0].Time
			}
		}
		f.mu.Unlock()
		if got >= n {
			return last
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d of %d hosts have committed a bundle: %v", got, n, ctx.Err())
		}
	}
}

// LastCommit is when a host committed its last bundle since Reset, and how many hosts have committed any.
func (f *Fleet) LastCommit() (last time.Time, hosts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.commits {
		if t := l[len(l)-1].Time; t.After(last) {
			last = t
		}
	}
	return last, len(f.commits)
}

// Ready waits until penstockd has made every host's bridges.
func (f *Fleet) Ready(ctx context.Context, t ovstest.TB) {
	t.Helper()
	for _, h := range f.Hosts {
		for _, b := range []string{"br-int", "br-tun"} {
			s, err := h.WaitBridge(ctx, b)
			if err == nil {
				_, err = s.Wait(ctx, func(s sim.Stats) bool { return s.Connections > 0 })
			}
			if err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
}

// Plug plugs ports on a host and waits until they are installed.
func (f *Fleet) Plug(ctx context.Context, t ovstest.TB, host int, ids []string) {
	t.Helper()
	var vifs []sim.VIF
	var names []string
	for _, id := range ids {
		f.plugged[host]++
		v := sim.VIF{IfaceID: id, Name: fmt.Sprintf("v%d", f.plugged[host])}
		vifs, names = append(vifs, v), append(names, v.Name)
	}
	if err := f.Hosts[host].Plug(vifs...); err != nil {
		t.Fatalf("%v", err)
	}
	if err := f.Hosts[host].WaitInstalled(ctx, names...); err != nil {
		t.Fatalf("%v", err)
	}
}

// Sum adds up the counters of the hosts' switches, the first hosts left out.
func (f *Fleet) Sum(leaveOut int) (s sim.Stats) {
	for _, h := range f.Hosts[leaveOut:] {
		for _, sw := range h.Switches() {
			x := sw.Stats()
			s.FlowMods, s.GroupMods, s.MeterMods = s.FlowMods+x.FlowMods, s.GroupMods+x.GroupMods, s.MeterMods+x.MeterMods
			s.Bundles, s.Octets, s.Failed, s.Flows = s.Bundles+x.Bundles, s.Octets+x.Octets, s.Failed+x.Failed, s.Flows+x.Flows
			s.Groups, s.Meters, s.Connections = s.Groups+x.Groups, s.Meters+x.Meters, s.Connections+x.Connections
		}
	}
	return s
}
