// Package openflow speaks OpenFlow 1.3 with the Nicira and ONF extensions of Open vSwitch: matches, actions,
// instructions, flows, groups, meters and messages, their text exactly as ovs-ofctl prints it, and a connection.
//
// It is the wire and nothing above it: it knows no networks, keeps no flows and holds no process-wide state.
// Everything that it does not know (a match field, an action, a message) it keeps as raw bytes and sends back
// unchanged. Decoders take bytes from anyone: they never panic, read past the end, or allocate without a bound.
//
// A field is one row of the table in fields.go, an action one row of the table in actions.go; encoding,
// decoding, text and prerequisites follow from the rows.
package openflow
