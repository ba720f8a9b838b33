"""A load on a predictor through the gateway: every answer is counted under the step it came in, none is left out."""

import collections
import threading
import time
from collections.abc import Sequence

import httpx

from chexpert.serving.tensors import HEADER_LENGTH

__all__ = ["Load", "image_request"]


def image_request(image: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a V2 request with one encoded image, in the binary extension."""
    tensor = len(image).to_bytes(4, "little") + image
    head = (
        '{"id":"load","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":'
        + str(len(tensor))
        + "}}]}"
    ).encode()
    return head + tensor, {HEADER_LENGTH: str(len(head)), "content-type": "application/octet-stream"}


class Load:
    """Asks from a few threads, without a pause of its own but `pause_s`, until it is stopped."""

    def __init__(
        self, url: str, host: str, images: Sequence[bytes], *, threads: int = 3, pause_s: float = 0.05
    ) -> None:
        self.step = "before"
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self._requests = [image_request(image) for image in images]
        self._url, self._host, self._pause = f"{url}/v2/models/chexpert/infer", host, pause_s
        self._going = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(threads)]

    def start(self) -> "Load":
        """Begin."""
        self._going.set()
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End; waits for the answers under way."""
        self._going.clear()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=30)

    @property
    def total(self) -> int:
        """Answers so far."""
        with self._lock:
            return sum(sum(counter.values()) for counter in self.counts.values())

    @property
    def bad(self) -> dict[str, int]:
        """Outcomes other than an answer by a version."""
        with self._lock:
            found: collections.Counter[str] = collections.Counter()
            for counter in self.counts.values():
                found.update({outcome: n for outcome, n in counter.items() if not outcome.startswith("v")})
        return dict(found)

    def share(self, step: str, version: str) -> float:
        """Percent of a step's answers that a version gave."""
        with self._lock:
            counter = self.counts[step]
            total = sum(n for outcome, n in counter.items() if outcome.startswith("v"))
            return 100.0 * counter[version] / total if total else 0.0

    def _ask(self, offset: int) -> None:
        n = offset
        with httpx.Client(timeout=20.0, trust_env=False, headers={"host": self._host}) as client:
            while self._going.is_set():
                body, headers = self._requests[n % len(self._requests)]
                n += 1
                step = self.step
                try:
                    answer = client.post(self._url, content=body, headers=headers)
                    version = answer.headers.get("x-model-version", "")
                    outcome = version if answer.status_code == 200 and version else f"HTTP {answer.status_code}"
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                with self._lock:
                    self.counts[step][outcome] += 1
                time.sleep(self._pause)
