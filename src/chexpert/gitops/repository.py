"""The gitops repository: seeded once; a clone of it reads, commits, pushes, merges, reverts."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from chexpert.gitops.errors import GitFailed, MergeConflict, NothingToSeed, NotOurWorktree, PushRejected
from chexpert.gitops.git import Identity, run

__all__ = ["Commit", "Repository", "seed"]

_MARK: Final = "chexpert.worktree"
"""Set in the configuration of our own clones: only those are ever reset."""
_FIELDS: Final = "%H%x1f%P%x1f%cI%x1f%s%x1f%b%x1e"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as the log tells it."""

    sha: str
    parents: tuple[str, ...]
    time: datetime
    subject: str
    body: str

    @property
    def is_merge(self) -> bool:
        """Whether it joins two lines; its first parent is the one merged into."""
        return len(self.parents) > 1


class Repository:
    """A clone of `url` in `worktree`. Every change ends in a push: what is not pushed is lost at the next `sync`."""

    def __init__(self, url: str, worktree: Path, *, branch: str = "main", identity: Identity | None = None) -> None:
        self.url = url
        self.worktree = worktree
        self.branch = branch
        self.identity = identity or Identity()

    @classmethod
    def open(cls, url: str, worktree: Path, *, branch: str = "main", identity: Identity | None = None) -> Self:
        """Clone, or fetch into an earlier clone, and stand on the tip of `branch`.

        Raises:
            NotOurWorktree: The folder holds something this program did not clone from `url`.
            GitUnavailable: The repository did not answer.
        """
        repository = cls(url, worktree, branch=branch, identity=identity)
        repository.sync()
        return repository

    def sync(self) -> str:
        """Fetch, throw away everything local, stand on the remote's tip. Returns its sha."""
        if (self.worktree / ".git").exists():
            self._must_be_ours()
            self._git("fetch", "--quiet", "--prune", "origin")
        else:
            if self.worktree.exists() and any(self.worktree.iterdir()):
                raise NotOurWorktree(str(self.worktree), "is not empty and no clone")
            self.worktree.mkdir(parents=True, exist_ok=True)
            self._git("clone", "--quiet", "--no-checkout", "--config", f"{_MARK}=true", self.url, ".")
        self._stand_on(self.branch, f"origin/{self.branch}")
        return self.tip()

    def tip(self, ref: str = "HEAD") -> str:
        """Sha of a ref."""
        return self._git("rev-parse", "--verify", f"{ref}^{{commit}}").strip()

    def read(self, path: str, ref: str = "HEAD") -> str | None:
        """Text of a file as committed at `ref`, or None where it is absent."""
        if not self._git("ls-tree", "--name-only", ref, "--", path).strip():
            return None
        return self._git("show", f"{ref}:{path}")

    def log(self, path: str, *, ref: str = "HEAD", limit: int = 200) -> tuple[Commit, ...]:
        """Commits of the first-parent line that changed `path`, newest first."""
        text = self._git(
            "log", "--first-parent", "-m", "--no-patch", f"--max-count={limit}", f"--format={_FIELDS}", ref, "--", path
        )
        return tuple(_commit(record) for record in text.split("\x1e") if record.strip())

    def describe(self, ref: str) -> Commit:
        """The commit that `ref` names."""
        return _commit(self._git("log", "--max-count=1", f"--format={_FIELDS}", ref).split("\x1e")[0])

    def commit(self, path: str, text: str, message: str, *, at: datetime | None = None) -> str:
        """Write one file and commit it where we stand. Returns the sha."""
        target = self.worktree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self._git("add", "--", path)
        return self._commit_index(message, at)

    def start_branch(self, name: str) -> None:
        """Stand on a new branch off the remote's tip; an earlier local one of that name is dropped."""
        self._stand_on(name, f"origin/{self.branch}")

    def push(self, branch: str = "", *, replace: bool = False) -> None:
        """Push where we stand to `branch` of the remote.

        Args:
            branch: Empty: the main one.
            replace: Replace what the remote's branch holds, unless it moved since our last fetch.

        Raises:
            PushRejected: The remote's branch has moved since it was fetched.
        """
        name = branch or self.branch
        force = [f"--force-with-lease=refs/heads/{name}"] if replace else []
        try:
            self._git("push", "--quiet", *force, "origin", f"HEAD:refs/heads/{name}")
        except GitFailed as error:
            if "[rejected]" in error.output or "stale info" in error.output or "cannot lock ref" in error.output:
                raise PushRejected(self.url, name) from error
            raise
        self._git("update-ref", f"refs/remotes/origin/{name}", "HEAD")

    def try_merge(self, branch: str, path: str) -> str:
        """What `path` would hold after a merge of the remote's `branch`; nothing is kept of the try.

        Raises:
            MergeConflict: It does not merge.
        """
        self._merge(branch, "--no-commit")
        try:
            return (self.worktree / path).read_text(encoding="utf-8")
        finally:
            self._stand_on(self.branch, f"origin/{self.branch}")

    def merge(self, branch: str, message: str, *, at: datetime | None = None) -> str:
        """Merge the remote's `branch` with a merge commit of its own, not pushed yet. Returns the sha.

        Raises:
            MergeConflict: It does not merge; nothing is left behind.
        """
        self._merge(branch, "--no-commit")
        return self._commit_index(message, at)

    def revert(self, commits: Sequence[str], message: str, *, at: datetime | None = None) -> str | None:
        """Undo commits (newest first) in one new commit, not pushed yet.

        Returns:
            The sha; None if later changes stand in the way, with nothing left behind.
        """
        for sha in commits:
            mainline = ["--mainline=1"] if self.describe(sha).is_merge else []
            try:
                self._git("revert", "--no-commit", *mainline, sha)
            except GitFailed:
                self._git("reset", "--quiet", "--hard", f"origin/{self.branch}")
                return None
        if not self._git("status", "--porcelain").strip():
            return None
        return self._commit_index(message, at)

    def branches(self, prefix: str) -> dict[str, str]:
        """The remote's branches below `prefix`, as of the last fetch: name to sha."""
        text = self._git("for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", f"refs/remotes/origin/{prefix}")
        return dict(line.split(" ") for line in text.splitlines())

    def delete_branch(self, name: str) -> None:
        """Delete a branch of the remote."""
        self._git("push", "--quiet", "origin", "--delete", f"refs/heads/{name}")
        self._git("update-ref", "-d", f"refs/remotes/origin/{name}")

    def _merge(self, branch: str, *options: str) -> None:
        try:
            self._git("merge", "--quiet", "--no-ff", *options, f"origin/{branch}")
        except GitFailed as error:
            self._git("reset", "--quiet", "--hard", f"origin/{self.branch}")
            raise MergeConflict(branch, self.branch) from error

    def _commit_index(self, message: str, at: datetime | None) -> str:
        # --cleanup=verbatim: a body's Markdown headings begin with '#', which git would take for comments.
        self._git("commit", "--quiet", "--cleanup=verbatim", "--file=-", at=at, stdin=message.rstrip() + "\n")
        return self.tip()

    def _stand_on(self, branch: str, ref: str) -> None:
        self._git("checkout", "--quiet", "--force", "-B", branch, "--no-track", ref)
        self._git("clean", "--quiet", "-ffdx")

    def _must_be_ours(self) -> None:
        if self._git("config", "--local", "--get", _MARK, codes=(0, 1)).strip() != "true":
            raise NotOurWorktree(str(self.worktree), "is a clone that this program did not make")
        origin = self._git("config", "--local", "--get", "remote.origin.url", codes=(0, 1)).strip()
        if origin != self.url:
            raise NotOurWorktree(str(self.worktree), f"was cloned from {origin}, not from {self.url}")

    def _git(
        self, *arguments: str, at: datetime | None = None, stdin: str | None = None, codes: tuple[int, ...] = (0,)
    ) -> str:
        return run(*arguments, cwd=self.worktree, identity=self.identity, at=at, stdin=stdin, codes=codes)


def _commit(record: str) -> Commit:
    sha, parents, time, subject, body = record.strip("\n").split("\x1f")
    return Commit(sha, tuple(parents.split()), datetime.fromisoformat(time), subject, body.strip("\n"))


def seed(bare: Path, source: Path, *, branch: str = "main", at: datetime | None = None) -> bool:
    """Create the bare repository `bare` with one commit: `source` under its own name. Once; later calls do nothing.

    Args:
        bare: Where it shall lie, such as var/gitops.git.
        source: Folder to copy, such as the checkout's kserve/; it is only read.
        branch: Name of the main branch.
        at: Time of the commit; None: git's clock.

    Returns:
        Whether it was created now.

    Raises:
        NothingToSeed: `source` holds no files.
    """
    if bare.exists():
        return False
    if not source.is_dir() or not any(entry.is_file() for entry in source.rglob("*")):
        raise NothingToSeed(str(source))
    bare.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bare.parent, prefix=".seed-") as scratch:
        tree, made = Path(scratch) / "tree", Path(scratch) / "made.git"
        shutil.copytree(source, tree / source.name)
        run("init", "--quiet", f"--initial-branch={branch}", cwd=tree)
        run("add", "--all", cwd=tree)
        run("commit", "--quiet", "--message", f"Begin with {source.name}/", cwd=tree, identity=Identity(), at=at)
        run("clone", "--quiet", "--bare", str(tree), str(made), cwd=tree)
        run("remote", "remove", "origin", cwd=made)
        made.rename(bare)  # whole or not at all
    return True
