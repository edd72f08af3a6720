package api

import "github.com/penstock/penstock/model"

var addressScopeResource = new(Resource)

func init() {
	*addressScopeResource = Resource{
		Name: "address_scope", Collection: "address_scopes", Table: model.AddressScopes, NoTags: true,
		New: func() model.Object { return &model.AddressScope{} },
		Missing: func(id string) *Error {
			return notFound("AddressScopeNotFound", "Address scope %s could not be found.", id)
		},
		Visible:  func(c *call, o model.Object, _ Values) bool { return scopeShared(c, o.(*model.AddressScope)) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.AddressScopeProject, "project_id": model.AddressScopeProject},
		Create: func(c *call, o model.Object, _ Values) error {
			if o.(*model.AddressScope).Shared {
				c.shareByRBAC("address_scope", o)
			}
			return nil
		},
		Update: func(c *call, old, o model.Object, in Values) error {
			was, s := old.(*model.AddressScope), o.(*model.AddressScope)
			if was.Shared && !s.Shared {
				return fail(400, "AddressScopeUpdateError", "Unable to update address scope %s : Shared address scope can't be unshared.", s.ID)
			}
			if !was.Shared && s.Shared {
				c.shareByRBAC("address_scope", s)
			}
			return nil
		},
		Delete: func(c *call, o model.Object) error {
			id := metaOf(o).ID
			c.tx.Guard("addressscope/" + id)
			if len(c.src().List(model.SubnetPoolsByScope, id)) > 0 {
				return conflict("AddressScopeInUse", "Unable to complete operation on address scope %s. There are one or more subnet pools in use on the address scope.", id)
			}
			c.forgetRBAC("address_scope", id)
			return nil
		},
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)), tenantAttr(), projectAttr(),
			Attr{Name: "shared", Ops: C | U | V | F | S | P, Default: false, Conv: convBool, SetBy: adminOnly,
				Get: getc(func(c *call, s *model.AddressScope) any { return scopeShared(c, s) }),
				Set: put(func(s *model.AddressScope, v any) { s.Shared = v.(bool) })},
			Attr{Name: "ip_version", Ops: C | V | F | S, Default: required, Conv: convInt, Check: isOneOf(int64(4), int64(6)),
				Get: get(func(s *model.AddressScope) any { return s.IPVersion }),
				Set: put(func(s *model.AddressScope, v any) { s.IPVersion = int(v.(int64)) })},
		),
	}
}

func scopeShared(c *call, s *model.AddressScope) bool {
	return s.Shared || c.sharedByRBAC("address_scope", s.ID)
}

// networkScope is the address scope of a network's subnets of a family, by their pool.
func networkScope(c *call, n *model.Network, version int64) any {
	for _, s := range c.view().SubnetsOf(model.NetworkID(n.ID)) {
		if s.SubnetPoolID == "" || versionOf(s.CIDR.Addr()) != version {
			continue
		}
		if p, ok := c.view().SubnetPool(s.SubnetPoolID); ok {
			return orNull(p.AddressScopeID)
		}
	}
	return nil
}
