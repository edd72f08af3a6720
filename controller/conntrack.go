package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/ovsdb/unixctl"
)

// Bounds of what one host is asked for.
const (
	maxConnections   = 10_000
	maxConntrackText = 64 << 20 // bytes
	conntrackTimeout = 20 * time.Second
)

// Conntrack tells the connections in a router's zone, of each host that translates for it: its gateway host and those of its
// floating IPs. Neither OVSDB nor OpenFlow tells them, so a host must run on this machine, where ovs-vswitchd has a control
// socket.
func (c *Controller) Conntrack(ctx context.Context, id string) ([]opapi.Conntrack, error) {
	v := c.cfg.Store.View()
	r, ok := v.Router(id)
	if !ok {
		return nil, fmt.Errorf("there is no router %q: %w", id, errNoRouter)
	}
	if r.Zone == 0 {
		return nil, fmt.Errorf("router %s has no gateway: it translates nothing and tracks nothing", nameOr(r.Name, r.ID))
	}
	why := map[model.HostName][]string{}
	if h, ok := v.GatewayHost(r); ok {
		why[h] = append(why[h], "gateway")
	}
	floating := map[model.HostName]int{}
	for _, f := range v.FloatingIPsThrough(id) {
		if h, ok := v.FloatingHost(f); ok {
			floating[h]++
		}
	}
	for h, n := range floating {
		why[h] = append(why[h], fmt.Sprintf("%d floating IPs", n))
	}
	out := []opapi.Conntrack{}
	for _, name := range slices.Sorted(maps.Keys(why)) {
		x := opapi.Conntrack{Host: string(name), Zone: r.Zone, Why: strings.Join(why[name], ", "), Connections: []opapi.Connection{}}
		if h, ok := v.Host(name); ok {
			if err := hostConntrack(ctx, h, &x); err != nil {
				x.Problem = fmt.Sprintf("%v: ask there with ovs-appctl dpctl/dump-conntrack zone=%d", err, r.Zone)
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// hostConntrack asks a host's ovs-vswitchd for the connections of a zone.
func hostConntrack(ctx context.Context, h *model.Host, x *opapi.Conntrack) error {
	ctx, cancel := context.WithTimeout(ctx, conntrackTimeout)
	defer cancel()
	socket, err := unixctl.Vswitchd(ctx, h.OVSDB)
	if errors.Is(err, unixctl.ErrElsewhere) {
		return fmt.Errorf("host %s is not on penstockd's machine, and only its own ovs-vswitchd tells connections", h.ID)
	}
	if err != nil {
		return err
	}
	dps, err := unixctl.Call(ctx, socket, 1<<16, "dpctl/dump-dps")
	if err != nil {
		return err
	}
	for _, dp := range strings.Fields(dps) {
		text, err := unixctl.Call(ctx, socket, maxConntrackText, "dpctl/dump-conntrack", dp, fmt.Sprintf("zone=%d", x.Zone))
		if err != nil {
			return fmt.Errorf("datapath %s: %w", dp, err)
		}
		for line := range strings.Lines(text) {
			conn, ok := parseConnection(strings.TrimSpace(line))
			switch {
			case !ok:
			case len(x.Connections) == maxConnections:
				x.Truncated = true
			default:
				x.Connections = append(x.Connections, conn)
			}
		}
	}
	slices.SortFunc(x.Connections, func(a, b opapi.Connection) int { return strings.Compare(a.Text, b.Text) })
	return nil
}

// parseConnection reads a line of dpctl/dump-conntrack (ovs lib/ct-dpif.c, ct_dpif_format_entry), such as
// tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=…),zone=5,protoinfo=(state=ESTABLISHED).
func parseConnection(line string) (opapi.Connection, bool) {
	x := opapi.Connection{Text: line}
	var ok, ok1, ok2 bool
	x.Protocol, _, ok = strings.Cut(line, ",")
	x.Original, ok1 = parseTuple(line, "orig=(")
	x.Reply, ok2 = parseTuple(line, "reply=(")
	if info, found := parenthesis(line, "protoinfo=("); found {
		for f := range strings.SplitSeq(info, ",") {
			if s, found := strings.CutPrefix(f, "state="); found {
				x.State = s
			}
		}
	}
	return x, ok && ok1 && ok2
}

func parenthesis(line, begin string) (string, bool) {
	_, rest, ok := strings.Cut(line, begin)
	in, _, ok2 := strings.Cut(rest, ")")
	return in, ok && ok2
}

func parseTuple(line, begin string) (t opapi.Tuple, ok bool) {
	in, ok := parenthesis(line, begin)
	for f := range strings.SplitSeq(in, ",") {
		k, v, _ := strings.Cut(f, "=")
		n, _ := strconv.ParseUint(v, 10, 16) // 0 for what is no number
		switch k {
		case "src":
			t.Src = v
		case "dst":
			t.Dst = v
		case "sport":
			t.SPort = uint16(n)
		case "dport":
			t.DPort = uint16(n)
		}
	}
	return t, ok && t.Src != "" && t.Dst != ""
}
