package api_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/dns"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/extradhcpopts"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/addressscopes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/extraroutes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/mtu"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/networkipavailabilities"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsbinding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsecurity"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/provider"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/qos/policies"
	qosrules "github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/qos/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/rbacpolicies"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/addressgroups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	secrules "github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/subnetpools"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/trunks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// cloud is gophercloud's view of a server.
type cloud struct {
	*server
	ctx context.Context
	c   *gophercloud.ServiceClient
}

func startCloud(t *testing.T) *cloud {
	s := start(t, nil)
	addHosts(t, s.st)
	return &cloud{s, context.Background(), &gophercloud.ServiceClient{ProviderClient: &gophercloud.ProviderClient{}, Endpoint: s.url + "/", ResourceBase: s.url + "/v2.0/"}}
}

func ptr[T any](v T) *T { return &v }

// must is what a call gave, which has to succeed.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		return v
	}
}

// all gathers every page of a list.
func all[T any](t testing.TB, p pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	t.Helper()
	return must(extract(must(p.AllPages(context.Background()))(t)))(t)
}

// life is the life of a resource: the functions of its package.
type life[R any] struct {
	name   string
	create func() (*R, error)
	get    func(id string) (*R, error)
	list   func() []R // with a filter that only this one passes
	update func(id string) (*R, error)
	// changed is what is different after update; the rest is as before, but for what every update changes.
	changed func(r *R) bool
	remove  func(id string) error
	tags    string // the resource type of attributestags
}

func id(r any) string { return reflect.ValueOf(r).Elem().FieldByName("ID").String() }

// same compares but for what a change always changes.
func same(a, b any) bool {
	copies := []reflect.Value{}
	for _, x := range []any{a, b} {
		v := reflect.New(reflect.TypeOf(x).Elem())
		v.Elem().Set(reflect.ValueOf(x).Elem())
		for _, f := range []string{"UpdatedAt", "RevisionNumber", "Tags"} {
			if fv := v.Elem().FieldByName(f); fv.IsValid() {
				fv.SetZero()
			}
		}
		copies = append(copies, v)
	}
	return reflect.DeepEqual(copies[0].Interface(), copies[1].Interface())
}

// run follows the life and gives what was made to more, before it is deleted.
func (l life[R]) run(c *cloud, more ...func(t *testing.T, made *R)) {
	c.t.(*testing.T).Run(l.name, func(t *testing.T) {
		made := must(l.create())(t)
		if got := must(l.get(id(made)))(t); !same(got, made) {
			t.Errorf("show gives %+v, create gave %+v", got, made)
		}
		if got := l.list(); len(got) != 1 || !same(&got[0], made) {
			t.Errorf("list gives %+v, create gave %+v", got, made)
		}
		if l.update != nil {
			up := must(l.update(id(made)))(t)
			if !l.changed(up) || l.changed(made) {
				t.Errorf("update gives %+v", up)
			}
			if got := must(l.get(id(made)))(t); !same(got, up) {
				t.Errorf("show gives %+v, update gave %+v", got, up)
			}
		}
		if l.tags != "" {
			got := must(attributestags.ReplaceAll(c.ctx, c.c, l.tags, id(made), attributestags.ReplaceAllOpts{Tags: []string{"a", "b"}}).Extract())(t)
			slices.Sort(got)
			if !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("tags %q", got)
			}
			must(0, attributestags.Add(c.ctx, c.c, l.tags, id(made), "c").ExtractErr())(t)
			must(0, attributestags.Delete(c.ctx, c.c, l.tags, id(made), "a").ExtractErr())(t)
			if ok := must(attributestags.Confirm(c.ctx, c.c, l.tags, id(made), "c").Extract())(t); !ok {
				t.Error("tag c is not there")
			}
			got = must(attributestags.List(c.ctx, c.c, l.tags, id(made)).Extract())(t)
			if slices.Sort(got); !slices.Equal(got, []string{"b", "c"}) {
				t.Errorf("tags %q", got)
			}
			must(0, attributestags.DeleteAll(c.ctx, c.c, l.tags, id(made)).ExtractErr())(t)
		}
		for _, f := range more {
			f(t, made)
		}
		must(0, l.remove(id(made)))(t)
		if _, err := l.get(id(made)); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			t.Errorf("show after delete: %v", err)
		}
		if err := l.remove(id(made)); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			t.Errorf("delete again: %v", err)
		}
		if got := l.list(); len(got) != 0 {
			t.Errorf("after delete list gives %+v", got)
		}
	})
}

// TestGophercloud runs the life of every resource that gophercloud knows and we have.
func TestGophercloud(t *testing.T) {
	c := startCloud(t)
	ctx, sc := c.ctx, c.c
	net := c.make("networks", "network", `{"name":"net"}`)
	sub := c.make("subnets", "subnet", `{"network_id":"`+net+`","ip_version":4,"cidr":"10.0.0.0/24"}`)
	ext := c.make("networks", "network", `{"name":"ext","router:external":true,"provider:network_type":"flat","provider:physical_network":"external"}`)
	c.make("subnets", "subnet", `{"network_id":"`+ext+`","ip_version":4,"cidr":"172.16.0.0/24","allocation_pools":[{"start":"172.16.0.100","end":"172.16.0.200"}],"enable_dhcp":false}`)

	type network struct {
		networks.Network
		provider.NetworkProviderExt
		external.NetworkExternalExt
		mtu.NetworkMTUExt
		dns.NetworkDNSExt
		portsecurity.PortSecurityExt
	}
	life[network]{name: "network", tags: "networks",
		create: func() (*network, error) {
			var o networks.CreateOptsBuilder = networks.CreateOpts{Name: "n", Description: "text", AdminStateUp: ptr(true)}
			o = provider.CreateOptsExt{CreateOptsBuilder: o, Segments: []provider.Segment{{NetworkType: "vlan", PhysicalNetwork: "external", SegmentationID: 150}}}
			o = external.CreateOptsExt{CreateOptsBuilder: o, External: ptr(false)}
			o = mtu.CreateOptsExt{CreateOptsBuilder: o, MTU: 1400}
			o = portsecurity.NetworkCreateOptsExt{CreateOptsBuilder: o, PortSecurityEnabled: ptr(true)}
			var n network
			return &n, networks.Create(ctx, sc, o).ExtractInto(&n)
		},
		get: func(id string) (*network, error) {
			var n network
			return &n, networks.Get(ctx, sc, id).ExtractInto(&n)
		},
		list: func() (l []network) {
			page := must(networks.List(sc, networks.ListOpts{Name: "n", Description: "text"}).AllPages(ctx))(t)
			must(0, networks.ExtractNetworksInto(page, &l))(t)
			return l
		},
		update: func(id string) (*network, error) {
			var n network
			return &n, networks.Update(ctx, sc, id, mtu.UpdateOptsExt{UpdateOptsBuilder: networks.UpdateOpts{Shared: ptr(true)}, MTU: 1300}).ExtractInto(&n)
		},
		changed: func(n *network) bool {
			return n.Shared && n.MTU == 1300 && n.NetworkType == "vlan" && n.SegmentationID == "150"
		},
		remove: func(id string) error { return networks.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, n *network) {
		if n.Status != "ACTIVE" || n.ProjectID == "" || n.CreatedAt.IsZero() || !n.PortSecurityEnabled || n.External {
			t.Errorf("%+v", n)
		}
		old := ptr(n.RevisionNumber)
		if _, err := networks.Update(ctx, sc, n.ID, networks.UpdateOpts{Name: ptr("x"), RevisionNumber: old}).Extract(); !gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) {
			t.Errorf("a change of what has changed since: %v", err)
		}
	})
	life[subnets.Subnet]{name: "subnet", tags: "subnets",
		create: func() (*subnets.Subnet, error) {
			return subnets.Create(ctx, sc, subnets.CreateOpts{NetworkID: net, CIDR: "10.1.0.0/24", IPVersion: 4, Name: "s", GatewayIP: ptr("10.1.0.254"),
				AllocationPools: []subnets.AllocationPool{{Start: "10.1.0.10", End: "10.1.0.20"}}, DNSNameservers: []string{"9.9.9.9"},
				HostRoutes: []subnets.HostRoute{{DestinationCIDR: "192.168.0.0/16", NextHop: "10.1.0.1"}}, ServiceTypes: []string{"compute:nova"}}).Extract()
		},
		get: func(id string) (*subnets.Subnet, error) { return subnets.Get(ctx, sc, id).Extract() },
		list: func() []subnets.Subnet {
			return all(t, subnets.List(sc, subnets.ListOpts{CIDR: "10.1.0.0/24", NetworkID: net, EnableDHCP: ptr(true)}), subnets.ExtractSubnets)
		},
		update: func(id string) (*subnets.Subnet, error) {
			return subnets.Update(ctx, sc, id, subnets.UpdateOpts{GatewayIP: ptr(""), DNSNameservers: &[]string{}, HostRoutes: &[]subnets.HostRoute{}}).Extract()
		},
		changed: func(s *subnets.Subnet) bool {
			return s.GatewayIP == "" && len(s.DNSNameservers) == 0 && len(s.HostRoutes) == 0
		},
		remove: func(id string) error { return subnets.Delete(ctx, sc, id).ExtractErr() },
	}.run(c)
	type port struct {
		ports.Port
		portsbinding.PortsBindingExt
		portsecurity.PortSecurityExt
		extradhcpopts.ExtraDHCPOptsExt
		dns.PortDNSExt
	}
	life[port]{name: "port", tags: "ports",
		create: func() (*port, error) {
			var o ports.CreateOptsBuilder = ports.CreateOpts{NetworkID: net, Name: "p", DeviceOwner: "compute:nova", DeviceID: "x",
				FixedIPs: []ports.IP{{SubnetID: sub, IPAddress: "10.0.0.77"}}, AllowedAddressPairs: []ports.AddressPair{{IPAddress: "10.0.0.200"}}}
			o = portsbinding.CreateOptsExt{CreateOptsBuilder: o, HostID: "h1", VNICType: "normal", Profile: map[string]any{"key": "value"}}
			o = extradhcpopts.CreateOptsExt{CreateOptsBuilder: o, ExtraDHCPOpts: []extradhcpopts.CreateExtraDHCPOpt{{OptName: "bootfile-name", OptValue: "pxe", IPVersion: 4}}}
			var p port
			return &p, ports.Create(ctx, sc, o).ExtractInto(&p)
		},
		get: func(id string) (*port, error) {
			var p port
			return &p, ports.Get(ctx, sc, id).ExtractInto(&p)
		},
		list: func() (l []port) {
			page := must(ports.List(sc, ports.ListOpts{FixedIPs: []ports.FixedIPOpts{{IPAddress: "10.0.0.77", SubnetID: sub}}}).AllPages(ctx))(t)
			must(0, ports.ExtractPortsInto(page, &l))(t)
			return l
		},
		update: func(id string) (*port, error) {
			var o ports.UpdateOptsBuilder = ports.UpdateOpts{Name: ptr("q"), SecurityGroups: &[]string{}, AllowedAddressPairs: &[]ports.AddressPair{}, FixedIPs: []ports.IP{{SubnetID: sub, IPAddress: "10.0.0.77"}, {SubnetID: sub, IPAddress: "10.0.0.78"}}}
			o = portsbinding.UpdateOptsExt{UpdateOptsBuilder: o, HostID: ptr("h2")}
			o = portsecurity.PortUpdateOptsExt{UpdateOptsBuilder: o, PortSecurityEnabled: ptr(false)}
			var p port
			return &p, ports.Update(ctx, sc, id, o).ExtractInto(&p)
		},
		changed: func(p *port) bool {
			return p.Name == "q" && p.HostID == "h2" && !p.PortSecurityEnabled && len(p.SecurityGroups) == 0 && len(p.FixedIPs) == 2 && p.VIFType == "ovs" && len(p.ExtraDHCPOpts) == 1
		},
		remove: func(id string) error { return ports.Delete(ctx, sc, id).ExtractErr() },
	}.run(c)
	life[addressscopes.AddressScope]{name: "address scope",
		create: func() (*addressscopes.AddressScope, error) {
			return addressscopes.Create(ctx, sc, addressscopes.CreateOpts{Name: "as", IPVersion: 4}).Extract()
		},
		get: func(id string) (*addressscopes.AddressScope, error) { return addressscopes.Get(ctx, sc, id).Extract() },
		list: func() []addressscopes.AddressScope {
			return all(t, addressscopes.List(sc, addressscopes.ListOpts{IPVersion: 4}), addressscopes.ExtractAddressScopes)
		},
		update: func(id string) (*addressscopes.AddressScope, error) {
			return addressscopes.Update(ctx, sc, id, addressscopes.UpdateOpts{Name: ptr("at"), Shared: ptr(true)}).Extract()
		},
		changed: func(a *addressscopes.AddressScope) bool { return a.Name == "at" && a.Shared },
		remove:  func(id string) error { return addressscopes.Delete(ctx, sc, id).ExtractErr() },
	}.run(c)
	life[subnetpools.SubnetPool]{name: "subnet pool", tags: "subnetpools",
		create: func() (*subnetpools.SubnetPool, error) {
			return subnetpools.Create(ctx, sc, subnetpools.CreateOpts{Name: "sp", Prefixes: []string{"10.8.0.0/16"}, DefaultPrefixLen: 25, MinPrefixLen: 20}).Extract()
		},
		get: func(id string) (*subnetpools.SubnetPool, error) { return subnetpools.Get(ctx, sc, id).Extract() },
		list: func() []subnetpools.SubnetPool {
			return all(t, subnetpools.List(sc, subnetpools.ListOpts{IPVersion: 4, MinPrefixLen: 20}), subnetpools.ExtractSubnetPools)
		},
		update: func(id string) (*subnetpools.SubnetPool, error) {
			return subnetpools.Update(ctx, sc, id, subnetpools.UpdateOpts{Prefixes: []string{"10.8.0.0/16", "10.10.0.0/16"}, DefaultPrefixLen: 26}).Extract()
		},
		changed: func(p *subnetpools.SubnetPool) bool { return len(p.Prefixes) == 2 && p.DefaultPrefixLen == 26 },
		remove:  func(id string) error { return subnetpools.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, p *subnetpools.SubnetPool) {
		s := must(subnets.Create(ctx, sc, subnets.CreateOpts{NetworkID: c.make("networks", "network", `{}`), IPVersion: 4, SubnetPoolID: p.ID, Prefixlen: 24}).Extract())(t)
		if !strings.HasPrefix(s.CIDR, "10.8.") || !strings.HasSuffix(s.CIDR, "/24") {
			t.Errorf("subnet %s of the pool", s.CIDR)
		}
		must(0, subnets.Delete(ctx, sc, s.ID).ExtractErr())(t)
	})
	life[routers.Router]{name: "router", tags: "routers",
		create: func() (*routers.Router, error) {
			return routers.Create(ctx, sc, routers.CreateOpts{Name: "r", GatewayInfo: &routers.GatewayInfo{NetworkID: ext, EnableSNAT: ptr(true)}}).Extract()
		},
		get: func(id string) (*routers.Router, error) { return routers.Get(ctx, sc, id).Extract() },
		list: func() []routers.Router {
			return all(t, routers.List(sc, routers.ListOpts{Name: "r", AdminStateUp: ptr(true)}), routers.ExtractRouters)
		},
		update: func(id string) (*routers.Router, error) {
			return routers.Update(ctx, sc, id, routers.UpdateOpts{Description: ptr("text"), GatewayInfo: &routers.GatewayInfo{NetworkID: ext, EnableSNAT: ptr(false)}}).Extract()
		},
		changed: func(r *routers.Router) bool {
			return r.Description == "text" && !*r.GatewayInfo.EnableSNAT && r.GatewayInfo.NetworkID == ext && len(r.GatewayInfo.ExternalFixedIPs) == 1
		},
		remove: func(id string) error { return routers.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, r *routers.Router) {
		i := must(routers.AddInterface(ctx, sc, r.ID, routers.AddInterfaceOpts{SubnetID: sub}).Extract())(t)
		if i.SubnetID != sub || i.PortID == "" || i.ID != r.ID {
			t.Errorf("interface %+v", i)
		}
		if err := routers.Delete(ctx, sc, r.ID).ExtractErr(); !gophercloud.ResponseCodeIs(err, http.StatusConflict) {
			t.Errorf("delete a router in use: %v", err)
		}
		route := []routers.Route{{DestinationCIDR: "192.168.7.0/24", NextHop: "10.0.0.9"}}
		if x := must(extraroutes.Add(ctx, sc, r.ID, extraroutes.Opts{Routes: &route}).Extract())(t); !slices.Equal(x.Routes, route) {
			t.Errorf("routes %v", x.Routes)
		}
		if x := must(extraroutes.Remove(ctx, sc, r.ID, extraroutes.Opts{Routes: &route}).Extract())(t); len(x.Routes) != 0 {
			t.Errorf("routes %v", x.Routes)
		}
		must(routers.Update(ctx, sc, r.ID, routers.UpdateOpts{Routes: &route}).Extract())(t)
		must(routers.Update(ctx, sc, r.ID, routers.UpdateOpts{Routes: &[]routers.Route{}}).Extract())(t)
		if l := all(t, routers.ListL3Agents(sc, r.ID), routers.ExtractL3Agents); len(l) > 2 {
			t.Errorf("agents %+v", l)
		}
		p := must(ports.Create(ctx, sc, ports.CreateOpts{NetworkID: net}).Extract())(t)
		life[floatingips.FloatingIP]{name: "floating IP", tags: "floatingips",
			create: func() (*floatingips.FloatingIP, error) {
				return floatingips.Create(ctx, sc, floatingips.CreateOpts{FloatingNetworkID: ext, FloatingIP: "172.16.0.50", Description: "f"}).Extract()
			},
			get: func(id string) (*floatingips.FloatingIP, error) { return floatingips.Get(ctx, sc, id).Extract() },
			list: func() []floatingips.FloatingIP {
				return all(t, floatingips.List(sc, floatingips.ListOpts{FloatingIP: "172.16.0.50"}), floatingips.ExtractFloatingIPs)
			},
			update: func(id string) (*floatingips.FloatingIP, error) {
				return floatingips.Update(ctx, sc, id, floatingips.UpdateOpts{PortID: &p.ID}).Extract()
			},
			changed: func(f *floatingips.FloatingIP) bool {
				return f.PortID == p.ID && f.FixedIP == p.FixedIPs[0].IPAddress && f.RouterID == r.ID
			},
			remove: func(id string) error { return floatingips.Delete(ctx, sc, id).ExtractErr() },
		}.run(&cloud{&server{t, c.st, c.url}, ctx, sc}, func(t *testing.T, f *floatingips.FloatingIP) {
			if x := must(floatingips.Update(ctx, sc, f.ID, floatingips.UpdateOpts{PortID: ptr("")}).Extract())(t); x.PortID != "" || x.RouterID != "" {
				t.Errorf("after disassociation %+v", x)
			}
		})
		must(0, ports.Delete(ctx, sc, p.ID).ExtractErr())(t)
		must(routers.RemoveInterface(ctx, sc, r.ID, routers.RemoveInterfaceOpts{PortID: i.PortID}).Extract())(t)
		must(routers.Update(ctx, sc, r.ID, routers.UpdateOpts{GatewayInfo: &routers.GatewayInfo{}}).Extract())(t)
	})
	life[addressgroups.AddressGroup]{name: "address group",
		create: func() (*addressgroups.AddressGroup, error) {
			return addressgroups.Create(ctx, sc, addressgroups.CreateOpts{Name: "ag", Addresses: []string{"10.0.0.0/8"}}).Extract()
		},
		get: func(id string) (*addressgroups.AddressGroup, error) { return addressgroups.Get(ctx, sc, id).Extract() },
		list: func() []addressgroups.AddressGroup {
			return all(t, addressgroups.List(sc, addressgroups.ListOpts{ProjectID: "default"}), addressgroups.ExtractGroups)
		},
		update: func(id string) (*addressgroups.AddressGroup, error) {
			must(addressgroups.AddAddresses(ctx, sc, id, addressgroups.UpdateAddressesOpts{Addresses: []string{"172.16.0.0/12", "fd00::1/128"}}).Extract())(t)
			must(addressgroups.RemoveAddresses(ctx, sc, id, addressgroups.UpdateAddressesOpts{Addresses: []string{"10.0.0.0/8"}}).Extract())(t)
			return addressgroups.Update(ctx, sc, id, addressgroups.UpdateOpts{Name: ptr("ah")}).Extract()
		},
		changed: func(a *addressgroups.AddressGroup) bool { return a.Name == "ah" && len(a.Addresses) == 2 },
		remove:  func(id string) error { return addressgroups.Delete(ctx, sc, id).ExtractErr() },
	}.run(c)
	life[groups.SecGroup]{name: "security group", tags: "security-groups",
		create: func() (*groups.SecGroup, error) {
			return groups.Create(ctx, sc, groups.CreateOpts{Name: "web", Description: "text", Stateful: ptr(true)}).Extract()
		},
		get: func(id string) (*groups.SecGroup, error) { return groups.Get(ctx, sc, id).Extract() },
		list: func() []groups.SecGroup {
			return all(t, groups.List(sc, groups.ListOpts{Description: "text"}), groups.ExtractGroups)
		},
		update: func(id string) (*groups.SecGroup, error) {
			return groups.Update(ctx, sc, id, groups.UpdateOpts{Name: "www"}).Extract()
		},
		changed: func(g *groups.SecGroup) bool { return g.Name == "www" && len(g.Rules) == 2 },
		remove:  func(id string) error { return groups.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, g *groups.SecGroup) {
		life[secrules.SecGroupRule]{name: "security group rule",
			create: func() (*secrules.SecGroupRule, error) {
				return secrules.Create(ctx, sc, secrules.CreateOpts{SecGroupID: g.ID, Direction: secrules.DirIngress, EtherType: secrules.EtherType4, Protocol: secrules.ProtocolTCP, PortRangeMin: 80, PortRangeMax: 90, RemoteIPPrefix: "10.0.0.0/8"}).Extract()
			},
			get: func(id string) (*secrules.SecGroupRule, error) { return secrules.Get(ctx, sc, id).Extract() },
			list: func() []secrules.SecGroupRule {
				return all(t, secrules.List(sc, secrules.ListOpts{SecGroupID: g.ID, Protocol: "tcp"}), secrules.ExtractRules)
			},
			remove: func(id string) error { return secrules.Delete(ctx, sc, id).ExtractErr() },
		}.run(&cloud{&server{t, c.st, c.url}, ctx, sc})
		var opts []secrules.CreateOpts
		for i := range 3 {
			opts = append(opts, secrules.CreateOpts{SecGroupID: g.ID, Direction: secrules.DirIngress, EtherType: secrules.EtherType6, Protocol: secrules.ProtocolUDP, PortRangeMin: 53 + i, PortRangeMax: 53 + i})
		}
		if l := must(secrules.CreateBulk(ctx, sc, opts).Extract())(t); len(l) != 3 {
			t.Errorf("bulk gives %+v", l)
		}
		if _, err := secrules.Create(ctx, sc, opts[0]).Extract(); !gophercloud.ResponseCodeIs(err, http.StatusConflict) {
			t.Errorf("the same rule again: %v", err)
		}
	})
	life[rbacpolicies.RBACPolicy]{name: "RBAC policy",
		create: func() (*rbacpolicies.RBACPolicy, error) {
			return rbacpolicies.Create(ctx, sc, rbacpolicies.CreateOpts{Action: rbacpolicies.ActionAccessShared, ObjectType: "network", TargetTenant: "p1", ObjectID: net}).Extract()
		},
		get: func(id string) (*rbacpolicies.RBACPolicy, error) { return rbacpolicies.Get(ctx, sc, id).Extract() },
		list: func() []rbacpolicies.RBACPolicy {
			return all(t, rbacpolicies.List(sc, rbacpolicies.ListOpts{ObjectID: net}), rbacpolicies.ExtractRBACPolicies)
		},
		update: func(id string) (*rbacpolicies.RBACPolicy, error) {
			return rbacpolicies.Update(ctx, sc, id, rbacpolicies.UpdateOpts{TargetTenant: "p2"}).Extract()
		},
		changed: func(p *rbacpolicies.RBACPolicy) bool { return p.TargetTenant == "p2" },
		remove:  func(id string) error { return rbacpolicies.Delete(ctx, sc, id).ExtractErr() },
	}.run(c)
	life[policies.Policy]{name: "QoS policy", tags: "policies",
		create: func() (*policies.Policy, error) {
			return policies.Create(ctx, sc, policies.CreateOpts{Name: "q"}).Extract()
		},
		get: func(id string) (*policies.Policy, error) { return policies.Get(ctx, sc, id).Extract() },
		list: func() []policies.Policy {
			return all(t, policies.List(sc, policies.ListOpts{Shared: ptr(false)}), policies.ExtractPolicies)
		},
		update: func(id string) (*policies.Policy, error) {
			return policies.Update(ctx, sc, id, policies.UpdateOpts{Name: "qq", Description: ptr("text")}).Extract()
		},
		changed: func(p *policies.Policy) bool { return p.Name == "qq" && p.Description == "text" },
		remove:  func(id string) error { return policies.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, p *policies.Policy) {
		limit := 1000
		inner := &cloud{&server{t, c.st, c.url}, ctx, sc}
		life[qosrules.BandwidthLimitRule]{name: "bandwidth limit",
			create: func() (*qosrules.BandwidthLimitRule, error) {
				return qosrules.CreateBandwidthLimitRule(ctx, sc, p.ID, qosrules.CreateBandwidthLimitRuleOpts{MaxKBps: 1000, Direction: "ingress"}).ExtractBandwidthLimitRule()
			},
			get: func(id string) (*qosrules.BandwidthLimitRule, error) {
				return qosrules.GetBandwidthLimitRule(ctx, sc, p.ID, id).ExtractBandwidthLimitRule()
			},
			list: func() []qosrules.BandwidthLimitRule {
				return all(t, qosrules.ListBandwidthLimitRules(sc, p.ID, qosrules.BandwidthLimitRulesListOpts{MaxKBps: limit}), qosrules.ExtractBandwidthLimitRules)
			},
			update: func(id string) (*qosrules.BandwidthLimitRule, error) {
				return qosrules.UpdateBandwidthLimitRule(ctx, sc, p.ID, id, qosrules.UpdateBandwidthLimitRuleOpts{MaxKBps: ptr(2000)}).ExtractBandwidthLimitRule()
			},
			changed: func(r *qosrules.BandwidthLimitRule) bool { return r.MaxKBps == 2000 },
			remove:  func(id string) error { return qosrules.DeleteBandwidthLimitRule(ctx, sc, p.ID, id).ExtractErr() },
		}.run(inner)
		life[qosrules.DSCPMarkingRule]{name: "DSCP mark",
			create: func() (*qosrules.DSCPMarkingRule, error) {
				return qosrules.CreateDSCPMarkingRule(ctx, sc, p.ID, qosrules.CreateDSCPMarkingRuleOpts{DSCPMark: 26}).ExtractDSCPMarkingRule()
			},
			get: func(id string) (*qosrules.DSCPMarkingRule, error) {
				return qosrules.GetDSCPMarkingRule(ctx, sc, p.ID, id).ExtractDSCPMarkingRule()
			},
			list: func() []qosrules.DSCPMarkingRule {
				return all(t, qosrules.ListDSCPMarkingRules(sc, p.ID, qosrules.DSCPMarkingRulesListOpts{}), qosrules.ExtractDSCPMarkingRules)
			},
			update: func(id string) (*qosrules.DSCPMarkingRule, error) {
				return qosrules.UpdateDSCPMarkingRule(ctx, sc, p.ID, id, qosrules.UpdateDSCPMarkingRuleOpts{DSCPMark: ptr(20)}).ExtractDSCPMarkingRule()
			},
			changed: func(r *qosrules.DSCPMarkingRule) bool { return r.DSCPMark == 20 },
			remove:  func(id string) error { return qosrules.DeleteDSCPMarkingRule(ctx, sc, p.ID, id).ExtractErr() },
		}.run(inner)
		life[qosrules.MinimumBandwidthRule]{name: "minimum bandwidth",
			create: func() (*qosrules.MinimumBandwidthRule, error) {
				return qosrules.CreateMinimumBandwidthRule(ctx, sc, p.ID, qosrules.CreateMinimumBandwidthRuleOpts{MinKBps: 100, Direction: "egress"}).ExtractMinimumBandwidthRule()
			},
			get: func(id string) (*qosrules.MinimumBandwidthRule, error) {
				return qosrules.GetMinimumBandwidthRule(ctx, sc, p.ID, id).ExtractMinimumBandwidthRule()
			},
			list: func() []qosrules.MinimumBandwidthRule {
				return all(t, qosrules.ListMinimumBandwidthRules(sc, p.ID, qosrules.MinimumBandwidthRulesListOpts{}), qosrules.ExtractMinimumBandwidthRules)
			},
			update: func(id string) (*qosrules.MinimumBandwidthRule, error) {
				return qosrules.UpdateMinimumBandwidthRule(ctx, sc, p.ID, id, qosrules.UpdateMinimumBandwidthRuleOpts{MinKBps: ptr(200)}).ExtractMinimumBandwidthRule()
			},
			changed: func(r *qosrules.MinimumBandwidthRule) bool { return r.MinKBps == 200 },
			remove:  func(id string) error { return qosrules.DeleteMinimumBandwidthRule(ctx, sc, p.ID, id).ExtractErr() },
		}.run(inner)
	})
	parent, child := c.make("ports", "port", `{"network_id":"`+net+`"}`), c.make("ports", "port", `{"network_id":"`+net+`"}`)
	life[trunks.Trunk]{name: "trunk", tags: "trunks",
		create: func() (*trunks.Trunk, error) {
			return trunks.Create(ctx, sc, trunks.CreateOpts{Name: "t", PortID: parent}).Extract()
		},
		get: func(id string) (*trunks.Trunk, error) { return trunks.Get(ctx, sc, id).Extract() },
		list: func() []trunks.Trunk {
			return all(t, trunks.List(sc, trunks.ListOpts{PortID: parent}), trunks.ExtractTrunks)
		},
		update: func(id string) (*trunks.Trunk, error) {
			return trunks.Update(ctx, sc, id, trunks.UpdateOpts{Name: ptr("u"), AdminStateUp: ptr(false)}).Extract()
		},
		changed: func(x *trunks.Trunk) bool { return x.Name == "u" && !x.AdminStateUp },
		remove:  func(id string) error { return trunks.Delete(ctx, sc, id).ExtractErr() },
	}.run(c, func(t *testing.T, x *trunks.Trunk) {
		must(trunks.Update(ctx, sc, x.ID, trunks.UpdateOpts{AdminStateUp: ptr(true)}).Extract())(t)
		must(trunks.AddSubports(ctx, sc, x.ID, trunks.AddSubportsOpts{Subports: []trunks.Subport{{PortID: child, SegmentationType: "vlan", SegmentationID: 7}}}).Extract())(t)
		if l := must(trunks.GetSubports(ctx, sc, x.ID).Extract())(t); len(l) != 1 || l[0].SegmentationID != 7 {
			t.Errorf("subports %+v", l)
		}
		must(trunks.RemoveSubports(ctx, sc, x.ID, trunks.RemoveSubportsOpts{Subports: []trunks.RemoveSubport{{PortID: child}}}).Extract())(t)
	})
}

// TestGophercloudRest is what has no life of its own.
func TestGophercloudRest(t *testing.T) {
	c := startCloud(t)
	ctx, sc := c.ctx, c.c
	net := c.make("networks", "network", `{"name":"net"}`)
	c.make("subnets", "subnet", `{"network_id":"`+net+`","ip_version":4,"cidr":"10.0.0.0/24"}`)
	for i := range 25 {
		c.make("ports", "port", fmt.Sprintf(`{"network_id":%q,"name":"p%02d","fixed_ips":[]}`, net, i))
	}
	var names []string
	pages := 0
	err := ports.List(sc, ports.ListOpts{NetworkID: net, DeviceOwner: "", Limit: 10, SortKey: "name", SortDir: "asc"}).EachPage(ctx, func(_ context.Context, p pagination.Page) (bool, error) {
		pages++
		l, err := ports.ExtractPorts(p)
		for _, x := range l {
			if x.Name != "" { // the DHCP port has none
				names = append(names, x.Name)
			}
		}
		return true, err
	})
	if err != nil || len(names) != 25 || !slices.IsSorted(names) || pages < 3 {
		t.Errorf("paging: %d names in %d pages: %v", len(names), pages, err)
	}
	q := must(quotas.Update(ctx, sc, "p1", quotas.UpdateOpts{Network: ptr(1), Port: ptr(-1)}).Extract())(t)
	if q.Network != 1 || q.Port != -1 {
		t.Errorf("quota %+v", q)
	}
	must(networks.Create(ctx, sc, networks.CreateOpts{ProjectID: "p1"}).Extract())(t)
	if _, err := networks.Create(ctx, sc, networks.CreateOpts{ProjectID: "p1"}).Extract(); !gophercloud.ResponseCodeIs(err, http.StatusConflict) {
		t.Errorf("beyond the quota: %v", err)
	}
	if d := must(quotas.GetDetail(ctx, sc, "p1").Extract())(t); d.Network.Used != 1 || d.Network.Limit != 1 {
		t.Errorf("quota details %+v", d)
	}
	must(0, quotas.Delete(ctx, sc, "p1").ExtractErr())(t)
	if q := must(quotas.Get(ctx, sc, "p1").Extract())(t); q.Network == 1 {
		t.Errorf("quota after its deletion %+v", q)
	}
	l := all(t, agents.List(sc, agents.ListOpts{Host: "h1", Alive: ptr(true)}), agents.ExtractAgents)
	if len(l) == 0 {
		t.Fatal("no agents of h1")
	}
	if a := must(agents.Get(ctx, sc, l[0].ID).Extract())(t); a.Host != "h1" || !a.Alive || a.HeartbeatTimestamp.IsZero() {
		t.Errorf("agent %+v", a)
	}
	must(agents.Update(ctx, sc, l[0].ID, agents.UpdateOpts{Description: ptr("text")}).Extract())(t)
	a := all(t, networkipavailabilities.List(sc, networkipavailabilities.ListOpts{NetworkID: net}), networkipavailabilities.ExtractNetworkIPAvailabilities)
	if len(a) != 1 || a[0].UsedIPs != "1" || a[0].TotalIPs != "253" {
		t.Errorf("availability %+v", a)
	}
	c.make("subnets", "subnet", `{"network_id":"`+net+`","ip_version":6,"cidr":"fd00::/64","gateway_ip":"fd00::"}`)
	if a := must(networkipavailabilities.Get(ctx, sc, net).Extract())(t); a.TotalIPs != "18446744073709551868" {
		t.Errorf("%s addresses, want 253 and 2^64-1", a.TotalIPs)
	}
	if l := all(t, extensions.List(sc), extensions.ExtractExtensions); len(l) < 50 {
		t.Errorf("%d extensions", len(l))
	}
	if e := must(extensions.Get(ctx, sc, "security-group").Extract())(t); e.Alias != "security-group" {
		t.Errorf("extension %+v", e)
	}
	if _, err := networks.Get(ctx, sc, "none").Extract(); err == nil || !strings.Contains(err.Error(), "NetworkNotFound") {
		t.Errorf("the error does not say what: %v", err)
	}
}
