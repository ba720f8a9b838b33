#!/usr/bin/env bash
# In the node, after configure.sh: Blazar from PyPI, which may reserve the fake hypervisor.
set -euo pipefail
address=$1
here=$(dirname "$0")
. "$here/admin"
mkdir -p /etc/blazar
cat >/etc/blazar/blazar.conf <<CONF
[DEFAULT]
host = $address
os_auth_host = $address
os_admin_username = blazar
os_admin_password = loopback
os_admin_project_name = service
os_region_name = $OS_REGION_NAME
transport_url = rabbit://openstack:loopback@127.0.0.1:5672/
[manager]
plugins = physical.host.plugin,flavor.instance.plugin
[database]
connection = mysql+pymysql://blazar:loopback@127.0.0.1/blazar
[oslo_messaging_notifications]
driver = noop
[keystone_authtoken]
auth_type = password
auth_url = http://$address:5000/v3
www_authenticate_uri = http://$address:5000/v3
username = blazar
password = loopback
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles = service
service_token_roles_required = true
CONF
/opt/blazar/bin/blazar-db-manage --config-file /etc/blazar/blazar.conf upgrade head
openstack aggregate create freepool >/dev/null
systemd-run --quiet --unit blazar-manager /opt/blazar/bin/blazar-manager
# The script of the package ends at once: its server is a daemon thread.
systemd-run --quiet --unit blazar-api /opt/blazar/bin/python -c \
    'import sys, threading; sys.argv = ["blazar-api"]; from blazar.cmd import api; api.main(); threading.Event().wait()'

api=http://$address:1234/v1
post() { curl --silent --fail-with-body --max-time 60 -H "X-Auth-Token: $(openstack token issue -f value -c id)" \
    -H 'Content-Type: application/json' -X POST "$api/$1" -d "$2"; }
for _ in $(seq 60); do
    code=$(curl --silent --max-time 5 -o /dev/null -w '%{http_code}' "$api/os-hosts" || true)
    [ "$code" = 401 ] && break
    sleep 1
done
host=$(openstack hypervisor list -f value -c "Hypervisor Hostname")
for _ in $(seq 10); do
    post os-hosts "{\"name\": \"$host\"}" && exit 0
    sleep 3
done
echo "Blazar does not take the hypervisor $host" >&2
exit 1
