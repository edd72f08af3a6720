package ovstest

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestTwoVMsPing(t *testing.T) {
	h := Start(t, Options{})
	h.AddBridge("br-int", "fail_mode=secure")
	a := h.AddVM("a", VMOptions{IP: "10.0.0.1/24"})
	b := h.AddVM("b", VMOptions{IP: "10.0.0.2/24"})
	if got := a.Ping("10.0.0.2", 1); got.Received != 0 {
		t.Fatalf("secure bridge without flows forwards: %v", got)
	}
	h.OFCtl("add-flow", "br-int", "priority=0,actions=NORMAL")
	if flows := h.DumpFlows("br-int"); len(flows) != 1 || flows[0] != "priority=0 actions=NORMAL" {
		t.Fatalf("flows %q", flows)
	}
	if !a.WaitPing("10.0.0.2", 10*time.Second) {
		t.Fatal("no ping")
	}
	c := b.Capture("icmp")
	if got := a.Ping("10.0.0.2", 3); got.Lost != 0 || got.Sent != 3 {
		t.Fatalf("%v", got)
	}
	if c.Wait("ICMP echo request", 5*time.Second) == "" {
		t.Fatalf("capture has no request: %q", c.Stop())
	}
	if got := h.VSCtl("get", "Interface", a.Tap, "external_ids:iface-id"); strings.Trim(got, `"`) != a.IfaceID {
		t.Fatalf("iface-id %s, want %s", got, a.IfaceID)
	}

	p := a.StartPing("10.0.0.2", 10*time.Millisecond)
	Wait(t, 10*time.Second, "replies", func() bool { return p.Received() > 20 })
	if got := p.Stop(); got.Lost != 0 || got.Received <= 20 {
		t.Fatalf("%v", got)
	}
	p = a.StartPing("10.0.0.2", 10*time.Millisecond)
	Wait(t, 10*time.Second, "replies", func() bool { return p.Received() > 5 })
	b.Unplug()
	h.VSCtl("set", "Open_vSwitch", ".", "external_ids:x=1")
	b.Plug()
	before := p.Received()
	Wait(t, 20*time.Second, "replies after the replug", func() bool { return p.Received() > before+5 })
	if got := p.Stop(); got.MaxGap < 10*time.Millisecond {
		t.Fatalf("%v", got)
	}
}

func TestRestarts(t *testing.T) {
	h := Start(t, Options{})
	h.AddBridge("br-int")
	a := h.AddVM("a", VMOptions{IP: "10.0.0.1/24"})
	h.AddVM("b", VMOptions{IP: "10.0.0.2/24"})
	for name, restart := range map[string]func(){
		"vswitchd": h.RestartVswitchd, "db": h.RestartDB, "killed": func() { h.KillVswitchd(); h.KillDB(); h.StartDB(); h.StartVswitchd() },
	} {
		restart()
		if !a.WaitPing("10.0.0.2", 10*time.Second) {
			t.Fatalf("no ping after %s", name)
		}
	}
	if !strings.Contains(h.Log(5), "ovs-vswitchd.log") {
		t.Fatal("no log")
	}
}

func TestDHCPClients(t *testing.T) {
	Need(t, "busybox")
	h := Start(t, Options{})
	h.AddBridge("br-int")
	server := h.AddVM("server", VMOptions{IP: "10.0.0.1/24"})
	conf := h.Dir() + "/udhcpd.conf"
	if err := os.WriteFile(conf, []byte("start 10.0.0.50\nend 10.0.0.60\ninterface eth0\nlease_file "+h.Dir()+"/leases\npidfile "+h.Dir()+
		"/udhcpd.pid\noption subnet 255.255.255.0\noption router 10.0.0.1\noption dns 10.0.0.1 10.0.0.3\noption lease 600\noption mtu 1400\n"+
		"option staticroutes 192.168.4.0/22 10.0.0.9, 0.0.0.0/0 10.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Dir()+"/leases", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	resolv, _ := os.ReadFile("/etc/resolv.conf")
	if out, err := server.TryRun("busybox", "udhcpd", "--help"); err != nil && strings.Contains(out, "applet not found") {
		t.Fatalf("busybox has no udhcpd to test with: %s", out)
	}
	server.Start("busybox", "udhcpd", "-f", conf)
	for _, client := range []string{"udhcpc", "dhclient"} {
		vm := h.AddVM(client, VMOptions{})
		lease := vm.DHCP(client)
		for k, want := range map[string]string{
			"event": "bound", "mask": "24", "subnet": "255.255.255.0", "dns": "10.0.0.1 10.0.0.3", "lease": "600", "mtu": "1400",
			"serverid": "10.0.0.1", "staticroutes": "192.168.4.0/22 10.0.0.9 0.0.0.0/0 10.0.0.1",
		} {
			if lease[k] != want {
				t.Errorf("%s: %s is %q, want %q", client, k, lease[k], want)
			}
		}
		if !strings.HasPrefix(lease["ip"], "10.0.0.5") {
			t.Errorf("%s: ip %q", client, lease["ip"])
		}
		if r := vm.Run("ip", "route"); !strings.Contains(r, "default via 10.0.0.1") || !strings.Contains(r, "192.168.4.0/22 via 10.0.0.9") {
			t.Errorf("%s: routes %s", client, r)
		}
		if got := vm.Ping("10.0.0.1", 2); got.Received != 2 {
			t.Errorf("%s: %v", client, got)
		}
		if l := vm.Run("ip", "link", "show", "eth0"); !strings.Contains(l, "mtu 1400") {
			t.Errorf("%s: %s", client, l)
		}
	}
	if now, _ := os.ReadFile("/etc/resolv.conf"); string(now) != string(resolv) {
		t.Error("resolv.conf was changed")
	}
}

func TestUnderlayTunnel(t *testing.T) {
	u := NewUnderlay(t)
	outside := u.AddMachine("outside", "external", "203.0.113.1/24")
	var hosts []*Host
	for i, name := range []string{"h1", "h2"} {
		ip := []string{"172.31.0.1", "172.31.0.2"}
		h := Start(t, Options{Name: name, Underlay: u, TunnelIP: ip[i] + "/24", MgmtIP: "172.30.0." + name[1:] + "/24",
			Physical: map[string]string{"external": "nic1"}})
		h.AddBridge("br-int")
		h.AddPort("br-int", "vx0", "type=vxlan", "options:remote_ip="+ip[1-i], "options:key=10")
		h.AddBridge("br-ex")
		h.AddPort("br-ex", "nic1")
		hosts = append(hosts, h)
	}
	a := hosts[0].AddVM("a", VMOptions{IP: "10.0.0.1/24", MTU: 1400})
	b := hosts[1].AddVM("b", VMOptions{IP: "10.0.0.2/24", MTU: 1400})
	if !a.WaitPing("10.0.0.2", 15*time.Second) {
		t.Fatal("no ping over the tunnel")
	}
	if !hosts[0].WaitPing("172.30.0.2", 5*time.Second) {
		t.Fatal("no ping over the management network")
	}
	ex := hosts[1].AddVM("ex", VMOptions{IP: "203.0.113.9/24", Bridge: "br-ex"})
	if !ex.WaitPing("203.0.113.1", 5*time.Second) || !outside.WaitPing("203.0.113.9", 5*time.Second) {
		t.Fatal("no ping over the physical network")
	}
	b.MoveTo(hosts[0])
	if !a.WaitPing("10.0.0.2", 15*time.Second) {
		t.Fatal("no ping after the move")
	}
}

func TestDummy(t *testing.T) {
	h := Start(t, Options{Datapath: Dummy})
	h.AddBridge("br0", "fail_mode=secure")
	h.AddPort("br0", "p1", "type=dummy", "ofport_request=7")
	if got := h.OFPort("p1"); got != 7 {
		t.Fatalf("ofport %d", got)
	}
	h.OFCtl("add-flow", "br0", "in_port=7,actions=IN_PORT")
	if out := h.Trace("br0", "in_port=7"); !strings.Contains(out, "IN_PORT") {
		t.Fatalf("trace: %s", out)
	}
}

// TestListen shows that a socket of the test process lives in the host's namespace.
func TestListen(t *testing.T) {
	h := Start(t, Options{})
	l, err := h.Listen("tcp", "127.0.0.1:6653")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.AddBridge("br-int")
	h.VSCtl("set-controller", "br-int", "tcp:127.0.0.1:6653")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSweep(t *testing.T) {
	dead := start1(t, "true")
	left := prefix + dead + ".1.vm"
	if _, err := run(spec{args: []string{"ip", "netns", "add", left}}); err != nil {
		t.Fatal(err)
	}
	workspace(t)
	if _, err := os.Stat(netnsDir + "/" + left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// start1 runs a program to its end and returns the process id that it had.
func start1(t *testing.T, program string) string {
	p, err := start(spec{args: []string{"sh", "-c", "echo $$; exec " + program}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(p.Output())
}

// TestDiesWithParent kills a test process and looks whether what it had started ends.
func TestDiesWithParent(t *testing.T) {
	if os.Getenv("OVSTEST_CHILD") != "" {
		h := Start(t, Options{Datapath: Dummy})
		os.Stdout.WriteString("dir " + h.Dir() + "\n")
		select {}
	}
	p, err := start(spec{env: []string{"OVSTEST_CHILD=1"}, args: []string{os.Args[0], "-test.run=^TestDiesWithParent$"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if !p.WaitOutput("\n", 30*time.Second) {
		t.Fatalf("child: %s", p.Output())
	}
	dir := strings.TrimSpace(strings.TrimPrefix(p.Output(), "dir "))
	pid, err := os.ReadFile(dir + "/ovs-vswitchd.pid")
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Process.Kill() // checked by what follows
	<-p.done
	Wait(t, 10*time.Second, "ovs-vswitchd to end", func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestParsePing(t *testing.T) {
	const head = "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n"
	line := func(ts, seq string) string {
		return "[" + ts + "] 64 bytes from 10.0.0.2: icmp_seq=" + seq + " ttl=64 time=0.1 ms\n"
	}
	r := parsePing(head + line("1.000000", "1") + line("1.010000", "2") + line("1.010001", "2") + line("2.010001", "5") +
		"\n--- 10.0.0.2 ping statistics ---\n6 packets transmitted, 3 received, +1 duplicates, 50% packet loss, time 5ms\n")
	if r.Sent != 6 || r.Received != 3 || r.Lost != 2 || r.Duplicates != 1 || r.MaxGap != time.Second {
		t.Errorf("%+v", r)
	}
	r = parsePing(line("1.000000", "65535") + line("1.010000", "0") + line("1.010001", "1"))
	if r.Received != 3 || r.Lost != 65537-3 {
		t.Errorf("%+v", r)
	}
}
