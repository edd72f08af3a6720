// Command ovncapture runs OVN (Debian packages ovn-central and ovn-host) on a switch of its own, gives it a
// small network with most of its features, and writes the flows and groups that OVN makes of it to a folder.
// They are realistic input for the tests of package openflow.
//
//	go run ./internal/ovstest/ovncapture testdata/flows
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: ovncapture FOLDER")
		os.Exit(2)
	}
	t := ovstest.NewProgram("ovncapture")
	defer t.Close()
	ovstest.Need(t, "ovn-northd", "ovn-controller")
	h := ovstest.Start(t, ovstest.Options{Name: "h1"})
	dir := h.Dir()
	env := []string{"OVN_RUNDIR=" + dir, "OVN_LOGDIR=" + dir, "OVN_DBDIR=" + dir}
	for _, db := range []string{"nb", "sb"} {
		h.Run("ovsdb-tool", "create", dir+"/ovn"+db+".db", "/usr/share/ovn/ovn-"+db+".ovsschema")
		h.Start("ovsdb-server", "--remote=punix:"+dir+"/"+db+".sock", "--unixctl="+dir+"/"+db+".ctl",
			"--log-file="+dir+"/"+db+".log", "-vconsole:emer", dir+"/ovn"+db+".db")
	}
	nb, sb := "unix:"+dir+"/nb.sock", "unix:"+dir+"/sb.sock"
	for _, s := range []string{"nb.sock", "sb.sock"} {
		ovstest.Wait(t, 10*time.Second, s, func() bool { _, err := os.Stat(dir + "/" + s); return err == nil })
	}
	h.StartEnv(env, "ovn-northd", "--ovnnb-db="+nb, "--ovnsb-db="+sb, "--unixctl="+dir+"/northd.ctl",
		"--log-file="+dir+"/northd.log", "-vconsole:emer")
	h.AddBridge("br-int", "fail_mode=secure")
	h.AddBridge("br-ex")
	h.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-remote="+sb, "external_ids:ovn-encap-type=geneve,vxlan",
		"external_ids:ovn-encap-ip=172.31.0.1", "external_ids:ovn-bridge-mappings=physnet:br-ex", "external_ids:system-id=h1",
		"external_ids:ovn-bridge-datapath-type=netdev", "external_ids:ovn-enable-lflow-cache=false")
	controller := h.StartEnv(env, "ovn-controller", h.OVSDB(), "--log-file="+dir+"/controller.log", "-vconsole:emer")

	nbctl := func(text string) {
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			h.Run("sh", "-c", "ovn-nbctl --db="+nb+" "+strings.ReplaceAll(line, "$NB", nb))
		}
	}
	h.Run("ovn-sbctl", "--db="+sb, "chassis-add", "h2", "geneve", "172.31.0.2")
	nbctl(network)
	for _, p := range []string{"p1", "p2", "p3"} {
		h.AddPort("br-int", p, "type=internal", "external_ids:iface-id="+p)
	}
	h.Run("ovn-sbctl", "--db="+sb, "lsp-bind", "r1", "h2")

	nbctl("--wait=sb sync")
	// ovn-controller goes on for a while after the first flows: its own port bindings bring more.
	last, same := 0, 0
	ovstest.Wait(t, 60*time.Second, "OVN's flows; ovn-controller says "+controller.Output(), func() bool {
		n := len(h.DumpFlows("br-int"))
		if n != last {
			last, same = n, 0
		}
		same++
		return n > 300 && same > 20
	})
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	}
	write("ovn-br-int.flows", strings.Join(h.DumpFlows("br-int"), "\n"))
	stats := h.OFCtl("dump-flows", "--no-names", "br-int")
	write("ovn-br-int-stats.flows", stats)
	write("ovn-br-int.groups", h.OFCtl("dump-groups", "br-int"))
	write("ovn-br-int.meters", h.OFCtl("dump-meters", "br-int"))
	t.Logf("%d flows", strings.Count(stats, "\n"))
}

// network is what OVN is told: arguments of ovn-nbctl, one call in a line.
const network = `
ls-add s1 -- set logical_switch s1 other_config:subnet=10.0.0.0/24 other_config:exclude_ips=10.0.0.1..10.0.0.3 other_config:mcast_snoop=true other_config:mcast_querier=false
ls-add s2 -- set logical_switch s2 other_config:subnet=10.0.1.0/24
lsp-add s1 p1 -- lsp-set-addresses p1 "fa:16:3e:00:00:01 10.0.0.11 fd00::11" -- lsp-set-port-security p1 "fa:16:3e:00:00:01 10.0.0.11 fd00::11"
lsp-add s1 p2 -- lsp-set-addresses p2 "fa:16:3e:00:00:02 10.0.0.12" unknown
lsp-add s2 p3 -- lsp-set-addresses p3 "fa:16:3e:00:00:03 10.0.1.13" -- lsp-set-port-security p3 "fa:16:3e:00:00:03 10.0.1.13/24"
lsp-add s1 r1 -- lsp-set-addresses r1 "fa:16:3e:00:00:04 10.0.0.14"
lr-add gw -- lrp-add gw gw-s1 fa:16:3e:00:01:01 10.0.0.1/24 fd00::1/64 -- lrp-add gw gw-s2 fa:16:3e:00:01:02 10.0.1.1/24
set logical_router_port gw-s1 ipv6_ra_configs:address_mode=slaac ipv6_ra_configs:send_periodic=true
lsp-add s1 s1-gw -- set logical_switch_port s1-gw type=router options:router-port=gw-s1 -- lsp-set-addresses s1-gw router
lsp-add s2 s2-gw -- set logical_switch_port s2-gw type=router options:router-port=gw-s2 -- lsp-set-addresses s2-gw router
ls-add ext -- lsp-add ext ext-ln -- lsp-set-type ext-ln localnet -- lsp-set-addresses ext-ln unknown -- lsp-set-options ext-ln network_name=physnet -- set logical_switch_port ext-ln tag=100
lrp-add gw gw-ext fa:16:3e:00:01:03 203.0.113.2/24 -- lrp-set-gateway-chassis gw-ext h1 20 -- lrp-set-gateway-chassis gw-ext h2 10
lrp-set-options gw-ext gateway_mtu=1400
lsp-add ext ext-gw -- set logical_switch_port ext-gw type=router options:router-port=gw-ext options:nat-addresses=router -- lsp-set-addresses ext-gw router
lr-route-add gw 0.0.0.0/0 203.0.113.1
--ecmp lr-route-add gw 192.0.2.0/24 10.0.0.12 -- --ecmp lr-route-add gw 192.0.2.0/24 10.0.0.11
lr-policy-add gw 100 "ip4.src == 10.0.0.11 && ip4.dst == 198.51.100.0/24" reroute 10.0.1.13
lr-nat-add gw snat 203.0.113.2 10.0.0.0/16
lr-nat-add gw dnat_and_snat 203.0.113.11 10.0.0.11
lr-nat-add gw dnat_and_snat 203.0.113.13 10.0.1.13 p3 fa:16:3e:00:02:13
create address_set name=as1 addresses='"10.0.0.0/25","192.0.2.7","192.0.2.9"'
pg-add pg1 p1 p2 p3
acl-add pg1 to-lport 1002 "outport == @pg1 && ip4 && tcp.dst == {22,80,443} && ip4.src == \$as1" allow-related
acl-add pg1 to-lport 1001 "outport == @pg1 && ip6 && udp.dst == 1000" allow-stateless
acl-add pg1 from-lport 1002 "inport == @pg1 && ip" allow-related
acl-add pg1 to-lport 1000 "outport == @pg1 && ip4 && icmp4.type == 8" reject
--log --meter=acl-meter --name=denied --severity=info acl-add s1 to-lport 900 "ip4.src == 10.9.0.0/16" drop
meter-add acl-meter drop 100 pktps 10
lb-add lb1 203.0.113.80:80 10.0.0.11:8080,10.0.0.12:8080 tcp -- lb-add lb2 10.0.0.99 10.0.0.11,10.0.0.12
ls-lb-add s1 lb1 -- lr-lb-add gw lb1 -- ls-lb-add s1 lb2
set load_balancer lb1 options:affinity_timeout=60 -- set load_balancer lb2 selection_fields=ip_src,ip_dst
set logical_switch_port p1 dhcpv4_options=$(ovn-nbctl --db=$NB create dhcp_options cidr=10.0.0.0/24 options='"server_id"="10.0.0.1" "server_mac"="fa:16:3e:00:01:01" "lease_time"="3600" "router"="10.0.0.1" "mtu"="1400"')
set logical_switch s1 dns_records=$(ovn-nbctl --db=$NB create dns records:vm1.example.org="10.0.0.11")
qos-add s1 from-lport 100 "inport == \"p1\" && ip4" rate=10000 burst=1000 dscp=10
mirror-add m1 gre 5 from-lport 172.31.0.9
lsp-attach-mirror p1 m1
`
