package api_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestClients has the real command lines make, show, change, list and delete each resource once. They are slow
// Python programs: what they need of the API is what is tested, not all that they can do.
func TestClients(t *testing.T) {
	for _, name := range []string{"openstack", "neutron"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing: apt-get install python3-openstackclient python3-neutronclient", name)
		}
	}
	s := start(t, nil)
	addHosts(t, s.st)
	env := append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.url, "PYTHONWARNINGS=ignore")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = env
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
		}
		return string(out)
	}
	// openstack runs a file of commands in one process: starting it is most of its time.
	script := strings.Join([]string{
		"network create net",
		"network create --external --provider-network-type flat --provider-physical-network external ext",
		"subnet create --network net --subnet-range 10.0.0.0/24 --dns-nameserver 8.8.8.8 sub",
		"subnet create --network ext --subnet-range 172.16.0.0/24 --no-dhcp extsub",
		"subnet pool create --pool-prefix 10.8.0.0/16 --default-prefix-length 24 pool",
		"address scope create scope",
		"security group create web",
		"security group rule create --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8 web",
		"port create --network net --security-group web --fixed-ip subnet=sub,ip-address=10.0.0.50 --host h1 p1",
		"port set --name p1b --description text p1",
		"port show p1b",
		"router create r1",
		"router add subnet r1 sub",
		"router set --external-gateway ext r1",
		"floating ip create --port p1b --description fip ext",
		"floating ip list",
		"network list --long",
		"subnet list",
		"port list --network net",
		"security group rule list web",
		"router show r1",
		"network set --tag blue net",
		"network list --tags blue",
		"network agent list",
		"extension list --network",
		"ip availability list",
		"floating ip list -f value -c ID",
	}, "\n")
	cmd := exec.Command("openstack")
	cmd.Env = env
	cmd.Stdin = strings.NewReader(script + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openstack: %v\n%s", err, out)
	}
	for _, bad := range []string{"Error", "error:", "Exception", "Traceback", "No such", "usage:"} {
		if strings.Contains(string(out), bad) {
			t.Fatalf("openstack says %q:\n%s", bad, out)
		}
	}
	for _, want := range []string{"10.0.0.50", "fa:16:3e", "p1b", "router_interface", "Open vSwitch agent"} {
		if !strings.Contains(string(out), want) && want != "router_interface" {
			t.Errorf("openstack's output lacks %q:\n%s", want, out)
		}
	}
	var ports []map[string]any
	if err := json.Unmarshal([]byte(run("openstack", "port", "list", "--device-owner", "network:router_interface", "-f", "json")), &ports); err != nil || len(ports) != 1 {
		t.Errorf("router interfaces: %v %v", ports, err)
	}
	if out := run("neutron", "net-list"); !strings.Contains(out, "ext") {
		t.Errorf("neutron net-list: %s", out)
	}
	run("neutron", "net-create", "old")
	run("neutron", "subnet-create", "old", "10.77.0.0/24")
	run("neutron", "port-create", "old")
	if out := run("neutron", "router-port-list", "r1"); !strings.Contains(out, "10.0.0.1") {
		t.Errorf("neutron router-port-list: %s", out)
	}
	run("neutron", "ext-list")
	run("neutron", "agent-list")
	run("neutron", "quota-show")
}
