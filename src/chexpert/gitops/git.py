"""The git program, called without a shell, under one fixed identity."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from chexpert.gitops.errors import GitFailed, GitUnavailable

__all__ = ["Identity", "run"]

_TIMEOUT_S = 120.0
"""Fetching a repository of YAML takes under a second; a hanging remote must not hang a rollout."""

_UNREACHABLE = (
    "could not read from remote",
    "unable to access",
    "does not appear to be a git repository",
    "connection refused",
    "does not exist",
    "could not resolve host",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Author and committer of what this program commits."""

    name: str = "chexpert"
    email: str = "chexpert@localhost"


def run(
    *arguments: str,
    cwd: Path,
    identity: Identity | None = None,
    at: datetime | None = None,
    stdin: str | None = None,
    codes: tuple[int, ...] = (0,),
) -> str:
    """Standard output of `git ARGUMENTS`, its last newline kept.

    Args:
        *arguments: As on the command line, each one argument.
        cwd: Where git runs.
        identity: Author and committer.
        at: Time of the commit; None: git's clock.
        stdin: Text for its standard input.
        codes: Exit codes that are no error.

    Raises:
        GitUnavailable: The remote did not answer, or not in time.
        GitFailed: Any other exit code.
    """
    program = shutil.which("git")
    if program is None:
        raise GitFailed(arguments, "no git on PATH: install the package git")
    # Hooks and signatures belong to people's own checkouts; a question on the terminal would hang a server.
    command = [program, "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the program comes from PATH and the arguments from our own code
            command,
            cwd=cwd,
            env=_environment(identity or Identity(), at),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitUnavailable(" ".join(arguments), f"no answer in {_TIMEOUT_S:g} s") from error
    if done.returncode in codes:
        return done.stdout
    output = f"{done.stdout}{done.stderr}"
    if any(sign in output.lower() for sign in _UNREACHABLE):
        raise GitUnavailable(" ".join(arguments), done.stderr)
    raise GitFailed(arguments, output)


def _environment(identity: Identity, at: datetime | None) -> Mapping[str, str]:
    ours = {
        "GIT_AUTHOR_NAME": identity.name,
        "GIT_AUTHOR_EMAIL": identity.email,
        "GIT_COMMITTER_NAME": identity.name,
        "GIT_COMMITTER_EMAIL": identity.email,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    if at is not None:
        ours |= {"GIT_AUTHOR_DATE": at.isoformat(), "GIT_COMMITTER_DATE": at.isoformat()}
    # A caller inside another repository's hook carries GIT_DIR and the like: they would point git at that repository.
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | ours
