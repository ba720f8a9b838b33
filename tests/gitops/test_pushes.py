"""What a push may change of the environments' files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.gitops import promotion
from chexpert.gitops.pushes import check_push, pushed_to

A, B = ("a" * 64, "b" * 64)
URI_A, URI_B = (f"s3://chexpert/bundles/sha256-{digest}" for digest in (A, B))
FILE = "kserve/production/inferenceservice.yaml"
HOOK = "#!/bin/sh\nexec {python} -c 'from chexpert.cli.main import run; run()' pr check --hook\n"

Commit = Callable[[dict[str, str | None]], str]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    return folder


@pytest.fixture
def commit(clone: Path) -> Commit:
    def commit(files: dict[str, str | None]) -> str:
        for name, text in files.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", "change")
        return git(clone, "rev-parse", "HEAD").strip()

    return commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_push_that_drops_the_routed_version_is_refused_by_file(clone: Path, commit: Commit, empty: str) -> None:
    """The verdict names the file; other files in the same push are nobody's business here."""
    stable = promotion.first(empty, "v1", URI_A, A)
    before = commit({FILE: stable, "README.md": "one"})
    after = commit({FILE: stable.replace(" v1\n", " v2\n").replace(A, B), "README.md": "two"})
    (verdict,) = check_push(clone, before, after)
    assert (verdict.subject, verdict.passed) == (FILE, False)
    assert "v1 gets 100 %" in verdict.reasons[0]


def test_the_way_back_is_never_barred(clone: Path, commit: Commit, empty: str) -> None:
    """A canary may go at any weight, as the driver returns it; with another stable in the same push it may not."""
    stable = promotion.first(empty, "v1", URI_A, A)
    rolling = commit({FILE: promotion.set_weight(promotion.start_canary(stable, "v2", URI_B, B, 10), "v2", 50)})
    (verdict,) = check_push(clone, rolling, commit({FILE: stable}))
    assert (verdict.gate, verdict.passed) == ("return", True)
    slot = commit({FILE: promotion.start_canary(stable, "v2", URI_B, B, 0)})
    (verdict,) = check_push(clone, rolling, slot)
    assert (verdict.gate, verdict.passed) == ("return", True)
    other = commit({FILE: promotion.first(empty, "v3", URI_B, B)})
    (verdict,) = check_push(clone, rolling, other)
    assert not verdict.passed


def test_a_push_that_deletes_an_environment_is_refused(clone: Path, commit: Commit, empty: str) -> None:
    """Argo CD would delete what answers."""
    before = commit({FILE: promotion.first(empty, "v1", URI_A, A), "README.md": ""})
    (verdict,) = check_push(clone, before, commit({FILE: None}))
    assert verdict.reasons == (f"{FILE} would be deleted",)


def test_a_push_of_something_else_has_no_verdict(clone: Path, commit: Commit, empty: str) -> None:
    """And neither has a new branch."""
    before = commit({FILE: empty, "README.md": "one"})
    after = commit({"README.md": "two"})
    assert check_push(clone, before, after) == ()
    assert check_push(clone, "0" * 40, after) == ()


def test_a_hook_is_told_of_one_branch_only() -> None:
    """Other branches are proposals: their pull request is judged when it is merged."""
    lines = ["a b refs/heads/main\n", "c d refs/heads/promote/production/v2\n"]
    assert list(pushed_to(lines, "main")) == [("a", "b")]


def test_as_a_git_hosts_hook_it_turns_the_push_down(tmp_path: Path, clone: Path, commit: Commit, empty: str) -> None:
    """A real pre-receive hook of a bare repository: what it refuses never reaches the branch."""
    host = tmp_path / "host.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", host], check=True)
    stable = promotion.first(empty, "v1", URI_A, A)
    good = commit({FILE: stable})
    git(clone, "push", "-q", str(host), "HEAD:main")
    hook = host / "hooks/pre-receive"
    hook.write_text(HOOK.format(python=sys.executable))
    hook.chmod(0o755)
    commit({FILE: stable.replace(" v1\n", " v2\n").replace(A, B)})
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(clone, "push", "-q", str(host), "HEAD:main")
    assert "v1 gets 100 % of the traffic and would be dropped" in refused.value.stderr
    assert git(host, "rev-parse", "main").strip() == good
