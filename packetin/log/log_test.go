package log

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin/packettest"
	"github.com/penstock/penstock/store/snapshot"
)

func mac(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func frameOf(tb testing.TB, src, dst string, proto layers.IPProtocol, l ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	eth := &layers.Ethernet{SrcMAC: mac("fa:16:3e:00:00:0b"), DstMAC: mac("fa:16:3e:00:00:0c"), EthernetType: layers.EthernetTypeIPv4}
	if strings.Contains(src, ":") {
		eth.EthernetType = layers.EthernetTypeIPv6
		return packettest.Serialize(tb, append([]gopacket.SerializableLayer{eth,
			&layers.IPv6{Version: 6, NextHeader: proto, HopLimit: 64, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}}, l...)...)
	}
	return packettest.Serialize(tb, append([]gopacket.SerializableLayer{eth,
		&layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}}, l...)...)
}

func tcp(dst uint16) gopacket.SerializableLayer {
	return gopacket.Payload([]byte{0x9c, 0x40, byte(dst >> 8), byte(dst), 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0})
}

// TestRead reads packets of every kind against groups, rules and logs.
func TestRead(t *testing.T) {
	w := packettest.New()
	w.VM.ProjectID, w.VM.PortSecurity, w.VM.SecurityGroups = "p", true, []string{"g1", "g2"}
	w.Peer.PortSecurity, w.Peer.SecurityGroups = true, []string{"g2"}
	w.Peer.AllowedAddressPairs = []model.AddressPair{{Prefix: netip.MustParsePrefix("10.0.9.0/24")}}
	key := uint32(100)
	meta := func(id string) model.Meta { key++; return model.Meta{ID: id, Key: key, ProjectID: "p"} }
	add := func(table *model.Table, o model.Object) {
		w.More = append(w.More, model.Change{Table: table, New: o})
	}
	rule := func(id, group, direction, family string, proto, from, to int, change func(*model.SecurityGroupRule)) {
		r := &model.SecurityGroupRule{Meta: meta(id), GroupID: group, Direction: direction, EtherType: family, ProtocolNumber: proto, PortMin: from, PortMax: to}
		if change != nil {
			change(r)
		}
		add(model.SecurityGroupRules, r)
	}
	add(model.SecurityGroups, &model.SecurityGroup{Meta: meta("g1"), Stateful: true})
	add(model.SecurityGroups, &model.SecurityGroup{Meta: meta("g2"), Stateful: true})
	add(model.AddressGroups, &model.AddressGroup{Meta: meta("ag"), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	rule("web", "g1", "ingress", "IPv4", 6, 80, 90, nil)
	rule("young", "g2", "ingress", "IPv4", 6, 80, 80, nil)
	rule("ping", "g1", "ingress", "IPv4", 1, 8, 0, nil)
	rule("prefix", "g2", "ingress", "IPv4", 17, model.NoPort, model.NoPort, func(r *model.SecurityGroupRule) { r.RemotePrefix = netip.MustParsePrefix("10.1.0.0/16") })
	rule("remote", "g2", "ingress", "IPv4", 132, model.NoPort, model.NoPort, func(r *model.SecurityGroupRule) { r.RemoteGroupID = "g2" })
	rule("addresses", "g2", "egress", "IPv4", 17, 53, 53, func(r *model.SecurityGroupRule) { r.RemoteAddressGroupID = "ag" })
	rule("six", "g1", "egress", "IPv6", 6, model.NoPort, model.NoPort, nil)
	rule("six-ping", "g1", "egress", "IPv6", 1, 128, model.NoPort, nil)
	for _, l := range []*model.Log{
		{Meta: meta("all"), Event: model.LogAll, Enabled: true},
		{Meta: meta("drops"), Event: model.LogDrop, TargetID: "vm", Enabled: true},
		{Meta: meta("off"), Event: model.LogAll, TargetID: "vm"},
		{Meta: meta("g1-accepts"), Event: model.LogAccept, ResourceID: "g1", Enabled: true},
		{Meta: meta("g2-of-vm"), Event: model.LogAll, ResourceID: "g2", TargetID: "vm", Enabled: true},
		{Meta: meta("other"), Event: model.LogAll, ResourceID: "g9", TargetID: "vm", Enabled: true},
	} {
		add(model.Logs, l)
	}
	view := model.NewView(snapshot.Empty().Apply(1, w.Changes()))
	in, out := Verdict{Ingress: true}, Verdict{}
	sctp := gopacket.Payload([]byte{0, 7, 0, 9, 0, 0, 0, 0})
	udp53 := gopacket.Payload([]byte{0, 5, 0, 53, 0, 8, 0, 0})
	cut := frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(80))[:14+20]
	fragment := frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(22))
	fragment[14+7] = 1 // an offset
	extended := frameOf(t, "fd00::5", "fd00::6", 60, gopacket.Payload([]byte{6, 0, 1, 4, 0, 0, 0, 0}), tcp(443))
	for _, x := range []struct {
		name    string
		frame   []byte
		verdict Verdict
		want    string
	}{
		{"the oldest rule", frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(80)), in, "web 10.0.0.6:40000 10.0.0.5:80 proto 6 [all g1-accepts]"},
		{"beyond the range", frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(91)), in, "- 10.0.0.6:40000 10.0.0.5:91 proto 6 [all]"},
		{"a dropped one has no rule", frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(80)), Verdict{Ingress: true, Dropped: true}, "- 10.0.0.6:40000 10.0.0.5:80 proto 6 [all drops g2-of-vm]"},
		{"ping", frameOf(t, "10.0.0.6", "10.0.0.5", 1, gopacket.Payload([]byte{8, 0, 0, 0, 0, 0, 0, 0})), in, "ping 10.0.0.6 10.0.0.5 proto 1 type 8/0 [all g1-accepts]"},
		{"other ICMP", frameOf(t, "10.0.0.6", "10.0.0.5", 1, gopacket.Payload([]byte{13, 0, 0, 0})), in, "- 10.0.0.6 10.0.0.5 proto 1 type 13/0 [all]"},
		{"a prefix", frameOf(t, "10.1.2.3", "10.0.0.5", 17, udp53), in, "prefix 10.1.2.3:5 10.0.0.5:53 proto 17 [all g2-of-vm]"},
		{"not of the prefix", frameOf(t, "10.2.2.3", "10.0.0.5", 17, udp53), in, "- 10.2.2.3:5 10.0.0.5:53 proto 17 [all]"},
		{"a member", frameOf(t, "10.0.0.6", "10.0.0.5", 132, sctp), in, "remote 10.0.0.6:7 10.0.0.5:9 proto 132 [all g2-of-vm]"},
		{"a member's address pair", frameOf(t, "10.0.9.6", "10.0.0.5", 132, sctp), in, "remote 10.0.9.6:7 10.0.0.5:9 proto 132 [all g2-of-vm]"},
		{"an address group", frameOf(t, "10.0.0.5", "192.0.2.9", 17, udp53), out, "addresses 10.0.0.5:5 192.0.2.9:53 proto 17 [all g2-of-vm]"},
		{"IPv6", frameOf(t, "fd00::5", "fd00::6", 6, tcp(443)), out, "six fd00::5:40000 fd00::6:443 proto 6 [all g1-accepts]"},
		{"IPv6 with options", extended, out, "six fd00::5:40000 fd00::6:443 proto 6 [all g1-accepts]"},
		{"ping over IPv6", frameOf(t, "fd00::5", "fd00::6", 58, gopacket.Payload([]byte{128, 0, 0, 0})), out, "six-ping fd00::5 fd00::6 proto 58 type 128/0 [all g1-accepts]"},
		{"cut", cut, in, "web 10.0.0.6 10.0.0.5 proto 6 [all g1-accepts]"},
		{"a later fragment", fragment, in, "web 10.0.0.6 10.0.0.5 proto 6 [all g1-accepts]"},
		{"no IP", []byte("\xff\xff\xff\xff\xff\xff\xfa\x16\x3e\x00\x00\x0b\x88\xccx"), Verdict{Dropped: true}, "- proto 0 [all drops g2-of-vm]"},
		{"no frame", []byte("short"), in, "ignored-malformed"},
	} {
		r, outcome, err := Read(view, packettest.Packet(x.frame), x.verdict)
		got := outcome
		if r != nil {
			got = describe(r)
		}
		if got != x.want {
			t.Errorf("%s: %s (%v)\nwant %s", x.name, got, err, x.want)
		}
	}
	// Nobody asks for what the peer does, nor for a port that is gone.
	p := packettest.Packet(frameOf(t, "10.0.0.6", "10.0.0.5", 6, tcp(80)))
	for key, want := range map[uint32]string{packettest.PeerKey: OutcomeNoLog, 99: "ignored-unknown-port"} {
		p.PortKey = key
		if _, outcome, _ := Read(view, p, in); outcome != want {
			t.Errorf("key %d: %s, want %s", key, outcome, want)
		}
	}
}

func describe(r *Record) string {
	end := func(a netip.Addr, port uint16) string {
		switch {
		case !a.IsValid():
			return ""
		case r.HasPorts:
			return fmt.Sprintf(" %s:%d", a, port)
		}
		return " " + a.String()
	}
	s := "-"
	if r.Rule != nil {
		s = r.Rule.ID
	}
	s += end(r.Src, r.SrcPort) + end(r.Dst, r.DstPort) + fmt.Sprintf(" proto %d", r.Protocol)
	if r.HasType {
		s += fmt.Sprintf(" type %d/%d", r.Type, r.Code)
	}
	return s + " " + fmt.Sprint(r.Logs)
}

// FuzzDecode: whatever a VM sends is read or refused, and what is read twice is the same.
func FuzzDecode(f *testing.F) {
	for _, b := range [][]byte{frameOf(f, "10.0.0.6", "10.0.0.5", 6, tcp(80)), frameOf(f, "fd00::5", "fd00::6", 58, gopacket.Payload([]byte{128, 0})),
		frameOf(f, "fd00::5", "fd00::6", 0, gopacket.Payload([]byte{6, 0, 1, 4, 0, 0, 0, 0}), tcp(443)), {}} {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		was := slices.Clone(b)
		var p, q Packet
		if (p.decode(b, len(b)) == nil) != (q.decode(b, len(b)) == nil) || p != q || !slices.Equal(was, b) {
			t.Errorf("%x: %+v, then %+v", b, p, q)
		}
		if p.HasPorts && p.HasType || (p.HasPorts || p.HasType) && !p.Src.IsValid() {
			t.Errorf("%x: %+v", b, p)
		}
	})
}
