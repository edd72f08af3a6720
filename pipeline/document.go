package pipeline

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteDoc renders the declarations as Markdown: docs/pipeline.md. examples has a flow of each rule as ovs-ofctl prints it.
func WriteDoc(w io.Writer, examples map[uint16]string) error {
	var b strings.Builder
	b.WriteString(docHead)
	b.WriteString("\n## Registers\n\n| name | bits | means |\n|---|---|---|\n")
	for _, r := range Registers() {
		bits := "all"
		if r.Bits != 0 && int(r.Bits) != r.OF.Bits {
			bits = fmt.Sprintf("%d–%d", r.Ofs, r.Ofs+r.Bits-1)
			if r.Bits == 1 {
				bits = fmt.Sprint("bit ", r.Ofs)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s of `%s` | %s |\n", r.Name, bits, r.OF.Name, r.Doc)
	}
	b.WriteString("\n## Passes through the datapath\n\nEach conntrack lookup and each tunnel decapsulation costs a pass; Open vSwitch 3.1 drops a packet at its seventh.\n" +
		"Tests trace a packet along each of these paths, or send some, and count. Ends without security groups have no conntrack.\n\n| path | passes beyond the first, at most | |\n|---|---|---|\n")
	for _, p := range slices.Concat(Paths, RoutedPaths) {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", p.Name, p.Recirculations, p.Why)
	}
	role := Role(255)
	for _, t := range Tables() {
		if t.Role != role {
			role = t.Role
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", [...]string{"br-int", "br-tun", "br-ex and other mapped bridges"}[role], docRoles[role])
		}
		t.document(&b, examples)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) document(b *strings.Builder, examples map[uint16]string) {
	fmt.Fprintf(b, "\n### Table %d: %s\n\n%s\n\n", t.ID, t.Name, t.Doc)
	item := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(b, "- %s: %s\n", what, strings.Join(names, ", "))
		}
	}
	item("Matches", fieldNames(t.Match))
	var writes []string
	for _, f := range t.Write {
		s := "`" + f.Name + "`"
		if r := readers(t, f); len(r) > 0 {
			s += " (read by " + strings.Join(r, ", ") + ")"
		}
		writes = append(writes, s)
	}
	item("Writes", writes)
	item("Goes to", tableNames(t.Next))
	item("Consults", tableNames(append(t.Resubmit[:len(t.Resubmit):len(t.Resubmit)], without(t.MissCalls, t.Resubmit)...)))
	item("Goes back to", tableNames(t.Back))
	item("Learns into", tableNames(t.Learns))
	switch {
	case t.Learned:
		b.WriteString("- Holds learned facts: its flows age, survive a restart of penstockd, and are deleted only when their object is gone.\n")
	case t.Miss == nil:
		b.WriteString("- What no flow matches is dropped.\n")
	default:
		consults := ""
		for _, c := range t.MissCalls {
			consults += "consults " + c.Name + " and "
		}
		fmt.Fprintf(b, "- What no flow matches %sgoes to %s.\n", consults, t.Miss.Name)
	}
	if len(t.Rules()) == 0 {
		return
	}
	b.WriteString("\n| rule | priority | a flow of it is |\n|---|---|---|\n")
	for _, r := range t.Rules() {
		fmt.Fprintf(b, "| %d | %d | %s |\n", r.Num, r.Priority, r.Doc)
	}
	b.WriteString("\n```\n")
	for _, r := range t.Rules() {
		fmt.Fprintf(b, "# rule %d\n%s\n", r.Num, examples[r.Num])
	}
	b.WriteString("```\n")
}

func without(l, not []*Table) (out []*Table) {
next:
	for _, t := range l {
		for _, n := range not {
			if n == t {
				continue next
			}
		}
		out = append(out, t)
	}
	return out
}

func fieldNames(fields []*Field) (out []string) {
	for _, f := range fields {
		out = append(out, "`"+f.Name+"`")
	}
	return out
}

func tableNames(tables []*Table) (out []string) {
	for _, t := range tables {
		out = append(out, t.Name)
	}
	return out
}

// readers lists the tables that a packet may come to from t and that match what t writes to f. Only pkt_mark and the
// packet itself outlive the way to another bridge.
func readers(t *Table, f *Field) (out []string) {
	seen := map[*Table]bool{}
	var visit func(*Table)
	visit = func(x *Table) {
		for _, next := range [][]*Table{x.Next, x.Resubmit, x.MissCalls, {x.Miss}} {
			for _, n := range next {
				if n != nil && !seen[n] {
					seen[n] = true
					visit(n)
				}
			}
		}
	}
	visit(t)
	for _, x := range Tables() {
		far := x.Role != t.Role && x.ID == 0 && (f == PktMark || f == VLAN) && (x.Role == RoleInt || t.Role == RoleInt)
		if !seen[x] && !far {
			continue
		}
		for _, m := range x.Match {
			if m.OF == f.OF && m.mask()&f.mask() != 0 {
				name := x.Name
				if far {
					name += " of " + [...]string{"br-int", "br-tun", "mapped bridges"}[x.Role]
				}
				out = append(out, name)
				break
			}
		}
	}
	return out
}

const docHead = `<!-- Generated from package pipeline by "make docs"; do not edit. -->
# The pipeline

What flows there are on a host's bridges, in the order in which a packet meets them. Tables, rules, registers and this text
come from the declarations in package pipeline; the flows are from the scenarios in testdata/l2.

A flow's cookie says what it is: ` + "`0x51`" + ` for Penstock, 16 bits rule, 8 bits kind of object, 32 bits the object's key.
` + "`penstockctl flow dump`" + ` shows flows with the names of their rules and objects. Rule 1 is a table's flow for what no other
flow matches. A network's packets go between br-int and br-tun, and from br-int to mapped bridges, with their network in
` + "`pkt_mark`" + `: bits 24–30 the encapsulation (1 VXLAN, 2 GRE, 3 a mapped bridge), bits 0–23 the segmentation id, bit 31 for
"to all hosts".
`

var docRoles = [...]string{
	"Everything about VIFs. Port 65000 leads to br-tun, port 64000 plus the number of a physical network to the bridge mapped to it.",
	"Overlays. Port 65000 leads to br-int, 65001 is the VXLAN port, 65002 the GRE port; both take the other host's address from `tun_dst`. Nothing leads from a tunnel to a tunnel.",
	"Physical networks. The bridges are the operator's; port 65000 leads to br-int.",
}
