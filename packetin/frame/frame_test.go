package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/penstock/penstock/model"
)

var (
	a1, a2 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	m1, m2 = model.MAC{2, 0, 0, 0, 0, 1}, model.MAC{2, 0, 0, 0, 0, 2}
)

func build(tags, data []byte) []byte {
	b := AppendEthernet(nil, m1, m2, tags, TypeIPv4)
	ip := len(b)
	b = AppendIPv4(b, &IPv4{TOS: 0xc0, ID: 7, DontFragment: true, TTL: 64, Protocol: ProtoUDP, Src: a1, Dst: a2})
	udp := len(b)
	b = append(AppendUDP(b, 67, 68), data...)
	FinishUDP(b[udp:], a1, a2)
	FinishIPv4(b[ip:])
	return b
}

// TestBuild checks what is built by gopacket's eyes and by our own.
func TestBuild(t *testing.T) {
	for _, tags := range [][]byte{nil, {0x81, 0, 0, 5}, {0x88, 0xa8, 0, 9, 0x81, 0, 0, 5}} {
		for _, data := range [][]byte{nil, {1}, []byte("some bytes"), make([]byte, 1400)} {
			b := build(tags, data)
			p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
			udp, ok := p.TransportLayer().(*layers.UDP)
			if !ok || p.NetworkLayer() == nil {
				t.Fatalf("gopacket reads %v", p)
			}
			_ = udp.SetNetworkLayerForChecksum(p.NetworkLayer())
			if err, bad := p.VerifyChecksums(); err != nil || len(bad) != 0 || !bytes.Equal(udp.Payload, data) {
				t.Errorf("gopacket: %v %v, %d bytes", err, bad, len(udp.Payload))
			}
			var e Ethernet
			var ip IPv4
			var u UDP
			if err := errors.Join(e.Decode(append(b, 0, 0, 0)), ip.Decode(e.Payload), u.Decode(ip.Payload)); err != nil {
				t.Fatal(err)
			}
			if e.Dst != m1 || e.Src != m2 || !bytes.Equal(e.Tags, tags) || ip.Src != a1 || ip.Dst != a2 || !ip.ChecksumOK() || !ip.DontFragment ||
				ip.Fragment() || ip.ID != 7 || ip.TOS != 0xc0 || ip.TTL != 64 || u.SrcPort != 67 || u.DstPort != 68 || !bytes.Equal(u.Payload, data) {
				t.Errorf("read back as %+v %+v %+v", e, ip, u)
			}
		}
	}
	three := build([]byte{0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3}, nil)
	if err := new(Ethernet).Decode(three); !errors.Is(err, ErrUnsupported) {
		t.Errorf("three tags: %v", err)
	}
}

// TestZeroUDPChecksum looks for data whose checksum is zero, which must go out as all ones (RFC 768).
func TestZeroUDPChecksum(t *testing.T) {
	for x := range 65536 {
		b := append(AppendUDP(nil, 1, 2), byte(x>>8), byte(x))
		if FinishUDP(b, a1, a2); binary.BigEndian.Uint16(b[6:]) == 0 {
			t.Fatalf("data %04x: no checksum", x)
		}
	}
}

// TestChecksum compares with RFC 1071's sum done plainly, and with its example.
func TestChecksum(t *testing.T) {
	if c := Checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0); c != 0x220d {
		t.Errorf("RFC 1071's example gives %04x", c)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32()) | byte(n%2*255)
		}
		sum := uint32(n)
		for i := 0; i < n; i += 2 {
			w := uint32(b[i]) << 8
			if i+1 < n {
				w |= uint32(b[i+1])
			}
			if sum += w; sum > 0xffff {
				sum -= 0xffff
			}
		}
		if got := Checksum(b, uint32(n)); got != ^uint16(sum) {
			t.Fatalf("%d bytes: %04x, want %04x", n, got, ^uint16(sum))
		}
	}
}

// TestBad checks headers that lie.
func TestBad(t *testing.T) {
	good := build(nil, make([]byte, 20))[EthernetLen:]
	edit := func(at int, x ...byte) []byte { b := slices.Clone(good); copy(b[at:], x); return b }
	for name, b := range map[string][]byte{
		"empty": {}, "short": good[:19], "version": edit(0, 0x65), "header too short": edit(0, 0x44), "header beyond packet": edit(0, 0x4f, 0, 0, 30),
		"longer than frame": edit(2, 0xff, 0xff), "total below header": edit(2, 0, 19),
	} {
		if err := new(IPv4).Decode(b); err == nil {
			t.Errorf("ipv4: %s is accepted", name)
		}
	}
	for name, b := range map[string][]byte{"empty": {}, "short": make([]byte, 7), "length zero": make([]byte, 8), "length beyond": {0, 1, 0, 2, 0, 9, 0, 0}} {
		if err := new(UDP).Decode(b); err == nil {
			t.Errorf("udp: %s is accepted", name)
		}
	}
	var frag IPv4
	if err := frag.Decode(edit(6, 0x20, 1)); err != nil || !frag.Fragment() || frag.Offset != 1 || frag.ChecksumOK() {
		t.Errorf("fragment: %+v, %v", frag, err)
	}
	if err := new(Ethernet).Decode(build([]byte{0x81, 0, 0, 1}, nil)[:16]); err == nil {
		t.Error("ethernet: half a tag is accepted")
	}
}

// FuzzDecode feeds any bytes to all three decoders.
func FuzzDecode(f *testing.F) {
	f.Add(build(nil, []byte("x")))
	f.Add(build([]byte{0x81, 0, 0, 1}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Ethernet
		var ip IPv4
		var u UDP
		if e.Decode(b) != nil {
			return
		}
		if EthernetLen+len(e.Tags)+len(e.Payload) != len(b) {
			t.Fatalf("%d bytes became %d of tags, %d of payload", len(b), len(e.Tags), len(e.Payload))
		}
		if ip.Decode(e.Payload) == nil && u.Decode(ip.Payload) == nil && len(ip.Header)+len(u.Payload)+UDPLen > len(e.Payload) {
			t.Fatal("more payload than there are bytes")
		}
	})
}
