package api

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Conv turns what a client sent into what is stored; its errors are Neutron's InvalidInput.
type Conv func(v any) (any, *Error)

// Check validates a converted value and gives the reason why it is refused, without a final period; "" if it is
// fine.
type Check func(v any) string

// --- conversions

func convBool(v any) (any, *Error) {
	if b, ok := toBool(v); ok {
		return b, nil
	}
	return nil, invalidInput("'%s' cannot be converted to boolean", text(v))
}

func convInt(v any) (any, *Error) {
	if i, ok := toInt(v); ok {
		return i, nil
	}
	return nil, invalidInput("'%s' is not an integer", text(v))
}

// orNone leaves null alone.
func orNone(c Conv) Conv {
	return func(v any) (any, *Error) {
		if v == nil {
			return nil, nil
		}
		return c(v)
	}
}

func convNoneToList(v any) (any, *Error) {
	if v == nil {
		return []any{}, nil
	}
	return v, nil
}

func convLower(v any) (any, *Error) {
	if s, ok := v.(string); ok {
		return strings.ToLower(s), nil
	}
	return nil, invalidInput("Input value %s must be string type", text(v))
}

// convIP writes an IPv6 address in its canonical form and leaves everything else as it is.
func convIP(v any) (any, *Error) {
	if s, ok := v.(string); ok {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() && a.Zone() == "" {
			return canonical6(a), nil
		}
	}
	return v, nil
}

// canonical6 is an IPv6 address as Neutron writes it; a mapped IPv4 address keeps its dotted end.
func canonical6(a netip.Addr) string { return a.String() }

func convCIDR(v any) (any, *Error) {
	s, ok := v.(string)
	if ok {
		if p, ok := parseNetwork(s); ok {
			return p.String(), nil
		}
	}
	return nil, invalidInput("%s is not in a CIDR format", text(v))
}

// parseNetwork reads an address with an optional prefix length or IPv4 netmask; host bits stay.
func parseNetwork(s string) (netip.Prefix, bool) {
	addr, length, found := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	if !found {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	if m, err := netip.ParseAddr(length); err == nil && m.Is4() && a.Is4() {
		b := m.As4()
		x := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		n := 0
		for x&(1<<31) != 0 {
			n++
			x <<= 1
		}
		if x != 0 {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, n), true
	}
	n, ok := toInt(length)
	if !ok || n < 0 || n > int64(a.BitLen()) {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, int(n)), true
}

// --- checks

func all(checks ...Check) Check {
	return func(v any) string {
		for _, c := range checks {
			if r := c(v); r != "" {
				return r
			}
		}
		return ""
	}
}

func noneOr(c Check) Check {
	return func(v any) string {
		if v == nil {
			return ""
		}
		return c(v)
	}
}

func isString(max int) Check {
	return func(v any) string {
		s, ok := v.(string)
		if !ok {
			return fmt.Sprintf("'%s' is not a valid string", text(v))
		}
		if max > 0 && utf8.RuneCountInString(s) > max {
			return fmt.Sprintf("'%s' exceeds maximum length of %d", s, max)
		}
		return ""
	}
}

func notBlank(max int) Check {
	return all(isString(max), func(v any) string {
		if strings.TrimSpace(v.(string)) == "" {
			return fmt.Sprintf("'%s' Blank strings are not permitted", v)
		}
		return ""
	})
}

func oneLine(max int) Check {
	return all(notBlank(max), func(v any) string {
		if strings.ContainsAny(strings.TrimRight(v.(string), "\n"), "\n\r\v\f") {
			return fmt.Sprintf("Multi-line string is not allowed: '%s'", v)
		}
		return ""
	})
}

var uuidHex = regexp.MustCompile(`^[0-9a-f]{32}$`)

// isUUIDLike takes the forms that Python's UUID takes: braces, urn:, missing or misplaced hyphens.
func isUUIDLike(s string) bool {
	s = strings.ToLower(strings.NewReplacer("urn:", "", "uuid:", "").Replace(s))
	return uuidHex.MatchString(strings.ReplaceAll(strings.Trim(s, "{}"), "-", ""))
}

func isUUID(v any) string {
	if s, ok := v.(string); ok && isUUIDLike(s) {
		return ""
	}
	return fmt.Sprintf("'%s' is not a valid UUID", text(v))
}

func isOneOf(values ...any) Check {
	return func(v any) string {
		if slices.ContainsFunc(values, func(x any) bool { return equal(x, v) }) {
			return ""
		}
		parts := make([]string, len(values))
		for i, x := range values {
			parts[i] = repr(x)
		}
		return fmt.Sprintf("%s is not in valid_values", text(v))
	}
}

func nonNegative(v any) string {
	i, ok := toInt(v)
	switch {
	case !ok:
		return fmt.Sprintf("'%s' is not an integer", text(v))
	case i < 0:
		return fmt.Sprintf("'%s' should be non-negative", text(v))
	}
	return ""
}

func inRange(lo, hi int64) Check {
	return func(v any) string {
		i, ok := toInt(v)
		switch {
		case !ok:
			return fmt.Sprintf("'%s' is not an integer", text(v))
		case i < lo:
			return fmt.Sprintf("'%d' is too small - must be at least '%d'", i, lo)
		case i > hi:
			return fmt.Sprintf("'%d' is too large - must be no larger than '%d'", i, hi)
		}
		return ""
	}
}

func isMAC(v any) string {
	if s, ok := v.(string); ok {
		if m, ok := parseMAC(s); ok && m != [6]byte{} {
			return ""
		}
	}
	return fmt.Sprintf("'%s' is not a valid MAC address", text(v))
}

var macForms = regexp.MustCompile(`^(?i)(?:[0-9a-f]{1,2}(?:[:-][0-9a-f]{1,2}){5}|[0-9a-f]{1,4}(?:[.:][0-9a-f]{1,4}){2}|[0-9a-f]{1,6}[-:][0-9a-f]{1,6}|[0-9a-f]{12}|[0-9a-f]{11})$`)

// parseMAC reads the forms of a MAC address that Neutron's address library takes.
func parseMAC(s string) (m [6]byte, ok bool) {
	if !macForms.MatchString(s) {
		return m, false
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(":-.", r) })
	digits := ""
	for _, p := range parts {
		digits += strings.Repeat("0", max(0, 12/len(parts)-len(p))) + p
	}
	for i := range m {
		var x byte
		for _, c := range []byte(strings.ToLower(digits[2*i : 2*i+2])) {
			if c >= 'a' {
				c -= 'a' - 10 - '0'
			}
			x = x<<4 | (c - '0')
		}
		m[i] = x
	}
	return m, true
}

func isIP(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprintf("'%s' is not a valid IP address", text(v))
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return ""
	}
	if strings.Count(s, ".") == 3 { // leading zeros: refused with a suggestion
		parts := strings.Split(s, ".")
		for i, p := range parts {
			parts[i] = strings.TrimLeft(p, "0")
			if parts[i] == "" && p != "" {
				parts[i] = "0"
			}
		}
		if a, err := netip.ParseAddr(strings.Join(parts, ".")); err == nil && a.Is4() {
			return fmt.Sprintf("'%s' is not an accepted IP address, '%s' is recommended", s, a)
		}
	}
	return fmt.Sprintf("'%s' is not a valid IP address", s)
}

func isSubnet(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprintf("'%s' is not a valid IP subnet", text(v))
	}
	p, ok := parseNetwork(s)
	if !ok || strings.ContainsAny(s, " \t\r\n") {
		return fmt.Sprintf("'%s' is not a valid IP subnet", s)
	}
	if !strings.Contains(s, "/") || p.Addr().Is4() && p.String() != s {
		return fmt.Sprintf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended", s, p.Masked())
	}
	return ""
}

func isRouteCIDR(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprintf("'%s' is not a valid CIDR", text(v))
	}
	p, ok := parseNetwork(s)
	switch {
	case !ok:
		return fmt.Sprintf("'%s' is not a valid CIDR", s)
	case !strings.Contains(s, "/") || p.Masked() != p:
		return fmt.Sprintf("'%s' is not a recognized CIDR, '%s' is recommended", s, p.Masked())
	case p.Addr().IsLoopback():
		return fmt.Sprintf("'%s' is not a routable CIDR", s)
	}
	return ""
}

// listOf checks a list without duplicates, item by item.
func listOf(item Check) Check {
	return func(v any) string {
		l, ok := v.([]any)
		if !ok {
			return fmt.Sprintf("'%s' is not a list", text(v))
		}
		var dups []string
		for i, x := range l {
			if slices.ContainsFunc(l[:i], func(y any) bool { return equal(x, y) }) && !slices.Contains(dups, text(x)) {
				dups = append(dups, text(x))
			}
		}
		if dups != nil {
			return fmt.Sprintf("Duplicate items in the list: '%s'", strings.Join(dups, ", "))
		}
		for _, x := range l {
			if r := item(x); r != "" {
				return r
			}
		}
		return ""
	}
}

// exactKeys checks that v is an object with just these keys.
func exactKeys(v any, keys ...string) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprintf("Invalid input. '%s' must be a dictionary with keys: %s", text(v), repr(keys))
	}
	got := sortedKeys(m)
	want := slices.Sorted(slices.Values(keys))
	if !slices.Equal(got, want) {
		return fmt.Sprintf("Validation of dictionary's keys failed. Expected keys: %s Provided keys: %s", setOf(want), setOf(got))
	}
	return ""
}

func isPools(v any) string {
	l, ok := v.([]any)
	if !ok {
		return fmt.Sprintf("Invalid data format for IP pool: '%s'", text(v))
	}
	for _, p := range l {
		if r := exactKeys(p, "start", "end"); r != "" {
			return r
		}
		m := p.(map[string]any)
		for _, k := range []string{"start", "end"} {
			if r := isIP(m[k]); r != "" {
				return r
			}
		}
	}
	return ""
}

func isFixedIPs(v any) string {
	l, ok := v.([]any)
	if !ok {
		return fmt.Sprintf("Invalid data format for fixed IP: '%s'", text(v))
	}
	var seen []any
	for _, x := range l {
		m, ok := x.(map[string]any)
		if !ok {
			return fmt.Sprintf("Invalid data format for fixed IP: '%s'", text(x))
		}
		if a, ok := m["ip_address"]; ok {
			if slices.ContainsFunc(seen, func(y any) bool { return equal(a, y) }) {
				return fmt.Sprintf("Duplicate IP address '%s'", text(a))
			}
			if r := isIP(a); r != "" {
				return r
			}
			seen = append(seen, a)
		}
		if s, ok := m["subnet_id"]; ok {
			if r := isUUID(s); r != "" {
				return r
			}
		}
	}
	return ""
}

func isNameservers(v any) string {
	var l []any
	switch v := v.(type) {
	case []any:
		l = v
	case string:
		for _, c := range v {
			l = append(l, string(c))
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			l = append(l, k)
		}
	default:
		return fmt.Sprintf("Invalid data format for nameserver: '%s'", text(v))
	}
	for i, x := range l {
		if r := isIP(x); r != "" {
			return fmt.Sprintf("'%s' is not a valid nameserver. %s", text(x), r)
		}
		if slices.ContainsFunc(l[:i], func(y any) bool { return equal(x, y) }) {
			return fmt.Sprintf("Duplicate nameserver '%s'", text(x))
		}
	}
	return ""
}

func isRoutes(v any) string {
	l, ok := v.([]any)
	if !ok {
		return fmt.Sprintf("Invalid data format for hostroute: '%s'", text(v))
	}
	for i, x := range l {
		if r := exactKeys(x, "destination", "nexthop"); r != "" {
			return r
		}
		m := x.(map[string]any)
		if r := isRouteCIDR(m["destination"]); r != "" {
			return r
		}
		if r := isIP(m["nexthop"]); r != "" {
			return r
		}
		if slices.ContainsFunc(l[:i], func(y any) bool { return equal(x, y) }) {
			return fmt.Sprintf("Duplicate hostroute '%s'", text(x))
		}
	}
	return ""
}

func isDict(v any) string {
	if _, ok := v.(map[string]any); !ok {
		return fmt.Sprintf("'%s' is not a dictionary", text(v))
	}
	return ""
}

var (
	dnsLabel = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`)
	allDigit = regexp.MustCompile(`^[0-9]+$`)
)

// isDNS checks a host's or domain's name as the dns-integration extension does: a domain must be fully qualified.
func isDNS(max int, fqdn bool) Check {
	return all(isString(max), func(v any) string {
		s := v.(string)
		if s == "" {
			return ""
		}
		bad := func(format string, args ...any) string {
			return fmt.Sprintf("'%s' not a valid PQDN or FQDN. Reason: %s", s, fmt.Sprintf(format, args...))
		}
		names := strings.Split(strings.TrimSuffix(s, "."), ".")
		for _, n := range names {
			if n == "" {
				return bad("Encountered an empty component")
			}
			if strings.HasPrefix(n, "-") || strings.HasSuffix(n, "-") {
				return bad("Name '%s' must not start or end with a hyphen", n)
			}
			if !dnsLabel.MatchString(n) {
				return bad("Name '%s' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen", n)
			}
		}
		if last := names[len(names)-1]; len(names) > 1 && allDigit.MatchString(last) {
			return bad("TLD '%s' must not be all numeric", last)
		}
		if fqdn && !strings.HasSuffix(s, ".") {
			return fmt.Sprintf("'%s' is not a FQDN", s)
		}
		return ""
	})
}

var (
	isDNSName   = isDNS(255, false)
	isDNSDomain = isDNS(255, true)
)
