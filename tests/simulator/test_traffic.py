from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import InputError
from chexpert.simulator.arrivals import FLAT, ArrivalSettings
from chexpert.simulator.ledger import Ledger, Sent
from chexpert.simulator.retries import RetrySettings, retrying
from chexpert.simulator.samples import NO_TRUTH, truth_of_yes_no
from chexpert.simulator.site import Site, SiteRefused, SiteUnavailable
from chexpert.simulator.tiles import TileSource
from chexpert.simulator.traffic import Traffic, TrafficSettings

IMPATIENT = RetrySettings(attempts=3, first_pause_s=0.0)
TEN = TrafficSettings(studies=10)


def listed(server: Any) -> list[str]:
    answer = httpx.get(f"{server.url}/api/worklist", params={"limit": 1000}).json()
    return [entry["accession"] for entry in answer["entries"]]


def test_every_study_of_a_run_is_listed_once_and_kept_with_its_truth(site_server: Any, tmp_path: Path) -> None:
    """What the site lists is what the ledger holds: same studies, same bytes, and the truth beside them."""
    source = TileSource(truth_of_yes_no(abnormal=True))
    ledger = Ledger(str(tmp_path / "objects"), "morning")
    with Site(site_server.url) as site:
        report = Traffic(source, site, ledger, TEN).send()
    assert sorted(listed(site_server)) == [f"morning-{number:06d}" for number in range(10)]
    kept = list(ledger.read())
    assert tuple(kept) == report.sent
    assert [sent.images for sent in kept] == [(of_bytes(source.sample(number).data),) for number in range(10)]
    assert {sent.truth for sent in kept} == {truth_of_yes_no(abnormal=True)}


def test_nothing_is_lost_while_the_site_answers_503(site_server: Any, tmp_path: Path) -> None:
    """Each study gets through once the site takes it again, and is listed once."""
    site_server.front.unavailable = 2
    with Site(site_server.url, retry=IMPATIENT) as site:
        report = Traffic(TileSource(), site, Ledger(str(tmp_path), "run"), TEN).send()
    assert len(report.sent) == 10
    assert sorted(listed(site_server)) == [f"run-{number:06d}" for number in range(10)]


def test_a_lost_answer_does_not_list_a_study_twice(site_server: Any, tmp_path: Path) -> None:
    """The site accepted, the answer got lost, the same study comes again: one line."""
    site_server.front.lost = 2
    with Site(site_server.url, retry=IMPATIENT) as site:
        Traffic(TileSource(), site, Ledger(str(tmp_path), "run"), replace(TEN, studies=3)).send()
    assert len(site_server.front.seen) == 5
    assert sorted(listed(site_server)) == ["run-000000", "run-000001", "run-000002"]


def test_a_site_that_stays_away_ends_the_run_and_the_next_call_goes_on(site_server: Any, tmp_path: Path) -> None:
    """Attempts are bounded; what was sent before stays sent, and only the rest is sent then."""
    ledger = Ledger(str(tmp_path), "run")

    def fail_later(sent: Sent) -> None:
        if sent.number == 3:
            site_server.front.unavailable = 1000

    with Site(site_server.url, retry=IMPATIENT) as site:
        traffic = Traffic(TileSource(), site, ledger, TEN)
        with pytest.raises(SiteUnavailable, match="503"):
            traffic.send(progress=fail_later)
        assert ledger.numbers() == {0, 1, 2, 3}
        site_server.front.unavailable = 0
        report = traffic.send()
    assert (report.already_sent, [sent.number for sent in report.sent]) == (4, [4, 5, 6, 7, 8, 9])
    assert sorted(listed(site_server)) == [f"run-{number:06d}" for number in range(10)]


def test_a_refused_study_is_named_and_the_run_goes_on(site_server: Any, tmp_path: Path) -> None:
    """What is no image is not tried again, and does not stop the others."""
    source = TileSource(broken=frozenset({4}))
    with Site(site_server.url, retry=IMPATIENT) as site:
        report = Traffic(source, site, Ledger(str(tmp_path), "run"), TEN).send()
    assert len(report.sent) == 9
    (line,) = report.refused
    assert line.startswith("study 4: ")
    assert site_server.front.seen.count("/api/studies") == 10


def test_an_unreachable_site_is_retried_with_growing_pauses_then_told() -> None:
    """Pauses double up to their bound, and the last error names the address."""
    pauses: list[float] = []
    settings = RetrySettings(attempts=5, first_pause_s=1.0, longest_pause_s=3.0)
    with (
        Site("http://127.0.0.1:9", retry=settings, sleep=pauses.append) as site,
        pytest.raises(SiteUnavailable, match=r"127\.0\.0\.1:9"),
    ):
        site.worklist()
    assert pauses == [1.0, 2.0, 3.0, 3.0]


def test_an_error_that_a_retry_does_not_mend_passes_at_once() -> None:
    """Only what is marked retryable is tried again."""
    calls: list[int] = []

    def refuse() -> None:
        calls.append(1)
        raise SiteRefused("/", 422, "no")  # noqa: EM101 - structured arguments

    with pytest.raises(SiteRefused):
        retrying(refuse, IMPATIENT)
    assert calls == [1]


def test_simulated_time_passes_as_fast_as_asked(site_server: Any, tmp_path: Path) -> None:
    """At 3,600 times an hour of arrivals is waited for in one second, and as found without acceleration in none."""
    waited: list[float] = []
    hourly = ArrivalSettings(per_hour=10.0, daily=FLAT, batch_share=0.0)
    settings = replace(TEN, arrivals=hourly, acceleration=3600.0)
    with Site(site_server.url) as site:
        ledger = Ledger(str(tmp_path), "run")
        Traffic(TileSource(), site, ledger, settings, sleep=waited.append, now=lambda: 0.0).send()
    times = [sent.time for sent in ledger.read()]
    assert waited == pytest.approx([(time - times[0]).total_seconds() / 3600.0 for time in times])
    assert 0.2 < waited[-1] < 5.0


def test_an_acceleration_of_nothing_is_refused() -> None:
    """Zero would wait for ever; None says not to wait."""
    with pytest.raises(InputError, match="above 0"):
        TrafficSettings(acceleration=0.0)


def test_a_ledger_gives_back_what_it_was_given(tmp_path: Path) -> None:
    """Each field survives, and what is no whole object is not read."""
    truth = (1, 0, -1, *NO_TRUTH[3:])
    when = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
    sent = Sent(7, when, "study", "run-000007", ("ab",), ("a.png",), "cr-plate", "test", truth)
    ledger = Ledger(str(tmp_path), "run")
    assert ledger.numbers() == frozenset()
    ledger.record(sent)
    (tmp_path / "simulator" / "run" / ".00000008.json.part").write_text("{")
    assert list(ledger.read()) == [sent]
    assert list(ledger.read(known={7})) == []
