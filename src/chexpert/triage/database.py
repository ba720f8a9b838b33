"""One database: a reading and a writing transaction, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chexpert.triage.migrations.upgrade import upgrade

__all__ = ["Database", "lock"]

_BUSY_S = 30
"""A writer waits this long for another one. SQLite has one writer at a time; ours hold it for milliseconds."""

_POSTGRESQL: Final = {
    "connect_timeout": 5,
    # A lock that nobody gives back must not hold every thread of the site for ever.
    "options": f"-c lock_timeout={_BUSY_S}s -c idle_in_transaction_session_timeout=60s",
}


class Database:
    """Opens a database and brings its tables to the newest revision."""

    def __init__(self, url: str) -> None:
        self.engine = _open(url)
        self._writing = self.engine.execution_options(begin="IMMEDIATE")
        self._reading = self.engine
        if self.engine.dialect.name == "postgresql":  # by default there, each statement sees another state
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with self._writing.begin() as connection:
            upgrade(connection)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state and writes nothing."""
        with Session(self._reading, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is durable once this block is left, and undone if it raises.

        On SQLite it takes the write lock at its start: a reader that became a writer could be refused half-way. On
        PostgreSQL writers run beside each other: who changes a row by what it holds locks it first.
        """
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def is_alive(self) -> bool:
        """Whether the database answers."""
        try:
            with self.engine.connect() as connection:
                return bool(connection.scalar(text("SELECT 1")))
        except SQLAlchemyError:
            return False

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def lock(session: Session, key: int) -> None:
    """Let transactions that say the same key follow one another; on SQLite all writing ones do."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _open(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        # Tried before it is used: a connection may be one to a server that was replaced.
        return create_engine(url, pool_pre_ping=True, pool_size=20, max_overflow=20, connect_args=_POSTGRESQL)
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
