package sim

import (
	"errors"
	"unique"

	"github.com/penstock/penstock/openflow"
)

// flowKey is what makes a flow distinct on a switch.
type flowKey struct {
	table    uint8
	priority uint16
	match    unique.Handle[string] // OXM, canonical
}

// flow is an installed flow. Its text is shared between switches: many hosts hold the same flows.
type flow struct {
	cookie     uint64
	body       unique.Handle[string] // instructions
	idle, hard uint16
	flags      openflow.FlowFlags
}

// tables is what one switch holds. It is locked by its Switch.
type tables struct {
	flows  map[flowKey]flow
	groups map[uint32]*openflow.GroupDesc
	meters map[uint32]openflow.MeterConfig
	// maxGroups is how many groups it takes; 0 is no bound.
	maxGroups int
	undo      *[]func() // not nil while a bundle is committed
}

func newTables() tables {
	return tables{flows: map[flowKey]flow{}, groups: map[uint32]*openflow.GroupDesc{}, meters: map[uint32]openflow.MeterConfig{}}
}

func code(name string) openflow.ErrorCode {
	c, ok := openflow.ErrorCodeByName(name)
	if !ok {
		panic("sim: no error code " + name)
	}
	return c
}

var (
	errBadTable     = code("OFPFMFC_BAD_TABLE_ID")
	errBadCommand   = code("OFPFMFC_BAD_COMMAND")
	errBadOutGroup  = code("OFPBAC_BAD_OUT_GROUP")
	errGroupExists  = code("OFPGMFC_GROUP_EXISTS")
	errNoGroup      = code("OFPGMFC_UNKNOWN_GROUP")
	errMeterExists  = code("OFPMMFC_METER_EXISTS")
	errNoMeter      = code("OFPMMFC_UNKNOWN_METER")
	errInvalidMeter = code("OFPMMFC_INVALID_METER")
	errBadType      = code("OFPBRC_BAD_TYPE")
	errSlave        = code("OFPBRC_IS_SECONDARY")
	errStale        = code("OFPRRFC_STALE")
	errOutOfGroups  = code("OFPGMFC_OUT_OF_GROUPS")
	errBundleID     = code("OFPBFC_BAD_ID")
	errBundleExists = code("OFPBFC_BUNDLE_EXIST")
	errBundleClosed = code("OFPBFC_BUNDLE_CLOSED")
	errBundleFailed = code("OFPBFC_MSG_FAILED")
	errBundleUnsup  = code("OFPBFC_MSG_UNSUP")
)

// refusal is an OpenFlow error that a message is answered with.
type refusal struct{ openflow.ErrorCode }

func (r refusal) Error() string { return r.String() }

// atomically runs f; when it fails everything it changed is as before.
func (t *tables) atomically(f func() error) error {
	var undo []func()
	t.undo = &undo
	err := f()
	t.undo = nil
	if err != nil {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	return err
}

func change[K comparable, V any](t *tables, m map[K]V, k K, v V, keep bool) {
	if t.undo != nil {
		old, had := m[k]
		*t.undo = append(*t.undo, func() {
			if had {
				m[k] = old
			} else {
				delete(m, k)
			}
		})
	}
	if keep {
		m[k] = v
	} else {
		delete(m, k)
	}
}

// apply does one flow-mod, group-mod or meter-mod.
func (t *tables) apply(m openflow.Message) error {
	switch m := m.(type) {
	case *openflow.FlowMod:
		return t.flowMod(m)
	case *openflow.GroupMod:
		return t.groupMod(m)
	case *openflow.MeterMod:
		return t.meterMod(m)
	case *openflow.PacketOut:
		return nil
	}
	return refusal{errBadType}
}

// maxTable is the highest table of Open vSwitch; 254 is its own.
const maxTable = 253

func (t *tables) flowMod(m *openflow.FlowMod) error {
	strict := flowKey{m.Table, m.Priority, unique.Make(string(m.Match.AppendOXM(nil)))}
	isDelete := m.Command == openflow.FlowDelete || m.Command == openflow.FlowDeleteStrict
	if m.Table > maxTable && !(isDelete && m.Table == openflow.AllTables) {
		return refusal{errBadTable}
	}
	switch m.Command {
	case openflow.FlowAdd:
		f, err := t.flow(m)
		if err != nil {
			return err
		}
		change(t, t.flows, strict, f, true)
	case openflow.FlowModify, openflow.FlowModifyStrict:
		f, err := t.flow(m)
		if err != nil {
			return err
		}
		found := t.selected(m, strict, m.Command == openflow.FlowModifyStrict)
		for _, k := range found {
			old := t.flows[k]
			old.body = f.body
			change(t, t.flows, k, old, true)
		}
		if len(found) == 0 && m.CookieMask == 0 { // as Open vSwitch: a modify that meets nothing adds
			change(t, t.flows, strict, f, true)
		}
	case openflow.FlowDelete, openflow.FlowDeleteStrict:
		for _, k := range t.selected(m, strict, m.Command == openflow.FlowDeleteStrict) {
			change(t, t.flows, k, flow{}, false)
		}
	default:
		return refusal{errBadCommand}
	}
	return nil
}

// flow is what a flow-mod would install.
func (t *tables) flow(m *openflow.FlowMod) (flow, error) {
	for _, g := range groupsOf(m.Actions) {
		if t.groups[g] == nil {
			return flow{}, refusal{errBadOutGroup}
		}
	}
	for _, id := range metersOf(m.Actions) {
		if _, ok := t.meters[id]; !ok {
			return flow{}, refusal{errInvalidMeter}
		}
	}
	body, err := openflow.AppendInstructions(nil, m.Actions)
	if err != nil {
		return flow{}, err
	}
	return flow{m.Cookie, unique.Make(string(body)), m.IdleTimeout, m.HardTimeout, m.Flags}, nil
}

// selected lists the flows that a modify or delete is about.
func (t *tables) selected(m *openflow.FlowMod, strict flowKey, isStrict bool) []flowKey {
	ok := func(k flowKey, f flow) bool {
		return (f.cookie^m.Cookie)&m.CookieMask == 0 &&
			(!m.HasOutGroup || contains(groupsOf(actions(f)), m.OutGroup)) &&
			(m.OutPort == 0 || m.OutPort == openflow.PortAny || outputsTo(actions(f), m.OutPort))
	}
	if isStrict && strict.table != openflow.AllTables {
		if f, there := t.flows[strict]; there && ok(strict, f) {
			return []flowKey{strict}
		}
		return nil
	}
	var out []flowKey
	for k, f := range t.flows {
		if m.Table != openflow.AllTables && k.table != m.Table || !ok(k, f) {
			continue
		}
		if isStrict && (k.priority != strict.priority || k.match != strict.match) || !isStrict && !covers(&m.Match, k.match.Value()) {
			continue
		}
		out = append(out, k)
	}
	return out
}

// covers reports whether a match is at most as narrow as another one: every field of it stands in the other with
// the same value in its bits, and with at least its mask.
func covers(wide *openflow.Match, oxm string) bool {
	if wide.Len() == 0 {
		return true
	}
	narrow, err := openflow.DecodeOXM([]byte(oxm))
	if err != nil {
		return false
	}
	for f := range wide.All() {
		if f.Field == nil {
			return false
		}
		v, mask, ok := narrow.Get(f.Field)
		if !ok {
			return false
		}
		for i := range f.Value {
			w, n := byte(0xff), byte(0xff)
			if f.Mask != nil {
				w = f.Mask[i]
			}
			if mask != nil {
				n = mask[i]
			}
			if w&^n != 0 || (f.Value[i]^v[i])&w != 0 {
				return false
			}
		}
	}
	return true
}

func actions(f flow) []openflow.Action {
	a, _ := openflow.DecodeInstructions([]byte(f.body.Value())) // it was encoded here
	return a
}

func contains(l []uint32, x uint32) bool {
	for _, y := range l {
		if y == x {
			return true
		}
	}
	return false
}

// walk calls f for each action, those inside others included.
func walk(acts []openflow.Action, f func(openflow.Action)) {
	for _, a := range acts {
		f(a)
		switch a := a.(type) {
		case openflow.Clone:
			walk(a.Actions, f)
		case openflow.WriteActions:
			walk(a.Actions, f)
		case openflow.CT:
			walk(a.Exec, f)
		}
	}
}

func groupsOf(acts []openflow.Action) (ids []uint32) {
	walk(acts, func(a openflow.Action) {
		if g, ok := a.(openflow.Group); ok {
			ids = append(ids, g.ID)
		}
	})
	return ids
}

func metersOf(acts []openflow.Action) (ids []uint32) {
	walk(acts, func(a openflow.Action) {
		switch a := a.(type) {
		case openflow.Meter:
			ids = append(ids, a.ID)
		case openflow.Controller:
			if a.HasMeter {
				ids = append(ids, a.MeterID)
			}
		}
	})
	return ids
}

func outputsTo(acts []openflow.Action, p openflow.Port) (yes bool) {
	walk(acts, func(a openflow.Action) {
		if o, ok := a.(openflow.Output); ok && o.Port == p {
			yes = true
		}
	})
	return yes
}

func (t *tables) groupMod(m *openflow.GroupMod) error {
	id := m.Group.ID
	have := t.groups[id] != nil
	switch m.Command {
	case openflow.GroupAdd:
		if have {
			return refusal{errGroupExists}
		}
	case openflow.GroupModify:
		if !have {
			return refusal{errNoGroup}
		}
	case openflow.GroupDelete:
		for g := range t.groups {
			if g != id && id != openflow.GroupAll {
				continue
			}
			change(t, t.groups, g, nil, false)
			for k, f := range t.flows {
				if contains(groupsOf(actions(f)), g) {
					change(t, t.flows, k, flow{}, false)
				}
			}
		}
		return nil
	}
	if t.maxGroups > 0 && !have && len(t.groups) >= t.maxGroups {
		return refusal{errOutOfGroups}
	}
	g := m.Group
	change(t, t.groups, id, &g, true)
	return nil
}

func (t *tables) meterMod(m *openflow.MeterMod) error {
	id := m.Meter.ID
	_, have := t.meters[id]
	switch {
	case m.Command == openflow.MeterAdd && have:
		return refusal{errMeterExists}
	case m.Command == openflow.MeterModify && !have:
		return refusal{errNoMeter}
	case m.Command == openflow.MeterDelete:
		for k := range t.meters {
			if k == id || id == openflow.MeterAll {
				change(t, t.meters, k, openflow.MeterConfig{}, false)
			}
		}
		return nil
	}
	change(t, t.meters, id, m.Meter, true)
	return nil
}

// codeOf is the OpenFlow code of an error of apply.
func codeOf(err error) openflow.ErrorCode {
	var r refusal
	if errors.As(err, &r) {
		return r.ErrorCode
	}
	return errBadType
}
