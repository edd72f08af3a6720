package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// population makes at least one object of every resource, with values in what can have one, and gives the paths of the
// collections.
func population(t *testing.T, s *server) (collections []string) {
	t.Helper()
	q := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	qos := s.make("qos/policies", "policy", `{"name":"gold","description":"text"}`)
	for _, r := range []struct{ kind, attrs string }{{"bandwidth_limit_rule", `{"max_kbps":1000,"max_burst_kbps":100,"direction":"ingress"}`},
		{"dscp_marking_rule", `{"dscp_mark":26}`}, {"minimum_bandwidth_rule", `{"min_kbps":5,"direction":"egress"}`}} {
		s.make("qos/policies/"+qos+"/"+r.kind+"s", r.kind, r.attrs)
		collections = append(collections, "qos/policies/"+qos+"/"+r.kind+"s")
	}
	scope := s.make("address-scopes", "address_scope", `{"name":"scope","ip_version":4,"shared":true}`)
	pool := s.make("subnetpools", "subnetpool", q(`{"name":"pool","prefixes":["10.8.0.0/16"],"min_prefixlen":20,"default_prefixlen":25,"max_prefixlen":30,"default_quota":70000,"is_default":true,"address_scope_id":%q,"description":"text"}`, scope))
	net := s.make("networks", "network", q(`{"name":"net","description":"text","mtu":1400,"dns_domain":"example.org.","qos_policy_id":%q}`, qos))
	sub := s.make("subnets", "subnet", q(`{"name":"sub","network_id":%q,"ip_version":4,"subnetpool_id":%q,"prefixlen":24,"dns_nameservers":["9.9.9.9"]}`, net, pool))
	s.make("subnets", "subnet", q(`{"network_id":%q,"ip_version":6,"cidr":"fd00::/64","ipv6_ra_mode":"slaac","ipv6_address_mode":"slaac"}`, net))
	ext := s.make("networks", "network", `{"name":"ext","router:external":true,"provider:network_type":"vlan","provider:physical_network":"external","provider:segmentation_id":120,"shared":true}`)
	s.make("subnets", "subnet", q(`{"network_id":%q,"ip_version":4,"cidr":"172.16.0.0/24","allocation_pools":[{"start":"172.16.0.100","end":"172.16.0.200"}],"enable_dhcp":false}`, ext))
	ag := s.make("address-groups", "address_group", `{"name":"ag","addresses":["10.0.0.0/8"],"description":"text"}`)
	sg := s.make("security-groups", "security_group", `{"name":"web","description":"text","stateful":false}`)
	for _, rule := range []string{`"protocol":"tcp","port_range_min":80,"port_range_max":90,"remote_ip_prefix":"10.0.0.0/8","description":"text"`,
		q(`"remote_group_id":%q`, sg), q(`"remote_address_group_id":%q`, ag)} {
		s.make("security-group-rules", "security_group_rule", q(`{"security_group_id":%q,"direction":"ingress","ethertype":"IPv4",%s}`, sg, rule))
	}
	port := s.make("ports", "port", q(`{"name":"port","network_id":%q,"security_groups":[%q],"device_id":"d","device_owner":"compute:nova","binding:host_id":"h1","description":"text","dns_domain":"x.org."}`, net, sg))
	r := s.make("routers", "router", q(`{"name":"r","description":"text","external_gateway_info":{"network_id":%q}}`, ext))
	if st, m := s.do("PUT", "/v2.0/routers/"+r+"/add_router_interface", q(`{"subnet_id":%q}`, sub)); st != 200 {
		t.Fatal(st, m)
	}
	s.make("floatingips", "floatingip", q(`{"floating_network_id":%q,"port_id":%q,"description":"text"}`, ext, port))
	s.make("rbac-policies", "rbac_policy", q(`{"object_type":"network","object_id":%q,"action":"access_as_shared","target_tenant":"p1"}`, net))
	s.make("trunks", "trunk", q(`{"name":"t","description":"text","port_id":%q}`, s.make("ports", "port", q(`{"network_id":%q}`, net))))
	for _, path := range []string{"networks/" + net, "subnets/" + sub, "ports/" + port, "routers/" + r, "security-groups/" + sg, "subnetpools/" + pool} {
		if st, m := s.do("PUT", "/v2.0/"+path+"/tags", `{"tags":["blue"]}`); st != 200 {
			t.Fatal(st, m)
		}
	}
	return append(collections, "networks", "subnets", "ports", "security-groups", "security-group-rules", "address-groups", "routers", "floatingips", "address-scopes",
		"subnetpools", "rbac-policies", "agents", "trunks", "qos/policies", "network-ip-availabilities")
}

// TestFiltersFindWhatIsShown filters each list by every value that an answer shows: where that may be filtered by, it
// finds the object; sorting by what may be sorted by gives all of them; fields gives what was asked for.
func TestFiltersFindWhatIsShown(t *testing.T) {
	s := start(t, nil)
	addHosts(t, s.st)
	for _, path := range population(t, s) {
		filtered, sorted := 0, 0
		st, m := s.do("GET", "/v2.0/"+path, "")
		var name string
		for k := range m {
			name = k
		}
		l, _ := m[name].([]any)
		if st != 200 || len(l) == 0 {
			t.Errorf("%s: %d %v", path, st, m)
		}
		for i, o := range l {
			shown := o.(map[string]any)
			for k, v := range shown {
				if i == 0 {
					st, m := s.do("GET", "/v2.0/"+path+"?sort_dir=asc&sort_key="+url.QueryEscape(k), "")
					if got, _ := m[name].([]any); st == 200 && len(got) != len(l) {
						t.Errorf("%s sorted by %s: %d of %d", path, k, len(got), len(l))
					} else if st == 200 {
						sorted++
					} else if st != 400 {
						t.Errorf("%s sorted by %s: %d %v", path, k, st, m)
					}
					st, m = s.do("GET", "/v2.0/"+path+"?fields="+url.QueryEscape(k), "")
					for _, x := range m[name].([]any) {
						if f := x.(map[string]any); st != 200 || len(f) > 1 {
							t.Errorf("%s with field %s: %d %v", path, k, st, f)
						}
					}
				}
				value, ok := asFilter(v)
				if !ok || k == "heartbeat_timestamp" { // that is the time of the answer
					continue
				}
				st, m := s.do("GET", "/v2.0/"+path+"?"+url.Values{k: {value}}.Encode(), "")
				got, _ := m[name].([]any)
				switch {
				case st == 400 && strings.Contains(fmt.Sprint(m), "is invalid attribute for filtering"):
				case st != 200 || !slices.ContainsFunc(got, func(x any) bool { return x.(map[string]any)["id"] == shown["id"] }):
					t.Errorf("%s?%s=%s: %d with %d objects, without the one that shows this", path, k, value, st, len(got))
				default:
					filtered++
				}
			}
		}
		if filtered == 0 || sorted == 0 && path != "network-ip-availabilities" && path != "rbac-policies" {
			t.Errorf("%s: %d filters, %d sort keys", path, filtered, sorted)
		}
	}
}

// asFilter is a value as a filter gives it; those of lists and objects have forms of their own.
func asFilter(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return fmt.Sprint(v), true
	case float64:
		return fmt.Sprint(int64(v)), true
	}
	return "", false
}
