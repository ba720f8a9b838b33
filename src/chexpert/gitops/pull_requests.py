"""Pull request: a proposed promotion. One port, two homes: branches of any git repository, or GitHub."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chexpert.domain.errors import InputError

__all__ = ["BRANCH_PREFIX", "NotAPromotion", "PullRequest", "PullRequests", "branch_name", "parse_branch"]

BRANCH_PREFIX: Final = "promote/"
_PARTS: Final = 3


class NotAPromotion(InputError):
    """A branch whose name is not promote/<environment>/<version>."""

    def __init__(self, branch: str) -> None:
        super().__init__(f"{branch} is no promotion: its name must be {BRANCH_PREFIX}<environment>/<version>")
        self.branch = branch


@dataclass(frozen=True, slots=True)
class PullRequest:
    """An open promotion."""

    identity: str
    """What `get` takes: a branch name, or GitHub's number."""
    environment: str
    version: str
    branch: str
    head: str
    """Sha of the branch's tip."""
    title: str
    body: str
    """Markdown."""
    url: str
    """Where a person reads it."""


class PullRequests(Protocol):
    """Where promotions wait for their merge."""

    def open(self, branch: str, title: str, body: str) -> PullRequest:
        """Propose a branch that is already pushed; again for the same branch: the same one, with the new words."""
        ...

    def open_ones(self, environment: str = "") -> Sequence[PullRequest]:
        """All open ones, oldest first; of one environment, or of every one."""
        ...

    def get(self, identity: str) -> PullRequest:
        """One open pull request, or NoPullRequest."""
        ...

    def merge(self, request: PullRequest) -> str:
        """Merge with a merge commit that carries title and body; the branch goes. Returns the merge's sha.

        Raises:
            MergeConflict: It does not merge.
            RetryableError: It changed since it was read, or its home did not answer.
        """
        ...

    def close(self, request: PullRequest) -> None:
        """Close without a merge; the branch goes."""
        ...


def branch_name(environment: str, version: str) -> str:
    """promote/<environment>/<version>."""
    return f"{BRANCH_PREFIX}{environment}/{version}"


def parse_branch(branch: str) -> tuple[str, str]:
    """Environment and version of a promotion's branch, or NotAPromotion."""
    parts = branch.split("/")
    if len(parts) != _PARTS or not branch.startswith(BRANCH_PREFIX):
        raise NotAPromotion(branch)
    return parts[1], parts[2]
