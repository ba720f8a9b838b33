"""Probes of the site, and the worker's probe and metrics."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from chexpert.testing.predictor import FakePredictor
from chexpert.triage.health_server import SILENT_MAX_S, serving_health
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.pulse import Pulse
from chexpert.triage.settings import SiteSettings, WorkerSettings
from chexpert.triage.site import Site
from chexpert.triage.worker import Worker


def test_ready_names_what_is_away(client: httpx.Client, settings: SiteSettings) -> None:
    """Live says the process answers; ready fails while objects cannot be put, and recovers by itself."""
    assert client.get("/ready").json() == {"status": "ok"}
    folder = Path(settings.objects)
    shutil.rmtree(folder)
    folder.write_text("no folder")
    assert client.get("/live").status_code == 200
    away = client.get("/ready")
    assert (away.status_code, away.json()) == (503, {"status": "objects away"})
    folder.unlink()
    assert client.get("/ready").status_code == 200


def test_the_worker_is_live_while_its_loops_go_on(site: Site) -> None:
    """One silent loop is enough to call for a restart; before the first turn nothing hangs yet."""
    now = [0.0]
    pulse = Pulse(clock=lambda: now[0])
    with serving_health("127.0.0.1", 0, site.database, pulse) as port:
        ask = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        assert ask.get("/live").status_code == 200
        pulse.beat("MainThread")
        pulse.beat("export")
        now[0] += SILENT_MAX_S - 1
        pulse.beat("MainThread")
        assert ask.get("/live").status_code == 200
        now[0] += 2
        assert ask.get("/live").status_code == 503
        pulse.beat("export")
        assert ask.get("/live").status_code == 200
        assert ask.get("/elsewhere").status_code == 404
        ask.close()


def _numbers(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("chexpert_"): float(value) for name, value in lines}


def test_metrics_count_what_waits_and_what_was_done(site: Site, png: Callable[..., bytes], clock: Any) -> None:
    """Waiting, answered, failed and the predictor's absence stand in Prometheus' text format."""
    for seed in (1, 2):
        accept(site, Order(accession=f"A{seed}"), [Upload("a.png", png(seed))])
    with FakePredictor() as predictor:
        worker = Worker(
            site.database, site.settings.objects, WorkerSettings(predictor=predictor.url, timeout_s=2.0), clock=clock
        )
        with serving_health("127.0.0.1", 0, site.database, worker.pulse) as port, httpx.Client(trust_env=False) as ask:
            url = f"http://127.0.0.1:{port}/metrics"
            before = _numbers(ask.get(url).text)
            worker.turn()
            after = _numbers(ask.get(url).text)
            site.database.close()
            kind = ask.get(url).headers["content-type"]
        worker.close()
    assert (before["studies_waiting"], before["images_pending"]) == (2, 2)
    assert (after["studies_waiting"], after["images_pending"]) == (2, 0)
    assert after['images_total{outcome="answered"}'] == 2
    assert (after["predictor_up"], after["tables_up"], after["export_lag_seconds"]) == (1, 1, 0)
    assert kind.startswith("text/plain; version=0.0.4")


def test_a_predictor_that_is_down_is_counted(site: Site, png: Callable[..., bytes], clock: Any) -> None:
    """Its tries are failures, and the gauge says why nothing is scored."""
    accept(site, Order(), [Upload("a.png", png(1))])
    worker = Worker(
        site.database, site.settings.objects, WorkerSettings(predictor="http://127.0.0.1:9", timeout_s=1.0), clock=clock
    )
    assert worker.turn() == 0
    worker.close()
    assert worker.pulse.predictor_down
    assert worker.pulse.outcomes()["failed"] == pytest.approx(1)
