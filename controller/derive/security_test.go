package derive

import (
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/model"
)

// prefix is one of few, so that they collide.
func (w *world) prefix() netip.Prefix {
	return netip.MustParsePrefix([]string{"10.0.0.4/32", "10.0.0.0/28", "0.0.0.0/0", "2001:db8::/32", "2001:db8::5/128"}[w.r.IntN(5)])
}

// securityStep changes a security group, a rule, an address group or a network log.
func (w *world) securityStep() []model.Change {
	n := w.r.IntN
	group, set := fmt.Sprintf("sg%d", n(4)), fmt.Sprintf("ag%d", n(2))
	switch n(10) {
	case 8:
		return w.remove(model.Logs, fmt.Sprintf("log%d", n(4)))
	case 9:
		l := &model.Log{Meta: w.meta(fmt.Sprintf("log%d", n(4)), model.Logs), Event: []string{model.LogAll, model.LogAccept, model.LogDrop}[n(3)], Enabled: n(4) > 0}
		if n(4) > 0 {
			l.ResourceID = group
		}
		if n(2) == 0 {
			l.TargetID = model.PortID(fmt.Sprintf("port%d", n(12)))
		}
		return []model.Change{w.change(model.Logs, l)}
	case 0:
		return w.remove(model.SecurityGroups, group)
	case 1:
		return []model.Change{w.change(model.SecurityGroups, &model.SecurityGroup{Meta: w.meta(group, model.SecurityGroups), Stateful: n(3) > 0})}
	case 2:
		g := &model.AddressGroup{Meta: w.meta(set, model.AddressGroups)}
		for range n(3) {
			g.Addresses = append(g.Addresses, w.prefix())
		}
		return []model.Change{w.change(model.AddressGroups, g)}
	case 3:
		return w.remove(model.AddressGroups, set)
	}
	id := fmt.Sprintf("rule%d", n(12))
	if n(3) == 0 {
		return w.remove(model.SecurityGroupRules, id)
	}
	r := &model.SecurityGroupRule{Meta: w.meta(id, model.SecurityGroupRules), GroupID: group, Direction: []string{"ingress", "egress"}[n(2)],
		EtherType: []string{"IPv4", "IPv6"}[n(2)], ProtocolNumber: []int{model.AnyProtocol, 1, 6, 17, 58, 112, 132}[n(7)], PortMin: model.NoPort, PortMax: model.NoPort}
	switch n(4) {
	case 0:
		r.RemoteGroupID = fmt.Sprintf("sg%d", n(4))
	case 1:
		r.RemoteAddressGroupID = set
	case 2:
		r.RemotePrefix = w.prefix()
	}
	switch r.ProtocolNumber {
	case 1, 58:
		r.PortMin, r.PortMax = n(3)-1, n(3)-1
	case 6, 17, 132:
		r.PortMin = n(4)
		r.PortMax = r.PortMin + n(5)
	}
	return []model.Change{w.change(model.SecurityGroupRules, r)}
}
