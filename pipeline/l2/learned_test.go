package l2_test

import (
	"net/netip"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
	"github.com/penstock/penstock/pipeline/l3"
)

// foundOut adds the flows of a next hop that the controller found out.
func foundOut(ex map[uint16]string) {
	hop := l3.Learned{Net: 3, Addr: netip.MustParseAddr("203.0.113.1"), MAC: model.MAC{2, 0, 0, 0, 0, 9}}
	for _, m := range append(hop.Watch(openflow.FlowAdd), hop.Flow(openflow.FlowAdd, 300), hop.Ask(openflow.FlowAdd, 8)) {
		ex[pipeline.Cookie(m.Cookie).Rule()] = m.Flow.String()
	}
}
