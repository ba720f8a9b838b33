#!/usr/bin/env bash
# In the node, once: configures and starts keystone, glance, placement, nova (fake hypervisor), neutron (no agents) and
# cinder (fake backend) on the address given. Passwords are all "loopback": nothing outside this machine reaches them.
set -euo pipefail
address=$1
region='KVM@TACC'
export LC_ALL=C.UTF-8
rabbit="rabbit://openstack:loopback@127.0.0.1:5672/"

set_all() { # file; lines "section key=value" on standard input, in any order
    sort -s -k1,1 | awk '$1 != last { print "[" $1 "]"; last = $1 } { print substr($0, length($1) + 2) }' | crudini --merge "$1"
}
credentials() { # section, user: how a service signs in at keystone
    printf '%s\n' "$1 auth_type=password" "$1 auth_url=http://$address:5000/v3" "$1 username=$2" "$1 password=loopback" \
        "$1 project_name=service" "$1 user_domain_name=Default" "$1 project_domain_name=Default" "$1 region_name=$region"
}
checked() { # user: what a service asks of tokens that it is shown
    credentials keystone_authtoken "$1"
    printf '%s\n' "keystone_authtoken www_authenticate_uri=http://$address:5000/v3" \
        "keystone_authtoken memcached_servers=127.0.0.1:11211" \
        "keystone_authtoken service_token_roles=service" "keystone_authtoken service_token_roles_required=true"
}
uwsgi() { # file, processes, threads
    sed -i -E "s/^processes *=.*/processes = $2/; s/^threads *=.*/threads = $3/; /^apparmor-/d; s/^(plugins *= *python3), *apparmor/\1/" "$1"
}
as() { runuser -u "$1" -- "${@:2}" >/dev/null; }

services=(glance-api placement-api nova-api nova-conductor nova-scheduler nova-compute
    neutron-api neutron-rpc-server cinder-api cinder-scheduler cinder-volume)
# On a busy machine a daemon may take longer than 90 s to say that it is up.
mkdir -p /etc/systemd/system/service.d
printf '[Service]\nTimeoutStartSec=600\n' >/etc/systemd/system/service.d/patient.conf
systemctl daemon-reload
# Some started with the node and fail over and over while nothing is configured.
systemctl stop keystone nova-api-metadata "${services[@]}"
systemctl disable --quiet nova-api-metadata

systemctl start mariadb rabbitmq-server memcached
for name in keystone glance placement nova nova_api nova_cell0 neutron cinder blazar; do
    mysql -e "CREATE DATABASE IF NOT EXISTS $name; GRANT ALL ON $name.* TO '${name%%_*}'@'127.0.0.1' IDENTIFIED BY 'loopback';"
done
# A dozen API processes and daemons hold pools of connections each.
mysql -e "SET GLOBAL max_connections = 1000;"
rabbitmqctl add_user openstack loopback >/dev/null
rabbitmqctl set_permissions openstack '.*' '.*' '.*' >/dev/null
database() { echo "mysql+pymysql://${1%%_*}:loopback@127.0.0.1/$1"; }

# keystone
crudini --set /etc/keystone/keystone.conf database connection "$(database keystone)"
uwsgi /etc/keystone/keystone-uwsgi.ini 1 8
as keystone keystone-manage db_sync # first, or the log is root's and keystone does not start
keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
as keystone keystone-manage bootstrap --bootstrap-password loopback --bootstrap-region-id "$region" \
    --bootstrap-{admin,internal,public}-url="http://$address:5000/v3"
systemctl reset-failed
systemctl restart keystone

# glance
set_all /etc/glance/glance-api.conf < <(
    checked glance
    echo "database connection=$(database glance)
paste_deploy flavor=keystone
glance_store stores=file
glance_store default_store=file
glance_store filesystem_store_datadir=/var/lib/glance/images/"
)
uwsgi /etc/glance/glance-api-uwsgi.ini 1 8

# placement
set_all /etc/placement/placement.conf < <(
    checked placement
    echo "placement_database connection=$(database placement)
api auth_strategy=keystone"
)
uwsgi /etc/placement/placement-api-uwsgi.ini 1 8

# nova
for file in /etc/nova/nova.conf /etc/nova/nova-compute.conf; do
    set_all "$file" <<<"DEFAULT compute_driver=fake.FakeDriver"
done
set_all /etc/nova/nova.conf < <(
    checked nova
    credentials service_user nova
    credentials placement placement
    credentials neutron neutron
    credentials cinder cinder
    echo "DEFAULT transport_url=$rabbit
DEFAULT my_ip=$address
DEFAULT vif_plugging_is_fatal=false
DEFAULT vif_plugging_timeout=0
database connection=$(database nova)
api_database connection=$(database nova_api)
api auth_strategy=keystone
service_user send_service_user_token=true
glance api_servers=http://$address:9292
cinder os_region_name=$region
scheduler discover_hosts_in_cells_interval=5
oslo_concurrency lock_path=/var/lib/nova/tmp"
)
# More threads than one lose replies of RPC: the second volume is attached never.
uwsgi /etc/nova/nova-api-uwsgi.ini 3 1

# neutron: everything in one file, as its units read different ones.
packages=/usr/lib/python3/dist-packages
cat >$packages/bind_all.py <<'PYTHON'
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class BindAll(api.MechanismDriver):
    """Binds every port at once: no agent, no packets."""

    def initialize(self):
        pass

    def bind_port(self, context):
        segment = context.segments_to_bind[0][api.ID]
        details = {portbindings.CAP_PORT_FILTER: True}
        context.set_binding(segment, portbindings.VIF_TYPE_OVS, details, status=constants.PORT_STATUS_ACTIVE)
PYTHON
mkdir -p $packages/bind_all-1.dist-info
printf 'Metadata-Version: 2.1\nName: bind_all\nVersion: 1\n' >$packages/bind_all-1.dist-info/METADATA
printf '[neutron.ml2.mechanism_drivers]\nbind_all = bind_all:BindAll\n' >$packages/bind_all-1.dist-info/entry_points.txt
set_all /etc/neutron/neutron.conf < <(
    checked neutron
    credentials nova nova
    credentials placement placement
    echo "DEFAULT transport_url=$rabbit
DEFAULT core_plugin=ml2
DEFAULT service_plugins=router
DEFAULT auth_strategy=keystone
DEFAULT notify_nova_on_port_status_changes=true
DEFAULT notify_nova_on_port_data_changes=true
database connection=$(database neutron)
ml2 type_drivers=flat,vxlan,local
ml2 tenant_network_types=vxlan
ml2 mechanism_drivers=bind_all
ml2 extension_drivers=port_security
ml2_type_flat flat_networks=public
ml2_type_vxlan vni_ranges=1:1000
securitygroup enable_security_group=true
oslo_concurrency lock_path=/var/lib/neutron/tmp"
)
if [ -f /etc/neutron/plugins/ml2/ml2_conf.ini ]; then
    set_all /etc/neutron/plugins/ml2/ml2_conf.ini <<'LINES'
ml2 type_drivers=flat,vxlan,local
ml2 tenant_network_types=vxlan
ml2 mechanism_drivers=bind_all
ml2 extension_drivers=port_security
ml2_type_flat flat_networks=public
ml2_type_vxlan vni_ranges=1:1000
LINES
fi
uwsgi /etc/neutron/neutron-api-uwsgi.ini 3 1

# cinder
set_all /etc/cinder/cinder.conf < <(
    checked cinder
    credentials service_user cinder
    echo "DEFAULT transport_url=$rabbit
DEFAULT auth_strategy=keystone
DEFAULT my_ip=$address
DEFAULT enabled_backends=fake
DEFAULT default_volume_type=ceph-ssd
DEFAULT glance_api_servers=http://$address:9292
database connection=$(database cinder)
service_user send_service_user_token=true
fake volume_driver=cinder.tests.fake_driver.FakeLoggingVolumeDriver
fake volume_backend_name=ceph-ssd
oslo_concurrency lock_path=/var/lib/cinder/tmp"
)
uwsgi /etc/cinder/cinder-api-uwsgi.ini 3 1

as glance glance-manage db_sync &
as placement placement-manage db sync &
as neutron neutron-db-manage --config-file /etc/neutron/neutron.conf upgrade heads &
as cinder cinder-manage db sync &
{
    as nova nova-manage api_db sync
    as nova nova-manage cell_v2 map_cell0
    as nova nova-manage cell_v2 create_cell --name cell1
    as nova nova-manage db sync
} &
for job in $(jobs -p); do wait "$job"; done

here=$(dirname "$0")
cat >"$here/admin" <<VARIABLES
export OS_AUTH_URL=http://$address:5000/v3 OS_USERNAME=admin OS_PASSWORD=loopback OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=$region OS_IDENTITY_API_VERSION=3
VARIABLES
. "$here/admin"
python3 "$here/seed.py" catalog "$address"
systemctl enable --quiet "${services[@]}"
systemctl restart "${services[@]}"
python3 "$here/seed.py" cloud
