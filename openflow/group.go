package openflow

import (
	"fmt"
	"strconv"
	"strings"
)

// GroupType says how a group uses its buckets (enum ofp_group_type).
type GroupType uint8

// Group types.
const (
	GroupAllBuckets   GroupType = iota // every bucket
	GroupSelect                        // one bucket, by hash and weight
	GroupIndirect                      // the only bucket
	GroupFastFailover                  // the first live bucket
)

var groupTypeNames = [...]string{"all", "select", "indirect", "ff"}

// String is the name that ovs-ofctl prints.
func (t GroupType) String() string {
	if int(t) < len(groupTypeNames) {
		return groupTypeNames[t]
	}
	return "unknown"
}

// Group ids with a meaning (enum ofp_group). Ordinary ones are 0 to GroupMax.
const (
	GroupMax uint32 = 0xffffff00
	GroupAll uint32 = 0xfffffffc // all groups, in delete and requests
	GroupAny uint32 = 0xffffffff // no restriction; no group to watch
)

// Bucket is one list of actions of a group. In OpenFlow 1.3 it has no id and a group has no selection method: Open
// vSwitch takes those in 1.0 and from 1.5 on only.
type Bucket struct {
	Weight     uint16 // share of a select group, 1 is the default there; 0 in other groups
	WatchPort  Port   // PortAny: none
	WatchGroup uint32 // GroupAny: none
	Actions    []Action
	Raw        []byte // the actions' octets, when they could not be decoded; AppendTo then sends these
}

// GroupDesc is a group (OpenFlow 1.3.5 sections 5.6 and 7.3.5.8). A group's description must fit in one message: keep
// it below 64 kB, with a tree of groups where need be.
type GroupDesc struct {
	ID      uint32
	Type    GroupType
	Buckets []Bucket
}

const bucketLen = 16

func decodeBuckets(r *reader) (buckets []Bucket) {
	for r.left() > 0 && r.err == nil {
		n := int(r.u16())
		if n < bucketLen {
			r.fail("want a bucket of at least 16 octets, not %d", n)
			return buckets
		}
		in := r.sub(n - 2)
		k := Bucket{Weight: in.u16(), WatchPort: Port(in.u32()), WatchGroup: in.u32()}
		in.skip(4)
		if r.err != nil {
			return buckets
		}
		raw := in.b[in.off:]
		if k.Actions = decodeActions(&in, nil, 0); in.err != nil {
			k.Actions, k.Raw = nil, raw // a foreign bucket must not cost the others
		}
		buckets = append(buckets, k)
	}
	return buckets
}

func appendBuckets(b []byte, buckets []Bucket) []byte {
	for i := range buckets {
		k := &buckets[i]
		n := len(b)
		b = append32(append16(append16(b, 0), k.Weight), uint32(k.WatchPort))
		b = append32(append32(b, k.WatchGroup), 0)
		if k.Raw != nil {
			b = append(b, k.Raw...)
		} else {
			b = AppendActions(b, k.Actions)
		}
		put16(b[n:], len(b)-n)
	}
	return b
}

// AppendTo appends the group as an entry of a group description reply.
func (g *GroupDesc) AppendTo(b []byte) []byte {
	n := len(b)
	b = appendBuckets(append32(append(b, 0, 0, byte(g.Type), 0), g.ID), g.Buckets)
	put16(b[n:], len(b)-n)
	return b
}

func (g *GroupDesc) decode(r *reader) {
	r.skip(2)
	g.Type = GroupType(r.u8())
	r.skip(1)
	g.ID = r.u32()
	g.Buckets = decodeBuckets(r)
}

// GroupCommand is what a GroupMod does.
type GroupCommand uint16

// Commands of GroupMod. GroupAddOrMod is Open vSwitch's own (2.6).
const (
	GroupAdd GroupCommand = iota
	GroupModify
	GroupDelete
	GroupAddOrMod GroupCommand = 0x8000
)

// GroupMod adds, changes or deletes a group. Deleting a group deletes the flows that use it; id GroupAll
// deletes all.
type GroupMod struct {
	Command GroupCommand
	Group   GroupDesc
}

func decodeGroupMod(r *reader) Message {
	m := &GroupMod{Command: GroupCommand(r.u16())}
	m.Group.Type = GroupType(r.u8())
	r.skip(1)
	m.Group.ID = r.u32()
	m.Group.Buckets = decodeBuckets(r)
	return m
}

// Name is OFPT_GROUP_MOD.
func (m *GroupMod) Name() string { return "OFPT_GROUP_MOD" }

// AppendTo appends the message.
func (m *GroupMod) AppendTo(b []byte) []byte {
	n := len(b)
	b = append(append16(beginMsg(b, typeGroupMod), uint16(m.Command)), byte(m.Group.Type), 0)
	return endMsg(appendBuckets(append32(b, m.Group.ID), m.Group.Buckets), n)
}

// String is what ovs-ofctl prints: the command and the group.
func (m *GroupMod) String() string {
	c := fmt.Sprintf("cmd:%d", m.Command)
	switch m.Command {
	case GroupAdd:
		c = "ADD"
	case GroupModify:
		c = "MOD"
	case GroupDelete:
		c = "DEL"
	case GroupAddOrMod:
		c = "ADD_OR_MOD"
	}
	return string(m.Group.AppendText([]byte(m.Name() + ":\n " + c + " ")))
}

// String is the line of ovs-ofctl -O OpenFlow13 dump-groups, without the leading space.
func (g *GroupDesc) String() string { return string(g.AppendText(nil)) }

// AppendText appends String to b.
func (g *GroupDesc) AppendText(b []byte) []byte {
	b = strconv.AppendUint(append(b, "group_id="...), uint64(g.ID), 10)
	b = append(append(b, ",type="...), g.Type.String()...)
	for i := range g.Buckets {
		k := &g.Buckets[i]
		b = append(b, ",bucket="...)
		var usual uint16
		if g.Type == GroupSelect {
			usual = 1
		}
		if k.Weight != usual {
			b = append(strconv.AppendUint(append(b, "weight:"...), uint64(k.Weight), 10), ',')
		}
		if k.WatchPort != PortAny {
			b = append(k.WatchPort.AppendText(append(b, "watch_port:"...)), ',')
		}
		if k.WatchGroup != GroupAny {
			b = append(strconv.AppendUint(append(b, "watch_group:"...), uint64(k.WatchGroup), 10), ',')
		}
		b = append(b, "actions="...)
		if k.Raw != nil {
			b = fmt.Appendf(b, "raw(%x)", k.Raw)
		} else {
			b = append(b, FormatActions(k.Actions)...)
		}
	}
	return b
}

// ParseGroup reads a group in the syntax of ovs-ofctl add-group or as dump-groups prints it in OpenFlow 1.3:
// "group_id=1,type=select,bucket=weight:5,watch_port:2,actions=output:2,bucket=…".
func ParseGroup(s string) (GroupDesc, error) {
	var g GroupDesc
	bad := func(format string, a ...any) (GroupDesc, error) {
		return GroupDesc{}, fmt.Errorf("openflow: group %q: "+format, append([]any{shorten(s)}, a...)...)
	}
	parts := strings.Split(s, "bucket=")
	hasID, hasType := false, false
	for _, kv := range splitPairs(parts[0]) {
		switch kv.key {
		case "group_id":
			id, err := strconv.ParseUint(kv.val, 0, 32)
			switch {
			case kv.val == "all":
				id = uint64(GroupAll)
			case err != nil || uint32(id) > GroupMax && uint32(id) != GroupAll:
				return bad("group_id=%s is not a number from 0 to %d", kv.val, GroupMax)
			}
			g.ID, hasID = uint32(id), true
		case "type":
			t := kv.val
			if t == "fast_failover" {
				t = "ff"
			}
			for i, n := range groupTypeNames {
				if n == t {
					g.Type, hasType = GroupType(i), true
				}
			}
			if !hasType {
				return bad("unknown type %q", kv.val)
			}
		case "selection_method", "selection_method_param", "fields", "command_bucket_id":
			return bad("OpenFlow 1.3 has no %s", kv.key)
		default:
			return bad("unknown word %q", kv.key)
		}
	}
	if !hasID || !hasType {
		return bad("needs group_id and type")
	}
	for _, p := range parts[1:] {
		if len(g.Buckets) == 4096 {
			return bad("more buckets than fit in a message")
		}
		k, err := parseBucket(p, g.Type)
		if err != nil {
			return bad("bucket %d: %v", len(g.Buckets), err)
		}
		g.Buckets = append(g.Buckets, k)
	}
	if err := g.Check(); err != nil {
		return bad("%v", err)
	}
	return g, nil
}

func parseBucket(s string, t GroupType) (Bucket, error) {
	k := Bucket{WatchPort: PortAny, WatchGroup: GroupAny}
	if t == GroupSelect {
		k.Weight = 1
	}
	var acts []string
	for _, kv := range splitPairs(strings.TrimRight(s, ", \t\r\n")) {
		var err error
		var n uint64
		switch kv.key {
		case "weight":
			n, err = strconv.ParseUint(kv.val, 0, 16)
			k.Weight = uint16(n)
		case "watch_port":
			k.WatchPort, err = ParsePort(kv.val)
		case "watch_group":
			n, err = strconv.ParseUint(kv.val, 0, 32)
			k.WatchGroup = uint32(n)
		case "bucket_id":
			return k, fmt.Errorf("OpenFlow 1.3 has no bucket_id")
		case "action", "actions":
			acts = append(acts, kv.val)
		default:
			acts = append(acts, kv.text)
		}
		if err != nil {
			return k, fmt.Errorf("%s=%s is not a number of that size", kv.key, kv.val)
		}
	}
	if acts == nil {
		return k, fmt.Errorf("needs actions")
	}
	var err error
	k.Actions, err = ParseActions(strings.Join(acts, ","))
	return k, err
}

// Check says what Open vSwitch would refuse about a group to add.
func (g *GroupDesc) Check() error {
	if g.Type > GroupFastFailover {
		return fmt.Errorf("unknown group type %d", g.Type)
	}
	if g.Type == GroupIndirect && len(g.Buckets) > 1 {
		return fmt.Errorf("an indirect group has at most one bucket, not %d", len(g.Buckets))
	}
	for i := range g.Buckets {
		switch k := &g.Buckets[i]; {
		case g.Type != GroupSelect && k.Weight != 0:
			return fmt.Errorf("bucket %d has a weight; only select groups have", i)
		case g.Type == GroupFastFailover && k.WatchPort == PortAny && k.WatchGroup == GroupAny:
			return fmt.Errorf("bucket %d of a fast failover group needs watch_port or watch_group", i)
		}
	}
	return nil
}

// pair is one "key", "key=value", "key:value" or "key(value)" of a list; text is all of it.
type pair struct{ key, val, text string }

// splitPairs splits a list at commas and white space outside parentheses.
func splitPairs(s string) (out []pair) {
	isSep := func(c byte) bool { return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	for i := 0; i < len(s); {
		if isSep(s[i]) {
			i++
			continue
		}
		start, depth := i, 0
		for ; i < len(s) && (depth > 0 || !isSep(s[i])); i++ {
			switch s[i] {
			case '(', '[':
				depth++
			case ')', ']':
				depth--
			}
		}
		t := s[start:i]
		p := pair{key: t, text: t}
		if k := strings.IndexAny(t, "=:("); k >= 0 {
			p.key, p.val = t[:k], t[k+1:]
			if t[k] == '(' {
				p.val = strings.TrimSuffix(p.val, ")")
			}
		}
		out = append(out, p)
	}
	return out
}
