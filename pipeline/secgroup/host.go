package secgroup

import (
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// The ICMPv6 types that pass whatever the rules say: neighbour discovery, router solicitations out and router
// advertisements in (RFC 4861), multicast listener discovery (RFC 2710, 3810).
var (
	alwaysOut = []uint64{130, 131, 132, 133, 135, 136, 143}
	alwaysIn  = []uint64{130, 131, 132, 134, 135, 136, 143}
)

const (
	routerSolicit, routerAdvert     = 133, 134
	neighbourSolicit, neighbourSays = 135, 136
	listenerReport, listenerDone    = 131, 132
	listenerReport2                 = 143
)

// symmetric are the protocols without an opening of their own, where both sides may use the same ports or have none: UDP,
// GRE, ESP. A packet of TCP in the middle of a connection opens none.
var symmetric = []uint64{pipeline.ProtoUDP, 47, 50}

func icmp6(typ uint64) pipeline.Match {
	return pipeline.Match{pipeline.IsIPv6, pipeline.IPProto.Is(pipeline.ProtoICMPv6), pipeline.ICMP6Typ.Is(typ)}
}

func udp(family pipeline.Term, src, dst uint64) pipeline.Match {
	return pipeline.Match{family, pipeline.IPProto.Is(pipeline.ProtoUDP), pipeline.UDPSrc.Is(src), pipeline.UDPDst.Is(dst)}
}

// The states of a packet's connection, as terms.
var (
	untracked = pipeline.CTState.Masked(0, pipeline.CTTracked)
	valid     = pipeline.CTState.Masked(pipeline.CTTracked, pipeline.CTTracked|pipeline.CTInvalid)
	forth     = pipeline.CTState.Masked(pipeline.CTTracked, pipeline.CTTracked|pipeline.CTInvalid|pipeline.CTReply)
	back      = pipeline.CTState.Masked(pipeline.CTTracked|pipeline.CTReply, pipeline.CTTracked|pipeline.CTInvalid|pipeline.CTReply)
	invalid   = pipeline.CTState.Masked(pipeline.CTTracked|pipeline.CTInvalid, pipeline.CTTracked|pipeline.CTInvalid)
	fresh     = pipeline.CTState.Masked(pipeline.CTTracked|pipeline.CTNew, pipeline.CTTracked|pipeline.CTInvalid|pipeline.CTNew)
)

// Host is what every host has of this package.
func Host(out *pipeline.Out) {
	for _, typ := range []uint64{neighbourSolicit, neighbourSays} {
		out.Add(pipeline.ToNDGuard, icmp6(typ), pipeline.Goto(pipeline.NDGuard))
	}
	unspecified := pipeline.IPv6Src.Addr(noAddr6)
	for _, typ := range []uint64{routerSolicit, listenerReport, listenerDone, listenerReport2} {
		out.Add(pipeline.BeforeV6, append(icmp6(typ), unspecified), pipeline.Goto(pipeline.Services))
	}
	out.Add(pipeline.BeforeV4, append(udp(pipeline.IsIPv4, 68, 67), pipeline.IPv4Src.Addr(noAddr4), pipeline.IPv4Dst.Addr(broadcast4)), pipeline.Goto(pipeline.Services))
	out.Add(pipeline.ReverseARP, pipeline.Match{pipeline.EthType.Is(pipeline.TypeRARP)}, pipeline.Goto(pipeline.Services))

	out.Add(pipeline.AlwaysOut, udp(pipeline.IsIPv4, 68, 67), pipeline.Goto(pipeline.ARPResponder))
	out.Add(pipeline.AlwaysOut, udp(pipeline.IsIPv6, 546, 547), pipeline.Goto(pipeline.ARPResponder))
	for _, typ := range alwaysOut {
		out.Add(pipeline.AlwaysOut, icmp6(typ), pipeline.Goto(pipeline.ARPResponder))
	}
	out.Add(pipeline.AlwaysIn, udp(pipeline.IsIPv4, 67, 68), pipeline.Goto(pipeline.Output))
	out.Add(pipeline.AlwaysIn, udp(pipeline.IsIPv6, 547, 546), pipeline.Goto(pipeline.Output))
	for _, typ := range alwaysIn {
		out.Add(pipeline.AlwaysIn, icmp6(typ), pipeline.Goto(pipeline.Output))
	}
	for _, d := range []struct {
		ask, commit, pass, reopen *pipeline.Rule
		port                      *pipeline.Field
		judge, verdict, next      *pipeline.Table
		forth                     uint64 // Opened of a packet in the direction in which its connection was opened
	}{
		{pipeline.AskOut, pipeline.CommitOut, pipeline.PassOut, pipeline.ReopenOut, pipeline.InPort, pipeline.EgressJudge, pipeline.EgressVerdict, pipeline.ARPResponder, 0},
		{pipeline.AskIn, pipeline.CommitIn, pipeline.PassIn, pipeline.ReopenIn, pipeline.OutPort, pipeline.IngressJudge, pipeline.IngressVerdict, pipeline.Output, 1},
	} {
		ask := func(state pipeline.Term, opened uint64) {
			out.Add(d.ask, pipeline.Match{state}, pipeline.Copy(d.port, pipeline.SecPort), pipeline.Opened.Load(opened),
				pipeline.Call(pipeline.PortGroups), pipeline.Goto(d.verdict))
		}
		ask(untracked, d.forth)
		ask(forth, d.forth)
		ask(back, 1-d.forth)
		allowed := pipeline.Allowed.Is(1)
		for _, v6 := range []bool{false, true} {
			out.Add(d.commit, pipeline.Match{family(v6), allowed, fresh}, openflow.CT{Commit: true, ZoneField: pipeline.CTZone.Sub()},
				pipeline.Allowed.Load(0), pipeline.Goto(d.next))
		}
		out.Add(d.pass, pipeline.Match{allowed}, pipeline.Allowed.Load(0), pipeline.Goto(d.next))
		// The other side may open what one side may not carry on any more. To conntrack it is the same connection as long as
		// either sends; forced, it takes the packet for the first of a new one.
		again := openflow.CT{Commit: true, Force: true, ZoneField: pipeline.CTZone.Sub(), Table: openflow.ToTable(d.judge.ID)}
		for _, proto := range symmetric {
			for _, v6 := range []bool{false, true} {
				out.Add(d.reopen, pipeline.Match{family(v6), pipeline.IPProto.Is(proto), pipeline.Allowed.Is(0), back}, again)
			}
		}
	}
}
