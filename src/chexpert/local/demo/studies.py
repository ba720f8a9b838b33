"""The site's part of the story: studies arrive, the worker scores them, simulated readers answer and sign."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from chexpert.data import objects
from chexpert.data.sources import read
from chexpert.domain.events import FEEDBACK_PREFIX
from chexpert.domain.places import Places
from chexpert.domain.studies import Tier
from chexpert.local.demo.scene import Scene
from chexpert.local.demo.traffic import source
from chexpert.simulator.ledger import Ledger, Sent
from chexpert.simulator.readers import ReaderProfile
from chexpert.simulator.reading import ReadingSession
from chexpert.simulator.samples import Sample
from chexpert.simulator.site import Site
from chexpert.simulator.traffic import Traffic, TrafficSettings

__all__ = ["Studies"]

SCORED_S = 60.0
"""How long the worker may take for all studies."""
EXPORTED_S = 20.0
"""How long signed answers may take to become label events."""
READERS = (ReaderProfile("Reader 1"), ReaderProfile("Reader 2"))


class Studies:
    """Studies of one demo turn."""

    def __init__(self, scene: Scene, places: Places) -> None:
        self._scene = scene
        self._plan, self._record = scene.plan, scene.record
        self._places = places

    def arrive_and_are_read(self, *, predicted: bool) -> None:
        """Send, wait for scores, read some from the top, wait for their label events."""
        sizes = self._plan.sizes
        ledger = Ledger(self._places.objects, f"demo-{self._scene.turn}")
        with Site(self._places.site) as site:
            traffic = Traffic(
                source(self._plan, self._scene.turn),
                site,
                ledger,
                TrafficSettings(studies=sizes.studies, seed=self._scene.turn),
            )
            with self._scene.display.bar("studies arrive", sizes.studies) as bar:
                report = traffic.send(progress=lambda sent: bar(sent.number + 1))
            self._send_one_of_the_evaluation_split(site, ledger)
            listed = site.worklist(1000)
            missing = {sent.study for sent in report.sent} - {entry.study for entry in listed}
            seen = f"{len(report.sent)} sent, {len(report.sent) - len(missing)} of them on the list"
            self._record.say("Site", "studies sent and listed", f"{seen}, with {len(listed)} unread in all")
            if missing:
                self._record.broken.append(f"{len(missing)} studies are missing from the worklist")
            if predicted:
                self._wait_for_scores(site)
            flagged = [entry for entry in site.worklist(1000) if entry.flag]
            self._record.say("Site", "flagged", f"{len(flagged)} of {len(listed)}", self._places.site)
            readers = ReadingSession(site, ledger, READERS, seed=self._scene.turn)
            with self._scene.display.bar("readers answer", sizes.read) as bar:
                readings = readers.read(sizes.read, progress=_counting(bar))
            answers = sum(len(reading.answers) for reading in readings)
            self._record.say(
                "Site", "read and signed", f"{len(readings)} studies, {answers} answers by {len(READERS)} readers"
            )
        self._wait_for_events(answers)

    def _send_one_of_the_evaluation_split(self, site: Site, ledger: Ledger) -> None:
        """An image that the model is measured on comes in as a study: it must not become a training row."""
        manifest, _ = read(self._plan.data)
        row = int(manifest.rows("valid")[self._scene.turn])
        labels = tuple(None if value != value else int(value) for value in manifest.labels()[row])  # noqa: PLR0124
        sample = Sample(
            name=str(manifest.column("image_path")[row]),
            data=objects.read_bytes(str(manifest.column("image_path")[row])),
            truth=labels,
            source="evaluation split",
            tier=Tier.STAT,  # at the top of the list, so that it is read in any case
        )
        number = self._plan.sizes.studies
        accession = f"{ledger.run}-{number:06d}"
        receipt = site.send([sample], accession)
        ledger.record(
            Sent(
                number=number,
                time=datetime.now(UTC),
                study=receipt.study,
                accession=accession,
                images=receipt.images,
                names=(sample.name,),
                device=sample.device,
                source=sample.source,
                truth=sample.truth,
            ),
        )

    def _wait_for_scores(self, site: Site) -> None:
        deadline = time.monotonic() + SCORED_S
        while time.monotonic() < deadline:
            waiting = [entry for entry in site.worklist(1000) if entry.priority is None]
            if not waiting:
                return
            time.sleep(0.3)
        self._record.say("Site", "not scored in time", f"{len(waiting)} studies, listed in order of arrival")

    def _wait_for_events(self, answers: int) -> None:
        folder = objects.child(self._places.objects, FEEDBACK_PREFIX)
        deadline = time.monotonic() + EXPORTED_S
        while answers and not objects.find(folder, ".parquet") and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1.0)


def _counting(bar: Callable[[int], None]) -> Callable[[object], None]:
    done = 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        bar(done)

    return count
