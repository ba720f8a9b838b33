"""The site as seen from outside: its HTTP interface, and nothing else of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import httpx

from chexpert.domain.errors import InputError, RetryableError
from chexpert.domain.observations import Observation
from chexpert.domain.studies import Tier, View
from chexpert.simulator.retries import RetrySettings, retrying
from chexpert.simulator.samples import Sample

__all__ = ["ENTRIES_MAX", "Entry", "Receipt", "Site", "SiteRefused", "SiteUnavailable"]

TRY_AGAIN: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    },
)
ENTRIES_MAX: Final = 1000
TIER_WORDS: Final[Mapping[Tier, str]] = {Tier.STAT: "STAT", Tier.URGENT: "urgent", Tier.ROUTINE: "routine"}


class SiteUnavailable(RetryableError):
    """The site did not answer, or said it cannot take this now."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class SiteRefused(InputError):
    """The site refused what was sent; sending it again does not help."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        super().__init__(f"{url} answered {status}: {detail}")
        self.url = url
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the site promised to keep."""

    study: str
    images: tuple[str, ...]
    """SHA-256 of each image, in the order sent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the worklist, as far as a simulated reader looks at it."""

    study: str
    state: str
    flag: str
    priority: float | None


class Site:
    """Sends studies and reads as a person would. Close it, or use it as a context manager.

    Every call insists as `retry` says: a study that was sent twice because its answer got lost carries the same
    accession and the same bytes.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 10.0,
        retry: RetrySettings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = base_url.rstrip("/")
        self._retry = retry or RetrySettings()
        self._sleep = sleep
        self._client = httpx.Client(base_url=self._url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, samples: Sequence[Sample], accession: str) -> Receipt:
        """Send one study of one patient, 1..n images; the first sample's fields describe it.

        Raises:
            SiteUnavailable: Not taken after all attempts.
            SiteRefused: The site calls the study wrong.
        """
        first = samples[0]
        form = {
            "patient": first.patient,
            "accession": accession,
            "tier": TIER_WORDS[first.tier],
            "sex": first.sex,
            "age": "" if first.age is None else str(first.age),
            "view": "" if first.view is View.UNKNOWN else first.view.value,
            "source": first.source,
        }
        given = {name: value for name, value in form.items() if value}
        files = [("images", (sample.name.rsplit("/", 1)[-1], sample.data)) for sample in samples]
        answer = self._call("POST", "/api/studies", data=given, files=files)
        return Receipt(study=str(answer["study"]), images=tuple(answer["images"]))

    def worklist(self, limit: int = 50) -> list[Entry]:
        """The first entries, most urgent first: `limit` of them, but no more than the site gives at once."""
        answer = self._call("GET", "/api/worklist", params={"limit": min(limit, ENTRIES_MAX)})
        return [
            Entry(
                study=str(entry["study"]),
                state=str(entry.get("state", "")),
                flag=entry.get("flag") or "",
                priority=entry.get("priority"),
            )
            for entry in answer["entries"]
        ]

    def open(self, study: str, reader: str, role: str) -> None:
        """Open a study: from now on an answer is one of somebody who saw the image."""
        self._call("POST", f"/api/studies/{study}/open", json={"reader": reader, "role": role})

    def answer(self, study: str, reader: str, role: str, answers: Mapping[Observation, str]) -> None:
        """Say present, absent, uncertain or skipped of each observation given."""
        said = {observation.value: word for observation, word in answers.items()}
        self._call("POST", f"/api/studies/{study}/answers", json={"reader": reader, "role": role, "answers": said})

    def sign(self, study: str, reader: str, role: str) -> None:
        """Sign a study: it leaves the worklist."""
        self._call("POST", f"/api/studies/{study}/sign", json={"reader": reader, "role": role})

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return retrying(lambda: self._once(method, path, **request), self._retry, sleep=self._sleep)

    def _once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        url = self._url + path
        try:
            response = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise SiteUnavailable(url, str(error) or type(error).__name__) from error
        if response.status_code in TRY_AGAIN:
            raise SiteUnavailable(url, f"{response.status_code}: {response.text[:200]}")
        if not response.is_success:
            raise SiteRefused(url, response.status_code, response.text[:200])
        body: dict[str, Any] = response.json() if response.content else {}
        return body
