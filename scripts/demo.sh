#!/usr/bin/env bash
# Shows Penstock working on this machine, from nothing: Open vSwitch, penstockd, two networks, VMs that get their
# addresses by DHCP, reach each other and nobody else, flows that say what they are for, a controller that may die
# without a packet lost. Run it by `make demo`, which builds first. It needs root, stays on this machine, and takes
# away everything that it made, also when it fails or is interrupted.
#
#   scripts/demo.sh [STEP...]     all steps, or those named (a later step needs the earlier ones)
#   BIN=DIR                       where penstockd and penstockctl are (default: bin)
#   OVS=own                       starts an Open vSwitch of its own also where one runs
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# The steps, in order: each a function below. A further step is a further function and its name here.
steps=(openvswitch penstockd networks plug dhcp ping isolation learning routing nat flows restart delete)
[ $# -eq 0 ] || steps=("$@")

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
BIN=$(realpath -m "${BIN:-bin}")
OVS=${OVS:-auto}
prefix=pkdemo
id=$prefix.$$
dir= host_ns= started=0
router=
pids=() namespaces=() links=() bridges=()

# --- telling

n=0
step() { n=$((n + 1)); printf '\n== %d. %s\n' "$n" "$*"; }
say() { printf '   %s\n' "$*"; }
# run COMMAND...: shows the command as a reader would type it, and its output.
run() {
	printf '   $ %s\n' "$*"
	"$@" 2>&1 | sed 's/^/     /'
}
fail() {
	printf '\ndemo: FAILED: %s\n' "$*" >&2
	[ -z "$dir" ] || for f in "$dir/penstockd.log" "$dir/ovs-vswitchd.log"; do
		[ ! -s "$f" ] || { echo "--- the end of ${f##*/}:" >&2; tail -n 15 "$f" >&2; }
	done
	exit 1
}
# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "waited in vain for $what"
		[ -z "$penstockd" ] || kill -0 "$penstockd" 2>/dev/null || fail "penstockd ended while $what was waited for"
		sleep 0.05
	done
}

# --- doing, and undoing

at_host() { if [ -n "$host_ns" ]; then ip netns exec "$host_ns" "$@"; else "$@"; fi; }
in_vm() { local vm=$1; shift; ip netns exec "$id.$vm" "$@"; }
vsctl() { ovs-vsctl --timeout=20 --db="$ovsdb" "$@"; }
ctl() { at_host "$BIN/penstockctl" --endpoint "http://$api" "$@"; }
# in_place NAMESPACE COMMAND...: becomes the command, so that the pid of a subshell that ends with it is its pid.
in_place() { if [ -n "$1" ]; then exec ip netns exec "$@"; else exec "${@:2}"; fi; }
# shown: like run, for penstockctl.
shown() {
	printf '   $ penstockctl %s\n' "$*"
	ctl "$@" 2>&1 | sed 's/^/     /'
}
# background NAME COMMAND...: starts a daemon of the host; its pid is in $pid and is ended at the end.
background() {
	local log=$dir/$1.log
	shift
	(in_place "$host_ns" "$@") >>"$log" 2>&1 </dev/null &
	pid=$!
	pids+=("$pid")
}
forget() { # PID: it has ended and been waited for; its number may soon be another's
	local p kept=()
	for p in ${pids[@]+"${pids[@]}"}; do [ "$p" = "$1" ] || kept+=("$p"); done
	pids=(${kept[@]+"${kept[@]}"})
}
end() { # PID [SIGNAL]
	kill -"${2:-TERM}" "$1" 2>/dev/null || return 0
	for _ in $(seq 100); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}
cleanup() {
	local status=$? i p ns
	trap - EXIT INT TERM ERR
	set +e
	[ $started = 1 ] && printf '\n== cleaning up\n'
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do end "${pids[i]}"; done
	for p in ${taps[@]+"${taps[@]}"}; do vsctl --if-exists del-port "$p" 2>/dev/null; done
	for p in ${bridges[@]+"${bridges[@]}"}; do vsctl --if-exists del-br "$p" 2>/dev/null; done
	for ((i = ${#ovs_pids[@]} - 1; i >= 0; i--)); do end "${ovs_pids[i]}"; done
	for p in ${links[@]+"${links[@]}"}; do ip link del "$p" 2>/dev/null; done
	for ns in ${namespaces[@]+"${namespaces[@]}"}; do remove_namespace "$ns"; done
	[ -z "$dir" ] || rm -rf "$dir"
	exit $status
}
remove_namespace() {
	local p
	for p in $(ip netns pids "$1" 2>/dev/null); do kill -KILL "$p" 2>/dev/null; done
	ip netns del "$1" 2>/dev/null
}
ovs_pids=() taps=()

# What a demo that was killed could not take away.
sweep() {
	local name pid
	for name in $(ip netns list | awk '{print $1}' | grep "^$prefix\." || true); do
		pid=${name#"$prefix."} pid=${pid%%.*}
		[ -d "/proc/$pid" ] || remove_namespace "$name" || true
	done
	for name in "${TMPDIR:-/tmp}/$prefix".*; do
		[ -d "$name" ] || continue
		pid=${name##*/"$prefix."} pid=${pid%%.*}
		[ -d "/proc/$pid" ] || rm -rf "$name"
	done
}
new_namespace() {
	ip netns add "$1"
	namespaces+=("$1")
	ip -n "$1" link set lo up
}

# new_vm NAME PORT: a machine (a network namespace with eth0) whose tap is plugged into br-int as libvirt plugs it.
declare -A tap_of mac_of ip_of
new_vm() {
	local vm=$1 port=$2 tap mac
	mac=$(ctl port show "$port" -o value -c mac_address)
	tap=tap$(ctl port show "$port" -o value -c id) tap=${tap:0:14}
	new_namespace "$id.$vm"
	at_host ip link add "$tap" type veth peer name eth0 address "$mac" netns "$id.$vm"
	[ -n "$host_ns" ] || links+=("$tap")
	# The userspace datapath takes a checksum that is left to the card for a wrong one.
	at_host ethtool -K "$tap" tx off >/dev/null
	in_vm "$vm" ethtool -K eth0 tx off >/dev/null
	# Nor shall the host's kernel speak IPv6 on its end, as Nova has it too: the VM would hear that.
	at_host sh -c "echo 1 >/proc/sys/net/ipv6/conf/$tap/disable_ipv6" 2>/dev/null || true
	at_host ip link set "$tap" up
	in_vm "$vm" ip link set eth0 up
	taps+=("$tap")
	tap_of[$vm]=$tap mac_of[$vm]=$mac
	vsctl add-port br-int "$tap" -- set Interface "$tap" external_ids:iface-id="$(ctl port show "$port" -o value -c id)" \
		external_ids:attached-mac="\"$mac\"" external_ids:iface-status=active
}
# lease VM: an address by DHCP.
lease() {
	local vm=$1
	rm -f "$dir/lease.$vm"
	in_vm "$vm" env LEASE="$dir/lease.$vm" udhcpc -f -q -n -i eth0 -s "$dir/udhcpc.script" -t 10 -T 1 -A 1 -O mtu -O staticroutes >"$dir/udhcpc.$vm.log" 2>&1 ||
		{ cat "$dir/udhcpc.$vm.log" >&2; fail "$vm got no lease"; }
	ip_of[$vm]=$(sed -n 's/^ip=//p' "$dir/lease.$vm")
}
free_port() { # FROM: the first TCP port from there on that nobody listens on here
	local p=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; do p=$((p + 1)); done
	echo "$p"
}
start_penstockd() {
	background penstockd "$BIN/penstockd" --config "$dir/penstock.yaml"
	penstockd=$pid
	wait_for 60 "penstockd to answer" ctl status
	wait_for 60 "penstockd to bring the bridges in sync" in_sync
	kill -0 "$penstockd" 2>/dev/null || fail "penstockd ended"
}
in_sync() { # every bridge is connected and synced
	local t
	t=$(ctl switch list -o value) && [ -n "$t" ] && ! awk -F'\t' '$4 != "yes" || $5 != "yes" {bad = 1} END {exit !bad}' <<<"$t"
}
installed() { [ "$(vsctl get Interface "${tap_of[$1]}" external_ids:penstock-installed | tr -d '"')" = true ]; }
active() { [ "$(ctl port show "$1" -o value -c status)" = ACTIVE ]; }

# --- the steps

step_openvswitch() {
	if [ "$OVS" != own ] && ovs-vsctl --timeout=5 get Open_vSwitch . _uuid >/dev/null 2>&1 && ovs-appctl version >/dev/null 2>&1 &&
		! ovs-vsctl --timeout=5 list-br | grep -qxE 'br-int|br-tun'; then
		step "Open vSwitch: using the one that runs here"
		ovsdb=unix:$(ovs-appctl -t ovsdb-server ovsdb-server/list-remotes 2>/dev/null | sed -n 's/^punix://p' | head -n 1)
		[ "$ovsdb" != unix: ] || ovsdb=unix:/var/run/openvswitch/db.sock
		bridges=(br-int br-tun)
		mappings='{}'
	else
		step "Open vSwitch: starting one of our own, in a network namespace that stands for a host"
		host_ns=$id
		new_namespace "$host_ns"
		export OVS_RUNDIR=$dir OVS_LOGDIR=$dir OVS_DBDIR=$dir OVS_SYSCONFDIR=$dir
		ovsdb=unix:$dir/db.sock
		ovsdb-tool create "$dir/conf.db" /usr/share/openvswitch/vswitch.ovsschema
		background ovsdb-server ovsdb-server --remote="punix:$dir/db.sock" --unixctl="$dir/ovsdb.ctl" --pidfile="$dir/ovsdb-server.pid" -vconsole:warn "$dir/conf.db"
		wait_for 20 "ovsdb-server" vsctl --no-wait init
		vsctl --no-wait set Open_vSwitch . external_ids:hostname=demo external_ids:system-id="$id"
		local system=--disable-system
		if modprobe openvswitch 2>/dev/null || [ -e /sys/module/openvswitch ]; then system=; fi
		# shellcheck disable=SC2086 # nothing or one word
		background ovs-vswitchd ovs-vswitchd $system --unixctl="$dir/vswitchd.ctl" --pidfile="$dir/ovs-vswitchd.pid" -vconsole:warn "$ovsdb"
		ovs_pids=("${pids[@]}") pids=() # they end last
		[ -z "$system" ] || datapath=netdev
		mappings='{external: br-ex}'
	fi
	wait_for 20 "ovs-vswitchd" vsctl set Open_vSwitch . external_ids:penstock-demo="$id"
	vsctl remove Open_vSwitch . external_ids penstock-demo
	say "$(ovs-vswitchd --version | head -n 1), datapath: ${datapath:-the kernel’s if it has one}, database: $ovsdb"
}

step_penstockd() {
	step "penstockd: the controller, with its API and store, in one process"
	local of=127.0.0.1:6653
	if [ -z "$host_ns" ]; then
		api=127.0.0.1:$(free_port 9696)
		of=127.0.0.1:$(free_port 6653)
	fi
	cat >"$dir/penstock.yaml" <<YAML
data_dir: $dir/data
api: {listen: "$api"}
openflow: {listen: "$of"}
hosts:
  - {name: demo, ovsdb: "$ovsdb", datapath_type: "$datapath", bridge_mappings: $mappings}
YAML
	sed 's/^/     /' "$dir/penstock.yaml"
	start_penstockd
	if [ -n "$host_ns" ]; then # the way out: br-ex with a cable to a namespace that stands for the outside
		new_namespace "$id.outside"
		at_host ip link add uplink type veth peer name eth0 netns "$id.outside"
		at_host ip link set uplink up
		vsctl add-port br-ex uplink
	fi
	wait_for 20 "penstockd to be healthy" ctl health --check
	shown status
}

step_networks() {
	step "Two networks with the same addresses, and ports on them"
	ctl network create blue >/dev/null
	ctl network create red >/dev/null
	ctl subnet create blue-v4 --network blue --cidr 10.0.0.0/24 --dns 10.0.0.53 --host-route 10.9.0.0/16,10.0.0.254 >/dev/null
	ctl subnet create red-v4 --network red --cidr 10.0.0.0/24 >/dev/null
	ctl port create web1 --network blue --fixed-ip 10.0.0.11 >/dev/null
	ctl port create web2 --network blue --fixed-ip 10.0.0.12 --dhcp-option mtu=1400 >/dev/null
	ctl port create red1 --network red --fixed-ip 10.0.0.11 >/dev/null
	shown network list
	shown subnet list
	shown port list
}

step_plug() {
	step "VMs: each a network namespace, plugged into br-int as libvirt does (external_ids:iface-id)"
	local vm
	for vm in web1 web2 red1; do
		new_vm "$vm" "$vm"
		wait_for 20 "port $vm to be ACTIVE" active "$vm"
		wait_for 20 "penstock-installed=true on $vm" installed "$vm"
		say "$vm: ${tap_of[$vm]} ${mac_of[$vm]} ACTIVE, penstock-installed=true"
	done
}

step_dhcp() {
	step "DHCP: answered by the controller, from what the API was told"
	local vm want
	for vm in web1 web2 red1; do
		lease "$vm"
		want=$(ctl port list --name "$vm" -o value -c fixed_ips | grep -oE 'ip_address=[0-9.]+' | cut -d= -f2)
		[ "${ip_of[$vm]}" = "$want" ] || fail "$vm got ${ip_of[$vm]}, its port has $want"
		say "$vm: $(tr '\n' ' ' <"$dir/lease.$vm")"
	done
	grep -q '^mtu=1400$' "$dir/lease.web2" || fail "web2 did not get its DHCP option mtu=1400"
	grep -q '10.9.0.0/16 10.0.0.254' "$dir/lease.web1" || fail "web1 did not get the host route"
}

step_ping() {
	step "web1 reaches web2 and the DHCP server"
	local server
	server=$(sed -n 's/^serverid=//p' "$dir/lease.web1")
	run in_vm web1 ping -n -c 3 -i 0.2 -W 2 "${ip_of[web2]}"
	in_vm web1 ping -n -q -c 2 -i 0.2 -W 2 "$server" >/dev/null || fail "web1 does not reach the DHCP server $server"
	say "and $server, the DHCP server, answers too"
}

step_isolation() {
	step "red1 has web1’s address on another network: nobody of blue hears of it"
	if in_vm red1 ping -n -q -c 2 -i 0.2 -W 1 "${ip_of[web2]}" >/dev/null; then fail "red1 reaches web2"; fi
	say "red1 (${ip_of[red1]}) gets no answer from ${ip_of[web2]}"
	local before after
	before=$(in_vm red1 cat /sys/class/net/eth0/statistics/rx_packets)
	in_vm web2 ping -n -q -c 5 -i 0.05 -W 1 10.0.0.11 >/dev/null || fail "web2 does not reach 10.0.0.11, web1"
	after=$(in_vm red1 cat /sys/class/net/eth0/statistics/rx_packets)
	[ "$before" = "$after" ] || fail "red1 saw $((after - before)) frames of blue"
	say "web2 pings 10.0.0.11: web1 answers, red1 sees no frame"
}

step_learning() {
	step "A port without port security may bring other MACs along: they are learned"
	ctl port create bridge1 --network blue --fixed-ip 10.0.0.13 --no-port-security >/dev/null
	new_vm bridge1 bridge1
	wait_for 20 "port bridge1 to be ACTIVE" active bridge1
	in_vm bridge1 ip link set eth0 address 02:00:00:00:0b:01
	in_vm bridge1 ip addr add 10.0.0.99/24 dev eth0
	# web1 asks: its security group lets answers in, and nobody else's questions.
	in_vm web1 ping -n -q -c 3 -i 0.2 -W 2 10.0.0.99 >/dev/null || fail "web1 does not reach the MAC behind bridge1"
	shown fdb list
	ctl fdb list | grep -q 02:00:00:00:0b:01 || fail "the MAC is not in fdb list"
}

step_routing() {
	step "A router between two subnets: routed on the host itself, no namespace"
	ctl network create green >/dev/null
	ctl subnet create green-v4 --network green --cidr 10.1.0.0/24 >/dev/null
	ctl port create green1 --network green --fixed-ip 10.1.0.11 >/dev/null
	new_vm green1 green1
	wait_for 20 "port green1 to be ACTIVE" active green1
	lease green1
	ctl router create r1 >/dev/null
	router=r1
	ctl router interface add r1 --subnet blue-v4 >/dev/null
	ctl router interface add r1 --subnet green-v4 >/dev/null
	wait_for 20 "web1 to reach green1 over the router" in_vm web1 ping -n -q -c 1 -W 1 10.1.0.11
	run in_vm web1 ping -n -c 2 -i 0.2 -W 2 10.1.0.11
	in_vm web1 ping -n -q -c 1 -W 2 10.1.0.1 >/dev/null || fail "the router's address 10.1.0.1 does not answer"
	say "ttl=63: one hop; and the router's own address 10.1.0.1 answers"
	shown route r1 10.1.0.11
}

step_nat() {
	step "The way out: SNAT for all, a floating IP for web2"
	if [ -z "$host_ns" ]; then say "left out: this machine’s own Open vSwitch is used, and its uplinks are not ours"; return; fi
	ip -n "$id.outside" addr add 203.0.113.1/24 dev eth0
	ip -n "$id.outside" link set eth0 up
	ip netns exec "$id.outside" ethtool -K eth0 tx off >/dev/null
	ctl network create public --external --type flat --physical-network external >/dev/null
	ctl subnet create public-v4 --network public --cidr 203.0.113.0/24 --gateway 203.0.113.1 --no-dhcp >/dev/null
	ctl router gateway set r1 public >/dev/null
	wait_for 20 "web1 to reach the outside" in_vm web1 ping -n -q -c 1 -W 1 203.0.113.1
	say "web1 reaches 203.0.113.1 outside, by SNAT"
	ctl security-group create ping >/dev/null
	ctl security-group-rule create ping --protocol icmp >/dev/null
	ctl port update web2 --security-group ping >/dev/null
	ctl floatingip create public --address 203.0.113.200 --port web2 >/dev/null
	wait_for 20 "the outside to reach 203.0.113.200" in_vm outside ping -n -q -c 1 -W 1 203.0.113.200
	say "the outside reaches web2 at 203.0.113.200, its floating IP"
	shown floatingip list
	shown route r1 203.0.113.1 --source 10.0.0.12
	shown conntrack r1
}

step_flows() {
	step "Every flow says what it is for"
	shown flow dump --object web1
	say "the same from any dump of ovs-ofctl: ovs-ofctl dump-flows br-int | penstockctl flow dump -"
	at_host ovs-ofctl -O OpenFlow13 dump-flows "$(of_target br-int)" | ctl flow dump - --table l2_lookup | sed 's/^/     /'
}
of_target() { if [ -n "$host_ns" ]; then echo "unix:$dir/$1.mgmt"; else echo "$1"; fi; }

answers() { grep -c '^[0-9]* bytes from ' "$dir/ping.log" || true; }
answered() { [ "$(answers)" -ge "$1" ]; }
more_answers() { wait_for 30 "$1 more answered pings" answered $(($(answers) + $1)); }

step_restart() {
	step "penstockd is killed under a ping of 100 a second: no packet is lost"
	(in_place "$id.web1" ping -n -i 0.01 -W 2 "${ip_of[web2]}") >"$dir/ping.log" 2>&1 &
	local ping=$! sent last missing mods
	pids+=("$ping")
	more_answers 50
	kill -KILL "$penstockd"
	wait "$penstockd" 2>/dev/null || true
	forget "$penstockd"
	penstockd=
	if ctl status >/dev/null 2>&1; then fail "penstockd still answers after it was killed"; fi
	say "killed; pings go on for a second"
	more_answers 90
	start_penstockd
	say "back and in sync"
	more_answers 50
	kill -INT "$ping"
	wait "$ping" 2>/dev/null || true
	forget "$ping"
	# Every number up to the last answer must have one; what was sent in the last moment may still be on its way.
	sent=$(sed -n 's/^\([0-9]*\) packets transmitted.*/\1/p' "$dir/ping.log")
	read -r last missing < <(sed -n 's/^[0-9]* bytes from .* icmp_seq=\([0-9]*\) .*/\1/p' "$dir/ping.log" |
		awk '!($1 in got) {got[$1]; n++; if ($1 > last) last = $1} END {print last + 0, last - n}')
	[ "$last" -gt 0 ] && [ "$missing" = 0 ] && [ $((sent - last)) -le 5 ] || { tail -n 5 "$dir/ping.log" >&2; fail "$missing of the first $last pings were lost, $sent sent"; }
	say "$last pings, all answered"
	mods=$(ctl switch list -o value | awk -F'\t' '{n += $10} END {print n + 0}')
	[ "$mods" = 0 ] || fail "the new penstockd sent $mods flow-mods although nothing had changed"
	say "the new penstockd found every flow in place: no flow-mod sent"
	lease web2
	say "and web2 gets its lease again: ${ip_of[web2]}"
}

step_delete() {
	step "Everything is deleted: only the base flows are left"
	local vm p
	for p in ${taps[@]+"${taps[@]}"}; do vsctl --if-exists del-port "$p"; done
	[ -z "$(ctl floatingip list -o value -c id)" ] || ctl floatingip delete 203.0.113.200
	if [ -n "$router" ]; then
		ctl router gateway unset "$router" >/dev/null
		for p in blue-v4 green-v4; do ctl router interface remove "$router" --subnet "$p" >/dev/null; done
		ctl router delete "$router"
	fi
	for vm in web1 web2 red1 bridge1 green1; do
		[ -z "$(ctl port list --name "$vm" -o value -c id)" ] || ctl port delete "$vm"
	done
	for p in blue red green public; do
		[ -z "$(ctl network list --name "$p" -o value -c id)" ] || ctl network delete "$p"
	done
	wait_for 20 "the flows of what is gone to go" only_base
	shown flow dump --bridge br-int
	shown health
}
only_base() { # no flow of br-int has an object
	local t
	t=$(ctl flow dump --bridge br-int -o value) && [ -n "$t" ] && ! awk -F'\t' '$4 != "base" {found = 1} END {exit !found}' <<<"$t"
}

# --- here it goes

[ "$(id -u)" = 0 ] || fail "it makes network namespaces: run it as root"
for p in ovs-vswitchd ovsdb-server ovs-vsctl ovs-ofctl ip ethtool ping udhcpc; do
	command -v $p >/dev/null || fail "$p is missing: run scripts/install-deps.sh"
done
for p in penstockd penstockctl; do
	[ -x "$BIN/$p" ] || fail "$BIN/$p is missing: run make build"
done
for s in "${steps[@]}"; do
	declare -F "step_$s" >/dev/null || fail "there is no step $s"
done
trap cleanup EXIT
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM
sweep
started=1 ovsdb= api=127.0.0.1:9696 datapath= mappings='{}' penstockd=
dir=$(mktemp -d "${TMPDIR:-/tmp}/$id.XXXXXX")
cat >"$dir/udhcpc.script" <<'SH'
#!/bin/sh
# Sets what DHCP gave in the VM's namespace, and nothing outside it, and notes it in $LEASE.
case $1 in
deconfig) ip -4 addr flush dev "$interface"; ip link set "$interface" up ;;
bound | renew)
	ip addr replace "$ip/$mask" dev "$interface"
	[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
	set -- $staticroutes
	while [ $# -ge 2 ]; do
		[ "$2" = 0.0.0.0 ] || ip route replace "$1" via "$2" dev "$interface" onlink
		shift 2
	done
	for r in $router; do ip route replace default via "$r" dev "$interface" onlink; break; done
	for v in ip mask router dns domain mtu lease serverid staticroutes; do
		eval "x=\$$v"
		[ -z "$x" ] || echo "$v=$x"
	done >"$LEASE" ;;
esac
exit 0
SH
chmod +x "$dir/udhcpc.script"
for s in "${steps[@]}"; do "step_$s"; done
printf '\ndemo: all %d steps worked\n' "${#steps[@]}"
