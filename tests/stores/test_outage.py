"""Stores that die and come back: what was accepted is still there, and the site says what it cannot do meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from chexpert.testing.predictor import FakePredictor
from chexpert.testing.sites import served
from chexpert.triage.database import Database
from chexpert.triage.health_server import metrics
from chexpert.triage.settings import SiteSettings, WorkerSettings
from chexpert.triage.worker import Worker
from real_stores import S3, Postgres

QUICK = WorkerSettings(poll_s=0.05, backoff_s=0.05, backoff_max_s=0.2, timeout_s=2.0)


def _until(ready: Callable[[], bool], within_s: float = 20.0) -> None:
    ends = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < ends, f"not within {within_s} s"
        time.sleep(0.1)


def _send(client: httpx.Client, image: bytes) -> httpx.Response:
    return client.post("/api/studies", files={"images": image})


def _check_away(client: httpx.Client, image: bytes, what: str) -> None:
    """A sender is told to come again, a reader gets a page, a probe takes the pod out."""
    sent = _send(client, image)
    assert (sent.status_code, what in sent.json()["error"]) == (503, True), sent.text
    assert int(sent.headers["retry-after"]) > 0
    assert (client.get("/ready").status_code, client.get("/live").status_code) == (503, 200)


def test_a_killed_postgresql_loses_nothing_and_everybody_comes_back(
    own_postgres: Postgres, tmp_path: Path, png: Callable[..., bytes]
) -> None:
    """SIGKILL under site and worker: 503 with a clear page meanwhile; then both go on by themselves."""
    settings = SiteSettings(objects=str(tmp_path / "objects"), database=own_postgres.database())
    with served(settings) as client, FakePredictor() as predictor:
        database = Database(settings.database)
        worker = Worker(database, settings.objects, replace(QUICK, predictor=predictor.url))
        running = threading.Thread(target=worker.run)
        running.start()
        try:
            accepted = [_send(client, png(seed)).json()["study"] for seed in range(5)]
            own_postgres.kill()
            _check_away(client, png(7), "database does not answer")
            page = client.get("/", headers={"accept": "text/html"})
            assert (page.status_code, page.headers["content-type"][:9]) == (503, "text/html")
            assert "nothing that was accepted is lost" in page.text
            assert "chexpert_tables_up 0" in metrics(database, worker.pulse)
            own_postgres.start()
            _until(lambda: client.get("/ready").status_code == 200)
            assert {one["study"] for one in client.get("/api/worklist").json()["entries"]} == set(accepted)
            assert _send(client, png(7)).status_code == 201
            _until(lambda: all(one["version"] for one in client.get("/api/worklist").json()["entries"]))
        finally:
            worker.stop()
            running.join()
            database.close()


@pytest.mark.timeout(180)
def test_an_s3_that_dies_and_comes_back(own_s3: S3, tmp_path: Path, png: Callable[..., bytes]) -> None:
    """Uploads are refused while their bytes could not be kept; pages go on; scoring goes on once it is back."""
    settings = SiteSettings(objects=own_s3.bucket(), database=f"sqlite:///{tmp_path / 'site.sqlite'}")
    with served(settings) as client, FakePredictor() as predictor:
        study = _send(client, png(1)).json()["study"]
        own_s3.kill()
        database = Database(settings.database)
        worker = Worker(database, settings.objects, replace(QUICK, predictor=predictor.url))
        running = threading.Thread(target=worker.run)
        running.start()
        try:
            _check_away(client, png(2), "store of images does not answer")
            assert client.get("/", headers={"accept": "text/html"}).status_code == 200
            assert client.get("/rollout", headers={"accept": "text/html"}).status_code == 200
            assert client.get("/api/worklist").json()["total"] == 1
            own_s3.start()
            _until(lambda: client.get("/ready").status_code == 200)
            assert _send(client, png(2)).status_code == 201
            _until(lambda: all(one["version"] for one in client.get("/api/worklist").json()["entries"]))
            row = client.get(f"/studies/{study}").text.split('src="/studies/')[1].split('"')[0]
            assert client.get(f"/studies/{row}").headers["content-type"] == "image/png"
        finally:
            worker.stop()
            running.join()
            database.close()
