"""Pull requests without a host: the branch is the request, its tip's message is the body."""

from collections.abc import Callable, Sequence
from datetime import datetime

from chexpert.gitops.errors import NoPullRequest, PushRejected
from chexpert.gitops.pull_requests import BRANCH_PREFIX, PullRequest, parse_branch
from chexpert.gitops.repository import Repository

__all__ = ["LocalPullRequests"]


class LocalPullRequests:
    """Pull requests as branches of one repository, at any git URL."""

    def __init__(self, repository: Repository, *, clock: Callable[[], datetime] | None = None) -> None:
        """`clock` dates the merge commits; None: git's own clock."""
        self._repository = repository
        self._clock = clock

    def open(self, branch: str, title: str, body: str) -> PullRequest:  # noqa: ARG002 - they are the tip's message
        """The branch as a pull request; title and body are those of its tip."""
        self._repository.sync()
        return self.get(branch)

    def open_ones(self, environment: str = "") -> Sequence[PullRequest]:
        """All open ones, oldest tip first."""
        prefix = f"{BRANCH_PREFIX}{environment}/" if environment else BRANCH_PREFIX
        found = [(self._repository.describe(sha), name) for name, sha in self._repository.branches(prefix).items()]
        return [self._request(name) for _, name in sorted(found, key=lambda pair: (pair[0].time, pair[1]))]

    def get(self, identity: str) -> PullRequest:
        """The branch as a pull request, or NoPullRequest."""
        if identity not in self._repository.branches(BRANCH_PREFIX):
            raise NoPullRequest(identity, self._repository.url)
        return self._request(identity)

    def merge(self, request: PullRequest) -> str:
        """Merge --no-ff and push, then delete the branch."""
        self._repository.sync()
        if self._repository.branches(BRANCH_PREFIX).get(request.branch) != request.head:
            raise PushRejected(self._repository.url, request.branch)
        message = f"{request.title}\n\n{request.body}"
        sha = self._repository.merge(request.branch, message, at=self._clock() if self._clock else None)
        self._repository.push()
        self._repository.delete_branch(request.branch)
        return sha

    def close(self, request: PullRequest) -> None:
        """Delete the branch."""
        self._repository.delete_branch(request.branch)

    def _request(self, branch: str) -> PullRequest:
        environment, version = parse_branch(branch)
        tip = self._repository.describe(f"origin/{branch}")
        return PullRequest(
            identity=branch,
            environment=environment,
            version=version,
            branch=branch,
            head=tip.sha,
            title=tip.subject,
            body=tip.body + "\n",
            url=f"{self._repository.url}#{branch}",
        )
