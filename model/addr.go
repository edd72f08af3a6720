package model

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// MAC is an Ethernet address, its six bytes in the order they go on the wire.
type MAC [6]byte

// ParseMAC reads aa:bb:cc:dd:ee:ff, also with dashes, in either case. Neutron accepts no other form.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) == 17 {
		ok := true
		for i := range m {
			if i > 0 && s[3*i-1] != ':' && s[3*i-1] != '-' {
				ok = false
				break
			}
			if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
				ok = false
				break
			}
		}
		if ok {
			return m, nil
		}
	}
	return MAC{}, fmt.Errorf("%q is not a MAC address: want six hexadecimal bytes such as fa:16:3e:00:00:01", s)
}

// String gives the canonical lower-case form with colons.
func (m MAC) String() string {
	b, _ := m.MarshalText()
	return string(b)
}

// MarshalText encodes the canonical form, for JSON.
func (m MAC) MarshalText() ([]byte, error) {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return b, nil
}

// UnmarshalText is ParseMAC, for JSON.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}

// IsZero reports whether no address is set.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast reports whether the group bit (the least significant of the first byte) is set.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// LinkLocal is the IPv6 link-local address made of the MAC (RFC 4291, modified EUI-64).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// Uint64 gives the address as the low 48 bits of a number, first byte most significant.
func (m MAC) Uint64() uint64 {
	var v uint64
	for _, x := range m {
		v = v<<8 | uint64(x)
	}
	return v
}

// AddrRange is a run of addresses of one family, both ends included.
type AddrRange struct {
	Start netip.Addr `json:"start"`
	End   netip.Addr `json:"end"`
}

// Contains reports whether a lies in the range.
func (r AddrRange) Contains(a netip.Addr) bool {
	return r.Start.Compare(a) <= 0 && a.Compare(r.End) <= 0
}
