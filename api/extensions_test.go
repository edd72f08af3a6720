package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store/storetest"
)

// promise is what an alias says to clients: attributes that every answer of a resource has, paths that answer, and what
// else.
type promise struct {
	attrs  map[string][]string // collection -> attributes
	paths  []string            // with {collection} for the id of the first object there
	verify func(t *testing.T, s *server, id func(collection string) string)
}

// standard are the collections of resources with Neutron's standard attributes.
var standard = []string{"networks", "subnets", "ports", "routers", "floatingips", "security-groups", "security-group-rules", "subnetpools", "qos/policies", "trunks"}

func each(collections []string, attrs ...string) map[string][]string {
	m := map[string][]string{}
	for _, c := range collections {
		m[c] = attrs
	}
	return m
}

// wants sends a request and fails the test if the answer has another status or lacks a text.
func wants(t *testing.T, s *server, status int, text, method, path, body string) {
	t.Helper()
	st, m := s.do(method, "/v2.0/"+path, body)
	if got := fmt.Sprint(m); st != status || !strings.Contains(got, text) {
		t.Errorf("%s %s: %d %.300s, want %d with %q", method, path, st, got, status, text)
	}
}

// promises: an alias without an entry here, or an entry without an alias, fails the test.
var promises = map[string]promise{
	"address-group":         {paths: []string{"address-groups", "address-groups/{address-groups}"}},
	"address-scope":         {paths: []string{"address-scopes"}, attrs: map[string][]string{"subnetpools": {"address_scope_id"}, "networks": {"ipv4_address_scope", "ipv6_address_scope"}}},
	"agent":                 {paths: []string{"agents", "agents/{agents}"}},
	"allowed-address-pairs": {attrs: map[string][]string{"ports": {"allowed_address_pairs"}}},
	"availability_zone": {verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 200, "name:east resource:network state:available", "GET", "availability_zones", "")
	}},
	"availability_zone_filter": {verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 200, "map[availability_zones:[map[name:east resource:router state:available]]]", "GET", "availability_zones?resource=router&state=available", "")
		wants(t, s, 200, "map[availability_zones:[]]", "GET", "availability_zones?name=west", "")
		wants(t, s, 400, "invalid attribute for filtering", "GET", "availability_zones?size=1", "")
	}},
	"binding": {attrs: map[string][]string{"ports": {"binding:host_id", "binding:vnic_type", "binding:profile", "binding:vif_type", "binding:vif_details"}}},
	"binding-extended": {paths: []string{"ports/{ports}/bindings"}, verify: func(t *testing.T, s *server, _ func(string) string) {
		p := s.make("ports", "port", `{"network_id":"`+s.make("networks", "network", `{}`)+`","binding:host_id":"h1"}`)
		wants(t, s, 201, "vif_type:ovs", "POST", "ports/"+p+"/bindings", `{"binding":{"host":"h2"}}`)
		wants(t, s, 200, "status:ACTIVE", "PUT", "ports/"+p+"/bindings/h2/activate", "")
		wants(t, s, 200, "binding:host_id:h2", "GET", "ports/"+p, "")
		wants(t, s, 204, "", "DELETE", "ports/"+p+"/bindings/h1", "")
	}},
	"default-subnetpools": {attrs: map[string][]string{"subnetpools": {"is_default"}}, verify: func(t *testing.T, s *server, _ func(string) string) {
		n := s.make("networks", "network", `{}`)
		wants(t, s, 201, "cidr:10.8.", "POST", "subnets", `{"subnet":{"network_id":"`+n+`","ip_version":4,"use_default_subnetpool":true}}`)
	}},
	"dhcp_agent_scheduler": {paths: []string{"networks/{networks}/dhcp-agents", "agents/{agents}/dhcp-networks"}},
	"dns-domain-ports":     {attrs: map[string][]string{"ports": {"dns_domain"}}},
	"dns-integration":      {attrs: map[string][]string{"ports": {"dns_name", "dns_assignment"}, "networks": {"dns_domain"}, "floatingips": {"dns_name", "dns_domain"}}},
	"empty-string-filtering": {verify: func(t *testing.T, s *server, _ func(string) string) {
		if _, m := s.do("GET", "/v2.0/ports?name=", ""); len(m["ports"].([]any)) == 0 || strings.Contains(fmt.Sprint(m), "name:port") {
			t.Errorf("ports without a name: %v", m)
		}
	}},
	"ext-gw-mode": {attrs: map[string][]string{"routers": {"external_gateway_info"}}, verify: func(t *testing.T, s *server, id func(string) string) {
		wants(t, s, 200, "enable_snat:true", "GET", "routers/"+id("routers"), "")
	}},
	"external-net":   {attrs: map[string][]string{"networks": {"router:external"}}},
	"extra_dhcp_opt": {attrs: map[string][]string{"ports": {"extra_dhcp_opts"}}},
	"extraroute":     {attrs: map[string][]string{"routers": {"routes"}}},
	"extraroute-atomic": {verify: func(t *testing.T, s *server, id func(string) string) {
		r := `{"router":{"routes":[{"destination":"192.168.0.0/16","nexthop":"172.16.0.77"}]}}`
		wants(t, s, 200, "192.168.0.0/16", "PUT", "routers/"+id("routers")+"/add_extraroutes", r)
		wants(t, s, 200, "routes:[]", "PUT", "routers/"+id("routers")+"/remove_extraroutes", r)
	}},
	"filter-validation": {verify: func(t *testing.T, s *server, _ func(string) string) {
		for _, c := range standard {
			wants(t, s, 400, "['nonsense'] is invalid attribute for filtering", "GET", c+"?nonsense=1", "")
		}
	}},
	"floatingip-pools": {paths: []string{"floatingip_pools"}, verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 200, "cidr:172.16.0.0/24", "GET", "floatingip_pools", "")
	}},
	"fip-port-details": {attrs: map[string][]string{"floatingips": {"port_details"}}},
	"flavors":          {paths: []string{"flavors", "service_profiles"}},
	"ip-substring-filtering": {verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 200, "ip_address:172.16.", "GET", "ports?fixed_ips=ip_address_substr%3D172.16", "")
		wants(t, s, 200, "map[ports:[]]", "GET", "ports?fixed_ips=ip_address_substr%3D172.17", "")
	}},
	"ip_allocation": {attrs: map[string][]string{"ports": {"ip_allocation"}}},
	"l2_adjacency":  {attrs: map[string][]string{"networks": {"l2_adjacency"}}},
	"l3-port-ip-change-not-allowed": {verify: func(t *testing.T, s *server, _ func(string) string) {
		_, m := s.do("GET", "/v2.0/ports?device_owner=network:router_interface", "")
		p := m["ports"].([]any)[0].(map[string]any)["id"].(string)
		for i := 70; ; i++ { // some other port may have an address
			body := fmt.Sprintf(`{"port":{"fixed_ips":[{"ip_address":"10.8.0.%d"}]}}`, i)
			if st, _ := s.do("PUT", "/v2.0/ports/"+p, body); st != 409 {
				wants(t, s, 400, "", "PUT", "ports/"+p, body)
				return
			}
		}
	}},
	"logging": {paths: []string{"log/logs", "log/loggable-resources"}, verify: func(t *testing.T, s *server, id func(string) string) {
		wants(t, s, 201, "event:DROP", "POST", "log/logs", `{"log":{"resource_type":"security_group","resource_id":"`+id("security-groups")+`","event":"DROP"}}`)
	}},
	"multi-provider": {verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 201, "segments:[", "POST", "networks", `{"network":{"segments":[{"provider:network_type":"vxlan","provider:segmentation_id":4000},{"provider:network_type":"vlan","provider:physical_network":"external","provider:segmentation_id":140}]}}`)
	}},
	"net-mtu": {attrs: map[string][]string{"networks": {"mtu"}}},
	"net-mtu-writable": {verify: func(t *testing.T, s *server, id func(string) string) {
		wants(t, s, 200, "mtu:1300", "PUT", "networks/"+id("networks"), `{"network":{"mtu":1300}}`)
	}},
	"network-ip-availability":   {paths: []string{"network-ip-availabilities", "network-ip-availabilities/{networks}"}},
	"network_availability_zone": {attrs: map[string][]string{"networks": {"availability_zone_hints", "availability_zones"}}},
	"pagination": {verify: func(t *testing.T, s *server, _ func(string) string) {
		for _, c := range []string{"networks", "subnets", "ports", "security-group-rules"} {
			wants(t, s, 200, "rel:next", "GET", c+"?limit=1", "")
		}
	}},
	"port-mac-address-regenerate": {verify: func(t *testing.T, s *server, _ func(string) string) {
		p := s.make("ports", "port", `{"network_id":"`+s.make("networks", "network", `{}`)+`","mac_address":"02:00:00:00:00:01"}`)
		wants(t, s, 200, "mac_address:fa:16:3e", "PUT", "ports/"+p, `{"port":{"mac_address":null}}`)
	}},
	"port-security": {attrs: map[string][]string{"networks": {"port_security_enabled"}, "ports": {"port_security_enabled"}}},
	"port-security-groups-filtering": {verify: func(t *testing.T, s *server, _ func(string) string) {
		_, m := s.do("GET", "/v2.0/security-groups?name=web", "")
		wants(t, s, 200, "name:port ", "GET", "ports?security_groups="+m["security_groups"].([]any)[0].(map[string]any)["id"].(string), "")
		wants(t, s, 200, "map[ports:[]]", "GET", "ports?security_groups=none", "")
	}},
	"project-id":           {attrs: each(append(slices.Clone(standard), "address-scopes", "rbac-policies"), "project_id", "tenant_id")},
	"provider":             {attrs: map[string][]string{"networks": {"provider:network_type", "provider:physical_network", "provider:segmentation_id"}}},
	"quotas":               {paths: []string{"quotas", "quotas/p1", "quotas/p1/default"}},
	"quota_details":        {paths: []string{"quotas/p1/details"}},
	"quota-check-limit":    {verify: quotaCheck},
	"rbac-policies":        {paths: []string{"rbac-policies"}, verify: rbacOf("network", "networks")},
	"rbac-address-group":   {verify: rbacOf("address_group", "address-groups")},
	"rbac-address-scope":   {verify: rbacOf("address_scope", "address-scopes")},
	"rbac-security-groups": {verify: rbacOf("security_group", "security-groups")},
	"rbac-subnetpool":      {verify: rbacOf("subnetpool", "subnetpools")},
	"revision-if-match": {verify: func(t *testing.T, s *server, id func(string) string) {
		for _, c := range standard {
			if st, m := s.with("If-Match", "revision_number=99999", "DELETE", "/v2.0/"+c+"/"+id(c), ""); st != 412 {
				t.Errorf("%s with another revision: %d %v", c, st, m)
			}
		}
	}},
	"router":                               {paths: []string{"routers", "floatingips", "routers/{routers}"}},
	"router_availability_zone":             {attrs: map[string][]string{"routers": {"availability_zone_hints", "availability_zones"}}},
	"security-group":                       {paths: []string{"security-groups", "security-group-rules"}, attrs: map[string][]string{"ports": {"security_groups"}}},
	"security-groups-normalized-cidr":      {attrs: map[string][]string{"security-group-rules": {"normalized_cidr"}}},
	"security-groups-remote-address-group": {attrs: map[string][]string{"security-group-rules": {"remote_address_group_id"}}},
	"security-groups-shared-filtering": {verify: func(t *testing.T, s *server, _ func(string) string) {
		wants(t, s, 200, "name:web", "GET", "security-groups?shared=False", "")
		wants(t, s, 200, "security_groups:[", "GET", "security-groups?shared=True", "")
	}},
	"service-type": {paths: []string{"service-providers"}},
	"sorting": {verify: func(t *testing.T, s *server, _ func(string) string) {
		_, m := s.do("GET", "/v2.0/networks?sort_key=name&sort_dir=desc", "")
		var names []string
		for _, x := range m["networks"].([]any) {
			names = append(names, x.(map[string]any)["name"].(string))
		}
		if slices.Reverse(names); !slices.IsSorted(names) {
			t.Errorf("backwards sorted: %q", names)
		}
	}},
	"standard-attr-description": {attrs: each(standard, "description")},
	"standard-attr-revisions":   {attrs: each(standard, "revision_number")},
	"standard-attr-tag": {attrs: each(without(standard, "security-group-rules"), "tags"), verify: func(t *testing.T, s *server, id func(string) string) {
		for _, c := range without(standard, "security-group-rules") {
			path := strings.TrimPrefix(c, "qos/") + "/" + id(c) + "/tags"
			wants(t, s, 200, "tags:[x]", "PUT", path, `{"tags":["x"]}`)
			wants(t, s, 200, id(c), "GET", c+"?tags=x", "")
			wants(t, s, 204, "", "DELETE", path, "")
		}
	}},
	"standard-attr-timestamp": {attrs: each(standard, "created_at", "updated_at")},
	"stateful-security-group": {attrs: map[string][]string{"security-groups": {"stateful"}}},
	"subnet-service-types":    {attrs: map[string][]string{"subnets": {"service_types"}}},
	"subnetpool-prefix-ops": {verify: func(t *testing.T, s *server, id func(string) string) {
		p := s.make("subnetpools", "subnetpool", `{"name":"ops","prefixes":["10.200.0.0/24"]}`)
		wants(t, s, 200, "prefixes:[10.200.0.0/23]", "PUT", "subnetpools/"+p+"/add_prefixes", `{"prefixes":["10.200.1.0/24"]}`)
		wants(t, s, 200, "prefixes:[10.200.0.0/24]", "PUT", "subnetpools/"+p+"/remove_prefixes", `{"prefixes":["10.200.1.0/24"]}`)
		wants(t, s, 400, "Empty subnet pool prefix list", "PUT", "subnetpools/"+p+"/remove_prefixes", `{"prefixes":["10.0.0.0/8"]}`)
		wants(t, s, 400, "invalid IPNetwork x", "PUT", "subnetpools/"+p+"/remove_prefixes", `{"prefixes":["x"]}`)
	}},
	"subnet_allocation": {paths: []string{"subnetpools"}, attrs: map[string][]string{"subnets": {"subnetpool_id"}}, verify: func(t *testing.T, s *server, id func(string) string) {
		n := s.make("networks", "network", `{}`)
		wants(t, s, 201, "/26", "POST", "subnets", `{"subnet":{"network_id":"`+n+`","ip_version":4,"subnetpool_id":"`+id("subnetpools")+`","prefixlen":26}}`)
	}},
	"tag-ports-during-bulk-creation": {verify: func(t *testing.T, s *server, id func(string) string) {
		n := s.make("networks", "network", `{}`)
		wants(t, s, 201, "tags:[red]", "POST", "ports", `{"ports":[{"network_id":"`+n+`","tags":["red"]}]}`)
	}},
}

func without(l []string, x string) []string {
	return slices.DeleteFunc(slices.Clone(l), func(y string) bool { return x == y })
}

func quotaCheck(t *testing.T, s *server, _ func(string) string) {
	wants(t, s, 400, "", "PUT", "quotas/default", `{"quota":{"network":0,"check_limit":true}}`)
	wants(t, s, 200, "network:0", "PUT", "quotas/default", `{"quota":{"network":0}}`)
	wants(t, s, 204, "", "DELETE", "quotas/default", "")
}

func rbacOf(kind, collection string) func(*testing.T, *server, func(string) string) {
	return func(t *testing.T, s *server, id func(string) string) {
		wants(t, s, 201, "object_type:"+kind, "POST", "rbac-policies", `{"rbac_policy":{"object_type":"`+kind+`","object_id":"`+id(collection)+`","action":"access_as_shared","target_tenant":"p9"}}`)
	}
}

// core are the attributes that need no alias, and those of extensions that are stored and shown, but whose alias is not
// listed before what they mean is done to packets.
var core = []string{"id", "name", "admin_state_up", "status", "shared", "subnets", "is_default",
	"network_id", "ip_version", "cidr", "gateway_ip", "allocation_pools", "dns_nameservers", "host_routes", "enable_dhcp", "ipv6_ra_mode", "ipv6_address_mode",
	"mac_address", "fixed_ips", "device_id", "device_owner",
	"prefixes", "min_prefixlen", "max_prefixlen", "default_prefixlen", "default_quota",
	"qos_policy_id", "qos_network_policy_id", "resource_request", "segment_id", "trunk_details"}

// TestExtensions keeps the list of extensions true: each alias is listed if and only if this test knows what it promises
// and finds it, and no resource shows an attribute of an extension that is not listed.
func TestExtensions(t *testing.T) {
	s := start(t, nil)
	addHosts(t, s.st)
	h := *s.st.Snapshot().Get(model.Hosts, "h1").(*model.Host)
	h.HostTags = map[string]string{"zone": "east"}
	storetest.Put(t, s.st, &h)
	population(t, s)
	_, m := s.do("GET", "/v2.0/extensions", "")
	var listed []string
	for _, e := range m["extensions"].([]any) {
		e := e.(map[string]any)
		for _, k := range []string{"alias", "name", "description", "updated"} {
			if v, _ := e[k].(string); v == "" {
				t.Errorf("extension %v has no %s", e["alias"], k)
			}
		}
		listed = append(listed, e["alias"].(string))
		wants(t, s, 200, "alias:"+e["alias"].(string), "GET", "extensions/"+e["alias"].(string), "")
	}
	if !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != len(listed) {
		t.Errorf("the list is not sorted, or has one twice: %q", listed)
	}
	for alias := range promises {
		if !slices.Contains(listed, alias) {
			t.Errorf("%s is not listed", alias)
		}
	}
	objects := func(collection string) (l []map[string]any) {
		_, m := s.do("GET", "/v2.0/"+collection, "")
		for _, v := range m {
			if x, ok := v.([]any); ok {
				for _, o := range x {
					l = append(l, o.(map[string]any))
				}
			}
		}
		if len(l) == 0 {
			t.Fatalf("no %s: %v", collection, m)
		}
		return l
	}
	id := func(collection string) string { return objects(collection)[0]["id"].(string) }
	known := map[string][]string{}
	for _, alias := range listed {
		p, ok := promises[alias]
		if !ok || len(p.attrs)+len(p.paths) == 0 && p.verify == nil {
			t.Errorf("%s is listed, but nothing here says what it promises", alias)
		}
		t.Run(alias, func(t *testing.T) {
			for c, attrs := range p.attrs {
				known[c] = append(known[c], attrs...)
				for _, o := range objects(c) {
					st, m := s.do("GET", "/v2.0/"+c+"/"+o["id"].(string), "")
					for _, a := range attrs {
						_, inList := o[a]
						shown := false
						for _, v := range m {
							_, shown = v.(map[string]any)[a]
						}
						if !inList || !shown {
							t.Errorf("%s %s: %s in the list: %v, shown (%d): %v", c, o["id"], a, inList, st, shown)
						}
					}
				}
			}
		})
	}
	for _, c := range []string{"networks", "subnets", "ports", "subnetpools"} {
		for k := range objects(c)[0] {
			if !slices.Contains(core, k) && !slices.Contains(known[c], k) {
				t.Errorf("%s show %s, which no extension of the list promises", c, k)
			}
		}
	}
	for _, alias := range listed {
		p := promises[alias]
		t.Run(alias, func(t *testing.T) {
			for _, path := range p.paths {
				for _, c := range append(slices.Clone(standard), "agents", "address-groups") {
					if strings.Contains(path, "{"+c+"}") {
						path = strings.ReplaceAll(path, "{"+c+"}", id(c))
					}
				}
				wants(t, s, 200, "", "GET", path, "")
			}
			if p.verify != nil {
				p.verify(t, s, id)
			}
		})
	}
}
