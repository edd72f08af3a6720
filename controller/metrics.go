package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the controller's own. Labels name bridges' roles and outcomes, never flows, ports or MACs.
type metrics struct {
	bundles  *prometheus.HistogramVec
	flowMods *prometheus.CounterVec
	derive   prometheus.Histogram
	changes  prometheus.Counter
	bind     prometheus.Histogram
	audits   *prometheus.CounterVec
	repaired *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, c *Controller) *metrics {
	m := &metrics{
		bundles: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "penstock_bundle_seconds",
			Help: "Time from sending a bundle to its barrier's reply, by bridge.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"bridge"}),
		flowMods: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_flow_mods_total", Help: "Flow-mods confirmed by switches, by bridge."}, []string{"bridge"}),
		derive: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "penstock_derive_seconds",
			Help: "Time to derive what one batch of changes means.", Buckets: prometheus.ExponentialBuckets(0.00005, 2, 18)}),
		bind: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "penstock_bind_seconds",
			Help: "Time from the database's update with a VIF's port number to the switches' confirmation of its flows, 0 if that came first.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		changes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_derive_changes_total", Help: "Objects whose change was derived."}),
		audits:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_audits_total", Help: "Times that a bridge in sync was read back and compared, by bridge."}, []string{"bridge"}),
		repaired: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_audit_repairs_total", Help: "Flows, groups and meters that an audit found other than desired and repaired, by bridge."}, []string{"bridge"}),
	}
	gauge := func(name, help string, f func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	if reg != nil {
		reg.MustRegister(m.bundles, m.flowMods, m.derive, m.changes, m.bind, m.audits, m.repaired,
			gauge("penstock_switch_connections", "Bridges connected to this process.", func() float64 { n, _ := c.countBridges(); return float64(n) }),
			gauge("penstock_switches_synced", "Bridges that hold what is desired.", func() float64 { _, n := c.countBridges(); return float64(n) }),
			gauge("penstock_flows_desired", "Flows desired on all bridges.", func() float64 { return float64(c.loop.desired.Load()) }),
			gauge("penstock_flows_installed", "Flows confirmed on all bridges of hosts that this process runs.", func() float64 { return float64(c.countInstalled()) }),
			gauge("penstock_units", "Derivation units alive.", func() float64 { return float64(c.loop.units.Load()) }),
			gauge("penstock_hosts", "Hosts configured.", func() float64 { return float64(len(c.allRunners())) }),
		)
	}
	return m
}

func (m *metrics) bundle(bridge string, d time.Duration, flowMods int) {
	m.bundles.WithLabelValues(bridge).Observe(d.Seconds())
	m.flowMods.WithLabelValues(bridge).Add(float64(flowMods))
}

func (m *metrics) audited(bridge string, repaired int) {
	m.audits.WithLabelValues(bridge).Inc()
	m.repaired.WithLabelValues(bridge).Add(float64(repaired))
}

func (m *metrics) derived(d time.Duration, changes int) {
	m.derive.Observe(d.Seconds())
	m.changes.Add(float64(changes))
}

func (c *Controller) countBridges() (connected, synced int) {
	for _, r := range c.allRunners() {
		if o := r.current(); o != nil {
			for _, b := range o.roll.Status() {
				if b.Connected {
					connected++
				}
				if b.Synced {
					synced++
				}
			}
		}
	}
	return connected, synced
}

func (c *Controller) countInstalled() (n int) {
	for _, r := range c.allRunners() {
		if o := r.current(); o != nil {
			for _, b := range o.roll.Status() {
				n += b.Flows
			}
		}
	}
	return n
}
