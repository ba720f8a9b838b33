"""The tables and the revisions that lead to them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from chexpert.triage.database import Database
from chexpert.triage.migrations.upgrade import scripts
from chexpert.triage.tables import Base


def test_revisions_lead_to_the_tables(tmp_path: Path) -> None:
    """After `upgrade head` nothing is left to migrate."""
    database = Database(f"sqlite:///{tmp_path / 'site.sqlite'}")
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Site and worker may start at the same moment on an empty file."""
    url = f"sqlite:///{tmp_path / 'site.sqlite'}"
    with ThreadPoolExecutor(4) as pool:
        databases = list(pool.map(Database, [url] * 4))
    assert inspect(databases[0].engine).has_table("studies")
    for database in databases:
        database.close()


def test_there_is_one_head() -> None:
    """Two branches of revisions would leave it to chance which one a site has."""
    assert len(scripts().get_heads()) == 1
