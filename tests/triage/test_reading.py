"""What readers may do, over HTTP, and what is kept of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

import httpx
import pytest
from sqlalchemy import select

from chexpert.domain.observations import OBSERVATIONS
from chexpert.triage import scoring
from chexpert.triage.database import Database
from chexpert.triage.settings import SiteSettings
from chexpert.triage.tables import AnswerRow, ImageRow, LabelEventRow, StudyEvent

ADA, BOB = {"reader": "ada", "role": "radiologist"}, {"reader": "bob", "role": "resident"}


@pytest.fixture
def study(send: Callable[..., httpx.Response], png: Callable[..., bytes]) -> str:
    listed: str = send(png(1), png(2), accession="A1").json()["study"]
    return listed


@pytest.fixture
def act(client: httpx.Client, study: str) -> Callable[..., httpx.Response]:
    return lambda what, who, **more: client.post(f"/api/studies/{study}/{what}", json={**who, **more})


@pytest.fixture
def database(settings: SiteSettings, client: httpx.Client) -> Database:
    assert client.get("/healthz").status_code == 200
    return Database(settings.database)


Act = Callable[..., httpx.Response]


def test_a_study_is_opened_answered_and_signed(client: httpx.Client, act: Act, database: Database) -> None:
    """The way of a study; afterwards it is off the list, and its answers are label events of each image."""
    assert act("open", ADA).json()["state"] == "open"
    words = ("present", "absent", "uncertain", "skipped")
    answers = dict(zip((str(o) for o in OBSERVATIONS), words, strict=False))
    assert act("answers", ADA, answers=answers).status_code == 200
    assert act("sign", ADA).json()["state"] == "signed"
    assert client.get("/api/worklist").json() == {"total": 0, "entries": []}
    with database.read() as session:
        events = session.scalars(select(LabelEventRow).order_by(LabelEventRow.id)).all()
    assert [(one.observation, one.value) for one in events[::2]] == [
        (str(o), value) for o, value in zip(OBSERVATIONS, (1, 0, -1, None), strict=False)
    ]
    assert len({one.image_sha256 for one in events}) == 2
    assert all(one.final and one.opened is not None and one.reader == "ada" for one in events)
    assert all(one.patient == one.image_sha256 for one in events)  # none was given: each image is its own patient
    assert [one.event for one in events] == sorted(one.event for one in events)


def test_an_answer_is_appended_and_the_last_is_final(act: Act, database: Database) -> None:
    """Nothing is overwritten: both answers are kept and exported, the later one as final."""
    act("open", ADA)
    act("answers", ADA, answers={"Edema": "present"})
    act("answers", ADA, answers={"Edema": "absent"})
    act("sign", ADA)
    with database.read() as session:
        assert [row.value for row in session.scalars(select(AnswerRow).order_by(AnswerRow.id))] == [1, 0]
        events = session.scalars(select(LabelEventRow).order_by(LabelEventRow.id)).all()
        assert [(one.value, one.final) for one in events[::2]] == [(1, False), (0, True)]


def test_an_answer_without_an_opened_image_has_no_opening(
    client: httpx.Client, act: Act, study: str, database: Database
) -> None:
    """Only the image that was on the screen gets a time: answers to the other one are no training labels."""
    with database.read() as session:
        first = session.scalars(select(ImageRow.sha256).where(ImageRow.study == study).order_by(ImageRow.id)).first()
    act("answers", ADA, answers={"Edema": "present"})
    act("open", ADA, image=first)
    act("answers", ADA, answers={"Fracture": "absent"})
    act("sign", ADA)
    with database.read() as session:
        events = session.scalars(select(LabelEventRow)).all()
    assert {(one.observation, one.image_sha256 == first) for one in events if one.opened} == {("Fracture", True)}
    assert client.post(f"/api/studies/{study}/open", json={**ADA, "image": "00"}).status_code == 404


def test_the_version_is_the_one_that_was_shown(act: Act, study: str, database: Database) -> None:
    """Scores that arrive after the page was opened were not seen: the event names no version."""
    act("open", ADA)
    with database.write() as session:
        due = scoring.pending(session, session.scalars(select(ImageRow.next_try)).first(), 1)
        session.get_one(ImageRow, due[0].image).study_row.version = "v7"
    act("answers", ADA, answers={"Edema": "present"})
    act("open", ADA)
    act("answers", ADA, answers={"Fracture": "absent"})
    act("sign", ADA)
    with database.read() as session:
        events = session.scalars(select(LabelEventRow).where(LabelEventRow.study == study)).all()
    assert {(one.observation, one.version) for one in events} == {("Edema", ""), ("Fracture", "v7")}


def test_a_study_is_read_by_one_reader_until_taken_over(act: Act, database: Database) -> None:
    """Nobody answers or signs what another reader has open; a takeover is possible, and kept in the audit."""
    act("open", ADA)
    for what, more in (
        ("open", {}),
        ("answers", {"answers": {"Edema": "present"}}),
        ("sign", {}),
        ("reject", {"reason": "no"}),
    ):
        refused = act(what, BOB, **more)
        assert refused.status_code == 409
        assert "ada" in refused.json()["error"]
    assert act("open", BOB, take_over=True).json()["reader"] == "bob"
    assert act("sign", ADA).status_code == 409
    assert act("sign", BOB).status_code == 200
    with database.read() as session:
        done = [(one.who, one.what) for one in session.scalars(select(StudyEvent).order_by(StudyEvent.id))]
    assert done == [("intake", "accepted"), ("ada", "opened"), ("bob", "taken over from ada"), ("bob", "signed")]


def test_a_signed_study_stays_as_it_is(client: httpx.Client, act: Act, database: Database) -> None:
    """After signing, every change is refused; it can still be looked at."""
    act("sign", ADA)
    for what, more in (("answers", {"answers": {"Edema": "present"}}), ("sign", {}), ("reject", {"reason": "no"})):
        assert act(what, ADA, **more).status_code == 409
    assert act("open", BOB, take_over=True).json()["state"] == "signed"
    assert client.get("/api/worklist").json()["total"] == 0
    with database.read() as session:
        assert session.scalars(select(AnswerRow)).all() == []


def test_rejecting_needs_a_persons_reason(client: httpx.Client, act: Act, database: Database) -> None:
    """Without a reason nothing leaves the list; with one it leaves, and its answers become no labels."""
    act("open", ADA)
    act("answers", ADA, answers={"Edema": "present"})
    assert act("reject", ADA, reason="  ").status_code == 422
    assert client.get("/api/worklist").json()["total"] == 1
    assert act("reject", ADA, reason="not a chest").json()["state"] == "rejected"
    assert client.get("/api/worklist").json()["total"] == 0
    with database.read() as session:
        assert session.scalars(select(LabelEventRow)).all() == []


@pytest.mark.parametrize(
    ("answers", "named"),
    [({"Edma": "present"}, "Edma"), ({"Edema": "agree"}, "agree"), ({"Edema": 1}, "Edema")],
)
def test_agreeing_is_no_label(act: Act, answers: dict[str, object], named: str) -> None:
    """Only the four words are labels, only the fourteen observations have one; nothing of a bad answer is stored."""
    refused = act("answers", ADA, answers={"Fracture": "absent", **answers})
    assert refused.status_code == 422
    assert named in refused.json()["error"]


def test_what_is_not_there_is_404_and_nobody_cannot_read(client: httpx.Client, act: Act) -> None:
    """An unknown study is not found, and a reader without a name reads nothing."""
    assert client.post("/api/studies/none/open", json=ADA).status_code == 404
    for name in ("", " ", "x" * 65, "a\nb"):
        assert act("open", {"reader": name}).status_code == 422


def test_a_study_left_alone_goes_to_the_next_reader(
    act: Act,
    study: str,
    database: Database,
    clock: Callable[[], datetime],
) -> None:
    """Half an hour after its reader's last act another one has it without asking; the audit says so."""
    act("open", ADA)
    clock.forward(minutes=20)  # type: ignore[attr-defined]
    act("answers", ADA, answers={"Edema": "present"})
    clock.forward(minutes=29)  # type: ignore[attr-defined]
    assert act("open", BOB).status_code == 409
    clock.forward(minutes=1)  # type: ignore[attr-defined]
    assert act("open", BOB).json()["reader"] == "bob"
    assert act("answers", ADA, answers={"Edema": "absent"}).status_code == 409
    with database.read() as session:
        events = session.scalars(select(StudyEvent).where(StudyEvent.study == study).order_by(StudyEvent.id)).all()
    assert [(one.who, one.what, one.detail) for one in events[1:]] == [
        ("ada", "opened", ""),
        ("bob", "taken over from ada", "left alone for 30 min"),
    ]


def test_a_lock_without_an_end_is_taken_over_only_by_asking(
    serve: Callable[..., AbstractContextManager[httpx.Client]],
    settings: SiteSettings,
    clock: Callable[[], datetime],
    png: Callable[..., bytes],
) -> None:
    """With the time-out off a week changes nothing."""
    with serve(replace(settings, lock_idle=None), clock) as client:
        sent = client.post("/api/studies", files={"images": ("a.png", png(1))}).json()["study"]
        assert client.post(f"/api/studies/{sent}/open", json=ADA).status_code == 200
        clock.forward(days=7)  # type: ignore[attr-defined]
        assert client.post(f"/api/studies/{sent}/open", json=BOB).status_code == 409
        assert client.post(f"/api/studies/{sent}/open", json={**BOB, "take_over": True}).status_code == 200
