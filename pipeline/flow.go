package pipeline

import (
	"fmt"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
)

// Key is what makes a flow the same flow on a switch.
type Key struct {
	Table    uint8
	Priority uint16
	Match    string // OXM bytes in canonical order
}

// Flow is one flow of a bridge as a comparable value of wire bytes.
type Flow struct {
	Key
	Actions string // OpenFlow 1.3 instructions
	Cookie  Cookie
}

// Decode gives the flow in package openflow's form, for text and for the wire.
func (f *Flow) Decode() (openflow.Flow, error) {
	m, err := openflow.DecodeOXM([]byte(f.Match))
	if err != nil {
		return openflow.Flow{}, err
	}
	acts, err := openflow.DecodeInstructions([]byte(f.Actions))
	if err != nil {
		return openflow.Flow{}, err
	}
	return openflow.Flow{Table: f.Table, Priority: f.Priority, Cookie: uint64(f.Cookie), Match: m, Actions: acts}, nil
}

// Group is a group of a bridge. Mod is the whole message that makes it so, whatever was there
// (OFPGC_ADD_OR_MOD of Open vSwitch), with xid 0.
type Group struct {
	ID  uint32
	Mod string
}

// MakeGroup gives a group as a comparable value.
func MakeGroup(g openflow.GroupDesc) Group {
	m := openflow.GroupMod{Command: openflow.GroupAddOrMod, Group: g}
	return Group{g.ID, string(m.AppendTo(nil))}
}

// Meter is a packet-rate meter that drops what is over.
type Meter struct {
	ID    uint32
	PPS   uint32
	Burst uint32
}

// Zone is a conntrack zone of a host with whose it is: zones are emptied when they change hands.
type Zone struct {
	ID    uint16
	Owner uint64 // kind and key as in the cookies of the flows that use it
}

// UnitID names a unit: one object's part on one switch, or a shared part (Host empty) sent to all that need it.
type UnitID struct {
	Kind *Kind
	Host model.HostName
	ID   string
}

func (u UnitID) String() string {
	if u.Kind == nil {
		return ""
	}
	if u.Host == "" {
		return u.Kind.Name + " " + u.ID
	}
	return u.Kind.Name + " " + u.ID + " on " + string(u.Host)
}

// Settings are the configured numbers that flows carry.
type Settings struct {
	DHCPPPS, DHCPBurst uint32 // packets a second of one port to the DHCP handler
	ARPPPS, ARPBurst   uint32 // the same to the ARP and ICMP handlers
	LogPPS, LogBurst   uint32 // packets a second of one port that are logged, where a network log is about it
	// FDBAge is for how many seconds a learned MAC address is kept after the last frame from it.
	FDBAge uint16
	// FDBLimit is how many addresses one port may have learned, FDBRemoteLimit how many of a network are learned
	// behind its carrier.
	FDBLimit, FDBRemoteLimit uint32
}

// DefaultSettings are the numbers of CONTRACT.md.
func DefaultSettings() Settings {
	return Settings{DHCPPPS: 50, DHCPBurst: 100, ARPPPS: 100, ARPBurst: 200, LogPPS: 100, LogBurst: 25, FDBAge: 300, FDBLimit: 1024, FDBRemoteLimit: 8192}
}

// Switch is what a local unit derives for.
type Switch struct {
	Host     model.HostName
	Settings *Settings
}

// Kind declares a kind of unit.
type Kind struct {
	Name string
	// Order settles which unit's flow wins when two make the same match: the lower.
	Order uint8
	// Shared units have no switch argument: their result is derived once for all hosts.
	Shared bool
	// Derive is the function. It must be pure; id is the object's.
	Derive func(v model.View, sw Switch, id string, out *Out)
}

// BridgeFlow is a flow with the bridge it belongs to.
type BridgeFlow struct {
	Bridge string
	Flow
}

// Each asks for one child unit per object under an index key, kept up to date by the engine without
// deriving the asking unit again.
type Each struct {
	Index *model.Index
	Key   string
	Kind  *Kind
	// Host is the children's host; empty for shared kinds.
	Host model.HostName
	// ID gives the child's id of an object; nil: the object's own id.
	ID func(model.Object) string
	// HostOf gives the child's host of an object, where it is not the one Host.
	HostOf func(model.Object) model.HostName
}

// Hold keeps the learned facts of an object in a Learned table for as long as the unit lives.
type Hold struct {
	Bridge string
	Table  uint8
	Cookie Cookie
}

// Unit is the child asked for of an object.
func (e *Each) Unit(o model.Object) UnitID {
	u := UnitID{e.Kind, e.Host, ""}
	if e.ID != nil {
		u.ID = e.ID(o)
	} else {
		u.ID = o.ObjectID()
	}
	if e.HostOf != nil {
		u.Host = e.HostOf(o)
	}
	return u
}

// BridgeGroup is a group with its bridge.
type BridgeGroup struct {
	Bridge string
	Group
}

// BridgeMeter is a meter with its bridge.
type BridgeMeter struct {
	Bridge string
	Meter
}

// Out collects what a unit derives.
type Out struct {
	Flows  []BridgeFlow
	Groups []BridgeGroup
	Meters []BridgeMeter
	Zones  []Zone // of br-int
	Units  []UnitID
	Eaches []Each
	Holds  []Hold
	// Errs are derivation errors, such as a match whose prerequisites are missing: programming errors,
	// shown in health.
	Errs []error

	kind  uint8
	key   uint32
	match openflow.Match
	buf   []byte
	acts  []openflow.Action
}

// For names the object that the flows added next belong to.
func (o *Out) For(t *model.Table, key uint32) { o.kind, o.key = t.Kind, key }

// Cookie is the cookie of a rule's flow for the object named by For.
func (o *Out) Cookie(r *Rule) Cookie { return MakeCookie(r.Num, o.kind, o.key) }

// Add adds a flow of a rule on br-int or br-tun.
func (o *Out) Add(r *Rule, m Match, acts ...openflow.Action) {
	o.AddOn(r.Table.Role.String(), r, m, acts...)
}

// AddOn adds a flow of a rule on a bridge.
func (o *Out) AddOn(bridge string, r *Rule, m Match, acts ...openflow.Action) {
	o.match = openflow.Match{}
	for _, t := range m {
		t(&o.match)
	}
	if err := o.match.Check(); err != nil {
		o.Errs = append(o.Errs, fmt.Errorf("rule %d (%s): %w", r.Num, r.Doc, err))
		return
	}
	o.buf = o.match.AppendOXM(o.buf[:0])
	match := string(o.buf)
	var err error
	if o.buf, err = openflow.AppendInstructions(o.buf[:0], acts); err != nil {
		o.Errs = append(o.Errs, fmt.Errorf("rule %d (%s): %w", r.Num, r.Doc, err))
		return
	}
	o.Flows = append(o.Flows, BridgeFlow{bridge, Flow{Key{r.Table.ID, r.Priority, match}, string(o.buf), o.Cookie(r)}})
}

// AllGroup adds a group of type all, in which every list of actions gets a copy of the packet.
func (o *Out) AllGroup(bridge string, id uint32, buckets ...[]openflow.Action) {
	g := openflow.GroupDesc{ID: id, Type: openflow.GroupAllBuckets}
	for _, acts := range buckets {
		g.Buckets = append(g.Buckets, openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: acts})
	}
	o.Groups = append(o.Groups, BridgeGroup{bridge, MakeGroup(g)})
}

// AddMeter adds a meter.
func (o *Out) AddMeter(bridge string, id, pps, burst uint32) {
	o.Meters = append(o.Meters, BridgeMeter{bridge, Meter{id, pps, burst}})
}

// AddZone takes a conntrack zone for the object named by For. Open vSwitch has one conntrack for all bridges of a host;
// flows on br-int alone use it. Every flow that names the zone must be of the same object.
func (o *Out) AddZone(id uint16) {
	o.Zones = append(o.Zones, Zone{id, ZoneOwner(MakeCookie(0, o.kind, o.key))})
}

// Need asks for a unit; it lives as long as some unit needs it.
func (o *Out) Need(k *Kind, host model.HostName, id string) {
	o.Units = append(o.Units, UnitID{k, host, id})
}

// NeedEach asks for a unit per object under an index key.
func (o *Out) NeedEach(e Each) { o.Eaches = append(o.Eaches, e) }

// Hold keeps learned facts with a cookie while this unit lives.
func (o *Out) Hold(t *Table, c Cookie) {
	o.Holds = append(o.Holds, Hold{t.Role.String(), t.ID, c})
}

// Seal gives back the room that was only needed while deriving.
func (o *Out) Seal() {
	o.match, o.buf, o.acts = openflow.Match{}, nil, nil
}
