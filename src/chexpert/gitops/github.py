"""Pull requests on GitHub, by its REST API (version 2022-11-28)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from chexpert.domain.errors import InputError
from chexpert.gitops.errors import GitHubRefused, GitHubUnavailable, MergeConflict, NoPullRequest, PushRejected
from chexpert.gitops.pull_requests import BRANCH_PREFIX, NotAPromotion, PullRequest, parse_branch

__all__ = ["GitHubPullRequests", "GitHubSettings", "NoGitHubRepository", "repository_of"]

_API_VERSION: Final = "2022-11-28"
_PAGE: Final = 100


class NoGitHubRepository(InputError):
    """A git URL that names no owner and repository."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} names no GitHub repository: expected …/<owner>/<name>.git")
        self.url = url


@dataclass(frozen=True, slots=True)
class GitHubSettings:
    """Which repository, and as whom."""

    repository: str
    """owner/name."""
    token: str = field(repr=False)
    """A fine-grained token with 'contents' and 'pull requests', both read and write."""
    api_url: str = "https://api.github.com"
    """https://<host>/api/v3 on GitHub Enterprise Server."""
    base: str = "main"
    """Branch that promotions are merged into."""
    timeout_s: float = 20.0


def repository_of(git_url: str) -> str:
    """owner/name of an https or ssh URL, or NoGitHubRepository."""
    path = urlsplit(git_url).path if "://" in git_url else git_url.partition(":")[2]
    parts = path.removesuffix("/").removesuffix(".git").strip("/").split("/")
    if len(parts) < 2 or not all(parts[-2:]):  # noqa: PLR2004 - owner and name
        raise NoGitHubRepository(git_url)
    return "/".join(parts[-2:])


class GitHubPullRequests:
    """The port, over one HTTP connection. Branches are pushed by git beforehand. Close it, or use it as a context."""

    def __init__(self, settings: GitHubSettings) -> None:
        self._settings = settings
        self._client = httpx.Client(
            base_url=settings.api_url,
            timeout=settings.timeout_s,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {settings.token}",
                "X-GitHub-Api-Version": _API_VERSION,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close_connection()

    def close_connection(self) -> None:
        """Give the connection back."""
        self._client.close()

    def open(self, branch: str, title: str, body: str) -> PullRequest:
        """Create the pull request; where the branch has one, give it the new words."""
        parse_branch(branch)
        fields = {"title": title, "body": body}
        owner = self._settings.repository.split("/")[0]
        for found in self._list(head=f"{owner}:{branch}"):
            return _request(self._call("PATCH", f"/pulls/{found['number']}", json=fields).json())
        answer = self._call("POST", "/pulls", json={**fields, "head": branch, "base": self._settings.base})
        return _request(answer.json())

    def open_ones(self, environment: str = "") -> Sequence[PullRequest]:
        """All open promotions, oldest first; pull requests of other branches are none."""
        prefix = f"{BRANCH_PREFIX}{environment}/" if environment else BRANCH_PREFIX
        requests = []
        for value in self._list():
            if not value["head"]["ref"].startswith(prefix):
                continue
            try:
                requests.append(_request(value))
            except NotAPromotion:
                continue
        return requests

    def get(self, identity: str) -> PullRequest:
        """By number or by branch; NoPullRequest unless it is open."""
        if not identity.isdigit():
            for request in self.open_ones():
                if request.branch == identity:
                    return request
            raise NoPullRequest(identity, self._settings.repository)
        try:
            value = self._call("GET", f"/pulls/{identity}").json()
        except GitHubRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise NoPullRequest(identity, self._settings.repository) from error
            raise
        if value["state"] != "open":
            raise NoPullRequest(identity, self._settings.repository)
        return _request(value)

    def merge(self, request: PullRequest) -> str:
        """Merge exactly the head that was read, then delete the branch."""
        fields = {
            "commit_title": request.title,
            "commit_message": request.body,
            "sha": request.head,
            "merge_method": "merge",
        }
        try:
            answer = self._call("PUT", f"/pulls/{request.identity}/merge", json=fields)
        except GitHubRefused as error:
            if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
                raise MergeConflict(request.branch, self._settings.base) from error
            if error.status == HTTPStatus.CONFLICT:
                raise PushRejected(self._settings.repository, request.branch) from error
            raise
        self._delete(request.branch)
        return str(answer.json()["sha"])

    def close(self, request: PullRequest) -> None:
        """Close without a merge, then delete the branch."""
        self._call("PATCH", f"/pulls/{request.identity}", json={"state": "closed"})
        self._delete(request.branch)

    def _delete(self, branch: str) -> None:
        try:
            self._call("DELETE", f"/git/refs/heads/{branch}")
        except GitHubRefused as error:
            # Repositories may delete merged branches by themselves.
            if error.status not in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_FOUND}:
                raise

    def _list(self, **query: str) -> Iterator[dict[str, Any]]:
        base = self._settings.base
        parameters = {"state": "open", "base": base, "sort": "created", "direction": "asc", "per_page": str(_PAGE)}
        answer = self._call("GET", "/pulls", params={**parameters, **query})
        yield from answer.json()
        while following := answer.links.get("next", {}).get("url"):
            answer = self._send("GET", following)
            yield from answer.json()

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._send(method, f"/repos/{self._settings.repository}{path}", **request)

    def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, url, **request)
        except httpx.TransportError as error:
            raise GitHubUnavailable(method, url, str(error) or type(error).__name__) from error
        if answer.is_success:
            return answer
        message = _message(answer)
        limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
        if answer.is_server_error or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or limited:
            raise GitHubUnavailable(method, url, f"{answer.status_code} {message}")
        raise GitHubRefused(method, url, answer.status_code, message)


def _request(value: dict[str, Any]) -> PullRequest:
    environment, version = parse_branch(value["head"]["ref"])
    return PullRequest(
        identity=str(value["number"]),
        environment=environment,
        version=version,
        branch=value["head"]["ref"],
        head=value["head"]["sha"],
        title=value["title"],
        body=value["body"] or "",
        url=value["html_url"],
    )


def _message(answer: httpx.Response) -> str:
    try:
        value = answer.json()
    except ValueError:
        return answer.text[:200]
    details = [str(entry.get("message") or entry.get("code") or "") for entry in value.get("errors") or []]
    return "; ".join(filter(None, [str(value.get("message", "")), *details]))
