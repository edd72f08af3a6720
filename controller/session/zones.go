package session

import (
	"context"
	"errors"
	"net/netip"

	"github.com/penstock/penstock/openflow"
)

// flushes are the messages that empty zones. Each goes twice: Open vSwitch 3.1.0 may skip entries while its table shrinks.
func flushes(zones map[uint16]struct{}) (msgs []openflow.Message) {
	for id := range zones {
		m := &openflow.CTFlushZone{Zone: id}
		msgs = append(msgs, m, m)
	}
	return msgs
}

// flush empties zones and waits for it.
func (s *Session) flush(ctx context.Context, zones map[uint16]struct{}) error {
	msgs := flushes(zones)
	if len(msgs) == 0 {
		return nil
	}
	err := s.conn.Transact(ctx, msgs...)
	if be := (*openflow.BatchError)(nil); errors.As(err, &be) && be.Err == nil {
		return nil // see withoutFlushes
	}
	return err
}

// Forget ends the connections of a zone that are translated from or to an address, without waiting. Each message goes twice,
// as those that empty zones do.
func (s *Session) Forget(zone uint16, a netip.Addr) error {
	for range 2 {
		for _, m := range []*openflow.CTFlush{
			{HasZone: true, Zone: zone, Orig: openflow.CTTuple{Dst: a}},
			{HasZone: true, Zone: zone, Reply: openflow.CTTuple{Dst: a}},
		} {
			if _, err := s.conn.TrySend(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutFlushes takes out of a batch's error what is about the flushes that are its messages before first and from last
// on. A switch that cannot empty zones has its flows all the same: they are right, only what a former port of the zone
// left there may be taken for a connection until it ages.
func withoutFlushes(err error, first, last int) error {
	var be *openflow.BatchError
	if !errors.As(err, &be) || be.Err != nil {
		return err
	}
	var kept []openflow.Failure
	for _, f := range be.Failures {
		if f.Index >= first && f.Index < last {
			f.Index -= first
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 && be.Count <= len(be.Failures) {
		return nil
	}
	return &openflow.BatchError{Failures: kept, Count: be.Count - len(be.Failures) + len(kept)}
}
