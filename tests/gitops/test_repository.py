"""Git itself: clones, pushes, merges, reverts."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chexpert.gitops.errors import GitUnavailable, MergeConflict, NothingToSeed, NotOurWorktree, PushRejected
from chexpert.gitops.git import run
from chexpert.gitops.repository import Repository, seed

PATH = "kserve/production/inferenceservice.yaml"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def clone(bare: Path, where: Path) -> Repository:
    return Repository.open(str(bare), where)


def test_seeding_happens_once(bare: Path, tmp_path: Path, empty: str) -> None:
    """The first call makes one commit of the folder; a later one changes nothing, whatever the folder holds."""
    tip = clone(bare, tmp_path / "a").tip()
    (tmp_path / PATH).write_text("changed\n")
    assert not seed(bare, tmp_path / "kserve")
    repository = clone(bare, tmp_path / "b")
    assert repository.tip() == tip
    assert repository.read(PATH) == empty
    assert repository.read("kserve/nowhere.yaml") is None


def test_seeding_from_nothing_is_refused(tmp_path: Path) -> None:
    """An empty folder seeds no repository, and leaves none behind."""
    (tmp_path / "kserve").mkdir()
    with pytest.raises(NothingToSeed):
        seed(tmp_path / "x.git", tmp_path / "kserve")
    assert not (tmp_path / "x.git").exists()


def test_commits_are_the_same_for_the_same_time(bare: Path, tmp_path: Path) -> None:
    """Identity and time come from us: equal content at an equal time is an equal sha, on any machine."""
    shas = {clone(bare, tmp_path / name).commit(PATH, "x\n", "Subject\n\n# heading", at=NOON) for name in "ab"}
    assert len(shas) == 1
    commit = Repository(str(bare), tmp_path / "a").describe("HEAD")
    assert (commit.subject, commit.body, commit.time) == ("Subject", "# heading", NOON)


def test_the_later_of_two_pushes_is_told_to_try_again(bare: Path, tmp_path: Path) -> None:
    """A push onto a moved tip is a RetryableError and loses nothing; after a sync the same work goes through."""
    one, two = clone(bare, tmp_path / "a"), clone(bare, tmp_path / "b")
    one.commit(PATH, "one\n", "one")
    two.commit(PATH, "two\n", "two")
    one.push()
    with pytest.raises(PushRejected):
        two.push()
    two.sync()
    assert two.read(PATH) == "one\n"
    two.commit(PATH, "two\n", "two")
    two.push()
    assert one.sync() == two.tip()


def test_a_merge_keeps_its_body_and_a_revert_undoes_it(bare: Path, tmp_path: Path, empty: str) -> None:
    """--no-ff gives a merge commit with our words; reverting it restores the file."""
    repository = clone(bare, tmp_path / "a")
    repository.start_branch("promote/production/v1")
    repository.commit(PATH, "new\n", "Serve v1")
    repository.push("promote/production/v1")
    repository.sync()
    assert repository.try_merge("promote/production/v1", PATH) == "new\n"
    assert repository.read(PATH) == empty
    sha = repository.merge("promote/production/v1", "Serve v1\n\n# why", at=NOON)
    repository.push()
    merged = repository.log(PATH)[0]
    assert (merged.sha, merged.is_merge, merged.body) == (sha, True, "# why")
    assert repository.revert([sha], "Revert") is not None
    repository.push()
    assert repository.read(PATH) == empty


def test_a_conflict_is_named_and_leaves_nothing(bare: Path, tmp_path: Path) -> None:
    """A branch that no longer merges raises MergeConflict; a revert in the way of later work answers None."""
    repository = clone(bare, tmp_path / "a")
    repository.start_branch("promote/production/v1")
    repository.commit(PATH, "branch\n", "branch")
    repository.push("promote/production/v1")
    repository.sync()
    first = repository.commit(PATH, "main\n", "main")
    repository.push()
    with pytest.raises(MergeConflict):
        repository.merge("promote/production/v1", "no")
    repository.commit(PATH, "main two\n", "main two")
    repository.push()
    assert repository.revert([first], "no") is None
    assert repository.read(PATH) == "main two\n"
    assert (tmp_path / "a" / PATH).read_text() == "main two\n"


def test_a_foreign_checkout_is_never_touched(bare: Path, tmp_path: Path) -> None:
    """A clone made by a person, a full folder, or a clone of something else is refused before anything is reset."""
    mine = tmp_path / "mine"
    run("clone", "--quiet", str(bare), str(mine), cwd=tmp_path)
    (mine / PATH).write_text("unsaved work\n")
    with pytest.raises(NotOurWorktree, match="did not make"):
        clone(bare, mine)
    assert (mine / PATH).read_text() == "unsaved work\n"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(NotOurWorktree, match="not empty"):
        clone(bare, tmp_path / "full")
    clone(bare, tmp_path / "ours")
    with pytest.raises(NotOurWorktree, match="was cloned from"):
        clone(tmp_path / "other.git", tmp_path / "ours")


def test_a_repository_that_does_not_answer_is_worth_another_try(tmp_path: Path) -> None:
    """No repository at the address: a RetryableError that names it."""
    with pytest.raises(GitUnavailable, match=r"gone\.git"):
        clone(tmp_path / "gone.git", tmp_path / "a")


def test_a_callers_git_variables_do_not_redirect_us(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside another repository's hook GIT_DIR points there; our work still lands in our clone."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    repository = clone(bare, tmp_path / "a")
    assert repository.read(PATH) is not None
