package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

// TestProviderCommands is the sequence of Neutron's manuals for provider networks, with the real openstack client.
func TestProviderCommands(t *testing.T) {
	t.Parallel()
	ovstest.Need(t, "openstack")
	s := newSite(t, siteOptions{hosts: 1, mappings: []string{"{provider: br-provider, lab: br-lab}"},
		extra: "networks: {physical: {provider: {flat: true, vlan_ranges: [\"2000:2001\"]}, lab: {vlan_ranges: [\"7:7\"]}}, vxlan_range: \"1000:1999\"}\n"})
	// openstack runs commands in one process, since starting it is most of its time, and returns what it says of all.
	openstack := func(lines ...string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "commands")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := s.host.TryRun("env", "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.url, "PYTHONWARNINGS=ignore", "sh", "-c", "openstack < "+file+" 2>&1") // its exit status is that of the last
		return strings.ReplaceAll(out, "(openstack) ", "")
	}
	count := func() int {
		t.Helper()
		var l struct{ Networks []object }
		s.do("GET", "/v2.0/networks", nil, &l)
		return len(l.Networks)
	}
	good := []struct {
		args string
		want string // type, physical network, segmentation id, mtu
	}{
		{"--provider-network-type gre --provider-segment 1", "gre <nil> 1 1458"},
		{"--provider-network-type vxlan --provider-segment 1", "vxlan <nil> 1 1450"},
		{"--provider-network-type vxlan --provider-segment 16777215", "vxlan <nil> 16777215 1450"}, // outside the range of tenants
		{"--provider-network-type vlan --provider-physical-network provider --provider-segment 101", "vlan provider 101 1500"},
		{"--provider-network-type vlan --provider-physical-network lab --provider-segment 101", "vlan lab 101 1500"},
		{"--provider-network-type vlan", "vlan lab 7 1500"}, // from the pools
		{"--share --external --provider-physical-network provider --provider-network-type flat", "flat provider <nil> 1500"},
		{"--provider-network-type local", "local <nil> <nil> 1500"},
		{"--mtu 1400", "vxlan <nil> 1000 1400"},
	}
	var lines []string
	for _, x := range good {
		lines = append(lines, "network create -f json "+x.args+" n")
	}
	out := openstack(lines...)
	d := json.NewDecoder(strings.NewReader(out))
	d.UseNumber()
	for _, x := range good {
		var n map[string]any
		if err := d.Decode(&n); err != nil {
			t.Fatalf("network create %s: %v: %s", x.args, err, out)
		}
		if got := fmt.Sprint(n["provider:network_type"], " ", n["provider:physical_network"], " ", n["provider:segmentation_id"], " ", n["mtu"]); got != x.want {
			t.Errorf("network create %s: %s, want %s", x.args, got, x.want)
		}
	}
	before := count()
	bad := []struct{ args, want string }{
		{"--provider-network-type gre --provider-segment 1", "ConflictException: 409"},
		{"--provider-network-type vlan --provider-physical-network provider --provider-segment 101", "The VLAN 101 on physical network provider is in use"},
		{"--provider-network-type flat --provider-physical-network provider", "Physical network provider is in use"},
		{"--provider-network-type flat --provider-physical-network lab", "physical_network 'lab' unknown for flat provider network"},
		{"--provider-network-type vlan --provider-physical-network provider --provider-segment 4095", "segmentation_id out of range (1 through 4094)"},
		{"--provider-network-type vlan --provider-physical-network nowhere --provider-segment 5", "physical_network 'nowhere' unknown for VLAN provider network"},
		{"--provider-network-type flat", "physical_network required for flat provider network"},
		{"--provider-network-type local --provider-segment 5", "segmentation_id prohibited for local provider network"},
		{"--provider-network-type vxlan --provider-physical-network provider", "provider:physical_network specified for vxlan network"},
		{"--provider-physical-network provider", "network_type required"},
		{"--mtu 9000", "1450"},
	}
	lines = nil
	for _, x := range bad {
		lines = append(lines, "network create "+x.args+" n")
	}
	out = openstack(append(lines, "network agent list -f json")...)
	for _, x := range bad {
		if !strings.Contains(out, x.want) {
			t.Errorf("network create %s: want %q in: %s", x.args, x.want, out)
		}
	}
	if n := count(); n != before {
		t.Errorf("%d networks were made that must not be", n-before)
	}
	if !strings.Contains(out, `"Agent Type": "Open vSwitch agent"`) || !strings.Contains(out, `"Alive": true`) {
		t.Errorf("network agent list: %s", out)
	}
	// Several segments of one network, which the client shows as they are.
	multi := s.create("network", object{"name": "multi", "segments": []object{provider("vlan", 55, "provider"), provider("vxlan", 7777, "")}})
	if l, _ := multi["segments"].([]any); len(l) != 2 {
		t.Errorf("segments: %v", multi)
	}
}
