package ovsdb

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/penstock/penstock/ovsdb/vswitch"
)

// builder collects the operations of one transaction, and which rows they touch, so that these can be read
// again when the transaction is done.
type builder struct {
	ops   []ovsdb.Operation
	rows  []rowRef // existing rows that are touched
	names int
	// mutations on rows that several parts of a plan change, merged into one operation each
	pending map[rowRef][]ovsdb.Mutation
	order   []rowRef
}

func byUUID(uuid string) []ovsdb.Condition {
	return []ovsdb.Condition{ovsdb.NewCondition("_uuid", ovsdb.ConditionEqual, ovsdb.UUID{GoUUID: uuid})}
}

// insert adds a row and returns a name by which other rows of the transaction refer to it.
func (b *builder) insert(table string, row ovsdb.Row) string {
	b.names++
	name := fmt.Sprintf("row%d", b.names)
	b.ops = append(b.ops, ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, Row: row, UUIDName: name})
	return name
}

func (b *builder) update(table, uuid string, row ovsdb.Row) {
	if len(row) > 0 {
		b.ops = append(b.ops, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Row: row, Where: byUUID(uuid)})
		b.rows = append(b.rows, rowRef{table, uuid})
	}
}

func (b *builder) mutate(table, uuid, column string, m ovsdb.Mutator, value any) {
	r := rowRef{table, uuid}
	if b.pending == nil {
		b.pending = map[rowRef][]ovsdb.Mutation{}
	}
	if b.pending[r] == nil {
		b.order = append(b.order, r)
	}
	b.pending[r] = append(b.pending[r], *ovsdb.NewMutation(column, m, value))
}

// mapSet makes keys of a map column have these values, whatever they had; an empty value removes the key.
// Other keys stay as they are, also when somebody changes them at the same moment.
func (b *builder) mapSet(table, uuid, column string, want map[string]string) {
	keys := slices.Sorted(maps.Keys(want))
	set := map[string]string{}
	for _, k := range keys {
		if want[k] != "" {
			set[k] = want[k]
		}
	}
	b.mutate(table, uuid, column, ovsdb.MutateOperationDelete, stringSet(keys))
	if len(set) > 0 {
		b.mutate(table, uuid, column, ovsdb.MutateOperationInsert, stringMap(set))
	}
}

// installed sets or removes the mark of a VIF.
func (b *builder) installed(uuid string, on bool) {
	want := map[string]string{KeyInstalled: ""}
	if on {
		want[KeyInstalled] = "true"
	}
	b.mapSet(vswitch.InterfaceTable, uuid, "external_ids", want)
	b.flush()
}

// flush turns the merged mutations into operations.
func (b *builder) flush() {
	for _, r := range b.order {
		b.ops = append(b.ops, ovsdb.Operation{Op: ovsdb.OperationMutate, Table: r.table, Mutations: b.pending[r], Where: byUUID(r.uuid)})
		b.rows = append(b.rows, r)
	}
	b.order, b.pending = nil, nil
}

// touched lists the rows a transaction has touched, given its results.
func (b *builder) touched(results []ovsdb.OperationResult) map[rowRef]struct{} {
	out := make(map[rowRef]struct{}, len(b.ops))
	for _, r := range b.rows {
		out[r] = struct{}{}
	}
	for i, op := range b.ops {
		if op.Op == ovsdb.OperationInsert && i < len(results) {
			out[rowRef{op.Table, results[i].UUID.GoUUID}] = struct{}{}
		}
	}
	return out
}

func uuidSet(uuids ...string) ovsdb.OvsSet {
	s := ovsdb.OvsSet{GoSet: make([]any, len(uuids))}
	for i, u := range uuids {
		s.GoSet[i] = ovsdb.UUID{GoUUID: u}
	}
	return s
}

func stringSet(v []string) ovsdb.OvsSet {
	s := ovsdb.OvsSet{GoSet: make([]any, len(v))}
	for i, x := range v {
		s.GoSet[i] = x
	}
	return s
}

func stringMap(m map[string]string) ovsdb.OvsMap {
	out := ovsdb.OvsMap{GoMap: make(map[any]any, len(m))}
	for k, v := range m {
		out.GoMap[k] = v
	}
	return out
}
