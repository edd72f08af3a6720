package ovstest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// VMOptions of AddVM. Every field may be left empty.
type VMOptions struct {
	MAC     string // default: fa:16:3e and three bytes from the name
	IP      string // address with prefix length; empty: none, for DHCP
	Gateway string // default route, if IP is given
	IfaceID string // external_ids:iface-id; default: a UUID made from the name
	Bridge  string // default br-int
	MTU     int    // default 1500
	NoPlug  bool   // make it, but let the test call Plug
}

// VM is a machine behind a veth whose other end is a port on its host, as libvirt makes it.
type VM struct {
	Node
	host *Host
	opt  VMOptions

	// MAC is its interface's address, IfaceID what its port says in external_ids:iface-id, and Tap the
	// name of the port and of the interface on the host. Its own interface is eth0.
	MAC, IfaceID, Tap string
}

// AddVM makes a VM with one interface and plugs it, unless the options say otherwise.
func (h *Host) AddVM(name string, opt VMOptions) *VM {
	h.t.Helper()
	sum := sha256.Sum256([]byte(h.Name + "/" + name))
	if opt.MAC == "" {
		opt.MAC = fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", sum[0], sum[1], sum[2])
	}
	if opt.IfaceID == "" {
		sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
		opt.IfaceID = fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	}
	if opt.Bridge == "" {
		opt.Bridge = "br-int"
	}
	if opt.MTU == 0 {
		opt.MTU = 1500
	}
	tap := "tap" + opt.IfaceID
	vm := &VM{Node: Node{t: h.t, ns: h.id + "." + h.Name + "." + name, dir: h.dir, Name: name},
		host: h, opt: opt, MAC: opt.MAC, IfaceID: opt.IfaceID, Tap: tap[:min(len(tap), 14)]}
	addNamespace(h.t, vm.ns, true)
	addVeth(h.t, h.ns, vm.Tap, vm.ns, "eth0", opt.MAC, opt.MTU)
	h.t.Cleanup(func() { run(spec{ns: vm.host.ns, args: []string{"ip", "link", "del", vm.Tap}}) }) // gone with its namespace, usually
	if opt.IP != "" {
		vm.SetIP(opt.IP, opt.Gateway)
	}
	if !opt.NoPlug {
		vm.Plug()
	}
	return vm
}

// SetIP replaces the IPv4 addresses of eth0 by one with prefix length, and the default route if gateway
// is not empty.
func (vm *VM) SetIP(cidr, gateway string) {
	vm.t.Helper()
	vm.Run("ip", "-4", "addr", "flush", "dev", "eth0")
	vm.Run("ip", "addr", "add", cidr, "dev", "eth0")
	if gateway != "" {
		vm.Run("ip", "route", "replace", "default", "via", gateway, "dev", "eth0", "onlink")
	}
}

// Host is where the VM is now.
func (vm *VM) Host() *Host { return vm.host }

// Plug adds the VM's port to the bridge with the external_ids that libvirt sets.
func (vm *VM) Plug() {
	vm.t.Helper()
	vm.host.AddPort(vm.opt.Bridge, vm.Tap, "external_ids:iface-id="+vm.IfaceID,
		`external_ids:attached-mac="`+vm.MAC+`"`, "external_ids:vm-id="+vm.IfaceID, "external_ids:iface-status=active")
}

// Unplug deletes the VM's port from the bridge; the VM keeps its interface and addresses.
func (vm *VM) Unplug() {
	vm.t.Helper()
	vm.host.VSCtl("--if-exists", "del-port", vm.opt.Bridge, vm.Tap)
}

// MoveTo unplugs the VM, if it is plugged, and plugs it on another host, as a migration does.
func (vm *VM) MoveTo(h *Host) {
	vm.t.Helper()
	vm.Unplug()
	ip(vm.t, vm.host.ns, "link", "set", vm.Tap, "netns", h.ns)
	vm.host = h
	ip(vm.t, h.ns, "link", "set", vm.Tap, "up")
	vm.Plug()
}

// Installed waits at most d until penstockd says that the VM's port is in place.
func (vm *VM) Installed(d time.Duration) bool {
	return WaitFor(d, func() bool {
		out, err := vm.host.TryVSCtl("--if-exists", "get", "Interface", vm.Tap, "external_ids:penstock-installed")
		return err == nil && strings.Trim(out, `"`) == "true"
	})
}
