package api

import (
	"net/http"
	"strings"
)

// versions is the document at /.
func (s *Server) versions(req *http.Request) *reply {
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": s.base(req) + "/v2.0/"}}}}})}
}

// index is the document at /v2.0/: the core resources.
func (s *Server) index(req *http.Request) *reply {
	var out []any
	for _, name := range []string{"network", "subnet", "subnetpool", "port"} {
		if r := s.byPath[name+"s"]; r != nil {
			out = append(out, map[string]any{"name": name, "collection": r.Collection,
				"links": []any{map[string]any{"rel": "self", "href": s.base(req) + "/v2.0/" + r.Collection}}})
		}
	}
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{"resources": out})}
}

// extension is one entry of /v2.0/extensions. An alias is listed only when all that it promises is there.
type extension struct{ alias, name, description, updated string }

func (e extension) value() any {
	return map[string]any{"alias": e.alias, "name": e.name, "description": e.description, "updated": e.updated, "links": []any{}}
}

func (s *Server) extensions(rest []string) (*reply, error) {
	if len(rest) == 0 {
		out := make([]any, len(extensionList))
		for i, e := range extensionList {
			out[i] = e.value()
		}
		return &reply{http.StatusOK, appendJSON(nil, map[string]any{"extensions": out})}, nil
	}
	for _, e := range extensionList {
		if e.alias == strings.Join(rest, "/") {
			return &reply{http.StatusOK, appendJSON(nil, map[string]any{"extension": e.value()})}, nil
		}
	}
	return nil, notFound("HTTPNotFound", "Extension with alias %s does not exist", strings.Join(rest, "/"))
}
