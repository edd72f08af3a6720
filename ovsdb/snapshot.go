package ovsdb

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock/penstock/model"
)

// Keys of external_ids that are part of the contract with operators and compute software.
const (
	KeyIfaceID     = "iface-id"           // on an Interface: the Neutron port id that it is the VIF of
	KeyAttachedMAC = "attached-mac"       // on an Interface: the MAC inside the VM
	KeyInstalled   = "penstock-installed" // on an Interface: "true" once the port's flows are in place
	KeyOwner       = "penstock-owner"     // on rows that are ours
	KeySaved       = "penstock-saved"     // on an adopted Bridge: the settings it had, for Undo
	KeyTakeover    = "penstock-takeover"  // on a Bridge: "true" is the operator's consent to take it over
)

// VIF is an Interface on br-int with external_ids:iface-id. It is immutable.
type VIF struct {
	IfaceID string // the Neutron port id, as whoever plugged it wrote it; never empty, otherwise unchecked
	UUID    string // of the Interface's row
	Name    string // of the Interface
	// OFPort is its OpenFlow port number on the bridge: 0 while ovs-vswitchd has not answered, -1 when it
	// could not make the port; Error then says why.
	OFPort      int
	Error       string
	AttachedMAC model.MAC // zero if not given or not a MAC
	Bridge      string    // always br-int
	LinkUp      bool
	Installed   bool // external_ids:penstock-installed=true
}

// BridgeState is a bridge as observed. It is immutable.
type BridgeState struct {
	Name, UUID   string
	DatapathID   uint64 // as ovs-vswitchd reports it, 0 while it has not made the bridge; can lag behind
	DatapathType string // as configured; empty is system
	Owned        bool
	PortCount    int // LOCAL included
	// Ports are the bridge's ports sorted by name, without VIFs' bridge br-int, where only ours are listed.
	Ports []PortState
}

// PortState is a port of a bridge with a single Interface.
type PortState struct {
	Name, Type string
	OFPort     int // as VIF.OFPort
	Owned      bool
}

// Snapshot is what was observed at one moment. It is a value, safe to keep and to share.
type Snapshot struct {
	// Complete says that the database has been read whole and has its root row. While the connection is
	// down it stays as it was, the content being the last known. Without it, no absence means anything.
	Complete bool
	// Connected says that the content is current.
	Connected bool
	// Applied says that the database is as desired and ovs-vswitchd has caught up with it.
	Applied       bool
	Revision      uint64 // grows with every change
	OVSVersion    string
	Hostname      string // Open_vSwitch external_ids:hostname
	SystemID      string // Open_vSwitch external_ids:system-id
	DatapathTypes []string
	IfaceTypes    []string
	Bridges       []BridgeState // sorted by name
	vifs          vifSet
	undone        bool // nothing of ours is left
}

func (s Snapshot) vifByUUID(uuid string) (*VIF, bool) {
	v := s.vifs.get(uuid)
	return v, v != nil
}

// Bridge finds a bridge by name.
func (s Snapshot) Bridge(name string) (BridgeState, bool) {
	for _, b := range s.Bridges {
		if b.Name == name {
			return b, true
		}
	}
	return BridgeState{}, false
}

// VIFs lists the VIFs with an iface-id: usually none or one, several only when somebody plugged twice.
func (s Snapshot) VIFs(ifaceID string) []*VIF { return s.vifs.of(ifaceID) }

// EachVIF calls f for every VIF in the order of iface-ids until it returns false.
func (s Snapshot) EachVIF(f func(*VIF) bool) { s.vifs.each(f) }

// VIFCount is the number of VIFs.
func (s Snapshot) VIFCount() int { return s.vifs.count() }

// Update is what changed since the Subscription was last taken from.
type Update struct {
	Snapshot Snapshot
	// All says that this is the first Update of the Subscription: look at everything.
	All bool
	// IfaceIDs are those whose VIFs were added, changed or removed, sorted; look them up in Snapshot.
	IfaceIDs []string
	// Other says that something else changed: bridges, the connection, health.
	Other bool
	// Since is when the first of the changes came from the database; zero where that is not known.
	Since time.Time
}

// Subscription tells one consumer what changed. Level triggered: however slow the consumer is, changes
// coalesce, and memory is bounded by the number of iface-ids.
type Subscription struct {
	c    chan struct{}
	db   *DB
	mu   sync.Mutex
	all  bool
	ids  map[string]struct{}
	misc bool
	from time.Time
}

// C has a value when Take would return something.
func (s *Subscription) C() <-chan struct{} { return s.c }

// Take returns what changed since the last Take, with the newest Snapshot.
func (s *Subscription) Take() Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := Update{Snapshot: s.db.State(), All: s.all, Other: s.misc || s.all, Since: s.from}
	if len(s.ids) > 0 {
		u.IfaceIDs = make([]string, 0, len(s.ids))
		for id := range s.ids {
			u.IfaceIDs = append(u.IfaceIDs, id)
		}
		slices.SortFunc(u.IfaceIDs, strings.Compare)
		s.ids = map[string]struct{}{}
	}
	s.all, s.misc, s.from = false, false, time.Time{}
	return u
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.db.subs = slices.DeleteFunc(s.db.subs, func(x *Subscription) bool { return x == s })
}

func (s *Subscription) note(ids map[string]struct{}, other bool, since time.Time) {
	s.mu.Lock()
	if s.from.IsZero() {
		s.from = since
	}
	for id := range ids {
		s.ids[id] = struct{}{}
	}
	s.misc = s.misc || other
	s.mu.Unlock()
	select {
	case s.c <- struct{}{}:
	default: // already due
	}
}
