package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// smallHeap is what a controller of a few hosts keeps at most, in bytes.
const smallHeap = 256 << 20

// tuneGC has garbage collected earlier than usual, and most so while little is kept: it costs hardly any processor time
// then, and the process stays small beside the VMs of a single host. A start is as usual: much is made in it.
func tuneGC(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 100
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
		metrics.Read(sample)
		want := 60
		if sample[0].Value.Uint64() < smallHeap {
			want = 40
		}
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
	}
}
