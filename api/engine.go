package api

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
)

// source is a consistent state with the iterations that lists need.
type source interface {
	model.Source
	Each(t *model.Table) iter.Seq[model.Object]
	From(t *model.Table, id string) iter.Seq[model.Object]
	Len(t *model.Table) int
}

// call is one request while it is served. It belongs to the request's goroutine.
type call struct {
	s    *Server
	ctx  context.Context
	who  *Identity
	req  *http.Request
	snap source    // the state outside of a transaction
	tx   *store.Tx // nil outside of a transaction
	now  time.Time
	// bumped are the parents whose revision this transaction moved: once is enough.
	bumped map[string]bool
	// parent is the id of the object that the path goes through.
	parent string
}

// src is the state that the request works on: within a transaction with its own writes on top.
func (c *call) src() source {
	if c.tx != nil {
		return c.tx.Snapshot()
	}
	return c.snap
}

// view is src, typed.
func (c *call) view() model.View { return model.NewView(c.src()) }

// sees reports whether the caller may see an object.
func (c *call) sees(r *Resource, o model.Object) bool {
	if c.who.Admin() {
		return true
	}
	if r.AdminOnly {
		return false
	}
	m := metaOf(o)
	return m.ProjectID != "" && m.ProjectID == c.who.ProjectID || r.Visible != nil && r.Visible(c, o, nil)
}

// owns reports whether the caller may change an object.
func (c *call) owns(verb string, r *Resource, o model.Object) bool {
	if c.who.Admin() {
		return true
	}
	if r.AdminWrites {
		return false
	}
	m := metaOf(o)
	return m.ProjectID != "" && m.ProjectID == c.who.ProjectID || r.OwnedBy != nil && r.OwnedBy(c, o, nil) ||
		verb == "delete" && r.DeleteBy != nil && r.DeleteBy(c, o, nil)
}

// find gives an object that the caller may see.
func (c *call) find(r *Resource, id string) (model.Object, error) {
	var o model.Object
	if r.Lookup != nil {
		o = r.Lookup(c, id)
	} else {
		o = c.src().Get(r.Table, id)
	}
	if o != nil && (r.Is == nil || r.Is(o)) {
		if c.sees(r, o) {
			return o, nil
		}
		if r.Hides || r == logResource && metaOf(o).ProjectID == c.who.ProjectID { // its own, and not for it
			return nil, hidden
		}
	}
	return nil, r.missing(c, id)
}

// mayWrite is the check of roles before anything else: a reader reads.
func (c *call) mayWrite(verb string, r *Resource) *Error {
	if c.who.Admin() || c.who.has("member") || c.who.advsvc() || len(c.who.Roles) == 0 || !c.who.has("reader") {
		return nil
	}
	return forbidden("rule:" + verb + "_" + r.Name)
}

// --- requests' bodies

// items gives the validated attributes of a POST or PUT body.
func (c *call) items(r *Resource, body map[string]any, create bool) (items []Values, bulk bool, err *Error) {
	if l, ok := body[r.Collection]; ok {
		if !create {
			return nil, false, badRequest("Bulk operation not supported")
		}
		list, ok := l.([]any)
		if m, isMap := l.(map[string]any); isMap && len(m) == 0 || l == nil || l == "" || l == false || ok && len(list) == 0 {
			return nil, false, badRequest("Resources required")
		}
		if !ok {
			return nil, false, badRequest("Body contains invalid data")
		}
		for _, x := range list {
			m, ok := x.(map[string]any)
			if !ok {
				return nil, false, badRequest("Body contains invalid data")
			}
			if inner, ok := m[r.Name]; ok {
				if m, ok = inner.(map[string]any); !ok {
					return nil, false, c.notAnObject(r, inner)
				}
			}
			v, err := c.item(r, m, create)
			if err != nil {
				return nil, false, err
			}
			items = append(items, v)
		}
		return items, true, nil
	}
	m, ok := body[r.Name].(map[string]any)
	if !ok {
		return nil, false, c.notAnObject(r, body[r.Name])
	}
	v, err := c.item(r, m, create)
	return []Values{v}, false, err
}

func (c *call) notAnObject(r *Resource, v any) *Error {
	if v == nil {
		return badRequest("Unable to find '%s' in request body", r.Name)
	}
	return badRequest("Object '%s' contains invalid data", r.Name)
}

// item validates one object's attributes, in the declaration's order.
func (c *call) item(r *Resource, in map[string]any, create bool) (Values, *Error) {
	v := Values(maps.Clone(in))
	if v == nil {
		v = Values{}
	}
	if err := c.project(r, v, create); err != nil {
		return nil, err
	}
	var unknown []string
	for _, k := range sortedKeys(v) {
		if r.attr(k) == nil {
			unknown = append(unknown, k)
		}
	}
	if unknown != nil {
		return nil, badRequest("Unrecognized attribute(s) '%s'", strings.Join(unknown, ", "))
	}
	for i := range r.Attrs {
		a := &r.Attrs[i]
		_, given := v[a.Name]
		switch {
		case !create:
			if given && a.Ops&U == 0 {
				return nil, badRequest("Cannot update read-only attribute %s", a.Name)
			}
		case a.Ops&C == 0:
			if given {
				return nil, badRequest("Attribute '%s' not allowed in POST", a.Name)
			}
		case !given:
			switch a.Default {
			case required:
				return nil, badRequest("Failed to parse request. Required attribute '%s' not specified", a.Name)
			case unset:
			default:
				v[a.Name] = a.Default
			}
		}
	}
	for i := range r.Attrs {
		a := &r.Attrs[i]
		x, given := v[a.Name]
		if !given {
			continue
		}
		if a.Conv != nil {
			y, err := a.Conv(x)
			if err != nil {
				return nil, err
			}
			v[a.Name], x = y, y
		}
		if a.Check != nil {
			if reason := a.Check(x); reason != "" {
				return nil, reasonError(a, reason)
			}
		}
	}
	return v, nil
}

// raised marks reasons that Neutron raises as InvalidInput instead of returning them; raisedAs those of a class of
// their own, whose text is the whole message.
const raised = "\x00"

func raisedAs(typ, message string) string { return raisedStatus(http.StatusBadRequest, typ, message) }

func raisedStatus(status int, typ, message string) string {
	return raised + raised + strconv.Itoa(status) + raised + typ + raised + message
}

func reasonError(a *Attr, reason string) *Error {
	if s, ok := strings.CutPrefix(reason, raised+raised); ok {
		parts := strings.SplitN(s, raised, 3)
		status, _ := strconv.Atoi(parts[0])
		return &Error{status, parts[1], parts[2]}
	}
	if s, ok := strings.CutPrefix(reason, raised); ok {
		return invalidInput("%s", s)
	}
	return badRequest("Invalid input for %s. Reason: %s.", a.Name, reason)
}

// project settles tenant_id and project_id, which mean the same.
func (c *call) project(r *Resource, v Values, create bool) *Error {
	if r.attr("tenant_id") == nil {
		return nil
	}
	t, hasT := v["tenant_id"]
	p, hasP := v["project_id"]
	switch {
	case hasT && hasP && !equal(t, p):
		return badRequest("'project_id' and 'tenant_id' do not match")
	case hasT:
		p = t
	case !hasP:
		if !create {
			return nil
		}
		p = c.who.ProjectID
	}
	if (hasT || hasP) && !c.who.Admin() && !c.who.advsvc() && !equal(p, c.who.ProjectID) {
		return badRequest("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges")
	}
	v["tenant_id"], v["project_id"] = p, p
	return nil
}

// allowed checks the rights to the attributes that were given.
func (c *call) allowed(verb string, r *Resource, o model.Object, in Values, given map[string]any) *Error {
	if c.who.Admin() {
		return nil
	}
	rule := "rule:" + verb + "_" + r.Name
	denied := false
	for i := range r.Attrs {
		a := &r.Attrs[i]
		if a.SetBy == nil {
			continue
		}
		if _, ok := given[a.Name]; !ok || verb == "create" && a.Default != unset && a.Default != required && equal(in[a.Name], a.Default) {
			continue
		}
		rule = "(" + rule + " and " + a.ruleText("rule:"+verb+"_"+r.Name+":"+a.Name, given[a.Name]) + ")"
		denied = denied || !a.SetBy(c, o, in)
	}
	if !denied {
		return nil
	}
	return forbidden(rule)
}

// ruleText names an attribute's rule, and those of its items' keys that were given.
func (a *Attr) ruleText(name string, v any) string {
	l, ok := v.([]any)
	if !ok {
		l = []any{v}
	}
	var subs []string
	for _, k := range a.Sub {
		if slices.ContainsFunc(l, func(x any) bool { m, _ := x.(map[string]any); return has(m, k) }) {
			subs = append(subs, name+":"+k)
		}
	}
	if subs == nil {
		return name
	}
	return "(" + name + " and (" + strings.Join(subs, " and ") + "))"
}

// --- the five operations

func (c *call) list(r *Resource, parent string) (*reply, error) {
	pairs := parsePairs(c.req.URL.RawQuery)
	q, err := parseQuery(r, pairs)
	if err != nil {
		return nil, err
	}
	if r.Parent != nil && r.ParentAttr != "" {
		q.filters = append(q.filters, filter{r.attr(r.ParentAttr), []any{parent}})
	}
	if r.Before != nil {
		if err := r.Before(c, q); err != nil {
			return nil, err
		}
	}
	page, ferr := q.select_(c, r)
	if ferr != nil {
		return nil, ferr
	}
	b := make([]byte, 0, 64+len(page)*1024)
	b = append(b, `{"`...)
	b = append(b, r.Collection...)
	b = append(b, `":[`...)
	for i, o := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.appendObject(b, r, o, q.fields)
	}
	b = append(b, ']')
	if l := q.links(c.req, c.s.base(c.req), pairs, page); l != nil && !r.NoPaging {
		b = append(b, `,"`...)
		b = append(b, r.Collection...)
		b = append(b, `_links":`...)
		b = appendJSON(b, l)
	}
	return &reply{http.StatusOK, append(b, '}')}, nil
}

func (c *call) show(r *Resource, id string) (*reply, error) {
	q, err := parseQuery(r, parsePairs(c.req.URL.RawQuery))
	if err != nil {
		return nil, err
	}
	o, ferr := c.find(r, id)
	if ferr != nil {
		return nil, ferr
	}
	return c.one(http.StatusOK, r, o, q.fields), nil
}

func (c *call) one(status int, r *Resource, o model.Object, fields []string) *reply {
	b := append(make([]byte, 0, 2048), `{"`...)
	b = append(b, r.Name...)
	b = append(b, `":`...)
	b = c.appendObject(b, r, o, fields)
	return &reply{status, append(b, '}')}
}

func (c *call) create(r *Resource, body map[string]any, parent string) (*reply, error) {
	if body != nil && len(body) == 0 {
		return nil, badRequest("Resource body required")
	}
	if body[r.Name] == nil && !has(body, r.Collection) {
		return nil, badRequest("Unable to find '%s' in request body", r.Name)
	}
	items, bulk, err := c.items(r, body, true)
	if err != nil {
		return nil, err
	}
	if err := c.mayWrite("create", r); err != nil {
		return nil, err
	}
	if (r.AdminOnly || r.AdminWrites) && !c.who.Admin() {
		return nil, forbidden("rule:create_" + r.Name)
	}
	if r.Bulk != nil {
		if err := r.Bulk(c, items); err != nil {
			return nil, err
		}
	}
	given := givenOf(r, body, len(items))
	var made []model.Object
	uerr := c.update("create "+r.Collection, func() error {
		made = made[:0]
		if err := c.quota(r, items); err != nil {
			return err
		}
		for i, in := range items {
			in = maps.Clone(in)
			if r.ParentAttr != "" {
				in[r.ParentAttr] = parent
			}
			if err := c.allowed("create", r, nil, in, given[i]); err != nil {
				return err
			}
			o, err := c.insert(r, in)
			if err != nil {
				return err
			}
			made = append(made, o)
		}
		// Later items may have changed earlier ones: show what is there at the end.
		for i, o := range made {
			if x := c.src().Get(r.Table, o.ObjectID()); x != nil {
				made[i] = x
			}
		}
		return nil
	})
	if uerr != nil {
		return nil, uerr
	}
	if !bulk {
		return c.one(http.StatusCreated, r, made[0], nil), nil
	}
	b := append(append(append(make([]byte, 0, len(made)*1024), `{"`...), r.Collection...), `":[`...)
	for i, o := range made {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.appendObject(b, r, o, nil)
	}
	return &reply{http.StatusCreated, append(b, "]}"...)}, nil
}

func has(m map[string]any, k string) bool { _, ok := m[k]; return ok }

// givenOf gives what the client itself wrote, per item: rights depend on it, not on defaults.
func givenOf(r *Resource, body map[string]any, n int) []map[string]any {
	out := make([]map[string]any, 0, n)
	if l, ok := body[r.Collection].([]any); ok {
		for _, x := range l {
			m, _ := x.(map[string]any)
			if inner, ok := m[r.Name].(map[string]any); ok {
				m = inner
			}
			out = append(out, m)
		}
		return out
	}
	m, _ := body[r.Name].(map[string]any)
	return append(out, m)
}

// insert makes one object of validated attributes within the transaction.
func (c *call) insert(r *Resource, in Values) (model.Object, error) {
	o := r.New()
	m := metaOf(o)
	m.ID, m.CreatedAt, m.UpdatedAt, m.Revision = uuid.NewString(), c.now, c.now, r.FirstRevision
	m.Key = c.tx.NextKey()
	c.set(r, o, in)
	if r.Create != nil {
		if err := r.Create(c, o, in); err != nil {
			return nil, err
		}
	}
	c.tx.Put(r.Table, o)
	return o, nil
}

func (c *call) set(r *Resource, o model.Object, in Values) {
	for i := range r.Attrs {
		a := &r.Attrs[i]
		if v, ok := in[a.Name]; ok && a.Set != nil {
			a.Set(o, v)
		}
	}
}

func (c *call) change(r *Resource, id string, body map[string]any) (*reply, error) {
	if len(body) == 0 || !has(body, r.Name) && !has(body, r.Collection) {
		return nil, badRequest("Unable to find '%s' in request body", r.Name)
	}
	items, _, err := c.items(r, body, false)
	if err != nil {
		return nil, err
	}
	given, _ := body[r.Name].(map[string]any)
	return c.modify(r, id, moves(r, items[0]), func(old, o model.Object) error {
		if err := c.allowed("update", r, old, items[0], given); err != nil {
			return err
		}
		in := maps.Clone(items[0])
		c.set(r, o, in)
		if r.Update != nil {
			return r.Update(c, old, o, in)
		}
		return nil
	})
}

// moves reports whether a change counts as one: a PUT moves the revision even if it says what is so already, but not
// one without attributes, nor one of attributes that are Still.
func moves(r *Resource, in Values) bool {
	for k := range in {
		if a := r.attr(k); a == nil || !a.Still {
			return true
		}
	}
	return false
}

// modify changes one object in a transaction of its own and shows it; bump moves the revision in any case.
func (c *call) modify(r *Resource, id string, bump bool, f func(old, o model.Object) error) (*reply, error) {
	var out model.Object
	uerr := c.update("update "+r.Name, func() error {
		old, err := c.ownedForWrite("update", r, id)
		if err != nil {
			return err
		}
		o := clone(old)
		if err := f(old, o); err != nil {
			return err
		}
		switch {
		case bump:
			c.write(r.Table, old, o)
		case !reflect.DeepEqual(old, o):
			c.tx.Put(r.Table, o)
		}
		out = c.src().Get(r.Table, old.ObjectID())
		return nil
	})
	if uerr != nil {
		return nil, uerr
	}
	return c.one(http.StatusOK, r, out, nil), nil
}

// ownedForWrite finds an object that the caller may change, and checks If-Match.
func (c *call) ownedForWrite(verb string, r *Resource, id string) (model.Object, error) {
	o, err := c.find(r, id)
	if err != nil {
		return nil, err
	}
	if !c.owns(verb, r, o) {
		if r.ForeignHidden && verb == "update" {
			return nil, hidden
		}
		return nil, forbidden("rule:" + verb + "_" + r.Name)
	}
	if err := c.mayWrite(verb, r); err != nil {
		return nil, err
	}
	return o, c.ifMatch(o)
}

// save puts a changed object: its revision and time move only if something changed.
func (c *call) save(t *model.Table, old, o model.Object) {
	if !reflect.DeepEqual(old, o) {
		c.write(t, old, o)
	}
}

func (c *call) write(t *model.Table, old, o model.Object) {
	m := metaOf(o)
	m.Revision, m.UpdatedAt = metaOf(old).Revision+1, c.now
	c.tx.Put(t, o)
}

// bump moves the revision of an object of which a child changed.
func (c *call) bump(t *model.Table, id string) {
	old := c.src().Get(t, id)
	if old == nil || c.bumped[t.Name+"/"+id] {
		return
	}
	c.bumped[t.Name+"/"+id] = true
	o := clone(old)
	m := metaOf(o)
	m.Revision, m.UpdatedAt = m.Revision+1, c.now
	c.tx.Put(t, o)
}

func (c *call) remove(r *Resource, id string) (*reply, error) {
	err := c.update("delete "+r.Name, func() error {
		o, err := c.ownedForWrite("delete", r, id)
		if err != nil {
			return err
		}
		return c.drop(r, o)
	})
	if err != nil {
		return nil, err
	}
	return &reply{http.StatusNoContent, nil}, nil
}

// drop deletes an object and what belongs to it, within the transaction.
func (c *call) drop(r *Resource, o model.Object) error {
	if r.Delete != nil {
		if err := r.Delete(c, o); err != nil {
			return err
		}
	}
	c.tx.Delete(r.Table, o.ObjectID())
	return nil
}

// clone copies an object one level deep: setters replace slices and maps, they do not change them.
func clone(o model.Object) model.Object {
	v := reflect.New(reflect.TypeOf(o).Elem())
	v.Elem().Set(reflect.ValueOf(o).Elem())
	return v.Interface().(model.Object)
}

// ifMatch checks an If-Match header of the form revision_number=N.
func (c *call) ifMatch(o model.Object) error {
	want, ok, err := ifMatchOf(c.req)
	if err != nil || !ok {
		return err
	}
	if have := metaOf(o).Revision; have != want {
		return fail(http.StatusPreconditionFailed, "RevisionNumberConstraintFailed", "Constrained to %d, but current revision is %d", want, have)
	}
	return nil
}

func ifMatchOf(req *http.Request) (rev int64, ok bool, err error) {
	for _, part := range req.Header.Values("If-Match") {
		for _, tag := range strings.Split(part, ",") {
			s, is := strings.CutPrefix(strings.Trim(strings.TrimSpace(tag), `"`), "revision_number=")
			if !is {
				continue
			}
			if ok {
				return 0, false, badResource("if-match", "Multiple revision_number etags are not supported.")
			}
			if rev, err = strconv.ParseInt(s, 10, 64); err != nil {
				return 0, false, badResource("if-match", "Revision number etag must be in the format of revision_number=<int>")
			}
			ok = true
		}
	}
	return rev, ok, nil
}

// update runs one transaction; f may run several times and must not keep anything from a run before.
func (c *call) update(what string, f func() error) error {
	meta := store.Meta{Author: c.who.UserID, Request: what}
	_, err := c.s.cfg.Store.Update(c.ctx, meta, func(tx *store.Tx) error {
		c.tx, c.bumped = tx, map[string]bool{}
		return f()
	})
	c.tx, c.snap = nil, c.s.cfg.Store.Snapshot()
	return err
}

// quota checks a project's limit before its objects are made.
func (c *call) quota(r *Resource, items []Values) error {
	if r.Quota == "" {
		return nil
	}
	need := map[string]int{}
	for _, in := range items {
		need[in.str("tenant_id")]++
	}
	for _, p := range slices.Sorted(maps.Keys(need)) {
		limit := c.s.quotaLimit(c, p, r.Quota)
		if limit >= 0 && c.count(r, p)+need[p] > limit {
			return overQuota(r.Quota)
		}
	}
	return nil
}

// count is how many objects of a resource a project has.
func (c *call) count(r *Resource, project string) int {
	n := 0
	if ix := r.NarrowBy["tenant_id"]; ix != nil {
		return len(c.src().List(ix, project))
	}
	for o := range c.src().Each(r.Table) {
		if metaOf(o).ProjectID == project {
			n++
		}
	}
	return n
}
