"""Both homes of pull requests, held to the same properties."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chexpert.domain.errors import RefusedError
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.gitops.body import BodyParts
from chexpert.gitops.errors import (
    AlreadyServed,
    GitHubRefused,
    GitHubUnavailable,
    MergeConflict,
    NoEnvironment,
    NoPullRequest,
    PushRejected,
)
from chexpert.gitops.git import run
from chexpert.gitops.github import GitHubPullRequests, GitHubSettings, NoGitHubRepository, repository_of
from chexpert.gitops.promotion_request import GitOpsSettings, connect, open_promotion
from chexpert.gitops.pull_requests import NotAPromotion, PullRequest, parse_branch
from chexpert.gitops.repository import Repository
from chexpert.serving.isvc import parse
from chexpert.testing.github import FakeGitHub

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
PATH = "kserve/production/inferenceservice.yaml"
PARTS = BodyParts(
    metrics=[{"observation": "Edema", "auroc": 0.91234}, {"observation": "Fracture", "auroc": None}],
    verdicts=[(Verdict.judge("evaluation", "run", [], otherwise="no worse than v1"), "verdicts/1/evaluate.json")],
    links={"evaluation": "reports/1/evaluation.html"},
)


@dataclass(frozen=True)
class Home:
    """One repository, with its pull requests in one of the two homes."""

    places: Places
    settings: GitOpsSettings

    def propose(self, version: str, digest: str, *, direct: bool = False) -> PullRequest:
        """Open a promotion to production."""
        uri = f"s3://chexpert/bundles/sha256-{digest}"
        return open_promotion(
            "production", version, uri, digest, PARTS, self.places, settings=self.settings, direct=direct
        )

    def weights(self) -> dict[str, int]:
        """What git says now."""
        with connect(self.places, self.settings) as (repository, _):
            return parse(repository.read(PATH) or "", where=PATH).weights

    def merge(self, request: PullRequest) -> str:
        """Merge over a fresh connection."""
        with connect(self.places, self.settings) as (_, requests):
            return requests.merge(request)

    def open_ones(self) -> list[str]:
        """Versions proposed for production."""
        with connect(self.places, self.settings) as (_, requests):
            return [request.version for request in requests.open_ones("production")]


@pytest.fixture
def github(bare: Path, tmp_path: Path) -> Iterator[FakeGitHub]:
    with FakeGitHub(bare, tmp_path / "merges") as fake:
        yield fake


@pytest.fixture(params=["local", "github"])
def home(request: pytest.FixtureRequest, places: Places, github: FakeGitHub) -> Home:
    if request.param == "local":
        return Home(places, GitOpsSettings())
    settings = GitHubSettings(github.repository, github.token, github.api_url)
    return Home(places, GitOpsSettings(github=settings))


def test_a_merge_is_the_promotion(home: Home) -> None:
    """Nothing is served before the merge; after it the file names the version, and the request is gone."""
    first = home.propose("v1", A)
    assert home.weights() == {}
    assert home.open_ones() == ["v1"]
    home.merge(first)
    assert home.weights() == {"v1": 100}
    assert home.open_ones() == []
    home.merge(home.propose("v2", B))
    assert home.weights() == {"v1": 90, "v2": 10}


def test_the_body_says_why(home: Home) -> None:
    """Metric table, verdicts with their records, digest and reports stand in the request and in the merge commit."""
    request = home.propose("v1", A)
    sha = home.merge(request)
    with connect(home.places, home.settings) as (repository, _):
        merged = repository.describe(sha)
    for body in (request.body, merged.body):
        assert "| Edema | 0.9123 |" in body
        assert "| Fracture | n/a |" in body
        assert "- evaluation: passed, no worse than v1 ([record](verdicts/1/evaluate.json))" in body
        assert f"`sha256:{A}`" in body
        assert "[evaluation](reports/1/evaluation.html)" in body
    assert merged.subject == "Serve v1 in production"
    assert merged.is_merge


def test_proposing_again_is_the_same_request(home: Home) -> None:
    """A step that is run twice opens one pull request; what is already served is not proposed again."""
    first, second = home.propose("v1", A), home.propose("v1", A)
    assert first.identity == second.identity
    assert home.open_ones() == ["v1"]
    home.merge(second)
    with pytest.raises(AlreadyServed):
        home.propose("v1", A)


def test_closing_serves_nothing(home: Home) -> None:
    """A closed request is gone with its branch, and git is as before."""
    request = home.propose("v1", A)
    with connect(home.places, home.settings) as (repository, requests):
        requests.close(requests.get(request.identity))
        repository.sync()
        assert repository.branches("promote/") == {}
        with pytest.raises(NoPullRequest):
            requests.get(request.identity)
    assert home.weights() == {}


def test_only_what_was_read_is_merged(home: Home) -> None:
    """A branch that moved after it was read is not merged; reading it again is the way."""
    request = home.propose("v1", A)
    home.propose("v1", B)
    with pytest.raises(PushRejected):
        home.merge(request)
    assert home.weights() == {}


def test_a_request_that_does_not_merge_says_so(home: Home) -> None:
    """Two candidates on the same stable: the later one conflicts, and says what to do."""
    home.merge(home.propose("v1", A))
    two, three = home.propose("v2", B), home.propose("v3", C)
    home.merge(two)
    with pytest.raises(MergeConflict, match="propose the version again"):
        home.merge(three)
    assert home.weights() == {"v1": 90, "v2": 10}


def test_a_direct_promotion_swaps_at_once(home: Home) -> None:
    """Staging gets no canary: the new version is the stable, the old one stays at 0 %."""
    home.merge(home.propose("v1", A, direct=True))
    home.merge(home.propose("v2", B, direct=True))
    assert home.weights() == {"v2": 100, "v1": 0}


def test_a_bad_address_or_environment_is_refused(places: Places) -> None:
    """An alias does not get as far as a branch; an environment without a file is named."""
    with pytest.raises(RefusedError, match="may move"):
        open_promotion("production", "v1", "models:/chexpert@champion", A, PARTS, places)
    with pytest.raises(NoEnvironment, match="kserve/moon"):
        open_promotion("moon", "v1", f"x/sha256-{A}", A, PARTS, places)
    with connect(places, GitOpsSettings()) as (_, requests):
        assert list(requests.open_ones()) == []


def test_githubs_refusals_and_absences_are_told_apart(github: FakeGitHub) -> None:
    """401 and 422 are for a person; 5xx, rate limits and a closed port are worth another try."""
    settings = GitHubSettings(github.repository, github.token, github.api_url)
    with GitHubPullRequests(settings) as requests:
        with pytest.raises(GitHubRefused, match=r"422 Validation Failed; invalid"):
            requests.open("promote/production/v1", "title", "body")
        github.fail_next(502, "Server Error")
        with pytest.raises(GitHubUnavailable, match="502"):
            requests.open_ones()
        github.fail_next(429, "You have exceeded a secondary rate limit")
        with pytest.raises(GitHubUnavailable, match="secondary rate limit"):
            requests.open_ones()
        with pytest.raises(NoPullRequest):
            requests.get("7")
    stranger = GitHubPullRequests(GitHubSettings("owner/name", "wrong", github.api_url))
    with stranger, pytest.raises(GitHubRefused, match="401 Bad credentials"):
        stranger.open_ones()
    nowhere = GitHubPullRequests(GitHubSettings("owner/name", "token", "http://127.0.0.1:9"))
    with nowhere, pytest.raises(GitHubUnavailable):
        nowhere.open_ones()


def test_all_pages_are_read(bare: Path, github: FakeGitHub, tmp_path: Path) -> None:
    """GitHub answers a hundred at most and links the next page; a promotion on the second page is found."""
    repository = Repository.open(str(bare), tmp_path / "clone")
    names = [f"topic/{i}" for i in range(100)] + ["promote/production/v1", "promote/odd"]
    run("push", "--quiet", "origin", *(f"HEAD:refs/heads/{name}" for name in names), cwd=repository.worktree)
    headers = {"Authorization": "Bearer token"}
    url = f"{github.api_url}/repos/{github.repository}/pulls"
    for name in names:
        answer = httpx.post(url, headers=headers, json={"title": name, "head": name, "base": "main"})
        assert answer.status_code == 201
    with GitHubPullRequests(GitHubSettings(github.repository, github.token, github.api_url)) as requests:
        assert [request.identity for request in requests.open_ones()] == ["101"]
        assert requests.get("promote/production/v1").version == "v1"


def test_the_token_is_not_shown() -> None:
    """Settings may be printed; a token may not."""
    assert "secret" not in repr(GitHubSettings("owner/name", "secret"))


@pytest.mark.parametrize("url", ["https://github.com/owner/name.git", "git@github.com:owner/name.git"])
def test_the_repository_comes_from_the_git_url(url: str) -> None:
    """Both spellings of a git URL name the same repository; another URL names none."""
    assert repository_of(url) == "owner/name"
    with pytest.raises(NoGitHubRepository):
        repository_of("https://github.com/")


def test_a_branch_names_its_promotion() -> None:
    """promote/<environment>/<version>, nothing else."""
    assert parse_branch("promote/production/v12") == ("production", "v12")
    for branch in ("promote/v12", "feature/production/v12"):
        with pytest.raises(NotAPromotion):
            parse_branch(branch)
