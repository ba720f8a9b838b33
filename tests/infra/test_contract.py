"""Names that meet: variables of the code and keys of the cluster, and no secret among what is committed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chexpert.domain.places import Places
from infra_checks.objects import CHART, ROOT, charts, everything, values_files
from rendering import Manifest, lint_chart

CODE = re.compile(r"CHEXPERT_[A-Z0-9_]+|MLFLOW_[A-Z_]+|AWS_[A-Z0-9_]+")
SECRET = re.compile(r"(password|passwd|token|secret|secretKey|accessKey|apiKey|privateKey|users)$", re.IGNORECASE)
DATABASE = "CHEXPERT_DATABASE"
"""The one address with a password in it: it comes by a Secret."""


def data(kind: str, name: str) -> dict[str, str]:
    found = [m for m in charts()["charts/chexpert"] if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert found
    return dict(found[0]["data"])


def asked_by_workflows() -> set[str]:
    """Keys of the ConfigMap that parameters of workflows take."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "argo" / "workflows").glob("*.yaml"))
    return set(re.findall(r"configMapKeyRef: \{name: chexpert, key: (\w+)\}", text))


def test_the_config_map_holds_the_places_and_what_workflows_ask_for() -> None:
    """Each address the code reads is there, but for the database's; and none that nobody reads."""
    places = set(Places(**dict.fromkeys(Places.__dataclass_fields__, "x")).to_environment())
    held = {key for key in data("ConfigMap", "chexpert") if key.startswith("CHEXPERT_")}
    assert held >= places - {DATABASE}
    assert DATABASE in data("Secret", "chexpert-tables")
    assert held - places <= asked_by_workflows()


@pytest.mark.parametrize("name", ["chexpert-tables", "chexpert-site", "chexpert-objects"])
def test_every_key_of_a_secret_is_read_by_someone(name: str) -> None:
    """By the code, or by a program that the chart starts or a library that reads the environment."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    known = set(CODE.findall(code)) | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    command = yaml.safe_dump([m for m in charts()["charts/chexpert"] if m["kind"] in {"Deployment", "StatefulSet"}])
    assert not [key for key in data("Secret", name) if key not in known and key not in command]


def test_three_namespaces_hold_the_same_configuration() -> None:
    """A model's server, a step and the site read the same addresses."""
    found = [m for m in charts()["charts/chexpert"] if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "chexpert"]
    assert {m["metadata"]["namespace"] for m in found} == {"chexpert", "chexpert-staging", "chexpert-production"}
    assert all(m["data"] == found[0]["data"] for m in found)


def test_every_account_that_runs_something_is_made_by_someone() -> None:
    """Steps and servers name accounts of the chart or of kserve/."""
    made = {m["metadata"]["name"] for all_of in everything().values() for m in all_of if m["kind"] == "ServiceAccount"}
    named = set(re.findall(r"serviceAccountName: ([\w-]+)", yaml.safe_dump(list(everything().values()))))
    assert named <= made


@pytest.mark.parametrize(
    "values", [[], *([path] for path in values_files())], ids=lambda v: v[0].stem if v else "defaults"
)
def test_the_chart_is_without_complaint(values: list[Path]) -> None:
    """Strictly linted with every values file."""
    assert lint_chart(CHART, values) == []


def stated_secrets(node: Any, at: str = "") -> Iterator[str]:
    """Paths of values that look like secrets and are not empty."""
    match node:
        case dict():
            for key, value in node.items():
                if SECRET.search(str(key)) and isinstance(value, str | list) and value:
                    yield f"{at}{key}"
                yield from stated_secrets(value, f"{at}{key}.")
        case list():
            for entry in node:
                yield from stated_secrets(entry, at)


def test_no_secret_is_committed() -> None:
    """Values files state none, and no Secret stands in a manifest."""
    files = [CHART / "values.yaml", *values_files(), *(ROOT / "argo" / "cd").rglob("values*/*.yaml")]
    assert {
        path.name: found for path in files if (found := list(stated_secrets(yaml.safe_load(path.read_text()))))
    } == {}
    applied: list[Manifest] = [m for name, all_of in everything().items() if "charts/" not in name for m in all_of]
    assert [m["metadata"]["name"] for m in applied if m["kind"] == "Secret"] == []


@pytest.mark.parametrize(
    "values",
    [
        {"postgresql": {"password": "x"}},
        {"objects": {"secretKey": "x"}},
        {"site": {"users": ["a:reader:hash"]}},
        {"a": [{"token": "x"}]},
    ],
    ids=str,
)
def test_a_stated_secret_is_caught(values: dict[str, Any]) -> None:
    """At any depth; an empty one and a mapping are none."""
    assert list(stated_secrets(values))
    assert not list(stated_secrets({"password": "", "secrets": {"existing": True}, "users": []}))
