package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/penstock/penstock/controller/derive"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// Session is one bridge's connection. Read and Apply are called by one goroutine at a time (rollout's); SendPacket
// and Flows by any.
type Session struct {
	conn   *openflow.Conn
	bridge string
	role   pipeline.Role
	meters map[uint32]pipeline.Meter // installed, since OpenFlow has no add-or-modify for meters
	// bundleID is the last bundle's; careful has each step of a change wait for the one before. Apply's.
	bundleID uint32
	careful  bool
	// dial opens a further connection; nil where there is no way or it has proved unfit.
	dial func(context.Context) (*openflow.Conn, error)
	// undecoded counts flows of a form that is not known since the session began.
	undecoded atomic.Uint64
}

// Open makes a bridge's connection ours: primary role with the generation, packet-ins in NXT_PACKET_IN2 form.
func Open(ctx context.Context, conn *openflow.Conn, bridge string, role pipeline.Role, generation uint64) (*Session, error) {
	s := &Session{conn: conn, bridge: bridge, role: role, meters: map[uint32]pipeline.Meter{}}
	if _, err := conn.Request(ctx, &openflow.RoleRequest{Role: openflow.RolePrimary, Generation: generation}); err != nil {
		return nil, fmt.Errorf("take the primary role: %w", err)
	}
	// Whole packets to the controller where a flow's controller action does not say how much.
	if err := conn.Transact(ctx, &openflow.SetPacketInFormat{Format: openflow.PacketIn2Format}, &openflow.SetConfig{MissSendLen: 0xffff}); err != nil {
		return nil, fmt.Errorf("set up packet-ins: %w", err)
	}
	return s, nil
}

// Close ends the connection.
func (s *Session) Close() error { return s.conn.Close() }

// Done is closed when the connection has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.conn.Done() }

// Err is why the connection ended.
func (s *Session) Err() error { return s.conn.Err() }

// SendPacket sends a frame out of a port. It implements dispatch.Sender.
func (s *Session) SendPacket(outPort uint32, frame []byte) error {
	acts := [1]openflow.Action{openflow.Output{Port: openflow.Port(outPort)}}
	_, err := s.conn.TrySend(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Actions: acts[:], Data: frame})
	return err
}

// SendInto has a frame switched in a network, as if a port of this host had sent it, or a router, if routerKey is not 0: then
// its source is translated, if the router translates. It implements dispatch.Sender.
func (s *Session) SendInto(routerKey, netKey uint32, frame []byte) error {
	acts := [3]openflow.Action{pipeline.Router.Load(uint64(routerKey)), pipeline.Net.Load(uint64(netKey)), pipeline.Call(pipeline.L2Lookup)}
	if routerKey != 0 {
		acts[2] = pipeline.Call(pipeline.NATOut)
	}
	_, err := s.conn.TrySend(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Actions: acts[:], Data: frame})
	return err
}

// Flows reads flows with their statistics; f is called for each. What this library cannot read is left out and
// counted.
func (s *Session) Flows(ctx context.Context, req openflow.FlowRequest, f func(*openflow.Flow)) error {
	for flow, err := range s.conn.Flows(ctx, &req) {
		var entry *openflow.EntryError
		switch {
		case err == nil:
			f(flow)
		case errors.As(err, &entry):
			s.undecoded.Add(1) // a foreign flow of a form that is not known: it is left alone
		default:
			return err
		}
	}
	return nil
}

// Read reads the bridge back. Flows that are among the known ones, which may be nil, are shared with them.
func (s *Session) Read(ctx context.Context, known *derive.Flows) (*Installed, error) {
	in := &Installed{Flows: derive.NewFlows(), Groups: map[uint32]pipeline.Group{}, Meters: map[uint32]pipeline.Meter{},
		Zones: map[uint16]pipeline.Zone{}, Kept: map[uint32]struct{}{}, KeptMeters: map[uint32]struct{}{}}
	learned := map[pipeline.Hold]struct{}{}
	var match, acts []byte
	err := s.Flows(ctx, openflow.FlowRequest{Table: openflow.AllTables}, func(f *openflow.Flow) {
		c := pipeline.Cookie(f.Cookie)
		if !c.Ours() {
			in.Foreign++
			uses(f.Actions, in.Kept, in.KeptMeters)
			return
		}
		if t := pipeline.TableOf(s.role, f.Table); t != nil && t.Learned {
			learned[pipeline.Hold{Bridge: s.bridge, Table: f.Table, Cookie: c}] = struct{}{}
			return
		}
		match, acts = wire(f, match, acts)
		in.Flows.Put(f.Table, f.Priority, match, acts, c, known)
		for _, a := range f.Actions {
			if ct, ok := a.(openflow.CT); ok && ct.ZoneField.Field == nil && ct.Zone != 0 {
				in.Zones[ct.Zone] = pipeline.Zone{ID: ct.Zone, Owner: pipeline.ZoneOwner(c)}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for h := range learned {
		in.Learned = append(in.Learned, h)
	}
	groups, err := s.conn.Multipart(ctx, &openflow.MultipartRequest{Type: openflow.MultipartGroupDesc})
	if err != nil {
		return nil, err
	}
	nested := map[uint32]map[uint32]struct{}{}
	for g, err := range groups.Groups() {
		if err != nil {
			continue
		}
		in.Groups[g.ID] = pipeline.MakeGroup(*g)
		for i := range g.Buckets {
			if nested[g.ID] == nil {
				nested[g.ID] = map[uint32]struct{}{}
			}
			uses(g.Buckets[i].Actions, nested[g.ID], in.KeptMeters)
		}
	}
	keep(in.Kept, nested)
	meters, err := s.conn.Multipart(ctx, &openflow.MeterRequest{Meter: openflow.MeterAll, Config: true})
	if err != nil {
		return nil, err
	}
	clear(s.meters)
	for x, err := range meters.Meters() {
		if err == nil {
			m := fromMeter(x)
			in.Meters[m.ID], s.meters[m.ID] = m, m
		}
	}
	return in, nil
}

// wire gives the match and the actions of a flow that was read as one that is desired has them, in buffers that are
// used again. What no flow of ours has makes it differ from all that can be desired, so that it is replaced.
func wire(f *openflow.Flow, match, acts []byte) ([]byte, []byte) {
	match = f.Match.AppendOXM(match[:0])
	var err error
	if acts, err = openflow.AppendInstructions(acts[:0], f.Actions); err != nil || f.IdleTimeout != 0 || f.HardTimeout != 0 || f.Flags != 0 {
		acts = append(acts[:0], 0xff)
	}
	return match, acts
}

// Comparable gives a flow that was read in the form of one that is desired; it equals the desired flow if and only if
// the switch holds just that.
func Comparable(f *openflow.Flow) pipeline.Flow {
	match, acts := wire(f, nil, nil)
	return pipeline.Flow{Key: pipeline.Key{Table: f.Table, Priority: f.Priority, Match: string(match)}, Actions: string(acts), Cookie: pipeline.Cookie(f.Cookie)}
}

// uses notes the groups and meters that actions use.
func uses(acts []openflow.Action, groups, meters map[uint32]struct{}) {
	for _, a := range acts {
		switch a := a.(type) {
		case openflow.Group:
			groups[a.ID] = struct{}{}
		case openflow.Meter:
			meters[a.ID] = struct{}{}
		case openflow.Controller:
			if a.HasMeter {
				meters[a.MeterID] = struct{}{}
			}
		case openflow.Clone:
			uses(a.Actions, groups, meters)
		case openflow.WriteActions:
			uses(a.Actions, groups, meters)
		}
	}
}

// keep adds to kept what its members reach.
func keep(kept map[uint32]struct{}, nested map[uint32]map[uint32]struct{}) {
	todo := make([]uint32, 0, len(kept))
	for id := range kept {
		todo = append(todo, id)
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for n := range nested[id] {
			if _, ok := kept[n]; !ok {
				kept[n] = struct{}{}
				todo = append(todo, n)
			}
		}
	}
}

// firstFailure gives the first message of n that a switch refused, nil if it is no such error.
func firstFailure(err error, n int) *openflow.Failure {
	var be *openflow.BatchError
	if errors.As(err, &be) && len(be.Failures) > 0 && be.Failures[0].Index < n {
		return &be.Failures[0]
	}
	return nil
}

// encoded is a whole message that was encoded before.
type encoded string

// Name is the name for logs.
func (encoded) Name() string { return "encoded message" }

// AppendTo appends the message.
func (m encoded) AppendTo(b []byte) []byte { return append(b, m...) }

func (encoded) String() string { return "encoded message" }

// flowMod makes the message of a flow; the instructions go as they are.
func flowMod(c openflow.FlowCommand, f *pipeline.Flow) *openflow.FlowMod {
	m := &openflow.FlowMod{Command: c}
	m.Table, m.Priority = f.Table, f.Priority
	m.Match, _ = openflow.DecodeOXM([]byte(f.Match)) // what encoded it was a Match
	if c == openflow.FlowAdd {
		m.Cookie = uint64(f.Cookie)
		if f.Actions != "" {
			m.Actions = []openflow.Action{openflow.RawInstruction{Bytes: f.Actions}}
		}
	}
	return m
}

// ErrPartly says that a bundle was committed without what the switch refused of it, so that what the bridge holds has
// to be read back. Later bundles of the session are sent with care.
var ErrPartly = errors.New("the switch committed a bundle without a message that it refused")

// Apply sends a change: meters first, since they cannot ride in a bundle, then one ordered atomic bundle of groups,
// flows, and removals, and waits for their barrier; then what nothing uses any more. When the switch refuses something
// the error is a *Rejected, and nothing of the bundle is done; or it is ErrPartly.
//
// All goes out at once, for one round trip: an ovs-vswitchd with thousands of ports answers once in some hundred
// milliseconds. What a bundle's flows do wrong together shows in its commit, which is all or nothing. Only a message
// that is malformed to the switch is refused when it is added, and the commit would go on without it; that is a
// defect, and from then on each step waits for the one before.
//
// A large change goes over several connections where there is a way to open them, see Widen: it is not atomic then.
func (s *Session) Apply(ctx context.Context, c *Change) error {
	if s.dial != nil && !s.careful && c.messages() >= WideFrom {
		if done, err := s.applyWide(ctx, c); done {
			return err
		}
	}
	return s.applyNarrow(ctx, c)
}

// applyNarrow is Apply over the session's own connection.
func (s *Session) applyNarrow(ctx context.Context, c *Change) error {
	if s.careful {
		return s.applyCarefully(ctx, c)
	}
	mods, ids := s.meterMods(c)
	meters := len(mods)
	before := flushes(c.SetZones)
	msgs := append(before, mods...)
	mods, names := s.bundle(c)
	for first := true; first || len(mods) > 0; first = false {
		n := min(len(mods), MaxBundle)
		msgs = s.appendBundle(msgs, mods[:n])
		after := len(msgs)
		if n == len(mods) {
			msgs = append(msgs, flushes(c.DelZones)...)
		}
		if len(msgs) > 0 {
			err := withoutFlushes(s.conn.Transact(ctx, msgs...), len(before), after)
			if err := s.outcome(err, c, ids, meters, names[:n]); err != nil {
				return err
			}
		}
		msgs, before, ids, meters = nil, nil, nil, 0
		mods, names = mods[n:], names[n:]
	}
	return s.deleteMeters(ctx, c)
}

// MaxBundle is how many messages one bundle holds at most; a larger change is several, in the same order: what is set
// before what goes, the last tables first. ovs-vswitchd reads 50 messages in each round of its main loop, and with
// thousands of ports a round takes up to a second: one bundle of everything would outlast every deadline.
const MaxBundle = 4000

// appendBundle appends a whole bundle of mods, with its commit.
func (s *Session) appendBundle(msgs, mods []openflow.Message) []openflow.Message {
	if len(mods) == 0 {
		return msgs
	}
	s.bundleID++
	control := openflow.BundleControl{ID: s.bundleID, Flags: openflow.BundleAtomic | openflow.BundleOrdered}
	open, done, commit := control, control, control
	open.Command, done.Command, commit.Command = openflow.BundleOpen, openflow.BundleClose, openflow.BundleCommit
	adds := make([]openflow.BundleAdd, len(mods))
	msgs = append(slices.Grow(msgs, len(mods)+3), &open)
	for i, m := range mods {
		adds[i] = openflow.BundleAdd{ID: s.bundleID, Flags: control.Flags, Message: m}
		msgs = append(msgs, &adds[i])
	}
	return append(msgs, &done, &commit)
}

// outcome says what became of meter-mods and a bundle that were sent at once: the first meters messages, the bundle's
// opening, its messages, close and commit.
func (s *Session) outcome(err error, c *Change, ids []uint32, meters int, names []part) error {
	var be *openflow.BatchError
	if err != nil && !errors.As(err, &be) {
		return fmt.Errorf("bundle of %d: %w", len(names), err)
	}
	var first *openflow.Failure
	failed := map[uint32]bool{}
	committed := len(names) > 0
	if be != nil {
		if be.Err != nil || be.Count > len(be.Failures) {
			s.careful = true
			return ErrPartly
		}
		for i := range be.Failures {
			f := &be.Failures[i]
			if f.Index < meters {
				failed[ids[f.Index]] = true
			}
			if f.Index > meters+len(names) || f.Index == meters { // open, close or commit
				committed = false
			}
			if first == nil {
				first = f
			}
		}
	}
	for _, id := range ids {
		if !failed[id] {
			s.meters[id] = c.SetMeters[id]
		}
	}
	switch {
	case first == nil:
		return nil
	case first.Index < meters:
		id := ids[first.Index]
		return &Rejected{Meter: &id, What: fmt.Sprintf("meter %d", id), Err: first.Err}
	case committed:
		s.careful = true
		return fmt.Errorf("%w: %w", ErrPartly, names[first.Index-meters-1].reject(first.Err))
	case first.Index > meters && first.Index <= meters+len(names):
		return names[first.Index-meters-1].reject(first.Err)
	}
	return fmt.Errorf("bundle of %d: %w", len(names), first.Err)
}

// applyCarefully is Apply with a round trip for each step.
func (s *Session) applyCarefully(ctx context.Context, c *Change) error {
	if err := s.setMeters(ctx, c); err != nil {
		return err
	}
	if err := s.flush(ctx, c.SetZones); err != nil {
		return err
	}
	msgs, names := s.bundle(c)
	if len(msgs) > 0 {
		err := s.conn.Bundle(ctx, openflow.BundleAtomic|openflow.BundleOrdered, msgs)
		if f := firstFailure(err, len(names)); f != nil {
			return names[f.Index].reject(f.Err)
		}
		if err != nil {
			return fmt.Errorf("bundle of %d: %w", len(msgs), err)
		}
	}
	if err := s.flush(ctx, c.DelZones); err != nil {
		return err
	}
	return s.deleteMeters(ctx, c)
}

// part names what a message of a bundle was about.
type part struct {
	flow  *pipeline.Flow
	group uint32
}

func (p part) reject(err error) *Rejected {
	if p.flow != nil {
		k := p.flow.Key
		text := "a flow"
		if f, derr := p.flow.Decode(); derr == nil {
			text = f.String()
		}
		return &Rejected{Key: &k, What: text, Err: err}
	}
	g := p.group
	return &Rejected{Group: &g, What: fmt.Sprintf("group %d", g), Err: err}
}

// bundle lays a change out in the order in which it must be done. Leaves of group trees come before the groups that
// point at them: their ids are higher.
func (s *Session) bundle(c *Change) (msgs []openflow.Message, parts []part) {
	n := len(c.Set) + len(c.Del) + len(c.SetGroups) + len(c.DelGroups) + len(c.Forget)
	msgs, parts = make([]openflow.Message, 0, n), make([]part, 0, n)
	add := func(m openflow.Message, p part) { msgs, parts = append(msgs, m), append(parts, p) }
	for _, id := range descending(c.SetGroups) {
		g := c.SetGroups[id]
		add(encoded(g.Mod), part{group: id})
	}
	for _, f := range sortedFlows(c.Set) {
		add(flowMod(openflow.FlowAdd, &f), part{flow: &f})
	}
	for _, f := range sortedFlows(c.Del) {
		add(flowMod(openflow.FlowDeleteStrict, &f), part{flow: &f})
	}
	for h := range c.Forget {
		add(&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: h.Table, Cookie: uint64(h.Cookie)}, CookieMask: ^uint64(0)}, part{flow: &pipeline.Flow{Key: pipeline.Key{Table: h.Table}, Cookie: h.Cookie}})
	}
	ids := descending(c.DelGroups)
	slices.Reverse(ids)
	for _, id := range ids {
		add(&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupDesc{ID: id}}, part{group: id})
	}
	return msgs, parts
}

func descending[V any](m map[uint32]V) []uint32 {
	out := make([]uint32, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}
