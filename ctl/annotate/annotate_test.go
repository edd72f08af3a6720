package annotate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock/penstock/opapi"
	"github.com/penstock/penstock/pipeline"
)

var objects = []opapi.Object{
	{Kind: "network", KindNumber: 1, Key: 5, ID: "0000-n1", Name: "n1"},
	{Kind: "port", KindNumber: 3, Key: 7, ID: "0000-p1", Name: "web1", MAC: "fa:16:3e:00:00:01"},
	{Kind: "port", KindNumber: 3, Key: 8, ID: "11112222-3333", Name: ""},
	{Kind: "port", KindNumber: 3, Key: 9, ID: "22223333-4444", Name: "a, \"b\"\n"},
}

// TestWords is every form of match and action that has words of its own.
func TestWords(t *testing.T) {
	x := NewObjects(objects)
	for _, c := range []struct {
		role        pipeline.Role
		flow        string
		match, does string
	}{
		{0, "actions=drop", "everything", "drop"},
		{0, "metadata=0x5,reg14=0x7,reg15=0x8 actions=output:3", "in=web1,out=11112222,net=n1", "output to port 3"},
		{0, "reg15=0 actions=goto_table:58", "out=none", "goto flood"},
		{0, "reg15=9 actions=goto_table:99", `out="a, \"b\"\n"`, "goto table 99"},
		{0, fmt.Sprintf("reg15=0x10/0x10 actions=output:%d", pipeline.PortPatchTun), "reg15=0x10/0x10", "output to br-tun"},
		{0, "reg13=0x2/0xff actions=resubmit(,52)", "punt=arp", "consult fdb"},
		{0, "in_port=3 actions=load:0x5->OXM_OF_METADATA[],load:0x99->NXM_NX_REG14[]", "in_port=3", "net=n1, in=0x99"},
		{0, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=group:5", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "flood n1"},
		{0, "actions=group:3221225473,group:4294967040", "everything", "flood leaf 1, group 0xffffff00"},
		{0, "actions=IN_PORT", "everything", "send back out of the port it came in"},
		{0, "actions=NORMAL", "everything", "output to port NORMAL"},
		{1, fmt.Sprintf("actions=output:%d,output:%d,output:%d", pipeline.PortVXLAN, pipeline.PortGRE, pipeline.PortPatchInt), "everything", "output to vxlan, output to gre, output to br-int"},
		{0, "actions=CONTROLLER:65535", "everything", "to the controller"},
		{0, "actions=controller(max_len=65535,userdata=01.01.00.00.00.07,meter_id=5)", "everything", "to the controller's dhcp handler for web1, limited by meter 5 (dhcp)"},
		{0, "actions=clone(load:0x3->NXM_NX_REG13[0..7],resubmit(,72)),goto_table:44", "everything", "on a copy (punt=icmp, consult punt), goto learn"},
		{0, "actions=set_field:fa:16:3e:00:00:02->eth_src,load:0x2->NXM_OF_ARP_OP[]", "everything", "eth_src=fa:16:3e:00:00:02, arp_op=2"},
		{0, "actions=learn(table=52,idle_timeout=300,priority=100,limit=1024,OXM_OF_METADATA[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_REG14[]->NXM_NX_REG15[])",
			"everything", "learn into fdb (net,eth_dst=eth_src → out=in) until it is idle for 300 s, at most 1024"},
		{0, "actions=learn(table=1,hard_timeout=9,eth_type=0x800,output:NXM_OF_IN_PORT[])", "everything", "learn into table 1 (eth_type=0x0800 → output to in_port) for 9 s"},
		{0, "actions=load:0xa000002->NXM_OF_ARP_SPA[],load:0x1->NXM_NX_REG0[3..4]", "everything", "arp_spa=10.0.0.2, reg0[3..4]=0x1"},
		{0, "ct_state=+trk,ip actions=ct(commit,zone=5)", "ct_state=+trk,ip", "ct(commit,zone=5)"},
		{0, "actions=move:NXM_NX_REG14[]->NXM_NX_REG15[],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "everything", "out=in, eth_dst=eth_src"},
	} {
		f := x.Explain(c.role, "table=0, "+c.flow)
		if f.Problem != "" {
			t.Errorf("%s: %s", c.flow, f.Problem)
		} else if f.Match != c.match || f.Does != c.does {
			t.Errorf("%s:\n got %s → %s\nwant %s → %s", c.flow, f.Match, f.Does, c.match, c.does)
		}
	}
}

// TestEveryRule shows that a cookie of every rule leads back to its sentence and table.
func TestEveryRule(t *testing.T) {
	x := NewObjects(objects)
	for _, tab := range pipeline.Tables() {
		for _, r := range tab.Rules() {
			f := x.Explain(tab.Role, flowText(pipeline.MakeCookie(r.Num, 3, 7), tab.ID))
			if f.TableName != tab.Name || f.Why != r.Doc || f.Owner() != "port web1 (fa:16:3e:00:00:01)" || !f.Ours {
				t.Errorf("%s rule %d: %+v", tab, r.Num, f)
			}
			fs, err := x.Dump(strings.NewReader("NXST_FLOW reply (xid=0x4):\n "+flowText(pipeline.MakeCookie(r.Num, 3, 7), tab.ID)+"\n"), "")
			if err != nil || len(fs) != 1 || fs[0].TableName != tab.Name {
				t.Errorf("%s rule %d: the role is not guessed: %+v, %v", tab, r.Num, fs, err)
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add(uint8(0), "cookie=0x51000a0300000007, duration=12.345s, table=0, n_packets=9, n_bytes=900, priority=100,in_port=3 actions=load:0x5->OXM_OF_METADATA[],goto_table:8")
	f.Add(uint8(1), "reg13=0x1/0x3,reg10=0x1/0x1 actions=clone(controller(userdata=01.01.00.00.00.07)),group:3221225473")
	f.Add(uint8(2), "cookie=999999999999999999999999 actions=")
	x := NewObjects(objects)
	f.Fuzz(func(t *testing.T, role uint8, text string) {
		if fl := x.Explain(pipeline.Role(role%3), text); fl.Problem == "" && (fl.Match == "" || fl.Does == "") {
			t.Errorf("%q: no words: %+v", text, fl)
		}
		_, _ = x.Dump(strings.NewReader(text), "")
	})
}

func flowText(c pipeline.Cookie, table uint8) string {
	return fmt.Sprintf("cookie=0x%x, duration=1s, table=%d, n_packets=0, n_bytes=0, priority=1 actions=drop", uint64(c), table)
}
