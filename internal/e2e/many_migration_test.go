package e2e

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock/penstock/internal/ovstest"
)

// announce sends the RARP frame by which QEMU tells switches where a migrated guest is now, from the calling thread's
// namespace.
func announce(mac string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	s, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, hw...)
	f = append(f, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3) // reverse request, RFC 903
	for range 2 {
		f = append(append(f, hw...), 0, 0, 0, 0)
	}
	return syscall.Sendto(s, append(f, make([]byte, 60-len(f))...), 0, &syscall.SockaddrLinklayer{Ifindex: i.Index})
}

// twin makes the place on another host that a VM migrates to: the same port and MAC address. Like a guest there before it
// runs, it does not answer until resume: an interface that comes up takes its time, an address is there at once.
func (s *site) twin(v *vm, h *ovstest.Host) *vm {
	s.t.Helper()
	w := &vm{e: s.env, Port: v.Port, IP: v.IP}
	w.VM = h.AddVM(v.Name, ovstest.VMOptions{MAC: v.MAC, IfaceID: v.IfaceID, NoPlug: true})
	w.Run("ip", "link", "set", "eth0", "mtu", "1450")
	return w
}

// setAddr gives eth0 of the calling thread's namespace an IPv4 address, or takes it away if ip is 0.0.0.0: without a
// program that would have to start first.
func setAddr(ip string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("eth0")
	if err != nil {
		return err
	}
	set := func(req uint, ip string) error {
		if err := r.SetInet4Addr(net.ParseIP(ip).To4()); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, req, r)
	}
	if err := set(unix.SIOCSIFADDR, ip); err != nil || ip == "0.0.0.0" {
		return err
	}
	return set(unix.SIOCSIFNETMASK, "255.255.255.0")
}

// resume runs the guest in its new place and announces it for 0.8 s as QEMU does: the last word from its old place
// may still be on its way, and has switches look for it there.
func (s *site) resume(from, to *vm) {
	s.t.Helper()
	for _, step := range []struct {
		at *vm
		do func() error
	}{
		{to, func() error { return setAddr(to.IP) }},
		{from, func() error { return setAddr("0.0.0.0") }},
	} {
		if err := step.at.Do(step.do); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, pause := range []time.Duration{0, 50, 150, 250, 350} {
		time.Sleep(pause * time.Millisecond)
		if err := to.Do(func() error { return announce(to.MAC) }); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestMigration moves a VM from h1 to h2 while VMs on all three hosts talk to it, three ways: as a Nova does that knows
// several bindings of a port, by binding:host_id alone with the migration profile before, and back.
func TestMigration(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{hosts: 3})
	n := s.net("blue", "10.0.0.0/24", provider("vxlan", 42, ""))
	peers := make([]*vm, 3)
	for i, h := range s.hosts {
		peers[i] = s.on(h, "peer"+h.Name, n, []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}[i], nil)
	}
	src := s.on(s.hosts[0], "guest", n, "10.0.0.50", object{"binding:host_id": "h1"})
	id := src.Port["id"].(string)
	path := "/v2.0/ports/" + id
	dst := s.twin(src, s.hosts[1])
	s.settle()
	for _, p := range peers {
		p.pings(src.IP)
	}

	// Without a word to penstockd, the second place is nobody's.
	dst.Plug()
	s.wait("VIF_ELSEWHERE", func() bool { return s.problem("VIF_ELSEWHERE") != nil })
	dst.Unplug()
	s.wait("no VIF_ELSEWHERE", func() bool { return s.problem("VIF_ELSEWHERE") == nil })

	// As Nova: a second binding, plug, resume there, activate, unplug here, delete the first binding.
	s.do("POST", path+"/bindings", object{"binding": object{"host": "h2"}}, nil)
	dst.Plug()
	s.wait("the port's place on h2", func() bool { return len(s.places(id)) == 2 })
	s.settle()
	if st := src.status(); st != "ACTIVE" || s.hostOf(id) != "h1" {
		t.Errorf("before the switch the port is %s on %s", st, s.hostOf(id))
	}
	s.migrate(t, src, dst, peers, 10, func() { s.do("PUT", path+"/bindings/h2/activate", nil, nil) })
	src.Unplug()
	s.do("DELETE", path+"/bindings/h1", nil, nil)
	s.wait("one place", func() bool { return len(s.places(id)) == 1 && s.hostOf(id) == "h2" })
	dst.waitActive()
	for _, p := range peers {
		p.pings(src.IP)
	}

	// As older releases of Nova: the profile names the destination, then host_id is switched.
	s.update("port", id, object{"binding:profile": object{"migrating_to": "h1"}})
	src.Plug()
	s.wait("the port's place on h1", func() bool { return len(s.places(id)) == 2 })
	s.settle()
	s.migrate(t, dst, src, peers, 10, func() {
		s.update("port", id, object{"binding:host_id": "h1", "binding:profile": object{}})
	})
	dst.Unplug()
	s.wait("one place", func() bool { return len(s.places(id)) == 1 && s.hostOf(id) == "h1" })
	src.waitActive()
	for _, p := range peers {
		p.pings(src.IP)
	}
	s.noLimits(t)
}

// TestMigrationVLAN moves a VM on a VLAN, whose place the hosts' NORMAL bridges and the switch outside learn from what it
// sends: peers on all hosts and the machine outside find it in its new place, at the latest with the host's announcement
// after 2 s: Open vSwitch may learn late from the old place. On a quiet machine they lose one ping.
func TestMigrationVLAN(t *testing.T) {
	t.Parallel()
	nic := map[string]string{"ext": "nic1"}
	var out *ovstest.VM
	s := newSite(t, siteOptions{hosts: 3, physical: []map[string]string{nic, nic, nic}, mappings: []string{"{external: br-ex}", "{external: br-ex}", "{external: br-ex}"},
		setup: func(s *site) {
			_, at := s.outside("out", "ext", map[string]string{"101": "10.0.0.100/24"})
			out = at["101"]
			for _, h := range s.hosts {
				h.AddBridge("br-ex", "external_ids:penstock-takeover=true")
				h.AddPort("br-ex", "nic1")
			}
		}})
	n := s.net("blue", "10.0.0.0/24", provider("vlan", 101, "external"))
	peers := make([]*vm, 3)
	for i, h := range s.hosts {
		peers[i] = s.on(h, "peer"+h.Name, n, []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}[i], nil)
	}
	src := s.on(s.hosts[0], "guest", n, "10.0.0.50", object{"binding:host_id": "h1"})
	id := src.Port["id"].(string)
	dst := s.twin(src, s.hosts[1])
	s.settle()
	if !out.WaitPing(src.IP, patience) {
		t.Fatal("the guest is not reached from outside")
	}
	s.do("POST", "/v2.0/ports/"+id+"/bindings", object{"binding": object{"host": "h2"}}, nil)
	dst.Plug()
	s.wait("the port's place on h2", func() bool { return len(s.places(id)) == 2 })
	s.settle()
	outside := out.StartPing(src.IP, 10*time.Millisecond)
	s.migrate(t, src, dst, peers, 350, func() { s.do("PUT", "/v2.0/ports/"+id+"/bindings/h2/activate", nil, nil) })
	src.Unplug()
	s.do("DELETE", "/v2.0/ports/"+id+"/bindings/h1", nil, nil)
	dst.waitActive()
	if !out.WaitPing(src.IP, patience) {
		t.Error("the guest is not reached from outside in its new place")
	}
	if r := outside.Stop(); r.Lost > 350 {
		t.Errorf("the machine outside lost %d pings: %v", r.Lost, r)
	}
	s.noLimits(t)
}

// migrate pings the guest from all hosts every 10 ms while it changes place, of which at most limit are lost.
func (s *site) migrate(t *testing.T, from, to *vm, peers []*vm, limit int, change func()) {
	t.Helper()
	var pings []*ovstest.RunningPing
	for _, p := range peers {
		p.pings(from.IP)
		pings = append(pings, p.StartPing(from.IP, 10*time.Millisecond))
	}
	seen := peers[2].Capture("rarp")
	for i, p := range pings {
		if !ovstest.WaitFor(patience, func() bool { return p.Received() > 20 }) {
			t.Fatalf("ping %d does not start: %s", i, p.Stop().Output)
		}
	}
	change()
	s.resume(from, to)
	for i, p := range pings {
		n := p.Received()
		if !ovstest.WaitFor(patience, func() bool { return p.Received() > n+30 }) {
			t.Fatalf("%s does not reach the guest in its new place: %v", peers[i].Name, p.Stop())
		}
		r := p.Stop()
		t.Logf("%s to %s, seen from %s: %v", from.Host().Name, to.Host().Name, peers[i].Name, r)
		if r.Lost > limit {
			t.Errorf("%s lost %d pings: %v", peers[i].Name, r.Lost, r)
		}
	}
	if seen.Wait(strings.ToLower(to.MAC), 5*time.Second) == "" {
		t.Error("the RARP frame from the new place does not reach the third host")
	}
	seen.Stop()
}

// places are the hosts on which a port is bound.
func (s *site) places(id string) (hosts []string) {
	s.t.Helper()
	for _, h := range s.hosts {
		var d struct {
			Networks []struct {
				Ports []struct{ ID string }
			}
		}
		s.do("GET", "/penstock/v1/hosts/"+h.Name, nil, &d)
		for _, n := range d.Networks {
			for _, p := range n.Ports {
				if p.ID == id {
					hosts = append(hosts, h.Name)
				}
			}
		}
	}
	return hosts
}

func (s *site) hostOf(id string) string {
	s.t.Helper()
	h, _ := s.show("port", id)["binding:host_id"].(string)
	return h
}
