// Package opapi holds the answers of penstockd's operator API, /penstock/v1, as plain types with their JSON
// names: what the server encodes and penstockctl decodes. It is a leaf without behaviour: it imports nothing of
// the project and neither serves nor asks.
//
// Lists are JSON arrays, never null; times are RFC 3339; a field that is not known is left out or zero. Errors are
// NeutronError bodies, as those of the Networking API are.
package opapi

import "time"

// The paths, read by GET where nothing else is said.
const (
	PathStatus   = "/penstock/v1/status"   // Status
	PathHealth   = "/penstock/v1/health"   // []Health
	PathHosts    = "/penstock/v1/hosts"    // []Host; PathHosts/NAME: HostDetail
	PathSwitches = "/penstock/v1/switches" // []Switch
	PathFlows    = "/penstock/v1/flows"    // []Flow; ?host= and ?bridge= narrow it
	PathObjects  = "/penstock/v1/objects"  // []Object
	PathAudit    = "/penstock/v1/audit"    // POST, []Audit; ?host= narrows it
	PathFDB      = "/penstock/v1/fdb"      // []FDBEntry; ?host= and ?network_id= narrow it
)

// Status is what there is and how it goes, in one answer.
type Status struct {
	Version  string    `json:"version"`
	Revision int64     `json:"revision"` // the store's
	Derived  int64     `json:"derived"`  // the revision up to which hosts have been told what to change; their bridges are synced when it is done
	Started  time.Time `json:"started"`
	// Leader says whether the penstockd that answered is the one that runs the hosts.
	Leader bool     `json:"leader"`
	Hosts  []Host   `json:"hosts"`
	Ports  Ports    `json:"ports"`
	Health []Health `json:"health"`
	// PacketIns counts by handler ("dhcp"), then outcome ("answered"), since the start.
	PacketIns map[string]map[string]uint64 `json:"packet_ins"`
}

// Ports counts ports by their state.
type Ports struct {
	Total  int `json:"total"`
	Active int `json:"active"`
	Down   int `json:"down"`
}

// Host is one Open vSwitch host.
type Host struct {
	Name       string    `json:"name"`
	Alive      bool      `json:"alive"`
	Since      time.Time `json:"since"`                 // of the last change of Alive
	OVSDB      string    `json:"ovsdb"`                 // its database's address, such as unix:/run/openvswitch/db.sock
	TunnelIP   string    `json:"tunnel_ip,omitempty"`   // empty: none
	Datapath   string    `json:"datapath,omitempty"`    // "system" or "netdev"
	OVSVersion string    `json:"ovs_version,omitempty"` // such as "3.1.0"
	Bridges    []Bridge  `json:"bridges"`
	Ports      int       `json:"ports"` // bound on it
	// Draining hosts take no new ports.
	Draining bool `json:"draining,omitempty"`
}

// HostDetail is a host with its settings, what it carries, and why.
type HostDetail struct {
	Host
	BridgeMappings map[string]string `json:"bridge_mappings"` // physical network -> bridge
	Tags           map[string]string `json:"tags"`
	Networks       []HostNetwork     `json:"networks"`
}

// HostNetwork is a network that has flows on a host.
type HostNetwork struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Type, PhysicalNetwork and SegmentationID are of the segment by which this host reaches the others; Type is empty
	// when it has none that reaches them.
	Type            string `json:"type,omitempty"`
	PhysicalNetwork string `json:"physical_network,omitempty"`
	SegmentationID  uint32 `json:"segmentation_id,omitempty"`
	Bridge          string `json:"bridge,omitempty"` // mapped; empty for an overlay
	// Hosts are all that have ports of the network, this one included.
	Hosts []string   `json:"hosts"`
	Ports []HostPort `json:"ports"` // bound here
	// Why names what needs the network here beside Ports, such as a router.
	Why []string `json:"why"`
}

// HostPort is a port that is bound on a host.
type HostPort struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Interface string `json:"interface"` // on br-int
	OFPort    uint32 `json:"ofport"`
	Status    string `json:"status"`
	// Moving is the other host of a port that migrates: from where this one was, or to where it goes.
	Moving string `json:"moving,omitempty"`
}

// HostSpec is a host as an operator wants it: the body of POST PathHosts.
type HostSpec struct {
	Name           string            `json:"name"`
	OVSDB          string            `json:"ovsdb"`
	TunnelIP       string            `json:"tunnel_ip,omitempty"`
	DatapathType   string            `json:"datapath_type,omitempty"`
	BridgeMappings map[string]string `json:"bridge_mappings,omitempty"` // physical network -> bridge
	Tags           map[string]string `json:"tags,omitempty"`            // zone, rack, …
	Draining       bool              `json:"draining,omitempty"`
}

// HostPatch is what of a host is to change: the body of PUT PathHosts/NAME. What is nil stays.
type HostPatch struct {
	OVSDB          *string            `json:"ovsdb,omitempty"`
	TunnelIP       *string            `json:"tunnel_ip,omitempty"`
	DatapathType   *string            `json:"datapath_type,omitempty"`
	BridgeMappings *map[string]string `json:"bridge_mappings,omitempty"`
	Tags           *map[string]string `json:"tags,omitempty"`
	Draining       *bool              `json:"draining,omitempty"`
}

// Apply makes the change.
func (p *HostPatch) Apply(s *HostSpec) {
	set(&s.OVSDB, p.OVSDB)
	set(&s.TunnelIP, p.TunnelIP)
	set(&s.DatapathType, p.DatapathType)
	set(&s.BridgeMappings, p.BridgeMappings)
	set(&s.Tags, p.Tags)
	set(&s.Draining, p.Draining)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Bridge is one bridge's OpenFlow session.
type Bridge struct {
	Name       string `json:"name"`
	DatapathID string `json:"datapath_id"` // 16 hexadecimal digits
	Connected  bool   `json:"connected"`
	// Synced says that the switch has confirmed, by a barrier, all that is desired.
	Synced         bool   `json:"synced"`
	FlowsDesired   int    `json:"flows_desired"`
	FlowsInstalled int    `json:"flows_installed"`
	Groups         int    `json:"groups"`
	Meters         int    `json:"meters"`
	FlowModsSent   uint64 `json:"flow_mods_sent"` // since the start of penstockd
	// Foreign counts flows that are not Penstock's, as of the last read-back; Repaired counts what audits mended since
	// the start of penstockd.
	Foreign   int    `json:"foreign"`
	Repaired  uint64 `json:"repaired"`
	LastError string `json:"last_error,omitempty"`
}

// Switch is a bridge with its host.
type Switch struct {
	Host string `json:"host"`
	Bridge
}

// Audit is a bridge that was read back and compared with what is desired.
type Audit struct {
	Host    string `json:"host"`
	Bridge  string `json:"bridge"`
	Foreign int    `json:"foreign"` // flows that are not Penstock's and were left alone
	// Repaired counts the flows, groups and meters that were not as desired and were mended.
	Repaired uint64 `json:"repaired"`
}

// Severities of Health.
const (
	SeverityError   = "error"   // something does not work; someone must act
	SeverityWarning = "warning" // Penstock copes
)

// Health is one thing that is not as it should be.
type Health struct {
	Code     string `json:"code"` // such as BRIDGE_IN_USE; never reused for something else
	Severity string `json:"severity"`
	Object   string `json:"object"` // kind and name, such as "host h1"
	Text     string `json:"text"`   // one line: what is wrong and what to do
}

// States of Flow.
const (
	FlowInstalled = "installed" // desired and in the switch
	FlowMissing   = "missing"   // desired, not in the switch
	FlowForeign   = "foreign"   // in the switch, not Penstock's by its cookie
	FlowLearned   = "learned"   // a fact that the switch learned
	FlowStale     = "stale"     // in the switch, Penstock's by its cookie, but not desired so: the next audit mends it
)

// Flow is one flow of a bridge. The client says what it means (package ctl/annotate).
type Flow struct {
	Host   string `json:"host"`
	Bridge string `json:"bridge"`
	// Text is the flow as `ovs-ofctl --no-stats dump-flows` prints it, cookie included.
	Text     string  `json:"text"`
	State    string  `json:"state"`
	NPackets uint64  `json:"n_packets"`
	NBytes   uint64  `json:"n_bytes"`
	Duration float64 `json:"duration"` // seconds in the switch
}

// Object is what a cookie, a register or a group id names by number.
type Object struct {
	Kind       string `json:"kind"`        // model.Table.Name: "port"
	KindNumber uint8  `json:"kind_number"` // model.Table.Kind, as in cookies
	Key        uint32 `json:"key"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	NetworkID  string `json:"network_id,omitempty"`
	MAC        string `json:"mac,omitempty"` // of a port
}

// FDBEntry is one learned MAC address on a host.
type FDBEntry struct {
	Host        string `json:"host"`
	NetworkID   string `json:"network_id"`
	NetworkName string `json:"network_name"`
	MAC         string `json:"mac"`
	PortID      string `json:"port_id"` // that the MAC is behind
	PortName    string `json:"port_name"`
	Age         int    `json:"age"` // seconds since it was learned
}
