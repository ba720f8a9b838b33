"""The site in Chromium, through the gateway: its host name leads to the gateway's address, as DNS would."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from cluster_harness.world import World

__all__ = ["logged_in", "missing"]


def missing() -> str:
    """Why there is no browser, as a reason to skip; empty when there is one."""
    return "" if shutil.which("chromium") else "no chromium on PATH: apt-get install chromium"


@contextmanager
def logged_in(world: World, name: str, password: str) -> Iterator[Page]:
    """A page of the site, after the login form."""
    address, _, port = world.gateway.partition(":")
    flags = [
        "--no-sandbox",
        "--disable-background-networking",
        f"--host-resolver-rules=MAP {world.site_host} {address}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(
            base_url=f"http://{world.site_host}:{port or 80}", viewport={"width": 1360, "height": 820}
        )
        page.set_default_timeout(30_000)
        page.goto("/login")
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        yield page
        browser.close()
