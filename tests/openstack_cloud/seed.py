"""Runs in the node of the loopback OpenStack, on Debian's openstacksdk, as the administrator of OS_* variables.

`catalog ADDRESS` makes service users and endpoints; `cloud` makes what Chameleon has: a project with a user and an
application credential, the shared network with its way out, an image, flavours; it prints the ids as JSON.
"""

import json
import sys
import time
from typing import Any

import openstack

SERVICES = {
    "glance": ("image", "http://{}:9292"),
    "placement": ("placement", "http://{}:8778"),
    "nova": ("compute", "http://{}:8774/v2.1"),
    "neutron": ("network", "http://{}:9696"),
    "cinder": ("volumev3", "http://{}:8776/v3/%(project_id)s"),
    "blazar": ("reservation", "http://{}:1234/v1"),
}
PROJECT, USER = "CHI-240001", "student"
PASSWORD = "loopback"  # noqa: S105 - of a cloud that nothing outside this machine reaches
RESERVED = "5a1f0c9e-77d2-4c5b-9a63-0e2b8d4f6a10"
"""A flavour whose id is a UUID, as Blazar makes one for each reservation."""
WAIT_S = 600


def catalog(cloud: Any, address: str) -> None:
    """Service users with the roles admin and service, services and their endpoints."""
    project = cloud.create_project("service", domain_id="default")
    roles = [cloud.get_role("admin"), cloud.create_role("service")]
    for name, (kind, url) in SERVICES.items():
        user = cloud.create_user(name, password=PASSWORD, domain_id="default")
        for role in roles:
            cloud.grant_role(role.id, user=user.id, project=project.id)
        service = cloud.create_service(name, type=kind)
        for interface in ("public", "internal", "admin"):
            cloud.identity.create_endpoint(
                service_id=service.id,
                interface=interface,
                url=url.format(address),
                region_id=cloud.config.region_name,
            )


def seed(cloud: Any) -> dict[str, str]:
    """What a Chameleon project finds; ids by purpose."""
    ready(cloud)
    project = cloud.create_project(PROJECT, domain_id="default")
    user = cloud.create_user(USER, password=PASSWORD, domain_id="default", default_project=project.id)
    cloud.grant_role(cloud.get_role("member").id, user=user.id, project=project.id)
    network(cloud)
    cloud.volume.create_type(name="ceph-ssd")
    cloud.create_image(
        "CC-Ubuntu24.04",
        data=b"\0" * 2**20,
        disk_format="raw",
        container_format="bare",
        visibility="public",
        wait=True,
    )
    cloud.create_flavor("m1.large", ram=4096, vcpus=2, disk=10)
    cloud.create_flavor(f"reservation:{RESERVED}", ram=4096, vcpus=2, disk=10, flavorid=RESERVED)
    theirs = openstack.connect(
        auth_url=cloud.config.auth["auth_url"],
        username=USER,
        password=PASSWORD,
        project_name=PROJECT,
        user_domain_name="Default",
        project_domain_name="Default",
        region_name=cloud.config.region_name,
    )
    credential = theirs.identity.create_application_credential(user.id, "terraform", unrestricted=True)
    return {
        "auth_url": cloud.config.auth["auth_url"],
        "region": cloud.config.region_name,
        "credential_id": credential.id,
        "credential_secret": credential.secret,
        "reserved_flavor": RESERVED,
        "project": PROJECT,
        "user": USER,
        "password": PASSWORD,
    }


def network(cloud: Any) -> None:
    """`sharednet1`, which everyone may use, with a router to `public`."""
    public = cloud.network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="public",
    )
    cloud.network.create_subnet(network_id=public.id, ip_version=4, cidr="198.51.100.0/24", enable_dhcp=False)
    shared = cloud.network.create_network(name="sharednet1", is_shared=True)
    subnet = cloud.network.create_subnet(network_id=shared.id, ip_version=4, cidr="10.56.0.0/22")
    router = cloud.network.create_router(name="router1", external_gateway_info={"network_id": public.id})
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)


def ready(cloud: Any) -> None:
    """Until every API answers and every daemon has reported, the hypervisor too."""
    ends = time.monotonic() + WAIT_S
    while True:
        try:
            missing = absent(cloud)
        except openstack.exceptions.SDKException as error:
            missing = [str(error)]
        if not missing:
            return
        if time.monotonic() > ends:
            sys.exit(f"after {WAIT_S} s: {missing}")
        time.sleep(2)


def absent(cloud: Any) -> list[str]:
    """Daemons that have not reported."""
    compute = {service.binary for service in cloud.compute.services() if service.state == "up"}
    # This release's block storage has no call for it.
    volume = {row["binary"] for row in cloud.volume.get("/os-services").json()["services"] if row["state"] == "up"}
    wanted = {"nova-conductor", "nova-scheduler", "nova-compute", "cinder-scheduler", "cinder-volume"}
    list(cloud.network.networks())
    list(cloud.image.images())
    found = sorted(wanted - compute - volume)
    return found or ([] if list(cloud.compute.hypervisors()) else ["no hypervisor"])


def main() -> None:
    """Does what the first argument says."""
    cloud = openstack.connect()
    if sys.argv[1] == "catalog":
        catalog(cloud, sys.argv[2])
    else:
        print(json.dumps(seed(cloud)))  # noqa: T201 - what the caller reads


if __name__ == "__main__":
    main()
