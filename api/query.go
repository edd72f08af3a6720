package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
)

// query is a list's parameters, checked.
type query struct {
	filters []filter
	fields  []string
	sorts   []sortKey
	limit   int // 0: everything
	marker  string
	reverse bool
}

type filter struct {
	attr   *Attr
	values []any
}

type sortKey struct {
	attr *Attr
	desc bool
}

// pair is one parameter, in the order of the query string: links repeat that order.
type pair struct{ key, value string }

// parsePairs splits a query string as a browser's form is split; what cannot be unescaped is taken literally.
func parsePairs(raw string) []pair {
	var out []pair
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		out = append(out, pair{unescape(k), unescape(v)})
	}
	return out
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// control are the parameters that are no filters.
var control = []string{"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"}

// parseQuery reads the parameters of a list of r.
func parseQuery(r *Resource, pairs []pair) (*query, *Error) {
	q := &query{}
	var keys, invalid []string
	given := map[string][]string{}
	for _, p := range pairs {
		if _, ok := given[p.key]; !ok {
			keys = append(keys, p.key)
		}
		given[p.key] = append(given[p.key], p.value)
	}
	for _, f := range given["fields"] {
		if f != "" {
			q.fields = append(q.fields, f)
		}
	}
	for _, k := range keys {
		if slices.Contains(control, k) {
			continue
		}
		a := r.attr(k)
		if a == nil || a.Ops&F == 0 {
			invalid = append(invalid, k)
			continue
		}
		f := filter{attr: a}
		switch {
		case a.KeyValue:
			m, err := keyValues(given[k])
			if err != nil {
				return nil, err
			}
			f.values = []any{m}
		default:
			for _, s := range given[k] {
				var v any = s
				if a.Conv != nil {
					var err *Error
					if v, err = a.Conv(s); err != nil {
						return nil, err
					}
				}
				f.values = append(f.values, v)
			}
		}
		q.filters = append(q.filters, f)
	}
	if invalid != nil {
		return nil, badRequest("%s is invalid attribute for filtering", repr(invalid))
	}
	if err := q.paging(given); err != nil {
		return nil, err
	}
	return q, q.sorting(r, given)
}

// keyValues reads filters of the form key=value into a map of lists.
func keyValues(values []string) (map[string]any, *Error) {
	m := map[string]any{}
	if len(values) == 1 && values[0] == "True" {
		return m, nil
	}
	for _, s := range values {
		k, v, ok := strings.Cut(s, "=")
		if k, v = strings.TrimSpace(k), strings.TrimSpace(v); !ok || k == "" {
			return nil, invalidInput("'%s' is not of the form <key>=[value]", s)
		}
		l, _ := m[k].([]any)
		m[k] = append(l, v)
	}
	return m, nil
}

func last(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return l[len(l)-1]
}

func (q *query) paging(given map[string][]string) *Error {
	if l := given["limit"]; l != nil {
		n, err := strconv.Atoi(strings.TrimSpace(last(l)))
		if err != nil || n < 0 {
			return badResource("limit", "Limit must be an integer 0 or greater and not '%s'", last(l))
		}
		q.limit = n
	}
	if q.limit > 0 {
		q.marker = last(given["marker"])
	}
	q.reverse = strings.EqualFold(last(given["page_reverse"]), "true")
	return nil
}

func (q *query) sorting(r *Resource, given map[string][]string) *Error {
	nonEmpty := func(l []string) []string {
		return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return s == "" })
	}
	keys, dirs := nonEmpty(given["sort_key"]), nonEmpty(given["sort_dir"])
	if len(keys) != len(dirs) {
		return badRequest("The number of sort_keys and sort_dirs must be same")
	}
	var absent, wrong []string
	for _, k := range keys {
		if a := r.attr(k); a == nil || a.Ops&S == 0 {
			absent = append(absent, k)
		}
	}
	if absent != nil {
		return badRequest("%s is invalid attribute for sort_keys", repr(absent))
	}
	for _, d := range dirs {
		if d != "asc" && d != "desc" {
			wrong = append(wrong, d)
		}
	}
	if wrong != nil {
		return badRequest("%s is invalid value for sort_dirs, valid value is 'asc' and 'desc'", repr(wrong))
	}
	for i, k := range keys {
		q.sorts = append(q.sorts, sortKey{r.attr(k), dirs[i] == "desc"})
	}
	return nil
}

// matches reports whether an object passes every filter.
func (q *query) matches(c *call, o model.Object) bool {
	for _, f := range q.filters {
		if f.attr.Match != nil {
			if !f.attr.Match(c, o, f.values) {
				return false
			}
			continue
		}
		if f.attr.Get == nil {
			continue
		}
		if !matchAny(f.attr.Get(c, o), f.values) {
			return false
		}
	}
	return true
}

func matchAny(got any, values []any) bool {
	for _, v := range values {
		switch got := got.(type) {
		case string:
			if s, ok := v.(string); ok && s == got {
				return true
			}
		case nil:
			if v == nil {
				return true
			}
		case []string:
			if s, ok := v.(string); ok && slices.Contains(got, s) {
				return true
			}
		default:
			if text(v) == text(widen(got)) {
				return true
			}
		}
	}
	return false
}

// widen makes the integer types that getters give one.
func widen(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint32:
		return int64(v)
	}
	return v
}

// compare orders two objects by the sort keys, then by id.
func (q *query) compare(c *call, a, b model.Object) int {
	for _, k := range q.sorts {
		d := compareValues(widen(k.attr.Get(c, a)), widen(k.attr.Get(c, b)))
		if d != 0 {
			if k.desc {
				return -d
			}
			return d
		}
	}
	return strings.Compare(a.ObjectID(), b.ObjectID())
}

func compareValues(a, b any) int {
	if a == nil || b == nil {
		switch {
		case a == b:
			return 0
		case a == nil:
			return -1
		}
		return 1
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			switch {
			case a < b:
				return -1
			case a > b:
				return 1
			}
			return 0
		}
	case bool:
		if b, ok := b.(bool); ok {
			switch {
			case a == b:
				return 0
			case b:
				return -1
			}
			return 1
		}
	}
	return strings.Compare(text(a), text(b))
}

// select_ gives a page of the objects that the caller may see and that pass the filters.
func (q *query) select_(c *call, r *Resource) ([]model.Object, error) {
	ok := func(o model.Object) bool { return (r.Is == nil || r.Is(o)) && c.sees(r, o) && q.matches(c, o) }
	if q.marker != "" {
		if o := c.src().Get(r.Table, q.marker); o == nil || !c.sees(r, o) {
			if !r.LooseMarker {
				return nil, r.Missing(q.marker)
			}
			q.marker = ""
		}
	}
	byID := len(q.sorts) == 0 || len(q.sorts) == 1 && q.sorts[0].attr.Name == "id" && !q.sorts[0].desc && r.Lookup == nil
	narrow, narrowed := q.narrow(c, r)
	if byID && !narrowed && q.limit > 0 && !q.reverse {
		page := make([]model.Object, 0, min(q.limit, 1024))
		for o := range c.src().From(r.Table, q.marker) {
			if o.ObjectID() == q.marker || !ok(o) {
				continue
			}
			if page = append(page, o); len(page) == q.limit {
				break
			}
		}
		return page, nil
	}
	var found []model.Object
	if narrowed {
		found = slices.DeleteFunc(narrow, func(o model.Object) bool { return !ok(o) })
	} else {
		for o := range c.src().Each(r.Table) {
			if ok(o) {
				found = append(found, o)
			}
		}
	}
	if !byID {
		slices.SortStableFunc(found, func(a, b model.Object) int { return q.compare(c, a, b) })
	}
	if q.limit == 0 {
		return found, nil
	}
	at := -1 // the marker's place
	if q.marker != "" {
		m := c.src().Get(r.Table, q.marker)
		at, _ = slices.BinarySearchFunc(found, m, func(a, b model.Object) int { return q.compare(c, a, b) })
		if at < len(found) && found[at].ObjectID() != q.marker {
			at-- // the marker itself does not pass the filters: the page starts behind its place
		}
	}
	if q.reverse {
		end := len(found)
		if q.marker != "" {
			end = max(at, 0)
		}
		return found[max(end-q.limit, 0):end], nil
	}
	begin := min(at+1, len(found))
	return found[begin:min(begin+q.limit, len(found))], nil
}

// narrow finds candidates, sorted by id, over an id or an index that a filter names.
func (q *query) narrow(c *call, r *Resource) ([]model.Object, bool) {
	for _, f := range q.filters {
		if f.attr.Name == "id" {
			var out []model.Object
			for _, v := range f.values {
				o := c.src().Get(r.Table, text(v))
				if r.Lookup != nil {
					o = r.Lookup(c, text(v))
				}
				if o != nil && !slices.Contains(out, o) {
					out = append(out, o)
				}
			}
			sortByID(out)
			return out, true
		}
	}
	for _, f := range q.filters {
		ix := r.NarrowBy[f.attr.Name]
		if ix == nil {
			continue
		}
		var out []model.Object
		for _, v := range f.values {
			if s := text(v); s != "" {
				out = append(out, c.src().List(ix, s)...)
			} else {
				return nil, false // empty values are not in the index
			}
		}
		if len(f.values) > 1 {
			sortByID(out)
			out = slices.CompactFunc(out, func(a, b model.Object) bool { return a.ObjectID() == b.ObjectID() })
		}
		return out, true
	}
	return nil, false
}

func sortByID(l []model.Object) {
	slices.SortFunc(l, func(a, b model.Object) int { return strings.Compare(a.ObjectID(), b.ObjectID()) })
}

// links gives the next and previous links of a page.
func (q *query) links(req *http.Request, base string, pairs []pair, page []model.Object) []any {
	if q.limit == 0 {
		return nil
	}
	href := func(rel, marker string, reverse bool) any {
		var b strings.Builder
		add := func(k, v string) {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(k) + "=" + url.QueryEscape(v))
		}
		for _, p := range pairs {
			if p.key != "marker" && p.key != "page_reverse" {
				add(p.key, p.value)
			}
		}
		if marker != "" {
			add("marker", marker)
		}
		if reverse {
			add("page_reverse", "True")
		}
		return map[string]any{"rel": rel, "href": base + req.URL.EscapedPath() + "?" + b.String()}
	}
	first, end := "", ""
	if len(page) > 0 {
		first, end = page[0].ObjectID(), page[len(page)-1].ObjectID()
	}
	var out []any
	if len(page) >= q.limit || q.reverse {
		out = append(out, href("next", end, false))
	}
	if len(page) >= q.limit || !q.reverse {
		out = append(out, href("previous", first, true))
	}
	return out
}
