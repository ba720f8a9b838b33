"""Who reads: who logged in, or on a site without users, which serves loopback only, a chosen name in a cookie."""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse

from chexpert.triage.errors import NotAllowed
from chexpert.triage.forms import ReaderForm
from chexpert.triage.reading import Reader
from chexpert.triage.users import RIGHTS, Right, Role, User

__all__ = ["acting", "local_path", "reader_of", "rights_of", "routes", "user_of"]

_COOKIE: Final = "reader"
_YEAR_S: Final = 365 * 24 * 3600


def user_of(request: Request) -> User | None:
    """Who logged in; None: the site has no users."""
    user: User | None = request.scope.get("user")
    return user


def rights_of(request: Request) -> frozenset[Right]:
    """What this request's sender may do; all of it where the site has no users."""
    user = user_of(request)
    return RIGHTS[user.role if user else Role.ADMIN]


def acting(request: Request, form: ReaderForm) -> Reader:
    """As whom a request acts: who logged in, whatever the form says, or else whom the form names.

    Raises:
        HTTPException: 403, the form names somebody else than the one who logged in.
        NotAllowed: nobody logged in, and the form names nobody.
    """
    user = user_of(request)
    if user is None:
        return form.to_reader()
    if form.reader not in ("", user.name):
        message = f"logged in as {user.name}, so nobody acts as {form.reader[:64]}: leave the reader out"
        raise HTTPException(HTTPStatus.FORBIDDEN, message)
    return user.reader


def local_path(target: str) -> str:
    """A path of ours, or '/': with two slashes, of either kind, it would lead elsewhere."""
    mine = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if mine else "/"


def reader_of(request: Request) -> Reader | None:
    """The reader who logged in, or chose a name in this browser; None: nobody yet."""
    if user := user_of(request):
        return user.reader
    name, _, role = unquote(request.cookies.get(_COOKIE, "")).partition("|")
    try:
        return Reader(name, role)
    except NotAllowed:
        return None


def routes() -> APIRouter:
    """The form that chooses a name."""
    router = APIRouter()

    @router.post("/reader")
    def choose(
        name: Annotated[str, Form()],
        role: Annotated[str, Form()] = "radiologist",
        back: Annotated[str, Form()] = "/",
    ) -> RedirectResponse:
        reader = Reader(name.strip().replace("|", " "), role)
        response = RedirectResponse(local_path(back), status_code=303)
        value = quote(f"{reader.name}|{reader.role}")
        response.set_cookie(_COOKIE, value, max_age=_YEAR_S, httponly=True, samesite="strict")
        return response

    return router
