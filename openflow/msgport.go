package openflow

import (
	"fmt"
	"strings"
)

// PortConfig are the administrative flags of a port, PortState its operational ones (OpenFlow 1.3.5 section 7.2.1).
type (
	PortConfig uint32
	PortState  uint32
)

// Flags of PortConfig and PortState.
const (
	PortDown     PortConfig = 1 << 0
	PortNoRecv   PortConfig = 1 << 2
	PortNoFwd    PortConfig = 1 << 5
	PortNoPktIn  PortConfig = 1 << 6
	PortLinkDown PortState  = 1 << 0
	PortBlocked  PortState  = 1 << 1
	PortLive     PortState  = 1 << 2
)

// PortDesc describes a port of a switch (struct ofp_port).
type PortDesc struct {
	Port                              Port
	HWAddr                            [6]byte
	Name                              string // at most 15 octets
	Config                            PortConfig
	State                             PortState
	Curr, Advertised, Supported, Peer uint32 // OFPPF_* bits
	CurrSpeed, MaxSpeed               uint32 // kilobit a second
}

const portDescLen = 64

func (p *PortDesc) decode(r *reader) {
	p.Port = Port(r.u32())
	r.skip(4)
	copy(p.HWAddr[:], r.take(6))
	r.skip(2)
	p.Name = cString(r.take(16))
	p.Config, p.State = PortConfig(r.u32()), PortState(r.u32())
	for _, f := range [...]*uint32{&p.Curr, &p.Advertised, &p.Supported, &p.Peer, &p.CurrSpeed, &p.MaxSpeed} {
		*f = r.u32()
	}
}

// AppendTo appends struct ofp_port. A longer name is cut to 15 octets.
func (p *PortDesc) AppendTo(b []byte) []byte {
	b = append(append32(append32(b, uint32(p.Port)), 0), p.HWAddr[:]...)
	b = appendString(append(b, 0, 0), p.Name, 16)
	b = append32(append32(b, uint32(p.Config)), uint32(p.State))
	for _, f := range [...]uint32{p.Curr, p.Advertised, p.Supported, p.Peer, p.CurrSpeed, p.MaxSpeed} {
		b = append32(b, f)
	}
	return b
}

// cString is the text before the first zero octet.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// appendString appends s in n octets, cut so that a zero octet ends it.
func appendString(b []byte, s string, n int) []byte {
	s = s[:min(len(s), n-1)]
	b = append(b, s...)
	for range n - len(s) {
		b = append(b, 0)
	}
	return b
}

func macText(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// flagText joins the names of the set bits of v, as ofp_print_bit_names does; zero is "0".
func flagText(v uint32, sep string, names map[uint32]string) string {
	var s []string
	for bit := range 32 {
		if n, ok := names[v&(1<<bit)]; ok {
			s = append(s, n)
			v &^= 1 << bit
		}
	}
	if v != 0 {
		s = append(s, fmt.Sprintf("%#x", v))
	}
	if len(s) == 0 {
		return "0"
	}
	return strings.Join(s, sep)
}

var (
	portConfigNames = map[uint32]string{1: "PORT_DOWN", 2: "NO_STP", 4: "NO_RECV", 8: "NO_RECV_STP", 16: "NO_FLOOD", 32: "NO_FWD", 64: "NO_PACKET_IN"}
	portStateNames  = map[uint32]string{1: "LINK_DOWN", 2: "BLOCKED", 4: "LIVE"}
)

// String is what ovs-ofctl -O OpenFlow13 dump-ports-desc prints for the port, without the feature lines.
func (p *PortDesc) String() string {
	return fmt.Sprintf("%s(%s): addr:%s\n     config:     %s\n     state:      %s\n     speed: %d Mbps now, %d Mbps max", p.Port, p.Name,
		macText(p.HWAddr), flagText(uint32(p.Config), " ", portConfigNames), flagText(uint32(p.State), " ", portStateNames),
		p.CurrSpeed/1000, p.MaxSpeed/1000)
}

// PortReason says what happened to a port (enum ofp_port_reason).
type PortReason uint8

// Reasons of PortStatus.
const (
	PortAdded PortReason = iota
	PortDeleted
	PortModified
)

// PortStatus tells that a port came, went or changed (section 7.4.3).
type PortStatus struct {
	Reason PortReason
	Desc   PortDesc
}

func decodePortStatus(r *reader) Message {
	m := &PortStatus{Reason: PortReason(r.u8())}
	r.skip(7)
	m.Desc.decode(r)
	return m
}

// Name is OFPT_PORT_STATUS.
func (m *PortStatus) Name() string { return "OFPT_PORT_STATUS" }

// AppendTo appends the message.
func (m *PortStatus) AppendTo(b []byte) []byte {
	n := len(b)
	return endMsg(m.Desc.AppendTo(appendZeros(append(beginMsg(b, typePortStatus), byte(m.Reason)), 7)), n)
}

// String shows what happened and the port.
func (m *PortStatus) String() string {
	reason := fmt.Sprintf("reason %d", m.Reason)
	if names := [...]string{"ADD", "DEL", "MOD"}; int(m.Reason) < len(names) {
		reason = names[m.Reason]
	}
	return fmt.Sprintf("%s: %s: %s", m.Name(), reason, m.Desc.String())
}

// PortMod changes the flags of a port (section 7.3.4.3).
type PortMod struct {
	Port         Port
	HWAddr       [6]byte // must be the port's address
	Config, Mask PortConfig
	Advertise    uint32 // OFPPF_* bits, 0 for no change
}

func decodePortMod(r *reader) Message {
	m := &PortMod{Port: Port(r.u32())}
	r.skip(4)
	copy(m.HWAddr[:], r.take(6))
	r.skip(2)
	m.Config, m.Mask, m.Advertise = PortConfig(r.u32()), PortConfig(r.u32()), r.u32()
	return m
}

// Name is OFPT_PORT_MOD.
func (m *PortMod) Name() string { return "OFPT_PORT_MOD" }

// AppendTo appends the message.
func (m *PortMod) AppendTo(b []byte) []byte {
	n := len(b)
	b = append(append32(append32(beginMsg(b, typePortMod), uint32(m.Port)), 0), m.HWAddr[:]...)
	b = append32(append32(append(b, 0, 0), uint32(m.Config)), uint32(m.Mask))
	return endMsg(append32(append32(b, m.Advertise), 0), n)
}

// String shows the fields.
func (m *PortMod) String() string {
	return fmt.Sprintf("%s: port: %s: addr:%s config: %s mask: %s advertise: %#x", m.Name(), m.Port, macText(m.HWAddr),
		flagText(uint32(m.Config), " ", portConfigNames), flagText(uint32(m.Mask), " ", portConfigNames), m.Advertise)
}
