package dhcp

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/packettest"
)

// dnsmasqOptions is what `dnsmasq --help dhcp` prints (2.90).
//
//go:embed testdata/dnsmasq-options.txt
var dnsmasqOptions string

// dnsmasqValues is what dnsmasq made of values.
//
//go:embed testdata/dnsmasq-values.txt
var dnsmasqValues string

// TestDnsmasqValues checks that values become the bytes that dnsmasq made of them.
func TestDnsmasqValues(t *testing.T) {
	n := 0
	for line := range strings.Lines(dnsmasqValues) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			continue
		}
		n++
		name, err := parseName(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encode(nil, name.code, f[1], netip.MustParseAddr("10.0.0.2")); err != nil || hex.EncodeToString(got) != f[2] {
			t.Errorf("%s %q: %x, %v; dnsmasq says %s", f[0], f[1], got, err, f[2])
		}
	}
	if n < 44 {
		t.Fatalf("only %d values in testdata", n)
	}
}

// TestNames checks that every name of dnsmasq's, and every number, is understood.
func TestNames(t *testing.T) {
	n := 0
	for line := range strings.Lines(dnsmasqOptions) {
		num, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		want, err := strconv.Atoi(num)
		if !ok || err != nil {
			continue
		}
		n++
		for _, form := range []string{name, "option:" + name, strings.ToUpper(name), num, "tag:ipxe," + name, "tag:!ipxe,tag:known," + num} {
			got, err := parseName(form)
			if err != nil || int(got.code) != want || len(got.tags) != strings.Count(form, "tag:") {
				t.Errorf("%q: %+v, %v; want %d", form, got, err, want)
			}
		}
	}
	if n < 60 {
		t.Fatalf("only %d names in testdata", n)
	}
	for _, bad := range []string{"", "nonsense", "256", "-1", "0", "53", "54", "82", "tag:ipxe", "tag:,", "option:", "1e1"} {
		if got, err := parseName(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

// TestValues checks the bytes of values as dnsmasq would make them.
func TestValues(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"router", "10.0.0.1", "0a000001"},
		{"dns-server", "8.8.8.8, 0.0.0.0", "080808080a000002"},
		{"ntp-server", "10.0.0.1,10.0.0.2,10.0.0.3", "0a0000010a0000020a000003"},
		{"static-route", "10.1.0.0,10.0.0.9", "0a0100000a000009"},
		{"mtu", "1400", "0578"},
		{"26", "9000", "2328"},
		{"time-offset", "-3600", "fffff1f0"},
		{"default-ttl", "64", "40"},
		{"ip-forward-enable", "1", "01"},
		{"T1", "1h", "00000e10"},
		{"lease-time", "infinite", "ffffffff"},
		{"58", "300", "0000012c"},
		{"arp-timeout", "60", "0000003c"},
		{"domain-name", "10.example", hexa("10.example")},
		{"tftp-server", "10.0.0.5", hexa("10.0.0.5")},
		{"66", "boot.example", hexa("boot.example")},
		{"bootfile-name", "pxelinux.0", hexa("pxelinux.0")},
		{"67", "http://10.0.0.1/boot,x.ipxe", hexa("http://10.0.0.1/boot,x.ipxe")},
		{"150", "10.0.0.7,10.0.0.8", "0a0000070a000008"},
		{"tftp-server-address", "10.0.0.7", "0a000007"},
		{"classless-static-route", "0.0.0.0/0,10.0.0.1,10.17.0.0/16,10.0.0.2,10.27.129.0/24,0.0.0.0", "000a000001" + "100a110a000002" + "180a1b8100000000"},
		{"249", "10.128.0.0/9,10.0.0.3", "090a800a000003"},
		{"121", "10.99.0.0/33,10.0.0.1", "!"},
		{"121", "10.99.0.0/16", "!"},
		{"domain-search", "eng.apple.com,marketing.apple.com", "03" + hexa("eng") + "05" + hexa("apple") + "03" + hexa("com") + "00" + "09" + hexa("marketing") + "05" + hexa("apple") + "03" + hexa("com") + "00"},
		{"sip-server", "10.0.0.1", "010a000001"},
		{"sip-server", "sip.example", "0003" + hexa("sip") + "07" + hexa("example") + "00"},
		{"vendor-class", "PXEClient", hexa("PXEClient")},
		{"43", "01:04:00:00:00:00:ff", "010400000000ff"},
		{"vendor-encap", "06:01:03", "060103"},
		{"175", "1", "01"},
		{"224", "300", "012c"},
		{"224", "70000", "00011170"},
		{"224", "7s", "0007"},
		{"224", "7i", "00000007"},
		{"224", "hello world", hexa("hello world")},
		{"224", "10.0.0.1,10.0.0.2", "0a0000010a000002"},
		{"224", "10.0.0.0/8", "080a"},
		{"ipv6-only", "1800", "00000708"},
		{"client-arch", "7", "0007"},
		{"252", "http://wpad/wpad.dat", hexa("http://wpad/wpad.dat")},
		{"router", "gateway", "!"},
		{"router", "fe80::1", "!"},
		{"router", "10.0.0.1,", "!"},
		{"mtu", "65536", "!"},
		{"mtu", "big", "!"},
		{"default-ttl", "256", "!"},
		{"T1", "1y", "!"},
		{"T1", "4000000000w", "!"},
		{"domain-search", "a..b", "!"},
		{"domain-search", strings.Repeat("x", 64) + ".com", "!"},
		{"domain-search", strings.Repeat("x.", 127) + "com", "!"},
		{"67", strings.Repeat("x", maxValue+1), "!"},
	} {
		n, err := parseName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encode([]byte{}, n.code, c.value, netip.MustParseAddr("10.0.0.2"))
		if s := hex.EncodeToString(got); err == nil && s != c.want || err != nil && (c.want != "!" || len(got) != 0) {
			t.Errorf("%s %.40q: %s, %v; want %s", c.name, c.value, s, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 200) {
			t.Errorf("not one short line: %v", err)
		}
	}
}

func hexa(s string) string { return hex.EncodeToString([]byte(s)) }

// extra makes a port's extra_dhcp_opts of name and value in turn.
func extra(nv ...string) (o []model.DHCPOption) {
	for i := 0; i < len(nv); i += 2 {
		o = append(o, model.DHCPOption{Name: nv[i], Value: nv[i+1], IPVersion: 4})
	}
	return o
}

// TestExtra checks how a port's own options lie over the subnet's.
func TestExtra(t *testing.T) {
	ipxe := generic(175, 1, 1, 0)
	for _, c := range []struct {
		name  string
		opts  []model.DHCPOption
		mods  []dhcpv4.Modifier
		check func(a *answer) bool
	}{
		{"replace", extra("mtu", "1300", "6", "1.1.1.1", "domain-name", "example.net", "hostname", "box"), nil, func(a *answer) bool {
			return hex.EncodeToString(a.Options.Get(code(26))) == "0514" && len(a.DNS()) == 1 && a.DomainName() == "example.net" && a.HostName() == "box"
		}},
		{"clear", extra("router", "", "dns-server", ""), nil, func(a *answer) bool { return a.Router() == nil && a.DNS() == nil }},
		{"sent without being asked for", extra("150", "10.0.0.9", "ntp-server", "10.0.0.8"), []dhcpv4.Modifier{generic(55, 1, 3)}, func(a *answer) bool {
			return bytes.Equal(codes(a.raw), []byte{53, 54, 51, 1, 3, 26, 150, 42, 58, 59}) && a.ServerIPAddr.Equal(net.IP{10, 0, 0, 9})
		}},
		{"boot", extra("bootfile-name", "pxelinux.0", "tftp-server", "10.0.0.9"), nil, func(a *answer) bool {
			return a.BootFileName == "pxelinux.0" && a.BootFileNameOption() == "pxelinux.0" && a.ServerHostName == "10.0.0.9" &&
				a.TFTPServerName() == "10.0.0.9" && a.ServerIPAddr.Equal(net.IP{10, 0, 0, 9})
		}},
		{"next server", extra("server-ip-address", "10.0.0.77", "tftp-server", "10.0.0.9"), nil, func(a *answer) bool {
			return a.ServerIPAddr.Equal(net.IP{10, 0, 0, 77}) && !a.Options.Has(code(255))
		}},
		{"boot file too long for its field", extra("67", strings.Repeat("f", 200)), nil, func(a *answer) bool {
			return a.BootFileName == "" && len(a.Options.Get(code(67))) == 200
		}},
		{"tags without iPXE", extra("tag:ipxe,67", "http://h/boot.ipxe", "tag:!ipxe,67", "undionly.kpxe"), nil, func(a *answer) bool { return a.BootFileName == "undionly.kpxe" }},
		{"tags with iPXE", extra("tag:ipxe,67", "http://h/boot.ipxe", "tag:!ipxe,67", "undionly.kpxe"), []dhcpv4.Modifier{ipxe}, func(a *answer) bool { return a.BootFileName == "http://h/boot.ipxe" }},
		{"tags by user class", extra("tag:ipxe,67", "http://h/boot.ipxe", "67", "undionly.kpxe"), []dhcpv4.Modifier{dhcpv4.WithUserClass("iPXE", false)}, func(a *answer) bool { return a.BootFileName == "http://h/boot.ipxe" }},
		{"tags by user class of RFC 3004", extra("tag:ipxe,67", "http://h/boot.ipxe", "67", "undionly.kpxe"), []dhcpv4.Modifier{dhcpv4.WithUserClass("iPXE", true)}, func(a *answer) bool { return a.BootFileName == "http://h/boot.ipxe" }},
		{"tags, the plain one otherwise", extra("tag:ipxe,67", "http://h/boot.ipxe", "67", "undionly.kpxe"), nil, func(a *answer) bool { return a.BootFileName == "undionly.kpxe" }},
		{"later of equals", extra("67", "a", "67", "b"), nil, func(a *answer) bool { return a.BootFileName == "b" }},
		{"lease", extra("lease-time", "1000"), nil, func(a *answer) bool {
			return a.LeaseTime().Seconds() == 1000 && a.IPAddressRenewalTime(0).Seconds() == 500 && a.IPAddressRebindingTime(0).Seconds() == 875
		}},
		{"lease for ever", extra("lease-time", "infinite"), nil, func(a *answer) bool {
			return hex.EncodeToString(a.Options.Get(code(51))) == "ffffffff" && !a.Options.Has(code(58)) && !a.Options.Has(code(59))
		}},
		{"lease cannot be cleared", extra("lease-time", ""), nil, func(a *answer) bool { return a.LeaseTime().Seconds() == 86400 }},
		{"own routes are Windows' too", extra("classless-static-route", "10.5.0.0/16,10.0.0.3"), []dhcpv4.Modifier{generic(55, 249)}, func(a *answer) bool {
			return hex.EncodeToString(a.Options.Get(code(249))) == "100a050a000003" && a.Options.Has(code(121))
		}},
		{"for IPv6 only", []model.DHCPOption{{Name: "mtu", Value: "1300", IPVersion: 6}}, nil, func(a *answer) bool { return hex.EncodeToString(a.Options.Get(code(26))) == "05aa" }},
		{"nonsense is left out", extra("mtu", "huge", "wonder", "x", "54", "1.2.3.4", "ntp-server", "10.0.0.8"), nil, func(a *answer) bool {
			return hex.EncodeToString(a.Options.Get(code(26))) == "05aa" && a.ServerIdentifier().Equal(srvIP) && a.NTPServers() != nil
		}},
		{"rapid commit not asked for", extra("rapid-commit", ""), nil, func(a *answer) bool { return a.MessageType() == 2 && !a.Options.Has(code(80)) }},
		{"rapid commit", extra("rapid-commit", ""), []dhcpv4.Modifier{generic(80)}, func(a *answer) bool {
			return a.MessageType() == 5 && a.Options.Has(code(80)) && a.YourIPAddr.Equal(vmIP)
		}},
		{"rapid commit not wanted here", nil, []dhcpv4.Modifier{generic(80)}, func(a *answer) bool { return a.MessageType() == 2 && !a.Options.Has(code(80)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := packettest.New()
			w.VM.DHCPOptions = c.opts
			_, a, err := ask(t, New(Config{}), view(w, 1), wrap(t, message(t, 1, c.mods...).ToBytes(), anyIP, ones))
			if err != nil || !c.check(a) {
				t.Fatalf("%v: %s", err, a.Summary())
			}
		})
	}
}

// TestProblems checks that what is left out is told.
func TestProblems(t *testing.T) {
	p := &model.Port{Meta: model.Meta{ID: "p1"}, DHCPOptions: append(extra("mtu", "huge", "wonder", "x", "54", "1.2.3.4", "ntp-server", "10.0.0.8", "router", ""),
		model.DHCPOption{Name: "bootfile-url", Value: "x", IPVersion: 6})}
	if errs := Problems(p); len(errs) != 3 || !strings.Contains(errs[0].Error(), "port p1") {
		t.Errorf("%v", errs)
	}
}

// TestRoom checks long options: split by RFC 3396, laid over file and sname, left out when nothing helps, and
// never more than the client takes.
func TestRoom(t *testing.T) {
	routes := func(n int) string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprintf("10.%d.%d.0/24,10.0.0.9", 10+i/256, i%256))
		}
		return strings.Join(s, ",")
	}
	all := generic(55, 1, 3, 121, 6, 12, 15, 28)
	for _, c := range []struct {
		name    string
		opts    []model.DHCPOption
		size    int // option 57
		mtu     int
		outcome string
		check   func(o map[uint8][]byte, a *answer) bool
	}{
		{"fits in 576", extra("121", routes(20)), 0, 1450, "offer", func(o map[uint8][]byte, a *answer) bool { return len(o[121]) == 160 && len(o[52]) == 0 }},
		{"fits with overload", extra("121", routes(30)), 0, 1450, "offer", func(o map[uint8][]byte, a *answer) bool { return len(o[121]) == 240 && len(o[52]) == 1 }},
		{"split over the fields", extra("121", routes(40)), 0, 1450, "offer", func(o map[uint8][]byte, a *answer) bool { return len(o[121]) == 320 && o[52][0] == 1 }},
		{"boot file keeps its field", extra("121", routes(25), "67", strings.Repeat("b", 60)), 0, 1450, "offer", func(o map[uint8][]byte, a *answer) bool {
			return len(o[121]) == 200 && o[52][0] == 2 && len(o[67]) == 60 && a.BootFileName == strings.Repeat("b", 60)
		}},
		{"too much", extra("121", routes(80)), 0, 1450, "offer-truncated", func(o map[uint8][]byte, a *answer) bool { return o[121] == nil && len(o[3]) == 4 && len(o[6]) == 8 }},
		{"client takes more", extra("121", routes(80)), 1400, 1450, "offer", func(o map[uint8][]byte, a *answer) bool { return len(o[121]) == 640 && o[52] == nil }},
		{"client takes more than the network", extra("121", routes(80)), 9000, 600, "offer-truncated", func(o map[uint8][]byte, a *answer) bool { return o[121] == nil }},
		{"client says less than it may", extra("121", routes(20)), 300, 1450, "offer", func(o map[uint8][]byte, a *answer) bool { return len(o[121]) == 160 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := packettest.New()
			w.VM.DHCPOptions, w.Network.MTU = c.opts, c.mtu
			mods := []dhcpv4.Modifier{all}
			if c.size > 0 {
				mods = append(mods, generic(57, byte(c.size>>8), byte(c.size)))
			}
			outcome, a, err := ask(t, New(Config{}), view(w, 1), wrap(t, message(t, 1, mods...).ToBytes(), anyIP, ones))
			if err != nil || outcome != c.outcome {
				t.Fatalf("%s, %v", outcome, err)
			}
			if limit := max(576, min(c.size, c.mtu)); len(a.raw)+28 > limit {
				t.Errorf("%d bytes, limit %d", len(a.raw)+28, limit)
			}
			o := aggregate(t, a.raw)
			if !c.check(o, a) || !bytes.Equal(o[53], []byte{2}) || len(o[51]) != 4 {
				t.Errorf("%x\n%s", o, a.Summary())
			}
		})
	}
}

// aggregate reads a reply's options as RFC 3396 says, strictly.
func aggregate(tb testing.TB, m []byte) map[uint8][]byte {
	out := map[uint8][]byte{}
	area := func(b []byte) {
		for {
			if len(b) == 0 {
				tb.Fatal("an area of options without an end")
			}
			if b[0] == 255 {
				if rest := bytes.Trim(b[1:], "\x00"); len(rest) > 0 {
					tb.Fatalf("%x behind the end of options", rest)
				}
				return
			}
			out[b[0]] = slices.Concat(out[b[0]], b[2:2+int(b[1])])
			b = b[2+int(b[1]):]
		}
	}
	area(m[240:])
	if o := out[52]; len(o) == 1 {
		if o[0]&1 != 0 {
			area(m[108:236])
		}
		if o[0]&2 != 0 {
			area(m[44:108])
		}
	}
	return out
}
