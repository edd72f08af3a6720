package controller

import (
	"context"
	"strconv"

	"go.uber.org/zap"

	"github.com/penstock/penstock/controller/dispatch"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/packetin"
	"github.com/penstock/penstock/packetin/log"
	"github.com/penstock/penstock/pipeline"
)

// netlog writes the lines of network logs. Packets are read where they come in, lines written by one goroutine, so that a
// slow disk holds up no switch.
type netlog struct {
	lines chan *log.Record // bounded; what does not fit is counted and lost
	log   *zap.Logger
}

// maxLines is how many lines may wait.
const maxLines = 4096

// outcomeLineLost: lines come faster than they can be written.
const outcomeLineLost = "dropped-log-full"

func newNetlog(l *zap.Logger, d *dispatch.Dispatcher) *netlog {
	n := &netlog{lines: make(chan *log.Record, maxLines), log: l}
	for what := pipeline.Handler(0); what <= pipeline.LogIngress|pipeline.LogDropped|pipeline.LogInvalid; what++ {
		verdict := log.Verdict{Ingress: what&pipeline.LogIngress != 0, Dropped: what&pipeline.LogDropped != 0, Invalid: what&pipeline.LogInvalid != 0}
		d.Register(pipeline.HandlerLog|what, func(v model.View, in *packetin.Packet, r *packetin.Result) error {
			rec, outcome, err := log.Read(v, in, verdict)
			r.Outcome = outcome
			if rec == nil {
				return err
			}
			select {
			case n.lines <- rec:
			default:
				r.Outcome = outcomeLineLost
			}
			return nil
		})
	}
	return n
}

// run writes lines until ctx ends.
func (n *netlog) run(ctx context.Context) error {
	for {
		select {
		case r := <-n.lines:
			n.log.Info("network log", lineFields(r)...)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lineFields are the fields of a line. Their names are documented in docs/security-groups.md: others read them.
func lineFields(r *log.Record) []zap.Field {
	direction, reason := "egress", ""
	if r.Ingress {
		direction = "ingress"
	}
	switch {
	case r.Invalid:
		reason = "invalid"
	case r.Dropped:
		reason = "no-rule"
	}
	f := []zap.Field{zap.String("event", r.Event()), zap.String("direction", direction)}
	add := func(name, value string) {
		if value != "" {
			f = append(f, zap.String(name, value))
		}
	}
	add("reason", reason)
	add("host", string(r.Host))
	add("port_id", r.Port.ID)
	add("port_name", r.Port.Name)
	add("project_id", r.Port.ProjectID)
	add("network_id", string(r.Port.NetworkID))
	f = append(f, zap.Strings("log_ids", r.Logs))
	if r.Rule != nil {
		add("rule_id", r.Rule.ID)
		add("security_group_id", r.Rule.GroupID)
	}
	add("src_mac", r.SrcMAC.String())
	add("dst_mac", r.DstMAC.String())
	if !r.Src.IsValid() {
		return append(f, zap.String("ethertype", "0x"+strconv.FormatUint(uint64(r.EtherType), 16)), zap.Int("length", r.Len))
	}
	add("src", r.Src.String())
	add("dst", r.Dst.String())
	add("protocol", protocolName(r.Protocol))
	if r.HasPorts {
		f = append(f, zap.Uint16("src_port", r.SrcPort), zap.Uint16("dst_port", r.DstPort))
	}
	if r.HasType {
		f = append(f, zap.Uint8("icmp_type", r.Type), zap.Uint8("icmp_code", r.Code))
	}
	return append(f, zap.Int("length", r.Len))
}

func protocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "ipv6-icmp"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}
