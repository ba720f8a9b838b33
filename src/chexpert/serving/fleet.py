"""The versions that answer now, as one InferenceService file asks for them, and the following of that file.

A change is taken whole or not at all: the old versions answer until every new bundle is verified, opened and warmed.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import ChexpertError
from chexpert.serving import isvc
from chexpert.serving.client import MODEL
from chexpert.serving.errors import NotReady, UnknownVersion
from chexpert.serving.isvc import ServedFile, ServedVersion
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.settings import ServeSettings
from chexpert.serving.split import Split
from chexpert.serving.versions import OpenSession, Version, load

__all__ = ["Fleet", "State"]

_LOGGER: Final = logging.getLogger(__name__)
_SETTLE_S: Final = 0.05
"""A file that differs again after this is still being written."""
_NO_MODEL: Final = "no model yet: the served file has an empty predictor"


@dataclass(frozen=True, slots=True)
class State:
    """What is served; replaced as a whole."""

    versions: Mapping[str, Version] = field(default_factory=dict)
    """By name, the stable first."""
    weights: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    """Why the file is not followed at the moment; empty: it is."""

    @property
    def stable(self) -> Version | None:
        """The stable version; None: nothing is served."""
        return next(iter(self.versions.values()), None)


class Fleet:
    """Holds the state. All methods but `follow` and `serve_only` are for the event loop's thread and never wait."""

    def __init__(self, settings: ServeSettings, open_session: OpenSession, metrics: ServerMetrics) -> None:
        """Nothing is loaded yet."""
        self._settings = settings
        self._open_session = open_session
        self._metrics = metrics
        self._state = State(problem="starting: the served file was not read yet")
        self._split = Split({})
        self.draining = False

    @property
    def state(self) -> State:
        """What is served now."""
        return self._state

    @property
    def unready(self) -> str:
        """Why no request can be answered; empty: they can."""
        if self.draining:
            return "the server is stopping"
        return "" if self._state.versions else self._state.problem or _NO_MODEL

    def named(self, name: str) -> Version:
        """The version called `name`, or the stable if empty. NotReady with none at all, UnknownVersion without it."""
        stable = self._state.stable
        if stable is None:
            raise NotReady(self.unready)
        if not name:
            return stable
        if name not in self._state.versions:
            raise UnknownVersion(name, tuple(self._state.versions))
        return self._state.versions[name]

    def choose(self) -> Version:
        """The version of the next request, by the weights; NotReady with none at all."""
        if self._state.stable is None:
            raise NotReady(self.unready)
        chosen, self._split = self._split.choose()
        return self._state.versions[chosen]

    async def serve_only(self, served: ServedVersion | None) -> None:
        """Serve one version for good, or none; raises what `versions.load` raises."""
        await self._take(ServedFile(MODEL, served))

    async def follow(self, path: Path) -> None:
        """Serve what the file says, and go on looking at it until cancelled."""
        loop = asyncio.get_running_loop()
        seen, retry_at = "", 0.0
        while True:
            digest = await asyncio.to_thread(_digest, path)
            if digest != seen or (self._state.problem and loop.time() >= retry_at):
                await asyncio.sleep(_SETTLE_S)
                if await asyncio.to_thread(_digest, path) == digest:
                    await self._try(path)
                    seen, retry_at = digest, loop.time() + self._settings.retry_s
            await asyncio.sleep(self._settings.poll_s)

    def retire(self) -> None:
        """Finish what was taken, and end every version's threads. Waits."""
        for version in self._state.versions.values():
            version.retire(wait=True)

    async def _try(self, path: Path) -> None:
        try:
            await self._take(await asyncio.to_thread(isvc.read, path))
        except ChexpertError as error:
            self._stay(str(error))
        except Exception as error:
            # A bundle may break its libraries in ways we cannot list; whatever it is, the old versions answer on.
            _LOGGER.exception("unforeseen while following %s", path)
            self._stay(f"{type(error).__name__}: {error}")

    def _stay(self, problem: str) -> None:
        if problem != self._state.problem:
            _LOGGER.error("%s; still serving %s", problem, dict(self._state.weights) or "nothing")
        self._state = replace(self._state, problem=problem)
        self._metrics.serving(self._state.weights, following=False)

    async def _take(self, wanted: ServedFile) -> None:
        old = self._state.versions
        fresh: list[Version] = []
        versions: dict[str, Version] = {}
        try:
            for served in wanted.versions:
                known = old.get(served.name)
                if known is None or _what(known.served) != _what(served):
                    known = await asyncio.to_thread(load, served, self._settings, self._open_session, self._metrics)
                    fresh.append(known)
                versions[served.name] = known
        except BaseException:
            for version in fresh:
                version.retire()
            raise
        # No await from here on: a request sees the old state or the new one.
        weights = wanted.weights
        self._state = State(versions=versions, weights=weights)
        self._split = Split(weights)
        self._metrics.serving(weights, following=True)
        kept = {id(version) for version in versions.values()}
        for version in old.values():
            if id(version) not in kept:
                version.retire()
        _LOGGER.info("serving %s", weights or "nothing: no model yet")


def _what(served: ServedVersion) -> tuple[str, str, str]:
    """What a version is, apart from its share."""
    return served.name, served.storage_uri, served.digest


def _digest(path: Path) -> str:
    try:
        return of_bytes(path.read_bytes())
    except OSError as error:
        return f"unreadable: {error}"
