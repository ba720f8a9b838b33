"""What may be wrong with what is read here."""

from chexpert.domain.errors import InputError, RetryableError

__all__ = ["BrokenPart", "NoReference", "ObjectsUnavailable"]


class BrokenPart(InputError):
    """A Parquet part that cannot be read, or lacks columns."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri}: {reason}; move it out of the folder to go on without its rows")
        self.uri = uri
        self.reason = reason


class NoReference(InputError):
    """A bundle without a readable reference."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri}: {reason}; drift cannot be told without it")
        self.uri = uri
        self.reason = reason


class ObjectsUnavailable(RetryableError):
    """The objects did not answer."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri} does not answer: {reason}")
        self.uri = uri
