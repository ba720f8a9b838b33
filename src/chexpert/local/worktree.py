"""The served worktree: follows the main branch of the gitops repository, as Argo CD does on a cluster."""

import logging
import subprocess
import threading
from pathlib import Path

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
        """Clone if need be, catch up once, then follow in the background."""
        if not (self._folder / ".git").exists():
            self._git("clone", "--quiet", "--branch", self._branch, str(self._repository), str(self._folder), cwd=None)
        self.catch_up()
        self._thread.start()

    def stop(self) -> None:
        """End following."""
        self._ended.set()
        self._thread.join(timeout=10)

    def catch_up(self) -> None:
        """Take the branch's tip. Only ever forward: history that was rewritten is refused by git, loudly."""
        self._git("fetch", "--quiet", "origin", self._branch, cwd=self._folder)
        self._git("merge", "--quiet", "--ff-only", f"origin/{self._branch}", cwd=self._folder)

    def _follow(self) -> None:
        seen = ""
        while not self._ended.wait(self._every_s):
            try:
                tip = self._git("ls-remote", str(self._repository), f"refs/heads/{self._branch}", cwd=None)
                if tip != seen:
                    self.catch_up()
                    seen = tip
            except subprocess.CalledProcessError as error:
                _log.warning("served worktree stays at %s: %s", seen or "its start", error.stderr.strip())

    @staticmethod
    def _git(*arguments: str, cwd: Path | None) -> str:
        done = subprocess.run(  # noqa: S603  git with our own arguments
            ["git", *arguments],  # noqa: S607  git comes from PATH
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout
