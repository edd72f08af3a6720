package secgroup

import (
	"net/netip"
	"slices"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

var (
	noAddr4    = netip.AddrFrom4([4]byte{})
	noAddr6    = netip.IPv6Unspecified()
	broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	noMAC      model.MAC
)

// LocalPort adds what protects a port on the host that has its VIF. It is called by the port's unit, which is For it.
func LocalPort(v model.View, p *model.Port, b *model.Binding, out *pipeline.Out) {
	if !p.Secured() {
		return
	}
	guard(p, out)
	in, to := pipeline.InPort.Key(p.Key), pipeline.OutPort.Key(p.Key)
	groups, stateful := portGroups(v, p)
	out.Add(pipeline.OwnCopy, pipeline.Match{in, to})
	for _, family := range []pipeline.Term{pipeline.IsIPv4, pipeline.IsIPv6} {
		if stateful {
			track := func(next *pipeline.Table) openflow.Action {
				return openflow.CT{Zone: b.Slot, Table: openflow.ToTable(next.ID)}
			}
			out.Add(pipeline.TrackOut, pipeline.Match{in, family}, track(pipeline.EgressJudge))
			out.Add(pipeline.TrackIn, pipeline.Match{to, family}, track(pipeline.IngressJudge))
			continue
		}
		// What tracked the packet before says nothing here.
		out.Add(pipeline.StatelessOut, pipeline.Match{in, family}, openflow.CTClear{}, pipeline.Goto(pipeline.EgressJudge))
		out.Add(pipeline.StatelessIn, pipeline.Match{to, family}, openflow.CTClear{}, pipeline.Goto(pipeline.IngressJudge))
	}
	if stateful {
		out.AddZone(b.Slot)
		out.Add(pipeline.InvalidOut, pipeline.Match{in, invalid})
		out.Add(pipeline.InvalidIn, pipeline.Match{to, invalid})
	}
	out.Add(pipeline.DropOut, pipeline.Match{in})
	out.Add(pipeline.DropIn, pipeline.Match{to})
	if len(groups) == 0 {
		return
	}
	ask := make([]openflow.Action, 0, 2*len(groups))
	for _, g := range groups {
		ask = append(ask, pipeline.SecGroup.Load(uint64(g.Key)), pipeline.Call(pipeline.GroupSets))
		out.Need(Group, "", g.ID)
	}
	out.Add(pipeline.AskGroups, pipeline.Match{pipeline.SecPort.Key(p.Key)}, ask...)
}

// portGroups lists a port's groups, those made first first. The API lets nobody mix stateful and stateless groups on a
// port; should they be mixed all the same, the stateful ones count.
func portGroups(v model.View, p *model.Port) (groups []*model.SecurityGroup, stateful bool) {
	stateful = len(p.SecurityGroups) == 0
	for _, id := range p.SecurityGroups {
		if g, ok := v.SecurityGroup(id); ok {
			groups = append(groups, g)
			stateful = stateful || g.Stateful
		}
	}
	groups = slices.DeleteFunc(groups, func(g *model.SecurityGroup) bool { return g.Stateful != stateful })
	slices.SortFunc(groups, func(a, b *model.SecurityGroup) int { return int(int64(a.Key) - int64(b.Key)) })
	return slices.CompactFunc(groups, func(a, b *model.SecurityGroup) bool { return a.Key == b.Key }), stateful || len(groups) == 0
}

// guard adds what a port may send from.
func guard(p *model.Port, out *pipeline.Out) {
	in := pipeline.InPort.Key(p.Key)
	out.Add(pipeline.NoDHCPServer, append(udp(pipeline.IsIPv4, 67, 68), in))
	out.Add(pipeline.NoDHCP6Server, append(udp(pipeline.IsIPv6, 547, 546), in))
	out.Add(pipeline.NoRouter, append(icmp6(routerAdvert), in))
	out.Add(pipeline.OtherMAC, pipeline.Match{in})
	out.Add(pipeline.OtherAddress, pipeline.Match{in})
	out.Add(pipeline.OtherND, pipeline.Match{in})
	services := pipeline.Goto(pipeline.Services)
	for mac, prefixes := range p.Sources() {
		from := pipeline.EthSrc.MAC(mac)
		out.Add(pipeline.OwnMAC, pipeline.Match{in, from}, pipeline.Goto(pipeline.AddrGuard))
		sender := pipeline.Match{in, from, pipeline.IsARP, pipeline.ARPSHA.MAC(mac)}
		for _, a := range prefixes {
			if a.Addr().Is4() {
				out.Add(pipeline.OwnARPSender, with(sender, pipeline.ARPSPA.In(a)), services)
				out.Add(pipeline.OwnAddress, pipeline.Match{in, from, pipeline.IsIPv4, pipeline.IPv4Src.In(a)}, services)
				continue
			}
			out.Add(pipeline.OwnAddress, pipeline.Match{in, from, pipeline.IsIPv6, pipeline.IPv6Src.In(a)}, services)
			solicit, says := icmp6(neighbourSolicit), icmp6(neighbourSays)
			for _, m := range []model.MAC{mac, noMAC} { // none: an option that is left out reads as zero
				out.Add(pipeline.OwnSolicit, with(solicit, in, from, pipeline.IPv6Src.In(a), pipeline.NDSLL.MAC(m)), services)
				out.Add(pipeline.OwnAdvert, with(says, in, from, pipeline.NDTarget.In(a), pipeline.NDTLL.MAC(m)), services)
			}
			out.Add(pipeline.OwnProbe, with(solicit, in, from, pipeline.IPv6Src.Addr(noAddr6), pipeline.NDTarget.In(a), pipeline.NDSLL.MAC(noMAC)), services)
		}
		if !slices.Contains(prefixes, netip.PrefixFrom(noAddr4, 32)) {
			out.Add(pipeline.ProbeARP, with(sender, pipeline.ARPSPA.Addr(noAddr4)), services)
		}
	}
}

func with(m pipeline.Match, more ...pipeline.Term) pipeline.Match {
	return append(m[:len(m):len(m)], more...)
}
