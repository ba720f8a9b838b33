"""What can go wrong at the registry, by what the caller must do."""

from chexpert.domain.errors import InputError, RetryableError

__all__ = ["DigestMismatch", "NoModelRegistered", "RegistryRejected", "RegistryUnavailable"]


class RegistryUnavailable(RetryableError):
    """The tracking server or database did not answer, or stayed locked."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"the registry at {uri} did not answer: {reason}; check CHEXPERT_TRACKING, then try again")
        self.uri = uri
        self.reason = reason


class RegistryRejected(InputError):
    """The registry answered that the request is wrong."""

    def __init__(self, uri: str, request: str, reason: str) -> None:
        super().__init__(f"the registry at {uri} rejected {request}: {reason}")
        self.uri = uri
        self.request = request
        self.reason = reason


class NoModelRegistered(InputError):
    """No version of that name, number or alias."""

    def __init__(self, uri: str, name: str, wanted: str, present: tuple[str, ...]) -> None:
        there = f"there are {', '.join(present)}" if present else "there is no version yet: register one first"
        super().__init__(f"no {name} {wanted} at {uri}: {there}")
        self.uri = uri
        self.name = name
        self.wanted = wanted
        self.present = present


class DigestMismatch(InputError):
    """A bundle's URI does not end with its digest, so it could change under its version."""

    def __init__(self, bundle_uri: str, digest: str) -> None:
        super().__init__(
            f"{bundle_uri} does not end with sha256-{digest}: register the URI that bundle.store.write gave"
        )
        self.bundle_uri = bundle_uri
        self.digest = digest
