"""The node with OpenStack's services: booted, configured, taken away again. Needs root."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

import nspawn_node

__all__ = ["ADDRESS", "BRIDGE", "NAME", "Cloud", "base", "cloud", "missing"]

HERE = Path(__file__).parent
NAME, ADDRESS, BRIDGE = "openstack", "10.245.0.10", "chxo0"
_CACHE = nspawn_node.CACHE / "openstack-1"
"""Debian with the packages, kept between runs (3 GB)."""
_PACKAGES_S = 2400
_CONFIGURE_S = 1200


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running cloud as a member of its project sees it."""

    node: nspawn_node.Node
    facts: dict[str, str]
    """What seed.py printed: where to sign in, as whom, and reserved_flavor, a flavour whose id is a UUID."""

    def write_clouds(self, folder: Path) -> Path:
        """A clouds.yaml: `kvm` by the member's application credential, `kvm-login` by name and password."""
        auth = {
            "auth_url": self.facts["auth_url"],
            "application_credential_id": self.facts["credential_id"],
            "application_credential_secret": self.facts["credential_secret"],
        }
        login = {
            "auth_url": self.facts["auth_url"],
            "username": self.facts["user"],
            "password": self.facts["password"],
            "project_name": self.facts["project"],
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        region = {"region_name": self.facts["region"]}
        clouds = {
            "kvm": {"auth_type": "v3applicationcredential", "auth": auth, **region},
            "kvm-login": {"auth": login, **region},
        }
        path = folder / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": clouds}))
        return path

    def ask(self, command: str) -> str:
        """`openstack COMMAND` as the administrator, in the node; what it prints."""
        return self.node.run(f". /opt/cloud/admin; openstack {command}", limit_s=180).stdout


def missing() -> str:
    """What is not here that the cloud needs, as a reason to skip; empty when all is here."""
    if os.environ.get("OPENSTACK_TESTS") != "1":
        return "these boot an OpenStack of 3.4 GB memory: make test-openstack"
    return nspawn_node.missing()


def base(folder: Path = _CACHE) -> Path:
    """Debian with OpenStack's packages, installed once: about 8 minutes and 3 GB; half done, it is made anew."""
    if (folder / ".openstack").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "-a", str(nspawn_node.base()), str(folder)], check=True)
    done = subprocess.run(
        [HERE / "packages.sh", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PACKAGES_S,
    )
    if done.returncode != 0:
        message = f"packages.sh: rc {done.returncode}: {done.stderr[-3000:]}"
        raise RuntimeError(message)
    return folder


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """Boot and configure one in a new folder below `folder`; all of it is gone when the context or the process ends."""
    root = base()
    key = nspawn_node.Key.make(folder)
    bridge = nspawn_node.Bridge(BRIDGE, ADDRESS.rpartition(".")[0])
    with _watched(folder), bridge, nspawn_node.Node(NAME, ADDRESS, bridge, root, folder / "node", key) as node:
        inside = folder / "node/root/opt/cloud"
        inside.mkdir()
        for file in ("configure.sh", "seed.py", "blazar.sh"):
            shutil.copy(HERE / file, inside / file)
        done = node.run(f"/opt/cloud/configure.sh {ADDRESS}", limit_s=_CONFIGURE_S)
        yield Cloud(node, json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _watched(folder: Path) -> Iterator[None]:
    """Begins once no other cloud is here; should this process be killed, the watcher takes away what it made."""
    command = [sys.executable, "-m", "openstack_cloud.watcher", str(nspawn_node.CACHE / "openstack.lock"), str(folder)]
    with subprocess.Popen(
        command,
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline(), "the watcher of the loopback cloud did not start"
        yield
