"""Sources in S3, by the gateway versitygw on loopback."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pyarrow.parquet as pq
import pytest

from chexpert.data import sources
from chexpert.data.errors import UnreadableData
from chexpert.data.shards import build
from chexpert.data.stored import Store
from chexpert.data.upload import upload
from chexpert.domain.errors import RetryableError
from chexpert.imaging.preprocess import PreprocessSpec

from .conftest import same_elsewhere

CACHE = Path(os.environ.get("CHEXPERT_CLUSTER_CACHE", "~/.cache/chexpert-cluster")).expanduser()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an S3 gateway on loopback, with one bucket `chexpert`."""
    program = shutil.which("versitygw") or shutil.which(CACHE / "bin/versitygw")
    if program is None:
        pytest.skip("no versitygw on PATH or in the cluster's cache: S3 is not tried here")
    root = tmp_path_factory.mktemp("s3")
    (root / "chexpert").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"ROOT_ACCESS_KEY": "chexpert", "ROOT_SECRET_KEY": "chexpert-secret"}
    command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(root)]
    with (root.parent / f"{root.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | keys, stdout=log, stderr=log)
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "versitygw ended"
        time.sleep(0.05)
    pytest.fail("versitygw did not answer within 10 s")


@pytest.fixture
def s3(gateway: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own in the bucket, with the variables that a pod has."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": gateway,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "chexpert",
        "AWS_SECRET_ACCESS_KEY": "chexpert-secret",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return f"s3://chexpert/{uuid4().hex}"


def test_s3_holds_the_same_data(two_tables: Path, s3: str) -> None:
    """Upload, read, build over real S3: digests of manifest and shards are those of the folder."""
    uri, spec = f"{s3}/{two_tables.name}", PreprocessSpec(size=16)
    upload(two_tables, uri)
    remote = same_elsewhere(two_tables, uri)
    here = build(sources.read(two_tables)[0], str(two_tables.parent / "shards"), spec, workers=1)[1]
    there = build(remote, f"{s3}/shards", spec, workers=1)[1]
    assert there.digest == here.digest


def test_s3_is_read_by_one_listing_and_the_record(two_tables: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upload only tables and record are fetched, no image; and nothing is sent twice."""
    upload(two_tables, s3)
    calls: list[str] = []
    cls = fsspec.get_filesystem_class("s3")
    call = cls._call_s3

    async def counted(self: object, method: str, *arguments: object, **named: object) -> object:
        calls.append(method)
        return await call(self, method, *arguments, **named)

    monkeypatch.setattr(cls, "_call_s3", counted)
    monkeypatch.setattr(cls, "call_s3", fsspec.asyn.sync_wrapper(counted))
    assert "" not in sources.read(s3)[0].column("sha256")
    assert calls.count("list_objects_v2") == 1
    assert calls.count("get_object") == 3
    assert upload(two_tables, s3).sent == 0


def test_s3_lists_page_by_page(two_tables: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into one answer of 1,000 names comes with the next."""
    upload(two_tables, s3)
    whole = Store(s3).listing()
    cls = fsspec.get_filesystem_class("s3")
    call = cls._call_s3
    pages: list[str] = []

    async def small(self: object, method: str, **named: object) -> object:
        pages.append(method)
        return await call(self, method, **named, MaxKeys=4)

    monkeypatch.setattr(cls, "call_s3", fsspec.asyn.sync_wrapper(small))
    assert Store(s3).listing() == whole
    assert len(whole) == 11
    assert len(pages) == 3


def test_s3_without_a_record_is_read_whole(two_tables: Path, s3: str) -> None:
    """Objects that another tool copied have the same checksums."""
    upload(two_tables, s3)
    recorded = sources.read(s3)[0]
    fsspec.filesystem("s3").rm_file(f"{s3}/checksums.parquet")
    assert sources.read(s3)[0].digest == recorded.digest


def test_a_recorded_checksum_counts_for_its_object_only(two_tables: Path, s3: str) -> None:
    """An object that was replaced since is read again."""
    upload(two_tables, s3)
    before = sources.read(s3)[0].column("sha256")
    fsspec.filesystem("s3").pipe_file(f"{s3}/train/patient00003/study1/view1_frontal.jpg", b"another image")
    after = sources.read(s3)[0].column("sha256")
    assert list(before != after) == [False, False, False, True, False, False, False, False]


def test_an_upload_records_every_file(two_tables: Path, s3: str) -> None:
    """The record has the tag that S3 gave, so that it can be seen to be of this very object."""
    upload(two_tables, s3)
    with fsspec.open(f"{s3}/checksums.parquet") as file:
        lines = pq.read_table(file).to_pylist()
    assert {line["name"]: line["etag"] for line in lines} == {
        name: stored.etag for name, stored in Store(s3).listing().items() if name != "checksums.parquet"
    }
    assert len(lines) == 10


def test_a_missing_bucket_is_said(two_tables: Path, s3: str) -> None:
    """Reading and uploading name the URI, not a traceback."""
    assert s3
    for ask in (sources.read, lambda uri: upload(two_tables, uri)):
        with pytest.raises(UnreadableData, match=r"^s3://nosuchbucket/x: there is no such bucket"):
            ask("s3://nosuchbucket/x")


def test_wrong_keys_are_said(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not tried again: a person must correct them."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(UnreadableData, match="access denied: check AWS_ACCESS_KEY_ID"):
        sources.read(s3)


def test_a_store_that_is_down_is_tried_again(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 75 of a step, not a fault."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(RetryableError, match="answer"):
        sources.read(s3)
