package api

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/penstock/penstock/model"
)

var addressGroupResource = new(Resource)

func init() {
	*addressGroupResource = Resource{
		Name: "address_group", Collection: "address_groups", Table: model.AddressGroups, NoTags: true, ForeignHidden: true,
		New: func() model.Object { return &model.AddressGroup{} },
		Missing: func(id string) *Error {
			return notFound("AddressGroupNotFound", "Address group %s could not be found.", id)
		},
		Visible: func(c *call, o model.Object, _ Values) bool { return c.sharedByRBAC("address_group", metaOf(o).ID) },
		Create: func(c *call, o model.Object, in Values) error {
			g := o.(*model.AddressGroup)
			if l, ok := in["addresses"].([]any); ok {
				g.Addresses = mergePrefixes(nil, l)
			}
			return nil
		},
		Delete: func(c *call, o model.Object) error {
			id := metaOf(o).ID
			c.tx.Guard("addressgroup/" + id)
			if len(c.src().List(model.RulesByAddressGroup, id)) > 0 {
				return conflict("AddressGroupInUse", "Address group %s is in use on one or more security group rules.", id)
			}
			c.forgetRBAC("address_group", id)
			return nil
		},
		Actions: map[string]Action{
			"add_addresses":    {Method: http.MethodPut, Run: addAddresses},
			"remove_addresses": {Method: http.MethodPut, Run: removeAddresses},
		},
		Attrs: attrs(
			idAttr(), nameAttr("", isString(255)),
			Attr{Name: "description", Ops: C | U | V | F | S, Default: "", Check: isString(1024), Get: descriptionAttr().Get, Set: descriptionAttr().Set},
			Attr{Name: "project_id", Ops: C | V | F | S | P, Default: required, Check: isString(255), Get: tenantAttr().Get, Set: tenantAttr().Set},
			Attr{Name: "tenant_id", Ops: C | V | F | S, Default: required, Check: isString(255), Get: tenantAttr().Get},
			Attr{Name: "addresses", Ops: C | V, Default: unset, Conv: convNoneToList, Check: listOf(isSubnet),
				Get: get(func(g *model.AddressGroup) any {
					out := make([]string, len(g.Addresses))
					for i, p := range g.Addresses {
						out[i] = p.String()
					}
					return out
				})},
			Attr{Name: "shared", Get: getc(func(c *call, g *model.AddressGroup) any { return c.sharedByRBAC("address_group", g.ID) })},
		),
	}
}

// mergePrefixes adds prefixes to a sorted set.
func mergePrefixes(have []netip.Prefix, l []any) []netip.Prefix {
	out := slices.Clone(have)
	for _, x := range l {
		if p, ok := parseNetwork(text(x)); ok && !slices.Contains(out, p.Masked()) {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Compare(b) })
	return out
}

// addressList reads the body of the two actions.
func addressList(body map[string]any) ([]any, *Error) {
	m, _ := body["address_group"].(map[string]any)
	if m == nil {
		m = body
	}
	raw, ok := m["addresses"]
	if !ok || len(m) != 1 {
		return nil, badResource("address_group", "Missing addresses")
	}
	l, ok := raw.([]any)
	if !ok {
		return nil, badRequest("Invalid input for addresses. Reason: '%s' is not a list.", text(raw))
	}
	for _, x := range l {
		if _, ok := parseNetwork(text(x)); !ok {
			return nil, fail(http.StatusBadRequest, "AddrFormatError", "invalid IPNetwork %s", text(x))
		}
	}
	return l, nil
}

func addAddresses(c *call, o model.Object, body map[string]any) (any, error) {
	g := o.(*model.AddressGroup)
	l, err := addressList(body)
	if err != nil {
		return nil, err
	}
	var dups []string
	for _, x := range l {
		if p, _ := parseNetwork(text(x)); slices.Contains(g.Addresses, p.Masked()) {
			dups = append(dups, p.Masked().String())
		}
	}
	if dups != nil {
		return nil, fail(http.StatusBadRequest, "AddressesAlreadyExist", "Addresses %s already exist in the address group %s.", repr(dups), g.ID)
	}
	return c.setAddresses(g, mergePrefixes(g.Addresses, l))
}

func removeAddresses(c *call, o model.Object, body map[string]any) (any, error) {
	g := o.(*model.AddressGroup)
	l, err := addressList(body)
	if err != nil {
		return nil, err
	}
	left := slices.Clone(g.Addresses)
	var missing []string
	for _, x := range l {
		p, _ := parseNetwork(text(x))
		i := slices.Index(left, p.Masked())
		if i < 0 {
			missing = append(missing, p.Masked().String())
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if missing != nil {
		return nil, notFound("AddressesNotFound", "Addresses %s not found in the address group %s.", repr(missing), g.ID)
	}
	return c.setAddresses(g, left)
}

func (c *call) setAddresses(g *model.AddressGroup, l []netip.Prefix) (any, error) {
	next := clone(g).(*model.AddressGroup)
	next.Addresses = l
	c.save(model.AddressGroups, g, next)
	return c.one(http.StatusOK, addressGroupResource, next, nil).body, nil
}
