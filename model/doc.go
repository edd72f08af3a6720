// Package model holds Penstock's objects as plain types, the declaration of the tables and indexes
// they are kept in, and the read-only View that derivation and packet-in handlers get of them.
//
// It is a leaf: it imports nothing of the project, does no I/O, knows neither the store's encoding
// nor any flow. Names are Neutron's for what users make (Network, Subnet, Port) and Open vSwitch's
// for what is observed on hosts (Binding, OFPort).
package model
