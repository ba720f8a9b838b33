import json
import os
import subprocess
from collections.abc import Callable

import pytest

from openstack_cloud.cloud import ADDRESS, Cloud
from terraform_checks.site import Site
from terraform_checks.workspace import ROOTS, TREE

Script = Callable[..., subprocess.CompletedProcess[str]]
PYTHON = TREE / "lease/.venv/bin/python"


@pytest.fixture(scope="module")
def blazar(running: Cloud) -> Cloud:
    """The cloud with Blazar in it."""
    if not PYTHON.exists():
        pytest.skip("the lease script's own environment is not there: make test-openstack makes it")
    running.node.run(f"/opt/cloud/blazar.sh {ADDRESS}", limit_s=400)
    return running


@pytest.fixture(scope="module")
def lease(blazar: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Script:
    clouds = blazar.write_clouds(tmp_path_factory.mktemp("lease"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}

    def run(command: str, *more: str, cloud: str = "kvm-login") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, TREE / "lease/lease.py", command, "--suffix=project8", f"--cloud={cloud}", *more],
            env={**inherited, "OS_CLIENT_CONFIG_FILE": str(clouds)},
            capture_output=True,
            text=True,
            check=False,
            timeout=700,
        )

    return run


@pytest.fixture(scope="module")
def reservation(lease: Script) -> str:
    """Of two VMs."""
    made = lease("ensure", "--flavor=m1.large", "--amount=2", "--days=1")
    assert made.returncode == 0, made.stderr
    name, _, found = made.stdout.strip().partition("=")
    assert name == "TF_VAR_reservation"
    return found


def test_a_second_run_prints_the_same_reservation(lease: Script, reservation: str, blazar: Cloud) -> None:
    """And the cloud has a flavour of that id."""
    again = lease("ensure", "--flavor=m1.large", "--amount=2", "--days=1")
    assert again.stdout.strip() == f"TF_VAR_reservation={reservation}"
    assert reservation in blazar.ask("flavor list --all -f value -c ID")


def test_what_the_cloud_refuses_is_told_in_a_line(lease: Script) -> None:
    """Keystone lets no application credential make the trust that Blazar asks for; and there is no such flavour."""
    barred = lease("ensure", "--suffix=project9", "--flavor=m1.large", "--days=1", cloud="kvm")
    assert (barred.returncode, barred.stdout) == (1, "")
    assert "application credential, which may be barred from leases: name a login" in barred.stderr
    unknown = lease("ensure", "--flavor=m1.huge")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "m1.huge" in unknown.stderr
    assert "Traceback" not in barred.stderr + unknown.stderr


@pytest.mark.usefixtures("reservation")
def test_another_amount_is_refused(lease: Script) -> None:
    """The lease in use is not changed in silence."""
    other = lease("ensure", "--flavor=m1.large", "--amount=3")
    assert (other.returncode, other.stdout) == (1, "")
    assert "amount is 2, not 3" in other.stderr


@pytest.mark.usefixtures("reservation")
def test_a_lease_is_extended_once(lease: Script) -> None:
    """Near its end `status` exits 3; extended, it does not."""
    assert lease("status", "--warn-hours=30").returncode == 3
    extended = lease("extend", "--days=2")
    assert extended.returncode == 0, extended.stderr
    assert lease("status", "--warn-hours=30").returncode == 0


def test_nodes_run_on_the_reservation_and_no_more_than_it_has(
    reservation: str, site: Callable[..., Site], running: Cloud
) -> None:
    """Two VMs fit into a lease of two; the third fails, and what is there stays."""
    project = site("project8", reservation, workers=1, volumes={})
    for root in ROOTS:
        project.apply(root)
    assert project.plan("ephemeral") == {}
    assert "unexpected state 'ERROR'" in project.refused("ephemeral", "apply", workers=2)
    (third,) = json.loads(running.ask("server list --all-projects --status ERROR -f json"))
    assert third["Name"] == "worker2-project8"
    assert "No valid host" in running.ask(f"server show {third['ID']} -f value -c fault")
    project.apply("ephemeral")
    assert project.plan("ephemeral") == {}
    project.destroy("ephemeral")


@pytest.mark.usefixtures("reservation")
def test_a_deleted_lease_is_gone(lease: Script) -> None:
    """Deleting it again is no fault; its status is."""
    assert lease("delete").returncode == 0
    assert lease("delete").returncode == 0
    assert lease("status").returncode == 1
