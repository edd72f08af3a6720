package openflow

import (
	"encoding/binary"
	"fmt"
)

// HashFields says what multipath and bundle hash (enum nx_hash_fields).
type HashFields uint16

// Hash fields.
const (
	HashEthSrc HashFields = iota
	HashSymmetricL4
	HashSymmetricL3L4
	HashSymmetricL3L4UDP
	HashNWSrc
	HashNWDst
	HashSymmetricL3
)

var hashNames = [...]string{"eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"}

// MultipathAlgorithm chooses a link by hash (enum nx_mp_algorithm).
type MultipathAlgorithm uint16

// Multipath algorithms.
const (
	ModuloN MultipathAlgorithm = iota
	HashThreshold
	HRW
	IterHash
)

var multipathNames = [...]string{"modulo_n", "hash_threshold", "hrw", "iter_hash"}

// Multipath hashes the packet and writes the number of a link, 0 to Links-1, to Dst.
type Multipath struct {
	Fields    HashFields
	Basis     uint16
	Algorithm MultipathAlgorithm
	Links     uint32 // 1 to 65536
	Arg       uint32
	Dst       Subfield
}

// BundleAlgorithm chooses a member port (enum nx_bd_algorithm).
type BundleAlgorithm uint16

// Bundle algorithms.
const (
	BundleActiveBackup BundleAlgorithm = iota
	BundleHRW
)

var bundleNames = [...]string{"active_backup", "hrw"}

// Bundle outputs to one live port of several or, with Dst, writes its number there (bundle_load).
type Bundle struct {
	Algorithm BundleAlgorithm
	Fields    HashFields
	Basis     uint16
	Members   []Port
	Dst       Subfield // Field nil: output
}

func decodeMultipath(r *reader) Action {
	a := Multipath{Fields: HashFields(r.u16()), Basis: r.u16()}
	r.skip(2)
	a.Algorithm, a.Links, a.Arg = MultipathAlgorithm(r.u16()), uint32(r.u16())+1, r.u32()
	r.skip(2)
	a.Dst = r.subfield(r.u16())
	if int(a.Fields) >= len(hashNames) || int(a.Algorithm) >= len(multipathNames) {
		r.fail("multipath fields %d, algorithm %d", a.Fields, a.Algorithm)
	}
	return a
}

// AppendTo implements Action.
func (a Multipath) AppendTo(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(nxHeader(b, 10), uint16(a.Fields))
	b = binary.BigEndian.AppendUint16(b, a.Basis)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), uint16(a.Algorithm))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Links-1))
	b = binary.BigEndian.AppendUint32(b, a.Arg)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), a.Dst.ofsNBits())
	return finish(a.Dst.Field.appendHeader(b), start)
}

// AppendText implements Action.
func (a Multipath) AppendText(b []byte) []byte {
	b = fmt.Appendf(b, "multipath(%s,%d,%s,%d,%d,", nameOf(hashNames[:], a.Fields), a.Basis, nameOf(multipathNames[:], a.Algorithm), a.Links, a.Arg)
	return append(a.Dst.AppendText(b), ')')
}

// nameOf is names[i], or the number.
func nameOf[T ~uint16](names []string, i T) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprint(uint16(i))
}

func (a Multipath) check(m *Match) error {
	if a.Links < 1 || a.Links > 65536 || a.Dst.N < 16 && a.Links > 1<<a.Dst.N {
		return fmt.Errorf("openflow: multipath: %d links do not fit in %d bits", a.Links, a.Dst.N)
	}
	if a.Dst.Field != nil && a.Dst.exp() {
		return fmt.Errorf("openflow: multipath cannot write %s", a.Dst.Field.Name)
	}
	return a.Dst.checkIn(m, true)
}

// nxmInPort is the NXM header that says that a bundle's members are ports.
const nxmInPort = 0x00000002

func decodeBundle(load bool) func(r *reader) Action {
	return func(r *reader) Action {
		a := Bundle{Algorithm: BundleAlgorithm(r.u16()), Fields: HashFields(r.u16()), Basis: r.u16()}
		typ, n, on, dst := r.u32(), int(r.u16()), r.u16(), r.u32()
		r.skip(4)
		if typ != nxmInPort || int(a.Fields) >= len(hashNames) || int(a.Algorithm) >= len(bundleNames) {
			r.fail("bundle of member type %#08x", typ)
		}
		if load {
			a.Dst = r.inField(Subfield{lookup(dst, 0), on >> 6, on&0x3f + 1})
		}
		for _, p := range r.u16s(n) {
			a.Members = append(a.Members, portFrom16(p))
		}
		return a
	}
}

// AppendTo implements Action.
func (a Bundle) AppendTo(b []byte) []byte {
	start := len(b)
	sub := uint16(12)
	if a.Dst.Field != nil {
		sub = 13
	}
	b = binary.BigEndian.AppendUint16(nxHeader(b, sub), uint16(a.Algorithm))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Fields))
	b = binary.BigEndian.AppendUint16(b, a.Basis)
	b = binary.BigEndian.AppendUint32(b, nxmInPort)
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.Members)))
	if a.Dst.Field != nil {
		b = a.Dst.Field.appendHeader(binary.BigEndian.AppendUint16(b, a.Dst.ofsNBits()))
	} else {
		b = appendZeros(b, 6)
	}
	b = appendZeros(b, 4)
	for _, p := range a.Members {
		b = binary.BigEndian.AppendUint16(b, p.to16())
	}
	return finish(b, start)
}

// AppendText implements Action.
func (a Bundle) AppendText(b []byte) []byte {
	b = append(b, "bundle"...)
	if a.Dst.Field != nil {
		b = append(b, "_load"...)
	}
	b = fmt.Appendf(b, "(%s,%d,%s,ofport,", nameOf(hashNames[:], a.Fields), a.Basis, nameOf(bundleNames[:], a.Algorithm))
	if a.Dst.Field != nil {
		b = append(a.Dst.AppendText(b), ',')
	}
	b = append(b, "members:"...)
	for i, p := range a.Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.AppendText(b)
	}
	return append(b, ')')
}

func (a Bundle) check(m *Match) error {
	if a.Dst.Field == nil {
		return nil
	}
	if a.Dst.exp() || a.Dst.N < 16 {
		return fmt.Errorf("openflow: bundle_load needs 16 bits of a field, not %s[%d]", a.Dst.Field.Name, a.Dst.N)
	}
	return a.Dst.checkIn(m, true)
}
