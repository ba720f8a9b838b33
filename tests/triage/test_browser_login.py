"""Logging in with a real browser, by keys, and without script."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from chexpert.triage.settings import LoginSettings, SiteSettings

pytestmark = [
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH: apt-get install chromium"),
    pytest.mark.timeout(90),
]


@pytest.fixture
def live(
    serve: Callable[..., AbstractContextManager[httpx.Client]], settings: SiteSettings, users: Path
) -> Iterator[str]:
    with serve(replace(settings, login=LoginSettings(users, "k" * 32))) as client:
        yield str(client.base_url)


@pytest.fixture
def visit(browser: Browser, live: str) -> Iterator[Callable[..., Page]]:
    """Opens a page of a browser of its own; a script error or a blocked resource fails the test."""
    contexts = []
    problems: list[str] = []

    def _visit(*, script: bool = True) -> Page:
        size = {"width": 1360, "height": 820}
        contexts.append(browser.new_context(base_url=live, viewport=size, java_script_enabled=script))  # type: ignore[arg-type]
        contexts[-1].set_default_timeout(20_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda one: problems.append(one.text) if "Content Security" in one.text else None)
        return page

    yield _visit
    for context in contexts:
        context.close()
    assert problems == []


def _login(page: Page, name: str, password: str = "correct horse") -> None:  # noqa: S107  of the users made here
    expect(page.locator("input[name=name]")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_log_in_upload_and_read_by_keys(visit: Callable[..., Page], tmp_path: Path, png: Callable[..., bytes]) -> None:
    """A wrong password is asked again; then one lands where one wanted to go, uploads, reads, signs, logs out."""
    (tmp_path / "chest.png").write_bytes(png(1, 300))
    page = visit()
    page.goto("/upload")
    _login(page, "root", "wrong")
    expect(page.locator("[role=alert]")).to_have_text("Name or password is wrong.")
    expect(page.locator("input[name=password]")).to_be_focused()
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    page.wait_for_url("**/upload")
    page.set_input_files("#files", tmp_path / "chest.png")
    page.click("#send")
    expect(page.locator("#summary")).to_have_text("1 of 1 files taken")
    page.goto("/")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/**")
    expect(page.locator("#state")).to_contain_text("open · you")
    page.keyboard.press("p")
    expect(page.locator("#answered")).to_have_text("1 of 14 answered")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#empty")).to_contain_text("Nothing waits")
    page.goto("/?show=signed")
    expect(page.locator("#worklist tbody")).to_contain_text("signed · you")
    page.click("details.reader summary")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto("/")
    page.wait_for_url("**/login?next=*")


def test_the_login_needs_no_script(visit: Callable[..., Page]) -> None:
    """With JavaScript switched off one logs in and sees the list."""
    page = visit(script=False)
    page.goto("/")
    _login(page, "tom")
    page.wait_for_url("**/")
    expect(page.locator("details.reader summary")).to_contain_text("tom technician")


def test_a_list_whose_session_ended_leads_to_the_login(visit: Callable[..., Page], users: Path) -> None:
    """A worklist that refreshes itself does not go on showing what it may not ask for any more."""
    page = visit()
    page.goto("/")
    _login(page, "ada")
    expect(page.locator("#empty")).to_be_visible()
    users.write_text("".join(line for line in users.read_text().splitlines(keepends=True) if "ada" not in line))
    page.wait_for_url("**/login?next=*")
