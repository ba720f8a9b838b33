"""Reports and verdicts as a browser opens them: a report runs its own scripts, shut off from this site."""

from typing import Final

from fastapi import APIRouter, Response

from chexpert.triage.records import Records

__all__ = ["routes"]

_SANDBOX: Final = (
    # Without allow-same-origin it has an origin of its own: no cookie of ours, no request to us in a reader's name.
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes(records: Records) -> APIRouter:
    """Reports as HTML, verdicts as JSON."""
    router = APIRouter(include_in_schema=False)

    @router.get("/reports/{run}/{name}.html")
    def report(run: str, name: str) -> Response:
        headers = {"content-security-policy": _SANDBOX}
        return Response(records.read("reports", run, name), media_type="text/html", headers=headers)

    @router.get("/verdicts/{run}/{name}.json")
    def verdict(run: str, name: str) -> Response:
        return Response(records.read("verdicts", run, name), media_type="application/json")

    return router
