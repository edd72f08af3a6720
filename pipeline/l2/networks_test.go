package l2_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/controller/session"
	"github.com/penstock/penstock/internal/ovstest"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// TestManyNetworksReal has 5,000 networks on one real Open vSwitch, more than there are VLANs: what a port of one far
// behind sends to all comes to its network's other port and to its network's tunnels, and nowhere else.
func TestManyNetworksReal(t *testing.T) {
	const networks = 5000
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	h := ovstest.Start(t, ovstest.Options{Datapath: ovstest.Dummy})
	l, err := openflow.Listen("unix:"+h.ControllerSocket(), openflow.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.AddBridge("br-int", "fail_mode=secure", "protocols=OpenFlow13")
	h.VSCtl("set-controller", "br-int", "unix:"+h.ControllerSocket(), "--", "set", "controller", "br-int", "connection_mode=out-of-band")
	conn, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(ctx, conn, "br-int", pipeline.RoleInt, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	changes := []model.Change{hostRow(1), hostRow(2)}
	// A leaf of a flood tree has members of one network, as store.Bind numbers them.
	member := func(i, n, key uint32, host model.HostName) {
		cs := bind(key, model.NetworkID(fmt.Sprintf("n%d", i)), host)
		cs[1].New.(*model.Binding).Member = i*model.LeafSize + n
		changes = append(changes, cs...)
	}
	for i := uint32(1); i <= networks; i++ {
		changes = append(changes, overlayRow(i, model.NetworkVXLAN, 10_000+i))
		member(i, 0, i, "h1")
		if i > networks-2 {
			member(i, 1, 10_000+i, "h1")
			member(i, 0, 20_000+i, "h2")
		}
	}
	e := newEngine()
	d := e.apply(changes...)
	for i := range d.Bridges {
		if b := &d.Bridges[i]; b.Host == "h1" && b.Bridge == pipeline.BrInt {
			c := session.NewChange()
			c.Merge(b)
			if err := s.Apply(ctx, c); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d flows, %d groups", b.Flows, b.Groups)
		}
	}
	for _, i := range []uint32{networks - 1, networks} {
		mac, ip := fmt.Sprintf("fa:16:3e:00:%02x:%02x", i>>8, i&0xff), fmt.Sprintf("10.0.%d.%d", i>>8, i&0xff)
		out := h.Trace("br-int", fmt.Sprintf("in_port=%d,arp,dl_src=%s,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_sha=%s,arp_spa=%s,arp_tpa=10.9.9.9", i, mac, mac, ip))
		var outputs []string
		for _, line := range strings.Split(out, "\n") {
			if _, port, ok := strings.Cut(strings.TrimSpace(line), "output:"); ok && !strings.Contains(line, "->") {
				outputs = append(outputs, port)
			}
		}
		want := fmt.Sprint([]string{fmt.Sprint(10_000 + i), fmt.Sprint(pipeline.PortPatchTun)})
		if fmt.Sprint(outputs) != want {
			t.Errorf("network %d: sent to ports %v, want %s\n%s", i, outputs, want, out)
		}
		if mark := fmt.Sprintf("load:%#x->NXM_NX_PKT_MARK[]", pipeline.MarkReplicate|1<<24|(10_000+i)); !strings.Contains(out, mark) {
			t.Errorf("network %d: no %s in\n%s", i, mark, out)
		}
	}
}
