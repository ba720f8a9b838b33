"""Every object against the schema of its kind, with unknown fields refused."""

import copy
import json
from typing import Any

import pytest

from infra_checks.builds import NoKustomize, program
from infra_checks.objects import everything, made_by_workflows
from infra_checks.schemas import NoSchema, complaints
from rendering import Manifest

GOOD: dict[str, Manifest] = {
    "Service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
    },
    "InferenceService": {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "a"},
        "spec": {
            "predictor": {"name": "v1", "model": {"modelFormat": {"name": "chexpert"}, "storageUri": "s3://a/b"}},
            "canary": [{"trafficPercent": 10, "predictor": {"name": "v2"}}],
        },
    },
    "CronWorkflow": {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": "a"},
        "spec": {
            "schedules": ["* * * * *"],
            "workflowSpec": {
                "entrypoint": "a",
                "templates": [{"name": "a", "container": {"image": "a:1"}, "retryStrategy": {"limit": "2"}}],
            },
        },
    },
    "HTTPRoute": {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "a"},
        "spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 90}]}]},
    },
    "Application": {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "a"},
        "spec": {
            "project": "a",
            "destination": {"server": "https://a"},
            "source": {"repoURL": "https://a", "helm": {"valuesObject": {"any": {"thing": 1}}}},
        },
    },
}
PLANTED = [
    ("Service", ("spec", "porst"), []),
    ("Service", ("spec", "ports", 0, "port"), "eighty"),
    ("InferenceService", ("spec", "canary", 0, "trafficPercent"), "ten"),
    ("InferenceService", ("spec", "canary", 0, "trafficPercentage"), 10),
    ("InferenceService", ("spec", "predictor", "model", "storageURI"), "s3://a/b"),
    ("CronWorkflow", ("spec", "workflowSpec", "templates", 0, "retryStratgy"), {}),
    ("CronWorkflow", ("spec", "workflowSpec", "templates", 0, "container", "comand"), ["a"]),
    ("CronWorkflow", ("spec", "schedules"), "* * * * *"),
    ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "wieght"), 90),
    ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "weight"), -1),
    ("Application", ("spec", "syncPolcy"), {}),
    ("Application", ("spec", "project"), None),
]


@pytest.fixture(scope="module")
def judged() -> tuple[list[str], set[str]]:
    distinct = {
        json.dumps(m, sort_keys=True): (where, m)
        for where, all_of in everything().items()
        for m in [*all_of, *made_by_workflows(all_of)]
    }
    found: list[str] = []
    unseen: set[str] = set()
    for where, manifest in distinct.values():
        try:
            found += [f"{where}: {complaint}" for complaint in complaints(manifest)]
        except NoSchema as missing:
            unseen.add(missing.kind)
    return found, unseen


def test_every_object_fits_the_schema_of_its_kind(judged: tuple[list[str], set[str]]) -> None:
    """Charts with all values, kustomizations and plain files: no unknown field, no wrong type, nothing missing."""
    assert judged[0] == []


def test_every_kind_has_a_schema_here(judged: tuple[list[str], set[str]]) -> None:
    """A kind that nothing describes on this machine is not checked, and named."""
    if unseen := judged[1]:
        pytest.skip(f"not checked, for want of a schema ($CHEXPERT_CRDS): {', '.join(sorted(unseen))}")


@pytest.mark.parametrize("kind", GOOD)
def test_a_right_object_has_no_complaint(kind: str) -> None:
    """The walk accepts what the API server accepts, unknown values of a free-form field included."""
    try:
        assert complaints(GOOD[kind]) == []
    except NoSchema as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(("kind", "path", "value"), PLANTED, ids=[f"{k}-{p[-1]}" for k, p, _ in PLANTED])
def test_a_wrong_field_is_refused(kind: str, path: tuple[str | int, ...], value: Any) -> None:
    """A misspelt field and a value of another type, deep in a core kind or a CRD's."""
    manifest: Any = copy.deepcopy(GOOD[kind])
    at = manifest
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    try:
        assert complaints(manifest)
    except NoSchema as missing:
        pytest.skip(str(missing))


def test_kustomizations_are_built_by_the_real_program() -> None:
    """Where there is none, their files are read, and this says so."""
    try:
        assert program()
    except NoKustomize as missing:
        pytest.skip(str(missing))
