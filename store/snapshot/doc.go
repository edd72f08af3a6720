// Package snapshot is an immutable state of all of model's tables in memory, at one revision.
//
// It is what derivation, packet-in handlers and the API read: a model.Source of B-trees whose nodes consecutive states share. A new state is
// made from an old one by applying changes; the old one stays valid and unchanged, so readers need no lock.
// It knows nothing of etcd: package store keeps one up to date, and penstockctl reads one from an export.
package snapshot
