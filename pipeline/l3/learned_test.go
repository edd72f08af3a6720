package l3_test

import (
	"net/netip"
	"testing"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

var hop = l3.Learned{Net: 7, Addr: netip.MustParseAddr("203.0.113.1"), MAC: model.MAC{2, 0, 0, 0, 0, 9}}

// TestLearned: what is written of a next hop is of a rule of its table, matches what the table declares, ages, and is read
// back as it was.
func TestLearned(t *testing.T) {
	entry, ask := hop.Flow(openflow.FlowAdd, 300), hop.Ask(openflow.FlowAdd, 8)
	if entry.IdleTimeout != 300 || ask.HardTimeout != 8 || entry.HardTimeout != 0 || ask.IdleTimeout != 0 {
		t.Errorf("%v\n%v", entry, ask)
	}
	for _, m := range append(hop.Watch(openflow.FlowAdd), entry, ask) {
		if err := m.Check(); err != nil {
			t.Errorf("%v: %v", m, err)
		}
		c := pipeline.Cookie(m.Cookie)
		r, tb := pipeline.RuleByNum(c.Rule()), pipeline.TableOf(pipeline.RoleInt, m.Table)
		if tb == nil || !tb.Learned || r == nil || r.Table != tb || r.Priority != m.Priority || c.Kind() != model.Networks.Kind || c.Key() != hop.Net {
			t.Errorf("%v: rule %v of %v", m, r, tb)
			continue
		}
		for x := range m.Match.All() {
			declared := x.Field == openflow.EthType || x.Field == openflow.Metadata
			for _, f := range tb.Match {
				declared = declared || f.OF == x.Field
			}
			if !declared {
				t.Errorf("%v: %s does not declare %v", m, tb, x.Field)
			}
		}
	}
	if l, ok := l3.ReadLearned(&entry.Flow); !ok || l != hop {
		t.Errorf("read back: %+v %v", l, ok)
	}
	if _, ok := l3.ReadLearned(&ask.Flow); ok {
		t.Error("a question is no next hop")
	}
	read := 0
	for _, m := range append(hop.Watch(openflow.FlowAdd), ask, entry) {
		if l, ok := l3.ReadWatch(&m.Flow); ok {
			if read++; l.Net != hop.Net || l.Addr != hop.Addr {
				t.Errorf("read back: %+v", l)
			}
		}
	}
	if read != 1 {
		t.Errorf("%d flows say whose claims are shown", read)
	}
	for _, f := range []openflow.Flow{{}, {Table: entry.Table, Cookie: entry.Cookie}, {Table: entry.Table, Cookie: entry.Cookie, Match: entry.Match}} {
		if _, ok := l3.ReadLearned(&f); ok {
			t.Errorf("%v is no next hop", f.String())
		}
	}
}
