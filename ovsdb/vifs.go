package ovsdb

import "github.com/tidwall/btree"

// vifSet is the VIFs of a host; the zero one is empty, to read only. A set that was given away does not change any more: who changes it forks it first.
type vifSet struct {
	byID   *btree.BTreeG[*VIF]      // by iface-id, then by Interface UUID
	byUUID *btree.Map[string, *VIF] // by Interface UUID
}

// vifDegree makes nodes of at most 31 VIFs: a change copies a node of each level.
const vifDegree = 16

func newVIFSet() vifSet {
	less := func(a, b *VIF) bool {
		if a.IfaceID != b.IfaceID {
			return a.IfaceID < b.IfaceID
		}
		return a.UUID < b.UUID
	}
	return vifSet{btree.NewBTreeGOptions(less, btree.Options{Degree: vifDegree, NoLocks: true}), btree.NewMap[string, *VIF](vifDegree)}
}

// fork gives a set that can be changed while s stays as it is.
func (s vifSet) fork() vifSet { return vifSet{s.byID.Copy(), s.byUUID.Copy()} }

// put replaces the VIF of the same UUID, which was under was's iface-id if was is not nil.
func (s vifSet) put(was, vif *VIF) {
	if was != nil && was.IfaceID != vif.IfaceID {
		s.byID.Delete(was)
	}
	s.byID.Set(vif)
	s.byUUID.Set(vif.UUID, vif)
}

func (s vifSet) remove(vif *VIF) {
	s.byID.Delete(vif)
	s.byUUID.Delete(vif.UUID)
}

func (s vifSet) get(uuid string) *VIF {
	if s.byUUID == nil {
		return nil
	}
	v, _ := s.byUUID.Get(uuid)
	return v
}

func (s vifSet) count() int {
	if s.byUUID == nil {
		return 0
	}
	return s.byUUID.Len()
}

// of lists the VIFs with an iface-id.
func (s vifSet) of(ifaceID string) []*VIF {
	var out []*VIF
	if s.byID == nil {
		return nil
	}
	s.byID.Ascend(&VIF{IfaceID: ifaceID}, func(v *VIF) bool {
		if v.IfaceID != ifaceID {
			return false
		}
		out = append(out, v)
		return true
	})
	return out
}

// each calls f for every VIF by iface-id until it returns false.
func (s vifSet) each(f func(*VIF) bool) {
	if s.byID != nil {
		s.byID.Scan(f)
	}
}

// differing lists the iface-ids whose VIFs differ between two sets.
func (s vifSet) differing(t vifSet) map[string]struct{} {
	out := map[string]struct{}{}
	missing := func(from, in vifSet) {
		from.each(func(v *VIF) bool {
			if o := in.get(v.UUID); o == nil || *o != *v {
				out[v.IfaceID] = struct{}{}
			}
			return true
		})
	}
	missing(s, t)
	missing(t, s)
	return out
}
