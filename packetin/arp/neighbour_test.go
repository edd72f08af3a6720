package arp

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/frame"
	"github.com/penstock/penstock/packetin/packettest"
)

func told(op uint16, mac model.MAC, ip string) []byte {
	b := frame.AppendEthernet(nil, model.MAC{2, 0, 0, 0, 0, 1}, model.MAC{2, 0, 0, 0, 0, 2}, nil, frame.TypeARP)
	return (&Packet{Op: op, SenderMAC: mac, SenderIP: netip.MustParseAddr(ip), TargetIP: netip.MustParseAddr("203.0.113.10")}).Append(b)
}

// TestNeighbour: what a packet claims is said, and whether it is an answer; what no station can have is not.
func TestNeighbour(t *testing.T) {
	mac := model.MAC{2, 0, 0, 0, 0, 9}
	for _, c := range []struct {
		name    string
		b       []byte
		outcome string
		kind    packetin.FactKind
	}{
		{"reply", told(OpReply, mac, "203.0.113.1"), OutcomeAnswer, packetin.FactAnswer},
		{"request", told(OpRequest, mac, "203.0.113.1"), OutcomeHeard, packetin.FactHeard},
		{"of a group", told(OpReply, model.MAC{1, 0, 0x5e, 0, 0, 1}, "203.0.113.1"), packetin.OutcomeMalformed, 0},
		{"of nobody", told(OpReply, model.MAC{}, "203.0.113.1"), packetin.OutcomeMalformed, 0},
		{"a probe", told(OpRequest, mac, "0.0.0.0"), packetin.OutcomeMalformed, 0},
		{"for a group", told(OpReply, mac, "224.0.0.1"), packetin.OutcomeMalformed, 0},
		{"short", told(OpReply, mac, "203.0.113.1")[:30], packetin.OutcomeMalformed, 0},
		{"no ARP", make([]byte, 60), packetin.OutcomeMalformed, 0},
	} {
		in := packettest.Packet(c.b)
		in.PortKey = 3
		var r packetin.Result
		err := Neighbour(model.View{}, in, &r)
		if r.Outcome != c.outcome || (err == nil) != (c.kind != 0) || (len(r.Facts) == 1) != (c.kind != 0) {
			t.Errorf("%s: %+v %v", c.name, r, err)
			continue
		}
		if want := (packetin.Fact{Kind: c.kind, Net: 3, Addr: netip.MustParseAddr("203.0.113.1"), MAC: mac}); c.kind != 0 && r.Facts[0] != want {
			t.Errorf("%s: %+v", c.name, r.Facts[0])
		}
	}
}

// FuzzNeighbour: whatever comes, an outcome of the list, and no fact that no station can have.
func FuzzNeighbour(f *testing.F) {
	f.Add(told(OpReply, model.MAC{2, 0, 0, 0, 0, 9}, "203.0.113.1"))
	f.Add(told(OpRequest, model.MAC{}, "0.0.0.0")[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r packetin.Result
		if err := Neighbour(model.View{}, packettest.Packet(b), &r); !slices.Contains(NeighbourOutcomes(), r.Outcome) {
			t.Fatalf("outcome %q, %v", r.Outcome, err)
		}
		for _, x := range r.Facts {
			if !x.Addr.Is4() || x.MAC.IsMulticast() || len(r.Out) > 0 {
				t.Fatalf("%+v", x)
			}
		}
	})
}
