"""Whether a name and a password belong together, checked at the same cost whoever asks."""

import hmac
import logging
import secrets
from base64 import b64decode
from binascii import Error as NoBase64
from collections import OrderedDict
from typing import Final

import anyio.to_thread
from anyio import CapacityLimiter

from chexpert.triage.clock import Clock
from chexpert.triage.errors import TooManyTries
from chexpert.triage.passwords import PasswordHash
from chexpert.triage.sessions import Session, Sessions
from chexpert.triage.settings import LoginSettings
from chexpert.triage.throttle import Throttle
from chexpert.triage.users import PASSWORD_CHARS_MAX, User, UserBook

__all__ = ["Authenticator", "credentials_of"]

_LOG: Final = logging.getLogger(__name__)
_CHECKS_AT_ONCE: Final = 2
"""Each takes 16 MiB and about a tenth of a second of one core."""
_PROVEN_MAX: Final = 256
_NOBODY: Final = PasswordHash(bytes(16), bytes(32))


class Authenticator:
    """Knows the users, their sessions, and who tried how often."""

    def __init__(self, settings: LoginSettings, clock: Clock) -> None:
        """Read the users.

        Raises:
            BrokenUsers: their file cannot be read.
        """
        self.sessions = Sessions(settings.session_key, settings.idle)
        self._book = UserBook(settings.users)
        self._clock = clock
        self._throttle = Throttle(clock)
        self._limiter = CapacityLimiter(_CHECKS_AT_ONCE)
        self._secret = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, None] = OrderedDict()

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie; None: log in."""
        return self.sessions.read(cookie, self._book.users(), self._clock()) if cookie else None

    def give(self, user: User) -> str:
        """A new cookie's value."""
        return self.sessions.give(user, self._clock())

    def is_due(self, session: Session) -> bool:
        """Whether somebody active should get a newer cookie."""
        return self.sessions.is_due(session, self._clock())

    async def login(self, name: str, password: str, address: str) -> User | None:
        """The user, or None where either is wrong.

        Raises:
            TooManyTries: the name was tried too often from this address.
        """
        users = self._book.users()
        user = users.get(name)
        password = password[: PASSWORD_CHARS_MAX + 1]  # no password is longer, so the rest need not be hashed
        proof = hmac.digest(self._secret, f"{user.fingerprint}:{password}".encode(), "sha256") if user else b""
        if user and proof in self._proven:
            return user
        if wait_s := self._throttle.take(name, address):
            _LOG.warning("too many passwords were tried for %r from %s", name[:64], address)
            raise TooManyTries(wait_s)
        # For a name that nobody has, somebody's hash is computed all the same: the time tells nothing.
        known = user or next(iter(users.values()), None)
        digest = known.password if known else _NOBODY
        right = await anyio.to_thread.run_sync(digest.matches, password, limiter=self._limiter)
        if user is None or not right:
            return None
        self._throttle.clear(name, address)
        # A program that sends its password with every request pays for one check, not for a thousand.
        self._proven[proof] = None
        while len(self._proven) > _PROVEN_MAX:
            self._proven.popitem(last=False)
        return user


def credentials_of(header: str) -> tuple[str, str] | None:
    """Name and password of an Authorization header of HTTP Basic (RFC 7617); None: it is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except (NoBase64, ValueError):
        return None
    return (name, password) if colon else None
