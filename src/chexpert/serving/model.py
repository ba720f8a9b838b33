"""The kserve Model that stands for all versions: chooses one, has it work, logs and counts how it ended."""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from uuid import uuid4

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import InferenceRecord, Outcome
from chexpert.serving import wire
from chexpert.serving.client import MODEL
from chexpert.serving.errors import NotReady, QueueFull, RequestTimedOut
from chexpert.serving.fleet import Fleet
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.scoring import Query, Reply, Work, digests, outcome_of, work
from chexpert.serving.settings import ServeSettings
from chexpert.serving.versions import Version

__all__ = ["VERSION_HEADER", "FleetModel"]

VERSION_HEADER = "x-model-version"

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

    async def predict(
        self,
        payload: InferRequest,
        headers: Mapping[str, str] | None = None,
        response_headers: MutableMapping[str, str] | None = None,
    ) -> InferResponse:
        """Answer one request.

        Raises:
            InputError: The caller's fault.
            RetryableError: No model, a full queue, or no answer in time.
            Exception: Whatever the version itself raised, or FaultyAnswer.
        """
        arrived, told = perf_counter(), {} if response_headers is None else response_headers
        try:
            query = wire.to_query(
                payload,
                version=payload.model_version or "",
                fallback_id=(headers or {}).get("x-request-id") or str(uuid4()),
                max_images=self._settings.max_images,
            )
            version = self._fleet.named(query.version) if query.version else self._fleet.choose()
        except Exception as error:
            self._metrics.ended("", outcome_of(error), shadow=False, seconds=perf_counter() - arrived)
            raise
        told[VERSION_HEADER] = version.name
        try:
            done, outcome = await self._work(version, query, arrived)
        except asyncio.CancelledError:  # a gRPC caller whose deadline passed
            self._ended(version, query, Work(digests(query), None, None), Outcome.TIMEOUT, arrived)
            raise
        self._ended(version, query, done, outcome, arrived)
        if done.reply is None:
            raise done.error or AssertionError
        return _response(payload, done.reply)

    def _ended(self, version: Version, query: Query, done: Work, outcome: Outcome, arrived: float) -> None:
        seconds = perf_counter() - arrived
        self._metrics.ended(version.name, outcome, shadow=query.shadow, seconds=seconds)
        self._record(_records(version.name, query, done, outcome, seconds * 1000.0))

    async def _work(self, version: Version, query: Query, arrived: float) -> tuple[Work, Outcome]:
        # Since the version was chosen nothing was awaited, so that it cannot have been retired before this line.
        try:
            future = version.submit(work, version, query, self._metrics, perf_counter())
        except QueueFull as error:
            return Work(await asyncio.to_thread(digests, query), None, error), Outcome.ERROR
        try:
            left = self._settings.timeout_s - (perf_counter() - arrived)
            done = await asyncio.wait_for(asyncio.wrap_future(future), left)
        except TimeoutError:
            late = RequestTimedOut(version.name, self._settings.timeout_s)
            return Work(await asyncio.to_thread(digests, query), None, late), Outcome.TIMEOUT
        return done, outcome_of(done.error)


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
    values = {
        "scores": ("FP32", reply.scores),
        "priority": ("FP32", np.array(reply.priorities, dtype=np.float32)),
        "flag": ("BYTES", np.array([flag.encode() for flag in reply.flags], dtype=np.object_)),
    }
    typed = request.from_grpc and not request.use_binary_outputs
    return InferResponse(
        response_id=reply.request,
        model_name=MODEL,
        model_version=reply.version,
        infer_outputs=[
            InferOutput(
                name=name,
                datatype=values[name][0],
                shape=list(values[name][1].shape),
                data=values[name][1].ravel().tolist() if typed else values[name][1],
            )
            for name in wire.requested(request)
        ],
        from_grpc=request.from_grpc,
        # Not use_binary_outputs: to_grpc sends arrays raw anyway, and trips over them when told to.
    )
