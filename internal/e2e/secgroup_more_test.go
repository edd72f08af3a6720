package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/opapi"
)

// drops asks why packets of a port were dropped.
func (e *env) drops(v *vm) (d opapi.PortDrops) {
	e.t.Helper()
	e.do("GET", fmt.Sprintf(opapi.PathPortDrops, v.Port["id"]), nil, &d)
	return d
}

// TestSecurityGroupKinds tries what is not plain TCP and UDP over IPv4 within one network.
func TestSecurityGroupKinds(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	e.create("subnet", object{"network_id": n["id"], "ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": nil, "enable_dhcp": false})
	out := e.group("out", nil)
	e.rule(out, "egress", nil)
	e.rule(out, "egress", object{"ethertype": "IPv6"})
	web := e.group("web", nil)
	e.rule(web, "ingress", object{"protocol": "udp", "port_range_min": 80, "port_range_max": 80})
	e.rule(web, "ingress", object{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80, "ethertype": "IPv6"})
	i := 10
	at := func(name string, net object, groups ...string) *vm {
		i++
		fixed := []object{{"ip_address": fmt.Sprint("10.0.0.", i)}}
		if net["name"] == "blue" {
			fixed = append(fixed, object{"ip_address": fmt.Sprintf("2001:db8::%x", i)})
		}
		v := e.vm(name, net, "", object{"fixed_ips": fixed, "security_groups": groups})
		v.IP = fmt.Sprint("10.0.0.", i)
		v.with()
		if len(fixed) > 1 {
			v.Run("ip", "addr", "add", fmt.Sprintf("2001:db8::%x/64", i), "dev", "eth0", "nodad")
		}
		return v
	}
	a, w := at("a", n, out), at("w", n, web)
	six := func(v *vm) *vm {
		s := *v
		s.IP = v.Port["fixed_ips"].([]any)[1].(object)["ip_address"].(string)
		return &s
	}
	for _, v := range []*vm{a, w} {
		v.serve("udp4", 80)
		v.serve("tcp6", 80)
		v.serve("tcp6", 81)
	}

	// IPv6 with neighbour discovery, which no rule speaks of.
	w6 := six(w)
	a.reaches("tcp6", w6, 80)
	a.refused("tcp6", w6, 81)
	w.refused("tcp6", six(a), 80)
	if _, err := a.TryRun("ping", "-6", "-c", "1", "-W", "1", w6.IP); err == nil {
		t.Error("a ping over IPv6 is answered without a rule")
	}

	// Fragments: a datagram of several is judged whole, by the ports that only its first has.
	big := func(port int) bool {
		c, err := a.dial("udp4", net.JoinHostPort(w.IP, fmt.Sprint(port)), moment)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return exchange(c, make([]byte, 1800))
	}
	a.reaches("udp4", w, 80)
	if !ovstest.WaitFor(patience, func() bool { return big(80) }) {
		t.Error("a datagram in fragments is not answered")
	}

	// An ICMP error of an allowed connection comes back, though no rule allows ICMP in.
	e.rule(web, "ingress", object{"protocol": "udp", "port_range_min": 99, "port_range_max": 99})
	e.settle()
	if !ovstest.WaitFor(patience, func() bool {
		c, err := a.dial("udp4", w.IP+":99", moment)
		if err != nil {
			return false
		}
		defer c.Close()
		c.Write([]byte("x"))
		return !echoes(c, moment) && refusedBy(c)
	}) {
		t.Error("an ICMP error related to an allowed connection does not come back")
	}

	// Stateless groups: each direction needs its rule.
	plain := e.group("plain", object{"stateful": false})
	p := at("p", n, plain)
	p.serve("udp4", 80)
	e.rule(plain, "ingress", object{"protocol": "udp", "port_range_min": 80, "port_range_max": 80})
	e.settle()
	a.refused("udp4", p, 80)
	e.rule(plain, "egress", object{"protocol": "udp", "port_range_min": 1024, "port_range_max": 65535, "remote_group_id": out})
	e.settle()
	a.reaches("udp4", p, 80)
	if zones := e.host.AppCtl("dpctl/dump-conntrack"); strings.Contains(zones, p.IP) && strings.Count(zones, p.IP) > 2*strings.Count(zones, "src="+a.IP) {
		t.Errorf("connections of a port with stateless groups are tracked for it:\n%s", zones)
	}

	// The same addresses in another network are another thing.
	red, _ := e.network("red", "10.0.0.0/24", nil)
	i = 10
	ra := at("ra", red, out)
	rw := at("rw", red, web)
	rw.serve("udp4", 80)
	ra.reaches("udp4", rw, 80)
	e.update("port", rw.Port["id"], object{"security_groups": []string{}})
	e.settle()
	ra.refused("udp4", rw, 80)
	a.reaches("udp4", w, 80)

	// Without any rule DHCP works, and ping of its server.
	d := e.vm("d", n, "10.0.0.77", object{"security_groups": []string{}})
	lease := d.DHCP("udhcpc")
	if lease["ip"] != "10.0.0.77" {
		t.Errorf("a port without groups gets no lease: %v", lease)
	}
	d.serve("udp4", 80)
	d.IP = "10.0.0.77"
	d.refused("udp4", w, 80)
	a.refused("udp4", d, 80)

	// A zone is emptied when its port goes, and the next port that has it begins with nothing.
	zone := func(v *vm) string {
		for _, f := range e.flowsOf("br-int", e.key(v.Port["id"])) {
			if _, rest, ok := strings.Cut(f, "zone="); ok {
				return rest[:strings.IndexAny(rest, ",)")]
			}
		}
		t.Fatalf("%s has no zone", v.Name)
		return ""
	}
	i = 50
	gone := at("gone", n, web)
	gone.serve("udp4", 80)
	a.reaches("udp4", gone, 80)
	z := zone(gone)
	entries := func() string { return e.host.AppCtl("dpctl/dump-conntrack", "zone="+z) }
	if entries() == "" {
		t.Error("a port's connections are not in its zone")
	}
	others := e.host.AppCtl("dpctl/dump-conntrack", "zone="+zone(a))
	e.delete("port", gone.Port["id"])
	e.wait("the zone of a port that is gone to be emptied", func() bool { return entries() == "" })
	if others == "" || e.host.AppCtl("dpctl/dump-conntrack", "zone="+zone(a)) == "" {
		t.Error("another port's zone is emptied too")
	}

	// Why: the counters say so, with some patience for Open vSwitch to bring them up to date.
	find := func(v *vm, reason, direction string) func() bool {
		return func() bool {
			for _, x := range e.drops(v).Drops {
				if x.Reason == reason && x.Direction == direction && x.NPackets > 0 && x.Host == "h1" {
					return true
				}
			}
			return false
		}
	}
	e.wait("d's dropped sending to be counted", find(d, "no-rule", "egress"))
	e.wait("what w was not to get to be counted", find(w, "no-rule", "ingress"))
	a.send(ether(w.MAC, "02:00:00:00:00:99", 0x800, make([]byte, 40)))
	e.wait("the wrong MAC to be counted", find(a, "mac", "egress"))
	a.send(ether(w.MAC, a.MAC, 0x800, ip("10.0.0.200", "10.0.0.11", 17, 6, udpTo(1, 2, ""))))
	e.wait("the wrong address to be counted", find(a, "address", "egress"))
	e.wait("the rule's packets to be counted", func() bool {
		for _, r := range e.drops(w).Rules {
			if r.Text == "ingress IPv4 udp 80 from anywhere" && r.NPackets > 0 {
				return true
			}
		}
		return false
	})
	if len(e.drops(w).Rules) != 3 {
		t.Errorf("rules of w: %+v", e.drops(w).Rules)
	}
	ctl := e.d.dir + "/penstockctl"
	if text, err := exec.Command("go", "build", "-o", ctl, "../../cmd/penstockctl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	text := e.host.Run(ctl, "port", "why-dropped", "w")
	if !strings.Contains(text, "no rule allows the connection") || !strings.Contains(text, "udp 80 from anywhere (group web") {
		t.Errorf("penstockctl port why-dropped: %s", text)
	}
	if !json.Valid([]byte(e.host.Run(ctl, "-o", "json", "port", "why-dropped", "w"))) {
		t.Error("not JSON")
	}
}
