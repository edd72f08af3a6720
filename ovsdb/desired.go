package ovsdb

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
)

// The names of the bridges and ports that every host has. They are part of the contract with operators.
const (
	BridgeInt = "br-int" // VIFs
	BridgeTun = "br-tun" // overlay

	PortPatchTun = "patch-tun" // on br-int, to br-tun
	PortPatchInt = "patch-int" // on br-tun and its peer
	PortVXLAN    = "vxlan-pst" // on br-tun, all VXLAN peers
	PortGRE      = "gre-pst"   // on br-tun, all GRE peers

	prefixInt = "int-" // on br-int, to a mapped bridge
	prefixPhy = "phy-" // on a mapped bridge, to br-int
)

// Fixed OpenFlow port numbers, the same on every host, so that flows which name them can be shared. They
// lie below OFPP_MAX (0xff00 = 65280) and far above what ovs-vswitchd gives out by itself (1, 2, 3, …).
const (
	OFPortPatchTun uint32 = 65000 // patch-tun on br-int
	OFPortPatchInt uint32 = 65000 // patch-int on br-tun
	OFPortVXLAN    uint32 = 65001 // on br-tun
	OFPortGRE      uint32 = 65002 // on br-tun
	OFPortPhy      uint32 = 65000 // phy-BRIDGE on every mapped bridge
	// OFPortPhysicalBase plus the number of a physical network (1…MaxPhysical) is int-BRIDGE on br-int.
	OFPortPhysicalBase uint32 = 64000
	MaxPhysical        uint32 = 999
)

// DefaultOwner is the value of external_ids:penstock-owner when Desired names none.
const DefaultOwner = "penstock"

// Desired is what should be there on a host. It is a value: never changed after it was handed over.
type Desired struct {
	// Owner is the value of the owner mark; empty means DefaultOwner. Rows with another owner's mark are foreign.
	Owner   string
	Bridges []Bridge
	Patches []Patch
	Tunnels []Tunnel
	// DatapathType is for all bridges that are made: "system", "netdev", or empty: the type that our br-int
	// has already, else the kernel's, else netdev when ovs-vswitchd cannot make the bridge.
	DatapathType string
}

// Bridge is one bridge. Fail mode secure, out-of-band control and the sessions' timing are the same for
// all and therefore not here.
type Bridge struct {
	Name string
	// DatapathID is written to other_config:datapath-id; never zero.
	DatapathID uint64
	// Protocols are written as they are, e.g. OpenFlow13.
	Protocols []string
	// Controllers are the targets, e.g. tcp:127.0.0.1:6653. Empty leaves the bridge without any.
	Controllers []string
	// Mapped says that the bridge carries a physical network and may belong to the operator.
	Mapped bool
}

// Patch is a pair of patch ports. OFPort is the requested number of each end.
type Patch struct{ A, B PatchEnd }

// PatchEnd is one of the two ports of a Patch.
type PatchEnd struct {
	Bridge, Port string
	OFPort       uint32
}

// Tunnel is one tunnel port for all peers (remote_ip=flow, key=flow).
type Tunnel struct {
	Bridge, Name string
	Type         string // vxlan or gre
	OFPort       uint32
	LocalIP      netip.Addr // the zero Addr leaves the choice to the routing table
}

// DatapathID is the fixed datapath id of a bridge of a host: 64 bits of a hash, so that it depends on
// nothing else and two hosts' bridges differ. It is never zero.
func DatapathID(host model.HostName, bridge string) uint64 {
	sum := sha256.Sum256([]byte("penstock\x00" + string(host) + "\x00" + bridge))
	return binary.BigEndian.Uint64(sum[:8]) | 1
}

// PatchPorts names the two patch ports between br-int and a mapped bridge: int-BRIDGE on br-int and
// phy-BRIDGE on the mapped bridge, shortened with a hash where they would exceed the 15 characters of an
// interface's name.
func PatchPorts(bridge string) (onInt, onPhy string) {
	return shorten(prefixInt, bridge), shorten(prefixPhy, bridge)
}

func shorten(prefix, name string) string {
	const limit = 15
	if len(prefix)+len(name) <= limit {
		return prefix + name
	}
	sum := sha256.Sum256([]byte(name))
	return prefix + name[:limit-len(prefix)-7] + "-" + hex.EncodeToString(sum[:3])
}

// Options are what DesiredFor needs beside the host.
type Options struct {
	// Controllers are the OpenFlow targets that every bridge connects to, one per penstockd.
	Controllers []string
	// Number gives a physical network's number, 1…MaxPhysical, the same on every host. Nil numbers the
	// host's own mappings in the order of their names, which is right for a single host only.
	Number func(physical string) uint32
	// Overlay says whether the host gets br-tun and its tunnel ports.
	Overlay bool
	// Tunnels are the encapsulations offered; nil means vxlan and gre.
	Tunnels []model.NetworkType
	Owner   string
}

// DesiredFor says what should be there on a host. The errors name the mapping or address at fault.
func DesiredFor(h *model.Host, o Options) (Desired, error) {
	name := model.HostName(h.ID)
	if len(o.Controllers) == 0 {
		return Desired{}, fmt.Errorf("host %s: no OpenFlow target for its bridges: set openflow.advertise", name)
	}
	switch h.DatapathType {
	case "", "system", "netdev", "dummy":
	default:
		return Desired{}, fmt.Errorf("host %s: datapath_type %q: want system, netdev or nothing", name, h.DatapathType)
	}
	d := Desired{Owner: o.Owner, DatapathType: h.DatapathType}
	bridge := func(b string, mapped bool) {
		d.Bridges = append(d.Bridges, Bridge{Name: b, DatapathID: DatapathID(name, b),
			Protocols: []string{"OpenFlow13"}, Controllers: slices.Clone(o.Controllers), Mapped: mapped})
	}
	bridge(BridgeInt, false)
	if o.Overlay {
		bridge(BridgeTun, false)
		d.Patches = append(d.Patches, Patch{
			A: PatchEnd{Bridge: BridgeInt, Port: PortPatchTun, OFPort: OFPortPatchTun},
			B: PatchEnd{Bridge: BridgeTun, Port: PortPatchInt, OFPort: OFPortPatchInt}})
		types := o.Tunnels
		if types == nil {
			types = []model.NetworkType{model.NetworkVXLAN, model.NetworkGRE}
		}
		for _, t := range types {
			tun := Tunnel{Bridge: BridgeTun, Type: string(t), LocalIP: h.TunnelIP}
			switch t {
			case model.NetworkVXLAN:
				tun.Name, tun.OFPort = PortVXLAN, OFPortVXLAN
			case model.NetworkGRE:
				tun.Name, tun.OFPort = PortGRE, OFPortGRE
			default:
				return Desired{}, fmt.Errorf("host %s: no tunnel port for networks of type %q", name, t)
			}
			d.Tunnels = append(d.Tunnels, tun)
		}
	}
	seen := map[string]string{}
	for i, phys := range slices.Sorted(maps.Keys(h.BridgeMappings)) {
		b := h.BridgeMappings[phys]
		if b == BridgeInt || b == BridgeTun || b == "" || strings.ContainsAny(b, "/ \t\n") || len(b) > 15 {
			return Desired{}, fmt.Errorf("host %s: bridge_mappings %s: %q cannot carry a physical network", name, phys, b)
		}
		if other, dup := seen[b]; dup {
			return Desired{}, fmt.Errorf("host %s: bridge_mappings: %s and %s both name bridge %s", name, other, phys, b)
		}
		seen[b] = phys
		n := uint32(i + 1)
		if o.Number != nil {
			n = o.Number(phys)
		}
		if n == 0 || n > MaxPhysical {
			return Desired{}, fmt.Errorf("host %s: physical network %s has number %d: want 1 to %d", name, phys, n, MaxPhysical)
		}
		onInt, onPhy := PatchPorts(b)
		bridge(b, true)
		d.Patches = append(d.Patches, Patch{
			A: PatchEnd{Bridge: BridgeInt, Port: onInt, OFPort: OFPortPhysicalBase + n},
			B: PatchEnd{Bridge: b, Port: onPhy, OFPort: OFPortPhy}})
	}
	return d, d.Validate()
}

// Validate says what is wrong with a Desired that was put together by hand.
func (d Desired) Validate() error {
	names, numbers := map[string]bool{}, map[string]string{}
	bridges := map[string]bool{}
	for _, b := range d.Bridges {
		if b.Name == "" || b.DatapathID == 0 || len(b.Protocols) == 0 {
			return fmt.Errorf("bridge %q needs a name, a datapath id and protocols", b.Name)
		}
		if bridges[b.Name] {
			return fmt.Errorf("bridge %s is listed twice", b.Name)
		}
		bridges[b.Name], names[b.Name] = true, true // a bridge's LOCAL port has its name
	}
	for _, p := range d.ports() {
		at := fmt.Sprintf("%s/%d", p.bridge, p.ofport)
		switch {
		case !bridges[p.bridge]:
			return fmt.Errorf("port %s is on bridge %s, which is not listed", p.name, p.bridge)
		case names[p.name]:
			return fmt.Errorf("port name %s is used twice", p.name)
		case p.ofport == 0 || p.ofport >= 0xff00:
			return fmt.Errorf("port %s: number %d is not an OpenFlow port", p.name, p.ofport)
		case numbers[at] != "":
			return fmt.Errorf("ports %s and %s on %s both ask for number %d", numbers[at], p.name, p.bridge, p.ofport)
		}
		names[p.name], numbers[at] = true, p.name
	}
	if len(d.Bridges) == 0 {
		return errors.New("no bridges: use Undo to take everything back")
	}
	return nil
}

// port is a patch or tunnel port as it should stand in the database.
type port struct {
	bridge, name, kind string
	ofport             uint32
	options            map[string]string
}

func (d Desired) ports() []port {
	out := make([]port, 0, 2*len(d.Patches)+len(d.Tunnels))
	for _, p := range d.Patches {
		out = append(out,
			port{p.A.Bridge, p.A.Port, "patch", p.A.OFPort, map[string]string{"peer": p.B.Port}},
			port{p.B.Bridge, p.B.Port, "patch", p.B.OFPort, map[string]string{"peer": p.A.Port}})
	}
	for _, t := range d.Tunnels {
		o := map[string]string{"remote_ip": "flow", "key": "flow"}
		if t.LocalIP.IsValid() {
			o["local_ip"] = t.LocalIP.String()
		}
		out = append(out, port{t.Bridge, t.Name, t.Type, t.OFPort, o})
	}
	return out
}

func (d Desired) owner() string {
	if d.Owner == "" {
		return DefaultOwner
	}
	return d.Owner
}
