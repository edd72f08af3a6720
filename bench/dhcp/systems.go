package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// ports is how many VMs each system has; runs on one port use the first.
const ports = 20

// system is one DHCP server behind a real Open vSwitch of its own, with its VMs plugged.
type system struct {
	name   string
	host   *ovstest.Host
	server *ovstest.Process
	nics   []*nic
	gen    map[int]*generator // by number of ports
}

func newSystem(p *ovstest.Program, name string) *system {
	s := &system{name: name, host: ovstest.Start(p, ovstest.Options{Name: name}), gen: map[int]*generator{}}
	for i := range ports {
		n, err := newNIC(s.host, fmt.Sprintf("tap%02d", i))
		if err != nil {
			p.Fatalf("%v", err)
		}
		s.nics = append(s.nics, n)
	}
	return s
}

// plug adds all VMs to br-int at once, with external_ids:iface-id where there are ids.
func (s *system) plug(ids []string) {
	args := []string{}
	for i, n := range s.nics {
		args = append(args, "--", "add-port", "br-int", n.name)
		if ids != nil {
			args = append(args, "--", "set", "Interface", n.name, "external_ids:iface-id="+ids[i])
		}
	}
	s.host.VSCtl(args[1:]...)
}

// ready waits until every VM gets its address.
func (s *system) ready(p *ovstest.Program) {
	for _, k := range []int{1, ports} {
		g, err := newGenerator(s.nics[:k])
		if err != nil {
			p.Fatalf("%v", err)
		}
		p.Cleanup(g.close)
		s.gen[k] = g
	}
	// One exchange is outstanding and goes round the ports.
	var r result
	served := ovstest.WaitFor(60*time.Second, func() (ok bool) {
		var err error
		if r, err = s.gen[ports].closed(1, 200*time.Millisecond); err != nil {
			p.Fatalf("%v", err)
		}
		return r.done > 2*ports && r.lost == 0 && r.wrong == 0
	})
	if !served {
		p.Fatalf("%s does not serve every VM: of %d exchanges %d done, %d lost, %d replies wrong; %s", s.name, r.started, r.done, r.lost, r.wrong, s.server.Output())
	}
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}) }
func hardware(i int) [6]byte   { return [6]byte{0xfa, 0x16, 0x3e, 0, 1, byte(i)} }

// --- Penstock

type penstockOptions struct {
	bin   string
	pprof bool
	pps   int
}

func startPenstock(p *ovstest.Program, name string, o penstockOptions) *system {
	s := newSystem(p, name)
	h := s.host
	config := fmt.Sprintf("data_dir: %s/data\napi: {listen: \"127.0.0.1:9696\", pprof: %v}\n"+
		"hosts: [{name: h1, ovsdb: %q, datapath_type: netdev}]\npacket_in: {dhcp_pps: %d, dhcp_burst: %d}\n",
		h.Dir(), o.pprof, h.OVSDB(), o.pps, o.pps)
	file := filepath.Join(h.Dir(), "penstock.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		p.Fatalf("%v", err)
	}
	s.server = h.Start(filepath.Join(o.bin, "penstockd"), "--config", file)
	a := &api{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) { return h.Dial(ctx, network, addr) }}}}
	ovstest.Wait(p, 60*time.Second, "penstockd to answer", func() bool {
		if !s.server.Running() {
			p.Fatalf("penstockd ended: %s", s.server.Output())
		}
		r, err := a.c.Get("http://127.0.0.1:9696/readyz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
	must := func(v map[string]any, err error) string {
		if err != nil {
			p.Fatalf("%v", err)
		}
		return v["id"].(string)
	}
	net := must(a.create("network", map[string]any{"name": "bench"}))
	must(a.create("subnet", map[string]any{"network_id": net, "cidr": "10.0.0.0/24", "ip_version": 4, "dns_nameservers": []string{"10.0.0.53"}}))
	var ids []string
	for i, n := range s.nics {
		n.setIdentity(hardware(i), address(i))
		ids = append(ids, must(a.create("port", map[string]any{"network_id": net, "mac_address": mac(n.mac),
			"fixed_ips": []map[string]any{{"ip_address": n.addr.String()}}, "binding:host_id": "h1"})))
	}
	ovstest.Wait(p, 30*time.Second, "br-int", func() bool {
		_, err := h.TryVSCtl("br-exists", "br-int")
		return err == nil
	})
	s.plug(ids)
	s.ready(p)
	return s
}

func mac(m [6]byte) string { return net.HardwareAddr(m[:]).String() }

// api is just enough of the Networking API.
type api struct{ c http.Client }

func (a *api) create(kind string, body map[string]any) (map[string]any, error) {
	b, err := json.Marshal(map[string]any{kind: body})
	if err != nil {
		return nil, err
	}
	r, err := a.c.Post("http://127.0.0.1:9696/v2.0/"+kind+"s", "application/json", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err = io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("create %s: %s: %s", kind, r.Status, b)
	}
	var out map[string]map[string]any
	err = json.Unmarshal(b, &out)
	return out[kind], err
}

// --- dnsmasq, behind a bridge that is a learning switch

func startDnsmasq(p *ovstest.Program) *system {
	s := newSystem(p, "dnsmasq")
	h := s.host
	h.AddBridge("br-int")
	vm := h.AddVM("dhcp", ovstest.VMOptions{IP: "10.0.0.2/24"})
	var hosts strings.Builder
	for i, n := range s.nics {
		n.setIdentity(hardware(i), address(i))
		fmt.Fprintf(&hosts, "%s,%s\n", mac(n.mac), n.addr)
	}
	file := filepath.Join(h.Dir(), "hosts")
	if err := os.WriteFile(file, []byte(hosts.String()), 0o644); err != nil {
		p.Fatalf("%v", err)
	}
	s.server = vm.Start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--user=root", "--group=root",
		"--dhcp-range=10.0.0.0,static,255.255.255.0,86400s", "--dhcp-hostsfile="+file, "--dhcp-authoritative", "--no-ping", "--leasefile-ro",
		"--dhcp-lease-max=1000", "--quiet-dhcp", "--log-facility=/dev/null", "--dhcp-option=3,10.0.0.1", "--dhcp-option=6,10.0.0.53", "--dhcp-option=26,1450", "--pid-file="+h.Dir()+"/dnsmasq.pid")
	s.plug(nil)
	s.ready(p)
	return s
}

// --- OVN

func startOVN(p *ovstest.Program) *system {
	ovstest.Need(p, "ovn-northd", "ovn-controller")
	s := newSystem(p, "ovn")
	h := s.host
	dir := h.Dir()
	env := []string{"OVN_RUNDIR=" + dir, "OVN_DBDIR=" + dir, "OVN_LOGDIR=" + dir, "OVN_SYSCONFDIR=" + dir}
	for _, db := range []string{"nb", "sb"} {
		h.Run("ovsdb-tool", "create", "ovn"+db+".db", "/usr/share/ovn/ovn-"+db+".ovsschema")
		h.StartEnv(env, "ovsdb-server", "--remote=punix:"+dir+"/ovn"+db+".sock", "--unixctl="+dir+"/ovn"+db+".ctl", "-vconsole:emer", dir+"/ovn"+db+".db")
		ovstest.Wait(p, 20*time.Second, "OVN's database", func() bool { _, err := os.Stat(dir + "/ovn" + db + ".sock"); return err == nil })
	}
	nb, sb := "unix:"+dir+"/ovnnb.sock", "unix:"+dir+"/ovnsb.sock"
	h.StartEnv(env, "ovn-northd", "--ovnnb-db="+nb, "--ovnsb-db="+sb, "--unixctl="+dir+"/northd.ctl", "-vconsole:emer")
	h.VSCtl("set", "Open_vSwitch", ".", "external_ids:ovn-remote="+sb, "external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip=127.0.0.1",
		"external_ids:ovn-bridge-datapath-type=netdev")
	h.AddBridge("br-int", "fail_mode=secure")
	s.server = h.StartEnv(env, "ovn-controller", "-vconsole:warn", h.OVSDB())
	ctl := func(args ...string) string {
		return h.Run(append([]string{"ovn-nbctl", "--db=" + nb, "--timeout=60"}, args...)...)
	}
	ctl("ls-add", "bench")
	opts := strings.TrimSpace(ctl("create", "DHCP_Options", "cidr=10.0.0.0/24", `options="server_id"="10.0.0.2" "server_mac"="fa:16:3e:00:00:02" "lease_time"="86400" "router"="10.0.0.1" "dns_server"="{10.0.0.53}" "mtu"="1442"`))
	var ids []string
	args := []string{}
	for i, n := range s.nics {
		n.setIdentity(hardware(i), address(i))
		id := "vm" + strconv.Itoa(i)
		ids = append(ids, id)
		args = append(args, "--", "lsp-add", "bench", id, "--", "lsp-set-addresses", id, mac(n.mac)+" "+n.addr.String(), "--", "lsp-set-dhcpv4-options", id, opts)
	}
	ctl(args[1:]...)
	s.plug(ids)
	ctl("--wait=hv", "sync")
	s.ready(p)
	return s
}
