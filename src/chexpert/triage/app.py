"""The site as an ASGI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from chexpert.domain.errors import InputError
from chexpert.triage import api, health, login, on_device, pages, pictures, record_pages
from chexpert.triage.admission import Admission
from chexpert.triage.authentication import Authenticator
from chexpert.triage.clock import Clock, utc_now
from chexpert.triage.errors import NothingAccepted, StudyClosed, StudyLocked, UnknownImage, UnknownRecord, UnknownStudy
from chexpert.triage.pages import Pages
from chexpert.triage.security import Guard
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import open_site

__all__ = ["create_app"]

_LOG: Final = logging.getLogger(__name__)
_RETRY_S: Final = 5

_STATUS: Final[dict[type[InputError], HTTPStatus]] = {
    UnknownStudy: HTTPStatus.NOT_FOUND,
    UnknownImage: HTTPStatus.NOT_FOUND,
    UnknownRecord: HTTPStatus.NOT_FOUND,
    StudyLocked: HTTPStatus.CONFLICT,
    StudyClosed: HTTPStatus.CONFLICT,
}
"""The others are the input's fault: 422."""


def create_app(settings: SiteSettings, *, clock: Clock = utc_now) -> FastAPI:
    """Open the site: users and tables are read and migrated here, so that it fails now and not at the first request."""
    authenticator = Authenticator(settings.login, clock) if settings.login else None
    site = open_site(settings, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.database.close()

    app = FastAPI(
        title="chexpert triage",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # by an absolute address, which behind a gateway is not the one the browser knows
        lifespan=lifespan,
        max_body_size=settings.request_bytes_max,
    )
    app.include_router(health.routes(site))
    app.include_router(api.routes(site))
    app.include_router(pictures.routes(site))
    rendered = Pages(site)
    app.include_router(pages.routes(rendered))
    app.include_router(record_pages.routes(rendered.records))
    app.include_router(on_device.routes(rendered))
    errors = _Errors(rendered)
    if authenticator and settings.login:
        cookie = login.Cookie(settings.public_url.startswith("https:"), settings.login.idle)
        app.include_router(login.routes(rendered, authenticator, cookie))
        app.add_middleware(Admission, authenticator=authenticator, cookie=cookie, say=errors.say)
    # Added last, so that it stands before all others.
    app.add_middleware(Guard, settings=settings, any_host=health.PROBES)
    app.exception_handler(InputError)(errors.of_input)
    app.exception_handler(RequestValidationError)(errors.of_validation)
    app.exception_handler(HTTPException)(errors.of_http)
    for away in (OperationalError, InterfaceError, NoConnection):
        app.exception_handler(away)(errors.of_tables)
    app.exception_handler(OSError)(errors.of_objects)
    return app


class _Errors:
    """Errors as JSON, or as a page where a browser asked for one."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def of_input(self, request: Request, error: InputError) -> Response:
        """Refused on purpose: the message says what to do."""
        status = _STATUS.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        content: dict[str, object] = {}
        if isinstance(error, NothingAccepted):
            content["refused"] = [{"file": one.file, "reason": one.reason} for one in error.refused]
            if error.refused and all(one.too_large for one in error.refused):
                status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return self._say(request, status, str(error), content)

    async def of_validation(self, request: Request, error: RequestValidationError) -> Response:
        """A field is missing or of a wrong kind."""
        message = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return self.say(request, HTTPStatus.UNPROCESSABLE_ENTITY, message)

    async def of_http(self, request: Request, error: HTTPException) -> Response:
        """No such page, wrong method, and the like."""
        response = self.say(request, HTTPStatus(error.status_code), str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def of_tables(self, request: Request, error: SQLAlchemyError) -> Response:
        """The database does not answer, or not within its time."""
        _LOG.warning("the tables did not answer: %s", str(error).splitlines()[0])
        return self._away(request, "the database does not answer")

    async def of_objects(self, request: Request, error: OSError) -> Response:
        """The objects cannot be read or written."""
        _LOG.warning("the objects did not answer: %s", error)
        return self._away(request, "the store of images does not answer")

    def _away(self, request: Request, what: str) -> Response:
        message = f"{what}: nothing that was accepted is lost, and nothing new is accepted until it is back. Try again"
        response = self.say(request, HTTPStatus.SERVICE_UNAVAILABLE, message)
        response.headers["retry-after"] = str(_RETRY_S)
        return response

    def say(self, request: Request, status: HTTPStatus, message: str) -> Response:
        """A refusal as JSON, or as a page where a browser asked for one."""
        return self._say(request, status, message, {})

    def _say(self, request: Request, status: HTTPStatus, message: str, content: dict[str, object]) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
            response: Response = self._pages.render(request, "error.html", message=message, status=status)
            response.status_code = status
            return response
        return JSONResponse({"error": message, **content}, status)
