package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/pipeline"
)

var errNoRouter = errors.New("see penstockctl router list")

// maxListed bounds how many floating IPs an answer about a router names.
const maxListed = 16

// Route tells what a router does with what is for an address, by the functions that the flows are derived with, and with
// what hosts have learned. source may be empty: it decides on the translation only.
func (c *Controller) Route(ctx context.Context, id, address, source string) (*opapi.Route, error) {
	v := c.cfg.Store.View()
	r, ok := v.Router(id)
	if !ok {
		return nil, fmt.Errorf("there is no router %q: %w", id, errNoRouter)
	}
	to, err := netip.ParseAddr(address)
	if err != nil || !to.Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address: routers forward IPv4 only", address)
	}
	x := routing{v: v, r: r, out: &opapi.Route{RouterID: r.ID, RouterName: r.Name, AdminUp: r.AdminStateUp, Address: address, Source: source,
		Kind: opapi.RouteNone, Hosts: []string{}, NAT: []opapi.Translation{}, Problems: []string{}}}
	if source != "" {
		if x.source, err = netip.ParseAddr(source); err != nil || !x.source.Is4() {
			return nil, fmt.Errorf("the source %q is not an IPv4 address", source)
		}
	}
	x.find(to)
	if x.out.NextHop != "" && x.out.MAC == "" {
		if err := c.learned(ctx, x.out, x.hop.Via.Port.NetworkID, x.next); err != nil {
			return nil, err
		}
		if x.out.MAC == "" {
			x.problem("the MAC address of %s is not known: it is asked for by ARP when a packet goes there", x.out.NextHop)
		}
	}
	return x.out, nil
}

// routing is one question about a router.
type routing struct {
	v      model.View
	r      *model.Router
	source netip.Addr // the zero Addr: any
	hop    model.Hop
	next   netip.Addr
	out    *opapi.Route
}

func (x *routing) problem(format string, args ...any) {
	x.out.Problems = append(x.out.Problems, fmt.Sprintf(format, args...))
}

func (x *routing) find(to netip.Addr) {
	gateway, hasGateway := x.v.GatewayHost(x.r)
	x.out.GatewayHost = string(gateway)
	if !x.r.AdminStateUp {
		x.problem("the router is administratively down: it forwards nothing")
	}
	if x.r.GatewayNetwork != "" && !hasGateway {
		x.problem("no host has a way to the router's external network: map its physical network with penstockctl host set HOST --bridge-mapping")
	}
	for _, i := range x.v.Interfaces(x.r) {
		if i.Addr == to {
			x.out.Kind = opapi.RouteSelf
			x.into(&i)
			x.out.Prefix = netip.PrefixFrom(to, to.BitLen()).String()
			x.out.PortID, x.out.PortName, x.out.MAC = i.Port.ID, i.Port.Name, i.Port.MAC.String()
			if i.External {
				x.at(gateway, hasGateway)
			}
			return
		}
	}
	for _, f := range x.v.FloatingIPsThrough(x.r.ID) {
		if f.Address == to {
			x.leave(netip.Addr{}) // it comes back from outside: its source is what it leaves with
			host, ok := x.v.FloatingHost(f)
			x.out.NAT = append(x.out.NAT, opapi.Translation{Direction: "destination", From: to.String(), To: f.FixedIP.String(), Host: string(host), FloatingIP: f.ID})
			x.route(f.FixedIP)
			x.out.Kind, x.out.Hosts = opapi.RouteFloating, []string{}
			x.at(host, ok)
			return
		}
	}
	x.route(to)
}

func (x *routing) into(i *model.Interface) {
	x.out.NetworkID, x.out.External = string(i.Port.NetworkID), i.External
	if n, ok := x.v.Network(i.Port.NetworkID); ok {
		x.out.NetworkName = n.Name
	}
}

func (x *routing) at(host model.HostName, ok bool) {
	if ok && !slices.Contains(x.out.Hosts, string(host)) {
		x.out.Hosts = append(x.out.Hosts, string(host))
	}
}

// route finds the hop to an address and the port there.
func (x *routing) route(to netip.Addr) {
	hop, ok := x.v.HopTo(x.r, to)
	if !ok {
		x.problem("no route: the sender is answered network unreachable")
		return
	}
	x.hop, x.next = hop, to
	x.out.Kind = opapi.RouteSubnet
	if hop.NextHop.IsValid() {
		x.next, x.out.Kind = hop.NextHop, opapi.RouteStatic
		if hop.Via.External && hop.Prefix.Bits() == 0 && hop.NextHop == hop.Via.Subnet.GatewayIP {
			x.out.Kind = opapi.RouteGateway
		}
	}
	x.out.Prefix, x.out.NextHop = hop.Prefix.String(), x.next.String()
	x.into(hop.Via)
	p, ok := x.v.PortByAddress(hop.Via.Port.NetworkID, x.next)
	if hop.Via.External {
		x.leave(x.source)
	}
	if !ok {
		return
	}
	x.out.PortID, x.out.PortName = p.ID, p.Name
	host, held := x.v.HeldOn(p)
	b, placed := x.v.Place(p)
	switch {
	case placed:
		host = b.Host
	case held, model.IsRouterInterface(p.DeviceOwner):
	default:
		x.problem("port %s has %s and is on no host", nameOr(p.Name, p.ID), x.next)
		return
	}
	x.out.MAC = p.MAC.String()
	if !hop.Via.External {
		x.at(host, host != "")
	}
}

// leave tells where a packet of a source leaves to the external network and what its source becomes.
func (x *routing) leave(source netip.Addr) {
	gateway, hasGateway := x.v.GatewayHost(x.r)
	all := x.v.FloatingIPsThrough(x.r.ID)
	if source.IsValid() {
		all = x.v.FloatingIPsAt(x.r.ID, source)
	}
	for n, f := range all {
		if n == maxListed && !source.IsValid() {
			x.out.NAT = append(x.out.NAT, opapi.Translation{Direction: "source", From: fmt.Sprintf("%d more with floating IPs", len(all)-n), To: "their floating IPs"})
			break
		}
		if host, ok := x.v.FloatingHost(f); ok {
			x.out.NAT = append(x.out.NAT, opapi.Translation{Direction: "source", From: f.FixedIP.String(), To: f.Address.String(), Host: string(host), FloatingIP: f.ID})
			if source.IsValid() {
				x.at(host, true)
				return
			}
		}
	}
	x.at(gateway, hasGateway)
	t := opapi.Translation{Direction: "source", From: "any other source", To: "unchanged", Host: string(gateway)}
	if source.IsValid() {
		t.From = source.String()
	}
	if gw, ok := x.v.Port(x.r.GatewayPort); ok && x.r.EnableSNAT {
		for _, f := range gw.FixedIPs {
			if f.Address.Is4() {
				t.To = f.Address.String()
				break
			}
		}
	}
	x.out.NAT = append(x.out.NAT, t)
}

// learned adds what hosts have learned of an address.
func (c *Controller) learned(ctx context.Context, out *opapi.Route, network model.NetworkID, a netip.Addr) error {
	n, ok := c.cfg.Store.View().Network(network)
	if !ok {
		return nil
	}
	places, err := c.places("", ovsdb.BridgeInt)
	if err != nil {
		return nil //nolint:nilerr // no host is run from here: nothing is learned
	}
	req := openflow.FlowRequest{Table: pipeline.Neighbours.ID}
	req.Match.SetUint(pipeline.Net.OF, uint64(n.Key))
	req.Match.SetUint(pipeline.NextHop.OF, pipeline.AddrUint(a))
	for _, p := range places {
		if p.sess == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		err := p.sess.Flows(ctx, req, func(f *openflow.Flow) {
			if mac, ok := loadedMAC(f.Actions); ok {
				x := opapi.Neighbour{Host: string(p.r.host), MAC: mac.String()}
				if f.Stats != nil {
					x.Age = int(f.Stats.DurationSec)
				}
				out.Learned = append(out.Learned, x)
				if out.MAC == "" {
					out.MAC = x.MAC
				}
			}
		})
		cancel()
		if err != nil {
			return fmt.Errorf("read %s on host %s: %w", p.name, p.r.host, err)
		}
	}
	slices.SortFunc(out.Learned, func(a, b opapi.Neighbour) int { return strings.Compare(a.Host+a.MAC, b.Host+b.MAC) })
	return nil
}

// loadedMAC is the destination MAC address that actions set.
func loadedMAC(acts []openflow.Action) (m model.MAC, ok bool) {
	for _, a := range acts {
		switch a := a.(type) {
		case openflow.Load:
			if a.Dst.Field == openflow.EthDst {
				for i := range m {
					m[i] = byte(a.Value >> (40 - 8*i))
				}
				ok = true
			}
		case openflow.SetField:
			if v := []byte(a.Value); a.Field == openflow.EthDst && len(v) == len(m) {
				m, ok = model.MAC(v), true
			}
		}
	}
	return m, ok
}

func nameOr(name, id string) string {
	if name != "" {
		return name
	}
	return id
}
