"""The login page, and the cookie that it gives."""

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from chexpert.triage.authentication import Authenticator
from chexpert.triage.errors import TooManyTries
from chexpert.triage.identity import local_path
from chexpert.triage.pages import Pages

__all__ = ["Cookie", "routes"]


@dataclass(frozen=True, slots=True)
class Cookie:
    """The session's cookie: no script reads it, and no page of another site sends it along with a form."""

    secure: bool
    """The site is reached by https, so the cookie travels by https only."""
    idle: timedelta

    @property
    def name(self) -> str:
        """With __Host- a browser takes it over https for this very host alone."""
        return "__Host-session" if self.secure else "session"

    def read(self, request: Request) -> str:
        """Its value; empty: none was sent."""
        return request.cookies.get(self.name, "")

    def header(self, value: str) -> str:
        """Set-Cookie. An empty value takes it back."""
        made: SimpleCookie = SimpleCookie({self.name: value})
        age_s = int(self.idle.total_seconds()) if value else 0
        for key, one in (("path", "/"), ("max-age", age_s), ("httponly", True), ("samesite", "Lax")):
            made[self.name][key] = one
        made[self.name]["secure"] = self.secure
        return made[self.name].OutputString()


def routes(pages: Pages, authenticator: Authenticator, cookie: Cookie) -> APIRouter:
    """GET and POST /login, POST /logout."""
    router = APIRouter(include_in_schema=False)

    def show(target: str, problem: str = "", name: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        return pages.bare("login.html", status, target=target, problem=problem, name=name)

    @router.get("/login")
    def form(request: Request, target: Annotated[str, Query(alias="next")] = "/") -> Response:
        wanted = _after(target)
        return _go(wanted) if authenticator.session(cookie.read(request)) else show(wanted)

    @router.post("/login")
    async def login(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        target: Annotated[str, Form(alias="next")] = "/",
    ) -> Response:
        wanted = _after(target)
        try:
            user = await authenticator.login(name.strip(), password, request.client.host if request.client else "")
        except TooManyTries as error:
            return show(wanted, f"{str(error).capitalize()}.", name, HTTPStatus.TOO_MANY_REQUESTS)
        if user is None:
            return show(wanted, "Name or password is wrong.", name, HTTPStatus.UNAUTHORIZED)
        response = _go(wanted)
        response.headers.append("set-cookie", cookie.header(authenticator.give(user)))
        return response

    @router.post("/logout")
    def logout() -> Response:
        # Images may be kept by the browser for a day: who reads here next must not find them.
        headers = {"set-cookie": cookie.header(""), "clear-site-data": '"cache"'}
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER, headers)

    return router


def _go(target: str) -> RedirectResponse:
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)


def _after(target: str) -> str:
    """Where a login leads: a path of ours, and not to the login again."""
    path = local_path(target)
    return "/" if path.startswith("/login") else path
