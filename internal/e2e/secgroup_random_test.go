package e2e

import (
	be "encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/penstock/penstock/internal/ovstest"
)

var ruleSets = flag.Int("rulesets", 504, "how many random rule sets TestRandomRules tries")

// tap is a packet socket on a VM's eth0.
type tap struct {
	fd    int
	index int

	mu    sync.Mutex
	got   map[uint32]bool // identifiers of probes that came
	marks map[uint32]bool
}

func (v *vm) tap() *tap {
	v.e.t.Helper()
	x := &tap{got: map[uint32]bool{}, marks: map[uint32]bool{}}
	err := v.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		x.index = ifi.Index
		const all = 3 << 8 // ETH_P_ALL in network order
		if x.fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, all); err != nil {
			return err
		}
		syscall.SetsockoptInt(x.fd, syscall.SOL_SOCKET, 33, 8<<20) // SO_RCVBUFFORCE
		syscall.SetsockoptTimeval(x.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 100000})
		return syscall.Bind(x.fd, &syscall.SockaddrLinklayer{Ifindex: ifi.Index, Protocol: all})
	})
	if err != nil {
		v.e.t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	v.e.t.Cleanup(func() { close(stop); <-done; syscall.Close(x.fd) })
	own := mac(v.MAC)
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := syscall.Recvfrom(x.fd, b, 0)
			if err != nil || n < 14 {
				continue
			}
			if l, ok := from.(*syscall.SockaddrLinklayer); ok && l.Pkttype == 4 || string(b[6:12]) == string(own) {
				continue // its own
			}
			x.take(b[:n])
		}
	}()
	return x
}

const magic = 0x5ec69000

func (x *tap) take(b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if be.BigEndian.Uint16(b[12:]) == 0x8035 {
		x.marks[be.BigEndian.Uint32(b[14+24:])] = true
		return
	}
	if n := len(b); n > 8 && be.BigEndian.Uint32(b[n-8:]) == magic { // the end of a probe's payload
		x.got[be.BigEndian.Uint32(b[n-4:])] = true
	}
}

func (x *tap) send(b []byte) error {
	return syscall.Sendto(x.fd, b, 0, &syscall.SockaddrLinklayer{Ifindex: x.index, Halen: 6})
}

// rrule is a rule as the test's own evaluator sees it.
type rrule struct {
	ingress, v6 bool
	proto       int // -1: any
	lo, hi      int // -1: any
	prefix      string
	group       int // of the round's groups; -1: none
	set         int // of the address groups; -1: none
}

// probe is one packet between two machines, the first of its connection.
type probe struct {
	from, to int
	v6       bool
	proto    int
	a, b     int // source and destination port, or ICMP type and code
}

// rmachine is a machine with its groups of this round.
type rmachine struct {
	*vm
	tap    *tap
	v4, v6 string
	groups []int
}

// allows says whether a machine's rules allow a probe in a direction: written from Neutron's words, not from the flows.
func allows(ms []*rmachine, rules [][]rrule, sets [][]string, self, far int, ingress bool, p probe) bool {
	addr := ms[far].v4
	if p.v6 {
		addr = ms[far].v6
	}
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(netip.MustParseAddr(addr)) }
	for _, g := range ms[self].groups {
		for _, r := range rules[g] {
			if r.ingress != ingress || r.v6 != p.v6 || r.proto >= 0 && r.proto != p.proto {
				continue
			}
			switch {
			case p.proto == 1 || p.proto == 58:
				if r.lo >= 0 && r.lo != p.a || r.hi >= 0 && r.hi != p.b {
					continue
				}
			case r.lo >= 0 && (p.b < r.lo || p.b > r.hi):
				continue
			}
			if r.prefix != "" && !in(r.prefix) {
				continue
			}
			if r.group >= 0 {
				member := false
				for _, x := range ms[far].groups {
					member = member || x == r.group
				}
				if !member {
					continue
				}
			}
			if r.set >= 0 {
				found := false
				for _, prefix := range sets[r.set] {
					if netip.MustParsePrefix(prefix).Addr().Is6() == p.v6 && in(prefix) {
						found = true
					}
				}
				if !found {
					continue
				}
			}
			return true
		}
	}
	return false
}

func (p *probe) frame(ms []*rmachine, id uint32) []byte {
	end := be.BigEndian.AppendUint32(be.BigEndian.AppendUint32(nil, magic), id)
	src, dst, typ := ms[p.from].v4, ms[p.to].v4, uint16(0x800)
	if p.v6 {
		src, dst, typ = ms[p.from].v6, ms[p.to].v6, 0x86dd
	}
	var l4 []byte
	check := 0
	switch p.proto {
	case 6:
		l4, check = make([]byte, 20), 16
		be.BigEndian.PutUint16(l4, uint16(p.a))
		be.BigEndian.PutUint16(l4[2:], uint16(p.b))
		be.BigEndian.PutUint32(l4[4:], id)
		l4[12], l4[13], l4[14] = 5<<4, 2, 0xff // SYN
	case 17:
		l4, check = make([]byte, 8), 6
		be.BigEndian.PutUint16(l4, uint16(p.a))
		be.BigEndian.PutUint16(l4[2:], uint16(p.b))
		l4[5] = 8 + 8
	case 1, 58:
		l4, check = []byte{byte(p.a), byte(p.b), 0, 0, byte(id >> 8), byte(id), 0, 0}, 2
	default:
		l4, check = make([]byte, 8), 0
	}
	return ether(ms[p.to].MAC, ms[p.from].MAC, typ, ip(src, dst, byte(p.proto), check, append(l4, end...)))
}

// TestRandomRules tries random rule sets with real packets and compares what comes with what the rules say.
func TestRandomRules(t *testing.T) {
	t.Parallel()
	const machines = 6
	e := start(t, options{})
	for _, q := range []string{"security_group", "security_group_rule"} {
		e.do("PUT", "/v2.0/quotas/"+project(e), object{"quota": object{q: -1}}, nil)
	}
	n, _ := e.network("blue", "10.0.0.0/24", object{"gateway_ip": nil, "enable_dhcp": false})
	e.create("subnet", object{"network_id": n["id"], "ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": nil, "enable_dhcp": false})
	var ms []*rmachine
	for i := range machines {
		m := &rmachine{v4: fmt.Sprintf("10.0.0.%d", 10+i), v6: fmt.Sprintf("2001:db8::%x", 10+i)}
		m.vm = e.vm(fmt.Sprint("m", i), n, "", object{"fixed_ips": []object{{"ip_address": m.v4}, {"ip_address": m.v6}}})
		m.Run("ip", "-6", "addr", "flush", "dev", "eth0")
		m.tap = m.vm.tap()
		ms = append(ms, m)
	}
	sets := [][]string{{"10.0.0.10/31", "2001:db8::a/127"}, {"10.0.0.12/32", "10.0.0.14/31", "2001:db8::/124"}, {"0.0.0.0/0"}}
	var setIDs []string
	for i, s := range sets {
		setIDs = append(setIDs, e.create("address-group", object{"name": fmt.Sprint("set", i), "addresses": s})["id"].(string))
	}
	r := rand.New(rand.NewPCG(6, uint64(*ruleSets)))
	id, came := uint32(0), 0
	for round := range *ruleSets / machines {
		groups, rules := e.randomRules(r, ms, sets, setIDs)
		if len(groups) == 0 {
			t.Fatal("no groups")
		}
		e.settle()
		e.host.AppCtl("revalidator/purge") // no verdict of the round before
		probes := map[uint32]probe{}
		var order []uint32
		for from := range ms {
			for to := range ms {
				for range 10 {
					if from == to {
						continue
					}
					id++
					p := probe{from: from, to: to, v6: r.IntN(3) == 0, a: 1024 + int(id%60000)}
					switch x := r.IntN(8); {
					case x < 3:
						p.proto, p.b = 6, 20+r.IntN(12)
					case x < 6:
						p.proto, p.b = 17, 20+r.IntN(12)
					case x == 6 && !p.v6:
						p.proto, p.a, p.b = 1, []int{8, 13}[r.IntN(2)], 0
					case x == 6:
						p.proto, p.a, p.b = 58, 128, 0
					default:
						p.proto = []int{47, 112}[r.IntN(2)]
						p.a, p.b = 0, 0
					}
					if p.proto == 47 || p.proto == 112 { // has no ports: the other side's are the same connection
						if from > to {
							continue
						}
					}
					probes[id] = p
					order = append(order, id)
				}
			}
		}
		for _, x := range order {
			p := probes[x]
			if err := ms[p.from].tap.send(p.frame(ms, x)); err != nil {
				t.Fatal(err)
			}
		}
		mark := uint32(round+1) << 8
		for i, m := range ms {
			rarp := append([]byte{0, 1, 8, 0, 6, 4, 0, 3}, make([]byte, 38)...)
			be.BigEndian.PutUint32(rarp[24:], mark|uint32(i))
			if err := m.tap.send(ether("ff:ff:ff:ff:ff:ff", m.MAC, 0x8035, rarp)); err != nil {
				t.Fatal(err)
			}
		}
		ovstest.Wait(t, patience, "the marks of the round", func() bool {
			for i, m := range ms {
				m.tap.mu.Lock()
				n := 0
				for j := range ms {
					if j != i && m.tap.marks[mark|uint32(j)] {
						n++
					}
				}
				m.tap.mu.Unlock()
				if n != len(ms)-1 {
					return false
				}
			}
			return true
		})
		wrong := 0
		for _, x := range order {
			p := probes[x]
			want := allows(ms, rules, sets, p.from, p.to, false, p) && allows(ms, rules, sets, p.to, p.from, true, p)
			m := ms[p.to].tap
			m.mu.Lock()
			got := m.got[x]
			m.mu.Unlock()
			if got {
				came++
			}
			if got != want {
				if wrong++; wrong <= 5 {
					t.Errorf("round %d: %+v comes: %v, want %v; groups of the sender %v, of the receiver %v", round, p, got, want,
						describe(rules, ms[p.from].groups), describe(rules, ms[p.to].groups))
				}
			}
		}
		if wrong > 0 {
			t.Fatalf("round %d: %d of %d probes are not as the rules say", round, wrong, len(order))
		}
	}
	if t.Logf("%d of %d probes came", came, id); came < int(id)/10 || came > int(id)*9/10 {
		t.Error("the rule sets are too much alike to show anything")
	}
}

func describe(rules [][]rrule, groups []int) string {
	s := ""
	for _, g := range groups {
		s += fmt.Sprintf("%d:%+v ", g, rules[g])
	}
	return s
}

// project is the project that the test's objects have.
func project(e *env) string {
	e.t.Helper()
	id, _ := e.create("network", object{"name": "whose"})["project_id"].(string)
	if id == "" {
		return "default"
	}
	return id
}

// randomRules makes new groups with rules and gives each machine one or two of them.
func (e *env) randomRules(r *rand.Rand, ms []*rmachine, sets [][]string, setIDs []string) (ids []string, rules [][]rrule) {
	e.t.Helper()
	var body []object
	for range len(ms) + 1 {
		body = append(body, object{"name": "g"})
	}
	var made struct {
		Groups []object `json:"security_groups"`
	}
	e.do("POST", "/v2.0/security-groups", object{"security_groups": body}, &made)
	body = nil
	for i, g := range made.Groups {
		id := g["id"].(string)
		ids = append(ids, id)
		rules = append(rules, nil)
		if i%2 == 0 { // half of them keep the egress rules that a group has from the start
			for _, x := range g["security_group_rules"].([]any) {
				e.delete("security-group-rule", x.(object)["id"])
			}
		} else {
			rules[i] = []rrule{{proto: -1, lo: -1, hi: -1, group: -1, set: -1}, {v6: true, proto: -1, lo: -1, hi: -1, group: -1, set: -1}}
		}
	}
	for i := range made.Groups {
		body = nil
		seen := map[rrule]bool{}
		for _, x := range rules[i] {
			seen[x] = true
		}
		for range 1 + r.IntN(8) {
			x := rrule{ingress: r.IntN(3) > 0, v6: r.IntN(3) == 0, proto: -1, lo: -1, hi: -1, group: -1, set: -1}
			o := object{"security_group_id": ids[i], "direction": "egress", "ethertype": "IPv4"}
			if x.ingress {
				o["direction"] = "ingress"
			}
			if x.v6 {
				o["ethertype"] = "IPv6"
			}
			switch k := r.IntN(10); {
			case k < 4:
				x.proto = []int{6, 17}[r.IntN(2)]
				if r.IntN(4) > 0 {
					x.lo = 20 + r.IntN(12)
					x.hi = x.lo + r.IntN(8)
					o["port_range_min"], o["port_range_max"] = x.lo, x.hi
				}
				o["protocol"] = x.proto
			case k < 6:
				x.proto = 1
				if x.v6 {
					x.proto = 58
				}
				o["protocol"] = x.proto
				if r.IntN(2) == 0 {
					x.lo = 8
					if x.v6 {
						x.lo = 128
					}
					o["port_range_min"] = x.lo
					if r.IntN(2) == 0 {
						x.hi = 0
						o["port_range_max"] = 0
					}
				}
			case k == 6:
				x.proto = []int{47, 112}[r.IntN(2)]
				o["protocol"] = x.proto
			}
			switch r.IntN(5) {
			case 0:
				x.group = r.IntN(len(ids))
				o["remote_group_id"] = ids[x.group]
			case 1:
				x.set = r.IntN(len(sets))
				o["remote_address_group_id"] = setIDs[x.set]
			case 2:
				x.prefix = []string{"10.0.0.0/28", "10.0.0.8/30", "10.0.0.13/32", "0.0.0.0/0"}[r.IntN(4)]
				if x.v6 {
					x.prefix = []string{"2001:db8::/64", "2001:db8::8/126", "2001:db8::d/128", "::/0"}[r.IntN(4)]
				}
				o["remote_ip_prefix"] = x.prefix
			}
			if !seen[x] && (x.prefix == "" || netip.MustParsePrefix(x.prefix).Bits() > 0 || !seen[without(x)]) {
				seen[x], seen[without(x)] = true, true
				rules[i] = append(rules[i], x)
				body = append(body, o)
			}
		}
		if len(body) > 0 { // of one group at a time, as in Neutron
			e.do("POST", "/v2.0/security-group-rules", object{"security_group_rules": body}, nil)
		}
	}
	for _, m := range ms {
		m.groups = []int{r.IntN(len(ids))}
		if x := r.IntN(len(ids)); r.IntN(3) == 0 && x != m.groups[0] {
			m.groups = append(m.groups, x)
		}
		var of []string
		for _, g := range m.groups {
			of = append(of, ids[g])
		}
		e.update("port", m.Port["id"], object{"security_groups": of})
	}
	return ids, rules
}

// without is a rule without a prefix that means any address.
func without(x rrule) rrule {
	if x.prefix != "" && netip.MustParsePrefix(x.prefix).Bits() == 0 {
		x.prefix = ""
	}
	return x
}
