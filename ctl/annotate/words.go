package annotate

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// words puts matches and actions into words, for bridges of a role.
type words struct {
	x    *Objects
	role pipeline.Role
}

// kindName is the name of a kind of object by its number in cookies.
func kindName(n uint8) string {
	for _, t := range model.Tables() {
		if t.Kind == n {
			return t.Name
		}
	}
	return fmt.Sprintf("kind %d", n)
}

// register finds what some bits of a field mean here, nil if nothing.
func register(f *openflow.Field, ofs, n int) *pipeline.Field {
	for _, r := range pipeline.Registers() {
		bits := int(r.Bits)
		if bits == 0 {
			bits = r.OF.Bits
		}
		if r.OF == f && int(r.Ofs) == ofs && bits == n {
			return r
		}
	}
	return nil
}

// value is what a register's number names.
func (w words) value(r *pipeline.Field, v uint64) string {
	switch {
	case v == 0:
		return "none"
	case r == pipeline.Net:
		return w.x.name(model.Networks.Name, v)
	case r == pipeline.InPort, r == pipeline.OutPort:
		return w.x.name(model.Ports.Name, v)
	case r == pipeline.Punt:
		return pipeline.Handler(v).String()
	}
	return fmt.Sprintf("0x%x", v)
}

// match is the match with registers by their names first; the rest is ovs-ofctl's text.
func (w words) match(m *openflow.Match) string {
	var parts []string
	var rest openflow.Match
	for fm := range m.All() {
		if fm.Field == nil {
			return m.String() // has what openflow does not know: no part of it may get lost
		}
		if r, v := w.matched(fm); r != nil {
			parts = append(parts, r.Name+"="+w.value(r, v))
			continue
		}
		if fm.Mask == nil {
			rest.Set(fm.Field, fm.Value)
		} else {
			rest.SetMasked(fm.Field, fm.Value, fm.Mask)
		}
	}
	if rest.Len() > 0 {
		parts = append(parts, rest.String())
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ",")
}

// matched finds the register that one field of a match is wholly about.
func (w words) matched(fm openflow.FieldMatch) (*pipeline.Field, uint64) {
	v, mask, ok := uintOf(fm)
	if !ok || mask == 0 {
		return nil, 0
	}
	ofs := 0
	for mask>>ofs&1 == 0 {
		ofs++
	}
	n := 0
	for ofs+n < 64 && mask>>(ofs+n)&1 == 1 {
		n++
	}
	if n < 64 && mask>>ofs != 1<<n-1 {
		return nil, 0 // not one run of bits
	}
	return register(fm.Field, ofs, n), v >> ofs
}

// uintOf is a field's value and mask as numbers; ok is false for longer ones.
func uintOf(fm openflow.FieldMatch) (v, mask uint64, ok bool) {
	if len(fm.Value) > 8 {
		return 0, 0, false
	}
	for i, b := range fm.Value {
		k := byte(0xff)
		if fm.Mask != nil {
			k = fm.Mask[i]
		}
		v, mask = v<<8|uint64(b), mask<<8|uint64(k)
	}
	if fm.Mask == nil && fm.Field.Bits < 64 {
		mask &= 1<<fm.Field.Bits - 1
	}
	return v, mask, true
}

func (w words) actions(acts []openflow.Action) string {
	if len(acts) == 0 {
		return "drop"
	}
	parts := make([]string, len(acts))
	for i, a := range acts {
		parts[i] = w.action(a)
	}
	return strings.Join(parts, ", ")
}

func (w words) action(a openflow.Action) string {
	switch a := a.(type) {
	case openflow.GotoTable:
		return "goto " + w.table(a.Table)
	case openflow.Resubmit:
		if a.Port == openflow.PortInPort && !a.CT {
			return "consult " + w.table(a.Table)
		}
	case openflow.Load:
		if r := register(a.Dst.Field, int(a.Dst.Ofs), int(a.Dst.N)); r != nil {
			return r.Name + "=" + w.value(r, a.Value)
		}
		if f := a.Dst.Field; f != nil && f.Len <= 8 && int(a.Dst.N) == f.Bits {
			return assignment(openflow.SetUint(f, a.Value)) // an address reads as one
		}
		return fmt.Sprintf("%s=0x%x", subfield(a.Dst), a.Value)
	case openflow.SetField:
		fm := openflow.FieldMatch{Field: a.Field, Value: []byte(a.Value)}
		if a.Mask != "" {
			fm.Mask = []byte(a.Mask)
		}
		if r, v := w.matched(fm); r != nil {
			return r.Name + "=" + w.value(r, v)
		}
		return assignment(a)
	case openflow.WriteMetadata:
		if r := register(openflow.Metadata, 0, 64); r != nil && a.Mask == ^uint64(0) {
			return r.Name + "=" + w.value(r, a.Value)
		}
	case openflow.Move:
		return subfield(a.Dst) + "=" + subfield(a.Src)
	case openflow.Output:
		switch a.Port {
		case openflow.PortInPort:
			return "send back out of the port it came in"
		case openflow.PortController:
			return "to the controller"
		}
		return "output to " + w.port(a.Port)
	case openflow.Group:
		return w.group(a.ID)
	case openflow.Controller:
		return w.controller(a)
	case openflow.Clone:
		return "on a copy (" + w.actions(a.Actions) + ")"
	case openflow.Learn:
		return w.learn(a)
	case openflow.Meter:
		return w.meter(a.ID)
	}
	return string(a.AppendText(nil))
}

// assignment is set_field:value->field as field=value.
func assignment(a openflow.SetField) string {
	text := string(a.AppendText(nil))
	if v, f, ok := strings.Cut(strings.TrimPrefix(text, "set_field:"), "->"); ok {
		return f + "=" + v
	}
	return text
}

// learn says what a learned flow matches, what it will do, and how long it stays.
func (w words) learn(a openflow.Learn) string {
	var match, does []string
	for _, s := range a.Specs {
		from := "0x" + hex.EncodeToString([]byte(s.Value))
		if s.Src.Field != nil {
			from = subfield(s.Src)
		}
		switch {
		case s.Kind == openflow.LearnOutput:
			does = append(does, "output to "+from)
		case s.Kind == openflow.LearnLoad:
			does = append(does, subfield(s.Dst)+"="+from)
		case s.Src == s.Dst:
			match = append(match, from)
		default:
			match = append(match, subfield(s.Dst)+"="+from)
		}
	}
	s := fmt.Sprintf("learn into %s (%s → %s)", w.table(a.Table), strings.Join(match, ","), strings.Join(does, ", "))
	if a.IdleTimeout != 0 {
		s += fmt.Sprintf(" until it is idle for %d s", a.IdleTimeout)
	}
	if a.HardTimeout != 0 {
		s += fmt.Sprintf(" for %d s", a.HardTimeout)
	}
	if a.Limit != 0 {
		s += fmt.Sprintf(", at most %d", a.Limit)
	}
	return s
}

// subfield is a register's name, or the text of ovs-ofctl without the brackets of a whole field.
func subfield(s openflow.Subfield) string {
	if s.Field == nil {
		return "?"
	}
	if r := register(s.Field, int(s.Ofs), int(s.N)); r != nil {
		return r.Name
	}
	if int(s.N) == s.Field.Bits {
		return s.Field.Name
	}
	return fmt.Sprintf("%s[%d..%d]", s.Field.Name, s.Ofs, s.Ofs+s.N-1)
}

func (w words) table(id uint8) string {
	if t := pipeline.TableOf(w.role, id); t != nil {
		return t.Name
	}
	return fmt.Sprintf("table %d", id)
}

// port names the ports that have fixed numbers.
func (w words) port(p openflow.Port) string {
	switch {
	case p == pipeline.PortPatchTun && w.role == pipeline.RoleInt:
		return "br-tun"
	case p == pipeline.PortPatchInt && w.role != pipeline.RoleInt:
		return "br-int"
	case p == pipeline.PortVXLAN && w.role == pipeline.RoleTun:
		return "vxlan"
	case p == pipeline.PortGRE && w.role == pipeline.RoleTun:
		return "gre"
	}
	return "port " + p.String()
}

func (w words) group(id uint32) string {
	if leaf := id &^ pipeline.LeafGroup(0); pipeline.LeafGroup(leaf) == id {
		return fmt.Sprintf("flood leaf %d", leaf)
	}
	if pipeline.FloodGroup(id) == id {
		return "flood " + w.x.name(model.Networks.Name, uint64(id))
	}
	return fmt.Sprintf("group 0x%x", id)
}

func (w words) controller(a openflow.Controller) string {
	s := "to the controller"
	if h, key, ok := pipeline.ParseUserData([]byte(a.UserData)); ok {
		s = fmt.Sprintf("to the controller's %s handler for %s", h, w.x.name(model.Ports.Name, uint64(key)))
	}
	if a.HasMeter {
		s += ", limited by " + w.meter(a.MeterID)
	}
	return s
}

func (w words) meter(id uint32) string {
	switch pipeline.MeterClass(id & 3) {
	case pipeline.MeterDHCP:
		return fmt.Sprintf("meter %d (dhcp)", id)
	case pipeline.MeterARP:
		return fmt.Sprintf("meter %d (arp)", id)
	case pipeline.MeterLog:
		return fmt.Sprintf("meter %d (log)", id)
	}
	return fmt.Sprintf("meter %d", id)
}
