"""Who reads: on loopback a chosen name in a cookie, until a site configures authentication."""

from typing import Annotated, Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse

from chexpert.triage.errors import NotAllowed
from chexpert.triage.reading import Reader

__all__ = ["reader_of", "routes"]

_COOKIE: Final = "reader"
_YEAR_S: Final = 365 * 24 * 3600


def reader_of(request: Request) -> Reader | None:
    """The reader who chose a name in this browser; None: nobody yet."""
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
        # A path of ours only: '//host' and '/\host' would lead elsewhere.
        target = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
        response = RedirectResponse(target, status_code=303)
        value = quote(f"{reader.name}|{reader.role}")
        response.set_cookie(_COOKIE, value, max_age=_YEAR_S, httponly=True, samesite="strict")
        return response

    return router
