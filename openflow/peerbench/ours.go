package main

import (
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/openflow"
)

// buildFlowMod builds the flow of flowText from typed values, as the pipeline does.
func buildFlowMod() *openflow.FlowMod {
	f := &openflow.FlowMod{Flow: openflow.Flow{Table: 20, Priority: 100, Cookie: 0x1122}}
	f.Match.SetUint(openflow.InPort, 5)
	f.Match.SetUint(openflow.EthType, 0x0800)
	f.Match.SetPrefix(openflow.IPv4Dst, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 2, 0}), 24))
	f.Match.SetUint(openflow.IPProto, 6)
	f.Match.SetUint(openflow.Reg(6), 0x1234)
	f.Match.SetUintMasked(openflow.CTState, 0x22, 0x22)
	f.Actions = []openflow.Action{
		openflow.SetMAC(openflow.EthSrc, [6]byte{0xfa, 0x16, 0x3e, 0, 0, 1}),
		openflow.SetMAC(openflow.EthDst, [6]byte{0xfa, 0x16, 0x3e, 0, 0, 2}),
		openflow.DecTTL{},
		openflow.Load{Dst: openflow.Bits(openflow.Reg(7), 0, 15), Value: 9},
		openflow.CT{Commit: true, Table: openflow.ToTable(30), Zone: 77, NAT: &openflow.NAT{Src: true, AddrMin: netip.AddrFrom4([4]byte{203, 0, 113, 9})}},
	}
	return f
}

// flowStats is a reply of dumpFlows flows as messages. They have only what libOpenflow can decode.
func flowStats() ([][]byte, error) {
	entries := make([]openflow.Entry, dumpFlows)
	for i := range entries {
		f, err := openflow.ParseFlow(fmt.Sprintf("cookie=%#x,table=20,priority=100,tcp,reg6=%#x,in_port=5,nw_dst=10.%d.%d.0/24,tp_dst=443,actions=dec_ttl,"+
			"load:0x9->NXM_NX_REG7[0..15],resubmit(,30)", i+1, i, i>>8&255, i&255))
		if err != nil {
			return nil, err
		}
		f.Stats = &openflow.FlowStats{DurationSec: 1, PacketCount: uint64(i)}
		entries[i] = (*openflow.FlowEntry)(&f)
	}
	var msgs [][]byte
	for all := openflow.NewMultipartReply(openflow.MultipartFlow, entries...).AppendTo(nil); len(all) > 0; {
		h, err := openflow.ParseHeader(all)
		if err != nil {
			return nil, err
		}
		msgs, all = append(msgs, all[:h.Length]), all[h.Length:]
	}
	return msgs, nil
}

// packetIn is an OFPT_PACKET_IN with an ARP request.
func packetIn() []byte {
	frame := append([]byte{255, 255, 255, 255, 255, 255, 0xfa, 0x16, 0x3e, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0xfa, 0x16, 0x3e, 0, 0, 1,
		10, 0, 0, 1}, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2)
	var m openflow.Match
	m.SetUint(openflow.InPort, 5)
	m.SetUint(openflow.Reg(14), 7)
	p := &openflow.PacketIn{BufferID: openflow.NoBuffer, TotalLen: uint16(len(frame)), Reason: openflow.ReasonAction, Metadata: m.AppendOXM(nil), Data: frame}
	return p.AppendTo(nil)
}
