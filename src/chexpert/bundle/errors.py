"""What can be wrong with a bundle."""

from chexpert.domain.errors import InputError, RetryableError

__all__ = ["BrokenBundle", "BundleUnavailable", "RuntimeUnavailable", "WrongPixels"]


class BrokenBundle(InputError):
    """A bundle is not what its digest or its card promises. Export it again; it is never repaired in place."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"bundle {where}: {what}; export it again or point to a whole one")
        self.where = where
        self.what = what


class BundleUnavailable(RetryableError):
    """The store that should hold a bundle did not answer."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"bundle {uri} could not be read from its store; the same call may go through later")
        self.uri = uri


class RuntimeUnavailable(InputError):
    """This machine lacks the runtime, or the instructions, that a bundle's variant was made for."""

    def __init__(self, where: str, runtime: str, reason: str) -> None:
        super().__init__(f"bundle {where} is for {runtime}, which cannot run it here: {reason}; choose another variant")
        self.where = where
        self.runtime = runtime
        self.reason = reason


class WrongPixels(InputError):
    """Pixels do not have the shape or type that a session takes."""

    def __init__(self, size: int, kind: str, shape: tuple[int, ...]) -> None:
        super().__init__(
            f"pixels are {kind} {shape}, but this bundle takes uint8 (n, 1, {size}, {size}): "
            "preprocess with the spec of its card",
        )
        self.size = size
        self.kind = kind
        self.shape = shape
