"""Scoring in the browser: the same pixels and scores as the server's, and nothing sent once an image is chosen."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from chexpert.bundle.card import CARD
from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.data.phantoms import draw
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import preprocess
from chexpert.testing.bundles import tiny
from chexpert.testing.predictor import FakePredictor
from chexpert.triage.on_device_runtime import FOLDER, PAGE_FILES, RuntimeNotFetched
from chexpert.triage.on_device_runtime import fetch as fetch_runtime
from chexpert.triage.settings import LoginSettings, SiteSettings

RUNTIME = Path(__file__).parents[2] / FOLDER
PREPARED = """async () => {
  const { decode, preprocess } = await import("/static/on_device_preprocess.js");
  const { size, low, high } = document.getElementById("on-device").dataset;
  const image = await decode(document.getElementById("file").files[0]);
  return [...preprocess(image, { size: Number(size), low: Number(low), high: Number(high) })];
}"""
TRIED = """async () => {
  const image = new Promise((done) => {
    const one = new Image();
    one.onerror = () => done("refused");
    one.onload = () => done("loaded");
    one.src = "/static/icon.svg?image";
  });
  const asked = fetch("/?image", { method: "POST", body: "image" }).then(() => "sent", () => "refused");
  navigator.sendBeacon("/?image", "image");
  return { fetch: await asked, image: await image };
}"""

Serve = Callable[..., AbstractContextManager[httpx.Client]]

pytestmark = pytest.mark.timeout(180)  # the first one may download 33 MB


@pytest.fixture(scope="session")
def runtime() -> Path:
    """onnxruntime-web, fetched where it is not there yet."""
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on PATH (apt-get install chromium)")
    try:
        fetch_runtime(RUNTIME)
    except RuntimeNotFetched as error:
        pytest.skip(str(error))
    return RUNTIME


@pytest.fixture
def bundle(settings: SiteSettings, tmp_path: Path) -> Bundle:
    return fetch(tiny(f"{settings.objects}/bundles").uri, None, tmp_path)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder with files of the runtime's names, beside one that is no part of it."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in (*PAGE_FILES, "package.json"):
        (folder / name).write_bytes(b"//")
    return folder


@pytest.fixture
def offering(settings: SiteSettings, bundle: Bundle, stand_in: Path) -> Iterator[SiteSettings]:
    """Settings of a site whose predictor serves the bundle as v1."""
    with FakePredictor(digests={"v1": bundle.digest}) as predictor:
        yield replace(settings, predictor=predictor.url, on_device_runtime=stand_in)


@pytest.fixture
def page(runtime: Path, browser: Browser, serve: Serve, offering: SiteSettings) -> Iterator[Page]:
    """The page once it has its model; a script error fails the test."""
    with serve(replace(offering, on_device_runtime=runtime)) as client:
        context = browser.new_context(base_url=str(client.base_url))
        context.set_default_timeout(30_000)
        opened = context.new_page()
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.goto("/on-device")
        expect(opened.locator("#shut")).to_be_visible(timeout=60_000)
        yield opened
        context.close()
        assert problems == []


def picture(form: str, size: int, *, colour: bool = False) -> bytes:
    sink = BytesIO()
    image = Image.fromarray(draw(np.random.default_rng(size), size=size).pixels)
    (image.convert("RGB") if colour else image).save(sink, form, **({"quality": 90} if form == "JPEG" else {}))
    return sink.getvalue()


def choose(page: Page, data: bytes, name: str = "chest") -> NDArray[np.float32]:
    """Scores that the page shows for a file."""
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": data})
    expect(page.locator("#status")).to_contain_text(f"{name}: prepared in")
    return np.array(json.loads(page.locator("#on-device").get_attribute("data-scores") or ""), np.float32)


def differences(page: Page, bundle: Bundle, data: bytes) -> tuple[int, float]:
    """Largest difference to the server's own code: of a pixel, in grey levels, and of a score."""
    spec = bundle.card.preprocess
    pixels = preprocess(decode(data, target=spec.size), spec)
    scores = open_session(bundle, threads=1).run(pixels[None, None])[0]
    answered = choose(page, data)
    prepared = np.array(page.evaluate(PREPARED), int).reshape(pixels.shape)
    return int(np.abs(prepared - pixels).max()), float(np.abs(answered - scores).max())


@pytest.mark.parametrize("size", [37, 64, 333])
def test_a_png_gives_the_servers_pixels_and_scores(page: Page, bundle: Bundle, size: int) -> None:
    """Not one grey level differs, whether the image grows or shrinks, and no score by more than 1e-5."""
    pixel, score = differences(page, bundle, picture("PNG", size))
    assert pixel == 0
    assert score < 1e-5


@pytest.mark.parametrize(("size", "colour"), [(100, False), (300, False), (600, False), (600, True)])
def test_a_jpeg_gives_nearly_the_servers_pixels_and_scores(
    page: Page, bundle: Bundle, size: int, *, colour: bool
) -> None:
    """The server decodes at a fraction of the size, the browser in full: grey levels and scores stay close."""
    pixel, score = differences(page, bundle, picture("JPEG", size, colour=colour))
    assert pixel <= 4
    assert score <= 0.005


def test_nothing_is_sent_after_the_image_was_chosen(page: Page) -> None:
    """The image's bytes cannot leave: no request is made, and the browser refuses those that a script tries."""
    tried: list[str] = []
    answered: list[str] = []
    page.context.on("request", lambda request: tried.append(request.url))
    page.context.on("response", lambda response: answered.append(response.url))
    choose(page, picture("PNG", 200))
    expect(page.locator("#status")).to_contain_text("0 requests were sent")
    assert tried == []
    refused: dict[str, Any] = page.evaluate(TRIED)
    assert refused["fetch"] == refused["image"] == "refused"
    page.wait_for_timeout(300)
    assert answered == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no image", "neither PNG nor JPEG"),
        (picture("PNG", 64)[:200], "could not be decoded"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(page: Page, data: bytes, reason: str) -> None:
    """A file that cannot be scored is named with why, and leaves no scores."""
    page.set_input_files("#file", {"name": "letter", "mimeType": "image/png", "buffer": data})
    expect(page.locator("#status")).to_contain_text(reason)
    expect(page.locator("#scores .num").first).to_have_text("-")


def test_without_the_runtime_the_page_says_how_to_get_it(serve: Serve, offering: SiteSettings, tmp_path: Path) -> None:
    """The tool is optional: the page stands, and says what is missing."""
    with serve(replace(offering, on_device_runtime=tmp_path / "nowhere")) as client:
        answer = client.get("/on-device")
    assert answer.status_code == 200
    assert "make on-device" in answer.text


def test_only_this_page_may_compile_webassembly(serve: Serve, offering: SiteSettings) -> None:
    """The policy of every other page stays as it is."""
    with serve(offering) as client:
        policies = {
            path: client.get(path).headers["content-security-policy"] for path in ("/on-device", "/", "/upload")
        }
    assert [path for path, policy in policies.items() if "wasm-unsafe-eval" in policy] == ["/on-device"]
    assert all("'unsafe-eval'" not in policy and "http" not in policy for policy in policies.values())


def test_only_productions_model_is_given(serve: Serve, offering: SiteSettings, bundle: Bundle) -> None:
    """A bundle that production does not serve is not handed out, though it lies in the store."""
    other = tiny(f"{offering.objects}/bundles", seed=9).digest
    with serve(offering) as client:
        assert client.get(f"/on-device/{bundle.digest}/model.onnx").content == bundle.model.read_bytes()
        assert client.get(f"/on-device/{other}/model.onnx").status_code == 404


def test_an_altered_model_is_not_given(serve: Serve, offering: SiteSettings, bundle: Bundle) -> None:
    """Every byte is held to the card before it goes out."""
    bundle.model.write_bytes(bundle.model.read_bytes() + b"x")
    with serve(offering) as client:
        assert client.get(f"/on-device/{bundle.digest}/model.onnx").status_code == 503
        (bundle.model.parent / CARD).write_text("{}")
        assert client.get(f"/on-device/{bundle.digest}/model.onnx").status_code == 503
        assert "was altered" in client.get("/on-device").text


def test_without_its_predictor_the_site_gives_no_model(
    serve: Serve, settings: SiteSettings, bundle: Bundle, stand_in: Path
) -> None:
    """The page stands and names the address that does not answer; the model is a 503."""
    away = replace(settings, predictor="http://127.0.0.1:9", on_device_runtime=stand_in)
    with serve(away) as client:
        page = client.get("/on-device")
        assert (page.status_code, "127.0.0.1:9" in page.text) == (200, True)
        assert client.get(f"/on-device/{bundle.digest}/model.onnx").status_code == 503


def test_the_model_is_for_readers_alone(serve: Serve, offering: SiteSettings, bundle: Bundle, users: Path) -> None:
    """On a site with users a technician, who reads no images, gets neither page nor model."""
    login = LoginSettings(users, "k" * 32)
    with serve(replace(offering, login=login)) as client:
        paths = ("/on-device", f"/on-device/{bundle.digest}/model.onnx", f"/on-device/runtime/{PAGE_FILES[0]}")
        codes = {
            name: {client.get(path, auth=auth).status_code for path in paths}
            for name, auth in (("nobody", None), ("tom", ("tom", "correct horse")))
        }
        assert codes == {"nobody": {401}, "tom": {403}}
        assert client.get("/on-device", auth=("ada", "correct horse")).status_code == 200


@pytest.mark.parametrize("name", ["package.json", "..%2Fsite.sqlite", "%2e%2e/site.sqlite", "ort.min.mjs"])
def test_no_other_file_is_served_as_the_runtime(serve: Serve, offering: SiteSettings, name: str) -> None:
    """Two files are the runtime; whatever else lies in its folder stays there."""
    with serve(offering) as client:
        assert client.get(f"/on-device/runtime/{PAGE_FILES[0]}").status_code == 200
        assert client.get(f"/on-device/runtime/{name}").status_code == 404
