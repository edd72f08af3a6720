package controller

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/ovsdb"
)

// Status gathers what there is and how it goes.
func (c *Controller) Status(ctx context.Context, gather prometheus.Gatherer) opapi.Status {
	v := c.cfg.Store.View()
	s := opapi.Status{Version: c.cfg.Version, Revision: v.Revision(), Derived: c.loop.delivered.Load(), Started: c.started, Leader: c.leads(),
		Hosts: c.Hosts(), Health: c.Health(ctx), PacketIns: packetIns(gather)}
	snap := c.cfg.Store.Snapshot()
	s.Ports.Total = snap.Len(model.Ports)
	for o := range snap.Each(model.PortStatuses) {
		if o.(*model.PortStatus).Status == model.StatusActive {
			s.Ports.Active++
		}
	}
	s.Ports.Down = s.Ports.Total - s.Ports.Active
	return s
}

func (c *Controller) leads() bool {
	for _, r := range c.allRunners() {
		if r.current() != nil {
			return true
		}
	}
	return false
}

// Hosts lists the configured hosts by name, with their bridges where this process runs them.
func (c *Controller) Hosts() []opapi.Host {
	v := c.cfg.Store.View()
	out := []opapi.Host{}
	for _, o := range c.cfg.Store.Snapshot().List(model.HostsAll, "all") {
		out = append(out, c.host(v, o.(*model.Host)))
	}
	return out
}

func (c *Controller) host(v model.View, h *model.Host) opapi.Host {
	x := opapi.Host{Name: h.ID, OVSDB: h.OVSDB, Draining: h.Draining, Bridges: []opapi.Bridge{}}
	if h.TunnelIP.IsValid() {
		x.TunnelIP = h.TunnelIP.String()
	}
	if s, ok := v.HostState(model.HostName(h.ID)); ok {
		x.Alive, x.Since, x.Datapath, x.OVSVersion = s.Alive, s.Since, s.Datapath, s.OVSVersion
	}
	x.Ports = len(c.cfg.Store.Snapshot().List(model.BindingsByHost, h.ID))
	if r := c.runner(model.HostName(h.ID)); r != nil {
		x.Bridges = r.bridges()
	}
	return x
}

// Switches lists all bridges with their hosts.
func (c *Controller) Switches() []opapi.Switch {
	out := []opapi.Switch{}
	for _, h := range c.Hosts() {
		for _, b := range h.Bridges {
			out = append(out, opapi.Switch{Host: h.Name, Bridge: b})
		}
	}
	return out
}

// bridges lists the host's bridges as they should be there, with the state of their sessions.
func (r *runner) bridges() []opapi.Bridge {
	out := []opapi.Bridge{}
	o := r.current()
	for _, name := range r.bridgeNames() {
		b := opapi.Bridge{Name: name, DatapathID: fmt.Sprintf("%016x", ovsdb.DatapathID(r.host, name))}
		if o != nil {
			for _, s := range o.roll.Status() {
				if s.Bridge == name {
					b.Connected, b.Synced, b.LastError = s.Connected, s.Synced, s.LastError
					b.FlowsDesired, b.FlowsInstalled, b.Groups, b.Meters, b.FlowModsSent = s.Desired, s.Flows, s.Groups, s.Meters, s.Sent
					b.Foreign, b.Repaired = s.Foreign, s.Repaired
				}
			}
		}
		out = append(out, b)
	}
	return out
}

func (r *runner) bridgeNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{ovsdb.BridgeInt, ovsdb.BridgeTun}, r.conf.Bridges()...)
}

// Health lists everything that is not as it should be, most severe first.
func (c *Controller) Health(ctx context.Context) []opapi.Health {
	out := []opapi.Health{}
	add := func(code, severity, object, text string) {
		out = append(out, opapi.Health{Code: code, Severity: severity, Object: object, Text: strings.Join(strings.Fields(text), " ")})
	}
	if h := c.cfg.Store.Health(); len(h.Problems) > 0 {
		for _, p := range h.Problems {
			add(p.Code, opapi.SeverityError, "store", p.Text)
		}
	}
	for _, r := range c.allRunners() {
		r.addHealth(add)
	}
	uncarried(c.cfg.Store.View(), add)
	addrs, err := net.InterfaceAddrs()
	for _, r := range c.allRunners() {
		r.mu.Lock()
		conf := r.conf
		r.mu.Unlock()
		if err == nil && tunnelAddress(conf, addrs) {
			add("TUNNEL_IP_MISSING", opapi.SeverityError, "host "+conf.ID, fmt.Sprintf("tunnel_ip %s is no address of this machine, so its networks do not reach other hosts: give it to an interface, or set another with penstockctl host set %s --tunnel-ip ADDRESS", conf.TunnelIP, conf.ID))
		}
	}
	var derive map[string]error
	var conflicts uint64
	if c.loop.ask(ctx, func() { s := c.loop.engine.Stats(); derive, conflicts = s.Errors, s.Conflicts }) == nil {
		for unit, err := range derive {
			add("DERIVE_FAILED", opapi.SeverityError, unit, err.Error()+"; its flows are missing: this is a defect of Penstock, please report it")
		}
		if conflicts > 0 {
			add("FLOW_CONFLICT", opapi.SeverityWarning, "pipeline", fmt.Sprintf("%d times two objects asked for the same match; the first in order won: overlapping addresses or MACs on one network?", conflicts))
		}
	}
	c.facts.mu.Lock()
	for f := range c.facts.last {
		add("ADDRESS_DECLINED", opapi.SeverityWarning, "port "+string(f.Port), fmt.Sprintf("the VM found %s in use by somebody else: look for a duplicate on its network", f.Addr))
	}
	c.facts.mu.Unlock()
	if c.cfg.Health != nil {
		out = append(out, c.cfg.Health()...)
	}
	slices.SortStableFunc(out, func(a, b opapi.Health) int {
		return strings.Compare(a.Severity+a.Code+a.Object, b.Severity+b.Code+b.Object)
	})
	return out
}

func (r *runner) addHealth(add func(code, severity, object, text string)) {
	host := "host " + string(r.host)
	r.mu.Lock()
	errText, o := r.error, r.owned
	r.mu.Unlock()
	if errText != "" {
		add("HOST_CONFIG", opapi.SeverityError, host, errText)
	}
	if o == nil {
		return
	}
	for _, h := range o.db.Health() {
		object := host
		if h.Object != "" {
			object += " " + h.Object
		}
		add(h.Code, opapi.SeverityError, object, h.Text)
	}
	for _, p := range o.bind.Problems() {
		add(p.Code, opapi.SeverityWarning, "port "+string(p.Port), p.Text)
	}
	for _, f := range o.roll.Refusals() {
		text := fmt.Sprintf("the switch refused %s: %v", f.What, f.Err)
		if f.Unit.Kind != nil {
			text += "; left out: " + f.Unit.String()
		}
		text += "; it is tried again by itself: make room for it, or report it as a defect"
		add("FLOW_REFUSED", opapi.SeverityError, host+" "+f.Bridge, text)
	}
	s := o.db.State()
	connected := map[string]bool{}
	for _, b := range o.roll.Status() {
		connected[b.Bridge] = b.Connected
	}
	for _, name := range r.bridgeNames() {
		if b, ok := s.Bridge(name); s.Connected && s.Applied && ok && b.Owned && !connected[name] {
			add("SWITCH_DISCONNECTED", opapi.SeverityError, host+" "+name, "the bridge does not connect to "+strings.Join(r.c.cfg.Advertise, ", ")+"; it forwards as before, without changes: is that address reachable from the host, and do the certificates fit?")
		}
	}
}

// packetIns reads the dispatcher's counters back.
func packetIns(g prometheus.Gatherer) map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	if g == nil {
		return out
	}
	families, err := g.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		if f.GetName() != "penstock_packet_ins_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			h, o := label(m, "handler"), label(m, "outcome")
			if out[h] == nil {
				out[h] = map[string]uint64{}
			}
			out[h][o] = uint64(m.GetCounter().GetValue())
		}
	}
	return out
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// Objects lists what cookies and registers name by number.
func (c *Controller) Objects() []opapi.Object {
	out := []opapi.Object{}
	snap := c.cfg.Store.Snapshot()
	for _, t := range model.Tables() {
		if t.Kind == 0 {
			continue
		}
		for o := range snap.Each(t) {
			x, ok := o.(interface{ MetaOf() *model.Meta })
			if !ok {
				continue
			}
			m := x.MetaOf()
			obj := opapi.Object{Kind: t.Name, KindNumber: t.Kind, Key: m.Key, ID: m.ID, Name: m.Name}
			if p, ok := o.(*model.Port); ok {
				obj.NetworkID, obj.MAC = string(p.NetworkID), p.MAC.String()
			}
			out = append(out, obj)
		}
	}
	return out
}
