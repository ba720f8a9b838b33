import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from terraform_checks.inventory import TOPOLOGY, rendered
from terraform_checks.workspace import MODULES, ROOTS, TREE, Workspace

GOLDEN = Path(__file__).parent / "golden" / "inventory.yaml"
SITE = {
    "project_suffix": "project7",
    "admin_cidr": "198.51.100.0/24",
    "hospital_cidr": "203.0.113.0/24",
    "gpu_workers": "1",
    "floating_ip": "192.0.2.10",
    "volume_ids": json.dumps(
        {"control": "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11", "worker1": "a7b0c2d4-1111-4222-8333-944455566677"}
    ),
}


def test_the_tree_is_formatted(workspace: Workspace) -> None:
    """`terraform fmt` would change nothing."""
    done = workspace.run(".", "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("part", [*ROOTS, *MODULES])
def test_its_own_tests_pass(part: str, ready: Callable[[str], Workspace]) -> None:
    """Each root and module is valid; `terraform test` passes, with refusals among what it expects."""
    workspace = ready(part)
    # storage takes its second provider from a root, so only a root or a test can validate it.
    if part != "modules/storage":
        valid = workspace.run(part, "validate")
        assert valid.returncode == 0, valid.stderr
    done = workspace.run(part, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"Success! (\d+) passed, 0 failed", done.stdout)
    assert passed
    assert int(passed[1]) >= 2


def test_a_test_that_fails_is_seen(tmp_path: Path, ready: Callable[[str], Workspace]) -> None:
    """An assertion that does not hold makes `terraform test`, and so this suite, fail."""
    ready("modules/topology")
    broken = Workspace.copy(tmp_path / "terraform")
    tests = broken.folder / "modules/topology/tests/topology.tftest.hcl"
    tests.write_text(tests.read_text().replace('"-project7"', '"-project8"'))
    assert broken.init("modules/topology") == ""
    assert broken.run("modules/topology", "test").returncode == 1


def test_the_inventory_is_the_golden_one(tmp_path: Path, ready: Callable[[str], Workspace]) -> None:
    """What Ansible reads changes only together with this file."""
    assert rendered(ready(TOPOLOGY), tmp_path, SITE) == GOLDEN.read_text()


def test_both_roots_describe_a_site_by_one_file() -> None:
    """A variable of the site is never declared twice."""
    assert (TREE / "ephemeral/site.tf").resolve() == TREE / "persistent/site.tf"


@pytest.mark.parametrize("root", ROOTS)
def test_the_backend_in_s3_is_one_terraform_reads(root: str, tmp_path: Path, ready: Callable[[str], Workspace]) -> None:
    """The example, copied into either root, is valid beside it and locks its state."""
    ready(root)
    copy = Workspace.copy(tmp_path / "terraform")
    (copy.folder / root / "backend.tf").write_text((TREE / "backend.s3.tf.example").read_text())
    assert copy.init(root) == ""
    valid = copy.run(root, "validate")
    assert valid.returncode == 0, valid.stderr
    assert "use_lockfile" in (copy.folder / root / "backend.tf").read_text()
