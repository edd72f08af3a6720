package e2e

import (
	be "encoding/binary"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// send puts a frame on the VM's eth0 as it is.
func (v *vm) send(frame []byte) {
	v.e.t.Helper()
	err := v.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(s)
		return syscall.Sendto(s, frame, 0, &syscall.SockaddrLinklayer{Ifindex: ifi.Index, Halen: 6})
	})
	if err != nil {
		v.e.t.Fatal(err)
	}
}

func mac(s string) []byte {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func ether(dst, src string, typ uint16, payload []byte) []byte {
	f := append(append([]byte{}, mac(dst)...), mac(src)...)
	return append(append(f, byte(typ>>8), byte(typ)), payload...)
}

func sum(b []byte, s uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// ip builds an IPv4 or IPv6 packet around a payload whose checksum field, at offset check, it fills in.
func ip(src, dst string, proto byte, check int, payload []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	pseudo := append(append([]byte{}, s.AsSlice()...), d.AsSlice()...)
	payload = append([]byte{}, payload...)
	if proto != 1 {
		be.BigEndian.PutUint16(payload[check:], sum(payload, uint32(proto)+uint32(len(payload))+uint32(^sum(pseudo, 0))))
	} else {
		be.BigEndian.PutUint16(payload[check:], sum(payload, 0))
	}
	if s.Is4() {
		h := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0}
		h = append(append(h, s.AsSlice()...), d.AsSlice()...)
		be.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		be.BigEndian.PutUint16(h[10:], sum(h, 0))
		return append(h, payload...)
	}
	h := []byte{0x60, 0, 0, 0, 0, 0, proto, 255}
	be.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	return append(append(append(h, s.AsSlice()...), d.AsSlice()...), payload...)
}

func udpTo(sport, dport uint16, data string) []byte {
	b := append(make([]byte, 8), data...)
	be.BigEndian.PutUint16(b, sport)
	be.BigEndian.PutUint16(b[2:], dport)
	be.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func arpOf(op byte, sha, spa, tpa string) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac(sha)...)
	b = append(b, netip.MustParseAddr(spa).AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), netip.MustParseAddr(tpa).AsSlice()...)
}

// nd builds a neighbour solicitation or advertisement with an option that holds a MAC, if given.
func nd(typ byte, target, lladdr string) []byte {
	b := append([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	if lladdr != "" {
		b = append(append(b, typ-134, 1), mac(lladdr)...)
	}
	return b
}

// TestAntiSpoofing sends frames that a port may send and that it may not, and looks which of them another one gets.
func TestAntiSpoofing(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", object{"gateway_ip": nil, "enable_dhcp": false})
	e.create("subnet", object{"network_id": n["id"], "ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": nil, "enable_dhcp": false})
	open := e.group("open", nil)
	for _, family := range []string{"IPv4", "IPv6"} {
		e.rule(open, "egress", object{"ethertype": family})
		e.rule(open, "ingress", object{"ethertype": family})
	}
	port := func(name, v4, v6 string, attrs object) *vm {
		body := object{"security_groups": []string{open}, "fixed_ips": []object{{"ip_address": v4}, {"ip_address": v6}}}
		for k, x := range attrs {
			body[k] = x
		}
		v := e.vm(name, n, "", body)
		v.IP = v4
		return v.with()
	}
	a, b := port("a", "10.0.0.11", "2001:db8::11", nil), port("b", "10.0.0.12", "2001:db8::12", nil)
	o := port("o", "10.0.0.14", "2001:db8::14", object{"port_security_enabled": false, "security_groups": []string{}}) // gets what there is
	seen := o.Capture("")
	const other, all, six = "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
	const linkLocal, foreign = "fe80::99", "2001:db8::99"
	m := a.MAC
	own := linkLocalOf(m)
	type try struct {
		name  string
		frame []byte
		pass  bool
	}
	// Each has its name, or an address of its own, to be known by in the capture.
	v4 := func(src, dst, data string, sport, dport uint16) []byte {
		return ip(src, dst, 17, 6, udpTo(sport, dport, data))
	}
	tries := []try{
		{"own address", ether(o.MAC, m, 0x800, v4("10.0.0.11", "10.0.0.12", "", 1001, 9)), true},
		{"another address", ether(o.MAC, m, 0x800, v4("10.0.0.66", "10.0.0.12", "", 1002, 9)), false},
		{"another MAC", ether(o.MAC, other, 0x800, v4("10.0.0.11", "10.0.0.12", "", 1003, 9)), false},
		{"another MAC, to all", ether(all, other, 0x800, v4("10.0.0.11", "10.0.0.255", "", 1004, 9)), false},
		{"ARP", ether(all, m, 0x806, arpOf(1, m, "10.0.0.11", "10.0.0.201")), true},
		{"ARP of another", ether(all, m, 0x806, arpOf(1, m, "10.0.0.66", "10.0.0.202")), false},
		{"ARP, another MAC inside", ether(all, m, 0x806, arpOf(1, other, "10.0.0.11", "10.0.0.203")), false},
		{"ARP probe", ether(all, m, 0x806, arpOf(1, m, "0.0.0.0", "10.0.0.204")), true},
		{"ARP reply of another", ether(o.MAC, m, 0x806, arpOf(2, m, "10.0.0.66", "10.0.0.12")), false},
		{"DHCP request", ether(all, m, 0x800, v4("0.0.0.0", "255.255.255.255", "", 68, 67)), true},
		{"from no address", ether(all, m, 0x800, v4("0.0.0.0", "255.255.255.255", "", 1005, 9)), false},
		{"DHCP answer", ether(o.MAC, m, 0x800, v4("10.0.0.11", "10.0.0.12", "", 67, 68)), false},
		{"DHCPv6 answer", ether(o.MAC, m, 0x86dd, ip("2001:db8::11", "2001:db8::12", 17, 6, udpTo(547, 546, ""))), false},
		{"IPv6", ether(o.MAC, m, 0x86dd, ip("2001:db8::11", "2001:db8::12", 17, 6, udpTo(1101, 9, ""))), true},
		{"IPv6, link-local", ether(o.MAC, m, 0x86dd, ip(own, "ff02::1", 17, 6, udpTo(1102, 9, ""))), true},
		{"IPv6 of another", ether(o.MAC, m, 0x86dd, ip(foreign, "2001:db8::12", 17, 6, udpTo(1103, 9, ""))), false},
		{"IPv6, another link-local", ether(o.MAC, m, 0x86dd, ip(linkLocal, "2001:db8::12", 17, 6, udpTo(1104, 9, ""))), false},
		{"solicitation", ether(six, m, 0x86dd, ip("2001:db8::11", "ff02::1", 58, 2, nd(135, "2001:db8::201", m))), true},
		{"solicitation of another", ether(six, m, 0x86dd, ip(foreign, "ff02::1", 58, 2, nd(135, "2001:db8::202", m))), false},
		{"solicitation, another MAC inside", ether(six, m, 0x86dd, ip("2001:db8::11", "ff02::1", 58, 2, nd(135, "2001:db8::203", other))), false},
		{"duplicate detection", ether(six, m, 0x86dd, ip("::", "ff02::1", 58, 2, nd(135, "2001:db8::11", ""))), true},
		{"duplicate detection for another", ether(six, m, 0x86dd, ip("::", "ff02::1", 58, 2, nd(135, "2001:db8::204", ""))), false},
		{"advertisement", ether(six, m, 0x86dd, ip("2001:db8::11", "ff02::1", 58, 2, nd(136, "2001:db8::11", m))), true},
		{"advertisement of another", ether(six, m, 0x86dd, ip("2001:db8::11", "ff02::1", 58, 2, nd(136, foreign, m))), false},
		{"advertisement, another MAC", ether(six, m, 0x86dd, ip("2001:db8::11", "ff02::1", 58, 2, nd(136, "2001:db8::11", other))), false},
		{"router advertisement", ether(six, m, 0x86dd, ip(own, "ff02::1", 58, 2, []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0})), false},
		{"router solicitation", ether(six, m, 0x86dd, ip("::", "ff02::1", 58, 2, []byte{133, 0, 0, 0, 0, 0, 0, 0})), true},
		{"another protocol", ether(all, m, 0x88b5, make([]byte, 50)), false},
		{"RARP", ether(all, m, 0x8035, append([]byte{0, 1, 8, 0, 6, 4, 0, 3}, make([]byte, 38)...)), true},
	}
	// got is how many of the frames that were sent the capture has: sent one after the other, a frame that passes ends
	// the wait for those before it.
	count := 0
	got := func(x try) bool {
		t.Helper()
		before := len(seen.Lines())
		a.send(x.frame)
		count++

		mark := "10.0.1." + itoa(count)
		a.send(ether(all, m, 0x806, arpOf(1, m, "10.0.0.11", mark)))
		if seen.Wait("who-has "+mark+" ", patience) == "" {
			t.Fatalf("%s: what is sent after it is not seen", x.name)
		}
		for _, l := range seen.Lines()[before:] {
			// What the VM's kernel says by itself, at times of its own.
			if strings.Contains(l, "multicast listener report") || strings.Contains(l, "router solicitation") && x.name != "router solicitation" {
				continue
			}
			if (strings.Contains(l, m) || strings.Contains(l, other)) && !strings.Contains(l, "10.0.1.") && !strings.Contains(l, o.MAC+" > ") && !strings.Contains(l, "Reply 10.0.0.11 is-at") {
				if !x.pass {
					t.Logf("%s: seen: %s", x.name, l)
				}
				return true
			}
		}
		return false
	}
	a.Run("ip", "-6", "addr", "flush", "dev", "eth0") // its kernel is quiet
	check := func(tries []try) {
		t.Helper()
		for _, x := range tries {
			if ok := got(x); ok != x.pass {
				t.Errorf("%s: passes: %v, want %v", x.name, ok, x.pass)
			}
		}
	}
	check(tries)

	// Allowed pairs: an address that moves between two ports, as VRRP has it, with a MAC of its own.
	const vip, vmac = "10.0.0.100", "00:00:5e:00:01:01"
	e.update("port", a.Port["id"], object{"allowed_address_pairs": []object{{"ip_address": vip, "mac_address": vmac}, {"ip_address": "10.0.2.0/24"}}})
	e.settle()
	check([]try{
		{"an address of a pair", ether(o.MAC, m, 0x800, v4("10.0.2.7", "10.0.0.12", "", 1201, 9)), true},
		{"ARP of a pair", ether(all, m, 0x806, arpOf(1, m, "10.0.2.7", "10.0.0.205")), true},
		{"own address still", ether(o.MAC, m, 0x800, v4("10.0.0.11", "10.0.0.12", "", 1202, 9)), true},
		{"a pair's address with another's MAC", ether(o.MAC, m, 0x800, v4(vip, "10.0.0.12", "", 1203, 9)), false},
	})
	for _, x := range []*vm{a, b} {
		e.update("port", x.Port["id"], object{"allowed_address_pairs": []object{{"ip_address": vip, "mac_address": vmac}}})
	}
	c := port("c", "10.0.0.13", "2001:db8::13", nil)
	for i, x := range []*vm{a, b, a} {
		x.Run("ip", "link", "add", "vrrp", "link", "eth0", "address", vmac, "type", "macvlan", "mode", "private")
		x.Run("ip", "addr", "add", vip+"/32", "dev", "vrrp")
		x.Run("ip", "link", "set", "vrrp", "up")
		x.Run("ip", "route", "add", c.IP+"/32", "dev", "vrrp", "src", vip)
		x.Run("sysctl", "-q", "-w", "net.ipv4.conf.eth0.arp_ignore=1")
		x.TryRun("arping", "-U", "-c", "1", "-I", "vrrp", "-s", vip, vip)
		if !c.WaitPing(vip, patience) {
			t.Errorf("turn %d: the address that moves is not reached", i)
		}
		x.Run("ip", "link", "del", "vrrp")
	}

	// Without port security everything passes.
	e.update("port", a.Port["id"], object{"allowed_address_pairs": []object{}})
	e.update("port", a.Port["id"], object{"port_security_enabled": false, "security_groups": []string{}})
	e.settle()
	for i := range tries {
		tries[i].pass = true
	}
	var free []try
	for _, x := range tries {
		if !strings.HasPrefix(x.name, "another MAC") && !strings.Contains(x.name, "another MAC") { // learned, and then known from here
			free = append(free, x)
		}
	}
	check(free)
}

func itoa(n int) string { return netip.AddrFrom4([4]byte{0, 0, 0, byte(n)}).String()[6:] }

// linkLocalOf is the IPv6 link-local address of a MAC (RFC 4291).
func linkLocalOf(s string) string {
	m := mac(s)
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}).String()
}
