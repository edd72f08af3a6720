package ovsdb

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkVIF is the way of one VIF through a real ovsdb-server, without ovs-vswitchd: its row written by
// this process's own transaction, until the subscriber has it. The part that is ours and libovsdb's is the
// difference to the transaction alone, reported as us-event.
func BenchmarkVIF(b *testing.B) {
	for _, n := range []int{10, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h, r := start(b, nil)
			h.StopVswitchd()
			for i := 0; i < n; i += 500 {
				args := []string{"--no-wait"}
				for j := i; j < min(i+500, n); j++ {
					name := fmt.Sprintf("v%d", j)
					args = append(args, "--", "add-port", "br-int", name, "--", "set", "Interface", name, "external_ids:iface-id=id-"+name)
				}
				h.VSCtl(args...)
			}
			r.await("all", func(s Snapshot) bool { return s.VIFCount() == n })
			sub := r.Subscribe()
			defer sub.Close()
			<-sub.C()
			sub.Take()
			r.mu.Lock()
			sess := r.session
			r.mu.Unlock()
			br := sess.t.bridgeByName[BridgeInt]
			var event time.Duration
			base := r.Counters()
			b.ResetTimer()
			for i := range b.N {
				name := fmt.Sprintf("new%d", i)
				var x builder
				iface := x.insert("Interface", map[string]any{"name": name, "external_ids": stringMap(map[string]string{KeyIfaceID: "id-" + name})})
				port := x.insert("Port", map[string]any{"name": name, "interfaces": uuidSet(iface)})
				x.mutate("Bridge", br, "ports", "insert", uuidSet(port))
				x.flush()
				if err := sess.transact(b.Context(), &x); err != nil {
					b.Fatal(err)
				}
				t := time.Now() // the reply follows the update: libovsdb has just applied it
				for len(r.State().VIFs("id-"+name)) == 0 {
					<-sub.C()
					sub.Take()
				}
				event += time.Since(t)
			}
			b.StopTimer()
			c := r.Counters()
			b.ReportMetric(float64(event.Microseconds())/float64(b.N), "us-event")
			b.ReportMetric(float64(c.Rows-base.Rows)/float64(b.N), "rows")
			b.ReportMetric(float64(c.Transactions-base.Transactions), "transactions")
		})
	}
}
