package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/penstock/penstock/model"
)

// stamp is how resources show a time.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// stringList never gives null.
func stringList(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// appendJSON writes a value that a getter gave.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint32:
		return strconv.AppendUint(b, uint64(v), 10)
	case string:
		return appendString(b, v)
	case []string:
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']')
	case []any:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, x)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendJSON(b, v[k])
		}
		return append(b, '}')
	}
	enc, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, enc...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			enc, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, enc...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendObject writes an object as the caller may see it; fields, where given, says which attributes.
func (c *call) appendObject(b []byte, r *Resource, o model.Object, fields []string) []byte {
	b = append(b, '{')
	first := true
	for i := range r.Attrs {
		a := &r.Attrs[i]
		if a.Ops&V == 0 || a.Get == nil || fields != nil && !slices.Contains(fields, a.Name) {
			continue
		}
		if a.SeenBy != nil && !c.who.Admin() && !a.SeenBy(c, o, nil) || a.Absent != nil && a.Absent(c, o) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, a.Name), ':')
		b = appendJSON(b, a.Get(c, o))
	}
	return append(b, '}')
}
