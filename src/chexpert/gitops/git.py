"""The git program, called without a shell, under one fixed identity."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from chexpert.gitops.errors import GitDenied, GitFailed, GitUnavailable

__all__ = ["Identity", "run"]

_TIMEOUT_S = 120.0
"""Fetching a repository of YAML takes under a second; a hanging remote must not hang a rollout."""

_DENIED: Final = ("authentication failed", "could not read username", "could not read password", "returned error: 403")
_HELPER: Final = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$GIT_USERNAME" "$GIT_PASSWORD"; }; f'
"""Answers git's question for credentials from the environment: no argument and no address carries them."""

_UNREACHABLE: Final = (
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
    received: bool = False,
) -> str:
    """Standard output of `git ARGUMENTS`, its last newline kept.

    Args:
        *arguments: As on the command line, each one argument.
        cwd: Where git runs.
        identity: Author and committer.
        at: Time of the commit; None: git's clock.
        stdin: Text for its standard input.
        codes: Exit codes that are no error.
        received: See what a push brings that a hook has not accepted yet; git tells a hook by variables where it lies.

    Raises:
        GitUnavailable: The remote did not answer, or not in time.
        GitDenied: The remote wants other credentials.
        GitFailed: Any other exit code.
    """
    program = shutil.which("git")
    if program is None:
        raise GitFailed(arguments, "no git on PATH: install the package git")
    # Hooks and signatures belong to people's own checkouts; a question on the terminal would hang a server.
    command = [program, "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"]
    credentials = _credentials(os.environ)
    if credentials:
        command += ["-c", "credential.helper=", "-c", f"credential.helper={_HELPER}"]  # ours alone
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the program comes from PATH and the arguments from our own code
            [*command, *arguments],
            cwd=cwd,
            env={**_environment(identity or Identity(), at), **credentials, **(_quarantine() if received else {})},
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
    if any(sign in output.lower() for sign in _DENIED):
        raise GitDenied(" ".join(arguments), done.stderr)
    if any(sign in output.lower() for sign in _UNREACHABLE):
        raise GitUnavailable(" ".join(arguments), done.stderr)
    raise GitFailed(arguments, output)


def _quarantine() -> Mapping[str, str]:
    names = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
    return {name: os.environ[name] for name in names if name in os.environ}


def _credentials(environment: Mapping[str, str]) -> Mapping[str, str]:
    """GIT_USERNAME and GIT_PASSWORD, else GitHub's token, which is set only where the repository lies on GitHub."""
    password = environment.get("GIT_PASSWORD", "")
    if password:
        return {"GIT_USERNAME": environment.get("GIT_USERNAME", "git"), "GIT_PASSWORD": password}
    token = environment.get("CHEXPERT_GITHUB_TOKEN", "")
    return {"GIT_USERNAME": "x-access-token", "GIT_PASSWORD": token} if token else {}


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
