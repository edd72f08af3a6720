package api

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock/penstock/model"
)

// dhcpDevice begins the device_id of the network:dhcp ports that the API makes, as the DHCP agent's do.
const dhcpDevice = "dhcp-"

// ownDHCPPort reports whether the API made a network:dhcp port itself; others belong to whoever made them.
func ownDHCPPort(p *model.Port) bool {
	return p.DeviceOwner == model.OwnerDHCP && strings.HasPrefix(p.DeviceID, dhcpDevice)
}

// settleDHCPPort makes a network's DHCP port what its subnets ask for: one port with an address in each subnet that
// has DHCP, none if no subnet has. It runs in the transaction that changes the subnets.
func (c *call) settleDHCPPort(id model.NetworkID) error {
	if c.s.cfg.NoDHCPPorts {
		return nil
	}
	n, ok := c.view().Network(id)
	if !ok {
		return nil
	}
	var subnets []*model.Subnet
	for _, s := range c.view().SubnetsOf(id) {
		if s.EnableDHCP {
			subnets = append(subnets, s)
		}
	}
	var have *model.Port
	for _, p := range c.view().PortsOwned(id, model.OwnerDHCP) {
		if ownDHCPPort(p) {
			have = p
		}
	}
	switch {
	case len(subnets) == 0 && have == nil:
		return nil
	case len(subnets) == 0:
		c.releasePort(have)
		return nil
	case have == nil:
		p := &model.Port{Meta: model.Meta{ID: uuid.NewString(), Key: c.tx.NextKey(), ProjectID: n.ProjectID, CreatedAt: c.now, UpdatedAt: c.now, Revision: 1},
			NetworkID: id, AdminStateUp: true, DeviceID: dhcpDevice + n.ID, DeviceOwner: model.OwnerDHCP, VNICType: "normal"}
		if err := c.takeMAC(p); err != nil {
			return err
		}
		c.tx.Touch(networkGuard(id))
		return c.dhcpAddresses(p, p, subnets)
	}
	next := clone(have).(*model.Port)
	next.FixedIPs = nil
	for _, f := range have.FixedIPs {
		if slices.ContainsFunc(subnets, func(s *model.Subnet) bool { return s.ID == string(f.SubnetID) }) {
			next.FixedIPs = append(next.FixedIPs, f)
		} else {
			c.tx.Release(addressSpace(id), f.Address.String())
		}
	}
	return c.dhcpAddresses(have, next, subnets)
}

// dhcpAddresses gives the port an address in each subnet where it has none: the pool's first free one. A subnet
// without a free address goes without DHCP rather than make the request fail.
func (c *call) dhcpAddresses(have, p *model.Port, subnets []*model.Subnet) error {
	for _, s := range subnets {
		if slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return string(f.SubnetID) == s.ID }) {
			continue
		}
		r := request{subnets: []*model.Subnet{s}, first: true}
		if autoAddress(s) {
			r.addr = eui64(s.CIDR, p.MAC)
		}
		f, err := c.takeAddress(p, r)
		if e := asError(err); e != nil && e.Type == "IpAddressGenerationFailure" {
			continue
		}
		if err != nil {
			return err
		}
		p.FixedIPs = append(p.FixedIPs, f)
	}
	if have == p {
		c.tx.Put(model.Ports, p)
		return nil
	}
	c.save(model.Ports, have, p)
	return nil
}
