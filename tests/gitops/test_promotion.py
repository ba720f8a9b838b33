"""Edits of one InferenceService text."""

from itertools import pairwise
from pathlib import Path

import pytest

from chexpert.gitops import promotion
from chexpert.gitops.check import check_diff
from chexpert.gitops.errors import AlreadyRollingOut, AlreadyServed, BrokenInferenceService, NoCanary
from chexpert.serving.isvc import parse

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def uri(digest: str) -> str:
    return f"s3://chexpert/bundles/sha256-{digest}"


@pytest.fixture
def stable(empty: str) -> str:
    return promotion.first(empty, "v1", uri(A), A)


@pytest.fixture
def rolling(stable: str) -> str:
    return promotion.start_canary(stable, "v2", uri(B), B, 10)


def weights(text: str) -> dict[str, int]:
    return parse(text, where="test").weights


def test_the_first_promotion_writes_a_file_the_server_reads(empty: str, stable: str) -> None:
    """An empty environment becomes one stable with all the traffic, its bundle pinned by digest; comments stay."""
    served = parse(stable, where="test")
    assert served.stable is not None
    assert (served.stable.name, served.stable.storage_uri, served.stable.digest) == ("v1", uri(A), A)
    assert served.weights == {"v1": 100}
    assert "# the model's name in every URL" in stable
    assert "# Written by the first promotion." in stable
    assert stable.startswith(empty.partition("spec:")[0])


def test_the_first_promotion_is_refused_where_a_stable_is(stable: str) -> None:
    """`first` never overwrites a served version."""
    with pytest.raises(AlreadyServed, match="v1 is served already"):
        promotion.first(stable, "v2", uri(B), B)


def test_weights_follow_the_ramp(rolling: str) -> None:
    """10, 50, 100 and the swap give each version the share it should have; the swap keeps the old one at 0 %."""
    assert weights(rolling) == {"v1": 90, "v2": 10}
    half = promotion.set_weight(rolling, "v2", 50)
    assert weights(half) == {"v1": 50, "v2": 50}
    swapped = promotion.swap(promotion.set_weight(half, "v2", 100), "v2")
    assert weights(swapped) == {"v2": 100, "v1": 0}


def test_a_swap_is_its_own_way_back(rolling: str) -> None:
    """Swapping twice restores both versions' definitions word by word."""
    full = promotion.set_weight(rolling, "v2", 100)
    back = promotion.swap(promotion.set_weight(promotion.swap(full, "v2"), "v1", 100), "v1")
    assert weights(back) == {"v1": 100, "v2": 0}
    assert promotion.withdraw(back, "v2") == promotion.withdraw(full, "v2")


def test_a_version_keeps_its_pod_template_across_the_swap(stable: str) -> None:
    """What is written of a version beside its replicas is equal in both roles: its pods need no restart."""
    stable = stable.replace("    minReplicas: 2\n", "    minReplicas: 3\n    serviceAccountName: puller\n")
    full = promotion.start_canary(stable, "v2", uri(B), B, 100)
    edited = full.replace("serviceAccountName: puller", "serviceAccountName: other", 1)  # a person edits the stable
    swapped = promotion.swap(edited, "v2")
    before, after = roles(edited), roles(swapped)
    assert after["v1"] == before["v1"]
    assert after["v2"] == before["v2"]
    assert before["v1"] != before["v2"]


def roles(text: str) -> dict[str, dict[str, object]]:
    from ruamel.yaml import YAML

    spec = YAML(typ="safe", pure=True).load(text)["spec"]
    predictors = [spec["predictor"], *(entry["predictor"] for entry in spec.get("canary", []))]
    return {p["name"]: {k: v for k, v in p.items() if k != "minReplicas"} for p in predictors}


def test_the_version_kept_at_zero_has_a_pod(rolling: str) -> None:
    """At 0 % a canary without minReplicas has no pod; the way back needs one. While ramping none is fixed."""
    swapped = promotion.swap(promotion.set_weight(rolling, "v2", 100), "v2")
    stable_part, kept = swapped.split("canary:")
    assert "minReplicas: 1" in kept
    assert "minReplicas" not in rolling.split("canary:")[1]
    assert "minReplicas: 2" in stable_part
    ramped = promotion.set_weight(swapped, "v1", 50)
    assert "minReplicas" not in ramped.split("canary:")[1]


def test_a_new_candidate_takes_the_place_of_the_version_kept_at_zero(rolling: str) -> None:
    """The old version at 0 % goes when the next rollout begins; a canary with traffic stands in its way."""
    swapped = promotion.swap(promotion.set_weight(rolling, "v2", 100), "v2")
    assert weights(promotion.start_canary(swapped, "v3", uri(C), C, 10)) == {"v2": 90, "v3": 10}
    with pytest.raises(AlreadyRollingOut, match="v2 is still being rolled out"):
        promotion.start_canary(rolling, "v3", uri(C), C, 10)


def test_withdrawing_restores_the_text(stable: str, rolling: str) -> None:
    """Taking the canary away leaves exactly the text from before it came."""
    assert promotion.withdraw(rolling, "v2") == stable
    with pytest.raises(NoCanary, match="v9"):
        promotion.withdraw(rolling, "v9")


def test_dropping_the_slot_touches_only_versions_without_traffic(rolling: str) -> None:
    """`drop_slot` removes a version at 0 % and leaves one with traffic alone."""
    swapped = promotion.swap(promotion.set_weight(rolling, "v2", 100), "v2")
    assert weights(promotion.drop_slot(swapped)) == {"v2": 100}
    assert weights(promotion.drop_slot(rolling)) == weights(rolling)


def test_replacing_keeps_the_old_version_beside_the_new(stable: str) -> None:
    """A direct promotion is a swap without a ramp."""
    assert weights(promotion.replace(stable, "v2", uri(B), B)) == {"v2": 100, "v1": 0}


@pytest.mark.parametrize("offset", [0, 2])
def test_lists_keep_their_indentation(stable: str, offset: int) -> None:
    """A file indents its lists one way or the other; an edit does not reformat it."""
    lines = stable.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip() == "env:")
    own = len(lines[at]) - len(lines[at].lstrip())
    env = [
        " " * (own + offset) + line.strip() if line.strip().startswith("-") else " " * (own + offset + 2) + line.strip()
        for line in lines[at + 1 :]
    ]
    text = "\n".join([*lines[: at + 1], *env]) + "\n"
    rolling = promotion.start_canary(text, "v2", uri(B), B, 10)
    assert rolling.startswith(text)
    assert promotion.withdraw(rolling, "v2") == text


def test_no_yaml_is_refused_with_its_line() -> None:
    """A file that is no YAML is named with the line."""
    with pytest.raises(BrokenInferenceService, match="line 3"):
        promotion.first("spec:\n  a: [\n", "v1", uri(A), A)
    with pytest.raises(BrokenInferenceService, match="spec must be"):
        promotion.first("kind: Service\n", "v1", uri(A), A)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_checkouts_own_files_take_a_whole_rollout(environment: str) -> None:
    """kserve/ as shipped: first, canary and swap are accepted, every comment survives, both roles spell out all."""
    path = Path(__file__).parents[2] / "kserve" / environment / "inferenceservice.yaml"
    text = path.read_text(encoding="utf-8")
    steps = [text, promotion.first(text, "v1", uri(A), A)]
    steps.append(promotion.start_canary(steps[-1], "v2", uri(B), B, 10))
    steps.append(promotion.set_weight(steps[-1], "v2", 100))
    steps.append(promotion.swap(steps[-1], "v2"))
    for before, after in pairwise(steps):
        assert check_diff(before, after).passed
        assert comments(text) <= comments(after)
    assert roles(steps[-2]) == roles(steps[-1])
    assert roles(steps[-1])["v1"].keys() == roles(steps[-1])["v2"].keys()


def comments(text: str) -> set[str]:
    return {line[line.index("#") :].strip() for line in text.splitlines() if "#" in line}
