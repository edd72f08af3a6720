package openflow

import (
	"strings"
	"testing"
)

// ofctlPairs are texts given to ovs-ofctl add-flow -O OpenFlow13 and what dump-flows --no-stats of an
// ovs-vswitchd 3.1.0 then printed. Left out is where ovs-ofctl itself sends something else than it was told: a masked
// set_field as loads (this package sends NXAST_REG_LOAD2, which the switch prints as set_field), part of the VLAN
// priority as all of it, ct_tp_src without ct_nw_proto as nothing.
var ofctlPairs = [][2]string{
	{
		`table=1,priority=1 actions=output:1,LOCAL,IN_PORT,CONTROLLER,CONTROLLER:128,NORMAL,FLOOD,ALL,output:NXM_NX_REG0[],output:reg0[0..15],output(port=1,max_len=100),group:1`,
		`table=1, priority=1 actions=output:1,LOCAL,IN_PORT,CONTROLLER:65535,CONTROLLER:128,NORMAL,FLOOD,ALL,output:NXM_NX_REG0[],output:NXM_NX_REG0[0..15],output(port=1,max_len=100),group:1`,
	},
	{
		`table=1,priority=2 actions=controller,controller(max_len=5),controller(reason=no_match,id=5),controller(userdata=01.02.03,pause),controller(id=3,meter_id=5)`,
		`table=1, priority=2 actions=CONTROLLER:65535,CONTROLLER:5,controller(reason=no_match,id=5),controller(userdata=01.02.03,pause),controller(id=3,meter_id=5)`,
	},
	{
		`table=1,priority=4,tcp actions=mod_vlan_vid:5,mod_vlan_pcp:3,strip_vlan,push_vlan:0x8100,mod_dl_src:00:11:22:33:44:55,mod_nw_src:1.2.3.4,mod_nw_tos:8,mod_tp_src:80,mod_nw_ttl:5,dec_ttl,dec_ttl(1,2),mod_nw_ecn:2`,
		`table=1, priority=4,tcp actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp,pop_vlan,push_vlan:0x8100,set_field:00:11:22:33:44:55->eth_src,set_field:1.2.3.4->ip_src,set_field:2->ip_dscp,set_field:80->tcp_src,mod_nw_ttl:5,dec_ttl,dec_ttl(1,2),set_field:2->nw_ecn`,
	},
	{
		`table=1,priority=5,mpls actions=set_mpls_label:5,set_mpls_tc:3,set_mpls_ttl:5,dec_mpls_ttl,pop_mpls:0x0800`,
		`table=1, priority=5,mpls actions=set_field:5->mpls_label,set_field:3->mpls_tc,set_mpls_ttl(5),dec_mpls_ttl,pop_mpls:0x0800`,
	},
	{
		`table=1,priority=6,ip actions=push_mpls:0x8847`,
		`table=1, priority=6,ip actions=push_mpls:0x8847`,
	},
	{
		`table=1,priority=10,tcp actions=learn(table=1,idle_timeout=10,hard_timeout=20,fin_idle_timeout=3,fin_hard_timeout=4,priority=5,send_flow_rem,cookie=0x5,delete_learned,limit=5,result_dst=reg0[5],NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],eth_type=0x800,nw_proto=6,load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],load:5->reg1[],output:NXM_OF_IN_PORT[],reg2[0..5]=7,nw_src=1.2.3.4,load:0x123456789abcdef01234->xxreg1[])`,
		`table=1, priority=10,tcp actions=learn(table=1,idle_timeout=10,hard_timeout=20,fin_idle_timeout=3,fin_hard_timeout=4,priority=5,send_flow_rem,delete_learned,cookie=0x5,limit=5,result_dst=NXM_NX_REG0[5],NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],eth_type=0x800,nw_proto=6,load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],load:0x5->NXM_NX_REG1[],output:NXM_OF_IN_PORT[],NXM_NX_REG2[0..5]=0x7,ip_src=1.2.3.4,load:0x123456789abcdef01234->NXM_NX_XXREG1[])`,
	},
	{
		`table=1,priority=11,conj_id=1 actions=conjunction(1,2/3),conjunction(2,1/2),note:01.02`,
		`table=1, priority=11,conj_id=1 actions=conjunction(1,2/3),conjunction(2,1/2),note:01.02.00.00.00.00`,
	},
	{
		`table=1,priority=12 actions=clone(output:1,clone(output:2)),check_pkt_larger(100)->reg0[5],multipath(eth_src,50,modulo_n,1,0,reg0[0..15]),bundle(symmetric_l4,0,active_backup,ofport,members:1,2),bundle_load(eth_src,50,hrw,ofport,reg0[],members:1,2),note:01.02,exit`,
		`table=1, priority=12 actions=clone(output:1,clone(output:2)),check_pkt_larger(100)->NXM_NX_REG0[5],multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[0..15]),bundle(symmetric_l4,0,active_backup,ofport,members:1,2),bundle_load(eth_src,50,hrw,ofport,NXM_NX_REG0[],members:1,2),note:01.02.00.00.00.00,exit`,
	},
	{
		`table=1,priority=13 actions=sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=1,egress),sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4),set_queue:5,pop_queue,enqueue:1:2,push:reg0[],pop:reg1[0..15],set_tunnel:5,set_tunnel64:7`,
		`table=1, priority=13 actions=sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=1,egress),sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4),set_queue:5,pop_queue,set_queue:2,output:1,pop_queue,push:NXM_NX_REG0[],pop:NXM_NX_REG1[0..15],set_field:0x5->tun_id,set_field:0x7->tun_id`,
	},
	{
		`table=1,priority=14,tcp actions=fin_timeout(idle_timeout=1,hard_timeout=2),delete_field:tun_metadata0`,
		`table=1, priority=14,tcp actions=fin_timeout(idle_timeout=1,hard_timeout=2),delete_field:tun_metadata0`,
	},
	{
		`table=1,priority=15 actions=meter:1,output:1,clear_actions,write_actions(output:1,set_field:1->reg0),write_metadata:0x5/0xff,goto_table:5`,
		`table=1, priority=15 actions=meter:1,output:1,clear_actions,write_actions(output:1,set_field:0x1->reg0),write_metadata:0x5/0xff,goto_table:5`,
	},
	{
		`table=1,priority=17 actions=multipath(symmetric_l4,0,hrw,8,0,reg0[0..2]),multipath(nw_src,0,iter_hash,8,5,reg0[0..2]),multipath(symmetric_l3l4+udp,0,hash_threshold,8,0,reg0[0..2]),multipath(symmetric_l3,0,hrw,8,0,reg0[0..2]),multipath(symmetric_l3l4,0,hrw,8,0,reg0[0..2]),multipath(nw_dst,0,hrw,8,0,reg0[0..2])`,
		`table=1, priority=17 actions=multipath(symmetric_l4,0,hrw,8,0,NXM_NX_REG0[0..2]),multipath(nw_src,0,iter_hash,8,5,NXM_NX_REG0[0..2]),multipath(symmetric_l3l4+udp,0,hash_threshold,8,0,NXM_NX_REG0[0..2]),multipath(symmetric_l3,0,hrw,8,0,NXM_NX_REG0[0..2]),multipath(symmetric_l3l4,0,hrw,8,0,NXM_NX_REG0[0..2]),multipath(nw_dst,0,hrw,8,0,NXM_NX_REG0[0..2])`,
	},
	{
		`cookie=0x5,table=1,priority=18,idle_timeout=5,hard_timeout=6,send_flow_rem,check_overlap,reset_counts,no_packet_counts,no_byte_counts,importance=5 actions=`,
		`cookie=0x5, table=1, idle_timeout=5, hard_timeout=6, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts priority=18 actions=drop`,
	},
	{
		`table=2,priority=7,ip actions=ct,ct(commit),ct(commit,force,zone=5,table=3,nat(src=10.0.0.1-10.0.0.5:1-100,persistent,hash),exec(set_field:5->ct_mark,load:1->ct_label[0..31]))`,
		`table=2, priority=7,ip actions=ct(),ct(commit),ct(commit,force,table=3,zone=5,nat(src=10.0.0.1-10.0.0.5:1-100,persistent,hash),exec(set_field:0x5->ct_mark,load:0x1->NXM_NX_CT_LABEL[0..31]))`,
	},
	{
		`table=2,priority=8,ip actions=ct(commit,exec(move:reg0[]->ct_mark[]))`,
		`table=2, priority=8,ip actions=ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))`,
	},
	{
		`table=2,priority=10,tcp actions=ct(commit,alg=ftp)`,
		`table=2, priority=10,tcp actions=ct(commit,alg=ftp)`,
	},
	{
		`table=2,priority=11,udp actions=ct(commit,alg=tftp),ct_clear`,
		`table=2, priority=11,udp actions=ct(commit,alg=tftp),ct_clear`,
	},
	{
		`table=2,priority=12,ipv6 actions=ct(commit,nat(src=fe80::1-fe80::5,random)),ct(commit,nat(src=[fe80::1]:80)),ct(commit,nat(src)),ct(commit,nat(dst=fe80::1)),ct(commit,nat(src=[fe80::1]-[fe80::6]:80-90,persistent,random))`,
		`table=2, priority=12,ipv6 actions=ct(commit,nat(src=fe80::1-fe80::5,random)),ct(commit,nat(src=[fe80::1]:80)),ct(commit,nat(src)),ct(commit,nat(dst=fe80::1)),ct(commit,nat(src=[fe80::1]-[fe80::6]:80-90,persistent,random))`,
	},
	{
		`table=2,priority=13,ip actions=resubmit:1,resubmit(1,2),resubmit(,2)`,
		`table=2, priority=13,ip actions=resubmit:1,resubmit(1,2),resubmit(,2)`,
	},
	{
		`table=2,priority=16,dl_type=0x894f actions=dec_nsh_ttl,decap()`,
		`table=2, priority=16,dl_type=0x894f actions=dec_nsh_ttl,decap()`,
	},
	{
		`table=2,priority=17 actions=encap(nsh(md_type=1))`,
		`table=2, priority=17 actions=encap(nsh(md_type=1))`,
	},
	{
		`table=2,priority=18 actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba9876543210)))`,
		`table=2, priority=18 actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba9876543210)))`,
	},
	{
		`table=2,priority=19,packet_type=(1,0x894f) actions=encap(ethernet)`,
		`table=2, priority=19,packet_type=(1,0x894f) actions=encap(ethernet)`,
	},
	{
		`table=2,priority=20,packet_type=(1,0x800) actions=encap(ethernet)`,
		`table=2, priority=20,packet_type=(1,0x800) actions=encap(ethernet)`,
	},
	{
		`table=2,priority=22 actions=encap(mpls),decap(packet_type(ns=0,type=0))`,
		`table=2, priority=22 actions=encap(mpls),decap(packet_type(ns=0,type=0))`,
	},
	{
		`table=2,priority=23 actions=decap()`,
		`table=2, priority=23 actions=decap()`,
	},
	{
		`table=2,priority=24,dl_type=0x8847 actions=decap(packet_type(ns=0,type=0))`,
		`table=2, priority=24,mpls actions=decap(packet_type(ns=0,type=0))`,
	},
	{
		`table=2,priority=28,ipv6,ct_state=+trk+est,ct_ipv6_src=fe80::1,ct_nw_proto=6,ct_tp_src=5,ct_ipv6_dst=fe80::/16,ct_tp_dst=8/0xff,ct_zone=5,ct_mark=5/7,ct_label=0x5/0x7 actions=drop`,
		`table=2, priority=28,ct_state=+est+trk,ct_zone=5,ct_mark=0x5/0x7,ct_label=0x5/0x7,ct_ipv6_src=fe80::1,ct_ipv6_dst=fe80::/16,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=0x8/0xff,ipv6 actions=drop`,
	},
	{
		`table=2,priority=29,ip,nw_frag=later,nw_tos=4,nw_ecn=1,nw_ttl=5 actions=drop`,
		`table=2, priority=29,ip,nw_tos=4,nw_ecn=1,nw_ttl=5,nw_frag=later actions=drop`,
	},
	{
		`table=2,priority=30,ipv6,ipv6_label=5/7,nw_frag=no,ipv6_src=fe80::/16 actions=drop`,
		`table=2, priority=30,ipv6,ipv6_src=fe80::/16,ipv6_label=0x00005/0x00007,nw_frag=no actions=drop`,
	},
	{
		`table=2,priority=31,vlan_tci=0/0x1fff actions=drop`,
		`table=2, priority=31,vlan_tci=0x0000/0x1fff actions=drop`,
	},
	{
		`table=2,priority=32,vlan_tci=0 actions=drop`,
		`table=2, priority=32,vlan_tci=0x0000/0x1fff actions=drop`,
	},
	{
		`table=2,priority=33,vlan_tci=0x1005/0x100f actions=drop`,
		`table=2, priority=33,vlan_tci=0x1005/0x100f actions=drop`,
	},
	{
		`table=2,priority=35,dl_vlan=5,dl_vlan_pcp=3 actions=drop`,
		`table=2, priority=35,dl_vlan=5,dl_vlan_pcp=3 actions=drop`,
	},
	{
		`table=2,priority=36,dl_vlan_pcp=3 actions=drop`,
		`table=2, priority=36,dl_vlan_pcp=3 actions=drop`,
	},
	{
		`table=2,priority=37,dl_vlan=0xffff actions=drop`,
		`table=2, priority=37,vlan_tci=0x0000/0x1fff actions=drop`,
	},
	{
		`table=2,priority=38,vlan_vid=0x1000/0x1000 actions=drop`,
		`table=2, priority=38,vlan_tci=0x1000/0x1000 actions=drop`,
	},
	{
		`table=2,priority=39,vlan_tci=0xf005 actions=drop`,
		`table=2, priority=39,dl_vlan=5,dl_vlan_pcp=7 actions=drop`,
	},
	{
		`table=2,priority=40,xreg0=0x100000005,xxreg1=0x5/0x7 actions=drop`,
		`table=2, priority=40,reg0=0x1,reg1=0x5,reg7=0x5/0x7 actions=drop`,
	},
	{
		`table=2,priority=41,tun_metadata0=5,tun_metadata1=5/7,tun_flags=oam,tun_gbp_id=5/7,tun_gbp_flags=3 actions=drop`,
		`table=2, priority=41,tun_gbp_id=0x5/0x7,tun_gbp_flags=0x3,tun_flags=+oam,tun_metadata0=0x5,tun_metadata1=0x5/0x7 actions=drop`,
	},
	{
		`table=2,priority=42,tun_ipv6_src=fe80::1,tun_src=1.2.3.4,tun_dst=1.2.0.0/16,tun_gbp_flags=3/3,tun_gbp_id=5 actions=drop`,
		`table=2, priority=42,tun_src=1.2.3.4,tun_dst=1.2.0.0/16,tun_ipv6_src=fe80::1,tun_gbp_id=5,tun_gbp_flags=0x3 actions=drop`,
	},
	{
		`table=2,priority=44,mpls,mpls_label=5,mpls_tc=3,mpls_bos=1,mpls_ttl=5 actions=drop`,
		`table=2, priority=44,mpls,mpls_label=5,mpls_tc=3,mpls_ttl=5,mpls_bos=1 actions=drop`,
	},
	{
		`table=2,priority=45,arp,arp_op=1,arp_spa=1.2.3.4,arp_tpa=1.2.3.0/24,arp_sha=00:11:22:33:44:55,arp_tha=00:11:22:33:44:55/ff:ff:ff:00:00:00 actions=drop`,
		`table=2, priority=45,arp,arp_spa=1.2.3.4,arp_tpa=1.2.3.0/24,arp_op=1,arp_sha=00:11:22:33:44:55,arp_tha=00:11:22:00:00:00/ff:ff:ff:00:00:00 actions=drop`,
	},
	{
		`table=2,priority=46,arp,arp_op=1,nw_src=1.2.3.4 actions=drop`,
		`table=2, priority=46,arp,arp_spa=1.2.3.4,arp_op=1 actions=drop`,
	},
	{
		`table=2,priority=47,rarp,arp_op=3 actions=drop`,
		`table=2, priority=47,rarp,arp_op=3 actions=drop`,
	},
	{
		`table=2,priority=48,icmp,icmp_type=8,icmp_code=0 actions=drop`,
		`table=2, priority=48,icmp,icmp_type=8,icmp_code=0 actions=drop`,
	},
	{
		`table=2,priority=49,icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:11:22:33:44:55 actions=drop`,
		`table=2, priority=49,icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:11:22:33:44:55 actions=drop`,
	},
	{
		`table=2,priority=50,icmp6,icmp_type=136,icmp_code=0,nd_target=fe80::/16,nd_tll=00:11:22:33:44:55 actions=drop`,
		`table=2, priority=50,icmp6,icmp_type=136,icmp_code=0,nd_target=fe80::/16,nd_tll=00:11:22:33:44:55 actions=drop`,
	},
	{
		`table=2,priority=51,sctp,tp_src=5,tp_dst=8/0xfff8 actions=drop`,
		`table=2, priority=51,sctp,tp_src=5,tp_dst=0x8/0xfff8 actions=drop`,
	},
	{
		`table=2,priority=52,udp6,udp_src=5 actions=drop`,
		`table=2, priority=52,udp6,tp_src=5 actions=drop`,
	},
	{
		`table=2,priority=53,ip,nw_proto=2 actions=drop`,
		`table=2, priority=53,ip,nw_proto=2 actions=drop`,
	},
	{
		`table=2,priority=54,dl_type=0x1234,dl_src=00:11:22:33:44:55,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop`,
		`table=2, priority=54,dl_src=00:11:22:33:44:55,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,dl_type=0x1234 actions=drop`,
	},
	{
		`table=2,priority=55,in_port=LOCAL,pkt_mark=5/7,metadata=5/7,tun_id=7/8 actions=drop`,
		`table=2, priority=55,pkt_mark=0x5/0x7,tun_id=0/0x8,metadata=0x5/0x7,in_port=LOCAL actions=drop`,
	},
	{
		`table=2,priority=56,in_port=CONTROLLER,conj_id=5,actset_output=LOCAL,reg15=5 actions=drop`,
		`table=2, priority=56,conj_id=5,actset_output=LOCAL,reg15=0x5,in_port=CONTROLLER actions=drop`,
	},
	{
		`table=2,priority=57,ct_state=-trk actions=drop`,
		`table=2, priority=57,ct_state=-trk actions=drop`,
	},
	{
		`table=2,priority=58,ct_state=0x21/0xff actions=drop`,
		`table=2, priority=58,ct_state=new|trk actions=drop`,
	},
	{
		`table=2,priority=59,ct_state=+new+est+rel+rpl+inv+trk+snat+dnat actions=drop`,
		`table=2, priority=59,ct_state=new|est|rel|rpl|inv|trk|snat|dnat actions=drop`,
	},
	{
		`table=2,priority=60,tcp,tcp_flags=0xfff actions=drop`,
		`table=2, priority=60,tcp,tcp_flags=fin|syn|rst|psh|ack|urg|ece|cwr|ns|[200]|[400]|[800] actions=drop`,
	},
	{
		`table=2,priority=61,tcp,tcp_flags=0x12/0xfff actions=drop`,
		`table=2, priority=61,tcp,tcp_flags=syn|ack actions=drop`,
	},
	{
		`table=2,priority=62,tcp,tcp_flags=syn|ack actions=drop`,
		`table=2, priority=62,tcp,tcp_flags=syn|ack actions=drop`,
	},
	{
		`table=2,priority=63,tcp,tcp_flags=+fin+syn+rst+psh+ack+urg+ece+cwr+ns actions=drop`,
		`table=2, priority=63,tcp,tcp_flags=+fin+syn+rst+psh+ack+urg+ece+cwr+ns actions=drop`,
	},
	{
		`table=2,priority=64,packet_type=(1,0x800),nw_src=1.2.3.4 actions=drop`,
		`table=2, priority=64,packet_type=(1,0x800),nw_src=1.2.3.4 actions=drop`,
	},
	{
		`table=2,priority=65,nw_src=1.2.3.4/255.0.255.0,ip,nw_frag=first actions=drop`,
		`table=2, priority=65,ip,nw_src=1.0.3.0/255.0.255.0,nw_frag=first actions=drop`,
	},
	{
		`table=2,priority=66,ip,nw_frag=not_later actions=drop`,
		`table=2, priority=66,ip,nw_frag=not_later actions=drop`,
	},
	{
		`table=2,priority=67,ip,nw_frag=yes actions=drop`,
		`table=2, priority=67,ip,nw_frag=yes actions=drop`,
	},
	{
		`table=2,priority=68,ct_zone=5,ct_mark=7,ct_label=0xffffffffffffffffffffffffffffffff actions=drop`,
		`table=2, priority=68,ct_zone=5,ct_mark=0x7,ct_label=0xffffffffffffffffffffffffffffffff actions=drop`,
	},
	{
		`table=2,priority=69,dl_type=0x8847 actions=drop`,
		`table=2, priority=69,mpls actions=drop`,
	},
	{
		`table=2,priority=70,mplsm actions=drop`,
		`table=2, priority=70,mplsm actions=drop`,
	},
	{
		`table=2,priority=71,packet_type=(0,0),in_port=1 actions=drop`,
		`table=2, priority=71,in_port=1 actions=drop`,
	},
	{
		`table=2,priority=72,tun_id=0,metadata=0,reg0=0,pkt_mark=0,ct_mark=0,ct_zone=0,tun_gbp_id=0,tun_erspan_idx=0 actions=drop`,
		`table=2, priority=72,pkt_mark=0,ct_zone=0,ct_mark=0,reg0=0,tun_id=0,tun_gbp_id=0,metadata=0 actions=drop`,
	},
	{
		`table=2,priority=73,icmp,icmp_type=8 actions=ct(commit,zone=0),ct(force,commit,zone=65535)`,
		`table=2, priority=73,icmp,icmp_type=8 actions=ct(commit),ct(commit,force,zone=65535)`,
	},
	{
		`table=2,priority=74,udp,tp_src=0x10/0xfff0 actions=write_actions(pop_vlan,push_vlan:0x88a8,output:5,group:1,set_queue:4,dec_ttl,set_field:1->reg0)`,
		`table=2, priority=74,udp,tp_src=0x10/0xfff0 actions=write_actions(pop_vlan,push_vlan:0x88a8,output:5,group:1,set_queue:4,dec_ttl,set_field:0x1->reg0)`,
	},
	{
		`table=2,priority=75 actions=controller(reason=action,max_len=10,id=1,userdata=,meter_id=5,pause)`,
		`table=2, priority=75 actions=controller(max_len=10,id=1,pause,meter_id=5)`,
	},
	{
		`table=2,priority=76 actions=write_metadata:5,goto_table:6`,
		`table=2, priority=76 actions=write_metadata:0x5,goto_table:6`,
	},
	{
		`table=2,priority=77 actions=learn(delete_learned),learn(table=1,limit=5),learn(table=0,limit=5,result_dst=reg0[5])`,
		`table=2, priority=77 actions=learn(table=1,delete_learned),learn(table=1,limit=5),learn(table=0,limit=5,result_dst=NXM_NX_REG0[5])`,
	},
	{
		`priority=1 actions=check_pkt_larger(100)->reg0[5]`,
		`priority=1 actions=check_pkt_larger(100)->NXM_NX_REG0[5]`,
	},
	{
		`priority=2 actions=delete_field:tun_metadata1`,
		`priority=2 actions=delete_field:tun_metadata1`,
	},
	{
		`priority=3 actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))`,
		`priority=3 actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))`,
	},
	{
		`priority=4 actions=encap(ethernet)`,
		`priority=4 actions=encap(ethernet)`,
	},
	{
		`priority=5,packet_type=(1,5) actions=decap(packet_type(ns=1,type=2))`,
		`priority=5,packet_type=(1,5) actions=decap(packet_type(ns=1,type=0x2))`,
	},
	{
		`priority=6 actions=decap()`,
		`priority=6 actions=decap()`,
	},
	{
		`priority=7,dl_type=0x894f actions=check_pkt_larger(100)->nsh_c1[5]`,
		`priority=7,dl_type=0x894f actions=check_pkt_larger(100)->NXOXM_NSH_C1[5]`,
	},
	{
		`priority=8,ip actions=ct(commit,nat(src=1.2.3.4),exec(load:1->ct_mark[]))`,
		`priority=8,ip actions=ct(commit,nat(src=1.2.3.4),exec(load:0x1->NXM_NX_CT_MARK[]))`,
	},
	{
		`priority=9 actions=learn(table=1,limit=5,result_dst=reg0[5],NXM_OF_VLAN_TCI[0..11],eth_type=0x800,load:5->reg1[])`,
		`priority=9 actions=learn(table=1,limit=5,result_dst=NXM_NX_REG0[5],NXM_OF_VLAN_TCI[0..11],eth_type=0x800,load:0x5->NXM_NX_REG1[])`,
	},
	{
		`priority=11 actions=bundle(symmetric_l4,0,active_backup,ofport,members:1,2),multipath(eth_src,50,modulo_n,1,0,reg0[0..15])`,
		`priority=11 actions=bundle(symmetric_l4,0,active_backup,ofport,members:1,2),multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[0..15])`,
	},
	{
		`priority=12 actions=controller(reason=no_match,id=5,userdata=01.02.03,pause)`,
		`priority=12 actions=controller(reason=no_match,id=5,userdata=01.02.03,pause)`,
	},
	{
		`priority=13 actions=controller(id=5)`,
		`priority=13 actions=controller(id=5)`,
	},
	{
		`priority=14 actions=clone(output:1)`,
		`priority=14 actions=clone(output:1)`,
	},
	{
		`priority=15,dl_type=0x894f actions=push:nsh_c1[0..3],move:nsh_c1[]->reg0[],output:nsh_c1[]`,
		`priority=15,dl_type=0x894f actions=push:NXOXM_NSH_C1[0..3],move:NXOXM_NSH_C1[]->NXM_NX_REG0[],output:NXOXM_NSH_C1[]`,
	},
	{
		`priority=16,tun_metadata1=5,actions=set_field:5->tun_metadata1,load:1->tun_metadata1[]`,
		`priority=16,tun_metadata1=0x5 actions=set_field:0x5->tun_metadata1,set_field:0x1->tun_metadata1`,
	},
	{
		`priority=18,actions=ct_clear,resubmit(,2),resubmit:1,set_queue:1,pop_queue,bundle_load(eth_src,50,hrw,ofport,reg0[],members:1,2)`,
		`priority=18 actions=ct_clear,resubmit(,2),resubmit:1,set_queue:1,pop_queue,bundle_load(eth_src,50,hrw,ofport,NXM_NX_REG0[],members:1,2)`,
	},
	{
		`priority=19,tcp,tcp_flags=5,actset_output=1,tun_erspan_ver=1 actions=move:tcp_flags[]->reg1[0..11]`,
		`priority=19,actset_output=1,tcp,tun_erspan_ver=1,tcp_flags=fin|rst actions=move:NXM_NX_TCP_FLAGS[]->NXM_NX_REG1[0..11]`,
	},
	{
		`priority=20,icmp6,icmp_type=135,icmp_code=0,nd_reserved=1,nd_options_type=1 actions=drop`,
		`priority=20,icmp6,icmp_type=135,icmp_code=0,nd_reserved=1,nd_options_type=1 actions=drop`,
	},
	{
		`priority=21,ip actions=dec_ttl(1,2)`,
		`priority=21,ip actions=dec_ttl(1,2)`,
	},
	{
		`priority=1,packet_type=(1,5) actions=drop`,
		`priority=1,packet_type=(1,5) actions=drop`,
	},
	{
		`priority=2,packet_type=(1,100) actions=drop`,
		`priority=2,packet_type=(1,0x64) actions=drop`,
	},
	{
		`priority=3,packet_type=(1,0x5ff) actions=drop`,
		`priority=3,packet_type=(1,0x5ff) actions=drop`,
	},
	{
		`priority=4,packet_type=(0,5) actions=drop`,
		`priority=4,packet_type=(0,5) actions=drop`,
	},
	{
		`priority=5,packet_type=(2,0) actions=drop`,
		`priority=5,packet_type=(2,0) actions=drop`,
	},
	{
		`priority=6,packet_type=(1,10) actions=drop`,
		`priority=6,packet_type=(1,0xa) actions=drop`,
	},
	{
		`priority=7 actions=set_field:0->reg0,set_field:0->xxreg0,set_field:0->metadata,write_metadata:0`,
		`priority=7 actions=set_field:0->reg0,set_field:0->xxreg0,set_field:0->metadata,write_metadata:0`,
	},
	{
		`priority=8,ip actions=ct(commit,exec(set_field:0->ct_mark,set_field:0x0->ct_label,set_field:0x123456789abcdef0123456789->ct_label))`,
		`priority=8,ip actions=ct(commit,exec(set_field:0->ct_mark,set_field:0->ct_label,set_field:0x123456789abcdef0123456789->ct_label))`,
	},
	{
		`priority=9,ipv6 actions=set_field:::1.2.3.4->ipv6_src,set_field:::ffff:1.2.3.4->ipv6_src,set_field:::1234->ipv6_src,set_field:::->ipv6_src,set_field:1::->ipv6_src,set_field:0x5->ipv6_label,set_field:1:0:0:2::->ipv6_dst,set_field:1:2:3:4:5:6:0:8->ipv6_dst`,
		`priority=9,ipv6 actions=set_field:::1.2.3.4->ipv6_src,set_field:::ffff:1.2.3.4->ipv6_src,set_field:::1234->ipv6_src,set_field:::->ipv6_src,set_field:1::->ipv6_src,set_field:0x5->ipv6_label,set_field:1:0:0:2::->ipv6_dst,set_field:1:2:3:4:5:6:0:8->ipv6_dst`,
	},
	{
		`priority=11,arp actions=set_field:2->arp_op,set_field:1.2.3.4->arp_spa,set_field:00:11:22:33:44:55->arp_sha`,
		`priority=11,arp actions=set_field:2->arp_op,set_field:1.2.3.4->arp_spa,set_field:00:11:22:33:44:55->arp_sha`,
	},
	{
		`priority=12,tun_metadata0=0x5/0x0f actions=delete_field:tun_metadata0`,
		`priority=12,tun_metadata0=0x5/0xf actions=delete_field:tun_metadata0`,
	},
	{
		`priority=13,reg0=0x0/0xff,metadata=0/0xf,tun_id=0/0xf,pkt_mark=0/0xf,ct_mark=0/0xf,ct_label=0/0xf,tun_gbp_id=0/0xf actions=drop`,
		`priority=13,pkt_mark=0/0xf,ct_mark=0/0xf,ct_label=0/0xf,reg0=0/0xff,tun_id=0/0xf,tun_gbp_id=0x0/0xf,metadata=0/0xf actions=drop`,
	},
	{
		`priority=15 actions=controller(userdata=01.02,id=1,reason=invalid_ttl,max_len=0),controller(reason=packet_out,id=1),controller(reason=group,id=1),controller(reason=action_set,id=3),controller(userdata=,id=1)`,
		`priority=15 actions=controller(reason=invalid_ttl,max_len=0,id=1,userdata=01.02),controller(reason=packet_out,id=1),controller(reason=group,id=1),controller(reason=action_set,id=3),controller(id=1)`,
	},
	{
		`priority=16 actions=note:,note:01.02.03.04.05.06.07`,
		`priority=16 actions=note:00.00.00.00.00.00,note:01.02.03.04.05.06.07.00.00.00.00.00.00.00`,
	},
	{
		`priority=17,tcp actions=fin_timeout()`,
		`priority=17,tcp actions=fin_timeout()`,
	},
	{
		`priority=18,ip actions=ct(commit,nat(src=1.2.3.4,random)),ct(commit,nat(src=1.2.3.4:80)),ct(commit,nat(dst=1.2.3.4:80-90)),ct(nat),ct(table=0,nat)`,
		`priority=18,ip actions=ct(commit,nat(src=1.2.3.4,random)),ct(commit,nat(src=1.2.3.4:80)),ct(commit,nat(dst=1.2.3.4:80-90)),ct(nat),ct(table=0,nat)`,
	},
	{
		`priority=20,vlan_vid=5 actions=drop`,
		`priority=20,vlan_tci=0x0005/0x1fff actions=drop`,
	},
	{
		`priority=21,vlan_vid=0x1005/0x10ff actions=drop`,
		`priority=21,vlan_tci=0x1005/0x10ff actions=drop`,
	},
	{
		`priority=27,tcp actions=set_field:5->tcp_src,mod_tp_dst:6`,
		`priority=27,tcp actions=set_field:5->tcp_src,set_field:6->tcp_dst`,
	},
	{
		`priority=28,mpls actions=set_field:5->mpls_label,load:5->mpls_label[0..3],set_field:7->mpls_ttl`,
		`priority=28,mpls actions=set_field:5->mpls_label,load:0x5->OXM_OF_MPLS_LABEL[0..3],set_field:7->mpls_ttl`,
	},
	{
		`priority=29,ip actions=set_field:3->ip_dscp,set_field:12->nw_tos,set_field:7->nw_ttl,load:3->nw_tos[2..7]`,
		`priority=29,ip actions=set_field:3->ip_dscp,set_field:12->nw_tos,set_field:7->nw_ttl,load:0x3->NXM_OF_IP_TOS[2..7]`,
	},
	{
		`priority=30,icmp6,icmp_type=135,icmp_code=0 actions=set_field:1->nd_reserved,set_field:2->nd_options_type,set_field:136->icmpv6_type,set_field:fe80::1->nd_target,set_field:00:11:22:33:44:55->nd_sll`,
		`priority=30,icmp6,icmp_type=135,icmp_code=0 actions=set_field:1->nd_reserved,set_field:2->nd_options_type,set_field:136->icmpv6_type,set_field:fe80::1->nd_target,set_field:00:11:22:33:44:55->nd_sll`,
	},
	{
		`priority=1,ip,ct_state=+rpl,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=1,ct_state=+rpl,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=2,ip,ct_state=+trk-inv,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=2,ct_state=-inv+trk,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=3,ip,ct_state=+snat,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=3,ct_state=+snat,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=5,ip,ct_state=+new,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=5,ct_state=+new,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=6,ip,ct_state=+est,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=6,ct_state=+est,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=7,ip,ct_state=+rel,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=7,ct_state=+rel,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
	{
		`priority=12,ct_state=+est,ct_nw_proto=6,ct_tp_src=5 actions=drop`,
		`priority=12,ct_state=+est,ct_nw_proto=6,ct_tp_src=5 actions=drop`,
	},
	{
		`priority=13,ip,ct_state=+est-inv actions=resubmit(,3,ct)`,
		`priority=13,ct_state=+est-inv,ip actions=resubmit(,3,ct)`,
	},
	{
		`priority=14,ip,ct_state=+trk-inv actions=resubmit(,3,ct)`,
		`priority=14,ct_state=-inv+trk,ip actions=resubmit(,3,ct)`,
	},
	{
		`priority=15,ct_state=+est actions=resubmit(,3,ct)`,
		`priority=15,ct_state=+est actions=resubmit(,3,ct)`,
	},
	{
		`priority=17,ip,ct_state=+est-trk,ct_nw_src=1.2.3.4 actions=drop`,
		`priority=17,ct_state=+est-trk,ct_nw_src=1.2.3.4,ip actions=drop`,
	},
}

func TestTextIsThatOfOfctl(t *testing.T) {
	for _, p := range ofctlPairs {
		f, err := ParseFlow(p[0])
		if err != nil {
			t.Errorf("%s: %v", p[0], err)
			continue
		}
		f.Importance = 0 // not sent over OpenFlow 1.3
		if err := f.Check(); err != nil {
			t.Errorf("Check: %s: %v", p[0], err)
		}
		if got := f.String(); got != p[1] {
			t.Errorf("%s\n want %s\n  got %s", p[0], p[1], got)
		}
	}
}

// Each text is refused, by the parser or by Check, with an error that holds the words.
func TestRefused(t *testing.T) {
	for _, c := range [][2]string{
		{"tcp_dst=80 actions=drop", "tcp_dst needs ip_proto 6 (nw_proto=6) and eth_type 0x0800 or 0x86dd"},
		{"ip,tcp_dst=80 actions=drop", "tcp_dst needs ip_proto 6"},
		{"tp_dst=80 actions=drop", "tp_dst needs ip_proto 6, 17 or 132"},
		{"nw_src=10.0.0.1 actions=drop", "ip_src needs eth_type 0x0800 (ip)"},
		{"ipv6,arp_spa=10.0.0.1 actions=drop", "arp_spa needs eth_type 0x0806"},
		{"icmp6,nd_target=fe80::1 actions=drop", "nd_target needs icmpv6_type 135 or 136"},
		{"ct_state=+trk,ip,ct_nw_src=1.2.3.4 actions=drop", "ct_nw_src needs a ct_state that says valid"},
		{"mpls_label=5 actions=drop", "mpls_label needs eth_type 0x8847"},
		{"in_port=1 actions=dec_ttl", "dec_ttl needs eth_type 0x0800 or 0x86dd"},
		{"ip actions=set_field:80->tcp_src", "set_field: tcp_src needs ip_proto 6"},
		{"actions=pop_vlan", "pop_vlan needs a VLAN tag"},
		{"actions=set_field:5->ct_mark", "inside ct(exec(…)) only"},
		{"ip actions=ct(exec(set_field:1->ct_mark))", "needs commit"},
		{"ip actions=ct(commit,exec(set_field:1->reg0))", "exec takes set_field"},
		{"ip actions=ct(commit,nat(src=fe80::1))", "nat to an IPv6 address needs eth_type 0x86dd"},
		{"ip actions=ct(commit,nat(src=1.2.3.4,hash,random))", "hash or random"},
		{"ip actions=goto_table:5,output:1", "stands too late"},
		{"table=5 actions=goto_table:5", "must be a later one"},
		{"actions=goto_table:1,goto_table:2", "stands too late"},
		{"actions=clone(goto_table:1)", "is an instruction"},
		{"actions=load:16->reg0[0..3]", "does not fit in 4 bits"},
		{"actions=load:1->reg0[0..32]", "bits 0 to 31"},
		{"actions=move:reg0[0..3]->reg1[]", "source has 4 bits, destination 32"},
		{"actions=conjunction(1,3/2)", "clause 3 of 2"},
		{"actions=output:1", ""},
		{"actions=frobnicate", "is not an action"},
		{"frob=1 actions=drop", "is not a field"},
		{"frob actions=drop", "is not a match"},
		{"dl_vlan=5000 actions=drop", "want 0 to 4095"},
		{"ip,nw_src=10.0.0.0/33 actions=drop", "prefix /33"},
		{"priority=70000 actions=drop", "not a number of 16 bits"},
		{"priority=1", "no actions="},
		{"actions=ct(commit", "bracket"},
		{"actions=set_field:5->eth_type", "read-only"},
		{"ip actions=learn(tcp_dst=80)", "needs ip_proto 6"},
		{strings.Repeat("clone(", 40) + strings.Repeat(")", 40), "no actions="},
		{"actions=" + strings.Repeat("clone(", 40) + "exit" + strings.Repeat(")", 40), "nested more than"},
	} {
		f, err := ParseFlow(c[0])
		if err == nil {
			err = f.Check()
		}
		switch {
		case c[1] == "" && err != nil:
			t.Errorf("%s: %v", c[0], err)
		case c[1] != "" && (err == nil || !strings.Contains(err.Error(), c[1])):
			t.Errorf("%s: %v; want %q", c[0], err, c[1])
		}
	}
}

// Unknown things stay as they are, wherever they stand.
func TestUnknownIsKept(t *testing.T) {
	oxm := "\x80\x00\x0a\x02\x08\x00" + "\x80\x00\xfe\x03abc" + "\xff\xff\x02\x06\x00\x12\x34\x56zz"
	m, err := DecodeOXM([]byte(oxm))
	if err != nil || string(m.AppendOXM(nil)) != oxm || m.Len() != 3 {
		t.Errorf("match: %v, %x", err, m.AppendOXM(nil))
	}
	acts := "\x00\x63\x00\x08abcd" + "\xff\xff\x00\x10\x00\x12\x34\x56abcdefgh" + "\xff\xff\x00\x10\x00\x00\x23\x20\x01\x00abcdef"
	got, err := DecodeActions([]byte(acts))
	if err != nil || len(got) != 3 || string(AppendActions(nil, got)) != acts {
		t.Errorf("actions: %v, %v", err, got)
	}
	ins := "\x00\x63\x00\x10abcdefghijkl"
	got, err = DecodeInstructions([]byte(ins))
	back, _ := AppendInstructions(nil, got)
	if err != nil || string(back) != ins {
		t.Errorf("instructions: %v, %x", err, back)
	}
}

// A Match is a value: equal whatever the order of setting, and a copy is apart.
func TestMatchIsAValue(t *testing.T) {
	var a, b Match
	a.SetUint(EthType, 0x800)
	a.SetUint(TCPDst, 80)
	a.SetUint(IPProto, 6)
	b.SetUint(TCPDst, 80)
	b.SetUint(IPProto, 6)
	b.SetUint(EthType, 0x800)
	if a != b {
		t.Errorf("%s != %s", &a, &b)
	}
	for i := range 16 { // past what it holds inline
		b.SetUintMasked(Reg(i), uint64(i), 0xff)
	}
	c := b
	c.Delete(Reg(3))
	c.SetUint(XReg(2), 1<<32|7)
	if v, _, ok := b.GetUint(Reg(3)); !ok || v != 3 {
		t.Errorf("copy is not apart: %s", &b)
	}
	if v, k, ok := c.GetUint(XReg(2)); !ok || v != 1<<32|7 || k != ^uint64(0) {
		t.Errorf("xreg2 = %#x/%#x, %v", v, k, ok)
	}
	for i := range 16 {
		b.Delete(Reg(i))
	}
	if a != b {
		t.Errorf("after deleting: %s != %s", &a, &b)
	}
}
