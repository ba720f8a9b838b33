"""From one parsed message to what it asks; a big one in a thread, so that others are answered meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kserve import InferRequest

from chexpert.serving import wire
from chexpert.serving.exchange import Exchange
from chexpert.serving.scoring import Query

__all__ = ["Asked", "Reader"]

_ON_LOOP_BYTES: Final = 2**20
"""JSON of this size costs some 6 ms (15 MB: 90 ms); a thread would cost each small request more than it saves."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, in the SDK's form and in ours."""

    request: InferRequest
    query: Query


class Reader:
    """Reads requests of both protocols."""

    def __init__(self, max_images: int) -> None:
        """`max_images`: images or pixel arrays in one request."""
        self._max_images = max_images
        # Pixels in JSON take 12 times their bytes while they are parsed: of such requests one at a time.
        self._big = asyncio.Lock()

    async def read(self, parse: Callable[[], InferRequest], exchange: Exchange) -> Asked:
        """What is asked; `exchange` learns of it.

        Args:
            parse: Makes the SDK's request of the bytes that came; may be called in another thread.
            exchange: Its `bytes_in` says whether it is.

        Raises:
            InputError: The caller's fault.
        """
        if exchange.bytes_in <= _ON_LOOP_BYTES:
            asked = self._read(parse, exchange.request)
        else:
            async with self._big:
                asked = await asyncio.to_thread(self._read, parse, exchange.request)
        query = asked.query
        exchange.request, exchange.shadow, exchange.images = query.request, query.shadow, query.count
        return asked

    def _read(self, parse: Callable[[], InferRequest], fallback_id: str) -> Asked:
        request = parse()
        version = request.model_version or ""
        query = wire.to_query(request, version=version, fallback_id=fallback_id, max_images=self._max_images)
        return Asked(request, query)
