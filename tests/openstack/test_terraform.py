import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from openstack_cloud.cloud import Cloud
from terraform_checks.policies import OPEN
from terraform_checks.site import Site
from terraform_checks.workspace import ROOTS

SUFFIX, BESIDE = "project7", "project8"
WHO = {"198.51.100.0/24": "admin", "203.0.113.0/24": "hospital", "0.0.0.0/0": "public"}
NODE = 'module.nodes[0].openstack_compute_instance_v2.node["{}"]'
RULE = 'module.nodes[0].openstack_networking_secgroup_rule_v2.front["dicom"]'
VOLUMES = {"tables": {"size_gb": 1, "node": "control"}, "objects": {"size_gb": 1, "node": "worker1"}}


@pytest.fixture(scope="module")
def applied(site: Callable[..., Site], running: Cloud) -> Site:
    """A control plane and one worker, each with its volume, on a flavour that stands for a reservation."""
    made = site(SUFFIX, running.facts["reserved_flavor"], workers=1, volumes=VOLUMES)
    for root in ROOTS:
        made.apply(root)
    return made


def rows(running: Cloud, command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(running.ask(f"{command} -f json"))
    return found


def attached(running: Cloud) -> dict[str, tuple[str, str]]:
    """Server and volume ids by the volume's name."""
    found = {row["Name"]: row for row in rows(running, "volume list --all-projects")}
    return {name: (row["Attached to"][0]["server_id"], row["ID"]) for name, row in found.items() if row["Attached to"]}


@pytest.mark.parametrize("root", ROOTS)
def test_a_plan_after_the_apply_is_empty(root: str, applied: Site) -> None:
    """What the cloud gave is what was asked for."""
    assert applied.plan(root) == {}


@pytest.mark.usefixtures("applied")
def test_the_cloud_has_the_five_rules_and_no_more(running: Cloud) -> None:
    """Asked of Neutron, not of Terraform; the workers' group lets nothing in."""
    found = {}
    for group in ("front", "closed"):
        listed = rows(running, f"security group rule list --ingress {group}-{SUFFIX}")
        found[group] = {row["Port Range"]: WHO.get(row["IP Range"]) for row in listed}
    assert found["front"] == {f"{port}:{port}": who for port, who in OPEN.items()}
    assert found["closed"] == {}


@pytest.mark.usefixtures("applied")
def test_everything_in_the_cloud_carries_a_suffix(running: Cloud) -> None:
    """Servers, volumes, and the private network; of this project or the one beside it."""
    names = [row["Name"] for kind in ("server", "volume") for row in rows(running, f"{kind} list --all-projects")]
    names += [row["Name"] for row in rows(running, "network list --internal") if row["Name"] != "sharednet1"]
    assert [name for name in names if not name.endswith((f"-{SUFFIX}", f"-{BESIDE}"))] == []
    assert len([name for name in names if name.endswith(f"-{SUFFIX}")]) == 5


def test_the_inventory_has_the_addresses_the_cloud_gave(applied: Site, running: Cloud) -> None:
    """The public address, the planned private one, and the device of the volume that Cinder attached."""
    outputs = applied.outputs("ephemeral")
    public = outputs["floating_ip"]
    assert public in {row["Floating IP Address"] for row in rows(running, "floating ip list")}
    control = yaml.safe_load(outputs["inventory"])["all"]["children"]["cluster"]["children"]["control_plane"]["hosts"]
    assert control[f"control-{SUFFIX}"] == {
        "ansible_host": public,
        "private_address": "192.168.1.11",
        "bare_metal": False,
        "volume_device": f"/dev/disk/by-id/virtio-{attached(running)[f'tables-{SUFFIX}'][1][:20]}",
    }


def test_one_more_node_is_only_added(applied: Site) -> None:
    """Nothing that is there changes; a node less takes away that node alone."""
    planned = applied.plan("ephemeral", workers=2)
    assert planned
    assert {actions[0] for actions in planned.values()} == {"create"}
    assert all('["worker2"]' in address for address in planned)
    applied.apply("ephemeral", workers=2)
    assert applied.plan("ephemeral", workers=2) == {}
    applied.apply("ephemeral")


def test_a_replaced_node_keeps_its_volume(applied: Site, running: Cloud) -> None:
    """Another server, the same volume attached to it."""
    name = f"objects-{SUFFIX}"
    before = attached(running)[name]
    applied.apply("ephemeral", f"-replace={NODE.format('worker1')}")
    after = attached(running)[name]
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert applied.plan("ephemeral") == {}


def test_a_rule_deleted_by_hand_is_seen_and_made_again(applied: Site, running: Cloud) -> None:
    """The plan names that rule alone."""
    (rule,) = (
        row for row in rows(running, f"security group rule list front-{SUFFIX}") if row["Port Range"] == "11112:11112"
    )
    running.ask(f"security group rule delete {rule['ID']}")
    assert applied.plan("ephemeral") == {RULE: ["create"]}
    applied.apply("ephemeral")
    assert applied.plan("ephemeral") == {}


def test_a_server_stopped_by_hand_is_seen(applied: Site, running: Cloud) -> None:
    """The plan starts it again."""
    (server,) = (row["ID"] for row in rows(running, "server list --all-projects") if row["Name"].startswith("control"))
    running.ask(f"server stop {server}")
    state = f"openstack server show {server} -f value -c status"
    running.node.run(f". /opt/cloud/admin; for i in $(seq 30); do [ $({state}) = SHUTOFF ] && break; sleep 1; done")
    assert applied.plan("ephemeral") == {NODE.format("control"): ["update"]}
    applied.apply("ephemeral")
    assert applied.plan("ephemeral") == {}


def test_data_refuses_to_be_destroyed(applied: Site, running: Cloud) -> None:
    """`terraform destroy` of the persistent root changes nothing."""
    before = {row["ID"] for row in rows(running, "volume list --all-projects")}
    assert "Instance cannot be destroyed" in applied.refused("persistent", "destroy")
    assert {row["ID"] for row in rows(running, "volume list --all-projects")} == before


def test_destroying_the_nodes_keeps_the_data(applied: Site, running: Cloud) -> None:
    """No server and no public address is left; the volumes are there and free; the nodes come again onto them."""
    before = {row["Name"]: row["ID"] for row in rows(running, "volume list --all-projects")}
    applied.destroy("ephemeral")
    assert rows(running, "server list --all-projects") == []
    assert rows(running, "floating ip list") == []
    left = rows(running, "volume list --all-projects")
    assert {row["Name"]: row["ID"] for row in left} == before
    assert {row["Status"] for row in left} == {"available"}
    applied.apply("ephemeral")
    assert {name: ids[1] for name, ids in attached(running).items()} == before
    applied.destroy("ephemeral")
