package openflow

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// SwitchDesc describes a switch (OpenFlow 1.3.5 section 7.3.5.1).
type SwitchDesc struct {
	Manufacturer, Hardware, Software string // at most 255 octets each
	Serial                           string // at most 31 octets
	Datapath                         string // at most 255 octets
}

func (d *SwitchDesc) decode(r *reader) {
	d.Manufacturer, d.Hardware, d.Software = cString(r.take(256)), cString(r.take(256)), cString(r.take(256))
	d.Serial, d.Datapath = cString(r.take(32)), cString(r.take(256))
}

// AppendTo appends struct ofp_desc. What is too long is cut.
func (d *SwitchDesc) AppendTo(b []byte) []byte {
	b = appendString(appendString(appendString(b, d.Manufacturer, 256), d.Hardware, 256), d.Software, 256)
	return appendString(appendString(b, d.Serial, 32), d.Datapath, 256)
}

// String is what ovs-ofctl prints.
func (d *SwitchDesc) String() string {
	return fmt.Sprintf("Manufacturer: %s\nHardware: %s\nSoftware: %s\nSerial Num: %s\nDP Description: %s",
		d.Manufacturer, d.Hardware, d.Software, d.Serial, d.Datapath)
}

// Desc returns the entry of a MultipartDesc reply.
func (m *MultipartReply) Desc() (SwitchDesc, error) { return one[SwitchDesc](m, MultipartDesc) }

// FlowEntry is a Flow as an entry of a flow-stats reply.
type FlowEntry Flow

func (e *FlowEntry) decode(r *reader) {
	r.skip(2)
	e.Table = r.u8()
	r.skip(1)
	s := &FlowStats{DurationSec: r.u32(), DurationNsec: r.u32()}
	e.Priority, e.IdleTimeout, e.HardTimeout = r.u16(), r.u16(), r.u16()
	e.Flags, e.Importance = FlowFlags(r.u16()), r.u16()
	r.skip(2)
	e.Cookie = r.u64()
	s.PacketCount, s.ByteCount = r.u64(), r.u64()
	e.Stats = s
	e.Match = decodeMatch(r)
	e.Actions = decodeInstructions(r)
}

// AppendTo appends struct ofp_flow_stats; nothing when the order of the actions cannot be expressed.
func (e *FlowEntry) AppendTo(b []byte) []byte {
	n := len(b)
	var s FlowStats
	if e.Stats != nil {
		s = *e.Stats
	}
	b = append32(append32(append(b, 0, 0, e.Table, 0), s.DurationSec), s.DurationNsec)
	b = append16(append16(append16(b, e.Priority), e.IdleTimeout), e.HardTimeout)
	b = append64(append16(append16(append16(b, uint16(e.Flags)), e.Importance), 0), e.Cookie)
	b, err := AppendInstructions(e.Match.AppendTo(append64(append64(b, s.PacketCount), s.ByteCount)), e.Actions)
	if err != nil {
		return b[:n]
	}
	put16(b[n:], len(b)-n)
	return b
}

// String is the flow's line of dump-flows --no-stats.
func (e *FlowEntry) String() string { return (*Flow)(e).String() }

// Flows decodes a MultipartFlow reply one flow at a time, so that a dump of any size needs memory for one. The *Flow
// is reused: copy it to keep it (its Actions and Stats are its own). A flow that cannot be decoded comes with an
// *EntryError that holds it raw, and the next ones follow; any other error ends the iteration.
func (m *MultipartReply) Flows() iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		for e, err := range each[FlowEntry](m, MultipartFlow) {
			if !yield((*Flow)(e), err) {
				return
			}
		}
	}
}

// Aggregate sums up flows (section 7.3.5.3).
type Aggregate struct {
	PacketCount, ByteCount uint64
	FlowCount              uint32
}

func (a *Aggregate) decode(r *reader) {
	a.PacketCount, a.ByteCount, a.FlowCount = r.u64(), r.u64(), r.u32()
}

// AppendTo appends the entry.
func (a *Aggregate) AppendTo(b []byte) []byte {
	return append32(append32(append64(append64(b, a.PacketCount), a.ByteCount), a.FlowCount), 0)
}

// String is what ovs-ofctl prints.
func (a *Aggregate) String() string {
	return fmt.Sprintf("packet_count=%d byte_count=%d flow_count=%d", a.PacketCount, a.ByteCount, a.FlowCount)
}

// Aggregate returns the entry of a MultipartAggregate reply.
func (m *MultipartReply) Aggregate() (Aggregate, error) { return one[Aggregate](m, MultipartAggregate) }

// TableStats are the counters of a table (section 7.3.5.4).
type TableStats struct {
	Table           uint8
	Active          uint32 // flows
	Lookup, Matched uint64 // packets
}

func (t *TableStats) decode(r *reader) {
	t.Table = r.u8()
	r.skip(3)
	t.Active, t.Lookup, t.Matched = r.u32(), r.u64(), r.u64()
}

// AppendTo appends struct ofp_table_stats.
func (t *TableStats) AppendTo(b []byte) []byte {
	return append64(append64(append32(append(b, t.Table, 0, 0, 0), t.Active), t.Lookup), t.Matched)
}

// String is like a table of ovs-ofctl dump-tables.
func (t *TableStats) String() string {
	return fmt.Sprintf("table %d: active=%d, lookup=%d, matched=%d", t.Table, t.Active, t.Lookup, t.Matched)
}

// Tables decodes a MultipartTable reply; the *TableStats is reused.
func (m *MultipartReply) Tables() iter.Seq2[*TableStats, error] {
	return each[TableStats](m, MultipartTable)
}

// PortStats are the counters of a port; all ones where the switch has none (section 7.3.5.6).
type PortStats struct {
	Port                                                 Port
	RxPackets, TxPackets, RxBytes, TxBytes               uint64
	RxDropped, TxDropped, RxErrors, TxErrors             uint64
	RxFrameErrors, RxOverErrors, RxCRCErrors, Collisions uint64
	DurationSec, DurationNsec                            uint32
}

func (p *PortStats) counters() [12]*uint64 {
	return [...]*uint64{&p.RxPackets, &p.TxPackets, &p.RxBytes, &p.TxBytes, &p.RxDropped, &p.TxDropped, &p.RxErrors,
		&p.TxErrors, &p.RxFrameErrors, &p.RxOverErrors, &p.RxCRCErrors, &p.Collisions}
}

func (p *PortStats) decode(r *reader) {
	p.Port = Port(r.u32())
	r.skip(4)
	for _, c := range p.counters() {
		*c = r.u64()
	}
	p.DurationSec, p.DurationNsec = r.u32(), r.u32()
}

// AppendTo appends struct ofp_port_stats.
func (p *PortStats) AppendTo(b []byte) []byte {
	b = append32(append32(b, uint32(p.Port)), 0)
	for _, c := range p.counters() {
		b = append64(b, *c)
	}
	return append32(append32(b, p.DurationSec), p.DurationNsec)
}

// String is in one line what ovs-ofctl dump-ports prints in two.
func (p *PortStats) String() string {
	return fmt.Sprintf("port %s: rx pkts=%d, bytes=%d, drop=%d, errs=%d, frame=%d, over=%d, crc=%d tx pkts=%d, bytes=%d, drop=%d, errs=%d, coll=%d duration=%s",
		p.Port, p.RxPackets, p.RxBytes, p.RxDropped, p.RxErrors, p.RxFrameErrors, p.RxOverErrors, p.RxCRCErrors,
		p.TxPackets, p.TxBytes, p.TxDropped, p.TxErrors, p.Collisions, appendDuration(nil, p.DurationSec, p.DurationNsec))
}

// PortStats decodes a MultipartPortStats reply; the *PortStats is reused.
func (m *MultipartReply) PortStats() iter.Seq2[*PortStats, error] {
	return each[PortStats](m, MultipartPortStats)
}

// PortDescs decodes a MultipartPortDesc reply; the *PortDesc is reused.
func (m *MultipartReply) PortDescs() iter.Seq2[*PortDesc, error] {
	return each[PortDesc](m, MultipartPortDesc)
}

// QueueStats are the counters of a queue (section 7.3.5.8).
type QueueStats struct {
	Port                         Port
	Queue                        uint32
	TxBytes, TxPackets, TxErrors uint64
	DurationSec, DurationNsec    uint32
}

func (q *QueueStats) decode(r *reader) {
	q.Port, q.Queue = Port(r.u32()), r.u32()
	q.TxBytes, q.TxPackets, q.TxErrors = r.u64(), r.u64(), r.u64()
	q.DurationSec, q.DurationNsec = r.u32(), r.u32()
}

// AppendTo appends struct ofp_queue_stats.
func (q *QueueStats) AppendTo(b []byte) []byte {
	b = append64(append64(append64(append32(append32(b, uint32(q.Port)), q.Queue), q.TxBytes), q.TxPackets), q.TxErrors)
	return append32(append32(b, q.DurationSec), q.DurationNsec)
}

// String is what ovs-ofctl queue-stats prints.
func (q *QueueStats) String() string {
	return fmt.Sprintf("port %s queue %d: bytes=%d, pkts=%d, errors=%d, duration=%s", q.Port, q.Queue, q.TxBytes, q.TxPackets,
		q.TxErrors, appendDuration(nil, q.DurationSec, q.DurationNsec))
}

// Queues decodes a MultipartQueue reply; the *QueueStats is reused.
func (m *MultipartReply) Queues() iter.Seq2[*QueueStats, error] {
	return each[QueueStats](m, MultipartQueue)
}

// Counter counts packets and octets.
type Counter struct{ Packets, Bytes uint64 }

// counters reads what is left of r as pairs of packets and octets; a rest that is no pair is an error.
func (r *reader) counters() []Counter {
	n := r.left() / 16
	if n == 0 {
		return nil
	}
	cs := make([]Counter, n)
	for i := range cs {
		cs[i] = Counter{r.u64(), r.u64()}
	}
	if r.left() != 0 {
		r.fail("want counters of 16 octets, have %d more", r.left())
	}
	return cs
}

func appendCounters(b []byte, cs []Counter) []byte {
	for _, c := range cs {
		b = append64(append64(b, c.Packets), c.Bytes)
	}
	return b
}

// GroupStats are the counters of a group (section 7.3.5.9).
type GroupStats struct {
	ID, RefCount              uint32 // RefCount: flows and groups that use it
	Counter                          // of the group
	DurationSec, DurationNsec uint32
	Buckets                   []Counter // all ones where the switch has none
}

func (g *GroupStats) decode(r *reader) {
	r.skip(4)
	g.ID, g.RefCount = r.u32(), r.u32()
	r.skip(4)
	g.Packets, g.Bytes = r.u64(), r.u64()
	g.DurationSec, g.DurationNsec = r.u32(), r.u32()
	g.Buckets = r.counters()
}

// AppendTo appends struct ofp_group_stats.
func (g *GroupStats) AppendTo(b []byte) []byte {
	n := len(b)
	b = append32(append32(append32(append32(b, 0), g.ID), g.RefCount), 0)
	b = append32(append32(append64(append64(b, g.Packets), g.Bytes), g.DurationSec), g.DurationNsec)
	b = appendCounters(b, g.Buckets)
	put16(b[n:], len(b)-n)
	return b
}

// String is what ovs-ofctl dump-group-stats prints.
func (g *GroupStats) String() string {
	b := append(appendDuration(fmt.Appendf(nil, "group_id=%d,duration=", g.ID), g.DurationSec, g.DurationNsec), ',')
	b = fmt.Appendf(b, "ref_count=%d,packet_count=%d,byte_count=%d", g.RefCount, g.Packets, g.Bytes)
	for i, c := range g.Buckets {
		if c.Packets != ^uint64(0) {
			b = fmt.Appendf(b, ",bucket%d:packet_count=%d,byte_count=%d", i, c.Packets, c.Bytes)
		}
	}
	return string(b)
}

// GroupStats decodes a MultipartGroup reply; the *GroupStats is reused.
func (m *MultipartReply) GroupStats() iter.Seq2[*GroupStats, error] {
	return each[GroupStats](m, MultipartGroup)
}

// Groups decodes a MultipartGroupDesc reply; the *GroupDesc is reused, its buckets are its own. A bucket with
// actions that cannot be decoded keeps them in Raw.
func (m *MultipartReply) Groups() iter.Seq2[*GroupDesc, error] {
	return each[GroupDesc](m, MultipartGroupDesc)
}

// GroupFeatures are what a switch can do with groups (section 7.3.5.11). Elements are by GroupType.
type GroupFeatures struct {
	Types, Capabilities uint32 // bits 1<<GroupType; OFPGFC_*
	MaxGroups           [4]uint32
	Actions             [4]uint32 // bits 1<<OFPAT_*
}

func (g *GroupFeatures) decode(r *reader) {
	g.Types, g.Capabilities = r.u32(), r.u32()
	for _, a := range [...]*[4]uint32{&g.MaxGroups, &g.Actions} {
		for i := range a {
			a[i] = r.u32()
		}
	}
}

// AppendTo appends struct ofp_group_features.
func (g *GroupFeatures) AppendTo(b []byte) []byte {
	b = append32(append32(b, g.Types), g.Capabilities)
	for _, a := range [...]*[4]uint32{&g.MaxGroups, &g.Actions} {
		for _, v := range a {
			b = append32(b, v)
		}
	}
	return b
}

// String shows the numbers.
func (g *GroupFeatures) String() string {
	return fmt.Sprintf("types=%#x capabilities=%#x max_groups=%#x actions=%#x", g.Types, g.Capabilities, g.MaxGroups, g.Actions)
}

// GroupFeatures returns the entry of a MultipartGroupFeatures reply.
func (m *MultipartReply) GroupFeatures() (GroupFeatures, error) {
	return one[GroupFeatures](m, MultipartGroupFeatures)
}

// MeterStats are the counters of a meter (section 7.3.5.12).
type MeterStats struct {
	ID, FlowCount             uint32
	Counter                   // what came in
	DurationSec, DurationNsec uint32
	Bands                     []Counter
}

func (m *MeterStats) decode(r *reader) {
	m.ID = r.u32()
	r.skip(8)
	m.FlowCount = r.u32()
	m.Packets, m.Bytes = r.u64(), r.u64()
	m.DurationSec, m.DurationNsec = r.u32(), r.u32()
	m.Bands = r.counters()
}

// AppendTo appends struct ofp_meter_stats.
func (m *MeterStats) AppendTo(b []byte) []byte {
	n := len(b)
	b = append32(appendZeros(append32(b, m.ID), 8), m.FlowCount)
	b = append32(append32(append64(append64(b, m.Packets), m.Bytes), m.DurationSec), m.DurationNsec)
	b = appendCounters(b, m.Bands)
	put16(b[n+4:], len(b)-n)
	return b
}

// String is what ovs-ofctl meter-stats prints.
func (m *MeterStats) String() string {
	b := fmt.Appendf(nil, "meter:%s flow_count:%d packet_in_count:%d byte_in_count:%d duration:", meterName(m.ID), m.FlowCount, m.Packets, m.Bytes)
	b = append(appendDuration(b, m.DurationSec, m.DurationNsec), " bands:"...)
	for i, c := range m.Bands {
		b = fmt.Appendf(b, "\n%d: packet_count:%d byte_count:%d", i, c.Packets, c.Bytes)
	}
	return string(b)
}

// MeterStats decodes a MultipartMeter reply; the *MeterStats is reused.
func (m *MultipartReply) MeterStats() iter.Seq2[*MeterStats, error] {
	return each[MeterStats](m, MultipartMeter)
}

// Meters decodes a MultipartMeterConfig reply; the *MeterConfig is reused, its bands are its own.
func (m *MultipartReply) Meters() iter.Seq2[*MeterConfig, error] {
	return each[MeterConfig](m, MultipartMeterConfig)
}

// MeterFeatures are what a switch can do with meters (section 7.3.5.14).
type MeterFeatures struct {
	MaxMeters, BandTypes, Capabilities uint32
	MaxBands, MaxColor                 uint8
}

func (m *MeterFeatures) decode(r *reader) {
	m.MaxMeters, m.BandTypes, m.Capabilities, m.MaxBands, m.MaxColor = r.u32(), r.u32(), r.u32(), r.u8(), r.u8()
}

// AppendTo appends struct ofp_meter_features.
func (m *MeterFeatures) AppendTo(b []byte) []byte {
	return append(append32(append32(append32(b, m.MaxMeters), m.BandTypes), m.Capabilities), m.MaxBands, m.MaxColor, 0, 0)
}

// String is what ovs-ofctl meter-features prints, with the flags as numbers.
func (m *MeterFeatures) String() string {
	return fmt.Sprintf("max_meter:%d max_bands:%d max_color:%d band_types: %#x capabilities: %#x", m.MaxMeters, m.MaxBands, m.MaxColor, m.BandTypes, m.Capabilities)
}

// MeterFeatures returns the entry of a MultipartMeterFeatures reply.
func (m *MultipartReply) MeterFeatures() (MeterFeatures, error) {
	return one[MeterFeatures](m, MultipartMeterFeatures)
}

// TableFeatures are what a table can do (section 7.3.5.5). The properties are kept raw.
type TableFeatures struct {
	Table                        uint8
	TableName                    string // at most 31 octets
	MetadataMatch, MetadataWrite uint64 // bits that may be matched and written
	Config, MaxEntries           uint32
	Properties                   []byte
}

func (t *TableFeatures) decode(r *reader) {
	r.skip(2)
	t.Table = r.u8()
	r.skip(5)
	t.TableName = cString(r.take(32))
	t.MetadataMatch, t.MetadataWrite, t.Config, t.MaxEntries = r.u64(), r.u64(), r.u32(), r.u32()
	t.Properties = r.rest()
}

// AppendTo appends struct ofp_table_features.
func (t *TableFeatures) AppendTo(b []byte) []byte {
	n := len(b)
	b = appendString(appendZeros(append(b, 0, 0, t.Table), 5), t.TableName, 32)
	b = append32(append32(append64(append64(b, t.MetadataMatch), t.MetadataWrite), t.Config), t.MaxEntries)
	b = append(b, t.Properties...)
	binary.BigEndian.PutUint16(b[n:], uint16(len(b)-n))
	return b
}

// String shows all but the properties.
func (t *TableFeatures) String() string {
	return fmt.Sprintf("table %d (%q): metadata: match=%#x write=%#x max_entries=%d", t.Table, t.TableName, t.MetadataMatch, t.MetadataWrite, t.MaxEntries)
}

// TableFeatures decodes a MultipartTableFeatures reply; the *TableFeatures is reused.
func (m *MultipartReply) TableFeatures() iter.Seq2[*TableFeatures, error] {
	return each[TableFeatures](m, MultipartTableFeatures)
}
