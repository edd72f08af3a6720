package dhcp

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Option codes that the code names (RFC 2132 unless said otherwise).
const (
	optPad            = 0
	optMask           = 1
	optRouter         = 3
	optDNS            = 6
	optHostname       = 12
	optDomain         = 15
	optMTU            = 26
	optBroadcast      = 28
	optRequestedAddr  = 50
	optLease          = 51
	optOverload       = 52
	optMessageType    = 53
	optServerID       = 54
	optParameters     = 55
	optMessage        = 56
	optMaxSize        = 57
	optT1             = 58
	optT2             = 59
	optClientID       = 61
	optTFTPServer     = 66
	optBootfile       = 67
	optUserClass      = 77 // RFC 3004
	optRapidCommit    = 80 // RFC 4039
	optRelayInfo      = 82 // RFC 3046
	optAuthentication = 90 // RFC 3118
	optSubnetSelect   = 118
	optDomainSearch   = 119 // RFC 3397
	optSIPServers     = 120 // RFC 3361
	optRoutes         = 121 // RFC 3442
	optTFTPAddress    = 150 // RFC 5859
	optIPXE           = 175
	optRoutesMS       = 249 // RFC 3442's as Windows first had it
	optEnd            = 255
	// optNextServer is dnsmasq's "server-ip-address": no option but the field siaddr.
	optNextServer = optEnd
)

// kind is how an option's value is written.
type kind uint8

const (
	kindAny     kind = iota // by its look, as dnsmasq guesses: number, bytes, addresses, text
	kindAddrs               // IPv4 addresses; 0.0.0.0 is the server's own
	kindText                // as it is
	kindUint8               //
	kindUint16              //
	kindInt32               // signed or unsigned, 32 bits
	kindSeconds             // 32 bits, with dnsmasq's suffixes s, m, h, d, w, or "infinite"
	kindDomains             // names in RFC 1035 form
	kindSIP                 // addresses or names, a byte in front saying which
	kindRoutes              // pairs of prefix and next hop
)

// names are dnsmasq's names of options (its `--help dhcp`), which are Neutron's opt_name, and further down
// those that Neutron with OVN has. The kind holds for the option's number, too.
var names = map[string]struct {
	code uint8
	kind kind
}{
	"netmask": {optMask, kindAddrs}, "time-offset": {2, kindInt32}, "router": {optRouter, kindAddrs},
	"dns-server": {optDNS, kindAddrs}, "log-server": {7, kindAddrs}, "lpr-server": {9, kindAddrs},
	"hostname": {optHostname, kindText}, "boot-file-size": {13, kindUint16}, "domain-name": {optDomain, kindText},
	"swap-server": {16, kindAddrs}, "root-path": {17, kindText}, "extension-path": {18, kindText},
	"ip-forward-enable": {19, kindUint8}, "non-local-source-routing": {20, kindUint8}, "policy-filter": {21, kindAddrs},
	"max-datagram-reassembly": {22, kindUint16}, "default-ttl": {23, kindUint8}, "mtu": {optMTU, kindUint16},
	"all-subnets-local": {27, kindUint8}, "broadcast": {optBroadcast, kindAddrs}, "router-discovery": {31, kindUint8},
	"router-solicitation": {32, kindAddrs}, "static-route": {33, kindAddrs}, "trailer-encapsulation": {34, kindUint8},
	"arp-timeout": {35, kindInt32}, "ethernet-encap": {36, kindUint8}, "tcp-ttl": {37, kindUint8},
	"tcp-keepalive": {38, kindInt32}, "nis-domain": {40, kindText}, "nis-server": {41, kindAddrs},
	"ntp-server": {42, kindAddrs}, "vendor-encap": {43, kindAny}, "netbios-ns": {44, kindAddrs},
	"netbios-dd": {45, kindAddrs}, "netbios-nodetype": {46, kindUint8}, "netbios-scope": {47, kindAny},
	"x-windows-fs": {48, kindAddrs}, "x-windows-dm": {49, kindAddrs}, "lease-time": {optLease, kindSeconds},
	"T1": {optT1, kindSeconds}, "T2": {optT2, kindSeconds}, "vendor-class": {60, kindAny}, "nis+-domain": {64, kindText},
	"nis+-server": {65, kindAddrs}, "tftp-server": {optTFTPServer, kindText}, "bootfile-name": {optBootfile, kindText},
	"mobile-ip-home": {68, kindAddrs}, "smtp-server": {69, kindAddrs}, "pop3-server": {70, kindAddrs},
	"nntp-server": {71, kindAddrs}, "irc-server": {74, kindAddrs}, "user-class": {optUserClass, kindAny},
	"rapid-commit": {optRapidCommit, kindAny}, "client-arch": {93, kindUint16}, "client-interface-id": {94, kindAny},
	"client-machine-id": {97, kindAny}, "posix-timezone": {100, kindText}, "tzdb-timezone": {101, kindText},
	"ipv6-only": {108, kindInt32}, "domain-search": {optDomainSearch, kindDomains}, "sip-server": {optSIPServers, kindSIP},
	"classless-static-route": {optRoutes, kindRoutes}, "vendor-id-encap": {125, kindAny},
	"tftp-server-address": {optTFTPAddress, kindAddrs}, "server-ip-address": {optNextServer, kindAddrs},

	"ms-classless-static-route": {optRoutesMS, kindRoutes}, "path-prefix": {210, kindText}, "wpad": {252, kindText},
}

// lowerNames and kinds are names by lower-case name and by number.
var lowerNames, kinds = func() (map[string]uint8, [256]kind) {
	m, k := make(map[string]uint8, len(names)), [256]kind{}
	for name, o := range names {
		m[strings.ToLower(name)] = o.code
		k[o.code] = o.kind
	}
	return m, k
}()

// reserved are the options that belong to the protocol itself and no one may set.
func reserved(code uint8) bool {
	switch code {
	case optPad, optRequestedAddr, optOverload, optMessageType, optServerID, optParameters, optMessage, optMaxSize,
		optClientID, optRelayInfo, optAuthentication, optSubnetSelect:
		return true
	}
	return false
}

// optionName is an extra_dhcp_opts name taken apart.
type optionName struct {
	code uint8
	tags []string // as in "tag:ipxe", "tag:!ipxe", without "tag:"
}

// parseName reads an opt_name: dnsmasq's name or a number, with "tag:…," in front as often as wanted.
func parseName(s string) (optionName, error) {
	var n optionName
	rest := strings.TrimSpace(s)
	for strings.HasPrefix(rest, "tag:") {
		tag, after, ok := strings.Cut(rest[len("tag:"):], ",")
		if !ok {
			return n, fmt.Errorf("dhcp option name %q: a tag without an option", s)
		}
		n.tags, rest = append(n.tags, tag), after
	}
	rest = strings.TrimPrefix(rest, "option:")
	if code, ok := lowerNames[strings.ToLower(rest)]; ok {
		n.code = code
	} else if x, err := strconv.ParseUint(rest, 10, 8); err == nil {
		n.code = uint8(x)
	} else {
		return n, fmt.Errorf("dhcp option name %q: not a name of dnsmasq's and not a number up to 255", s)
	}
	if reserved(n.code) {
		return n, fmt.Errorf("dhcp option name %q: the server itself sets option %d", s, n.code)
	}
	return n, nil
}

// match says whether an option's tags fit a client.
func (n *optionName) match(ipxe bool) bool {
	for _, t := range n.tags {
		t, not := strings.CutPrefix(t, "!")
		has := t == "known" || t == "ipxe" && ipxe // Neutron's dnsmasq sets these
		if has == not {
			return false
		}
	}
	return true
}

// maxValue bounds an option's encoded value in bytes: no UDP reply holds more.
const maxValue = 1 << 14

// encode appends an option's value to b. Zeros in an address list mean the server.
func encode(b []byte, code uint8, value string, server netip.Addr) ([]byte, error) {
	start := len(b)
	b, err := encodeKind(b, kinds[code], value, server)
	if err == nil && len(b)-start > maxValue {
		err = fmt.Errorf("%d bytes, at most %d are possible", len(b)-start, maxValue)
	}
	if err != nil {
		return b[:start], fmt.Errorf("dhcp option %d: value %.40q: %w", code, value, err)
	}
	return b, nil
}

func encodeKind(b []byte, k kind, value string, server netip.Addr) ([]byte, error) {
	switch k {
	case kindText:
		return append(b, value...), nil
	case kindAddrs:
		return appendAddrs(b, value, server, false)
	case kindRoutes:
		return appendRoutes(b, value)
	case kindUint8:
		return appendNumber(b, value, 1)
	case kindUint16:
		return appendNumber(b, value, 2)
	case kindInt32:
		return appendNumber(b, value, 4)
	case kindSeconds:
		s, err := parseSeconds(value)
		return binary.BigEndian.AppendUint32(b, s), err
	case kindDomains:
		return appendNames(b, value)
	case kindSIP:
		if out, err := appendAddrs(append(b, 1), value, server, false); err == nil {
			return out, nil
		}
		return appendNames(append(b, 0), value)
	}
	return appendAny(b, value, server)
}

// appendAny guesses as dnsmasq does (dnsmasq(8), --dhcp-option): a decimal number, with a suffix b, s or i for
// one, two or four bytes or else in as few of these as hold it; bytes in hexadecimal with colons; addresses
// and prefixes with commas; text.
func appendAny(b []byte, value string, server netip.Addr) ([]byte, error) {
	if n := len(value); n > 0 {
		digits, size := value, 0
		switch value[n-1] {
		case 'b':
			digits, size = value[:n-1], 1
		case 's':
			digits, size = value[:n-1], 2
		case 'i':
			digits, size = value[:n-1], 4
		}
		if x, err := strconv.ParseInt(digits, 10, 64); err == nil {
			switch {
			case size > 0:
			case x < 0 || x > 0xffff:
				size = 4
			case x > 0xff:
				size = 2
			default:
				size = 1
			}
			return appendNumber(b, digits, size)
		}
	}
	if out, ok := appendHex(b, value); ok {
		return out, nil
	}
	if out, err := appendAddrs(b, value, server, true); err == nil {
		return out, nil
	}
	return append(b, value...), nil
}

// appendHex reads two or more bytes in hexadecimal with colons between.
func appendHex(b []byte, value string) ([]byte, bool) {
	if !strings.Contains(value, ":") {
		return b, false
	}
	for part := range strings.SplitSeq(value, ":") {
		x, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return b, false
		}
		b = append(b, byte(x))
	}
	return b, true
}

// appendNumber reads a decimal number, or bytes in hexadecimal, of size bytes.
func appendNumber(b []byte, value string, size int) ([]byte, error) {
	value = strings.TrimSpace(value)
	if out, ok := appendHex(b, value); ok {
		if len(out)-len(b) != size {
			return b, fmt.Errorf("want %d bytes", size)
		}
		return out, nil
	}
	x, err := strconv.ParseInt(value, 10, 64)
	if limit := int64(1) << (8 * size); err != nil || x >= limit || x < -limit/2 {
		return b, fmt.Errorf("want a number of %d bits", 8*size)
	}
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(x>>(8*i)))
	}
	return b, nil
}

// parseSeconds reads dnsmasq's times.
func parseSeconds(value string) (uint32, error) {
	value = strings.TrimSpace(value)
	if value == "infinite" {
		return math.MaxUint32, nil
	}
	unit := uint64(1)
	if n := len(value); n > 1 {
		if u, ok := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}[value[n-1]|0x20]; ok {
			unit, value = u, value[:n-1]
		}
	}
	x, err := strconv.ParseUint(value, 10, 32)
	if err != nil || x*unit > math.MaxUint32 {
		return 0, fmt.Errorf("want seconds, such as 3600 or 1h")
	}
	return uint32(x * unit), nil
}

// appendAddrs reads addresses with commas between and, where allowed, prefixes.
func appendAddrs(b []byte, value string, server netip.Addr, prefixes bool) ([]byte, error) {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if prefixes && strings.Contains(part, "/") {
			p, err := netip.ParsePrefix(part)
			if err != nil || !p.Addr().Is4() {
				return b, fmt.Errorf("%q is not an IPv4 prefix", part)
			}
			b = appendDestination(b, p)
			continue
		}
		a, err := netip.ParseAddr(part)
		if err != nil || !a.Is4() {
			return b, fmt.Errorf("%q is not an IPv4 address", part)
		}
		if a.IsUnspecified() && server.Is4() {
			a = server
		}
		b = append(b, a.AsSlice()...)
	}
	return b, nil
}

// appendRoutes reads "10.1.0.0/16,10.0.0.1,…". A next hop 0.0.0.0 is the link itself (RFC 3442).
func appendRoutes(b []byte, value string) ([]byte, error) {
	parts := strings.Split(value, ",")
	if len(parts)%2 != 0 {
		return b, fmt.Errorf("want pairs of destination and next hop")
	}
	for i := 0; i < len(parts); i += 2 {
		p, err := netip.ParsePrefix(strings.TrimSpace(parts[i]))
		if err != nil || !p.Addr().Is4() {
			return b, fmt.Errorf("%q is not an IPv4 prefix", parts[i])
		}
		hop, err := netip.ParseAddr(strings.TrimSpace(parts[i+1]))
		if err != nil || !hop.Is4() {
			return b, fmt.Errorf("%q is not an IPv4 address", parts[i+1])
		}
		b = appendRoute(b, p, hop)
	}
	return b, nil
}

// appendRoute appends one route as RFC 3442 writes it.
func appendRoute(b []byte, dst netip.Prefix, hop netip.Addr) []byte {
	h := hop.As4()
	return append(appendDestination(b, dst), h[:]...)
}

// appendDestination appends a prefix's length and its significant bytes.
func appendDestination(b []byte, p netip.Prefix) []byte {
	a := p.Masked().Addr().As4()
	return append(append(b, byte(p.Bits())), a[:(p.Bits()+7)/8]...)
}

// appendNames appends domain names with commas between in RFC 1035's form, not compressed, which RFC 3397
// leaves to the sender.
func appendNames(b []byte, value string) ([]byte, error) {
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSuffix(strings.TrimSpace(name), ".")
		if len(name) > 253 {
			return b, fmt.Errorf("a domain name has at most 253 characters")
		}
		for label := range strings.SplitSeq(name, ".") {
			if len(label) < 1 || len(label) > 63 {
				return b, fmt.Errorf("%q is not a domain name", name)
			}
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	return b, nil
}
