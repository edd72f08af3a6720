package api

import (
	"net/http"
	"sync"

	"github.com/penstock/penstock/model"
)

// declare lists every resource, ready for use. The declarations never change after that.
var declare = sync.OnceValue(func() []*Resource {
	l := []*Resource{networkResource, subnetResource, portResource, secgroupResource, ruleResource, addressGroupResource,
		routerResource, floatingipResource, addressScopeResource, subnetpoolResource, rbacResource, availabilityResource, agentResource,
		trunkResource, qosPolicyResource, logResource}
	l = append(l, qosRuleResources...)
	for _, r := range l {
		r.index()
	}
	return l
})

// specialHandler serves a path that is no plain resource.
type specialHandler func(c *call, parts []string, raw []byte) (*reply, error)

var (
	noFlavors     = fixed("flavors", "FlavorNotFound", "Flavor %s could not be found.", []string{"id", "name", "description", "enabled", "service_type", "service_profiles"})
	noProfiles    = fixed("service_profiles", "ServiceProfileNotFound", "Service Profile %s could not be found.", []string{"id", "description", "driver", "enabled", "metainfo"})
	providers     = fixed("service_providers", "", "", nil, map[string]any{"service_type": "L3_ROUTER_NAT", "name": "penstock", "default": true})
	noAgents      = fixed("agents", "", "", nil)
	zonesOfHosts  = specialHandler(zones)
	logTypes      = specialHandler(loggableResources)
	floatingPools = specialHandler(poolsOfFloatingIPs)
	quotasOfAll   = specialHandler(func(c *call, parts []string, raw []byte) (*reply, error) { return c.quotas(parts, raw) })
	noAgentsAfter = specialHandler(func(c *call, _ []string, raw []byte) (*reply, error) { return noAgents(c, []string{"agents"}, raw) })
)

func (s *Server) special(parts []string) specialHandler {
	switch parts[0] {
	case "quotas":
		return quotasOfAll
	case "qos":
		if len(parts) >= 2 && parts[1] == "rule-types" {
			return qosRuleTypes
		}
	case "log":
		if len(parts) > 1 && (parts[1] == "loggable-resources" || parts[1] == "loggable_resources") {
			return logTypes
		}
	case "floatingip_pools", "floatingip-pools":
		return floatingPools
	case "availability_zones":
		return zonesOfHosts
	case "flavors":
		return noFlavors
	case "service_profiles":
		return noProfiles
	case "service-providers":
		return providers
	case "networks":
		if len(parts) == 3 && parts[2] == "dhcp-agents" { // DHCP is every host's own: no agents to name
			return noAgentsAfter
		}
	}
	return nil
}

// zones lists the availability zones that hosts are tagged with.
func zones(c *call, parts []string, _ []byte) (*reply, error) {
	if len(parts) != 1 || c.req.Method != http.MethodGet {
		return nil, hidden
	}
	alive := map[string]bool{}
	for o := range c.src().Each(model.Hosts) {
		h := o.(*model.Host)
		if z := h.HostTags["zone"]; z != "" {
			alive[z] = alive[z] || c.alive(h)
		}
	}
	out := []any{}
	for _, z := range sortedKeys(alive) {
		state := "unavailable"
		if alive[z] {
			state = "available"
		}
		for _, resource := range []string{"network", "router"} {
			out = append(out, map[string]any{"name": z, "resource": resource, "state": state})
		}
	}
	return c.filtered("availability_zones", []string{"name", "resource", "state"}, out)
}
