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
			if err := c.mayUnshare(was, p.Target); err != nil {
				return err
			}
			return c.applyRBAC(p, true)
		},
		Delete: func(c *call, o model.Object) error {
			if err := c.mayUnshare(o.(*model.RBACPolicy), ""); err != nil {
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
		return invalidInput("Only admins can manipulate policies on objects they do not own.")
	}
	if pool, ok := x.(*model.SubnetPool); ok {
		scope, ok := c.view().AddressScope(pool.AddressScopeID)
		if ok && !scope.Shared && !slices.ContainsFunc(c.view().RBACOf("address_scope", scope.ID), func(y *model.RBACPolicy) bool { return y.Target == p.Target }) {
			return invalidInput("Failed to create RBAC policy on object %s because target project doesn't have access to associated address scope..", p.Object)
		}
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
		x.Shared = on && p.Target == everyone || x.Shared && p.Target != everyone
	case *model.SubnetPool:
		x.Shared = on && p.Target == everyone || x.Shared && p.Target != everyone
	case *model.QosPolicy:
		x.Shared = on && p.Target == everyone || x.Shared && p.Target != everyone
	}
	if on {
		c.write(r.Table, old, next) // a new policy moves its object's revision in any case
	} else {
		c.save(r.Table, old, next)
	}
	return nil
}

// mayUnshare reports as an error that others depend on what a policy gives them; next is the target that it gets
// instead, "" if it is deleted.
func (c *call) mayUnshare(p *model.RBACPolicy, next string) error {
	inUse := func(details string) error {
		return conflict("RbacPolicyInUse", "RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: %s", p.Object, details)
	}
	o := c.src().Get(rbacTypes(p.ObjectType).Table, p.Object)
	if o == nil {
		return nil
	}
	owner := metaOf(o).ProjectID
	external := p.Action == asExternal
	if !external && (p.Target == owner || next == everyone) {
		return nil
	}
	if n, ok := o.(*model.Network); ok && external && p.Target == everyone {
		if d, _ := n.Extra["is_default"].(bool); d {
			return inUse("Default external networks must be shared to everyone.")
		}
	}
	given := func(project string) bool { // by another policy
		return external && project == next || slices.ContainsFunc(c.view().RBACOf(p.ObjectType, p.Object), func(y *model.RBACPolicy) bool {
			return y.ID != p.ID && y.Action == p.Action && (y.Target == everyone || y.Target == project)
		})
	}
	exempt := p.ObjectType == "network" && !external // of other objects the reference counts the owner too
	for _, project := range c.boundProjects(p) {
		switch {
		case project == "" || project == owner && exempt || p.Target != everyone && p.Target != project || given(project):
		case external:
			return inUse("There are routers attached to this network that depend on this policy for access.")
		case p.ObjectType == "network":
			return inUse("Unable to reconfigure sharing settings for network " + p.Object + ". Multiple tenants are using it.")
		default:
			return inUse("project_id=" + p.Target)
		}
	}
	return nil
}

// boundProjects are the projects of what uses a policy's object in the way that the policy allows.
func (c *call) boundProjects(p *model.RBACPolicy) (out []string) {
	add := func(o model.Object) { out = append(out, metaOf(o).ProjectID) }
	switch {
	case p.Action == asExternal:
		for _, o := range c.src().List(model.RoutersByGateway, p.Object) {
			add(o)
		}
	case p.ObjectType == "network":
		for _, x := range c.view().PortsOf(model.NetworkID(p.Object)) {
			add(x)
		}
	case p.ObjectType == "security_group":
		for _, x := range c.view().MembersOf(p.Object) {
			add(x)
		}
	case p.ObjectType == "address_group":
		for _, o := range c.src().List(model.RulesByAddressGroup, p.Object) {
			add(o)
		}
	case p.ObjectType == "address_scope":
		for _, o := range c.src().List(model.SubnetPoolsByScope, p.Object) {
			add(o)
		}
	case p.ObjectType == "qos_policy":
		for _, t := range []*model.Table{model.Networks, model.Ports, model.FloatingIPs} {
			for o := range c.src().Each(t) {
				if metaOf(o).Extra["qos_policy_id"] == any(p.Object) {
					add(o)
				}
			}
		}
	case p.ObjectType == "subnetpool":
		for _, o := range c.src().List(model.SubnetsByPool, p.Object) {
			add(o)
		}
	}
	return out
}

// shareByRBAC makes the policy that says of a new object what its attribute shared says.
func (c *call) shareByRBAC(kind string, o model.Object) {
	m := metaOf(o)
	c.tx.Put(model.RBACPolicies, &model.RBACPolicy{Meta: c.meta("", m.ProjectID), ObjectType: kind, Object: m.ID, Action: asShared, Target: everyone})
}

// changeShared makes or takes away the policy that shares an object with everybody.
func (c *call) changeShared(kind string, o model.Object, on bool) error {
	for _, p := range c.view().RBACOf(kind, metaOf(o).ID) {
		if p.Action != asShared || p.Target != everyone {
			continue
		}
		if on {
			return nil
		}
		if err := c.mayUnshare(p, ""); err != nil {
			return err
		}
		c.tx.Delete(model.RBACPolicies, p.ID)
	}
	if on {
		c.shareByRBAC(kind, o)
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
