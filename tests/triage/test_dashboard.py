"""The dashboard: waits and counts as the tables have them, and no claim beyond."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.predictions import Prediction
from chexpert.domain.studies import Tier
from chexpert.triage import reading, scoring
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.moving import move
from chexpert.triage.presenting import short_wait
from chexpert.triage.reading import Reader
from chexpert.triage.site import Site
from chexpert.triage.tables import Study
from chexpert.triage.waits import Wait, activity, quantile

ADA = Reader("ada")
EDEMA = next(o for o in OBSERVATIONS if str(o) == "Edema")


def _study(site: Site, png: Callable[..., bytes], seed: int, tier: Tier, *, flag: bool) -> str:
    """A study the model answered for."""
    study = accept(site, Order(tier, accession=f"A{seed}"), [Upload("a.png", png(seed))]).study
    said = Prediction("v1", (0.5,) * 14, 0.5, EDEMA if flag else None)
    with site.database.write() as session:
        image = session.get_one(Study, study).images[0].id
        scoring.store(session, image, said, site.settings.rule, site.clock(), latency_ms=1.0)
    return study


def _sign(site: Site, study: str) -> None:
    with site.database.write() as session:
        reading.sign(session, study, ADA, site.clock())


def _by(site: Site, tier: Tier, *, flagged: bool) -> Wait:
    with site.database.read() as session:
        waits = activity(session, site.clock()).waits
    return next(one for one in waits if (one.tier, one.flagged) == (tier, flagged))


def test_waits_are_told_by_order_and_flag(site: Site, clock: Callable[[], object], png: Callable[..., bytes]) -> None:
    """Each signed study is in the row of its order and flag, with its own wait; no other study is in any."""
    flagged = _study(site, png, 1, Tier.ROUTINE, flag=True)
    plain = _study(site, png, 2, Tier.ROUTINE, flag=False)
    rejected = _study(site, png, 3, Tier.ROUTINE, flag=False)
    _study(site, png, 4, Tier.STAT, flag=False)
    clock.forward(minutes=10)  # type: ignore[attr-defined]
    _sign(site, flagged)
    clock.forward(minutes=20)  # type: ignore[attr-defined]
    _sign(site, plain)
    with site.database.write() as session:
        reading.reject(session, rejected, ADA, "no chest", site.clock())
    row = _by(site, Tier.ROUTINE, flagged=True)
    assert (row.studies, row.median) == (1, row.p95)
    assert row.median is not None
    assert row.median == pytest.approx(timedelta(minutes=10), abs=timedelta(seconds=1))
    other = _by(site, Tier.ROUTINE, flagged=False)
    assert other.studies == 1
    assert other.median is not None
    assert other.median > timedelta(minutes=29)
    assert _by(site, Tier.STAT, flagged=False).median is None
    with site.database.read() as session:
        seen = activity(session, site.clock())
    assert (seen.arrived, seen.answered, seen.flagged) == (4, 4, 1)
    assert (seen.signed, seen.rejected, seen.unread) == (2, 1, 1)
    assert seen.versions == (("v1", 4),)


def test_a_move_does_not_change_what_was_ordered(site: Site, png: Callable[..., bytes]) -> None:
    """A routine study moved to STAT counts among the routine ones."""
    study = _study(site, png, 1, Tier.ROUTINE, flag=False)
    with site.database.write() as session:
        move(session, study, ADA, Tier.STAT, "call", rule=site.settings.rule, now=site.clock())
    _sign(site, study)
    assert _by(site, Tier.ROUTINE, flagged=False).studies == 1
    assert _by(site, Tier.STAT, flagged=False).studies == 0


def test_yesterday_is_not_counted(site: Site, clock: Callable[[], object], png: Callable[..., bytes]) -> None:
    """What ended more than a day ago is left out; what still waits is counted whenever it came."""
    _sign(site, _study(site, png, 1, Tier.ROUTINE, flag=True))
    _study(site, png, 2, Tier.ROUTINE, flag=True)
    clock.forward(hours=24, minutes=1)  # type: ignore[attr-defined]
    with site.database.read() as session:
        seen = activity(session, site.clock())
    assert (seen.arrived, seen.signed, seen.versions, seen.labels) == (0, 0, (), ())
    assert seen.unread == 1


def test_labels_are_counted_once_a_study(site: Site, png: Callable[..., bytes]) -> None:
    """Two images and a changed mind make one label: the last."""
    study = accept(site, Order(Tier.ROUTINE), [Upload("a.png", png(1)), Upload("b.png", png(2))]).study
    for value in (1, 0):
        with site.database.write() as session:
            reading.answer(session, study, ADA, {EDEMA: value}, site.clock())
    _sign(site, study)
    with site.database.read() as session:
        (labels,) = activity(session, site.clock()).labels
    assert (labels.observation, labels.present, labels.absent) == ("Edema", 0, 1)


@pytest.mark.parametrize(("count", "share", "wanted"), [(1, 0.95, 1), (2, 0.5, 1), (100, 0.95, 95), (101, 0.5, 51)])
def test_a_quantile_is_one_of_the_waits(count: int, share: float, wanted: int) -> None:
    """The shortest that covers the share; of no waits there is none."""
    waits = [timedelta(minutes=number) for number in range(count, 0, -1)]
    assert quantile(waits, share) == timedelta(minutes=wanted)
    assert quantile([], share) is None


def test_short_waits_are_told_in_seconds() -> None:
    """A wait under a minute is not told as none."""
    assert [short_wait(timedelta(seconds=s)) for s in (0.25, 59.9, 60)] == ["0.2 s", "59.9 s", "1 min"]


def test_the_page_claims_no_outcome(
    client: httpx.Client, send: Callable[..., httpx.Response], png: Callable[..., bytes]
) -> None:
    """Empty or not it can be read, says what it does not claim, and links from every page."""
    empty = client.get("/dashboard")
    assert empty.status_code == 200
    assert "none signed" in empty.text
    study = send(png(1), tier="STAT").json()["study"]
    assert client.post(f"/api/studies/{study}/sign", json={"reader": "ada"}).status_code == 200
    page = client.get("/dashboard").text
    assert "Waiting time only; no outcome is claimed." in page
    assert "waitbar" in page
    assert 'href="/dashboard"' in client.get("/").text
