"""Time the worklist page with 100,000 unread studies on SQLite, over HTTP; write bench/results/worklist.json.

Target: p95 under 50 ms. Beside the wall clock stands the processor time of server and client together, which a busy
machine does not stretch. The counts above the list are at most a second old, so most requests find them counted; p99
holds one that counts.

Run: .venv/bin/python bench/worklist.py
"""

import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import numpy as np
from _saving import save
from rich.console import Console
from rich.progress import track
from sqlalchemy import insert

from chexpert.domain.observations import FLAGGABLE
from chexpert.domain.studies import Tier
from chexpert.domain.triage import Entry, TriageRule
from chexpert.testing.sites import served
from chexpert.triage.database import Database
from chexpert.triage.settings import SiteSettings
from chexpert.triage.tables import Study

STUDIES: Final = 100_000
REQUESTS: Final = 200
TARGET_MS: Final = 50.0
FLAGGED: Final = 0.2
SCENARIOS: Final = {"all arrived in 50 minutes": 50.0, "backlog of three days": 3 * 24 * 60.0}


def main() -> int:
    """Measure each scenario, save the numbers, fail over the target."""
    console = Console()
    results = {}
    for name, minutes in SCENARIOS.items():
        with tempfile.TemporaryDirectory() as folder:
            settings = SiteSettings(f"{folder}/objects", f"sqlite:///{folder}/site.sqlite")
            _fill(settings.database, minutes)
            results[name] = _measure(settings, name)
        console.print(name, results[name])
    report = {
        "what": f"GET / with {STUDIES:,} unread studies, 50 rows, one client over loopback, {REQUESTS} requests",
        "target_p95_ms": TARGET_MS,
        "results_ms": results,
        "sqlite": sqlite3.sqlite_version,
    }
    save("worklist", report, ("sqlalchemy", "fastapi", "jinja2"))
    return int(any(result["first page"]["p95"] > TARGET_MS for result in results.values()))


def _fill(url: str, minutes: float) -> None:
    """One in five flagged, one in twenty STAT, one in five urgent."""
    rng, rule, now = np.random.default_rng(1), TriageRule(), datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    for number in track(range(STUDIES), "filling", transient=True):
        flag = FLAGGABLE[int(rng.integers(len(FLAGGABLE)))] if rng.random() < FLAGGED else None
        tier = Tier(int(rng.choice(3, p=[0.05, 0.2, 0.75])))
        entry = Entry(
            f"{number:020x}", tier, now - timedelta(minutes=float(rng.uniform(0, minutes))), float(rng.random()), flag
        )
        rows.append(
            {
                "id": entry.study,
                "accession": f"A{number:08d}",
                "patient": f"p{number}",
                "sex": "F",
                "age": 60,
                "view": "AP",
                "source": "Ward 5",
                "tier": int(tier),
                "raised_tier": int(rule.raised_tier(entry)),
                "arrived": entry.arrived,
                "flag": str(flag or ""),
                "flagged": flag is not None,
                "flag_score": entry.priority if flag else None,
                "rank": -(entry.priority or 0.0),
                "priority": entry.priority,
                "version": "v1",
            },
        )
    database = Database(url)
    with database.write() as session:
        session.execute(insert(Study), rows)
    database.close()


def _measure(settings: SiteSettings, name: str) -> dict[str, dict[str, float]]:
    with served(settings) as client:
        following = client.get("/").text.split('id="following" href="')[1].split('"')[0].replace("&amp;", "&")
        pages = {"first page": "/", "second page": following, "late": "/?show=late", "search": "/?q=A00012"}
        return {page: _times(client, url, f"{name}: {page}") for page, url in pages.items()}


def _times(client: httpx.Client, url: str, title: str) -> dict[str, float]:
    times, used = [], []
    for _ in track(range(REQUESTS), title, transient=True):
        started, before = time.perf_counter(), time.process_time()
        response = client.get(url)
        times.append(1000 * (time.perf_counter() - started))
        used.append(1000 * (time.process_time() - before))
        response.raise_for_status()
    wall = {f"p{percent}": round(float(np.percentile(times, percent)), 1) for percent in (50, 95, 99)}
    return {**wall, "processor_p50": round(float(np.median(used)), 1)}


if __name__ == "__main__":
    sys.exit(main())
