"""One quiet, retrying connection to MLflow. MLflow is imported on first use: it takes seconds."""

import fcntl
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from chexpert.registry.errors import RegistryRejected, RegistryUnavailable

__all__ = ["Connection", "preload"]

_SWITCHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Errors come back as exceptions; the log would print each retried lock with its traceback.
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # No pooled connection may cross the fork of a pipeline step: SQLite forbids it.
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
        # MLflow's own default waits minutes for a server that is down; a step exits with "try again" instead.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    },
)
"""Read by MLflow from the environment; whatever the user set stays."""

_SQLITE: Final = "sqlite:///"
_LOCKED_WAITS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Two writers that both read first cannot wait for each other: SQLite refuses one at once, and that one tries again."""


def preload() -> None:
    """Import MLflow now, so that processes forked from this one need not."""
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    import mlflow.tracking  # noqa: F401, PLC0415 - takes seconds, and reads the switches above on import


@dataclass(frozen=True, slots=True)
class Connection:
    """MLflow's client at one address, for tracking and registry."""

    uri: str
    client: Any
    """mlflow.MlflowClient."""

    @classmethod
    def open(cls, uri: str) -> Self:
        """Connect; a new SQLite file gets its tables (about 2 s, once), by one process even if many come at once.

        Raises:
            RegistryUnavailable: Nothing there, or not a database.
        """
        preload()
        from mlflow import MlflowClient  # noqa: PLC0415 - see preload
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        with _sole_creator(uri), warnings.catch_warnings():
            # MLflow's tables use a loader that SQLAlchemy 2.1 is about to drop; the pins keep the two together.
            warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
            try:
                return cls(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))
            except (MlflowException, OSError) as error:
                raise RegistryUnavailable(uri, str(error)) from error

    def do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client, again while the database is locked.

        Raises:
            RegistryUnavailable: No answer, or still locked after 6 s.
            RegistryRejected: Answered, and said no.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see preload

        for wait_s in (*_LOCKED_WAITS_S, None):
            try:
                return getattr(self.client, method)(*args, **kwargs)
            except MlflowException as error:
                if not _is_temporary(error):
                    raise RegistryRejected(self.uri, method, str(error)) from error
                if wait_s is None or not _is_locked(error):
                    raise RegistryUnavailable(self.uri, str(error)) from error
                time.sleep(wait_s)
        raise AssertionError  # The loop returns or raises.


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite URI; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


@contextmanager
def _sole_creator(uri: str) -> Iterator[None]:
    """Hold the file `<database>.lock`, and see that SQLite can open the file: MLflow would retry that for an hour."""
    path = sqlite_file(uri)
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            database = sqlite3.connect(path)
            try:
                database.execute("SELECT count(*) FROM sqlite_master")
            finally:
                database.close()
            yield
    except (OSError, sqlite3.Error) as error:
        raise RegistryUnavailable(uri, str(error)) from error


def _is_locked(error: Exception) -> bool:
    return "database is locked" in str(error)


def _is_temporary(error: Any) -> bool:
    """Whether the same call may go through later, by MLflow's error codes."""
    codes = {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED"}
    return _is_locked(error) or error.error_code in codes
