package model

import "strings"

// NovaReports hold what Nova, OpenStack's compute service, has acknowledged of the ports of its servers: what is
// still to be told follows from them, so that it outlives a restart.
var NovaReports = &Table{Name: "novareport", Observed: true, New: func() Object { return new(NovaReport) }}

// NovaReport is what Nova knows of one port; without one it knows nothing.
type NovaReport struct {
	PortID PortID `json:"port_id"`
	// Server is the server that was told, "" when the port is no server's any more.
	Server string `json:"server,omitempty"`
	// Revision is the version of the port's status that Nova acknowledged, and Active whether that was ACTIVE. It is 0
	// if Nova was told of none.
	Revision int64 `json:"revision,omitempty"`
	Active   bool  `json:"active,omitempty"`
	// Addresses stands for the addresses and floating IPs that Nova may have seen, "" for none that are known.
	Addresses string `json:"addresses,omitempty"`
}

// ObjectID implements Object.
func (r *NovaReport) ObjectID() string { return string(r.PortID) }

// Server is the id of the Nova server that the port belongs to, "" if it belongs to none. Nova takes nothing but
// UUIDs.
func (p *Port) Server() string {
	if !strings.HasPrefix(p.DeviceOwner, "compute:") || len(p.DeviceID) != 36 {
		return ""
	}
	for i := range len(p.DeviceID) {
		c := p.DeviceID[i]
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') ||
			!dash && !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return ""
		}
	}
	return p.DeviceID
}
