package openflow

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
)

// NextTable is a table number that may be absent; the zero value is absent.
type NextTable struct {
	ID    uint8
	Valid bool
}

// ToTable returns the table id as a NextTable.
func ToTable(id uint8) NextTable { return NextTable{id, true} }

// CT sends the packet through connection tracking (NXAST_CT).
type CT struct {
	Commit    bool
	Force     bool // with Commit: replace an entry of the other direction
	Zone      uint16
	ZoneField Subfield  // 16 bits that hold the zone, in place of Zone, when its Field is not nil
	Table     NextTable // where the packet goes on after tracking; absent: only a copy is tracked
	NAT       *NAT      // nil for none
	Exec      []Action  // set_field, load and move to ct_mark and ct_label, with Commit
	ALG       uint16    // 0, 21 (ftp) or 69 (tftp)
}

// NAT is the nat argument of CT. Without Src and Dst it translates by the entry that there is.
type NAT struct {
	Src, Dst         bool
	AddrMin, AddrMax netip.Addr // range of addresses; AddrMax invalid or equal for a single one
	PortMin, PortMax uint16     // range of ports; 0 for none
	Persistent       bool
	Hash, Random     bool
}

// CTClear makes the packet untracked again.
type CTClear struct{}

// NAT flags and the presence bits of its ranges (nicira-ext.h).
const (
	natSrc, natDst, natPersistent, natHash, natRandom          = 1, 2, 4, 8, 16
	nat4Min, nat4Max, nat6Min, nat6Max, natPortMin, natPortMax = 1, 2, 4, 8, 16, 32
)

func decodeCT(r *reader) Action {
	var a CT
	flags := r.u16()
	a.Commit, a.Force = flags&1 != 0, flags&2 != 0
	src := r.u32()
	if src == 0 {
		a.Zone = r.u16()
	} else {
		on := r.u16()
		a.ZoneField = r.inField(Subfield{lookup(src, 0), on >> 6, on&0x3f + 1})
	}
	if flags > 3 {
		r.fail("ct flags %#x", flags)
	}
	if t := r.u8(); t != 255 {
		a.Table = ToTable(t)
	}
	r.skip(3)
	a.ALG = r.u16()
	s := r.sub(r.left())
	acts := decodeActions(&s, nil, r.depth+1)
	if r.adopt(s.err); s.err != nil {
		return nil
	}
	for i, x := range acts {
		if n, ok := x.(NAT); ok {
			if i != 0 {
				r.fail("nat after another action")
				return nil
			}
			a.NAT = &n
		}
	}
	if a.NAT != nil {
		acts = acts[1:]
	}
	if len(acts) > 0 {
		a.Exec = acts
	}
	return a
}

// AppendTo implements Action.
func (a CT) AppendTo(b []byte) []byte {
	start := len(b)
	var flags byte
	if a.Commit {
		flags |= 1
	}
	if a.Force {
		flags |= 2
	}
	b = append(nxHeader(b, 35), 0, flags)
	if a.ZoneField.Field != nil {
		b = binary.BigEndian.AppendUint16(a.ZoneField.Field.appendHeader(b), a.ZoneField.ofsNBits())
	} else {
		b = append(b, 0, 0, 0, 0, byte(a.Zone>>8), byte(a.Zone))
	}
	table := byte(255)
	if a.Table.Valid {
		table = a.Table.ID
	}
	b = append(b, table, 0, 0, 0, byte(a.ALG>>8), byte(a.ALG))
	if a.NAT != nil {
		b = a.NAT.AppendTo(b)
	}
	return finish(AppendActions(b, a.Exec), start)
}

// AppendText implements Action.
func (a CT) AppendText(b []byte) []byte {
	b = append(b, "ct("...)
	n := len(b)
	if a.Commit {
		b = append(b, "commit,"...)
	}
	if a.Force {
		b = append(b, "force,"...)
	}
	if a.Table.Valid {
		b = append(strconv.AppendUint(append(b, "table="...), uint64(a.Table.ID), 10), ',')
	}
	if a.ZoneField.Field != nil {
		b = append(a.ZoneField.AppendText(append(b, "zone="...)), ',')
	} else if a.Zone != 0 {
		b = append(strconv.AppendUint(append(b, "zone="...), uint64(a.Zone), 10), ',')
	}
	if a.NAT != nil {
		b = append(a.NAT.AppendText(b), ',')
	}
	if len(a.Exec) > 0 {
		b = append(appendList(append(b, "exec("...), a.Exec), "),"...)
	}
	switch a.ALG {
	case 0:
	case 21:
		b = append(b, "alg=ftp,"...)
	case 69:
		b = append(b, "alg=tftp,"...)
	default:
		b = fmt.Appendf(b, "alg=%d,", a.ALG)
	}
	if len(b) > n {
		b = b[:len(b)-1]
	}
	return append(b, ')')
}

func (a CT) check(m *Match) error {
	if err := need(m, "ct", NeedIP); err != nil {
		return err
	}
	switch {
	case a.Force && !a.Commit:
		return fmt.Errorf("openflow: ct(force) needs commit")
	case len(a.Exec) > 0 && !a.Commit:
		return fmt.Errorf("openflow: ct(exec(…)) needs commit")
	case a.ALG == 21 || a.ALG == 69:
		p, name := NeedTCP, "ct(alg=ftp)"
		if a.ALG == 69 {
			p, name = NeedUDP, "ct(alg=tftp)"
		}
		if err := need(m, name, p); err != nil {
			return err
		}
	case a.ALG != 0:
		return fmt.Errorf("openflow: ct: alg %d is not known; want 21 (ftp) or 69 (tftp)", a.ALG)
	}
	if a.ZoneField.Field != nil {
		if a.ZoneField.N != 16 {
			return fmt.Errorf("openflow: ct: a zone has 16 bits, not %d", a.ZoneField.N)
		}
		if a.ZoneField.exp() {
			return fmt.Errorf("openflow: ct: the zone cannot come from %s", a.ZoneField.Field.Name)
		}
		if err := a.ZoneField.checkIn(m, false); err != nil {
			return err
		}
	}
	if a.NAT != nil {
		if (a.NAT.Src || a.NAT.Dst) && !a.Commit {
			return fmt.Errorf("openflow: ct: nat(src) and nat(dst) need commit")
		}
		if err := a.NAT.check(m); err != nil {
			return err
		}
	}
	for _, x := range a.Exec {
		var f *Field
		switch x := x.(type) {
		case SetField:
			f = x.Field
		case Load:
			f = x.Dst.Field
		case Move:
			f = x.Dst.Field
		case RawAction:
			continue
		}
		if f != CTMark && f != CTLabel {
			return fmt.Errorf("openflow: ct: exec takes set_field, load and move to ct_mark and ct_label only, not %s", x.AppendText(nil))
		}
		if err := x.check(m); err != nil {
			return err
		}
	}
	return nil
}

func decodeNAT(r *reader) Action {
	var a NAT
	r.skip(2)
	flags, present := r.u16(), r.u16()
	a.Src, a.Dst = flags&natSrc != 0, flags&natDst != 0
	a.Persistent, a.Hash, a.Random = flags&natPersistent != 0, flags&natHash != 0, flags&natRandom != 0
	addr := func(n int) netip.Addr {
		p := r.take(n)
		x, _ := netip.AddrFromSlice(p)
		return x
	}
	if present&nat4Min != 0 {
		a.AddrMin = addr(4)
	}
	if present&nat4Max != 0 {
		a.AddrMax = addr(4)
	}
	if present&nat6Min != 0 {
		a.AddrMin = addr(16)
	}
	if present&nat6Max != 0 {
		a.AddrMax = addr(16)
	}
	if present&natPortMin != 0 {
		a.PortMin = r.u16()
	}
	if present&natPortMax != 0 {
		a.PortMax = r.u16()
	}
	if flags > 31 || present > 63 || present&3 != 0 && present&12 != 0 {
		r.fail("nat flags %#x, ranges %#x", flags, present)
	}
	return a
}

// AppendTo implements Action; NAT stands inside CT only.
func (a NAT) AppendTo(b []byte) []byte {
	start := len(b)
	var flags, present byte
	for i, on := range [...]bool{a.Src, a.Dst, a.Persistent, a.Hash, a.Random} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(nxHeader(b, 36), 0, 0, 0, flags, 0, 0)
	at := len(b) - 1
	for i, x := range [...]netip.Addr{a.AddrMin, a.AddrMax} {
		switch {
		case !x.IsValid() || i == 1 && x == a.AddrMin:
		case x.Is4():
			v := x.As4()
			b, present = append(b, v[:]...), present|nat4Min<<i
		default:
			v := x.As16()
			b, present = append(b, v[:]...), present|nat6Min<<i
		}
	}
	if a.PortMin != 0 {
		b, present = binary.BigEndian.AppendUint16(b, a.PortMin), present|natPortMin
		if a.PortMax != 0 && a.PortMax != a.PortMin {
			b, present = binary.BigEndian.AppendUint16(b, a.PortMax), present|natPortMax
		}
	}
	b[at] = present
	return finish(b, start)
}

// AppendText implements Action.
func (a NAT) AppendText(b []byte) []byte {
	b = append(b, "nat"...)
	if !a.Src && !a.Dst {
		return b
	}
	b = append(b, '(')
	if a.Src {
		b = append(b, "src"...)
	} else {
		b = append(b, "dst"...)
	}
	if a.AddrMin.IsValid() {
		b = append(b, '=')
		bracket := a.AddrMin.Is6() && a.PortMin != 0
		addr := func(x netip.Addr) {
			if bracket {
				b = append(b, '[')
			}
			v := x.As16()
			if x.Is4() {
				b = x.AppendTo(b)
			} else {
				b = appendIPv6(b, v[:])
			}
			if bracket {
				b = append(b, ']')
			}
		}
		addr(a.AddrMin)
		if a.AddrMax.IsValid() && a.AddrMax != a.AddrMin {
			b = append(b, '-')
			addr(a.AddrMax)
		}
	}
	if a.PortMin != 0 {
		if !a.AddrMin.IsValid() {
			b = append(b, '=')
		}
		b = strconv.AppendUint(append(b, ':'), uint64(a.PortMin), 10)
		if a.PortMax != 0 && a.PortMax != a.PortMin {
			b = strconv.AppendUint(append(b, '-'), uint64(a.PortMax), 10)
		}
	}
	if a.Persistent {
		b = append(b, ",persistent"...)
	}
	if a.Hash {
		b = append(b, ",hash"...)
	}
	if a.Random {
		b = append(b, ",random"...)
	}
	return append(b, ')')
}

func (a NAT) check(m *Match) error {
	switch {
	case a.Src && a.Dst:
		return fmt.Errorf("openflow: nat takes src or dst, not both; use two ct actions")
	case !a.Src && !a.Dst && (a.AddrMin.IsValid() || a.PortMin != 0 || a.Persistent || a.Hash || a.Random):
		return fmt.Errorf("openflow: nat with a range or flags needs src or dst")
	case !a.AddrMin.IsValid() && (a.AddrMax.IsValid() || a.PortMin != 0 || a.Persistent || a.Hash || a.Random):
		return fmt.Errorf("openflow: nat with a range of ports or flags needs an address")
	case a.Hash && a.Random:
		return fmt.Errorf("openflow: nat takes hash or random, not both")
	case a.PortMin == 0 && a.PortMax != 0 || a.PortMax != 0 && a.PortMax < a.PortMin:
		return fmt.Errorf("openflow: nat ports %d-%d are no range", a.PortMin, a.PortMax)
	case a.AddrMax.IsValid() && (a.AddrMax.BitLen() != a.AddrMin.BitLen() || a.AddrMax.Less(a.AddrMin)):
		return fmt.Errorf("openflow: nat addresses %s-%s are no range", a.AddrMin, a.AddrMax)
	case a.AddrMin.IsValid() && a.AddrMin.Is4() && !NeedIPv4.ok(m):
		return need(m, "nat to an IPv4 address", NeedIPv4)
	case a.AddrMin.IsValid() && !a.AddrMin.Is4() && !NeedIPv6.ok(m):
		return need(m, "nat to an IPv6 address", NeedIPv6)
	}
	return nil
}

// AppendTo implements Action.
func (a CTClear) AppendTo(b []byte) []byte { return nxPlain(b, 43) }

// AppendText implements Action.
func (a CTClear) AppendText(b []byte) []byte { return append(b, "ct_clear"...) }
func (a CTClear) check(*Match) error         { return nil }
