"""The init container's script, against a real object store that runs by the chart's own command line."""

import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rendering import Manifest, pick

CACHE = Path(os.environ.get("CHEXPERT_CLUSTER_CACHE", "~/.cache/chexpert-cluster")).expanduser()
PORT = ":7070"


@dataclass(frozen=True, slots=True)
class Store:
    """A running gateway, and what a pod beside it is told."""

    buckets: Path
    environment: dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def store(bundled: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The StatefulSet's container as a process, on loopback and with the rendered keys."""
    program = shutil.which("versitygw") or shutil.which(CACHE / "bin/versitygw")
    if program is None:
        pytest.skip(f"no object store: versitygw is neither on PATH nor in {CACHE}/bin")
    folder, address = tmp_path_factory.mktemp("buckets"), f"127.0.0.1:{free_port()}"
    keys = {k: b64decode(v).decode() for k, v in pick(bundled, "Secret", "chexpert-objects")["data"].items()}
    container = pick(bundled, "StatefulSet", "chexpert-s3")["spec"]["template"]["spec"]["containers"][0]
    arguments = [a.replace(PORT, address).replace("/data", str(folder)) for a in container["args"]]
    told = {e["name"]: keys[e["valueFrom"]["secretKeyRef"]["key"]] for e in container["env"]}
    configuration = pick(bundled, "ConfigMap", "chexpert")["data"]
    environment = {**configuration, **keys, "AWS_ENDPOINT_URL_S3": f"http://{address}"}
    with subprocess.Popen([program, *arguments], env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            _wait_until_healthy(process, address, container["readinessProbe"]["httpGet"]["path"])
            yield Store(folder, environment)
        finally:
            process.terminate()


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, path: str) -> None:
    import httpx

    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if process.poll() is not None:
            output = (process.stdout.read() if process.stdout else b"").decode()
            pytest.skip(f"versitygw does not run here: {output.strip()[-200:]}")
        try:
            if httpx.get(f"http://{address}{path}", trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"versitygw did not answer {path} within 20 s")


def prepare(chart: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(chart / "files/prepare.py"), *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_bucket_is_made_once(chart: Path, store: Store) -> None:
    """Every pod's start tries again; what is in the bucket stays."""
    arguments = ("--seconds=20", "--create-bucket")
    assert prepare(chart, store.environment, *arguments).returncode == 0
    (store.buckets / "chexpert" / "kept").write_text("x")
    again = prepare(chart, store.environment, *arguments)
    assert (again.returncode, again.stderr) == (0, "")
    assert (store.buckets / "chexpert" / "kept").exists()


def test_a_bucket_is_not_made_unasked(chart: Path, store: Store) -> None:
    """objects.createBucket: false leaves that to the owner of the store, and says what is missing."""
    done = prepare(chart, {**store.environment, "CHEXPERT_OBJECTS": "s3://another"}, "--seconds=0")
    assert done.returncode == 1
    assert "bucket another" in done.stderr
    assert not (store.buckets / "another").exists()


def test_a_wrong_key_makes_nothing(chart: Path, store: Store) -> None:
    """It ends with the store's answer."""
    environment = {**store.environment, "AWS_SECRET_ACCESS_KEY": "wrong", "CHEXPERT_OBJECTS": "s3://refused"}
    done = prepare(chart, environment, "--seconds=0", "--create-bucket")
    assert done.returncode == 1
    assert "403" in done.stderr
    assert not (store.buckets / "refused").exists()


def test_a_pod_waits_for_its_database(chart: Path, store: Store) -> None:
    """Until something listens at the URL's host and port; the URL's password is never printed."""
    with socket.create_server(("127.0.0.1", 0)) as database:
        port = database.getsockname()[1]
        environment = {
            **store.environment,
            "CHEXPERT_DATABASE": f"postgresql+psycopg://chexpert:a-password@127.0.0.1:{port}/chexpert",
        }
        arguments = ("--seconds=1", "--create-bucket", "--database=CHEXPERT_DATABASE")
        assert prepare(chart, environment, *arguments).returncode == 0
    away = prepare(chart, environment, *arguments)
    assert away.returncode == 1
    assert f"database at 127.0.0.1:{port}" in away.stderr
    assert "a-password" not in away.stderr
