package openflow

import (
	"fmt"
	"strconv"
	"strings"
)

// MeterFlags are the flags of a meter (enum ofp_meter_flags).
type MeterFlags uint16

// Meter flags. A meter has exactly one of MeterKbps and MeterPktps.
const (
	MeterKbps  MeterFlags = 1 << iota // rates are in kilobit a second
	MeterPktps                        // rates are in packets a second
	MeterBurst                        // bands have a burst size
	MeterStat                         // collect statistics
)

// Meter ids (enum ofp_meter). Ordinary ones are 1 to MeterMax.
const (
	MeterMax        uint32 = 0xffff0000
	MeterSlowpath   uint32 = 0xfffffffd
	MeterController uint32 = 0xfffffffe
	MeterAll        uint32 = 0xffffffff // in requests and delete
)

// BandType says what a band does with packets beyond its rate.
type BandType uint16

// Band types. Open vSwitch's userspace datapath has drop only.
const (
	BandDrop         BandType = 1
	BandDSCPRemark   BandType = 2 // raises the drop precedence by PrecLevel
	BandExperimenter BandType = 0xffff
)

// Band is one rate of a meter.
type Band struct {
	Type      BandType
	Rate      uint32 // kilobit or packets a second
	BurstSize uint32 // kilobit or packets
	PrecLevel uint8  // BandDSCPRemark only
	Raw       []byte // everything after burst_size, for bands of other types
}

// MeterConfig is a meter's configuration (OpenFlow 1.3.5 section 7.3.4.4).
type MeterConfig struct {
	ID    uint32
	Flags MeterFlags
	Bands []Band
}

// MeterCommand is what a MeterMod does.
type MeterCommand uint16

// Commands of MeterMod.
const (
	MeterAdd MeterCommand = iota
	MeterModify
	MeterDelete
)

var meterCommands = [...]string{"ADD", "MOD", "DEL"}

// MeterMod adds, changes or deletes a meter. It must not be in a bundle: Open vSwitch refuses.
type MeterMod struct {
	Command MeterCommand
	Meter   MeterConfig
}

func decodeBands(r *reader) (bands []Band) {
	for r.left() > 0 && r.err == nil {
		var b Band
		b.Type = BandType(r.u16())
		n := int(r.u16())
		if n < 12 {
			r.fail("want a meter band of at least 12 octets, not %d", n)
			return bands
		}
		in := r.sub(n - 4)
		b.Rate, b.BurstSize = in.u32(), in.u32()
		switch {
		case r.err != nil:
			return bands
		case b.Type == BandDrop && n == 16:
		case b.Type == BandDSCPRemark && n == 16:
			b.PrecLevel = in.u8()
		default:
			b.Raw = in.rest()
		}
		bands = append(bands, b)
	}
	return bands
}

func appendBands(b []byte, bands []Band) []byte {
	for i := range bands {
		d := &bands[i]
		rest := d.Raw
		if rest == nil {
			rest = []byte{d.PrecLevel, 0, 0, 0}
		}
		b = append16(append16(b, uint16(d.Type)), uint16(12+len(rest)))
		b = append(append32(append32(b, d.Rate), d.BurstSize), rest...)
	}
	return b
}

func decodeMeterMod(r *reader) Message {
	m := &MeterMod{Command: MeterCommand(r.u16())}
	m.Meter.Flags = MeterFlags(r.u16())
	m.Meter.ID = r.u32()
	m.Meter.Bands = decodeBands(r)
	return m
}

// Name is OFPT_METER_MOD.
func (m *MeterMod) Name() string { return "OFPT_METER_MOD" }

// AppendTo appends the message. A delete has an id only.
func (m *MeterMod) AppendTo(b []byte) []byte {
	n := len(b)
	b = append16(beginMsg(b, typeMeterMod), uint16(m.Command))
	if m.Command == MeterDelete {
		return endMsg(append32(append16(b, 0), m.Meter.ID), n)
	}
	b = append32(append16(b, uint16(m.Meter.Flags)), m.Meter.ID)
	return endMsg(appendBands(b, m.Meter.Bands), n)
}

// String is the command and the meter's text.
func (m *MeterMod) String() string {
	c := fmt.Sprintf("cmd:%d", m.Command)
	if int(m.Command) < len(meterCommands) {
		c = meterCommands[m.Command]
	}
	return fmt.Sprintf("%s: %s %s", m.Name(), c, m.Meter.String())
}

// AppendTo appends the meter as an entry of a meter config reply.
func (m *MeterConfig) AppendTo(b []byte) []byte {
	n := len(b)
	b = appendBands(append32(append16(append16(b, 0), uint16(m.Flags)), m.ID), m.Bands)
	put16(b[n:], len(b)-n)
	return b
}

func (m *MeterConfig) decode(r *reader) {
	r.skip(2)
	m.Flags = MeterFlags(r.u16())
	m.ID = r.u32()
	m.Bands = decodeBands(r)
}

// meterName is a meter's id, or the name of a reserved one.
func meterName(id uint32) string {
	switch id {
	case MeterSlowpath:
		return "slowpath"
	case MeterController:
		return "controller"
	case MeterAll:
		return "all"
	}
	return strconv.FormatUint(uint64(id), 10)
}

// String is what ovs-ofctl -O OpenFlow13 dump-meters prints for the meter, from "meter=" on, with line breaks.
func (m *MeterConfig) String() string {
	s := []byte("meter=" + meterName(m.ID) + " ")
	for i, n := range meterFlagNames {
		if m.Flags>>i&1 == 1 {
			s = append(s, n...)
			s = append(s, ' ')
		}
	}
	if rest := m.Flags >> len(meterFlagNames); rest != 0 {
		s = fmt.Appendf(s, "flags:%#x ", m.Flags)
	}
	s = append(s, "bands="...)
	for i := range m.Bands {
		d := &m.Bands[i]
		switch d.Type {
		case BandDrop:
			s = append(s, "\ntype=drop"...)
		case BandDSCPRemark:
			s = append(s, "\ntype=dscp_remark"...)
		default:
			s = fmt.Appendf(s, "\ntype=%d", d.Type)
		}
		s = fmt.Appendf(s, " rate=%d", d.Rate)
		if m.Flags&MeterBurst != 0 {
			s = fmt.Appendf(s, " burst_size=%d", d.BurstSize)
		}
		if d.Type == BandDSCPRemark {
			s = fmt.Appendf(s, " prec_level=%d", d.PrecLevel)
		}
	}
	return string(s)
}

var meterFlagNames = [...]string{"kbps", "pktps", "burst", "stats"}

// ParseMeter reads a meter in the syntax of ovs-ofctl add-meter ("meter=1,kbps,burst,bands=type=drop,rate=100,burst_size=5")
// or as MeterConfig.String and dump-meters print it.
func ParseMeter(s string) (MeterConfig, error) {
	var m MeterConfig
	var d *Band
	bad := func(format string, a ...any) (MeterConfig, error) {
		return MeterConfig{}, fmt.Errorf("openflow: meter %q: "+format, append([]any{shorten(s)}, a...)...)
	}
	head, tail, ok := strings.Cut(s, "band")
	if !ok {
		return bad("there is no bands=")
	}
	if _, tail, ok = strings.Cut(tail, "="); !ok {
		return bad("there is no bands=")
	}
	sep := func(r rune) bool { return strings.ContainsRune("=, \t\r\n", r) }
	words := strings.FieldsFunc(head, sep)
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "kbps", "pktps", "burst", "stats":
			for k, n := range meterFlagNames {
				if n == w {
					m.Flags |= 1 << k
				}
			}
		case "meter":
			if i++; i == len(words) {
				return bad("meter has no value")
			}
			id, err := parseMeterID(words[i])
			if err != nil {
				return bad("%v", err)
			}
			m.ID = id
		default:
			return bad("unknown word %q", w)
		}
	}
	words = strings.FieldsFunc(tail, sep)
	for i := 0; i < len(words); i += 2 {
		if i+1 == len(words) {
			return bad("%s has no value", words[i])
		}
		w, v := words[i], words[i+1]
		if w == "type" {
			if len(m.Bands) == 4000 {
				return bad("more bands than fit in a message")
			}
			m.Bands = append(m.Bands, Band{})
			d = &m.Bands[len(m.Bands)-1]
			switch v {
			case "drop":
				d.Type = BandDrop
			case "dscp_remark":
				d.Type = BandDSCPRemark
			default:
				return bad("unknown band type %q", v)
			}
			continue
		}
		if d == nil {
			return bad("a band must start with type=")
		}
		bits := 32
		if w == "prec_level" {
			bits = 8
		}
		n, err := strconv.ParseUint(v, 0, bits)
		if err != nil {
			return bad("%s=%s is not a number of %d bits", w, v, bits)
		}
		switch w {
		case "rate":
			d.Rate = uint32(n)
		case "burst_size":
			d.BurstSize = uint32(n)
		case "prec_level":
			d.PrecLevel = uint8(n)
		default:
			return bad("unknown word %q", w)
		}
	}
	if err := m.Check(); err != nil {
		return bad("%v", err)
	}
	return m, nil
}

func parseMeterID(s string) (uint32, error) {
	switch s {
	case "all":
		return MeterAll, nil
	case "controller":
		return MeterController, nil
	case "slowpath":
		return MeterSlowpath, nil
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil || n == 0 || uint32(n) > MeterMax {
		return 0, fmt.Errorf("meter=%s is not a number from 1 to %d, nor all, controller or slowpath", s, MeterMax)
	}
	return uint32(n), nil
}

// Check says what Open vSwitch would refuse about a meter to add.
func (m *MeterConfig) Check() error {
	switch u := m.Flags & (MeterKbps | MeterPktps); {
	case m.ID == 0:
		return fmt.Errorf("needs an id")
	case u == 0 || u == MeterKbps|MeterPktps:
		return fmt.Errorf("needs one of kbps and pktps")
	case len(m.Bands) == 0:
		return fmt.Errorf("needs a band")
	}
	for i := range m.Bands {
		switch d := &m.Bands[i]; {
		case d.Rate == 0:
			return fmt.Errorf("band %d needs a rate", i)
		case (d.BurstSize != 0) != (m.Flags&MeterBurst != 0):
			return fmt.Errorf("band %d: burst_size goes with the flag burst", i)
		case (d.PrecLevel != 0) != (d.Type == BandDSCPRemark):
			return fmt.Errorf("band %d: prec_level goes with type=dscp_remark", i)
		}
	}
	return nil
}

// shorten cuts text that goes into an error.
func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
