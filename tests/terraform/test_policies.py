import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terraform_checks.policies import (
    OPEN,
    Block,
    blocks,
    lasting,
    named,
    opened,
    protected,
    unlocked,
    unpinned,
)
from terraform_checks.workspace import ROOTS, TREE, Workspace

WHO = {"198.51.100.0/24": "admin", "203.0.113.0/24": "hospital", "0.0.0.0/0": "public"}
VOLUME = 'resource "openstack_blockstorage_volume_v3" "a" {\n  name = "${each.value.name}"\n  size = 1\n%s\n}\n'
RULE = """resource "openstack_networking_secgroup_rule_v2" "a" {
  for_each         = var.rules
  direction        = "ingress"
  ethertype        = "IPv4"
  protocol         = "tcp"
  port_range_min   = each.value.port
  port_range_max   = each.value.port
  remote_ip_prefix = "0.0.0.0/0"
}
"""


@pytest.fixture(scope="module")
def everything() -> list[Block]:
    return blocks(TREE)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], list[Block]]:
    def blocks_of(text: str) -> list[Block]:
        (tmp_path / "main.tf").write_text(text)
        return blocks(tmp_path)

    return blocks_of


def test_the_tree_was_read(everything: list[Block]) -> None:
    """The rules below are asked of something: both roots, instances, volumes, groups."""
    assert {"openstack_compute_instance_v2", "openstack_networking_secgroup_rule_v2"} <= {b.type for b in everything}
    assert {b.file.parts[0] for b in everything if b.kind == "provider"} == set(ROOTS)


def test_the_ports_that_are_open_are_the_five(ready: Callable[[str], Workspace], tmp_path: Path) -> None:
    """22 and 6443 to the admin network, 80 and 443 to all, 11112 to the hospital; no other port, no other network."""
    workspace = ready("modules/topology")
    values = {"project_suffix": "project7", "admin_cidr": "198.51.100.0/24", "hospital_cidr": "203.0.113.0/24"}
    given = [f"-var={name}={value}" for name, value in values.items()]
    state = f"-state={tmp_path / 'state'}"
    applied = workspace.run("modules/topology", "apply", "-auto-approve", state, *given)
    assert applied.returncode == 0, applied.stderr
    shown = workspace.run("modules/topology", "output", "-json", state, "rules")
    rules: list[dict[str, Any]] = list(json.loads(shown.stdout).values())
    assert {rule["port"]: WHO.get(rule["cidr"]) for rule in rules} == OPEN
    assert len(rules) == len(OPEN)


def test_nothing_comes_in_beside_the_table(everything: list[Block]) -> None:
    """Rules take all they say from the table; ports without security lie on the private network alone."""
    assert opened(everything) == []


def test_the_table_reaches_the_rules_unchanged(everything: list[Block]) -> None:
    """The root hands topology's rules to the nodes, and nothing else."""
    (nodes,) = (b for b in everything if b.kind == "module" and b.type == "nodes")
    assert nodes.body["rules"] == "${module.topology.rules}"


def test_a_rule_beside_the_table_is_seen(written: Callable[[str], list[Block]]) -> None:
    """One that is open to everyone, whatever the table says."""
    assert opened(written(RULE)) == [
        "main.tf: resource openstack_networking_secgroup_rule_v2 a: remote_ip_prefix is '0.0.0.0/0'"
    ]
    assert opened(written(RULE.replace('"0.0.0.0/0"', "each.value.cidr"))) == []


def test_an_unprotected_port_of_a_shared_network_is_seen(written: Callable[[str], list[Block]]) -> None:
    """On the private network it is allowed."""
    port = 'resource "openstack_networking_port_v2" "a" {\n  network_id = %s\n  port_security_enabled = false\n}\n'
    assert opened(written(port % "data.openstack_networking_network_v2.shared.id"))
    assert opened(written(port % "var.private_network_id")) == []


def test_data_and_networks_are_protected(everything: list[Block]) -> None:
    """No plan that would destroy one is carried out."""
    assert protected(everything) == []
    assert len(lasting(everything)) == 4


def test_an_unprotected_volume_is_seen(written: Callable[[str], list[Block]]) -> None:
    """With no lifecycle, and with one that says false."""
    assert protected(written(VOLUME % ""))
    assert protected(written(VOLUME % "  lifecycle {\n    prevent_destroy = false\n  }"))
    assert protected(written(VOLUME % "  lifecycle {\n    prevent_destroy = true\n  }")) == []


def test_what_make_destroy_takes_away_holds_no_data() -> None:
    """The ephemeral root and its modules make no volume, container or network."""
    assert [lasting(blocks(TREE / part)) for part in ("ephemeral", "modules/nodes", "modules/baremetal")] == [[]] * 3
    assert lasting(blocks(TREE / "modules/storage"))


def test_names_are_topologys(everything: list[Block]) -> None:
    """Each ends in a name that topology made; that those end in the suffix, its own tests show."""
    assert named(everything) == []


@pytest.mark.parametrize("name", ['"volume"', '"${each.value.name}-x"', "var.other"])
def test_a_name_of_somebodys_own_is_seen(name: str, written: Callable[[str], list[Block]]) -> None:
    """A literal, one with something behind the suffix, and a variable that topology does not give."""
    assert named(written(f'resource "openstack_networking_secgroup_v2" "a" {{\n  name = {name}\n}}\n'))


def test_versions_are_pinned(everything: list[Block]) -> None:
    """Terraform below a major, the provider at a minor."""
    assert unpinned(everything) == []
    assert len([block for block in everything if block.kind == "terraform"]) == 7


def test_a_provider_of_any_version_is_seen(written: Callable[[str], list[Block]]) -> None:
    """As the labs have it: at least this Terraform, whatever comes."""
    loose = 'terraform {\n  required_version = ">= 0.14"\n  required_providers {\n    a = { source = "x/a" }\n  }\n}\n'
    assert len(unpinned(written(loose))) == 2


@pytest.mark.parametrize("root", ROOTS)
def test_the_lock_holds_the_version_the_root_asks_for(root: str) -> None:
    """Two machines install the same provider."""
    lock = (TREE / root / ".terraform.lock.hcl").read_text()
    assert 'version     = "3.4.0"' in lock
    assert 'constraints = "~> 3.4.0"' in lock


def test_providers_hold_no_credentials(everything: list[Block]) -> None:
    """They name an entry of clouds.yaml."""
    assert unlocked(everything) == []


def test_a_password_in_a_provider_is_seen(written: Callable[[str], list[Block]]) -> None:
    """Whatever its value."""
    assert unlocked(written('provider "openstack" {\n  cloud = "kvm"\n  password = var.password\n}\n'))
