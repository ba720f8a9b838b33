"""What the site refuses, split by what the caller must do. The routes map them to codes."""

from collections.abc import Sequence
from dataclasses import dataclass

from chexpert.domain.errors import InputError

__all__ = [
    "BrokenUsers",
    "LoweredPriority",
    "NotAllowed",
    "NothingAccepted",
    "RefusedFile",
    "StudyClosed",
    "StudyLocked",
    "TooManyTries",
    "UnknownImage",
    "UnknownRecord",
    "UnknownStudy",
    "UnsafeHost",
]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file of an upload that was not taken."""

    file: str
    reason: str
    too_large: bool = False


class UnknownStudy(InputError):
    """No study has this id."""

    def __init__(self, study: str) -> None:
        super().__init__(f"no study {study}: take the id from the worklist")
        self.study = study


class UnknownImage(InputError):
    """The study has no such image."""

    def __init__(self, study: str, sha256: str) -> None:
        super().__init__(f"study {study} has no image {sha256}")
        self.study = study
        self.sha256 = sha256


class UnknownRecord(InputError):
    """No verdict or report lies there."""

    def __init__(self, kind: str, run: str, name: str) -> None:
        super().__init__(
            f"no {kind.removesuffix('s')} {name} of run {run}: the rollout page links those that there are"
        )
        self.kind = kind
        self.run = run
        self.name = name


class StudyLocked(InputError):
    """Another reader has the study open."""

    def __init__(self, study: str, reader: str) -> None:
        super().__init__(f"study {study} is open with {reader}: take it over, or read another one")
        self.study = study
        self.reader = reader


class StudyClosed(InputError):
    """The study was signed or rejected; nothing changes it any more."""

    def __init__(self, study: str, state: str, reader: str) -> None:
        super().__init__(f"study {study} was {state} by {reader}: its answers stand")
        self.study = study
        self.state = state
        self.reader = reader


class LoweredPriority(InputError):
    """Somebody would put a study below what was ordered."""

    def __init__(self, study: str, ordered: str, wanted: str) -> None:
        super().__init__(
            f"study {study} was ordered {ordered} and is not moved to {wanted}: flag and reader may only raise it, "
            "never lower the priority its order gave it",
        )
        self.study = study
        self.ordered = ordered
        self.wanted = wanted


class NotAllowed(InputError):
    """A form said something that cannot be."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class NothingAccepted(InputError):
    """No file of the upload was taken."""

    def __init__(self, refused: Sequence[RefusedFile]) -> None:
        super().__init__("; ".join(f"{one.file}: {one.reason}" for one in refused) or "the upload holds no file")
        self.refused = tuple(refused)


class UnsafeHost(InputError):
    """The site would be reachable from other machines, and is not ready for that."""

    def __init__(self, host: str, lack: str = "no authentication is configured") -> None:
        super().__init__(
            f"will not listen on {host}: {lack}, so the site serves loopback only. "
            "Give --users, --public-url and CHEXPERT_SESSION_KEY, or use --host 127.0.0.1",
        )
        self.host = host


class BrokenUsers(InputError):
    """The users' file cannot be used."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} is no users' file: {reason}. Each line is one that `chexpert users add` printed")
        self.where = where
        self.reason = reason


class TooManyTries(InputError):
    """A password was tried too often."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many tries: wait {max(1, round(wait_s))} s")
        self.wait_s = wait_s
