"""What may go wrong with one request, by what its caller must do. `rest` and `grpc` alone turn these into codes."""

from typing import Final, NoReturn

from chexpert.domain.errors import ChexpertError, InputError, RetryableError
from chexpert.domain.records import Outcome

__all__ = [
    "BodyTooSlow",
    "CallerGone",
    "CompressedRequest",
    "FaultyAnswer",
    "MalformedRequest",
    "NotReady",
    "QueueFull",
    "RequestTimedOut",
    "RequestTooLarge",
    "UnknownModel",
    "UnknownVersion",
    "UploadsFull",
    "refuse",
]


_REASON_LENGTH: Final = 500
"""A reason may quote the request; gRPC sends it in a trailer, of which clients take 8 KB."""


class MalformedRequest(InputError):
    """The request is not what the metadata asks for."""

    def __init__(self, reason: str) -> None:
        self.reason = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}…"
        super().__init__(self.reason)


def refuse(reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise MalformedRequest."""
    raise MalformedRequest(reason) from cause


class RequestTooLarge(InputError):
    """More bytes or images than one request may hold; nothing was read."""

    def __init__(self, size: int, limit: int, unit: str) -> None:
        super().__init__(f"the request holds {size} {unit}, the limit is {limit}: send several")
        self.size = size
        self.limit = limit
        self.unit = unit


class CompressedRequest(InputError):
    """The body is compressed."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"content-encoding {encoding!r} is not read here: images are compressed already")
        self.encoding = encoding


class BodyTooSlow(InputError):
    """The body did not arrive in time."""

    def __init__(self, size: int, body_s: float) -> None:
        super().__init__(f"{size} bytes of the body came within {body_s:g} s, and not the rest: send it faster")
        self.size = size
        self.body_s = body_s


class CallerGone(InputError):
    """The caller broke off its upload; nobody hears this."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the caller left after {size} bytes of its body")
        self.size = size


class UnknownModel(InputError):
    """A model of another name was asked for."""

    def __init__(self, asked: str, served: str) -> None:
        super().__init__(f"no model {asked!r} here: the served model is {served!r}")
        self.asked = asked
        self.served = served


class UnknownVersion(InputError):
    """The version is not in the served file."""

    def __init__(self, asked: str, served: tuple[str, ...]) -> None:
        super().__init__(f"version {asked!r} is not served: {', '.join(served) or 'none'} is")
        self.asked = asked
        self.served = served


class NotReady(RetryableError):
    """No model to answer with, now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class QueueFull(RetryableError):
    """The version has as many requests waiting as it may."""

    def __init__(self, version: str, limit: int) -> None:
        super().__init__(f"version {version} already has {limit} requests: try again")
        self.version = version
        self.limit = limit


class UploadsFull(RetryableError):
    """The server holds as many bytes of requests as it may."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"no room for {size} bytes now, {limit} are held at most: try again")
        self.size = size
        self.limit = limit


class RequestTimedOut(RetryableError):
    """The version did not answer in time; its work goes on unheard."""

    def __init__(self, version: str, timeout_s: float) -> None:
        super().__init__(f"version {version} did not answer within {timeout_s:g} s")
        self.version = version
        self.timeout_s = timeout_s


class FaultyAnswer(ChexpertError):
    """The version answered with what is no probability; it is not passed on."""

    def __init__(self, version: str, outcome: Outcome, where: str) -> None:
        what = "not a number" if outcome is Outcome.NOT_A_NUMBER else "outside [0, 1]"
        super().__init__(f"version {version} answered {what} for {where}")
        self.version = version
        self.outcome = outcome
        self.where = where
