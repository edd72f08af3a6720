package dhcp

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/packettest"
)

// FuzzHandle feeds DHCP messages of any bytes: no panic, a known outcome, and whatever is sent is a reply that
// independent parsers read, within the size that a client takes.
func FuzzHandle(f *testing.F) {
	for _, m := range []*dhcpv4.DHCPv4{message(f, 1), message(f, 3, addrOpt(50, vmIP), addrOpt(54, srvIP)), message(f, 3, dhcpv4.WithClientIP(vmIP)),
		message(f, 8, dhcpv4.WithClientIP(vmIP)), message(f, 4, addrOpt(50, vmIP)), message(f, 1, generic(55, 1, 3, 121, 249), generic(57, 5, 220), generic(61, 1, 2))} {
		f.Add(m.ToBytes(), true)
	}
	f.Add(withOptions(f, 52, 1, 3, 53, 1, 3, 50, 4, 10, 0, 0, 5, 255), false)
	w := packettest.New()
	w.VM.DHCPOptions = extra("121", "10.9.0.0/16,10.0.0.9,10.8.0.0/16,10.0.0.9", "67", "file", "tag:ipxe,67", "other", "80", "", "224", string(make([]byte, 300)))
	h, v := New(Config{}), view(w, 1)
	f.Fuzz(func(t *testing.T, m []byte, ours bool) {
		if len(m) > 1500 {
			return
		}
		if ours && len(m) >= 34 { // make it past the first checks more often
			m = slices.Clone(m)
			copy(m[28:], vmMAC)
		}
		outcome, a, _ := ask(t, h, v, wrap(t, m, anyIP, ones))
		if outcome == packetin.OutcomeTruncated {
			t.Fatal("a whole frame was taken for part of one")
		}
		if a != nil {
			if o := aggregate(t, a.raw); len(o[53]) != 1 || len(o[54]) != 4 {
				t.Fatalf("options %v", o)
			}
			if len(a.raw)+28 > 1450 {
				t.Fatalf("%d bytes in a network of 1450", len(a.raw)+28)
			}
		}
	})
}

// FuzzFrame feeds frames of any bytes.
func FuzzFrame(f *testing.F) {
	good := wrap(f, message(f, 1).ToBytes(), anyIP, ones)
	f.Add(good)
	f.Add(slices.Concat(good[:12], []byte{0x81, 0, 0, 7}, good[12:]))
	f.Add(good[:60])
	h, v := New(Config{}), view(packettest.New(), 1)
	f.Fuzz(func(t *testing.T, b []byte) { ask(t, h, v, b) })
}

// FuzzOption feeds extra_dhcp_opts of any text: no panic, and a value within its bound or an error.
func FuzzOption(f *testing.F) {
	f.Add("tag:!ipxe,67", "undionly.kpxe")
	f.Add("121", "10.0.0.0/8,10.0.0.1")
	f.Add("domain-search", "a.b,c")
	f.Add("43", "01:02:ff")
	f.Fuzz(func(t *testing.T, name, value string) {
		n, err := parseName(name)
		if err != nil {
			return
		}
		if b, err := encode(nil, n.code, value, netip.MustParseAddr("10.0.0.2")); err == nil && len(b) > maxValue || err != nil && len(b) != 0 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	})
}
