"""SHA-256 of bytes and of plain values."""

import json
from hashlib import sha256
from typing import Any

__all__ = ["canonical_json", "of_bytes", "of_value"]


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def of_bytes(data: bytes | memoryview) -> str:
    """64 hexadecimal digits."""
    return sha256(data).hexdigest()


def of_value(value: Any) -> str:
    """Digest of a JSON-like value, independent of key order."""
    return of_bytes(canonical_json(value))
