package api

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/penstock/penstock/model"
)

// quotaNames are the resources that have limits, as the reference lists them.
var quotaNames = []string{"network", "subnet", "subnetpool", "port", "router", "floatingip", "security_group", "security_group_rule", "rbac_policy", "trunk"}

// CheckQuotas reports as an error the first name that is no resource with a quota, or a limit below -1.
func CheckQuotas(limits map[string]int) error {
	for _, name := range sortedKeys(limits) {
		switch {
		case !isQuotaName(name):
			return fmt.Errorf("quotas: there is none for %q; there are %s", name, strings.Join(quotaNames, ", "))
		case limits[name] < -1:
			return fmt.Errorf("quotas: %s: %d: want a number, or -1 for no limit", name, limits[name])
		}
	}
	return nil
}

// roomFor reports as an error that n more objects which come along with another are beyond the project's limit.
func (c *call) roomFor(project, resource string, n int) error {
	if limit := c.s.quotaLimit(c, project, resource); limit >= 0 && c.used(resource, project)+n > limit {
		return overQuota(resource)
	}
	return nil
}

func overQuota(resource string) error {
	return conflict("OverQuota", "Quota exceeded for resources: %s.", repr([]string{resource}))
}

func isQuotaName(name string) bool {
	for _, n := range quotaNames {
		if n == name {
			return true
		}
	}
	return false
}

// quotaLimit is a project's limit of a resource; -1 is none.
func (s *Server) quotaLimit(c *call, project, resource string) int {
	if q, ok := c.src().Get(model.Quotas, project).(*model.Quota); ok {
		if n, ok := q.Limits[resource]; ok {
			return n
		}
	}
	if n, ok := s.cfg.Quotas[resource]; ok {
		return n
	}
	return -1
}

// quotas serves /quotas and what is below.
func (c *call) quotas(parts []string, raw []byte) (*reply, error) {
	answer := func(key string, v any) (*reply, error) {
		return &reply{http.StatusOK, appendJSON(nil, map[string]any{key: v})}, nil
	}
	m := c.req.Method
	if len(parts) == 1 {
		if m != http.MethodGet {
			return nil, notAllowed
		}
		out := []any{}
		for o := range c.src().Each(model.Quotas) {
			p := metaOf(o).ID
			if c.who.Admin() {
				v := c.limits(p)
				v["project_id"], v["tenant_id"] = p, p
				out = append(out, v)
			}
		}
		return answer("quotas", out)
	}
	project := parts[1]
	if m == http.MethodGet && len(parts) == 2 && (project == "tenant" || project == "project") {
		return answer(project, map[string]any{project + "_id": c.who.ProjectID})
	}
	verb := map[string]string{http.MethodGet: "get", http.MethodPut: "update", http.MethodDelete: "delete"}[m]
	if verb == "" {
		return nil, notAllowed
	}
	if !c.who.Admin() && (verb != "get" || project != c.who.ProjectID) {
		return nil, forbidden("rule:" + verb + "_quota")
	}
	switch {
	case m == http.MethodGet && len(parts) == 2:
		return answer("quota", c.limits(project))
	case m == http.MethodGet && len(parts) == 3 && parts[2] == "default":
		v := map[string]any{}
		for _, n := range quotaNames {
			v[n] = -1
			if x, ok := c.s.cfg.Quotas[n]; ok {
				v[n] = x
			}
		}
		return answer("quota", v)
	case m == http.MethodGet && len(parts) == 3 && (parts[2] == "details" || parts[2] == "details.json"):
		v := map[string]any{}
		for _, n := range quotaNames {
			v[n] = map[string]any{"limit": c.s.quotaLimit(c, project, n), "used": c.used(n, project), "reserved": 0}
		}
		return answer("quota", v)
	case m == http.MethodPut && len(parts) == 2:
		if err := c.setQuota(project, raw); err != nil {
			return nil, err
		}
		return answer("quota", c.limits(project))
	case m == http.MethodDelete && len(parts) == 2:
		err := c.update("delete quota", func() error {
			if c.tx.Get(model.Quotas, project) == nil {
				return notFound("TenantQuotaNotFound", "Quota for tenant %s could not be found.", project)
			}
			c.tx.Delete(model.Quotas, project)
			return nil
		})
		return &reply{http.StatusNoContent, nil}, err
	}
	return nil, hidden
}

func (c *call) limits(project string) map[string]any {
	v := map[string]any{}
	for _, n := range quotaNames {
		v[n] = c.s.quotaLimit(c, project, n)
	}
	return v
}

func (c *call) used(name, project string) int {
	for _, r := range c.s.resources {
		if r.Quota == name {
			return c.count(r, project)
		}
	}
	return 0
}

func (c *call) setQuota(project string, raw []byte) error {
	body, err := decodeObject(raw)
	if err != nil {
		return badBody
	}
	in, ok := body["quota"].(map[string]any)
	if !ok {
		return badRequest("Unable to find 'quota' in request body")
	}
	check := false
	next := map[string]int{}
	for _, k := range sortedKeys(in) {
		switch {
		case k == "tenant_id" || k == "project_id":
		case k == "check_limit" || k == "force":
			b, _ := toBool(in[k])
			check = check || k == "check_limit" && b
		case !isQuotaName(k):
			return badRequest("Unrecognized attribute(s) '%s'", k)
		default:
			v, err := convInt(in[k])
			if err != nil {
				return err
			}
			if r := inRange(-1, 1<<31-1)(v); r != "" {
				return badRequest("Invalid input for %s. Reason: %s.", k, r)
			}
			next[k] = int(v.(int64))
		}
	}
	return c.update("update quota", func() error {
		q := &model.Quota{Meta: model.Meta{ID: project, ProjectID: project, CreatedAt: c.now}, Limits: map[string]int{}}
		if old, ok := c.tx.Get(model.Quotas, project).(*model.Quota); ok {
			q = clone(old).(*model.Quota)
			q.Limits = maps.Clone(old.Limits)
		} else {
			q.Key = c.tx.NextKey()
		}
		for k, n := range next {
			if used := c.used(k, project); check && n >= 0 && n < used {
				return badRequest("Quota limit %d for %s must be greater than or equal to already used %d", n, k, used)
			}
			q.Limits[k] = n
		}
		q.UpdatedAt = c.now
		c.tx.Put(model.Quotas, q)
		return nil
	})
}
