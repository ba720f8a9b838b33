"""The served worktree: follows the main branch of the gitops repository, as Argo CD does on a cluster."""

import logging
import threading
from pathlib import Path

from chexpert.domain.errors import ChexpertError
from chexpert.gitops import git

__all__ = ["ServedWorktree"]

_log = logging.getLogger(__name__)


class ServedWorktree:
    """A clone that is fast-forwarded whenever the branch moved."""

    def __init__(self, repository: Path, folder: Path, *, branch: str = "main", every_s: float = 0.3) -> None:
        self._repository = repository
        self._folder = folder
        self._branch = branch
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="served-worktree", daemon=True)

    def start(self) -> None:
        """Clone if need be, catch up once, then follow in the background.

        Raises:
            GitUnavailable: There is no repository.
            GitFailed: The branch's history was rewritten, or somebody edited the worktree.
        """
        if not (self._folder / ".git").exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            git.run("clone", "--quiet", "--branch", self._branch, str(self._repository), ".", cwd=self._folder)
        self.catch_up()
        self._thread.start()

    def stop(self) -> None:
        """End following; nothing where it did not begin."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def catch_up(self) -> None:
        """Take the branch's tip. Only ever forward: history that was rewritten is refused by git, loudly."""
        git.run("fetch", "--quiet", "origin", self._branch, cwd=self._folder)
        git.run("merge", "--quiet", "--ff-only", f"origin/{self._branch}", cwd=self._folder)

    def _follow(self) -> None:
        seen = ""
        while not self._ended.wait(self._every_s):
            try:
                tip = git.run("ls-remote", "origin", f"refs/heads/{self._branch}", cwd=self._folder)
                if tip != seen:
                    self.catch_up()
                    seen = tip
            except ChexpertError as error:
                _log.warning("served worktree stays at %s: %s", seen.strip() or "its start", error)
