"""One loaded version: its verified bundle, its session, and the bounded executor that does its work."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle import sessions
from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.store import Bundle, fetch
from chexpert.domain.observations import Observation
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.serving.batching import Batcher, batch_limit
from chexpert.serving.errors import QueueFull
from chexpert.serving.isvc import ServedVersion
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.settings import ServeSettings

__all__ = ["OpenSession", "Scorer", "Version", "load", "open_bundle"]

_KINDS: Final = frozenset({".onnx", ".parquet", ".json"})
"""What a served bundle may hold. Whatever else its card signs, a pickle above all, nobody here would read."""


class Scorer(Protocol):
    """What answers pixels; `bundle.sessions.Session` is one."""

    @property
    def lanes(self) -> int:
        """Runs at once that keep all threads busy; 1: a run uses them all by itself."""

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (n, 14) of uint8 pixels (n, 1, size, size); called by several threads."""

    def warm(self) -> None:
        """Answer once, and raise if the answer makes no sense."""


OpenSession = Callable[[str, Bundle, int], Scorer]
"""Version name, verified bundle, threads of one run. The seam at which tests put a slow or failing model."""


def open_bundle(version: str, bundle: Bundle, threads: int) -> Scorer:
    """The product's own `OpenSession`: the bundle's graph as it is."""
    del version
    return sessions.open_session(bundle, threads=threads)


@dataclass(frozen=True, slots=True)
class Version:
    """A version that may answer."""

    served: ServedVersion
    spec: PreprocessSpec
    operating_points: Mapping[Observation, float]
    batcher: Batcher
    executor: ThreadPoolExecutor
    """Its workers: they decode while the batcher's threads run the graph."""
    free: BoundedSemaphore
    """Places left among those waiting or worked on."""
    queue: int
    runtime: str
    """What runs its graph, as its card says: onnxruntime or openvino."""

    @property
    def name(self) -> str:
        """Version name such as v12."""
        return self.served.name

    def admit(self) -> None:
        """Take a place; QueueFull if there is none."""
        if not self.free.acquire(blocking=False):
            raise QueueFull(self.name, self.queue)

    def release(self) -> None:
        """Give the place back."""
        self.free.release()

    def retire(self, *, wait: bool = False) -> None:
        """Take no more work; what was taken is finished, by a thread that looks after it unless this one is to wait."""
        if wait:
            self.executor.shutdown()
            self.batcher.close()
        else:
            Thread(target=self.retire, kwargs={"wait": True}, name=f"retiring-{self.name}").start()


def load(served: ServedVersion, settings: ServeSettings, open_session: OpenSession, metrics: ServerMetrics) -> Version:
    """Fetch, verify, open and warm. Slow: not for the event loop.

    Raises:
        BrokenBundle: A digest, a file, or the answer to the first image is not what it must be.
        BundleUnavailable: The store did not answer.
    """
    bundle = fetch(_resolve(served.storage_uri, settings.objects), served.digest, settings.cache)
    if others := sorted(name for name in bundle.card.files if Path(name).suffix not in _KINDS):
        raise BrokenBundle(
            served.storage_uri, f"it holds {', '.join(others)}, where {', '.join(sorted(_KINDS))} may be"
        )
    scorer = open_session(served.name, bundle, settings.threads)
    max_batch = settings.max_batch
    if scorer.lanes == 1:  # with several no two requests share a run
        max_batch = batch_limit(served.name, scorer.run, bundle.card.preprocess.size, max_batch)
    scorer.warm()  # last: all runs after it are callers'
    return Version(
        served=served,
        spec=bundle.card.preprocess,
        operating_points=bundle.card.thresholds,
        batcher=Batcher(scorer.run, max_batch, metrics.batches(served.name), scorer.lanes, f"run-{served.name}"),
        executor=ThreadPoolExecutor(settings.workers or available_cpus(), thread_name_prefix=f"decode-{served.name}"),
        free=BoundedSemaphore(settings.queue),
        queue=settings.queue,
        runtime=bundle.card.variant.runtime,
    )


def _resolve(uri: str, objects: str) -> str:
    """A URI without scheme or leading slash lies under the objects root."""
    if "://" in uri or Path(uri).is_absolute() or not objects:
        return uri
    return f"{objects.rstrip('/')}/{uri}"
