package pipeline

import "sort"

var allTables = []*Table{
	ARPWatch, RouteIn, NATIn, RouteSelf, Route, Exit, PathMTU, Neighbour, Neighbours, RouteOut, NATOut,
	Classify, SpoofGuard, AddrGuard, NDGuard, Services, EgressACL, EgressJudge, EgressVerdict, ARPResponder, Learn, L2Lookup, FDB, Unknown, Flood, FloodLeaf, IngressACL, IngressJudge, IngressVerdict,
	Output, Uplink, PuntTable, PortGroups, GroupSets, RemoteSets, Rules,
	TunClassify, TunLearn, TunUnicast, TunFDB, TunUnknown, TunFlood, TunLeaf, TunSend,
	ExClassify,
}

// Tables lists every declared table, by role and id.
func Tables() []*Table {
	out := append([]*Table(nil), allTables...)
	sort.Slice(out, func(i, j int) bool {
		if out[i].Role != out[j].Role {
			return out[i].Role < out[j].Role
		}
		return out[i].ID < out[j].ID
	})
	return out
}

// TableOf finds the table with an id on bridges of a role; nil if none is declared.
func TableOf(r Role, id uint8) *Table {
	for _, t := range allTables {
		if t.Role == r && t.ID == id {
			return t
		}
	}
	return nil
}

// MissRuleNum is the rule number of the priority-0 flow of every table that does not drop what it misses.
const MissRuleNum uint16 = 1

func init() { rulesByNum[MissRuleNum] = &Rule{Num: MissRuleNum, Doc: "what no flow above matches"} }

// MissFlows adds the priority-0 flows of all tables of a role that do not drop what they miss.
func MissFlows(r Role, o *Out) {
	for _, t := range Tables() {
		if t.Role == r {
			t.missFlow(o)
		}
	}
}

func (t *Table) missFlow(o *Out) {
	if t.Miss == nil {
		return
	}
	acts := o.acts[:0]
	for _, c := range t.MissCalls {
		acts = append(acts, Call(c))
	}
	o.Add(&Rule{Table: t, Num: MissRuleNum, Doc: rulesByNum[MissRuleNum].Doc}, nil, append(acts, Goto(t.Miss))...)
}
