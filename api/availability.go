package api

import (
	"math/big"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

// availabilityResource shows a network's addresses; it is computed from the networks.
var availabilityResource = new(Resource)

func init() {
	*availabilityResource = Resource{
		Name: "network_ip_availability", Collection: "network_ip_availabilities", Table: model.Networks, AdminOnly: true, NoTags: true,
		NoCreate: true, NoUpdate: true, NoDelete: true, NoPaging: true,
		New:      func() model.Object { return &model.Network{} },
		Missing:  func(id string) *Error { return networkResource.Missing(id) },
		NarrowBy: map[string]*model.Index{"tenant_id": model.NetworksByProject, "project_id": model.NetworksByProject},
		Attrs: attrs(
			Attr{Name: "network_id", Ops: V | F, Get: idAttr().Get},
			Attr{Name: "network_name", Ops: V | F, Get: nameAttr("", nil).Get},
			Attr{Name: "tenant_id", Ops: V | F, Get: tenantAttr().Get},
			Attr{Name: "project_id", Ops: V | F, Get: tenantAttr().Get},
			Attr{Name: "total_ips", Ops: V, Get: getc(func(c *call, n *model.Network) any { return c.addresses(n).total })},
			Attr{Name: "used_ips", Ops: V, Get: getc(func(c *call, n *model.Network) any { return c.addresses(n).used })},
			Attr{Name: "subnet_ip_availability", Ops: V, Get: getc(func(c *call, n *model.Network) any { return c.addresses(n).subnets })},
			Attr{Name: "ip_version", Ops: F, Conv: convInt, Match: func(c *call, o model.Object, values []any) bool {
				return slices.ContainsFunc(c.view().SubnetsOf(model.NetworkID(metaOf(o).ID)), func(s *model.Subnet) bool {
					return slices.Contains(values, any(versionOf(s.CIDR.Addr())))
				})
			}},
		),
	}
}

type addressCount struct {
	total   *big.Int // an IPv6 subnet has more than 64 bits can count
	used    int64
	subnets []any
}

// addresses counts a network's pools and what of its subnets is taken; SLAAC makes a count meaningless, as it does in the reference.
func (c *call) addresses(n *model.Network) addressCount {
	out := addressCount{total: new(big.Int), subnets: []any{}}
	var versions []string
	if strings.HasPrefix(path.Base(c.req.URL.Path), "network-ip-") { // a list's filter is for subnets, too
		versions = c.req.URL.Query()["ip_version"]
	}
	for _, s := range c.view().SubnetsOf(model.NetworkID(n.ID)) {
		if versions != nil && !slices.Contains(versions, repr(versionOf(s.CIDR.Addr()))) {
			continue
		}
		total, used := new(big.Int), int64(0)
		for _, p := range s.AllocationPools {
			a, b := new(big.Int).SetBytes(p.Start.AsSlice()), new(big.Int).SetBytes(p.End.AsSlice())
			total.Add(total, b.Sub(b, a).Add(b, big.NewInt(1)))
		}
		for _, o := range c.src().List(model.PortsBySubnet, s.ID) {
			for _, f := range o.(*model.Port).FixedIPs {
				if string(f.SubnetID) == s.ID {
					used++
				}
			}
		}
		out.total.Add(out.total, total)
		out.used += used
		out.subnets = append(out.subnets, map[string]any{"subnet_id": s.ID, "subnet_name": s.Name, "cidr": s.CIDR.String(),
			"ip_version": versionOf(s.CIDR.Addr()), "total_ips": total, "used_ips": used})
	}
	return out
}

// filtered lists what passes the request's filters, of items that are no objects of the store; other filters than attrs are
// refused, or ignored if that is nil, as the reference does with some.
func (c *call) filtered(name string, attrs []string, items []any) (*reply, error) {
	var invalid, fields []string
	want := map[string][]string{}
	for _, p := range parsePairs(c.req.URL.RawQuery) {
		switch {
		case p.key == "fields":
			fields = append(fields, p.value)
		case slices.Contains(control, p.key):
		case attrs != nil && !slices.Contains(attrs, p.key):
			invalid = append(invalid, p.key)
		default:
			want[p.key] = append(want[p.key], p.value)
		}
	}
	if invalid != nil {
		return nil, badRequest("%s is invalid attribute for filtering", repr(invalid))
	}
	out := []any{}
next:
	for _, x := range items {
		item := x.(map[string]any)
		shown := map[string]any{}
		for k, v := range item {
			if w, ok := want[k]; ok && !slices.Contains(w, repr(v)) && !slices.Contains(w, text(v)) {
				continue next
			}
			if fields == nil || slices.Contains(fields, k) {
				shown[k] = v
			}
		}
		out = append(out, shown)
	}
	return &reply{http.StatusOK, appendJSON(nil, map[string]any{name: out})}, nil
}

// fixed serves the collections that are the same for everybody; attrs are what an item of them has.
func fixed(name, missing, missingText string, attrs []string, items ...any) specialHandler {
	return func(c *call, parts []string, _ []byte) (*reply, error) {
		switch {
		case len(parts) == 1 && c.req.Method == http.MethodGet:
			return c.filtered(name, attrs, items)
		case len(parts) == 2 && missing != "":
			return nil, notFound(missing, missingText, parts[1])
		}
		return nil, hidden
	}
}
