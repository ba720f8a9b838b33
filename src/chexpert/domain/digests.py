"""SHA-256 of bytes and of plain values."""

import json
from hashlib import sha256
from typing import Any, Final

__all__ = ["canonical_json", "of_bytes", "of_few_bytes", "of_value"]

_HELD_BYTES: Final = 2047
"""hashlib lets other threads of Python run while it digests more than that."""


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def of_bytes(data: bytes | memoryview) -> str:
    """64 hexadecimal digits."""
    return sha256(data).hexdigest()


def of_few_bytes(data: bytes | memoryview) -> str:
    """As `of_bytes`, without letting other threads run meanwhile: for the event loop of a server.

    Between threads that run a model, getting the interpreter back took twice as long as a digest of 100 KB itself.
    """
    digest, view = sha256(), memoryview(data).cast("B")
    for at in range(0, len(view), _HELD_BYTES):
        digest.update(view[at : at + _HELD_BYTES])
    return digest.hexdigest()


def of_value(value: Any) -> str:
    """Digest of a JSON-like value, independent of key order."""
    return of_bytes(canonical_json(value))
