package api

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
)

// u128 is an address as a number, so that pools of both families are counted alike.
type u128 struct{ hi, lo uint64 }

func number(a netip.Addr) u128 {
	if a.Is4() {
		b := a.As4()
		return u128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (n u128) addr(is4 bool) netip.Addr {
	if is4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.hi)
	binary.BigEndian.PutUint64(b[8:], n.lo)
	return netip.AddrFrom16(b)
}

func (n u128) plus(x uint64) u128 {
	lo, carry := bits.Add64(n.lo, x, 0)
	return u128{n.hi + carry, lo}
}

// span is how many addresses lie behind the first of a range, at most 2^63-1.
func span(r model.AddrRange) uint64 {
	a, b := number(r.Start), number(r.End)
	lo, borrow := bits.Sub64(b.lo, a.lo, 0)
	if hi := b.hi - a.hi - borrow; hi != 0 || lo > 1<<63-1 {
		return 1<<63 - 1
	}
	return lo
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// hostRange is what a subnet's pools may cover: IPv4 up to /30 leaves network and broadcast address away, IPv6 the
// subnet-router anycast address.
func hostRange(p netip.Prefix) model.AddrRange {
	r := model.AddrRange{Start: p.Masked().Addr(), End: lastAddr(p)}
	switch {
	case r.Start == r.End:
	case p.Addr().Is4():
		if p.Bits() <= 30 {
			r.Start, r.End = r.Start.Next(), r.End.Prev()
		}
	default:
		r.Start = r.Start.Next()
	}
	return r
}

// defaultPools is the whole host range around the gateway.
func defaultPools(p netip.Prefix, gateway netip.Addr) []model.AddrRange {
	r := hostRange(p)
	if !gateway.IsValid() || !r.Contains(gateway) {
		return []model.AddrRange{r}
	}
	if r.Start == r.End {
		if p.IsSingleIP() {
			return []model.AddrRange{r}
		}
		return []model.AddrRange{}
	}
	out := []model.AddrRange{}
	if gateway != r.Start {
		out = append(out, model.AddrRange{Start: r.Start, End: gateway.Prev()})
	}
	if gateway != r.End {
		out = append(out, model.AddrRange{Start: gateway.Next(), End: r.End})
	}
	return out
}

func addressSpace(id model.NetworkID) string { return "ip/" + string(id) }
func macSpace(id model.NetworkID) string     { return "mac/" + string(id) }

// autoAddress reports whether hosts make their own addresses in a subnet.
func autoAddress(s *model.Subnet) bool {
	auto := func(m string) bool { return m == "slaac" || m == "dhcpv6-stateless" }
	return s.CIDR.Addr().Is6() && (auto(s.IPv6AddressMode) || s.IPv6AddressMode == "" && auto(s.IPv6RAMode))
}

// eui64 is the address that a host makes of a /64 and its MAC (RFC 4291, appendix A).
func eui64(p netip.Prefix, m model.MAC) netip.Addr {
	b := p.Masked().Addr().As16()
	copy(b[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(b)
}

// takeMAC reserves a port's MAC address; the zero one becomes a random one.
func (c *call) takeMAC(p *model.Port) error {
	if !p.MAC.IsZero() {
		return c.reserveMAC(p)
	}
	for range 16 {
		x := rand.Uint32()
		p.MAC = model.MAC{0xfa, 0x16, 0x3e, byte(x >> 16), byte(x >> 8), byte(x)}
		var taken *store.ErrTaken
		err := c.tx.Reserve(macSpace(p.NetworkID), p.MAC.String(), p.ID)
		if !errors.As(err, &taken) {
			return err
		}
	}
	return fail(503, "MacAddressGenerationFailure", "Unable to generate unique mac on network %s.", p.NetworkID)
}

func (c *call) reserveMAC(p *model.Port) error {
	var taken *store.ErrTaken
	err := c.tx.Reserve(macSpace(p.NetworkID), p.MAC.String(), p.ID)
	if errors.As(err, &taken) {
		return conflict("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
	}
	return err
}

// request is one address that a port wants: of one subnet, or of the first of several that has one.
type request struct {
	subnets []*model.Subnet
	addr    netip.Addr // zero: any
	first   bool       // the pool's first free one, not a random one
}

// candidates are the network's subnets that a port may have addresses of: those for its device_owner first.
func (c *call) candidates(p *model.Port) ([]*model.Subnet, error) {
	c.tx.Guard(subnetsGuard(p.NetworkID)) // a subnet that another server made a moment ago must not be missed
	l := c.view().SubnetsOf(p.NetworkID)
	var own, general []*model.Subnet
	for _, s := range l {
		switch {
		case slices.Contains(s.ServiceTypes, p.DeviceOwner) && p.DeviceOwner != "":
			own = append(own, s)
		case len(s.ServiceTypes) == 0:
			general = append(general, s)
		}
	}
	if len(own)+len(general) == 0 && len(l) > 0 {
		return nil, conflict("IpAddressGenerationFailureNoMatchingSubnet", "No valid service subnet for the given device owner, network %s, service type %s.", p.NetworkID, p.DeviceOwner)
	}
	return append(own, general...), nil
}

// isRouterPort reports whether an owner is a router's inner port; its addresses are never automatic.
func isRouterPort(owner string) bool {
	switch owner {
	case model.OwnerRouterInterface, model.OwnerDistributedRoute, "network:ha_router_replicated_interface", "network:router_centralized_snat":
		return true
	}
	return false
}

// defaultRequests is what a port gets that asks for nothing: one IPv4 and one IPv6 address.
func defaultRequests(subnets []*model.Subnet) []request {
	var v4, v6 []*model.Subnet
	for _, s := range subnets {
		switch {
		case s.CIDR.Addr().Is4():
			v4 = append(v4, s)
		case !autoAddress(s):
			v6 = append(v6, s)
		}
	}
	var out []request
	for _, l := range [][]*model.Subnet{v4, v6} {
		if l != nil {
			out = append(out, request{subnets: l})
		}
	}
	return out
}

// requests reads a fixed_ips list.
func (c *call) requests(p *model.Port, subnets []*model.Subnet, fixed []any) ([]request, error) {
	var out []request
	for _, x := range fixed {
		m := x.(map[string]any)
		if len(subnets) == 0 {
			return nil, invalidInput("IP allocation requires subnets for network")
		}
		s, addr, err := c.subnetFor(p, subnets, m)
		if err != nil {
			return nil, err
		}
		switch {
		case addr.IsValid():
			if autoAddress(s) && !isRouterPort(p.DeviceOwner) {
				return nil, fail(400, "AllocationOnAutoAddressSubnet", "IPv6 address %s cannot be directly assigned to a port on subnet %s as the subnet is configured for automatic addresses", addr, s.ID)
			}
			out = append(out, request{subnets: []*model.Subnet{s}, addr: addr})
		case !autoAddress(s) || isRouterPort(p.DeviceOwner):
			out = append(out, request{subnets: []*model.Subnet{s}})
		}
	}
	return out, nil
}

func (c *call) subnetFor(p *model.Port, subnets []*model.Subnet, m map[string]any) (*model.Subnet, netip.Addr, error) {
	var addr netip.Addr
	if s, ok := m["ip_address"].(string); ok {
		addr, _ = netip.ParseAddr(s)
	}
	if id, ok := m["subnet_id"].(string); ok {
		for _, s := range subnets {
			if s.ID != id {
				continue
			}
			if addr.IsValid() && !usable(s, addr, p.DeviceOwner) {
				return nil, addr, fail(400, "InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", addr)
			}
			return s, addr, nil
		}
		if _, ok := c.view().Subnet(model.SubnetID(id)); !ok {
			return nil, addr, subnetResource.Missing(id)
		}
		return nil, addr, invalidInput("Failed to create port on network %s, because fixed_ips included invalid subnet %s", p.NetworkID, id)
	}
	if !addr.IsValid() {
		return nil, addr, invalidInput("IP allocation requires subnet_id or ip_address")
	}
	for _, s := range subnets {
		if usable(s, addr, p.DeviceOwner) {
			return s, addr, nil
		}
	}
	return nil, addr, fail(400, "InvalidIpForNetwork", "IP address %s is not a valid IP for any of the subnets on the specified network.", addr)
}

// usable reports whether an address of a subnet may be a port's; it need not be in a pool.
func usable(s *model.Subnet, a netip.Addr, owner string) bool {
	p := s.CIDR.Masked()
	if !p.Contains(a) {
		return false
	}
	if a.Is4() {
		return p.Bits() >= 31 || a != p.Addr() && a != lastAddr(p)
	}
	return p.Bits() >= 127 || a != p.Addr() || owner == "" || isRouterPort(owner) || owner == model.OwnerRouterGateway || owner == model.OwnerFloatingIP
}

// takeAddress reserves one address for a port.
func (c *call) takeAddress(p *model.Port, r request) (model.FixedIP, error) {
	space := addressSpace(p.NetworkID)
	for _, s := range r.subnets {
		f := model.FixedIP{SubnetID: model.SubnetID(s.ID), Address: r.addr}
		if !r.addr.IsValid() {
			if f.Address = c.pick(space, s, r.first); !f.Address.IsValid() {
				continue
			}
		}
		var taken *store.ErrTaken
		err := c.tx.Reserve(space, f.Address.String(), p.ID)
		if errors.As(err, &taken) {
			return f, conflict("IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", f.Address, s.ID)
		}
		if err == nil {
			c.tx.Exists(model.Subnets, s.ID)
		}
		return f, err
	}
	return model.FixedIP{}, conflict("IpAddressGenerationFailure", "No more IP addresses available on network %s.", p.NetworkID)
}

// tries is how often a random address is tried before the pools are searched from end to end.
const tries = 12

// pick finds a free address of a subnet's pools, the zero Addr if there is none.
func (c *call) pick(space string, s *model.Subnet, first bool) netip.Addr {
	is4 := s.CIDR.Addr().Is4()
	free := func(a netip.Addr) bool {
		_, taken := c.tx.Reserved(space, a.String())
		return !taken
	}
	pools := s.AllocationPools
	if len(pools) == 0 {
		return netip.Addr{}
	}
	if first {
		for _, p := range pools {
			for n, end := number(p.Start), number(p.End); ; n = n.plus(1) {
				if a := n.addr(is4); free(a) {
					return a
				}
				if n == end {
					break
				}
			}
		}
		return netip.Addr{}
	}
	start := rand.IntN(len(pools))
	for i := range pools {
		p := pools[(start+i)%len(pools)]
		size, low := span(p), number(p.Start)
		for range tries {
			if a := low.plus(rand.Uint64N(size + 1)).addr(is4); free(a) {
				return a
			}
		}
		from := rand.Uint64N(size + 1)
		for k := uint64(0); k <= size; k++ {
			off := from + k
			if off > size {
				off -= size + 1
			}
			if a := low.plus(off).addr(is4); free(a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// takeAddresses reserves all that was asked for and the automatic addresses.
func (c *call) takeAddresses(p *model.Port, reqs []request, subnets []*model.Subnet) error {
	for _, r := range reqs {
		f, err := c.takeAddress(p, r)
		if err != nil {
			return err
		}
		p.FixedIPs = append(p.FixedIPs, f)
	}
	return c.takeAuto(p, subnets, nil)
}

// takeAuto adds the automatic addresses that a port does not have yet.
func (c *call) takeAuto(p *model.Port, subnets []*model.Subnet, except []model.SubnetID) error {
	if isRouterPort(p.DeviceOwner) {
		return nil
	}
	for _, s := range subnets {
		id := model.SubnetID(s.ID)
		if !autoAddress(s) || slices.Contains(except, id) || slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.SubnetID == id }) {
			continue
		}
		f, err := c.takeAddress(p, request{subnets: []*model.Subnet{s}, addr: eui64(s.CIDR, p.MAC)})
		if err != nil {
			return err
		}
		p.FixedIPs = append(p.FixedIPs, f)
	}
	return nil
}

// releasePort gives back what a port holds and deletes it.
func (c *call) releasePort(p *model.Port) {
	for _, f := range p.FixedIPs {
		c.tx.Release(addressSpace(p.NetworkID), f.Address.String())
	}
	c.tx.Release(macSpace(p.NetworkID), p.MAC.String())
	c.tx.Touch(networkGuard(p.NetworkID))
	c.forgetLogs(p.ID)
	c.tx.Delete(model.Ports, p.ID)
	c.tx.Delete(model.PortStatuses, p.ID)
	if server := p.Server(); server != "" && c.s.cfg.Nova {
		c.tx.Put(model.NovaReports, &model.NovaReport{PortID: model.PortID(p.ID), Server: server})
	}
}
