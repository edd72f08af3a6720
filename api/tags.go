package api

import (
	"net/http"
	"slices"

	"github.com/penstock/penstock/model"
)

// tags serves /COLLECTION/id/tags and /COLLECTION/id/tags/TAG.
func (c *call) tags(r *Resource, id string, rest []string, body map[string]any) (*reply, error) {
	m := c.req.Method
	if m == http.MethodGet {
		o, err := c.find(r, id)
		if err != nil {
			return nil, tagResourceNotFound(r, id)
		}
		have := metaOf(o).Tags
		if len(rest) == 0 {
			return &reply{http.StatusOK, appendJSON(nil, map[string]any{"tags": stringList(have)})}, nil
		}
		if !slices.Contains(have, rest[0]) {
			return nil, tagNotFound(rest[0])
		}
		return &reply{http.StatusNoContent, nil}, nil
	}
	next := func([]string) ([]string, error) { return nil, nil }
	done := &reply{http.StatusNoContent, nil}
	switch {
	case len(rest) == 0 && m == http.MethodPut:
		raw, ok := body["tags"]
		if !ok || len(body) != 1 {
			return nil, invalidInput("Invalid tags body")
		}
		if reason := listOf(isString(60))(raw); reason != "" {
			return nil, invalidInput("%s", reason)
		}
		var list []string
		for _, t := range raw.([]any) {
			list = append(list, t.(string))
		}
		next = func([]string) ([]string, error) { return list, nil }
		done = &reply{http.StatusOK, appendJSON(nil, map[string]any{"tags": stringList(list)})}
	case len(rest) == 0 && m == http.MethodDelete:
	case len(rest) == 1 && m == http.MethodPut:
		if reason := isString(60)(rest[0]); reason != "" {
			return nil, invalidInput("%s", reason)
		}
		next = func(have []string) ([]string, error) {
			if slices.Contains(have, rest[0]) {
				return have, nil
			}
			return append(slices.Clone(have), rest[0]), nil
		}
		done = &reply{http.StatusCreated, []byte("null")}
	case len(rest) == 1 && m == http.MethodDelete:
		next = func(have []string) ([]string, error) {
			if !slices.Contains(have, rest[0]) {
				return nil, tagNotFound(rest[0])
			}
			return slices.DeleteFunc(slices.Clone(have), func(t string) bool { return t == rest[0] }), nil
		}
	default:
		return nil, &Error{http.StatusNotFound, "HTTPNotFound", "not supported"}
	}
	if o, err := c.find(r, id); err == nil && r.AdminWrites && metaOf(o).ProjectID == c.who.ProjectID { // the owner may tag what admins change
		plain := *r
		plain.AdminWrites = false
		r = &plain
	}
	_, err := c.modify(r, id, true, func(old, o model.Object) error {
		list, err := next(metaOf(o).Tags)
		metaOf(o).Tags = list
		return err
	})
	if e := asError(err); e != nil && *e == *r.Missing(id) {
		return nil, tagResourceNotFound(r, id)
	}
	if err != nil {
		return nil, err
	}
	return done, nil
}

func tagResourceNotFound(r *Resource, id string) *Error {
	return notFound("TagResourceNotFound", "Resource %s %s could not be found.", r.Collection, id)
}

func tagNotFound(tag string) *Error {
	return notFound("TagNotFound", "Tag %s could not be found.", tag)
}
