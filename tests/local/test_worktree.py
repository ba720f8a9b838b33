import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chexpert.gitops.errors import GitFailed, GitUnavailable
from chexpert.local.worktree import ServedWorktree


@pytest.fixture
def follow(tmp_path: Path, origin: Any) -> Iterator[Callable[[], Path]]:
    """Starts a served worktree of the origin and gives its file; called again, it takes over the same folder."""
    running: list[ServedWorktree] = []

    def start() -> Path:
        while running:
            running.pop().stop()
        worktree = ServedWorktree(origin.bare, tmp_path / "served", every_s=0.1)
        worktree.start()
        running.append(worktree)
        return tmp_path / "served" / "file"

    yield start
    for worktree in running:
        worktree.stop()


def becomes(file: Path, text: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.read_text() == text:
            return True
        time.sleep(0.02)
    return False


def test_a_push_is_served_within_a_second(follow: Callable[[], Path], origin: Any) -> None:
    """What is merged into main is what the servers read, soon after."""
    file = follow()
    assert file.read_text() == "first"
    for text in ("second", "third"):
        origin.push(text)
        assert becomes(file, text, 1.0)


def test_a_start_takes_what_was_pushed_while_nobody_followed(follow: Callable[[], Path], origin: Any) -> None:
    """A platform started again serves the branch's tip at once, in the same clone."""
    follow()
    origin.push("meanwhile")
    assert follow().read_text() == "meanwhile"


def test_a_missing_remote_leaves_what_is_served(
    follow: Callable[[], Path], origin: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the repository is away the last state stays served and a warning says so; then following goes on."""
    file = follow()
    origin.bare.rename(tmp_path / "away")
    time.sleep(0.4)
    assert file.read_text() == "first"
    assert [r for r in caplog.records if r.levelno == logging.WARNING and "served worktree stays" in r.message]
    (tmp_path / "away").rename(origin.bare)
    origin.push("back")
    assert becomes(file, "back", 2.0)


def test_rewritten_history_is_refused_and_the_old_stays(
    follow: Callable[[], Path], origin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A forced push is not served: it could drop what was reviewed. Git's refusal is logged."""
    file = follow()
    origin.push("second")
    assert becomes(file, "second", 2.0)
    origin.push("rewritten", rewrite=True)
    assert not becomes(file, "rewritten", 0.8)
    assert file.read_text() == "second"
    assert "fast-forward" in caplog.text


def test_rewritten_history_stops_a_start(follow: Callable[[], Path], origin: Any) -> None:
    """A platform does not come up on a branch whose history changed below it."""
    follow()
    origin.push("rewritten", rewrite=True)
    with pytest.raises(GitFailed, match=r"merge .*refusing to merge unrelated histories"):
        follow()


def test_a_local_change_is_not_overwritten(
    follow: Callable[[], Path], origin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody's edit in the served folder stops following, loudly, instead of being lost."""
    file = follow()
    file.write_text("by hand")
    origin.push("second")
    assert not becomes(file, "second", 0.6)
    assert file.read_text() == "by hand"
    assert "served worktree stays" in caplog.text


def test_a_worktree_that_did_not_start_can_be_stopped(tmp_path: Path) -> None:
    """Nothing to clone is an error at once, and what failed is put away like everything else."""
    worktree = ServedWorktree(tmp_path / "missing.git", tmp_path / "served")
    with pytest.raises(GitUnavailable, match=r"missing\.git"):
        worktree.start()
    worktree.stop()
