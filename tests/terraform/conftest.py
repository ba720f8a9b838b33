"""Terraform on a copy of the tree; what cannot run here says why and is skipped."""

from collections.abc import Callable

import pytest

from terraform_checks.workspace import Workspace, missing


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    if reason := missing():
        pytest.skip(reason)
    return Workspace.copy(tmp_path_factory.mktemp("terraform") / "terraform")


@pytest.fixture(scope="session")
def ready(workspace: Workspace) -> Callable[[str], Workspace]:
    """Gives the workspace once a root or module is initialised there, or skips."""
    known: dict[str, str] = {}

    def initialised(part: str) -> Workspace:
        reason = known[part] = known[part] if part in known else workspace.init(part)
        if reason:
            pytest.skip(f"{part}: {reason}")
        return workspace

    return initialised
