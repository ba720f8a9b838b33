"""A whole rollout by pull requests, synced by Argo CD, driven by the workflow `rollout`, under load."""

import json
import time
from typing import Any

import pytest

from chexpert.data import objects
from cluster_harness.installing import FAULTY_RUNTIME, FAULTY_VERSION
from cluster_harness.kube import CommandFailed, until
from cluster_harness.load import Load
from cluster_harness.table import Facts
from cluster_harness.world import Promoted, World

pytestmark = pytest.mark.timeout(1500)

TOLERANCE = 3.0
"""Percentage points between a weight and the share of the answers."""


def test_a_rollout_loses_no_request_keeps_its_pods_and_leaves_a_way_back(
    world: World, first: Promoted, second: Promoted, facts: Facts
) -> None:
    """10 → 50 → 100 → names swapped, then the swap back; every answer counted."""
    assert world.production.stable() == first.version
    health: list[str] = []
    load = Load(f"http://{world.gateway}", world.host(world.production), world.images).start()
    try:
        for weight in (10, 50, 100):
            load.step = f"to {weight}"
            world.advance_until(lambda w=weight: world.production.committed().weights.get(second.version) == w, health)
            seconds = world.until_routed({first.version: 100 - weight, second.version: weight}, health)
            time.sleep(3)  # a changed route is live up to 2 s later
            load.step = f"at {weight}"
            time.sleep(15)
            share = load.share(f"at {weight}", second.version)
            counted = sum(load.counts[f"at {weight}"].values())
            facts.saw(
                5,
                f"weight {weight} on the route after {seconds:.0f} s",
                f"{share:.1f} % of {counted} answers by {second.version}",
            )
            assert abs(share - weight) <= TOLERANCE
        before = world.production.uids(second.version)
        load.step = "to the swap"
        world.advance_until(lambda: world.production.stable() == second.version, health)
        world.until_routed({second.version: 100}, health)
        load.step = "swapped"
        time.sleep(10)
        after = world.production.uids(second.version)
        kept = len(before & after)
        facts.saw(
            5,
            "pods of the new stable over the swap",
            f"{kept} of {len(before)} kept, restarts {world.production.restarts()}",
        )
        assert kept >= 1
        assert world.production.restarts() == 0
        load.step = "way back"
        world.swap_back(second.version, first.version)
        seconds = world.until_routed({first.version: 100}, health)
        time.sleep(5)
        facts.saw(5, "the way back, one commit", f"{first.version} answers again after {seconds:.0f} s")
        world.swap_back(first.version, second.version)
        world.until_routed({second.version: 100}, health)
        time.sleep(5)
    finally:
        load.stop()
    replayed = _replays(world, second)
    facts.saw(
        5, "shadow replays of uploaded images, straight to both versions", f"{replayed['images']} answered by both"
    )
    assert replayed["images"]
    assert not replayed["stable_failed"]
    facts.saw(5, "answers over the whole rollout", f"{load.total}, other than 200: {load.bad or 0}")
    assert not load.bad
    assert set(health) >= {"Progressing", "Healthy"}
    facts.saw(5, "Argo CD's health of the environment meanwhile", " → ".join(health))


def _replays(world: World, version: Promoted) -> dict[str, Any]:
    """What the verdict on the first stage of this canary says of them."""
    told = [e["verdict_uri"] for e in world.timeline("production") if e["canary"] == version.version]
    verdicts = [json.loads(objects.read_bytes(uri)) for uri in told if uri]
    return next(row for verdict in verdicts for row in verdict["evidence"] if row["what"] == "shadow replays")


def test_a_planted_fault_returns_by_itself(world: World, second: Promoted, facts: Facts) -> None:
    """A canary that fails half of its requests gets 10 %, is judged, and is reverted."""
    version = FAULTY_VERSION
    world.propose(Promoted(version, second.uri, second.digest), runtime=FAULTY_RUNTIME)
    load = Load(f"http://{world.gateway}", world.host(world.production), world.images).start()
    try:
        world.advance_until(lambda: world.production.committed().weights.get(version) == 10, [])
        world.until_routed({second.version: 90, version: 10}, [])
        world.advance_until(lambda: version not in world.production.committed().weights, [])
        world.until_routed({second.version: 100}, [])
    finally:
        load.stop()
    event = world.timeline("production")[-1]
    assert event["stage"] == "returned"
    facts.saw(5, "a canary with planted errors", f"returned by itself: {'; '.join(event['reasons'])[:200]}")


def test_a_commit_that_drops_the_routed_version_is_refused_before_it_reaches_git(
    world: World, second: Promoted, facts: Facts
) -> None:
    """`chexpert pr check` as the Git host's own hook: the push is turned down, and the host's main stays as it was."""
    before = world.git.pull()
    dropped = world.production.text()
    for field in ("name", "value"):
        dropped = dropped.replace(f"{field}: {second.version}\n", f"{field}: v92\n")
    with pytest.raises(CommandFailed) as refused:
        world.production.commit("Serve something else", dropped)
    refusal = next(line for line in refused.value.output.splitlines() if "would be dropped" in line)
    assert world.git.pull() == before
    facts.saw(5, "a commit that drops the routed version", f"push refused: {refusal[:200]}")


def test_argo_cd_calls_an_environment_progressing_while_a_canary_is_not_ready(
    broken: Promoted, world: World, facts: Facts
) -> None:
    """Soon after its commit nothing is wrong yet; test_8 looks again when its time is over."""
    health: list[str] = []
    until("Progressing", 60, lambda: world.observe(health) == "Progressing", every=1)
    facts.saw(5, f"Argo CD with {broken.version}, whose bundle is nowhere", " → ".join(health))
