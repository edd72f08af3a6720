// Package secgroup derives port security: what addresses a port may send from, and the stateful and stateless rules of
// security groups. It derives only; docs/design has why the flows are as they are.
//
// A port's own flows are part of its unit in package l2, so that a switch that refuses one of them has nothing of the
// port: never a port without its protection. A group's rules and a set of remote addresses are shared units.
package secgroup
