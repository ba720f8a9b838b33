"""Three Debian nodes and a way to run our playbooks on them, for tests/ansible."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

import nspawn_node
from nspawn_node import Bridge, Key, Node
from terraform_checks.inventory import TOPOLOGY, rendered
from terraform_checks.workspace import Workspace
from terraform_checks.workspace import missing as terraform_missing

__all__ = ["ANSIBLE", "FOREIGN", "PROGRAMS", "Outcome", "Site", "site"]

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE = ROOT / "ansible"
PROGRAMS = Path(os.environ.get("CHEXPERT_ANSIBLE", ROOT / ".venv-ansible/bin"))
"""Where ansible's own environment has its programs."""

VOLUMES = {"control": "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11", "worker1": "a7b0c2d4-1111-4222-8333-944455566677"}
"""Ids of volumes, by Terraform's key of the node they are attached to."""
HOSTS = frozenset({"control-tests", "worker1-tests", "worker2-tests"})
CONTROL = "10.246.0.11"
"""The control plane's public address, which here is its private one."""
FOREIGN = "somebody-elses"


@dataclass(slots=True)
class Site:
    """The nodes, their inventory, and what is told to the playbooks beside it."""

    nodes: dict[str, Node]
    inventory: dict[str, Any]
    folder: Path
    agent: Path
    """Socket of an agent with the key: on the way through the control plane ssh asks nobody else for one."""
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
            "SSH_AUTH_SOCK": str(self.agent),
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


def _inventory(folder: Path, bridge: Bridge) -> dict[str, Any]:
    """As Terraform renders it: the control plane at its public address, workers through it, volumes by their ids."""
    workspace = Workspace.copy(folder / "terraform")
    if reason := workspace.init(TOPOLOGY):
        pytest.skip(reason)
    values = {
        "project_suffix": "tests",
        "private_subnet": f"{bridge.prefix}.0/24",
        "admin_cidr": "198.51.100.0/24",
        "hospital_cidr": "203.0.113.0/24",
        "floating_ip": CONTROL,
        "volume_ids": json.dumps(VOLUMES),
    }
    inventory: dict[str, Any] = yaml.safe_load(rendered(workspace, folder, values))
    return inventory


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One control-plane node with a blank volume, a worker with somebody else's, a worker with none."""
    if not os.environ.get("ANSIBLE_TESTS"):
        pytest.skip("nodes take a quarter of an hour: make test-ansible boots them")
    if reason := nspawn_node.missing():
        pytest.skip(reason)
    if reason := terraform_missing():
        pytest.skip(f"the inventory is rendered by Terraform: {reason}")
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
        inventory = _inventory(folder, bridge)
        devices = {"control-tests": blank, "worker1-tests": foreign}
        groups = inventory["all"]["children"]["cluster"]["children"].values()
        nodes = {
            name: Node(
                name,
                host["private_address"],
                bridge,
                nspawn_node.base(),
                machines / name,
                key,
                devices.get(name),
                Path(host.get("volume_device", "")).name,
            )
            for group in groups
            for name, host in group["hosts"].items()
        }
        assert set(nodes) == HOSTS
        for node in nodes.values():
            stack.enter_context(node)
        agent = stack.enter_context(_agent(folder, key))
        yield Site(nodes, inventory, folder, agent, _settings_of_this_machine())
        log = os.environ.get("CHEXPERT_NODES_LOG")
        if log:
            Path(log).write_text((folder / "plays.log").read_text())


@contextmanager
def _agent(folder: Path, key: Key) -> Iterator[Path]:
    socket = folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None, "ssh-agent ended"
            time.sleep(0.05)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(key.private)], env=environment, check=True)
        yield socket
    finally:
        agent.terminate()
        agent.wait(timeout=10)


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
