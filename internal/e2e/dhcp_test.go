package e2e

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDHCP leases addresses to both clients and looks at every option that they show.
func TestDHCP(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	net, _ := e.network("blue", "10.0.0.0/24", object{"dns_nameservers": []string{"10.0.0.53", "10.0.0.54"}, "gateway_ip": "10.0.0.1",
		"host_routes": []object{{"destination": "10.9.0.0/16", "nexthop": "10.0.0.254"}}})
	for i, client := range []string{"udhcpc", "dhclient"} {
		v := e.vm(client, net, fmt.Sprintf("10.0.0.%d", 11+i), object{"extra_dhcp_opts": []object{{"opt_name": "mtu", "opt_value": "1400"}}})
		lease := v.DHCP(client)
		want := map[string]string{
			"ip": v.IP, "mask": "24", "subnet": "255.255.255.0", "dns": "10.0.0.53 10.0.0.54", "domain": "openstacklocal", "mtu": "1400",
			"lease": "86400",
		}
		if client == "udhcpc" { // dhclient leaves routers to the classless routes
			want["router"] = "10.0.0.1"
		}
		for k, x := range want {
			if lease[k] != x {
				t.Errorf("%s: %s is %q, want %q", client, k, lease[k], x)
			}
		}
		for _, k := range []string{"staticroutes", "msstaticroutes"} {
			if !strings.Contains(lease[k], "10.9.0.0/16 10.0.0.254") || !strings.Contains(lease[k], "0.0.0.0/0 10.0.0.1") {
				t.Errorf("%s: %s is %q", client, k, lease[k])
			}
		}
		if s := lease["serverid"]; !strings.HasPrefix(s, "10.0.0.") || s == v.IP {
			t.Errorf("%s: server id %q", client, s)
		}
		v.pings(lease["serverid"])
	}
	// The address that the client wants is not the port's: it is told so and takes the right one.
	v := e.vm("other", net, "10.0.0.20", nil)
	c := v.StartDHCP("udhcpc", "-r", "10.0.0.99")
	if lease := c.WaitEvent("bound", 1, patience); lease["ip"] != "10.0.0.20" {
		t.Errorf("a client that asked for 10.0.0.99 got %q", lease["ip"])
	}
	for n := 1; n <= 2; n++ {
		c.Renew()
		if lease := c.WaitEvent("renew", n, patience); lease["ip"] != "10.0.0.20" {
			t.Errorf("renewal %d: %v; %s", n, lease, c.Output())
		}
	}
	// The port's address changes: the renewal is refused, and the client starts over with the new one.
	e.update("port", v.Port["id"], object{"fixed_ips": []object{{"ip_address": "10.0.0.21"}}})
	e.settle()
	c.Renew()
	if lease := c.WaitEvent("bound", 2, patience); lease["ip"] != "10.0.0.21" {
		t.Errorf("after a changed address: %v; %s", lease, c.Output())
	}
	if c.WaitEvent("nak", 1, time.Second) == nil {
		t.Errorf("no NAK for an address that is not the port's any more: %s", c.Output())
	}
}

// TestDHCPFlood has one VM flood the handler, while a neighbour gets and renews its lease.
func TestDHCPFlood(t *testing.T) {
	t.Parallel()
	e := start(t, options{extra: "packet_in: {dhcp_pps: 20, dhcp_burst: 20}\n"})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	loud, quiet := e.vm("loud", n, "10.0.0.11", nil).with(), e.vm("quiet", n, "10.0.0.12", nil)
	c := quiet.StartDHCP("udhcpc")
	if c.WaitEvent("bound", 1, patience) == nil {
		t.Fatal("no lease before the flood")
	}
	const frames = 20000
	err := loud.Do(func() error { return flood("10.0.0.11", frames) })
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 5; i++ {
		c.Renew()
		if c.WaitEvent("renew", i, patience) == nil {
			t.Fatalf("renewal %d failed: %s", i, c.Output())
		}
	}
	// The switch counts what the meter dropped: nearly all of what it took off the VM's interface. The handler saw no
	// more than the meter lets pass.
	var in, dropped int
	e.wait("the meter to have seen the flood", func() bool {
		in, dropped = meter(e, e.meterOf(loud))
		return in > 1000
	})
	if dropped < in*8/10 {
		t.Errorf("meter of the loud port: %d in, %d dropped", in, dropped)
	}
	if _, dropped := meter(e, e.meterOf(quiet)); dropped != 0 {
		t.Errorf("%d packets of the quiet port were dropped", dropped)
	}
	total := uint64(0)
	for _, k := range e.status().PacketIns["dhcp"] {
		total += k
	}
	if total == 0 || total > uint64(in-dropped)+100 {
		t.Errorf("the handler saw %d packets: %v", total, e.status().PacketIns)
	}
}

// flood sends DHCP requests as fast as it can, from a socket of the calling thread's namespace.
func flood(from string, n int) error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	if err := syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1); err != nil {
		return err
	}
	src := syscall.SockaddrInet4{Port: 68}
	copy(src.Addr[:], net.ParseIP(from).To4())
	if err := syscall.Bind(s, &src); err != nil {
		return err
	}
	msg := make([]byte, 300)
	copy(msg, []byte{1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef})
	copy(msg[236:], []byte{0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255})
	for range n {
		if err := syscall.Sendto(s, msg, 0, &syscall.SockaddrInet4{Port: 67, Addr: [4]byte{255, 255, 255, 255}}); err != nil && err != syscall.ENOBUFS {
			return err
		}
	}
	return nil
}

// meterOf is the id of the meter in front of a VM's DHCP requests.
func (e *env) meterOf(v *vm) string {
	e.t.Helper()
	for _, f := range e.flowsOf("br-int", e.key(v.Port["id"])) {
		if !strings.Contains(f, "meter_id=") {
			continue
		}
		_, rest, _ := strings.Cut(f, "meter_id=")
		id := rest[:strings.IndexAny(rest, ",) ")]
		if strings.Contains(f, "reg13=0x1") { // the DHCP handler
			return id
		}
	}
	e.t.Fatalf("no meter for %s", v.Name)
	return ""
}

// meter reads a meter's packets in and dropped.
func meter(e *env, id string) (in, dropped int) {
	e.t.Helper()
	out := e.host.OFCtl("meter-stats", "br-int", "meter="+id)
	for _, line := range strings.Split(out, "\n") {
		if _, rest, ok := strings.Cut(line, "packet_in_count:"); ok {
			fmt.Sscan(rest, &in)
		}
		if _, rest, ok := strings.Cut(line, "0: packet_count:"); ok {
			fmt.Sscan(rest, &dropped)
		}
	}
	return in, dropped
}
