"""Bring a database to the newest revision, without Alembic's env.py, which would run on import."""

from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

__all__ = ["scripts", "upgrade"]

_LOCK = 4_243_857_012
"""Key of the PostgreSQL advisory lock that lets one of several starting processes migrate."""


def scripts() -> ScriptDirectory:
    """The revisions shipped with this package."""
    return ScriptDirectory(str(Path(__file__).parent))


def upgrade(connection: Connection) -> None:
    """Apply what is missing, inside the caller's transaction: all of it or nothing.

    The caller's transaction must hold the write lock on SQLite; on PostgreSQL one is taken here. Two processes that
    start together then migrate one after the other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    directory = scripts()

    def missing(revision: Any, _context: MigrationContext) -> Any:
        return directory._upgrade_revs("head", revision)  # noqa: SLF001  what alembic's own command calls

    context = MigrationContext.configure(connection, opts={"fn": missing, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()
