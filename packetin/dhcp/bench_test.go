package dhcp

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/packettest"
)

func benchFrames(b *testing.B) [][]byte {
	params := generic(55, 1, 28, 2, 121, 3, 15, 6, 12, 26)
	return [][]byte{
		wrap(b, message(b, 1, params, generic(61, 1, 2, 3, 4, 5, 6, 7)).ToBytes(), anyIP, ones),
		wrap(b, message(b, 3, params, addrOpt(50, vmIP), addrOpt(54, srvIP)).ToBytes(), anyIP, ones),
	}
}

// BenchmarkExchange is a DISCOVER and a REQUEST of a port that asked before; two packet-ins each.
func BenchmarkExchange(b *testing.B) {
	h, v, frames := New(Config{}), view(packettest.New(), 1), benchFrames(b)
	var r packetin.Result
	p := packettest.Packet(nil)
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range frames {
			r.Reset()
			p.Data, p.FullLen = f, len(f)
			if h(v, p, &r); len(r.Out) != 1 {
				b.Fatal(r.Outcome)
			}
		}
	}
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "packet-ins/s")
}

// BenchmarkMoving is the same while every packet sees another revision, in which nothing of the port changed.
func BenchmarkMoving(b *testing.B) {
	w := packettest.New()
	h, frames := New(Config{}), benchFrames(b)
	v := [2]model.View{view(w, 1), view(w, 2)}
	var r packetin.Result
	p := packettest.Packet(nil)
	b.ReportAllocs()
	for b.Loop() {
		for i, f := range frames {
			r.Reset()
			p.Data, p.FullLen = f, len(f)
			if h(v[i], p, &r); len(r.Out) != 1 {
				b.Fatal(r.Outcome)
			}
		}
	}
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "packet-ins/s")
}

// BenchmarkBoot is one DISCOVER of each of so many ports that the cache never helps.
func BenchmarkBoot(b *testing.B) {
	const ports = 20000
	w := packettest.New()
	for i := range uint32(ports) {
		w.More = append(w.More, model.Change{Table: model.Ports, New: &model.Port{Meta: model.Meta{ID: fmt.Sprintf("p%d", i), Key: 1000 + i}, NetworkID: "n1",
			MAC: model.MAC(vmMAC), FixedIPs: []model.FixedIP{{SubnetID: "s1", Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}}}})
	}
	h, v := New(Config{}), view(w, 1)
	data := wrap(b, message(b, 1, dhcpv4.WithRequestedOptions(code(1), code(3), code(6), code(121))).ToBytes(), anyIP, ones)
	var r packetin.Result
	p := packettest.Packet(data)
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		r.Reset()
		p.PortKey = 1000 + i%ports
		if h(v, p, &r); len(r.Out) != 1 {
			b.Fatal(r.Outcome)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packet-ins/s")
}
