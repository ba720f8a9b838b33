"""Propose a version for an environment: one call from bundle address to open pull request."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from chexpert.domain.places import Places
from chexpert.gitops import body as bodies
from chexpert.gitops import promotion
from chexpert.gitops.check import check_diff
from chexpert.gitops.errors import AlreadyServed, NoEnvironment
from chexpert.gitops.github import GitHubPullRequests, GitHubSettings, repository_of
from chexpert.gitops.local_requests import LocalPullRequests
from chexpert.gitops.pull_requests import PullRequest, PullRequests, branch_name
from chexpert.gitops.repository import Repository
from chexpert.serving.isvc import parse

__all__ = ["GitOpsSettings", "connect", "open_promotion"]


@dataclass(frozen=True, slots=True)
class GitOpsSettings:
    """Where promotions live."""

    path: str = "kserve/{environment}/inferenceservice.yaml"
    """The one file that a promotion edits."""
    branch: str = "main"
    """What the clusters and local servers follow."""
    first_percent: int = 10
    """The candidate's first share; what the pull request asks for."""
    github: GitHubSettings | None = None
    """None: branches of the repository are the pull requests."""
    worktree: Path | None = None
    """Folder of the clone; None: a fresh one per call, gone after it (some 0.1 s for this small repository)."""

    @classmethod
    def from_environment(cls, git_url: str, environment: Mapping[str, str]) -> Self:
        """The defaults; on GitHub where CHEXPERT_GITHUB_TOKEN is set.

        CHEXPERT_GITHUB_API names the API of a GitHub Enterprise Server. Without a token nothing but git is used.
        """
        token = environment.get("CHEXPERT_GITHUB_TOKEN", "")
        if not token:
            return cls()
        api_url = environment.get("CHEXPERT_GITHUB_API", "") or "https://api.github.com"
        return cls(github=GitHubSettings(repository_of(git_url), token, api_url))

    def file(self, environment: str) -> str:
        """Path of an environment's file in the repository."""
        return self.path.format(environment=environment)


@contextmanager
def connect(
    places: Places, settings: GitOpsSettings, *, now: datetime | None = None
) -> Iterator[tuple[Repository, PullRequests]]:
    """A clone on the tip of the repository, and the home of its pull requests.

    Args:
        places: `gitops` is needed.
        settings: Which branch, and whether GitHub holds the requests.
        now: Time of merge commits; None: git's own clock.
    """
    url = places.need("gitops")
    with tempfile.TemporaryDirectory(prefix="chexpert-gitops-") as scratch:
        repository = Repository.open(url, settings.worktree or Path(scratch) / "clone", branch=settings.branch)
        if settings.github is None:
            yield repository, LocalPullRequests(repository, clock=None if now is None else lambda: now)
            return
        with GitHubPullRequests(settings.github) as requests:
            yield repository, requests


def open_promotion(  # noqa: PLR0917 - its callers read as a sentence: environment, version, bundle, why, where
    environment: str,
    version: str,
    uri: str,
    digest: str,
    parts: bodies.BodyParts,
    places: Places,
    *,
    settings: GitOpsSettings | None = None,
    direct: bool = False,
    now: datetime | None = None,
) -> PullRequest:
    """Edit the environment's file on a branch of its own and open the pull request.

    An environment without a stable gets the version as its stable; another gets it as a canary. Called again for the
    same version, the branch is made anew on the present tip and the same pull request is returned.

    Args:
        environment: Such as production.
        version: Name such as v12.
        uri: Immutable address of the bundle, ending in sha256-<digest>.
        digest: Sha256 of the bundle's card.
        parts: Metrics, verdicts and links for its body.
        places: `gitops` is needed.
        settings: None: the defaults.
        direct: Make it the stable at once instead of a canary, for an environment nobody depends on (staging).
        now: Time of the commit; None: git's own clock.

    Raises:
        AlreadyServed: The file names this version and bundle.
        NoEnvironment: The repository has no file for it.
        RefusedError: The diff would not be merged; see `check_diff`.
        AlreadyRollingOut: Another canary still gets traffic.
    """
    settings = settings or GitOpsSettings()
    path = settings.file(environment)
    with connect(places, settings, now=now) as (repository, requests):
        before = repository.read(path)
        if before is None:
            raise NoEnvironment(repository.url, path)
        served = parse(before, where=f"{repository.url}:{path}")
        if any(v.name == version and v.digest == digest for v in served.versions):
            raise AlreadyServed(version)
        if served.stable is None:
            after = promotion.first(before, version, uri, digest, replicas=1 if direct else 2)
        elif direct:
            after = promotion.replace(before, version, uri, digest)
        else:
            after = promotion.start_canary(before, version, uri, digest, settings.first_percent)
        check_diff(before, after, subject=f"{environment} {version}").require()
        branch, title = branch_name(environment, version), f"Serve {version} in {environment}"
        body = bodies.render(version, environment, uri, digest, parts)
        repository.start_branch(branch)
        repository.commit(path, after, f"{title}\n\n{body}", at=now)
        repository.push(branch, replace=True)
        return requests.open(branch, title, body)
