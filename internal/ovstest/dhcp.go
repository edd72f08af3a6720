package ovstest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// applyScript, udhcpc's script, applies a lease inside the namespace and notes it; it never touches resolv.conf. Routes
// from option 121 take the place of the router, as RFC 3442 asks.
const applyScript = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export EVENT="$1"
case "$EVENT" in
deconfig)
	ip -4 addr flush dev "$interface"
	ip link set "$interface" up ;;
bound|renew)
	ip addr replace "$ip/${mask:-32}" dev "$interface"
	ip -4 addr show dev "$interface" | sed -n 's/.*inet \([^ ]*\).*/\1/p' | while read -r a; do
		[ "$a" = "$ip/${mask:-32}" ] || ip addr del "$a" dev "$interface"
	done
	[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
	ip -4 route flush dev "$interface" proto 16
	add() {
		if [ "$2" = 0.0.0.0 ]; then ip route replace "$1" dev "$interface" proto 16 scope link src "$ip"
		else ip route replace "$1" via "$2" dev "$interface" proto 16 onlink; fi
	}
	if [ -n "$staticroutes" ]; then
		set -- $staticroutes
		while [ $# -ge 2 ]; do add "$1" "$2"; shift 2; done
	else
		for r in $router; do add default "$r"; break; done
	fi ;;
esac
{ env; echo "== end"; } >>@EVENTS@
`

// dhclientScript gives dhclient's lease to applyScript under that script's names.
const dhclientScript = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export ip="$new_ip_address" subnet="$new_subnet_mask" router="$new_routers" dns="$new_domain_name_servers" \
	domain="$new_domain_name" mtu="$new_interface_mtu" lease="$new_dhcp_lease_time" serverid="$new_dhcp_server_identifier" \
	broadcast="$new_broadcast_address" hostname="$new_host_name" renewal="$new_dhcp_renewal_time" rebind="$new_dhcp_rebinding_time"
# Prefix length of a mask: the bits of its bytes.
bits() {
	n=0; IFS=.
	for b in $1; do
		while [ "$b" -gt 0 ]; do n=$((n + b % 2)); b=$((b / 2)); done
	done
	unset IFS; echo $n
}
# "24 10 0 0 10 0 0 1" (length, significant bytes, router) to "10.0.0.0/24 10.0.0.1".
routes() {
	while [ $# -gt 0 ]; do
		len=$1; shift; net=
		for i in 1 2 3 4; do
			if [ $len -gt $(( (i - 1) * 8 )) ]; then net="$net${net:+.}$1"; shift; else net="$net${net:+.}0"; fi
		done
		printf '%s' "$net/$len $1.$2.$3.$4 "; shift 4
	done
}
mask=; [ -z "$subnet" ] || mask=$(bits "$subnet")
staticroutes=$(routes $new_rfc3442_classless_static_routes); staticroutes=${staticroutes% }
msstaticroutes=$(routes $new_ms_classless_static_routes); msstaticroutes=${msstaticroutes% }
export mask staticroutes msstaticroutes
case "$reason" in
BOUND|REBOOT) set -- bound ;;
RENEW|REBIND) set -- renew ;;
PREINIT|EXPIRE|FAIL|RELEASE|STOP) set -- deconfig ;;
*) set -- other ;;
esac
exec @APPLY@ "$1"
`

// dhclientConf asks for what udhcpc is told to ask for below.
const dhclientConf = `option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
option ms-classless-static-routes code 249 = array of unsigned integer 8;
timeout 15;
retry 1;
backoff-cutoff 2;
initial-interval 1;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name, interface-mtu,
	dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time, rfc3442-classless-static-routes, ms-classless-static-routes,
	ntp-servers, domain-search;
`

// DHCPClient is a running DHCP client on a node's eth0.
type DHCPClient struct {
	*Process
	node   *Node
	client string
	events string // file
}

// StartDHCP starts "udhcpc" or "dhclient" on eth0 with further arguments of the client's own. It goes on
// running and renews. What it gets is set in the node's namespace only.
func (n *Node) StartDHCP(client string, args ...string) *DHCPClient {
	n.t.Helper()
	Need(n.t, client)
	dir, err := os.MkdirTemp(n.dir, "dhcp.")
	if err != nil {
		n.t.Fatalf("ovstest: %v", err)
	}
	c := &DHCPClient{node: n, client: client, events: filepath.Join(dir, "events")}
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			n.t.Fatalf("ovstest: %v", err)
		}
		return path
	}
	script := file("apply.sh", strings.ReplaceAll(applyScript, "@EVENTS@", c.events), 0o755)
	switch client {
	case "udhcpc":
		argv := []string{"udhcpc", "-f", "-i", "eth0", "-s", script, "-T", "1", "-t", "8", "-A", "1"}
		for _, o := range []string{"staticroutes", "msstaticroutes", "mtu", "ntpsrv", "search", "hostname"} {
			argv = append(argv, "-O", o)
		}
		c.Process = n.Start(append(argv, args...)...)
	case "dhclient":
		sf := file("dhclient.sh", strings.ReplaceAll(dhclientScript, "@APPLY@", script), 0o755)
		argv := []string{"dhclient", "-4", "-d", "-cf", file("dhclient.conf", dhclientConf, 0o644), "-lf", file("leases", "", 0o644),
			"-pf", filepath.Join(dir, "pid"), "-sf", sf}
		c.Process = n.Start(append(append(argv, args...), "eth0")...)
	default:
		n.t.Fatalf("ovstest: DHCP client %q: udhcpc and dhclient are known", client)
	}
	return c
}

// Events are the client's events in order: "event" is bound, renew, deconfig, nak, leasefail or other; the
// rest are the variables of its script, under udhcpc's names for both clients: ip, mask (prefix length),
// subnet (mask), router, dns, domain, mtu, lease (seconds), serverid, hostname, staticroutes ("PREFIX
// ROUTER …", option 121), msstaticroutes (249). dhclient's own new_… variables are there too.
func (c *DHCPClient) Events() []map[string]string {
	text, _ := os.ReadFile(c.events)
	var events []map[string]string
	blocks := strings.Split(string(text), "== end\n")
	for _, block := range blocks[:len(blocks)-1] { // what follows the last mark is still being written
		e := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if k, v, ok := strings.Cut(line, "="); ok && v != "" {
				e[k] = v
			}
		}
		e["event"] = e["EVENT"]
		events = append(events, e)
	}
	return events
}

// WaitEvent waits at most d until the client has had n events of a name and returns the last of them, or nil.
func (c *DHCPClient) WaitEvent(name string, n int, d time.Duration) (event map[string]string) {
	WaitFor(d, func() bool {
		var found []map[string]string
		for _, e := range c.Events() {
			if e["event"] == name {
				found = append(found, e)
			}
		}
		if len(found) >= n {
			event = found[len(found)-1]
			return true
		}
		return !c.Running()
	})
	return event
}

// Renew asks for the lease again at once (udhcpc only).
func (c *DHCPClient) Renew() { c.Signal(syscall.SIGUSR1) }

// Release gives the lease back: udhcpc by signal, dhclient by a dhclient -r on its files.
func (c *DHCPClient) Release() {
	c.node.t.Helper()
	if c.client == "udhcpc" {
		c.Signal(syscall.SIGUSR2)
		return
	}
	dir := filepath.Dir(c.events)
	c.node.Run("dhclient", "-4", "-r", "-cf", dir+"/dhclient.conf", "-lf", dir+"/leases", "-pf", dir+"/pid", "-sf", dir+"/dhclient.sh", "eth0")
}

// DHCP gets a lease with "udhcpc" or "dhclient", sets it in the namespace, ends the client without a
// release, and returns the lease's variables (see Events). It fails the test if there is no lease.
func (n *Node) DHCP(client string, args ...string) map[string]string {
	n.t.Helper()
	lease, err := n.TryDHCP(client, 20*time.Second, args...)
	if err != nil {
		n.t.Fatalf("ovstest: %s: %v", n.Name, err)
	}
	return lease
}

// TryDHCP is DHCP that waits at most d and returns the error, such as to show that there is no answer.
func (n *Node) TryDHCP(client string, d time.Duration, args ...string) (map[string]string, error) {
	n.t.Helper()
	c := n.StartDHCP(client, args...)
	defer c.Kill()
	lease := c.WaitEvent("bound", 1, d)
	if lease == nil {
		return nil, fmt.Errorf("%s got no lease in %v: %s", client, d, strings.TrimSpace(c.Output()))
	}
	if _, err := strconv.Atoi(lease["mask"]); err != nil {
		return lease, fmt.Errorf("%s got a lease without a mask: %v", client, lease)
	}
	return lease, nil
}
