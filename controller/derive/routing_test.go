package derive

import (
	"fmt"
	"net/netip"

	"github.com/penstock/penstock/model"
)

// routingStep makes one random change of subnets, routers, their ports, floating IPs or hosts' states. Here too anything
// may refer to what is not there, and two may claim one thing.
func (w *world) routingStep() []model.Change {
	n := w.r.IntN
	net := func() model.NetworkID { return model.NetworkID(fmt.Sprintf("net%d", n(4))) }
	router := func() string { return fmt.Sprintf("router%d", n(3)) }
	addr := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n(2)), byte(n(8))}) }
	port := func(k int) model.PortID { return model.PortID(fmt.Sprintf("rp%d", k)) }
	gone := func(t *model.Table, id string) []model.Change { return w.remove(t, id) }
	switch n(10) {
	case 0:
		id := fmt.Sprintf("s%d", n(3))
		if n(4) == 0 {
			return gone(model.Subnets, id)
		}
		s := &model.Subnet{Meta: w.meta(id, model.Subnets), NetworkID: net(), CIDR: netip.PrefixFrom(addr(), 24+n(2)).Masked()}
		if n(2) == 0 {
			s.GatewayIP = addr()
		}
		return []model.Change{w.change(model.Subnets, s)}
	case 1, 2:
		id := router()
		if n(4) == 0 {
			return gone(model.Routers, id)
		}
		r := &model.Router{Meta: w.meta(id, model.Routers), AdminStateUp: n(6) > 0, EnableSNAT: n(3) > 0}
		if n(3) > 0 {
			r.GatewayNetwork, r.GatewayPort, r.Zone = net(), port(n(6)), uint16(model.FirstRouterZone+r.Key)
		}
		for range n(3) {
			r.Routes = append(r.Routes, model.Route{Destination: netip.PrefixFrom(addr(), 20+n(12)).Masked(), NextHop: addr()})
		}
		return []model.Change{w.change(model.Routers, r)}
	case 3, 4, 5:
		k := n(6)
		if n(4) == 0 {
			return gone(model.Ports, string(port(k)))
		}
		p := &model.Port{Meta: w.meta(string(port(k)), model.Ports), NetworkID: net(), AdminStateUp: n(8) > 0, DeviceID: router(),
			MAC: model.MAC{2, 0, 0, 0, 2, byte(k)}}
		p.DeviceOwner = []string{model.OwnerRouterInterface, model.OwnerDistributedRoute, model.OwnerRouterGateway, model.OwnerFloatingIP}[n(4)]
		// An address is one router port's, as the API has it.
		p.FixedIPs = []model.FixedIP{{SubnetID: model.SubnetID(fmt.Sprintf("s%d", n(3))), Address: netip.AddrFrom4([4]byte{10, 0, byte(n(2)), byte(100 + k)})}}
		return []model.Change{w.change(model.Ports, p)}
	case 6, 7:
		k := n(3)
		id := fmt.Sprintf("fip%d", k)
		if n(4) == 0 {
			return gone(model.FloatingIPs, id)
		}
		f := &model.FloatingIP{Meta: w.meta(id, model.FloatingIPs), NetworkID: net(), Address: netip.AddrFrom4([4]byte{10, 0, 9, byte(k)}), HolderPort: port(n(6))}
		if n(4) > 0 {
			f.PortID, f.FixedIP, f.RouterID = model.PortID(fmt.Sprintf("port%d", n(12))), netip.AddrFrom4([4]byte{10, 0, 1, byte(200 + k)}), router()
		}
		return []model.Change{w.change(model.FloatingIPs, f)}
	default:
		h := model.HostName(fmt.Sprintf("h%d", n(3)))
		return []model.Change{w.change(model.HostStates, &model.HostState{Host: h, Alive: n(2) == 0})}
	}
}
