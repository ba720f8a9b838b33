"""Scoring in the reader's browser: the page, production's model file, and the runtime where it was fetched."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fsspec.core import url_to_fs

from chexpert.bundle.card import CARD, MODEL, Card
from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import ChexpertError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.client import V2Client
from chexpert.triage.on_device_runtime import PAGE_FILES
from chexpert.triage.pages import Pages
from chexpert.triage.rollouts import standing

__all__ = ["Offer", "routes"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_S: Final = 5.0
_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""As of every page, and WebAssembly may be compiled."""
_ISOLATED: Final = {"cross-origin-embedder-policy": "require-corp"}
"""With the opener policy of all pages this gives the page memory that threads share."""
_WORKER_POLICY: Final = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"
"""Threads of the runtime connect to nothing."""
_FOR_GOOD: Final = {"cache-control": "private, max-age=86400, immutable"}
"""The address names the content."""
_HERE: Final = {"bfloat16": "float32", "int8-bfloat16": "int8"}
"""OpenVINO rounds the graph of such a bundle itself; the file that a browser gets computes in float32."""
_TYPES: Final = {".mjs": "text/javascript", ".wasm": "application/wasm"}


@dataclass(frozen=True, slots=True)
class Offer:
    """The bundle that production serves."""

    version: str
    digest: str


class NoOffer(ChexpertError):
    """There is nothing to score with, in words for the page."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def routes(pages: Pages) -> APIRouter:
    """The page `/on-device` and what it loads."""
    router = APIRouter(include_in_schema=False)
    site = pages.site
    folder = site.settings.on_device_runtime

    @router.get("/on-device")
    def page(request: Request) -> HTMLResponse:
        values: dict[str, Any] = {"offer": None, "observations": [str(o) for o in OBSERVATIONS], "problem": ""}
        try:
            _require_runtime(folder)
            offer = _offered(pages)
            card = _card(site.settings.objects, offer.digest)
            marks = {str(observation): threshold for observation, threshold in card.thresholds.items()}
            precision = _HERE.get(card.variant.precision, card.variant.precision)
            values |= {"offer": offer, "spec": card.preprocess, "marks": marks, "precision": precision}
        except (ChexpertError, OSError) as error:
            values["problem"] = f"No image can be scored in this browser now: {error}"
        response = pages.render(request, "on_device.html", **values)
        response.headers.update({"content-security-policy": _POLICY, **_ISOLATED})
        return response

    @router.get("/on-device/{digest}/model.onnx")
    def model(digest: str) -> Response:
        try:
            if not _DIGEST.fullmatch(digest) or digest not in _digests(pages).values():
                raise HTTPException(404, f"production serves no bundle {digest[:64]}: load the page again")
            card = _card(site.settings.objects, digest)
        except ChexpertError as error:
            raise HTTPException(503, str(error)) from error
        data = _read(site.settings.objects, digest, MODEL)
        if of_bytes(data) != card.files[MODEL]:
            raise HTTPException(503, f"the model file of bundle {digest} was altered: restore it from a copy")
        return Response(data, media_type="application/octet-stream", headers=_FOR_GOOD)

    @router.get("/on-device/runtime/{name}")
    def runtime(name: str) -> Response:
        path = folder / name
        if name not in PAGE_FILES or not path.is_file():
            raise HTTPException(404, f"the runtime has no file {name}")
        headers = {"content-security-policy": _WORKER_POLICY, **_ISOLATED, "cache-control": "private, max-age=86400"}
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)

    return router


def _require_runtime(folder: Path) -> None:
    if missing := [name for name in PAGE_FILES if not (folder / name).is_file()]:
        reason = f"{' and '.join(missing)} of the runtime were not fetched; `make on-device` does"
        raise NoOffer(reason)


def _digests(pages: Pages) -> Mapping[str, str]:
    """Digest by version, as the predictor tells; NoOffer without one."""
    url = pages.site.settings.predictor
    if not url:
        reason = "the site was not told where the predictor is (CHEXPERT_PRODUCTION)"
        raise NoOffer(reason)
    with V2Client(url, timeout_s=_TIMEOUT_S) as client:
        return client.metadata().digests


def _offered(pages: Pages) -> Offer:
    """The stable version, or any that the predictor has where no rollout is recorded."""
    digests = _digests(pages)
    stands = standing(pages.timelines.events("production"))
    if stands and stands.stable in digests:
        return Offer(stands.stable, digests[stands.stable])
    if not digests:
        reason = "the predictor has no model yet"
        raise NoOffer(reason)
    return Offer(*min(digests.items()))


def _card(objects: str, digest: str) -> Card:
    data = _read(objects, digest, CARD)
    if of_bytes(data) != digest:
        reason = f"the card of bundle {digest} was altered"
        raise NoOffer(reason)
    return Card.from_json(data.decode(), where=digest)


def _read(objects: str, digest: str, name: str) -> bytes:
    files, folder = url_to_fs(f"{objects.rstrip('/')}/bundles/sha256-{digest}")
    data: bytes = files.cat_file(f"{folder}/{name}")
    return data
