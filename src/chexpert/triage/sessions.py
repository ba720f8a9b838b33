"""Sessions as signed cookies: nothing is kept on the server, so every replica of a site knows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from chexpert.triage.users import User

__all__ = ["Session", "Sessions"]

_AHEAD: Final = timedelta(minutes=5)
"""Clocks of two replicas may differ by this much."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login that holds."""

    user: User
    seen: datetime
    """When its cookie was given."""


class Sessions:
    """Gives and reads cookies."""

    def __init__(self, key: str, idle: timedelta) -> None:
        self.idle = idle
        signer = {"digest_method": sha256, "key_derivation": "hmac"}
        self._serializer = URLSafeSerializer(key, salt="chexpert session", signer_kwargs=signer)

    def give(self, user: User, now: datetime) -> str:
        """A cookie's value."""
        return str(self._serializer.dumps([user.name, user.fingerprint, int(now.timestamp())]))

    def read(self, value: str, users: Mapping[str, User], now: datetime) -> Session | None:
        """The session, unless it is not ours, too long idle, or of a user who is gone or has another password."""
        try:
            name, fingerprint, seconds = self._serializer.loads(value)
            seen = datetime.fromtimestamp(seconds, UTC)
        except (BadData, ValueError, TypeError, OverflowError):
            return None
        user = users.get(name)
        if user is None or not compare_digest(user.fingerprint, fingerprint):
            return None
        return Session(user, seen) if -_AHEAD <= now - seen < self.idle else None

    def is_due(self, session: Session, now: datetime) -> bool:
        """Whether somebody active should get a newer cookie."""
        return now - session.seen > self.idle / 48
