#!/usr/bin/env bash
# packages.sh ROOT: the OpenStack services and Blazar into a Debian root, nothing configured or started. As root; about
# 8 minutes and 2.5 GB. Packages come from where this machine's own apt and pip get theirs.
set -euo pipefail
root=$1
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # nothing starts while it is installed
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
inside() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" "$@"; }
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    mariadb-server rabbitmq-server memcached python3-pymysql crudini python3-venv \
    keystone glance-api placement-api nova-api nova-conductor nova-scheduler nova-compute neutron-server \
    cinder-api cinder-scheduler cinder-volume python3-openstackclient >/dev/null
inside apt-get clean
rm -rf "$root"/var/lib/apt/lists/*

# Debian has no Blazar server. In an environment of its own: it wants newer libraries than Zed's.
inside python3 -m venv /opt/blazar
inside env -u PIP_FIND_LINKS /opt/blazar/bin/pip install --quiet --no-cache-dir \
    blazar==18.0.0 'oslo.service[threading]' pyOpenSSL PyMySQL
rm "$root/usr/sbin/policy-rc.d"
touch "$root/.openstack"
