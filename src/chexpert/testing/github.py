"""A GitHub for tests: its documented REST answers for pull requests, over HTTP on loopback, with a real git behind.

Covered: list, create, get, update and merge pull requests, delete a reference. The rest is 404, as on GitHub.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from chexpert.gitops.errors import MergeConflict
from chexpert.gitops.git import run
from chexpert.gitops.repository import Repository

__all__ = ["FakeGitHub"]

_DOCS: Final = "https://docs.github.com/rest"
Answer = tuple[int, Any]


@dataclass(slots=True)
class _Pull:
    number: int
    title: str
    body: str
    branch: str
    base: str
    head: str
    state: str = "open"
    merged: bool = False


@dataclass(slots=True)
class _State:
    pulls: dict[int, _Pull] = field(default_factory=dict)
    failures: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)


class FakeGitHub:
    """Serve one repository, `owner/name`, whose git side is a bare repository on this disk. A context manager."""

    def __init__(self, bare: Path, scratch: Path, *, repository: str = "owner/name", token: str = "token") -> None:  # noqa: S107 - a fake's
        """Listens at once, on a port of the system's choice.

        Args:
            bare: The git repository; push to it as to GitHub.
            scratch: An empty folder for merges.
            repository: owner/name.
            token: What callers must send.
        """
        self.repository = repository
        self.token = token
        self._bare = bare
        self._scratch = scratch
        self._state = _State()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> tuple[tuple[str, str], ...]:
        """Method and path of all requests so far."""
        return tuple(self._state.requests)

    def fail_next(self, status: int, message: str) -> None:
        """Answer the next request so, whatever it is."""
        self._state.failures.append((status, {"message": message, "documentation_url": _DOCS}))

    def answer(self, method: str, url: str, token: str, value: Mapping[str, Any]) -> Answer:
        """Status and JSON for one request; what the HTTP side sends."""
        with self._lock:
            split = urlsplit(url)
            self._state.requests.append((method, split.path))
            if self._state.failures:
                return self._state.failures.pop(0)
            if token != f"Bearer {self.token}":
                return _error(HTTPStatus.UNAUTHORIZED, "Bad credentials")
            prefix = f"/repos/{self.repository}/"
            if not split.path.startswith(prefix):
                return _error(HTTPStatus.NOT_FOUND, "Not Found")
            query = {key: values[0] for key, values in parse_qs(split.query).items()}
            return self._route(method, split.path.removeprefix(prefix).split("/"), query, value)

    def _route(self, method: str, parts: list[str], query: Mapping[str, str], value: Mapping[str, Any]) -> Answer:
        match [method, *parts]:
            case ["GET", "pulls"]:
                return self._list(query)
            case ["POST", "pulls"]:
                return self._create(value)
            case ["GET" | "PATCH", "pulls", number] if self._known(number):
                return self._update(self._state.pulls[int(number)], value)
            case ["PUT", "pulls", number, "merge"] if self._known(number):
                return self._merge(self._state.pulls[int(number)], value)
            case ["DELETE", "git", "refs", "heads", *branch]:
                return self._delete("/".join(branch))
            case _:
                return _error(HTTPStatus.NOT_FOUND, "Not Found")

    def _list(self, query: Mapping[str, str]) -> Answer:
        state, base, head = query.get("state", "open"), query.get("base"), query.get("head")
        owner = self.repository.split("/")[0]
        found = [
            self._json(pull)
            for pull in self._state.pulls.values()
            if state in {"all", pull.state} and base in {None, pull.base} and head in {None, f"{owner}:{pull.branch}"}
        ]
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        ordered = found if query.get("direction") == "asc" else found[::-1]
        return HTTPStatus.OK, ordered[(page - 1) * size : page * size]

    def _create(self, value: Mapping[str, Any]) -> Answer:
        branch = str(value["head"])
        tip = self._tip(branch)
        if tip is None:
            return _invalid({"resource": "PullRequest", "field": "head", "code": "invalid"})
        if any(pull.branch == branch and pull.state == "open" for pull in self._state.pulls.values()):
            owner = self.repository.split("/")[0]
            message = f"A pull request already exists for {owner}:{branch}."
            return _invalid({"resource": "PullRequest", "code": "custom", "message": message})
        number = len(self._state.pulls) + 1
        pull = _Pull(number, str(value["title"]), str(value.get("body") or ""), branch, str(value["base"]), tip)
        self._state.pulls[number] = pull
        return HTTPStatus.CREATED, self._json(pull)

    def _update(self, pull: _Pull, value: Mapping[str, Any]) -> Answer:
        for name in ("title", "body", "state"):
            if name in value:
                setattr(pull, name, value[name])
        return HTTPStatus.OK, self._json(pull)

    def _merge(self, pull: _Pull, value: Mapping[str, Any]) -> Answer:
        if pull.state != "open":
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, "Pull Request is not mergeable")
        if value.get("sha") not in {None, self._tip(pull.branch)}:
            return _error(HTTPStatus.CONFLICT, "Head branch was modified. Review and try the merge again.")
        clone = Repository.open(str(self._bare), self._scratch, branch=pull.base)
        try:
            sha = clone.merge(pull.branch, f"{value['commit_title']}\n\n{value['commit_message']}")
        except MergeConflict:
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, "Pull Request is not mergeable")
        clone.push()
        pull.state, pull.merged = "closed", True
        return HTTPStatus.OK, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}

    def _delete(self, branch: str) -> Answer:
        if self._tip(branch) is None:
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"message": "Reference does not exist", "documentation_url": _DOCS}
        run("update-ref", "-d", f"refs/heads/{branch}", cwd=self._bare)
        return HTTPStatus.NO_CONTENT, None

    def _known(self, number: str) -> bool:
        return number.isdigit() and int(number) in self._state.pulls

    def _tip(self, branch: str) -> str | None:
        return (
            run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", cwd=self._bare, codes=(0, 1)).strip()
            or None
        )

    def _json(self, pull: _Pull) -> dict[str, Any]:
        tip = self._tip(pull.branch) if pull.state == "open" else None
        pull.head = tip or pull.head
        owner = self.repository.split("/")[0]
        return {
            "number": pull.number,
            "state": pull.state,
            "title": pull.title,
            "body": pull.body or None,
            "html_url": f"https://github.com/{self.repository}/pull/{pull.number}",
            "merged": pull.merged,
            "head": {"ref": pull.branch, "sha": pull.head, "label": f"{owner}:{pull.branch}"},
            "base": {"ref": pull.base, "label": f"{owner}:{pull.base}"},
        }


def _error(status: int, message: str) -> Answer:
    return status, {"message": message, "documentation_url": _DOCS}


def _invalid(error: Mapping[str, str]) -> Answer:
    value = {"message": "Validation Failed", "errors": [error], "documentation_url": _DOCS}
    return HTTPStatus.UNPROCESSABLE_ENTITY, value


def _handler(github: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            value = json.loads(self.rfile.read(length)) if length else {}
            status, answer = github.answer(self.command, self.path, self.headers.get("authorization", ""), value)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            if following := _next_page(self.path, answer):
                self.send_header("link", f'<{github.api_url}{following}>; rel="next"')
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its signature
            """Say nothing: a test's output is its failures."""

    return Handler


def _next_page(url: str, answer: Any) -> str:
    """The page after a full one: GitHub says so in the header `link`."""
    split = urlsplit(url)
    query = {key: values[0] for key, values in parse_qs(split.query).items()}
    if not isinstance(answer, list) or len(answer) < int(query.get("per_page", "30")):
        return ""
    query["page"] = str(int(query.get("page", "1")) + 1)
    return f"{split.path}?{'&'.join(f'{key}={value}' for key, value in query.items())}"
