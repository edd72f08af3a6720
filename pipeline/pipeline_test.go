package pipeline

import (
	"strings"
	"testing"

	"github.com/penstock/penstock/openflow"
)

// TestRegistersDoNotOverlap: each piece of a register has one meaning on a bridge.
func TestRegistersDoNotOverlap(t *testing.T) {
	regs := Registers()
	for i, a := range regs {
		if a.Doc == "" {
			t.Errorf("%s: no word on what it means", a.Name)
		}
		if bits := uint16(a.OF.Bits); a.Ofs+a.Bits > bits {
			t.Errorf("%s: bits %d to %d of a field of %d bits", a.Name, a.Ofs, a.Ofs+a.Bits-1, bits)
		}
		for _, b := range regs[:i] {
			if a.Name == b.Name || a.OF == b.OF && a.mask()&b.mask() != 0 {
				t.Errorf("%s and %s share bits or a name", a.Name, b.Name)
			}
		}
	}
}

// TestDeclarations: what can be said of the tables and rules without a flow.
func TestDeclarations(t *testing.T) {
	nums, ids, names := map[uint16]bool{}, map[[2]uint8]bool{}, map[string]bool{}
	for _, tb := range Tables() {
		if id := [2]uint8{uint8(tb.Role), tb.ID}; ids[id] || tb.ID >= 254 {
			t.Errorf("%s: the id is used twice or not usable", tb)
		} else {
			ids[id] = true
		}
		if names[tb.Name] || tb.Name != strings.ToLower(tb.Name) || !strings.HasSuffix(tb.Doc, ".") {
			t.Errorf("%s: names are unique and in lower case, docs are sentences", tb)
		}
		names[tb.Name] = true
		next := append([]*Table{}, tb.Next...)
		if tb.Miss != nil {
			next = append(next, tb.Miss)
		}
		for _, n := range append(next, tb.Resubmit...) {
			if n.ID <= tb.ID || n.Role != tb.Role {
				t.Errorf("%s leads to %s: packets go forward, within the bridge", tb, n)
			}
		}
		for _, l := range append(tb.Learns, tb.MissCalls...) {
			if !l.Learned || l.Role != tb.Role {
				t.Errorf("%s: %s is not Learned or on another bridge", tb, l)
			}
		}
		if tb.Learned && (len(tb.Next)+len(tb.Resubmit) > 0 || tb.Miss != nil) {
			t.Errorf("%s: a Learned table is consulted, it does not lead on", tb)
		}
		for _, r := range tb.Rules() {
			if nums[r.Num] || r.Num == MissRuleNum || r.Doc == "" || strings.HasSuffix(r.Doc, ".") {
				t.Errorf("%s rule %d: numbers are unique, docs are clauses without a full stop", tb, r.Num)
			}
			nums[r.Num] = true
			if r.Priority == 0 && tb.Miss != nil {
				t.Errorf("%s rule %d: priority 0 is the table's miss", tb, r.Num)
			}
			if RuleByNum(r.Num) != r {
				t.Errorf("%s rule %d is not found by its number", tb, r.Num)
			}
		}
	}
}

// TestCheckFlow shows that the check finds what it is there for.
func TestCheckFlow(t *testing.T) {
	for _, c := range []struct {
		role Role
		text string
		rule *Rule
		want string
	}{
		{RoleInt, "table=64,priority=100,reg15=0x5 actions=output:3", ToVIF, ""},
		{RoleInt, "table=64,priority=100,reg14=0x5 actions=output:3", ToVIF, "declare to match reg14"},
		{RoleInt, "table=64,priority=100,reg15=0x5 actions=load:1->NXM_NX_REG3[]", ToVIF, "declare to write NXM_NX_REG3[]"},
		{RoleInt, "table=64,priority=100,reg15=0x5 actions=goto_table:72", ToVIF, "declare to goto table 72"},
		{RoleInt, "table=64,priority=100,reg15=0x5 actions=resubmit(,52)", ToVIF, "declare to resubmit table 52"},
		{RoleInt, "table=64,priority=99,reg15=0x5 actions=output:3", ToVIF, "with priority 100"},
		{RoleInt, "table=63,priority=100,reg15=0x5 actions=output:3", ToVIF, "table 63 is not declared"},
		{RoleTun, "table=28,priority=100,reg0=0x1000000/0xff000000 actions=output:3", TunVXLAN, ""},
		{RoleInt, "table=68,priority=200,reg10=0x3/0x3 actions=drop", NeverBack, "declare to match reg10"},
		{RoleInt, "table=52,priority=100,metadata=0x3 actions=drop", FDBEntry, "learned flows only"},
		{RoleInt, "table=44,priority=110,reg14=0x3 actions=learn(table=52,priority=100,cookie=0x1,OXM_OF_METADATA[]),goto_table:48", LearnSource, "not of a rule there"},
		{RoleInt, "table=64,priority=100,reg15=0x5 actions=dec_ttl", ToVIF, "needs eth_type"},
	} {
		of, err := openflow.ParseFlow(c.text)
		if err != nil {
			t.Fatal(err)
		}
		acts, err := openflow.AppendInstructions(nil, of.Actions)
		if err != nil {
			t.Fatal(err)
		}
		f := Flow{Key{of.Table, of.Priority, string(of.Match.AppendOXM(nil))}, string(acts), MakeCookie(c.rule.Num, 3, 7)}
		err = CheckFlow(c.role, &f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

// TestUserData reads back what is written and nothing else.
func TestUserData(t *testing.T) {
	if h, k, ok := ParseUserData(UserData(HandlerARP, 0x01020304)); !ok || h != HandlerARP || k != 0x01020304 {
		t.Error(h, k, ok)
	}
	for _, b := range []string{"", "\x01", "\x02\x01\x00\x00\x00\x01", "\x01\x01\x00\x00\x00\x01\x00"} {
		if _, _, ok := ParseUserData([]byte(b)); ok {
			t.Errorf("%x is read as ours", b)
		}
	}
}
