"""Moving a study by hand: up for anyone with a reason, back for who moved it, below its order for nobody."""

import itertools
from collections.abc import Callable

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from chexpert.domain.errors import InputError
from chexpert.domain.studies import Tier
from chexpert.domain.triage import order
from chexpert.triage.database import Database
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.moving import move
from chexpert.triage.ranking import entry_of
from chexpert.triage.reading import Reader
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import Site
from chexpert.triage.tables import Move, Study, StudyEvent
from chexpert.triage.worklist import Query, ranked

ADA, BOB = {"reader": "Ada", "role": "radiologist"}, {"reader": "Bob", "role": "resident"}
Send = Callable[..., httpx.Response]


@pytest.fixture
def study(send: Send, png: Callable[..., bytes]) -> str:
    listed: str = send(png(1), accession="A1").json()["study"]
    return listed


@pytest.fixture
def act(client: httpx.Client, study: str) -> Callable[..., httpx.Response]:
    return lambda who, tier, reason="ward called": client.post(
        f"/api/studies/{study}/move",
        json={**who, "tier": tier, "reason": reason},
    )


Act = Callable[..., httpx.Response]


def test_a_moved_study_stands_as_if_ordered_so(
    client: httpx.Client,
    send: Send,
    png: Callable[..., bytes],
    act: Act,
    settings: SiteSettings,
) -> None:
    """It passes those before it; who moved it and why stand beside it and in the audit; the order is still told."""
    study = client.get("/api/worklist").json()["entries"][0]["study"]
    before = [send(png(number), accession=f"B{number}", tier=tier).json()["study"] for number, tier in ((2, "urgent"),)]
    answer = act(ADA, "STAT")
    assert answer.status_code == 200
    assert (answer.json()["tier"], answer.json()["raised_tier"]) == ("routine", "STAT")
    listed = client.get("/api/worklist").json()["entries"]
    assert [one["study"] for one in listed] == [study, *before]
    assert listed[0]["why"] == "moved to STAT by Ada: ward called · arrival order"
    assert listed[1]["moved_by"] is None
    assert "moved to STAT by Ada: ward called" in client.get("/").text
    assert "raised to STAT by Ada" in client.get("/").text
    database = Database(settings.database)
    with database.read() as session:
        event = session.scalars(select(StudyEvent).order_by(StudyEvent.id.desc())).first()
        assert event is not None
        assert (event.study, event.who, event.what, event.detail) == (study, "Ada", "moved to STAT", "ward called")
    database.close()


def test_nothing_is_moved_below_its_order(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """An urgent order stays urgent at least, whoever asks; it may still go up."""
    study = send(png(1), tier="urgent").json()["study"]
    body = {**ADA, "reason": "not so urgent"}
    answer = client.post(f"/api/studies/{study}/move", json={**body, "tier": "routine"})
    assert answer.status_code == 422
    assert "may only raise it, never lower the priority its order gave it" in answer.json()["error"]
    assert client.get("/api/worklist").json()["entries"][0]["raised_tier"] == "urgent"
    assert client.post(f"/api/studies/{study}/move", json={**body, "tier": "STAT"}).status_code == 200


def test_a_reader_takes_back_only_their_own_move(client: httpx.Client, act: Act) -> None:
    """Bob cannot undo what Ada wanted; Ada can; then it stands as ordered, and nothing of it was erased."""
    assert act(ADA, "STAT").status_code == 200
    refused = act(BOB, "urgent")
    assert refused.status_code == 422
    assert "only Ada takes that back" in refused.json()["error"]
    assert act(ADA, "routine", "other patient").status_code == 200
    (entry,) = client.get("/api/worklist").json()["entries"]
    assert (entry["raised_tier"], entry["moved_by"], entry["why"]) == ("routine", None, "arrival order")


def test_a_move_taken_back_leaves_the_other_readers(client: httpx.Client, act: Act) -> None:
    """Bob wanted STAT, Ada urgent: without Bob's it is urgent, by Ada."""
    assert act(ADA, "urgent").status_code == 200
    assert act(BOB, "STAT", "looks bad").status_code == 200
    assert act(BOB, "routine").status_code == 422
    assert act(BOB, "urgent").status_code == 200
    assert client.get("/api/worklist").json()["entries"][0]["moved_by"] == "Ada"


@pytest.mark.parametrize(
    ("tier", "reason", "says"),
    [
        ("STAT", " ", "only with a reason"),
        ("STAT", "x" * 201, "at most 200"),
        ("STAT", "a\x00b", "printable"),
        ("routine", "same", "stands at ROUTINE already"),
        ("soon", "why not", "is none of STAT, urgent, routine"),
    ],
)
def test_a_move_needs_a_reason_and_a_tier(client: httpx.Client, act: Act, tier: str, reason: str, says: str) -> None:
    """Without either nothing moves, and the message says what is missing."""
    answer = act(ADA, tier, reason)
    assert answer.status_code == 422
    assert says in answer.json()["error"]
    assert client.get("/api/worklist").json()["entries"][0]["why"] == "arrival order"


def test_a_signed_study_is_not_moved(client: httpx.Client, act: Act, study: str) -> None:
    """What is closed stays where it was; an unknown study is not found."""
    assert client.post(f"/api/studies/{study}/sign", json=ADA).status_code == 200
    assert act(ADA, "STAT").status_code == 409
    none = client.post("/api/studies/none/move", json={**ADA, "tier": "STAT", "reason": "x"})
    assert none.status_code == 404


def test_an_order_that_catches_up_ends_the_move(site: Site, png: Callable[..., bytes]) -> None:
    """Sent again as urgent, a study moved to urgent is ordered so; a less urgent copy lowers neither."""
    study = accept(site, Order(Tier.ROUTINE, accession="A1"), [Upload("a.png", png(1))]).study
    with site.database.write() as session:
        move(session, study, Reader("Ada"), Tier.URGENT, "call", rule=site.settings.rule, now=site.clock())
    accept(site, Order(Tier.ROUTINE, accession="A1"), [Upload("a.png", png(1))])
    with site.database.read() as session:
        row = session.get_one(Study, study)
        assert (row.tier, row.ordered, row.moved_by) == (Tier.URGENT, Tier.ROUTINE, "Ada")
    accept(site, Order(Tier.URGENT, accession="A1"), [Upload("a.png", png(1))])
    with site.database.read() as session:
        row = session.get_one(Study, study)
        assert (row.tier, row.ordered, row.moved_by) == (Tier.URGENT, Tier.URGENT, "")


@given(
    moves=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["Ada", "Bob"]), st.sampled_from(Tier)),
        max_size=12,
    ),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_orders_moved_studies_as_the_rule_does(
    site: Site,
    png: Callable[..., bytes],
    moves: list[tuple[int, str, Tier]],
) -> None:
    """Whatever is moved: the page is the pure rule's order, no study stands below its order, each move is one row."""
    tag = str(next(_RUNS))
    studies = [
        accept(site, Order(tier, accession=f"{tag}-{int(tier)}"), [Upload("a.png", png(int(tier)))]).study
        for tier in reversed(Tier)
    ]
    done = 0
    for which, reader, tier in moves:
        try:
            with site.database.write() as session:
                move(session, studies[which], Reader(reader), tier, "why", rule=site.settings.rule, now=site.clock())
            done += 1
        except InputError:
            continue
    now = site.clock()
    with site.database.read() as session:
        rows = [row.study for row in ranked(session, site.settings.rule, Query(now, 500))]
        wanted = order([entry_of(row) for row in rows], now, site.settings.rule)
        assert [row.id for row in rows] == [entry.study for entry in wanted]
        assert all(row.raised_tier <= row.tier <= row.ordered_tier for row in rows)
        assert all(bool(row.moved_by) == (row.tier < row.ordered_tier) for row in rows)
        count = session.scalar(select(func.count()).select_from(Move).where(Move.study.in_(studies)))
        assert count == done


_RUNS = itertools.count()
