// Package annotate says in words what a flow is: its table, the rule and the object that caused it, its match and
// actions with the names of networks and ports. All it needs is the flow's text, the declarations of package
// pipeline and a list of objects, so it serves penstockd's own answers, a dump of ovs-ofctl from any machine, and an
// old dump with an export of the time. It asks nobody and prints nothing.
package annotate

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/openflow"
	"github.com/penstock/penstock/pipeline"
)

// Objects finds objects by the numbers that flows carry. The zero value knows none, which is fine: numbers stay.
type Objects struct {
	byKey map[uint64]opapi.Object // kind<<32 | key
	kinds map[string]uint8
}

// NewObjects indexes a list of objects.
func NewObjects(list []opapi.Object) *Objects {
	x := &Objects{make(map[uint64]opapi.Object, len(list)), map[string]uint8{}}
	for _, o := range list {
		x.byKey[uint64(o.KindNumber)<<32|uint64(o.Key)] = o
		x.kinds[o.Kind] = o.KindNumber
	}
	return x
}

// Get finds the object of a kind's number and a key.
func (x *Objects) Get(kind uint8, key uint32) (opapi.Object, bool) {
	o, ok := x.byKey[uint64(kind)<<32|uint64(key)]
	return o, ok
}

// name is how an object of a kind is written inside matches and actions: its name, the start of its id if it
// has none, its key if it is not known.
func (x *Objects) name(kind string, key uint64) string {
	if n, ok := x.kinds[kind]; ok && key <= 0xffffffff {
		if o, ok := x.Get(n, uint32(key)); ok {
			return label(o)
		}
	}
	return "0x" + strconv.FormatUint(key, 16)
}

// label is a name that a match can hold: names that would not read as one word are put in quotes.
func label(o opapi.Object) string {
	if o.Name == "" {
		return o.ID[:min(8, len(o.ID))]
	}
	if strings.ContainsFunc(o.Name, func(r rune) bool {
		return r <= ' ' || r == ',' || r == '"' || r == '(' || r == ')' || r == '=' || r >= 0x7f && r < 0xa0
	}) {
		return strconv.Quote(o.Name)
	}
	return o.Name
}

// Flow is a flow in words.
type Flow struct {
	Host      string `json:"host,omitempty"`
	Bridge    string `json:"bridge,omitempty"`
	State     string `json:"state,omitempty"` // see opapi.Flow; empty: not known
	Table     uint8  `json:"table"`
	TableName string `json:"table_name"` // empty: not a table of Penstock's
	Priority  uint16 `json:"priority"`
	Cookie    string `json:"cookie"` // hexadecimal
	// Ours says that the cookie has Penstock's mark; without it there is neither rule nor object.
	Ours bool   `json:"ours"`
	Rule uint16 `json:"rule"`
	Why  string `json:"why"` // the rule's sentence
	// Object is what the flow is for; nil for base flows. Kind, number and key are there even when it is not known.
	Object   *opapi.Object `json:"object,omitempty"`
	Match    string        `json:"match"` // registers by name
	Does     string        `json:"does"`  // the actions in words
	NPackets uint64        `json:"n_packets"`
	NBytes   uint64        `json:"n_bytes"`
	Duration float64       `json:"duration"` // seconds
	Text     string        `json:"text"`     // as it came
	// Problem says why Text could not be read; Match and Does are empty then.
	Problem string `json:"problem,omitempty"`
}

// Owner is the object's kind and name, with a port's MAC.
func (f *Flow) Owner() string {
	switch o := f.Object; {
	case !f.Ours:
		return "not Penstock's"
	case o == nil:
		return "base"
	case o.ID == "":
		return fmt.Sprintf("%s 0x%x (not known)", o.Kind, o.Key)
	case o.MAC != "":
		return fmt.Sprintf("%s %s (%s)", o.Kind, label(*o), o.MAC)
	default:
		return o.Kind + " " + label(*o)
	}
}

// RoleOf is the role of a bridge by its name: a bridge that is neither br-int nor br-tun is one that is mapped to a
// physical network.
func RoleOf(bridge string) pipeline.Role {
	switch bridge {
	case pipeline.BrInt:
		return pipeline.RoleInt
	case pipeline.BrTun:
		return pipeline.RoleTun
	}
	return pipeline.RoleEx
}

// Explain explains a flow of a bridge of a role.
func (x *Objects) Explain(role pipeline.Role, text string) Flow {
	f := Flow{Text: strings.TrimSpace(text)}
	of, err := openflow.ParseFlow(f.Text)
	if err != nil {
		f.Problem = err.Error()
		of = openflow.Flow{Cookie: number(f.Text, cookieRE), Table: uint8(number(f.Text, tableRE)), Priority: uint16(number(f.Text, priorityRE))}
	}
	f.Table, f.Priority, f.Cookie = of.Table, of.Priority, fmt.Sprintf("0x%x", of.Cookie)
	if t := pipeline.TableOf(role, of.Table); t != nil {
		f.TableName = t.Name
	}
	c := pipeline.Cookie(of.Cookie)
	if f.Ours = c.Ours(); f.Ours {
		f.Rule = c.Rule()
		if r := pipeline.RuleByNum(f.Rule); r != nil {
			f.Why = r.Doc
		} else {
			f.Why = fmt.Sprintf("rule %d, which this penstockctl does not know", f.Rule)
		}
		if c.Kind() != 0 {
			o, ok := x.Get(c.Kind(), c.Key())
			if !ok {
				o = opapi.Object{Kind: kindName(c.Kind()), KindNumber: c.Kind(), Key: c.Key()}
			}
			f.Object = &o
		}
	}
	if err == nil {
		w := words{x, role}
		f.Match, f.Does = w.match(&of.Match), w.actions(of.Actions)
		if s := of.Stats; s != nil {
			f.NPackets, f.NBytes, f.Duration = s.PacketCount, s.ByteCount, float64(s.DurationSec)+float64(s.DurationNsec)/1e9
		}
	}
	return f
}

// What is read of a line that package openflow cannot read.
var (
	cookieRE   = regexp.MustCompile(`\bcookie=(0x[0-9a-fA-F]+|[0-9]+)`)
	tableRE    = regexp.MustCompile(`\btable=([0-9]+)`)
	priorityRE = regexp.MustCompile(`\bpriority=([0-9]+)`)
)

func number(s string, re *regexp.Regexp) uint64 {
	m := re.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseUint(m[1], 0, 64) // too large is as good as absent
	return v
}

// maxLine bounds a line of a dump; a flow's text is at most a few times its 64 kB on the wire.
const maxLine = 1 << 20

// Dump explains the output of ovs-ofctl dump-flows. The bridge's role is guessed from the rules in the cookies where
// bridge is empty. Lines that are not flows, such as the reply's header, are left out.
func (x *Objects) Dump(r io.Reader, bridge string) ([]Flow, error) {
	var lines []string
	votes := map[pipeline.Role]int{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if !strings.Contains(line, "actions=") || strings.HasPrefix(line, "#") {
			continue
		}
		lines = append(lines, line)
		c := pipeline.Cookie(number(line, cookieRE))
		if rule := pipeline.RuleByNum(c.Rule()); c.Ours() && rule != nil && rule.Table != nil {
			votes[rule.Table.Role]++
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read the dump: %w", err)
	}
	role := RoleOf(bridge)
	if bridge == "" {
		role = pipeline.RoleInt
		for _, r := range []pipeline.Role{pipeline.RoleTun, pipeline.RoleEx} {
			if votes[r] > votes[role] {
				role = r
			}
		}
	}
	flows := make([]Flow, len(lines))
	for i, l := range lines {
		flows[i] = x.Explain(role, l)
		flows[i].Bridge = bridge
	}
	Sort(flows)
	return flows, nil
}

// Answer explains what the operator API answered.
func (x *Objects) Answer(list []opapi.Flow) []Flow {
	flows := make([]Flow, len(list))
	for i, o := range list {
		f := x.Explain(RoleOf(o.Bridge), o.Text)
		f.Host, f.Bridge, f.State, f.NPackets, f.NBytes, f.Duration = o.Host, o.Bridge, o.State, o.NPackets, o.NBytes, o.Duration
		flows[i] = f
	}
	Sort(flows)
	return flows
}

// Sort puts flows in the order that packets meet them, within a table by falling priority.
func Sort(flows []Flow) {
	slices.SortStableFunc(flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), bridgeOrder(a.Bridge, b.Bridge), cmp.Compare(a.Table, b.Table),
			cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Match, b.Match), cmp.Compare(a.Text, b.Text))
	})
}

func bridgeOrder(a, b string) int {
	return cmp.Or(cmp.Compare(RoleOf(a), RoleOf(b)), cmp.Compare(a, b))
}
