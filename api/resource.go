package api

import (
	"github.com/penstock/penstock/model"
)

// Ops says what may be done with an attribute.
type Ops uint8

// The operations, in the order a declaration lists them.
const (
	C Ops = 1 << iota // may be given when the resource is created
	U                 // may be changed
	V                 // is shown
	F                 // lists can be filtered by it
	S                 // lists can be sorted by it
	P                 // is read along for policy, also when fields leaves it out
)

// unset is the default of an attribute that stays away when it is not given; required that of one that must be.
type special string

const (
	unset    special = "unset"
	required special = "required"
)

// Attr declares one attribute of a resource.
type Attr struct {
	Name    string
	Ops     Ops
	Default any // a value, unset or required
	Conv    Conv
	Check   Check
	// SetBy and SeenBy, where given, decide who may set and see it beyond whoever may create, update or see the
	// resource. OwnDefault says that giving the default's value needs no right.
	SetBy, SeenBy Rule
	// Sub names the keys of a list's items that have rules of their own; they stand in the text of refusals.
	Sub []string
	// Get is the value as the API shows it: nil, bool, int, int64, string, []string, []any or map[string]any. An
	// attribute without one is never shown.
	Get func(c *call, o model.Object) any
	// Set writes a validated value; attributes that need more are handled by the resource's hooks.
	Set func(o model.Object, v any)
	// Match replaces comparison with Get's value in filters; values are what the filter gave, converted.
	Match func(c *call, o model.Object, values []any) bool
	// KeyValue filters are of the form key=value and reach Match as map[string]any of lists.
	KeyValue bool
	// Still attributes do not move the revision when only they are changed, as in the reference.
	Still bool
	// Absent attributes are left out of an answer when this says so.
	Absent func(c *call, o model.Object) bool
}

// Rule decides whether the caller may do something with an object; it may be nil before it is created.
type Rule func(c *call, o model.Object, in Values) bool

// Action is a member action: PUT or GET /collection/id/name.
type Action struct {
	Method string
	Run    func(c *call, o model.Object, body map[string]any) (any, error)
	Rule   string // the policy's name where it is not the action's
	ReadBy Rule   // who may, for those that the owner may not
}

// Resource declares one resource. The engine does the rest.
type Resource struct {
	Name, Collection string // "network", "networks"
	Prefix           string // of the path, such as "/qos"
	Table            *model.Table
	Attrs            []Attr

	New func() model.Object
	// Create completes a new object from validated attributes and puts it; simple attributes are set already.
	Create func(c *call, o model.Object, in Values) error
	// Update completes a changed copy; old is the object before.
	Update func(c *call, old, o model.Object, in Values) error
	// Delete takes away what belongs to the object; the engine deletes the object itself.
	Delete func(c *call, o model.Object) error
	// Before runs before a list, outside of a transaction; Bulk checks the items of a POST together.
	Before func(c *call, q *query) error
	Bulk   func(c *call, items []Values) error
	// Missing is the answer for an id that is not there.
	Missing func(id string) *Error
	// Lookup finds an object by what the API calls its id, where that is not the object's own.
	Lookup func(c *call, id string) model.Object
	// MissingIn is Missing for resources below a parent; Is tells the resources apart that share a table.
	MissingIn func(parent, id string) *Error
	Is        func(o model.Object) bool
	// AdminWrites: only admins create, change and delete.
	AdminWrites bool
	// ForeignHidden: changing what is only shared is answered as if it were not there.
	ForeignHidden bool
	// Hides: what exists and may not be seen is answered as the policy engine does, not as a lookup.
	Hides bool
	// Visible says who sees an object besides its project and admins.
	Visible Rule
	// OwnedBy says who may change and delete an object besides its project and admins, DeleteBy who may delete it.
	OwnedBy, DeleteBy Rule
	// CreateBy says who may create, nil: everybody; what they are called in the error is the rule create_NAME.
	CreateBy Rule
	// AdminOnly resources are shown to and changed by admins only.
	AdminOnly bool
	// NarrowBy lists the indexes that a filter can use.
	NarrowBy map[string]*model.Index
	Actions  map[string]Action
	// Parent is the attribute's name that carries the parent's id for resources under /PARENT/id/COLLECTION.
	Parent     *Resource
	ParentAttr string
	// NoUpdate resources answer PUT as a path that is not there does.
	NoUpdate, NoCreate, NoDelete bool
	NoTags                       bool
	NoPaging                     bool // as the reference: links never appear
	Quota                        string
	// LooseMarker: a page after an object that is not there or not seen is the first page.
	LooseMarker bool
	// FirstRevision is the revision_number of a new object.
	FirstRevision int64

	byName map[string]*Attr
}

func (r *Resource) attr(name string) *Attr { return r.byName[name] }

func (r *Resource) missing(c *call, id string) *Error {
	if r.MissingIn != nil && c.parent != "" {
		return r.MissingIn(c.parent, id)
	}
	return r.Missing(id)
}

func (r *Resource) index() {
	r.byName = make(map[string]*Attr, len(r.Attrs))
	for i := range r.Attrs {
		r.byName[r.Attrs[i].Name] = &r.Attrs[i]
	}
}

// metaOf gives any user-made object's Meta.
func metaOf(o model.Object) *model.Meta {
	return o.(interface{ MetaOf() *model.Meta }).MetaOf()
}

// get and put adapt typed accessors.
func get[T model.Object](f func(o T) any) func(*call, model.Object) any {
	return func(_ *call, o model.Object) any { return f(o.(T)) }
}

func getc[T model.Object](f func(c *call, o T) any) func(*call, model.Object) any {
	return func(c *call, o model.Object) any { return f(c, o.(T)) }
}

func put[T model.Object](f func(o T, v any)) func(model.Object, any) {
	return func(o model.Object, v any) { f(o.(T), v) }
}

// --- attributes that many resources have

func idAttr() Attr {
	return Attr{Name: "id", Ops: V | F | S, Check: isUUID, Get: func(_ *call, o model.Object) any { return metaOf(o).ID }}
}

func nameAttr(def any, check Check) Attr {
	return Attr{Name: "name", Ops: C | U | V | F | S, Default: def, Check: check,
		Get: func(_ *call, o model.Object) any { return metaOf(o).Name },
		Set: func(o model.Object, v any) { metaOf(o).Name, _ = v.(string) }}
}

func tenantAttr() Attr {
	return Attr{Name: "tenant_id", Ops: C | V | F | S | P, Default: required, Check: isString(255),
		Get: func(_ *call, o model.Object) any { return metaOf(o).ProjectID },
		Set: func(o model.Object, v any) { metaOf(o).ProjectID, _ = v.(string) }}
}

// projectAttr mirrors tenant_id.
func projectAttr() Attr {
	return Attr{Name: "project_id", Ops: C | V | F | S, Default: required, Check: isString(255),
		Get: func(_ *call, o model.Object) any { return metaOf(o).ProjectID }}
}

func descriptionAttr() Attr {
	return Attr{Name: "description", Ops: C | U | V | F, Default: "", Check: isString(255),
		Get: func(_ *call, o model.Object) any { return metaOf(o).Description },
		Set: func(o model.Object, v any) { metaOf(o).Description, _ = v.(string) }}
}

// standardAttrs are revision_number and the timestamps.
func standardAttrs() []Attr {
	return []Attr{
		{Name: "revision_number", Ops: V | F, Default: nil, Get: func(_ *call, o model.Object) any { return metaOf(o).Revision }},
		{Name: "created_at", Ops: V, Get: func(_ *call, o model.Object) any { return stamp(metaOf(o).CreatedAt) }},
		{Name: "updated_at", Ops: V, Get: func(_ *call, o model.Object) any { return stamp(metaOf(o).UpdatedAt) }},
	}
}

// tagAttrs are tags and the filters over them.
func tagAttrs() []Attr {
	tags := func(_ *call, o model.Object) any { return stringList(metaOf(o).Tags) }
	match := func(any_, not bool) func(*call, model.Object, []any) bool {
		return func(_ *call, o model.Object, values []any) bool {
			return matchTags(metaOf(o).Tags, values, any_) != not
		}
	}
	return []Attr{
		{Name: "tags", Ops: V | F, Get: tags, Match: match(false, false)},
		{Name: "tags-any", Ops: F, Match: match(true, false)},
		{Name: "not-tags", Ops: F, Match: match(false, true)},
		{Name: "not-tags-any", Ops: F, Match: match(true, true)},
	}
}

func adminStateAttr(f func(o model.Object) *bool) Attr {
	return Attr{Name: "admin_state_up", Ops: C | U | V | F | S, Default: true, Conv: convBool,
		Get: func(_ *call, o model.Object) any { return *f(o) },
		Set: func(o model.Object, v any) { *f(o) = v.(bool) }}
}

// extraAttr is kept in Meta.Extra: no flow depends on it. def is shown where nothing was stored.
func extraAttr(a Attr, def any) Attr {
	name := a.Name
	if a.Get == nil {
		a.Get = func(_ *call, o model.Object) any {
			if v, ok := metaOf(o).Extra[name]; ok {
				return v
			}
			return def
		}
	}
	if a.Set == nil {
		a.Set = func(o model.Object, v any) { setExtra(metaOf(o), name, v) }
	}
	return a
}

// setExtra changes Meta.Extra without touching the map that a snapshot may share.
func setExtra(m *model.Meta, name string, v any) {
	next := make(map[string]any, len(m.Extra)+1)
	for k, x := range m.Extra {
		next[k] = x
	}
	if v == nil {
		delete(next, name)
	} else {
		next[name] = v
	}
	m.Extra = next
}

func attrs(parts ...any) []Attr {
	var out []Attr
	for _, p := range parts {
		switch p := p.(type) {
		case Attr:
			out = append(out, p)
		case []Attr:
			out = append(out, p...)
		}
	}
	return out
}
