#!/bin/sh
# Runs the real neutron-server (Debian packages neutron-common, neutron-api) on loopback, as the reference that
# `make api-diff` compares with. No keystone, no message bus, a database of its own in a directory of its own.
#
#   neutron-reference.sh start DIR [PORT]   start, wait until it answers, print its URL
#   neutron-reference.sh stop DIR           stop it by its pid (the directory stays)
#   neutron-reference.sh install            install the packages it needs, saying so
set -eu

cmd=${1:?start, stop or install}
python=/usr/bin/python3

if [ "$cmd" = install ]; then
	echo "installing neutron-common neutron-api python3-neutronclient python3-openstackclient sqlite3" >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		neutron-common neutron-api python3-neutronclient python3-openstackclient sqlite3 >&2
	exit 0
fi

dir=${2:?a directory}
port=${3:-19696}

if [ "$cmd" = stop ]; then
	if [ -f "$dir/pid" ]; then
		pid=$(cat "$dir/pid") # it leads a session of its own: its workers go with it
		kill -- "-$pid" 2>/dev/null || true
		i=0
		while kill -0 -- "-$pid" 2>/dev/null; do
			i=$((i + 1))
			[ $i -gt 100 ] && kill -KILL -- "-$pid" 2>/dev/null || true
			sleep 0.1
		done
		rm -f "$dir/pid"
	fi
	exit 0
fi

mkdir -p "$dir/lock"
: >"$dir/policy.yaml"
cat >"$dir/neutron.conf" <<CONF
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $port
auth_strategy = noauth
api_paste_config = $dir/api-paste.ini
transport_url = fake:/
core_plugin = ml2
service_plugins = router,qos,trunk,segments,log,flavors,auto_allocate,network_ip_availability,port_forwarding,revisions,timestamp,tag
dns_domain = openstacklocal.
api_workers = 0
rpc_workers = 0
rpc_state_report_workers = 0
agent_down_time = 2000000000
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
global_physnet_mtu = 1500
state_path = $dir
log_file = $dir/server.log
max_allowed_address_pair = 10
router_distributed = false
[database]
connection = sqlite:///$dir/neutron.sqlite
[oslo_concurrency]
lock_path = $dir/lock
[oslo_policy]
policy_file = $dir/policy.yaml
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_floatingip = -1
quota_security_group = -1
quota_security_group_rule = -1
quota_rbac_policy = -1
[ml2]
type_drivers = local,flat,vlan,vxlan,gre,geneve
tenant_network_types = vxlan
mechanism_drivers = openvswitch
extension_drivers = port_security,qos,dns_domain_ports,tag_ports_during_bulk_creation
path_mtu = 1500
[ml2_type_flat]
flat_networks = external
[ml2_type_vlan]
network_vlan_ranges = external:100:199
[ml2_type_vxlan]
vni_ranges = 1:5000
[ml2_type_gre]
tunnel_id_ranges = 1:5000
[ml2_type_geneve]
vni_ranges = 1:5000
max_header_size = 38
[securitygroup]
enable_security_group = true
firewall_driver = openvswitch
[service_providers]
CONF
# Instead of keystone, who asks is in the headers X-User-Id, X-Project-Id and X-Roles, as behind a trusted front.
sed 's/^noauth = cors http_proxy_to_wsgi request_id fake_project_id/noauth = cors http_proxy_to_wsgi request_id keystonecontext/' \
	/etc/neutron/api-paste.ini >"$dir/api-paste.ini"
cat >"$dir/setup.py" <<'PY'
# Makes the tables from the models (the migrations do not run on sqlite) and one Open vSwitch host h1.
import json, sys, uuid, datetime
from neutron.common import config
from neutron_lib import context
config.register_common_config_options()
from oslo_config import cfg
config.init(['--config-file', sys.argv[1]])
from neutron.db.migration.models import head
from neutron_lib.db import api as db_api, model_base
engine = db_api.CONTEXT_WRITER.get_engine() if hasattr(db_api, 'CONTEXT_WRITER') else db_api.context_manager.writer.get_engine()
model_base.BASEV2.metadata.create_all(engine)
from sqlalchemy import text
with engine.connect() as c:
    c.execute(text('PRAGMA journal_mode=WAL'))  # the server's own jobs read while a request writes
agents = [
    ('Open vSwitch agent', 'neutron-openvswitch-agent', 'h1', 'N/A', {
        'bridge_mappings': {'external': 'br-ex'}, 'tunnel_types': ['vxlan', 'gre'], 'tunneling_ip': '172.31.0.1',
        'integration_bridge': 'br-int', 'datapath_type': 'system', 'ovs_capabilities': {
            'datapath_types': ['netdev', 'system'], 'iface_types': []}, 'ovs_hybrid_plug': False}),
    ('Open vSwitch agent', 'neutron-openvswitch-agent', 'h2', 'N/A', {
        'bridge_mappings': {'external': 'br-ex'}, 'tunnel_types': ['vxlan', 'gre'], 'tunneling_ip': '172.31.0.2',
        'integration_bridge': 'br-int', 'datapath_type': 'system', 'ovs_capabilities': {
            'datapath_types': ['netdev', 'system'], 'iface_types': []}, 'ovs_hybrid_plug': False}),
]
with engine.begin() as c:
    for kind, binary, host, topic, conf in agents:
        c.execute(text('insert into agents (id, agent_type, binary, topic, host, admin_state_up, created_at, started_at,'
                       ' heartbeat_timestamp, configurations, `load`) values (:i, :t, :b, :o, :h, 1, :n, :n, :n, :c, 0)'),
                  dict(i=str(uuid.uuid4()), t=kind, b=binary, o=topic, h=host, c=json.dumps(conf),
                       n=datetime.datetime.utcnow().strftime('%Y-%m-%d %H:%M:%S.000000')))
PY
cd "$dir"
if [ ! -f neutron.sqlite ]; then
	$python setup.py "$dir/neutron.conf" >"$dir/setup.log" 2>&1 || { tail -20 "$dir/setup.log" >&2; exit 1; }
fi
setsid $python /usr/bin/neutron-server --config-file "$dir/neutron.conf" >"$dir/out.log" 2>&1 </dev/null &
echo $! >"$dir/pid"
i=0
until curl -fs -o /dev/null -H "X-User-Id: u" -H "X-Project-Id: p" -H "X-Roles: admin" "http://127.0.0.1:$port/v2.0/networks"; do
	i=$((i + 1))
	if [ $i -gt 600 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		echo "neutron-server did not start; see $dir/server.log and $dir/out.log" >&2
		tail -5 "$dir/out.log" "$dir/server.log" >&2 || true
		exit 1
	fi
	sleep 0.2
done
echo "http://127.0.0.1:$port"
