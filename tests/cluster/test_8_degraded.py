"""The broken canary of test_5, minutes later."""

import pytest

from chexpert.gitops import promotion
from cluster_harness.kube import until
from cluster_harness.table import Facts
from cluster_harness.world import Promoted, World

pytestmark = pytest.mark.timeout(900)


def test_argo_cd_turns_degraded_when_a_canarys_time_is_over_and_healthy_when_it_is_withdrawn(
    world: World, broken: Promoted, facts: Facts
) -> None:
    """What Argo CD's own rule would call Progressing for ever; a person then sees which canary waits since when."""
    health: list[str] = []
    until("Degraded", 400, lambda: world.observe(health) == "Degraded", every=2)
    text = promotion.withdraw(world.production.text(), broken.version)
    world.production.commit(f"Withdraw {broken.version}", text)
    until("Healthy", 200, lambda: world.observe(health) == "Healthy", every=2)
    facts.saw(5, f"Argo CD when {broken.version}'s time was over, then withdrawn", " → ".join(health))
