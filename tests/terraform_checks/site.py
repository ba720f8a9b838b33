"""The two roots on a cloud: applied, planned, destroyed, with what a plan would change."""

import json
import re
from dataclasses import dataclass
from typing import Any

from terraform_checks.workspace import Workspace

__all__ = ["Site"]

_LIMIT_S = 600
_WRITES = {"create", "update", "delete"}


@dataclass(frozen=True, slots=True)
class Site:
    """A project whose variables stand in site.tfvars.json of the workspace."""

    workspace: Workspace

    def apply(self, root: str, *more: str, **values: Any) -> str:
        """Apply; what was printed.

        Raises:
            AssertionError: Terraform failed; with its words.
        """
        done = self.workspace.run(root, "apply", "-auto-approve", *more, *self._given(values), limit_s=_LIMIT_S)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return done.stdout

    def refused(self, root: str, command: str, **values: Any) -> str:
        """The words of a command that must fail."""
        done = self.workspace.run(root, command, "-auto-approve", *self._given(values), limit_s=_LIMIT_S)
        assert done.returncode == 1, done.stdout[-3000:]
        return re.sub(r"\s+", " ", done.stderr)

    def destroy(self, root: str, **values: Any) -> None:
        """Destroy."""
        done = self.workspace.run(root, "destroy", "-auto-approve", *self._given(values), limit_s=_LIMIT_S)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def plan(self, root: str, **values: Any) -> dict[str, list[str]]:
        """What a plan would do, by address: create, update, delete."""
        done = self.workspace.run(root, "plan", "-out=plan.tfplan", *self._given(values), limit_s=_LIMIT_S)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        shown = self.workspace.run(root, "show", "-json", "plan.tfplan", limit_s=_LIMIT_S)
        changes = json.loads(shown.stdout).get("resource_changes", [])
        found = {change["address"]: change["change"]["actions"] for change in changes}
        return {address: actions for address, actions in found.items() if _WRITES & set(actions)}

    def outputs(self, root: str) -> dict[str, Any]:
        """Outputs by name."""
        return self.workspace.outputs(root)

    def _given(self, values: dict[str, Any]) -> list[str]:
        file = f"-var-file={self.workspace.folder / 'site.tfvars.json'}"
        return [file, *(f"-var={name}={_text(value)}" for name, value in values.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
