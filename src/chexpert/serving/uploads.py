"""How many bytes of requests one server holds at once, over both protocols: many big bodies are refused, not read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chexpert.serving.errors import RequestTooLarge, UploadsFull

__all__ = ["Take", "Uploads"]

Take = Callable[[int], None]
"""Takes so many bytes more for one request. UploadsFull if others hold them, RequestTooLarge if all were not enough."""


class Uploads:
    """The bytes that requests may hold, and do. For the event loop's thread alone."""

    def __init__(self, limit: int, on_change: Callable[[int], None]) -> None:
        """Nothing is held yet.

        Args:
            limit: Bytes held at once; 0: any number.
            on_change: Told the bytes held, each time they change.
        """
        self._limit = limit
        self._on_change = on_change
        self.held = 0
        """Bytes held now."""

    @contextmanager
    def claim(self) -> Iterator[Take]:
        """What the block takes is given back at its end, however it ends."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if self._limit and taken + size > self._limit:
                raise RequestTooLarge(taken + size, self._limit, "bytes")
            if self._limit and self.held + size > self._limit:
                raise UploadsFull(size, self._limit)
            taken += size
            self._change(size)

        try:
            yield take
        finally:
            self._change(-taken)

    def _change(self, size: int) -> None:
        self.held += size
        self._on_change(self.held)
