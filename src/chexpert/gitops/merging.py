"""Merging with the check in front: what would be served after the merge, against what is served now."""

from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.gitops.check import check_diff
from chexpert.gitops.errors import MergeConflict, NoEnvironment
from chexpert.gitops.promotion_request import GitOpsSettings, connect
from chexpert.gitops.pull_requests import PullRequest
from chexpert.gitops.repository import Repository

__all__ = ["check_merge", "merge_checked"]


def check_merge(repository: Repository, request: PullRequest, path: str) -> Verdict:
    """Judge the file as it would be after the merge; a branch that does not merge is refused too.

    Raises:
        NoEnvironment: The repository has no such file.
    """
    subject = f"{request.environment} {request.version}"
    before = repository.read(path)
    if before is None:
        raise NoEnvironment(repository.url, path)
    try:
        after = repository.try_merge(request.branch, path)
    except MergeConflict as error:
        return Verdict.judge("promotion-diff", subject, [str(error)], otherwise="")
    return check_diff(before, after, subject=subject)


def merge_checked(identity: str, places: Places, settings: GitOpsSettings) -> tuple[PullRequest, str]:
    """Merge one open pull request if its diff passes. Returns it and the merge's sha.

    Raises:
        RefusedError: The diff does not pass.
        NoPullRequest: None is open under this name.
    """
    with connect(places, settings) as (repository, requests):
        request = requests.get(identity)
        check_merge(repository, request, settings.file(request.environment)).require()
        return request, requests.merge(request)
