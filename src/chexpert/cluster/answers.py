"""HTTP answers of an API server or an Argo Server, as JSON, as lines, or as the error that says what to do."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from chexpert.cluster.api import Json
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable

__all__ = ["FOLLOW_TIMEOUT_S", "TIMEOUT_S", "checked", "lines", "read_json"]

TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and between two reads."""
FOLLOW_TIMEOUT_S: Final = (5.0, 120.0)
"""A followed log may be silent for so long; then it is asked for again."""

_OK: Final = range(200, 300)
_SHOWN: Final = 300


def checked(response: BaseHTTPResponse, request: str, address: str) -> BaseHTTPResponse:
    """The same response if it is 2xx.

    Raises:
        ClusterUnavailable: 5xx or 429.
        ClusterRefused: Any other status.
    """
    if response.status in _OK:
        return response
    message = _message(response)
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ClusterUnavailable(address, f"{request}: {response.status}: {message}")
    raise ClusterRefused(request, response.status, message)


def read_json(response: BaseHTTPResponse, address: str) -> Json:
    """The object in it, or ClusterUnavailable."""
    try:
        found: dict[str, Any] = json.loads(response.read())
    except (HTTPError, ValueError) as error:
        raise ClusterUnavailable(address, f"no JSON: {error}") from error
    return found


def lines(response: BaseHTTPResponse, address: str) -> Iterator[str]:
    """Lines as they come, without their ends; ClusterUnavailable where the connection breaks."""
    rest = b""
    try:
        for chunk in response.stream(4096, decode_content=True):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if rest:
            yield rest.decode(errors="replace")
    except HTTPError as error:
        raise ClusterUnavailable(address, str(error)) from error
    finally:
        response.close()


def _message(response: BaseHTTPResponse) -> str:
    """The field `message` that both servers use, or the start of whatever came."""
    try:
        data = response.read()
    except HTTPError as error:
        return str(error)
    try:
        return str(json.loads(data)["message"])
    except (ValueError, LookupError, TypeError):
        return data[:_SHOWN].decode(errors="replace") or str(response.reason)
