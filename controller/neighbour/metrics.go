package neighbour

import "github.com/prometheus/client_golang/prometheus"

// What is counted.
const (
	eventAsked      = "asked"      // an ARP request was sent
	eventAnswered   = "answered"   // a question was answered
	eventUnanswered = "unanswered" // or was not
	eventMoved      = "moved"      // a next hop has another MAC address now
	eventUnasked    = "unasked"    // ARP that answers no question: not believed
	eventHeld       = "held"       // a packet waits
	eventReleased   = "released"   // a packet was sent on
	eventOverflow   = "overflow"   // a packet was lost because too many wait
	eventLimited    = "limited"    // a packet was refused because too much is asked
	eventEvicted    = "evicted"    // a next hop was forgotten because too many are known
	eventLost       = "send-full"  // a message was lost because the switch takes no more
)

type metrics struct {
	events map[string]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Resolver) *metrics {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_neighbour_events_total", Help: "What happened in finding out the MAC addresses of routers' next hops."}, []string{"event"})
	m := &metrics{map[string]prometheus.Counter{}}
	for _, e := range []string{eventAsked, eventAnswered, eventUnanswered, eventMoved, eventUnasked, eventHeld, eventReleased, eventOverflow, eventLimited, eventEvicted, eventLost} {
		m.events[e] = vec.WithLabelValues(e)
	}
	gauge := func(name, help string, f func(*host) int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() (n float64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, h := range r.hosts {
				n += float64(f(h))
			}
			return n
		})
	}
	if reg != nil {
		reg.MustRegister(vec,
			gauge("penstock_neighbours", "Next hops of routers that are known.", func(h *host) (n int) {
				for _, k := range h.known {
					n += k
				}
				return n
			}),
			gauge("penstock_neighbours_asked", "Next hops of routers that are being asked for.", func(h *host) int { return len(h.asking) }),
			gauge("penstock_neighbour_packets_held", "Packets that wait for their next hop's MAC address.", func(h *host) int { return h.held }))
	}
	return m
}

func (m *metrics) event(e string) { m.events[e].Inc() }
