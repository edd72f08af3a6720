// Package derive is the derivation engine: it runs the pipeline's derive functions over snapshots, remembers
// what each unit read, and after a change runs again exactly the units that read what changed. Its output is
// the difference to what it desired before, bridge by bridge.
//
// It does no I/O and knows no switch. The law, kept by a property test: incremental output equals the output
// derived from scratch.
package derive
