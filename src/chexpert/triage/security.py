"""What stands before every route: who may send, how much, and what a browser may do with the answer."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chexpert.triage.settings import SiteSettings

__all__ = ["Guard"]

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}
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
    """Refuses foreign host names, requests sent by other pages, and bodies over the limit; adds the headers.

    Behind a gateway that terminates TLS a request comes by http while its page was https: there, `public_url` says
    what the page's address is.
    """

    def __init__(self, app: ASGIApp, *, settings: SiteSettings, any_host: tuple[str, ...] = ()) -> None:
        """`any_host`: paths that answer to any name: a kubelet calls by the pod's address."""
        self._app = app
        self._public = urlsplit(settings.public_url)
        self._hosts = frozenset({*settings.allowed_hosts, *filter(None, [self._public.hostname])})
        self._any_host = frozenset(any_host)
        self._body_bytes_max = settings.request_bytes_max

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

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> JSONResponse | None:
        host = _split(f"//{headers.get('host', '')}")
        if host.hostname not in self._hosts and path not in self._any_host:
            use = self._public.geturl() or "127.0.0.1"
            return _refuse(421, f"this site does not answer to the name {host.hostname}: use {use}")
        if method not in _SAFE_METHODS:
            origin = headers.get("origin")
            foreign = headers.get("sec-fetch-site", "none") not in _SAFE_SITES
            if foreign or (origin is not None and not self._is_ours(_split(origin), host)):
                return _refuse(403, "sent by a page of another site: open the page here and send it from there")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._body_bytes_max:
            return _refuse(
                413,
                f"the upload has {int(length) / 1e6:,.0f} MB, the limit is {self._body_bytes_max / 1e6:,.0f} MB: "
                "send fewer files at a time",
            )
        return None

    def _is_ours(self, origin: SplitResult, host: SplitResult) -> bool:
        """Whether a page of this origin is one of this site, which was asked under the name `host`."""
        if host.hostname == self._public.hostname:
            return _address(origin) == _address(self._public)
        return origin.netloc == host.netloc


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:  # such as an unclosed bracket: nobody's address
        return SplitResult("", "", "", "", "")


def _address(url: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
    except ValueError:
        return "", None, None


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers={"connection": "close"})
