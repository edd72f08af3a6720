package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock/penstock/model"
)

var secgroupResource = new(Resource)

func init() {
	*secgroupResource = Resource{
		Name: "security_group", Collection: "security_groups", Table: model.SecurityGroups, FirstRevision: 1, Quota: "security_group",
		New: func() model.Object { return &model.SecurityGroup{} },
		Missing: func(id string) *Error {
			return notFound("SecurityGroupNotFound", "Security group %s does not exist", id)
		},
		Visible:  func(c *call, o model.Object, _ Values) bool { return c.sharedByRBAC("security_group", metaOf(o).ID) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.SecurityGroupsByProject, "project_id": model.SecurityGroupsByProject},
		Before:   func(c *call, q *query) error { return c.ensureListedDefault(q) },
		Create: func(c *call, o model.Object, in Values) error {
			g := o.(*model.SecurityGroup)
			if _, err := c.defaultGroup(g.ProjectID); err != nil {
				return err
			}
			if err := c.roomFor(g.ProjectID, "security_group_rule", 2); err != nil {
				return err
			}
			c.tx.Put(model.SecurityGroups, g)
			c.baseRules(g)
			return nil
		},
		Update: func(c *call, old, o model.Object, in Values) error {
			was, g := old.(*model.SecurityGroup), o.(*model.SecurityGroup)
			if was.Default && in.has("name") {
				return conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
			}
			if was.Stateful != g.Stateful && len(c.view().MembersOf(g.ID)) > 0 {
				return conflict("SecurityGroupInUse", "Security Group %s in use.", g.ID)
			}
			return nil
		},
		Delete: deleteGroup,
		Attrs: attrs(
			standardAttrs(), tagAttrs(), descriptionAttr(), idAttr(), nameAttr("", isGroupName), tenantAttr(), projectAttr(),
			Attr{Name: "security_group_rules", Ops: V, Get: getc(func(c *call, g *model.SecurityGroup) any {
				rules := c.view().RulesOf(g.ID)
				out := make([]any, len(rules))
				for i, r := range rules {
					m := map[string]any{"tags": []string{}}
					for _, a := range ruleResource.Attrs {
						if a.Ops&V != 0 {
							m[a.Name] = a.Get(c, r)
						}
					}
					out[i] = m
				}
				return out
			})},
			Attr{Name: "stateful", Ops: C | U | V, Default: true, Conv: convBool,
				Get: get(func(g *model.SecurityGroup) any { return g.Stateful }),
				Set: put(func(g *model.SecurityGroup, v any) { g.Stateful = v.(bool) })},
			Attr{Name: "shared", Ops: V | F | P, Conv: convBool, Get: getc(func(c *call, g *model.SecurityGroup) any {
				return c.sharedByRBAC("security_group", g.ID)
			})},
		),
	}
}

func isGroupName(v any) string {
	if r := isString(255)(v); r != "" {
		return r
	}
	if strings.EqualFold(v.(string), "default") {
		return raisedStatus(http.StatusConflict, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	return ""
}

// defaultGroup finds or makes a project's default group; it runs within a transaction.
func (c *call) defaultGroup(project string) (*model.SecurityGroup, error) {
	if g, ok := c.view().DefaultSecurityGroup(project); ok || project == "" {
		return g, nil
	}
	id := uuid.NewString()
	if err := c.tx.Reserve("default-security-group", project, id); err != nil {
		return nil, err
	}
	g := &model.SecurityGroup{Meta: c.meta(id, project), Stateful: true, Default: true}
	g.Name, g.Description, g.Revision = "default", "Default security group", 1
	c.tx.Put(model.SecurityGroups, g)
	for _, e := range []string{"IPv4", "IPv6"} {
		c.putRule(&model.SecurityGroupRule{Meta: c.meta("", project), GroupID: id, Direction: "ingress", EtherType: e, RemoteGroupID: id})
	}
	c.baseRules(g)
	return g, nil
}

// meta begins a new object that the API makes itself.
func (c *call) meta(id, project string) model.Meta {
	if id == "" {
		id = uuid.NewString()
	}
	return model.Meta{ID: id, Key: c.tx.NextKey(), ProjectID: project, CreatedAt: c.now, UpdatedAt: c.now}
}

// baseRules lets everything out, as every new group does.
func (c *call) baseRules(g *model.SecurityGroup) {
	for _, e := range []string{"IPv4", "IPv6"} {
		c.putRule(&model.SecurityGroupRule{Meta: c.meta("", g.ProjectID), GroupID: g.ID, Direction: "egress", EtherType: e})
	}
}

func (c *call) putRule(r *model.SecurityGroupRule) {
	r.Extra = map[string]any{noDescription: true}
	r.ProtocolNumber, r.PortMin, r.PortMax = model.AnyProtocol, model.NoPort, model.NoPort
	c.tx.Put(model.SecurityGroupRules, r)
}

// ensureListedDefault makes the default group of the project whose groups are listed.
func (c *call) ensureListedDefault(q *query) error {
	project := c.who.ProjectID
	for _, f := range q.filters {
		if f.attr.Name == "tenant_id" || f.attr.Name == "project_id" {
			project = text(f.values[0])
		}
	}
	if !c.who.Admin() && project != c.who.ProjectID {
		return nil
	}
	if _, ok := c.view().DefaultSecurityGroup(project); ok || project == "" {
		return nil
	}
	return c.update("default security group", func() error {
		_, err := c.defaultGroup(project)
		return err
	})
}

func groupGuard(id string) string { return "securitygroup/" + id }

func deleteGroup(c *call, o model.Object) error {
	g := o.(*model.SecurityGroup)
	c.tx.Guard(groupGuard(g.ID))
	if len(c.view().MembersOf(g.ID)) > 0 {
		return conflict("SecurityGroupInUse", "Security Group %s in use.", g.ID)
	}
	if g.Default && !c.who.Admin() {
		return conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	for _, r := range c.view().RulesOf(g.ID) {
		c.tx.Delete(model.SecurityGroupRules, r.ID)
	}
	for _, x := range c.src().List(model.RulesByRemoteGroup, g.ID) {
		r := x.(*model.SecurityGroupRule)
		if r.GroupID != g.ID {
			c.bump(model.SecurityGroups, r.GroupID)
			c.tx.Delete(model.SecurityGroupRules, r.ID)
		}
	}
	c.forgetLogs(g.ID)
	c.forgetRBAC("security_group", g.ID)
	if g.Default {
		c.tx.Release("default-security-group", g.ProjectID)
	}
	return nil
}

// setGroups settles a port's security groups against its port security.
func (c *call) setGroups(p *model.Port, in Values, create bool) error {
	trusted := strings.HasPrefix(p.DeviceOwner, "network:")
	l, given := in["security_groups"].([]any)
	if create && p.ProjectID != "" {
		def, err := c.defaultGroup(p.ProjectID)
		if err != nil {
			return err
		}
		if !given && p.PortSecurity && !trusted && def != nil {
			p.SecurityGroups = []string{def.ID}
			c.holdGroups(p.SecurityGroups)
			return nil
		}
	}
	if given && !trusted {
		ids := strs(l)
		stateful := map[bool]bool{}
		var missing []string
		for _, id := range ids {
			g, ok := c.view().SecurityGroup(id)
			if !ok || !c.who.Admin() && g.ProjectID != p.ProjectID && !c.sharedByRBAC("security_group", id) {
				missing = append(missing, id)
				continue
			}
			stateful[g.Stateful] = true
		}
		if missing != nil {
			return secgroupResource.Missing(strings.Join(missing, ", "))
		}
		if len(stateful) > 1 {
			return conflict("SecurityGroupConflict", "Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the operation.")
		}
		p.SecurityGroups = slices.Clip(ids)
		if len(ids) == 0 {
			p.SecurityGroups = nil
		}
		c.holdGroups(ids)
	}
	if !p.PortSecurity && (len(p.SecurityGroups) > 0 || trusted && len(l) > 0) {
		if create || given {
			return fail(http.StatusBadRequest, "PortSecurityAndIPRequiredForSecurityGroups", "Port security must be enabled and port must have an IP address in order to use security groups.")
		}
		return conflict("PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	return nil
}

// holdGroups has the transaction depend on the groups' being there.
func (c *call) holdGroups(ids []string) {
	for _, id := range ids {
		c.tx.Exists(model.SecurityGroups, id)
		c.tx.Touch(groupGuard(id))
	}
}
