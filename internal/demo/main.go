// Command demo shows Penstock at work on one machine: it starts an Open vSwitch of its own in a directory and a
// network namespace of its own, penstockd beside it, makes networks, plugs VMs as libvirt would, lets real DHCP
// clients ask for addresses, pings, and cleans up. Nothing else on the machine is touched.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo FOLDER-OF-BINARIES")
		os.Exit(2)
	}
	bin, err := filepath.Abs(os.Args[1])
	t := ovstest.NewProgram("demo")
	if err != nil {
		t.Fatalf("%v", err)
	}
	run(t, os.Stdout, bin)
	if t.Close() {
		os.Exit(1)
	}
}

// demo is one run.
type demo struct {
	t   ovstest.TB
	out io.Writer
	bin string
	h   *ovstest.Host
}

func run(t ovstest.TB, out io.Writer, bin string) {
	d := &demo{t: t, out: out, bin: bin}
	d.say("An Open vSwitch in a directory and a network namespace of its own (userspace datapath), and penstockd beside it")
	d.h = ovstest.Start(t, ovstest.Options{})
	config := filepath.Join(d.h.Dir(), "penstock.yaml")
	text := fmt.Sprintf("data_dir: %s/data\nhosts:\n- {name: h1, ovsdb: %q, datapath_type: netdev}\n", d.h.Dir(), d.h.OVSDB())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	penstockd := d.h.Start(filepath.Join(bin, "penstockd"), "--config", config)
	ovstest.Wait(t, 60*time.Second, "penstockd to be ready", func() bool {
		if !penstockd.Running() {
			t.Fatalf("penstockd ended: %s", penstockd.Output())
		}
		var s struct{ Hosts []struct{ Alive bool } }
		out, err := d.h.TryRun(filepath.Join(bin, "penstockctl"), "status", "-o", "json")
		return err == nil && json.Unmarshal([]byte(out), &s) == nil && len(s.Hosts) == 1 && s.Hosts[0].Alive
	})

	d.say("Two networks with the same addresses, and ports on them, through the Networking API")
	for _, n := range []string{"blue", "red"} {
		d.ctl("network", "create", n)
		d.ctl("subnet", "create", n+"-v4", "--network", n, "--cidr", "10.0.0.0/24", "--dns", "10.0.0.2")
	}
	vms := map[string]*ovstest.VM{}
	addr := map[string]string{}
	for _, p := range []struct{ name, network, client string }{
		{"blue-a", "blue", "udhcpc"}, {"blue-b", "blue", "dhclient"}, {"red-a", "red", "udhcpc"},
	} {
		var port struct {
			ID         string
			MACAddress string `json:"mac_address"`
		}
		js := d.quiet("port", "create", p.name, "--network", p.network, "-o", "json")
		if err := json.Unmarshal([]byte(js), &port); err != nil || port.ID == "" {
			t.Fatalf("port create answered %s", js)
		}
		vms[p.name] = d.h.AddVM(p.name, ovstest.VMOptions{MAC: port.MACAddress, IfaceID: port.ID})
		if !vms[p.name].Installed(20 * time.Second) {
			t.Fatalf("the flows of %s are not there after 20 s: %s", p.name, d.quiet("health"))
		}
		start := time.Now()
		lease := vms[p.name].DHCP(p.client)
		addr[p.name] = lease["ip"]
		d.say("VM %s plugged; %s got %s/%s from %s in %v (mtu %s, dns %s)", p.name, p.client, lease["ip"], lease["mask"], lease["serverid"],
			time.Since(start).Round(time.Millisecond), lease["mtu"], lease["dns"])
	}
	d.ctl("port", "list")

	d.ping(vms["blue-a"], addr["blue-b"], true)
	d.say("On red the address %s belongs to nobody, or to red-a itself: the networks do not see each other", addr["blue-b"])
	if addr["blue-b"] != addr["red-a"] {
		d.ping(vms["red-a"], addr["blue-b"], false)
	}

	d.say("A restart of penstockd under a running ping")
	p := vms["blue-a"].StartPing(addr["blue-b"], 10*time.Millisecond)
	ovstest.Wait(t, 10*time.Second, "replies", func() bool { return p.Received() > 20 })
	penstockd.Kill()
	killed := p.Received()
	ovstest.Wait(t, 10*time.Second, "replies without a controller", func() bool { return p.Received() > killed+100 })
	d.h.Start(filepath.Join(bin, "penstockd"), "--config", config)
	ovstest.Wait(t, 60*time.Second, "penstockd to be ready again", func() bool {
		_, err := d.h.TryRun(filepath.Join(bin, "penstockctl"), "status")
		return err == nil
	})
	if r := p.Stop(); r.Lost > 0 {
		t.Errorf("lost %d of %d", r.Lost, r.Received+r.Lost)
	} else {
		d.say("%d answers, none lost", r.Received)
	}

	d.say("What is in the switch, and why (the first lines)")
	d.print(first(d.quiet("flow", "dump"), 12))
	d.ctl("status")

	d.say("Everything deleted again")
	for name, vm := range vms {
		vm.Unplug()
		d.quiet("port", "delete", name)
	}
	for _, n := range []string{"blue", "red"} {
		d.quiet("network", "delete", n)
	}
	if !t.Failed() {
		d.say("Done: DHCP, ping, isolation and a restart without loss")
	}
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "\n== "+format+"\n", args...) }

func (d *demo) print(text string) {
	for _, l := range strings.Split(text, "\n") {
		fmt.Fprintln(d.out, "   "+l)
	}
}

// ctl runs penstockctl as a reader would and shows command and output.
func (d *demo) ctl(args ...string) {
	fmt.Fprintln(d.out, "$ penstockctl "+strings.Join(args, " "))
	d.print(d.quiet(args...))
}

func (d *demo) quiet(args ...string) string {
	return d.h.Run(append([]string{filepath.Join(d.bin, "penstockctl")}, args...)...)
}

// ping pings three times and says whether the outcome is the one expected.
func (d *demo) ping(from *ovstest.VM, to string, want bool) {
	if want && !from.WaitPing(to, 10*time.Second) {
		d.t.Errorf("%s cannot reach %s", from.Name, to)
		return
	}
	r := from.Ping(to, 3)
	fmt.Fprintf(d.out, "$ ping -c 3 %s   # in VM %s\n   %v\n", to, from.Name, r)
	if (r.Received == r.Sent) != want || !want && r.Received > 0 {
		d.t.Errorf("ping from %s to %s: %v", from.Name, to, r)
	}
}

func first(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.TrimSuffix(strings.Join(lines[:min(n, len(lines))], ""), "\n")
}
