package model

import "slices"

// Log asks for lines about what security groups let pass and drop (Neutron's network log).
type Log struct {
	Meta
	ResourceType string `json:"resource_type"` // "security_group"
	// ResourceID is a security group, empty for any; TargetID a port, empty for all that have the group, or, without a
	// group either, for all of the project.
	ResourceID string `json:"resource_id,omitempty"`
	TargetID   PortID `json:"target_id,omitempty"`
	Event      string `json:"event"` // LogAccept, LogDrop or LogAll
	Enabled    bool   `json:"enabled"`
}

// The events of Log.
const (
	LogAccept = "ACCEPT"
	LogDrop   = "DROP"
	LogAll    = "ALL"
)

// Wants says whether a log is about an event, LogAccept or LogDrop.
func (l *Log) Wants(event string) bool { return l.Event == LogAll || l.Event == event }

// scope is what makes a log be about a port: the port itself, a group of it, its project.
func (l *Log) scope() string {
	switch {
	case l.TargetID != "":
		return JoinKey("port", string(l.TargetID))
	case l.ResourceID != "":
		return JoinKey("group", l.ResourceID)
	}
	return JoinKey("project", l.ProjectID)
}

// Logs is the table of network logs.
var Logs = &Table{Name: "log", Kind: 17, New: func() Object { return new(Log) }}

// The indexes of logs.
var (
	LogsByProject = byProject(Logs)
	// LogsEnabled finds every log that is on under the one key "all", LogsByScope by what it is about.
	LogsEnabled = index(Logs, "enabled", func(o Object) []string {
		if !o.(*Log).Enabled {
			return nil
		}
		return one("all")
	})
	LogsByScope = index(Logs, "scope", func(o Object) []string {
		if l := o.(*Log); l.Enabled {
			return one(l.scope())
		}
		return nil
	})
	// LogsByObject finds the logs that name a security group or a port.
	LogsByObject = index(Logs, "object", func(o Object) []string {
		l := o.(*Log)
		return append(given(l.ResourceID), given(string(l.TargetID))...)
	})
)

// Log finds a network log by id.
func (v View) Log(id string) (*Log, bool) { return get[*Log](v, Logs, id) }

// LogsOf lists the logs that are on and about a port.
func (v View) LogsOf(p *Port) []*Log {
	var out []*Log
	for _, l := range list[*Log](v, LogsByScope, JoinKey("port", p.ID)) {
		if l.ResourceID == "" || slices.Contains(p.SecurityGroups, l.ResourceID) {
			out = append(out, l)
		}
	}
	for _, g := range p.SecurityGroups {
		out = append(out, list[*Log](v, LogsByScope, JoinKey("group", g))...)
	}
	return append(out, list[*Log](v, LogsByScope, JoinKey("project", p.ProjectID))...)
}
