// Package sim simulates hosts with Open vSwitch for tests and benches: each Host serves an Open_vSwitch
// database (OVSDB, RFC 7047) and, for each bridge that the database has, an OpenFlow 1.3 switch that connects to
// the bridge's controllers. What a controller writes is kept in tables with OpenFlow's semantics and can be
// looked at; no packet is ever forwarded. Hundreds of hosts fit in one process. It is not for the product:
// only tests, benches and cmd/penstock-sim import it.
package sim
