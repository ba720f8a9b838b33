"""Errors, split by what the caller must do. Protocols map them to codes; nothing here knows HTTP."""

__all__ = ["ChexpertError", "InputError", "RefusedError", "RetryableError"]


class ChexpertError(Exception):
    """Base of all errors raised on purpose."""


class InputError(ChexpertError):
    """The input is at fault: say which, where and what to do. Trying again does not help."""


class RetryableError(ChexpertError):
    """Something outside did not answer; the same call may go through later."""


class RefusedError(ChexpertError):
    """A gate refused. The verdict is recorded where `verdict_uri` says."""

    def __init__(self, reasons: tuple[str, ...], verdict_uri: str = "") -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.verdict_uri = verdict_uri
