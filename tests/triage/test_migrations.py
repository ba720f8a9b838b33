"""The tables and the revisions that lead to them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect, text

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


def test_studies_there_are_keep_the_tier_of_their_order(tmp_path: Path) -> None:
    """A site of the first revision opens with each study's tier known to be what its order said, moved by nobody."""
    url = f"sqlite:///{tmp_path / 'site.sqlite'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        options = {"fn": lambda rev, _: scripts()._upgrade_revs("0001", rev)}
        context = MigrationContext.configure(connection, opts=options)
        with Operations.context(context):
            context.run_migrations()
        for tier in range(3):
            connection.execute(
                text(
                    "INSERT INTO studies (id, accession, patient, sex, view, source, tier, arrived, state, waiting,"
                    " raised_tier, flag, flagged, rank, version, refusal, reader, reason)"
                    " VALUES (:id, '', '', '', '', '', :id, '2026-11-23 08:00:00.000000', 'unread', 1,"
                    " :id, '', 0, 0, '', '', '', '')",
                ),
                {"id": tier},
            )
    engine.dispose()
    database = Database(url)
    with database.read() as session:
        rows = session.execute(text("SELECT tier, ordered_tier, moved_by FROM studies ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [(0, 0, ""), (1, 1, ""), (2, 2, "")]
    database.close()
