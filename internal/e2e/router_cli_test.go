package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// client runs the lines of a script of shell commands with the real clients' environment and fails on the first that fails.
func (s *site) client(lines ...string) string {
	s.t.Helper()
	file := s.t.TempDir() + "/script"
	if err := os.WriteFile(file, []byte("set -e\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.host.TryRun("env", "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.url, "PYTHONWARNINGS=ignore", "sh", file)
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return out
}

// gateway is some hosts of which the first has the physical network, and a machine outside at 203.0.113.1 and more addresses.
// networks is more of the configuration's section of that name.
func gateway(t *testing.T, hosts int, networks string, more ...string) (s *site, out *ovstest.VM) {
	t.Helper()
	s = newSite(t, siteOptions{hosts: hosts, physical: []map[string]string{{"ext": "nic1"}}, mappings: []string{"{external: br-ex}"},
		extra: "networks: {" + networks + "}\n",
		setup: func(s *site) {
			_, at := s.outside("out", "ext", map[string]string{"": "203.0.113.1/24"})
			out = at[""]
			for _, a := range more {
				out.Run("ip", "addr", "add", a, "dev", "eth0")
			}
			s.hosts[0].AddBridge("br-ex")
			s.hosts[0].AddPort("br-ex", "nic1")
		}})
	return s, out
}

// named finds an object of a kind by its name.
func (s *site) named(kind, name string) object {
	s.t.Helper()
	var l map[string][]object
	s.do("GET", "/v2.0/"+kind+"s?name="+name, nil, &l)
	if len(l[kind+"s"]) != 1 {
		s.t.Fatalf("%d objects %s", len(l[kind+"s"]), name)
	}
	return l[kind+"s"][0]
}

// TestManualNeutron is the sequence of Neutron's manuals by the old client, word for word: after it VMs have DHCP, routing
// and SNAT.
func TestManualNeutron(t *testing.T) {
	t.Parallel()
	ovstest.Need(t, "neutron")
	s, out := gateway(t, 1, "external_physical_network: external")
	s.client(
		"neutron net-create net1 --provider:network_type gre --provider:segmentation_id 1",
		"neutron subnet-create net1 10.10.1.0/24 --name subnet1 --gateway 10.10.1.1 --dns_nameservers list=true 8.8.8.8",
		"neutron router-create router1",
		"neutron router-interface-add router1 subnet1",
		"neutron net-create public --router:external=True",
		"neutron subnet-create public 203.0.113.0/24 --name public_subnet --gateway 203.0.113.1 --allocation-pool start=203.0.113.10,end=203.0.113.99 --disable-dhcp",
		"neutron router-gateway-set router1 public",
	)
	a := s.on(s.hosts[0], "a", s.named("network", "net1"), "10.10.1.11", nil).via("10.10.1.1")
	seen := out.Capture("icmp[icmptype] == 8")
	a.pings("203.0.113.1")
	if l := strings.Join(seen.Stop(), "\n"); !strings.Contains(l, "203.0.113.") || strings.Contains(l, "10.10.1.11") {
		t.Errorf("the outside saw %s", l)
	}
}

// TestManualOpenstack is the same by the newer client, with a floating IP.
func TestManualOpenstack(t *testing.T) {
	t.Parallel()
	ovstest.Need(t, "openstack")
	s, out := gateway(t, 1, "external_physical_network: external")
	a := func() *vm {
		s.client("openstack network create selfservice", "openstack subnet create --network selfservice --dns-nameserver 8.8.4.4 --gateway 172.16.1.1 --subnet-range 172.16.1.0/24 selfservice",
			"openstack router create router", "openstack router add subnet router selfservice",
			"openstack network create --external provider", "openstack subnet create --network provider --no-dhcp --allocation-pool start=203.0.113.101,end=203.0.113.250 --gateway 203.0.113.1 --subnet-range 203.0.113.0/24 provider",
			"openstack router set --external-gateway provider router")
		return s.on(s.hosts[0], "a", s.named("network", "selfservice"), "172.16.1.11", object{"port_security_enabled": false}).via("172.16.1.1")
	}()
	a.pings("203.0.113.1")
	addr := strings.TrimSpace(s.client("openstack floating ip create -f value -c floating_ip_address --port " + a.Port["id"].(string) + " provider"))
	if !out.WaitPing(addr, patience) {
		t.Errorf("%s is not reached", addr)
	}
}
