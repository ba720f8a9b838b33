"""What a push would change of the environments' files, judged before it is accepted: for CI, or a Git host's hook."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from chexpert.domain.verdicts import Verdict
from chexpert.gitops.check import check_diff, is_return
from chexpert.gitops.git import run

__all__ = ["PATTERN", "check_push", "pushed_to"]

PATTERN: Final = "kserve/*/inferenceservice.yaml"
"""The files that promotions edit."""
_NOTHING: Final = "0" * 40
"""What a hook is told of a branch that is new or deleted."""


def check_push(repository: Path, before: str, after: str, *, pattern: str = PATTERN) -> tuple[Verdict, ...]:
    """Judge every environment's file that differs between two revisions, as one promotion each.

    Args:
        repository: A clone or bare repository that has both.
        before: Revision that is served now; forty zeros: nothing is, and everything passes.
        after: Revision that would be.
        pattern: Of the files' paths.

    Returns:
        One verdict for each changed file; a file that vanishes is refused, a new one has nothing to compare with.

    Raises:
        GitFailed: A revision is unknown.
    """
    if before == _NOTHING:
        return ()
    left = frozenset() if after == _NOTHING else frozenset(_tree(repository, after))
    verdicts = []
    for path in (path for path in _tree(repository, before) if fnmatchcase(path, pattern)):
        old = run("show", f"{before}:{path}", cwd=repository, received=True)
        if path not in left:
            verdicts.append(Verdict.judge("promotion-diff", path, [f"{path} would be deleted"], otherwise=""))
            continue
        new = run("show", f"{after}:{path}", cwd=repository, received=True)
        if is_return(old, new):
            verdicts.append(Verdict.judge("return", path, [], otherwise="a canary goes, the stable serves on"))
        elif new != old:
            verdicts.append(check_diff(old, new, subject=path))
    return tuple(verdicts)


def pushed_to(lines: Iterable[str], branch: str) -> Iterator[tuple[str, str]]:
    """Pairs of old and new revision of one branch, from what git tells a `pre-receive` hook on standard input."""
    for line in lines:
        before, after, ref = line.split()
        if ref == f"refs/heads/{branch}":
            yield before, after


def _tree(repository: Path, revision: str) -> list[str]:
    return run("ls-tree", "-r", "--name-only", revision, cwd=repository, received=True).splitlines()
