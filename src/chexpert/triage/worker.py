"""The worker: two loops beside each other, one that asks the predictor and one that exports label events.

A predictor that is down costs nothing but time: studies stay listed in order of arrival, and are caught up with.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from chexpert.domain.errors import ChexpertError
from chexpert.domain.triage import TriageRule
from chexpert.triage.asking import Asker
from chexpert.triage.clock import Clock, utc_now
from chexpert.triage.database import Database
from chexpert.triage.exporting import export
from chexpert.triage.pulse import Pulse
from chexpert.triage.settings import WorkerSettings

__all__ = ["Worker"]

_LOG: Final = logging.getLogger(__name__)


class Worker:
    """Scores and exports until told to stop."""

    def __init__(
        self,
        database: Database,
        objects: str,
        settings: WorkerSettings,
        rule: TriageRule | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Nothing is asked yet."""
        self._database = database
        self._objects = objects
        self._settings = settings
        self._stopped = threading.Event()
        self.pulse = Pulse()
        """Whether it goes on, and what it did."""
        self._asker = None
        if settings.predictor:
            self._asker = Asker(database, objects, settings, rule or TriageRule(), clock, pulse=self.pulse)

    def stop(self) -> None:
        """Let requests in flight end, then return from `run`."""
        self._stopped.set()
        if self._asker:
            self._asker.stop()

    def run(self) -> None:
        """Work until `stop`."""
        exporting = threading.Thread(target=self._loop, args=(self._export, lambda: False), name="export")
        exporting.start()
        try:
            self._loop(self._ask, lambda: self._asker is not None and self._asker.down)
        finally:
            self.stop()
            exporting.join()
            self.close()

    def turn(self) -> int:
        """Ask for what is due and export what is signed, once; number of images answered plus events written."""
        return self._ask() + self._export()

    def close(self) -> None:
        """Give connections and threads back."""
        if self._asker:
            self._asker.close()

    def _loop(self, work: Callable[[], int], is_down: Callable[[], bool]) -> None:
        """Repeat; pause while there is nothing to do, and longer each time while something is down."""
        pause_s = self._settings.backoff_s
        while not self._stopped.is_set():
            self.pulse.beat(threading.current_thread().name)
            failed = False
            try:
                done = work()
            except (ChexpertError, OSError, SQLAlchemyError):
                _LOG.exception("%s failed; the next turn tries again", threading.current_thread().name)
                done, failed = 0, True
            if failed or is_down():
                self._stopped.wait(pause_s)
                pause_s = min(2 * pause_s, self._settings.backoff_max_s)
                continue
            pause_s = self._settings.backoff_s
            if not done:
                self._stopped.wait(self._settings.poll_s)

    def _ask(self) -> int:
        return self._asker.ask_due() if self._asker else 0

    def _export(self) -> int:
        return export(self._database, self._objects, self._settings.export_rows)
