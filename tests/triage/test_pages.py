"""Pages over HTTP: what they say, escape and refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.triage.settings import SiteSettings

Send = Callable[..., httpx.Response]
HTML = {"accept": "text/html"}
NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)


def test_every_page_says_it_is_for_research(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """The banner stands on each page, error pages too."""
    study = send(png(1)).json()["study"]
    for path in (
        "/",
        "/?show=mine",
        "/?show=late",
        "/?show=signed",
        f"/studies/{study}",
        "/dashboard",
        "/rollout",
        "/upload",
        "/none",
    ):
        page = client.get(path, headers=HTML)
        assert page.status_code == (404 if path == "/none" else 200)
        assert "Research use, not for diagnosis." in page.text
        assert "an unflagged study is not a normal one" in page.text


def test_text_from_outside_is_escaped(client: httpx.Client, send: Send, png: Callable[..., bytes]) -> None:
    """Nothing a sender or a link says becomes markup, and no policy allows an inline script."""
    evil = "<script>alert(1)</script>"
    study = send(png(1), accession=evil, source='"><img src=x>', sex=evil, view=evil).json()["study"]
    for path in ("/", f"/studies/{study}", f"/?q={evil}", f"/studies/{evil}"):
        page = client.get(path, headers=HTML)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
    assert "&lt;script&gt;" in client.get("/").text


def test_an_image_is_shown_as_png_and_cached_by_content(
    client: httpx.Client,
    send: Send,
    png: Callable[..., bytes],
) -> None:
    """The PNG has the original's size; the browser's copy is valid for ever; another study's image is not given."""
    sent = send(png(1, 60)).json()
    url = f"/studies/{sent['study']}/images/{sent['images'][0]}.png"
    image = client.get(url)
    assert image.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(image.content)).size == (60, 60)
    assert client.get(url, headers={"if-none-match": image.headers["etag"]}).status_code == 304
    other = send(png(2)).json()["study"]
    assert client.get(url.replace(sent["study"], other)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "SAME", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
    ],
)
def test_only_our_own_pages_change_anything(
    client: httpx.Client,
    send: Send,
    png: Callable[..., bytes],
    headers: dict[str, str],
    status: int,
) -> None:
    """A page of another site cannot sign in a reader's name, nor can one that points its own name at us."""
    study = send(png(1)).json()["study"]
    address = str(client.base_url).rstrip("/")
    given = {name: address if value == "SAME" else value for name, value in headers.items()}
    answer = client.post(f"/api/studies/{study}/sign", json={"reader": "ada"}, headers=given)
    assert answer.status_code == status
    assert client.get("/api/worklist").json()["total"] == (0 if status == 200 else 1)


def test_a_reader_chooses_a_name_and_is_led_back_only_here(client: httpx.Client) -> None:
    """The name stands on the pages; a form cannot send the reader to another host."""
    answer = client.post("/reader", data={"name": "Ada Löv", "role": "resident", "back": "/upload"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/upload")
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().replace(" ", "").split(";"))
    assert "Ada Löv" in client.get("/").text
    for back in ("//evil.example", "/\\evil.example", "http://evil.example"):
        assert client.post("/reader", data={"name": "a", "back": back}).headers["location"] == "/"
    assert client.post("/reader", data={"name": " "}).status_code == 422


def test_pages_of_the_list_follow_one_another(
    serve: Callable[..., object],
    settings: SiteSettings,
    png: Callable[..., bytes],
) -> None:
    """By the link at the foot every study is reached, each once; a broken link is told."""
    with serve(replace(settings, page_rows=3)) as client:  # type: ignore[attr-defined]
        for number in range(8):
            client.post("/api/studies", files={"images": ("a.png", png(number))}, data={"accession": f"A{number}"})
        seen: list[str] = []
        path = "/"
        while path:
            page = client.get(path).text
            seen += [part.split('"')[0] for part in page.split('data-study="')[1:]]
            path = (
                page.split('id="following" href="')[1].split('"')[0].replace("&amp;", "&")
                if "following" in page
                else ""
            )
        assert len(seen) == len(set(seen)) == 8
        assert client.get("/?after=nowhere").status_code == 422


def _write(settings: SiteSettings, number: int, event: TimelineEvent) -> None:
    folder = Path(settings.objects) / "rollouts" / event.environment
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number:08d}.json").write_text(event.to_json())


def test_the_rollout_page_tells_the_timeline(
    client: httpx.Client, settings: SiteSettings, clock: Callable[[], datetime]
) -> None:
    """From no model over a canary to a return: weights, reasons and the verdict's evidence are on the page."""
    assert "No model yet" in client.get("/rollout").text
    assert "no model yet" in client.get("/").text
    uri = f"{settings.objects}/verdicts/r1/stage.json"
    Path(uri).parent.mkdir(parents=True)
    verdict = Verdict.judge(
        "stage", "v2 at 10 %", ["p95 900 ms over 200 ms"], otherwise="", evidence=[{"what": "latency", "v2": 900.25}]
    )
    Path(uri).write_text(verdict.to_json())
    _write(settings, 1, TimelineEvent(NOW, "production", Stage.FIRST, "v1", "", {"v1": 100}))
    clock.forward(seconds=5)  # type: ignore[attr-defined]
    assert "v1 serves all of production" in client.get("/rollout").text
    _write(settings, 2, TimelineEvent(NOW + timedelta(1), "production", Stage.CANARY, "v1", "v2", {"v1": 90, "v2": 10}))
    clock.forward(seconds=5)  # type: ignore[attr-defined]
    assert "canary v2 at 10 %" in client.get("/").text
    reasons = ("p95 900 ms over 200 ms",)
    returned = TimelineEvent(NOW + timedelta(2), "production", Stage.RETURNED, "v1", "v2", {"v1": 100}, reasons, uri)
    _write(settings, 3, returned)
    clock.forward(seconds=5)  # type: ignore[attr-defined]
    page = client.get("/rollout").text
    assert "v1 serves again, v2 was returned" in page
    assert "returned here" in page
    assert "900.2" in page
    assert "p95 900 ms over 200 ms" in page


def test_a_broken_timeline_object_does_not_break_the_page(client: httpx.Client, settings: SiteSettings) -> None:
    """An object that is no event is left out; a verdict outside the verdicts folder is not read."""
    _write(settings, 1, TimelineEvent(NOW, "production", Stage.FIRST, "v1", "", {"v1": 100}, (), "/etc/passwd"))
    (Path(settings.objects) / "rollouts" / "production" / "00000002.json").write_text(json.dumps({"stage": "no"}))
    page = client.get("/rollout")
    assert page.status_code == 200
    assert "v1 serves all of production" in page.text
    assert "root:" not in page.text
