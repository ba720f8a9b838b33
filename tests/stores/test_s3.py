"""Objects on a real S3 server: what one process writes the others see at once, whole, and only once."""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

import boto3
import numpy as np
import pytest
from fsspec.core import url_to_fs

from chexpert.bundle import store
from chexpert.bundle.errors import BrokenBundle, BundleUnavailable
from chexpert.data import label_events, objects, shards
from chexpert.data.manifest import Manifest
from chexpert.data.s3 import HouseS3, StoreUnavailable
from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import RetryableError
from chexpert.domain.events import LabelEvent
from chexpert.domain.observations import Observation
from chexpert.domain.records import InferenceRecord, Outcome
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.monitoring import window
from chexpert.pipeline.driver.timeline import NumberTaken, Timeline
from chexpert.serving.inference_log import InferenceLog
from chexpert.serving.settings import LogSettings
from chexpert.testing.bundles import tiny
from chexpert.testing.sites import served
from chexpert.triage.rollouts import Timelines
from chexpert.triage.settings import SiteSettings
from real_stores import S3

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = TimelineEvent(NOON, "production", Stage.CANARY, "v1", "v2", {"v1": 90, "v2": 10})


def _put_by_another_process(uri: str, data: bytes) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=data)


def test_fsspec_finds_ours() -> None:
    """The package says so by an entry point, so that every part of the house and every process has it."""
    (found,) = [one for one in entry_points(group="fsspec.specs") if one.name == "s3"]
    assert found.load() is HouseS3


def _write_half(uri: str) -> None:
    with objects.staged(uri) as file:
        file.write_bytes(b"%d" % (1 // 0))


def test_objects_are_written_read_and_found(s3: str, tmp_path: Path) -> None:
    """As on a folder: the whole object or none, names sorted, nothing where nothing is."""
    assert objects.find(f"{s3}/a", ".json") == []
    assert not objects.exists(f"{s3}/a/1.json")
    for number in (2, 1):
        objects.write_bytes(f"{s3}/a/b/{number}.json", b"%d" % number)
    with pytest.raises(ZeroDivisionError):
        _write_half(f"{s3}/a/3.json")
    assert objects.find(f"{s3}/a", ".json") == [f"{s3}/a/b/1.json", f"{s3}/a/b/2.json"]
    assert objects.read_bytes(f"{s3}/a/b/2.json") == b"2"
    objects.write_bytes(f"{s3}/a/b/2.json", b"two")
    objects.download(f"{s3}/a/b/2.json", tmp_path / "deep" / "two")
    assert (tmp_path / "deep" / "two").read_bytes() == b"two"
    with pytest.raises(FileNotFoundError):
        objects.read_bytes(f"{s3}/a/b/9.json")
    with pytest.raises(FileNotFoundError):
        objects.download(f"{s3}/a/b/9.json", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_no_listing_is_ever_stale(s3: str) -> None:
    """A process that has listed a folder sees what another one writes there afterwards, by every way of looking."""
    objects.write_bytes(f"{s3}/a/1.json", b"1")
    fs, folder = url_to_fs(f"{s3}/a")

    def _seen() -> list[int]:
        two = f"{folder}/2.json"
        listed = (fs.ls(folder, detail=False), fs.glob(f"{folder}/*.json"), fs.find(folder), [two] * fs.exists(two))
        return [len(names) for names in listed]

    assert _seen() == [1, 1, 1, 0]
    _put_by_another_process(f"{s3}/a/2.json", b"2")
    assert _seen() == [2, 2, 2, 1]
    assert objects.find(f"{s3}/a", ".json")[-1] == f"{s3}/a/2.json"


def test_a_bucket_that_is_missing_is_not_made(s3: str) -> None:
    """A wrong address is told, not created; the site is not ready on it."""
    assert objects.is_reachable(f"{s3}/not/yet")
    missing = f"{s3}-missing"
    assert not objects.is_reachable(missing)
    with pytest.raises(FileNotFoundError):
        objects.write_bytes(f"{missing}/a", b"1")
    assert not objects.exists(missing)


def test_a_store_that_is_away_is_worth_another_try(own_s3: S3) -> None:
    """One kind of error for reading, writing and listing, soon: a step ends with 75, a loop waits; then it works."""
    root = own_s3.bucket()
    objects.write_bytes(f"{root}/a", b"1")
    ref = tiny(f"{root}/bundles")
    own_s3.kill()
    for work in (
        lambda: objects.read_bytes(f"{root}/a"),
        lambda: objects.write_bytes(f"{root}/b", b"1"),
        lambda: objects.find(root, ""),
        lambda: objects.exists(f"{root}/a"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            work()
        assert isinstance(caught.value, RetryableError)
        assert isinstance(caught.value, OSError)
    with pytest.raises(BundleUnavailable):
        store.fetch(ref.uri, ref.digest, own_s3.folder / "cache")
    own_s3.start()
    assert objects.read_bytes(f"{root}/a") == b"1"


def test_of_drivers_that_append_at_once_one_wins_each_number(s3: str) -> None:
    """The store refuses a second object of a name; who lost reads again, and no event is overwritten."""
    barrier = threading.Barrier(5)

    def _drive(name: int) -> int:
        timeline, lost = Timeline(s3, "production"), 0
        barrier.wait()
        for step in range(3):
            while True:
                try:
                    timeline.append(replace(EVENT, reasons=(f"{name}.{step}",)))
                    break
                except NumberTaken:
                    lost += 1
        return lost

    with ThreadPoolExecutor(5) as pool:
        lost = sum(pool.map(_drive, range(5)))
    events = Timeline(s3, "production").read()
    assert sorted(event.reasons[0] for event in events) == [f"{name}.{step}" for name in range(5) for step in range(3)]
    assert lost > 0
    assert [uri.rsplit("/", 1)[-1] for uri in objects.find(f"{s3}/rollouts", ".json")] == [
        f"{number:08}.json" for number in range(1, 16)
    ]


def test_a_timeline_that_stays_open_sees_what_comes(s3: str) -> None:
    """A driver's and a site's, each in its own process for days."""
    driver = Timeline(s3, "production")
    now = [NOON]
    site = Timelines(s3, lambda: now[0])
    assert (driver.read(), site.events("production")) == ((), [])
    for number in (1, 2):
        _put_by_another_process(f"{s3}/rollouts/production/{number:08}.json", EVENT.to_json().encode())
        now[0] += timedelta(seconds=3)
        assert (len(driver.read()), len(site.events("production"))) == (number, number)


def test_the_inference_log_is_read_while_it_is_written(s3: str) -> None:
    """A part lies there whole once it has its name; the judge of a stage finds the newest one."""
    log = InferenceLog(s3, "pod-a", LogSettings(close_rows=10))
    record = InferenceRecord(
        datetime.now(UTC), "r", "a" * 64, "v2", False, 9.5, Outcome.OK, (0.5,) * 14, 0.5, "", (0.0,) * 5, "frontal"
    )
    since = record.time - timedelta(seconds=1)
    for part in (1, 2):
        log.append([record] * 10)
        _wait_for(lambda: len(objects.find(f"{s3}/log", ".parquet")), part)
        assert len(window.read(s3, since, ["v2"])["v2"].scores) == 10 * part
    log.append([record] * 3)
    log.close()
    assert len(window.read(s3, since, ["v2"])["v2"].scores) == 23


def _wait_for(seen: Callable[[], int], wanted: int) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=10)
    while seen() < wanted:
        assert datetime.now(UTC) < ends


def test_label_events_are_read_as_they_were_written(s3: str) -> None:
    """Part by part, each event once, also when a part is written again."""
    event = LabelEvent(
        "e1", NOON, "s1", "a" * 64, "images/a", "p1", Observation.EDEMA, 1, "ada", "radiologist", NOON, True, "v1"
    )
    later = replace(event, event="e2", time=NOON + timedelta(minutes=1), value=None)
    for batch in ([event], [later], [event]):
        label_events.write(batch, f"{s3}/feedback")
    assert label_events.read(f"{s3}/feedback") == [event, later]


def test_a_bundle_is_fetched_once_and_verified(s3: str, tmp_path: Path) -> None:
    """Its digest is checked on the way in; an altered object never becomes a bundle, not even from the copy."""
    ref = tiny(f"{s3}/bundles")
    assert tiny(f"{s3}/bundles") == ref
    fetched = store.fetch(ref.uri, ref.digest, tmp_path)
    assert fetched.digest == ref.digest
    objects.write_bytes(f"{ref.uri}/model.onnx", b"altered")
    assert store.fetch(ref.uri, ref.digest, tmp_path).folder == fetched.folder
    with pytest.raises(BrokenBundle, match="its card says"):
        store.fetch(ref.uri, ref.digest, tmp_path / "elsewhere")
    fetched.model.write_bytes(b"altered")
    with pytest.raises(BrokenBundle, match="its card says"):
        store.fetch(ref.uri, ref.digest, tmp_path)


def test_shards_on_s3_are_those_of_a_folder(s3: str, tmp_path: Path, png: Callable[..., bytes]) -> None:
    """Built and read there they have the same digest and pixels; they are mapped from a copy, which is made once."""
    images = [png(seed) for seed in range(5)]
    uris = [f"{s3}/images/{seed}" for seed in range(5)]
    for uri, image in zip(uris, images, strict=True):
        objects.write_bytes(uri, image)
    columns = {"image_path": uris, "sha256": [of_bytes(image) for image in images], "split": "train"}
    names = [f"p{n}" for n in range(5)]
    manifest = Manifest.of({**columns, "patient": names, "study": names}, 5)
    manifest.write(f"{s3}/manifest.parquet")
    again = Manifest.read(f"{s3}/manifest.parquet")
    assert again.digest == manifest.digest
    spec = PreprocessSpec(size=32)
    _, there, refused = shards.build(again, f"{s3}/data/shards", spec, workers=1, capacity=2)
    _, here, _ = shards.build(manifest, str(tmp_path / "shards"), spec, workers=1, capacity=2)
    assert (there.digest, refused) == (here.digest, ())
    opened = shards.Shards.open(f"{s3}/data/shards", cache=tmp_path / "cache")
    rows = opened.find(columns["sha256"])
    assert np.array_equal(opened.take(rows), here.take(rows))
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "cache").rglob("*.npy"))]
    shards.Shards.open(f"{s3}/data/shards", cache=tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "cache").rglob("*.npy"))] == stamps
    assert len(stamps) == 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_and_writes(s3: str) -> None:
    """The local runner forks steps from a process that may have used the store: the child has a loop of its own."""
    objects.write_bytes(f"{s3}/parent", b"1")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            objects.write_bytes(f"{s3}/child", objects.read_bytes(f"{s3}/parent") + b"2")
            status = 0 if len(objects.find(s3, "")) == 2 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert objects.read_bytes(f"{s3}/child") == b"12"


def test_threads_share_the_store(s3: str) -> None:
    """As the site's forty do."""
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda n: objects.write_bytes(f"{s3}/t/{n}", b"%d" % n), range(80)))
        read = list(pool.map(lambda n: objects.read_bytes(f"{s3}/t/{n}"), range(80)))
    assert read == [b"%d" % n for n in range(80)]


def test_the_site_on_s3(s3: str, tmp_path: Path, png: Callable[..., bytes]) -> None:
    """Upload, image, the same upload again, reports, verdicts and the rollout page."""
    verdict = {"gate": "load-test", "subject": "v2", "passed": True, "reasons": ["fast"], "evidence": []}
    with served(SiteSettings(objects=s3, database=f"sqlite:///{tmp_path / 'site.sqlite'}")) as client:
        assert client.get("/ready").status_code == 200
        sent = [client.post("/api/studies", files={"images": png(1)}).json() for _ in range(2)]
        assert [one["known"] for one in sent] == [False, True]
        image = client.get(f"/studies/{sent[0]['study']}/images/{sent[0]['images'][0]}.png")
        assert image.headers["content-type"] == "image/png"
        objects.write_bytes(f"{s3}/reports/run-1/drift.html", b"<p>report</p>")
        objects.write_bytes(f"{s3}/verdicts/run-1/load-test.json", json.dumps(verdict).encode())
        Timeline(s3, "production").append(EVENT)
        assert client.get("/reports/run-1/drift.html").text == "<p>report</p>"
        assert client.get("/reports/run-1/none.html").status_code == 404
        page = client.get("/rollout", headers={"accept": "text/html"}).text
        assert "v2 at 10 %" in page
        assert "/reports/run-1/drift.html" in page
