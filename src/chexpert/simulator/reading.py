"""Reading sessions: simulated readers take studies from the top of the site's worklist, answer and sign them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np

from chexpert.domain.digests import of_value
from chexpert.domain.observations import Observation
from chexpert.domain.studies import StudyState
from chexpert.simulator.ledger import Ledger, Sent
from chexpert.simulator.readers import ReaderProfile, answers
from chexpert.simulator.site import ENTRIES_MAX, Site, SiteRefused

__all__ = ["Reading", "ReadingSession"]

PAGES = (50, ENTRIES_MAX)
"""Entries asked for: first few, then as many as the site gives at once, in case studies of others stand before."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One study read to the end."""

    sent: Sent
    reader: str
    answers: Mapping[Observation, str]


class ReadingSession:
    """Some readers at one site, taking turns. Studies that the ledger does not know are left to people."""

    def __init__(self, site: Site, ledger: Ledger, readers: Sequence[ReaderProfile], *, seed: int = 0) -> None:
        self._site = site
        self._ledger = ledger
        self._readers = tuple(readers)
        self._seed = seed
        self._known: dict[str, Sent] = {}
        self._numbers: set[int] = set()
        self._read = 0
        self._given_up: set[str] = set()

    def read(self, studies: int, *, progress: Callable[[Reading], None] | None = None) -> list[Reading]:
        """Read up to `studies` from the top of the list; fewer where no more known ones are listed unread."""
        readings: list[Reading] = []
        while len(readings) < studies and (sent := self._next()) is not None:
            reading = self._finish(sent, self._readers[self._read % len(self._readers)])
            if reading is None:
                continue
            self._read += 1
            readings.append(reading)
            if progress is not None:
                progress(reading)
        return readings

    def _next(self) -> Sent | None:
        self._learn()
        unread = (StudyState.UNREAD, StudyState.OPEN)
        for limit in PAGES:
            entries = self._site.worklist(limit)
            for entry in entries:
                if entry.study in self._known and entry.study not in self._given_up and entry.state in unread:
                    return self._known[entry.study]
            if len(entries) < limit:
                break
        return None

    def _learn(self) -> None:
        for sent in self._ledger.read(known=self._numbers):
            self._known[sent.study] = sent
            self._numbers.add(sent.number)

    def _finish(self, sent: Sent, reader: ReaderProfile) -> Reading | None:
        # One generator per study: what is said of it does not depend on when it is read.
        digest = int(of_value([self._seed, reader.name, sent.accession])[:16], 16)
        said = answers(sent.truth, reader, np.random.default_rng(digest))
        try:
            self._site.open(sent.study, reader.name, reader.role)
            if said:
                self._site.answer(sent.study, reader.name, reader.role, said)
            self._site.sign(sent.study, reader.name, reader.role)
        except SiteRefused as error:
            if error.status not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                raise
            self._given_up.add(sent.study)  # a person has it open, or has signed it: theirs
            return None
        return Reading(sent, reader.name, said)
