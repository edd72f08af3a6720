// Package packettest is what the tests of packet-in handlers share: a small network as intent, and an
// independent look (gopacket's) at the frames that handlers send. Nothing but tests imports it.
package packettest

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
)

// The keys and addresses of World.
const (
	VMKey   = 11
	PeerKey = 12
	IdleKey = 13
	InPort  = 42
)

// World is a network 10.0.0.0/24 with a DHCP port at .2, a router port at .1, a VM at .5, a bound peer at
// .6 and a port at .7 that is on no host. A nil port is not there.
type World struct {
	Network                      *model.Network
	Subnet                       *model.Subnet
	DHCP, Router, VM, Peer, Idle *model.Port
	More                         []model.Change
}

// New gives a fresh World.
func New() *World {
	port := func(id string, key uint32, owner, ip string) *model.Port {
		m := model.MAC{0xfa, 0x16, 0x3e, 0, 0, byte(key)}
		return &model.Port{Meta: model.Meta{ID: id, Key: key}, NetworkID: "n1", MAC: m, AdminStateUp: true, DeviceOwner: owner,
			FixedIPs: []model.FixedIP{{SubnetID: "s1", Address: netip.MustParseAddr(ip)}}}
	}
	return &World{
		Network: &model.Network{Meta: model.Meta{ID: "n1", Key: 1}, AdminStateUp: true, MTU: 1450},
		Subnet: &model.Subnet{Meta: model.Meta{ID: "s1", Key: 2}, NetworkID: "n1", CIDR: netip.MustParsePrefix("10.0.0.0/24"),
			GatewayIP: netip.MustParseAddr("10.0.0.1"), EnableDHCP: true,
			DNSNameservers: []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("9.9.9.9")}},
		Router: port("router", 9, model.OwnerRouterInterface, "10.0.0.1"),
		DHCP:   port("dhcp", 10, model.OwnerDHCP, "10.0.0.2"),
		VM:     port("vm", VMKey, "compute:nova", "10.0.0.5"),
		Peer:   port("peer", PeerKey, "compute:nova", "10.0.0.6"),
		Idle:   port("idle", IdleKey, "", "10.0.0.7"),
	}
}

// Changes gives the world as changes to an empty store.
func (w *World) Changes() []model.Change {
	c := []model.Change{{Table: model.Networks, New: w.Network}, {Table: model.Subnets, New: w.Subnet}}
	for _, p := range []*model.Port{w.Router, w.DHCP, w.VM, w.Peer, w.Idle} {
		if p != nil {
			c = append(c, model.Change{Table: model.Ports, New: p})
		}
	}
	for _, id := range []model.PortID{"vm", "peer"} {
		c = append(c, model.Change{Table: model.Bindings, New: &model.Binding{PortID: id, Host: "h1", NetworkID: "n1", Slot: 1}})
	}
	return append(c, w.More...)
}

// Packet is a frame that the VM sent.
func Packet(data []byte) *packetin.Packet {
	return &packetin.Packet{Host: "h1", InPort: InPort, PortKey: VMKey, Data: data, FullLen: len(data)}
}

// Check decodes a frame and fails on what a strict receiver would drop: lengths, checksums, short frames of IP.
func Check(tb testing.TB, frame []byte) gopacket.Packet {
	tb.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		tb.Fatalf("the frame does not decode: %v", e.Error())
	}
	if udp, ok := p.TransportLayer().(*layers.UDP); ok && p.NetworkLayer() != nil {
		if err := udp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			tb.Fatal(err)
		}
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) != 0 {
		tb.Fatalf("checksums: %v %v", err, bad)
	}
	return p
}

// Serialize makes a frame with gopacket.
func Serialize(tb testing.TB, l ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
