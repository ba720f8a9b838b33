"""`etl` on the Argo Workflows controller: many pods, the pixels of one; and what a deleted workflow leaves."""

import json
import time

import numpy as np
import pytest

from chexpert.data import objects
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from cluster_harness.kube import until
from cluster_harness.table import Facts
from cluster_harness.world import World

pytestmark = pytest.mark.timeout(600)

CAPACITY = 512
"""Images per shard: the phantoms make four of them."""


@pytest.mark.usefixtures("first")
def test_the_fan_out_gives_the_pixels_of_one_pod_and_a_deleted_workflow_takes_its_artifacts_along(
    world: World, facts: Facts
) -> None:
    """Every image of ingest's one shard stands in etl's shards, bit for bit; then the workflow is deleted."""
    alone = json.loads(world.read_object("data", "latest.json"))["uri"]
    began = time.monotonic()
    run = world.submit("etl", source="s3://chexpert/uploads", size="64", capacity=str(CAPACITY))
    watched = world.watch(run, seconds=400)
    assert watched.code == 0, watched.output
    pods = [node["displayName"] for node in world.nodes(run) if node["displayName"].startswith("shard")]
    fanned = json.loads(world.read_object("data", "latest.json"))["uri"]
    assert fanned != alone
    images = Manifest.read(alone.rpartition("/")[0] + "/manifest.parquet").column("sha256")
    one, many = Shards.open(alone), Shards.open(fanned)
    assert np.array_equal(one.take(one.find(images)), many.take(many.find(images)))
    took = f"{len(images)} images, equal to one pod's, {time.monotonic() - began:.0f} s"
    facts.saw(3, f"etl over {len(pods)} pods", took)
    assert len(pods) == -(-len(many) // CAPACITY) > 1

    left = f"{world.variables['CHEXPERT_OBJECTS']}/artifacts/{run}"
    before = len(objects.find(left, ""))
    assert before
    namespace = world.namespaces["platform"]
    world.kube.delete("workflow", run, namespace=namespace, wait=False)
    until("the artifacts to go", 120, lambda: not objects.find(left, ""), every=2)
    until("the workflow to go", 60, lambda: world.kube.find("workflow", run, namespace=namespace) is None, every=1)
    facts.saw(3, "its workflow deleted", f"{before} artifacts collected, then the workflow gone")
