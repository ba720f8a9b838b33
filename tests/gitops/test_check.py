"""Which diffs may be merged."""

from itertools import pairwise

import pytest

from chexpert.gitops import promotion
from chexpert.gitops.check import check_diff

A, B = ("a" * 64, "b" * 64)
URI_A, URI_B = (f"s3://chexpert/bundles/sha256-{digest}" for digest in (A, B))


@pytest.fixture
def stable(empty: str) -> str:
    return promotion.first(empty, "v1", URI_A, A)


@pytest.fixture
def rolling(stable: str) -> str:
    return promotion.start_canary(stable, "v2", URI_B, B, 10)


def test_every_step_of_a_rollout_is_accepted(empty: str, stable: str, rolling: str) -> None:
    """First promotion, canary, weights, swap, the way back and dropping the 0 % slot all pass."""
    full = promotion.set_weight(rolling, "v2", 100)
    swapped = promotion.swap(full, "v2")
    steps = [empty, stable, rolling, promotion.set_weight(rolling, "v2", 50), full, swapped]
    for before, after in pairwise(steps):
        assert check_diff(before, after).passed
    assert check_diff(swapped, promotion.drop_slot(swapped)).passed


def test_dropping_a_version_with_traffic_is_refused(stable: str, rolling: str) -> None:
    """Neither the stable may vanish in the promoting commit, nor a canary that still gets requests."""
    dropped = stable.replace(" v1\n", " v2\n").replace(A, B)
    verdict = check_diff(stable, dropped)
    assert not verdict.passed
    assert "v1 gets 100 % of the traffic and would be dropped" in verdict.reasons[0]
    assert not check_diff(promotion.set_weight(rolling, "v2", 100), stable).passed


def test_a_change_outside_the_versions_is_refused(stable: str) -> None:
    """Metadata reaches every pod template: an edit of it restarts all of them."""
    edited = stable.replace("autoscalerClass: none", "autoscalerClass: hpa")
    verdict = check_diff(stable, edited)
    assert not verdict.passed
    assert "metadata.annotations.serving.kserve.io/autoscalerClass changes" in verdict.reasons[0]


def test_an_alias_or_a_foreign_digest_is_refused(stable: str) -> None:
    """What git names must never move, and must be what the pods expect."""
    moving = promotion.start_canary(stable, "v2", "models:/chexpert@champion", B, 10)
    assert "may move" in check_diff(stable, moving).reasons[0]
    foreign = promotion.start_canary(stable, "v2", URI_A, B, 10)
    assert "does not end in sha256-bbbb" in check_diff(stable, foreign).reasons[0]


def test_a_name_is_never_used_for_another_bundle(stable: str) -> None:
    """The same version name with other bytes is refused."""
    assert "never used twice" in check_diff(stable, stable.replace(A, B)).reasons[0]


def test_a_file_the_server_would_not_read_is_refused(stable: str) -> None:
    """What cannot be served cannot be merged."""
    assert not check_diff(stable, stable.replace("runtime: chexpert", "nodeSelector: {}")).passed
    assert not check_diff(stable, "{").passed
