"""The order of the worklist: one rule, in Python and in SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from chexpert.domain.observations import FLAGGABLE, Observation
from chexpert.domain.studies import Tier
from chexpert.domain.triage import Entry, TriageRule, order
from chexpert.triage.database import Database
from chexpert.triage.ranking import apply_rule, rank_anew
from chexpert.triage.tables import Study
from chexpert.triage.worklist import Position, Query, Show, count, ranked

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = (
    TriageRule(),
    TriageRule(critical=frozenset({Observation.EDEMA}), caps={Tier.STAT: timedelta(minutes=30), Tier.ROUTINE: None}),
    TriageRule(caps={}),
)

# Whole minutes and a few priorities: ties, and waits of exactly the cap, are likely.
entries = st.lists(
    st.builds(
        Entry,
        study=st.integers(0, 10**6).map(lambda number: f"{number:08x}"),
        tier=st.sampled_from(Tier),
        arrived=st.integers(0, 150).map(lambda minutes: NOW - timedelta(minutes=minutes)),
        priority=st.none() | st.sampled_from([0.0, 0.25, 0.5]) | st.floats(0, 1),
        flag=st.none() | st.sampled_from(FLAGGABLE),
    ),
    max_size=30,
    unique_by=lambda entry: entry.study,
)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path_factory.mktemp('order') / 'site.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Both dialects; PostgreSQL only where it can be started."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    opened = Database(request.getfixturevalue("postgres_server").database())
    yield opened
    opened.close()


def _fill(session: Session, listed: Sequence[Entry], rule: TriageRule) -> None:
    session.execute(delete(Study))
    for number, entry in enumerate(listed):
        study = Study(
            id=entry.study,
            accession=f"A{number}",
            patient="",
            sex="",
            view="",
            source="",
            tier=int(entry.tier),
            arrived=entry.arrived,
            flag=str(entry.flag or ""),
            priority=entry.priority,
            waiting=True,
            reader="ada" if number % 3 == 0 else "",
        )
        apply_rule(study, rule)
        session.add(study)


def _pages(session: Session, rule: TriageRule, size: int, **query: object) -> list[str]:
    """All studies, page by page as the site's links go."""
    found: list[str] = []
    after = None
    while True:
        page = ranked(session, rule, Query(NOW, size, after, **query))  # type: ignore[arg-type]
        found += [row.study.id for row in page]
        if len(page) < size:
            return found
        after = Position.from_text(page[-1].position.to_text())


@given(listed=entries, rule=st.sampled_from(RULES), size=st.integers(1, 40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_orders_as_the_rule_does(database: Database, listed: list[Entry], rule: TriageRule, size: int) -> None:
    """For any studies, rule and page size, the pages in a row are exactly the rule's order: nothing lost or doubled."""
    with database.write() as session:
        _fill(session, listed, rule)
    wanted = order(listed, NOW, rule)
    with database.read() as session:
        assert _pages(session, rule, size) == [entry.study for entry in wanted]
        late = [entry.study for entry in wanted if rule.is_overdue(entry, NOW)]
        assert _pages(session, rule, size, show=Show.LATE) == late
        mine = {entry.study for entry in listed[::3]}
        assert _pages(session, rule, size, show=Show.MINE, reader="ada") == [
            entry.study for entry in wanted if entry.study in mine
        ]
        counts = count(session, rule, NOW)
        assert (counts.unread, counts.late) == (len(listed), len(late))
        assert counts.flagged == sum(entry.flag is not None for entry in listed)


@given(listed=entries)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_rule_reaches_stored_studies(database: Database, listed: list[Entry]) -> None:
    """When the site's critical observations change, `rank_anew` gives every waiting study the new rule's place."""
    with database.write() as session:
        _fill(session, listed, RULES[0])
    with database.write() as session:
        rank_anew(session, RULES[1])
    with database.read() as session:
        assert _pages(session, RULES[1], 50) == [entry.study for entry in order(listed, NOW, RULES[1])]


def test_a_flag_never_lowers_a_study() -> None:
    """With any flag and any score, a study stands in its order's tier or a more urgent one."""
    plain = Entry("s", Tier.STAT, NOW)
    for tier in Tier:
        for flag in FLAGGABLE:
            flagged = replace(plain, tier=tier, flag=flag, priority=0.0)
            assert TriageRule().raised_tier(flagged) <= tier


def test_search_finds_parts_of_an_accession_and_nothing_by_wildcards(database: Database) -> None:
    """A search matches accession and flag literally: % and _ are no wildcards."""
    listed = [Entry("0a", Tier.ROUTINE, NOW, 0.5, Observation.EDEMA), Entry("0b", Tier.ROUTINE, NOW)]
    with database.write() as session:
        _fill(session, listed, RULES[0])
    with database.read() as session:
        assert _pages(session, RULES[0], 5, search="a1") == ["0b"]
        assert _pages(session, RULES[0], 5, search="edem") == ["0a"]
        assert _pages(session, RULES[0], 5, search="%") == []


def test_each_range_is_read_in_the_order_of_an_index(sqlite: Database) -> None:
    """SQLite sorts no range: every part of the union walks an index, so a page costs the same however many wait."""
    statements: list[str] = []
    with sqlite.write() as session:
        session.connection().connection.driver_connection.set_trace_callback(statements.append)  # type: ignore[union-attr]
        ranked(session, RULES[0], Query(NOW, 50))
        session.connection().connection.driver_connection.set_trace_callback(None)  # type: ignore[union-attr]
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {statements[-1]}"))]
    searches = [line for line in plan if "USING" in line and "ix_studies" in line]
    assert len(searches) == 8  # STAT has no cap, so no overdue range
    assert not [line for line in plan if line.startswith("SCAN studies")]
    assert all("COVERING" in line for line in searches)
    assert sum("TEMP B-TREE" in line for line in plan) <= 2  # the union of at most nine pages, and the page itself


def test_the_statement_is_postgresql_too(database: Database) -> None:
    """Index conditions and statement compile for PostgreSQL."""
    for index in Study.__table__.indexes:  # type: ignore[attr-defined]
        where = index.dialect_options["postgresql"]["where"]
        assert where is None or "=" not in str(where.compile(dialect=postgresql.dialect()))
    with database.read() as session:
        assert ranked(session, RULES[0], Query(NOW, 1, search="no such")) == []
