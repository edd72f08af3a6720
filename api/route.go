package api

import (
	"net/http"
	"slices"
	"strings"
)

var (
	notAllowed = &Error{http.StatusMethodNotAllowed, "HTTPMethodNotAllowed", "The server could not comply with the request since it is either malformed or otherwise incorrect."}
	badBody    = badRequest("Body contains invalid data")
)

// route finds what a path means and runs it. It also gives the resource's name, for metrics.
func (c *call) route(parts []string, raw []byte) (*reply, string, error) {
	if len(parts) == 0 {
		return c.s.index(c.req), "", nil
	}
	if parts[0] == "extensions" {
		rep, err := c.s.extensions(parts[1:])
		return rep, "extension", err
	}
	if f := c.s.special(parts); f != nil {
		rep, err := f(c, parts, raw)
		return rep, strings.ReplaceAll(parts[0], "-", "_"), err
	}
	var r *Resource
	for n := min(2, len(parts)); n > 0; n-- {
		if x := c.s.byPath[strings.Join(parts[:n], "/")]; x != nil && x.Parent == nil {
			r, parts = x, parts[n:]
			break
		}
	}
	if r == nil {
		return nil, "", hidden
	}
	rep, err := c.dispatch(r, parts, raw)
	return rep, r.Name, err
}

func (c *call) dispatch(r *Resource, parts []string, raw []byte) (*reply, error) {
	var body map[string]any
	m := c.req.Method
	oneTag := len(parts) == 3 && parts[1] == "tags" // a tag is in the path: what comes with it is not read
	if (m == http.MethodPost || m == http.MethodPut) && len(raw) > 0 && !oneTag {
		var err error
		if body, err = decodeObject(raw); err != nil {
			return nil, badBody
		}
	}
	switch {
	case len(parts) == 0:
		return c.collection(r, body, "")
	case len(parts) == 1:
		return c.member(r, parts[0], raw, body)
	}
	id, sub := parts[0], parts[1]
	if a, ok := r.Actions[sub]; ok && len(parts) == 2 {
		return c.action(r, id, sub, a, body)
	}
	if r == portResource && sub == "bindings" {
		return c.bindings(id, parts[2:], body)
	}
	if sub == "tags" && !r.NoTags && r.attr("tags") != nil && len(parts) <= 3 {
		return c.tags(r, id, parts[2:], body)
	}
	for _, x := range c.s.resources {
		if x.Parent == r && strings.ReplaceAll(x.Collection, "_", "-") == strings.ReplaceAll(sub, "_", "-") {
			if _, err := c.find(r, id); err != nil {
				if m == http.MethodPost && x.AdminWrites && !c.who.Admin() { // roles are judged before the parent is looked for
					return nil, forbidden("rule:create_" + r.Name + "_" + x.Name)
				}
				return nil, err
			}
			c.parent = id
			switch len(parts) {
			case 2:
				return c.collection(x, body, id)
			case 3:
				if o := c.src().Get(x.Table, parts[2]); o != nil && x.attr(x.ParentAttr).Get(c, o) != any(id) {
					return nil, x.missing(c, parts[2])
				}
				return c.member(x, parts[2], raw, body)
			}
		}
	}
	return nil, hidden
}

func (c *call) collection(r *Resource, body map[string]any, parent string) (*reply, error) {
	switch c.req.Method {
	case http.MethodGet:
		return c.list(r, parent)
	case http.MethodPost:
		if r.NoCreate {
			return nil, hidden
		}
		return c.create(r, body, parent)
	case http.MethodPut, http.MethodDelete:
		return nil, r.Missing("None")
	}
	return nil, notAllowed
}

func (c *call) member(r *Resource, id string, raw []byte, body map[string]any) (*reply, error) {
	switch c.req.Method {
	case http.MethodGet:
		return c.show(r, id)
	case http.MethodPut:
		if r.NoUpdate {
			return nil, hidden
		}
		return c.change(r, id, body)
	case http.MethodDelete:
		if len(raw) > 0 {
			return nil, badRequest("Request body is not supported in DELETE.")
		}
		if r.NoDelete {
			return nil, hidden
		}
		return c.remove(r, id)
	}
	return nil, notAllowed
}

// action runs a member action; those that change something run in one transaction.
func (c *call) action(r *Resource, id, name string, a Action, body map[string]any) (*reply, error) {
	if c.req.Method != a.Method {
		return nil, notAllowed
	}
	var out any
	run := func() error {
		o, err := c.find(r, id)
		if err != nil {
			return err
		}
		if a.Method != http.MethodGet {
			if !c.owns("update", r, o) {
				return forbidden("rule:" + name)
			}
			if err := c.mayWrite(name, r); err != nil {
				return err
			}
		}
		out, err = a.Run(c, o, body)
		return err
	}
	var err error
	if a.Method == http.MethodGet {
		err = run()
	} else {
		err = c.update(name, run)
	}
	if err != nil {
		return nil, err
	}
	if raw, ok := out.([]byte); ok {
		return &reply{http.StatusOK, raw}, nil
	}
	return &reply{http.StatusOK, appendJSON(nil, out)}, nil
}

// matchTags: all of the values' tags (comma-separated) are there, or any of them.
func matchTags(have []string, values []any, anyOf bool) bool {
	for _, v := range values {
		for _, t := range strings.Split(text(v), ",") {
			if in := slices.Contains(have, t); in == anyOf {
				return anyOf
			}
		}
	}
	return !anyOf
}
