"""V2 traffic on the production predictor, in the background, every request accounted for."""

import threading
from collections.abc import Sequence

from chexpert.local.demo.plan import Plan
from chexpert.simulator.devices import Shift
from chexpert.simulator.load import LoadImage, LoadSettings, images_of, run_load
from chexpert.simulator.load_report import LoadReport
from chexpert.simulator.sources import FolderSource, PhantomSource, Source

__all__ = ["BackgroundLoad", "load_images", "source"]


class BackgroundLoad:
    """A load that runs until `stop`; `replace` changes the images without a gap in the account."""

    def __init__(self, base_url: str, images: Sequence[LoadImage], *, per_s: float) -> None:
        self._base_url = base_url
        self._images = list(images)
        self._per_s = per_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reports: list[LoadReport] = []

    def start(self) -> None:
        """Begin sending."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="v2-traffic", daemon=True)
        self._thread.start()

    def replace(self, images: Sequence[LoadImage], *, per_s: float) -> None:
        """Send other images, or at another pace, from now on."""
        self.stop()
        self._images = list(images)
        self._per_s = per_s
        self.start()

    def stop(self) -> None:
        """End sending; requests in flight are finished."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def report(self) -> LoadReport:
        """Everything sent so far."""
        rows = tuple(row for report in self._reports for row in report.rows)
        return LoadReport(rows, sum(report.wall_s for report in self._reports), concurrency=4)

    def _run(self) -> None:
        settings = LoadSettings(concurrency=4, requests=None, duration_s=3600.0, per_s=self._per_s)
        self._reports.append(run_load(self._base_url, self._images, settings, stop=self._stop))


def source(plan: Plan, turn: int, *, shifted: bool = False) -> Source:
    """Where online images come from: the traffic folder, or phantoms; each turn others."""
    shift = Shift() if shifted else None
    if plan.traffic is not None:
        return FolderSource(plan.traffic, seed=turn, shift=shift)
    return PhantomSource(seed=100 + turn, shift=shift)


def load_images(plan: Plan, turn: int, *, shifted: bool = False) -> list[LoadImage]:
    """The pool that V2 traffic goes round in."""
    return images_of(source(plan, 50 + turn, shifted=shifted), plan.sizes.pool)
