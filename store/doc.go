// Package store is the network map: intent and observed state in etcd, embedded in the process by default
// or an external cluster, with transactions, history, watch and an immutable snapshot in memory.
//
// Readers take Snapshot (one pointer load) or Subscribe to changes; writers run Update. Everything that must
// be unique is a key of its own, created in the transaction that needs it, so any number of penstockd on one
// etcd can never hand out one address twice. The layout of keys, and why it is so, is in
// docs/design/0001-store.md. It knows model's tables but nothing of the API, of flows or of switches.
package store
