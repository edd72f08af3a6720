package snapshot

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/penstock/penstock/model"
)

// exportFormat names the file's form.
const exportFormat = "penstock-export-1"

// Extra is what a store keeps beside objects. Who only reads objects does not need it.
type Extra struct {
	Uniq     map[string]map[string]string `json:"uniq,omitempty"` // space -> value -> owner
	Nums     map[string][]uint32          `json:"nums,omitempty"` // space -> numbers
	KeysUsed uint64                       `json:"keys_used,omitempty"`
}

type header struct {
	Format   string `json:"format"`
	Revision int64  `json:"revision"`
	Extra
}

type line struct {
	Table  string          `json:"table"`
	Object json.RawMessage `json:"object"`
}

// Objects iterates over all objects, table by table, sorted by id within each.
func (s *Snapshot) Objects() iter.Seq2[*model.Table, model.Object] {
	return func(yield func(*model.Table, model.Object) bool) {
		for _, t := range model.Tables() {
			for o := range s.Each(t) {
				if !yield(t, o) {
					return
				}
			}
		}
	}
}

// Export writes the state as JSON values, one in a line: a header, then each object with its table's name.
// extra may be nil.
func (s *Snapshot) Export(w io.Writer, extra *Extra) error {
	h := header{Format: exportFormat, Revision: s.rev}
	if extra != nil {
		h.Extra = *extra
	}
	enc := json.NewEncoder(w)
	if err := enc.Encode(h); err != nil {
		return err
	}
	for t, o := range s.Objects() {
		raw, err := json.Marshal(o)
		if err == nil {
			err = enc.Encode(line{t.Name, raw})
		}
		if err != nil {
			return fmt.Errorf("export %s %s: %w", t.Name, o.ObjectID(), err)
		}
	}
	return nil
}

// Import reads what Export wrote.
func Import(r io.Reader) (*Snapshot, *Extra, error) {
	dec := json.NewDecoder(r)
	var h header
	if err := dec.Decode(&h); err != nil {
		return nil, nil, fmt.Errorf("import: not an export of Penstock: %w", err)
	}
	if h.Format != exportFormat {
		return nil, nil, fmt.Errorf("import: format %q: want %q, as `penstockctl export` writes it", h.Format, exportFormat)
	}
	var changes []model.Change
	for n := 2; ; n++ {
		var l line
		if err := dec.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("import: value %d: %w", n, err)
		}
		t := model.TableByName(l.Table)
		if t == nil {
			return nil, nil, fmt.Errorf("import: value %d: table %q is unknown: the export is of a newer Penstock", n, l.Table)
		}
		o := t.New()
		if err := json.Unmarshal(l.Object, o); err != nil {
			return nil, nil, fmt.Errorf("import: value %d: %s: %w", n, l.Table, err)
		}
		if o.ObjectID() == "" {
			return nil, nil, fmt.Errorf("import: value %d: %s without id", n, l.Table)
		}
		changes = append(changes, model.Change{Table: t, New: o})
	}
	return Empty().Apply(h.Revision, changes), &h.Extra, nil
}
