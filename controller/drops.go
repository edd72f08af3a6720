package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/ovsdb"
	"github.com/penstock/penstock/pipeline"
)

var errNoPort = errors.New("see penstockctl port list")

// reasons says what each rule that drops drops for.
var reasons = []struct {
	rule                    *pipeline.Rule
	direction, reason, text string
}{
	{pipeline.OtherMAC, "egress", "mac", "sent from a MAC address that is not the port's: add an allowed address pair if it may"},
	{pipeline.OtherAddress, "egress", "address", "sent from an address that is not the port's, or no IP at all: add a fixed IP or an allowed address pair if it may"},
	{pipeline.OtherND, "egress", "neighbour", "neighbour discovery about an address that is not the port's"},
	{pipeline.NoDHCPServer, "egress", "dhcp-server", "answers of a DHCPv4 server: only a port without port security may be one"},
	{pipeline.NoDHCP6Server, "egress", "dhcp-server", "answers of a DHCPv6 server: only a port without port security may be one"},
	{pipeline.NoRouter, "egress", "router-advertisement", "router advertisements: only a port without port security may send them"},
	{pipeline.InvalidOut, "egress", "invalid", "sent, but of no connection and not the first packet of one"},
	{pipeline.DropOut, "egress", "no-rule", "sent, and no rule allows the connection: one that the port opened needs an egress rule, one opened towards it an ingress rule"},
	{pipeline.InvalidIn, "ingress", "invalid", "received, but of no connection and not the first packet of one"},
	{pipeline.DropIn, "ingress", "no-rule", "received, and no rule allows the connection: one opened towards the port needs an ingress rule, one that it opened an egress rule"},
}

// logged are the rules that drop instead of others where a network log is about the port.
var logged = map[*pipeline.Rule]*pipeline.Rule{
	pipeline.InvalidOut: pipeline.LogInvalidOut, pipeline.DropOut: pipeline.LogDropOut,
	pipeline.InvalidIn: pipeline.LogInvalidIn, pipeline.DropIn: pipeline.LogDropIn,
}

// PortDrops tells what was dropped of a port, and which rules let how much pass, from the switches' counters.
func (c *Controller) PortDrops(ctx context.Context, id model.PortID) (*opapi.PortDrops, error) {
	v := c.cfg.Store.View()
	p, ok := v.Port(id)
	if !ok {
		return nil, fmt.Errorf("there is no port %q: %w", id, errNoPort)
	}
	out := &opapi.PortDrops{PortID: p.ID, PortName: p.Name, Secured: p.Secured(), Drops: []opapi.Drop{}, Rules: []opapi.RuleCount{}}
	if !out.Secured {
		return out, nil
	}
	bindings := v.BindingsOf(id)
	if len(bindings) == 0 {
		return nil, fmt.Errorf("port %s is on no host: nothing counts its packets", id)
	}
	for _, b := range bindings {
		places, err := c.places(string(b.Host), ovsdb.BridgeInt)
		if err != nil {
			return nil, err
		}
		for _, at := range places {
			if at.sess == nil {
				return nil, fmt.Errorf("%s of host %s is not connected: see penstockctl switch list", at.name, b.Host)
			}
			if err := portDrops(ctx, v, p, at, out); err != nil {
				return nil, fmt.Errorf("read %s on host %s: %w", at.name, b.Host, err)
			}
		}
	}
	return out, nil
}

func portDrops(ctx context.Context, v model.View, p *model.Port, at place, out *opapi.PortDrops) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	type count struct{ packets, bytes uint64 }
	read := func(req openflow.FlowRequest, key func(pipeline.Cookie) uint32) (map[uint32]count, error) {
		m := map[uint32]count{}
		return m, at.sess.Flows(ctx, req, func(f *openflow.Flow) {
			if c := pipeline.Cookie(f.Cookie); c.Ours() && f.Stats != nil {
				x := m[key(c)]
				m[key(c)] = count{x.packets + f.Stats.PacketCount, x.bytes + f.Stats.ByteCount}
			}
		})
	}
	own := pipeline.MakeCookie(0, model.Ports.Kind, p.Key)
	drops, err := read(openflow.FlowRequest{Table: openflow.AllTables, Cookie: uint64(own), CookieMask: pipeline.CookieOwnerMask},
		func(c pipeline.Cookie) uint32 { return uint32(c.Rule()) })
	if err != nil {
		return err
	}
	for _, r := range reasons {
		x := drops[uint32(r.rule.Num)]
		if l := logged[r.rule]; l != nil { // what is logged is dropped by a flow of its own
			more := drops[uint32(l.Num)]
			x = count{x.packets + more.packets, x.bytes + more.bytes}
		}
		if x.packets > 0 {
			out.Drops = append(out.Drops, opapi.Drop{Host: string(at.r.host), Direction: r.direction, Reason: r.reason, Text: r.text, NPackets: x.packets, NBytes: x.bytes})
		}
	}
	passed, err := read(openflow.FlowRequest{Table: pipeline.Rules.ID}, pipeline.Cookie.Key)
	if err != nil {
		return err
	}
	for _, id := range p.SecurityGroups {
		g, ok := v.SecurityGroup(id)
		if !ok {
			continue
		}
		rules := v.RulesOf(id)
		slices.SortFunc(rules, func(a, b *model.SecurityGroupRule) int { return int(int64(a.Key) - int64(b.Key)) })
		for _, r := range rules {
			x := passed[r.Key]
			out.Rules = append(out.Rules, opapi.RuleCount{Host: string(at.r.host), RuleID: r.ID, GroupID: g.ID, GroupName: g.Name,
				Text: ruleText(v, r), NPackets: x.packets, NBytes: x.bytes})
		}
	}
	return nil
}

// ruleText is a rule in words: "ingress IPv4 tcp 80-90 from 10.0.0.0/8".
func ruleText(v model.View, r *model.SecurityGroupRule) string {
	words := []string{r.Direction, r.EtherType, "any protocol"}
	if r.Protocol != "" {
		words[2] = r.Protocol
	}
	switch {
	case r.PortMin != model.NoPort && r.PortMax != model.NoPort && r.PortMin != r.PortMax:
		words = append(words, fmt.Sprintf("%d-%d", r.PortMin, r.PortMax))
	case r.PortMin != model.NoPort:
		words = append(words, fmt.Sprint(r.PortMin))
	}
	far := "anywhere"
	switch {
	case r.RemotePrefix.IsValid():
		far = r.RemotePrefix.String()
	case r.RemoteGroupID != "":
		far = "group " + r.RemoteGroupID
		if g, ok := v.SecurityGroup(r.RemoteGroupID); ok && g.Name != "" {
			far = "group " + g.Name
		}
	case r.RemoteAddressGroupID != "":
		far = "address group " + r.RemoteAddressGroupID
		if g, ok := v.AddressGroup(r.RemoteAddressGroupID); ok && g.Name != "" {
			far = "address group " + g.Name
		}
	}
	if r.Direction == "ingress" {
		return strings.Join(append(words, "from", far), " ")
	}
	return strings.Join(append(words, "to", far), " ")
}
