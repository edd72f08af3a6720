package session

import (
	"context"
	"fmt"

	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

func toMeter(m pipeline.Meter) openflow.MeterConfig {
	return openflow.MeterConfig{ID: m.ID, Flags: openflow.MeterPktps | openflow.MeterBurst,
		Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: m.PPS, BurstSize: m.Burst}}}
}

// fromMeter reads a meter; one that is not of our form gets a rate of zero and is so replaced.
func fromMeter(m *openflow.MeterConfig) pipeline.Meter {
	out := pipeline.Meter{ID: m.ID}
	if m.Flags == openflow.MeterPktps|openflow.MeterBurst && len(m.Bands) == 1 && m.Bands[0].Type == openflow.BandDrop {
		out.PPS, out.Burst = m.Bands[0].Rate, m.Bands[0].BurstSize
	}
	return out
}

// meterMods are the messages for the meters that are not as they should be.
func (s *Session) meterMods(c *Change) (msgs []openflow.Message, ids []uint32) {
	for _, id := range descending(c.SetMeters) {
		m := c.SetMeters[id]
		old, there := s.meters[id]
		if there && old == m {
			continue
		}
		mod := &openflow.MeterMod{Command: openflow.MeterAdd, Meter: toMeter(m)}
		if there {
			mod.Command = openflow.MeterModify
		}
		msgs, ids = append(msgs, mod), append(ids, id)
	}
	return msgs, ids
}

// setMeters sends the meters that are not as they should be and remembers those that stand.
func (s *Session) setMeters(ctx context.Context, c *Change) error {
	msgs, ids := s.meterMods(c)
	if err := sendMeters(ctx, s.conn, msgs, ids); err != nil {
		return err
	}
	for _, id := range ids {
		s.meters[id] = c.SetMeters[id]
	}
	return nil
}

// deleteMeters takes away the meters that nothing uses any more. One that is gone already is as it should be.
func (s *Session) deleteMeters(ctx context.Context, c *Change) error {
	var msgs []openflow.Message
	var ids []uint32
	for _, id := range descending(c.DelMeters) {
		if _, there := s.meters[id]; there {
			msgs, ids = append(msgs, &openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterConfig{ID: id}}), append(ids, id)
		}
	}
	if err := sendMeters(ctx, s.conn, msgs, ids); err != nil {
		return err
	}
	for _, id := range ids {
		delete(s.meters, id)
	}
	return nil
}

// sendMeters sends meter-mods and waits for their barrier.
func sendMeters(ctx context.Context, conn *openflow.Conn, msgs []openflow.Message, ids []uint32) error {
	if len(msgs) == 0 {
		return nil
	}
	err := conn.Transact(ctx, msgs...)
	if f := firstFailure(err, len(ids)); f != nil {
		id := ids[f.Index]
		return &Rejected{Meter: &id, What: fmt.Sprintf("meter %d", id), Err: f.Err}
	}
	return err
}
