"""Who may log in: one `name:role:hash` per line of a file that is read again when it changes."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from chexpert.triage.errors import BrokenUsers, NotAllowed
from chexpert.triage.passwords import PasswordHash
from chexpert.triage.reading import Reader

__all__ = ["PASSWORD_CHARS_MAX", "RIGHTS", "Right", "Role", "User", "UserBook", "line_of", "parse"]

_LOG: Final = logging.getLogger(__name__)
_PASSWORD_CHARS_MIN: Final = 12
PASSWORD_CHARS_MAX: Final = 1024


class Role(StrEnum):
    """What somebody is on this site."""

    TECHNICIAN = "technician"
    RADIOLOGIST = "radiologist"
    ADMIN = "admin"


class Right(StrEnum):
    """What a request needs."""

    LIST = "list"
    """See the worklist, the dashboard and the rollout."""
    UPLOAD = "upload"
    READ = "read"
    """See images, answer, sign, reject, move."""


RIGHTS: Final[Mapping[Role, frozenset[Right]]] = MappingProxyType(
    {
        Role.TECHNICIAN: frozenset({Right.LIST, Right.UPLOAD}),
        Role.RADIOLOGIST: frozenset({Right.LIST, Right.READ}),
        Role.ADMIN: frozenset(Right),
    }
)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in."""

    name: str
    role: Role
    password: PasswordHash

    @property
    def reader(self) -> Reader:
        """As whom they answer."""
        return Reader(self.name, self.role)

    @property
    def fingerprint(self) -> str:
        """Of the password's hash: another one ends the sessions of the old."""
        return sha256(self.password.to_text().encode()).hexdigest()[:32]

    def may(self, right: Right) -> bool:
        """Whether their role holds this right."""
        return right in RIGHTS[self.role]


def line_of(name: str, role: Role, password: str) -> str:
    """A line for the users' file.

    Raises:
        NotAllowed: the name is none, or the password has not 12 to 1,024 characters.
    """
    _check(name)
    if not _PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise NotAllowed(what="password", reason=f"it needs {_PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")
    return f"{name}:{role}:{PasswordHash.of(password).to_text()}"


def parse(text: str, where: str) -> dict[str, User]:
    """Users by name; empty lines and those that begin with # are left out. A file of nobody lets nobody in.

    Raises:
        BrokenUsers: a line is none, or a name stands twice.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, role, digest = line.strip().split(":")
            _check(name)
            user = User(name, Role(role), PasswordHash.from_text(digest))
        except (ValueError, NotAllowed) as error:
            raise BrokenUsers(where, f"line {number} is no name:role:hash") from error
        if name in users:
            raise BrokenUsers(where, f"line {number} names {name} again")
        users[name] = user
    return users


class UserBook:
    """The users of a file, as it stands now. Threads may share it."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            BrokenUsers: it cannot be read, or says what no users' file says.
        """
        self._path = path
        self._lock = threading.Lock()
        self._seen = self._state()
        self._users = self._read()

    def users(self) -> Mapping[str, User]:
        """By name. A file that became unreadable changes nothing, and is reported: nobody is let in by an accident."""
        with self._lock:
            try:
                state = self._state()
                if state != self._seen:
                    self._seen = state
                    self._users = self._read()
            except BrokenUsers as error:
                _LOG.error("the users stay as they were: %s", error)
        return self._users

    def _state(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()  # of the file a mounted Secret's link leads to
        except OSError as error:
            raise BrokenUsers(str(self._path), error.strerror or "it cannot be read") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> Mapping[str, User]:
        try:
            text = self._path.read_text()
        except (OSError, ValueError) as error:
            raise BrokenUsers(str(self._path), "it cannot be read") from error
        return parse(text, str(self._path))


def _check(name: str) -> None:
    if name != name.strip() or ":" in name:
        raise NotAllowed(what="name", reason=f"{name[:64]!r} has a colon, or spaces around it")
    Reader(name)
