"""The kserve Model that stands for all versions: chooses one, has it work, logs and counts how it ended."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import InferenceRecord, Outcome
from chexpert.serving import wire
from chexpert.serving.client import MODEL
from chexpert.serving.errors import NotReady, QueueFull, RequestTimedOut
from chexpert.serving.exchange import Exchange
from chexpert.serving.fleet import Fleet
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.reading import Asked
from chexpert.serving.scoring import Query, Reply, Work, digests, outcome_of, start, undigested
from chexpert.serving.settings import ServeSettings
from chexpert.serving.versions import Version

__all__ = ["VERSION_HEADER", "FleetModel"]

VERSION_HEADER: Final = "x-model-version"
_DTYPES: Final[Mapping[str, str]] = MappingProxyType({"FP32": "<f4", "FP16": "<f2", "BYTES": "O"})

Record = Callable[[Sequence[InferenceRecord]], None]


class FleetModel(Model):
    """Answers V2 requests with the fleet's versions."""

    def __init__(self, settings: ServeSettings, fleet: Fleet, metrics: ServerMetrics, record: Record) -> None:
        super().__init__(MODEL, return_response_headers=True)
        self._settings = settings
        self._fleet = fleet
        self._metrics = metrics
        self._record = record

    async def healthy(self) -> bool:
        """Whether a version can answer; a stopping server still answers what reaches it."""
        return bool(self._fleet.state.versions)

    def load(self) -> bool:
        """The SDK calls this for a model that is not ready; only the served file loads anything here."""
        raise NotReady(self._fleet.unready)

    def get_input_types(self, version: str = "") -> list[dict[str, Any]]:
        """Inputs of one version, the stable if empty; NotReady without any."""
        size = self._fleet.named(version).spec.size
        return [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, size, size]},
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Outputs of every version."""
        return [
            {"name": "scores", "datatype": "FP32", "shape": [-1, len(OBSERVATIONS)]},
            {"name": "priority", "datatype": "FP32", "shape": [-1]},
            {"name": "flag", "datatype": "BYTES", "shape": [-1]},
        ]

    async def answer(self, asked: Asked, exchange: Exchange) -> InferResponse:
        """Answer one request; `exchange` learns its version, and its stages.

        Not the SDK's `predict`, which tells its caller nothing of a request that failed.

        Raises:
            InputError: The caller's fault.
            RetryableError: No model, a full queue, or no answer in time.
            Exception: Whatever the version itself raised, or FaultyAnswer.
        """
        query = asked.query
        version = self._fleet.named(query.version) if query.version else self._fleet.choose()
        exchange.version = version.name
        with self._metrics.in_flight(version.name):
            # Since the version was chosen nothing was awaited, so that it cannot have been retired before this line.
            done = await self._work(version, query, exchange)
        if done.reply is None:
            raise done.error or AssertionError
        return _response(asked.request, done.reply)

    async def _work(self, version: Version, query: Query, exchange: Exchange) -> Work:
        """Have the version work, for `timeout_s` at most; counted and logged by how that ended."""
        begun, timeout_s = perf_counter(), self._settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                done = await _done(version, query, exchange)
        except QueueFull as error:
            done = Work(undigested(query), None, error)
        except TimeoutError:
            self._unheard(version, query, Outcome.TIMEOUT, begun)
            raise RequestTimedOut(version.name, timeout_s) from None
        except asyncio.CancelledError:
            # The caller hung up, or its own deadline passed: the version is judged by `timeout_s`, not by that.
            had_its_time = perf_counter() - begun >= timeout_s
            self._unheard(version, query, Outcome.TIMEOUT if had_its_time else Outcome.REJECTED, begun)
            raise
        self._ended(version, query, done, begun)
        return done

    def _ended(self, version: Version, query: Query, done: Work, begun: float) -> None:
        seconds, outcome = perf_counter() - begun, outcome_of(done.error)
        is_answer = outcome is not Outcome.REJECTED and not isinstance(done.error, QueueFull)
        self._metrics.ended(version.name, outcome, shadow=query.shadow, seconds=seconds if is_answer else None)
        self._record(_records(version.name, query, done, outcome, seconds * 1000.0))

    def _unheard(self, version: Version, query: Query, outcome: Outcome, begun: float) -> None:
        """As `_ended`, of a request whose work goes on unheard. Its images are hashed elsewhere than on the loop."""
        seconds = perf_counter() - begun
        is_answer = outcome is Outcome.TIMEOUT
        self._metrics.ended(version.name, outcome, shadow=query.shadow, seconds=seconds if is_answer else None)

        def record() -> None:
            done = Work(digests(query), None, None)
            self._record(_records(version.name, query, done, outcome, seconds * 1000.0))

        asyncio.get_running_loop().run_in_executor(None, record)


async def _done(version: Version, query: Query, exchange: Exchange) -> Work:
    """The work of a version, which is given up where nobody awaits it to its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Work] = loop.create_future()

    def settle(work: Work) -> None:
        if not done.done():
            done.set_result(work)

    def on_done(work: Work) -> None:
        loop.call_soon_threadsafe(settle, work)

    job = start(version, query, exchange, on_done)
    try:
        return await done
    finally:
        job.give_up()


def _records(version: str, query: Query, done: Work, outcome: Outcome, latency_ms: float) -> list[InferenceRecord]:
    now, reply = datetime.now(UTC), done.reply
    return [
        InferenceRecord(
            time=now,
            request=query.request,
            image_sha256=facts.sha256,
            version=version,
            shadow=query.shadow,
            latency_ms=latency_ms,
            outcome=outcome,
            scores=None if reply is None else tuple(reply.scores[position].tolist()),
            priority=None if reply is None else reply.priorities[position],
            flag="" if reply is None else reply.flags[position],
            statistics=facts.statistics,
            view=str(facts.view),
        )
        for position, facts in enumerate(done.facts)
    ]


def _response(request: InferRequest, reply: Reply) -> InferResponse:
    asked = wire.requested(request)
    values: dict[str, NDArray[Any]] = {
        "scores": reply.scores,
        "priority": np.array(reply.priorities, dtype=np.float32),
        "flag": np.array([flag.encode() for flag in reply.flags], dtype=np.object_),
    }
    return InferResponse(
        response_id=reply.request,
        model_name=MODEL,
        model_version=reply.version,
        infer_outputs=[
            InferOutput(
                name=name,
                datatype=datatype,
                shape=list(values[name].shape),
                data=values[name].astype(_DTYPES[datatype], copy=False),
            )
            for name, datatype in asked.items()
        ],
    )
