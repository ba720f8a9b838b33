"""V2 client of the predictor, over the REST binary extension: a JPEG travels as its own bytes.

One client may be shared by threads. Errors say what the caller must do: try later, or mend the request.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from chexpert.domain.errors import InputError, RetryableError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.tensors import HEADER_LENGTH, MalformedTensor, decode_bytes, decode_fixed, encode_bytes

__all__ = [
    "MODEL",
    "Answer",
    "Metadata",
    "PredictorFault",
    "PredictorRefused",
    "PredictorUnavailable",
    "Readiness",
    "V2Client",
]

MODEL: Final = "chexpert"
_LATER: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.REQUEST_TIMEOUT})


class PredictorUnavailable(RetryableError):
    """No connection, no answer in time, no model yet, a full server (503), or an upload too slow (408): try later."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class PredictorFault(RetryableError):
    """The version that took the request failed (5xx but 503), or its answer is not what V2 promises."""

    def __init__(self, url: str, status: int, message: str, version: str) -> None:
        super().__init__(f"{url}: {status} by version {version or 'unknown'}: {message}")
        self.url = url
        self.status = status
        self.message = message
        self.version = version


class PredictorRefused(InputError):
    """The predictor calls the request wrong (4xx); the same request will be refused again."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(f"{url}: {status}: {message}")
        self.url = url
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Answer:
    """What one version said of one image."""

    version: str
    """Version name such as v12."""
    scores: tuple[float, ...]
    """14 calibrated probabilities in the order of OBSERVATIONS."""
    priority: float
    flag: str
    """Name of the flagged observation; empty: none."""
    latency_ms: float
    """Of the whole request, seen from here."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the predictor answers, and if not, why."""

    ready: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the predictor says of itself."""

    versions: tuple[str, ...]
    weights: Mapping[str, int]
    """Percent of traffic by version name; empty: not told (a server we did not write)."""
    digests: Mapping[str, str]
    """Bundle digest by version name; empty: not told."""
    problem: str
    """Why the served file is not followed now; empty: it is."""
    raw: Mapping[str, Any]
    """The whole answer."""


class V2Client:
    """Talks to one predictor. Close it, or use it as a context manager."""

    def __init__(self, base_url: str, *, timeout_s: float = 10.0, host: str = "") -> None:
        """Nothing is sent yet. `host` is the Host header behind a gateway; empty: that of the URL."""
        self._url = base_url.rstrip("/")
        self._client = httpx.Client(
            base_url=self._url,
            timeout=timeout_s,
            headers={"host": host} if host else {},
            trust_env=False,  # a proxy for the internet is none for a predictor
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def score_images(
        self,
        images: Sequence[bytes],
        *,
        shadow: bool = False,
        version: str = "",
        request_id: str | None = None,
    ) -> list[Answer]:
        """Scores of encoded images (PNG, JPEG or DICOM), in their order, all by one version.

        Args:
            images: at least one, and no more than the server takes in one request.
            shadow: a replay: logged as such, outside latency and error counts.
            version: asked directly; empty: the traffic split chooses.
            request_id: echoed and logged; None: a new one.

        Raises:
            PredictorUnavailable: no connection, timeout, 503 or 408.
            PredictorRefused: another 4xx.
            PredictorFault: another 5xx, or an answer that is none.
        """
        url = f"/v2/models/{MODEL}{f'/versions/{version}' if version else ''}/infer"
        raw = encode_bytes(images)
        tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
        header = json.dumps(
            {
                "id": request_id or str(uuid4()),
                "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
                "parameters": {"binary_data_output": True, **({"shadow": True} if shadow else {})},
            },
        ).encode()
        started = perf_counter()
        response = self._send(
            "POST",
            url,
            content=header + raw,
            headers={"content-type": "application/octet-stream", HEADER_LENGTH: str(len(header))},
        )
        latency_ms = (perf_counter() - started) * 1000.0
        self._raise_for(response)
        try:
            return _answers(response, len(images), latency_ms)
        except (ValueError, LookupError, TypeError, MalformedTensor) as error:
            version = response.headers.get("x-model-version", "")
            raise PredictorFault(
                str(response.url), response.status_code, f"not a V2 answer: {error}", version
            ) from error

    def readiness(self) -> Readiness:
        """Whether the model is ready. Not ready and not reachable are both answers, not errors."""
        try:
            response = self._send("GET", f"/v2/models/{MODEL}/ready")
        except PredictorUnavailable as error:
            return Readiness(ready=False, reason=error.reason)
        if response.status_code == HTTPStatus.OK:
            return Readiness(ready=True, reason="")
        return Readiness(ready=False, reason=_message(response))

    def metadata(self) -> Metadata:
        """Names, shapes, versions and weights.

        Raises:
            PredictorUnavailable: no connection, timeout, or 503.
            PredictorRefused: 4xx.
            PredictorFault: another 5xx.
        """
        response = self._send("GET", f"/v2/models/{MODEL}")
        self._raise_for(response)
        try:
            raw = response.json()
            told = raw.get("parameters", {})
            return Metadata(
                versions=tuple(raw.get("versions", ())),
                weights={str(name): int(percent) for name, percent in told.get("weights", {}).items()},
                digests={str(name): str(digest) for name, digest in told.get("digests", {}).items()},
                problem=str(told.get("problem", "")),
                raw=raw,
            )
        except (ValueError, AttributeError) as error:
            raise PredictorFault(str(response.url), response.status_code, f"not V2 metadata: {error}", "") from error

    def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **request)
        except httpx.TimeoutException as error:
            reason = f"no answer in time ({type(error).__name__})"
            raise PredictorUnavailable(self._url + url, reason) from error
        except httpx.TransportError as error:
            raise PredictorUnavailable(self._url + url, str(error) or type(error).__name__) from error

    def _raise_for(self, response: httpx.Response) -> None:
        status, url = response.status_code, str(response.url)
        if status in _LATER:
            raise PredictorUnavailable(url, _message(response))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PredictorFault(url, status, _message(response), response.headers.get("x-model-version", ""))
        if status != HTTPStatus.OK:
            raise PredictorRefused(url, status, _message(response))


def _message(response: httpx.Response) -> str:
    """The protocol's {"error": …}, or the start of whatever came."""
    try:
        return str(response.json()["error"])
    except (ValueError, LookupError, TypeError):
        return response.text[:200] or response.reason_phrase


def _answers(response: httpx.Response, count: int, latency_ms: float) -> list[Answer]:
    body = response.content
    split = int(response.headers.get(HEADER_LENGTH, len(body)))
    header = json.loads(body[:split])
    raw: dict[str, memoryview] = {}
    at, rest = 0, memoryview(body)[split:]
    for output in header["outputs"]:
        size = output["parameters"]["binary_data_size"]
        raw[output["name"]] = rest[at : at + size]
        at += size
    scores = decode_fixed("scores", "FP32", (count, len(OBSERVATIONS)), raw["scores"])
    priorities = decode_fixed("priority", "FP32", (count,), raw["priority"])
    flags = decode_bytes("flag", raw["flag"], count)
    version = response.headers.get("x-model-version") or str(header.get("model_version") or "")
    return [
        Answer(
            version=version,
            scores=tuple(float(score) for score in row),
            priority=float(priority),
            flag=flag.decode(),
            latency_ms=latency_ms,
        )
        for row, priority, flag in zip(scores, priorities, flags, strict=True)
    ]
