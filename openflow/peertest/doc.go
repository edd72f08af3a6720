// Package peertest is tests only: contiv/ofnet's ofctrl and contiv/libOpenflow as peers of package openflow, as far
// as they go. It is a module of its own, so that nothing of them is in Penstock's go.mod.
package peertest
