package ovsdb

import (
	"cmp"
	"slices"
)

// Health codes. They are stable: monitoring matches on them.
const (
	CodeUnreachable     = "OVSDB_UNREACHABLE"     // no connection; nothing can be changed on the host
	CodeNoRoot          = "OVSDB_EMPTY"           // the database has no Open_vSwitch row
	CodeBridgeInUse     = "BRIDGE_IN_USE"         // a bridge of others that cannot be taken over safely
	CodeForeignControl  = "FOREIGN_CONTROLLER"    // another controller is set on a bridge of ours
	CodePortNameTaken   = "PORT_NAME_TAKEN"       // a port of others has the name of one of ours
	CodeOFPortTaken     = "OFPORT_TAKEN"          // a fixed OpenFlow port number was not honoured
	CodeDatapathUnknown = "DATAPATH_UNKNOWN"      // ovs-vswitchd cannot make the wanted datapath type
	CodeDatapathMixed   = "DATAPATH_MIXED"        // a mapped bridge is of another datapath type than br-int
	CodeIfaceError      = "IFACE_ERROR"           // ovs-vswitchd reports an error on an Interface
	CodeVIFElsewhere    = "VIF_ON_WRONG_BRIDGE"   // an Interface with iface-id is not on br-int
	CodeVIFTwice        = "VIF_TWICE"             // two Interfaces have the same iface-id
	CodeNoUplink        = "BRIDGE_WITHOUT_UPLINK" // a mapped bridge has no port of the operator's
	CodeVswitchdSilent  = "VSWITCHD_SILENT"       // ovs-vswitchd does not apply the database
	CodeNoCertificate   = "SSL_NOT_SET"           // bridges shall connect by ssl:, but Open vSwitch has no certificate
	CodeTransaction     = "OVSDB_REFUSED"         // the database refused a transaction
)

// Health is one thing that is wrong on the host, in one line that says what to do.
type Health struct {
	Code string
	// Object is the bridge, port or Interface meant, if any; Code and Object identify the entry.
	Object string
	Text   string
}

func sortHealth(h []Health) {
	slices.SortFunc(h, func(a, b Health) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Text, b.Text))
	})
}

// Counters say how much was done since the DB was made.
type Counters struct {
	Connects     uint64 // connections that reached a complete monitor
	Failures     uint64 // attempts to connect that failed, and connections that broke
	Transactions uint64 // sent by reconciliation
	Marks        uint64 // transactions sent by SetInstalled
	Rows         uint64 // row changes looked at
	VIFChanges   uint64 // VIFs added, changed, removed
	Plans        uint64 // comparisons of what is there with what should be
}
