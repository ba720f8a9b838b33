"""What stands before the routes of a site with users: a request without a login, or without the right, ends here."""

from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chexpert.triage.authentication import Authenticator, credentials_of
from chexpert.triage.errors import TooManyTries
from chexpert.triage.health import PROBES
from chexpert.triage.login import Cookie
from chexpert.triage.users import Right, User

__all__ = ["Admission", "Say", "right_for"]

Say = Callable[[Request, HTTPStatus, str], Response]
"""Renders a refusal as JSON or as a page."""

_OPEN: Final = frozenset({*PROBES, "/healthz", "/login"})
_LISTING: Final = frozenset({"/", "/dashboard", "/rollout", "/api/worklist", "/logout"})
_LISTING_BELOW: Final = ("/reports/", "/verdicts/")
_UPLOADING: Final = frozenset({"/upload", "/api/studies"})


def right_for(path: str) -> Right:
    """What a path needs; one that nobody thought of needs the most."""
    if path in _UPLOADING:
        return Right.UPLOAD
    if path in _LISTING or path.startswith(_LISTING_BELOW):
        return Right.LIST
    return Right.READ


class Admission:
    """Puts the user of a session or of HTTP Basic into the request's scope, or refuses."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, cookie: Cookie, say: Say) -> None:
        self._app = app
        self._authenticator = authenticator
        self._cookie = cookie
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in _OPEN or path.startswith("/static/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            user, cookie = await self._who(request)
        except TooManyTries as error:
            headers = {"retry-after": str(ceil(error.wait_s))}
            response: Response = JSONResponse({"error": str(error)}, HTTPStatus.TOO_MANY_REQUESTS, headers)
            await response(scope, receive, send)
            return
        if user is None:
            await _ask(request)(scope, receive, send)
            return
        scope["user"] = user
        if not user.may(right_for(path)):
            message = f"{user.name} is logged in as {user.role}, who may not do this: ask whoever keeps the users"
            response = await run_in_threadpool(self._say, request, HTTPStatus.FORBIDDEN, message)
            await response(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and cookie:
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    async def _who(self, request: Request) -> tuple[User | None, str]:
        """User, and a newer cookie where theirs is due."""
        session = self._authenticator.session(self._cookie.read(request))
        if session is not None:
            # A worklist that refreshes itself is no activity: what a person does is a navigation, or sends something.
            active = request.method != "GET" or request.headers.get("sec-fetch-mode") == "navigate"
            due = active and self._authenticator.is_due(session)
            return session.user, self._cookie.header(self._authenticator.give(session.user)) if due else ""
        given = credentials_of(request.headers.get("authorization", ""))
        if given is None:
            return None, ""
        address = request.client.host if request.client else ""
        return await self._authenticator.login(*given, address), ""


def _ask(request: Request) -> Response:
    """Send a browser that shows a page to the login; tell everything else how to authenticate."""
    path, mode = request.url.path, request.headers.get("sec-fetch-mode")
    page = request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")
    if page and mode in (None, "navigate") and not path.startswith("/api/"):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/login?next={quote(path + query, safe='')}", HTTPStatus.SEE_OTHER)
    # Asked for Basic, a browser would open a window of its own over the page whose script asked.
    challenge = 'Basic realm="chexpert", charset="UTF-8"' if mode is None else 'Session realm="chexpert"'
    message = "not logged in, or no longer: log in, or send name and password by HTTP Basic"
    return JSONResponse({"error": message}, HTTPStatus.UNAUTHORIZED, {"www-authenticate": challenge})
