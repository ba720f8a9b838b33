"""The chart: ready, upgraded, rolled back, its site used through the gateway, its database killed; nothing is lost."""

import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import expect

from cluster_harness import browser
from cluster_harness.installing import SITE_PASSWORD, SITE_USER
from cluster_harness.kube import until
from cluster_harness.site import Site
from cluster_harness.table import Facts
from cluster_harness.world import ROOT, World

pytestmark = pytest.mark.timeout(600)


def test_everything_the_chart_installs_is_ready_and_restricted(world: World, facts: Facts) -> None:
    """Site, worker, MLflow, PostgreSQL and S3, none as root."""
    chart = "app.kubernetes.io/part-of=chexpert,app.kubernetes.io/instance"
    pods = world.kube.pods(world.namespaces["platform"], chart)
    ready = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: _ready(pod) for pod in pods}
    assert set(ready) >= {"site", "worker", "mlflow", "postgresql", "s3"}
    assert all(ready.values()), ready
    assert all(pod["spec"]["securityContext"]["runAsNonRoot"] for pod in pods)
    facts.saw(1, "components ready", ", ".join(sorted(ready)))


def test_an_upload_through_the_gateway_is_listed(world: World, upload: bytes, facts: Facts) -> None:
    """As a modality sends it, with the name and password of a user; without them it is turned away."""
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        study = site.upload(upload, "gateway.png")
        assert study in site.listed()
    with Site(world, "", "") as stranger:
        assert stranger.try_upload(upload, "stranger.png") == httpx.codes.UNAUTHORIZED
    facts.saw(1, "upload through the gateway", f"listed as {study}; without a login 401")


def test_a_study_is_uploaded_in_the_web_page(world: World, upload: bytes, tmp_path: Path, facts: Facts) -> None:
    """As a person does it, in Chromium: log in, choose a file, send it; the worklist has one study more."""
    if reason := browser.missing():
        facts.saw(1, "upload in the web page", f"not seen: {reason}")
        pytest.skip(reason)
    (tmp_path / "chest.png").write_bytes(upload)
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        before = site.listed()
    with browser.logged_in(world, SITE_USER, SITE_PASSWORD) as page:
        page.goto("/upload")
        page.set_input_files("#files", tmp_path / "chest.png")
        page.click("#send")
        expect(page.locator("#summary")).to_have_text("1 of 1 files taken")
        href = page.locator("#results a").get_attribute("href") or ""
        page.goto("/")
        expect(page.locator(f"tr[data-study='{href.rpartition('/')[2]}']")).to_be_visible()
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        assert site.listed() - before == {href.rpartition("/")[2]}
    facts.saw(1, "upload in the web page, by Chromium through the gateway", "logged in, sent, on the worklist")


def test_upgrade_and_rollback_keep_the_data(world: World, upload: bytes, facts: Facts) -> None:
    """A release with another name of the site, then the one before again: each study is still on the list."""
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        study = site.upload(upload, "upgrade.png")
        before = site.listed()
        world.helm_upgrade({"site": {"resources": {"requests": {"cpu": "60m"}}}})
        assert site.listed() == before
        world.helm_rollback()
        assert study in site.listed()
        assert site.listed() == before
    facts.saw(1, "helm upgrade, helm rollback", f"both ready, {len(before)} studies before and after each")


def test_killing_postgresql_loses_nothing_that_was_accepted(world: World, facts: Facts) -> None:
    """Uploads go on while the database's pod is killed: what was answered 2xx is listed, the rest was answered 503."""
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        sender = threading.Thread(target=site.send_for, args=(40.0,), daemon=True)
        sender.start()
        time.sleep(5)
        world.kube.kubectl(
            "delete", "pod", "chexpert-postgresql-0", "-n", world.namespaces["platform"], "--grace-period=0", "--force"
        )
        sender.join(timeout=120)
        listed = until("the site", 90, site.listed)
        lost = [study for study in site.accepted if study not in listed]
        facts.saw(
            1,
            "PostgreSQL's pod killed under uploads",
            f"{len(site.accepted)} accepted, {len(lost)} lost; meanwhile {dict(site.refused) or 'none'} refused",
        )
        assert site.accepted
        assert not lost
        assert set(site.refused) <= {503}


def test_mlflow_and_the_objects_answer_inside_only(world: World, facts: Facts) -> None:
    """Both are there for pods; neither has a route from outside."""
    routes = world.kube.get("httproutes", namespace=world.namespaces["platform"])["items"]
    names = {route["metadata"]["name"] for route in routes}
    assert not {name for name in names if "mlflow" in name or "s3" in name}
    values = yaml.safe_load((ROOT / "charts/chexpert/values.yaml").read_text())
    assert values["objects"]["bundled"]["enabled"]
    facts.saw(1, "routes from outside", ", ".join(sorted(names)))


def _ready(pod: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
