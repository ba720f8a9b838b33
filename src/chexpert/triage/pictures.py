"""Images as the browser shows them, and the files the pages need."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy import select

from chexpert.triage.errors import UnknownImage
from chexpert.triage.rendering import to_png
from chexpert.triage.site import Site
from chexpert.triage.tables import ImageRow

__all__ = ["STATIC", "routes"]

STATIC = Path(__file__).parent / "static"


def routes(site: Site) -> APIRouter:
    """PNGs of stored images, and static files."""
    router = APIRouter()
    router.mount("/static", StaticFiles(directory=STATIC), name="static")

    @router.get("/studies/{study_id}/images/{sha256}.png")
    def image(study_id: str, sha256: str, request: Request) -> Response:
        # Named by content, so it never changes; private: it is a patient's.
        headers = {"etag": f'"{sha256}"', "cache-control": "private, max-age=86400, immutable"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        with site.database.read() as session:
            row = session.scalar(select(ImageRow).where(ImageRow.study == study_id, ImageRow.sha256 == sha256))
            if row is None:
                raise UnknownImage(study_id, sha256)
        try:
            return Response(to_png(site.images.read(sha256)), media_type="image/png", headers=headers)
        except FileNotFoundError as error:
            raise HTTPException(410, f"the bytes of image {sha256} are gone: restore them from a copy") from error

    return router
