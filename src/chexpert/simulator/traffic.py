"""Online traffic: studies of a source, sent to the site when they arrive, each kept in the ledger with its truth."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np

from chexpert.domain.errors import InputError
from chexpert.domain.studies import Tier
from chexpert.simulator.arrivals import ArrivalSettings, arrivals
from chexpert.simulator.ledger import Ledger, Sent
from chexpert.simulator.samples import Source
from chexpert.simulator.site import Site, SiteRefused

__all__ = ["Traffic", "TrafficReport", "TrafficSettings"]


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """How much is sent, and when."""

    studies: int = 100
    """Studies of the whole run; those that the ledger holds already are not sent again."""
    start: datetime = datetime(2026, 3, 2, 8, tzinfo=UTC)
    """Simulated time of the beginning: a Monday morning."""
    arrivals: ArrivalSettings = field(default_factory=ArrivalSettings)
    acceleration: float | None = None
    """Simulated seconds per real second; None: do not wait at all."""
    tiers: Mapping[Tier, float] = field(
        default_factory=lambda: MappingProxyType({Tier.STAT: 0.05, Tier.URGENT: 0.15, Tier.ROUTINE: 0.8}),
    )
    """Shares of what orders ask for, whatever the image shows."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.acceleration is not None and not self.acceleration > 0.0:
            msg = f"acceleration is {self.acceleration}: give a factor above 0, or None for no waiting"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """What became of a run's studies; sent + already_sent + refused is all of them."""

    sent: tuple[Sent, ...]
    already_sent: int
    refused: tuple[str, ...]
    """One line per study that the site called wrong."""


class Traffic:
    """One run, resumable: a study is in the ledger, or sent again under the same accession with the same bytes."""

    def __init__(
        self,
        source: Source,
        site: Site,
        ledger: Ledger,
        settings: TrafficSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._site = site
        self._ledger = ledger
        self._settings = settings
        self._sleep = sleep
        self._now = now

    def send(self, *, progress: Callable[[Sent], None] | None = None) -> TrafficReport:
        """Send what is not sent yet, in the order of arrival.

        Raises:
            SiteUnavailable: The site stayed away longer than the retries last; call again to go on.
        """
        already = self._ledger.numbers()
        sent: list[Sent] = []
        refused: list[str] = []
        began = self._now()
        first: datetime | None = None
        for number, arrived, tier in self._plan():
            if number in already:
                continue
            first = first or arrived  # a run taken up again does not wait for what was sent before
            self._wait(began, (arrived - first).total_seconds())
            try:
                kept = self._send(number, arrived, tier)
            except SiteRefused as error:
                refused.append(f"study {number}: {error}")
                continue
            sent.append(kept)
            if progress is not None:
                progress(kept)
        return TrafficReport(tuple(sent), len(already & set(range(self._settings.studies))), tuple(refused))

    def _plan(self) -> Iterator[tuple[int, datetime, Tier]]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, 1])
        tiers, shares = list(settings.tiers), np.asarray(list(settings.tiers.values()))
        number = 0
        for arrival in arrivals(settings.arrivals, settings.start, rng):
            for _ in range(arrival.studies):
                if number == settings.studies:
                    return
                yield number, arrival.time, tiers[int(rng.choice(len(tiers), p=shares / shares.sum()))]
                number += 1

    def _wait(self, began: float, simulated_s: float) -> None:
        if self._settings.acceleration is not None:
            due = began + simulated_s / self._settings.acceleration
            self._sleep(max(0.0, due - self._now()))

    def _send(self, number: int, arrived: datetime, tier: Tier) -> Sent:
        sample = replace(self._source.sample(number), tier=tier)
        accession = f"{self._ledger.run}-{number:06d}"
        receipt = self._site.send([sample], accession)
        sent = Sent(
            number=number,
            time=arrived,
            study=receipt.study,
            accession=accession,
            images=receipt.images,
            names=(sample.name,),
            device=sample.device,
            source=sample.source,
            truth=sample.truth,
        )
        self._ledger.record(sent)
        return sent
