package l3

import (
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// Learned is a next hop that no port of the store has, as the controller found it out: one flow of the neighbours table
// holds it whole, and outlives the controller.
type Learned struct {
	Net  uint32     // key of its network
	Addr netip.Addr // IPv4
	MAC  model.MAC
}

func (l *Learned) cookie(r *pipeline.Rule) uint64 {
	return uint64(pipeline.MakeCookie(r.Num, model.Networks.Kind, l.Net))
}

func (l *Learned) flow(c openflow.FlowCommand, r *pipeline.Rule, m pipeline.Match, acts ...openflow.Action) *openflow.FlowMod {
	f := &openflow.FlowMod{Command: c, Flow: openflow.Flow{Table: r.Table.ID, Priority: r.Priority}}
	for _, t := range m {
		t(&f.Match)
	}
	if c == openflow.FlowAdd {
		f.Cookie, f.Actions = l.cookie(r), acts
	}
	return f
}

// Flow is the flow-mod that adds the next hop or deletes it. In the switch it lives as long as packets use it, and idle
// seconds longer.
func (l *Learned) Flow(c openflow.FlowCommand, idle uint16) *openflow.FlowMod {
	f := l.flow(c, pipeline.NeighbourIs, pipeline.Match{pipeline.Net.Key(l.Net), pipeline.NextHop.Is(pipeline.AddrUint(l.Addr))},
		pipeline.EthDst.Load(l.MAC.Uint64()), pipeline.Resolved.Load(1))
	if c == openflow.FlowAdd {
		f.IdleTimeout = idle
	}
	return f
}

// Watch are the flow-mods that have other claims to the address shown to the controller, or end that.
func (l *Learned) Watch(c openflow.FlowCommand) []*openflow.FlowMod {
	claim := l.claim()
	return []*openflow.FlowMod{
		l.flow(c, pipeline.ClaimSame, append(claim[:3:3], pipeline.ARPSHA.MAC(l.MAC))),
		l.flow(c, pipeline.ClaimOther, claim, l.show(claimMeter)),
	}
}

// Unwatch is Watch's end where the MAC is not known.
func (l *Learned) Unwatch() *openflow.FlowMod {
	return l.flow(openflow.FlowDelete, pipeline.ClaimOther, l.claim())
}

func (l *Learned) claim() pipeline.Match {
	return pipeline.Match{pipeline.Net.Key(l.Net), pipeline.IsARP, pipeline.ARPSPA.Addr(l.Addr)}
}

// ReadWatch reads whose claims are shown from a flow of Watch's.
func ReadWatch(f *openflow.Flow) (l Learned, ok bool) {
	c := pipeline.Cookie(f.Cookie)
	if f.Table != pipeline.ARPWatch.ID || !c.Ours() || c.Rule() != pipeline.ClaimOther.Num || c.Kind() != model.Networks.Kind {
		return l, false
	}
	spa, _, ok := f.Match.GetUint(openflow.ARPSPA)
	l.Net, l.Addr = c.Key(), addr4(spa)
	return l, ok
}

func addr4(a uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// Ask is the flow-mod that has answers from the address shown to the controller, for at most hard seconds, or ends that.
func (l *Learned) Ask(c openflow.FlowCommand, hard uint16) *openflow.FlowMod {
	f := l.flow(c, pipeline.AnswerAsked, pipeline.Match{pipeline.Net.Key(l.Net), pipeline.IsARP, pipeline.ARPOp.Is(2), pipeline.ARPSPA.Addr(l.Addr)}, l.show(answerMeter))
	if c == openflow.FlowAdd {
		f.HardTimeout = hard
	}
	return f
}

// show sends an ARP packet to the controller, at a rate of its own for all next hops of the host.
func (l *Learned) show(meter uint32) openflow.Action {
	return openflow.Controller{MaxLen: 0xffff, Reason: 1, UserData: string(pipeline.UserData(pipeline.HandlerNeighbour, l.Net)), HasMeter: true, MeterID: meter}
}

// answerMeter limits what answers about next hops a host shows the controller, claimMeter other claims, which anybody may make
// at any rate. No port has slot 0.
var answerMeter, claimMeter = pipeline.MeterID(0, pipeline.MeterDHCP), pipeline.MeterID(0, pipeline.MeterLog)

// Asks adds what a host has for finding next hops out.
func Asks(h *model.Host, sw pipeline.Switch, out *pipeline.Out) {
	out.AddMeter(pipeline.BrInt, answerMeter, sw.Settings.ARPPPS, sw.Settings.ARPBurst)
	out.AddMeter(pipeline.BrInt, claimMeter, sw.Settings.ARPPPS, sw.Settings.ARPBurst)
	out.Add(pipeline.ARPAnswer, pipeline.Match{pipeline.EthDst.MAC(h.AskMAC()), pipeline.IsARP, pipeline.ARPOp.Is(2)}, pipeline.Call(pipeline.ARPWatch))
	out.Add(pipeline.ARPHeard, pipeline.Match{pipeline.EthDst.Masked(1<<40, 1<<40), pipeline.IsARP}, pipeline.Call(pipeline.ARPWatch), pipeline.Goto(pipeline.Learn))
}

// ReadLearned reads what Flow wrote back from a flow of the neighbours table.
func ReadLearned(f *openflow.Flow) (l Learned, ok bool) {
	c := pipeline.Cookie(f.Cookie)
	if f.Table != pipeline.Neighbours.ID || !c.Ours() || c.Rule() != pipeline.NeighbourIs.Num || c.Kind() != model.Networks.Kind {
		return l, false
	}
	hop, _, ok := f.Match.GetUint(pipeline.NextHop.OF)
	if !ok || len(f.Actions) == 0 {
		return l, false
	}
	load, ok := f.Actions[0].(openflow.Load)
	if !ok || load.Dst != pipeline.EthDst.Sub() {
		return l, false
	}
	l.Net, l.Addr = c.Key(), addr4(hop)
	for i := range l.MAC {
		l.MAC[i] = byte(load.Value >> (40 - 8*i))
	}
	return l, true
}

// holdLearned keeps what was learned of a network as long as a router leads there.
func holdLearned(n *model.Network, out *pipeline.Out) {
	out.For(model.Networks, n.Key)
	for _, r := range []*pipeline.Rule{pipeline.NeighbourIs, pipeline.AnswerAsked, pipeline.ClaimSame, pipeline.ClaimOther} {
		out.Hold(r.Table, out.Cookie(r))
	}
}
