"""What stands before every route: who may send, how much, and what a browser may do with the answer."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SAFE_SITES: Final = frozenset({"same-origin", "none"})

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),  # no-referrer would make browsers send "Origin: null" with our own forms
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)


class Guard:
    """Refuses foreign host names, requests sent by other pages, and bodies over the limit; adds the headers."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: tuple[str, ...], body_bytes_max: int) -> None:
        self._app = app
        self._hosts = frozenset(allowed_hosts)
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        host = urlsplit(f"//{headers.get('host', '')}")
        if host.hostname not in self._hosts:
            return _refuse(421, f"this site does not answer to the name {host.hostname}: use 127.0.0.1")
        if method not in _SAFE_METHODS:
            origin = headers.get("origin")
            foreign = headers.get("sec-fetch-site", "none") not in _SAFE_SITES
            if foreign or (origin is not None and urlsplit(origin).netloc != host.netloc):
                return _refuse(403, "sent by a page of another site: open the page here and send it from there")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._body_bytes_max:
            return _refuse(
                413,
                f"the upload has {int(length) / 1e6:,.0f} MB, the limit is {self._body_bytes_max / 1e6:,.0f} MB: "
                "send fewer files at a time",
            )
        return None


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers={"connection": "close"})
