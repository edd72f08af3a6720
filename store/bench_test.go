package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
	"github.com/penstock/penstock/store/storetest"
)

// createPort is what the API does for a port: parent checked and touched, MAC and address reserved, key taken.
func createPort(ctx context.Context, s *store.Store, i int) error {
	_, err := s.Update(ctx, store.Meta{Author: "bench", Request: "req-0b2d3f5a"}, func(tx *store.Tx) error {
		p := &model.Port{Meta: model.Meta{ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i*2654435761), i), Key: tx.NextKey(), Name: fmt.Sprint("port", i),
			ProjectID: "5a4bbf0e7c6a4d6ea3c0f0f0b5a1d2c3", CreatedAt: time.Now(), UpdatedAt: time.Now()}, NetworkID: "net",
			MAC: model.MAC{0xfa, 0x16, 0x3e, byte(i >> 16), byte(i >> 8), byte(i)}, AdminStateUp: true, PortSecurity: true,
			FixedIPs: []model.FixedIP{{SubnetID: "5a4bbf0e-7c6a-4d6e-a3c0-f0f0b5a1d2c3", Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}}}
		if !tx.Exists(model.Networks, "net") {
			return fmt.Errorf("no network")
		}
		tx.Touch("network/net")
		if err := tx.Reserve("mac/net", p.MAC.String(), p.ID); err != nil {
			return err
		}
		if err := tx.Reserve("ip/net", p.FixedIPs[0].Address.String(), p.ID); err != nil {
			return err
		}
		tx.Put(model.Ports, p)
		return nil
	})
	return err
}

func clients(b testing.TB, s *store.Store, clients, n, from int) {
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= from+n {
					return
				}
				if err := createPort(context.Background(), s, i); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// BenchmarkPortCreate reports transactions a second of 1, 16 and 50 clients creating ports of one network.
func BenchmarkPortCreate(b *testing.B) {
	for _, c := range []int{1, 16, 50} {
		b.Run(fmt.Sprint("clients=", c), func(b *testing.B) {
			s := storetest.New(b)
			storetest.Put(b, s, network("net"))
			b.ResetTimer()
			clients(b, s, c, b.N, 0)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "txn/s")
		})
	}
}

// BenchmarkChurn changes 4,000 ports 40,000 times and reports what is resident afterwards, and the database's size.
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		s := storetest.Open(b, store.Config{DataDir: dir})
		storetest.Put(b, s, network("net"))
		clients(b, s, 16, 4000, 0)
		ports := s.Snapshot().All(model.Ports)
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := next.Add(1); i < 40000; i = next.Add(1) {
					c := *ports[i%4000].(*model.Port)
					c.Revision = i
					if _, err := s.Update(context.Background(), store.Meta{Author: "churn"}, func(tx *store.Tx) error { tx.Put(model.Ports, &c); return nil }); err != nil {
						b.Error(err)
					}
				}
			}()
		}
		wg.Wait()
		resident(b)
		if st, err := os.Stat(dir + "/etcd/member/snap/db"); err == nil {
			b.ReportMetric(float64(st.Size())/1e6, "db-MB")
		}
	}
}

func resident(b *testing.B) {
	runtime.GC()
	debug.FreeOSMemory()
	st, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(st), "\n") {
		var kb float64
		for _, name := range []string{"VmRSS", "RssAnon", "RssFile"} {
			if n, _ := fmt.Sscanf(l, name+": %f kB", &kb); n == 1 {
				b.ReportMetric(kb/1024, name+"-MB")
			}
		}
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	b.ReportMetric(float64(ms.HeapAlloc)/1e6, "heap-MB")
}

// BenchmarkMemory reports what the process has resident with 4,000 ports and as many more changes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		s := storetest.New(b)
		storetest.Put(b, s, network("net"))
		clients(b, s, 16, 4000, 0)
		for i := range 4000 {
			storetest.Put(b, s, &model.PortStatus{PortID: model.PortID(fmt.Sprint("p", i)), Status: "ACTIVE"})
		}
		resident(b)
	}
}
