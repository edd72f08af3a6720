package sim

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock/penstock/openflow"
)

// Stats count what a Switch has been sent since it was made, and what it holds now.
type Stats struct {
	Connections                    int // now
	FlowMods, GroupMods, MeterMods uint64
	Bundles, Barriers, PacketOuts  uint64 // Bundles: committed
	Failed                         uint64 // messages and bundles answered with an error
	Octets                         uint64 // received
	Flows, Groups, Meters          int
	LastCommit                     time.Time // of a bundle
}

// Commit is one bundle that was committed.
type Commit struct {
	Switch *Switch
	Mods   int // flow-mods and group-mods in it
	Time   time.Time
}

// Switch is one simulated bridge: it connects to controllers and keeps what they write, also while none is
// connected, as fail_mode=secure does. Its methods may be called from any goroutine.
type Switch struct {
	Host, Name string
	DatapathID uint64
	onCommit   func(Commit)
	dial       func(ctx context.Context, network, address string) (net.Conn, error)

	mu         sync.Mutex
	tables     tables
	stats      Stats
	peers      map[string]context.CancelFunc // by target
	conns      map[*openflow.Conn]*peer
	generation uint64
	generated  bool // generation is set
	changed    chan struct{}
	wg         sync.WaitGroup
}

// peer is one connection's state.
type peer struct {
	role    openflow.Role
	bundles map[uint32]*bundle
}

type bundle struct {
	msgs   []openflow.Message
	xids   []uint32
	closed bool
}

// maxBundle bounds the messages of one bundle.
const maxBundle = 1 << 20

// NewSwitch makes a switch that connects nowhere yet; onCommit, if not nil, is called after each bundle, from the
// connection's goroutine.
func NewSwitch(host, name string, dpid uint64, onCommit func(Commit)) *Switch {
	return &Switch{Host: host, Name: name, DatapathID: dpid, onCommit: onCommit, tables: newTables(),
		peers: map[string]context.CancelFunc{}, conns: map[*openflow.Conn]*peer{}, changed: make(chan struct{})}
}

// SetControllers says which targets to be connected to, as ovs-vsctl set-controller does. The first one wipes
// the tables, and so does removing the last.
func (s *Switch) SetControllers(targets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (len(targets) == 0) != (len(s.peers) == 0) {
		s.tables = newTables()
	}
	for t, stop := range s.peers {
		if !slices.Contains(targets, t) {
			stop()
			delete(s.peers, t)
		}
	}
	for _, t := range targets {
		if s.peers[t] == nil {
			ctx, stop := context.WithCancel(context.Background())
			s.peers[t] = stop
			s.wg.Go(func() { s.connect(ctx, t) })
		}
	}
}

// Close ends all connections and waits for them.
func (s *Switch) Close() {
	s.mu.Lock()
	for t, stop := range s.peers {
		stop()
		delete(s.peers, t)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// LimitGroups has the switch refuse more than n groups; 0 lifts that. What it holds stays.
func (s *Switch) LimitGroups(n int) {
	s.mu.Lock()
	s.tables.maxGroups = n
	s.mu.Unlock()
}

// Wipe empties the tables, as a restart of ovs-vswitchd does, and ends the connections; they come back.
func (s *Switch) Wipe() {
	s.mu.Lock()
	s.tables, s.generated = newTables(), false
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
}

// backoff is the pause between two attempts to connect; Penstock sets max_backoff to 1 s.
const backoff = 200 * time.Millisecond

// connect keeps one controller connected until ctx ends.
func (s *Switch) connect(ctx context.Context, target string) {
	for ctx.Err() == nil {
		p := &peer{role: openflow.RoleEqual, bundles: map[uint32]*bundle{}}
		opt := openflow.Options{Switch: true, Handler: func(c *openflow.Conn, xid uint32, m openflow.Message) { s.receive(c, p, xid, m) }}
		c, err := s.open(ctx, target, opt)
		if err == nil {
			s.note(func() { s.conns[c] = p; s.stats.Connections++ })
			select {
			case <-ctx.Done():
				c.Close()
			case <-c.Done():
			}
			<-c.Done()
			s.note(func() { delete(s.conns, c); s.stats.Connections--; s.stats.Octets += c.Stats().RxOctets })
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
	}
}

func (s *Switch) open(ctx context.Context, target string, opt openflow.Options) (*openflow.Conn, error) {
	addr, tcp := strings.CutPrefix(target, "tcp:")
	if s.dial == nil || !tcp {
		return openflow.Dial(ctx, target, opt)
	}
	nc, err := s.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return openflow.NewConn(ctx, nc, opt)
}

// note changes the state and wakes those who wait.
func (s *Switch) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

func (s *Switch) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Stats are the counters now.
func (s *Switch) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statsLocked()
}

func (s *Switch) statsLocked() Stats {
	st := s.stats
	st.Flows, st.Groups, st.Meters = len(s.tables.flows), len(s.tables.groups), len(s.tables.meters)
	for c := range s.conns {
		st.Octets += c.Stats().RxOctets
	}
	return st
}

// Wait waits until ok says yes to the counters, and returns them. It looks after connections, bundles and barriers.
func (s *Switch) Wait(ctx context.Context, ok func(Stats) bool) (Stats, error) {
	for {
		s.mu.Lock()
		st, changed := s.statsLocked(), s.changed
		s.mu.Unlock()
		if ok(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return st, fmt.Errorf("sim: %s %s: %w with %+v", s.Host, s.Name, ctx.Err(), st)
		}
	}
}

// Flows lists what is installed, in no order.
func (s *Switch) Flows() []openflow.Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]openflow.Flow, 0, len(s.tables.flows))
	for k, f := range s.tables.flows {
		out = append(out, k.flow(f))
	}
	return out
}

// Groups lists the groups by id.
func (s *Switch) Groups() []openflow.GroupDesc {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []openflow.GroupDesc
	for _, id := range slices.Sorted(maps.Keys(s.tables.groups)) {
		out = append(out, *s.tables.groups[id])
	}
	return out
}

func (k flowKey) flow(f flow) openflow.Flow {
	m, _ := openflow.DecodeOXM([]byte(k.match.Value())) // it was encoded here
	return openflow.Flow{Table: k.table, Priority: k.priority, Cookie: f.cookie, Match: m, Actions: actions(f),
		IdleTimeout: f.idle, HardTimeout: f.hard, Flags: f.flags}
}

// PacketIn sends a packet to the connections that are not secondary, as a controller action with userdata does.
func (s *Switch) PacketIn(inPort uint32, packet, userData []byte) {
	var m openflow.Match
	m.SetUint(openflow.InPort, uint64(inPort))
	p := &openflow.PacketIn2{Packet: packet, FullLen: uint32(len(packet)), BufferID: openflow.NoBuffer, Reason: openflow.ReasonAction,
		Metadata: m.AppendOXM(nil), UserData: userData}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, peer := range s.conns {
		if peer.role != openflow.RoleSecondary {
			c.TrySend(p) // a full queue loses packets in Open vSwitch too
		}
	}
}

// receive handles one message of a controller.
func (s *Switch) receive(c *openflow.Conn, p *peer, xid uint32, m openflow.Message) {
	ctx := context.Background() // a connection that ends frees who waits for room
	reply := func(r openflow.Message) { c.Reply(ctx, xid, r) }
	switch m := m.(type) {
	case openflow.FeaturesRequest:
		reply(&openflow.Features{DatapathID: s.DatapathID, Tables: 254, Capabilities: 0x4f})
	case openflow.BarrierRequest:
		s.note(func() { s.stats.Barriers++ })
		reply(openflow.BarrierReply{})
	case *openflow.RoleRequest:
		s.role(c, p, xid, m)
	case openflow.GetConfigRequest:
		reply(&openflow.GetConfigReply{MissSendLen: 0xffff})
	case *openflow.SetConfig, *openflow.SetPacketInFormat, *openflow.SetControllerID, *openflow.SetAsync, *openflow.NXSetAsyncConfig:
	case *openflow.BundleControl:
		s.bundleControl(c, p, xid, m)
	case *openflow.BundleAdd:
		s.bundleAdd(c, p, xid, m)
	case *openflow.FlowMod, *openflow.GroupMod, *openflow.MeterMod, *openflow.PacketOut:
		if p.isSecondary(s) {
			s.refuse(c, xid, errSlave)
			return
		}
		s.mu.Lock()
		err := s.tables.apply(m)
		if err == nil {
			s.count(m)
		}
		s.mu.Unlock()
		if err != nil {
			s.refuse(c, xid, codeOf(err))
		}
	case *openflow.CTFlushZone: // there are no connections to forget
	case *openflow.FlowRequest:
		reply(s.flowReply(m))
	case *openflow.MeterRequest:
		reply(s.meterReply(m))
	case *openflow.MultipartRequest:
		if r := s.multipart(m); r != nil {
			reply(r)
			return
		}
		s.refuse(c, xid, errBadType)
	default:
		s.refuse(c, xid, errBadType)
	}
}

func (p *peer) isSecondary(s *Switch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.role == openflow.RoleSecondary
}

func (s *Switch) count(m openflow.Message) {
	switch m.(type) {
	case *openflow.FlowMod:
		s.stats.FlowMods++
	case *openflow.GroupMod:
		s.stats.GroupMods++
	case *openflow.MeterMod:
		s.stats.MeterMods++
	case *openflow.PacketOut:
		s.stats.PacketOuts++
	}
}

func (s *Switch) refuse(c *openflow.Conn, xid uint32, code openflow.ErrorCode) {
	s.note(func() { s.stats.Failed++ })
	c.Reply(context.Background(), xid, &openflow.Error{XID: xid, Code: code})
}

func (s *Switch) role(c *openflow.Conn, p *peer, xid uint32, m *openflow.RoleRequest) {
	s.mu.Lock()
	if m.Role == openflow.RolePrimary || m.Role == openflow.RoleSecondary {
		if s.generated && int64(m.Generation-s.generation) < 0 {
			s.mu.Unlock()
			s.refuse(c, xid, errStale)
			return
		}
		s.generation, s.generated = m.Generation, true
	}
	if m.Role == openflow.RolePrimary {
		for _, o := range s.conns {
			if o.role == openflow.RolePrimary {
				o.role = openflow.RoleSecondary
			}
		}
	}
	if m.Role != openflow.RoleNoChange {
		p.role = m.Role
	}
	r := &openflow.RoleReply{Role: p.role, Generation: openflow.NoGeneration}
	if s.generated {
		r.Generation = s.generation
	}
	s.mu.Unlock()
	c.Reply(context.Background(), xid, r)
}

func (s *Switch) bundleControl(c *openflow.Conn, p *peer, xid uint32, m *openflow.BundleControl) {
	b := p.bundles[m.ID]
	switch {
	case m.Command == openflow.BundleOpen && b != nil:
		delete(p.bundles, m.ID)
		s.refuse(c, xid, errBundleExists)
		return
	case m.Command == openflow.BundleOpen:
		p.bundles[m.ID] = &bundle{}
	case b == nil:
		s.refuse(c, xid, errBundleID)
		return
	case m.Command == openflow.BundleClose:
		if b.closed {
			delete(p.bundles, m.ID)
			s.refuse(c, xid, errBundleClosed)
			return
		}
		b.closed = true
	case m.Command == openflow.BundleDiscard:
		delete(p.bundles, m.ID)
	case m.Command == openflow.BundleCommit:
		delete(p.bundles, m.ID)
		if failed, code := s.commit(p, b); failed >= 0 {
			s.refuse(c, b.xids[failed], code)
			s.refuse(c, xid, errBundleFailed)
			return
		}
	default:
		s.refuse(c, xid, errBadType)
		return
	}
	c.Reply(context.Background(), xid, &openflow.BundleControl{ID: m.ID, Command: m.Command + 1, Flags: m.Flags})
	if m.Command == openflow.BundleCommit && s.onCommit != nil {
		s.onCommit(Commit{s, len(b.msgs), time.Now()})
	}
}

func (s *Switch) bundleAdd(c *openflow.Conn, p *peer, xid uint32, m *openflow.BundleAdd) {
	if p.isSecondary(s) {
		s.refuse(c, xid, errSlave)
		return
	}
	b := p.bundles[m.ID]
	if b == nil { // as Open vSwitch: the first message opens it
		b = &bundle{}
		p.bundles[m.ID] = b
	}
	switch m.Message.(type) {
	case *openflow.FlowMod, *openflow.GroupMod, *openflow.PacketOut:
	default: // meter-mods among them
		s.refuse(c, xid, errBundleUnsup)
		return
	}
	if b.closed || len(b.msgs) == maxBundle {
		s.refuse(c, xid, errBundleClosed)
		return
	}
	b.msgs, b.xids = append(b.msgs, m.Message), append(b.xids, xid)
}

// commit does a bundle all or not at all; failed is the message at fault, -1 if there is none.
func (s *Switch) commit(p *peer, b *bundle) (failed int, code openflow.ErrorCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed = -1
	if p.role == openflow.RoleSecondary && len(b.msgs) > 0 {
		return 0, errSlave
	}
	err := s.tables.atomically(func() error {
		for i, m := range b.msgs {
			if err := s.tables.apply(m); err != nil {
				failed = i
				return err
			}
		}
		return nil
	})
	if err != nil {
		return failed, codeOf(err)
	}
	for _, m := range b.msgs {
		s.count(m)
	}
	s.stats.Bundles++
	s.stats.LastCommit = time.Now()
	s.wake()
	return -1, code
}

func (s *Switch) flowReply(m *openflow.FlowRequest) openflow.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	sel := &openflow.FlowMod{Flow: openflow.Flow{Table: m.Table, Cookie: m.Cookie, Match: m.Match}, CookieMask: m.CookieMask,
		OutPort: m.OutPort, HasOutGroup: m.HasOutGroup, OutGroup: m.OutGroup}
	found := s.tables.selected(sel, flowKey{}, false)
	if m.Aggregate {
		return openflow.NewMultipartReply(openflow.MultipartAggregate, &openflow.Aggregate{FlowCount: uint32(len(found))})
	}
	entries := make([]openflow.Entry, len(found))
	for i, k := range found {
		f := k.flow(s.tables.flows[k])
		f.Stats = &openflow.FlowStats{}
		entries[i] = (*openflow.FlowEntry)(&f)
	}
	return openflow.NewMultipartReply(openflow.MultipartFlow, entries...)
}

func (s *Switch) meterReply(m *openflow.MeterRequest) openflow.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []openflow.Entry
	for _, id := range slices.Sorted(maps.Keys(s.tables.meters)) {
		if m.Meter != openflow.MeterAll && m.Meter != id {
			continue
		}
		x := s.tables.meters[id]
		if m.Config {
			entries = append(entries, &x)
		} else {
			entries = append(entries, &openflow.MeterStats{ID: id, Bands: make([]openflow.Counter, len(x.Bands))})
		}
	}
	if m.Config {
		return openflow.NewMultipartReply(openflow.MultipartMeterConfig, entries...)
	}
	return openflow.NewMultipartReply(openflow.MultipartMeter, entries...)
}

// multipart answers the requests without a body; nil if it is not known.
func (s *Switch) multipart(m *openflow.MultipartRequest) openflow.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.Type {
	case openflow.MultipartDesc:
		return openflow.NewMultipartReply(m.Type, &openflow.SwitchDesc{Manufacturer: "Penstock", Hardware: "none", Software: "penstock-sim", Serial: "None", Datapath: s.Name})
	case openflow.MultipartGroupDesc:
		var entries []openflow.Entry
		for _, id := range slices.Sorted(maps.Keys(s.tables.groups)) {
			entries = append(entries, s.tables.groups[id])
		}
		return openflow.NewMultipartReply(m.Type, entries...)
	case openflow.MultipartMeterFeatures:
		return openflow.NewMultipartReply(m.Type, &openflow.MeterFeatures{MaxMeters: 1 << 18, BandTypes: 2, Capabilities: 0xf, MaxBands: 8})
	case openflow.MultipartPortDesc, openflow.MultipartTable:
		return openflow.NewMultipartReply(m.Type)
	}
	return nil
}
