"""Asks the predictor for every image that has no answer, a bounded number at a time."""

import logging
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from chexpert.domain.errors import ChexpertError
from chexpert.domain.triage import TriageRule
from chexpert.serving.client import PredictorFault, PredictorRefused, PredictorUnavailable, V2Client
from chexpert.triage import scoring
from chexpert.triage.clock import Clock
from chexpert.triage.database import Database
from chexpert.triage.images import ImageStore
from chexpert.triage.marks import MarkKeeper
from chexpert.triage.pulse import Outcome, Pulse
from chexpert.triage.settings import WorkerSettings

__all__ = ["Asker"]

_LOG: Final = logging.getLogger(__name__)

_FOR_GOOD: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    },
)
"""Refusals that are about the image. Others (404, 401, 429) are about the address: they pass."""

_GATEWAY: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
"""Said by what stands before the predictor: it is down."""


class Asker:
    """Holds the connections to one predictor, and remembers whether it is down."""

    def __init__(
        self,
        database: Database,
        objects: str,
        settings: WorkerSettings,
        rule: TriageRule,
        clock: Clock,
        *,
        pulse: Pulse,
    ) -> None:
        self._database = database
        self._store = ImageStore(objects)
        self._settings = settings
        self._rule = rule
        self._clock = clock
        self._pulse = pulse
        self._marks = MarkKeeper(database, objects)
        self._client = V2Client(settings.predictor, timeout_s=settings.timeout_s)
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="ask")
        self._stopped = False
        self.down = False
        """Whether the last request found nobody. Then the next turn tries a single image."""

    def stop(self) -> None:
        """Begin nothing more; requests in flight end."""
        self._stopped = True

    def close(self) -> None:
        """Wait for requests in flight, then give the connections back."""
        self._pool.shutdown()
        self._client.close()

    def ask_due(self) -> int:
        """Ask for all images whose turn it is; number of those that have an answer, be it a refusal."""
        answered = 0
        running: dict[Future[bool], int] = {}
        probing, self.down = self.down, False
        while not self._stopped:
            self._pulse.beat(threading.current_thread().name)
            free = (1 if probing else self._settings.parallel) - len(running)
            if free > 0 and not self.down:
                with self._database.read() as session:
                    due = scoring.pending(session, self._clock(), free, exclude=list(running.values()))
                running.update({self._pool.submit(self._ask, one): one.image for one in due})
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                answered += future.result()
                probing = False
                self._pulse.predictor_down = self.down
        return answered

    def _ask(self, one: scoring.Pending) -> bool:
        try:
            (answer,) = self._client.score_images([self._store.read(one.sha256)])
            prediction = scoring.check(answer)
        except PredictorUnavailable as error:
            self._note_down(error)
            return False
        except PredictorRefused as error:
            if error.status not in _FOR_GOOD:
                self._note_down(error)
                return False
            with self._database.write() as session:
                scoring.refuse(session, one.image, error.message)
            self._pulse.count(Outcome.REFUSED)
            return True
        except (ChexpertError, OSError) as error:
            if isinstance(error, PredictorFault) and error.status in _GATEWAY:
                self._note_down(error)
            else:
                self._postpone(one, error)
            return False
        now = self._clock()
        with self._database.write() as session:
            scoring.store(session, one.image, prediction, self._rule, now, latency_ms=answer.latency_ms)
        self._pulse.count(Outcome.ANSWERED)
        self._marks.learn(self._client, prediction.version, now)
        return True

    def _note_down(self, error: ChexpertError) -> None:
        if not self.down:
            _LOG.warning("the predictor is down, studies wait in order of arrival: %s", error)
        self.down = True
        self._pulse.count(Outcome.FAILED)

    def _postpone(self, one: scoring.Pending, error: Exception) -> None:
        """Wait twice as long each time: the split may draw a sound version, or the broken one is returned."""
        self._pulse.count(Outcome.FAILED)
        seconds = min(self._settings.backoff_s * 2.0 ** min(one.attempts, 16), self._settings.retry_max_s)
        _LOG.warning("image %s, try %d: %s", one.sha256, one.attempts + 1, error)
        with self._database.write() as session:
            scoring.postpone(session, one.image, str(error), timedelta(seconds=seconds), self._clock())
