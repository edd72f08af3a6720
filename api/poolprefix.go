package api

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/penstock/penstock/model"
)

func prefixTexts(l []netip.Prefix) []string {
	out := make([]string, len(l))
	for i, x := range l {
		out[i] = x.String()
	}
	return out
}

// opPrefixes reads the body of add_prefixes and remove_prefixes.
func opPrefixes(body map[string]any) ([]netip.Prefix, error) {
	l, ok := body["prefixes"].([]any)
	if !ok || len(l) == 0 {
		return nil, badRequest("Request body contains invalid data")
	}
	out := make([]netip.Prefix, len(l))
	for i, x := range l {
		p, ok := parseNetwork(text(x))
		if !ok {
			return nil, badRequest("invalid IPNetwork %s", text(x))
		}
		out[i] = p.Masked()
	}
	return out, nil
}

// addPrefixes adds to a pool's prefixes in one step, whatever others add meanwhile.
func addPrefixes(c *call, o model.Object, body map[string]any) (any, error) {
	add, err := opPrefixes(body)
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, p := range slices.Concat(o.(*model.SubnetPool).Prefixes, add) {
		all = append(all, p.String())
	}
	next := clone(o).(*model.SubnetPool)
	if err := c.settlePool(o.(*model.SubnetPool), next, Values{"prefixes": all}); err != nil {
		return nil, err
	}
	c.save(model.SubnetPools, o, next)
	return map[string]any{"prefixes": prefixTexts(next.Prefixes)}, nil
}

// removePrefixes takes prefixes out of a pool that no subnet has.
func removePrefixes(c *call, o model.Object, body map[string]any) (any, error) {
	gone, err := opPrefixes(body)
	if err != nil {
		return nil, err
	}
	next := clone(o).(*model.SubnetPool)
	c.tx.Guard(poolGuard(next.ID))
	for _, p := range gone {
		next.Prefixes = without(next.Prefixes, p)
	}
	if slices.Equal(next.Prefixes, o.(*model.SubnetPool).Prefixes) {
		return map[string]any{"prefixes": prefixTexts(next.Prefixes)}, nil
	}
	for _, x := range c.src().List(model.SubnetsByPool, next.ID) {
		if slices.ContainsFunc(gone, x.(*model.Subnet).CIDR.Overlaps) {
			return nil, fail(http.StatusBadRequest, "IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet..")
		}
	}
	if len(next.Prefixes) == 0 { // the reference leaves a pool that nothing can be done with
		return nil, fail(http.StatusBadRequest, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list.")
	}
	next.Prefixes = merge(next.Prefixes)
	c.save(model.SubnetPools, o, next)
	return map[string]any{"prefixes": prefixTexts(next.Prefixes)}, nil
}
