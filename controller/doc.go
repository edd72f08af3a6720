// Package controller keeps every host's switches equal to what the store means. It is the only owner of changing
// state: sessions with switches, the derivation engine, roll-outs, bindings and packet-in dispatch. Objects are
// written by package api through the store; the controller follows the store's changes and writes only what it
// observes: bindings, port status, host state.
package controller
