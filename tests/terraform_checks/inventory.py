"""The inventory that Ansible reads, as the module `topology` writes it: Terraform alone, no provider and no cloud."""

from collections.abc import Mapping
from pathlib import Path

from terraform_checks.workspace import Workspace

__all__ = ["TOPOLOGY", "rendered"]

TOPOLOGY = "modules/topology"


def rendered(workspace: Workspace, folder: Path, values: Mapping[str, str]) -> str:
    """YAML of a site.

    Args:
        workspace: In which `topology` is initialised.
        folder: For the state.
        values: Variables of `topology`; what is no text as JSON.
    """
    workspace.extra = {f"TF_VAR_{name}": value for name, value in values.items()}
    state = f"-state={folder / 'state'}"
    applied = workspace.run(TOPOLOGY, "apply", "-auto-approve", state)
    assert applied.returncode == 0, applied.stderr
    inventory = workspace.run(TOPOLOGY, "output", "-raw", state, "inventory").stdout
    workspace.extra = {}
    return inventory
