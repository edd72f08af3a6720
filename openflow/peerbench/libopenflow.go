package main

import (
	"fmt"
	"net"

	"github.com/contiv/libOpenflow/openflow13"
)

// libFlowMod builds, with libOpenflow, the flow-mod that flowText describes. out_group is what that
// library cannot write; for an addition it does not matter.
func libFlowMod() (*openflow13.FlowMod, error) {
	f := openflow13.NewFlowMod()
	f.TableId, f.Priority, f.Cookie = 20, 100, 0x1122
	mask := net.IP{255, 255, 255, 0}
	ct := openflow13.NewCTStates()
	ct.SetEst()
	ct.SetTrk()
	for _, m := range []*openflow13.MatchField{
		openflow13.NewInPortField(5),
		openflow13.NewEthTypeField(0x0800),
		openflow13.NewIpv4DstField(net.IP{10, 1, 2, 0}, &mask),
		openflow13.NewIpProtoField(6),
		openflow13.NewRegMatchField(6, 0x1234, nil),
		openflow13.NewCTStateMatchField(ct),
	} {
		f.Match.AddField(*m)
	}
	reg7, err := openflow13.FindFieldHeaderByName("NXM_NX_REG7", false)
	if err != nil {
		return nil, err
	}
	nat := openflow13.NewNXActionCTNAT()
	if err := nat.SetSNAT(); err != nil {
		return nil, err
	}
	nat.SetRangeIPv4Min(net.IP{203, 0, 113, 9})
	apply := openflow13.NewInstrApplyActions()
	for _, a := range []openflow13.Action{
		openflow13.NewActionSetField(*openflow13.NewEthSrcField(net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 1}, nil)),
		openflow13.NewActionSetField(*openflow13.NewEthDstField(net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 2}, nil)),
		openflow13.NewActionDecNwTtl(),
		openflow13.NewNXActionRegLoad(openflow13.NewNXRange(0, 15).ToOfsBits(), reg7, 9),
		openflow13.NewNXActionConnTrack().Commit().Table(30).ZoneImm(77).AddAction(nat),
	} {
		if err := apply.AddAction(a, false); err != nil {
			return nil, err
		}
	}
	f.AddInstruction(apply)
	return f, nil
}

// libDecode decodes one message with libOpenflow and returns how many flows a flow-stats reply held.
func libDecode(msg []byte) (int, error) {
	m, err := openflow13.Parse(msg)
	if err != nil {
		return 0, err
	}
	switch m := m.(type) {
	case *openflow13.MultipartReply:
		return len(m.Body), nil
	case *openflow13.PacketIn:
		return 0, nil
	}
	return 0, fmt.Errorf("decoded as %T", m)
}
