package store

import (
	"fmt"

	"github.com/penstock/penstock/model"
)

// The number spaces of a host's bindings.
func slotSpace(h model.HostName) string { return "slot/" + string(h) }
func leafSpace(h model.HostName) string { return "leaf/" + string(h) }
func memberSpace(h model.HostName, leaf uint32) string {
	return fmt.Sprintf("member/%s/%d", h, leaf)
}

// Bind writes a new binding within a transaction, with the numbers that a bound port needs: its slot on the host
// and its place in one of the network's flood leaves there, a new leaf being opened when all are full.
func Bind(tx *Tx, b *model.Binding) error {
	slot, err := tx.AllocNumber(slotSpace(b.Host), 1, model.FirstRouterZone-1)
	if err != nil {
		return fmt.Errorf("host %s has as many ports as it can: %w", b.Host, err)
	}
	b.Slot = uint16(slot)
	if b.Member, err = member(tx, b); err != nil {
		return err
	}
	tx.Put(model.Bindings, b)
	return nil
}

// member takes a place in a flood leaf.
func member(tx *Tx, b *model.Binding) (uint32, error) {
	for _, leaf := range tx.View().Leaves(b.NetworkID, b.Host) {
		// A leaf may be full; that is the only way for this to fail.
		if i, err := tx.AllocNumber(memberSpace(b.Host, leaf), 0, model.LeafSize-1); err == nil {
			return leaf*model.LeafSize + i, nil
		}
	}
	leaf, err := tx.AllocNumber(leafSpace(b.Host), 0, 0xffff)
	if err != nil {
		return 0, fmt.Errorf("host %s has as many flood leaves as it can: %w", b.Host, err)
	}
	i, err := tx.AllocNumber(memberSpace(b.Host, leaf), 0, model.LeafSize-1)
	return leaf*model.LeafSize + i, err
}

// Unbind takes a binding away within a transaction and gives its numbers back.
func Unbind(tx *Tx, b *model.Binding) {
	last := len(tx.View().LeafMembers(b.NetworkID, b.Host, b.Leaf())) <= 1
	tx.Delete(model.Bindings, b.ObjectID())
	tx.FreeNumber(slotSpace(b.Host), uint32(b.Slot))
	tx.FreeNumber(memberSpace(b.Host, b.Leaf()), b.Member%model.LeafSize)
	if last {
		tx.FreeNumber(leafSpace(b.Host), b.Leaf())
	}
	if s, ok := Get[*model.PortStatus](tx, model.PortStatuses, string(b.PortID)); ok && s.Host == b.Host {
		if _, exists := tx.View().Port(b.PortID); exists {
			tx.Put(model.PortStatuses, &model.PortStatus{PortID: b.PortID, Status: model.StatusDown})
		} else {
			tx.Delete(model.PortStatuses, string(b.PortID))
		}
	}
}
