"""Three Debian nodes and a way to run our playbooks on them, for tests/ansible."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import nspawn_node
from nspawn_node import Bridge, Key, Node

__all__ = ["ANSIBLE", "FOREIGN", "PROGRAMS", "Outcome", "Site", "site"]

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE = ROOT / "ansible"
PROGRAMS = Path(os.environ.get("CHEXPERT_ANSIBLE", ROOT / ".venv-ansible/bin"))
"""Where ansible's own environment has its programs."""

HOSTS = {"control-tests": ("control_plane", 11), "worker1-tests": ("workers", 21), "worker2-tests": ("workers", 22)}
FOREIGN = "somebody-elses"


@dataclass(slots=True)
class Site:
    """The nodes, their inventory, and what is told to the playbooks beside it."""

    nodes: dict[str, Node]
    inventory: dict[str, Any]
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def without_foreign(self) -> None:
        """Ask no more for the volume that holds other data."""
        workers = self.inventory["all"]["children"]["cluster"]["children"]["workers"]["hosts"]
        workers["worker1-tests"].pop("volume_device", None)

    def play(self, playbook: str, *arguments: str, **settings: Any) -> "Outcome":
        """Run a playbook; what each host counted is in the answer, a failure is no exception."""
        inventory = self.folder / "inventory.yml"
        inventory.write_text(json.dumps(self.inventory))
        command = [str(PROGRAMS / "ansible-playbook"), "-i", str(inventory), str(ANSIBLE / playbook), *arguments]
        command += ["--extra-vars", json.dumps({**self.settings, **settings})]
        environment = {
            **os.environ,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
        with (self.folder / "plays.log").open("a") as log:
            log.write(f"$ {playbook} {arguments} {settings}\n{done.stdout}{done.stderr}\n")
        return Outcome(done.returncode, done.stdout + done.stderr)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a playbook printed."""

    returncode: int
    text: str

    def counted(self, what: str) -> dict[str, int]:
        """Of each host, from the recap: `changed`, `failed`, `unreachable`."""
        recap = self.text.split("PLAY RECAP", 1)[-1]
        lines = [line for line in recap.splitlines() if f"{what}=" in line]
        return {line.split()[0]: int(line.split(f"{what}=")[1].split()[0]) for line in lines}

    def succeeded(self) -> "Outcome":
        """Itself, or the end of what it printed as a failure of the test."""
        assert self.returncode == 0, self.text[-6000:]
        return self


def _foreign(device: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", FOREIGN, str(device)], check=True)


def _inventory(nodes: dict[str, Node], key: Key) -> dict[str, Any]:
    groups: dict[str, Any] = {name: {"hosts": {}} for name in ("control_plane", "workers", "gpu")}
    for name, (group, _) in HOSTS.items():
        host = {"ansible_host": nodes[name].address, "private_address": nodes[name].address, "bare_metal": False}
        if nodes[name].device:
            host["volume_device"] = "/dev/vdb"
        groups[group]["hosts"][name] = host
    known = f"-o UserKnownHostsFile={key.private.parent / 'known'}"
    common = {
        "ansible_user": "cc",
        "ansible_ssh_private_key_file": str(key.private),
        "ansible_ssh_common_args": known,
        "project_suffix": "tests",
        "private_subnet": "10.246.0.0/24",
        "admin_cidr": "198.51.100.0/24",
        "hospital_cidr": "203.0.113.0/24",
    }
    return {"all": {"vars": common, "children": {"cluster": {"children": groups}}}}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One control-plane node with a blank volume, a worker with somebody else's, a worker with none."""
    if not os.environ.get("ANSIBLE_TESTS"):
        pytest.skip("nodes take a quarter of an hour: make test-ansible boots them")
    if reason := nspawn_node.missing():
        pytest.skip(reason)
    if not (PROGRAMS / "ansible-playbook").exists():
        pytest.skip("no environment with ansible: make .venv-ansible, then these run")
    folder = tmp_path_factory.mktemp("ansible")
    key = Key.make(folder)
    machines = Path("/var/tmp") / f"chexpert-nodes-{uuid4().hex[:8]}"  # noqa: S108 - disks too big for a tmpfs
    machines.mkdir()
    with ExitStack() as stack:
        stack.callback(machines.rmdir)
        bridge = stack.enter_context(Bridge())
        blank = stack.enter_context(nspawn_node.volume(machines / "blank", 256))
        foreign = stack.enter_context(nspawn_node.volume(machines / "foreign", 64, _foreign))
        devices = {"control-tests": blank, "worker1-tests": foreign}
        nodes = {
            name: Node(
                name, f"{bridge.prefix}.{host}", bridge, nspawn_node.base(), machines / name, key, devices.get(name)
            )
            for name, (_, host) in HOSTS.items()
        }
        for node in nodes.values():
            stack.enter_context(node)
        yield Site(nodes, _inventory(nodes, key), folder, _settings_of_this_machine())
        log = os.environ.get("CHEXPERT_NODES_LOG")
        if log:
            Path(log).write_text((folder / "plays.log").read_text())


def _settings_of_this_machine() -> dict[str, Any]:
    """What containers on a machine with cgroup v1 and little free disk ask for; a real node needs none of it."""
    room = {"nodefs.available": "1Gi", "imagefs.available": "1Gi", "memory.available": "100Mi"}
    return {
        "container_runtime_systemd_cgroup": False,
        "container_runtime_restrict_oom_score_adj": True,
        "cluster_cgroup_driver": "cgroupfs",
        "cluster_kubelet_settings": {"failCgroupV1": False, "imageGCHighThresholdPercent": 100, "evictionHard": room},
        "cluster_proxy_settings": {"conntrack": {"maxPerCore": 0}},
        "cluster_etcd_arguments": [{"name": "unsafe-no-fsync", "value": "true"}],
        "cluster_ignored_preflight_errors": ["SystemVerification"],
    }
