// Package e2e tests the whole: the real penstockd on real Open vSwitch hosts, with real DHCP clients and pings in
// network namespaces. All of it is in the tests; what they need of hosts and VMs is package ovstest's.
package e2e
