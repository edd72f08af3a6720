package openflow

import (
	"fmt"
	"strconv"
	"strings"
)

// Port is an OpenFlow 1.3 port number (32 bits on the wire, big-endian). Open vSwitch uses 1 to 0xfeff and
// the reserved ones below. Some Nicira actions carry 16 bits, in which the reserved ports are 0xfff8 to 0xffff.
type Port uint32

// Reserved ports (OpenFlow 1.3.5 section 7.2.1, ofp_port_no).
const (
	PortUnset      Port = 0xfffffff7 // OFPP_UNSET, only in the action set (openflow-1.5)
	PortInPort     Port = 0xfffffff8 // OFPP_IN_PORT: back where it came from
	PortTable      Port = 0xfffffff9 // OFPP_TABLE: through the tables; packet-out only
	PortNormal     Port = 0xfffffffa // OFPP_NORMAL: the switch's own L2 processing
	PortFlood      Port = 0xfffffffb // OFPP_FLOOD
	PortAll        Port = 0xfffffffc // OFPP_ALL
	PortController Port = 0xfffffffd // OFPP_CONTROLLER
	PortLocal      Port = 0xfffffffe // OFPP_LOCAL: the bridge's own interface
	PortAny        Port = 0xffffffff // OFPP_ANY: no restriction, in requests
	PortNone       Port = PortAny    // the name that ovs-ofctl prints for it
)

var portNames = [...]string{"UNSET", "IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "LOCAL", "ANY"}

// String returns the number, or the name of a reserved port, as ovs-ofctl --no-names prints it.
func (p Port) String() string { return string(p.AppendText(nil)) }

// AppendText appends String to b.
func (p Port) AppendText(b []byte) []byte {
	if p >= PortUnset {
		return append(b, portNames[p-PortUnset]...)
	}
	return strconv.AppendUint(b, uint64(p), 10)
}

// ParsePort reads a port number (decimal or 0x), or the name of a reserved port in any case. The 16-bit
// numbers of the reserved ports (0xfff7 to 0xffff) mean those ports.
func ParsePort(s string) (Port, error) {
	for i, n := range portNames {
		if strings.EqualFold(s, n) {
			return PortUnset + Port(i), nil
		}
	}
	if strings.EqualFold(s, "NONE") {
		return PortNone, nil
	}
	v, err := strconv.ParseUint(s, 0, 32)
	switch {
	case err != nil:
		return 0, fmt.Errorf("openflow: port %q is neither a number nor a reserved port's name", s)
	case v >= 0xfff7 && v <= 0xffff:
		return portFrom16(uint16(v)), nil
	case v >= 0xff00 && v < uint64(PortUnset):
		return 0, fmt.Errorf("openflow: port %s is out of range; use 1 to 65279 or a reserved port's name", s)
	}
	return Port(v), nil
}

// to16 is the port in the 16-bit numbering of Nicira actions and OpenFlow 1.0.
func (p Port) to16() uint16 { return uint16(p) }

// portFrom16 is the reverse of to16.
func portFrom16(v uint16) Port {
	if v >= 0xfff7 {
		return 0xffff0000 | Port(v)
	}
	return Port(v)
}
