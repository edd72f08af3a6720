package api

import (
	"sync"

	"github.com/penstock/penstock/model"
)

// declare lists every resource, ready for use. The declarations never change after that.
var declare = sync.OnceValue(func() []*Resource {
	l := []*Resource{networkResource, subnetResource, portResource, secgroupResource, ruleResource, addressGroupResource,
		routerResource, floatingipResource}
	for _, r := range l {
		r.index()
	}
	return l
})

// specialHandler serves a path that is no plain resource.
type specialHandler func(c *call, parts []string, raw []byte) (*reply, error)

func (s *Server) special(parts []string) specialHandler { return nil }

func (s *Server) quotaLimit(c *call, project, resource string) int {
	if n, ok := s.cfg.Quotas[resource]; ok {
		return n
	}
	return -1
}

func networkShared(c *call, n *model.Network) bool { return n.Shared }

func networkScope(c *call, n *model.Network, version int) any { return nil }

func (c *call) sharedByRBAC(kind, id string) bool { return false }

func (c *call) defaultPool(version int64) (string, error) {
	return "", badResource("subnets", "No default subnetpool found for IPv%d", version)
}

func (c *call) takeFromPool(s *model.Subnet, pool string, in Values) error {
	return notFound("SubnetPoolNotFound", "Subnet pool %s could not be found.", pool)
}
