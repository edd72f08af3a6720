#!/usr/bin/env bash
# Runs the Networking API tests of Debian's tempest and neutron-tempest-plugin against penstockd with Debian's keystone in
# front of it, on loopback, everything in a directory of its own; docs/tempest.md has the numbers.
#
#   scripts/tempest.sh [REGEX]     default: every test of tempest.api.network and neutron_tempest_plugin.api
#   TEMPEST_DIR=DIR                keep what was made in DIR (tempest.log, penstockd.log, results)
#   TEMPEST_ALL=1                  run also the tests of extensions that /v2.0/extensions does not list
#   TEMPEST_URL=URL                test the server at this URL, which believes TEMPEST_KEYSTONE_PORT's keystone
set -euo pipefail
cd "$(dirname "$0")/.."
regex=${1:-'^(tempest\.api\.network|neutron_tempest_plugin\.api)\.'}
export PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH # Debian's python before any other

if ! [ -x /usr/bin/tempest ] || ! [ -d /usr/lib/python3/dist-packages/neutron_tempest_plugin ] || ! [ -x /usr/bin/keystone-manage ]; then
	echo "tempest: installing tempest neutron-tempest-plugin python3-keystone" >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tempest neutron-tempest-plugin python3-keystone >&2
fi

if [ -n "${TEMPEST_DIR:-}" ]; then dir=$(mkdir -p "$TEMPEST_DIR" && cd "$TEMPEST_DIR" && pwd); else dir=$(mktemp -d); fi
pids=()
stop() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
	[ -n "${TEMPEST_DIR:-}" ] || rm -rf "$dir"
}
trap stop EXIT
rm -rf "$dir/keystone" "$dir/data" "$dir/sim" "$dir/.stestr"
mkdir -p "$dir/keystone" "$dir/sim"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
await() { # file pattern what
	for _ in $(seq 300); do
		grep -q "$2" "$1" 2>/dev/null && return
		sleep 0.2
	done
	echo "tempest: $3 did not start; see $1 (TEMPEST_DIR=DIR keeps it)" >&2
	tail -n 5 "$1" >&2
	exit 1
}

api=${TEMPEST_URL:-http://127.0.0.1:$(port)}
python3 scripts/keystone-reference.py "$dir/keystone" "${TEMPEST_KEYSTONE_PORT:-0}" "$api" >"$dir/keystone.out" 2>"$dir/keystone.err" < <(exec sleep infinity) &
pids+=($!)
await "$dir/keystone.out" http keystone
keystone=$(cat "$dir/keystone.out")

if [ -z "${TEMPEST_URL:-}" ]; then
	"${GO:-go}" build -o "$dir/bin/" ./cmd/penstockd ./cmd/penstock-sim
	"$dir/bin/penstock-sim" --dir "$dir/sim" --hosts 2 >"$dir/hosts.yaml" 2>"$dir/sim.log" < <(exec sleep infinity) &
	pids+=($!)
	await "$dir/hosts.yaml" sim1 penstock-sim
	{
		grep -A100 '^hosts:' "$dir/hosts.yaml" | grep -E '^(hosts:|- name|  ovsdb)'
		cat <<CONF
data_dir: $dir/data
api: {listen: "${api#http://}"}
openflow: {listen: "127.0.0.1:$(port)"}
networks:
  physical:
    public: {flat: true, vlan_ranges: ["1:1000"]}
  dns_domain: tempest.example
quotas: {network: 100, subnet: 100, subnetpool: 100, port: 500, router: 10, floatingip: 50, security_group: 10, security_group_rule: 100, rbac_policy: 10}
auth:
  mode: keystone
  keystone: {url: "$keystone", username: admin, password: secret, project: admin}
CONF
	} >"$dir/penstockd.yaml"
	"$dir/bin/penstockd" --config "$dir/penstockd.yaml" >"$dir/penstockd.log" 2>&1 &
	pids+=($!)
	await "$dir/penstockd.log" 'penstockd is up' penstockd
fi

export OS_AUTH_URL=$keystone/v3 OS_USERNAME=admin OS_PASSWORD=secret OS_PROJECT_NAME=admin OS_USER_DOMAIN_NAME=Default \
	OS_PROJECT_DOMAIN_NAME=Default OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne PYTHONWARNINGS=ignore
openstack network create --external --provider-network-type flat --provider-physical-network public public -f value -c id >"$dir/public"
openstack subnet create --network public --subnet-range 172.24.4.0/24 --no-dhcp public-subnet >/dev/null
openstack router create --external-gateway public router1 >/dev/null
extensions=all
[ -n "${TEMPEST_ALL:-}" ] || extensions=$(openstack extension list --network -f value -c Alias | paste -sd,)

mkdir -p "$dir/etc"
cat >"$dir/etc/tempest.conf" <<CONF
[DEFAULT]
log_file = $dir/tempest.log
[oslo_concurrency]
lock_path = $dir/lock
[auth]
admin_username = admin
admin_password = secret
admin_project_name = admin
admin_domain_name = Default
create_isolated_networks = false
[identity]
uri_v3 = $keystone/v3
auth_version = v3
region = RegionOne
[network]
public_network_id = $(cat "$dir/public")
floating_network_name = public
[network-feature-enabled]
api_extensions = $extensions
ipv6 = true
ipv6_subnet_attributes = true
port_security = true
[service_available]
neutron = true
nova = false
glance = false
cinder = false
swift = false
[neutron_plugin_options]
available_type_drivers = flat,vlan,local,vxlan,gre
provider_vlans = public
firewall_driver = openvswitch
CONF
cat >"$dir/.stestr.conf" <<CONF
[DEFAULT]
test_path=/usr/lib/python3/dist-packages/tempest/test_discover
top_dir=/usr/lib/python3/dist-packages
group_regex=([^\.]*\.)*
CONF
# Debian's tempest sleeps 10 s before every deletion of a subnet. What is deleted here is gone when the answer comes.
mkdir -p "$dir/site"
cat >"$dir/site/sitecustomize.py" <<'PY'
import sys
import time
sleep = time.sleep
time.sleep = lambda s: None if sys._getframe(1).f_code.co_name == 'delete_subnet' else sleep(s)
PY
export PYTHONPATH=$dir/site TEMPEST_CONFIG_DIR=$dir/etc TEMPEST_CONFIG=tempest.conf PYTHON=/usr/bin/python3
cd "$dir"
status=0
stestr run --concurrency "${TEMPEST_CONCURRENCY:-2}" "$regex" >"$dir/result.txt" 2>&1 || status=$?
grep -E '(FAILED|SKIPPED)' "$dir/result.txt" | sed 's/^{[0-9]*} //' | sort || true
tail -n 15 "$dir/result.txt"
exit $status
