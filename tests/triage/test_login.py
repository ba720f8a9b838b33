"""A site with users: who gets in, as whom, for how long, and what is told to the others."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from chexpert.triage.passwords import PasswordHash
from chexpert.triage.settings import LoginSettings, SiteSettings

PASSWORD = "correct horse"  # noqa: S105  of the users made here
PUBLIC = "https://triage.example.org"


def _hash(password: str) -> str:
    """Cheap, so that a test costs no scrypt."""
    blank = PasswordHash(b"salt", bytes(32), n=2, p=1)
    return replace(blank, digest=blank.derive(password)).to_text()


@pytest.fixture
def guarded(
    serve: Callable[..., AbstractContextManager[httpx.Client]], settings: SiteSettings, users: Path, clock: Any
) -> Iterator[httpx.Client]:
    with serve(replace(settings, login=LoginSettings(users, "k" * 32)), clock) as client:
        yield client


def _login(client: httpx.Client, name: str = "ada", password: str = PASSWORD, target: str = "/") -> httpx.Response:
    return client.post("/login", data={"name": name, "password": password, "next": target})


def _page(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path, headers={"accept": "text/html"})


def test_nothing_is_shown_without_a_login(guarded: httpx.Client) -> None:
    """Pages lead to the login, which remembers them; programs are told how; paths that nobody made are shut."""
    for path in ("/", "/?show=late&q=a", "/dashboard", "/rollout", "/upload", "/studies/x", "/reports/r/n.html"):
        answer = _page(guarded, path)
        assert answer.status_code == 303
        assert httpx.URL(answer.headers["location"]).params["next"] == path
    for path in ("/", "/api/worklist", "/openapi.json", "/studies/x/images/y.png", "/nowhere", "/static"):
        assert guarded.get(path).status_code == 401
        assert guarded.get(path).headers["www-authenticate"].startswith("Basic ")
    assert guarded.post("/api/studies", files={"images": b"x"}).status_code == 401


def test_probes_the_login_and_its_looks_are_open(guarded: httpx.Client) -> None:
    """What tells nothing of a patient needs no name; a kubelet calls by the pod's address."""
    for path in ("/live", "/ready", "/healthz", "/login", "/static/pages.css"):
        assert guarded.get(path).status_code == 200
    foreign = {"host": "10.244.0.7:8800"}
    assert [guarded.get(path, headers=foreign).status_code for path in ("/live", "/ready")] == [200, 200]
    assert [guarded.get(path, headers=foreign).status_code for path in ("/healthz", "/login", "/")] == [421] * 3


def test_a_login_leads_where_one_wanted_to_go(guarded: httpx.Client) -> None:
    """The cookie is out of reach of scripts and other sites; with it the page is there."""
    answer = _login(guarded, target="/?show=late")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?show=late")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/", "max-age=43200"))
    assert "secure" not in cookie
    assert "ada" in _page(guarded, "/?show=late").text
    assert _page(guarded, "/login?next=/rollout").headers["location"] == "/rollout"


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\t/evil.example", "/login?next=/"]
)
def test_a_login_leads_nowhere_else(guarded: httpx.Client, target: str) -> None:
    """Only to a path of this site, and not round in circles."""
    assert _login(guarded, target=target).headers["location"] == "/"


def test_a_refused_login_does_not_say_what_was_wrong(guarded: httpx.Client) -> None:
    """A wrong password, a name that nobody has and an empty form look alike, but for the name that was typed."""
    texts = {
        _login(guarded, name, password).text.replace(f'value="{name}"', 'value=""')
        for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("ada", ""))
    }
    assert len(texts) == 1
    assert "Name or password is wrong." in texts.pop()
    assert _login(guarded, "ada", "wrong").status_code == 401
    assert "session" not in guarded.cookies


def test_too_many_tries_are_told_to_wait(guarded: httpx.Client, clock: Any) -> None:
    """By the page and by Basic alike; then even the right password waits; others are not held up."""
    for _ in range(5):
        assert _login(guarded, "ada", "wrong").status_code == 401
    late = _login(guarded, "ada", PASSWORD)
    assert (late.status_code, "wait 1 s" in late.text) == (429, True)
    basic = guarded.get("/api/worklist", auth=("ada", PASSWORD))
    assert (basic.status_code, basic.headers["retry-after"]) == (429, "1")
    assert guarded.get("/api/worklist", auth=("tom", PASSWORD)).status_code == 200
    clock.forward(seconds=2)
    assert _login(guarded, "ada", PASSWORD).status_code == 303


def test_programs_use_basic(guarded: httpx.Client, png: Callable[..., bytes]) -> None:
    """As curl -u does: upload and read the list; a wrong password, and a header that is no Basic, are 401."""
    sent = guarded.post("/api/studies", files={"images": png(1)}, auth=("tom", PASSWORD))
    assert sent.status_code == 201
    assert guarded.get("/api/worklist", auth=("tom", PASSWORD)).json()["total"] == 1
    assert guarded.get("/api/worklist", auth=("tom", "wrong")).status_code == 401
    for header in ("Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer x"):
        assert guarded.get("/api/worklist", headers={"authorization": header}).status_code == 401


def test_each_role_does_its_own_work(guarded: httpx.Client, png: Callable[..., bytes]) -> None:
    """A technician does not see images nor sign, a radiologist does not upload; the page says so as a page."""
    study = guarded.post("/api/studies", files={"images": png(1)}, auth=("tom", PASSWORD)).json()["study"]
    sign = f"/api/studies/{study}/sign"
    assert guarded.post(sign, json={}, auth=("tom", PASSWORD)).status_code == 403
    assert guarded.get(f"/studies/{study}", auth=("tom", PASSWORD)).status_code == 403
    assert guarded.post("/api/studies", files={"images": png(2)}, auth=("ada", PASSWORD)).status_code == 403
    _login(guarded, "tom")
    page = _page(guarded, f"/studies/{study}")
    assert (page.status_code, "tom is logged in as technician" in page.text) == (403, True)
    assert 'href="/upload"' in _page(guarded, "/").text
    _login(guarded, "ada")
    assert 'href="/upload"' not in _page(guarded, "/").text
    assert guarded.post(sign, json={}).status_code == 200


def test_answers_bear_the_name_of_the_login(guarded: httpx.Client, png: Callable[..., bytes]) -> None:
    """Whatever a form says: no name is needed, another one is refused, the role is the login's."""
    study = guarded.post("/api/studies", files={"images": png(1)}, auth=("root", PASSWORD)).json()["study"]
    auth = ("ada", PASSWORD)
    opened = guarded.post(f"/api/studies/{study}/open", json={}, auth=auth)
    assert opened.json()["reader"] == "ada"
    forged = guarded.post(f"/api/studies/{study}/open", json={"reader": "bob", "take_over": True}, auth=auth)
    assert (forged.status_code, "nobody acts as bob" in forged.text) == (403, True)
    assert guarded.post("/reader", data={"name": "bob"}, auth=auth).status_code == 404


def test_a_session_ends_when_nobody_uses_it(guarded: httpx.Client, clock: Any) -> None:
    """Twelve idle hours end it; a page opened in between prolongs it, a worklist refreshing itself does not."""
    _login(guarded)
    refresh = {"accept": "text/html", "sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
    navigate = {**refresh, "sec-fetch-mode": "navigate"}
    clock.forward(hours=8)
    assert guarded.get("/", headers=navigate).headers["set-cookie"]
    clock.forward(hours=8)
    assert "set-cookie" not in guarded.get("/", headers=refresh).headers
    clock.forward(hours=8)
    ended = guarded.get("/", headers=refresh)
    assert (ended.status_code, ended.headers["www-authenticate"]) == (401, 'Session realm="chexpert"')
    assert guarded.get("/", headers=navigate).status_code == 303


def test_another_password_ends_the_sessions_of_the_old(guarded: httpx.Client, users: Path) -> None:
    """So does removing the user; a cookie that was changed is none."""
    _login(guarded)
    assert _page(guarded, "/").status_code == 200
    users.write_text(f"ada:radiologist:{_hash('another one')}\n")
    assert _page(guarded, "/").status_code == 303
    _login(guarded, "ada", "another one")
    assert _page(guarded, "/").status_code == 200
    value = guarded.cookies["session"]
    for forged in (value[:-2] + "xx", value[1:], "", "x.y"):
        guarded.cookies.set("session", forged)
        assert _page(guarded, "/").status_code == 303


def test_with_nobody_in_the_file_nobody_gets_in(guarded: httpx.Client, users: Path) -> None:
    """The login page is there, every name is refused; the first user that is added can log in."""
    users.write_text("# nobody yet\n")
    assert _login(guarded).status_code == 401
    assert guarded.get("/api/worklist", auth=("ada", PASSWORD)).status_code == 401
    users.write_text(f"ada:radiologist:{_hash(PASSWORD)}\n")
    assert _login(guarded).status_code == 303


def test_a_proven_password_is_asked_again_once_it_changed(guarded: httpx.Client, users: Path) -> None:
    """What Basic remembers holds for that hash alone."""
    assert guarded.get("/api/worklist", auth=("ada", PASSWORD)).status_code == 200
    users.write_text(f"ada:radiologist:{_hash('another one')}\n")
    assert guarded.get("/api/worklist", auth=("ada", PASSWORD)).status_code == 401


def test_logging_out_takes_cookie_and_kept_images(guarded: httpx.Client) -> None:
    """The next reader at this desk finds neither."""
    _login(guarded)
    answer = guarded.post("/logout")
    assert (answer.status_code, answer.headers["clear-site-data"]) == (303, '"cache"')
    assert _page(guarded, "/").status_code == 303


def test_behind_a_gateway_the_public_address_counts(
    serve: Callable[..., AbstractContextManager[httpx.Client]], settings: SiteSettings, users: Path
) -> None:
    """TLS ends at the gateway: the page's origin is https though the request comes by http; nothing else is ours."""
    site = replace(settings, public_url=PUBLIC, login=LoginSettings(users, "k" * 32))
    form = {"name": "ada", "password": PASSWORD}
    with serve(site) as client:

        def post(host: str, origin: str) -> httpx.Response:
            return client.post("/login", data=form, headers={"host": host, "origin": origin})

        inside = post("triage.example.org", PUBLIC)
        assert inside.status_code == 303
        assert inside.headers["set-cookie"].startswith("__Host-session=")
        assert "Secure" in inside.headers["set-cookie"]
        assert post("triage.example.org", f"{PUBLIC}:443").status_code == 303
        for origin in ("http://triage.example.org", "https://evil.example", "null", f"{PUBLIC}:8443", "https://["):
            assert post("triage.example.org", origin).status_code == 403
        assert post("evil.example", PUBLIC).status_code == 421
        assert post("[", PUBLIC).status_code == 421
        local = client.base_url.netloc.decode()
        assert post(local, f"http://{local}").status_code == 303


def test_settings_that_protect_nothing_are_refused(users: Path) -> None:
    """A short key, or a public URL that is none, ends the start."""
    from chexpert.triage.errors import NotAllowed

    with pytest.raises(NotAllowed, match="32 bytes"):
        LoginSettings(users, "k" * 31)
    for url in ("triage.example.org", "ftp://x", "https://", "https://x/triage"):
        with pytest.raises(NotAllowed, match="public URL"):
            SiteSettings("", "", public_url=url)
    assert "k" * 32 not in repr(LoginSettings(users, "k" * 32))
