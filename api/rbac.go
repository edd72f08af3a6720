package api

import (
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

const (
	asShared   = "access_as_shared"
	asExternal = "access_as_external"
	everyone   = "*"
)

var rbacResource = new(Resource)

func init() {
	*rbacResource = Resource{
		Name: "rbac_policy", Collection: "rbac_policies", Table: model.RBACPolicies, NoTags: true, Quota: "rbac_policy",
		New: func() model.Object { return &model.RBACPolicy{} },
		Missing: func(id string) *Error {
			return notFound("RbacPolicyNotFound", "RBAC policy of type unknown with ID %s not found", id)
		},
		NarrowBy: map[string]*model.Index{"tenant_id": model.RBACByProject, "project_id": model.RBACByProject},
		Create:   createRBAC,
		Update: func(c *call, old, o model.Object, in Values) error {
			was, p := old.(*model.RBACPolicy), o.(*model.RBACPolicy)
			if was.Target == p.Target {
				return nil
			}
			if err := c.mayUnshare(was); err != nil {
				return err
			}
			return c.applyRBAC(p, true)
		},
		Delete: func(c *call, o model.Object) error {
			if err := c.mayUnshare(o.(*model.RBACPolicy)); err != nil {
				return err
			}
			return c.applyRBAC(o.(*model.RBACPolicy), false)
		},
		Attrs: attrs(
			Attr{Name: "id", Ops: V | F, Get: idAttr().Get},
			Attr{Name: "object_type", Ops: C | V | F, Default: nil, Conv: convObjectType, SetBy: anyone,
				Get: get(func(p *model.RBACPolicy) any { return p.ObjectType }),
				Set: put(func(p *model.RBACPolicy, v any) { p.ObjectType, _ = v.(string) })},
			Attr{Name: "object_id", Ops: C | V | F, Default: required, Check: isUUID, SetBy: anyone,
				Get: get(func(p *model.RBACPolicy) any { return p.Object }),
				Set: put(func(p *model.RBACPolicy, v any) { p.Object = v.(string) })},
			Attr{Name: "target_tenant", Ops: C | U | V | F, Default: required, Check: isString(255),
				SetBy: func(_ *call, _ model.Object, in Values) bool { return in.str("target_tenant") != everyone },
				Get:   get(func(p *model.RBACPolicy) any { return p.Target }),
				Set:   put(func(p *model.RBACPolicy, v any) { p.Target = v.(string) })},
			Attr{Name: "tenant_id", Ops: C | V | F | P, Default: required, Check: isString(255), Get: tenantAttr().Get, Set: tenantAttr().Set},
			Attr{Name: "project_id", Ops: C | V | F, Default: required, Check: isString(255), Get: tenantAttr().Get},
			Attr{Name: "action", Ops: C | V | F, Default: required, Check: isString(255), SetBy: anyone,
				Get: get(func(p *model.RBACPolicy) any { return p.Action }),
				Set: put(func(p *model.RBACPolicy, v any) { p.Action = v.(string) })},
		),
	}
}

// rbacTypes are the kinds of objects that can be shared.
func rbacTypes(kind string) *Resource {
	switch kind {
	case "network":
		return networkResource
	case "security_group":
		return secgroupResource
	case "address_group":
		return addressGroupResource
	case "address_scope":
		return addressScopeResource
	case "subnetpool":
		return subnetpoolResource
	case "qos_policy":
		return qosPolicyResource
	}
	return nil
}

func convObjectType(v any) (any, *Error) {
	if s, ok := v.(string); ok && rbacTypes(s) != nil {
		return s, nil
	}
	return nil, invalidInput("'%s' is not a valid RBAC object type", text(v))
}

func createRBAC(c *call, o model.Object, _ Values) error {
	p := o.(*model.RBACPolicy)
	valid := []string{asShared}
	if p.ObjectType == "network" {
		valid = append(valid, asExternal)
	}
	if !slices.Contains(valid, p.Action) {
		shown := "('" + strings.Join(valid, "', '") + "')"
		if len(valid) == 1 {
			shown = "('" + valid[0] + "',)"
		}
		return fail(400, "InvalidActionForType", "Invalid action '%s' for object type '%s'. Valid actions: %s", p.Action, p.ObjectType, shown)
	}
	r := rbacTypes(p.ObjectType)
	x := c.src().Get(r.Table, p.Object)
	if x == nil {
		return invalidInput("%s", r.Missing(p.Object).Message)
	}
	if !c.who.Admin() && metaOf(x).ProjectID != c.who.ProjectID {
		return invalidInput("Only admins can manipulate policies on objects they do not own")
	}
	if !c.who.Admin() && p.Action == asExternal {
		return invalidInput("Only admins can manipulate policies on networks with external access")
	}
	for _, y := range c.view().RBACOf(p.ObjectType, p.Object) {
		if y.Action == p.Action && y.Target == p.Target {
			return conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
		}
	}
	c.tx.Get(r.Table, p.Object)
	return c.applyRBAC(p, true)
}

// applyRBAC keeps the fields that say what a policy says: a network's shared and router:external, a scope's or pool's shared.
func (c *call) applyRBAC(p *model.RBACPolicy, on bool) error {
	r := rbacTypes(p.ObjectType)
	old := c.src().Get(r.Table, p.Object)
	if old == nil {
		return nil
	}
	next := clone(old)
	switch x := next.(type) {
	case *model.Network:
		switch {
		case p.Action == asExternal:
			x.External = on || slices.ContainsFunc(c.view().RBACOf(p.ObjectType, p.Object), func(y *model.RBACPolicy) bool { return y.ID != p.ID && y.Action == asExternal })
		case p.Target == everyone:
			x.Shared = on
		}
	case *model.AddressScope:
		x.Shared = x.Shared || on && p.Target == everyone
	case *model.SubnetPool:
		x.Shared = x.Shared || on && p.Target == everyone
	}
	if on {
		c.write(r.Table, old, next) // a new policy moves its object's revision in any case
	} else {
		c.save(r.Table, old, next)
	}
	return nil
}

// mayUnshare reports as an error that others depend on what a policy gives them.
func (c *call) mayUnshare(p *model.RBACPolicy) error {
	inUse := func(format string, args ...any) error {
		e := conflict("x", format, args...)
		return conflict("RbacPolicyInUse", "RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: %s", p.Object, e.Message)
	}
	depends := func(project string) bool {
		if p.Target == everyone {
			n := metaOf(c.src().Get(rbacTypes(p.ObjectType).Table, p.Object))
			return project != n.ProjectID && !slices.ContainsFunc(c.view().RBACOf(p.ObjectType, p.Object), func(y *model.RBACPolicy) bool {
				return y.Action == asShared && y.Target == project
			})
		}
		return project == p.Target && !slices.ContainsFunc(c.view().RBACOf(p.ObjectType, p.Object), func(y *model.RBACPolicy) bool {
			return y.Action == asShared && y.Target == everyone
		})
	}
	switch {
	case c.src().Get(rbacTypes(p.ObjectType).Table, p.Object) == nil:
		return nil
	case p.ObjectType == "network" && p.Action == asShared:
		for _, x := range c.view().PortsOf(model.NetworkID(p.Object)) {
			if x.ProjectID != "" && depends(x.ProjectID) {
				return inUse("Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.", p.Object)
			}
		}
	case p.ObjectType == "network":
		for _, o := range c.src().List(model.RoutersByGateway, p.Object) {
			if depends(metaOf(o).ProjectID) {
				return inUse("There are routers attached to this network that depend on this policy for access.")
			}
		}
	case p.ObjectType == "security_group":
		for _, x := range c.view().MembersOf(p.Object) {
			if depends(x.ProjectID) {
				return inUse("Security group %s is in use by ports of other projects.", p.Object)
			}
		}
	}
	return nil
}

// sharedByRBAC reports whether a policy shares an object with the caller's project.
func (c *call) sharedByRBAC(kind, id string) bool {
	return slices.ContainsFunc(c.view().RBACOf(kind, id), func(p *model.RBACPolicy) bool {
		return p.Action == asShared && (p.Target == everyone || p.Target == c.who.ProjectID)
	})
}

// networkShared reports whether a network is shared with the caller's project.
func networkShared(c *call, n *model.Network) bool {
	return n.Shared || c.sharedByRBAC("network", n.ID)
}

// externalFor reports whether an external network is one for the caller's project.
func (c *call) externalFor(n *model.Network) bool {
	return n.External && slices.ContainsFunc(c.view().RBACOf("network", n.ID), func(p *model.RBACPolicy) bool {
		return p.Action == asExternal && (p.Target == everyone || p.Target == c.who.ProjectID)
	})
}

// settleRBAC makes a network's policies for everybody agree with its shared and router:external.
func (c *call) settleRBAC(n *model.Network) {
	for _, x := range []struct {
		action string
		on     bool
	}{{asShared, n.Shared}, {asExternal, n.External}} {
		have := false
		for _, p := range c.view().RBACOf("network", n.ID) {
			if p.Action != x.action {
				continue
			}
			have = have || p.Target == everyone || x.action == asExternal
			if !x.on && (p.Target == everyone || x.action == asExternal) {
				c.tx.Delete(model.RBACPolicies, p.ID)
			}
		}
		if x.on && !have {
			c.tx.Put(model.RBACPolicies, &model.RBACPolicy{Meta: c.meta("", n.ProjectID), ObjectType: "network", Object: n.ID, Action: x.action, Target: everyone})
		}
	}
}

// forgetRBAC deletes the policies of an object that goes.
func (c *call) forgetRBAC(kind, id string) {
	for _, p := range c.view().RBACOf(kind, id) {
		c.tx.Delete(model.RBACPolicies, p.ID)
	}
}
