from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import numpy as np
import pytest

from chexpert.simulator.arrivals import DAY_OF_A_HOSPITAL, FLAT, Arrival, ArrivalSettings, BadArrivalSettings, arrivals

START = datetime(2026, 3, 2, tzinfo=UTC)


def of_days(settings: ArrivalSettings, days: int) -> list[Arrival]:
    until = START + timedelta(days=days)
    return list(takewhile(lambda arrival: arrival.time < until, arrivals(settings, START, np.random.default_rng(1))))


def test_studies_come_at_the_stated_rate_batches_included() -> None:
    """Over 30 days the count lies within 4 standard errors of a compound Poisson process."""
    settings = ArrivalSettings(per_hour=20.0)
    seen = sum(arrival.studies for arrival in of_days(settings, 30))
    expected = 20.0 * 24 * 30
    # Variance of a compound Poisson: moments x E[size^2]; a batch of 2 + Poisson(6) has E[size^2] = 70.
    moments = expected / 1.7
    assert abs(seen - expected) < 4.0 * (moments * (0.9 + 0.1 * 70.0)) ** 0.5


def test_arrivals_follow_the_daily_curve() -> None:
    """Each hour's share is the curve's, within 4 standard errors."""
    settings = ArrivalSettings(per_hour=60.0, batch_share=0.0)
    seen = Counter(arrival.time.hour for arrival in of_days(settings, 20))
    total = sum(seen.values())
    for hour, weight in enumerate(DAY_OF_A_HOSPITAL):
        expected = total * weight / sum(DAY_OF_A_HOSPITAL)
        assert abs(seen[hour] - expected) < 4.0 * expected**0.5


def test_a_flat_curve_without_batches_is_a_poisson_process() -> None:
    """Gaps have the mean and the spread of an exponential distribution."""
    settings = ArrivalSettings(per_hour=60.0, daily=FLAT, batch_share=0.0)
    times = [arrival.time for arrival in islice(arrivals(settings, START, np.random.default_rng(0)), 5000)]
    gaps = np.diff([time.timestamp() for time in times])
    assert gaps.mean() == pytest.approx(60.0, rel=0.05)
    assert gaps.std() == pytest.approx(60.0, rel=0.08)


def test_batches_hold_at_least_two_and_come_as_often_as_stated() -> None:
    """A tenth of the moments, eight studies on average."""
    sizes = [arrival.studies for arrival in of_days(ArrivalSettings(), 30)]
    batches = [size for size in sizes if size > 1]
    assert len(batches) / len(sizes) == pytest.approx(0.1, abs=0.01)
    assert np.mean(batches) == pytest.approx(8.0, abs=0.3)


def test_the_same_generator_state_gives_the_same_arrivals() -> None:
    """So a run can be taken up again."""
    settings = ArrivalSettings()
    one, two = (list(islice(arrivals(settings, START, np.random.default_rng(3)), 50)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_hour": 0.0},
        {"daily": (1.0,) * 23},
        {"daily": (0.0,) * 24},
        {"batch_share": 1.5},
        {"batch_mean": 1.0},
        {"per_hour": float("nan")},
    ],
    ids=str,
)
def test_settings_that_no_traffic_can_have_are_refused(wrong: dict[str, float]) -> None:
    """The message names the field."""
    with pytest.raises(BadArrivalSettings, match=next(iter(wrong))):
        ArrivalSettings(**wrong)  # type: ignore[arg-type]
