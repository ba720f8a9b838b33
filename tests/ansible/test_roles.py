"""What holds without nodes: fast, part of `make test-infra`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_site import ANSIBLE, PROGRAMS

ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir())
SECRET = re.compile(r"password|secret|token|_key\b|backup\.env|backup_databases|backup_remotes", re.IGNORECASE)
PUBLIC = re.compile(r"gpu_node_key|backup_postgresql_key|--skip-token-print")
"""Public halves of signing keys, and what keeps a secret from being printed."""
NOT_THERE = "no environment with ansible: make .venv-ansible, then these run"


def tasks_of(path: Path) -> Iterator[dict[str, Any]]:
    """Every task of a file, those of blocks too; a block itself is none."""
    waiting = list(yaml.safe_load(path.read_text()) or [])
    while waiting:
        task = waiting.pop()
        inside = [t for part in ("block", "rescue", "always", "tasks", "handlers") for t in task.get(part) or []]
        waiting += inside
        if not inside and "hosts" not in task:
            yield task


def every_task() -> list[tuple[str, dict[str, Any]]]:
    files = [*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("roles/*/tasks/*.yml"), *ANSIBLE.glob("roles/*/handlers/*.yml")]
    names = [path for path in files if path.name not in {"inventory.example.yml", "inventory.yml"}]
    return [(str(path.relative_to(ANSIBLE)), task) for path in names for task in tasks_of(path)]


def shells(tasks: list[tuple[str, dict[str, Any]]]) -> list[str]:
    banned = {"shell", "raw", "script"}
    return [f"{file}: {task['name']}" for file, task in tasks if banned & {key.split(".")[-1] for key in task}]


def commands_that_say_nothing(tasks: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """A command that neither states when it changed something nor what it creates."""
    found = []
    for file, task in tasks:
        command = task.get("ansible.builtin.command")
        if command is not None and "changed_when" not in task and "creates" not in command:
            found.append(f"{file}: {task['name']}")
    return found


def loud(tasks: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Tasks that handle a secret and print what they do."""
    found = []
    for file, task in tasks:
        words = PUBLIC.sub("", yaml.safe_dump({key: value for key, value in task.items() if key != "name"}))
        if SECRET.search(words) and not task.get("no_log"):
            found.append(f"{file}: {task['name']}")
    return found


def test_no_task_is_a_shell_script() -> None:
    """Modules know what they changed; a shell does not."""
    assert shells(every_task()) == []
    assert shells([("x.yml", {"name": "Bad", "ansible.builtin.shell": "kubectl create"})]) == ["x.yml: Bad"]


def test_every_command_says_when_it_changes_something() -> None:
    """Else a second run could not count to zero."""
    assert commands_that_say_nothing(every_task()) == []
    bare = {"name": "Bad", "ansible.builtin.command": {"argv": ["true"]}}
    assert commands_that_say_nothing([("x.yml", bare)]) == ["x.yml: Bad"]


def test_what_handles_a_secret_prints_nothing() -> None:
    """Logs of a run are shown to colleagues."""
    assert loud(every_task()) == []
    assert loud([("x.yml", {"name": "Bad", "ansible.builtin.copy": {"content": "{{ password }}"}})]) == ["x.yml: Bad"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_describes_each_of_its_settings(role: str) -> None:
    """Each default is an option with a type and a description, and the role says in one line what it is for."""
    folder = ANSIBLE / "roles" / role
    (entry,) = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"].values()
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
    assert entry["short_description"]
    assert all(option["type"] and option["description"] for option in entry["options"].values())
    assert set(defaults) <= set(entry["options"])
    assert all(name.startswith(f"{role}_") for name in defaults)


def test_playbooks_are_short() -> None:
    """The work is done in roles."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in ANSIBLE.glob("*.yml")}
    assert {name: lengths[name] for name in ("site.yml", "upgrade.yml", "reset.yml") if lengths[name] > 40} == {}


def test_the_lock_names_versions_and_no_index() -> None:
    """Where packages come from is the machine's own affair."""
    lines = (ANSIBLE / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if "==" not in line or "://" in line or line.startswith("-")] == []
    asked = (ANSIBLE / "requirements.in").read_text().split()
    assert set(asked) <= {line.split(" ;")[0] for line in lines}


def run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    if not (PROGRAMS / command[0]).exists():
        pytest.skip(NOT_THERE)
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "ANSIBLE_HOME": str(home)}
    arguments = [str(PROGRAMS / command[0]), *command[1:]]
    return subprocess.run(
        arguments, cwd=ANSIBLE, env=environment, capture_output=True, text=True, check=False, timeout=280
    )


@pytest.mark.timeout(300)
def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    """Profile production, offline, warnings too."""
    done = run("ansible-lint", "--offline", "--nocolor", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["site.yml", "upgrade.yml", "reset.yml"])
def test_playbooks_are_understood(tmp_path: Path, playbook: str) -> None:
    """By ansible itself, with the inventory that Terraform would render."""
    done = run("ansible-playbook", "-i", "inventory.example.yml", "--syntax-check", playbook, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("stated", "gateway"),
    [
        ({}, {"service": "NodeAddresses", "addresses": ["192.168.1.11"]}),
        (
            {"argocd_bootstrap_values": {"gateway": {"certificate": "tls"}}},
            {"service": "NodeAddresses", "addresses": ["192.168.1.11"], "certificate": "tls"},
        ),
        ({"argocd_bootstrap_values": {"gateway": {"service": "LoadBalancer"}}}, {"service": "LoadBalancer"}),
        ({"argocd_bootstrap_addresses": []}, None),
    ],
    ids=["nothing", "a certificate", "a load balancer", "no addresses"],
)
def test_the_root_is_told_who_takes_the_sites_traffic(
    tmp_path: Path, stated: dict[str, Any], gateway: dict[str, Any] | None
) -> None:
    """The control plane's private address, laid under what is stated; a stated LoadBalancer is left alone."""
    role = ANSIBLE / "roles/argocd_bootstrap"
    written = tmp_path / "told.json"
    copy = {"content": "{{ argocd_bootstrap_told | to_json }}", "dest": str(written), "mode": "0644"}
    task = {"name": "Write", "ansible.builtin.copy": copy}
    files = [str(role / "defaults/main.yml"), str(role / "vars/main.yml")]
    play = {
        "hosts": "control_plane",
        "gather_facts": False,
        "connection": "local",
        "vars_files": files,
        "tasks": [task],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    told = {"argocd_bootstrap_repository": "https://git.example.org/chexpert.git", **stated}
    python = f"ansible_python_interpreter={sys.executable}"
    arguments = ["-i", "inventory.example.yml", str(tmp_path / "play.yml"), "-e", json.dumps(told), "-e", python]
    done = run("ansible-playbook", *arguments, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(written.read_text())["spec"]["source"]["helm"]["valuesObject"].get("gateway") == gateway
