"""Reading an InferenceService file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.bundle.store import BundleRef
from chexpert.serving.isvc import BadServedFile, UnreadableServedFile, parse, read

KSERVE = Path(__file__).parents[2] / "kserve"
ONE = BundleRef(f"s3://objects/bundles/sha256-{'a' * 64}", "a" * 64)
TWO = BundleRef(f"s3://objects/bundles/sha256-{'b' * 64}", "b" * 64)

Write = Callable[..., str]


def test_stable_and_canary_are_read(isvc_text: Write) -> None:
    """Names, addresses, digests and shares come from the file; the stable has what the canaries leave."""
    served = parse(isvc_text(("v1", ONE), ("v2", TWO, 10)), where="f")
    assert served.weights == {"v1": 90, "v2": 10}
    assert [(v.storage_uri, v.digest) for v in served.versions] == [(ONE.uri, ONE.digest), (TWO.uri, TWO.digest)]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_shipped_files_are_served_and_empty(environment: str) -> None:
    """The files that a new platform begins with are read, and hold no model."""
    assert read(KSERVE / environment / "inferenceservice.yaml").stable is None


def test_empty_predictor_is_no_model(isvc_text: Write) -> None:
    """`predictor: {}` is an environment before its first promotion."""
    assert parse(isvc_text(None), where="f").versions == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("minReplicas: 1", "maxReplicas: 1", 11, "spec.predictor.maxReplicas"),
        ("  name: chexpert\n  ann", "  name: other\n  ann", 4, "metadata.name"),
        ("Standard", "Serverless", 6, "deploymentMode"),
        ("    serving.kserve.io/autoscalerClass: none\n", "", 6, "autoscalerClass"),
        ("spec:", "transformer: {}\nspec:", 8, "transformer"),
        ("  predictor:\n    name", "  explainer: {}\n  predictor:\n    name", 9, "spec.explainer"),
        ("protocolVersion: v2", "protocolVersion: v1", 16, "protocolVersion"),
        ("storageUri:", "storageUris:", 13, "storageUri"),
        ("name: CHEXPERT_VERSION", "name: OTHER", 19, "env[0].name"),
        ("value: v1", "value: v3", 18, "env"),
        (f"value: {ONE.digest}", "value: abc", 18, "env"),
        ("trafficPercent: 10", "trafficPercent: 101", 24, "canary[0].trafficPercent"),
        ("trafficPercent: 10", "trafficPercent: ten", 24, "canary[0].trafficPercent"),
        ("name: v1\n", "name: stable\n", 10, "spec.predictor.name"),
    ],
)
def test_what_is_not_served_is_refused_by_name_and_line(
    isvc_text: Write, old: str, new: str, line: int, field: str
) -> None:
    """A key or value outside the subset is an error that names it and where it stands."""
    text = isvc_text(("v1", ONE), ("v2", TWO, 10))
    assert old in text
    with pytest.raises(BadServedFile) as caught:
        parse(text.replace(old, new, 1), where="isvc.yaml")
    assert field in caught.value.field
    assert caught.value.line == line
    assert f"isvc.yaml, line {line}" in str(caught.value)


def test_shares_over_a_hundred_are_refused(isvc_text: Write) -> None:
    """Two canaries may not ask for more than all the traffic."""
    with pytest.raises(BadServedFile, match="110 %"):
        parse(isvc_text(("v1", ONE), ("v2", TWO, 60), ("v3", TWO, 50)), where="f")


def test_a_name_twice_is_refused(isvc_text: Write) -> None:
    """Stable and canary cannot be the same version."""
    with pytest.raises(BadServedFile, match="v1 is named twice"):
        parse(isvc_text(("v1", ONE), ("v1", TWO, 10)), where="f")


def test_a_canary_without_stable_is_refused(isvc_text: Write) -> None:
    """A canary needs something to be compared with."""
    text = isvc_text(None) + "  canary:\n  - trafficPercent: 10\n    predictor: {}\n"
    with pytest.raises(BadServedFile, match="needs a named stable"):
        parse(text, where="f")


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "- 1", ""])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    """Broken YAML, a key twice, a list and an empty file are refused with a line."""
    with pytest.raises(BadServedFile, match="f, line"):
        parse(text, where="f")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(UnreadableServedFile, match=r"none\.yaml"):
        read(tmp_path / "none.yaml")
