package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l2"
)

var errNoHost = errors.New("see penstockctl host list")

// HostDetail says what a host carries and why: the units of networks there and who needs them, as the engine has it.
func (c *Controller) HostDetail(ctx context.Context, name model.HostName) (*opapi.HostDetail, error) {
	v := c.cfg.Store.View()
	h, ok := v.Host(name)
	if !ok {
		return nil, fmt.Errorf("there is no host %q: %w", name, errNoHost)
	}
	d := &opapi.HostDetail{Host: c.host(v, h), BridgeMappings: map[string]string{}, Tags: map[string]string{}, Networks: []opapi.HostNetwork{}}
	maps.Copy(d.BridgeMappings, h.BridgeMappings)
	maps.Copy(d.Tags, h.HostTags)
	var needed map[string][]pipeline.UnitID
	if err := c.loop.ask(ctx, func() { needed = c.loop.engine.Needed(l2.LocalNetwork, name) }); err != nil {
		return nil, err
	}
	for id, why := range needed {
		n, ok := v.Network(model.NetworkID(id))
		if !ok {
			continue // gone since
		}
		x := opapi.HostNetwork{ID: n.ID, Name: n.Name, Hosts: []string{}, Ports: []opapi.HostPort{}, Why: []string{}}
		if s, br, ok := l2.Carrier(v, n, name); ok {
			x.Type, x.PhysicalNetwork, x.SegmentationID, x.Bridge = string(s.Type), s.PhysicalNetwork, s.ID, br
		}
		for _, host := range v.NetworkHosts(model.NetworkID(n.ID)) {
			x.Hosts = append(x.Hosts, string(host))
		}
		for _, u := range why {
			if u.Kind == l2.LocalPort {
				if p, ok := hostPort(v, name, model.PortID(u.ID)); ok {
					x.Ports = append(x.Ports, p)
				}
				continue
			}
			x.Why = append(x.Why, needText(v, u))
		}
		slices.SortFunc(x.Ports, func(a, b opapi.HostPort) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
		slices.Sort(x.Why)
		d.Networks = append(d.Networks, x)
	}
	slices.SortFunc(d.Networks, func(a, b opapi.HostNetwork) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return d, nil
}

func hostPort(v model.View, host model.HostName, id model.PortID) (opapi.HostPort, bool) {
	b, ok := v.Binding(host, id)
	p, exists := v.Port(id)
	if !ok || !exists {
		return opapi.HostPort{}, false
	}
	x := opapi.HostPort{ID: p.ID, Name: p.Name, Interface: b.Interface, OFPort: b.OFPort, Status: v.Status(id)}
	for _, other := range v.BindingsOf(id) {
		if other.Host != host {
			x.Moving = string(other.Host)
		}
	}
	return x, true
}

// needText names what needs a network: the unit's kind, and the name of the object whose id it has.
func needText(v model.View, u pipeline.UnitID) string {
	for _, t := range model.Tables() {
		if t.Kind == 0 {
			continue
		}
		if o, ok := v.Source().Get(t, u.ID).(interface{ MetaOf() *model.Meta }); ok {
			return fmt.Sprintf("%s %s (%s)", t.Name, o.MetaOf().Name, u.ID)
		}
	}
	return u.Kind.Name + " " + u.ID
}

// tunnelAddress says whether the tunnel address of a host whose database is on this machine is none of this machine's. Of other
// hosts nothing tells: neither OVSDB nor OpenFlow carries a host's addresses.
func tunnelAddress(h *model.Host, addrs []net.Addr) bool {
	if !h.TunnelIP.IsValid() || !strings.HasPrefix(h.OVSDB, "unix:") {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == h.TunnelIP
	})
}

// uncarried lists the networks with ports on hosts that have no way to the rest of them.
func uncarried(v model.View, add func(code, severity, object, text string)) {
	for _, key := range v.Source().Keys(model.BindingsByNetwork, "") {
		id, host, _ := strings.Cut(key, "/")
		n, ok := v.Network(model.NetworkID(id))
		if !ok || len(n.Segments) == 0 || n.Segments[0].Type == model.NetworkLocal {
			continue
		}
		if _, _, ok := l2.Carrier(v, n, model.HostName(host)); ok {
			continue
		}
		what := fmt.Sprintf("host %s has ports of network %s (%s), but no way to it: ", host, n.Name, n.ID)
		if s := n.Segments[0]; s.PhysicalNetwork != "" {
			what += fmt.Sprintf("map its physical network %s with penstockctl host set %s --bridge-mapping %s:BRIDGE (name the others too)", s.PhysicalNetwork, host, s.PhysicalNetwork)
		} else if len(v.NetworkHosts(model.NetworkID(id))) < 2 {
			continue // nobody else has it: a machine by itself needs no tunnels
		} else {
			what += fmt.Sprintf("set the host's tunnel address with penstockctl host set %s --tunnel-ip ADDRESS", host)
		}
		add("NETWORK_NOT_CARRIED", opapi.SeverityError, "host "+host, what)
	}
}
