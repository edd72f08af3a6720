package ovstest

import "strconv"

// Underlay is what connects several hosts: a network namespace with a Linux bridge for tunnels, one for
// management and one for each physical network.
type Underlay struct {
	Node
	id   string
	nets map[string]string // net -> bridge
	n    int               // interfaces made
}

// The underlay's networks that every one has. Physical networks have the names that their users give.
const (
	TunnelNet = "tunnel"
	MgmtNet   = "mgmt"
)

// NewUnderlay makes an underlay, removed when the test ends. Start attaches hosts to it by Options.Underlay,
// AddMachine other machines.
func NewUnderlay(t TB) *Underlay {
	t.Helper()
	dir, id := workspace(t)
	u := &Underlay{Node: Node{t: t, ns: id + ".underlay", dir: dir, Name: "underlay"}, id: id, nets: map[string]string{}}
	addNamespace(t, u.ns, false)
	return u
}

// bridge returns a network's Linux bridge, made at first use.
func (u *Underlay) bridge(net string) string {
	u.t.Helper()
	if b, ok := u.nets[net]; ok {
		return b
	}
	b := "net" + strconv.Itoa(len(u.nets))
	u.Run("ip", "link", "add", b, "type", "bridge")
	u.Run("ip", "link", "set", b, "up")
	u.nets[net] = b
	return b
}

// connect makes an interface in a namespace with its other end on a network.
func (u *Underlay) connect(ns, name, net string, mtu int) {
	u.t.Helper()
	b := u.bridge(net)
	port := "port" + strconv.Itoa(u.n)
	u.n++
	addVeth(u.t, u.ns, port, ns, name, "", mtu)
	ip(u.t, u.ns, "link", "set", port, "master", b)
}

// attach connects a host: nic0, in the bridge br-phy that carries the tunnel address, since a userspace
// tunnel looks for its address on a bridge of its own datapath; mgmt0; and one NIC per physical network,
// which the test or penstockd puts in a mapped bridge.
func (u *Underlay) attach(h *Host) {
	u.t.Helper()
	if h.ns == "" {
		u.t.Fatalf("ovstest: %s: a host in the test's own namespace cannot be attached to an underlay", h.Name)
	}
	if h.opt.TunnelIP != "" {
		u.connect(h.ns, "nic0", TunnelNet, h.opt.MTU)
		h.AddBridge("br-phy")
		h.AddPort("br-phy", "nic0")
		ip(u.t, h.ns, "addr", "add", h.opt.TunnelIP, "dev", "br-phy")
		ip(u.t, h.ns, "link", "set", "br-phy", "up")
	}
	if h.opt.MgmtIP != "" {
		u.connect(h.ns, "mgmt0", MgmtNet, h.opt.MTU)
		ip(u.t, h.ns, "addr", "add", h.opt.MgmtIP, "dev", "mgmt0")
	}
	for net, nic := range h.opt.Physical {
		u.connect(h.ns, nic, net, h.opt.MTU)
	}
}

// SetLink sets a host's interface in the underlay up or down, as an operator does.
func (h *Host) SetLink(iface string, up bool) {
	h.t.Helper()
	state := "down"
	if up {
		state = "up"
	}
	ip(h.t, h.ns, "link", "set", iface, state)
}

// AddMachine makes a machine on a network of the underlay, with an address with prefix length on eth0
// unless cidr is empty: a router or a server outside, or a place for penstockd on the management network.
func (u *Underlay) AddMachine(name, net, cidr string) *Node {
	u.t.Helper()
	m := &Node{t: u.t, ns: u.id + "." + name, dir: u.dir, Name: name}
	addNamespace(u.t, m.ns, true)
	u.connect(m.ns, "eth0", net, 1500)
	if cidr != "" {
		m.Run("ip", "addr", "add", cidr, "dev", "eth0")
	}
	return m
}
