"""The pages in a real browser: Debian's Chromium, headless, driven by keys as a reader would."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from chexpert.testing.bundles import tiny
from chexpert.testing.predictor import FakePredictor
from chexpert.triage.database import Database
from chexpert.triage.settings import SiteSettings, WorkerSettings
from chexpert.triage.worker import Worker

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium, then these run"),
    pytest.mark.timeout(90),
]


@pytest.fixture
def live(serve: Callable[..., AbstractContextManager[httpx.Client]], settings: SiteSettings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


@pytest.fixture
def page(browser: Browser, live: httpx.Client) -> Iterator[Page]:
    """A reader's page; a script error or a blocked resource fails the test."""
    context = browser.new_context(base_url=str(live.base_url), viewport={"width": 1360, "height": 820})
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def score(settings: SiteSettings) -> Callable[[], None]:
    """Let a worker answer for all that wait, by a predictor whose card gives marks."""

    def _score() -> None:
        digest = tiny(f"{settings.objects}/bundles", operating_point=0.5).digest
        database = Database(settings.database)
        with FakePredictor(digests={"v1": digest}) as predictor:
            worker = Worker(database, settings.objects, WorkerSettings(predictor=predictor.url))
            worker.turn()
            worker.close()
        database.close()

    return _score


@pytest.fixture
def chest(tmp_path: Path, png: Callable[..., bytes]) -> Path:
    (tmp_path / "chest.png").write_bytes(png(1, 400))
    return tmp_path / "chest.png"


def _difference(one: bytes, other: bytes) -> float:
    """Mean difference of two screenshots in grey levels: text may be smoothed another way after a change."""
    grey = [np.asarray(Image.open(BytesIO(shot)).convert("L"), float) for shot in (one, other)]
    return float(np.abs(grey[0] - grey[1]).mean())


def _send(client: httpx.Client, image: bytes, **form: str) -> str:
    answer = client.post("/api/studies", files={"images": ("a.png", image)}, data=form)
    study: str = answer.json()["study"]
    return study


def _read_as(page: Page, name: str) -> None:
    page.goto("/")
    page.click("details.reader summary")
    page.fill("details.reader input[name=name]", name)
    page.keyboard.press("Enter")
    expect(page.locator("details.reader summary")).to_contain_text(name)
    page.wait_for_load_state()  # before its script has run, the new page knows no keys


def _answers(settings: SiteSettings) -> list[tuple[Any, ...]]:
    with sqlite3.connect(settings.database.removeprefix("sqlite:///")) as connection:
        return connection.execute("SELECT observation, value, reader FROM answers ORDER BY id").fetchall()


def test_from_upload_to_signature_by_keys(
    page: Page,
    live: httpx.Client,
    settings: SiteSettings,
    score: Callable[[], None],
    chest: Path,
) -> None:
    """Upload → worklist → open → a key per finding → sign: what is stored is what is there, never 'agree'."""
    (chest.parent / "letter.png").write_bytes(b"no image")
    _read_as(page, "Dr. Ada")
    page.goto("/upload")
    page.set_input_files("#files", [chest, chest.parent / "letter.png"])
    page.select_option("[name=tier]", "STAT")
    page.click("#send")
    expect(page.locator("#summary")).to_have_text("1 of 2 files taken")
    expect(page.locator("#results li.bad")).to_contain_text("letter.png")
    score()
    page.goto("/")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/**")
    expect(page.locator("#state")).to_contain_text("open · you")
    expect(page.locator(".meter .mark")).to_have_count(14)
    said = {
        row.get_attribute("data-observation"): row.get_attribute("data-said")
        for row in page.locator(".list .row").all()
    }
    for _ in range(14):
        page.keyboard.press("k")
    page.keyboard.type("adus")
    expect(page.locator("#answered")).to_have_text("3 of 14 answered")
    page.keyboard.press("Enter")
    expect(page.locator("#sign")).to_contain_text("Sign now?")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live.base_url}/" if str(live.base_url).endswith("/") else "**/")
    expect(page.locator("#empty")).to_contain_text("Nothing waits")
    names = list(said)
    value = {"present": 1, "absent": 0}
    assert _answers(settings) == [
        (names[0], value[str(said[names[0]])], "Dr. Ada"),
        (names[1], 1 - value[str(said[names[1]])], "Dr. Ada"),
        (names[2], -1, "Dr. Ada"),
        (names[3], None, "Dr. Ada"),
    ]


def test_new_studies_wait_above_and_the_place_is_kept(
    page: Page, live: httpx.Client, png: Callable[..., bytes]
) -> None:
    """Refreshing never moves the list under the reader: new ones are announced, N shows them, the selection stays."""
    studies = [_send(live, png(seed), accession=f"A{seed}") for seed in range(3)]
    page.goto("/")
    page.keyboard.press("j")
    expect(page.locator("tr[aria-selected=true]")).to_have_attribute("data-study", studies[1])
    urgent = _send(live, png(9), accession="A9", tier="STAT")
    expect(page.locator("#new")).to_contain_text("1 new study above")
    assert page.locator("#worklist tbody tr").first.get_attribute("data-study") == studies[0]
    page.keyboard.press("n")
    expect(page.locator("#worklist tbody tr").first).to_have_attribute("data-study", urgent)
    expect(page.locator("tr[aria-selected=true]")).to_have_attribute("data-study", studies[1])
    live.post(f"/api/studies/{studies[0]}/sign", json={"reader": "bob"})
    expect(page.locator(f"tr[data-study='{studies[0]}']")).to_have_class("gone")
    expect(page.locator("#counts")).to_contain_text("3 unread")


def test_the_window_changes_what_is_seen(page: Page, live: httpx.Client, png: Callable[..., bytes]) -> None:
    """Invert, window, zoom and reset by keys and by drag: the pixels follow, and reset brings them back."""
    study = _send(live, png(1, 300))
    page.goto(f"/studies/{study}")
    view, corner = page.locator("#view"), page.locator("#corner-window")
    expect(corner).to_contain_text("C 128 W 256")
    start = view.screenshot()
    page.keyboard.press("i")
    expect(corner).to_contain_text("inverted")
    assert _difference(view.screenshot(), start) > 20
    page.keyboard.press("Shift+ArrowLeft")
    expect(corner).to_contain_text("W 244")
    box = view.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 350)
    page.mouse.up()
    expect(corner).to_contain_text("C 148 W 184")
    page.keyboard.press("+")
    page.mouse.move(0, 0)
    page.keyboard.press("0")
    expect(corner).to_contain_text("C 128 W 256")
    time.sleep(0.2)
    assert _difference(view.screenshot(), start) < 1


def test_another_readers_study_is_taken_over_only_on_purpose(
    page: Page,
    live: httpx.Client,
    settings: SiteSettings,
    png: Callable[..., bytes],
) -> None:
    """While Bob has it, Ada's keys store nothing; taken over they do. Without scores P and N say what is there."""
    study = _send(live, png(1))
    live.post(f"/api/studies/{study}/open", json={"reader": "Bob"})
    _read_as(page, "Ada")
    page.goto(f"/studies/{study}")
    expect(page.locator("#locked")).to_contain_text("open with Bob")
    page.keyboard.press("p")
    assert _answers(settings) == []
    page.click("#take-over")
    expect(page.locator("#locked")).to_be_hidden()
    page.keyboard.press("n")
    expect(page.locator("#answered")).to_have_text("1 of 14 answered")
    page.click("#reject")
    page.fill("#reason", "not a chest")
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    page.goto("/?show=signed")
    expect(page.locator("#worklist tbody")).to_contain_text("not a chest")
    assert [answer[1:] for answer in _answers(settings)] == [(0, "Ada")]


def test_an_image_that_does_not_show_is_not_opened(
    page: Page,
    live: httpx.Client,
    settings: SiteSettings,
    png: Callable[..., bytes],
) -> None:
    """Where the picture stayed black, the reader is told, the study is not taken, and no answer is stored."""
    study = _send(live, png(1))
    for image in (Path(settings.objects) / "images").iterdir():
        image.unlink()
    _read_as(page, "Ada")
    page.goto(f"/studies/{study}")
    expect(page.locator("#image-problem")).to_contain_text("could not be shown")
    page.keyboard.press("p")
    assert _answers(settings) == []
    assert live.get("/api/worklist").json()["entries"][0]["state"] == "unread"


def test_keys_are_listed_and_fields_keep_theirs(page: Page, live: httpx.Client, png: Callable[..., bytes]) -> None:
    """? shows the keys; in the search field letters are letters, and Esc leaves it."""
    _send(live, png(1), accession="JKN1")
    page.goto("/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("jkn")
    expect(page.locator("#search")).to_have_value("jkn")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=jkn")
    expect(page.locator("#worklist tbody tr")).to_have_count(1)
    page.keyboard.press("4")
    page.wait_for_url("**show=signed*")


def test_m_moves_the_selected_study_with_a_reason(page: Page, live: httpx.Client, png: Callable[..., bytes]) -> None:
    """By keys: the last study becomes the first and says why; below its order it stays, and the reason is told."""
    studies = [_send(live, png(seed), accession=f"A{seed}", tier="urgent") for seed in range(2)]
    page.goto("/")
    page.keyboard.press("m")
    expect(page.locator("#moving")).not_to_be_visible()  # nobody reads yet: it asks who first
    expect(page.locator("details.reader input[name=name]")).to_be_focused()
    _read_as(page, "Dr. Ada")
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(page.locator("#moving-title")).to_have_text("Move A1")
    page.check("#moving input[value=STAT]")
    page.fill("#move-reason", "the ward called")
    page.keyboard.press("Enter")
    first = page.locator("#worklist tbody tr").first
    expect(first).to_have_attribute("data-study", studies[1])
    expect(first).to_contain_text("moved to STAT by Dr. Ada: the ward called")
    expect(page.locator("tr[aria-selected=true]")).to_have_attribute("data-study", studies[1])
    page.keyboard.press("m")
    page.check("#moving input[value=routine]")
    page.fill("#move-reason", "never mind")
    page.keyboard.press("Enter")
    expect(page.locator("#move-problem")).to_contain_text("never lower the priority its order gave it")
    page.keyboard.press("Escape")
    expect(page.locator("#moving")).not_to_be_visible()
    expect(page.locator("#move-reason")).not_to_be_focused()  # a closed dialog keeps the focus for one frame
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/**")
    page.keyboard.press("m")
    expect(page.locator("#moving-title")).to_have_text("Move A1")


def test_a_report_runs_shut_off_from_the_site(browser: Browser, live: httpx.Client, settings: SiteSettings) -> None:
    """Its inline script runs in an origin of its own: it sees no cookie, and reaches neither the site nor others."""
    folder = Path(settings.objects) / "reports" / "r1"
    folder.mkdir(parents=True)
    (folder / "drift.html").write_text(
        "<title>drift</title><style>p { color: rgb(1, 2, 3); }</style><p id=p>…</p><script>"
        "let cookie; try { cookie = document.cookie; } catch (error) { cookie = error.name; }"
        "fetch('/api/worklist').then(() => 'reached', () => 'refused').then((said) => {"
        " document.getElementById('p').textContent = [self.origin, cookie, said].join(' '); });</script>"
    )
    context = browser.new_context(base_url=str(live.base_url))
    page = context.new_page()
    page.goto("/reports/r1/drift.html")
    expect(page.locator("#p")).to_have_text("null SecurityError refused")
    expect(page.locator("#p")).to_have_css("color", "rgb(1, 2, 3)")
    context.close()
