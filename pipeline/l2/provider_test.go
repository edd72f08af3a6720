package l2_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/pipeline"
)

// TestProvider sends packets over a mapped bridge that is the operator's: it holds the host's own address in the
// same untagged network as a flat network, and another port of the operator's.
func TestProvider(t *testing.T) {
	s := newSite(t)
	for i := 1; i <= 2; i++ {
		h := s.host(fmt.Sprint("h", i), "", map[string]string{"external": "nic1"})
		h.AddBridge("br-ex", "fail_mode=secure")
		h.AddPort("br-ex", "nic1")
		h.Run("ip", "addr", "add", fmt.Sprintf("192.0.2.1%d/24", i), "dev", "br-ex")
		h.Run("ip", "link", "set", "br-ex", "up")
		patch(h, "br-int", "int-br-ex", pipeline.PortPhysicalBase+1, "br-ex", "phy-br-ex")
	}
	h1 := s.hosts["h1"]
	// The operator's own VM on br-ex, in a VLAN that no network has.
	own := h1.AddVM("own", ovstest.VMOptions{Bridge: "br-ex", IP: "198.51.100.2/24", IfaceID: "not-a-port"})
	h1.VSCtl("set", "Port", own.Tap, "tag=300")

	// The physical network's machines, on a switch with access ports.
	x := ovstest.Start(t, ovstest.Options{Name: "x", Underlay: s.under, Physical: map[string]string{"external": "nic1"}})
	x.AddBridge("br0")
	x.AddPort("br0", "nic1")
	outside := map[int]*ovstest.VM{}
	for vlan, ip := range map[int]string{0: "192.0.2.1/24", 100: "10.1.0.1/24", 101: "10.2.0.1/24", 300: "198.51.100.1/24"} {
		outside[vlan] = x.AddVM(fmt.Sprint("o", vlan), ovstest.VMOptions{Bridge: "br0", IP: ip, IfaceID: fmt.Sprintf("outside-%d", vlan)})
		if vlan != 0 {
			x.VSCtl("set", "Port", outside[vlan].Tap, fmt.Sprint("tag=", vlan))
		}
	}
	out := outside[0]

	mac := func(i int) string { return fmt.Sprintf("fa:16:3e:00:01:%02x", i) }
	port := func(name, net, host string, i int, ip string, more string) string {
		n := s.vm(host, name, mac(i), ip+"/24")
		return fmt.Sprintf("- {name: %s, network: %s, mac: %q, ips: [%s], groups: [all], on: {%s: %d}%s}\n", name, net, mac(i), ip, host, n, more)
	}
	state := `
physical: [{name: external, number: 1}]
hosts:
- {name: h1, mappings: {external: br-ex}}
- {name: h2, mappings: {external: br-ex}}
groups: [{name: all, rules: [ingress ipv4 any any any, egress ipv4 any any any]}]
networks:
- {name: flat, segments: [{type: flat, physical: external}]}
- {name: v100, segments: [{type: vlan, physical: external, id: 100}]}
- {name: v101, segments: [{type: vlan, physical: external, id: 101}]}
ports:
` + port("f1", "flat", "h1", 1, "192.0.2.21", "") + port("f2", "flat", "h2", 2, "192.0.2.22", "") +
		port("v1", "v100", "h1", 3, "10.1.0.2", "") + port("v2", "v100", "h2", 4, "10.1.0.3", "") + port("w1", "v101", "h1", 5, "10.2.0.2", ", pairs: [198.51.100.0/24]")
	s.step(state)

	reach := func(who interface {
		WaitPing(string, time.Duration) bool
	}, name string, targets ...string) {
		t.Helper()
		for _, ip := range targets {
			if !who.WaitPing(ip, 10*time.Second) {
				t.Errorf("%s does not reach %s", name, ip)
			}
		}
	}
	f1 := s.vms["f1"]
	seen := f1.Capture("icmp or arp or vlan")
	reach(out, "outside", "192.0.2.11", "192.0.2.12")
	reach(outside[300], "outside, VLAN 300", "198.51.100.2")
	reach(&h1.Node, "h1", "192.0.2.1", "192.0.2.12", "192.0.2.21", "192.0.2.22")
	reach(s.vms["v1"], "v1", "10.1.0.1", "10.1.0.3")
	reach(s.vms["v2"], "v2", "10.1.0.1")
	reach(s.vms["w1"], "w1", "10.2.0.1")
	reach(f1, "f1", "192.0.2.1", "192.0.2.11", "192.0.2.12", "192.0.2.22")
	reach(out, "outside", "192.0.2.21", "192.0.2.22")
	reach(outside[100], "outside, VLAN 100", "10.1.0.2", "10.1.0.3")
	reach(outside[101], "outside, VLAN 101", "10.2.0.2")

	own.TryRun("arping", "-c", "1", "-w", "2", "-I", "eth0", "198.51.100.77") // an access port's frames have no tag
	// What f1 must not have seen: another VLAN, and unicast of the host's own.
	for _, l := range seen.Lines() {
		for _, bad := range []string{"vlan 10", "vlan 300", "> 10.", "> 192.0.2.12: ICMP", "192.0.2.12 > ", "198.51."} {
			if strings.Contains(l, bad) && !strings.Contains(l, "192.0.2.21") {
				t.Errorf("f1 sees %q: %s", bad, l)
				break
			}
		}
	}
	// A broadcast of the flat network goes to both.
	host := h1.CaptureOn("br-ex", "arp")
	out.TryRun("arping", "-c", "2", "-w", "3", "-I", "eth0", "192.0.2.99")
	if seen.Wait("who-has 192.0.2.99", 5*time.Second) == "" || host.Wait("who-has 192.0.2.99", 5*time.Second) == "" {
		t.Error("a broadcast of the flat network does not reach both a VM and the host")
	}
	if n := strings.Count(strings.Join(seen.Lines(), "\n"), "who-has 192.0.2.99"); n > 2 {
		t.Errorf("a VM gets 2 broadcasts %d times", n)
	}
	// A VM in the flat network does not get into a VLAN by a tag of its own.
	victim := outside[101].Capture("arp")
	who := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, append(hw(f1.MAC), 10, 2, 0, 99, 0, 0, 0, 0, 0, 0, 10, 2, 0, 1)...)
	eth := append([]byte{255, 255, 255, 255, 255, 255}, hw(f1.MAC)...)
	frame(t, f1, append(append(eth[:12:12], 0x81, 0, 0, 101, 8, 6), who...)) // tagged
	who[17] = 98
	frame(t, f1, append(append(eth[:12:12], 8, 6), who...))
	s.vms["w1"].TryRun("arping", "-c", "2", "-w", "3", "-I", "eth0", "10.2.0.77") // comes after, and shows that the capture works
	if victim.Wait("who-has 10.2.0.77", 5*time.Second) == "" {
		t.Error("a broadcast of VLAN 101 does not reach the physical network")
	}
	if all := strings.Join(victim.Lines(), "\n"); strings.Contains(all, "10.2.0.99") || strings.Contains(all, "10.2.0.98") {
		t.Errorf("a VM of the flat network reaches another VLAN by a tag of its own:\n%s", all)
	}
	// MACs of the physical network are learned; those of known ports are not.
	fdb := h1.OFCtl("dump-flows", "br-int", "table=52")
	if !strings.Contains(fdb, out.MAC) || strings.Contains(fdb, mac(2)) || strings.Contains(fdb, mac(1)) {
		t.Errorf("the physical network's MAC %s and no other should be learned:\n%s", out.MAC, fdb)
	}
	// The VLAN of a network changes while it runs.
	s.step("networks: [{name: v101, segments: [{type: vlan, physical: external, id: 300}]}]")
	s.vms["w1"].SetIP("198.51.100.3/24", "")
	reach(s.vms["w1"], "w1", "198.51.100.1", "198.51.100.2")
	// Only the operator's flow is left when the networks are gone, and what was the operator's still works.
	s.step("remove: [network flat, network v100, network v101]")
	reach(out, "outside", "192.0.2.11")
	reach(outside[300], "outside, VLAN 300", "198.51.100.2")
	if _, err := f1.TryRun("ping", "-c", "1", "-W", "1", "192.0.2.1"); err == nil {
		t.Error("a VM of a network that is gone reaches the physical network")
	}
	s.limits()
}

func hw(mac string) []byte {
	a, err := net.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	return a
}

// frame has a VM send a frame as it is.
func frame(t *testing.T, vm *ovstest.VM, b []byte) {
	t.Helper()
	err := vm.Do(func() error {
		fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return syscall.Sendto(fd, b, 0, &syscall.SockaddrLinklayer{Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("send a frame from %s: %v", vm.Name, err)
	}
}
