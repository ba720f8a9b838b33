"""Passwords as scrypt hashes (RFC 7914), each with its own salt and parameters."""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import scrypt
from typing import Final, Self

__all__ = ["PasswordHash"]

_FORM: Final = re.compile(r"\$scrypt\$n=(\d{1,8}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")
_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_MEMORY_MAX: Final = 64 * 2**20
"""Bytes that one check may take: a line of the users' file must not be able to exhaust the pod."""
_ROUNDS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password."""

    salt: bytes
    digest: bytes
    n: int = 2**14
    """Cost: with r = 8 one check takes 16 MiB. With p = 5 that is the least OWASP's password storage sheet asks for."""
    r: int = 8
    p: int = 5

    def __post_init__(self) -> None:
        if self.n <= 1 or self.n & (self.n - 1) or 128 * self.n * self.r > _MEMORY_MAX:
            msg = f"n={self.n},r={self.r} is no power of two within {_MEMORY_MAX // 2**20} MiB"
            raise ValueError(msg)
        if not (1 <= self.p <= _ROUNDS_MAX and self.r >= 1):
            msg = f"r={self.r},p={self.p} is not between 1 and {_ROUNDS_MAX} rounds"
            raise ValueError(msg)

    @classmethod
    def of(cls, password: str) -> Self:
        """Hash a password under a new salt."""
        blank = cls(secrets.token_bytes(_SALT_BYTES), bytes(_DIGEST_BYTES))
        return cls(blank.salt, blank.derive(password))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Inverse of `to_text`. ValueError for anything else, or for parameters that would take too much memory."""
        found = _FORM.fullmatch(text)
        if found is None:
            msg = "no hash of the form $scrypt$n=…,r=…,p=…$salt$hash"
            raise ValueError(msg)
        n, r, p, salt, digest = found.groups()
        return cls(_unpacked(salt), _unpacked(digest), int(n), int(r), int(p))

    def to_text(self) -> str:
        """$scrypt$n=…,r=…,p=…$salt$hash, both in base64 without padding."""
        return f"$scrypt$n={self.n},r={self.r},p={self.p}${_packed(self.salt)}${_packed(self.digest)}"

    def derive(self, password: str) -> bytes:
        """What this salt and these parameters make of a password."""
        return scrypt(
            password.encode(),
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            dklen=len(self.digest),
            maxmem=2 * _MEMORY_MAX,
        )

    def matches(self, password: str) -> bool:
        """Whether it is this password, in a time that does not depend on where the two differ."""
        return hmac.compare_digest(self.derive(password), self.digest)


def _packed(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
