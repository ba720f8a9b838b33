from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rendering import Manifest, pick, render_chart

NAMES = {"chexpert-objects", "chexpert-tables", "chexpert-postgresql", "chexpert-site"}
USER = "jane:admin:$scrypt$n=16384,r=8,p=5$c2FsdA$aGFzaA"


def plain(secret: Manifest) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in secret["data"].items()}


def test_what_is_missing_is_invented_once(bundled: list[Manifest]) -> None:
    """One password in the URLs and at the server, one pair of keys in all three namespaces."""
    password = plain(pick(bundled, "Secret", "chexpert-postgresql"))["password"]
    tables = plain(pick(bundled, "Secret", "chexpert-tables"))
    for key, name in (("CHEXPERT_DATABASE", "chexpert"), ("MLFLOW_BACKEND_STORE_URI", "mlflow")):
        url = urlsplit(tables[key])
        assert (url.scheme, url.hostname, url.port) == (
            "postgresql+psycopg",
            "chexpert-postgresql.chexpert.svc",
            5432,
        )
        assert (url.username, url.password, url.path) == ("chexpert", password, f"/{name}")
    pairs = [
        pick(bundled, "Secret", "chexpert-objects", namespace)["data"]
        for namespace in ("chexpert", "chexpert-staging", "chexpert-production")
    ]
    assert pairs[0] == pairs[1] == pairs[2]
    assert len(plain(pick(bundled, "Secret", "chexpert-site"))["CHEXPERT_SESSION_KEY"]) >= 32


def test_secrets_made_beforehand_stay_the_only_ones(external: list[Manifest]) -> None:
    """Argo CD cannot look up what is there: with secrets.existing the chart makes none."""
    assert [m for m in external if m["kind"] == "Secret"] == []


def test_secrets_and_environments_outlive_the_release(bundled: list[Manifest]) -> None:
    """A volume that stays would be of no use without its password."""
    kept = [m for m in bundled if m["kind"] in {"Secret", "Namespace"}]
    assert {m["metadata"]["name"] for m in kept} == NAMES | {"chexpert-staging", "chexpert-production"}
    for manifest in kept:
        assert manifest["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(
    ("endpoint", "host", "https"),
    [("http://10.244.0.1:7070", "10.244.0.1:7070", "0"), ("https://s3.example.org", "s3.example.org", "1")],
)
def test_kserve_is_told_the_store(chart: Path, endpoint: str, host: str, https: str) -> None:
    """Host without a scheme, TLS as 0 or 1, region, and no buckets in host names."""
    store = {"endpoint": endpoint, "accessKey": "key", "secretKey": "secret", "bundled": {"enabled": False}}
    secret = pick(render_chart(chart, {"objects": store}), "Secret", "chexpert-objects", "chexpert-production")
    annotations = secret["metadata"]["annotations"]
    assert annotations["serving.kserve.io/s3-endpoint"] == host
    assert annotations["serving.kserve.io/s3-usehttps"] == https
    assert annotations["serving.kserve.io/s3-region"] == "us-east-1"
    assert plain(secret) == {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_users_of_the_values_are_the_secrets(chart: Path, bundled: list[Manifest]) -> None:
    """Without any the key is not the chart's, so that lines added by hand outlive upgrade and rollback."""
    assert "users" not in pick(bundled, "Secret", "chexpert-site")["data"]
    stated = pick(render_chart(chart, {"site": {"users": [USER, USER]}}), "Secret", "chexpert-site")
    assert plain(stated)["users"] == f"{USER}\n{USER}\n"


def test_no_password_stands_outside_a_secret(chart: Path) -> None:
    """Neither stated keys nor the URL of a database reach a ConfigMap, an argument or an annotation."""
    values = {
        "objects": {"accessKey": "stated-access", "secretKey": "stated-secret"},
        "postgresql": {
            "enabled": False,
            "external": {
                "siteURL": "postgresql+psycopg://u:stated-password@db.example.org/site",
                "mlflowURL": "postgresql+psycopg://u:stated-password@db.example.org/mlflow",
            },
        },
    }
    rest = [m for m in render_chart(chart, values) if m["kind"] != "Secret"]
    assert not [m for m in rest if "stated-" in str(m["metadata"]) + str(m.get("data")) + str(m.get("spec"))]
