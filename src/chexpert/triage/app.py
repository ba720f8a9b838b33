"""The site as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from chexpert.domain.errors import InputError
from chexpert.triage import api, pages, pictures, record_pages
from chexpert.triage.clock import Clock, utc_now
from chexpert.triage.errors import NothingAccepted, StudyClosed, StudyLocked, UnknownImage, UnknownRecord, UnknownStudy
from chexpert.triage.pages import Pages
from chexpert.triage.security import Guard
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import open_site

__all__ = ["create_app"]

_STATUS: Final[dict[type[InputError], HTTPStatus]] = {
    UnknownStudy: HTTPStatus.NOT_FOUND,
    UnknownImage: HTTPStatus.NOT_FOUND,
    UnknownRecord: HTTPStatus.NOT_FOUND,
    StudyLocked: HTTPStatus.CONFLICT,
    StudyClosed: HTTPStatus.CONFLICT,
}
"""The others are the input's fault: 422."""


def create_app(settings: SiteSettings, *, clock: Clock = utc_now) -> FastAPI:
    """Open the site: migrates the database first, so that it fails here and not at the first request."""
    site = open_site(settings, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.database.close()

    app = FastAPI(
        title="chexpert triage",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        max_body_size=settings.request_bytes_max,
    )
    app.add_middleware(Guard, allowed_hosts=settings.allowed_hosts, body_bytes_max=settings.request_bytes_max)
    app.include_router(api.routes(site))
    app.include_router(pictures.routes(site))
    rendered = Pages(site)
    app.include_router(pages.routes(rendered))
    app.include_router(record_pages.routes(rendered.records))
    errors = _Errors(rendered)
    app.exception_handler(InputError)(errors.of_input)
    app.exception_handler(RequestValidationError)(errors.of_validation)
    app.exception_handler(HTTPException)(errors.of_http)
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
        return self._say(request, HTTPStatus.UNPROCESSABLE_ENTITY, message, {})

    async def of_http(self, request: Request, error: HTTPException) -> Response:
        """No such page, wrong method, and the like."""
        response = self._say(request, HTTPStatus(error.status_code), str(error.detail), {})
        response.headers.update(error.headers or {})
        return response

    def _say(self, request: Request, status: HTTPStatus, message: str, content: dict[str, object]) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
            response: Response = self._pages.render(request, "error.html", message=message, status=status)
            response.status_code = status
            return response
        return JSONResponse({"error": message, **content}, status)
