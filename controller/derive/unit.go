package derive

import (
	"slices"
	"strings"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// unit is one memoised derivation. There are some five of them a port: it is small where nothing is kept.
type unit struct {
	id    pipeline.UnitID
	flows []flow // never changed in place: sets of flows point there
	more  *more  // nil for most
	deps  []*node
	// needs are the units in its output's Units, as often as they are there.
	needs []*unit
	// refs counts who needs it; at zero it is gone.
	refs int32
	// dirty is set while it waits to be derived, dead when it is gone.
	dirty, dead bool
	// hosts counts, for a shared unit, the needs that come from each host, sorted.
	hosts []hostNeeds
	// subs are its NeedEach subscriptions; their children are needed beside needs.
	subs []*subscription
}

// more is what few units make.
type more struct {
	groups []pipeline.BridgeGroup
	meters []pipeline.BridgeMeter
	zones  []pipeline.Zone
	holds  []pipeline.Hold
}

type hostNeeds struct {
	host model.HostName
	n    int
}

func less(a, b *unit) bool {
	if a.id.Kind.Order != b.id.Kind.Order {
		return a.id.Kind.Order < b.id.Kind.Order
	}
	if a.id.Host != b.id.Host {
		return a.id.Host < b.id.Host
	}
	return a.id.ID < b.id.ID
}

// count changes how many needs come from a host, and tells how many there were.
func (u *unit) count(h model.HostName, n int) (was int) {
	i, ok := slices.BinarySearchFunc(u.hosts, h, func(x hostNeeds, h model.HostName) int { return strings.Compare(string(x.host), string(h)) })
	if !ok {
		u.hosts = slices.Insert(u.hosts, i, hostNeeds{h, n})
		return 0
	}
	was = u.hosts[i].n
	if u.hosts[i].n += n; u.hosts[i].n == 0 {
		u.hosts = slices.Delete(u.hosts, i, i+1)
	}
	return was
}

// moreOf takes what few units make out of an output.
func moreOf(out *pipeline.Out) *more {
	if len(out.Groups)+len(out.Meters)+len(out.Zones)+len(out.Holds) == 0 {
		return nil
	}
	return &more{slices.Clip(out.Groups), slices.Clip(out.Meters), slices.Clip(out.Zones), slices.Clip(out.Holds)}
}

func (m *more) equal(o *more) bool {
	if m == nil || o == nil {
		return m == o
	}
	return slices.Equal(m.groups, o.groups) && slices.Equal(m.meters, o.meters) && slices.Equal(m.zones, o.zones) && slices.Equal(m.holds, o.holds)
}

// packer copies the flows of an output to where they are kept: their wire bytes in one string, equal actions once.
type packer struct {
	text    strings.Builder
	actions map[string][2]int // those in text
	at      [][2][2]int       // from and to of match and actions of each flow
}

func (p *packer) flows(u *unit, in []pipeline.BridgeFlow, bridge func(string) uint16) []flow {
	if len(in) == 0 {
		return nil
	}
	p.text.Reset()
	if p.actions == nil {
		p.actions = map[string][2]int{}
	}
	clear(p.actions)
	p.at = p.at[:0]
	size := 0
	for i := range in {
		f := &in[i]
		size += len(f.Match)
		if _, ok := p.actions[f.Actions]; !ok {
			p.actions[f.Actions] = [2]int{-1, 0}
			size += len(f.Actions)
		}
	}
	p.text.Grow(size)
	write := func(s string) [2]int {
		from := p.text.Len()
		p.text.WriteString(s)
		return [2]int{from, p.text.Len()}
	}
	for i := range in {
		f := &in[i]
		m := write(f.Match)
		a := p.actions[f.Actions]
		if a[0] < 0 {
			a = write(f.Actions)
			p.actions[f.Actions] = a
		}
		p.at = append(p.at, [2][2]int{m, a})
	}
	text := p.text.String()
	out := make([]flow, len(in))
	for i := range in {
		f, at := &in[i], &p.at[i]
		out[i] = flow{u: u, bridge: bridge(f.Bridge), Flow: pipeline.Flow{Cookie: f.Cookie, Actions: text[at[1][0]:at[1][1]],
			Key: pipeline.Key{Table: f.Table, Priority: f.Priority, Match: text[at[0][0]:at[0][1]]}}}
	}
	clear(p.actions) // it holds the output's strings
	return out
}

// fewFlows is up to how many flows a unit's are replaced all, without a look at what changed.
const fewFlows = 4

// difference is how what a unit makes now differs from what it made before.
type difference struct {
	gone, came []*flow
	same       []pair
}

type pair struct{ was, now *flow }

// differ finds out what changed. On each of many hosts, a flow that stays costs a look-up then and not two claims: a router
// with a thousand routes gets one more. It is false for a unit that makes two flows of one key, a defect, of which the first
// counts: what stays would come before what is new.
func differ(old, now []flow) (d difference, ok bool) {
	type place struct {
		bridge uint16
		key    pipeline.Key
	}
	at := make(map[place]int, len(old)) // 1 and on: where it was; -1: had
	for i := range old {
		k := place{old[i].bridge, old[i].Key}
		if at[k] != 0 {
			return d, false
		}
		at[k] = i + 1
	}
	stays := make([]bool, len(old))
	d.same = make([]pair, 0, min(len(old), len(now)))
	for j := range now {
		f := &now[j]
		k := place{f.bridge, f.Key}
		i := at[k]
		if i < 0 {
			return d, false
		}
		at[k] = -1
		if i > 0 && old[i-1].Flow == f.Flow {
			stays[i-1] = true
			d.same = append(d.same, pair{&old[i-1], f})
		} else {
			d.came = append(d.came, f)
		}
	}
	for i := range old {
		if !stays[i] {
			d.gone = append(d.gone, &old[i])
		}
	}
	return d, true
}
