"""One database: a reading and a writing transaction, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from chexpert.triage.migrations.upgrade import upgrade

__all__ = ["Database"]

_BUSY_S = 30
"""A writer waits this long for another one. SQLite has one writer at a time; ours hold it for milliseconds."""


class Database:
    """Opens a database and brings its tables to the newest revision."""

    def __init__(self, url: str) -> None:
        self.engine = _open(url)
        self._writing = self.engine.execution_options(begin="IMMEDIATE")
        with self._writing.begin() as connection:
            upgrade(connection)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state and writes nothing."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is durable once this block is left, and undone if it raises.

        On SQLite it takes the write lock at its start: a reader that became a writer could be refused half-way.
        """
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def is_alive(self) -> bool:
        """Whether the database answers."""
        with self.engine.connect() as connection:
            return bool(connection.scalar(text("SELECT 1")))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _open(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=20)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver would say it late, or not at all
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(
            "PRAGMA synchronous = FULL"
        )  # NORMAL may lose the last commits at a power cut: 201 means durable
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -65536")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', '')}")

    return engine
