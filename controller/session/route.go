package session

import (
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// Route has a packet that was held routed again, as it came from a network: of the port of this host with a key and an
// OpenFlow number; or, with key 0, of no port of this host, and then of another host if remote is set.
//
// The packet-out has an in_port that the datapath knows. Open vSwitch 3.1.0 loses what comes from OFPP_CONTROLLER or a
// patch port and passes through conntrack; the bridge's own port serves for all.
func (s *Session) Route(netKey, portKey, inPort uint32, remote bool, frame []byte) error {
	acts := [4]openflow.Action{pipeline.Net.Load(uint64(netKey)), pipeline.InPort.Load(uint64(portKey)), pipeline.Remote.Load(0), pipeline.Call(pipeline.RouteIn)}
	if remote {
		acts[2] = pipeline.Remote.Load(1)
	}
	from := openflow.PortLocal
	if portKey != 0 {
		from = openflow.Port(inPort)
	}
	_, err := s.conn.TrySend(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: from, Actions: acts[:], Data: frame})
	return err
}

// TryFlow sends a flow-mod about what was learned, without waiting for anything.
func (s *Session) TryFlow(m *openflow.FlowMod) error {
	_, err := s.conn.TrySend(m)
	return err
}
