package openflow

import "fmt"

// Role is a controller's role at a switch (enum ofp_controller_role; nx_role for Nicira's names).
type Role uint32

// Roles. At most one connection of a switch has RolePrimary: taking it demotes the one that had it.
const (
	RoleNoChange  Role = iota // only ask
	RoleEqual                 // full access, the default
	RolePrimary               // full access, at most one
	RoleSecondary             // reads only, no packet-ins
)

var roleNames = [...]string{"nochange", "equal", "primary", "secondary"}

// String is the name that Open vSwitch prints.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", uint32(r))
}

// NoGeneration is the generation id of a reply from a switch that has none yet.
const NoGeneration = ^uint64(0)

// RoleRequest changes or asks for the sender's role (OpenFlow 1.3.5 section 7.3.9). A primary or secondary
// request whose Generation is older than the last that the switch has seen is refused with OFPRRFC_STALE; the comparison is
// of the signed 64-bit difference.
type RoleRequest struct {
	Role       Role
	Generation uint64
}

// RoleReply answers RoleRequest with the role now and the last generation id, NoGeneration if none.
type RoleReply struct {
	Role       Role
	Generation uint64
}

func decodeRole(r *reader) (Role, uint64) {
	role := Role(r.u32())
	r.skip(4)
	return role, r.u64()
}

func appendRole(b []byte, t uint8, role Role, gen uint64) []byte {
	return endMsg(append64(append32(append32(beginMsg(b, t), uint32(role)), 0), gen), len(b))
}

// Name is OFPT_ROLE_REQUEST.
func (m *RoleRequest) Name() string { return "OFPT_ROLE_REQUEST" }

// Name is OFPT_ROLE_REPLY.
func (m *RoleReply) Name() string { return "OFPT_ROLE_REPLY" }

// AppendTo appends the message.
func (m *RoleRequest) AppendTo(b []byte) []byte {
	return appendRole(b, typeRoleRequest, m.Role, m.Generation)
}

// AppendTo appends the message.
func (m *RoleReply) AppendTo(b []byte) []byte {
	return appendRole(b, typeRoleReply, m.Role, m.Generation)
}

func roleText(name string, r Role, gen uint64) string {
	if r == RoleEqual || r == RoleNoChange || gen == NoGeneration {
		return fmt.Sprintf("%s: role=%s", name, r)
	}
	return fmt.Sprintf("%s: role=%s generation_id=%d", name, r, gen)
}

// String shows the role, and the generation id where there is one.
func (m *RoleRequest) String() string { return roleText(m.Name(), m.Role, m.Generation) }

// String shows the role, and the generation id where there is one.
func (m *RoleReply) String() string { return roleText(m.Name(), m.Role, m.Generation) }

// RoleReason says why a role changed (enum ofp14_controller_role_reason).
type RoleReason uint8

// Reasons of a RoleStatus.
const (
	RolePrimaryRequest RoleReason = iota // another controller became primary
	RoleConfig                           // the switch's configuration changed
	RoleExperimenter                     // experimenter data changed
)

var roleReasons = [...]string{"primary_request", "configuration_changed", "experimenter_data_changed"}

// RoleStatus tells a controller that its role changed: ONF extension 191 of OpenFlow 1.3, experimenter type 1911.
// A connection gets it only when its async config asks for it.
type RoleStatus struct {
	Role       Role
	Reason     RoleReason
	Generation uint64
	Properties []byte // raw, whole
}

func decodeRoleStatus(r *reader) Message {
	m := &RoleStatus{Role: Role(r.u32()), Reason: RoleReason(r.u8())}
	r.skip(3)
	m.Generation = r.u64()
	m.Properties = r.rest()
	return m
}

// Name is ONFT_ROLE_STATUS.
func (m *RoleStatus) Name() string { return "ONFT_ROLE_STATUS" }

// AppendTo appends the message.
func (m *RoleStatus) AppendTo(b []byte) []byte {
	n := len(b)
	b = append32(beginExp(b, expONF, 1911), uint32(m.Role))
	b = append64(append(b, byte(m.Reason), 0, 0, 0), m.Generation)
	return endMsg(append(b, m.Properties...), n)
}

// String shows role, generation id and reason.
func (m *RoleStatus) String() string {
	s := roleText(m.Name(), m.Role, m.Generation)
	if int(m.Reason) < len(roleReasons) {
		return s + " reason=" + roleReasons[m.Reason]
	}
	return fmt.Sprintf("%s reason=%d", s, m.Reason)
}
