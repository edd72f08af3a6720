package pipeline

import (
	"fmt"

	"github.com/penstock/penstock/openflow"
)

// Role says which kind of bridge a table is in.
type Role uint8

// The roles of bridges: br-int, br-tun, and br-ex with every other bridge mapped to a physical network.
const (
	RoleInt Role = iota
	RoleTun
	RoleEx
)

// Names of the bridges that have fixed ones.
const (
	BrInt = "br-int"
	BrTun = "br-tun"
)

// String is the name of the bridge, of br-ex for all mapped ones.
func (r Role) String() string { return [...]string{"br-int", "br-tun", "br-ex"}[r] }

// Field is a thing a table may match or write: an OpenFlow field or a piece of a register.
type Field struct {
	Name string
	OF   *openflow.Field
	Ofs  uint16 // first bit
	Bits uint16 // 0: the whole field
	Doc  string // registers only: what it means here
}

// Table declares one flow table. Tables are package variables, so that a loop among Next does not compile; a
// deliberate way back is a Resubmit.
type Table struct {
	ID   uint8
	Role Role
	Name string
	// Doc is one sentence: what the table decides.
	Doc string
	// Match and Write list what flows here may match and set.
	Match, Write []*Field
	// Next lists the tables that flows here may go to; Resubmit those they may call and come back from.
	Next, Resubmit []*Table
	// Back lists the tables before this one that flows here may send a packet to again. Each such flow owes a reason why
	// that ends: a TTL that was decremented, a state of conntrack that does not come again.
	Back []*Table
	// Miss is where a packet goes that no flow matches: nil drops it.
	Miss *Table
	// MissCalls are tables consulted (resubmit) on the way to Miss.
	MissCalls []*Table
	// Learns lists the Learned tables that flows here may learn into.
	Learns []*Table
	// Learned tables hold facts that the switch or the controller learned: reconciliation never deletes in
	// them but what belongs to an object that is gone. Only there may flows time out.
	Learned bool

	rules []*Rule
}

func (t *Table) String() string { return fmt.Sprintf("%s table %d (%s)", t.Role, t.ID, t.Name) }

// Rules lists the table's rules by number.
func (t *Table) Rules() []*Rule { return t.rules }

// Rule declares one kind of flow.
type Rule struct {
	Table *Table
	// Num stands in the cookie's 16 rule bits; never reused.
	Num      uint16
	Priority uint16
	Doc      string // one sentence: what a flow of this rule does
	// Span is how far above Priority a flow of the rule may stand, for rules such as the longest prefix first.
	Span uint16
}

var rulesByNum = map[uint16]*Rule{}

// Rule declares a kind of flow of the table. It panics on a number used before: a programming error at start.
func (t *Table) Rule(num, priority uint16, doc string) *Rule {
	if old := rulesByNum[num]; old != nil {
		panic(fmt.Sprintf("pipeline: rule %d of %s is already a rule of %s", num, t, old.Table))
	}
	r := &Rule{Table: t, Num: num, Priority: priority, Doc: doc}
	rulesByNum[num] = r
	t.rules = append(t.rules, r)
	return r
}

// Span declares a kind of flow with priorities from priority to priority+span; At chooses.
func (t *Table) Span(num, priority, span uint16, doc string) *Rule {
	r := t.Rule(num, priority, doc)
	r.Span = span
	return r
}

// At is the rule for a flow that stands n above its lowest priority.
func (r *Rule) At(n uint16) *Rule {
	c := *r
	c.Priority += n
	return &c
}

// RuleByNum finds a rule by the number in a cookie; nil if there is none (a newer or older layout).
func RuleByNum(num uint16) *Rule { return rulesByNum[num] }
