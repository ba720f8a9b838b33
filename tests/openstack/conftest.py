"""One loopback OpenStack for all tests here, and the two roots of Terraform on it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openstack_cloud.cloud import Cloud, cloud, missing
from terraform_checks.site import Site
from terraform_checks.workspace import ROOTS, Workspace
from terraform_checks.workspace import missing as terraform_missing

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB3JYuqMuVo0tRQHVlP1DxGu1B8VYJ1jZ5xjHnCwAo9m admin"
LIMIT_S = 2400
"""Of one test with what it waits for: installing takes 8 minutes the first time, configuring and starting 2 to 5."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test here boots the cloud."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    if reason := missing():
        pytest.skip(reason)
    with cloud(tmp_path_factory.mktemp("openstack")) as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, running: Cloud) -> Callable[..., Site]:
    """Makes a project of this suffix with its own states; skips where Terraform or its provider cannot be had."""

    def made(suffix: str, reservation: str, **values: Any) -> Site:
        if reason := terraform_missing():
            pytest.skip(reason)
        folder = tmp_path_factory.mktemp(suffix)
        clouds = running.write_clouds(folder)
        workspace = Workspace.copy(
            folder / "terraform", OS_CLIENT_CONFIG_FILE=str(clouds), TF_VAR_reservation=reservation
        )
        for root in ROOTS:
            if reason := workspace.init(root):
                pytest.skip(reason)
        common = {
            "project_suffix": suffix,
            "admin_cidr": "198.51.100.0/24",
            "hospital_cidr": "203.0.113.0/24",
            "public_key": KEY,
            "images": {"cpu": "CC-Ubuntu24.04", "gpu": "CC-Ubuntu24.04"},
            "cloud": "kvm",
            "objects_cloud": "kvm",
            "containers": [],
        }
        (workspace.folder / "site.tfvars.json").write_text(json.dumps({**common, **values}))
        return Site(workspace)

    return made
