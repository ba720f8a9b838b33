"""The site and its worker on a real PostgreSQL: what holds on SQLite's one writer holds here as well."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, inspect, select

from chexpert.data import label_events
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.testing.predictor import FakePredictor, Said
from chexpert.testing.sites import served
from chexpert.triage import exporting, reading
from chexpert.triage.database import Database
from chexpert.triage.settings import SiteSettings, WorkerSettings
from chexpert.triage.tables import Base, ImageRow, LabelEventRow, PredictionRow, Study
from chexpert.triage.worker import Worker

AT_ONCE = 6
JSON = {"content-type": "application/json"}


@pytest.fixture
def settings(tmp_path: Path, postgres: str) -> SiteSettings:
    return SiteSettings(objects=str(tmp_path / "objects"), database=postgres)


@pytest.fixture
def client(settings: SiteSettings) -> Iterator[httpx.Client]:
    with served(settings) as opened:
        yield opened


@pytest.fixture
def database(settings: SiteSettings) -> Iterator[Database]:
    opened = Database(settings.database)
    yield opened
    opened.close()


def _send(client: httpx.Client, *images: bytes, **form: str) -> str:
    files = [("images", (f"{number}.png", image)) for number, image in enumerate(images)]
    answer = client.post("/api/studies", files=files, data=form)
    assert answer.status_code == 201, answer.text
    study: str = answer.json()["study"]
    return study


def _together(work: Callable[[int], httpx.Response]) -> list[int]:
    """Status codes of requests that start at the same moment."""
    barrier = threading.Barrier(AT_ONCE)

    def _one(number: int) -> int:
        barrier.wait()
        return work(number).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sorted(pool.map(_one, range(AT_ONCE)))


def test_revisions_lead_to_the_tables(database: Database) -> None:
    """From an empty database nothing is left to migrate: types, defaults and indexes are those of the tables."""
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_sites_that_start_together_migrate_once(postgres: str) -> None:
    """Two replicas and a worker on an empty database: the advisory lock lets one migrate, the others find it done."""
    with ThreadPoolExecutor(4) as pool:
        databases = list(pool.map(Database, [postgres] * 4))
    assert inspect(databases[0].engine).has_table("studies")
    for one in databases:
        one.close()


def test_the_way_of_a_study(
    client: httpx.Client, settings: SiteSettings, database: Database, png: Callable[..., bytes]
) -> None:
    """Upload, listed at once, scored and raised, opened, answered, signed, exported: with the times they had."""
    began = datetime.now(UTC)
    plain = _send(client, png(1), accession="A1")
    study = _send(client, png(2), accession="A2")
    assert [one["study"] for one in client.get("/api/worklist").json()["entries"]] == [plain, study]
    scores = tuple(0.9 if o is Observation.PNEUMOTHORAX else 0.1 for o in OBSERVATIONS)
    with FakePredictor() as predictor:
        predictor.answer = lambda image: Said(scores, 0.95, "Pneumothorax") if image == png(2) else Said(priority=0.4)
        worker = Worker(database, settings.objects, WorkerSettings(predictor=predictor.url))
        assert worker.turn() == 2
        entries = client.get("/api/worklist").json()["entries"]
        assert [(one["study"], one["raised_tier"]) for one in entries] == [(study, "STAT"), (plain, "routine")]
        assert abs(datetime.fromisoformat(entries[0]["arrived"]) - began) < timedelta(minutes=1)
        ada = {"reader": "ada"}
        for what, more in (("open", {}), ("answers", {"answers": {"Edema": "present"}}), ("sign", {})):
            assert client.post(f"/api/studies/{study}/{what}", json={**ada, **more}).status_code == 200
        assert worker.turn() == 1
        worker.close()
    (event,) = label_events.read(f"{settings.objects}/feedback")
    assert (event.study, event.observation, event.value, event.final) == (study, "Edema", 1, True)
    assert event.opened is not None
    assert began <= event.opened <= event.time <= datetime.now(UTC)
    assert client.get("/api/worklist").json()["total"] == 1
    for page in ("/", "/?show=signed", "/?q=a1", "/dashboard", f"/studies/{study}", "/upload", "/rollout"):
        assert client.get(page).status_code == 200


def test_of_readers_who_open_at_once_one_has_it(client: httpx.Client, png: Callable[..., bytes]) -> None:
    """The others are told who has it."""
    study = _send(client, png(1))
    codes = _together(lambda n: client.post(f"/api/studies/{study}/open", json={"reader": f"r{n}"}))
    assert codes == [200] + [409] * (AT_ONCE - 1)


def test_a_study_signed_twice_at_once_is_signed_once(
    client: httpx.Client, database: Database, png: Callable[..., bytes]
) -> None:
    """A double click makes no label twice."""
    study, ada = _send(client, png(1)), {"reader": "ada"}
    client.post(f"/api/studies/{study}/open", json=ada)
    client.post(f"/api/studies/{study}/answers", json={**ada, "answers": {"Edema": "present"}})
    codes = _together(lambda _: client.post(f"/api/studies/{study}/sign", json=ada))
    assert codes == [200] + [409] * (AT_ONCE - 1)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(LabelEventRow)) == 1


def test_files_of_one_study_that_come_at_once_join(
    client: httpx.Client, database: Database, png: Callable[..., bytes]
) -> None:
    """By accession and patient; and the same file sent many times at once is one study of one image."""

    def _post(name: str, image: bytes) -> httpx.Response:
        return client.post("/api/studies", files={"images": image}, data={"accession": name, "patient": "p"})

    assert _together(lambda n: _post("A1", png(n))) == [201] * AT_ONCE
    assert _together(lambda _: _post("A2", png(99))) == [201] * AT_ONCE
    with database.read() as session:
        images = select(Study.accession, func.count(ImageRow.id)).join(ImageRow).group_by(Study.id)
        assert sorted(tuple(row) for row in session.execute(images)) == [("A1", AT_ONCE), ("A2", 1)]


def test_images_answered_at_once_all_count(
    client: httpx.Client, settings: SiteSettings, database: Database, png: Callable[..., bytes]
) -> None:
    """Four images of a study, answered in the same moment: its priority is the highest, whoever came last."""
    study = _send(client, *(png(seed) for seed in range(4)))
    with FakePredictor() as predictor:
        predictor.answer = lambda image: Said(
            priority={png(seed): 0.2 * (4 - seed) for seed in range(4)}[image], delay_s=0.2
        )
        worker = Worker(database, settings.objects, WorkerSettings(predictor=predictor.url, parallel=4))
        assert worker.turn() == 4
        worker.close()
    with database.read() as session:
        assert session.get_one(Study, study).priority == pytest.approx(0.8)
        assert session.scalar(select(func.count()).select_from(PredictionRow)) == 4


def test_workers_that_export_at_once_double_nothing(
    client: httpx.Client, settings: SiteSettings, database: Database, png: Callable[..., bytes]
) -> None:
    """Whatever each of them saw, every event lies in exactly one part."""
    for seed in range(3):
        study = _send(client, png(seed))
        with database.write() as session:
            ada, now = reading.Reader("ada"), datetime.now(UTC)
            reading.answer(session, study, ada, dict.fromkeys(OBSERVATIONS, 1), now)
            reading.sign(session, study, ada, now)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [exporting.export(database, settings.objects, 10) for _ in range(6)], range(4)))
    parts = list(Path(settings.objects, "feedback").rglob("*.parquet"))
    events = label_events.read(f"{settings.objects}/feedback")
    assert len(events) == 3 * len(OBSERVATIONS)
    with database.read() as session:
        rows = session.execute(select(LabelEventRow.part, func.count()).group_by(LabelEventRow.part)).all()
    assert sorted(part for part, _ in rows) == sorted(part.stem for part in parts)
    assert sum(count for _, count in rows) == len(events)


def test_text_that_postgresql_does_not_take_is_no_fault(client: httpx.Client, png: Callable[..., bytes]) -> None:
    """NUL and half surrogate pairs come from anybody's client: they are replaced or refused, never a 500."""
    study, ada = _send(client, png(1)), {"reader": "ada"}
    assert client.get("/studies/%00").status_code == 404
    assert client.get("/?q=%00").status_code == 200
    forged = client.post(f"/api/studies/{study}/open", content='{"reader": "\\ud800"}', headers=JSON)
    assert forged.status_code == 422
    files = {"images": ("a\x00\x07.png", png(2))}
    assert client.post("/api/studies", files=files).status_code == 201
    rejected = client.post(f"/api/studies/{study}/reject", json={**ada, "reason": "no\x00chest"})
    assert rejected.status_code == 200
    assert "no\ufffdchest" in client.get("/?show=signed").text


def test_pages_follow_one_another_while_studies_arrive(
    client: httpx.Client, settings: SiteSettings, png: Callable[..., bytes]
) -> None:
    """The second page begins where the first one ended, although the list grew in between."""
    studies = [_send(client, png(seed)) for seed in range(4)]
    with served(replace(settings, page_rows=2)) as other:
        first = other.get("/").text
        link = first.split('id="following" href="')[1].split('"')[0].replace("&amp;", "&")
        _send(client, png(50), tier="STAT")
        second = other.get(link).text
    assert [study for study in studies if f'data-study="{study}"' in first] == studies[:2]
    assert [study for study in studies if f'data-study="{study}"' in second] == studies[2:]
