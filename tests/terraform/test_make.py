import shutil
import subprocess
from pathlib import Path

import pytest

from terraform_checks.workspace import TREE


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty checkout with the site's values."""
    if not shutil.which("make"):
        pytest.skip("no make on PATH")
    (tmp_path / "terraform/lease/.venv").mkdir(parents=True)
    shutil.copy(TREE / "site.tfvars.example", tmp_path / "terraform/site.tfvars")
    return tmp_path


def make(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", f"--directory={checkout}", f"--makefile={TREE.parent / 'Makefile'}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("target", ["nodes", "destroy"])
def test_nodes_want_a_lease_first(target: str, checkout: Path) -> None:
    """Nothing is planned without a reservation."""
    done = make(checkout, target)
    assert done.returncode == 2
    assert "make lease comes first" in done.stderr


def test_nodes_want_a_site_first(checkout: Path) -> None:
    """The message names the file to copy."""
    (checkout / "terraform/site.tfvars").unlink()
    done = make(checkout, "nodes")
    assert done.returncode == 2
    assert "cp terraform/site.tfvars.example terraform/site.tfvars" in done.stderr


def test_a_lease_is_of_the_sites_project_and_cloud(checkout: Path) -> None:
    """Both stand once, in site.tfvars; a login for leases may be another entry of clouds.yaml."""
    ready = "--assume-old=terraform/lease/.venv/.installed"
    assert "ensure --cloud kvm --suffix project7" in make(checkout, "--dry-run", ready, "lease").stdout
    login = make(checkout, "--dry-run", ready, "lease", "LEASE_CLOUD=kvm-login", "POOL=gpu").stdout
    assert "ensure --cloud kvm-login --suffix project7" in login
    assert "var/lease-gpu.env" in login
