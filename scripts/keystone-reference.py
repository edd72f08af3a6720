"""Debian's keystone, whole, in one process on loopback with a directory of its own: for tests, not for use.

    /usr/bin/python3 scripts/keystone-reference.py DIR PORT [NETWORK_URL]

Makes the database (sqlite), the keys and the user admin (password "secret", project "admin") where DIR has none yet,
puts NETWORK_URL into the catalogue as the service of type network, prints keystone's URL and serves until its standard
input ends. PORT 0 takes a free one.
"""
import base64
import os
import socketserver
import sys
import threading
import traceback
import uuid
import warnings
from wsgiref import simple_server

warnings.simplefilter('ignore')
work = os.path.abspath(sys.argv[1])
port = int(sys.argv[2])
network_url = sys.argv[3] if len(sys.argv) > 3 else ''
fresh = not os.path.exists(os.path.join(work, 'keystone.sqlite'))
if fresh:
    os.makedirs(os.path.join(work, 'fernet'), mode=0o700)
    for n in '0', '1':  # the next key and the one in use
        with open(os.path.join(work, 'fernet', n), 'wb') as f:
            f.write(base64.urlsafe_b64encode(os.urandom(32)))
config = os.path.join(work, 'keystone.conf')
with open(config, 'w') as f:
    # The cheapest password hashes, since a test makes many users; tokens are real fernet ones.
    f.write(f'''[DEFAULT]
log_file = {work}/keystone.log
[database]
connection = sqlite:///{work}/keystone.sqlite
[fernet_tokens]
key_repository = {work}/fernet
[fernet_receipts]
key_repository = {work}/fernet
[credential]
key_repository = {work}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
[token]
expiration = 86400
''')
sys.argv = ['keystone', '--config-file', config]
os.environ.update(OS_KEYSTONE_CONFIG_DIR=work, OS_KEYSTONE_CONFIG_FILES='keystone.conf')

from keystone.server.flask import core  # noqa: E402  (the configuration comes first)
from keystone.server import configure  # noqa: E402
from keystone.cmd import bootstrap  # noqa: E402
from keystone.common import provider_api  # noqa: E402
from keystone.common.sql import upgrades  # noqa: E402


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


server = simple_server.make_server('127.0.0.1', port, None, Server, Quiet)
url = 'http://127.0.0.1:%d' % server.server_port


def make():
    """The database and what stands in it at first."""
    configure(config_files=[config])
    upgrades.offline_sync_database_to_version()
    b = bootstrap.Bootstrapper()
    b.admin_username = b.project_name = b.admin_role_name = 'admin'
    b.admin_password, b.service_name, b.region_id = 'secret', 'keystone', 'RegionOne'
    b.public_url = b.internal_url = b.admin_url = url + '/v3'
    b.immutable_roles = True
    b.bootstrap()
    if not network_url:
        return
    catalog = provider_api.ProviderAPIs.catalog_api
    service = uuid.uuid4().hex
    catalog.create_service(service, {'id': service, 'type': 'network', 'name': 'penstock', 'enabled': True})
    for interface in 'public', 'internal', 'admin':
        e = uuid.uuid4().hex
        catalog.create_endpoint(e, {'id': e, 'service_id': service, 'interface': interface, 'url': network_url,
                                    'region_id': 'RegionOne', 'enabled': True})


if fresh:  # in a process of its own: keystone lets itself be configured once
    child = os.fork()
    if child == 0:
        try:
            make()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit('keystone-reference: the database could not be made; see above and %s/keystone.log' % work)

application = core.initialize_application(name='public', config_files=[config])
one = threading.Lock()  # sqlite has one writer


def serialised(environ, start_response):
    with one:
        return application(environ, start_response)


server.set_app(serialised)


def until_end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=until_end, daemon=True).start()
print(url, flush=True)
server.serve_forever()
