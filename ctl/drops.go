package ctl

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/opapi"
)

// whyDropped makes "port why-dropped".
func (a *app) whyDropped() *cobra.Command {
	return &cobra.Command{
		Use: "why-dropped PORT", Short: "Show what was dropped of a port and why, and which rules let how much pass", Args: cobra.ExactArgs(1),
		Long: "Shows, from the switches' own counters, what was dropped of a port: for its source addresses, or for want of a rule;\n" +
			"and how much each rule of its security groups let pass on the port's host, of all ports there that have the group.",
		ValidArgsFunction: a.complete(port),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lookup(cmd)
			if err != nil {
				return err
			}
			id, err := l.ID(port, args[0])
			if err != nil {
				return err
			}
			var d opapi.PortDrops
			if err := l.c.Get(l.ctx, fmt.Sprintf(opapi.PathPortDrops, url.PathEscape(id)), nil, &d); err != nil {
				return err
			}
			return a.print(d, dropsTable(&d))
		},
	}
}

func dropsTable(d *opapi.PortDrops) *table {
	t := &table{header: []string{"HOST", "WHAT", "PACKETS", "BYTES", "WHY"}}
	add := func(host, what string, packets, bytes uint64, why string) {
		t.rows = append(t.rows, []string{printable(host), what, strconv.FormatUint(packets, 10), strconv.FormatUint(bytes, 10), printable(why)})
	}
	if !d.Secured {
		add("-", "passed", 0, 0, "the port has no port security: nothing of it is dropped or counted")
	}
	for _, x := range d.Drops {
		add(x.Host, "dropped", x.NPackets, x.NBytes, x.Text)
	}
	for _, x := range d.Rules {
		add(x.Host, "passed", x.NPackets, x.NBytes, fmt.Sprintf("%s (group %s, rule %s)", x.Text, nameOr(x.GroupName, x.GroupID), x.RuleID))
	}
	return t
}
