package dhcp

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
)

// plan is what the intent says about one port: everything that replies to it are made of. It is immutable.
type plan struct {
	// What it was made of: while the view has these very objects, the plan holds.
	port, server *model.Port
	network      *model.Network
	subnets      []*model.Subnet

	// leases are in the order of the port's fixed IPs, the first being what a client gets that asks for no
	// particular address.
	leases []lease
	// outcome says why there are no leases.
	outcome string
}

// lease is one address that the port may have.
type lease struct {
	addr, server netip.Addr
	broadcast    netip.Addr // of the subnet
	serverMAC    model.MAC
	// sets are the options for clients in general and, if tags make a difference, for iPXE.
	sets [2]*optionSet
}

// optionSet is what a reply with an address carries beside the protocol's own options.
type optionSet struct {
	entries []entry // in the order they go out if the client has no preference
	data    []byte
	siaddr  [4]byte
	sname   []byte // at most snameLen-1
	file    []byte // at most fileLen-1
	rapid   bool   // the port may have RFC 4039's short exchange
}

// entry is one option: data[off:off+n] of the set.
type entry struct {
	off, n uint32
	code   uint8
	always bool // sent also if the client lists what it wants and this is not in it
	timed  bool // part of a lease: not in answer to INFORM
}

func (s *optionSet) find(code uint8) int {
	for i := range s.entries {
		if s.entries[i].code == code {
			return i
		}
	}
	return -1
}

func (s *optionSet) value(code uint8) ([]byte, bool) {
	if i := s.find(code); i >= 0 {
		return s.bytes(s.entries[i]), true
	}
	return nil, false
}

func (s *optionSet) bytes(e entry) []byte { return s.data[e.off : e.off+e.n] }

// lookup gives the lease of an address, nil if the port has none.
func (p *plan) lookup(a netip.Addr) *lease {
	for i := range p.leases {
		if p.leases[i].addr == a {
			return &p.leases[i]
		}
	}
	return nil
}

// serves reports whether an address is the server's towards this port.
func (p *plan) serves(a netip.Addr) bool {
	for i := range p.leases {
		if p.leases[i].server == a {
			return true
		}
	}
	return false
}

// hears reports whether a message to this destination is for the server.
func (p *plan) hears(dst netip.Addr) bool {
	if dst == limitedBroadcast || p.serves(dst) {
		return true
	}
	for i := range p.leases {
		if p.leases[i].broadcast == dst {
			return true
		}
	}
	return false
}

// options gives the set for a client.
func (l *lease) options(ipxe bool) *optionSet {
	if ipxe {
		return l.sets[1]
	}
	return l.sets[0]
}

// current reports whether the view still has what the plan was made of.
func (p *plan) current(v model.View, port *model.Port) bool {
	if p.port != port {
		return false
	}
	network, _ := v.Network(port.NetworkID)
	server, _ := v.DHCPPort(port.NetworkID)
	return network == p.network && server == p.server && slices.Equal(p.subnets, v.SubnetsOf(port.NetworkID))
}

// newPlan makes a port's plan.
func newPlan(cfg *Config, v model.View, port *model.Port) *plan {
	p := &plan{port: port, subnets: v.SubnetsOf(port.NetworkID)}
	p.network, _ = v.Network(port.NetworkID)
	p.server, _ = v.DHCPPort(port.NetworkID)
	p.outcome = OutcomeNoAddress
	if p.network == nil {
		return p
	}
	for _, f := range port.FixedIPs {
		if !f.Address.Is4() {
			continue
		}
		s := p.subnet(f.SubnetID)
		if s == nil || !s.EnableDHCP || !s.CIDR.IsValid() || !s.CIDR.Addr().Is4() {
			continue
		}
		server, ok := p.serverIn(s)
		if !ok {
			p.outcome = OutcomeNoServer
			continue
		}
		l := lease{addr: f.Address, server: server, serverMAC: p.server.MAC, broadcast: lastAddr(s.CIDR)}
		l.sets[0] = newOptionSet(cfg, p, s, &l, false)
		l.sets[1] = l.sets[0]
		if tagged(port) {
			l.sets[1] = newOptionSet(cfg, p, s, &l, true)
		}
		p.leases = append(p.leases, l)
	}
	return p
}

func (p *plan) subnet(id model.SubnetID) *model.Subnet {
	for _, s := range p.subnets {
		if s.ID == string(id) {
			return s
		}
	}
	return nil
}

// serverIn is the DHCP port's address in a subnet.
func (p *plan) serverIn(s *model.Subnet) (netip.Addr, bool) {
	if p.server != nil {
		for _, f := range p.server.FixedIPs {
			if string(f.SubnetID) == s.ID && f.Address.Is4() {
				return f.Address, true
			}
		}
	}
	return netip.Addr{}, false
}

func tagged(p *model.Port) bool {
	for i := range p.DHCPOptions {
		if strings.HasPrefix(strings.TrimSpace(p.DHCPOptions[i].Name), "tag:") {
			return true
		}
	}
	return false
}

// builder puts an option set together.
type builder struct{ set optionSet }

// put adds an option whose value is what data has beyond from; a later one replaces an earlier one.
func (b *builder) put(code uint8, data []byte, from int, always bool) {
	e := entry{code: code, off: uint32(from), n: uint32(len(data) - from), always: always}
	e.timed = code == optLease || code == optT1 || code == optT2
	b.set.data = data
	if i := b.set.find(code); i >= 0 {
		b.set.entries[i] = e
		return
	}
	b.set.entries = append(b.set.entries, e)
}

func (b *builder) remove(code uint8) {
	if i := b.set.find(code); i >= 0 {
		b.set.entries = slices.Delete(b.set.entries, i, i+1)
	}
}

func (b *builder) uint32(code uint8, x uint32) {
	d := b.set.data
	b.put(code, binary.BigEndian.AppendUint32(d, x), len(d), true)
}

func (b *builder) addrs(code uint8, always bool, list ...netip.Addr) {
	d := b.set.data
	from := len(d)
	for _, a := range list {
		if a.Is4() && !a.IsUnspecified() {
			d = append(d, a.AsSlice()...)
		}
	}
	if len(d) > from {
		b.put(code, d, from, always)
	}
}

func (b *builder) text(code uint8, s string) {
	if s != "" {
		d := b.set.data
		b.put(code, append(d, s...), len(d), false)
	}
}

// newOptionSet makes a lease's options: what the intent gives by default, in the order of importance, then the
// port's own extra_dhcp_opts over it.
func newOptionSet(cfg *Config, p *plan, s *model.Subnet, l *lease, ipxe bool) *optionSet {
	b := builder{optionSet{data: make([]byte, 0, 192), entries: make([]entry, 0, 16)}}
	b.uint32(optLease, cfg.LeaseSeconds) // T1 and T2 follow below
	mask := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-s.CIDR.Bits()))))
	d := b.set.data
	b.put(optMask, append(d, mask.AsSlice()...), len(d), true)

	gateway, routes := s.GatewayIP, 0
	for _, r := range s.HostRoutes {
		if r.Destination.IsValid() && r.Destination.Bits() == 0 && !gateway.IsValid() {
			gateway = r.NextHop // as Neutron's agent does: the default route by another name
		}
	}
	if gateway.Is4() {
		b.addrs(optRouter, true, gateway)
	}
	d = b.set.data
	from := len(d)
	for _, o := range p.subnets { // other subnets of the network are on the link
		if o != s && o.CIDR.IsValid() && o.CIDR.Addr().Is4() && o.CIDR != s.CIDR {
			d = appendRoute(d, o.CIDR, netip.IPv4Unspecified())
			routes++
		}
	}
	for _, r := range s.HostRoutes {
		if r.Destination.IsValid() && r.Destination.Addr().Is4() && r.Destination.Bits() > 0 && r.NextHop.Is4() && r.NextHop != l.addr {
			d = appendRoute(d, r.Destination, r.NextHop)
			routes++
		}
	}
	if routes > 0 {
		// Clients that read this option ignore the router option (RFC 3442), so the default route is in it, too.
		if gateway.Is4() {
			d = appendRoute(d, netip.PrefixFrom(netip.IPv4Unspecified(), 0), gateway)
		}
		b.put(optRoutes, d, from, false)
	}
	b.addrs(optDNS, false, s.DNSNameservers...)
	b.text(optHostname, hostname(cfg, p, l.addr))
	b.text(optDomain, domain(cfg, p.network))
	if mtu := p.network.MTU; mtu >= 68 && mtu <= math.MaxUint16 {
		d = b.set.data
		b.put(optMTU, binary.BigEndian.AppendUint16(d, uint16(mtu)), len(d), true)
	}
	b.addrs(optBroadcast, false, l.broadcast)

	b.extras(p.port, l.server, ipxe)
	b.finish(cfg)
	return &b.set
}

// extras lays the port's extra_dhcp_opts over the rest. They are made for this client, so they are sent whether
// it asks or not (RFC 2131 4.3.1). What cannot be encoded is left out; Problems tells.
func (b *builder) extras(port *model.Port, server netip.Addr, ipxe bool) {
	if len(port.DHCPOptions) == 0 {
		return
	}
	var rank [256]int // tags of what was taken, plus one: the more of them, the more particular
	for i := range port.DHCPOptions {
		o := &port.DHCPOptions[i]
		n, err := parseName(o.Name)
		if o.IPVersion == 6 || err != nil || !n.match(ipxe) || rank[n.code] > len(n.tags)+1 {
			continue
		}
		if o.Value == "" {
			b.remove(n.code)
			if n.code == optRapidCommit {
				b.put(n.code, b.set.data, len(b.set.data), true)
			}
			rank[n.code] = len(n.tags) + 1
			continue
		}
		d, err := encode(b.set.data, n.code, o.Value, server)
		if err == nil {
			rank[n.code] = len(n.tags) + 1
			b.put(n.code, d, len(b.set.data), true)
		}
	}
}

// finish derives what follows from other options.
func (b *builder) finish(cfg *Config) {
	s := &b.set
	v, ok := s.value(optLease)
	seconds := cfg.LeaseSeconds
	if ok && len(v) == 4 {
		seconds = binary.BigEndian.Uint32(v)
	} else {
		b.uint32(optLease, seconds) // a lease without a time is none
	}
	if seconds != math.MaxUint32 { // RFC 2131 4.4.5
		if s.find(optT1) < 0 {
			b.uint32(optT1, seconds/2)
		}
		if s.find(optT2) < 0 {
			b.uint32(optT2, uint32(uint64(seconds)*7/8))
		}
	}
	if v, ok := s.value(optRoutes); ok && s.find(optRoutesMS) < 0 {
		from := len(s.data)
		b.put(optRoutesMS, append(s.data, v...), from, false)
	}
	if v, ok := s.value(optBootfile); ok && len(v) < fileLen {
		s.file = v
	}
	var tftp netip.Addr
	if v, ok := s.value(optTFTPServer); ok {
		if len(v) < snameLen {
			s.sname = v
		}
		tftp, _ = netip.ParseAddr(string(v))
	}
	if v, ok := s.value(optNextServer); ok {
		copy(s.siaddr[:], v)
	} else if v, ok := s.value(optTFTPAddress); ok {
		copy(s.siaddr[:], v)
	} else if tftp.Is4() {
		s.siaddr = tftp.As4()
	}
	_, s.rapid = s.value(optRapidCommit)
	b.remove(optNextServer)
	b.remove(optRapidCommit)
}

// hostname is what Neutron's agent would say: the port's dns_name or one made of its address.
func hostname(cfg *Config, p *plan, a netip.Addr) string {
	if name := strings.TrimSuffix(p.port.DNSName, "."); name != "" {
		if d := domain(cfg, p.network); d != "" {
			name = strings.TrimSuffix(name, "."+d)
		}
		return name
	}
	out := append(make([]byte, 0, 20), "host"...)
	for _, x := range a.As4() {
		out = strconv.AppendUint(append(out, '-'), uint64(x), 10)
	}
	return string(out)
}

func domain(cfg *Config, n *model.Network) string {
	if n.DNSDomain != "" {
		return strings.TrimSuffix(n.DNSDomain, ".")
	}
	return cfg.DNSDomain
}

// lastAddr is the directed broadcast address of a subnet, or the zero Addr where there is none (RFC 3021).
func lastAddr(p netip.Prefix) netip.Addr {
	if p.Bits() > 30 {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	x := binary.BigEndian.Uint32(a[:]) | (1<<(32-p.Bits()) - 1)
	return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
}

// codeSet is a set of option codes.
type codeSet [4]uint64

func (c *codeSet) has(code uint8) bool { return c[code>>6]&(1<<(code&63)) != 0 }
func (c *codeSet) add(code uint8)      { c[code>>6] |= 1 << (code & 63) }

// Problems lists what is wrong with a port's extra_dhcp_opts for IPv4, for health and for people; the server
// leaves those options out.
func Problems(port *model.Port) []error {
	var errs []error
	for i := range port.DHCPOptions {
		o := &port.DHCPOptions[i]
		if o.IPVersion == 6 {
			continue
		}
		n, err := parseName(o.Name)
		if err == nil && o.Value != "" {
			_, err = encode(nil, n.code, o.Value, netip.Addr{})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("port %s: %w", port.ID, err))
		}
	}
	return errs
}
