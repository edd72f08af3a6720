package snapshot

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/penstock/penstock/model"
)

// idIndex is the name that go-memdb wants for the primary index.
const idIndex = "id"

// row is what a table holds: the object and the store's revision that wrote it last.
type row struct {
	obj model.Object
	rev int64
}

// Keys and ids stand in the trees escaped and ended by a zero byte, so that no key is the beginning of
// another; a key is followed by the id. Both come from clients (device_id), so a zero byte in them must not
// be mistaken for the end. The escape keeps the order of strings.
const end = 0

func appendKey(b []byte, key string) []byte {
	if strings.IndexByte(key, 0) < 0 && strings.IndexByte(key, 1) < 0 {
		return append(b, key...)
	}
	for i := range len(key) {
		switch c := key[i]; c {
		case 0, 1:
			b = append(b, 1, c+1)
		default:
			b = append(b, c)
		}
	}
	return b
}

// idSpace is room for an id behind a key: a UUID with its end, or a host's name before one.
const idSpace = 40

func encode(key string) []byte {
	return append(appendKey(make([]byte, 0, len(key)+1+idSpace), key), end)
}

// exact is the argument form of both indexers: a string is encoded, bytes are taken as they are.
func exact(args []any) ([]byte, error) {
	if len(args) == 1 {
		switch a := args[0].(type) {
		case string:
			return encode(a), nil
		case []byte:
			return a, nil
		}
	}
	return nil, fmt.Errorf("snapshot: index arguments %v: want one string", args)
}

type byID struct{}

func (byID) FromArgs(args ...any) ([]byte, error) { return exact(args) }

func (byID) FromObject(raw any) (bool, []byte, error) {
	return true, encode(raw.(*row).obj.ObjectID()), nil
}

type byKey struct{ ix *model.Index }

func (byKey) FromArgs(args ...any) ([]byte, error) { return exact(args) }

func (k byKey) FromObject(raw any) (bool, [][]byte, error) {
	keys := k.ix.Keys(raw.(*row).obj)
	if len(keys) == 0 {
		return false, nil, nil
	}
	out := make([][]byte, len(keys))
	for i, key := range keys {
		out[i] = encode(key)
	}
	return true, out, nil
}

// newDB makes the schema of model's tables. It panics for a declaration that cannot work, which every test finds.
func newDB() *memdb.MemDB {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range model.Tables() {
		ts := &memdb.TableSchema{Name: t.Name, Indexes: map[string]*memdb.IndexSchema{
			idIndex: {Name: idIndex, Unique: true, Indexer: byID{}},
		}}
		for _, ix := range t.Indexes {
			if ix.Name == idIndex || strings.HasSuffix(ix.Name, "_prefix") || ts.Indexes[ix.Name] != nil {
				panic("snapshot: index name " + t.Name + "." + ix.Name + " is reserved or taken: choose another")
			}
			ts.Indexes[ix.Name] = &memdb.IndexSchema{Name: ix.Name, AllowMissing: true, Indexer: byKey{ix}}
		}
		s.Tables[t.Name] = ts
	}
	db, err := memdb.NewMemDB(s)
	if err != nil {
		panic("snapshot: " + err.Error())
	}
	return db
}

// smallestFrom gives the least of an object's keys whose entry stands at or behind bound.
func smallestFrom(ix *model.Index, o model.Object, bound []byte) (key string, enc []byte) {
	for _, k := range ix.Keys(o) {
		e := encode(k)
		if bytes.Compare(e, bound) >= 0 && (enc == nil || bytes.Compare(e, enc) < 0) {
			key, enc = k, e
		}
	}
	return key, enc
}
