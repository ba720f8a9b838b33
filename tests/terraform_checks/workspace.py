"""Terraform in a copy of the tree, so that a test leaves nothing in the checkout and reads nobody's variables."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["MODULES", "ROOTS", "TREE", "Workspace", "missing"]

TREE = Path(__file__).resolve().parents[2] / "terraform"
ROOTS = ("persistent", "ephemeral")
MODULES = ("modules/topology", "modules/network", "modules/storage", "modules/nodes", "modules/baremetal")
_FOREIGN = ("TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "TF_LOG", "OS_")
_INIT_S = 120


def missing() -> str:
    """Why Terraform cannot run here, as a reason to skip; empty when it can."""
    return "" if shutil.which("terraform") else "no terraform on PATH (1.11 or newer)"


@dataclass(slots=True)
class Workspace:
    """A copy of terraform/ in `folder`."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    """Variables of the environment on top of this process's, e.g. TF_VAR_reservation."""

    @classmethod
    def copy(cls, folder: Path, **extra: str) -> "Workspace":
        """A fresh copy, without states and providers that somebody left in the checkout."""
        unwanted = shutil.ignore_patterns(".terraform", "*.tfstate*", "site.tfvars", "backend.tf", ".venv")
        shutil.copytree(TREE, folder, symlinks=True, ignore=unwanted)
        return cls(folder, extra)

    def run(self, part: str, *arguments: str, limit_s: int = 100) -> subprocess.CompletedProcess[str]:
        """`terraform ARGUMENTS` in a root or module; never asks, never raises for its exit code."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        environment |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", **self.extra}
        return subprocess.run(
            ["terraform", f"-chdir={self.folder / part}", *arguments, *_colourless(arguments[0])],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )

    def init(self, part: str) -> str:
        """Make a root or module ready; the reason to skip where its provider cannot be had, empty when all is well.

        Raises:
            AssertionError: `terraform init` failed for another reason.
        """
        done = self.run(part, "init", "-backend=false", limit_s=_INIT_S)
        if done.returncode == 0:
            return ""
        if "Failed to query available provider packages" in done.stderr:
            return (
                "the provider terraform-provider-openstack/openstack cannot be had here: neither its registry "
                "nor a mirror named in TF_CLI_CONFIG_FILE has it"
            )
        raise AssertionError(done.stderr)

    def outputs(self, part: str) -> dict[str, Any]:
        """Outputs by name, after an apply."""
        done = self.run(part, "output", "-json")
        assert done.returncode == 0, done.stderr
        return {name: output["value"] for name, output in json.loads(done.stdout).items()}


def _colourless(command: str) -> tuple[str, ...]:
    return () if command in {"fmt", "state"} else ("-no-color",)
