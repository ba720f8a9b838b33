"""What the site accepts, refuses and lists, over HTTP."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from chexpert.domain.studies import Tier
from chexpert.triage import worklist
from chexpert.triage.images import ImageStore, StoredBytesDiffer
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import Site

Send = Callable[..., httpx.Response]


def test_an_upload_is_listed_once_with_its_bytes_kept(
    client: httpx.Client,
    send: Send,
    settings: SiteSettings,
    png: Callable[..., bytes],
) -> None:
    """201 means: listed at once, unflagged, and the very bytes lie under their digest."""
    answer = send(png(1), png(2), tier="STAT", accession="A1", patient="p1", sex="F", age="67", view="AP", source="ICU")
    assert answer.status_code == 201
    assert answer.json()["images"] == [sha256(png(1)).hexdigest(), sha256(png(2)).hexdigest()]
    stored = Path(settings.objects) / "images" / answer.json()["images"][0]
    assert stored.read_bytes() == png(1)
    listed = client.get("/api/worklist", params={"limit": 5}).json()
    assert listed["total"] == 1
    entry = listed["entries"][0]
    assert entry["study"] == answer.json()["study"]
    assert (entry["tier"], entry["raised_tier"], entry["flag"], entry["priority"]) == ("STAT", "STAT", None, None)
    assert (entry["state"], entry["why"]) == ("unread", "ordered STAT, arrival order")


def test_the_same_upload_again_is_the_same_study(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """Sending again, also all at once and without its accession, neither lists twice nor refuses."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(png(1), accession="A1", patient="p"), range(8)))
    answers.append(send(png(1)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["study"] for answer in answers}) == 1
    assert client.get("/api/worklist").json()["total"] == 1


def test_another_accession_is_another_study(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """An order that names its accession is never swallowed by another one's image."""
    assert send(png(1), accession="A1").json()["study"] != send(png(1), accession="A2").json()["study"]
    assert client.get("/api/worklist").json()["total"] == 2


def test_images_of_one_accession_join_while_it_waits(
    client: httpx.Client, send: Send, png: Callable[..., bytes]
) -> None:
    """Images that come one by one are one study, at its most urgent tier; once signed, a new one is listed anew."""
    first = send(png(1), accession="A1", patient="p").json()["study"]
    assert send(png(2), accession="A1", patient="p", tier="urgent").json()["study"] == first
    assert send(png(3), accession="A1", patient="somebody else").json()["study"] != first
    assert client.post(f"/api/studies/{first}/sign", json={"reader": "ada"}).status_code == 200
    assert send(png(1), accession="A1", patient="p").json()["study"] == first
    assert send(png(4), accession="A1", patient="p").json()["study"] != first
    tiers = [entry["tier"] for entry in client.get("/api/worklist").json()["entries"]]
    assert tiers == ["routine", "routine"]


def test_an_unreadable_file_is_refused_by_name_and_the_rest_taken(
    client: httpx.Client, send: Send, png: Callable[..., bytes]
) -> None:
    """One bad file of a batch does not cost the others, and is named with its reason."""
    answer = send(png(1), b"no image", png(1)[:400])
    assert answer.status_code == 201
    assert [one["file"] for one in answer.json()["refused"]] == ["1.png", "2.png"]
    assert len(answer.json()["images"]) == 1
    alone = send(b"no image")
    assert alone.status_code == 422
    assert "0.png" in alone.json()["error"]
    assert client.get("/api/worklist").json()["total"] == 1


def test_too_large_is_413_with_the_limit(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """A file over its limit is 413, beside one that fits it is only named; a request over the limit is 413."""
    large = b"x" * 200_001
    assert send(large).status_code == 413
    assert "0.2 MB" in send(large).json()["error"]
    both = send(png(1), large)
    assert both.status_code == 201
    assert both.json()["refused"][0]["file"] == "1.png"
    assert send(large, large).status_code == 413
    assert client.get("/api/worklist").json()["total"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("tier", "soon"), ("age", "old"), ("age", "-1"), ("patient", "p" * 65), ("accession", "A\n1")],
)
def test_a_field_that_cannot_be_is_refused_by_name(
    send: Send, png: Callable[..., bytes], field: str, value: str
) -> None:
    """A typing error in a form is told, not stored."""
    answer = send(png(1), **{field: value})
    assert answer.status_code == 422
    assert field in answer.json()["error"]


def test_an_upload_without_a_file_is_refused(client: httpx.Client) -> None:
    """A study has at least one image."""
    assert client.post("/api/studies", data={"tier": "STAT"}).status_code == 422


def test_bytes_come_before_the_row(site: Site, settings: SiteSettings, png: Callable[..., bytes]) -> None:
    """Where bytes cannot be stored, nothing is listed: a row never points at nothing."""
    Path(settings.objects).write_text("a file where the folder should be")
    with pytest.raises(OSError, match="objects"):
        accept(site, Order(), [Upload("a.png", png(1))])
    with site.database.read() as session:
        assert worklist.count(session, settings.rule, site.clock()).unread == 0


def test_altered_bytes_are_not_shown(site: Site, settings: SiteSettings, png: Callable[..., bytes]) -> None:
    """What is read back is what was sent, or an error that names the object."""
    accepted = accept(site, Order(Tier.STAT), [Upload("a.png", png(1))])
    store = ImageStore(settings.objects)
    assert store.read(accepted.images[0]) == png(1)
    (Path(settings.objects) / "images" / accepted.images[0]).write_bytes(png(2))
    with pytest.raises(StoredBytesDiffer, match=accepted.images[0]):
        store.read(accepted.images[0])


def test_objects_need_no_folder(png: Callable[..., bytes]) -> None:
    """Any fsspec store keeps images under the same names."""
    store = ImageStore("memory://bucket")
    assert store.read(store.put(png(1))) == png(1)
    assert store.uri("ab") == "memory://bucket/images/ab"


def test_a_kill_loses_nothing_that_was_accepted(tmp_path: Path, png: Callable[..., bytes]) -> None:
    """After kill -9 in the middle of uploads, every 201 is listed once and its bytes are whole."""
    environment = {
        **os.environ,
        "CHEXPERT_OBJECTS": str(tmp_path / "objects"),
        "CHEXPERT_DATABASE": f"sqlite:///{tmp_path / 'site.sqlite'}",
    }
    run_file = tmp_path / "run.json"
    command = [
        sys.executable,
        "-c",
        "from chexpert.cli.site import app; app()",
        "site",
        "--port=0",
        f"--run-file={run_file}",
    ]
    process = subprocess.Popen(command, env=environment)
    accepted: dict[str, str] = {}
    try:
        while not run_file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        port = json.loads(run_file.read_text())["port"]

        def upload(seed: int) -> None:
            try:
                answer = client.post("/api/studies", files={"images": ("a.png", png(seed))})
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                accepted[answer.json()["study"]] = answer.json()["images"][0]

        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, timeout=20, trust_env=False) as client, ThreadPoolExecutor(4) as pool:
            uploads = [pool.submit(upload, seed) for seed in range(100)]
            while len(accepted) < 20:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            for one in uploads:
                one.result()
    finally:
        process.kill()
        process.wait()
    assert 20 <= len(accepted) < 100
    rows = sqlite3.connect(tmp_path / "site.sqlite").execute("SELECT id FROM studies WHERE waiting").fetchall()
    assert sorted(accepted) == sorted({study for (study,) in rows} & set(accepted))
    assert len(rows) == len(set(rows))
    store = ImageStore(str(tmp_path / "objects"))
    assert {sha256(store.read(image)).hexdigest() for image in accepted.values()} == set(accepted.values())


def test_a_16_bit_image_is_accepted_and_shown(client: httpx.Client, send: Send) -> None:
    """What the detector sent in 16 bits is listed, and its page's PNG has 8."""
    sink = BytesIO()
    Image.linear_gradient("L").convert("I").point(lambda value: value * 256).convert("I;16").save(sink, "PNG")
    answer = send(sink.getvalue())
    assert answer.status_code == 201
    study, image = answer.json()["study"], answer.json()["images"][0]
    shown = client.get(f"/studies/{study}/images/{image}.png")
    assert Image.open(BytesIO(shown.content)).mode == "L"
