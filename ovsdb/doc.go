// Package ovsdb keeps one host's Open vSwitch database: it watches what is there (bridges, and the VIFs
// plugged into br-int) and makes what should be there (bridges with their settings and controllers, patch
// and tunnel ports), touching nothing that it does not own. It knows no flows and no intent; what a VIF
// means is the controller's business.
//
// # Ownership
//
// Every Bridge, Port and Controller row that a DB makes carries external_ids:penstock-owner. A bridge that
// was there before is adopted: it gets the mark too, and external_ids:penstock-saved records the settings
// that were changed, so that Undo puts them back. Rows without the mark are never modified, with one
// exception that is the contract with users: external_ids:penstock-installed on the Interface of a VIF.
//
// # Threads
//
//	Run ── dials, one libovsdb client for each connection ──▶ events say which rows changed (dirty marks)
//	 └─ worker goroutine: reads the marked rows, keeps the tracker, publishes Snapshots, plans transactions
//	      └─ one transaction in flight at a time, in a goroutine of its own, so that events never wait
//
// A new client is made for each connection instead of using libovsdb's own reconnect: rows that vanished
// meanwhile then cannot survive in its cache, its Purge cannot race with readers, and there is one Monitor
// call per client by construction.
package ovsdb
