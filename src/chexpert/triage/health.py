"""Probes of the site: they tell nothing of a patient, ask for no login, and answer to any name a kubelet calls."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from chexpert.data import objects
from chexpert.triage.site import Site

__all__ = ["PROBES", "routes"]

PROBES: Final = ("/live", "/ready")


def routes(site: Site) -> APIRouter:
    """GET /live: the process answers. GET /ready: so do tables and objects, else 503 and which of them does not."""
    router = APIRouter(include_in_schema=False)

    @router.get("/live")
    def live() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/ready")
    def ready() -> JSONResponse:
        parts = {
            "tables": site.database.is_alive(),
            "objects": objects.is_reachable(site.settings.objects),
        }
        away = [name for name, answers in parts.items() if not answers]
        if away:
            return JSONResponse({"status": f"{' and '.join(away)} away"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})

    return router
