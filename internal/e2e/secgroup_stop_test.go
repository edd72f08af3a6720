package e2e

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/ovstest"
)

// talk asks and answers over a connection all the time and remembers when it last worked.
type talk struct {
	name string
	last atomic.Int64 // nanoseconds, as time.Time has them
}

func (v *vm) talk(name string, to *vm, port int) *talk {
	v.e.t.Helper()
	c, err := v.dial("tcp4", net.JoinHostPort(to.IP, fmt.Sprint(port)), patience)
	if err != nil || !echoes(c, patience) {
		v.e.t.Fatalf("%s: %v", name, err)
	}
	s := &talk{name: name}
	s.last.Store(time.Now().UnixNano())
	done := make(chan struct{})
	v.e.t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 1)
		for {
			c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write(b); err != nil {
				return
			}
			if _, err := c.Read(b); err != nil {
				return
			}
			s.last.Store(time.Now().UnixNano())
			time.Sleep(2 * time.Millisecond) // a pace, not a wait
		}
	}()
	return s
}

// idle is for how long it has not worked.
func (s *talk) idle() time.Duration { return time.Since(time.Unix(0, s.last.Load())) }

// TestRevoked takes away, one after the other, everything that may carry a connection, and measures how long after the
// API's answer the last packet passed.
func TestRevoked(t *testing.T) {
	t.Parallel()
	e := start(t, options{})
	n, _ := e.network("blue", "10.0.0.0/24", nil)
	out := e.group("out", nil)
	e.rule(out, "egress", nil)
	friends := e.group("friends", nil)
	var group struct {
		AddressGroup object `json:"address_group"`
	}
	e.do("POST", "/v2.0/address-groups", object{"address_group": object{"name": "office", "addresses": []string{"10.0.0.14/32"}}}, &group)
	web, extra := e.group("web", nil), e.group("extra", nil)
	e.rule(web, "egress", nil)
	tcp := func(port int, more object) object {
		r := object{"protocol": "tcp", "port_range_min": port, "port_range_max": port}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	rule := e.rule(web, "ingress", tcp(80, nil))
	e.rule(web, "ingress", tcp(81, object{"remote_group_id": friends}))
	e.rule(web, "ingress", tcp(82, object{"remote_group_id": friends}))
	e.rule(web, "ingress", tcp(83, object{"remote_address_group_id": group.AddressGroup["id"]}))
	e.rule(extra, "ingress", tcp(84, nil))
	e.rule(web, "ingress", tcp(85, nil))
	at := func(name, ip string, attrs object) *vm {
		attrs["fixed_ips"] = []object{{"ip_address": ip}}
		v := e.vm(name, n, "", attrs)
		v.IP = ip
		v.with()
		return v
	}
	w := at("w", "10.0.0.10", object{"security_groups": []string{web, extra}})
	for port := 80; port < 86; port++ {
		w.serve("tcp4", port)
	}
	member := at("member", "10.0.0.12", object{"security_groups": []string{out, friends}})
	paired := at("paired", "10.0.0.13", object{"security_groups": []string{out}})
	// paired sends from an address that a member of friends has as an allowed pair.
	holder := e.create("port", object{"network_id": n["id"], "security_groups": []string{friends}, "allowed_address_pairs": []object{{"ip_address": "10.0.0.13"}}})
	office := at("office", "10.0.0.14", object{"security_groups": []string{out}})
	plain := at("plain", "10.0.0.15", object{"security_groups": []string{out}})
	e.settle()

	port := func(v *vm) string { return "/v2.0/ports/" + v.Port["id"].(string) }
	stays := plain.talk("another rule's", w, 85)
	for _, x := range []struct {
		s    *talk
		call func()
	}{
		{plain.talk("a rule", w, 80), func() { e.delete("security-group-rule", rule) }},
		{member.talk("a membership of the remote group", w, 81), func() { e.do("PUT", port(member), object{"port": object{"security_groups": []string{out}}}, nil) }},
		{paired.talk("an address pair of a member", w, 82), func() { e.update("port", holder["id"], object{"allowed_address_pairs": []object{}}) }},
		{office.talk("an address of the address group", w, 83), func() {
			e.do("PUT", "/v2.0/address-groups/"+group.AddressGroup["id"].(string)+"/remove_addresses", object{"addresses": []string{"10.0.0.14/32"}}, nil)
		}},
		{plain.talk("a group of the port", w, 84), func() { e.do("PUT", port(w), object{"port": object{"security_groups": []string{web}}}, nil) }},
	} {
		x.call()
		answered := time.Now()
		if !ovstest.WaitFor(patience, func() bool { return x.s.idle() > 1200*time.Millisecond }) {
			t.Errorf("without %s its connection still carries", x.s.name)
			continue
		}
		after := time.Unix(0, x.s.last.Load()).Sub(answered).Round(time.Millisecond)
		if after > 5*time.Second {
			t.Errorf("without %s its connection carried for %v after the answer", x.s.name, after)
		}
		t.Logf("without %s the last packet passed %v after the answer", x.s.name, after)
	}
	before := stays.last.Load()
	e.wait("the connection that nothing was taken from to go on", func() bool { return stays.last.Load() > before })
}
