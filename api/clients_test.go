package api_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is one command of a client and what its output has to match.
type step struct {
	cmd  string // $NAME stands for what an earlier batch saved
	want string // a regular expression; "fails: …" for one that the client is to refuse so
	save string // the name of what want's first group matched
}

// trouble is what clients say when something is wrong.
var trouble = regexp.MustCompile(`(?i)error|exception|traceback|usage:|unable to|no \S+ found|unknown command|failed|not recognized|\b[45]\d\d\b:`)

// client runs batches of commands, each in one process: starting Python is most of the time of a command.
func client(t *testing.T, s *server, name string, batches ...[]step) {
	t.Helper()
	saved := []string{}
	for _, steps := range batches {
		var script strings.Builder
		replace := strings.NewReplacer(saved...)
		for i, x := range steps {
			fmt.Fprintf(&script, "!echo ==%d==\n%s\n", i, replace.Replace(x.cmd))
		}
		cmd := exec.Command(name)
		// Without buffers the outputs stand in the order of the commands.
		cmd.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.url, "OS_URL="+s.url, "PYTHONWARNINGS=ignore", "PYTHONUNBUFFERED=1")
		cmd.Stdin = strings.NewReader(script.String())
		begin := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %d commands in %v", name, len(steps), time.Since(begin).Round(10*time.Millisecond))
		rest := string(out)
		for i, x := range steps {
			_, after, ok := strings.Cut(rest, fmt.Sprintf("==%d==\n", i))
			text, _, _ := strings.Cut(after, fmt.Sprintf("==%d==\n", i+1))
			if !ok {
				t.Fatalf("%s %s: the client ended before:\n%s", name, x.cmd, rest)
			}
			rest = after
			text = strings.ReplaceAll(text, "neutron CLI is deprecated and will be removed in the Z cycle. Use openstack CLI instead.\n", "")
			want, fails := strings.CutPrefix(x.want, "fails: ")
			m := regexp.MustCompile(want).FindStringSubmatch(text)
			if m == nil || !fails && trouble.MatchString(text) {
				t.Errorf("%s %s: want %q in\n%s", name, x.cmd, x.want, text)
				continue
			}
			if x.save != "" {
				saved = append(saved, "$"+x.save, m[1])
			}
		}
	}
}

func needClient(t *testing.T, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
}

// TestOpenstackClient has openstack run the life of every resource that it knows and we have.
func TestOpenstackClient(t *testing.T) {
	needClient(t, "openstack", "python3-openstackclient")
	s := start(t, nil)
	addHosts(t, s.st)
	client(t, s, "openstack", []step{
		{cmd: "network create --description text --mtu 1400 --tag red --provider-network-type vlan --provider-physical-network external --provider-segment 150 vl", want: `mtu +\| 1400(?s:.*)segmentation_id +\| 150(?s:.*)tags +\| red`},
		{cmd: "network create net -f value -c id", want: `^([0-9a-f-]{36})\n`, save: "net"},
		{cmd: "network create --external --provider-network-type flat --provider-physical-network external ext", want: `router:external +\| External`},
		{cmd: "network create --external --provider-network-type flat --provider-physical-network external ext2", want: `fails: 409.*Unable to create the flat network\. Physical network external is in use`},
		{cmd: "network set --name vlan --disable --share vl", want: `^$`},
		{cmd: "network set --tag blue vlan", want: `^$`},
		{cmd: "network unset --tag red vlan", want: `^$`},
		{cmd: "network show vlan", want: `admin_state_up +\| DOWN(?s:.*)shared +\| True(?s:.*)tags +\| blue`},
		{cmd: "network list --tags blue --long -f value", want: `^\S+ vlan ACTIVE default False True .* vlan False .*'blue'.*\n$`},
		{cmd: "network list --provider-segment 150 -f value -c Name", want: `^vlan\n$`},
		{cmd: "network show nothing", want: `fails: No Network found for nothing`},
		{cmd: "network list --agent none", want: `fails: No Agent found|not found`},

		{cmd: "address scope create --share scope", want: `shared +\| True`},
		{cmd: "address scope set --no-share scope", want: `fails: 400.*Shared address scope can.t be unshared`},
		{cmd: "address scope set --name scope2 scope", want: `^$`},
		{cmd: "address scope show scope2", want: `ip_version +\| 4`},
		{cmd: "address scope list --share -f value -c Name", want: `^scope2\n$`},
		{cmd: "subnet pool create --pool-prefix 10.8.0.0/16 --default-prefix-length 24 --address-scope scope2 --default-quota 70000 pool", want: `default_prefixlen +\| 24`},
		{cmd: "subnet pool set --pool-prefix 10.9.0.0/16 --description text --tag red pool", want: `^$`},
		{cmd: "subnet pool unset --all-tag pool", want: `^$`},
		{cmd: "subnet pool show pool", want: `prefixes +\| 10.8.0.0/15`},
		{cmd: "subnet pool list --address-scope scope2 -f value -c Name", want: `^pool\n$`},

		{cmd: "subnet create --network net --subnet-range 10.0.0.0/24 --dns-nameserver 8.8.8.8 --host-route destination=192.168.0.0/16,gateway=10.0.0.9 --allocation-pool start=10.0.0.20,end=10.0.0.99 sub", want: `allocation_pools +\| 10.0.0.20-10.0.0.99`},
		{cmd: "subnet create --network net --subnet-range 10.0.0.128/25 again", want: `fails: 400.*overlaps with another subnet`},
		{cmd: "subnet create --network vlan --subnet-pool pool --prefix-length 26 pooled", want: `cidr +\| 10.[89].0.0/26`},
		{cmd: "subnet create --network net --ip-version 6 --subnet-range fd00::/64 --ipv6-ra-mode slaac --ipv6-address-mode slaac six", want: `ipv6_ra_mode +\| slaac`},
		{cmd: "subnet create --network ext --subnet-range 172.16.0.0/24 --allocation-pool start=172.16.0.100,end=172.16.0.200 --no-dhcp extsub", want: `enable_dhcp +\| False`},
		{cmd: "subnet set --name pooled2 --gateway none --dns-nameserver 9.9.9.9 --no-dns-nameserver --service-type network:router_interface pooled", want: `^$`},
		{cmd: "subnet set --dns-nameserver 9.9.9.9 --tag red sub", want: `^$`},
		{cmd: "subnet unset --dns-nameserver 8.8.8.8 --host-route destination=192.168.0.0/16,gateway=10.0.0.9 sub", want: `^$`},
		{cmd: "subnet show sub", want: `dns_nameservers +\| 9.9.9.9(?s:.*)host_routes +\| +\|(?s:.*)tags +\| red`},
		{cmd: "subnet list --network net --ip-version 4 -f value -c Subnet", want: `^10.0.0.0/24\n$`},

		{cmd: "address group create --address 10.0.0.0/8 --address 192.168.0.0/16 ag", want: `addresses +\| \['10.0.0.0/8', '192.168.0.0/16'\]`},
		{cmd: "address group set --name ah --address 172.16.0.0/12 ag", want: `^$`},
		{cmd: "address group unset --address 10.0.0.0/8 ah", want: `^$`},
		{cmd: "address group show ah", want: `\['172.16.0.0/12', '192.168.0.0/16'\]|\['192.168.0.0/16', '172.16.0.0/12'\]`},
		{cmd: "address group list -f value -c Name", want: `^ah\n$`},
		{cmd: "security group create --stateless web", want: `stateful +\| False`},
		{cmd: "security group set --name www --description text --stateful web", want: `^$`},
		{cmd: "security group set --tag red www", want: `^$`},
		{cmd: "security group unset --tag red www", want: `^$`},
		{cmd: "security group show www", want: `stateful +\| True`},
		{cmd: "security group list -f value -c Name", want: `(?m)^www$`},
		{cmd: "security group rule create --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8 www -f value -c id", want: `^([0-9a-f-]{36})\n`, save: "rule"},
		{cmd: "security group rule create --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8 www", want: `fails: 409.*Security group rule already exists`},
		{cmd: "security group rule create --ethertype IPv6 --egress --protocol udp --remote-group www www", want: `direction +\| egress`},
		{cmd: "security group rule create --protocol icmp --icmp-type 8 --remote-address-group ah www", want: `remote_address_group_id +\| [0-9a-f]`},
		{cmd: "security group rule list --ingress --protocol tcp www -f value", want: `80:90`},

		{cmd: "network loggable resources list -f value", want: `^security_group\n$`},
		{cmd: "network log create --resource-type security_group --resource www --event DROP --description text drops", want: `Event +\| DROP(?s:.*)Name +\| drops`},
		{cmd: "network log create --resource-type router all", want: `fails: Invalid log resource_type: router`},
		{cmd: "network log set --disable --name none drops", want: `^$`},
		{cmd: "network log show none -f value -c Enabled", want: `^False\n$`},
		{cmd: "network log list -f value -c Name -c Type", want: `^none security_group\n$`},
		{cmd: "network log delete none", want: `^$`},

		{cmd: "port create --network net --security-group www --fixed-ip subnet=sub,ip-address=10.0.0.50 --host h1 --vnic-type normal --allowed-address ip-address=10.0.0.200 --extra-dhcp-option name=bootfile-name,value=pxe,ip-version=4 --tag red p1", want: `binding_vif_type +\| ovs(?s:.*)ip_address='10.0.0.50'`},
		{cmd: "port create --network net --fixed-ip subnet=sub,ip-address=10.0.0.50 p2", want: `fails: 409.*IP address 10.0.0.50 already allocated in subnet`},
		{cmd: "port set --name p1b --description text --fixed-ip subnet=sub,ip-address=10.0.0.51 --device compute1 --device-owner compute:nova p1", want: `^$`},
		{cmd: "port unset --fixed-ip subnet=sub,ip-address=10.0.0.51 --security-group www --allowed-address ip-address=10.0.0.200,mac-address=00:00:00:00:00:01 p1b", want: `fails: Port does not contain allowed-address-pair`},
		{cmd: "port unset --fixed-ip subnet=sub,ip-address=10.0.0.51 --security-group www p1b", want: `^$`},
		{cmd: "port set --no-allowed-address --disable-port-security p1b", want: `^$`},
		{cmd: "port show p1b", want: `device_owner +\| compute:nova(?s:.*)port_security_enabled +\| False(?s:.*)security_group_ids +\| +\|`},
		{cmd: "port list --network net --device-owner compute:nova --fixed-ip subnet=sub -f value -c Name", want: `^p1b\n$`},
		{cmd: "port set --security-group www --enable-port-security p1b", want: `^$`},

		{cmd: "router create --description text r1", want: `external_gateway_info +\| null`},
		{cmd: "router add subnet r1 sub", want: `^$`},
		{cmd: "router add subnet r1 sub", want: `fails: 400.*Router already has a port on subnet`},
		{cmd: "port create --network vlan --device-owner network:router_interface --fixed-ip subnet=pooled2 r1port", want: `status +\| DOWN`},
		{cmd: "router add port r1 r1port", want: `^$`},
		{cmd: "router set --external-gateway ext --fixed-ip subnet=extsub,ip-address=172.16.0.9 r1", want: `^$`},
		{cmd: "router set --disable-snat --external-gateway ext --tag red r1", want: `^$`},
		{cmd: "router add route --route destination=192.168.9.0/24,gateway=10.0.0.9 r1", want: `^$|192.168.9.0`},
		{cmd: "router remove route --route destination=192.168.9.0/24,gateway=10.0.0.9 r1", want: `^$|routes`},
		{cmd: "router set --route destination=192.168.7.0/24,gateway=10.0.0.9 r1", want: `^$`},
		{cmd: "router show r1", want: `"enable_snat": false(?s:.*)192.168.7.0/24`},
		{cmd: "router list --long -f value -c Name -c Routes", want: `r1 .*192.168.7.0`},
		{cmd: "floating ip create --port p1b --description fip --floating-ip-address 172.16.0.50 ext", want: `fixed_ip_address +\| 10.0.0.50`},
		{cmd: "floating ip create --floating-ip-address 172.16.0.50 ext", want: `fails: 409.*IP address 172.16.0.50 already allocated`},
		{cmd: "floating ip unset --port 172.16.0.50", want: `^$`},
		{cmd: "floating ip set --port p1b --fixed-ip-address 10.0.0.50 172.16.0.50", want: `^$`},
		{cmd: "floating ip set --tag red 172.16.0.50", want: `^$`},
		{cmd: "floating ip show 172.16.0.50", want: `description +\| fip(?s:.*)fixed_ip_address +\| 10.0.0.50(?s:.*)tags +\| \['red'\]`},
		{cmd: "floating ip list --router r1 -f value", want: ` 172.16.0.50 10.0.0.50 `},

		{cmd: "network rbac create --type network --action access_as_shared --target-project p1 --target-project-domain d net", want: `fails: No domain with a name or ID`}, // it asks keystone
		{cmd: "network rbac list --type network -f value -c ID", want: `^([0-9a-f-]{36})\n`, save: "rbac"},
		{cmd: "network qos policy create --description text gold", want: `is_default +\| False`},
		{cmd: "network qos policy set --name platin --share gold", want: `^$`},
		{cmd: "network qos policy show platin", want: `shared +\| True`},
		{cmd: "network qos policy list -f value -c Name", want: `^platin\n$`},
		{cmd: "network qos rule create --type bandwidth-limit --max-kbps 1000 --ingress platin -f value -c id", want: `^([0-9a-f-]{36})\n`, save: "bw"},
		{cmd: "network qos rule create --type dscp-marking --dscp-mark 26 platin -f value -c id", want: `^([0-9a-f-]{36})\n`, save: "dscp"},
		{cmd: "network qos rule create --type minimum-bandwidth --min-kbps 5 --egress platin -f value -c id", want: `^([0-9a-f-]{36})\n`, save: "min"},
		{cmd: "network qos rule list platin -f value -c Type", want: `(?m)^dscp_marking$`},
		{cmd: "network set --qos-policy platin net", want: `^$`},
		{cmd: "port create --network net parent", want: `name +\| parent`},
		{cmd: "port create --network net child", want: `name +\| child`},
		{cmd: "network trunk create --parent-port parent --subport port=child,segmentation-type=vlan,segmentation-id=7 t1", want: `segmentation_id='7'|segmentation_id': 7|segmentation-id|7`},
		{cmd: "network trunk set --name t2 --disable t1", want: `^$`},
		{cmd: "network trunk show t2", want: `is_admin_state_up +\| False|admin_state_up +\| DOWN`},
		{cmd: "network trunk set --enable t2", want: `^$`},
		{cmd: "network trunk unset --subport child t2", want: `^$`},
		{cmd: "network subport list --trunk t2", want: `^\n?$`},
		{cmd: "network trunk list -f value -c Name", want: `^t2\n$`},

		{cmd: "network agent list -f value -c ID --host h1", want: `^([0-9a-f-]{36})\n$`, save: "agent"},
		{cmd: "ip availability list -f value", want: `net 80 `},
		{cmd: "ip availability show vlan", want: `total_ips +\| 61`},
		{cmd: "availability zone list --network", want: `^\n?$`},
		{cmd: "extension list --network -f value -c Alias", want: `(?m)^security-group$`},
		{cmd: "extension show router", want: `name +\| Neutron L3 Router`},
		{cmd: "network service provider list -f value", want: `L3_ROUTER_NAT`},
		{cmd: "network flavor list", want: `^\n?$`},
		{cmd: "network flavor profile list", want: `^\n?$`},
		{cmd: "network qos rule type list -f value", want: `dscp_marking`},
	}, []step{
		{cmd: "security group rule show $rule", want: `port_range_max +\| 90`},
		{cmd: "security group rule delete $rule", want: `^$`},
		{cmd: "network agent show $agent", want: `alive +\| :-\)|Alive +\| :-\)|alive +\| True`},
		{cmd: "network agent set --description text $agent", want: `^$`},
		{cmd: "network qos rule set --max-kbps 2000 platin $bw", want: `^$`},
		{cmd: "network qos rule show platin $bw", want: `max_kbps +\| 2000`},
		{cmd: "network qos rule set --dscp-mark 20 platin $dscp", want: `^$`},
		{cmd: "network qos rule delete platin $bw", want: `^$`},
		{cmd: "network qos rule delete platin $dscp", want: `^$`},
		{cmd: "network qos rule delete platin $min", want: `^$`},
		{cmd: "network qos policy delete platin", want: `fails: 409.*is used by network`},
		{cmd: "network set --no-qos-policy net", want: `^$`},
		{cmd: "network qos policy delete platin", want: `^$`},
		{cmd: "network rbac show $rbac", want: `action +\| access_as_`},
		{cmd: "network trunk delete t2", want: `^$`},
		{cmd: "floating ip delete 172.16.0.50", want: `^$`},
		{cmd: "router delete r1", want: `fails: 409.*has ports still attached`},
		{cmd: "router unset --route destination=192.168.7.0/24,gateway=10.0.0.9 --external-gateway r1", want: `^$`},
		{cmd: "router remove port r1 r1port", want: `^$`},
		{cmd: "router remove subnet r1 sub", want: `^$`},
		{cmd: "router delete r1", want: `^$`},
		{cmd: "port delete p1b parent child", want: `^$`},
		{cmd: "port delete p1b", want: `fails: No Port found for p1b`},
		{cmd: "security group delete www", want: `^$`},
		{cmd: "address group delete ah", want: `^$`},
		{cmd: "subnet delete sub six pooled2 extsub", want: `^$`},
		{cmd: "network delete net vlan ext", want: `^$`},
		{cmd: "subnet pool delete pool", want: `^$`},
		{cmd: "address scope delete scope2", want: `^$`},
		{cmd: "network list -f value", want: `^\n?$`},
		{cmd: "port list -f value", want: `^\n?$`},
	})
}

// TestNeutronClient has the older client do the same.
func TestNeutronClient(t *testing.T) {
	needClient(t, "neutron", "python3-neutronclient")
	s := start(t, nil)
	addHosts(t, s.st)
	client(t, s, "neutron", []step{
		{cmd: "net-create --description text --tenant-id p1 net", want: `tenant_id +\| p1`},
		{cmd: "net-create ext --router:external --provider:network_type flat --provider:physical_network external", want: `router:external +\| True`},
		{cmd: "net-update net --name blue --admin-state-up False", want: `Updated network: net`},
		{cmd: "net-show blue", want: `admin_state_up +\| False`},
		{cmd: "net-show nothing", want: `fails: Unable to find network with name or id 'nothing'`},
		{cmd: "net-list --name blue -f value -c name", want: `^blue\n$`},
		{cmd: "net-external-list -f value -c name", want: `^ext\n$`},
		{cmd: "tag-add --resource-type network --resource blue --tag red", want: `^$`},
		{cmd: "tag-replace --resource-type network --resource blue --tag red --tag green", want: `^$`},
		{cmd: "tag-remove --resource-type network --resource blue --tag red", want: `^$`},
		{cmd: "net-show blue -f value -c tags", want: `^\['green'\]\n$`},
		{cmd: "address-scope-create scope 4", want: `ip_version +\| 4`},
		{cmd: "address-scope-update scope --name scope2", want: `Updated address_scope`},
		{cmd: "address-scope-show scope2", want: `name +\| scope2`},
		{cmd: "address-scope-list -f value -c name", want: `scope2`},
		{cmd: "subnetpool-create --pool-prefix 10.8.0.0/16 --default-prefixlen 24 --address-scope scope2 pool", want: `default_prefixlen +\| 24`},
		{cmd: "subnetpool-update pool --description text", want: `Updated subnetpool`},
		{cmd: "subnetpool-show pool", want: `prefixes +\| 10.8.0.0/16`},
		{cmd: "subnetpool-list -f value -c name", want: `^pool\n$`},
		{cmd: "subnet-create blue 10.0.0.0/24 --name sub --dns-nameserver 9.9.9.9 --allocation-pool start=10.0.0.20,end=10.0.0.99", want: `"start": "10.0.0.20"`},
		{cmd: "subnet-create ext 172.16.0.0/24 --name extsub --allocation-pool start=172.16.0.100,end=172.16.0.200 --disable-dhcp", want: `enable_dhcp +\| False`},
		{cmd: "subnet-create blue 10.0.0.0/25", want: `fails: overlaps with another subnet`},
		{cmd: "subnet-update sub --name sub2 --no-gateway", want: `Updated subnet`},
		{cmd: "subnet-update sub2 --gateway 10.0.0.1", want: `Updated subnet`},
		{cmd: "subnet-show sub2", want: `gateway_ip +\| 10.0.0.1`},
		{cmd: "subnet-list -f value -c cidr --name sub2", want: `^10.0.0.0/24\n$`},
		{cmd: "security-group-create web --description text", want: `name +\| web`},
		{cmd: "security-group-update web --name www", want: `Updated security_group`},
		{cmd: "security-group-show www", want: `name +\| www`},
		{cmd: "security-group-list -f value -c name", want: `www`},
		{cmd: "security-group-rule-create --direction ingress --protocol tcp --port-range-min 80 --port-range-max 90 --remote-ip-prefix 10.0.0.0/8 www", want: `port_range_max +\| 90(?s:.*)`},
		{cmd: "security-group-rule-list --direction ingress --protocol tcp -f value -c id", want: `^([0-9a-f-]{36})\n$`, save: "rule"},
		{cmd: "port-create blue --name p1 --fixed-ip subnet_id=sub2,ip_address=10.0.0.50 --security-group www --allowed-address-pair ip_address=10.0.0.200 --binding:host_id h1", want: `binding:vif_type +\| ovs(?s:.*)10.0.0.50`},
		{cmd: "port-create blue --fixed-ip ip_address=10.0.0.50", want: `fails: IP address 10.0.0.50 already allocated`},
		{cmd: "port-update p1 --name p2 --no-allowed-address-pairs --extra-dhcp-opt opt_name=bootfile-name,opt_value=pxe", want: `Updated port`},
		{cmd: "port-show p2", want: `bootfile-name`},
		{cmd: "port-list --name p2 -f value -c name", want: `^p2\n$`},
		{cmd: "router-create r1", want: `name +\| r1`},
		{cmd: "router-interface-add r1 sub2", want: `Added interface`},
		{cmd: "router-gateway-set r1 ext", want: `Set gateway for router r1`},
		{cmd: "router-update r1 --route destination=192.168.7.0/24,nexthop=10.0.0.9", want: `Updated router`},
		{cmd: "router-show r1", want: `192.168.7.0/24`},
		{cmd: "router-list -f value -c name", want: `^r1\n$`},
		{cmd: "router-port-list r1 -f value -c fixed_ips", want: `'10.0.0.1'`},
		{cmd: "floatingip-create ext --floating-ip-address 172.16.0.50 -f value -c id", want: `([0-9a-f-]{36})\n`, save: "fip"},
		{cmd: "port-list --name p2 -f value -c id", want: `^(.*)\n$`, save: "port"},
		{cmd: "floatingip-list -f value -c floating_ip_address", want: `^172.16.0.50\n$`},
		{cmd: "rbac-create --type network --target-tenant p2 --action access_as_shared blue -f value -c id", want: `([0-9a-f-]{36})\n`, save: "rbac"},
		{cmd: "rbac-list -f value -c object_type", want: `^network\nnetwork\n$`}, // the external network has one
		{cmd: "qos-policy-create gold", want: `name +\| gold`},
		{cmd: "qos-policy-update gold --name platin", want: `Updated policy`},
		{cmd: "qos-policy-show platin", want: `name +\| platin`},
		{cmd: "qos-policy-list -f value -c name", want: `^platin\n$`},
		{cmd: "qos-bandwidth-limit-rule-create --max-kbps 1000 platin -f value -c id", want: `([0-9a-f-]{36})\n`, save: "bw"},
		{cmd: "qos-dscp-marking-rule-create --dscp-mark 26 platin -f value -c id", want: `([0-9a-f-]{36})\n`, save: "dscp"},
		{cmd: "qos-minimum-bandwidth-rule-create --min-kbps 5 --direction egress platin -f value -c id", want: `([0-9a-f-]{36})\n`, save: "min"},
		{cmd: "qos-bandwidth-limit-rule-list platin -f value -c max_kbps", want: `^1000\n$`},
		{cmd: "qos-available-rule-types -f value", want: `dscp_marking`},
		{cmd: "quota-update --tenant-id p1 --network 1", want: `network +\| 1 `},
		{cmd: "net-create --tenant-id p1 more", want: `fails: Quota exceeded for resources: \['network'\]`},
		{cmd: "quota-show --tenant-id p1", want: `network +\| 1 `},
		{cmd: "quota-default-show --tenant-id p1", want: `network +\| `},
		{cmd: "quota-list -f value -c tenant_id", want: `^p1\n$`},
		{cmd: "quota-delete --tenant-id p1", want: `Deleted quota`},
		{cmd: "agent-list -f value -c id --host h1", want: `^([0-9a-f-]{36})\n$`, save: "agent"},
		{cmd: "net-ip-availability-list -f value -c network_name", want: `blue`},
		{cmd: "net-ip-availability-show blue", want: `total_ips +\| 80`},
		{cmd: "availability-zone-list", want: `^\n?$`},
		{cmd: "ext-list -f value -c alias", want: `(?m)^quotas$`},
		{cmd: "ext-show quotas", want: `alias +\| quotas`},
		{cmd: "service-provider-list -f value", want: `L3_ROUTER_NAT`},
		{cmd: "flavor-list", want: `^\n?$`},
		{cmd: "flavor-profile-list", want: `^\n?$`},
		{cmd: "dhcp-agent-list-hosting-net blue", want: `^\n?$`},
		{cmd: "l3-agent-list-hosting-router r1 -f value -c host", want: `^\n?$`},
	}, []step{
		{cmd: "floatingip-associate $fip $port", want: `Associated floating IP`},
		{cmd: "floatingip-show $fip", want: `fixed_ip_address +\| 10.0.0.50`},
		{cmd: "floatingip-disassociate $fip", want: `Disassociated floating IP`},
		{cmd: "floatingip-delete $fip", want: `Deleted floatingip`},
		{cmd: "security-group-rule-show $rule", want: `port_range_min +\| 80`},
		{cmd: "security-group-rule-delete $rule", want: `Deleted security_group_rule`},
		{cmd: "rbac-show $rbac", want: `target_tenant +\| p2`},
		{cmd: "rbac-update --target-tenant p3 $rbac", want: `Updated rbac_policy`},
		{cmd: "rbac-delete $rbac", want: `Deleted rbac_polic`},
		{cmd: "agent-show $agent", want: `host +\| h1`},
		{cmd: "agent-update --description text $agent", want: `Updated agent`},
		{cmd: "net-list-on-dhcp-agent $agent", want: `^\n?$`},
		{cmd: "router-list-on-l3-agent $agent", want: `^\n?$`},
		{cmd: "qos-bandwidth-limit-rule-show $bw platin", want: `max_kbps +\| 1000`},
		{cmd: "qos-bandwidth-limit-rule-update $bw platin --max-kbps 2000", want: `Updated bandwidth_limit_rule`},
		{cmd: "qos-bandwidth-limit-rule-delete $bw platin", want: `Deleted bandwidth_limit_rule`},
		{cmd: "qos-dscp-marking-rule-update $dscp platin --dscp-mark 20", want: `Updated dscp_marking_rule`},
		{cmd: "qos-dscp-marking-rule-show $dscp platin", want: `dscp_mark +\| 20`},
		{cmd: "qos-dscp-marking-rule-delete $dscp platin", want: `Deleted dscp_marking_rule`},
		{cmd: "qos-minimum-bandwidth-rule-show $min platin", want: `min_kbps +\| 5`},
		{cmd: "qos-minimum-bandwidth-rule-delete $min platin", want: `Deleted minimum_bandwidth_rule`},
		{cmd: "qos-policy-delete platin", want: `Deleted qos_policy`},
		{cmd: "router-delete r1", want: `fails: has ports still attached`},
		{cmd: "router-update r1 --no-routes", want: `Updated router`},
		{cmd: "router-gateway-clear r1", want: `Removed gateway from router r1`},
		{cmd: "router-interface-delete r1 sub2", want: `Removed interface`},
		{cmd: "router-delete r1", want: `Deleted router`},
		{cmd: "port-delete p2", want: `Deleted port`},
		{cmd: "security-group-delete www", want: `Deleted security_group`},
		{cmd: "subnet-delete sub2", want: `Deleted subnet`},
		{cmd: "net-delete blue", want: `Deleted network`},
		{cmd: "net-delete ext", want: `Deleted network`},
		{cmd: "subnetpool-delete pool", want: `Deleted subnetpool`},
		{cmd: "address-scope-delete scope2", want: `Deleted address_scope`},
		{cmd: "net-list -f value", want: `^\n?$`},
	})
}
