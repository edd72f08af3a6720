// Package vswitch holds the generated models of the tables and columns of the Open_vSwitch database
// that Penstock uses. It is libovsdb's view of rows and nothing else; what they mean is package ovsdb's.
package vswitch

//go:generate go run ./gen /usr/share/openvswitch/vswitch.ovsschema .
